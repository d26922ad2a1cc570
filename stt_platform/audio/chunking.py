"""Cutting a recording into chunks of 1 to 30 seconds, in the pauses between words.

Which pauses to cut at is one shortest-path problem per stretch of speech: a cut costs less the longer its
pause is, a chunk costs more the further its length is from the target. Speech that goes on for longer than a
chunk may be, without a pause, is cut where it is least likely and quietest; such chunks are flagged, because a
word may be cut with them.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from stt_platform.audio.vad import FRAME_SAMPLES, SAMPLE_RATE_HZ, Region, speech_regions

MIN_CUT_PAUSE_MS = 64
"""Shorter dips of the probability are parts of words (the closure of a plosive), and no place to cut."""

# After silence, Silero notices a voice up to 0.3 s late, and the first word would lose its beginning. A start
# moves back by 0.4 s at most, over dips of up to 64 ms; the noise is that of the 2 s before, the level that of
# the first 0.5 s.
_LATEST_ONSET_FRAMES = 12
_MAX_CLOSURE_FRAMES = 2
_NOISE_FRAMES = 62
_LEVEL_FRAMES = 16

# Where music begins or a speaker ends is known to some tenths of a second; a word is not to be cut for that.
_BORDER_FREEDOM_SAMPLES = SAMPLE_RATE_HZ // 2

# Costs of the shortest path. A pause of _PAUSE_SCALE_S costs 1/e of a cut without a pause; a chunk that is
# empty or twice the target costs 1. A cut inside speech costs more than all that pauses can save, and
# losing speech to a chunk that is too short costs more than a cut inside speech.
_PAUSE_SCALE_S = 0.3
_CUT_IN_SPEECH_COST = 10.0
_TOO_SHORT_COST = 1000.0


@dataclass(frozen=True)
class Chunk:
    """A piece of a recording, `start_sample` inclusive and `end_sample` exclusive.

    Attributes:
        silence_ratio: share of the chunk's samples in frames that are not speech, 0 to 1.
        forced_cut: an end of the chunk lies inside speech, and may cut a word.
        status: 'accepted' or 'rejected'.
        reason: why it was rejected, else None.
        gate: the kind of refusal, one of `gates.GATES`, else None.
    """

    start_sample: int
    end_sample: int
    silence_ratio: float
    forced_cut: bool
    status: str
    reason: str | None
    gate: str | None = None


@dataclass(frozen=True)
class _Stretch:
    """Speech between two places where a cut is mandatory, and how far its padding may reach."""

    regions: list[Region]
    start_limit: int
    end_limit: int
    starts_in_speech: bool
    ends_in_speech: bool


@dataclass(frozen=True)
class _Cuts:
    """Places where a stretch may be cut, in order: the chunk before ends at `ends`, the one after begins at
    `starts`. The first and the last are the ends of the stretch."""

    ends: np.ndarray
    starts: np.ndarray
    costs: np.ndarray
    in_speech: np.ndarray


def cut_chunks(
    probabilities: np.ndarray,
    energies_db: np.ndarray,
    *,
    total_samples: int,
    threshold: float = 0.5,
    neg_threshold: float | None = None,
    min_speech_ms: int = 500,
    min_silence_ms: int = 300,
    padding_s: float = 0.1,
    min_s: float = 1.0,
    max_s: float = 30.0,
    target_s: float = 15.0,
    max_inner_pause_s: float = 2.0,
    borders: Iterable[int] = (),
) -> list[Chunk]:
    """Chunks that hold all the speech of a recording.

    Args:
        probabilities: speech probability of each frame of 512 samples, shape `(frames,)`.
        energies_db: mean power of the same frames in dB, shape `(frames,)`.
        total_samples: length of the recording at 16 kHz.
        threshold, neg_threshold: see `speech_regions`.
        min_speech_ms: a chunk with less speech in it is rejected.
        min_silence_ms: pauses from this length on are cut before shorter ones.
        padding_s: audio kept before and after the speech, up to the middle of the pause.
        min_s, max_s: length of an accepted chunk, padding included.
        target_s: the length that chunks get where the pauses leave a choice.
        max_inner_pause_s: a longer pause is never inside a chunk.
        borders: sample positions (of speakers, of music) that no chunk crosses.

    Returns:
        Accepted and rejected chunks in order; none overlap, and what is in none is not speech.

    Raises:
        ValueError: the arrays or the limits do not fit together.
    """
    _check(probabilities, energies_db, total_samples, padding_s, min_s, max_s, target_s, max_inner_pause_s)
    regions = speech_regions(
        probabilities,
        total_samples=total_samples,
        threshold=threshold,
        neg_threshold=neg_threshold,
        min_speech_ms=0,
        min_silence_ms=min(min_silence_ms, MIN_CUT_PAUSE_MS),
    )
    regions = _with_whole_onsets(regions, energies_db)
    padding = round(padding_s * SAMPLE_RATE_HZ)
    min_samples, max_samples = round(min_s * SAMPLE_RATE_HZ), round(max_s * SAMPLE_RATE_HZ)
    target_samples = round(target_s * SAMPLE_RATE_HZ)
    speech_before = _speech_before(probabilities >= threshold, total_samples)

    chunks: list[Chunk] = []
    max_pause = round(max_inner_pause_s * SAMPLE_RATE_HZ)
    for stretch in _stretches(regions, sorted(set(borders)), max_pause, total_samples):
        cuts = _cuts_in_pauses(stretch, padding, min_silence_ms)
        path = _cheapest_path(cuts, min_samples, max_samples, target_samples, too_short_cost=np.inf)
        if not path:
            cuts = _with_cuts_in_speech(cuts, stretch, probabilities, energies_db)
            path = _cheapest_path(cuts, min_samples, max_samples, target_samples, _TOO_SHORT_COST)
        for i, j in pairwise(path):
            start, end = int(cuts.starts[i]), int(cuts.ends[j])
            speech_samples = speech_before(end) - speech_before(start)
            reason, gate = None, None
            if end - start < min_samples:
                reason, gate = f"shorter than {min_s:g} s", "duration"
            elif speech_samples * 1000 < min_speech_ms * SAMPLE_RATE_HZ:
                reason, gate = f"less than {min_speech_ms / 1000:g} s of speech in it", "speech"
            chunks.append(
                Chunk(
                    start_sample=start,
                    end_sample=end,
                    silence_ratio=1.0 - speech_samples / (end - start),
                    forced_cut=bool(cuts.in_speech[i] or cuts.in_speech[j]),
                    status="accepted" if reason is None else "rejected",
                    reason=reason,
                    gate=gate,
                )
            )
    return chunks


def borders_in_pauses(borders: Iterable[int], probabilities: np.ndarray, *, total_samples: int) -> list[int]:
    """Borders of speakers and of music, for `cut_chunks`: those in speech moved to a pause within half a second.

    Where there is no pause so near, a border stays, and cuts the speech.
    """
    regions = speech_regions(
        probabilities, total_samples=total_samples, min_speech_ms=0, min_silence_ms=MIN_CUT_PAUSE_MS
    )
    return sorted({_in_a_pause(border, regions) for border in borders})


def _in_a_pause(border: int, regions: list[Region]) -> int:
    """Return the border, or the middle of the nearest pause where it lies in speech and one is within half a second."""
    k = bisect_left([region.end_sample for region in regions], border)
    if k == len(regions) or regions[k].start_sample >= border:
        return border
    ends = [region.end_sample for region in regions[max(k - 1, 0) : k]]
    starts = [region.start_sample for region in regions[k + 1 : k + 2]]
    before = [(end + regions[k].start_sample) // 2 for end in ends]
    after = [(regions[k].end_sample + start) // 2 for start in starts]
    nearest = min([*before, *after], key=lambda place: abs(place - border), default=border)
    return nearest if abs(nearest - border) <= _BORDER_FREEDOM_SAMPLES else border


def _check(probabilities, energies_db, total_samples, padding_s, min_s, max_s, target_s, max_inner_pause_s):
    frames = -(-total_samples // FRAME_SAMPLES)
    if probabilities.shape != (frames,) or energies_db.shape != (frames,):
        raise ValueError(
            f"{total_samples} samples are {frames} frames of {FRAME_SAMPLES}, but there are "
            f"{probabilities.shape[0]} probabilities and {energies_db.shape[0]} energies; "
            "compute both from this recording."
        )
    if padding_s < 0 or not 0 < min_s <= target_s <= max_s:
        raise ValueError(
            f"padding_s={padding_s}, min_s={min_s}, target_s={target_s}, max_s={max_s}: padding must not be "
            "negative, and 0 < min_s <= target_s <= max_s."
        )
    if max_s < 2 * min_s + max_inner_pause_s:
        raise ValueError(
            f"max_s={max_s} leaves no room for a cut: it must be at least 2 * min_s + max_inner_pause_s = "
            f"{2 * min_s + max_inner_pause_s}."
        )


def _speech_before(is_speech: np.ndarray, total_samples: int):
    """A function from a sample position to the number of speech samples before it."""
    flags = np.append(is_speech, False)
    counts = np.concatenate(([0], np.cumsum(is_speech, dtype=np.int64) * FRAME_SAMPLES))

    def before(sample: int) -> int:
        frame, rest = divmod(min(sample, total_samples), FRAME_SAMPLES)
        return int(counts[frame]) + rest * int(flags[frame])

    return before


def _with_whole_onsets(regions: list[Region], energies_db: np.ndarray) -> list[Region]:
    """Regions whose starts are moved back over the loud frames right before them, by 0.4 s at most.

    Loud is what lies above the middle, in dB, between the noise of the pause and the level of the speech.
    """
    moved: list[Region] = []
    for region in regions:
        before = moved[-1].end_sample if moved else 0
        start = region.start_sample // FRAME_SAMPLES
        # Never beyond the middle of the pause: the padding of the chunk before may reach there.
        middle = -(-(before + region.start_sample) // (2 * FRAME_SAMPLES)) if moved else 0
        earliest = max(middle, start - _LATEST_ONSET_FRAMES)
        noise_frames = energies_db[max(before // FRAME_SAMPLES, start - _NOISE_FRAMES) : start]
        onset = start
        if noise_frames.size:
            level = np.median(energies_db[start : start + _LEVEL_FRAMES])
            limit = (np.percentile(noise_frames, 10) + level) / 2
            for frame in range(start - 1, earliest - 1, -1):
                if energies_db[frame] > limit:
                    onset = frame
                elif onset - frame > _MAX_CLOSURE_FRAMES:
                    break
        moved.append(Region(min(onset * FRAME_SAMPLES, region.start_sample), region.end_sample))
    return moved


def _stretches(regions: list[Region], borders: list[int], max_pause: int, total_samples: int) -> list[_Stretch]:
    pieces: list[Region] = []
    for region in regions:
        inside = [b for b in borders if region.start_sample < b < region.end_sample]
        edges = [region.start_sample, *inside, region.end_sample]
        pieces += [Region(a, b) for a, b in pairwise(edges)]

    stretches: list[_Stretch] = []
    current: list[Region] = []
    start_limit, starts_in_speech = 0, False
    for piece in pieces:
        if current:
            pause_start, pause_end = current[-1].end_sample, piece.start_sample
            between = [b for b in borders if pause_start <= b <= pause_end]
            if between or pause_end - pause_start > max_pause:
                middle = (pause_start + pause_end) // 2
                end_limit = min([middle, *between[:1]])
                in_speech = pause_start == pause_end
                stretches.append(_Stretch(current, start_limit, end_limit, starts_in_speech, in_speech))
                current, start_limit, starts_in_speech = [], max([middle, *between[-1:]]), in_speech
        else:
            start_limit = max([0, *(b for b in borders if b <= piece.start_sample)])
        current.append(piece)
    if current:
        last = current[-1].end_sample
        end_limit = min([total_samples, *(b for b in borders if b >= last)])
        stretches.append(_Stretch(current, start_limit, end_limit, starts_in_speech, False))
    return stretches


def _cuts_in_pauses(stretch: _Stretch, padding: int, min_silence_ms: int) -> _Cuts:
    first, last = stretch.regions[0].start_sample, stretch.regions[-1].end_sample
    pause_starts = np.array([r.end_sample for r in stretch.regions[:-1]], dtype=np.int64)
    pause_ends = np.array([r.start_sample for r in stretch.regions[1:]], dtype=np.int64)
    middles = (pause_starts + pause_ends) // 2
    pauses_s = (pause_ends - pause_starts) / SAMPLE_RATE_HZ
    costs = np.exp(-pauses_s / _PAUSE_SCALE_S) + (pauses_s * 1000 < min_silence_ms)
    start = max(first - padding, stretch.start_limit)
    end = min(last + padding, stretch.end_limit)
    return _Cuts(
        ends=np.concatenate(([start], np.minimum(pause_starts + padding, middles), [end])),
        starts=np.concatenate(([start], np.maximum(pause_ends - padding, middles), [end])),
        costs=np.concatenate(([0.0], costs, [0.0])),
        in_speech=np.array([stretch.starts_in_speech, *[False] * len(middles), stretch.ends_in_speech]),
    )


def _with_cuts_in_speech(cuts: _Cuts, stretch: _Stretch, probabilities: np.ndarray, energies_db: np.ndarray) -> _Cuts:
    frames = np.concatenate(
        [np.arange(-(-r.start_sample // FRAME_SAMPLES), r.end_sample // FRAME_SAMPLES) for r in stretch.regions]
    )
    energies = energies_db[frames].astype(np.float64)
    loudness = (energies - energies.min()) / max(float(np.ptp(energies)), 1e-9)
    middles = frames * FRAME_SAMPLES + FRAME_SAMPLES // 2
    ends = np.concatenate((cuts.ends, middles))
    starts = np.concatenate((cuts.starts, middles))
    costs = np.concatenate((cuts.costs, _CUT_IN_SPEECH_COST + probabilities[frames] + loudness))
    in_speech = np.concatenate((cuts.in_speech, np.ones(frames.size, dtype=bool)))
    # The ends of the stretch keep their places; they lie outside of all the others.
    order = np.lexsort((ends, starts))
    return _Cuts(ends[order], starts[order], costs[order], in_speech[order])


def _cheapest_path(
    cuts: _Cuts, min_samples: int, max_samples: int, target_samples: int, too_short_cost: float
) -> list[int]:
    """Return the indices of the cuts that make the cheapest chunks; none if no chunks of these lengths exist.

    Dynamic programming over the cuts in order; each looks back over those within one chunk's length.
    """
    count = cuts.ends.size
    best = np.full(count, np.inf)
    best[0] = 0.0
    previous = np.zeros(count, dtype=np.int64)
    starts = cuts.starts.tolist()
    for j in range(1, count):
        end = int(cuts.ends[j])
        i = bisect_left(starts, end - max_samples)
        if i >= j:
            continue
        lengths = end - cuts.starts[i:j]
        totals = best[i:j] + ((lengths - target_samples) / target_samples) ** 2
        totals = np.where(lengths < min_samples, totals + too_short_cost, totals)
        totals[lengths <= 0] = np.inf
        k = int(np.argmin(totals))
        best[j] = totals[k] + cuts.costs[j]
        previous[j] = i + k
    if not np.isfinite(best[-1]) and too_short_cost == np.inf:
        # A stretch that is shorter than a chunk as a whole stays in one piece.
        if cuts.ends[-1] - cuts.starts[0] < min_samples:
            return [0, count - 1]
        return []
    path = [count - 1]
    while path[-1] != 0:
        path.append(int(previous[path[-1]]))
    return path[::-1]
