"""What was left failed: the newest run that was to make something failed, and nothing is at work on it.

A run that fails is an event in the night; crashes are tried again twice, all else is not. This is what is still broken
afterwards, whenever one looks.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

import dagster as dg

from stt_platform.orchestration.dagster_private import PARTITION_NAME_TAG, get_and_update_asset_status_cache_value
from stt_platform.orchestration.scopes import CORPUS_SCOPE, SERMON
from stt_platform.orchestration.sermon_runs import partitions_in_progress
from stt_platform.orchestration.stage import stages, stages_of

_FAILED = [dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED]
_REASON_LENGTH = 300


@dataclass(frozen=True)
class LeftFailed:
    """Something that is not made because its run failed.

    Attributes:
        asset: the first one of the run that was not made.
        kind: "sermon", "cycle", …; "" for what is made once.
        partition: its key; "" for what is made once.
        run_id: "" where the run is no longer known.
        since: ISO time.
        reason: the first line of what the run said.
        remedy: the command that tries it again.
    """

    asset: str
    kind: str
    partition: str
    run_id: str
    since: str
    reason: str
    remedy: str


def left_failed(instance: dg.DagsterInstance) -> list[LeftFailed]:
    """List what was left failed: sermons first, then cycles and what else is made for each of several, then what is made once."""
    found: list[LeftFailed] = []
    scopes = {each.scope.name: each.scope for each in stages().values()}
    for name in sorted(scopes, key=lambda name: (name != SERMON.name, name)):
        if (partitions := scopes[name].partitions) is not None:
            found += _of_partitions(instance, stages_of(scopes[name]), name, partitions)
    return found + [failed for name in stages_of(CORPUS_SCOPE) if (failed := _made_once(instance, name))]


def _of_partitions(
    instance: dg.DagsterInstance, assets: list[str], kind: str, definition: dg.PartitionsDefinition
) -> Iterator[LeftFailed]:
    first: dict[str, str] = {}
    for asset in assets:
        for partition in _failed_partitions(instance, asset, definition):
            first.setdefault(partition, asset)
    busy = partitions_in_progress(instance) if first else frozenset()
    for partition, asset in sorted(first.items()):
        if partition not in busy:
            filters = dg.RunsFilter(tags={PARTITION_NAME_TAG: partition}, statuses=_FAILED)
            run = next(iter(instance.get_run_records(filters, limit=1)), None)
            yield _entry(instance, asset, kind, partition, run)


def _failed_partitions(instance: dg.DagsterInstance, asset: str, definition: dg.PartitionsDefinition) -> frozenset[str]:
    status = get_and_update_asset_status_cache_value(instance, dg.AssetKey(asset), definition, instance)
    if status is None:
        return frozenset()
    return frozenset(status.deserialize_failed_partition_subsets(definition).get_partition_keys())


def _made_once(instance: dg.DagsterInstance, asset: str) -> LeftFailed | None:
    records = instance.get_asset_records([dg.AssetKey(asset)])
    entry = records[0].asset_entry if records else None
    if entry is None or entry.last_run_id is None:
        return None
    made = entry.last_materialization
    if made is not None and made.run_id == entry.last_run_id:
        return None
    run = instance.get_run_record_by_id(entry.last_run_id)
    if run is None or run.dagster_run.status not in _FAILED:
        return None
    return _entry(instance, asset, "", "", run)


def _entry(instance: dg.DagsterInstance, asset: str, kind: str, partition: str, run: dg.RunRecord | None) -> LeftFailed:
    at = run.end_time or run.create_timestamp.timestamp() if run else None
    since = datetime.fromtimestamp(at, UTC).isoformat(timespec="seconds") if at else ""
    chosen = {"sermon": f" --sermon {partition}", "": ""}.get(kind, f" --{kind} {partition}")
    return LeftFailed(
        asset=asset,
        kind=kind,
        partition=partition,
        run_id=run.dagster_run.run_id if run else "",
        since=since,
        reason=_reason(instance, run.dagster_run) if run else "its run is no longer known",
        remedy=f"stt run{chosen}" if kind == "sermon" else f"stt run --through {asset}{chosen}",
    )


def _reason(instance: dg.DagsterInstance, run: dg.DagsterRun) -> str:
    if run.status == dg.DagsterRunStatus.CANCELED:
        return "it was stopped by hand"
    kinds = {dg.DagsterEventType.STEP_FAILURE, dg.DagsterEventType.RUN_FAILURE}
    said = [entry.dagster_event for entry in instance.all_logs(run.run_id, of_type=kinds) if entry.dagster_event]
    steps = [event for event in said if event.event_type == dg.DagsterEventType.STEP_FAILURE]
    for event in [*steps, *said]:
        if words := " ".join(_words(event).split()):
            return words[:_REASON_LENGTH]
    return "its log does not say why"


def _words(event: dg.DagsterEvent) -> str:
    """Return what a stage says to its user, else the error that was at the bottom of it, else what Dagster says."""
    told = getattr(event.event_specific_data, "user_failure_data", None)
    if told is not None and told.description:
        return told.description
    error = getattr(event.event_specific_data, "error", None)
    while error is not None and error.cause is not None:
        error = error.cause
    return error.message if error is not None else event.message or ""
