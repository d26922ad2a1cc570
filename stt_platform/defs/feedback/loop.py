"""Run the loop by itself: a list for people, their answers, a training, a decision, and the next list."""

import hashlib
from pathlib import Path

import dagster as dg

from stt_platform.audio import SAMPLE_RATE_HZ
from stt_platform.defs.feedback.cycle_facts import loop_convergence, read_cycle
from stt_platform.defs.feedback.jobs import ask, deliver, learn
from stt_platform.feedback.readiness import Readiness
from stt_platform.machine.files import age_s
from stt_platform.machine.gpu import CPU, device_name, holder_of
from stt_platform.orchestration.planning import plan
from stt_platform.orchestration.platform import Platform
from stt_platform.orchestration.scopes import SERMON, known_cycles, with_cycle
from stt_platform.orchestration.sensors import platform_sensor
from stt_platform.orchestration.sermon_runs import partitions_in_progress
from stt_platform.orchestration.stage import stages
from stt_platform.store.choices import speech_champion
from stt_platform.store.metadata import MetadataStore
from stt_platform.store.review_lists import exports

_TRANSCRIBED = """
select count(*) as n from sermons where split = 'train' and status = 'accepted'
"""
_CORRECTED = """
select count(distinct answers.chunk_id) as segments, coalesce(sum(chunks.end_sample - chunks.start_sample), 0) as samples
from corrections as answers join chunks on chunks.chunk_id = answers.chunk_id
where answers.cycle = $cycle and answers.status = 'accepted' and answers.chunk_id not in
    (select chunk_id from corrections where cycle = $before and status = 'accepted')
"""


def open_cycle(instance: dg.DagsterInstance, store: MetadataStore) -> int:
    """Return the cycle that is under way: the newest one, or the next where that was decided."""
    newest = max(known_cycles(instance), default=0)
    decided = store.query("select cycle from decisions where cycle = $cycle", {"cycle": newest}).num_rows
    return newest + 1 if decided else newest


@platform_sensor(job=ask)
def next_cycle(context: dg.SensorEvaluationContext, platform: Platform) -> dg.SensorResult | dg.SkipReason:
    """Open the next cycle of the loop: choose the segments that people are asked about, once sermons are transcribed and
    the cycle before was decided. It stops once the loop has converged, and says so here; a further cycle is then a click.
    """
    # It looks at what was made, so it needs no cursor; a list that failed is not asked for again by itself.
    store, settings = platform.store, platform.settings
    (transcribed,) = store.query(_TRANSCRIBED).to_pylist()
    if not transcribed["n"]:
        return dg.SkipReason("no sermon of the train split has been transcribed yet")
    cycle = open_cycle(context.instance, store)
    if _list_is_made(platform.home, cycle):
        return dg.SkipReason(f"cycle {cycle} is under way: its list is in STT_HOME/review/cycle-{cycle}")
    if busy := partitions_in_progress(context.instance) & _sermons(context.instance):
        return dg.SkipReason(f"{len(busy)} sermons are still being worked on")
    if cycle and (found := loop_convergence(store, settings, cycle - 1)).converged:
        return dg.SkipReason(f"the loop has converged: {found.reason}. A further cycle is a click")
    # Known before the run is asked for: a request for a partition that there is not yet is refused.
    return dg.SensorResult(
        run_requests=[dg.RunRequest(run_key=f"ask:{cycle}", partition_key=with_cycle(context.instance, cycle))]
    )


@platform_sensor(asset_selection=dg.AssetSelection.assets("corrections"))
def new_corrections(context: dg.SensorEvaluationContext, platform: Platform) -> dg.SensorResult | dg.SkipReason:
    """Read the corrections that are put into `STT_HOME/corrections` (spreadsheets, exports of Label Studio and Prodigy),
    once for each change, into the cycle that is under way.
    """
    # The cursor is what lay there, by name, size and time, when it was last read.
    settings, home = platform.settings, platform.home
    files = exports(home)
    if not files:
        return dg.SkipReason(f"there is nothing in {home / 'corrections'}")
    cycle = open_cycle(context.instance, platform.store)
    if not _list_is_made(home, cycle):
        return dg.SkipReason(f"cycle {cycle} is not open yet")
    states = [(path.relative_to(home).as_posix(), path.stat().st_size, path.stat().st_mtime_ns) for path in files]
    cursor = f"{cycle}:{hashlib.sha256(repr(states).encode()).hexdigest()}"
    if cursor == context.cursor:
        return dg.SkipReason(f"nothing new in {home / 'corrections'}")
    if age_s(max(state[2] for state in states) / 1e9) < settings.inbox.settle_s:
        return dg.SkipReason("a file was written a moment ago: it may not be whole yet")
    if not plan(home, settings, ["corrections"], parts={"cycle": str(cycle)}):
        return dg.SensorResult(skip_reason="what lies there was read already", cursor=cursor)
    request = dg.RunRequest(run_key=cursor, partition_key=str(cycle), asset_selection=[dg.AssetKey("corrections")])
    return dg.SensorResult(run_requests=[request], cursor=cursor)


@platform_sensor(job=learn)
def retrain(context: dg.SensorEvaluationContext, platform: Platform) -> dg.SensorResult | dg.SkipReason:
    """Train, measure and decide once enough was corrected (settings `loop`), nobody has corrected anything for a while,
    and the device is free. Otherwise it says here what is missing.
    """
    # One run for each state of the corrections: a training that failed is not started again by itself.
    settings, home = platform.settings, platform.home
    cycle = open_cycle(context.instance, platform.store)
    answers = stages()["corrections"].output(home, str(cycle))
    if not _list_is_made(home, cycle) or answers is None:
        return dg.SkipReason(f"cycle {cycle}: nothing has been corrected yet")
    if (key := f"learn:{cycle}:{answers.digest}") == context.cursor:
        return dg.SkipReason(
            f"cycle {cycle} is being trained on, or its training failed: see its run; new corrections start it again"
        )
    chosen = settings.loop
    missing = list(
        _readiness(platform, cycle).missing(
            segments=chosen.corrected_segments, minutes=chosen.corrected_minutes, quiet_min=chosen.quiet_minutes
        )
    )
    if missing:
        return dg.SkipReason(f"cycle {cycle}: {'; '.join(missing)}")
    return dg.SensorResult(run_requests=[dg.RunRequest(run_key=key, partition_key=str(cycle))], cursor=key)


@platform_sensor(job=deliver)
def promoted(context: dg.SensorEvaluationContext, platform: Platform) -> dg.SensorResult | dg.SkipReason:
    """Make a bundle for the machine that runs live whenever another recogniser was promoted."""
    # The cursor is the champion that was delivered last.
    champion = speech_champion(platform.home)
    if champion.adapter_id is None:
        return dg.SkipReason(champion.why)
    if champion.adapter_id == context.cursor:
        return dg.SkipReason(f"{champion.adapter_id[:12]} was bundled already")
    return dg.SensorResult(
        run_requests=[dg.RunRequest(run_key=f"deliver:{champion.adapter_id}")], cursor=champion.adapter_id
    )


def _readiness(platform: Platform, cycle: int) -> Readiness:
    store = platform.store
    (counted,) = store.query(_CORRECTED, {"cycle": cycle, "before": cycle - 1}).to_pylist()
    waiting = read_cycle(store, platform.settings, cycle).waiting()
    newest = max((path.stat().st_mtime for path in exports(platform.home)), default=None)
    device = device_name() if platform.settings.speech_training.device == "cuda" else CPU
    held = holder_of(device)
    return Readiness(
        corrected=counted["segments"],
        corrected_min=counted["samples"] / SAMPLE_RATE_HZ / 60,
        open_segments=waiting.on_the_list if waiting else None,
        quiet_min=None if newest is None else age_s(newest) / 60,
        device_held_by="" if held is None else str(held),
    )


def _list_is_made(home: Path, cycle: int) -> bool:
    return stages()["review_tasks"].output(home, str(cycle)) is not None


def _sermons(instance: dg.DagsterInstance) -> set[str]:
    return set(instance.get_dynamic_partitions(SERMON.name))
