"""Bandwidth by known truth: noise through a low-pass filter, and recordings whose rate is known."""

from importlib.resources import files

import numpy as np
import pytest
import soundfile
import soxr

from stt_platform.audio.bandwidth import bandwidth_hz
from stt_platform.audio.overview import Overview, OverviewBuilder, overview_of
from stt_platform.audio.standardise import standardise

RATE_HZ = 16_000
SAMPLE = files("pyannote.audio") / "sample" / "sample.wav"


def overview(samples: np.ndarray) -> Overview:
    builder = OverviewBuilder()
    builder.add((np.rint(samples * 32768) / 32768).astype(np.float32))
    return builder.finish()


def noise(cutoff_hz: float, seconds: float = 5.0, level: float = 0.05) -> np.ndarray:
    """White noise without anything above `cutoff_hz`."""
    samples = np.random.default_rng(0).normal(0.0, level, round(seconds * RATE_HZ))
    spectrum = np.fft.rfft(samples)
    spectrum[np.fft.rfftfreq(samples.size, 1 / RATE_HZ) > cutoff_hz] = 0
    return np.fft.irfft(spectrum, samples.size)


@pytest.mark.parametrize("cutoff_hz", [1_000, 2_500, 3_400, 4_000, 5_500, 8_000])
@pytest.mark.parametrize("level", [0.2, 0.005])
def test_low_passed_noise_ends_where_it_was_cut(cutoff_hz, level):
    assert bandwidth_hz(overview(noise(cutoff_hz, level=level))) == pytest.approx(cutoff_hz, abs=150)


def test_a_stretch_has_its_own_bandwidth():
    both = overview(np.concatenate([noise(3_000), noise(7_000)]))
    assert bandwidth_hz(both) == pytest.approx(7_000, abs=150)
    assert bandwidth_hz(both, 0, 5 * RATE_HZ) == pytest.approx(3_000, abs=150)
    assert bandwidth_hz(both, 5 * RATE_HZ, 10 * RATE_HZ) == pytest.approx(7_000, abs=150)
    assert bandwidth_hz(both, 16_000, 16_100) == pytest.approx(3_000, abs=150)


def test_pauses_do_not_count():
    quiet = np.random.default_rng(1).normal(0.0, 1e-5, 20 * RATE_HZ)
    assert bandwidth_hz(overview(np.concatenate([noise(3_000), quiet]))) == pytest.approx(3_000, abs=150)


def test_a_whistle_does_not_count():
    whistle = 0.01 * np.sin(2 * np.pi * 7_000 * np.arange(5 * RATE_HZ) / RATE_HZ)
    assert bandwidth_hz(overview(noise(3_400) + whistle)) == pytest.approx(3_400, abs=150)
    assert bandwidth_hz(overview(whistle)) == pytest.approx(7_000, abs=150)


def test_silence_has_none():
    assert bandwidth_hz(overview(np.zeros(RATE_HZ))) == 0.0
    assert bandwidth_hz(overview(np.zeros(0))) == 0.0


@pytest.mark.parametrize(
    ("recording", "lowest_hz", "highest_hz"),
    [
        ("short/OSR_us_000_0034_8k.wav", 3_500, 4_100),
        ("mix_music_noise/singing_8000.wav", 3_500, 4_100),
        ("short/sb_spk1_snt1.wav", 7_000, 8_000),
        ("audiobook/sonnet_001.mp3", 7_000, 8_000),
        ("ljspeech/LJ001-0001.flac", 7_000, 8_000),
        ("public_speaking/gb0_bush_radio_2008.wav", 7_000, 8_000),
        # Broadcast in 1961.
        ("public_speaking/jfk.flac", 4_000, 6_000),
    ],
)
def test_recordings(test_data, tmp_path, recording, lowest_hz, highest_hz):
    path = tmp_path / "audio.wav"
    standardise(test_data / "audio" / recording, path)
    assert lowest_hz <= bandwidth_hz(overview_of(path)) <= highest_hz


def test_a_telephone_call_is_found():
    """pyannote's sample is one, at 16 kHz."""
    speech, _ = soundfile.read(str(SAMPLE), dtype="float32")
    assert 3_400 <= bandwidth_hz(overview(speech)) <= 4_125
    narrower = soxr.resample(soxr.resample(speech, RATE_HZ, 5_000), 5_000, RATE_HZ)
    assert 2_200 <= bandwidth_hz(overview(narrower)) <= 2_625
