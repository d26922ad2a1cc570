"""A stretch of any recording as samples in memory, at 16 kHz in one channel."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from stt_platform.audio import SAMPLE_RATE_HZ
from stt_platform.audio.decode import decode_blocks
from stt_platform.audio.media import UnreadableMedia
from stt_platform.audio.standardise import resampled

# In these a place is found exactly without decoding what is before it.
_WITH_EXACT_PLACES = ("WAV", "FLAC")


def read_stretch(path: Path, start_sample: int = 0, end_sample: int | None = None) -> np.ndarray:
    """Read the samples of a media file from `start_sample` to `end_sample` (exclusive), counted at 16 kHz.

    A file that is 16 kHz mono already is read at its place and gives its own samples. Any other is decoded from the
    beginning, its channels are averaged, and it is resampled.

    Args:
        end_sample: None for the end of the file.

    Returns:
        float32 of shape `(samples,)` in [-1, 1], at least one.

    Raises:
        UnreadableMedia: the file cannot be read, or is shorter than that; nothing is filled up.
    """
    if end_sample is not None and end_sample <= start_sample:
        raise UnreadableMedia(
            path, f"has no sound between samples {start_sample} and {end_sample}", "Give both in order."
        )
    samples = _read_in_place(path, start_sample, end_sample)
    if samples is None:
        samples = _read_from_the_beginning(path, start_sample, end_sample)
    wanted = samples.size if end_sample is None else end_sample - start_sample
    if samples.size < max(1, wanted):
        raise UnreadableMedia(
            path,
            f"has {samples.size} samples from {start_sample} on, not {max(1, wanted)}",
            "It is shorter than when it was measured: restore it.",
        )
    return samples


def _read_in_place(path: Path, start_sample: int, end_sample: int | None) -> np.ndarray | None:
    """Read the samples of a 16 kHz mono file; None where it is another, or where another decoder may know more."""
    import soundfile

    try:
        with soundfile.SoundFile(path) as file:
            simple = file.format in _WITH_EXACT_PLACES and (file.samplerate, file.channels) == (SAMPLE_RATE_HZ, 1)
            if not simple or start_sample > file.frames:
                return None
            file.seek(start_sample)
            return file.read(-1 if end_sample is None else end_sample - start_sample, dtype="float32")
    except (soundfile.LibsndfileError, OSError):
        return None


def _read_from_the_beginning(path: Path, start_sample: int, end_sample: int | None) -> np.ndarray:
    parts = [np.zeros(0, dtype=np.float32)]
    at = 0
    with decode_blocks(path) as blocks:
        mono: Iterator[np.ndarray] = (np.ascontiguousarray(block.mean(axis=0), dtype=np.float32) for block in blocks)
        for piece in resampled(mono, blocks.rate_hz, SAMPLE_RATE_HZ):
            first = max(start_sample - at, 0)
            last = piece.size if end_sample is None else min(end_sample - at, piece.size)
            if first < last:
                parts.append(piece[first:last])
            at += piece.size
            if end_sample is not None and at >= end_sample:
                break
    return np.concatenate(parts)
