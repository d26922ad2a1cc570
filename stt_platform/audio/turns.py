"""Speaker turns, and what follows from them: the main speaker, whose a chunk is, where the floor passes on."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace

from stt_platform.audio import SAMPLE_RATE_HZ


@dataclass(frozen=True)
class Turn:
    """A stretch in which one speaker speaks, `start_sample` inclusive and `end_sample` exclusive.

    Speakers are "S1", "S2", … in order of speech time. Turns of different speakers may overlap.
    """

    start_sample: int
    end_sample: int
    speaker: str


def name_by_speech_time(turns: Sequence[Turn]) -> list[Turn]:
    """Return the turns in order, their speakers named "S1", "S2", … by speech time; of equals, the first to speak first."""
    times = _speech_samples(turns)
    first = {speaker: min(t.start_sample for t in turns if t.speaker == speaker) for speaker in times}
    ranked = sorted(times, key=lambda speaker: (-times[speaker], first[speaker], speaker))
    names = {speaker: f"S{rank}" for rank, speaker in enumerate(ranked, start=1)}
    named = [replace(turn, speaker=names[turn.speaker]) for turn in turns]
    return sorted(named, key=lambda turn: (turn.start_sample, turn.end_sample, turn.speaker))


def primary_speaker(turns: Sequence[Turn]) -> tuple[str, float] | None:
    """Who speaks most, and their share of all speakers' time, 0 to 1; None where nobody speaks.

    Time in which two speak counts for both, so that the shares of all speakers add up to 1.
    """
    times = _speech_samples(turns)
    if not times:
        return None
    first = {speaker: min(t.start_sample for t in turns if t.speaker == speaker) for speaker in times}
    best = min(times, key=lambda speaker: (-times[speaker], first[speaker], speaker))
    return best, times[best] / sum(times.values())


def speaker_of(turns: Sequence[Turn], start_sample: int, end_sample: int) -> tuple[str, float] | None:
    """Who speaks most between two positions, and their share, as `primary_speaker`; None where nobody speaks."""
    inside = [
        replace(turn, start_sample=max(turn.start_sample, start_sample), end_sample=min(turn.end_sample, end_sample))
        for turn in turns
        if turn.start_sample < end_sample and turn.end_sample > start_sample
    ]
    return primary_speaker(inside)


def speaker_borders(turns: Sequence[Turn], *, min_turn_s: float = 1.0, max_pause_s: float = 0.5) -> list[int]:
    """Return where one speaker hands over to another: positions that no chunk may cross.

    A border lies in the middle of the longest silence between the two, or of their overlap. There is none for
    what is shorter than `min_turn_s`: an "amen" from the pews leaves the preacher the floor, and 1 s is the
    shortest chunk that is accepted. Nor is there one around what is said while another speaker goes on.

    Args:
        min_turn_s: shorter turns change nothing.
        max_pause_s: turns of one speaker with no longer pause between them count as one.

    Returns:
        Sample positions in order.
    """
    min_turn, max_pause = round(min_turn_s * SAMPLE_RATE_HZ), round(max_pause_s * SAMPLE_RATE_HZ)
    floor: Turn | None = None
    borders: list[int] = []
    for turn in _joined(turns, max_pause):
        if turn.end_sample - turn.start_sample < min_turn:
            continue
        if floor is None or turn.speaker == floor.speaker:
            end = turn.end_sample if floor is None else max(turn.end_sample, floor.end_sample)
            floor = replace(turn, end_sample=end)
        elif turn.end_sample > floor.end_sample:
            borders.append(_handover(turns, floor.end_sample, turn.start_sample))
            floor = turn
    return borders


def _handover(turns: Sequence[Turn], end: int, start: int) -> int:
    if start <= end:
        return (start + end) // 2
    edges, reached = [], end
    # A word from a third speaker in the pause is not cut either.
    for turn in sorted(turns, key=lambda t: (t.start_sample, t.end_sample)):
        if turn.end_sample > end and turn.start_sample < start:
            edges.append((reached, turn.start_sample))
            reached = max(reached, turn.end_sample)
    edges.append((reached, start))
    a, b = max(edges, key=lambda edge: (edge[1] - edge[0], -edge[0]))
    return (a + b) // 2


def _joined(turns: Sequence[Turn], max_pause: int) -> list[Turn]:
    """Turns in order of their start, those of one speaker joined over pauses of at most `max_pause` samples."""
    joined: dict[str, list[Turn]] = defaultdict(list)
    for turn in sorted(turns, key=lambda t: (t.start_sample, t.end_sample, t.speaker)):
        own = joined[turn.speaker]
        if own and turn.start_sample - own[-1].end_sample <= max_pause:
            own[-1] = replace(own[-1], end_sample=max(own[-1].end_sample, turn.end_sample))
        else:
            own.append(turn)
    return sorted(
        (turn for own in joined.values() for turn in own), key=lambda t: (t.start_sample, t.end_sample, t.speaker)
    )


def _speech_samples(turns: Sequence[Turn]) -> dict[str, int]:
    times: dict[str, int] = defaultdict(int)
    for turn in _joined(turns, 0):
        times[turn.speaker] += turn.end_sample - turn.start_sample
    return times
