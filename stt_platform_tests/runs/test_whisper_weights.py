"""The model that is trained is the model that is served, and comes back as one that is served."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from stt_platform.audio.reading import read_stretch
from stt_platform.models.ctranslate2_file import read_ctranslate2
from stt_platform.models.registry import ModelMissing, model
from stt_platform.models.whisper_weights import convert_whisper, whisper_folder
from stt_platform.speech.recognisers.base import ChunkSpan
from stt_platform.speech.recognisers.faster_whisper import FasterWhisper
from stt_platform.speech.voices import Preacher, speak
from stt_platform.training.whisper_data import WhisperExample, prepare
from stt_platform.training.whisper_export import export_whisper, merge_whisper
from stt_platform.training.whisper_lora import WhisperLoraOptions, WhisperLoraTask, load_whisper
from stt_platform_tests.helpers.tiny_whisper import make_tiny_whisper

MODEL = "whisper-tiny.en"
SPOKEN = [
    "In the beginning was the Word, and the Word was with God, and the Word was God.",
    "The lamp needs oil every evening. Who will bring it when the night is long?",
]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def folder(home: Path) -> Path:
    return whisper_folder(MODEL, home)


@pytest.fixture(scope="module")
def speech() -> list[np.ndarray]:
    preacher = Preacher("Ann", pitch=1.1, pace=1.0, liveliness=0.02, pause_s=0.4, tilt_db=0.0)
    return [part.astype(np.float32) for part in speak(SPOKEN, preacher, seed=3, rate_hz=16_000)]


def served_texts(folder: Path, sounds: list[np.ndarray]) -> list[str]:
    whisper = FasterWhisper(str(folder), compute_type="float32", cpu_threads=1)
    texts = []
    for number, sound in enumerate(sounds):
        span = ChunkSpan(str(number), 0, sound.size)
        (heard,) = whisper.transcribe_chunks(
            lambda start, end, sound=sound: sound[start:end],
            [span],
            beam_size=1,
            word_timestamps=False,
            temperatures=(0.0,),
        )
        texts.append(heard.text)
    return texts


def task(folder: Path, sounds: list[np.ndarray], **options) -> WhisperLoraTask:
    checkpoint = load_whisper(folder)
    examples = [WhisperExample(str(k), sound, "unknown") for k, sound in enumerate(sounds)]
    found = prepare(examples, checkpoint.tokenizer, checkpoint.feature_extractor, checkpoint.tokens)
    return WhisperLoraTask(checkpoint, found, found, WhisperLoraOptions(**options), base_name=MODEL)


def test_both_hear_the_same_in_made_up_speech(folder: Path, speech: list[np.ndarray]) -> None:
    ours = task(folder, speech)
    texts = ours.transcribe(ours._train)
    assert texts == served_texts(model(MODEL).folder_on_disk(), speech)
    assert "the word was with God" in texts[0]


def test_both_hear_the_same_in_recordings(folder: Path, test_data: Path) -> None:
    recordings = ["public_speaking/jfk.flac", "librispeech/test-other/1688-142285-0000.flac"]
    sounds = [read_stretch(test_data / "audio" / name) for name in recordings]
    ours = task(folder, sounds)
    texts = ours.transcribe(ours._train)
    assert texts == served_texts(model(MODEL).folder_on_disk(), sounds)
    assert "ask not what your country can do for you" in texts[0]


def test_both_encode_alike(folder: Path, speech: list[np.ndarray]) -> None:
    import ctranslate2
    import torch

    checkpoint = load_whisper(folder)
    features = checkpoint.feature_extractor(speech[0], sampling_rate=16_000, return_tensors="pt").input_features
    with torch.no_grad():
        ours = checkpoint.model.model.encoder(features).last_hidden_state.numpy()
    served = ctranslate2.models.Whisper(str(model(MODEL).folder_on_disk()), compute_type="float32")
    theirs = np.array(served.encode(ctranslate2.StorageView.from_array(features.numpy())))
    assert np.abs(ours - theirs).max() < 1e-3 * np.abs(theirs).max()


def test_it_is_made_once_and_says_what_it_is(folder: Path, home: Path) -> None:
    made = (folder / "model.safetensors").stat().st_mtime_ns
    assert whisper_folder(MODEL, home) == folder
    assert (folder / "model.safetensors").stat().st_mtime_ns == made
    assert folder.name == model(MODEL).identity
    assert not list(folder.parent.glob("*.tmp"))
    served = json.loads((model(MODEL).folder_on_disk() / "config.json").read_text())
    settings = json.loads((folder / "generation_config.json").read_text())
    assert settings["is_multilingual"] is False
    assert "forced_decoder_ids" not in settings
    assert "language" not in settings and "task" not in settings
    assert settings["suppress_tokens"] == served["suppress_ids"]
    assert settings["begin_suppress_tokens"] == served["suppress_ids_begin"]
    assert settings["alignment_heads"] == served["alignment_heads"]
    assert json.loads((folder / "config.json").read_text())["dtype"] == "float16"


def test_suppressed_is_what_the_recogniser_suppresses(folder: Path) -> None:
    from faster_whisper.tokenizer import Tokenizer
    from faster_whisper.transcribe import get_suppressed_tokens
    from tokenizers import Tokenizer as Vocabulary

    vocabulary = Vocabulary.from_file(str(folder / "tokenizer.json"))
    served = Tokenizer(vocabulary, multilingual=False)
    settings = json.loads((folder / "generation_config.json").read_text())
    assert set(get_suppressed_tokens(served, [-1])) <= set(settings["suppress_tokens"])


def test_converted_back_every_number_is_the_same(folder: Path, tmp_path: Path) -> None:
    import torch
    from ctranslate2.converters import TransformersConverter

    TransformersConverter(str(folder)).convert(str(tmp_path / "back"), quantization="float16")
    before = read_ctranslate2(model(MODEL).folder_on_disk() / "model.bin")
    after = read_ctranslate2(tmp_path / "back" / "model.bin")
    weights = {name: value for name, value in before.variables.items() if value.ndim}
    assert weights.keys() == {name for name, value in after.variables.items() if value.ndim}
    for name, value in weights.items():
        assert torch.equal(value, after.variables[name]), name


def test_an_adapter_becomes_a_model_that_is_served(folder: Path, speech: list[np.ndarray], tmp_path: Path) -> None:
    import torch

    ours = task(folder, speech, targets="all-linear")
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for name, parameter in ours.trainable():
            if "lora_B" in name:
                parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.002)
    adapter = tmp_path / "adapter"
    adapter.mkdir()
    ours.save(adapter)
    exported = export_whisper(folder, adapter, tmp_path / "served", quantisation="float32")
    assert exported.merge_difference < 1e-3
    assert served_texts(exported.folder, speech) == ours.transcribe(ours._train)
    # Other numbers than the base's, the same settings.
    names = ("model.bin", "config.json", "tokenizer.json", "preprocessor_config.json", "vocabulary.json")
    assert sorted(path.name for path in exported.folder.iterdir()) == sorted(names)
    settings, base = (
        json.loads((place / "config.json").read_text()) for place in (exported.folder, model(MODEL).folder_on_disk())
    )
    assert {name: settings[name] for name in ("alignment_heads", "suppress_ids", "suppress_ids_begin")} == {
        name: base[name] for name in ("alignment_heads", "suppress_ids", "suppress_ids_begin")
    }
    before = read_ctranslate2(model(MODEL).folder_on_disk() / "model.bin").variables
    after = read_ctranslate2(exported.folder / "model.bin").variables
    changed = [name for name in before if not torch.equal(before[name].float(), after[name].float())]
    assert any(name.startswith("encoder/layer_0/self_attention") for name in changed)
    assert any(name.startswith("decoder/layer_3/attention") for name in changed)
    assert "decoder/embeddings/weight" not in changed
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith("merged-")] == []


def test_an_adapter_of_another_base_is_refused(folder: Path, tmp_path: Path) -> None:
    tiny = make_tiny_whisper(tmp_path / "tiny")
    checkpoint = load_whisper(tiny)
    sounds = [WhisperExample("a", np.zeros(16_000, np.float32), "Amen")]
    found = prepare(sounds, checkpoint.tokenizer, checkpoint.feature_extractor, checkpoint.tokens)
    adapter = tmp_path / "adapter"
    adapter.mkdir()
    WhisperLoraTask(checkpoint, found, None, base_name="tiny").save(adapter)
    with pytest.raises(ValueError, match="is not of the model in"):
        merge_whisper(folder, adapter)


def test_it_writes_over_nothing(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "there").write_text("x")
    with pytest.raises(FileExistsError, match="is not empty"):
        export_whisper(folder, tmp_path, tmp_path)


@pytest.mark.parametrize("multilingual", [False, True])
@pytest.mark.parametrize("mels", [80, 128])
def test_other_whispers_come_through_unchanged(tmp_path: Path, multilingual: bool, mels: int) -> None:
    """There and back: one for several languages, and one with 128 bands as large-v3 has."""
    import torch
    from ctranslate2.converters import TransformersConverter
    from transformers import WhisperForConditionalGeneration

    tiny = make_tiny_whisper(tmp_path / "tiny", multilingual=multilingual, mels=mels)
    before = WhisperForConditionalGeneration.from_pretrained(str(tiny))
    copied = ["tokenizer.json", "preprocessor_config.json"]
    TransformersConverter(str(tiny), copy_files=copied).convert(str(tmp_path / "served"), quantization="float32")
    (tmp_path / "back").mkdir()
    convert_whisper(tmp_path / "served", tmp_path / "back")
    after = load_whisper(tmp_path / "back")
    assert all(torch.equal(value, after.model.state_dict()[name]) for name, value in before.state_dict().items())
    assert after.feature_extractor.feature_size == mels
    assert after.model.generation_config.is_multilingual is multilingual
    if multilingual:
        assert after.model.generation_config.language == "en"
        assert after.model.generation_config.lang_to_id["<|es|>"] == before.generation_config.lang_to_id["<|es|>"] - 1


def damaged(folder: Path, change) -> Path:
    shutil.copytree(model(MODEL).folder_on_disk(), folder, ignore=shutil.ignore_patterns("__pycache__"))
    change(folder / "model.bin")
    return folder


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1000])


def lengthen(path: Path) -> None:
    path.write_bytes(path.read_bytes() + b"x")


def age(path: Path) -> None:
    path.write_bytes(b"\x05\0\0\0" + path.read_bytes()[4:])


def rename(path: Path) -> None:
    path.write_bytes(
        path.read_bytes().replace(b"encoder/layer_3/ffn/linear_1/bias", b"encoder/layer_4/ffn/linear_1/bias")
    )


def remove(path: Path) -> None:
    path.unlink()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (cut, "cut short"),
        (lengthen, "longer than it says"),
        (age, "binary version 5"),
        (rename, "is missing, too much, or of another shape"),
        (remove, "No such file"),
    ],
)
def test_a_damaged_model_is_said(tmp_path: Path, change, said: str) -> None:
    place = damaged(tmp_path / "served", change)
    (tmp_path / "out").mkdir()
    with pytest.raises((ValueError, OSError), match=said):
        convert_whisper(place, tmp_path / "out")


def test_a_quantised_model_is_refused(folder: Path, tmp_path: Path) -> None:
    from ctranslate2.converters import TransformersConverter

    copied = ["tokenizer.json", "preprocessor_config.json"]
    TransformersConverter(str(folder), copy_files=copied).convert(str(tmp_path / "int8"), quantization="int8")
    (tmp_path / "out").mkdir()
    with pytest.raises(ValueError, match="its weights are quantised"):
        convert_whisper(tmp_path / "int8", tmp_path / "out")


def test_a_damaged_package_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from stt_platform.models.registry import Model

    place = damaged(tmp_path / "package", cut)
    monkeypatch.setattr(Model, "folder_on_disk", lambda entry: place)
    with pytest.raises(ModelMissing, match=r"cannot be trained: .*cut short.* with `make setup`"):
        whisper_folder(MODEL, tmp_path / "home")
    assert [path.name for path in (tmp_path / "home" / "models").iterdir() if path.is_dir()] == []


def test_another_kind_of_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelMissing, match="'gemma-3-270m' is no Whisper model"):
        whisper_folder("gemma-3-270m", tmp_path)
