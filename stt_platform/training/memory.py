"""How much memory of a GPU a training takes, before anything is loaded: every part with its arithmetic.

What can be counted is counted: weights with the constants of their quantisation, adapters, gradients, the states of the
optimizer. Activations follow what transformers, PEFT and torch keep for the backward pass (`activations.py`). What the
formulas rest on is in `memory.toml`.

Gigabytes are decimal. A card "of 16 GB" has 17.2 of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import ceil
from typing import Literal

from stt_platform.training.activations import activation_rows
from stt_platform.training.architectures import ModelShape, Module
from stt_platform.training.training_shape import (
    MemoryRow,
    Numbers,
    Optimizer,
    Part,
    TrainingShape,
    constants,
    counted,
    gigabytes,
    has_adapter,
    is_quantised,
    width,
)


@dataclass(frozen=True)
class MemoryEstimate:
    """All parts of one training.

    Attributes:
        rows: the parts.
        numbers: parameters of the model.
        trained: parameters that are trained.
    """

    rows: tuple[MemoryRow, ...]
    numbers: int
    trained: int

    @property
    def total_bytes(self) -> int:
        """At the peak."""
        return sum(row.bytes for row in self.rows if row.counted)

    @property
    def unpageable_bytes(self) -> int:
        """What has to be on the card at the peak, whatever a paged optimizer moves away."""
        return self.total_bytes - sum(row.pageable_bytes for row in self.rows)

    @property
    def allocated_bytes(self) -> int:
        """At the peak, by torch's allocator: all but the CUDA context."""
        return self.total_bytes - self.bytes_of("context")

    @property
    def static_bytes(self) -> int:
        """What is there between two steps: weights, adapters, gradients and optimizer states."""
        return self.bytes_of("weights", "adapter", "gradients", "optimizer")

    def bytes_of(self, *parts: Part) -> int:
        """Bytes of some parts."""
        return sum(row.bytes for row in self.rows if row.part in parts and row.counted)


def estimate(model: ModelShape, training: TrainingShape) -> MemoryEstimate:
    """How much memory the training takes at its peak.

    Raises:
        ValueError: where `targets` or `modules_to_save` name nothing in the model.
    """
    trained = [*_adapters(model, training), *_copies(model, training)]
    if training.method == "full":
        trained = [
            TrainedTensor(tensor.numbers, training.dtype, "adapter")
            for module in model.modules
            for tensor in module.tensors
            if tensor.learns and not tensor.tied
        ]
    rows = [
        *_weight_rows(model, training),
        *_trained_rows(trained, training),
        *activation_rows(model, training),
        *_workspace_rows(model, training),
        MemoryRow(
            "context", "CUDA context", constants()["context_bytes"], "kernels and handles, outside the allocator"
        ),
    ]
    return MemoryEstimate(tuple(rows), model.numbers, sum(tensor.numbers for tensor in trained))


@dataclass(frozen=True)
class TrainedTensor:
    """A tensor that the optimizer changes; `origin` says whether it is an adapter's or a copy's."""

    numbers: int
    dtype: Numbers
    origin: Literal["adapter", "copy"]

    @property
    def bytes(self) -> int:
        """Of the tensor itself, and of its gradient."""
        return self.numbers * width(self.dtype)


def optimizer_bytes(tensors: Sequence[TrainedTensor], optimizer: Optimizer) -> tuple[int, int]:
    """Bytes of the states that the optimizer keeps, and how many of them it may move to the host's memory."""
    facts = constants()["optimizers"][optimizer]
    total = paged = 0
    for tensor in tensors:
        wide = facts["state_bytes"] or width(tensor.dtype)
        if tensor.numbers < facts.get("least_numbers", 0):
            wide = 4
        each = tensor.numbers * wide
        if wide == 1:
            each += ceil(tensor.numbers / facts["block"]) * 4
        total += facts["states"] * each
        if tensor.numbers >= facts.get("paged_from_numbers", float("inf")):
            paged += facts["states"] * each
    return total, paged


def weight_bytes(module: Module, training: TrainingShape) -> int:
    """Bytes of the parameters that are counted at this module."""
    numbers = module.numbers
    if not is_quantised(module, training):
        return numbers * width(training.dtype)
    weight = module.inputs * module.outputs
    rest = (numbers - weight) * width(training.dtype)
    if training.quantisation == "int8":
        return weight + module.outputs * constants()["int8"]["scale_bytes"] + rest
    facts = constants()["nf4"]
    blocks = ceil(weight / facts["block"])
    if training.double_quantisation:
        maxima = blocks + ceil(blocks / facts["nested_block"]) * facts["maximum_bytes"] + facts["nested_table_bytes"]
    else:
        maxima = blocks * facts["maximum_bytes"]
    return ceil(weight / 2) + maxima + facts["table_bytes"] + rest


def _adapters(model: ModelShape, training: TrainingShape) -> Iterator[TrainedTensor]:
    if training.method == "full":
        return
    targets = [module for module in model.modules if has_adapter(model, training, module)]
    if not targets:
        raise ValueError(f"targets {training.targets!r} name no linear layer of {model.name}")
    for module in targets:
        for side in (module.inputs, module.outputs):
            yield TrainedTensor(training.rank * side, training.adapter_dtype, "adapter")


def _copies(model: ModelShape, training: TrainingShape) -> Iterator[TrainedTensor]:
    for end in training.modules_to_save:
        if not any(module.name.endswith(end) for module in model.modules):
            raise ValueError(f"modules_to_save names {end!r}, and {model.name} has no such module")
    for module in model.modules:
        if any(module.name.endswith(end) for end in training.modules_to_save):
            for tensor in module.tensors:
                if not (tensor.tied and training.tied_copies):
                    yield TrainedTensor(tensor.numbers, training.dtype, "copy")


def _weight_rows(model: ModelShape, training: TrainingShape) -> Iterator[MemoryRow]:
    groups: dict[tuple[str, bool], list[Module]] = {}
    for module in model.modules:
        groups.setdefault((module.component, is_quantised(module, training)), []).append(module)
    for (component, quantised), modules in groups.items():
        numbers = sum(module.numbers for module in modules)
        size = sum(weight_bytes(module, training) for module in modules)
        if not size:
            continue
        how = f"{width(training.dtype)} bytes each ({training.dtype})"
        if quantised:
            twice = (
                ", constants quantised too" if training.double_quantisation and training.quantisation == "nf4" else ""
            )
            how = f"{size / numbers:.3f} bytes each ({training.quantisation}{twice})"
        what = f"{component}, linear layers" if quantised else component
        if not quantised and (component, True) in groups:
            what = f"{component}, the rest"
        yield MemoryRow("weights", what, size, f"{counted(numbers)} numbers of {how}")


def _trained_rows(tensors: Sequence[TrainedTensor], training: TrainingShape) -> Iterator[MemoryRow]:
    adapters = [tensor for tensor in tensors if tensor.origin == "adapter"]
    copies = [tensor for tensor in tensors if tensor.origin == "copy"]
    if training.method == "lora":
        yield MemoryRow(
            "adapter",
            "adapters",
            sum(tensor.bytes for tensor in adapters),
            f"rank {training.rank}: {counted(_numbers(adapters))} numbers of {width(training.adapter_dtype)} bytes",
        )
    if copies:
        names = ", ".join(training.modules_to_save)
        shared = "" if training.tied_copies else ", a copy each, even where they are one tensor in the model"
        yield MemoryRow(
            "adapter",
            f"trained copies of {names}",
            sum(tensor.bytes for tensor in copies),
            f"modules_to_save: {counted(_numbers(copies))} numbers of {width(training.dtype)} bytes{shared}",
        )
    if training.method == "full" and training.autocast and training.dtype == "float32":
        yield MemoryRow(
            "workspace",
            "weights in bfloat16",
            2 * _numbers(tensors),
            "what autocast makes of them, kept for a micro-batch",
        )
    yield MemoryRow(
        "gradients",
        "gradients",
        sum(tensor.bytes for tensor in tensors),
        f"one for each of {counted(_numbers(tensors))} trained numbers, as wide as these",
    )
    size, paged = optimizer_bytes(tensors, training.optimizer)
    words = f"{training.optimizer}: two states for each trained number, {size / _numbers(tensors):.2f} bytes together"
    if constants()["optimizers"][training.optimizer].get("paged_from_numbers"):
        words += f"; {gigabytes(paged)} of it can be moved to the host" if paged else "; too small each to be paged"
    yield MemoryRow("optimizer", "optimizer states", size, words, pageable_bytes=paged)


def _workspace_rows(model: ModelShape, training: TrainingShape) -> Iterator[MemoryRow]:
    quantised = [module for module in model.modules if is_quantised(module, training)]
    if quantised:
        widest = max(quantised, key=lambda module: module.inputs * module.outputs)
        size = widest.inputs * widest.outputs * 2
        words = f"{widest.inputs:,} × {widest.outputs:,} × 2 bytes: the widest, as the backward pass needs it"
        yield MemoryRow("workspace", "one matrix out of its quantisation", size, words)


def _numbers(tensors: Sequence[TrainedTensor]) -> int:
    return sum(tensor.numbers for tensor in tensors)
