"""Where in a recording someone speaks: Silero VAD over 16 kHz mono audio, and regions from its probabilities.

Inference and decision are apart: the probabilities are kept, so that new thresholds need no new inference.
The packaged ONNX file is driven directly, because importing `silero_vad` imports torch and sets it to one
thread for the whole process.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from stt_platform.audio import SAMPLE_RATE_HZ

FRAME_SAMPLES = 512
"""One probability stands for 512 samples, 32 ms at 16 kHz."""

VAD_MODEL = "silero-vad 6.2.3, silero_vad_16k_sequence.onnx"
"""Goes into the hash of everything made from the probabilities."""

_MODEL_FILE = "silero_vad_16k_sequence.onnx"
_CONTEXT_SAMPLES = 64
_BLOCK_FRAMES = 512
_SILENCE_FLOOR_DB = -120.0


@dataclass(frozen=True)
class Region:
    """A stretch of speech, `start_sample` inclusive and `end_sample` exclusive."""

    start_sample: int
    end_sample: int


def speech_probabilities(wav_path: Path, progress: Callable[[float], None] | None = None) -> np.ndarray:
    """Detect speech (Silero VAD): its probability in each frame of a 16 kHz mono recording.

    Args:
        wav_path: a 16 kHz mono audio file of any length; it is read in blocks.
        progress: called with the seconds read so far.

    Returns:
        float32 of shape `(ceil(samples / 512),)`; the last frame is filled up with silence.

    Raises:
        ValueError: the file is not 16 kHz mono.
    """
    return probabilities_of_blocks(_told(_blocks(wav_path), progress))


def _told(blocks: Iterable[np.ndarray], progress: Callable[[float], None] | None) -> Iterator[np.ndarray]:
    read = 0
    for block in blocks:
        yield block
        read += block.size
        if progress:
            progress(read / SAMPLE_RATE_HZ)


def probabilities_of_blocks(blocks: Iterable[np.ndarray]) -> np.ndarray:
    """Detect speech in consecutive pieces of one recording, as if it were in one piece.

    Args:
        blocks: float32 samples in [-1, 1] at 16 kHz; all but the last hold whole frames of 512 samples.

    Returns:
        float32 of shape `(frames,)`.
    """
    session = _session()
    context = np.zeros(_CONTEXT_SAMPLES, dtype=np.float32)
    hidden = np.zeros((1, 1, 128), dtype=np.float32)
    cell = np.zeros((1, 1, 128), dtype=np.float32)
    probabilities = [np.zeros(0, dtype=np.float32)]
    for block in blocks:
        frames = _frames(block)
        # The model wants each frame behind the last 64 samples of the one before it.
        contexts = np.concatenate((context[None], frames[:-1, -_CONTEXT_SAMPLES:]))
        context = frames[-1, -_CONTEXT_SAMPLES:]
        values, hidden, cell = session.run(
            ["speech_probs", "hn", "cn"],
            {"input": np.concatenate((contexts, frames), axis=1), "h": hidden, "c": cell},
        )
        probabilities.append(values.reshape(-1))
    return np.concatenate(probabilities)


def frame_energies_db(wav_path: Path) -> np.ndarray:
    """Measure the mean power of each VAD frame of a 16 kHz mono recording, in dB relative to full scale.

    Returns:
        float32 of shape `(ceil(samples / 512),)`, never below -120 dB.
    """
    return energies_of_blocks(_blocks(wav_path))


def energies_of_blocks(blocks: Iterable[np.ndarray]) -> np.ndarray:
    """Measure the energies of consecutive pieces of one recording, as `frame_energies_db` gives them for a file.

    Args:
        blocks: float32 samples in [-1, 1] at 16 kHz; all but the last hold whole frames of 512 samples.
    """
    floor = 10.0 ** (_SILENCE_FLOOR_DB / 10.0)
    energies = [np.zeros(0, dtype=np.float32)]
    for block in blocks:
        power = np.mean(np.square(_frames(block), dtype=np.float64), axis=1)
        energies.append((10.0 * np.log10(np.maximum(power, floor))).astype(np.float32))
    return np.concatenate(energies)


def speech_regions(
    probabilities: np.ndarray,
    *,
    total_samples: int,
    threshold: float = 0.5,
    neg_threshold: float | None = None,
    min_speech_ms: int = 500,
    min_silence_ms: int = 300,
) -> list[Region]:
    """Speech regions by hysteresis, as `silero_vad.get_speech_timestamps_from_probs` finds them without padding.

    A region starts at the first frame at or above `threshold` and ends where the probability falls below
    `neg_threshold` and does not come back to `threshold` within `min_silence_ms`.

    Args:
        probabilities: shape `(frames,)`, one per 512 samples.
        total_samples: length of the recording; the last region never ends after it.
        neg_threshold: `threshold` - 0.15, and at least 0.01, when not given.
        min_speech_ms: regions that are not longer than this are left out.
        min_silence_ms: shorter pauses do not end a region.

    Returns:
        Regions in order, none overlapping.
    """
    if neg_threshold is None:
        neg_threshold = max(threshold - 0.15, 0.01)
    min_silence_samples = SAMPLE_RATE_HZ * min_silence_ms / 1000
    min_speech_samples = SAMPLE_RATE_HZ * min_speech_ms / 1000

    # Frames between the two thresholds change nothing: that is the hysteresis.
    decided = np.flatnonzero((probabilities >= threshold) | (probabilities < neg_threshold))
    is_speech = probabilities[decided] >= threshold
    run_firsts = np.flatnonzero(np.diff(is_speech, prepend=~is_speech[:1]))
    run_lasts = np.append(run_firsts, is_speech.size)[1:] - 1

    regions: list[Region] = []
    start: int | None = None
    for first, last in zip(run_firsts, run_lasts, strict=True):
        first_sample, last_sample = int(decided[first]) * FRAME_SAMPLES, int(decided[last]) * FRAME_SAMPLES
        if is_speech[first]:
            start = first_sample if start is None else start
        elif start is not None and last_sample - first_sample >= min_silence_samples:
            regions.append(Region(start, first_sample))
            start = None
    if start is not None:
        regions.append(Region(start, total_samples))
    return [r for r in regions if r.end_sample - r.start_sample > min_speech_samples]


def _session():
    import importlib.util

    import onnxruntime

    # find_spec locates the package without running it.
    spec = importlib.util.find_spec("silero_vad")
    if spec is None or not spec.submodule_search_locations:
        raise FileNotFoundError("The package silero-vad is not installed; run `make setup`.")
    options = onnxruntime.SessionOptions()
    # One thread each: the sums are then added in one order, and the result does not depend on the machine.
    options.inter_op_num_threads = 1
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(
        str(Path(spec.submodule_search_locations[0]) / "data" / _MODEL_FILE),
        sess_options=options,
        providers=["CPUExecutionProvider"],
    )


def _blocks(wav_path: Path) -> Iterator[np.ndarray]:
    import soundfile

    with soundfile.SoundFile(wav_path) as audio:
        if audio.samplerate != SAMPLE_RATE_HZ or audio.channels != 1:
            raise ValueError(
                f"{wav_path} has {audio.samplerate} Hz and {audio.channels} channels; voice activity needs "
                f"{SAMPLE_RATE_HZ} Hz mono. Give the file of the standard_audio stage."
            )
        yield from audio.blocks(blocksize=_BLOCK_FRAMES * FRAME_SAMPLES, dtype="float32")


def _frames(samples: np.ndarray) -> np.ndarray:
    """Arrange samples as `(frames, 512)`, the last frame filled up with zeros."""
    count = -(-samples.size // FRAME_SAMPLES)
    frames = np.zeros((count, FRAME_SAMPLES), dtype=np.float32)
    frames.reshape(-1)[: samples.size] = samples
    return frames
