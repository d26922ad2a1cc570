"""What happens by itself: files in the inbox become sermons, new sermons become transcripts."""

import datetime
from pathlib import Path

import dagster as dg
from dagster._core.execution.backfill import BulkActionsFilter, BulkActionStatus, PartitionBackfill

from stt_platform.defs.platform import Platform
from stt_platform.defs.sermons.inbox import take_from_inbox, waiting_files
from stt_platform.defs.sermons.jobs import after_sermons, sermon_to_transcript
from stt_platform.defs.sermons.partitions import sermon_partitions
from stt_platform.defs.sermons.stage import plan
from stt_platform.store.intake import Registration, registrations

_PARTITION_TAG = "dagster/partition"
_UNFINISHED_RUNS = [
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]
_MAX_RUNS_PER_LOOK = 50


@dg.sensor(
    description="Takes in recordings that are put into `STT_HOME/inbox`, once they are whole.",
    minimum_interval_seconds=15,
    default_status=dg.DefaultSensorStatus.RUNNING,
)
def inbox(context: dg.SensorEvaluationContext, platform: Platform) -> dg.SensorResult | dg.SkipReason:
    """Adds partitions only: `new_sermons` starts the runs, whatever way a sermon came in."""
    taken = list(take_from_inbox(platform.store, platform.settings.inbox))
    for entry in taken:
        context.log.info(f"{entry.path}: {entry.message}")
    sermons = sorted({entry.sermon for entry in taken if entry.sermon})
    if not sermons:
        waiting = len(waiting_files(platform.home / "inbox"))
        still = f"; {waiting} still being copied, or without a recording" if waiting else ""
        return dg.SkipReason(f"nothing new in {platform.home / 'inbox'}{still}")
    new = [key for key in sermons if not context.instance.has_dynamic_partition(sermon_partitions.name, key)]
    return dg.SensorResult(dynamic_partitions_requests=[sermon_partitions.build_add_request(new)] if new else [])


@dg.sensor(
    description=(
        "Starts the stages of every sermon that has no transcript yet, once for each version of its recording. "
        "One whose run failed is not started again by itself: look at the run, then start it with a click or with "
        "`stt run`. Changed settings do not redo old sermons by themselves either."
    ),
    jobs=[sermon_to_transcript, after_sermons],
    minimum_interval_seconds=15,
    default_status=dg.DefaultSensorStatus.RUNNING,
)
def new_sermons(context: dg.SensorEvaluationContext, platform: Platform) -> dg.SensorResult | dg.SkipReason:
    """Compares recipes with outputs, so it needs no cursor to know what is missing."""
    busy = partitions_in_progress(context.instance)
    settings = platform.settings
    requests: list[dg.RunRequest] = []
    waiting = 0
    for key, entry in registrations(platform.home).items():
        if key in busy:
            waiting += 1
        elif (
            len(requests) < _MAX_RUNS_PER_LOOK
            and context.instance.has_dynamic_partition(sermon_partitions.name, key)
            and (stages := plan(platform.home, settings, key))
            and not _was_started(context.instance, platform.home, entry)
        ):
            requests.append(
                dg.RunRequest(
                    run_key=f"{key}:{entry.sha256}",
                    job_name=sermon_to_transcript.name,
                    partition_key=key,
                    asset_selection=[dg.AssetKey(stage) for stage in stages],
                )
            )
    if not requests and not waiting:
        done = ",".join(f"{key}:{entry.version}" for key, entry in registrations(platform.home).items())
        if done and context.cursor != done:
            return dg.SensorResult(run_requests=[dg.RunRequest(run_key=None, job_name=after_sermons.name)], cursor=done)
    if not requests:
        return dg.SkipReason(f"every sermon has been started; {waiting} in progress")
    return dg.SensorResult(run_requests=requests)


def partitions_in_progress(instance: dg.DagsterInstance) -> frozenset[str]:
    """Sermons that a queued or living run is at work on, or that a backfill will start."""
    runs = instance.get_runs(dg.RunsFilter(statuses=_UNFINISHED_RUNS))
    running = {run.tags[_PARTITION_TAG] for run in runs if _PARTITION_TAG in run.tags}
    backfills = instance.get_backfills(filters=BulkActionsFilter(statuses=[BulkActionStatus.REQUESTED]))
    return frozenset(running.union(*(_still_to_start(instance, backfill) for backfill in backfills)))


def _still_to_start(instance: dg.DagsterInstance, backfill: PartitionBackfill) -> set[str]:
    data = backfill.asset_backfill_data
    if data is None:
        return set()
    started = instance.get_runs(dg.RunsFilter(tags={"dagster/backfill": backfill.backfill_id}))
    targets = data.target_subset.partitions_subsets_by_asset_key.values()
    wanted = {key for subset in targets for key in subset.get_partition_keys()}
    return wanted - {run.tags.get(_PARTITION_TAG) for run in started}


def _was_started(instance: dg.DagsterInstance, home: Path, entry: Registration) -> bool:
    """Whether any run, by whomever, has been at work on this version of the recording."""
    since = datetime.datetime.fromtimestamp(entry.registered_at(home), tz=datetime.UTC)
    runs = instance.get_runs(dg.RunsFilter(tags={_PARTITION_TAG: entry.sermon}, created_after=since), limit=1)
    return bool(runs)
