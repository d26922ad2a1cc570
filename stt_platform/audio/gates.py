"""The gates: a measured value against its limit, and why it refuses, in words.

Everything is measured on the original, never on the enhanced view: denoising raises the ratio of speech to noise
without making the words any clearer. A value that is no number is refused; one that was not measured (None) passes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

GATES = (
    *("unreadable", "duration", "speech", "clipping", "noise", "bandwidth", "silence"),
    *("class", "music", "language", "text"),
)
"""The kinds of refusal; a funnel counts by them."""


@dataclass(frozen=True)
class Refusal:
    """Why something is not used: `gate` is one of `GATES`, `reason` names the value and the limit."""

    gate: str
    reason: str


def first_refusal(*verdicts: Refusal | None) -> Refusal | None:
    """The first of several verdicts that refuses, or None: give them in the order in which they are to be told."""
    return next((verdict for verdict in verdicts if verdict is not None), None)


def too_short(duration_s: float, min_s: float) -> Refusal | None:
    """Refuses a recording or a chunk that is shorter than `min_s`."""
    if duration_s >= min_s:
        return None
    return Refusal("duration", f"too short: {_below(duration_s, 2)} s, at least {min_s:g} s wanted")


def too_long(duration_s: float, max_h: float) -> Refusal | None:
    """Refuses a recording of more than `max_h` hours, which may have been decoded no further than that."""
    if duration_s <= 3600 * max_h:
        return None
    return Refusal("duration", f"too long: more than {max_h:g} h. Cut it, or raise gates.max_recording_h")


def speechless(speech_s: float, min_s: float) -> Refusal | None:
    """Refuses a recording with less than `min_s` of speech in it."""
    if speech_s >= min_s:
        return None
    return Refusal("speech", f"nobody speaks in it: {_below(speech_s, 1)} s of speech, at least {min_s:g} s wanted")


def clipped(ratio: float | None, max_ratio: float) -> Refusal | None:
    """Refuses where more than `max_ratio` of the samples (0 to 1) lie in flat tops."""
    if ratio is None or ratio <= max_ratio:
        return None
    value = _above(100 * ratio, 1)
    return Refusal("clipping", f"clipped: {value} % of the samples are cut off, at most {100 * max_ratio:g} % allowed")


def noisy(snr_db: float | None, min_snr_db: float) -> Refusal | None:
    """Refuses where speech is less than `min_snr_db` over the noise."""
    if snr_db is None or snr_db >= min_snr_db:
        return None
    return Refusal("noise", f"noisy: {_below(snr_db, 1)} dB speech over noise, at least {min_snr_db:g} dB wanted")


def muffled(bandwidth_hz: float | None, min_bandwidth_hz: float) -> Refusal | None:
    """Refuses sound that ends below `min_bandwidth_hz`. Telephone speech ends at 3.4 kHz (ITU-T G.712)."""
    if bandwidth_hz is None or bandwidth_hz >= min_bandwidth_hz:
        return None
    value = _below(bandwidth_hz / 1000, 2)
    wanted = f"{min_bandwidth_hz / 1000:g}"
    return Refusal("bandwidth", f"muffled: the sound ends at {value} kHz, at least {wanted} kHz wanted")


def mostly_silent(silence_ratio: float, max_ratio: float) -> Refusal | None:
    """Refuses a chunk of which more than `max_ratio` (0 to 1) is not speech."""
    if silence_ratio <= max_ratio:
        return None
    value = _above(100 * silence_ratio, 0)
    return Refusal("silence", f"mostly silent: {value} % of it is not speech, at most {100 * max_ratio:g} % allowed")


# Rounded away from the limit, so that no reason says "10.0 dB, at least 10 dB wanted".
def _below(value: float, digits: int) -> str:
    return f"{math.floor(value * 10**digits) / 10**digits:.{digits}f}" if math.isfinite(value) else "unknown"


def _above(value: float, digits: int) -> str:
    return f"{math.ceil(value * 10**digits) / 10**digits:.{digits}f}" if math.isfinite(value) else "unknown"
