"""How much memory of a GPU a training takes, before anything is loaded: every part with its arithmetic.

What can be counted is counted: weights with the constants of their quantisation, adapters, gradients, the states of the
optimizer. Activations follow what transformers, PEFT and torch keep for the backward pass (`activations.py`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import ceil

from stt_platform.training.activations import activation_rows
from stt_platform.training.architectures import ModelShape, Module
from stt_platform.training.options import Optimizer
from stt_platform.training.training_shape import WIDTHS, MemoryRow, Part, Precision, TrainingShape, millions

# Kernels, handles and workspaces of CUDA, cuBLAS and bitsandbytes, outside torch's allocator.
_CONTEXT_BYTES = 800_000_000

# bitsandbytes functional.py, quantize_4bit: two parameters a byte, an absolute maximum for each block; double quantisation
# (Dettmers et al. 2023, QLoRA, section 3) makes that 8 bits, with a float32 maximum for each 256 of them, a table of 256
# float32 and an offset. A table of 16 values for each matrix.
_NF4_BLOCK, _NF4_NESTED_BLOCK, _NF4_NESTED_TABLE_BYTES, _NF4_TABLE_BYTES = 64, 256, 1028, 64

# bitsandbytes, optim/optimizer.py (min_8bit_size, get_state_buffer): two states for each parameter, in 8 bits with a
# float32 maximum for each block; small tensors have 32 bits, and only big ones are paged.
_STATES = 2
_8BIT_BLOCK, _MIN_8BIT_PARAMETERS, _MIN_PAGED_PARAMETERS = 256, 4096, 100_000


@dataclass(frozen=True)
class MemoryEstimate:
    """All parts of one training.

    Attributes:
        parameters, trained: of the model, and those that are trained.
    """

    rows: tuple[MemoryRow, ...]
    parameters: int
    trained: int

    @property
    def total_bytes(self) -> int:
        """At the peak."""
        return sum(row.bytes for row in self.rows)

    @property
    def unpageable_bytes(self) -> int:
        """What has to be on the card at the peak, whatever a paged optimizer moves away."""
        return self.total_bytes - sum(row.pageable_bytes for row in self.rows)

    def bytes_of(self, *parts: Part) -> int:
        """Add up some parts."""
        return sum(row.bytes for row in self.rows if row.part in parts)


@dataclass(frozen=True)
class TrainedTensor:
    """A tensor that the optimizer changes; its gradient is as wide as it."""

    parameters: int
    precision: Precision


def estimate(model: ModelShape, training: TrainingShape) -> MemoryEstimate:
    """Estimate how much memory the training takes at its peak.

    Raises:
        ValueError: where `targets` or `modules_to_save` name nothing in the model.
    """
    adapters, copies = _adapters(model, training), _copies(model, training)
    trained = [*adapters, *copies]
    if training.method == "full":
        trained = [TrainedTensor(count, training.dtype) for module in model.modules for count in module.trainable]
    return MemoryEstimate(
        rows=(
            *_weight_rows(model, training),
            *_trained_rows(adapters, copies, training),
            *_state_rows(trained, training),
            *activation_rows(model, training),
            *_workspace_rows(model, trained, training),
            MemoryRow("context", "CUDA context", _CONTEXT_BYTES, "kernels and handles, outside the allocator"),
        ),
        parameters=model.parameters,
        trained=_count(trained),
    )


def optimizer_bytes(tensors: Sequence[TrainedTensor], optimizer: Optimizer) -> tuple[int, int]:
    """Count bytes of the states that the optimizer keeps, and how many of them it may move to the host's memory."""
    total = paged = 0
    for tensor in tensors:
        each = tensor.parameters * (WIDTHS[tensor.precision] if optimizer == "adamw" else 4)
        if optimizer.endswith("8bit") and tensor.parameters >= _MIN_8BIT_PARAMETERS:
            each = tensor.parameters + 4 * ceil(tensor.parameters / _8BIT_BLOCK)
        total += _STATES * each
        if optimizer.startswith("paged") and tensor.parameters >= _MIN_PAGED_PARAMETERS:
            paged += _STATES * each
    return total, paged


def weight_bytes(module: Module, training: TrainingShape) -> int:
    """Count bytes of the parameters that are counted at this module."""
    if not training.quantises(module):
        return module.parameters * WIDTHS[training.dtype]
    weight = module.inputs * module.outputs
    rest = (module.parameters - weight) * WIDTHS[training.dtype]
    if training.quantisation == "int8":
        # bitsandbytes, Linear8bitLt: a float32 scale for each output (Dettmers et al. 2022, LLM.int8).
        return weight + 4 * module.outputs + rest
    blocks = ceil(weight / _NF4_BLOCK)
    maxima = blocks + 4 * ceil(blocks / _NF4_NESTED_BLOCK) + _NF4_NESTED_TABLE_BYTES
    return ceil(weight / 2) + maxima + _NF4_TABLE_BYTES + rest


def _adapters(model: ModelShape, training: TrainingShape) -> list[TrainedTensor]:
    targets = [module for module in model.modules if training.adapts(model, module)]
    if not targets and training.method == "lora":
        raise ValueError(f"targets {training.targets!r} name no linear layer of {model.name}")
    sides = [side for module in targets for side in (module.inputs, module.outputs)]
    return [TrainedTensor(training.rank * side, training.adapter_dtype) for side in sides]


def _copies(model: ModelShape, training: TrainingShape) -> list[TrainedTensor]:
    for end in training.modules_to_save:
        if not any(module.name.endswith(end) for module in model.modules):
            raise ValueError(f"modules_to_save names {end!r}, and {model.name} has no such module")
    saved = [module for module in model.modules if module.name.endswith(training.modules_to_save)]
    return [TrainedTensor(count, training.dtype) for module in saved for count in module.tensors]


def _weight_rows(model: ModelShape, training: TrainingShape) -> Iterator[MemoryRow]:
    groups: dict[tuple[str, bool], list[Module]] = {}
    for module in model.modules:
        groups.setdefault((module.component, training.quantises(module)), []).append(module)
    for (component, quantised), modules in groups.items():
        count = sum(module.parameters for module in modules)
        size = sum(weight_bytes(module, training) for module in modules)
        if size:
            what = f"{component}, linear layers" if quantised else component
            kind = training.quantisation if quantised else training.dtype
            yield MemoryRow("weights", what, size, f"{millions(count)} parameters of {size / count:.3g} bytes ({kind})")


def _trained_rows(
    adapters: Sequence[TrainedTensor], copies: Sequence[TrainedTensor], training: TrainingShape
) -> Iterator[MemoryRow]:
    names = ", ".join(training.modules_to_save)
    for what, tensors, how in (
        ("adapters", adapters, f"rank {training.rank}"),
        (
            f"trained copies of {names}",
            copies,
            "modules_to_save, a copy each, even where they are one tensor in the model",
        ),
    ):
        if tensors:
            size, count = _bytes(tensors), _count(tensors)
            yield MemoryRow("adapter", what, size, f"{how}: {millions(count)} parameters of {size / count:g} bytes")


def _state_rows(trained: Sequence[TrainedTensor], training: TrainingShape) -> Iterator[MemoryRow]:
    count = _count(trained)
    words = f"one for each of {millions(count)} trained parameters, as wide as these"
    yield MemoryRow("gradients", "gradients", _bytes(trained), words)
    size, paged = optimizer_bytes(trained, training.optimizer)
    words = f"{training.optimizer}: two for each trained parameter, {size / count:.2f} bytes together"
    yield MemoryRow("optimizer", "optimizer states", size, words, pageable_bytes=paged)


def _workspace_rows(
    model: ModelShape, trained: Sequence[TrainedTensor], training: TrainingShape
) -> Iterator[MemoryRow]:
    if training.method == "full" and training.autocast and training.dtype == "float32":
        words = "what autocast makes of them, kept for a micro-batch"
        yield MemoryRow("workspace", "weights in bfloat16", 2 * _count(trained), words)
    sizes = [module.inputs * module.outputs for module in model.modules if training.quantises(module)]
    if sizes:
        words = f"{millions(max(sizes))} parameters × 2 bytes: the widest, as the backward pass needs it"
        yield MemoryRow("workspace", "one matrix out of its quantisation", 2 * max(sizes), words)


def _count(tensors: Sequence[TrainedTensor]) -> int:
    return sum(tensor.parameters for tensor in tensors)


def _bytes(tensors: Sequence[TrainedTensor]) -> int:
    return sum(tensor.parameters * WIDTHS[tensor.precision] for tensor in tensors)
