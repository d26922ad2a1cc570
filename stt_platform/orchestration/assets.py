"""The Dagster asset of each stage."""

import inspect
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

import dagster as dg

from stt_platform.audio.demucs_weights import SeparatorUnavailable
from stt_platform.audio.diarize_pyannote import PipelineUnavailable
from stt_platform.errors import PlatformError, SettingsError
from stt_platform.models.registry import ModelMissing
from stt_platform.orchestration.platform import OWNERS, Platform
from stt_platform.orchestration.running import run_stage
from stt_platform.orchestration.scopes import SERMON
from stt_platform.orchestration.stage import Stage, edges_of, stages, stages_after_sermons
from stt_platform.settings import Settings, load_settings

SCOPE_TAG, AFTER_SERMONS_TAG = "stt/scope", "stt/after_sermons"
"""Tags of the assets: what each is made for, and whether it is made by itself once sermons were."""

_FOR_THE_USER = (PlatformError, ModelMissing, SeparatorUnavailable, PipelineUnavailable)


def stage_assets() -> list[dg.AssetsDefinition]:
    """Return the asset of every stage that was imported, in order."""
    return [_asset(each) for each in stages().values()]


def _asset(stage: Stage) -> dg.AssetsDefinition:
    partitions = stage.scope.partitions

    @dg.asset(
        name=stage.name,
        description=inspect.getdoc(stage.recipe),
        deps=_drawn_after(stage),
        partitions_def=partitions,
        group_name=stage.group,
        tags=_tags(stage),
        kinds=set(stage.kinds),
        owners=OWNERS,
        code_version=stage.version,
        pool=_device_pool(stage.on_device),
        check_specs=[
            dg.AssetCheckSpec(name, asset=stage.name, description=means, blocking=blocking)
            for name, means, blocking in stage.check_specs
        ],
    )
    def asset(context: dg.AssetExecutionContext, platform: Platform) -> dg.MaterializeResult:
        part = context.partition_key if partitions else None
        try:
            output, timings_s = run_stage(stage, platform, context.log.info, part, observe=_observer(context))
        except _FOR_THE_USER as error:
            if not (stage.may_be_missing and isinstance(error, ModelMissing)):
                # Says what to do; a traceback would bury it, and another try would end the same way.
                raise dg.Failure(str(error), allow_retries=False) from error
            context.log.warning(str(error))
            shown, output = {"status": "not made", "reason": str(error)}, None
        else:
            if not output.accepted:
                context.log.warning(f"{output.owner} is rejected at {output.stage}: {output.reason}")
            timings = {f"{name} (s)": round(seconds, 3) for name, seconds in timings_s.items()}
            shown = {**stage.metadata(platform, output), "was already up to date": output.reused, **timings}
        return dg.MaterializeResult(
            metadata=shown,
            data_version=dg.DataVersion(output.digest) if output else None,
            check_results=list(stage.checks(platform, output)) if stage.checks else [],
        )

    return asset


def _drawn_after(stage: Stage) -> list[str]:
    """Return its edges, but of the stages of a sermon that it reads only the last ones: the graph stays one to look at."""
    edges = edges_of(stage.name)
    if stage.scope is SERMON:
        return edges
    implied = {before for name in edges if stages()[name].scope is SERMON for before in _all_before(name)}
    return [name for name in edges if name not in implied]


def _all_before(name: str) -> set[str]:
    return {each for edge in edges_of(name) for each in (edge, *_all_before(edge))}


def _tags(stage: Stage) -> dict[str, str]:
    after = {AFTER_SERMONS_TAG: "true"} if stage.name in stages_after_sermons() else {}
    return {SCOPE_TAG: stage.scope.name, **after}


def _observer(context: dg.AssetExecutionContext) -> Callable[[Mapping[str, Any]], None]:
    partition = context.partition_key if context.has_partition_key else None

    def observe(numbers: Mapping[str, Any]) -> None:
        context.log_event(dg.AssetObservation(context.asset_key, metadata=numbers, partition=partition))

    return observe


@cache
def _settings_of_this_process() -> Settings:
    # Dagster reads the pools once, when the assets are defined; three dozen of them ask.
    return load_settings()


def _device_pool(on_device: Callable[[Settings], bool]) -> str | None:
    """Return the pool in which a stage queues: `gpu` where it computes on the device with the settings of this instance."""
    try:
        return "gpu" if on_device(_settings_of_this_process()) else None
    except SettingsError:
        # Whoever runs a stage is told what is wrong with the settings; the assets are to be seen all the same.
        return "gpu"
