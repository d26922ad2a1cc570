"""Whether a training fits a card, and with which micro-batch; where it does not, what to change.

The effective batch decides what is learnt, so it stays: fewer rows at a time are made up for by more accumulation.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from stt_platform.training.architectures import ModelShape
from stt_platform.training.memory import MemoryEstimate, estimate
from stt_platform.training.training_shape import TrainingShape, gigabytes, millions

# Left free of a card: the allocator rounds and fragments, and on WSL2 memory runs out below what the driver reports free
# (microsoft/WSL issue 41176).
_HEADROOM = 0.05
# How fast a paged optimizer's states come and go, one way: taken to be what PCIe 4.0 x8 gives of its 16 GB/s.
_PCIE_BYTES_PER_S = 12e9
# Changes that save less than this share of the total are not worth a line.
_MIN_SAVING = 0.01
_MIN_ROW_TOKENS = 256


@dataclass(frozen=True)
class Change:
    """Something that would make the training smaller.

    Attributes:
        what: to do, for people.
        values: of `TrainingShape`, by name.
        saved_bytes: at the peak.
        fits: whether that alone is enough.
    """

    what: str
    values: dict[str, Any]
    saved_bytes: int
    fits: bool


class DoesNotFit(ValueError):
    """A training that the card cannot hold, even one row at a time; says what takes how much, and what would help.

    Attributes:
        changes: that would save memory, the most first.
        remedy: a training that fits, where some of the changes together are enough.
    """

    def __init__(self, message: str, changes: Sequence[Change], remedy: TrainingShape | None) -> None:
        super().__init__(message)
        self.changes, self.remedy = tuple(changes), remedy


@dataclass(frozen=True)
class MemoryPlan:
    """How the training runs on the card.

    Attributes:
        rows: of one micro-batch; `accumulation` of these make a step.
        words: the plan in a sentence.
    """

    rows: int
    accumulation: int
    words: str
    estimate: MemoryEstimate


def plan(
    model: ModelShape, training: TrainingShape, *, card_bytes: int | None, effective_batch: int, used_bytes: int = 0
) -> MemoryPlan:
    """Choose the biggest micro-batch that fits, up to the rows that `training` asks for.

    Args:
        card_bytes: all memory of the card; None on a CPU, which swaps and is not refused.
        effective_batch: rows of one step of the optimizer. Only micro-batches that divide it are taken.
        used_bytes: of the card, what other programs hold (on WSL2, the desktop of Windows).

    Raises:
        DoesNotFit: where even one row at a time is too much.
        ValueError: for an effective batch below 1.
    """
    if effective_batch < 1:
        raise ValueError(f"effective_batch {effective_batch!r}: at least 1 was expected")
    sizes = [rows for rows in range(min(training.rows, effective_batch), 0, -1) if effective_batch % rows == 0]
    if card_bytes is None:
        rows, found = sizes[0], estimate(model, replace(training, rows=sizes[0]))
        words = f"{rows} × {effective_batch // rows} rows a step, on a CPU: about {gigabytes(found.total_bytes)}"
        return MemoryPlan(rows, effective_batch // rows, words, found)
    budget = int(card_bytes * (1 - _HEADROOM)) - used_bytes
    for rows in sizes:
        found = estimate(model, replace(training, rows=rows))
        if found.total_bytes <= budget:
            words = (
                f"{rows} × {effective_batch // rows} rows a step"
                f"{f' (not {sizes[0]}, which do not fit)' if rows < sizes[0] else ''}: {gigabytes(found.total_bytes)} "
                f"of the {gigabytes(budget)} that a card of {gigabytes(card_bytes)} has for it"
            )
            return MemoryPlan(rows, effective_batch // rows, words, found)
    raise _refusal(model, replace(training, rows=1), card_bytes, used_bytes, budget)


def table(found: MemoryEstimate) -> list[dict[str, Any]]:
    """List the parts for people, in gigabytes, with their arithmetic."""
    rows = [{"what": row.what, "GB": round(row.bytes / 1e9, 3), "how": row.words} for row in found.rows]
    share = f"{millions(found.trained)} of {millions(found.parameters)} parameters are trained"
    return [*rows, {"what": "together, at the peak", "GB": round(found.total_bytes / 1e9, 3), "how": share}]


def compare(found: MemoryEstimate, measured_bytes: int) -> str:
    """Say a prediction beside what torch's allocator measured at the peak (`torch.cuda.max_memory_allocated`)."""
    predicted = found.total_bytes - found.bytes_of("context")
    return f"{gigabytes(predicted)} predicted, {gigabytes(measured_bytes)} measured ({predicted / measured_bytes - 1:+.0%})"


def _refusal(model: ModelShape, training: TrainingShape, card_bytes: int, used_bytes: int, budget: int) -> DoesNotFit:
    found = estimate(model, training)
    changes = []
    for what, values in _ideas(training):
        total = estimate(model, replace(training, **values)).total_bytes
        changes.append(Change(what, values, found.total_bytes - total, total <= budget))
    changes = [change for change in changes if change.saved_bytes >= _MIN_SAVING * found.total_bytes]
    changes.sort(key=lambda change: -change.saved_bytes)
    remedy, total, taken = training, found.total_bytes, 0
    while total > budget and taken < len(changes):
        remedy, taken = replace(remedy, **changes[taken].values), taken + 1
        total = estimate(model, remedy).total_bytes
    biggest = sorted(found.rows, key=lambda row: -row.bytes)[:5]
    others = f", less {gigabytes(used_bytes)} that other programs hold" if used_bytes else ""
    lines = [
        f"{model.name} does not fit: it takes {gigabytes(found.total_bytes)} with one row of "
        f"{training.sequence_length:,} tokens at a time, and a card of {gigabytes(card_bytes)} has "
        f"{gigabytes(budget)} for it (less {_HEADROOM:.0%} for what the allocator loses{others})",
        "the most of it: " + "; ".join(f"{row.what} {gigabytes(row.bytes)} ({row.words})" for row in biggest),
    ]
    paged = found.total_bytes - found.unpageable_bytes
    if paged and found.unpageable_bytes > budget:
        lines.append(f"paging does not help: {gigabytes(found.unpageable_bytes)} cannot be moved to the host")
    elif paged:
        moved = f"{gigabytes(paged)} there and back in every step ({2 * paged / _PCIE_BYTES_PER_S:.1f} s)"
        lines.append(f"paging would let it run, but moves {moved}")
    for change in changes:
        enough = ", which is enough" if change.fits else ""
        lines.append(f"to change: {change.what}, saves {gigabytes(change.saved_bytes)}{enough}")
    if total > budget:
        lines.append("all of it together is not enough: take a smaller model, or a bigger card")
    elif taken > 1:
        lines.append(f"together enough, with {gigabytes(total)}: {'; '.join(each.what for each in changes[:taken])}")
    return DoesNotFit(".\n".join(lines), changes, remedy if total <= budget else None)


def _ideas(training: TrainingShape) -> Iterator[tuple[str, dict[str, Any]]]:
    if training.modules_to_save:
        names = ", ".join(training.modules_to_save)
        yield f"no modules_to_save ({names}): adapters alone, on the linear layers", {"modules_to_save": ()}
    if training.method == "full":
        yield "adapters (LoRA, rank 16) instead of all weights", {"method": "lora", "rank": 16}
    elif training.quantisation != "nf4":
        yield "the frozen weights in 4 bits (NF4)", {"quantisation": "nf4"}
    if not training.checkpointing:
        yield "checkpointing: activations are computed again", {"checkpointing": True}
    if training.logits == "full":
        yield "the loss in tiles, without all logits at once", {"logits": "chunked"}
    if not training.optimizer.endswith("8bit"):
        yield "an optimizer with states of 8 bits (adamw_8bit)", {"optimizer": "adamw_8bit"}
    if training.dtype == "float32":
        yield "bfloat16 instead of float32", {"dtype": "bfloat16"}
    if training.sequence_length >= 2 * _MIN_ROW_TOKENS:
        half = training.sequence_length // 2
        yield f"rows of {half:,} tokens", {"sequence_length": half}
