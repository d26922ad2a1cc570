"""A stretch of a recording in memory, from any kind of file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

from stt_platform.audio.media import UnreadableMedia
from stt_platform.audio.reading import read_stretch

SECOND = 16_000


@pytest.fixture(scope="module")
def tone() -> np.ndarray:
    """Three seconds in which each has a pitch of its own, as 16 bits hold it."""
    at_s = np.arange(SECOND) / SECOND
    sines = [0.5 * np.sin(2 * np.pi * pitch * at_s) for pitch in (200, 400, 800)]
    return (np.rint(np.concatenate(sines) * 32768) / 32768).astype(np.float32)


@pytest.mark.parametrize("suffix", [".wav", ".flac"])
@pytest.mark.parametrize(("start", "end"), [(0, None), (100, None), (SECOND, 2 * SECOND), (0, 1), (47_999, 48_000)])
def test_a_file_at_16_khz_gives_its_own_samples(tmp_path: Path, tone: np.ndarray, suffix: str, start, end) -> None:
    path = tmp_path / f"tone{suffix}"
    soundfile.write(path, tone, SECOND, subtype="PCM_16")
    found = read_stretch(path, start, end)
    assert found.dtype == np.float32
    assert np.array_equal(found, tone[start:end])


@pytest.mark.parametrize(
    ("name", "rate_hz", "channels"), [("a.wav", 48_000, 2), ("a.ogg", 16_000, 1), ("a.mp3", 44_100, 1)]
)
def test_any_other_file_gives_the_same_sound_at_the_same_place(tmp_path: Path, name, rate_hz, channels) -> None:
    path = tmp_path / name
    at_s = np.arange(3 * rate_hz) / rate_hz
    pitch = np.select([at_s < 1, at_s < 2], [200, 400], 800)
    soundfile.write(path, np.repeat((0.5 * np.sin(2 * np.pi * pitch * at_s))[:, None], channels, axis=1), rate_hz)
    middle = read_stretch(path, SECOND + 1600, 2 * SECOND - 1600)
    assert middle.size == SECOND - 3200
    spectrum = np.abs(np.fft.rfft(middle * np.hanning(middle.size)))
    assert np.argmax(spectrum) * SECOND / middle.size == pytest.approx(400, abs=2)
    assert np.abs(middle).max() == pytest.approx(0.5, abs=0.05)
    whole = read_stretch(path)
    assert np.array_equal(whole[SECOND + 1600 : 2 * SECOND - 1600], middle)


@pytest.mark.parametrize(("start", "end"), [(0, 48_001), (48_000, None), (60_000, 61_000), (5, 5), (9, 3)])
def test_what_is_not_there_is_not_filled_up(tmp_path: Path, tone: np.ndarray, start, end) -> None:
    path = tmp_path / "tone.wav"
    soundfile.write(path, tone, SECOND, subtype="PCM_16")
    with pytest.raises(UnreadableMedia, match=r"tone\.wav"):
        read_stretch(path, start, end)


def test_what_is_no_sound_is_named(tmp_path: Path) -> None:
    text = tmp_path / "notes.flac"
    text.write_text("not a sound")
    for path in (text, tmp_path / "missing.wav"):
        with pytest.raises(UnreadableMedia, match=path.name):
            read_stretch(path)
