"""Separation with demucs's real code on a tiny model: blocks, alignment, memory, and what is refused to load."""

import hashlib
import io
import os
import pickle
import subprocess
import sys
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import soxr

from stt_platform.audio import SAMPLE_RATE_HZ
from stt_platform.audio.demucs_weights import SeparatorUnavailable, load_demucs
from stt_platform.audio.separate import Separation, separate_speech
from stt_platform.audio.standardise import standardise

SOURCES = ["drums", "bass", "other", "vocals"]
SIGNATURE = "0123abcd"
STEP = 1 / 32768


def tiny_package(**changes: Any) -> dict[str, Any]:
    """What demucs keeps in a checkpoint, of an HTDemucs with a few thousand random weights."""
    import torch
    from demucs.htdemucs import HTDemucs
    from demucs.states import get_state

    torch.manual_seed(7)
    model = HTDemucs(
        SOURCES,
        channels=2,
        nfft=1024,
        depth=3,
        dconv_comp=1,
        dconv_depth=1,
        t_layers=1,
        t_heads=2,
        t_hidden_scale=1.0,
        segment=Fraction(7, 10),
    )
    with torch.no_grad():
        # Untrained weights give next to nothing: a difference between two ways must be heard.
        model.decoder[-1].conv_tr.weight *= 100
        model.tdecoder[-1].conv_tr.weight *= 300
    args, kwargs = model._init_args_kwargs
    # The published checkpoints hold numbers of numpy in what they tell of their training.
    training = {"epochs": 360, "best_loss": np.float64(0.2)}
    package = {
        "klass": HTDemucs,
        "args": args,
        "kwargs": kwargs,
        "state": get_state(model, None, half=True),
        "training_args": training,
    }
    return package | changes


def write_checkpoint(folder: Path, package: Any) -> Path:
    """As demucs publishes it: SIGNATURE-CHECKSUM.th, and a bag of that one model."""
    from demucs.states import save_with_checksum

    folder.mkdir(exist_ok=True)
    save_with_checksum(package, folder / f"{SIGNATURE}.th")
    (folder / "tiny.yaml").write_text(f"models: ['{SIGNATURE}']\n")
    return next(folder.glob("*.th"))


@pytest.fixture(scope="module")
def repo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("repo")
    write_checkpoint(folder, tiny_package())
    return folder


@pytest.fixture(scope="module")
def tiny(repo: Path) -> Iterator[Any]:
    import torch

    threads = torch.get_num_threads()
    # More threads only wait for each other on layers of this size.
    torch.set_num_threads(1)
    yield load_demucs("tiny", repo)
    torch.set_num_threads(threads)


def every_stem(gain: float, channels: int = 2) -> Any:
    """A model whose stems are `gain` times what it hears."""
    import torch

    class EveryStem(torch.nn.Module):
        samplerate, segment, audio_channels, sources = 44100, Fraction(7, 10), channels, SOURCES

        def forward(self, mix: Any) -> Any:
            return gain * mix[:, None].expand(-1, len(SOURCES), -1, -1)

    return EveryStem()


def noise(duration_s: float, rate_hz: int, channels: int, seed: int = 3, highest_hz: float = 6000.0) -> np.ndarray:
    """Noise below `highest_hz` that comes and goes, as `(samples, channels)`, so that any shift shows.

    It begins and ends softly: a jump would reach over the band that all resamplers pass alike.
    """
    samples = round(duration_s * rate_hz)
    spectrum = np.fft.rfft(np.random.default_rng(seed).standard_normal((samples, channels)), axis=0)
    spectrum[np.fft.rfftfreq(samples, 1 / rate_hz) > highest_hz] = 0
    sound = np.fft.irfft(spectrum, samples, axis=0)
    envelope = 0.6 + 0.4 * np.sin(2 * np.pi * 1.3 * np.arange(samples) / rate_hz)
    ends = np.minimum(1.0, np.minimum(np.arange(samples), np.arange(samples)[::-1]) / (0.05 * rate_hz))
    return (0.1 * sound / sound.std() * (envelope * ends)[:, None]).astype(np.float32)


def recording(folder: Path, sound: np.ndarray, rate_hz: int, downmix: Any = "mean") -> tuple[Path, Path]:
    original, standard = folder / "original.wav", folder / "standard.wav"
    soundfile.write(original, sound, rate_hz, subtype="FLOAT")
    standardise(original, standard, downmix=downmix)
    return original, standard


def samples_of(path: Path) -> np.ndarray:
    return soundfile.read(path, dtype="float32")[0]


def give(model: Any) -> Callable[[], Any]:
    return lambda: model


@pytest.mark.parametrize(("duration_s", "overlap"), [(0.4, 0.25), (2.1, 0.25), (6.3, 0.25), (3.0, 0.6), (2.0, 0.0)])
def test_in_blocks_as_in_one_piece(tmp_path: Path, repo: Path, tiny: Any, duration_s: float, overlap: float) -> None:
    import torch
    from demucs.api import Separator

    sound = noise(duration_s, 44100, 2)
    original, standard = recording(tmp_path, sound, 44100)
    out = tmp_path / "out.wav"
    total = soundfile.info(standard).frames
    separate_speech(original, standard, out, [(0, total)], load_model=give(tiny), overlap=overlap)

    one_piece = Separator("tiny", repo, device="cpu", shifts=0, overlap=overlap)
    _, stems = one_piece.separate_tensor(torch.from_numpy(sound.T.copy()), 44100)
    expected = soxr.resample(stems["vocals"].mean(0).numpy(), 44100, SAMPLE_RATE_HZ)
    found = samples_of(out)
    assert found.size == total
    assert 0.01 < expected.std() < 0.3, "the tiny model is silent or clips: the comparison would say nothing"
    assert np.abs(samples_of(standard) - found).max() > 0.05
    # Not only away from the ends, and to the rounding of 16 bits.
    length = min(total, expected.size)
    assert np.abs(found[:length] - expected[:length]).max() <= 1e-4


@pytest.mark.parametrize(
    ("rate_hz", "channels"),
    [(44100, 2), (44100, 1), (48000, 2), (48000, 1), (16000, 1), (22050, 2), (96000, 1), (48000, 6)],
)
def test_a_model_that_changes_nothing_gives_the_standard_audio(tmp_path: Path, rate_hz: int, channels: int) -> None:
    original, standard = recording(tmp_path, noise(21.3, rate_hz, channels), rate_hz)
    out = tmp_path / "out.wav"
    spans = [(0, 8123), (8123, 50001), (10 * 16000 + 77, 10 * 16000 + 4000), (330_000, 340_800)]
    total = soundfile.info(standard).frames
    assert spans[-1][1] == total
    result = separate_speech(original, standard, out, spans, load_model=give(every_stem(1.0)))
    # One step for the 16 bits of the standard audio, one for ours, and the ripple of two resamplers.
    assert np.abs(samples_of(out) - samples_of(standard)).max() <= 3 * STEP
    assert min(span.vocals_to_rest_db for span in result.spans) > 50


def test_one_mean_and_one_deviation_for_a_whole_stretch(tmp_path: Path) -> None:
    import torch

    class Squash(type(every_stem(1.0))):
        """HTDemucs evens out the level of a segment by itself; this one shows at what level it is called."""

        def forward(self, mix: Any) -> Any:
            return super().forward(torch.tanh(mix))

    sound = noise(6.0, 44100, 2) * np.linspace(0.02, 1, 6 * 44100, dtype=np.float32)[:, None] + np.float32(0.05)
    original, standard = recording(tmp_path, sound, 44100)
    separate_speech(original, standard, tmp_path / "out.wav", [(0, 96_000)], load_model=Squash)
    reference = sound.mean(axis=1)
    mean, deviation = reference.mean(), reference.std(ddof=1)
    squashed = np.tanh((sound - mean) / deviation) * deviation + mean
    expected = soxr.resample(squashed.mean(axis=1), 44100, SAMPLE_RATE_HZ)
    # The recording begins and ends with a jump to its offset, which two resamplers round in their own ways.
    inner = slice(320, -320)
    assert np.abs(samples_of(tmp_path / "out.wav") - expected)[inner].max() <= 1e-4


@pytest.mark.parametrize("anti_phase", [False, True])
def test_a_chosen_channel_is_heard_alone(tmp_path: Path, anti_phase: bool) -> None:
    left = noise(3.0, 44100, 1)
    right = -left if anti_phase else noise(3.0, 44100, 1, seed=9)
    original, standard = recording(tmp_path, np.hstack((right, left)), 44100, downmix=1)
    out = tmp_path / "out.wav"
    separate_speech(original, standard, out, [(0, 48000)], load_model=give(every_stem(1.0)), downmix=1)
    assert np.abs(samples_of(out) - samples_of(standard)).max() <= 3 * STEP


def test_stereo_reaches_the_model_as_stereo(tmp_path: Path) -> None:
    import torch

    heard = []

    class Listener(type(every_stem(1.0))):
        def forward(self, mix: Any) -> Any:
            heard.append(float(torch.abs(mix[:, 0] - mix[:, 1]).max()))
            return super().forward(mix)

    for channels in (1, 2):
        original, standard = recording(tmp_path, noise(1.0, 48000, channels), 48000)
        separate_speech(original, standard, tmp_path / "out.wav", [(0, 16000)], load_model=Listener)
    mono, stereo = heard[: len(heard) // 2], heard[len(heard) // 2 :]
    assert max(mono) == 0.0
    assert min(stereo) > 0.5


def test_only_the_spans_change_and_their_ends_fade(tmp_path: Path) -> None:
    original, standard = recording(tmp_path, noise(30.0, 48000, 1), 48000)
    out = tmp_path / "out.wav"
    total = 480_000
    spans = [(0, 16000), (16000, 20000), (100_001, 100_004), (160_000, 320_000), (470_000, total)]
    result = separate_speech(original, standard, out, spans, load_model=give(every_stem(0.0)), fade_ms=20)
    before, after = samples_of(standard), samples_of(out)
    inside = np.zeros(total, bool)
    for start, end in spans:
        inside[start:end] = True
    assert np.array_equal(after[~inside], before[~inside])
    silent = [(0, 20000 - 320), (160_320, 319_680), (470_320, total)]
    for start, end in silent:
        # Demucs gives every stem the offset of the recording back: that is all that is left here.
        assert np.abs(after[start:end]).max() < 1e-3, f"music came back in {start}–{end}"
    share = np.linspace(1, 1 / 320, 320)
    assert np.abs(after[19_680:20_000] - before[19_680:20_000] * (1 - share)).max() <= 1e-3
    assert result == Separation(samples=total, separated_samples=int(inside.sum()), spans=result.spans)
    assert result.separated_s == inside.sum() / 16000
    assert [(span.start_sample, span.end_sample) for span in result.spans] == spans
    assert max(span.vocals_to_rest_db for span in result.spans) < -50


def test_a_span_hears_its_surroundings(tmp_path: Path, tiny: Any) -> None:
    original, standard = recording(tmp_path, noise(12.0, 44100, 2), 44100)
    short, long = tmp_path / "short.wav", tmp_path / "long.wav"
    span = (5 * 16000 + 100, 5 * 16000 + 5000)
    separate_speech(original, standard, short, [span], load_model=give(tiny), context_s=2)
    separate_speech(original, standard, long, [(3 * 16000, 8 * 16000)], load_model=give(tiny), context_s=0)
    inner = slice(span[0] + 320, span[1] - 320)
    assert np.abs(samples_of(short)[inner] - samples_of(long)[inner]).max() <= 1e-4


def test_the_energies_of_both_sides(tmp_path: Path) -> None:
    original, standard = recording(tmp_path, noise(4.0, 48000, 1), 48000)
    result = separate_speech(
        original, standard, tmp_path / "out.wav", [(8000, 56000)], load_model=give(every_stem(0.75))
    )
    assert result.spans[0].vocals_to_rest_db == pytest.approx(20 * np.log10(3), abs=0.02)


def test_without_spans_the_file_is_the_same_and_no_model_is_loaded(tmp_path: Path) -> None:
    original, standard = recording(tmp_path, noise(1.0, 48000, 1), 48000)
    out = tmp_path / "out.wav"
    result = separate_speech(original, standard, out, [], load_model=lambda: pytest.fail("a model was loaded"))
    assert out.read_bytes() == standard.read_bytes()
    assert (result.samples, result.separated_s, result.spans) == (16000, 0.0, ())


def test_twice_the_same_bytes_and_progress_to_the_end(tmp_path: Path, tiny: Any) -> None:
    original, standard = recording(tmp_path, noise(5.0, 48000, 2), 48000)
    outs, done = [tmp_path / "a.wav", tmp_path / "b.wav"], []
    for out in outs:
        separate_speech(original, standard, out, [(20_000, 60_000)], load_model=give(tiny), progress=done.append)
    assert outs[0].read_bytes() == outs[1].read_bytes()
    once = done[: len(done) // 2]
    assert once == sorted(once)
    assert once[-1] == 2.5
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.wav", "b.wav", "original.wav", "standard.wav"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"spans": [(0, 0)]}, ["0–0", "32000"]),
        ({"spans": [(-1, 5)]}, ["-1–5"]),
        ({"spans": [(0, 32001)]}, ["32001"]),
        ({"spans": [(100, 300), (200, 400)]}, ["100–300", "200–400", "overlap"]),
        ({"spans": [(300, 400), (100, 200)]}, ["out of order"]),
        ({"overlap": 1.0}, ["overlap", "1.0"]),
        ({"downmix": 2}, ["original.wav", "no channel 2"]),
    ],
)
def test_wrong_arguments_are_named(tmp_path: Path, arguments: dict[str, Any], words: list[str]) -> None:
    original, standard = recording(tmp_path, noise(2.0, 48000, 2), 48000)
    given = {"spans": [(0, 100)], "load_model": give(every_stem(1.0))} | arguments
    with pytest.raises(ValueError) as error:
        separate_speech(original, standard, tmp_path / "out.wav", **given)
    assert all(word in str(error.value) for word in words), str(error.value)


def test_another_recording_and_another_model_are_refused(tmp_path: Path) -> None:
    _, standard = recording(tmp_path, noise(8.0, 48000, 1), 48000)
    shorter = tmp_path / "shorter.wav"
    soundfile.write(shorter, noise(3.0, 48000, 1), 48000)
    for span in [(32_000, 96_000), (120_000, 128_000)]:
        with pytest.raises(ValueError, match=r"'shorter\.wav' ends at"):
            separate_speech(
                shorter, standard, tmp_path / "out.wav", [span], load_model=give(every_stem(1.0)), context_s=0
            )
    with pytest.raises(ValueError, match="48000 Hz"):
        separate_speech(shorter, shorter, tmp_path / "out.wav", [(0, 9)], load_model=give(every_stem(1.0)))
    model = every_stem(1.0)
    model.sources = ["noise", "speech"]
    with pytest.raises(ValueError, match="no stem 'vocals', but noise, speech"):
        separate_speech(shorter, standard, tmp_path / "out.wav", [(0, 9)], load_model=give(model))


MEMORY = """
import resource, sys
from fractions import Fraction
from pathlib import Path
import torch, demucs.apply
from stt_platform.audio.separate import separate_speech

class Half(torch.nn.Module):
    samplerate, segment, audio_channels, sources = 44100, Fraction(39, 5), 2, ["other", "vocals"]
    def forward(self, mix):
        return torch.stack((0.5 * mix, 0.5 * mix), 1)

torch.set_num_threads(1)
folder = Path(sys.argv[1])
peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
before = peak()
minutes = int(sys.argv[2])
span = (0, minutes * 60 * 16000)
separate_speech(folder / "original.wav", folder / "standard.wav", folder / "out.wav", [span], load_model=Half)
print(peak() - before, peak())
"""


def test_a_long_span_stays_in_bounded_memory(tmp_path: Path) -> None:
    minutes = 20
    minute = (noise(60.0, 44100, 2) * 32767).astype(np.int16)
    with soundfile.SoundFile(tmp_path / "original.wav", "w", 44100, 2, subtype="PCM_16") as file:
        for _ in range(minutes):
            file.write(minute)
    standardise(tmp_path / "original.wav", tmp_path / "standard.wav")
    command = [sys.executable, "-c", MEMORY, str(tmp_path), str(minutes)]
    done = subprocess.run(
        command, capture_output=True, text=True, check=True, env=os.environ | {"OMP_NUM_THREADS": "1"}
    )
    grown_mb, _ = map(float, done.stdout.split())
    # The input alone, in one piece, is 423 MB at the model's rate, and its two stems twice that.
    assert grown_mb < 150, done.stdout
    standard, out = samples_of(tmp_path / "standard.wav"), samples_of(tmp_path / "out.wav")
    assert np.abs(out - 0.5 * standard).max() <= 3 * STEP


def test_weights_are_those_that_demucs_loads(repo: Path, tiny: Any) -> None:
    import torch
    from demucs.pretrained import get_model

    theirs = get_model("tiny", repo)
    assert tiny.sources == theirs.sources == SOURCES
    assert tiny.samplerate == 44100
    assert not tiny.training
    for ours, other in zip(tiny.parameters(), theirs.parameters(), strict=True):
        assert torch.equal(ours, other)


def write_safetensors(path: Path, klass: str, **more: str) -> None:
    import json

    from safetensors.torch import save_file

    package = tiny_package()
    kwargs = package["kwargs"] | {"segment": {"_type": "fraction", "numerator": 7, "denominator": 10}}
    metadata = {"klass": klass, "args": json.dumps(list(package["args"])), "kwargs": json.dumps(kwargs), **more}
    save_file({key: value.contiguous() for key, value in package["state"].items()}, path, metadata)


def test_safetensors_are_preferred_and_give_the_same_model(tmp_path: Path, tiny: Any) -> None:
    import torch

    write_safetensors(tmp_path / "955717e8.safetensors", "demucs.htdemucs.HTDemucs")
    (tmp_path / "955717e8-00000000.th").write_bytes(b"not looked at")
    # demucs itself knows which model `htdemucs` is: no yaml is needed.
    loaded = load_demucs("htdemucs", tmp_path)
    for ours, other in zip(loaded.parameters(), tiny.parameters(), strict=True):
        assert torch.equal(ours, other)


class Harm:
    """A pickle that makes a file when it is loaded."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return Path.touch, (self.path,)


def test_a_checkpoint_that_would_run_code_is_not_loaded(tmp_path: Path) -> None:
    mark = tmp_path / "harm"
    write_checkpoint(tmp_path / "pickle", tiny_package(training_args=Harm(mark)))
    with pytest.raises(SeparatorUnavailable, match="more than the weights"):
        load_demucs("tiny", tmp_path / "pickle")
    (tmp_path / "call").mkdir()
    (tmp_path / "call" / "tiny.yaml").write_text(f"models: ['{SIGNATURE}']\n")
    for klass, more in [("os.mkdir", {}), ("demucs.htdemucs.HTDemucs", {"structure": '{"_class": "os.mkdir"}'})]:
        write_safetensors(tmp_path / "call" / f"{SIGNATURE}.safetensors", klass, **more)
        with pytest.raises(SeparatorUnavailable, match="no plain HTDemucs"):
            load_demucs("tiny", tmp_path / "call")
    assert not mark.exists()


def of_another_class() -> bytes:
    buffer = io.BytesIO()
    import torch

    torch.save({"klass": Fraction, "args": (1, 2), "kwargs": {}, "state": {}}, buffer)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("content", "checksum", "words"),
    [
        (b"damaged", "00000000", ["is damaged", "fetch it again"]),
        (b"damaged", "", ["no checksum"]),
        (b"damaged", "00", ["no checksum"]),
        (b"no checkpoint", None, ["no such file"]),
        (pickle.dumps({"klass": dict}, protocol=2), None, ["not loaded"]),
        (of_another_class(), None, ["no HTDemucs"]),
    ],
)
def test_other_files_are_refused(tmp_path: Path, content: bytes, checksum: str | None, words: list[str]) -> None:
    if checksum is None:
        checksum = hashlib.sha256(content).hexdigest()[:8]
    path = tmp_path / (f"{SIGNATURE}-{checksum}.th" if checksum else f"{SIGNATURE}.th")
    path.write_bytes(content)
    (tmp_path / "tiny.yaml").write_text(f"models: ['{SIGNATURE}']\n")
    with pytest.raises(SeparatorUnavailable) as error:
        load_demucs("tiny", tmp_path)
    assert all(word in str(error.value) for word in [*words, str(path)]), str(error.value)


@pytest.mark.parametrize("name", ["htdemucs", "no_such_model", "../tiny"])
def test_a_missing_model_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    with pytest.raises(SeparatorUnavailable) as local:
        load_demucs(name, tmp_path)
    with pytest.raises(SeparatorUnavailable) as hub:
        load_demucs(name, revision="0" * 40)
    with pytest.raises(SeparatorUnavailable) as neither:
        load_demucs(name)
    for error, place in [(local, str(tmp_path)), (hub, "on the model hub"), (neither, "nowhere")]:
        assert all(word in str(error.value) for word in [repr(name), place, "switch separation off"]), str(error.value)
    assert ("955717e8-8726e21a.th" in str(local.value)) == (name == "htdemucs")


def test_two_files_of_one_model_are_not_guessed_between(tmp_path: Path) -> None:
    for checksum in ("00000000", "11111111"):
        (tmp_path / f"955717e8-{checksum}.th").touch()
    with pytest.raises(SeparatorUnavailable, match="keep one"):
        load_demucs("htdemucs", tmp_path)
