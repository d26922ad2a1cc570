"""The daily summary in words, for whoever looks after the platform: as Markdown, and as a page."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from stt_platform.defs.upkeep.state import PlatformState, SermonState
from stt_platform.evaluation.report_templates import fill
from stt_platform.settings import UpkeepSettings

DAY_S = 24 * 3600.0
MAX_BACKUP_AGE_DAYS = 2
_MOST_NAMED = 20


@dataclass(frozen=True)
class Section:
    """A heading and what is under it; `attention` marks what a person should do something about."""

    title: str
    lines: tuple[str, ...]
    attention: bool = False


def summarise(state: PlatformState, settings: UpkeepSettings) -> list[Section]:
    """Return what came, what waits for a person, what failed and what to do, how fresh it is, and the disk."""
    return [_came(state), _waits(state), _failed(state), _freshness(state), _disk(state, settings)]


def title(state: PlatformState) -> str:
    """Return what the summary is called."""
    return f"Daily summary of {datetime.fromtimestamp(state.at_s):%A, %d %B %Y}"


def markdown(state: PlatformState, sections: Sequence[Section]) -> str:
    """Return the summary as Markdown."""
    parts = [f"## {each.title}\n\n" + "\n".join(f"- {_plain(line)}" for line in each.lines) for each in sections]
    return "\n\n".join([f"# {title(state)}", *parts]) + "\n"


def html(state: PlatformState, sections: Sequence[Section]) -> str:
    """Return the summary as a page of the reports."""
    return fill(Path(__file__).with_name("summary.html.j2"), title=title(state), sections=sections)


def in_a_sentence(sections: Sequence[Section]) -> str:
    """Return what needs a person, in one line."""
    wanted = [section.title.lower() for section in sections if section.attention]
    return f"look at: {', '.join(wanted)}" if wanted else "nothing needs a person"


def _came(state: PlatformState) -> Section:
    since = state.at_s - DAY_S
    came, made = state.came_since(since), state.transcribed_since(since)
    rejected = [each for each in came if each.status == "rejected"]
    lines = [
        f"{_sermons(len(came))} came in the last 24 hours{_named(came)}",
        f"{_sermons(len(made))} {_were(len(made))} transcribed{_named(made)}",
        *(f"{each.sermon} is rejected: {each.reason}" for each in rejected[:_MOST_NAMED]),
    ]
    if state.in_progress:
        lines.append(f"{_sermons(len(state.in_progress))} {_are(len(state.in_progress))} being worked on")
    accepted = sum(each.status == "accepted" for each in state.sermons)
    lines.append(f"{accepted} of {_sermons(len(state.sermons))} {_are(accepted)} transcribed in all")
    return Section("What came", tuple(lines))


def _waits(state: PlatformState) -> Section:
    lines = []
    if state.to_review:
        folder = f"STT_HOME/review/cycle-{state.cycle}, or Label Studio"
        minutes = max(1, round(state.review_s / 60))
        lines.append(f"{state.to_review} segments of cycle {state.cycle} to correct, about {minutes} minutes: {folder}")
    if state.to_transcribe:
        lines.append(
            f"{state.to_transcribe} chunks to write down from scratch: STT_HOME/assessment/assessment_sample.csv"
        )
    return Section("What waits for a person", tuple(lines) or ("nothing",), attention=bool(lines))


def _failed(state: PlatformState) -> Section:
    lines = [
        f"{each.asset}{f' of {each.kind} {each.partition}' if each.kind else ''} failed at {each.since or 'an unknown time'}: "
        f"{each.reason}. To try it again: {each.remedy}"
        for each in state.failed[:_MOST_NAMED]
    ]
    if len(state.failed) > _MOST_NAMED:
        lines.append(f"and {len(state.failed) - _MOST_NAMED} more: see the asset platform_state")
    return Section("What failed, and what to do", tuple(lines) or ("nothing",), attention=bool(lines))


def _freshness(state: PlatformState) -> Section:
    lines = stale(state)
    newest = max((each.transcribed_at_s for each in state.sermons if each.transcribed_at_s), default=None)
    known = [f"the newest transcript is of {datetime.fromtimestamp(newest):%Y-%m-%d %H:%M}"] if newest else []
    known += [f"the newest backup is of {state.newest_backup[:10]}"] if state.newest_backup else []
    return Section("How fresh it is", (*lines, *known) or ("nothing was made yet",), attention=bool(lines))


def stale(state: PlatformState) -> list[str]:
    """Return what is older than it should be, each with what to do."""
    lines = []
    if waiting := state.not_started(DAY_S):
        verb = "waits" if len(waiting) == 1 else "wait"
        lines.append(f"{_sermons(len(waiting))} {verb} for more than a day{_named(waiting)}. To start: stt run")
    age = state.backup_age_days
    if state.sermons and (age is None or age > MAX_BACKUP_AGE_DAYS):
        how_old = "there is no backup" if age is None else f"the newest backup is {age} days old"
        lines.append(f"{how_old}. To make one: stt backup")
    return lines


def _disk(state: PlatformState, settings: UpkeepSettings) -> Section:
    free_gb = state.free_bytes / 1e9
    line = f"{free_gb:.1f} of {state.total_bytes / 1e9:.0f} GB are free for STT_HOME"
    if free_gb >= settings.min_free_gb:
        return Section("Disk", (line,))
    what = "make room: an hour of audio takes about 0.3 GB, and a training some GB; STT_HOME/cache may be deleted"
    return Section("Disk", (f"{line}, less than {settings.min_free_gb:g} GB; {what}",), attention=True)


def _named(sermons: Sequence[SermonState]) -> str:
    names = [each.sermon for each in sermons[:_MOST_NAMED]]
    more = f" and {len(sermons) - _MOST_NAMED} more" if len(sermons) > _MOST_NAMED else ""
    return f": {', '.join(names)}{more}" if names else ""


def _sermons(count: int) -> str:
    return f"{count} sermon{'' if count == 1 else 's'}"


def _are(count: int) -> str:
    return "is" if count == 1 else "are"


def _were(count: int) -> str:
    return "was" if count == 1 else "were"


def _plain(line: str) -> str:
    # What people named and errors say is text, whatever it looks like.
    return re.sub(r"([\\`*_\[\]<>#|])", r"\\\1", line)
