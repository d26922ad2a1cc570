"""Whether a training fits a card, and with which micro-batch; where it does not, what to change.

The effective batch decides what is learnt, so it stays: fewer rows at a time are made up for by more accumulation.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from stt_platform.training.architectures import ModelShape
from stt_platform.training.memory import MemoryEstimate, estimate
from stt_platform.training.training_shape import TrainingShape, constants, counted, gigabytes

# Changes that save less than this share of what is there are not worth a line.
_LEAST_SAVING = 0.01
_SHORTEST_ROW = 256


@dataclass(frozen=True)
class Change:
    """Something that would make the training smaller.

    Attributes:
        what: to do, for people.
        training: the training with it.
        saved_bytes: at the peak.
        fits: whether that alone is enough.
    """

    what: str
    training: TrainingShape
    saved_bytes: int
    fits: bool


class DoesNotFit(ValueError):
    """A training that the card cannot hold, even one row at a time; says what takes how much, and what would help.

    Attributes:
        estimate: of one row at a time.
        budget_bytes: what there is for it.
        changes: that would save memory, the most first.
        remedy: a training that fits, where some of the changes together are enough.
    """

    def __init__(
        self,
        message: str,
        estimate: MemoryEstimate,
        budget_bytes: int,
        changes: Sequence[Change],
        remedy: TrainingShape | None,
    ) -> None:
        super().__init__(message)
        self.estimate = estimate
        self.budget_bytes = budget_bytes
        self.changes = tuple(changes)
        self.remedy = remedy


@dataclass(frozen=True)
class MemoryPlan:
    """How the training runs on the card.

    Attributes:
        training: with the rows of a micro-batch that were chosen.
        accumulation: micro-batches of a step. Rows times this is the effective batch.
        most_rows: the biggest micro-batch that was asked for and divides the effective batch.
        estimate: of memory at the peak.
        card_bytes: of the card.
        budget_bytes: of it, what there is for this training.
    """

    training: TrainingShape
    accumulation: int
    most_rows: int
    estimate: MemoryEstimate
    card_bytes: int
    budget_bytes: int

    @property
    def rows(self) -> int:
        """Of one micro-batch."""
        return self.training.rows

    @property
    def words(self) -> str:
        """The plan in a sentence."""
        lowered = f" (not {self.most_rows}, which do not fit)" if self.rows < self.most_rows else ""
        return (
            f"{self.rows} × {self.accumulation} rows a step{lowered}: {gigabytes(self.estimate.total_bytes)} of the "
            f"{gigabytes(self.budget_bytes)} that a card of {gigabytes(self.card_bytes)} has for it"
        )


@dataclass(frozen=True)
class Measured:
    """A prediction beside what was measured.

    Attributes:
        predicted_bytes, measured_bytes: at the peak, of the same thing.
        difference: of the prediction, as a share of what was measured; above zero where too much was predicted.
        words: for people.
    """

    predicted_bytes: int
    measured_bytes: int
    difference: float
    words: str


def plan(
    model: ModelShape,
    training: TrainingShape,
    *,
    card_bytes: int,
    effective_batch: int,
    used_bytes: int = 0,
) -> MemoryPlan:
    """Choose the biggest micro-batch that fits, up to the rows that `training` asks for.

    Args:
        card_bytes: all memory of the card.
        effective_batch: rows of one step of the optimizer. Only micro-batches that divide it are taken.
        used_bytes: of the card, what other programs hold (on WSL2, the desktop of Windows).

    Raises:
        DoesNotFit: where even one row at a time is too much.
        ValueError: for an effective batch below 1.
    """
    if effective_batch < 1:
        raise ValueError(f"effective_batch {effective_batch!r}: at least 1 was expected")
    budget = int(card_bytes * (1 - constants()["headroom"])) - used_bytes
    sizes = [rows for rows in range(min(training.rows, effective_batch), 0, -1) if effective_batch % rows == 0]
    for rows in sizes:
        chosen = replace(training, rows=rows)
        found = estimate(model, chosen)
        if found.total_bytes <= budget:
            return MemoryPlan(chosen, effective_batch // rows, sizes[0], found, card_bytes, budget)
    raise _refusal(model, replace(training, rows=1), card_bytes, used_bytes, budget)


def table(found: MemoryEstimate | MemoryPlan) -> list[dict[str, Any]]:
    """The parts for people, in gigabytes, with their arithmetic; in a plan what is left of the card, too."""
    parts = found.estimate if isinstance(found, MemoryPlan) else found
    rows: list[dict[str, Any]] = [
        {"what": row.what, "GB": round(row.bytes / 1e9, 3) if row.counted else None, "how": row.words}
        for row in parts.rows
    ]
    share = f"{counted(parts.trained)} of {counted(parts.numbers)} numbers are trained"
    rows.append({"what": "together, at the peak", "GB": round(parts.total_bytes / 1e9, 3), "how": share})
    if isinstance(found, MemoryPlan):
        left = found.budget_bytes - parts.total_bytes
        rows.append({"what": "left of the card", "GB": round(left / 1e9, 3), "how": found.words})
    return rows


def compare(
    found: MemoryPlan | MemoryEstimate, measured_bytes: int, *, of: Literal["allocator", "device"] = "allocator"
) -> Measured:
    """A prediction beside a measurement.

    Args:
        measured_bytes: at the peak. Of the "allocator" (`torch.cuda.max_memory_allocated`), which does not know the
            CUDA context, or of this process on the "device".

    Raises:
        ValueError: for a measurement of nothing.
    """
    if measured_bytes <= 0:
        raise ValueError(f"measured_bytes {measured_bytes!r}: nothing was measured, so there is nothing to compare")
    parts = found.estimate if isinstance(found, MemoryPlan) else found
    predicted = parts.allocated_bytes if of == "allocator" else parts.total_bytes
    difference = predicted / measured_bytes - 1
    words = f"{gigabytes(predicted)} predicted, {gigabytes(measured_bytes)} measured ({difference:+.0%}), of the {of}"
    return Measured(predicted, measured_bytes, difference, words)


def _refusal(model: ModelShape, training: TrainingShape, card_bytes: int, used_bytes: int, budget: int) -> DoesNotFit:
    found = estimate(model, training)
    changes = sorted(_changes(model, training, found, budget), key=lambda change: -change.saved_bytes)
    together, remedy = _enough(model, training, changes, budget)
    biggest = sorted((row for row in found.rows if row.counted), key=lambda row: -row.bytes)[:5]
    others = f", less {gigabytes(used_bytes)} that other programs hold" if used_bytes else ""
    lines = [
        f"{model.name} does not fit: it takes {gigabytes(found.total_bytes)} with one row of "
        f"{training.sequence_length:,} tokens at a time, and a card of {gigabytes(card_bytes)} has "
        f"{gigabytes(budget)} for it (less {constants()['headroom']:.0%} for what the allocator loses{others})",
        "the most of it: " + "; ".join(f"{row.what} {gigabytes(row.bytes)} ({row.words})" for row in biggest),
        *_paging(found, budget),
        *(
            f"to change: {change.what}, saves {gigabytes(change.saved_bytes)}{_enough_alone(change)}"
            for change in changes
        ),
    ]
    if remedy is None:
        lines.append("all of it together is not enough: take a smaller model, or a bigger card")
    elif len(together) > 1:
        total = gigabytes(estimate(model, remedy).total_bytes)
        lines.append(f"together enough, with {total}: {'; '.join(change.what for change in together)}")
    return DoesNotFit(".\n".join(lines), found, budget, changes, remedy)


def _paging(found: MemoryEstimate, budget: int) -> Iterator[str]:
    paged = found.total_bytes - found.unpageable_bytes
    if not paged:
        return
    if found.unpageable_bytes > budget:
        yield (
            f"paging does not help: {gigabytes(found.unpageable_bytes)} cannot be moved to the host, only "
            f"{gigabytes(paged)} of optimizer states can"
        )
    else:
        seconds = 2 * paged / constants()["pcie_bytes_per_s"]
        yield (
            f"paging would let it run, but moves {gigabytes(paged)} there and back in every step, some {seconds:.1f} s of "
            "waiting each"
        )


def _enough_alone(change: Change) -> str:
    return ", which is enough" if change.fits else ""


def _changes(model: ModelShape, training: TrainingShape, found: MemoryEstimate, budget: int) -> Iterator[Change]:
    for what, values in _ideas(training):
        changed = replace(training, **values)
        total = estimate(model, changed).total_bytes
        saved = found.total_bytes - total
        if saved >= _LEAST_SAVING * found.total_bytes:
            yield Change(what, changed, saved, total <= budget)


def _ideas(training: TrainingShape) -> Iterator[tuple[str, dict[str, Any]]]:
    if training.modules_to_save:
        names = ", ".join(training.modules_to_save)
        yield f"no modules_to_save ({names}): adapters alone, on the linear layers", {"modules_to_save": ()}
    if training.method == "full":
        yield "adapters (LoRA, rank 16) instead of all weights", {"method": "lora", "rank": 16}
    elif training.quantisation != "nf4":
        yield "the frozen weights in 4 bits (NF4)", {"quantisation": "nf4"}
    if training.method == "lora" and training.quantisation == "none":
        yield "the frozen weights in 8 bits", {"quantisation": "int8"}
    if not training.checkpointing:
        yield "checkpointing: activations are computed again", {"checkpointing": True}
    if training.logits == "full":
        yield "the loss in tiles, without all logits at once", {"logits": "chunked"}
    if training.optimizer in ("adamw", "paged_adamw_32bit"):
        yield "an optimizer with states of 8 bits (adamw_8bit)", {"optimizer": "adamw_8bit"}
    if training.attention == "eager":
        yield "memory-efficient attention (sdpa)", {"attention": "sdpa"}
    if training.dtype == "float32":
        yield "bfloat16 instead of float32", {"dtype": "bfloat16"}
    if training.sequence_length >= 2 * _SHORTEST_ROW:
        half = training.sequence_length // 2
        yield f"rows of {half:,} tokens", {"sequence_length": half}
    if training.method == "lora" and training.rank > 1:
        yield f"rank {training.rank // 2} instead of {training.rank}", {"rank": training.rank // 2}


def _enough(
    model: ModelShape, training: TrainingShape, changes: Sequence[Change], budget: int
) -> tuple[list[Change], TrainingShape | None]:
    """The first changes, the biggest first, that are enough together."""
    taken: list[Change] = []
    current = training
    for change in changes:
        values = {
            name: getattr(change.training, name)
            for name in training.__dataclass_fields__
            if getattr(change.training, name) != getattr(training, name)
        }
        # Of two that set the same value, such as 4 bits and 8, the first saves more.
        if any(getattr(current, name) != getattr(training, name) for name in values):
            continue
        current = replace(current, **values)
        taken.append(change)
        if estimate(model, current).total_bytes <= budget:
            return taken, current
    return taken, None
