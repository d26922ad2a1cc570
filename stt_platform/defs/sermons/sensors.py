"""What happens by itself: files in the inbox become sermons, new sermons become transcripts."""

import datetime
from pathlib import Path

import dagster as dg

from stt_platform.defs.sermons.jobs import after_sermons, sermon_stages
from stt_platform.machine.files import sha256_of
from stt_platform.orchestration.dagster_private import PARTITION_NAME_TAG
from stt_platform.orchestration.planning import plan, plan_sermon
from stt_platform.orchestration.platform import Platform
from stt_platform.orchestration.scopes import CORPUS_SCOPE, SERMON, sermon_partitions
from stt_platform.orchestration.sensors import platform_sensor
from stt_platform.orchestration.sermon_runs import partitions_in_progress
from stt_platform.orchestration.stage import stages_after_sermons, stages_of
from stt_platform.store.captions import caption_files
from stt_platform.store.digests import digest_of
from stt_platform.store.inbox import take_from_inbox, waiting_files
from stt_platform.store.intake import Registration, registrations
from stt_platform.store.stages import current_output

_MAX_RUNS_PER_LOOK = 50


@platform_sensor(minimum_interval_s=15)
def inbox(context: dg.SensorEvaluationContext, platform: Platform) -> dg.SensorResult | dg.SkipReason:
    """Takes in recordings that are put into `STT_HOME/inbox`, once they are whole."""
    # Partitions only: `new_sermons` starts the runs, whatever way a sermon came in.
    taken = list(take_from_inbox(platform.store, platform.settings.inbox))
    for entry in taken:
        context.log.info(f"{entry.path}: {entry.message}")
    sermons = sorted({entry.sermon for entry in taken if entry.sermon})
    if not sermons:
        waiting = len(waiting_files(platform.home / "inbox"))
        still = f"; {waiting} still being copied, or without a recording" if waiting else ""
        return dg.SkipReason(f"nothing new in {platform.home / 'inbox'}{still}")
    new = [key for key in sermons if not context.instance.has_dynamic_partition(SERMON.name, key)]
    return dg.SensorResult(dynamic_partitions_requests=[sermon_partitions.build_add_request(new)] if new else [])


@platform_sensor(jobs=[sermon_stages, after_sermons], minimum_interval_s=15)
def new_sermons(context: dg.SensorEvaluationContext, platform: Platform) -> dg.SensorResult | dg.SkipReason:
    """Starts the stages of every sermon that has no transcript yet, once for each version of its recording and of its captions.

    One whose run failed is not started again by itself: look at the run, then start it with a click or with `stt run`.
    Changed settings do not redo old sermons by themselves either.
    """
    # It compares recipes with outputs, so it needs no cursor to know what is missing. The cursor names what was out of date
    # of the stages over all sermons when they were last started.
    settings = platform.settings
    known = registrations(platform.home)
    _heal_partitions(context.instance, known)
    busy = partitions_in_progress(context.instance) & set(known)
    due = [key for key, entry in known.items() if key not in busy and _is_due(context.instance, platform, entry)]
    requests = [
        dg.RunRequest(
            run_key=_run_key(platform.home, known[key]),
            job_name=sermon_stages.name,
            partition_key=key,
            asset_selection=[dg.AssetKey(stage) for stage in plan_sermon(platform.home, settings, key)],
        )
        for key in due[:_MAX_RUNS_PER_LOOK]
    ]
    if known and not requests and not busy:
        due = plan(platform.home, settings, stages_after_sermons(), scopes=[CORPUS_SCOPE])
        # The same again would end as the last one did.
        cursor = digest_of(due)
        if due and context.cursor != cursor:
            return dg.SensorResult(run_requests=[dg.RunRequest(job_name=after_sermons.name)], cursor=cursor)
    if not requests:
        return dg.SkipReason(f"every sermon has been started; {len(busy)} in progress")
    return dg.SensorResult(run_requests=requests)


def _run_key(home: Path, entry: Registration) -> str:
    """Name what a run is for, so that it is started once."""
    captions = [sha256_of(path)[:16] for path in caption_files(home, entry.sermon)]
    return ":".join([entry.sermon, str(entry.version), entry.sha256, *captions])


def _heal_partitions(instance: dg.DagsterInstance, known: dict[str, Registration]) -> None:
    """Give every registered sermon its partition: a process may have died between the two."""
    missing = sorted(set(known) - set(instance.get_dynamic_partitions(SERMON.name)))
    if missing:
        instance.add_dynamic_partitions(SERMON.name, missing)


def _is_due(instance: dg.DagsterInstance, platform: Platform, entry: Registration) -> bool:
    """Return whether no run, by whomever, has been at work on this version of the recording, and there is work to do."""
    of_sermon = stages_of(SERMON)
    first, last = (current_output(platform.home, entry.sermon, name) for name in (of_sermon[0], of_sermon[-1]))
    captions = caption_files(platform.home, entry.sermon)
    made = last and first and first.data.get("sha256") == entry.sha256
    # Captions may come when the transcript is long there; they are an opinion about it.
    if made and not (captions and plan_sermon(platform.home, platform.settings, entry.sermon, "captions")):
        return False
    came_at = max([entry.registered_at(platform.home), *(path.stat().st_mtime for path in captions)])
    since = datetime.datetime.fromtimestamp(came_at, tz=datetime.UTC)
    tags = {PARTITION_NAME_TAG: entry.sermon}
    return not instance.get_runs(dg.RunsFilter(tags=tags, created_after=since), limit=1)
