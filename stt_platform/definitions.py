"""The one place that assembles everything the platform defines.

Every module below `defs/` is imported, which registers its stages; nothing lists them.
"""

import pkgutil
from importlib import import_module
from typing import Any

import dagster as dg

from stt_platform import defs as area
from stt_platform.orchestration.assets import stage_assets
from stt_platform.orchestration.executor import gpu_serialized_executor
from stt_platform.orchestration.platform import Platform

_MODULES = [import_module(found.name) for found in pkgutil.walk_packages(area.__path__, f"{area.__name__}.")]
_JOB = type(dg.define_asset_job("of_this_type"))


def _defined(kind: type) -> list[Any]:
    found = [value for module in _MODULES for value in vars(module).values() if isinstance(value, kind)]
    # A module may import what another one defines.
    return list({value.name: value for value in found}.values())


defs = dg.Definitions(
    assets=[*stage_assets(), *dg.load_assets_from_modules(_MODULES)],
    jobs=_defined(_JOB),
    schedules=_defined(dg.ScheduleDefinition),
    sensors=_defined(dg.SensorDefinition),
    resources={"platform": Platform()},
    executor=gpu_serialized_executor,
)
