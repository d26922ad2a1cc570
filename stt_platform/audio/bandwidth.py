"""How high a recording's sound reaches: telephone lines and low-rate MP3 end long before 8 kHz.

Read from the stored overview, so that neither the recording nor a chunk of it has to be opened again.
"""

from __future__ import annotations

import numpy as np

from stt_platform.audio.overview import BANDS, FLOOR_DB, RATE_HZ, Overview

BAND_HZ = RATE_HZ / 2 / BANDS

# Speech falls off by 20 to 40 dB up to 7 kHz; what a codec or a telephone line took away is 60 dB down and more.
_RANGE_DB = 50.0
# A whistle of the equipment fills one band, or two where it lies between them.
_ADJACENT = 3


def bandwidth_hz(overview: Overview, start_sample: int = 0, end_sample: int | None = None) -> float:
    """The upper edge of the highest band of 125 Hz that is within 50 dB of the strongest one.

    Levels are mean powers, so that loud moments count and pauses do not. Single bands that stand alone do not
    count, unless there is nothing else. Noise counts as sound: hiss that was added behind a telephone line hides it.

    Args:
        overview: of the 16 kHz recording, not reduced.
        start_sample, end_sample: the stretch to measure, rounded to columns of 100 ms; all by default.

    Returns:
        Hz, from 125 to 8000; 0 for digital silence.
    """
    end_sample = overview.samples if end_sample is None else end_sample
    first = int(start_sample // overview.column_samples)
    last = max(first + 1, -int(-end_sample // overview.column_samples))
    steps = overview.spectrum_steps[:, first:last]
    if not steps.any():
        return 0.0
    level_db = _levels_db(steps)
    above = level_db >= level_db.max() - _RANGE_DB
    wide = above.copy()
    for shift in range(1, _ADJACENT):
        wide[shift:] &= above[:-shift]
        wide[:shift] = False
    return float((np.flatnonzero(wide if wide.any() else above)[-1] + 1) * BAND_HZ)


def _levels_db(steps: np.ndarray) -> np.ndarray:
    """Mean power of each band over its columns, in dB, from half decibels above -120 dB of shape `(64, columns)`."""
    power = np.where(steps > 0, 10 ** ((steps * 0.5 + FLOOR_DB) / 10), 0.0).mean(axis=1)
    return 10 * np.log10(np.maximum(power, 10 ** (FLOOR_DB / 10)))
