"""Spectrograms of a recording for the listening page, drawn when they are asked for."""

from functools import lru_cache
from pathlib import Path

import numpy as np

from stt_platform.audio.overview import Overview, spectrogram_db
from stt_platform.audio.pictures import spectrogram_png

_WINDOW_HEIGHT_PX = 168
_OVERVIEW_HEIGHT_PX = 60
# Silence stays dark instead of being blown up to its rounding noise.
_QUIETEST_TOP_DB = -60.0
# A band of the overview is four bands of a window wide, and holds four times the power of noise-like sound.
_WINDOW_BELOW_OVERVIEW_DB = 6.0


def window_picture(audio: Path, overview: Path, start_sample: int, end_sample: int, width_px: int) -> bytes | None:
    """PNG spectrogram of a part of a WAV file; None when the recording ends before `start_sample`.

    All windows of one recording share their colours, so that they can be laid side by side.
    """
    import soundfile

    with soundfile.SoundFile(audio) as file:
        if start_sample >= file.frames:
            return None
        file.seek(start_sample)
        samples = file.read(min(end_sample, file.frames) - start_sample, dtype="float32")
        rate_hz = file.samplerate
    top_db = max(_QUIETEST_TOP_DB, _brightest_db(overview) - _WINDOW_BELOW_OVERVIEW_DB)
    return spectrogram_png(spectrogram_db(samples, rate_hz, width_px), _WINDOW_HEIGHT_PX, top_db=top_db)


def overview_picture(overview: Path, width_px: int) -> bytes:
    """PNG spectrogram of a whole recording, at most `width_px` wide: a short one has fewer columns."""
    return spectrogram_png(
        Overview.load(overview).reduced(width_px).spectrum_db, _OVERVIEW_HEIGHT_PX, top_db=_brightest_db(overview)
    )


# An output of a stage never changes in place: its folder is named by what it was made from.
@lru_cache(maxsize=16)
def _brightest_db(overview: Path) -> float:
    levels_db = Overview.load(overview).spectrum_db
    return max(_QUIETEST_TOP_DB, float(np.percentile(levels_db, 99.5))) if levels_db.size else _QUIETEST_TOP_DB
