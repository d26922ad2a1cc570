"""The overview of a recording, by known truth: tones in their bands, levels, extremes, and bytes that repeat."""

import io
import zipfile

import numpy as np
import pytest
import soundfile

from stt_platform.audio.overview import (
    BANDS,
    COLUMN_SAMPLES,
    FLOOR_DB,
    RATE_HZ,
    NativeOverviewBuilder,
    Overview,
    OverviewBuilder,
    overview_of,
    spectrogram_db,
)

ARRAYS = ("minimum", "maximum", "rms", "spectrum_steps")


def tone(frequency_hz: float, seconds: float, level: float = 1.0, rate_hz: int = RATE_HZ) -> np.ndarray:
    return (level * np.sin(2 * np.pi * frequency_hz * np.arange(round(seconds * rate_hz)) / rate_hz)).astype(np.float32)


def overview(samples: np.ndarray, piece: int = 10_000) -> Overview:
    builder = OverviewBuilder()
    for start in range(0, len(samples), piece):
        builder.add(samples[start : start + piece])
    return builder.finish()


@pytest.mark.parametrize(
    ("frequency_hz", "level", "band", "expected_db"),
    [(190, 1.0, 1, 0.0), (1_060, 0.5, 8, -6.02), (4_060, 0.1, 32, -20.0), (7_940, 0.01, 63, -40.0)],
)
def test_a_tone_lies_in_its_band_with_its_level(frequency_hz, level, band, expected_db):
    found = overview(tone(frequency_hz, 1.0, level))
    assert found.columns == 10
    spectrum = found.spectrum_db
    assert spectrum.shape == (BANDS, 10)
    assert set(spectrum.argmax(axis=0)) == {band}
    assert spectrum[band] == pytest.approx(expected_db, abs=0.5)
    assert np.delete(spectrum, [band - 1, band, min(band + 1, 63)], axis=0).max() < expected_db - 30
    assert found.rms == pytest.approx(level / np.sqrt(2), rel=0.02)
    assert (found.minimum.min(), found.maximum.max()) == pytest.approx((-level, level), rel=0.02)


@pytest.mark.parametrize("piece", [1, 1_599, 1_600, 1_601, 50_000])
def test_pieces_of_any_size_give_the_same(piece):
    samples = np.random.default_rng(0).normal(size=5_000).astype(np.float32)
    whole, pieced = overview(samples, len(samples)), overview(samples, piece)
    assert pieced.samples == whole.samples == 5_000
    assert pieced.columns == 4
    for name in ARRAYS:
        assert np.array_equal(getattr(pieced, name), getattr(whole, name))


def test_the_last_column_stands_for_what_is_left():
    found = overview(np.concatenate([np.zeros(COLUMN_SAMPLES), np.full(10, 0.5)]).astype(np.float32))
    assert (found.columns, found.samples) == (2, COLUMN_SAMPLES + 10)
    assert found.rms == pytest.approx([0, 0.5])
    assert found.minimum == pytest.approx([0, 0.5])


@pytest.mark.parametrize("samples", [0, 1, 1_600])
def test_silence_and_nothing_have_an_overview(samples, tmp_path):
    found = overview(np.zeros(samples, np.float32))
    assert found.columns == -(-samples // COLUMN_SAMPLES)
    assert (found.spectrum_db == FLOOR_DB).all()
    found.save(tmp_path / "o.npz")
    assert Overview.load(tmp_path / "o.npz").columns == found.columns
    assert found.reduced(5).columns == found.columns


def test_reduced_keeps_extremes_levels_and_length():
    found = overview(np.random.default_rng(0).normal(size=RATE_HZ * 100).astype(np.float32))
    small = found.reduced(70)
    assert small.columns == 70
    assert small.samples == found.samples
    assert small.columns * small.column_samples == pytest.approx(found.samples)
    assert (small.minimum.min(), small.maximum.max()) == (found.minimum.min(), found.maximum.max())
    assert small.rms == pytest.approx(1.0, abs=0.05)
    assert small.spectrum_db.mean() == pytest.approx(found.spectrum_db.mean(), abs=0.1)
    assert found.reduced(5_000) is found
    with pytest.raises(ValueError, match="at least 1"):
        found.reduced(0)


def test_a_saved_overview_comes_back_and_its_bytes_repeat(tmp_path):
    found = overview(np.random.default_rng(0).normal(size=10_000).astype(np.float32)).reduced(3)
    for name in ("a.npz", ".temporary"):
        found.save(tmp_path / name)
    content = (tmp_path / "a.npz").read_bytes()
    assert content == (tmp_path / ".temporary").read_bytes()
    # No time stamps: the bytes are the same on another day.
    assert {entry.date_time for entry in zipfile.ZipFile(io.BytesIO(content)).infolist()} == {(1980, 1, 1, 0, 0, 0)}
    loaded = Overview.load(tmp_path / "a.npz")
    for name in ARRAYS:
        assert np.array_equal(getattr(loaded, name), getattr(found, name))
        assert getattr(loaded, name).dtype == getattr(found, name).dtype
    assert (loaded.samples, loaded.column_samples) == (found.samples, found.column_samples)


def test_what_is_no_overview_is_refused(tmp_path):
    (tmp_path / "a.npz").write_bytes(b"no zip")
    np.savez(tmp_path / "b.npz", other=np.zeros(3))
    (tmp_path / "c.npz").write_bytes(b"PK\x03\x04 cut")
    for name in ("a.npz", "b.npz", "c.npz"):
        with pytest.raises(ValueError, match=f"{name} is no overview"):
            Overview.load(tmp_path / name)


def test_two_hours_are_a_few_megabytes(tmp_path):
    builder = OverviewBuilder()
    minute = np.zeros(RATE_HZ * 60, np.float32)
    for _ in range(120):
        builder.add(minute)
    found = builder.finish()
    found.save(tmp_path / "o.npz")
    assert found.duration_s == 7_200
    assert (tmp_path / "o.npz").stat().st_size < 6_000_000


def test_a_file_is_read_and_a_wrong_one_refused(tmp_path):
    samples = tone(1_000, 61.25, 0.5)
    soundfile.write(tmp_path / "a.wav", samples, RATE_HZ, subtype="FLOAT")
    assert np.array_equal(overview_of(tmp_path / "a.wav").spectrum_steps, overview(samples).spectrum_steps)
    soundfile.write(tmp_path / "b.wav", samples, 44_100)
    with pytest.raises(ValueError, match=r"'b\.wav' has 1 channels at 44100 Hz"):
        overview_of(tmp_path / "b.wav")


@pytest.mark.parametrize(
    ("seconds", "columns", "rate_hz"), [(30, 1_000, 16_000), (0.05, 800, 16_000), (600, 50, 16_000), (2, 100, 48_000)]
)
def test_a_tone_is_a_line_in_the_spectrogram_of_any_zoom(seconds, columns, rate_hz):
    level_db = spectrogram_db(tone(2_000, seconds, 0.5, rate_hz), rate_hz, columns)
    bands = level_db.shape[0]
    assert level_db.shape == (bands, columns)
    assert level_db.dtype == np.float32
    inner = level_db[:, columns // 3 : -columns // 3]
    assert set(inner.argmax(axis=0)) == {round(2_000 / (rate_hz / 2 / bands))}
    # A Hann window spreads a tone over three bands: two thirds of its power are in the middle one.
    assert inner.max() == pytest.approx(20 * np.log10(0.5) + 10 * np.log10(2 / 3), abs=1)


def test_a_click_lies_in_its_column():
    samples = np.zeros(RATE_HZ * 10, np.float32)
    samples[RATE_HZ * 4] = 1.0
    level_db = spectrogram_db(samples, RATE_HZ, 1_000)
    assert level_db.mean(axis=0).argmax() == pytest.approx(400, abs=1)


def test_no_sound_is_a_dark_spectrogram():
    assert (spectrogram_db(np.zeros(0, np.float32), RATE_HZ, 7) == FLOOR_DB).all()
    with pytest.raises(ValueError, match="at least 1"):
        spectrogram_db(np.zeros(100, np.float32), RATE_HZ, 0)


def test_a_recording_at_its_own_rate_looks_like_itself_at_16_khz() -> None:
    rate_hz = 44_100
    tone = 0.5 * np.sin(2 * np.pi * 1_000 * np.arange(2 * rate_hz) / rate_hz, dtype=np.float64)
    builder = NativeOverviewBuilder()
    for block in np.array_split(np.stack([tone, tone]).astype(np.float32), 7, axis=1):
        builder.add(block, rate_hz)
    overview = builder.finish()
    assert abs(overview.duration_s - 2) < 0.01
    assert int(overview.spectrum_db[:, 5].argmax()) == 1_000 // 125
    assert np.allclose(overview.rms[2:18], 0.5 / np.sqrt(2), atol=0.01)
