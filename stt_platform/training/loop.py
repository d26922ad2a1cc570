"""The training loop that all models share: it can be killed, stopped and resumed, and then repeats itself exactly.

Nothing in it depends on what happened before but the weights and the state of the optimizer: the learning rate is a
function of the step, every random number of its place in the data. So a resumed run is the unbroken run, bit for bit
where the arithmetic is (on a CPU with as many threads).
"""

from __future__ import annotations

import hashlib
import io
import json
import math
import random
import resource
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

from pydantic import Field, NonNegativeInt, PositiveInt

from stt_platform.training.checkpoints import Checkpoint, Checkpoints
from stt_platform.training.options import Optimizer, Options, Schedule

if TYPE_CHECKING:
    import torch

Autocast = Literal["none", "bfloat16"]
Direction = Literal["min", "max"]

DONE, STOPPED_EARLY, INTERRUPTED = "done", "stopped early", "interrupted"

_WEIGHTS, _OPTIMIZER, _STATE = "weights", "optimizer.pt", "state.json"


class TrainingFailed(ValueError):
    """A training that cannot go on: says at which step, why, and what to change."""


class Task(Protocol):
    """What is trained: a model with its data and its loss."""

    def trainable(self) -> Iterable[tuple[str, torch.nn.Parameter]]:
        """List the parameters that change, sorted by name."""
        ...

    def epoch(self, number: int) -> Sequence[Sequence[int]]:
        """List the micro-batches of an epoch (from 0), each the indices of its examples; fixed by the number.

        Asked for more than once: to count the steps, and to make them.
        """
        ...

    def loss(self, indices: Sequence[int], draw: int) -> tuple[torch.Tensor, int]:
        """Compute the SUM of the token losses of a micro-batch, in nats, with its graph, and the number of its target tokens.

        Args:
            indices: of the examples.
            draw: what random numbers other than torch's depend on; torch's generators were seeded with it.
        """
        ...

    def train_mode(self) -> None:
        """Dropout on."""
        ...

    def eval_mode(self) -> None:
        """Dropout off."""
        ...

    def save(self, folder: Path) -> None:
        """Write the trainable weights into an empty folder, as safetensors."""
        ...

    def load(self, folder: Path) -> None:
        """Take the weights that `save` wrote."""
        ...

    def evaluate(self) -> Mapping[str, float]:
        """Measure on the validation set, by name; may be empty."""
        ...


class LoopOptions(Options):
    """How it is trained.

    Attributes:
        epochs: passes through the data at most.
        max_steps: optimizer steps at most; None is no limit.
        accumulation: micro-batches of one optimizer step.
        learning_rate: its peak.
        schedule: from the peak down to zero ("linear", "cosine"), or "constant".
        warmup_steps: over which the rate rises to its peak.
        warmup_share: no more of all steps are warm-up: 500 steps would be all of a small set, and more.
        weight_decay: of matrices; vectors (biases, norms) have none.
        max_grad_norm: gradients are scaled down to this norm; None leaves them.
        optimizer: "adamw" of torch; the others of bitsandbytes: states in 8 bits, or moved to the host when the
            device's memory runs out ("paged").
        seed: of dropout and of every other random number of the training.
        checkpoint_every_steps, checkpoint_every_s: whichever comes first; None for neither.
        evaluate_every_steps: and before the first step and after the last; None only before and after.
        stop_on: measures and their better direction. The weights that were best in the first, of equal ones in the next,
            are what comes out; empty: the last weights.
        patience: evaluations in a row without a new best in ANY of `stop_on`, after which training stops; None
            never does.
        keep: checkpoints that stay, beside that of the best weights.
        average_share: of the last steps, whose weights are averaged and come out in place of the last ones (Izmailov et
            al. 2018): after a short training at a high rate each step's weights are as much chance as learning.
        autocast: arithmetic of losses and evaluations.

    Raises:
        ValueError: for a value that is out of its range.
    """

    epochs: PositiveInt = 3
    max_steps: PositiveInt | None = None
    accumulation: PositiveInt = 1
    learning_rate: float = Field(default=1e-4, gt=0, allow_inf_nan=False)
    schedule: Schedule = "linear"
    warmup_steps: NonNegativeInt = 500
    warmup_share: float = Field(default=0.1, ge=0, le=1)
    weight_decay: float = 0.0
    max_grad_norm: float | None = 1.0
    optimizer: Optimizer = "adamw"
    seed: int = 42
    checkpoint_every_steps: PositiveInt | None = 500
    checkpoint_every_s: float | None = 600.0
    evaluate_every_steps: PositiveInt | None = 500
    stop_on: tuple[tuple[str, Direction], ...] = ()
    patience: PositiveInt | None = None
    keep: PositiveInt = 2
    average_share: float = Field(default=0.0, ge=0, le=1)
    autocast: Autocast = "none"


@dataclass(frozen=True)
class Step:
    """One optimizer step.

    Attributes:
        step: from 1.
        steps_total: of the whole training, if nothing stops it.
        epoch: from 0.
        loss: mean over the target tokens of all its micro-batches, in nats.
        grad_norm: before it was limited.
        learning_rate: it was made with.
        tokens: target tokens.
        tokens_per_s: target tokens a second, without evaluations and checkpoints.
        examples: examples in it.
        memory_bytes: the most that was in use so far: of the device's memory, or of the process's on a CPU.
        evaluation: the held-out measures after it; empty where none were taken.
    """

    step: int
    steps_total: int
    epoch: int
    loss: float
    grad_norm: float
    learning_rate: float
    tokens: int
    tokens_per_s: float
    examples: int
    memory_bytes: int
    evaluation: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Evaluation:
    """Held-out measures after `step` optimizer steps; step 0 is the model as it came."""

    step: int
    measures: Mapping[str, float]


@dataclass(frozen=True)
class Trained:
    """What came of it; the task has the weights.

    Attributes:
        status: "done", "stopped early" or "interrupted" (the same call goes on from there).
        steps, evaluations: the curves, those of earlier runs that were resumed included.
        best_step: after which the weights were best, and are now the task's; None without `stop_on`.
        seconds: of training, over all runs.
        notes: what a user should know: checkpoints that were damaged.
    """

    status: str
    steps: tuple[Step, ...]
    evaluations: tuple[Evaluation, ...]
    best_step: int | None
    seconds: float
    notes: tuple[str, ...]


def train(
    task: Task,
    options: LoopOptions,
    checkpoints: Checkpoints,
    *,
    progress: Callable[[Step], None] = lambda step: None,
    should_stop: Callable[[], bool] = lambda: False,
) -> Trained:
    """Train from the newest whole checkpoint, or from the start.

    Args:
        checkpoints: of this task with these options.
        progress: called after every step, and after its evaluation where it has one.
        should_stop: asked before every micro-batch; once it says yes, what was done is saved and the loop ends.

    Raises:
        TrainingFailed: no data, no target token in a step, a loss that is no number, a measure that is not taken, a
            checkpoint of other data.
        CheckpointNotSaved: the disk is full.
    """
    return _Run(task, options, checkpoints, progress, should_stop).run()


def learning_rate(step: int, total: int, options: LoopOptions) -> float:
    """Compute the rate of the optimizer step `step` (from 0) of `total`."""
    warmup = min(options.warmup_steps, int(options.warmup_share * total))
    if step < warmup:
        return options.learning_rate * (step + 1) / warmup
    left = (total - step) / (total - warmup)
    if options.schedule == "cosine":
        left = (1 - math.cos(math.pi * left)) / 2
    return options.learning_rate * (1.0 if options.schedule == "constant" else left)


@dataclass(frozen=True)
class _Place:
    """Where an optimizer step is in the data."""

    epoch: int
    first: int
    batches: tuple[tuple[int, ...], ...]


class _Run:
    def __init__(
        self,
        task: Task,
        options: LoopOptions,
        checkpoints: Checkpoints,
        progress: Callable[[Step], None],
        should_stop: Callable[[], bool],
    ) -> None:
        self._task, self._options, self._checkpoints = task, options, checkpoints
        self._progress, self._should_stop = progress, should_stop
        self._parameters = [parameter for _, parameter in sorted(task.trainable(), key=lambda named: named[0])]
        if not self._parameters:
            raise TrainingFailed("the task has no trainable parameter: check the names of the modules to train")
        self._device = self._parameters[0].device
        self._lengths = _epoch_lengths(task, options)
        self._total = sum(self._lengths)
        self._optimizer = _optimizer(self._parameters, options)
        self._steps: list[Step] = []
        self._evaluations: list[Evaluation] = []
        self._done = 0
        self._average: list[torch.Tensor] = []
        self._began = self._saved_at = time.monotonic()

    def run(self) -> Trained:
        self._resume()
        status = INTERRUPTED
        if not (self._done or self._evaluations):
            self._evaluate()
            if self._options.stop_on:
                self._save()
        for place in self._places():
            if self._patience_is_over():
                break
            step = self._step(place)
            if step is None:
                self._save()
                break
            self._done += 1
            self._add_to_average()
            self._record(step)
        else:
            status = DONE
        if status != DONE and self._patience_is_over():
            status = STOPPED_EARLY
            self._save()
        return self._finish(status)

    def _places(self) -> Iterator[_Place]:
        """List the steps that are left. An accumulation ends with its epoch."""
        size, before = self._options.accumulation, 0
        for epoch, length in enumerate(self._lengths):
            if before + length > self._done:
                batches = [tuple(batch) for batch in self._task.epoch(epoch)]
                for k in range(max(self._done - before, 0), length):
                    yield _Place(epoch, k * size, tuple(batches[k * size : (k + 1) * size]))
            before += length

    def _step(self, place: _Place) -> Step | None:
        """One optimizer step; None where it was told to stop."""
        import torch

        began = time.monotonic()
        rate = learning_rate(self._done, self._total, self._options)
        self._task.train_mode()
        self._optimizer.zero_grad(set_to_none=True)
        total, tokens = 0.0, 0
        for k, batch in enumerate(place.batches):
            if self._should_stop():
                return None
            loss, found = self._loss(place, k, batch)
            total, tokens = total + loss, tokens + found
        if not tokens:
            raise TrainingFailed(
                f"step {self._done + 1} has no target token (examples {_some(place)}): leave empty examples out"
            )
        # The sums were differentiated: how many tokens a step has is known at its end only.
        for parameter in self._parameters:
            if parameter.grad is not None:
                parameter.grad.div_(tokens)
        limit = self._options.max_grad_norm or math.inf
        norm = float(torch.nn.utils.clip_grad_norm_(self._parameters, limit))
        if not (math.isfinite(total) and math.isfinite(norm)):
            raise TrainingFailed(
                f"step {self._done + 1}: loss {total / tokens:g}, gradient norm {norm:g} (examples {_some(place)}): "
                f"lower learning_rate (now {self._options.learning_rate:g}) or max_grad_norm, or use bfloat16 or float32"
            )
        for group in self._optimizer.param_groups:
            group["lr"] = rate
        self._optimizer.step()
        seconds = time.monotonic() - began
        examples = sum(len(batch) for batch in place.batches)
        return Step(
            step=self._done + 1,
            steps_total=self._total,
            epoch=place.epoch,
            loss=total / tokens,
            grad_norm=norm,
            learning_rate=rate,
            tokens=tokens,
            tokens_per_s=tokens / max(seconds, 1e-9),
            examples=examples,
            memory_bytes=_peak_memory_bytes(self._device),
        )

    def _add_to_average(self) -> None:
        """Update the running mean of the weights, since the first of the steps that are averaged."""
        averaged = round(self._options.average_share * self._total)
        count = self._done - (self._total - averaged)
        if count == 1:
            self._average = [parameter.detach().clone() for parameter in self._parameters]
        elif count > 1:
            for mean, parameter in zip(self._average, self._parameters, strict=True):
                mean.add_(parameter.detach() - mean, alpha=1 / count)

    def _take_average(self) -> None:
        if self._average:
            for parameter, mean in zip(self._parameters, self._average, strict=True):
                parameter.data.copy_(mean)

    def _loss(self, place: _Place, k: int, batch: tuple[int, ...]) -> tuple[float, int]:
        import torch

        draw = _draw(self._options.seed, place.epoch, place.first + k)
        torch.manual_seed(draw)
        with self._arithmetic():
            loss, tokens = self._task.loss(batch, draw)
        if tokens:
            loss.backward()
        return float(loss.detach()), tokens

    def _record(self, step: Step) -> None:
        options = self._options
        last = self._done == self._total
        if last:
            self._take_average()
        if last or (options.evaluate_every_steps and self._done % options.evaluate_every_steps == 0):
            step = replace(step, evaluation=self._evaluate())
        self._steps.append(step)
        improved = bool(step.evaluation) and self._best_step() == self._done
        due = options.checkpoint_every_steps and self._done % options.checkpoint_every_steps == 0
        late = options.checkpoint_every_s and time.monotonic() - self._saved_at >= options.checkpoint_every_s
        if last or improved or due or late:
            self._save()
        self._progress(step)

    def _evaluate(self) -> Mapping[str, float]:
        import torch

        self._task.eval_mode()
        with torch.no_grad(), self._arithmetic():
            measures = {name: float(value) for name, value in self._task.evaluate().items()}
        missing = [name for name, _ in self._options.stop_on if name not in measures]
        if missing:
            taken = ", ".join(measures) or "none"
            raise TrainingFailed(f"stop_on names {', '.join(missing)}, but the measures are {taken}: name one of them")
        if measures:
            self._evaluations.append(Evaluation(self._done, measures))
        return measures

    def _arithmetic(self) -> Any:
        import torch

        if self._options.autocast == "none":
            return nullcontext()
        return torch.autocast(self._device.type, dtype=torch.bfloat16)

    def _best_step(self) -> int | None:
        if not self._options.stop_on:
            return None
        worths = [
            ([_worth(each.measures[name], direction) for name, direction in self._options.stop_on], -each.step)
            for each in self._evaluations
        ]
        return -max(worths)[1]

    def _patience_is_over(self) -> bool:
        if self._options.patience is None or not self._options.stop_on:
            return False
        idle, best = 0, {name: -math.inf for name, _ in self._options.stop_on}
        for evaluation in self._evaluations:
            found = {name: _worth(evaluation.measures[name], side) for name, side in self._options.stop_on}
            idle = 0 if any(found[name] > best[name] for name in best) else idle + 1
            best = {name: max(best[name], found[name]) for name in best}
        return idle >= self._options.patience

    def _finish(self, status: str) -> Trained:
        seconds = time.monotonic() - self._began
        best = self._best_step() if self._evaluations else None
        notes = list(self._checkpoints.notes)
        if best is not None and best != self._done and status != INTERRUPTED:
            checkpoint = self._checkpoints.at(best)
            notes = list(self._checkpoints.notes)
            if checkpoint is None:
                notes.append(
                    f"the weights of step {best} were the best, but are lost: these are those of step {self._done}"
                )
                best = self._done
            else:
                self._task.load(checkpoint.folder / _WEIGHTS)
        self._task.eval_mode()
        return Trained(status, tuple(self._steps), tuple(self._evaluations), best, seconds, tuple(notes))

    def _save(self) -> None:
        self._checkpoints.save(self._done, self._write)
        also = [best] if (best := self._best_step()) is not None else []
        self._checkpoints.prune(self._options.keep, also)
        self._saved_at = time.monotonic()

    def _write(self, folder: Path) -> None:
        import torch

        (folder / _WEIGHTS).mkdir()
        self._task.save(folder / _WEIGHTS)
        buffer = io.BytesIO()
        states = {"optimizer": self._optimizer.state_dict(), "random": _random_state(), "average": self._average}
        torch.save(states, buffer)
        (folder / _OPTIMIZER).write_bytes(buffer.getvalue())
        state = {
            "step": self._done,
            "steps_total": self._total,
            "position": self._position(),
            "seconds": time.monotonic() - self._began,
            "steps": [asdict(step) for step in self._steps],
            "evaluations": [asdict(evaluation) for evaluation in self._evaluations],
        }
        (folder / _STATE).write_text(json.dumps(state, indent=1), encoding="utf-8")

    def _position(self) -> dict[str, int] | None:
        """Where the next step begins; None at the end."""
        before = 0
        for epoch, length in enumerate(self._lengths):
            if self._done < before + length:
                return {"epoch": epoch, "micro_batch": (self._done - before) * self._options.accumulation}
            before += length
        return None

    def _resume(self) -> None:
        checkpoint = self._checkpoints.latest()
        if checkpoint is None:
            return
        import torch

        state = self._read_state(checkpoint)
        self._task.load(checkpoint.folder / _WEIGHTS)
        # Tensors and plain values only: nothing in the file is run.
        saved = torch.load(checkpoint.folder / _OPTIMIZER, map_location="cpu", weights_only=True)
        self._optimizer.load_state_dict(saved["optimizer"])
        _set_random_state(saved["random"])
        self._average = [mean.to(self._device) for mean in saved["average"]]
        self._steps = [Step(**step) for step in state["steps"]]
        self._evaluations = [Evaluation(**evaluation) for evaluation in state["evaluations"]]
        self._began = time.monotonic() - state["seconds"]

    def _read_state(self, checkpoint: Checkpoint) -> dict[str, Any]:
        state = json.loads((checkpoint.folder / _STATE).read_text(encoding="utf-8"))
        self._done = state["step"]
        if (state["steps_total"], state["position"]) != (self._total, self._position()):
            raise TrainingFailed(
                f"checkpoint {checkpoint.folder} is of a training of {state['steps_total']} steps that goes on at "
                f"{state['position']}, this one has {self._total} and goes on at {self._position()}: the data or the "
                "options are others, so its key has to be another; or remove the folder"
            )
        return state


def _epoch_lengths(task: Task, options: LoopOptions) -> list[int]:
    """Optimizer steps of each epoch, up to `max_steps` in all."""
    lengths: list[int] = []
    left = options.max_steps if options.max_steps is not None else sys.maxsize
    for epoch in range(options.epochs):
        if left == 0:
            break
        lengths.append(min(math.ceil(len(task.epoch(epoch)) / options.accumulation), left))
        left -= lengths[-1]
    if not sum(lengths):
        raise TrainingFailed("there is nothing to learn from: the training set has no usable example")
    return lengths


def _optimizer(parameters: Sequence[torch.nn.Parameter], options: LoopOptions) -> torch.optim.Optimizer:
    import torch

    groups = [
        {"params": [p for p in parameters if p.ndim >= 2], "weight_decay": options.weight_decay},
        {"params": [p for p in parameters if p.ndim < 2], "weight_decay": 0.0},
    ]
    groups = [group for group in groups if group["params"]]
    if options.optimizer == "adamw":
        return torch.optim.AdamW(groups, lr=options.learning_rate)
    import bitsandbytes

    kinds = {
        "adamw_8bit": bitsandbytes.optim.AdamW8bit,
        "paged_adamw_8bit": bitsandbytes.optim.PagedAdamW8bit,
        "paged_adamw_32bit": bitsandbytes.optim.PagedAdamW32bit,
    }
    return kinds[options.optimizer](groups, lr=options.learning_rate)


def _draw(seed: int, epoch: int, micro_batch: int) -> int:
    """Draw a number from the place in the data, 0 to 2**63 - 1."""
    digest = hashlib.sha256(f"{seed} {epoch} {micro_batch}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def _worth(value: float, direction: Direction) -> float:
    """Higher is better; what is no number is worst."""
    if math.isnan(value):
        return -math.inf
    return value if direction == "max" else -value


def _some(place: _Place) -> str:
    indices = [index for batch in place.batches for index in batch]
    return ", ".join(str(index) for index in indices[:8]) + (", …" if len(indices) > 8 else "")


def _peak_memory_bytes(device: torch.device) -> int:
    if device.type == "cuda":
        import torch

        return torch.cuda.max_memory_allocated(device)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def _random_state() -> dict[str, Any]:
    """Of the generators that a task may draw from outside its losses."""
    import numpy as np
    import torch

    name, keys, *rest = np.random.get_state()
    return {
        "python": random.getstate(),
        "numpy": (name, keys.tolist(), *rest),
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
    }


def _set_random_state(state: Mapping[str, Any]) -> None:
    import numpy as np
    import torch

    version, internal, gauss = state["python"]
    random.setstate((version, tuple(internal), gauss))
    np.random.set_state(tuple(state["numpy"]))
    torch.set_rng_state(state["torch"])
    if state["cuda"] and len(state["cuda"]) == torch.cuda.device_count():
        torch.cuda.set_rng_state_all(state["cuda"])
