"""Telling an instance what lies on the disk: after a restore it knows the state of last night, or nothing.

Outputs are named by what made them, so they are the truth, and the instance's events are a record of it.
"""

from collections.abc import Iterator
from pathlib import Path

import dagster as dg
from dagster._core.definitions.data_version import DATA_VERSION_TAG

from stt_platform.defs.corpus import CORPUS_STAGES, CorpusStage
from stt_platform.defs.sermons.partitions import sermon_partitions
from stt_platform.defs.sermons.stage import SERMON_STAGES
from stt_platform.store.intake import registrations
from stt_platform.store.stages import StageOutput, current_output


def tell_instance(home: Path, instance: dg.DagsterInstance) -> int:
    """Add the partitions and report the materialisations that it does not know; returns how many of the latter."""
    reported = 0
    sermons = list(registrations(home))
    if sermons:
        instance.add_dynamic_partitions(sermon_partitions.name, sermons)
    for name in SERMON_STAGES:
        known = instance.get_materialized_partitions(dg.AssetKey(name)) if sermons else set()
        for sermon in sermons:
            output = current_output(home, sermon, name)
            if output and sermon not in known:
                _report(instance, output, sermon)
                reported += 1
    for stage in CORPUS_STAGES.values():
        for part, output in _unknown(home, instance, stage):
            _report(instance, output, part)
            reported += 1
    return reported


def _unknown(home: Path, instance: dg.DagsterInstance, stage: CorpusStage) -> Iterator[tuple[str | None, StageOutput]]:
    key = dg.AssetKey(stage.name)
    if stage.parts is None:
        parts = [] if instance.get_latest_materialization_event(key) else [None]
    else:
        there = _parts(home, instance, stage)
        parts = sorted(set(there) - instance.get_materialized_partitions(key)) if there else []
    for part in parts:
        if output := stage.output(home, part):
            yield part, output


def _parts(home: Path, instance: dg.DagsterInstance, stage: CorpusStage) -> list[str]:
    definition = stage.parts.definition
    if not isinstance(definition, dg.DynamicPartitionsDefinition):
        return list(definition.get_partition_keys())
    there = [key for path in sorted((home / f"{stage.parts.kind}s").glob("*")) if (key := path.name)[0] != "."]
    if there:
        instance.add_dynamic_partitions(definition.name, there)
    return there


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
