"""The sensors of the platform: on by default, and all switched off by the setting `sensors`."""

import inspect
from collections.abc import Callable
from typing import Any

import dagster as dg

from stt_platform.orchestration.platform import SENSORS_OFF, Platform

Tick = Callable[[dg.SensorEvaluationContext, Platform], dg.SensorResult | dg.SkipReason]


def platform_sensor(*, minimum_interval_s: int = 30, **options: Any) -> Callable[[Tick], dg.SensorDefinition]:
    """Make a sensor of a function, whose docstring is the description; it skips while the setting `sensors` is off.

    Args:
        minimum_interval_s: between two looks.
        options: of `dagster.sensor`: the job or the assets that it starts.
    """

    def make(evaluate: Tick) -> dg.SensorDefinition:
        def tick(context: dg.SensorEvaluationContext, platform: Platform) -> dg.SensorResult | dg.SkipReason:
            return evaluate(context, platform) if platform.settings.sensors else dg.SkipReason(SENSORS_OFF)

        decorate = dg.sensor(
            name=evaluate.__name__,
            description=" ".join((inspect.getdoc(evaluate) or "").split()),
            minimum_interval_seconds=minimum_interval_s,
            default_status=dg.DefaultSensorStatus.RUNNING,
            **options,
        )
        return decorate(tick)

    return make
