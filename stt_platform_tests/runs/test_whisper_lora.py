"""LoRA for Whisper: each trap that is known to spoil such a training silently has a test here."""

import json
import math
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch

from stt_platform.training.checkpoints import Checkpoints
from stt_platform.training.loop import LoopOptions, train
from stt_platform.training.whisper_data import IGNORED, SpecAugment, WhisperSet, prepare
from stt_platform.training.whisper_lora import (
    WhisperCheckpoint,
    WhisperLoraOptions,
    WhisperLoraTask,
    attention,
    load_whisper,
)
from stt_platform_tests.helpers.options import changed
from stt_platform_tests.helpers.tiny_whisper import make_tiny_whisper, sounds

TEXTS = [
    "Grace to you",
    "and peace from God our Father",
    "Amen",
    "In the beginning God created the heaven and the earth",
    "The Lord is my shepherd",
    "I shall not want",
    "He maketh me to lie down",
    "Selah",
]
STILL = WhisperLoraOptions(dropout=0.0, spec_augment=None, checkpointing=False)
"""Nothing in it is drawn, so that two ways to the same result can be compared."""


@pytest.fixture(scope="module", autouse=True)
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_whisper(tmp_path_factory.mktemp("whisper") / "tiny")


@pytest.fixture(scope="module")
def several(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_whisper(tmp_path_factory.mktemp("whisper") / "several", multilingual=True)


def taught(checkpoint: WhisperCheckpoint, texts: list[str] = TEXTS) -> WhisperSet:
    return prepare(sounds(texts), checkpoint.tokenizer, checkpoint.feature_extractor, checkpoint.tokens)


def task(folder: Path, options: WhisperLoraOptions = STILL, *, held_out: bool = False, base="float32", texts=TEXTS):
    checkpoint = load_whisper(folder, base=base)
    found = taught(checkpoint, texts)
    return WhisperLoraTask(checkpoint, found, found if held_out else None, options, base_name="tiny@1")


def gradients(trained: WhisperLoraTask) -> dict[str, torch.Tensor]:
    return {name: parameter.grad for name, parameter in trained.trainable()}


@pytest.mark.parametrize(
    ("targets", "matrices"),
    # In each of two layers: two matrices of the encoder's attention, four of the decoder's two; then the other linear
    # layers; each with A and B.
    [("q_proj,v_proj", 2 * 2 * (2 + 4)), ("attention", 2 * 2 * (4 + 8)), ("all-linear", 2 * 2 * (4 + 8 + 2 + 2))],
)
@pytest.mark.parametrize("checkpointing", [False, True])
def test_every_matrix_has_a_gradient_by_the_second_step_the_encoder_too(
    folder: Path, tmp_path: Path, targets, matrices, checkpointing
) -> None:
    trained = task(folder, changed(STILL, targets=targets, checkpointing=checkpointing))
    seen: dict[str, list[float]] = {}
    before = {name: p.detach().clone() for name, p in trained.trainable()}

    def look(step) -> None:
        for name, gradient in gradients(trained).items():
            seen.setdefault(name, []).append(float(gradient.abs().max()))

    train(trained, LoopOptions(epochs=1, max_steps=2), Checkpoints(tmp_path, "k"), progress=look)
    assert len(seen) == matrices
    assert all(values[1] > 0 for values in seen.values())
    assert all(values[0] > 0 for name, values in seen.items() if "lora_B" in name)
    assert {part for name in seen for part in ("encoder.layers", "self_attn", "encoder_attn") if part in name} == {
        *("encoder.layers", "self_attn", "encoder_attn")
    }
    assert all(not torch.equal(p, before[name]) for name, p in trained.trainable() if "lora_B" in name)
    assert not [name for name in seen if "proj_out" in name or "embed" in name]


def test_only_the_adapter_is_trained(folder: Path) -> None:
    trained = task(folder)
    assert all("lora_" in name for name, _ in trained.trainable())
    assert all(p.dtype == torch.float32 for _, p in trained.trainable())


def test_checkpointing_changes_nothing(folder: Path) -> None:
    found = []
    for checkpointing in (False, True):
        trained = task(folder, changed(STILL, checkpointing=checkpointing))
        trained.train_mode()
        loss, _ = trained.loss([0, 1, 2])
        loss.backward()
        found.append((float(loss.detach()), gradients(trained)))
    assert math.isclose(found[0][0], found[1][0], rel_tol=1e-6)
    assert all(torch.allclose(found[0][1][name], found[1][1][name], atol=1e-5) for name in found[0][1])


def test_one_batch_of_eight_is_four_of_two(folder: Path, tmp_path: Path) -> None:
    steps = []
    for size, accumulation in ((8, 1), (2, 4)):
        options = LoopOptions(epochs=1, accumulation=accumulation, max_grad_norm=None)
        trained = task(folder, changed(STILL, micro_batch=size))
        steps += train(trained, options, Checkpoints(tmp_path, str(size))).steps
    one, other = steps
    assert one.tokens == other.tokens
    assert math.isclose(one.loss, other.loss, rel_tol=1e-3)
    assert math.isclose(one.grad_norm, other.grad_norm, rel_tol=1e-3)


def test_the_loss_is_that_of_each_token_alone_and_of_no_padding(folder: Path) -> None:
    trained = task(folder)
    alone = [trained.loss([index]) for index in range(len(TEXTS))]
    together, tokens = trained.loss(range(len(TEXTS)))
    assert tokens == sum(count for _, count in alone)
    assert math.isclose(float(together.detach()), sum(float(loss.detach()) for loss, _ in alone), rel_tol=1e-5)


def test_the_loss_is_the_models_own(folder: Path) -> None:
    checkpoint = load_whisper(folder)
    found = taught(checkpoint)
    batch = found.batch(range(len(TEXTS)))
    with torch.no_grad():
        own = checkpoint.model(input_features=batch.features, decoder_input_ids=batch.read, labels=batch.write).loss
    trained = WhisperLoraTask(checkpoint, found, None, STILL, base_name="tiny@1")
    loss, tokens = trained.loss(range(len(TEXTS)))
    assert tokens == int((batch.write != IGNORED).sum())
    assert math.isclose(float(loss.detach()) / tokens, float(own), rel_tol=1e-5)


def test_one_start_and_a_learned_end(folder: Path) -> None:
    checkpoint = load_whisper(folder)
    config, generation = checkpoint.model.config, checkpoint.model.generation_config
    batch = taught(checkpoint).batch(range(len(TEXTS)))
    start, end = config.decoder_start_token_id, config.eos_token_id
    # Padding is the token of the end in every Whisper, so nothing may be told by it.
    assert config.pad_token_id == end == generation.eos_token_id
    assert (batch.read == start)[:, 0].all()
    assert not (batch.write == start).any()
    assert ((batch.write == end).sum(dim=1) == 1).all()
    lengths = (batch.write != IGNORED).sum(dim=1)
    assert [int(row[length - 1]) for row, length in zip(batch.write, lengths, strict=True)] == [end] * len(TEXTS)


def test_it_learns_and_the_base_stays(folder: Path, tmp_path: Path) -> None:
    options = changed(STILL, targets="all-linear", micro_batch=8, max_new_tokens=3)
    trained = task(folder, options, held_out=True)
    loop = LoopOptions(epochs=10, learning_rate=1e-2, evaluate_every_steps=5, stop_on=(("loss", "min"),))
    found = train(trained, loop, Checkpoints(tmp_path, "k"))
    losses = [evaluation.measures["loss"] for evaluation in found.evaluations]
    assert losses[-1] < losses[0] - 0.1
    assert math.isclose(trained.evaluate()["loss"], min(losses), rel_tol=1e-6)
    with trained.network.disable_adapter():
        assert math.isclose(trained.evaluate()["loss"], losses[0], rel_tol=1e-5)


@pytest.mark.parametrize("kind", ["folder", "several"])
def test_transcribing_asks_for_a_language_only_where_there_is_a_choice(kind: str, request) -> None:
    trained = task(request.getfixturevalue(kind), changed(STILL, max_new_tokens=5, eval_batch=3))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        texts = trained.transcribe(trained._train)
    assert len(texts) == len(TEXTS)
    assert all(isinstance(text, str) and "<|" not in text for text in texts)
    alone = WhisperSet(*(part[3:4] if isinstance(part, tuple) else part for part in vars(trained._train).values()))
    assert trained.transcribe(alone) == texts[3:4]


def test_measures_are_of_the_whole_corpus(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    texts = ["Grace to you and peace", "Amen", ""]
    trained = task(folder, texts=texts, held_out=True)
    monkeypatch.setattr(trained, "transcribe", lambda held_out: ["grace to you, and PEACE!", "a man", "you"])
    measures = trained.evaluate()
    # A substitution and an insertion for "Amen", an insertion for nothing, in six words.
    assert math.isclose(measures["wer"], 3 / 6)
    total, tokens = trained.loss(range(3))
    assert math.isclose(measures["loss"], float(total.detach()) / tokens, rel_tol=1e-5)


def test_without_words_there_is_no_error_rate(folder: Path) -> None:
    assert set(task(folder, changed(STILL, max_new_tokens=3), texts=[""], held_out=True).evaluate()) == {"loss"}
    assert task(folder).evaluate() == {}


def test_spec_augment_and_dropout_are_for_training_and_repeat(folder: Path) -> None:
    options = WhisperLoraOptions(dropout=0.3, spec_augment=SpecAugment(time_share=0.5, mel_share=0.5))
    trained = task(folder, options)
    # Without a second matrix, dropout would change nothing.
    for name, parameter in trained.trainable():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.5)

    def loss(draw: int) -> float:
        torch.manual_seed(draw)
        return float(trained.loss([0, 1], draw)[0].detach())

    trained.eval_mode()
    assert loss(1) == loss(2)
    trained.train_mode()
    assert loss(1) == loss(1)
    assert loss(1) != loss(2)


def test_a_run_repeats_exactly_after_a_stop(folder: Path, tmp_path: Path) -> None:
    options = LoopOptions(epochs=2, accumulation=2, learning_rate=1e-2)
    lora = WhisperLoraOptions(micro_batch=2, checkpointing=True)
    unbroken = task(folder, lora)
    train(unbroken, options, Checkpoints(tmp_path, "a"))
    done = []
    train(
        task(folder, lora),
        options,
        Checkpoints(tmp_path, "b"),
        progress=done.append,
        should_stop=lambda: len(done) == 1,
    )
    assert len(done) == 1
    resumed = task(folder, lora)
    train(resumed, options, Checkpoints(tmp_path, "b"))
    ours = dict(unbroken.trainable())
    assert all(torch.equal(parameter, ours[name]) for name, parameter in resumed.trainable())


def test_an_adapter_is_saved_without_this_machine_in_it(folder: Path, tmp_path: Path) -> None:
    trained = task(folder)
    with torch.no_grad():
        for _, parameter in trained.trainable():
            parameter.normal_()
    trained.save(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["adapter_config.json", "adapter_model.safetensors"]
    config = json.loads((tmp_path / "adapter_config.json").read_text())
    assert (config["base_model_name_or_path"], config["task_type"]) == ("tiny@1", None)
    # A set would stand there in an order that depends on PYTHONHASHSEED.
    assert len(config["target_modules"]) > 1
    assert config["target_modules"] == sorted(config["target_modules"])
    assert str(folder) not in (tmp_path / "adapter_config.json").read_text()
    other = task(folder)
    other.load(tmp_path)
    ours = dict(trained.trainable())
    assert all(torch.equal(parameter, ours[name]) for name, parameter in other.trainable())


def test_an_adapter_of_another_shape_is_refused(folder: Path, tmp_path: Path) -> None:
    task(folder, changed(STILL, rank=4)).save(tmp_path)
    with pytest.raises(ValueError, match="is of another adapter"):
        task(folder).load(tmp_path)


def test_what_old_checkpoints_force_is_taken_away(folder: Path, tmp_path: Path) -> None:
    import shutil

    old = tmp_path / "old"
    shutil.copytree(folder, old)
    settings = json.loads((old / "generation_config.json").read_text())
    settings["forced_decoder_ids"] = [[1, 50362]]
    (old / "generation_config.json").write_text(json.dumps(settings))
    checkpoint = load_whisper(old)
    assert checkpoint.model.generation_config.forced_decoder_ids is None
    assert (
        not hasattr(checkpoint.model.generation_config, "language") or not checkpoint.model.generation_config.language
    )


def test_a_base_in_bfloat16_trains_float32_matrices(folder: Path, tmp_path: Path) -> None:
    trained = task(folder, base="bfloat16", held_out=True, options=changed(STILL, max_new_tokens=3))
    found = train(trained, LoopOptions(epochs=1, autocast="bfloat16"), Checkpoints(tmp_path, "k"))
    assert {p.dtype for _, p in trained.trainable()} == {torch.float32}
    assert trained._base.model.encoder.conv1.weight.dtype == torch.bfloat16
    exact = task(folder).loss(range(4))
    rough = found.evaluations[0].measures["loss"]
    assert math.isclose(rough, float(exact[0].detach()) / exact[1], rel_tol=0.05)
    assert len(trained.transcribe(trained._train)) == len(TEXTS)
    assert all(gradient.abs().max() > 0 for name, gradient in gradients(trained).items() if "lora_B" in name)


def test_a_base_in_8_bits_loads_and_trains_on_a_cpu(folder: Path, tmp_path: Path) -> None:
    trained = task(folder, base="int8", held_out=True, options=changed(STILL, max_new_tokens=3, checkpointing=True))
    weights = trained._base.model.encoder.layers[0].self_attn.k_proj.weight
    assert weights.dtype == torch.int8
    # The output layer is the embedding too.
    assert trained._base.proj_out.weight.dtype == torch.bfloat16
    found = train(trained, LoopOptions(epochs=1, max_steps=2, autocast="bfloat16"), Checkpoints(tmp_path, "k"))
    assert len(found.evaluations) == 2
    assert len(trained.transcribe(trained._train)) == len(TEXTS)
    assert all(gradient.abs().max() > 0 for gradient in gradients(trained).values())


@pytest.mark.parametrize("device", ["cpu"])
def test_attention_of_torch_where_there_is_no_other(device: str) -> None:
    assert attention(device, torch.bfloat16) == "sdpa"


@pytest.mark.parametrize(
    ("package", "capability", "dtype", "expected"),
    [
        (True, (8, 9), torch.bfloat16, "flash_attention_2"),
        (True, (7, 5), torch.bfloat16, "sdpa"),
        (True, (8, 9), torch.float32, "sdpa"),
        (False, (8, 9), torch.bfloat16, "sdpa"),
    ],
)
def test_flash_attention_needs_package_card_and_arithmetic(monkeypatch, package, capability, dtype, expected) -> None:
    import transformers.utils

    monkeypatch.setattr(transformers.utils, "is_flash_attn_2_available", lambda: package)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
    assert attention("cuda:0", dtype) == expected


@pytest.mark.parametrize("wrong", [{"rank": 0}, {"dropout": 1.0}, {"targets": "everything"}, {"micro_batch": 0}])
def test_options_out_of_their_range_are_refused(wrong: dict) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        WhisperLoraOptions(**wrong)


def test_another_base_is_refused(folder: Path) -> None:
    with pytest.raises(ValueError, match="float32, bfloat16, int8"):
        load_whisper(folder, base="float16")


def test_features_are_not_changed_by_training(folder: Path, tmp_path: Path) -> None:
    trained = task(folder, WhisperLoraOptions(spec_augment=SpecAugment(time_share=0.5)))
    before = [trained._train.features(k) for k in range(len(TEXTS))]
    train(trained, LoopOptions(epochs=1), Checkpoints(tmp_path, "k"))
    assert all(np.array_equal(before[k], trained._train.features(k)) for k in range(len(TEXTS)))
