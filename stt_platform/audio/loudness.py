"""How loud a recording is: integrated loudness and true peak, for arrays and for hours of sound in blocks.

Integrated loudness follows ITU-R BS.1770-4 and EBU R 128: K-weighting, blocks of 400 ms every 100 ms, an
absolute gate at -70 LUFS and a relative gate 10 LU below the mean. The filters are pyloudnorm's, and so is
the way the last block is counted, so that its figures and ours are the same. True peak follows Annex 2 of
the same recommendation, with eight times oversampling where it asks for at least four.

Arrays are `(n,)` or `(channels, n)`, full scale 1.0. Five channels are left, right, centre and the two
surrounds; six have the low-frequency channel as the fourth, which counts for nothing.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

SILENCE_DBTP = -120.0
"""The true peak of silence, and the lowest there is: a number that can be stored and drawn, unlike -inf."""

_CHANNEL_WEIGHTS = (1.0, 1.0, 1.0, 1.41, 1.41)
_CHANNEL_WEIGHTS_WITH_LFE = (1.0, 1.0, 1.0, 0.0, 1.41, 1.41)
_ABSOLUTE_GATE_LUFS = -70.0
_RELATIVE_GATE_LU = -10.0
_HOPS_PER_BLOCK = 4

_OVERSAMPLING = 8
_REACH_SAMPLES = 24
_SEGMENT_SAMPLES = 64
_SEGMENTS_AT_ONCE = 256


@dataclass(frozen=True)
class Loudness:
    """`integrated_lufs` is None for silence and for less than 400 ms; `true_peak_dbtp` is at least -120."""

    integrated_lufs: float | None
    true_peak_dbtp: float


def integrated_loudness_lufs(samples: np.ndarray, rate_hz: int) -> float | None:
    """The integrated loudness of a sound.

    Args:
        samples: `(n,)` or `(channels, n)`, 1 to 6 channels.
        rate_hz: their sample rate.

    Returns:
        LUFS, or None where every block is below -70 LUFS or the sound is shorter than one block of 400 ms.

    Raises:
        ValueError: more than six channels, as an array of shape `(n, channels)` seems to have.
    """
    samples = np.atleast_2d(samples)
    weighting = _KWeighting(rate_hz, len(samples))
    weighting.add(samples)
    return weighting.integrated_lufs()


def true_peak_dbtp(samples: np.ndarray, rate_hz: int) -> float:
    """The highest level that the sound reaches between its samples too, in dB relative to full scale.

    Args:
        samples: `(n,)` or `(channels, n)`; the highest channel counts.
        rate_hz: their sample rate; the peak of band-limited sound does not depend on it.

    Returns:
        dBTP, not below -120.

    Raises:
        ValueError: as `integrated_loudness_lufs`.
    """
    samples = np.atleast_2d(samples)
    _weights(len(samples))
    peak = _TruePeak(len(samples))
    peak.add(samples)
    return peak.finish_dbtp()


class LoudnessMeter:
    """Measures consecutive blocks of one recording; the result does not depend on how it is cut into blocks.

    It keeps one number for every 100 ms, so that hours take less than a megabyte.
    """

    def __init__(self, rate_hz: int, channels: int = 1) -> None:
        self._weighting = _KWeighting(rate_hz, channels)
        self._peak = _TruePeak(channels)

    def add(self, block: np.ndarray) -> None:
        """Append samples of shape `(n,)` or `(channels, n)`, any n."""
        block = np.atleast_2d(block)
        self._weighting.add(block)
        self._peak.add(block)

    def finish(self) -> Loudness:
        """The loudness and the true peak of all that was added."""
        return Loudness(self._weighting.integrated_lufs(), self._peak.finish_dbtp())

    def integrated_lufs_after(self, gain_db: float) -> float | None:
        """What the integrated loudness would be with a gain.

        That is not always the sum of the two: a gain lifts quiet blocks over the absolute gate, and so
        moves the relative gate too.
        """
        return self._weighting.integrated_lufs(gain_db)


class _KWeighting:
    """K-weighted energy in steps of 100 ms, summed over the channels."""

    def __init__(self, rate_hz: int, channels: int) -> None:
        self._rate_hz = rate_hz
        self._weights = _weights(channels)
        self._sections = _k_weighting(rate_hz)
        self._state = np.zeros((len(self._sections), channels, 2))
        self._samples = 0
        self._hops = 0
        self._rest = np.zeros(0)
        self._energies = [np.zeros(0)]

    def add(self, block: np.ndarray) -> None:
        from scipy.signal import sosfilt

        if not block.size:
            return
        filtered, self._state = sosfilt(self._sections, block.astype(np.float64), axis=-1, zi=self._state)
        power = np.concatenate((self._rest, self._weights @ np.square(filtered, out=filtered)))
        begin = self._samples - len(self._rest)
        self._samples += block.shape[1]
        hops = self._samples * 10 // self._rate_hz
        # A hop is 100 ms; where that is no whole number of samples, its borders are rounded down.
        borders = np.arange(self._hops, hops + 1) * self._rate_hz // 10 - begin
        if len(borders) > 1:
            self._energies.append(np.add.reduceat(power[: borders[-1]], borders[:-1]))
        self._hops = hops
        self._rest = power[borders[-1] :].copy()

    def integrated_lufs(self, gain_db: float = 0.0) -> float | None:
        if self._samples < 0.4 * self._rate_hz:
            return None
        energies = np.concatenate(self._energies)
        # pyloudnorm rounds the number of blocks: a last hop counts when more than half of it is there.
        if round(self._samples * 10 / self._rate_hz) > len(energies):
            energies = np.append(energies, self._rest.sum())
        blocks = np.convolve(energies, np.ones(_HOPS_PER_BLOCK), mode="valid") / (0.4 * self._rate_hz)
        return _gated_lufs(blocks * 10.0 ** (gain_db / 10.0))


def _gated_lufs(powers: np.ndarray) -> float | None:
    """Integrated loudness from the K-weighted power of the blocks."""
    loud = powers[powers >= _power(_ABSOLUTE_GATE_LUFS)]
    if not len(loud):
        return None
    gate = max(_power(_lufs(loud.mean()) + _RELATIVE_GATE_LU), _power(_ABSOLUTE_GATE_LUFS))
    above = powers[powers > gate]
    return _lufs(above.mean()) if len(above) else None


def _lufs(power: float) -> float:
    return -0.691 + 10.0 * math.log10(power)


def _power(lufs: float) -> float:
    return 10.0 ** ((lufs + 0.691) / 10.0)


def _weights(channels: int) -> np.ndarray:
    if not 1 <= channels <= 6:
        raise ValueError(
            f"{channels} channels: loudness is defined for one to six. The shape is (channels, n); "
            "transpose what soundfile reads."
        )
    return np.array(_CHANNEL_WEIGHTS_WITH_LFE if channels == 6 else _CHANNEL_WEIGHTS[:channels])


def _k_weighting(rate_hz: int) -> np.ndarray:
    """pyloudnorm's K-weighting as second-order sections, shape `(2, 6)`."""
    from pyloudnorm import Meter

    return np.array([np.concatenate((stage.b, stage.a)) for stage in Meter(rate_hz)._filters.values()])


class _TruePeak:
    """The highest value of a windowed-sinc interpolation, the sound taken as zero before and after.

    Only stretches that could hold a new maximum are interpolated: no value between samples is more than the
    sum of the filter's taps times the highest sample in its reach.
    """

    def __init__(self, channels: int) -> None:
        self._peak = 0.0
        self._interpolator = _interpolator()
        taps = self._interpolator[: 2 * _REACH_SAMPLES, : _OVERSAMPLING - 1]
        self._bound = float(np.abs(taps).sum(axis=0).max())
        self._context = np.zeros((channels, 2 * _REACH_SAMPLES - 1))

    def add(self, block: np.ndarray) -> None:
        joined = np.concatenate((self._context, block), axis=1)
        self._context = joined[:, -self._context.shape[1] :].copy()
        if block.size:
            self._peak = max(self._peak, float(np.abs(block).max()))
            for channel in joined:
                self._search(channel)

    def finish_dbtp(self) -> float:
        self.add(np.zeros_like(self._context))
        return max(20.0 * math.log10(self._peak), SILENCE_DBTP) if self._peak else SILENCE_DBTP

    def _search(self, channel: np.ndarray) -> None:
        """Interpolate between all samples of `channel` that have their whole reach in it."""
        gaps = len(channel) - 2 * _REACH_SAMPLES + 1
        segments = -(-gaps // _SEGMENT_SAMPLES)
        padded = np.zeros((segments + 1) * _SEGMENT_SAMPLES)
        padded[: len(channel)] = channel
        highest = np.abs(padded).reshape(-1, _SEGMENT_SAMPLES).max(axis=1)
        bounds = self._bound * np.maximum(highest[:-1], highest[1:])
        reaches = np.lib.stride_tricks.sliding_window_view(padded, len(self._interpolator))[::_SEGMENT_SAMPLES]
        order = np.argsort(-bounds, kind="stable")
        for first in range(0, len(order), _SEGMENTS_AT_ONCE):
            batch = order[first : first + _SEGMENTS_AT_ONCE]
            batch = batch[bounds[batch] > self._peak]
            if not len(batch):
                return
            self._peak = max(self._peak, float(np.abs(reaches[batch] @ self._interpolator).max()))


def _interpolator() -> np.ndarray:
    """What turns a segment and its reach into the values between its samples.

    Shape `(segment + 2 * reach - 1, segment * 7)`: one matrix product, whose columns are the shifted taps of
    a sinc under a Kaiser window, flat to 0.45 of the sample rate.
    """
    offsets = np.arange(2 * _REACH_SAMPLES) - (_REACH_SAMPLES - 1)
    distances = np.arange(1, _OVERSAMPLING)[:, None] / _OVERSAMPLING - offsets
    window = np.i0(8.0 * np.sqrt(1.0 - (distances / _REACH_SAMPLES) ** 2)) / np.i0(8.0)
    taps = (np.sinc(distances) * window).T
    matrix = np.zeros((_SEGMENT_SAMPLES + 2 * _REACH_SAMPLES - 1, _SEGMENT_SAMPLES * (_OVERSAMPLING - 1)))
    for sample in range(_SEGMENT_SAMPLES):
        columns = slice(sample * (_OVERSAMPLING - 1), (sample + 1) * (_OVERSAMPLING - 1))
        matrix[sample : sample + len(taps), columns] = taps
    return matrix
