"""Running stages of many sermons on the instance: one backfill, its progress, and what came of it."""

import datetime
import time
from collections import defaultdict
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import dagster as dg

from stt_platform.errors import PlatformError
from stt_platform.orchestration.dagster_private import (
    PARTITION_NAME_TAG,
    AssetGraphSubset,
    BulkActionStatus,
    PartitionBackfill,
    make_new_backfill_id,
)
from stt_platform.orchestration.instance import daemon_is_alive, running_daemon
from stt_platform.orchestration.planning import plan_sermon
from stt_platform.orchestration.scopes import SERMON, sermon_partitions
from stt_platform.orchestration.sermon_runs import partitions_in_progress, unfinished_runs
from stt_platform.orchestration.work import progress_file
from stt_platform.settings import Settings, load_settings

_POLL_S = 0.5


@dataclass(frozen=True)
class Progress:
    """How far a batch has come. `now` names what is being worked on, in words."""

    stages_done: int
    stages_total: int
    sermons_done: int
    sermons_total: int
    now: str


@dataclass(frozen=True)
class BatchResult:
    """What came of a batch: runs that failed, by sermon, with the run's id, and what is out of date again.

    `stale` holds sermons whose run went well while a setting or the recording changed.
    """

    sermons: tuple[str, ...]
    failed: dict[str, str]
    stale: tuple[str, ...]


def run_batch(
    home: Path,
    settings: Settings,
    instance: dg.DagsterInstance,
    plans: dict[str, list[str]],
    on_progress: Callable[[Progress], None],
) -> BatchResult:
    """Run the stages of `plans` as one backfill, and wait.

    Sermons that a run is at work on already are waited for, not started twice. The request comes before the daemon:
    one that starts looks for backfills at once, and then every half minute.
    """
    started_at = datetime.datetime.now(tz=datetime.UTC)
    busy = partitions_in_progress(instance) & set(plans)
    mine = {sermon: stages for sermon, stages in plans.items() if sermon not in busy}
    before = {run.run_id for run in unfinished_runs(instance) if run.tags[PARTITION_NAME_TAG] in plans}
    backfill_id = request_backfill(instance, mine, title=f"stt run, {len(mine)} sermons") if mine else None
    with ExitStack() as daemon:
        daemon.enter_context(running_daemon(home, instance))
        left = dict(plans)
        at_work: frozenset[str] = frozenset()
        while True:
            busy = partitions_in_progress(instance) & set(plans)
            at_work_before, at_work = at_work, _at_work(instance) & set(plans)
            for sermon in sorted(at_work | at_work_before):
                left[sermon] = _still_stale(home, settings, sermon, plans[sermon])
            on_progress(_progress(home, plans, left, busy, at_work))
            if not busy:
                break
            if backfill_id and not at_work:
                _raise_if_backfill_failed(instance, backfill_id)
            if not daemon_is_alive(home):
                # Another command's, which has ended, or one that died.
                daemon.enter_context(running_daemon(home, instance))
            time.sleep(_POLL_S)
    return _result(home, instance, plans, before, started_at)


def _at_work(instance: dg.DagsterInstance) -> frozenset[str]:
    runs = instance.get_runs(dg.RunsFilter(statuses=[dg.DagsterRunStatus.STARTED]))
    return frozenset(run.tags.get(PARTITION_NAME_TAG, "") for run in runs)


def _still_stale(home: Path, settings: Settings, sermon: str, stages: list[str]) -> list[str]:
    try:
        stale = plan_sermon(home, settings, sermon)
    except KeyError:
        # Removed in the meantime.
        return []
    return [stage for stage in stages if stage in stale]


def _progress(
    home: Path, plans: dict[str, list[str]], left: dict[str, list[str]], busy: frozenset[str], at_work: frozenset[str]
) -> Progress:
    total = sum(len(stages) for stages in plans.values())
    return Progress(
        stages_done=total - sum(len(stages) for stages in left.values()),
        stages_total=total,
        sermons_done=len(plans) - len(busy),
        sermons_total=len(plans),
        now=_now(home, left, at_work),
    )


def _result(
    home: Path,
    instance: dg.DagsterInstance,
    plans: dict[str, list[str]],
    before: set[str],
    started_at: datetime.datetime,
) -> BatchResult:
    # Newest first; a retry that succeeded makes good what failed before it.
    runs = list(instance.get_runs(dg.RunsFilter(created_after=started_at)))
    runs += instance.get_runs(dg.RunsFilter(run_ids=sorted(before))) if before else []
    latest: dict[str, dg.DagsterRun] = {}
    for run in runs:
        latest.setdefault(run.tags.get(PARTITION_NAME_TAG, ""), run)
    failed = {
        sermon: run.run_id
        for sermon, run in sorted(latest.items())
        if sermon in plans and run.status != dg.DagsterRunStatus.SUCCESS
    }
    settings = load_settings(home)
    stale = [s for s, stages in plans.items() if s not in failed and _still_stale(home, settings, s, stages)]
    return BatchResult(tuple(plans), failed, tuple(stale))


def request_backfill(instance: dg.DagsterInstance, plans: dict[str, list[str]], title: str) -> str:
    """Ask the daemon for the stages of `plans`, one run for each sermon; returns the backfill's id."""
    sermons_of: dict[dg.AssetKey, list[str]] = defaultdict(list)
    for sermon, stages in plans.items():
        for stage in stages:
            sermons_of[dg.AssetKey(stage)].append(sermon)
    backfill_id = make_new_backfill_id()
    instance.add_dynamic_partitions(SERMON.name, sorted(plans))
    instance.add_backfill(
        PartitionBackfill.from_asset_graph_subset(
            backfill_id=backfill_id,
            backfill_timestamp=time.time(),
            tags={},
            dynamic_partitions_store=instance,
            asset_graph_subset=AssetGraphSubset(
                partitions_subsets_by_asset_key={
                    key: sermon_partitions.subset_with_partition_keys(sermons) for key, sermons in sermons_of.items()
                }
            ),
            title=title,
            description=None,
            run_config=None,
        )
    )
    return backfill_id


def _raise_if_backfill_failed(instance: dg.DagsterInstance, backfill_id: str) -> None:
    backfill = instance.get_backfill(backfill_id)
    if backfill and backfill.status in (BulkActionStatus.FAILED, BulkActionStatus.CANCELED):
        raise PlatformError(f"the backfill {backfill_id} ended as {backfill.status.value}; see the page Runs of the UI")


def _now(home: Path, left: dict[str, list[str]], busy: frozenset[str]) -> str:
    """Return what the running sermons are at, with the progress that long stages write down."""
    words = []
    for sermon in sorted(busy & set(left)):
        if left[sermon]:
            stage = left[sermon][0]
            try:
                words.append(f"{stage} of {sermon}: {progress_file(home, sermon, stage).read_text()}")
            except FileNotFoundError:
                words.append(f"{stage} of {sermon}")
    return "; ".join(words)
