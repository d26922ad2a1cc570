"""The training loop: exact token means, repeatable after a kill, best weights kept, clear ends."""

import math
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from stt_platform.training import checkpoints as checkpoints_module
from stt_platform.training import loop
from stt_platform.training.checkpoints import CheckpointNotSaved, Checkpoints
from stt_platform.training.loop import (
    DONE,
    INTERRUPTED,
    STOPPED_EARLY,
    LoopOptions,
    Trained,
    TrainingFailed,
    learning_rate,
    train,
)
from stt_platform_tests.helpers.options import changed
from stt_platform_tests.helpers.tiny_task import OPTIONS, TinyTask


@pytest.fixture(autouse=True)
def _no_power_loss(monkeypatch: pytest.MonkeyPatch) -> None:
    """Syncing takes most of the time of so small a training."""
    monkeypatch.setattr(checkpoints_module, "_sync", lambda path: None)


PROGRAM = [sys.executable, "-m", "stt_platform_tests.helpers.tiny_task"]


def weights(task: TinyTask) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in task.model.state_dict().items()}


def same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def losses(trained: Trained) -> list[float]:
    return [step.loss for step in trained.steps]


def stop_after(steps: int):
    """Says yes once so many steps were made, in the middle of the next."""
    seen = []
    return seen.append, lambda: len(seen) >= steps


def test_it_learns_and_reports_every_step(tmp_path: Path) -> None:
    told = []
    trained = train(TinyTask(), OPTIONS, Checkpoints(tmp_path, "k"), progress=told.append)
    # 40 examples in 20 micro-batches: six steps of three and one of two, in each of three epochs.
    assert [step.step for step in told] == list(range(1, 22))
    assert {step.steps_total for step in told} == {21}
    assert [step.epoch for step in told] == [0] * 7 + [1] * 7 + [2] * 7
    assert [step.examples for step in told[:7]] == [6] * 6 + [4]
    assert tuple(told) == trained.steps
    assert trained.status == DONE
    assert [evaluation.step for evaluation in trained.evaluations] == [0, 4, 8, 12, 16, 20, 21]
    assert [step.step for step in told if step.evaluation] == [4, 8, 12, 16, 20, 21]
    assert trained.evaluations[-1].measures["loss"] < 0.8 * trained.evaluations[0].measures["loss"]
    assert all(step.memory_bytes > 1e6 and step.tokens_per_s > 0 and step.grad_norm > 0 for step in told)


def test_one_batch_of_eight_is_four_of_two(tmp_path: Path) -> None:
    found = {}
    for size, accumulation in ((8, 1), (2, 4), (1, 8)):
        task = TinyTask(batch_size=size, dropout=0.0)
        task.train_mode = task.model.eval
        options = changed(OPTIONS, accumulation=accumulation, max_grad_norm=None)
        found[size] = train(task, options, Checkpoints(tmp_path, str(size))).steps
    for size in (2, 1):
        assert [step.tokens for step in found[size]] == [step.tokens for step in found[8]]
        for one, other in zip(found[8], found[size], strict=True):
            assert math.isclose(one.loss, other.loss, rel_tol=1e-3)
            assert math.isclose(one.grad_norm, other.grad_norm, rel_tol=1e-3)


def test_the_gradient_is_that_of_the_mean_over_tokens(tmp_path: Path) -> None:
    task = TinyTask(dropout=0.0, batch_size=40)
    task.model.eval()
    task.train_mode = task.eval_mode
    total, tokens = task.loss(range(40), 0)
    (total / tokens).backward()
    norm = math.sqrt(sum(float(p.grad.square().sum()) for _, p in task.trainable()))
    options = LoopOptions(epochs=1, max_grad_norm=1e-3)
    (step,) = train(task, options, Checkpoints(tmp_path, "k")).steps
    assert math.isclose(step.grad_norm, norm, rel_tol=1e-5)
    assert math.isclose(step.loss, float(total.detach()) / tokens, rel_tol=1e-5)
    # Limited after it was divided, and before the optimizer saw it.
    limited = math.sqrt(sum(float(p.grad.square().sum()) for _, p in task.trainable()))
    assert math.isclose(limited, 1e-3, rel_tol=1e-2)


@pytest.mark.parametrize("steps", [1, 7, 8, 20])
def test_stopped_and_resumed_is_unbroken(tmp_path: Path, steps: int) -> None:
    unbroken = TinyTask()
    whole = train(unbroken, OPTIONS, Checkpoints(tmp_path, "a"))
    progress, should_stop = stop_after(steps)
    first = train(TinyTask(), OPTIONS, Checkpoints(tmp_path, "b"), progress=progress, should_stop=should_stop)
    assert (first.status, len(first.steps)) == (INTERRUPTED, steps)
    resumed = TinyTask()
    rest = train(resumed, OPTIONS, Checkpoints(tmp_path, "b"))
    assert losses(rest) == losses(whole)
    assert rest.evaluations == whole.evaluations
    assert rest.best_step == whole.best_step
    assert same(weights(resumed), weights(unbroken))
    assert rest.seconds > first.seconds / 2


class Remembering(TinyTask):
    """Keeps its weights as they were before each step."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[dict[str, torch.Tensor]] = []

    def train_mode(self) -> None:
        self.seen.append(weights(self))
        super().train_mode()


def test_the_mean_of_the_last_steps_comes_out(tmp_path: Path) -> None:
    plain, averaged = Remembering(), TinyTask()
    options = changed(OPTIONS, stop_on=())
    train(plain, options, Checkpoints(tmp_path, "a"))
    checkpoints = Checkpoints(tmp_path, "b")
    trained = train(averaged, changed(options, average_share=8 / 21), checkpoints)
    last = [*plain.seen[14:], weights(plain)]
    assert len(last) == 8
    for name, value in weights(averaged).items():
        assert torch.allclose(value, torch.stack([each[name] for each in last]).mean(dim=0), atol=1e-6)
    assert not same(weights(averaged), weights(plain))
    assert trained.evaluations[-1].measures["loss"] == pytest.approx(averaged.evaluate()["loss"])
    assert same(weights(averaged), load_file(checkpoints.at(21).folder / "weights/weights.safetensors"))


@pytest.mark.parametrize("steps", [7, 15, 20])
def test_stopped_and_resumed_has_the_same_mean(tmp_path: Path, steps: int) -> None:
    options = changed(OPTIONS, average_share=0.5)
    unbroken, resumed = TinyTask(), TinyTask()
    train(unbroken, options, Checkpoints(tmp_path, "a"))
    progress, should_stop = stop_after(steps)
    train(TinyTask(), options, Checkpoints(tmp_path, "b"), progress=progress, should_stop=should_stop)
    train(resumed, options, Checkpoints(tmp_path, "b"))
    assert same(weights(resumed), weights(unbroken))


def test_killed_in_the_middle_of_an_epoch_and_resumed_is_unbroken(tmp_path: Path) -> None:
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    with subprocess.Popen([*PROGRAM, str(whole)], stdout=subprocess.PIPE, text=True) as other:
        process = subprocess.Popen([*PROGRAM, str(killed), "11"], stdout=subprocess.PIPE, text=True)
        with process:
            for line in process.stdout:
                if line.strip() == "11":
                    break
            process.send_signal(signal.SIGKILL)
        assert other.wait(timeout=120) == 0
    assert process.returncode == -signal.SIGKILL
    # Step 11 is in the middle of the second epoch; step 9 has a checkpoint.
    again = subprocess.run([*PROGRAM, str(killed)], capture_output=True, text=True, check=True, timeout=120)
    assert again.stdout.split()[0] == "10"
    assert same(load_file(whole / "trained/weights.safetensors"), load_file(killed / "trained/weights.safetensors"))


@pytest.mark.parametrize("optimizer", ["adamw_8bit", "paged_adamw_8bit", "paged_adamw_32bit"])
def test_the_optimizers_of_bitsandbytes_train_and_resume(tmp_path: Path, optimizer: str) -> None:
    options = changed(OPTIONS, optimizer=optimizer)
    unbroken = TinyTask()
    whole = train(unbroken, options, Checkpoints(tmp_path, "a"))
    assert whole.evaluations[-1].measures["loss"] < whole.evaluations[0].measures["loss"]
    progress, should_stop = stop_after(5)
    train(TinyTask(), options, Checkpoints(tmp_path, "b"), progress=progress, should_stop=should_stop)
    resumed = TinyTask()
    train(resumed, options, Checkpoints(tmp_path, "b"))
    assert same(weights(resumed), weights(unbroken))


def test_training_again_trains_nothing(tmp_path: Path) -> None:
    task = TinyTask()
    trained = train(task, OPTIONS, Checkpoints(tmp_path, "k"))
    told = []
    again = TinyTask()
    assert train(again, OPTIONS, Checkpoints(tmp_path, "k"), progress=told.append).steps == trained.steps
    assert not told
    assert same(weights(again), weights(task))


def test_random_numbers_come_from_the_place_in_the_data(tmp_path: Path) -> None:
    task, other = TinyTask(), TinyTask()
    options = changed(OPTIONS, stop_on=(), evaluate_every_steps=None)
    train(task, options, Checkpoints(tmp_path, "a"))
    train(other, changed(options, seed=43), Checkpoints(tmp_path, "b"))
    assert len(set(task.draws)) == len(task.draws) - 1  # 60 micro-batches; two evaluations draw 0
    assert not set(task.draws) & set(other.draws) - {0}


def test_a_damaged_checkpoint_is_skipped_and_said(tmp_path: Path) -> None:
    unbroken = TinyTask()
    train(unbroken, OPTIONS, Checkpoints(tmp_path, "a"))
    progress, should_stop = stop_after(8)
    checkpoints = Checkpoints(tmp_path, "b")
    train(TinyTask(), OPTIONS, checkpoints, progress=progress, should_stop=should_stop)
    newest = checkpoints.latest().folder / "optimizer.pt"
    newest.write_bytes(newest.read_bytes()[:-10])
    resumed = TinyTask()
    trained = train(resumed, OPTIONS, Checkpoints(tmp_path, "b"))
    assert "step-00000008 is damaged" in trained.notes[0]
    assert same(weights(resumed), weights(unbroken))


def test_nothing_in_a_checkpoint_is_run(tmp_path: Path) -> None:
    progress, should_stop = stop_after(3)
    checkpoints = Checkpoints(tmp_path, "k")
    train(TinyTask(), OPTIONS, checkpoints, progress=progress, should_stop=should_stop)
    for path in checkpoints.latest().folder.rglob("*"):
        assert path.is_dir() or path.suffix in (".safetensors", ".json", ".pt")
    # Raises for anything but tensors and plain values.
    torch.load(checkpoints.latest().folder / "optimizer.pt", weights_only=True)


def test_a_checkpoint_of_other_data_is_refused(tmp_path: Path) -> None:
    progress, should_stop = stop_after(3)
    train(TinyTask(), OPTIONS, Checkpoints(tmp_path, "k"), progress=progress, should_stop=should_stop)
    with pytest.raises(TrainingFailed, match="its key has to be another"):
        train(TinyTask(examples=50), OPTIONS, Checkpoints(tmp_path, "k"))


def test_old_checkpoints_go_and_the_best_stays(tmp_path: Path) -> None:
    task = TinyTask()
    task.evaluations = [{"loss": value} for value in (5.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0)]
    checkpoints = Checkpoints(tmp_path, "k")
    trained = train(task, OPTIONS, checkpoints)
    assert trained.best_step == 4
    assert [path.name[-2:] for path in sorted(checkpoints.folder.glob("step-*"))] == ["04", "18", "21"]
    assert same(weights(task), load_file(checkpoints.at(4).folder / "weights/weights.safetensors"))


def test_best_weights_that_are_lost_are_said(tmp_path: Path) -> None:
    task = TinyTask()
    task.evaluations = [{"loss": value} for value in (5.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0)]
    checkpoints = Checkpoints(tmp_path, "k")

    def spoil(step) -> None:
        if step.step == 20:
            (checkpoints.at(4).folder / "state.json").write_text("{}")

    trained = train(task, OPTIONS, checkpoints, progress=spoil)
    assert "the weights of step 4 were the best, but are lost" in trained.notes[-1]
    assert trained.best_step == 21


@pytest.mark.parametrize(
    ("values", "patience", "status", "steps", "best"),
    [
        # Step 0, then every fourth, then the last.
        ([(5, 1), (4, 1), (3, 1), (2, 1), (1, 1), (0.5, 1), (0.4, 1)], 2, DONE, 21, 21),
        ([(5, 1), (4, 1), (4, 1), (4, 1)], 2, STOPPED_EARLY, 12, 4),
        # The loss is idle, the other measure is not: it decides among equals.
        ([(5, 1), (4, 1), (4, 2), (4, 3), (4, 3), (4, 3)], 2, STOPPED_EARLY, 20, 12),
        ([(5, 1), (6, 0), (7, 0)], 2, STOPPED_EARLY, 8, 0),
        ([(5, 1), (math.nan, math.nan), (math.nan, math.nan)], 2, STOPPED_EARLY, 8, 0),
        ([(5, 1), (6, 0), (7, 0), (7, 0), (7, 0), (7, 0), (7, 0)], None, DONE, 21, 0),
    ],
)
def test_it_stops_when_no_measure_improves(tmp_path: Path, values, patience, status, steps, best) -> None:
    task = TinyTask()
    before = weights(task)
    task.evaluations = [{"loss": loss, "chrf": chrf} for loss, chrf in values]
    options = changed(OPTIONS, stop_on=(("loss", "min"), ("chrf", "max")), patience=patience)
    trained = train(task, options, Checkpoints(tmp_path, "k"))
    assert (trained.status, len(trained.steps), trained.best_step) == (status, steps, best)
    assert same(weights(task), before) == (best == 0)
    # What was stopped early stays stopped.
    again = train(TinyTask(), options, Checkpoints(tmp_path, "k"))
    assert (again.status, losses(again), again.best_step) == (status, losses(trained), best)


def test_without_stop_on_the_last_weights_stay(tmp_path: Path) -> None:
    task = TinyTask()
    task.evaluations = [{"loss": value} for value in (5.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0)]
    checkpoints = Checkpoints(tmp_path, "k")
    assert train(task, changed(OPTIONS, stop_on=()), checkpoints).best_step is None
    assert same(weights(task), load_file(checkpoints.at(21).folder / "weights/weights.safetensors"))


def test_a_measure_that_is_not_taken_cannot_stop_it(tmp_path: Path) -> None:
    with pytest.raises(TrainingFailed, match="stop_on names wer, but the measures are loss"):
        train(TinyTask(), changed(OPTIONS, stop_on=(("wer", "min"),)), Checkpoints(tmp_path, "k"))


def test_most_steps_are_most_steps(tmp_path: Path) -> None:
    trained = train(TinyTask(), changed(OPTIONS, max_steps=9), Checkpoints(tmp_path, "k"))
    assert (trained.status, len(trained.steps), trained.steps[-1].steps_total) == (DONE, 9, 9)


def test_no_example_is_a_clear_end(tmp_path: Path) -> None:
    with pytest.raises(TrainingFailed, match="nothing to learn from"):
        train(TinyTask(examples=0), OPTIONS, Checkpoints(tmp_path, "k"))


def test_nothing_trainable_is_a_clear_end(tmp_path: Path) -> None:
    task = TinyTask()
    task.trainable = list
    with pytest.raises(TrainingFailed, match="no trainable parameter"):
        train(task, OPTIONS, Checkpoints(tmp_path, "k"))


def test_no_target_token_is_a_clear_end(tmp_path: Path) -> None:
    task = TinyTask()
    task.loss = lambda indices, draw: (torch.zeros(()), 0)
    options = changed(OPTIONS, stop_on=())
    task.evaluate = dict
    with pytest.raises(TrainingFailed, match="step 1 has no target token"):
        train(task, options, Checkpoints(tmp_path, "k"))


def test_a_loss_that_is_no_number_is_a_clear_end_and_spoils_no_checkpoint(tmp_path: Path) -> None:
    task = TinyTask()
    measured = task.loss

    def loss(indices, draw):
        total, tokens = measured(indices, draw)
        # Two evaluations and, of six micro-batches each for the first steps, all of eight steps.
        return (total * math.nan if len(task.draws) > 24 else total), tokens

    task.loss = loss
    checkpoints = Checkpoints(tmp_path, "k")
    with pytest.raises(TrainingFailed, match=r"step 9: loss nan, .* lower learning_rate"):
        train(task, changed(OPTIONS, evaluate_every_steps=None), checkpoints)
    saved = load_file(checkpoints.latest().folder / "weights/weights.safetensors")
    assert checkpoints.latest().step == 6
    assert all(value.isfinite().all() for value in saved.values())


def test_a_full_disk_is_a_clear_end_and_the_next_run_goes_on(tmp_path: Path) -> None:
    unbroken = TinyTask()
    train(unbroken, OPTIONS, Checkpoints(tmp_path, "a"))
    task = TinyTask()
    save = task.save

    def full(folder: Path) -> None:
        save(folder)
        if task.full:
            with Path("/dev/full").open("w") as file:
                file.write("x")

    task.full, task.save = False, full
    with pytest.raises(CheckpointNotSaved, match="the checkpoint of step 8 is kept"):
        train(
            task,
            OPTIONS,
            Checkpoints(tmp_path, "b"),
            progress=lambda step: setattr(task, "full", step.step >= 8),
        )
    resumed = TinyTask()
    train(resumed, OPTIONS, Checkpoints(tmp_path, "b"))
    assert same(weights(resumed), weights(unbroken))


@pytest.mark.parametrize(
    ("options", "total", "rates"),
    [
        (LoopOptions(learning_rate=1, warmup_steps=0), 4, [1, 0.75, 0.5, 0.25]),
        (LoopOptions(learning_rate=1, warmup_steps=2, warmup_share=0.5), 6, [0.5, 1, 1, 0.75, 0.5, 0.25]),
        (LoopOptions(learning_rate=1, warmup_steps=500, warmup_share=0.5), 4, [0.5, 1, 1, 0.5]),
        (LoopOptions(learning_rate=1, schedule="constant", warmup_steps=1), 20, [1] * 20),
        (LoopOptions(learning_rate=2, schedule="cosine", warmup_steps=0), 2, [2, 1]),
        (LoopOptions(learning_rate=1, warmup_steps=500, warmup_share=1), 2, [0.5, 1]),
    ],
)
def test_learning_rates(options: LoopOptions, total: int, rates: list[float]) -> None:
    assert [learning_rate(step, total, options) for step in range(total)] == pytest.approx(rates)


def test_the_rate_of_the_optimizer_is_the_one_reported(tmp_path: Path) -> None:
    task = TinyTask()
    trained = train(task, OPTIONS, Checkpoints(tmp_path, "k"))
    assert [step.learning_rate for step in trained.steps] == [learning_rate(k, 21, OPTIONS) for k in range(21)]


def test_vectors_do_not_decay() -> None:
    task = TinyTask()
    groups = loop._optimizer([p for _, p in task.trainable()], OPTIONS).param_groups
    assert [(group["weight_decay"], {p.ndim for p in group["params"]}) for group in groups] == [(0.01, {2}), (0.0, {1})]


def test_bfloat16_is_used_where_it_is_asked_for(tmp_path: Path) -> None:
    kinds = set()
    for autocast in ("none", "bfloat16"):
        task = TinyTask()
        task.model[-1].register_forward_hook(lambda module, inputs, output: kinds.add(output.dtype))
        train(task, changed(OPTIONS, autocast=autocast, max_steps=1), Checkpoints(tmp_path, autocast))
        assert kinds == ({torch.float32} if autocast == "none" else {torch.bfloat16})
        kinds.clear()


@pytest.mark.parametrize(
    "wrong",
    [
        {"epochs": 0},
        {"accumulation": 0},
        {"max_steps": 0},
        {"patience": 0},
        {"learning_rate": 0.0},
        {"learning_rate": math.nan},
        {"warmup_share": 1.5},
        {"schedule": "stairs"},
        {"optimizer": "sgd"},
        {"autocast": "float16"},
        {"stop_on": (("loss", "down"),)},
    ],
)
def test_options_out_of_their_range_are_refused(wrong: dict) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        LoopOptions(**wrong)
