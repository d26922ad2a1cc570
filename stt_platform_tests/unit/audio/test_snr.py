"""Speech over noise by known truth: noise added to speech at a known ratio to the power of its speech frames."""

from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest
import soundfile

from stt_platform.audio.chunking import cut_chunks
from stt_platform.audio.snr import (
    HIGHEST_DB,
    LOWEST_DB,
    NoiseFloor,
    Snr,
    chunk_snr,
    frame_powers,
    frames_between,
    recording_snr,
)
from stt_platform.audio.standardise import standardise
from stt_platform.audio.vad import FRAME_SAMPLES, speech_probabilities

RATE_HZ = 16_000
SAMPLE = files("pyannote.audio") / "sample" / "sample.wav"
RECORDINGS = {
    "jfk": ["public_speaking/jfk.flac"],
    "columbia": ["public_speaking/columbia_bush_2003.wma"],
    "lj": [f"ljspeech/LJ001-{number:04}.flac" for number in (1, 3, 4, 5)],
    "libri 1089": ["librispeech/test-clean/1089-134686-0000.flac", "librispeech/test-clean/1089-134686-0001.flac"],
    "libri 2033": ["librispeech/test-other/2033-164914-0002.flac", "librispeech/test-other/2033-164914-0005.flac"],
    "libri 2414": ["librispeech/test-other/2414-128291-0005.flac", "librispeech/test-other/2414-128291-0007.flac"],
}


def write(path: Path, samples: np.ndarray) -> Path:
    soundfile.write(path, np.clip(np.rint(samples * 32768), -32768, 32767).astype(np.int16), RATE_HZ)
    return path


def speech_power(samples: np.ndarray, probabilities: np.ndarray) -> float:
    frames = np.zeros((len(probabilities), FRAME_SAMPLES))
    frames.reshape(-1)[: len(samples)] = samples
    return float(np.mean(frames[probabilities >= 0.5] ** 2))


def noise(colour: str, samples: int) -> np.ndarray:
    """Noise of unit power: white, pink, or white that comes and goes by 6 dB twice a second."""
    white = np.random.default_rng(7).normal(size=samples)
    if colour == "pink":
        frequencies_hz = np.maximum(np.fft.rfftfreq(samples, 1 / RATE_HZ), 20.0)
        white = np.fft.irfft(np.fft.rfft(white) / np.sqrt(frequencies_hz), samples)
    if colour == "modulated":
        white = white * 10 ** (0.15 * np.sin(2 * np.pi * 2 * np.arange(samples) / RATE_HZ))
    return white / np.sqrt(np.mean(white**2))


def mixed(tmp_path: Path, speech: np.ndarray, added: np.ndarray, snr_db: float) -> tuple[Path, np.ndarray]:
    """A file of speech with noise of unit power added, and its probabilities."""
    power = speech_power(speech, speech_probabilities(write(tmp_path / "clean.wav", speech)))
    samples = speech + added * np.sqrt(power / 10 ** (snr_db / 10))
    path = write(tmp_path / "mixed.wav", samples * min(1.0, 0.98 / np.abs(samples).max()))
    return path, speech_probabilities(path)


@pytest.fixture(scope="module")
def sample() -> np.ndarray:
    """A telephone call of 30 s with two speakers."""
    samples, _ = soundfile.read(str(SAMPLE), dtype="float32")
    return samples


@pytest.mark.parametrize("colour", ["white", "pink", "modulated"])
@pytest.mark.parametrize("snr_db", [5, 10, 15, 20, 30])
def test_a_mixture_reads_its_ratio(tmp_path, sample, colour, snr_db):
    path, probabilities = mixed(tmp_path, sample, noise(colour, len(sample)), snr_db)
    found = recording_snr(path, probabilities)
    assert found.db <= snr_db + 2
    assert found.db >= snr_db - 2 or snr_db > 15
    assert found.wada_db <= snr_db + 6 or snr_db > 10
    assert found.db == min(found.wada_db, found.vad_db)


@pytest.mark.parametrize("snr_db", [5, 10, 15])
def test_without_pauses_wada_is_what_there_is(tmp_path, sample, snr_db):
    path, probabilities = mixed(tmp_path, sample, noise("white", len(sample)), snr_db)
    samples, _ = soundfile.read(path, dtype="float32")
    kept = samples[np.repeat(probabilities >= 0.5, FRAME_SAMPLES)[: len(samples)]]
    found = chunk_snr(kept, np.ones(-(-len(kept) // FRAME_SAMPLES), np.float32))
    assert found.vad_db is None
    assert found.db == found.wada_db == pytest.approx(snr_db, abs=4)


@pytest.mark.parametrize("snr_db", [5, 15, 25])
def test_gamma_speech_in_noise_reads_its_ratio_by_wada(snr_db):
    """The model itself: amplitudes of a gamma distribution, and Gaussian noise."""
    rng = np.random.default_rng(3)
    speech = rng.gamma(0.55, size=RATE_HZ * 20) * rng.choice([-1, 1], RATE_HZ * 20)
    speech *= 0.02 / np.sqrt(np.mean(speech**2))
    samples = speech + rng.normal(size=speech.size) * 0.02 / 10 ** (snr_db / 20)
    found = chunk_snr(samples.astype(np.float32), np.ones(-(-samples.size // FRAME_SAMPLES), np.float32))
    assert found.wada_db == pytest.approx(snr_db, abs=0.5)


def test_digital_silence_in_the_pauses_is_not_a_good_ratio(tmp_path, sample):
    path, probabilities = mixed(tmp_path, sample, noise("white", len(sample)), 5)
    samples, _ = soundfile.read(path, dtype="float32")
    gated = samples * np.repeat(probabilities >= 0.5, FRAME_SAMPLES)[: len(samples)]
    found = recording_snr(write(tmp_path / "gated.wav", gated), probabilities)
    assert found.vad_db is None
    assert found.db == pytest.approx(5, abs=4)
    padded = np.concatenate([samples, np.zeros(30 * RATE_HZ, np.float32)])
    path = write(tmp_path / "padded.wav", padded)
    longer = np.pad(probabilities, (0, -(-len(padded) // FRAME_SAMPLES) - len(probabilities)))
    assert recording_snr(path, longer).db == pytest.approx(5, abs=2)


def test_values_have_bounds(tmp_path):
    tone = 0.5 * np.sin(2 * np.pi * 200 * np.arange(4 * RATE_HZ) / RATE_HZ) * (np.arange(4 * RATE_HZ) % 16_000 < 8_000)
    probabilities = (np.arange(125) * FRAME_SAMPLES % 16_000 < 8_000).astype(np.float32)
    assert recording_snr(write(tmp_path / "tone.wav", tone), probabilities).db <= HIGHEST_DB
    found = recording_snr(write(tmp_path / "noise.wav", 0.1 * noise("white", 4 * RATE_HZ)), probabilities)
    assert found.db <= -10
    assert found.db >= LOWEST_DB


@pytest.mark.parametrize("samples", [np.zeros(0), np.zeros(RATE_HZ), 0.01 * np.ones(RATE_HZ)])
def test_without_speech_there_is_no_ratio(tmp_path, samples):
    probabilities = np.zeros(-(-len(samples) // FRAME_SAMPLES), np.float32)
    assert recording_snr(write(tmp_path / "a.wav", samples), probabilities) == Snr(None, None)
    assert chunk_snr(samples.astype(np.float32), probabilities) == Snr(None, None)
    assert Snr(None, None).db is None
    assert Snr(12.0, None).db == 12.0
    assert Snr(12.0, 9.0).db == 9.0


def test_a_constant_offset_is_no_noise(tmp_path, sample):
    path, probabilities = mixed(tmp_path, sample, noise("white", len(sample)), 15)
    samples, _ = soundfile.read(path, dtype="float32")
    found = recording_snr(write(tmp_path / "offset.wav", samples * 0.5 + 0.2), probabilities)
    assert found.db == pytest.approx(recording_snr(path, probabilities).db, abs=0.2)


def test_only_usable_frames_count(tmp_path, sample):
    path, probabilities = mixed(tmp_path, sample, noise("white", len(sample)), 15)
    samples, _ = soundfile.read(path, dtype="float32")
    applause = 0.3 * noise("white", 10 * 31 * FRAME_SAMPLES)
    whole = FRAME_SAMPLES * len(probabilities)
    path = write(tmp_path / "longer.wav", np.concatenate([np.pad(samples, (0, whole - len(samples))), applause]))
    longer = np.pad(probabilities, (0, 310))
    usable = np.arange(len(longer)) < len(probabilities)
    assert recording_snr(path, longer, usable=usable).db == pytest.approx(15, abs=2)
    assert recording_snr(path, longer).db < 10


def test_arrays_of_another_recording_are_refused(tmp_path):
    path = write(tmp_path / "a.wav", np.zeros(RATE_HZ))
    with pytest.raises(ValueError, match="32 frames of 512 samples, but there are 31 probabilities"):
        recording_snr(path, np.zeros(31, np.float32))
    with pytest.raises(ValueError, match="and 3 usable flags"):
        recording_snr(path, np.zeros(32, np.float32), usable=np.ones(3, bool))
    with pytest.raises(ValueError, match="16000 samples are 32 frames, but there are 12 probabilities"):
        chunk_snr(np.zeros(RATE_HZ, np.float32), np.zeros(12, np.float32))
    soundfile.write(tmp_path / "b.wav", np.zeros(100), 8_000)
    with pytest.raises(ValueError, match="8000 Hz"):
        recording_snr(tmp_path / "b.wav", np.zeros(1, np.float32))


def test_a_chunk_borrows_the_noise_around_it(tmp_path, sample):
    path, probabilities = mixed(tmp_path, sample, noise("white", len(sample)), 10)
    samples, _ = soundfile.read(path, dtype="float32")
    floor = NoiseFloor(frame_powers(path), probabilities)
    speech = np.flatnonzero(probabilities >= 0.5)
    first = next(int(f) for f in speech if (probabilities[f : f + 40] >= 0.5).all())
    start, end = first * FRAME_SAMPLES, (first + 40) * FRAME_SAMPLES
    stretch = frames_between(start, end)
    assert stretch == slice(first, first + 40)
    alone = chunk_snr(samples[start:end], probabilities[stretch])
    borrowed = chunk_snr(samples[start:end], probabilities[stretch], noise_power=floor.noise_power_around(start, end))
    local_db = 10 * np.log10(np.mean(samples[start:end] ** 2) / floor.noise_power() - 1)
    assert alone.vad_db is None
    assert borrowed.vad_db == pytest.approx(local_db, abs=0.5)


def test_noise_is_borrowed_from_nearby():
    """Quiet pauses in the first minute, loud ones in the second."""
    powers = np.where(np.arange(3750) < 1875, 1e-6, 1e-4)
    probabilities = (np.arange(3750) % 100 < 60).astype(np.float32)
    floor = NoiseFloor(np.where(probabilities > 0, 1e-2, powers), probabilities)
    minute = 60 * RATE_HZ
    assert floor.noise_power_around(0, minute // 2) == pytest.approx(1e-6)
    assert floor.noise_power_around(minute + minute // 2, 2 * minute) == pytest.approx(1e-4)
    assert NoiseFloor(powers, np.ones(3750)).noise_power_around(0, minute) is None
    far = np.ones(3750)
    far[-30:] = 0
    assert NoiseFloor(powers, far).noise_power_around(0, RATE_HZ) is None
    assert NoiseFloor(powers, far).noise_power_around(minute + minute // 2, 2 * minute) == pytest.approx(1e-4)


@pytest.mark.parametrize("recording", RECORDINGS)
@pytest.mark.parametrize("colour", ["white", pytest.param("pink", marks=pytest.mark.prove), "kitchen"])
def test_recordings_with_noise_read_its_ratio(test_data, tmp_path, recording, colour):
    speech = speech_of(test_data, tmp_path, recording)
    if colour == "kitchen":
        added, _ = soundfile.read(test_data / "audio/mix_music_noise/doing_the_dishes.wav", dtype="float64")
        added = np.resize(added, len(speech))
        added /= np.sqrt(np.mean(added**2))
    else:
        added = noise(colour, len(speech))
    # The noise of a kitchen comes and goes: what is in the few pauses of a short recording is a sample of it.
    tolerance_db = 3 if colour == "kitchen" else 2
    for snr_db in (5, 15, 30) if colour == "kitchen" else (5, 10, 15, 20, 30):
        path, probabilities = mixed(tmp_path, speech, added, snr_db)
        found = recording_snr(path, probabilities)
        assert found.db <= snr_db + tolerance_db, (recording, colour, snr_db, found)
        assert found.db >= snr_db - 2 or snr_db > 15, (recording, colour, snr_db, found)


@pytest.mark.parametrize("recording", ["jfk", "columbia", "lj", "libri 1089"])
def test_chunks_of_clean_speech_pass_the_gate(test_data, tmp_path, recording):
    speech = speech_of(test_data, tmp_path, recording)
    path = write(tmp_path / "a.wav", speech)
    probabilities, powers = speech_probabilities(path), frame_powers(path)
    floor = NoiseFloor(powers, probabilities)
    energies_db = 10 * np.log10(np.maximum(powers, 1e-12))
    assert recording_snr(path, probabilities).db > 20
    for chunk in cut_chunks(probabilities, energies_db, total_samples=len(speech)):
        start, end = chunk.start_sample, chunk.end_sample
        found = chunk_snr(
            speech[start:end],
            probabilities[frames_between(start, end)],
            noise_power=floor.noise_power_around(start, end),
        )
        assert found.db > 18 or chunk.status != "accepted", (start, end, found)


def speech_of(test_data: Path, tmp_path: Path, recording: str) -> np.ndarray:
    pieces = []
    for name in RECORDINGS[recording]:
        standardise(test_data / "audio" / name, tmp_path / "piece.wav")
        pieces.append(soundfile.read(tmp_path / "piece.wav", dtype="float32")[0])
    return np.concatenate(pieces)[: 30 * RATE_HZ]
