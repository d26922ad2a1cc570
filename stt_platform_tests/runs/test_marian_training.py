"""Training MarianMT: the loss is of the targets, and what was learnt is the same on transformers and CTranslate2."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import GenerationConfig, MarianConfig, MarianMTModel

from stt_platform.training.checkpoints import Checkpoints
from stt_platform.training.loop import LoopOptions, train
from stt_platform.training.marian import MarianOptions, MarianTask, load_marian
from stt_platform.training.translation_set import TrainingExample
from stt_platform.translation.ct2_translator import convert_marian, load_ct2_translator
from stt_platform.translation.translator import load_translator
from stt_platform_tests.helpers.translator_models import SENTENCES, tiny_marian


def example(number: int, split: str = "train", source: str = "") -> TrainingExample:
    source = source or " ".join([SENTENCES[number % 4], *["And God said"] * (number // 4)])
    target = " ".join([SENTENCES[4 + number % 4], *["Y dijo Dios"] * (number // 4)])
    return TrainingExample(
        set="translation",
        example_id=f"e{number:03}",
        source_kind="verse",
        segment_id=f"s{number}",
        split=split,
        source=source,
        target=target,
        hints=(),
        weight=1.0,
        prompt=source,
        completion=target,
    )


EXAMPLES = [*(example(n) for n in range(12)), *(example(n, "dev") for n in range(12, 14))]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Marian that can learn: as OPUS-MT's, its embedding is its output layer too."""
    torch.set_num_threads(1)
    folder = tiny_marian(tmp_path_factory.mktemp("marian"))
    config = MarianConfig.from_pretrained(folder)
    config.update({"tie_word_embeddings": True, "init_std": 0.1, "dropout": 0.0, "max_position_embeddings": 128})
    torch.manual_seed(1)
    model = MarianMTModel(config)
    model.generation_config = GenerationConfig.from_pretrained(folder)
    model.save_pretrained(folder)
    return folder


def task_of(folder: Path, examples: Sequence[TrainingExample] = EXAMPLES, **changes: Any) -> MarianTask:
    model, tokenizer = load_marian(folder)
    options = MarianOptions(**{"batch_tokens": 300, "most_tokens": 128, "max_new_tokens": 40, **changes})
    return MarianTask(model, tokenizer, examples, options)


@pytest.fixture(scope="module")
def learnt(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[MarianTask, Any]:
    task = task_of(folder, label_smoothing=0.1)
    options = LoopOptions(epochs=200, learning_rate=5e-3, warmup_steps=20, evaluate_every_steps=None, weight_decay=0.01)
    return task, train(task, options, Checkpoints(tmp_path_factory.mktemp("checkpoints"), "marian"))


def test_an_epoch_has_every_example_once_in_batches_that_have_room(folder: Path) -> None:
    task = task_of(folder)
    batches = task.epoch(0)
    assert sorted(i for batch in batches for i in batch) == list(range(12))
    longest = [max(max(len(task._train[i].prompt), len(task._train[i].completion)) for i in batch) for batch in batches]
    assert all(len(batch) * side <= 300 for batch, side in zip(batches, longest, strict=True))
    assert max(len(batch) for batch in batches) > 2
    assert task_of(folder).epoch(0) == batches != task.epoch(1)


def test_a_batch_has_the_loss_of_its_examples_alone(folder: Path) -> None:
    task = task_of(folder)
    task.eval_mode()
    with torch.no_grad():
        together, tokens = task.loss([0, 5, 11])
        alone = [task.loss([i]) for i in (0, 5, 11)]
    assert tokens == sum(count for _, count in alone) == sum(len(task._train[i].completion) for i in (0, 5, 11))
    assert float(together) == pytest.approx(sum(float(loss) for loss, _ in alone), rel=1e-4)


def test_the_loss_is_that_of_the_model_and_smoothing_makes_it_larger(folder: Path) -> None:
    task, smooth = task_of(folder), task_of(folder, label_smoothing=0.2)
    for one in (task, smooth):
        one.eval_mode()
    example = task._train[3]
    with torch.no_grad():
        whole = task._model(
            input_ids=torch.tensor([list(example.prompt)]), labels=torch.tensor([list(example.completion)])
        ).loss
        loss, tokens = task.loss([3])
        # An untrained model gives every word about the same, so smoothing costs it next to nothing there.
        smoothed, _ = smooth.loss([3])
    assert float(loss) / tokens == pytest.approx(float(whole), rel=1e-5)
    assert float(smoothed) != pytest.approx(float(loss), rel=1e-4)
    assert smooth.evaluate()["loss"] == pytest.approx(task.evaluate()["loss"], rel=1e-6)


def test_it_learns(learnt: tuple[MarianTask, Any]) -> None:
    task, trained = learnt
    assert trained.steps[-1].loss < 0.5 * trained.steps[0].loss
    train_examples = EXAMPLES[:4]
    said = task.translate(train_examples)
    assert [done.text for done in said] == [one.target for one in train_examples]
    assert trained.evaluations[-1].measures["chrf"] > trained.evaluations[0].measures["chrf"]


def test_positions_and_the_beginning_stay_as_they_are(folder: Path, learnt: tuple[MarianTask, Any]) -> None:
    task, _ = learnt
    fresh, _ = load_marian(folder)
    model = task._model
    assert torch.equal(model.model.encoder.embed_positions.weight, fresh.model.encoder.embed_positions.weight)
    embedding = model.model.decoder.embed_tokens.weight
    assert not embedding[model.config.pad_token_id].any()
    assert not torch.equal(embedding, fresh.model.decoder.embed_tokens.weight)
    assert not [name for name, _ in task.trainable() if "embed_positions" in name]


@pytest.mark.parametrize("quantisation", ["float32", "int8"])
def test_it_translates_on_ctranslate2_as_on_transformers(
    learnt: tuple[MarianTask, Any], tmp_path: Path, quantisation: str
) -> None:
    task, _ = learnt
    task.save(tmp_path / "model")
    convert_marian(tmp_path / "model", tmp_path / "converted", quantisation=quantisation)
    fast = load_ct2_translator(tmp_path / "converted", threads=1)
    texts = [*(one.source for one in EXAMPLES), "", "a <bos> b", "Grace " * 300, EXAMPLES[0].source]
    seen: list[tuple[int, int]] = []
    found = fast.translate(
        texts, max_new_tokens=40, batch_size=4, progress=lambda done, all_: seen.append((done, all_))
    )
    expected = load_translator(tmp_path / "model").translate(texts, max_new_tokens=40)
    if quantisation == "float32":
        assert found == expected
    assert [done.status for done in found[-4:-1]] == ["failed"] * 3
    assert [done.text for done in found[:4]] == [one.target for one in EXAMPLES[:4]]
    assert found[0] == found[-1]
    assert seen[-1] == (len(texts), len(texts))
    with pytest.raises(ValueError, match="not from 'es' to 'en'"):
        fast.translate(["Gracia"], source="es", target="en")
    with pytest.raises(RuntimeError, match="exists"):
        convert_marian(tmp_path / "model", tmp_path / "converted")


def test_what_was_learnt_is_read_again(folder: Path, learnt: tuple[MarianTask, Any], tmp_path: Path) -> None:
    task, _ = learnt
    task.save(tmp_path)
    other = task_of(folder)
    other.load(tmp_path)
    assert all(torch.equal(a, b) for (_, a), (_, b) in zip(task.trainable(), other.trainable(), strict=True))
    assert other.translate(EXAMPLES) == task.translate(EXAMPLES)
    # As it was published, and not as the platform translates.
    saved, published = (GenerationConfig.from_pretrained(path) for path in (tmp_path, folder))
    assert (saved.num_beams, saved.bad_words_ids) == (published.num_beams, published.bad_words_ids)


def test_weights_of_another_model_are_refused(folder: Path, tmp_path: Path) -> None:
    other = tiny_marian(tmp_path / "other")
    model = MarianMTModel(MarianConfig.from_pretrained(other, decoder_layers=1, tie_word_embeddings=True))
    model.save_pretrained(other)
    with pytest.raises(ValueError, match="of another model"):
        task_of(folder).load(other)


def test_what_is_too_long_is_dropped_with_the_reason(folder: Path) -> None:
    long = example(2, source="Grace and peace " * 40)
    task = task_of(folder, [example(0), long, example(3, "dev")])
    assert [dropped.example_id for dropped in task.dropped] == ["e002"]
    assert "its source has" in task.dropped[0].reason
    assert "room for 128" in task.dropped[0].reason
    assert task.epoch(0) == [[0]]


def test_tags_that_the_tokenizer_cannot_spell_are_told(folder: Path) -> None:
    tagged = example(1, source="the __source__ grace __target__ gracia __done__ of God")
    assert task_of(folder, [example(0), tagged]).notes == (
        "the tokenizer cannot spell __source__, __target__, __done__: the model will hardly tell hints from text",
    )
    assert task_of(folder).notes == ()


@pytest.mark.parametrize(("name", "value"), [("label_smoothing", 1.0), ("most_tokens", 0), ("batch_tokens", 100)])
def test_options_out_of_range_are_named(name: str, value: float) -> None:
    with pytest.raises(ValueError, match=name):
        MarianOptions(**{name: value})
