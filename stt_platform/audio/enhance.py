"""The enhanced view of a recording: background turned down, rumble taken out, one level for the whole of it."""

from __future__ import annotations

import math
import os
import tempfile
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO

import numpy as np

from stt_platform.audio import SAMPLE_RATE_HZ
from stt_platform.audio.loudness import Loudness, LoudnessMeter

# noisereduce cuts what it gets into chunks of this size, each with this padding, and its result depends on
# both. They are its defaults, so that our pieces are the very ones of a single call on the whole recording.
_PIECE_SAMPLES = 600_000
_PADDING_SAMPLES = 30_000
# Each takes 180 MB. Pieces do not depend on each other: the number of threads does not change a bit.
_MAX_THREADS = 4
_BLOCK_SAMPLES = 1 << 20


@dataclass(frozen=True)
class Enhancement:
    """What was done to the level of a recording, and what came of it.

    Attributes:
        loudness_before_lufs: integrated loudness after noise reduction and high-pass, before the gain; None
            for silence and for less than 400 ms.
        gain_db: the one gain of the whole recording.
        loudness_lufs: integrated loudness of the written file; None as above.
        true_peak_dbtp: true peak of the written file, -120 for silence.
        loudness_shortfall_db: how far the written file stays below the target, because more gain would have
            put a peak over the limit; 0.0 where the target is met, and for silence.
    """

    loudness_before_lufs: float | None
    gain_db: float
    loudness_lufs: float | None
    true_peak_dbtp: float
    loudness_shortfall_db: float


def enhance(
    wav_in: Path,
    wav_out: Path,
    *,
    prop_decrease: float = 0.7,
    n_fft: int = 512,
    stationary: bool = False,
    highpass_hz: float = 80.0,
    target_lufs: float = -16.0,
    max_true_peak_dbtp: float = -1.0,
    progress: Callable[[float], None] | None = None,
) -> Enhancement:
    """Write a denoised, high-passed and levelled copy of a recording, sample for sample on the same time line.

    1. Noise reduction by spectral gating (noisereduce; Sainburg et al., 2020): the same samples as one call on the
       whole recording gives.
    2. A second-order Butterworth high-pass, as ffmpeg's. It is causal; its group delay is 2.8 ms at 80 Hz and
       0.2 ms (3 samples) at 300 Hz, and less above: far below the 32 ms of a VAD frame. There is no low-pass
       at 8 kHz: that is the Nyquist frequency of 16 kHz audio, where nothing is left to remove and no filter
       can be designed.
    3. One gain for all samples, towards `target_lufs`, but never so high that the true peak passes
       `max_true_peak_dbtp`. Nothing is limited, clipped or compressed: where both cannot be had, the level
       gives way, and the result says by how much.

    The same file gives the same bytes. Memory does not grow with the length; a temporary file of twice the
    size of `wav_in` lies in the folder of `wav_out` meanwhile, and goes away with the process at the latest.

    Args:
        wav_in: a 16 kHz mono audio file of any length.
        wav_out: the 16-bit WAV file to write; the caller sees to it that a half-written one is never seen.
        prop_decrease: how much of the noise to take away, 0 to 1.
        n_fft: window of the spectral gate in samples.
        stationary: take the noise as constant (measured over the first 37.5 s) instead of following it.
        progress: called with the seconds denoised so far.

    Raises:
        ValueError: the file is not 16 kHz mono, or a parameter is out of its range.
    """
    _check_parameters(prop_decrease, highpass_hz, target_lufs, max_true_peak_dbtp)
    # Unlinked from the start: no error and no kill leaves it behind.
    with tempfile.TemporaryFile(dir=wav_out.parent) as kept:
        meter = LoudnessMeter(SAMPLE_RATE_HZ)
        samples = 0
        gate = {"prop_decrease": prop_decrease, "n_fft": n_fft, "stationary": stationary}
        for piece in _highpassed(_denoised(wav_in, gate), highpass_hz):
            meter.add(piece)
            kept.write(piece.tobytes())
            samples += len(piece)
            if progress:
                progress(samples / SAMPLE_RATE_HZ)
        before = meter.finish()
        wanted_db = _gain_to(target_lufs, meter)
        gain_db = min(wanted_db, max_true_peak_dbtp - before.true_peak_dbtp)
        kept.seek(0)
        written = _write(kept, wav_out, gain_db)

    loudness_lufs = written.integrated_lufs
    shortfall_db = 0.0
    if gain_db < wanted_db and loudness_lufs is not None:
        shortfall_db = max(0.0, target_lufs - loudness_lufs)
    return Enhancement(
        loudness_before_lufs=before.integrated_lufs,
        gain_db=gain_db,
        loudness_lufs=loudness_lufs,
        true_peak_dbtp=written.true_peak_dbtp,
        loudness_shortfall_db=shortfall_db,
    )


def _check_parameters(prop_decrease: float, highpass_hz: float, target_lufs: float, max_true_peak_dbtp: float) -> None:
    if not 0.0 <= prop_decrease <= 1.0:
        raise ValueError(f"prop_decrease is {prop_decrease}: it is a share, from 0 to 1")
    if not 0.0 < highpass_hz < SAMPLE_RATE_HZ / 2:
        raise ValueError(f"highpass_hz is {highpass_hz}: it must lie between 0 and {SAMPLE_RATE_HZ // 2} Hz")
    if not -70.0 < target_lufs < 0.0:
        raise ValueError(f"target_lufs is {target_lufs}: it must lie between -70 (silence) and 0")
    if not max_true_peak_dbtp <= -0.1:
        raise ValueError(f"max_true_peak_dbtp is {max_true_peak_dbtp}: above -0.1 the 16-bit file could clip")


def _denoised(wav_in: Path, gate: dict) -> Iterator[np.ndarray]:
    """Yield the recording after the spectral gate, float32, in consecutive pieces."""
    import soundfile

    with soundfile.SoundFile(wav_in) as audio:
        if (audio.samplerate, audio.channels) != (SAMPLE_RATE_HZ, 1):
            raise ValueError(
                f"{wav_in.name!r} has {audio.channels} channels at {audio.samplerate} Hz: enhancement needs "
                f"{SAMPLE_RATE_HZ} Hz mono. Give the file of the standard_audio stage."
            )
        total = audio.frames
        # The library fills up the last chunk of many, but not a chunk that is the only one.
        size = min(_PIECE_SAMPLES, total)
        noise = _read(audio, 0, max(size, gate["n_fft"])) if gate["stationary"] else None
        reduce = partial(_reduce_noise, y_noise=noise, **gate)
        threads = min(_MAX_THREADS, len(os.sched_getaffinity(0)))
        waiting: deque[tuple[int, Future[np.ndarray]]] = deque()
        with ThreadPoolExecutor(threads) as pool:
            for start in range(0, total, _PIECE_SAMPLES):
                padded = _read(audio, start - _PADDING_SAMPLES, start + size + _PADDING_SAMPLES)
                waiting.append((min(size, total - start), pool.submit(reduce, padded)))
                if len(waiting) > threads:
                    length, piece = waiting.popleft()
                    yield piece.result()[:length]
            for length, piece in waiting:
                yield piece.result()[:length]


def _read(audio, start_sample: int, end_sample: int) -> np.ndarray:
    """Read samples of a sound file; zeros where it has none."""
    samples = np.zeros(end_sample - start_sample, np.float32)
    first = max(start_sample, 0)
    audio.seek(first)
    found = audio.read(min(end_sample, audio.frames) - first, dtype="float32")
    samples[first - start_sample :][: len(found)] = found
    return samples


def _reduce_noise(padded: np.ndarray, **gate) -> np.ndarray:
    """One padded piece through the library, without its padding."""
    from noisereduce import reduce_noise

    inner = padded[_PADDING_SAMPLES:-_PADDING_SAMPLES]
    if not padded.any():
        return inner
    with np.errstate(divide="ignore", invalid="ignore"):
        reduced = reduce_noise(y=padded, sr=SAMPLE_RATE_HZ, chunk_size=None, padding=0, **gate)
    reduced = reduced[_PADDING_SAMPLES:-_PADDING_SAMPLES]
    # A frequency with no energy at all divides by zero, and the mask spreads that over the piece. Real sound
    # has none; what has one (a constant, say) holds no noise to reduce.
    return reduced if np.isfinite(reduced).all() else inner


def _highpassed(pieces: Iterator[np.ndarray], cutoff_hz: float) -> Iterator[np.ndarray]:
    from scipy.signal import butter, sosfilt

    sections = butter(2, cutoff_hz, "highpass", fs=SAMPLE_RATE_HZ, output="sos")
    state = np.zeros((len(sections), 2))
    for piece in pieces:
        filtered, state = sosfilt(sections, piece.astype(np.float64), zi=state)
        yield filtered.astype(np.float32)


def _gain_to(target_lufs: float, meter: LoudnessMeter) -> float:
    """Return the gain in dB that brings a recording to a loudness; 0.0 where it has none."""
    gain_db, step_db = 0.0, math.inf
    # A gain moves blocks over the absolute gate, so that the first step may miss. More gain only ever lets
    # quieter blocks in: the steps go one way, and end when no more blocks change sides.
    while abs(step_db) > 1e-6:
        loudness = meter.integrated_lufs_after(gain_db)
        if loudness is None:
            return 0.0
        step_db = target_lufs - loudness
        gain_db += step_db
    return gain_db


def _write(kept: IO[bytes], wav_out: Path, gain_db: float) -> Loudness:
    """Write float32 samples with a gain as 16-bit WAV, and measure what was written."""
    import soundfile

    gain = 10.0 ** (gain_db / 20.0)
    meter = LoudnessMeter(SAMPLE_RATE_HZ)
    with soundfile.SoundFile(wav_out, "w", SAMPLE_RATE_HZ, 1, format="WAV", subtype="PCM_16") as out:
        while block := kept.read(4 * _BLOCK_SAMPLES):
            steps = np.rint(np.frombuffer(block, np.float32) * (gain * 32768.0)).astype(np.int16)
            out.write(steps)
            meter.add(steps / 32768.0)
    return meter.finish()
