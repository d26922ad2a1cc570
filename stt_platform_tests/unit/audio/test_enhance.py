"""The enhanced view: what the library makes of it, one gain, one time line, and files that are hard to level."""

import os
from pathlib import Path

import numpy as np
import pytest
import soundfile

from stt_platform.audio.enhance import enhance
from stt_platform.audio.loudness import integrated_loudness_lufs, true_peak_dbtp

RATE_HZ = 16_000


def voice(seconds: float, level: float = 0.1, seed: int = 0) -> np.ndarray:
    """Syllables of a buzzing tone over steady noise, 26 dB below."""
    random = np.random.default_rng(seed)
    time_s = np.arange(round(seconds * RATE_HZ)) / RATE_HZ
    pitch_hz = 120.0 + 20.0 * np.sin(2 * np.pi * 0.3 * time_s)
    phase = 2 * np.pi * np.cumsum(pitch_hz) / RATE_HZ
    # Phases that spread the energy over the period (Schroeder), so that -16 LUFS fits below -1 dBTP.
    tones = sum(np.cos(phase * k + np.pi * k * k / 30) / np.sqrt(30) for k in range(1, 30))
    syllables = np.clip(np.sin(2 * np.pi * 2.0 * time_s), 0, None) * (np.sin(2 * np.pi * 0.2 * time_s) > -0.5)
    return level * (tones * syllables + 0.05 * random.standard_normal(len(time_s)))


def write(folder: Path, samples: np.ndarray, rate_hz: int = RATE_HZ) -> Path:
    path = folder / "audio.wav"
    soundfile.write(path, np.clip(samples, -1.0, 1.0 - 2.0**-15), rate_hz, subtype="PCM_16")
    return path


def read(path: Path) -> np.ndarray:
    samples, rate_hz = soundfile.read(path)
    assert (rate_hz, samples.ndim, soundfile.info(path).subtype) == (RATE_HZ, 1, "PCM_16")
    return samples


def as_one_piece(samples: np.ndarray, stationary: bool) -> np.ndarray:
    """The seed's call on the whole recording, and the high-pass."""
    from noisereduce import reduce_noise
    from scipy.signal import butter, sosfilt

    reduced = reduce_noise(y=samples, sr=RATE_HZ, prop_decrease=0.7, n_fft=512, stationary=stationary)
    return sosfilt(butter(2, 80.0, "highpass", fs=RATE_HZ, output="sos"), reduced)


def assert_same_as_one_piece(wav_in: Path, wav_out: Path, stationary: bool = False) -> None:
    done = enhance(wav_in, wav_out, stationary=stationary)
    expected = as_one_piece(read(wav_in), stationary) * 10.0 ** (done.gain_db / 20.0)
    # Half a step of 16 bits, and the library's own float32.
    assert np.abs(read(wav_out) - expected).max() < 0.51 / 32768


@pytest.mark.parametrize(
    ("seconds", "stationary"), [(0.1, False), (20.0, False), (37.5, False), (37.6, False), (20.0, True), (76.0, True)]
)
def test_same_as_the_library_in_one_piece(tmp_path: Path, seconds: float, stationary: bool) -> None:
    assert_same_as_one_piece(write(tmp_path, voice(seconds)), tmp_path / "out.wav", stationary)


def test_same_as_the_library_on_a_real_speech(tmp_path: Path, test_data: Path) -> None:
    assert_same_as_one_piece(test_data / "audio" / "public_speaking" / "gb0_bush_radio_2008.wav", tmp_path / "out.wav")


def one_loud_click(samples: np.ndarray) -> np.ndarray:
    samples[RATE_HZ] = 0.99
    return samples


@pytest.mark.parametrize(
    ("samples", "limited"),
    [
        pytest.param(voice(8.0, 0.2), False, id="loud"),
        pytest.param(voice(8.0, 0.001), False, id="quiet"),
        pytest.param(one_loud_click(voice(8.0, 0.02)), True, id="a click forbids the gain"),
        pytest.param(np.concatenate([voice(4.0, 0.004), voice(8.0, 0.0004)]), False, id="a gain that moves the gates"),
        pytest.param(np.random.default_rng(0).uniform(-1, 1, 6 * RATE_HZ), False, id="noise at full scale"),
    ],
)
def test_the_written_file_keeps_both_limits(tmp_path: Path, samples: np.ndarray, limited: bool) -> None:
    done = enhance(write(tmp_path, samples), tmp_path / "out.wav")
    written = read(tmp_path / "out.wav")
    assert done.loudness_lufs == pytest.approx(integrated_loudness_lufs(written, RATE_HZ), abs=1e-9)
    assert done.true_peak_dbtp == pytest.approx(true_peak_dbtp(written, RATE_HZ), abs=1e-6)
    assert done.true_peak_dbtp <= -0.99
    if limited:
        assert done.true_peak_dbtp == pytest.approx(-1.0, abs=0.01)
        assert done.loudness_shortfall_db == pytest.approx(-16.0 - done.loudness_lufs)
        assert done.loudness_shortfall_db > 0.5
    else:
        assert done.loudness_lufs == pytest.approx(-16.0, abs=0.2)
        assert done.loudness_shortfall_db == 0.0


@pytest.mark.parametrize("samples", [np.zeros(5 * RATE_HZ), np.zeros(0), np.zeros(1), np.zeros(40 * RATE_HZ)])
def test_silence_stays_silence(tmp_path: Path, samples: np.ndarray) -> None:
    done = enhance(write(tmp_path, samples), tmp_path / "out.wav")
    assert (done.loudness_before_lufs, done.gain_db, done.loudness_lufs) == (None, 0.0, None)
    assert (done.true_peak_dbtp, done.loudness_shortfall_db) == (-120.0, 0.0)
    assert np.array_equal(read(tmp_path / "out.wav"), samples)


@pytest.mark.parametrize(
    "samples",
    [
        pytest.param(np.concatenate([voice(10.0), np.zeros(80 * RATE_HZ), voice(10.0)]), id="muted in the middle"),
        pytest.param(np.full(45 * RATE_HZ, 0.5), id="a constant"),
        pytest.param(np.tile([0.5, -0.5], 22 * RATE_HZ), id="an alternation"),
        pytest.param(np.eye(1, 3 * RATE_HZ, RATE_HZ)[0], id="an impulse"),
        pytest.param(voice(0.3, 0.9), id="too short to have a loudness"),
    ],
)
def test_hard_files_give_numbers(tmp_path: Path, samples: np.ndarray) -> None:
    done = enhance(write(tmp_path, samples), tmp_path / "out.wav")
    assert len(read(tmp_path / "out.wav")) == len(samples)
    assert np.isfinite([done.gain_db, done.true_peak_dbtp, done.loudness_shortfall_db]).all()
    assert done.true_peak_dbtp <= -0.99


@pytest.mark.parametrize("position", [1, 599_999, 600_000])
def test_an_impulse_stays_where_it_is(tmp_path: Path, position: int) -> None:
    samples = voice(38.0, 1e-3)
    samples[position] = 0.9
    enhance(write(tmp_path, samples), tmp_path / "out.wav")
    assert np.argmax(np.abs(read(tmp_path / "out.wav"))) == position


def test_speech_keeps_its_time_line(tmp_path: Path) -> None:
    from scipy.signal import correlate

    samples = voice(45.0)
    enhance(write(tmp_path, samples), tmp_path / "out.wav")
    written = read(tmp_path / "out.wav")
    assert len(written) == len(samples)
    for start in range(0, len(samples), 5 * RATE_HZ):
        before, after = (x[start : start + 5 * RATE_HZ] for x in (samples, written))
        assert abs(int(np.argmax(correlate(after, before, method="fft"))) - (len(before) - 1)) <= 1


@pytest.mark.parametrize(("frequency_hz", "db"), [(20.0, -24.1), (80.0, -3.0), (300.0, 0.0), (7_500.0, 0.0)])
def test_the_high_pass_takes_out_rumble_only(tmp_path: Path, frequency_hz: float, db: float) -> None:
    time_s = np.arange(4 * RATE_HZ) / RATE_HZ
    tone = 0.1 * np.sin(2 * np.pi * frequency_hz * time_s)
    done = enhance(write(tmp_path, tone), tmp_path / "out.wav", prop_decrease=0.0)
    middle = read(tmp_path / "out.wav")[RATE_HZ : 3 * RATE_HZ]
    level_db = 20 * np.log10(np.std(middle) / np.std(tone)) - done.gain_db
    assert level_db == pytest.approx(db, abs=0.1)


def test_noise_is_turned_down(tmp_path: Path) -> None:
    samples = voice(20.0)
    pause = np.flatnonzero(np.sin(2 * np.pi * 0.2 * np.arange(len(samples)) / RATE_HZ) < -0.6)
    enhance(write(tmp_path, samples), tmp_path / "out.wav")
    written = read(tmp_path / "out.wav")

    def pauses_below_all_db(sound: np.ndarray) -> float:
        return 20 * np.log10(np.std(sound) / np.std(sound[pause]))

    assert pauses_below_all_db(written) > pauses_below_all_db(samples) + 3.0


def test_same_bytes_on_any_number_of_cores(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path, voice(80.0))
    enhance(path, tmp_path / "many.wav")
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0})
    enhance(path, tmp_path / "one.wav")
    assert (tmp_path / "many.wav").read_bytes() == (tmp_path / "one.wav").read_bytes()


def test_progress_counts_to_the_end(tmp_path: Path) -> None:
    seen: list[float] = []
    enhance(write(tmp_path, voice(80.0)), tmp_path / "out.wav", progress=seen.append)
    assert seen == [37.5, 75.0, 80.0]


@pytest.mark.parametrize(
    ("rate_hz", "channels", "parameters", "message"),
    [
        (44_100, 1, {}, "44100 Hz.*standard_audio"),
        (16_000, 2, {}, "2 channels"),
        (16_000, 1, {"prop_decrease": 1.1}, "prop_decrease is 1.1"),
        (16_000, 1, {"highpass_hz": 8_000.0}, "highpass_hz is 8000"),
        (16_000, 1, {"target_lufs": 3.0}, "target_lufs is 3"),
        (16_000, 1, {"max_true_peak_dbtp": 0.0}, "could clip"),
    ],
)
def test_bad_input_is_named(tmp_path: Path, rate_hz: int, channels: int, parameters: dict, message: str) -> None:
    path = write(tmp_path, np.zeros((RATE_HZ, channels)), rate_hz)
    with pytest.raises(ValueError, match=message):
        enhance(path, tmp_path / "out.wav", **parameters)
    assert list(tmp_path.iterdir()) == [path]
