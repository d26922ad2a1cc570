"""Speech probabilities and regions, against Silero's own code."""

import subprocess
import sys
from importlib.metadata import version
from importlib.resources import files

import numpy as np
import pytest
import soundfile

from stt_platform.audio.vad import (
    FRAME_SAMPLES,
    VAD_MODEL,
    Region,
    frame_energies_db,
    probabilities_of_blocks,
    speech_probabilities,
    speech_regions,
)

SAMPLE = files("pyannote.audio") / "sample" / "sample.wav"


@pytest.fixture(scope="module")
def speech():
    samples, rate = soundfile.read(str(SAMPLE), dtype="float32")
    assert rate == 16_000
    return samples


@pytest.mark.parametrize("frames_per_block", [1, 7, 512])
def test_blocks_give_exactly_what_one_piece_gives(speech, frames_per_block):
    size = frames_per_block * FRAME_SAMPLES
    blocks = (speech[i : i + size] for i in range(0, speech.size, size))
    np.testing.assert_array_equal(probabilities_of_blocks(blocks), probabilities_of_blocks([speech]))


def test_a_file_gives_what_silero_gives(speech):
    import torch
    from silero_vad import load_silero_vad

    threads = torch.get_num_threads()
    model = load_silero_vad(onnx=True)
    torch.set_num_threads(threads)
    padded = np.pad(speech, (0, -speech.size % FRAME_SAMPLES)).reshape(-1, FRAME_SAMPLES)
    expected = np.array([model(torch.from_numpy(frame), 16_000).item() for frame in padded], dtype=np.float32)

    found = speech_probabilities(SAMPLE)

    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, expected)


def test_the_name_of_the_model_is_that_of_the_installed_one():
    assert f"silero-vad {version('silero-vad')}," in VAD_MODEL


def test_torch_is_not_imported():
    code = (
        "import sys; from stt_platform.audio.vad import probabilities_of_blocks; import numpy; "
        "probabilities_of_blocks([numpy.zeros(512, 'float32')]); sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize(("samples", "frames"), [(0, 0), (1, 1), (512, 1), (513, 2)])
def test_one_value_per_started_frame(tmp_path, samples, frames):
    path = tmp_path / "audio.wav"
    soundfile.write(path, np.zeros(samples, dtype=np.float32), 16_000, subtype="PCM_16")
    assert speech_probabilities(path).shape == (frames,)
    assert frame_energies_db(path).shape == (frames,)


def test_silence_is_not_speech(tmp_path):
    path = tmp_path / "silence.wav"
    soundfile.write(path, np.zeros(160_000, dtype=np.float32), 16_000, subtype="PCM_16")
    assert speech_probabilities(path).max() < 0.5
    assert frame_energies_db(path).max() == -120.0


def test_energy_of_a_sine(tmp_path):
    path = tmp_path / "sine.wav"
    # 1 kHz has a whole number of periods in 512 samples; its power is half of its squared peak.
    sine = 0.5 * np.sin(2 * np.pi * 1000 * np.arange(5120) / 16_000)
    soundfile.write(path, sine, 16_000, subtype="PCM_16")
    np.testing.assert_allclose(frame_energies_db(path), 20 * np.log10(0.5) - 10 * np.log10(2), atol=0.01)


@pytest.mark.parametrize(("rate", "channels"), [(8_000, 1), (44_100, 1), (16_000, 2)])
def test_another_rate_or_stereo_is_refused_by_name(tmp_path, rate, channels):
    path = tmp_path / "other.wav"
    soundfile.write(path, np.zeros((rate, channels), dtype=np.float32), rate, subtype="PCM_16")
    with pytest.raises(ValueError, match=r"other\.wav.*16000 Hz mono"):
        speech_probabilities(path)


@pytest.mark.parametrize(
    ("runs", "expected"),
    [
        ([], []),
        ([(0.0, 100)], []),
        ([(0.0, 10), (0.9, 40), (0.0, 20)], [Region(10 * 512, 50 * 512)]),
        # Between the thresholds a region goes on, but none begins.
        ([(0.0, 10), (0.4, 20), (0.9, 40), (0.4, 20), (0.0, 20)], [Region(30 * 512, 90 * 512)]),
        # 9 frames of pause are shorter than 300 ms, 12 are longer.
        ([(0.9, 40), (0.0, 9), (0.9, 40), (0.0, 20)], [Region(0, 89 * 512)]),
        ([(0.9, 40), (0.0, 12), (0.9, 40), (0.0, 20)], [Region(0, 40 * 512), Region(52 * 512, 92 * 512)]),
        # 15 frames of speech are shorter than 500 ms.
        ([(0.0, 20), (0.9, 15), (0.0, 20)], []),
        ([(0.0, 20), (0.9, 40)], [Region(20 * 512, 60 * 512)]),
    ],
)
def test_regions(runs, expected):
    probabilities = np.concatenate([[], *(np.full(n, p) for p, n in runs)]).astype(np.float32)
    assert speech_regions(probabilities, total_samples=probabilities.size * 512) == expected


@pytest.mark.parametrize(
    ("threshold", "min_speech_ms", "min_silence_ms"),
    [(0.5, 500, 300), (0.5, 250, 100), (0.5, 0, 0), (0.3, 0, 64), (0.7, 500, 128)],
)
def test_regions_are_those_of_silero(threshold, min_speech_ms, min_silence_ms):
    from silero_vad import get_speech_timestamps_from_probs

    rng = np.random.default_rng(20260101)
    for _ in range(100):
        frames = int(rng.integers(0, 400))
        probabilities = (0.5 + 0.5 * np.sin(np.cumsum(rng.normal(0, 0.25, frames)))).astype(np.float32)
        total_samples = max(0, frames * 512 - int(rng.integers(0, 512)))
        expected = get_speech_timestamps_from_probs(
            probabilities.tolist(),
            threshold=threshold,
            min_speech_duration_ms=min_speech_ms,
            min_silence_duration_ms=min_silence_ms,
            speech_pad_ms=0,
            audio_length_samples=total_samples,
        )
        found = speech_regions(
            probabilities,
            total_samples=total_samples,
            threshold=threshold,
            min_speech_ms=min_speech_ms,
            min_silence_ms=min_silence_ms,
        )
        assert found == [Region(r["start"], r["end"]) for r in expected]
