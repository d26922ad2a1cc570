"""Which recordings of a channel to take: a sample that a person then edits."""

import datetime
import hashlib
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field

from stt_platform.web.titles import Kind, kind_of, speakers_of
from stt_platform.web.videos import Video

_OLDER_SHARE = 0.25
_NOT_RECORDED = {
    "is_live": "it is live now; list again when it is over",
    "is_upcoming": "it has not happened yet",
    "post_live": "the site still works on the recording; list again tomorrow",
}


@dataclass(frozen=True)
class Choice:
    """A video, whether to take it, and why. A person may change `take`, `title` and `speaker`."""

    video: Video
    take: bool
    reason: str
    kind: Kind = "sermon"
    speaker: str | None = None


def propose(
    videos: Iterable[Video],
    *,
    today: datetime.date,
    hours: tuple[float, float] = (10.0, 20.0),
    recordings: tuple[int, int] = (10, 20),
    recent_years: float = 2.0,
    min_s: float = 300.0,
    max_s: float = 3 * 3600.0,
    seed: int = 42,
) -> list[Choice]:
    """Propose a sample: most of it from the last `recent_years`, some older, many speakers, songs and questions.

    The same videos and the same seed give the same sample, in whatever order they come. It stops in the middle of
    both ranges, or as soon as it has the least of both and the middle of one; it never goes over either end.

    Args:
        videos: what `list_channel` gives.
        today: the day from which years are counted.
        hours: the least and the most hours.
        recordings: the least and the most recordings.
        recent_years: how old a recent recording may be.
        min_s, max_s: what is shorter or longer is left out.
        seed: decides between videos that are equally good.

    Returns:
        One choice for each video, newest first, with its reason in words.

    Raises:
        ValueError: a range is empty.
    """
    for name, (least, most) in {"hours": hours, "recordings": recordings}.items():
        if not 0 < least <= most:
            raise ValueError(f"{name} = {least}–{most}: want a range such as 10–20")
    videos = sorted({video.id: video for video in videos}.values(), key=lambda video: video.id)
    speakers = speakers_of(video.title for video in videos)
    first_recent = today - datetime.timedelta(days=round(365.25 * recent_years))
    reasons = {video.id: _why_not(video, min_s, max_s) for video in videos}
    candidates = [
        _Candidate(
            video,
            kind_of(video.title),
            speakers.get(video.title),
            video.date is not None and video.date >= first_recent,
            hashlib.sha256(f"{seed} {video.id}".encode()).hexdigest(),
        )
        for video in videos
        if reasons[video.id] is None
    ]
    sample = _Sample(candidates, hours, recordings)
    sample.fill()
    taken = {candidate.video.id: why for candidate, why in sample.taken}
    choices = [
        Choice(
            video,
            take=video.id in taken,
            reason=taken.get(video.id) or reasons[video.id] or "not needed: the sample is full without it",
            kind=kind_of(video.title),
            speaker=speakers.get(video.title),
        )
        for video in videos
    ]
    return sorted(choices, key=lambda c: (c.video.date or datetime.date.min, c.video.id), reverse=True)


def summary(
    choices: Sequence[Choice],
    *,
    today: datetime.date,
    hours: tuple[float, float] = (10.0, 20.0),
    recordings: tuple[int, int] = (10, 20),
    recent_years: float = 2.0,
) -> list[str]:
    """Summarise what is chosen, in sentences; where it falls short of what was wanted, how to mend it."""
    chosen = [choice for choice in choices if choice.take]
    total_h = sum(choice.video.duration_s or 0 for choice in chosen) / 3600
    first_recent = today - datetime.timedelta(days=round(365.25 * recent_years))
    recent = sum(choice.video.date is not None and choice.video.date >= first_recent for choice in chosen)
    speakers = {choice.speaker for choice in chosen if choice.speaker}
    kinds = Counter(choice.kind for choice in chosen)
    lines = [
        f"{len(chosen)} recordings, {total_h:.1f} hours: {recent} of the last {recent_years:g} years, "
        f"{len(chosen) - recent} older; {len(speakers)} speakers by their titles; "
        f"{kinds['songs']} with songs, {kinds['questions']} with questions."
    ]
    if any(choice.video.duration_s is None for choice in chosen):
        lines.append("Some have no known length; they are not in the hours.")
    if total_h < hours[0] or len(chosen) < recordings[0]:
        lines.append(
            f"That is less than {hours[0]:g} hours or {recordings[0]} recordings: take more, or list from an earlier day."
        )
    if total_h > hours[1] or len(chosen) > recordings[1]:
        lines.append(f"That is more than {hours[1]:g} hours or {recordings[1]} recordings: it only takes longer.")
    if chosen and recent == len(chosen):
        lines.append("None is older: take a few older ones for variety.")
    for kind, name in (("songs", "songs"), ("questions", "questions and answers")):
        if not kinds[kind]:
            lines.append(f"None has {name} by its title: take one if you know of any.")
    if len(speakers) < 2:
        lines.append("The titles name fewer than two speakers: take several if you know who speaks.")
    return lines


@dataclass(frozen=True)
class _Candidate:
    video: Video
    kind: Kind
    speaker: str | None
    is_recent: bool
    lot: str

    @property
    def duration_s(self) -> float:
        return self.video.duration_s or 0.0


def _why_not(video: Video, min_s: float, max_s: float) -> str | None:
    if video.problem:
        return f"left out: {video.problem}"
    if video.live_status in _NOT_RECORDED:
        return f"left out: {_NOT_RECORDED[video.live_status]}"
    if video.duration_s is None:
        return "left out: its length is not known"
    if video.duration_s < min_s:
        return f"left out: {video.duration_s / 60:.0f} min is under {min_s / 60:.0f} min"
    if video.duration_s > max_s:
        return f"left out: {video.duration_s / 3600:.1f} h is over {max_s / 3600:.1f} h"
    return None


@dataclass
class _Sample:
    candidates: list[_Candidate]
    hours: tuple[float, float]
    recordings: tuple[int, int]
    taken: list[tuple[_Candidate, str]] = field(default_factory=list)

    @property
    def total_h(self) -> float:
        return sum(candidate.duration_s for candidate, _ in self.taken) / 3600

    def fill(self) -> None:
        for kind, why in (("songs", "songs"), ("questions", "questions and answers")):
            if not self._take(lambda c, kind=kind: c.kind == kind and c.is_recent, f"{why}, by its title"):
                self._take(lambda c, kind=kind: c.kind == kind, f"{why}, by its title; older")
        while not self._is_enough():
            older = sum(not candidate.is_recent for candidate, _ in self.taken)
            is_older_due = older < _OLDER_SHARE * (len(self.taken) + 1) - 0.5
            turns = [(False, "older, for variety"), (True, "recent")]
            if not any(
                self._take(lambda c, recent=recent: c.is_recent is recent, why)
                for recent, why in (turns if is_older_due else turns[::-1])
            ):
                return

    def _is_enough(self) -> bool:
        count, total_h = len(self.taken), self.total_h
        return (
            count >= self.recordings[0]
            and total_h >= self.hours[0]
            and (count >= sum(self.recordings) / 2 or total_h >= sum(self.hours) / 2)
        )

    def _take(self, wanted: Callable[[_Candidate], bool], why: str) -> bool:
        """Take the best of those that are wanted and fit; False where there is none."""
        taken = {candidate.video.id for candidate, _ in self.taken}
        room_s = (self.hours[1] - self.total_h) * 3600
        fitting = [c for c in self.candidates if wanted(c) and c.video.id not in taken and c.duration_s <= room_s]
        if len(self.taken) >= self.recordings[1] or not fitting:
            return False
        best = min(self._of_good_length(fitting), key=self._rank)
        by = f", {best.speaker}" if best.speaker else ""
        self.taken.append((best, why + by))
        return True

    def _of_good_length(self, fitting: list[_Candidate]) -> Collection[_Candidate]:
        """Return those whose length leads into both ranges, where there are any."""
        places_left = max(self.recordings[1] - len(self.taken), 1)
        places_needed = max(self.recordings[0] - len(self.taken), 1)
        min_s = (self.hours[0] - self.total_h) * 3600 / places_left
        max_s = (self.hours[1] - self.total_h) * 3600 / places_needed
        good = [c for c in fitting if min_s <= c.duration_s <= max_s]
        if good:
            return good
        # All too long: the shortest let the most recordings in. All too short: the longest.
        nearest = sorted(fitting, key=lambda c: min(abs(c.duration_s - min_s), abs(c.duration_s - max_s)))
        return nearest[:3]

    def _rank(self, candidate: _Candidate) -> tuple[int, int, int, str]:
        """Return sermons first, then speakers and months that are not there yet, then the lot."""
        same_speaker = sum(c.speaker == candidate.speaker for c, _ in self.taken)
        month = candidate.video.date and candidate.video.date.replace(day=1)
        same_month = sum((c.video.date and c.video.date.replace(day=1)) == month for c, _ in self.taken)
        return int(candidate.kind != "sermon"), same_speaker, same_month, candidate.lot
