"""LoRA for Gemma: the loss is of the targets and of nothing else, packed or not; what is trained comes back as it was."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from stt_platform.training.causal_lora import CausalLoraOptions, CausalLoraTask, target_loss, tokenise
from stt_platform.training.checkpoints import Checkpoints
from stt_platform.training.loop import INTERRUPTED, LoopOptions, train
from stt_platform.training.packing import IGNORED, packed_row
from stt_platform.training.translation_set import TrainingExample
from stt_platform.translation.causal_model import load_adapted_translator, load_causal_model
from stt_platform.translation.prompts import prompt_example
from stt_platform_tests.helpers.translator_models import SENTENCES, tiny_gemma

ROW_TOKENS = 1600
KINDS = {"text": False, "text and images": True}


def example(number: int, split: str = "train", hints: Sequence[tuple[str, str]] = ()) -> TrainingExample:
    name = chr(ord("a") + number) * 2
    source, target = f"{SENTENCES[number % 4]} {name}", f"{SENTENCES[4 + number % 4]} {name}"
    shown = prompt_example(source, target, hints=hints)
    return TrainingExample(
        set="translation",
        example_id=f"e{number:03}",
        source_kind="verse",
        segment_id=f"s{number}",
        split=split,
        source=source,
        target=target,
        hints=tuple(hints),
        weight=1.0,
        prompt=shown.prompt,
        completion=shown.completion,
    )


EXAMPLES = [*(example(n) for n in range(16)), *(example(n, "dev") for n in range(16, 20))]


@pytest.fixture(autouse=True, scope="module")
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="module", params=KINDS)
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_gemma(tmp_path_factory.mktemp("gemma"), images=KINDS[request.param])


@pytest.fixture(scope="module")
def text_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_gemma(tmp_path_factory.mktemp("text"))


def task_of(
    folder: Path, examples: Sequence[TrainingExample] = EXAMPLES, *, quantisation: str = "none", **changes: Any
) -> CausalLoraTask:
    model, tokenizer = load_causal_model(folder, quantisation=quantisation)
    options = CausalLoraOptions(
        **{"rank": 4, "row_tokens": ROW_TOKENS, "max_new_tokens": 12, "dropout": 0.0, **changes}
    )
    return CausalLoraTask(model, tokenizer, examples, options, base_name="tiny-gemma", base_revision="abc")


def gradients(task: CausalLoraTask, losses: Sequence[tuple[torch.Tensor, int]]) -> tuple[float, int, torch.Tensor]:
    """Sum of the losses of micro-batches, their targets, and the gradient of all that is trained."""
    for _, parameter in task.trainable():
        parameter.grad = None
    total = sum(loss for loss, _ in losses)
    total.backward()
    gradient = torch.cat([parameter.grad.flatten() for _, parameter in task.trainable()])
    return float(total.detach()), sum(tokens for _, tokens in losses), gradient


def stir(task: CausalLoraTask) -> None:
    """A new adapter changes nothing: its second matrices are zero. Give them something."""
    torch.manual_seed(5)
    with torch.no_grad():
        for _, parameter in task.trainable():
            parameter.add_(0.1 * torch.randn_like(parameter))


def test_an_example_begins_once_and_its_labels_end_with_the_end_of_the_turn(text_folder: Path) -> None:
    _, tokenizer = load_causal_model(text_folder)
    (one,) = tokenise(tokenizer, EXAMPLES[:1])
    row = packed_row([one])
    end, line = tokenizer.convert_tokens_to_ids(["<end_of_turn>", "\n"])
    assert row.tokens.count(tokenizer.bos_token_id) == 1
    assert row.tokens[0] == tokenizer.bos_token_id
    assert row.labels[-2:] == [end, line]
    first = next(place for place, label in enumerate(row.labels) if label != IGNORED)
    assert set(row.labels[:first]) == {IGNORED}
    assert row.tokens[first - 1] == line
    assert row.labels[first:] == row.tokens[first:]
    assert tokenizer.decode(row.labels[first:-2]).replace(" ", "") == EXAMPLES[0].target.replace(" ", "")


def test_the_loss_is_that_of_the_whole_logits(folder: Path) -> None:
    model, tokenizer = load_causal_model(folder)
    (one,) = tokenise(tokenizer, EXAMPLES[:1])
    with torch.no_grad():
        loss, tokens = target_loss(model, [[one]], tokenizer.pad_token_id)
    ids = torch.tensor([[*one.prompt, *one.completion]])
    with torch.no_grad():
        logits = model(input_ids=ids).logits[0, len(one.prompt) - 1 : -1]
    expected = torch.nn.functional.cross_entropy(logits, torch.tensor(list(one.completion)), reduction="sum")
    assert float(loss) == pytest.approx(float(expected), rel=1e-5)
    assert tokens == len(one.completion)


def test_packed_padded_and_single_examples_have_the_same_loss_and_gradient(folder: Path) -> None:
    task = task_of(folder)
    stir(task)
    task.train_mode()
    examples = tokenise(task._tokenizer, EXAMPLES[:7])

    def found(batches: list[list[list]]) -> tuple[float, int, torch.Tensor]:
        return gradients(task, [task._loss(rows) for rows in batches])

    alone = found([[[one]] for one in examples])
    shapes = {
        "packed": [[examples]],
        "packed the other way round": [[examples[::-1]]],
        "padded": [[[one] for one in examples]],
        "packed and padded": [[examples[:2], examples[2:3], examples[3:]]],
    }
    for name, batches in shapes.items():
        loss, tokens, gradient = found(batches)
        assert tokens == alone[1] == sum(len(one.completion) for one in examples), name
        assert abs(loss - alone[0]) / tokens < 1e-3, name
        assert float((gradient - alone[2]).norm() / alone[2].norm()) < 1e-3, name


def test_neither_padding_nor_prompts_nor_neighbours_count(text_folder: Path) -> None:
    model, tokenizer = load_causal_model(text_folder)
    first, second, third = tokenise(tokenizer, EXAMPLES[:3])
    with torch.no_grad():
        pads = [target_loss(model, [[first, second], [third]], pad) for pad in (0, 7)]
        assert pads[0] == pads[1]
        with_first, _ = target_loss(model, [[first, second]], 0)
        with_third, _ = target_loss(model, [[third, second]], 0)
        alone = [target_loss(model, [[one]], 0)[0] for one in (first, third)]
    assert float(with_first - alone[0]) == pytest.approx(float(with_third - alone[1]), rel=1e-5)
    assert pads[0][1] == sum(len(one.completion) for one in (first, second, third))


def test_accumulation_does_not_change_the_gradient(text_folder: Path) -> None:
    many = [example(n) for n in range(8)]
    # A row has room for one of these.
    single, fours = (task_of(text_folder, many, row_tokens=330, rows_per_batch=size) for size in (1, 4))
    assert [len(batch) for batch in single.epoch(0)] == [1] * 8
    assert [len(batch) for batch in fours.epoch(0)] == [4, 4]
    found = [gradients(task, [task.loss(batch) for batch in task.epoch(0)]) for task in (single, fours)]
    assert found[0][1] == found[1][1]
    assert found[0][0] == pytest.approx(found[1][0], rel=1e-3)
    assert float(found[0][2].norm()) == pytest.approx(float(found[1][2].norm()), rel=1e-3)


def test_only_linear_layers_of_the_language_model_learn_and_all_of_them_do(folder: Path) -> None:
    task = task_of(folder, dropout=0.1)
    before = {name: p.detach().clone() for name, p in task.network.named_parameters() if not p.requires_grad}
    names = [name for name, _ in task.trainable()]
    assert names == sorted(names)
    # Three layers, seven linear layers in each, two matrices for each.
    assert len(names) == 3 * 7 * 2
    assert all("lora_" in name and "vision" not in name for name in names)
    task.train_mode()
    optimizer = torch.optim.AdamW([parameter for _, parameter in task.trainable()], lr=1e-3)
    for _ in range(2):
        optimizer.zero_grad()
        task.loss(task.epoch(0)[0])[0].backward()
        optimizer.step()
    still = [name for name, p in task.trainable() if not p.grad.any() or not torch.isfinite(p.grad).all()]
    assert still == []
    after = dict(task.network.named_parameters())
    assert all(torch.equal(after[name], value) for name, value in before.items())


def test_checkpointing_changes_nothing(text_folder: Path) -> None:
    found = []
    for checkpointing in (True, False):
        task = task_of(text_folder, checkpointing=checkpointing, dropout=0.1)
        stir(task)
        task.train_mode()
        torch.manual_seed(3)
        found.append(gradients(task, [task.loss(task.epoch(0)[0])]))
    assert found[0][0] == pytest.approx(found[1][0], rel=1e-6)
    assert torch.allclose(found[0][2], found[1][2], rtol=1e-4, atol=1e-6)


def test_an_epoch_has_every_example_once_and_a_row_is_known_by_its_index(text_folder: Path) -> None:
    task = task_of(text_folder)
    later = task.epoch(3)
    wanted = [float(task.loss(batch)[0].detach()) for batch in later]
    assert sum(task.loss(batch)[1] for batch in later) == task.packing(3).target_tokens
    assert task.packing(3).examples == 16
    # Asked in another order, and by another process.
    for again in (task, task_of(text_folder)):
        again.epoch(0)
        again.epoch(1)
        assert [float(again.loss(batch)[0].detach()) for batch in later] == wanted
    assert {index for batch in task.epoch(0) for index in batch}.isdisjoint(i for batch in later for i in batch)


def test_an_example_that_weighs_more_is_seen_more_often(text_folder: Path) -> None:
    heavy = [replace(example(n), weight=3.0) for n in range(2)]
    # A row has room for one of these.
    task = task_of(text_folder, heavy, row_tokens=330)
    for number in (0, 1):
        batches = task.epoch(number)
        assert len(batches) == 6
        assert sum(task.loss(batch)[1] for batch in batches) == task.packing(number).target_tokens


def test_what_no_row_can_hold_is_dropped_with_the_reason(text_folder: Path) -> None:
    long = example(1, hints=[("word " * 60, "palabra")])
    task = task_of(text_folder, [example(0), long, example(2, "dev")], row_tokens=400)
    assert task.packing().examples == 1
    assert [(dropped.example_id, dropped.reason[-27:]) for dropped in task.dropped] == [
        ("e001", "tokens; a row has room for 400"[-27:])
    ]


def test_held_out_measures_are_of_the_adapter_and_of_the_base(text_folder: Path) -> None:
    task = task_of(text_folder)
    task.eval_mode()
    before = task.evaluate()
    assert 0 < before["loss"] < 50
    assert 0 <= before["chrf"] <= 100
    stir(task)
    after = task.evaluate()
    assert after["loss"] != before["loss"]
    with task.network.disable_adapter():
        assert task.evaluate() == before
    assert task.evaluate() == after
    assert task_of(text_folder, EXAMPLES[:16]).evaluate() == {}


def test_hints_in_the_prompt_are_there_when_held_out_examples_are_translated(text_folder: Path) -> None:
    task = task_of(text_folder)
    plain, hinted = example(3), example(3, hints=[("shepherd", "pastor")])
    without, with_hint = task.translate([plain, hinted])
    assert without != with_hint
    assert task.translator.translate([hinted.source], hints=[hinted.hints], max_new_tokens=12) == [with_hint]


def test_what_was_learnt_is_read_again_and_names_no_folder_of_this_machine(folder: Path, tmp_path: Path) -> None:
    task = task_of(folder)
    stir(task)
    task.eval_mode()
    task.save(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["adapter_config.json", "adapter_model.safetensors"]
    config = json.loads((tmp_path / "adapter_config.json").read_text())
    assert (config["base_model_name_or_path"], config["revision"]) == ("tiny-gemma", "abc")
    assert config["modules_to_save"] is None
    assert str(folder) not in (tmp_path / "adapter_config.json").read_text()
    said = task.translate(EXAMPLES[:4])
    other = task_of(folder, seed=9)
    assert other.translate(EXAMPLES[:4]) != said
    other.load(tmp_path)
    assert all(torch.equal(a, b) for (_, a), (_, b) in zip(task.trainable(), other.trainable(), strict=True))
    translator = load_adapted_translator(folder, tmp_path)
    assert translator.translate([e.source for e in EXAMPLES[:4]], max_new_tokens=12) == said


def test_training_lowers_the_loss_and_goes_on_where_it_was_stopped(text_folder: Path, tmp_path: Path) -> None:
    options = LoopOptions(
        epochs=4, learning_rate=2e-2, warmup_steps=0, evaluate_every_steps=4, checkpoint_every_steps=3
    )

    def trained(name: str, stop_after: int | None = None) -> tuple[CausalLoraTask, Any]:
        task = task_of(text_folder, dropout=0.05, translated=1, row_tokens=700)
        steps: list[int] = []
        done = train(
            task,
            options,
            Checkpoints(tmp_path, name),
            progress=lambda step: steps.append(step.step),
            should_stop=lambda: stop_after is not None and len(steps) >= stop_after,
        )
        return task, done

    whole, curve = trained("whole")
    assert curve.steps[-1].loss < 0.8 * curve.steps[0].loss
    assert {"loss", "chrf"} == set(curve.evaluations[-1].measures)
    _, first = trained("broken", stop_after=5)
    assert first.status == INTERRUPTED
    resumed, second = trained("broken")
    assert [step.loss for step in second.steps] == [step.loss for step in curve.steps]
    assert all(torch.equal(a, b) for (_, a), (_, b) in zip(whole.trainable(), resumed.trainable(), strict=True))


@pytest.mark.parametrize("images", [False, True])
def test_a_quantised_base_learns_and_stays_as_it_is(tmp_path: Path, images: bool) -> None:
    from bitsandbytes.nn import Linear4bit

    folder = tiny_gemma(tmp_path / "base", images=images)
    task = task_of(folder, quantisation="nf4", dropout=0.05)
    layers = [module for module in task.network.modules() if isinstance(module, Linear4bit)]
    assert len(layers) >= 3 * 7
    state = layers[0].weight.quant_state
    assert (state.quant_type, state.nested) == ("nf4", True)
    before = [layer.weight.detach().clone() for layer in layers]
    task.eval_mode()
    first = task.evaluate()
    # Answering without a gradient must not change the weights.
    assert all(torch.equal(a, layer.weight) for a, layer in zip(before, layers, strict=True))
    options = LoopOptions(epochs=3, learning_rate=2e-2, warmup_steps=0, evaluate_every_steps=None)
    done = train(task, options, Checkpoints(tmp_path, "nf4"))
    assert done.evaluations[-1].measures["loss"] < first["loss"]
    assert all(math.isfinite(step.grad_norm) and step.grad_norm > 0 for step in done.steps)
    assert all(torch.equal(a, layer.weight) for a, layer in zip(before, layers, strict=True))
    (tmp_path / "adapter").mkdir()
    task.save(tmp_path / "adapter")
    translator = load_adapted_translator(folder, tmp_path / "adapter", quantisation="nf4")
    sources = [e.source for e in EXAMPLES[:2]]
    assert translator.translate(sources, max_new_tokens=12) == task.translate(EXAMPLES[:2])


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device on this machine")
def test_on_cuda_a_quantised_base_learns_in_bfloat16(tmp_path: Path) -> None:
    folder = tiny_gemma(tmp_path / "base", images=True)
    model, tokenizer = load_causal_model(folder, device="cuda", dtype="bfloat16", quantisation="nf4")
    options = CausalLoraOptions(rank=4, row_tokens=ROW_TOKENS, max_new_tokens=12)
    task = CausalLoraTask(model, tokenizer, EXAMPLES, options, base_name="tiny-gemma")
    assert {parameter.dtype for _, parameter in task.trainable()} == {torch.float32}
    loop = LoopOptions(
        epochs=3,
        learning_rate=2e-2,
        warmup_steps=0,
        evaluate_every_steps=None,
        autocast="bfloat16",
        optimizer="adamw_8bit",
    )
    done = train(task, loop, Checkpoints(tmp_path, "cuda"))
    before, after = (evaluation.measures["loss"] for evaluation in done.evaluations)
    assert after < before
    examples = tokenise(tokenizer, EXAMPLES[:5])
    with torch.no_grad(), torch.autocast("cuda", dtype=torch.bfloat16):
        packed, tokens = task._loss([examples])
        alone = sum(float(task._loss([[one]])[0]) for one in examples)
    assert abs(float(packed) - alone) / tokens < 0.05


@pytest.mark.parametrize(
    ("name", "value"), [("rank", 0), ("dropout", 1.0), ("row_tokens", 1), ("rows_per_batch", 0), ("held_out", -1)]
)
def test_options_out_of_range_are_named(name: str, value: float) -> None:
    with pytest.raises(ValueError, match=name):
        CausalLoraOptions(**{name: value})


def test_a_model_that_cannot_be_asked_is_refused(text_folder: Path) -> None:
    with pytest.raises(ValueError, match="'nf4'"):
        load_causal_model(text_folder, quantisation="int3")
