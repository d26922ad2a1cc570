"""Loudness and true peak against known truth: sines of a known level, pyloudnorm, and the ITU's vectors."""

from pathlib import Path

import numpy as np
import pytest

from stt_platform.audio.loudness import LoudnessMeter, integrated_loudness_lufs, true_peak_dbtp

RATE_HZ = 16_000


def sine(level_dbfs: float, seconds: float, rate_hz: int = 48_000, frequency_hz: float = 997.0) -> np.ndarray:
    """A sine whose peak is at `level_dbfs`."""
    time_s = np.arange(round(seconds * rate_hz)) / rate_hz
    return 10.0 ** (level_dbfs / 20.0) * np.sin(2 * np.pi * frequency_hz * time_s)


def noise(samples: int, seed: int = 0) -> np.ndarray:
    """Noise whose level wanders by 40 dB, so that the gates have something to do."""
    random = np.random.default_rng(seed)
    levels_db = random.uniform(-40, 0, samples // 8000 + 2)
    level_db = np.interp(np.arange(samples) / 8000, np.arange(len(levels_db)), levels_db)
    return 0.2 * random.standard_normal(samples) * 10.0 ** (level_db / 20.0)


def in_blocks(samples: np.ndarray, seed: int) -> list[np.ndarray]:
    """The same sound in pieces of random sizes, empty and one-sample ones among them."""
    random = np.random.default_rng(seed)
    cuts = np.sort(np.append(random.integers(0, len(samples), 20), [1, 1, 2]))
    return np.split(samples, cuts)


@pytest.mark.parametrize(
    ("levels_dbfs", "seconds", "lufs"),
    [
        pytest.param([0.0], [5], -3.01, id="full scale, one channel"),
        pytest.param([-23.0, -23.0], [20], -23.0, id="EBU 3341 case 1"),
        pytest.param([-33.0, -33.0], [20], -33.0, id="EBU 3341 case 2"),
        pytest.param([(-36, -23, -36)] * 2, [10, 60, 10], -23.0, id="EBU 3341 case 3: relative gate"),
        pytest.param([(-72, -36, -23, -36, -72)] * 2, [10, 10, 60, 10, 10], -23.0, id="case 4: both gates"),
        pytest.param([(-26, -20, -26)] * 2, [20, 20.1, 20], -23.0, id="case 5"),
        pytest.param([-28.0, -28.0, -24.0, -30.0, -30.0], [20], -23.0, id="case 6: five channels"),
        pytest.param([-28.0, -28.0, -24.0, 0.0, -30.0, -30.0], [20], -23.0, id="the low-frequency channel is out"),
    ],
)
@pytest.mark.parametrize("rate_hz", [16_000, 44_100, 48_000])
def test_sines_read_their_loudness(levels_dbfs: list, seconds: list, lufs: float, rate_hz: int) -> None:
    channels = [
        np.concatenate([sine(level, s, rate_hz) for level, s in zip(np.atleast_1d(levels), seconds, strict=True)])
        for levels in levels_dbfs
    ]
    assert integrated_loudness_lufs(np.array(channels), rate_hz) == pytest.approx(lufs, abs=0.1)


@pytest.mark.parametrize(
    "samples",
    [
        pytest.param(np.zeros(3 * RATE_HZ), id="silence"),
        pytest.param(np.zeros(0), id="nothing"),
        pytest.param(noise(6_399), id="shorter than a block"),
        pytest.param(sine(-72.0, 3, RATE_HZ), id="below the absolute gate"),
    ],
)
def test_what_has_no_loudness_reads_none(samples: np.ndarray) -> None:
    assert integrated_loudness_lufs(samples, RATE_HZ) is None


@pytest.mark.parametrize("rate_hz", [8_000, 11_025, 16_000, 22_050, 48_000])
@pytest.mark.parametrize("extra_samples", [0, 1, 700, 801, 1_599])
def test_equals_pyloudnorm(rate_hz: int, extra_samples: int) -> None:
    from pyloudnorm import Meter

    samples = np.stack([noise(3 * rate_hz + extra_samples, seed) for seed in (1, 2)])
    expected = Meter(rate_hz).integrated_loudness(samples.T)
    assert integrated_loudness_lufs(samples, rate_hz) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize(
    ("samples", "dbtp", "within"),
    [
        pytest.param(np.sqrt(2) * np.sin(np.pi / 2 * np.arange(4_000) + np.pi / 4), 3.01, 0.2, id="fs/4 at 45 degrees"),
        pytest.param(np.hanning(4_000) * np.sin(np.pi / 2 * np.arange(4_000)), 0.0, 0.01, id="fs/4 on the samples"),
        pytest.param(np.eye(1, 2_000, 1_000)[0], 0.0, 1e-9, id="an impulse"),
        pytest.param(np.hanning(501) / 32768, -90.31, 0.01, id="one step of 16 bits"),
        pytest.param(np.zeros(500), -120.0, 0.0, id="silence"),
        pytest.param(np.zeros(0), -120.0, 0.0, id="nothing"),
    ],
)
def test_true_peak_of_known_sounds(samples: np.ndarray, dbtp: float, within: float) -> None:
    assert true_peak_dbtp(samples, RATE_HZ) == pytest.approx(dbtp, abs=within)


@pytest.mark.parametrize("seed", range(5))
def test_true_peak_of_band_limited_sound(seed: int) -> None:
    random = np.random.default_rng(seed)
    frequencies, phases = random.uniform(0.0, 0.43, 20), random.uniform(0, 2 * np.pi, 20)

    def sound(time_samples: np.ndarray) -> np.ndarray:
        fade = 0.5 - 0.5 * np.cos(2 * np.pi * time_samples / 3_000)
        return fade * np.sin(2 * np.pi * frequencies[:, None] * time_samples + phases[:, None]).sum(axis=0)

    truth_db = 20 * np.log10(np.abs(sound(np.arange(3_000 * 64) / 64)).max())
    # Eight values a sample miss a peak at 0.43 of the rate by 0.13 dB at most, and never show more than there is.
    assert truth_db - 0.13 <= true_peak_dbtp(sound(np.arange(3_000.0)), RATE_HZ) <= truth_db + 0.01


@pytest.mark.parametrize("seed", range(4))
def test_blocks_measure_as_the_whole(seed: int) -> None:
    samples = noise(10 * RATE_HZ, seed)
    meter = LoudnessMeter(RATE_HZ)
    for block in in_blocks(samples, seed):
        meter.add(block)
    measured = meter.finish()
    assert measured.integrated_lufs == pytest.approx(integrated_loudness_lufs(samples, RATE_HZ), abs=1e-9)
    assert measured.true_peak_dbtp == pytest.approx(true_peak_dbtp(samples, RATE_HZ), abs=1e-6)


def test_a_gain_moves_the_gates() -> None:
    samples = np.concatenate([sine(-60.0, 4, RATE_HZ), sine(-72.0, 6, RATE_HZ), sine(-66.5, 6, RATE_HZ)])
    meter = LoudnessMeter(RATE_HZ)
    meter.add(samples)
    louder = integrated_loudness_lufs(samples * 10.0, RATE_HZ)
    assert meter.integrated_lufs_after(20.0) == pytest.approx(louder, abs=1e-6)
    assert abs(integrated_loudness_lufs(samples, RATE_HZ) + 20.0 - louder) > 0.3


@pytest.mark.parametrize("measure", [integrated_loudness_lufs, true_peak_dbtp])
def test_channels_last_is_refused(measure) -> None:
    with pytest.raises(ValueError, match="transpose"):
        measure(np.zeros((16_000, 2)), RATE_HZ)


def test_itu_vectors_read_their_loudness(test_data: Path) -> None:
    files = sorted((test_data / "audio" / "loudness" / "npz").glob("*.npz"))
    assert len(files) == 14
    for file in files:
        with np.load(file) as vector:
            samples, rate_hz = vector["samples"].T / 32768.0, int(vector["sample_rate"])
            expected = float(vector["lkfs_expected"])
        measured = integrated_loudness_lufs(samples, rate_hz)
        if np.isinf(expected):
            assert measured is None, file.name
        else:
            assert measured == pytest.approx(expected, abs=0.1), file.name


@pytest.mark.parametrize(
    ("name", "lufs"),
    [("1770-2_Comp_AbsGateTest.wav", -69.5), ("1770-2_Comp_RelGateTest.wav", -10.0), ("sine_1000.wav", -3.05)],
)
def test_gate_tests_read_their_loudness(test_data: Path, name: str, lufs: float) -> None:
    import soundfile

    samples, rate_hz = soundfile.read(test_data / "audio" / "loudness" / name)
    assert integrated_loudness_lufs(samples.T, rate_hz) == pytest.approx(lufs, abs=0.1)
