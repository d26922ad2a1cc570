"""Clipping: where a recording was louder than what it was recorded with could hold.

A clipped wave has flat tops. They are looked for at the native rate and at the recording's own extremes, because
a clipped file that was turned down is still clipped, and a clean one that was turned up is not. MP3 and AAC
smear flat tops over a few percent of the amplitude, but leave a mark that clean speech has not: amplitudes grow
rarer towards the extreme, and then, at the level where the wave was cut, frequent again.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from stt_platform.audio import SAMPLE_RATE_HZ
from stt_platform.audio.vad import FRAME_SAMPLES

# One step of 16 bits, and a little for the rounding of float32.
_STEP = 1.01 / 32768
_SHORTEST_RUN = 3
# A clipped half-wave of 25 Hz is 20 ms long: what stays longer at one value is no sound.
_LONGEST_RUN_S = 0.02
# The top of a sine is round, and beside three samples within a step it has dropped by four steps at most.
_SHOULDER = 8 * _STEP
# A wave with hardly anything between its extremes is a square wave, not speech that was clipped.
_MOST_FLAT_TO_BODY = 2.0

# The bump also shows where tops are exactly flat, and then their count is better than the estimate.
_EXACT_SHARE = 0.5

_BINS_PER_UNIT = 4096
_FULL_SCALES = 2
_LEVELS = 50
_LOWEST_TOP = 0.02
_NEAR_PEAK = 0.85
_BUMP_TO_VALLEY = 2.0
_FALL = 0.8
_LEAST_BUMP = 2e-4
_LEAST_BUMP_SAMPLES = 40


@dataclass(frozen=True)
class Clipping:
    """How much of a recording is clipped, in the channel that has most of it.

    Attributes:
        samples: length of the recording at its native rate.
        clipped_samples: samples of that channel in flat tops; an estimate where a lossy codec smeared them.
        ratio: clipped_samples / samples, 0 to 1.
        longest_run_samples: the longest flat top; 0 where a lossy codec smeared them.
        level: the extreme amplitude of that channel, 1.0 being full scale.
        per_frame: float32 of shape `(frames,)`: share of clipped samples in each 32 ms, so that frame k lies
            over VAD frame k of the 16 kHz recording.
    """

    samples: int
    clipped_samples: int
    ratio: float
    longest_run_samples: int
    level: float
    per_frame: np.ndarray


class ClippingMeter:
    """Measures clipping from consecutive blocks of one recording at its native rate, in bounded memory."""

    def __init__(self) -> None:
        self._rate_hz = 0
        self._samples = 0
        self._first_frame = 0
        self._rest: np.ndarray | None = None
        self._sides: list[tuple[_Side, _Side]] = []

    def add(self, block: np.ndarray, rate_hz: int) -> None:
        """Append float32 samples of shape `(channels, n)`, full scale 1.0, at the rate of all blocks."""
        if self._rest is None:
            self._rate_hz = rate_hz
            self._rest = np.zeros((len(block), 0), np.float32)
            self._sides = [(_Side(1), _Side(-1)) for _ in block]
        elif rate_hz != self._rate_hz or len(block) != len(self._sides):
            raise ValueError(
                f"a block of {len(block)} channels at {rate_hz} Hz after {len(self._sides)} channels at "
                f"{self._rate_hz} Hz: give all blocks of one recording, as decode_blocks does"
            )
        self._samples += block.shape[1]
        self._rest = np.concatenate([self._rest, block], axis=1)
        known = self._frames_in(self._samples) - self._first_frame
        # A flat top may reach into the frame before and after, so both are there when a frame is judged.
        if known > 3:
            self._rest = self._judge(self._rest, known, last=False)

    def finish(self) -> Clipping:
        """The clipping of all that was added."""
        if self._rest is None:
            return Clipping(0, 0, 0.0, 0, 0.0, np.zeros(0, np.float32))
        frames = -(-self._samples * SAMPLE_RATE_HZ // (self._rate_hz * FRAME_SAMPLES))
        self._judge(self._rest, frames - self._first_frame, last=True)
        channels = [_of_channel(*sides) for sides in self._sides]
        worst = max(channels, key=lambda channel: channel.clipped.sum())
        edges = self._edges(0, frames)
        edges[-1] = self._samples
        lengths = np.maximum(np.diff(edges), 1)
        shares = np.max([channel.clipped for channel in channels], axis=0) / lengths
        clipped = round(float(worst.clipped.sum()))
        return Clipping(
            samples=self._samples,
            clipped_samples=clipped,
            ratio=clipped / max(self._samples, 1),
            longest_run_samples=worst.longest,
            level=worst.level,
            per_frame=np.minimum(shares, 1.0).astype(np.float32),
        )

    def _frames_in(self, samples: int) -> int:
        return samples * SAMPLE_RATE_HZ // (self._rate_hz * FRAME_SAMPLES)

    def _edges(self, first: int, last: int) -> np.ndarray:
        """First sample of each frame from `first` to `last`, both included."""
        return -(-np.arange(first, last + 1) * FRAME_SAMPLES * self._rate_hz // SAMPLE_RATE_HZ)

    def _judge(self, rest: np.ndarray, known: int, *, last: bool) -> np.ndarray:
        """Count the clipped samples of the known frames, and return what is needed with the next block."""
        edges = self._edges(self._first_frame, self._first_frame + known)
        start = edges[0]
        if last:
            edges[-1] = self._samples
        judged = slice(int(self._first_frame > 0), known if last else known - 1)
        for channel, sides in zip(rest[:, : edges[-1] - start], self._sides, strict=True):
            for side in sides:
                side.add(channel, edges - start, judged, round(_LONGEST_RUN_S * self._rate_hz))
        if last:
            return rest
        kept = known - 2
        self._first_frame += kept
        return rest[:, edges[kept] - start :].copy()


def clipped_ratio(per_frame: np.ndarray, start_sample: int, end_sample: int) -> float:
    """The share of clipped samples in a stretch of the 16 kHz recording.

    Args:
        per_frame: `Clipping.per_frame`.
        start_sample, end_sample: positions at 16 kHz; frames at the ends count by what of them lies inside.
    """
    if end_sample <= start_sample:
        return 0.0
    first, last = start_sample // FRAME_SAMPLES, -(-end_sample // FRAME_SAMPLES)
    shares = per_frame[first:last].astype(np.float64)
    starts = np.arange(first, first + len(shares)) * FRAME_SAMPLES
    inside = np.minimum(starts + FRAME_SAMPLES, end_sample) - np.maximum(starts, start_sample)
    return float(shares @ inside) / (end_sample - start_sample)


class _Side:
    """One polarity of one channel: its histogram, and what each frame has at its own peak."""

    def __init__(self, sign: int) -> None:
        self._sign = np.float32(sign)
        self.histogram = np.zeros(_FULL_SCALES * _BINS_PER_UNIT + 1, np.int64)
        self._frames: list[tuple[np.ndarray, ...]] = []

    def add(self, samples: np.ndarray, edges: np.ndarray, judged: slice, longest_run: int) -> None:
        wave = samples * self._sign
        lengths = np.diff(edges)
        # A rate below 32 Hz apart, every frame has samples; an empty one at the end would upset reduceat.
        starts = np.minimum(edges[:-1], max(len(wave) - 1, 0))
        if not len(wave):
            return
        peaks = np.maximum.reduceat(wave, starts)
        peak_of = np.repeat(peaks, lengths)
        runs = _flat_runs(wave, peak_of, longest_run)
        flat = np.add.reduceat(runs > 0, starts, dtype=np.int32)
        longest = np.maximum.reduceat(runs, starts)
        near = np.add.reduceat((wave >= _NEAR_PEAK * peak_of) & (peak_of > 0), starts, dtype=np.int32)
        self._frames.append(tuple(values[judged] for values in (peaks, flat, longest, near)))
        counted = wave[edges[judged.start] : edges[judged.stop]]
        bins = (counted[counted > 0] * np.float32(_BINS_PER_UNIT)).astype(np.int32)
        self.histogram += np.bincount(np.minimum(bins, len(self.histogram) - 1), minlength=len(self.histogram))

    def frames(self) -> tuple[np.ndarray, ...]:
        """Of each frame: the peak, the samples in flat tops at it, the longest of these, the samples near it."""
        if not self._frames:
            return tuple(np.zeros(0) for _ in range(4))
        return tuple(np.concatenate(values) for values in zip(*self._frames, strict=True))


@dataclass(frozen=True)
class _Channel:
    clipped: np.ndarray
    longest: int
    level: float


def _flat_runs(wave: np.ndarray, peak_of: np.ndarray, longest_run: int) -> np.ndarray:
    """For every sample the length of the flat top that it is in, else 0."""
    runs = np.zeros(len(wave), np.int32)
    top = np.flatnonzero((wave >= peak_of - np.float32(_STEP)) & (peak_of > 0))
    if not len(top):
        return runs
    breaks = np.flatnonzero(np.diff(top) > 1)
    firsts, lasts = top[np.append(0, breaks + 1)], top[np.append(breaks, len(top) - 1)]
    lengths = lasts - firsts + 1
    fits = (lengths >= _SHORTEST_RUN) & (lengths <= longest_run)
    firsts, lasts, lengths = firsts[fits], lasts[fits], lengths[fits]
    before = wave[firsts] - wave[np.maximum(firsts - 2, 0)]
    after = wave[lasts] - wave[np.minimum(lasts + 2, len(wave) - 1)]
    steep = np.maximum(before, after) >= _SHOULDER
    firsts, lengths = firsts[steep], lengths[steep]
    offsets = np.arange(lengths.sum()) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    runs[np.repeat(firsts, lengths) + offsets] = np.repeat(lengths, lengths)
    return runs


def _of_channel(plus: _Side, minus: _Side) -> _Channel:
    clipped, longest, level = np.zeros(len(plus.frames()[0])), 0, 0.0
    for side in (plus, minus):
        peaks, flat, longest_in, near = side.frames()
        top = float(peaks.max(initial=0.0))
        level = max(level, top)
        at_top = peaks >= top - _STEP
        flat = np.where(at_top, flat, 0).astype(np.float64)
        if flat.sum() > _MOST_FLAT_TO_BODY * _body(side.histogram, top):
            continue
        smeared = np.zeros_like(flat)
        bump = _bump(side.histogram)
        if bump:
            # Which frames the smeared samples lie in is known by what each has near its own peak.
            weights = np.where(peaks >= bump[0], near, 0).astype(np.float64)
            smeared = weights * (bump[1] / max(weights.sum(), 1.0))
        if flat.sum() >= _EXACT_SHARE * smeared.sum():
            clipped += flat
            longest = max(longest, int(longest_in[at_top].max(initial=0)) if flat.any() else 0)
        else:
            clipped += smeared
    return _Channel(clipped, longest, level)


def _body(histogram: np.ndarray, top: float) -> int:
    """Samples well between silence and the extreme."""
    return int(histogram[int(0.25 * top * _BINS_PER_UNIT) : int(0.95 * top * _BINS_PER_UNIT)].sum())


def _bump(histogram: np.ndarray) -> tuple[float, float] | None:
    """Where amplitudes grow frequent again towards the extreme: the lowest of them, and how many samples too many.

    Below the bump, amplitudes must grow rarer: those of a sine or an organ pipe do not.
    """
    total = int(histogram.sum())
    above = np.cumsum(histogram[::-1])[::-1]
    # A codec overshoots here and there: the few highest samples say nothing about where the wave was cut.
    top = int(np.searchsorted(-above, -max(3.0, 2e-5 * total), side="right")) / _BINS_PER_UNIT
    if top < _LOWEST_TOP:
        return None
    edges = np.rint(np.linspace(0, top, _LEVELS + 1) * _BINS_PER_UNIT).astype(int).clip(0, len(histogram) - 1)
    counts = np.add.reduceat(histogram, edges)[:-1].astype(np.float64)
    counts[-1] += histogram[edges[-1] :].sum()
    upper = _LEVELS // 2
    peak = upper + int(np.argmax(counts[upper:] * np.linspace(0.2, 1.0, _LEVELS - upper)))
    valley = max(peak - 10, 10) + int(np.argmin(counts[max(peak - 10, 10) : peak + 1]))
    lowest = counts[valley]
    middle = valley // 2
    falls = counts[valley - 4 : valley + 1].mean() < _FALL * counts[middle - 4 : middle + 5].mean()
    if not falls or counts[peak] < _BUMP_TO_VALLEY * max(lowest, 1.0):
        return None
    # Half of the valley's height goes on below the bump: clean amplitudes fall off towards the extreme.
    excess = counts[valley + 1 :].sum() - lowest * (peak - valley) / 2
    if excess < max(_LEAST_BUMP * total, _LEAST_BUMP_SAMPLES):
        return None
    return edges[valley + 1] / _BINS_PER_UNIT, excess
