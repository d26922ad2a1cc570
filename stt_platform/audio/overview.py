"""The shape of a long recording in little space: what a picture of it is drawn from.

For every 100 ms of a 16 kHz recording: the lowest and the highest sample, the level, and a spectrum of 64
bands of 125 Hz. That is 76 bytes a column, 5.5 MB for two hours. Levels are in dB relative to a full-scale
sine.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np

from stt_platform.audio import SAMPLE_RATE_HZ as RATE_HZ

COLUMN_SAMPLES = 1_600
BANDS = 64
FLOOR_DB = -120.0
_STEP_DB = 0.5
_BLOCK_SAMPLES = 600 * COLUMN_SAMPLES
_WINDOWS_PER_COLUMN = 8
_ARRAYS = ("minimum", "maximum", "rms", "spectrum_steps")


@dataclass(frozen=True)
class Overview:
    """A recording in columns of `column_samples` samples; the last column may stand for fewer.

    `minimum`, `maximum` and `rms` are float32 of shape `(columns,)`, full scale 1.0. `spectrum_steps` is
    uint8 of shape `(64, columns)`, lowest band first: half decibels above -120 dB. `samples` is the length
    of the recording.
    """

    minimum: np.ndarray
    maximum: np.ndarray
    rms: np.ndarray
    spectrum_steps: np.ndarray
    samples: int
    column_samples: float = COLUMN_SAMPLES

    @property
    def columns(self) -> int:
        return len(self.rms)

    @property
    def duration_s(self) -> float:
        return self.samples / RATE_HZ

    @property
    def spectrum_db(self) -> np.ndarray:
        """float32 of shape `(64, columns)`: level of each band in dB relative to a full-scale sine."""
        return self.spectrum_steps * np.float32(_STEP_DB) + np.float32(FLOOR_DB)

    def reduced(self, columns: int) -> Overview:
        """The same recording in at most `columns` columns; spectra are means in dB."""
        if columns < 1:
            raise ValueError(f"columns is {columns}: a picture needs at least 1")
        if self.columns <= columns:
            return self
        starts = np.arange(columns) * self.columns // columns
        counts = np.diff(starts, append=self.columns)
        sums = np.add.reduceat(self.spectrum_steps, starts, axis=1, dtype=np.float32)
        return Overview(
            minimum=np.minimum.reduceat(self.minimum, starts),
            maximum=np.maximum.reduceat(self.maximum, starts),
            rms=np.sqrt(np.add.reduceat(self.rms**2, starts) / counts),
            spectrum_steps=np.rint(sums / counts).astype(np.uint8),
            samples=self.samples,
            column_samples=self.column_samples * self.columns / columns,
        )

    def save(self, path: Path) -> None:
        """Write it as an .npz file: no compression, no time stamps, so that the bytes are always the same."""
        arrays = {name: getattr(self, name) for name in _ARRAYS}
        length = np.array([self.samples, self.column_samples], dtype=np.float64)
        # A file and not a name: savez appends .npz to a temporary name.
        with path.open("wb") as file:
            np.savez(file, allow_pickle=False, length=length, **arrays)

    @classmethod
    def load(cls, path: Path) -> Overview:
        """Read what `save` wrote.

        Raises:
            ValueError: the file is no overview.
        """
        try:
            with np.load(path, allow_pickle=False) as stored:
                samples, column_samples = stored["length"]
                arrays = {name: stored[name] for name in _ARRAYS}
        except (KeyError, ValueError, EOFError, BadZipFile) as error:
            raise ValueError(f"{path} is no overview of a recording: make the standard audio again") from error
        return cls(**arrays, samples=int(samples), column_samples=float(column_samples))


class OverviewBuilder:
    """Collects an `Overview` from consecutive pieces of one 16 kHz mono recording."""

    def __init__(self) -> None:
        self._samples = 0
        self._rest = np.zeros(0, np.float32)
        self._parts: list[tuple[np.ndarray, ...]] = []

    def add(self, samples: np.ndarray) -> None:
        """Append float32 samples of shape `(n,)`, any n."""
        self._samples += len(samples)
        samples = np.concatenate([self._rest, samples.astype(np.float32, copy=False)])
        whole = len(samples) // COLUMN_SAMPLES * COLUMN_SAMPLES
        self._rest = samples[whole:].copy()
        for start in range(0, whole, _BLOCK_SAMPLES):
            block = samples[start : min(start + _BLOCK_SAMPLES, whole)].reshape(-1, COLUMN_SAMPLES)
            self._parts.append(_columns(block))

    def finish(self) -> Overview:
        """The overview of all that was added."""
        parts = list(self._parts)
        if len(self._rest):
            parts.append(_columns(self._rest[np.newaxis]))
        if not parts:
            parts.append(_columns(np.zeros((0, COLUMN_SAMPLES), np.float32)))
        minimum, maximum, rms, spectra = (np.concatenate(column) for column in zip(*parts, strict=True))
        return Overview(minimum, maximum, rms, np.ascontiguousarray(spectra.T), self._samples)


class NativeOverviewBuilder:
    """Collects an `Overview` from consecutive blocks of a recording at its own rate, for a picture of it as it came.

    The channels are averaged, and the resampler is the fastest there is: this is for looking, not for listening.
    """

    def __init__(self) -> None:
        self._builder = OverviewBuilder()
        self._resampler: Any = None

    def add(self, block: np.ndarray, rate_hz: int) -> None:
        """Append float32 samples of shape `(channels, n)` at `rate_hz`, the same for every block."""
        import soxr

        if self._resampler is None:
            self._resampler = soxr.ResampleStream(rate_hz, RATE_HZ, 1, dtype="float32", quality="QQ")
        self._builder.add(self._resampler.resample_chunk(np.ascontiguousarray(block.mean(axis=0))))

    def finish(self) -> Overview:
        """The overview of all that was added."""
        if self._resampler is not None:
            self._builder.add(self._resampler.resample_chunk(np.zeros(0, np.float32), last=True))
        return self._builder.finish()


def overview_of(wav_path: Path) -> Overview:
    """The overview of a 16 kHz mono sound file, read in blocks.

    Raises:
        ValueError: the file is not 16 kHz mono.
    """
    import soundfile

    builder = OverviewBuilder()
    with soundfile.SoundFile(wav_path) as file:
        if (file.samplerate, file.channels) != (RATE_HZ, 1):
            raise ValueError(
                f"{wav_path.name!r} has {file.channels} channels at {file.samplerate} Hz: "
                f"an overview is made of 16 kHz mono, see standardise()"
            )
        for block in file.blocks(_BLOCK_SAMPLES, dtype="float32"):
            builder.add(block)
    return builder.finish()


def spectrogram_db(samples: np.ndarray, rate_hz: int, columns: int) -> np.ndarray:
    """The spectrum over time of a short stretch of sound, for a zoomed view.

    Hann windows of 32 ms or the next power of two. A column that is longer than its window is the mean
    power of up to 8 windows, evenly spaced in it.

    Args:
        samples: shape `(n,)`, full scale 1.0.
        rate_hz: their sample rate.
        columns: width of the result.

    Returns:
        float32 of shape `(bands, columns)` from 0 Hz to just below `rate_hz / 2`, lowest band first, in dB
        relative to a full-scale sine, not below -120. At 16 kHz there are 256 bands of 31.25 Hz.
    """
    if columns < 1:
        raise ValueError(f"columns is {columns}: a picture needs at least 1")
    window_samples = 1 << int(np.ceil(np.log2(0.032 * rate_hz)))
    hop_samples = len(samples) / columns
    per_column = int(np.clip(np.ceil(2 * hop_samples / window_samples), 1, _WINDOWS_PER_COLUMN))
    centres = (np.arange(columns * per_column) + 0.5) * hop_samples / per_column
    padded = np.pad(np.asarray(samples, dtype=np.float32), window_samples // 2)
    windows = np.lib.stride_tricks.sliding_window_view(padded, window_samples)[centres.astype(int)]
    power = _power(windows)[:, :-1].reshape(columns, per_column, -1).mean(axis=1)
    return np.ascontiguousarray(_db(power).T)


def _columns(block: np.ndarray) -> tuple[np.ndarray, ...]:
    """Minimum, maximum, rms and spectrum of each row of samples."""
    columns, length = block.shape
    if not columns:
        empty = np.zeros(0, np.float32)
        return empty, empty, empty, np.zeros((0, BANDS), np.uint8)
    rms = np.sqrt(np.mean(block.astype(np.float64) ** 2, axis=1)).astype(np.float32)
    padded = np.pad(block, ((0, 0), (0, COLUMN_SAMPLES - length)))
    edges = np.rint(np.arange(BANDS) * (COLUMN_SAMPLES // 2) / BANDS).astype(int)
    level_db = _db(np.add.reduceat(_power(padded)[:, :-1], edges, axis=1))
    steps = np.rint((level_db - FLOOR_DB) / _STEP_DB).clip(0, 255).astype(np.uint8)
    return block.min(axis=1), block.max(axis=1), rms, steps


def _power(windows: np.ndarray) -> np.ndarray:
    """Power of each frequency of each row, scaled so that a full-scale sine sums to 1 (Parseval)."""
    length = windows.shape[1]
    hann = np.hanning(length + 1)[:-1].astype(np.float32)
    spectrum = np.fft.rfft(windows * hann, axis=1)
    return (spectrum.real**2 + spectrum.imag**2) * np.float32(4 / (length * float(hann @ hann)))


def _db(power: np.ndarray) -> np.ndarray:
    return np.maximum(10 * np.log10(np.maximum(power, 1e-20)), np.float32(FLOOR_DB))
