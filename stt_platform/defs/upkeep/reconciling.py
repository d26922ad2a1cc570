"""Telling an instance what lies on the disk: after a restore it knows the state of last night, or nothing.

Outputs are named by what made them, so they are the truth, and the instance's events are a record of it.
"""

from collections.abc import Iterator
from pathlib import Path

import dagster as dg

from stt_platform.orchestration.dagster_private import DATA_VERSION_TAG
from stt_platform.orchestration.stage import Stage, stages
from stt_platform.store.stages import StageOutput


def tell_instance(home: Path, instance: dg.DagsterInstance) -> int:
    """Add the partitions and report the materialisations that it does not know; returns how many of the latter."""
    for scope in {found.scope.name: found.scope for found in stages().values()}.values():
        there = [part for part in scope.parts(home) if part is not None]
        if isinstance(scope.partitions, dg.DynamicPartitionsDefinition) and there:
            instance.add_dynamic_partitions(scope.name, there)
    unknown = [each for stage in stages().values() for each in _unknown(home, instance, stage)]
    for part, output in unknown:
        _report(instance, output, part)
    return len(unknown)


def _unknown(home: Path, instance: dg.DagsterInstance, stage: Stage) -> Iterator[tuple[str | None, StageOutput]]:
    key = dg.AssetKey(stage.name)
    parts = stage.scope.parts(home)
    if stage.scope.partitions is not None:
        known = instance.get_materialized_partitions(key) if parts else set()
        parts = [part for part in parts if part not in known]
    elif instance.get_latest_materialization_event(key):
        parts = []
    for part in parts:
        if output := stage.output(home, part):
            yield part, output


def _report(instance: dg.DagsterInstance, output: StageOutput, partition: str | None) -> None:
    instance.report_runless_asset_event(
        dg.AssetMaterialization(
            asset_key=output.stage,
            partition=partition,
            description="It lay in STT_HOME when the instance was restored.",
            metadata={"status": output.status, "reason": output.reason or ""},
            tags={DATA_VERSION_TAG: output.digest},
        )
    )
