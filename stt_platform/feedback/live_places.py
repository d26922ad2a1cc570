"""Map live segments to recorded chunks.

The live machine cuts as it listens, so its segments are not our chunks. A segment can be reviewed where we have its
sound: as the chunk that holds most of it. One whose recording we do not have is marked, with what would bring it in.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from stt_platform.feedback.live import REJECTED, LiveSegment

_LEAST_SHARE = 0.5


@dataclass(frozen=True)
class PlacedChunk:
    """A chunk, with its place in the recording of its sermon in seconds."""

    chunk_id: str
    sermon: str
    start_s: float
    end_s: float


@dataclass(frozen=True)
class LiveHearing:
    """The live transcript of a chunk.

    Attributes:
        text: of all its segments, in the order of time.
        avg_logprob: logarithm of the confidence, averaged over the words that have one, as a recogniser's own figure is over
            tokens; None where no segment told one.
    """

    text: str
    avg_logprob: float | None

    @property
    def confidence(self) -> float | None:
        """Return the geometric mean of the confidence of its words, 0 to 1."""
        return None if self.avg_logprob is None else math.exp(self.avg_logprob)


class NoPlace(StrEnum):
    """Why a segment belongs to no chunk."""

    UNREADABLE = "unreadable_line"
    """What the live machine wrote of it cannot be used."""
    NO_RECORDING = "no_recording"
    MANY_RECORDINGS = "many_recordings"
    NO_CHUNK = "no_chunk"
    """There is no speech chunk at its time."""
    CUT_OTHERWISE = "cut_otherwise"
    """No chunk holds half of it."""


@dataclass(frozen=True)
class Unplaced:
    """A segment that cannot be reviewed: its sermon where that is known, else empty, and why it cannot, as a code and in words."""

    segment: LiveSegment
    sermon: str
    gate: NoPlace
    reason: str


def place_segments(
    segments: Iterable[LiveSegment], recordings: Mapping[str, Iterable[str]], chunks: Iterable[PlacedChunk]
) -> tuple[dict[str, LiveHearing], list[Unplaced]]:
    """Return the live transcript of each chunk, by its id, and the segments that belong to none, in their order.

    A segment belongs to the chunk that holds most of it, half of it at least. One that comes twice counts once.

    Args:
        recordings: names of recordings as `LiveSegment.recording` has them, and the sermons of that name.
        chunks: of all sermons; those of one sermon do not overlap.
    """
    of_sermon: dict[str, list[PlacedChunk]] = defaultdict(list)
    for chunk in chunks:
        of_sermon[chunk.sermon].append(chunk)
    for listed in of_sermon.values():
        listed.sort(key=lambda chunk: chunk.start_s)
    heard: dict[str, list[LiveSegment]] = defaultdict(list)
    unplaced: list[Unplaced] = []
    seen: set[tuple[object, ...]] = set()
    for segment in segments:
        if segment.status == REJECTED:
            unplaced.append(Unplaced(segment, "", NoPlace.UNREADABLE, segment.reason))
            continue
        told = (segment.recording, segment.start_s, segment.end_s, segment.text, segment.confidence, segment.system)
        if told in seen:
            continue
        seen.add(told)
        found = _place(segment, sorted(recordings.get(segment.recording, ())), of_sermon)
        if isinstance(found, Unplaced):
            unplaced.append(found)
        else:
            heard[found].append(segment)
    return {name: _hearing(parts) for name, parts in sorted(heard.items())}, unplaced


def _place(segment: LiveSegment, sermons: list[str], of_sermon: Mapping[str, list[PlacedChunk]]) -> str | Unplaced:
    """Return the id of the chunk, or why there is none."""
    if len(sermons) != 1:
        if sermons:
            why = f"{len(sermons)} recordings are called “{segment.recording}” ({', '.join(sermons[:3])}); write the sermon's key"
            return Unplaced(segment, "", NoPlace.MANY_RECORDINGS, f"{why} into audio")
        why = f"there is no recording “{segment.recording}” here; put it into STT_HOME/inbox, and its segments can be reviewed"
        return Unplaced(segment, "", NoPlace.NO_RECORDING, why)
    (sermon,) = sermons
    chunks = of_sermon.get(sermon, [])
    first = max(0, bisect_right(chunks, segment.start_s, key=lambda chunk: chunk.start_s) - 1)
    best, held_s = "", 0.0
    for chunk in chunks[first:]:
        if chunk.start_s >= segment.end_s:
            break
        both_s = min(chunk.end_s, segment.end_s) - max(chunk.start_s, segment.start_s)
        if both_s > held_s:
            best, held_s = chunk.chunk_id, both_s
    if held_s < _LEAST_SHARE * (segment.end_s - segment.start_s):
        where = f"{segment.start_s:.1f} to {segment.end_s:.1f} s of {sermon}"
        if not best:
            return Unplaced(segment, sermon, NoPlace.NO_CHUNK, f"there is no chunk with speech at {where}")
        why = f"there is no chunk that holds half of it at {where}"
        return Unplaced(segment, sermon, NoPlace.CUT_OTHERWISE, why)
    return best


def _hearing(segments: list[LiveSegment]) -> LiveHearing:
    ordered = sorted(segments, key=lambda segment: (segment.start_s, segment.end_s, segment.text))
    rated = [
        (max(1, len(segment.text.split())), math.log(max(segment.confidence, 1e-6)))
        for segment in ordered
        if segment.confidence is not None
    ]
    words = sum(count for count, _ in rated)
    mean = sum(count * value for count, value in rated) / words if rated else None
    return LiveHearing(" ".join(filter(None, (segment.text for segment in ordered))), mean)
