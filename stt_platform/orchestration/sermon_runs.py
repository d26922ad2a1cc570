"""Which sermons are being worked on, by whomever."""

import dagster as dg

from stt_platform.orchestration.dagster_private import (
    BACKFILL_ID_TAG,
    PARTITION_NAME_TAG,
    BulkActionsFilter,
    BulkActionStatus,
    PartitionBackfill,
)

_UNFINISHED = [
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]


def unfinished_runs(instance: dg.DagsterInstance) -> list[dg.DagsterRun]:
    """Queued and living runs that are at work on a sermon."""
    runs = instance.get_runs(dg.RunsFilter(statuses=_UNFINISHED))
    return [run for run in runs if PARTITION_NAME_TAG in run.tags]


def partitions_in_progress(instance: dg.DagsterInstance) -> frozenset[str]:
    """Return sermons that a queued or living run is at work on, or that a backfill will start."""
    # Backfills first: one that becomes a run between the two looks is seen twice, and not missed.
    backfills = instance.get_backfills(filters=BulkActionsFilter(statuses=[BulkActionStatus.REQUESTED]))
    to_start = [_still_to_start(instance, backfill) for backfill in backfills]
    running = {run.tags[PARTITION_NAME_TAG] for run in unfinished_runs(instance)}
    return frozenset(running.union(*to_start))


def _still_to_start(instance: dg.DagsterInstance, backfill: PartitionBackfill) -> set[str]:
    data = backfill.asset_backfill_data
    if data is None:
        return set()
    started = instance.get_runs(dg.RunsFilter(tags={BACKFILL_ID_TAG: backfill.backfill_id}))
    targets = data.target_subset.partitions_subsets_by_asset_key.values()
    wanted = {key for subset in targets for key in subset.get_partition_keys()}
    return wanted - {run.tags.get(PARTITION_NAME_TAG) for run in started}
