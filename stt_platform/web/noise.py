"""Whether a sample has noisy recordings in it, by a quick look at each: three excerpts of one minute."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from stt_platform.audio import SAMPLE_RATE_HZ

_PLACES = (0.2, 0.5, 0.8)
_EXCERPT_S = 60.0
_BLOCK_S = 10.0
_WANTED_NOISY = 2


@dataclass(frozen=True)
class NoiseEstimate:
    """The signal-to-noise ratio of the excerpts together; NaN where there was too little speech to measure."""

    snr_db: float
    heard_s: float


def estimate_noise(path: Path) -> NoiseEstimate:
    """Estimate the noise of a recording from three excerpts of one minute, or from all of it where it is short.

    Raises `UnreadableMedia` as `audio.decode.probe` does.
    """
    from stt_platform.audio.snr import chunk_snr
    from stt_platform.audio.vad import probabilities_of_blocks

    excerpts = list(_excerpts(path))
    probabilities = [probabilities_of_blocks([samples]) for samples in excerpts]
    samples = np.concatenate([np.zeros(0, np.float32), *excerpts])
    if not samples.size:
        return NoiseEstimate(math.nan, 0.0)
    db = chunk_snr(samples, np.concatenate(probabilities)).db
    return NoiseEstimate(math.nan if db is None else float(db), samples.size / SAMPLE_RATE_HZ)


def sample_advice(snr_db: Mapping[str, float] | Sequence[float], *, noisy_below_db: float = 20.0) -> str:
    """Return whether the two or three noisy recordings that a sample should have are in it, and what to do where not."""
    values = list(snr_db.values() if isinstance(snr_db, Mapping) else snr_db)
    noisy = sum(value < noisy_below_db for value in values)
    unknown = sum(math.isnan(value) for value in values)
    found = f"{noisy or 'none'} of {len(values)} {'is' if noisy < 2 else 'are'} noisy (under {noisy_below_db:g} dB)"
    aside = f"; {unknown} could not be measured" if unknown else ""
    if not values:
        return "nothing to listen to yet"
    if noisy < _WANTED_NOISY:
        return f"{found}{aside}: add {'two or three' if not noisy else 'one or two'}, e.g. older ones"
    if noisy > len(values) / 2:
        return f"{found}{aside}: more than half; add some that are clean"
    return f"{found}{aside}: good"


def _excerpts(path: Path) -> Iterator[np.ndarray]:
    """Mono float32 at 16 kHz, each of whole VAD frames."""
    import soxr

    from stt_platform.audio.vad import FRAME_SAMPLES

    for samples, rate_hz in _decoded(path):
        resampled = soxr.resample(samples, rate_hz, SAMPLE_RATE_HZ, quality="HQ").astype(np.float32, copy=False)
        yield resampled[: resampled.size // FRAME_SAMPLES * FRAME_SAMPLES]


def _decoded(path: Path) -> Iterator[tuple[np.ndarray, int]]:
    """Yield the excerpts as mono samples at the file's own rate."""
    from stt_platform.audio.decode import decode_blocks

    with decode_blocks(path, block_s=_BLOCK_S) as blocks:
        total_s = blocks.promised_s or blocks.info.header_duration_s or 0.0
        whole_s = len(_PLACES) * _EXCERPT_S
        starts_s = [place * total_s - _EXCERPT_S / 2 for place in _PLACES] if total_s > 2 * whole_s else [0.0]
        length_s = _EXCERPT_S if len(starts_s) > 1 else 2 * whole_s
        pieces: list[np.ndarray] = []
        at_s = 0.0
        for block in blocks:
            if at_s >= starts_s[0]:
                pieces.append(block.mean(axis=0))
            at_s += block.shape[1] / blocks.rate_hz
            if pieces and at_s >= starts_s[0] + length_s:
                yield np.concatenate(pieces), blocks.rate_hz
                pieces = []
                starts_s.pop(0)
                if not starts_s:
                    return
        if pieces:
            yield np.concatenate(pieces), blocks.rate_hz
