"""The state of the whole platform at a moment: what came, what waits for a person, what failed, how fresh it is."""

import shutil
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import dagster as dg

from stt_platform.defs.feedback.cycle_facts import read_cycle
from stt_platform.defs.feedback.loop import open_cycle
from stt_platform.defs.upkeep.failed import LeftFailed, left_failed
from stt_platform.orchestration.platform import Platform
from stt_platform.orchestration.sermon_runs import partitions_in_progress
from stt_platform.store.backups import list_backups
from stt_platform.store.intake import registrations
from stt_platform.store.metadata import MetadataStore
from stt_platform.store.stages import stage_folder

_SERMONS = "select sermon, title, status, reason from sermons"
_TO_TRANSCRIBE = """
select count(*) as n from assessment_sample where chunk_id not in
    (select chunk_id from "references" where chunk_id is not null)
and sermon not in (select sermon from "references" where chunk_id is null)
"""


@dataclass(frozen=True)
class SermonState:
    """A sermon, and when it came and was transcribed, in seconds since 1970; None where it was not."""

    sermon: str
    title: str
    status: str
    reason: str | None
    came_at_s: float
    transcribed_at_s: float | None


@dataclass(frozen=True)
class PlatformState:
    """All that a page about the platform's state shows.

    Attributes:
        at_s: when it was read, in seconds since 1970.
        in_progress: sermons that a run is at work on, or will be.
        failed: what was left failed.
        to_transcribe: chunks of the assessment without a text from scratch.
        cycle: the one that is under way; None before the first list was made.
        to_review: segments of its list without an answer.
        review_s: seconds that these are expected to take a person.
        newest_backup: its name, or "".
        free_bytes, total_bytes: of the disk that STT_HOME lies on.
    """

    at_s: float
    sermons: tuple[SermonState, ...]
    in_progress: frozenset[str]
    failed: tuple[LeftFailed, ...]
    to_transcribe: int
    cycle: int | None
    to_review: int
    review_s: float
    newest_backup: str
    free_bytes: int
    total_bytes: int

    def came_since(self, at_s: float) -> list[SermonState]:
        """Return the sermons that came after a time."""
        return [each for each in self.sermons if each.came_at_s >= at_s]

    def transcribed_since(self, at_s: float) -> list[SermonState]:
        """Return the sermons that were transcribed after a time."""
        return [each for each in self.sermons if (each.transcribed_at_s or 0) >= at_s]

    def not_started(self, for_s: float) -> list[SermonState]:
        """Return the sermons that came so long ago or longer and that nobody works on, failed ones aside."""
        aside = self.in_progress | {each.partition for each in self.failed if each.kind == "sermon"}
        waiting = [each for each in self.sermons if each.status == "waiting" and each.sermon not in aside]
        return [each for each in waiting if self.at_s - each.came_at_s >= for_s]

    @property
    def backup_age_days(self) -> int | None:
        """Days since the newest backup; None where there is none."""
        if not self.newest_backup:
            return None
        made = datetime.fromisoformat(self.newest_backup[:10]).date()
        return (datetime.fromtimestamp(self.at_s).date() - made).days


def read_state(platform: Platform, instance: dg.DagsterInstance, now: datetime | None = None) -> PlatformState:
    """Look at everything. `now` is for tests."""
    home, store = platform.home, platform.store
    cycle = open_cycle(instance, store)
    waiting = read_cycle(store, platform.settings, cycle).waiting()
    ((to_transcribe,),) = (tuple(row.values()) for row in store.query(_TO_TRANSCRIBE).to_pylist())
    backups = list_backups(home)
    disk = shutil.disk_usage(home)
    return PlatformState(
        at_s=(now or datetime.now(UTC)).timestamp(),
        sermons=tuple(_sermons(home, store)),
        in_progress=partitions_in_progress(instance) & set(registrations(home)),
        failed=tuple(left_failed(instance)),
        to_transcribe=to_transcribe,
        cycle=None if waiting is None else cycle,
        to_review=0 if waiting is None else waiting.on_the_list,
        review_s=0.0 if waiting is None else waiting.review_s,
        newest_backup=backups[-1].name if backups else "",
        free_bytes=disk.free,
        total_bytes=disk.total,
    )


def _sermons(home: Path, store: MetadataStore) -> list[SermonState]:
    rows = {row["sermon"]: row for row in store.query(_SERMONS).to_pylist()}
    found = []
    for key, entry in registrations(home).items():
        row = rows.get(key, {"title": entry.title, "status": "waiting", "reason": None})
        transcript = stage_folder(home, key, "transcript") / "current.json"
        made_at = transcript.stat().st_mtime if row["status"] == "accepted" and transcript.exists() else None
        came_at = entry.registered_at(home)
        found.append(SermonState(key, row["title"], row["status"], row["reason"], came_at, made_at))
    return found
