"""Any recording as the 16 kHz mono file that every later stage listens to."""

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from stt_platform.audio import SAMPLE_RATE_HZ
from stt_platform.audio.decode import BlockStream, Downmix, Progress, decode_blocks

# 20 bits of precision: flat to 7.4 kHz, and everything over 8.1 kHz more than 130 dB down, which the 16
# bits that are written (98 dB) cannot show. VHQ is better only below that.
_QUALITY = "HQ"


def standardise(
    path: Path,
    out_path: Path,
    *,
    rate_hz: int = SAMPLE_RATE_HZ,
    downmix: Downmix = "mean",
    progress: Progress | None = None,
) -> int:
    """Write the sound of a media file as a mono 16-bit WAV file, in bounded memory.

    The same file gives the same bytes. Samples over full scale are clipped. What is already 16-bit mono at
    `rate_hz` keeps its samples exactly.

    Args:
        path: any media file that `probe` accepts.
        out_path: the file to write; the caller sees to it that a half-written one is never seen.
        rate_hz: sample rate of the output.
        downmix: 'mean' of the channels, or the index of the one to use, as `measure` recommends.
        progress: called with the seconds decoded so far.

    Returns:
        The number of samples written.

    Raises:
        UnreadableMedia: as `probe`.
        ValueError: the file has no channel of that index.
    """
    import soundfile

    written = 0
    with decode_blocks(path) as blocks:
        if downmix != "mean" and not 0 <= downmix < blocks.channels:
            raise ValueError(f"{path.name!r} has {blocks.channels} channels: there is no channel {downmix}")
        with soundfile.SoundFile(out_path, "w", samplerate=rate_hz, channels=1, format="WAV", subtype="PCM_16") as out:
            for samples in resampled(_mono(blocks, downmix, progress), blocks.rate_hz, rate_hz):
                out.write(to_16_bit(samples))
                written += len(samples)
    return written


def _mono(blocks: BlockStream, downmix: Downmix, progress: Progress | None) -> Iterator[np.ndarray]:
    decoded = 0
    for block in blocks:
        yield np.ascontiguousarray(block.mean(axis=0) if downmix == "mean" else block[downmix])
        decoded += block.shape[1]
        if progress:
            progress(decoded / blocks.rate_hz)


def resampled(pieces: Iterable[np.ndarray], from_hz: int, to_hz: int, channels: int = 1) -> Iterator[np.ndarray]:
    """Sound in pieces of shape `(samples,)` or `(samples, channels)` at another rate; both begin at the same instant."""
    import soxr

    if from_hz == to_hz:
        yield from pieces
        return
    resampler = soxr.ResampleStream(from_hz, to_hz, channels, dtype="float32", quality=_QUALITY)
    piece = None
    for piece in pieces:
        yield resampler.resample_chunk(piece)
    if piece is not None:
        yield resampler.resample_chunk(piece[:0], last=True)


def to_16_bit(samples: np.ndarray) -> np.ndarray:
    """Convert samples in [-1, 1] to int16; what lies over full scale is clipped."""
    # Rounded here, because libsndfile rounds towards minus infinity: half a step of offset.
    return np.clip(np.rint(samples * 32768.0), -32768, 32767).astype(np.int16)
