"""How a model is trained, as far as GPU memory depends on it, and the rows of an estimate."""

from __future__ import annotations

import re
from typing import Literal

from pydantic import Field, PositiveInt
from pydantic.dataclasses import dataclass

from stt_platform.training.architectures import ModelShape, Module
from stt_platform.training.options import Optimizer

Precision = Literal["bfloat16", "float32"]
Part = Literal["weights", "adapter", "gradients", "optimizer", "activations", "logits", "workspace", "context"]

ALL_LINEAR = "all-linear"
WIDTHS: dict[Precision, int] = {"float32": 4, "bfloat16": 2}
"""Bytes of one value."""


@dataclass(frozen=True)
class TrainingShape:
    """How a model is trained, as far as memory depends on it.

    Attributes:
        method: "lora" trains adapters (Hu et al. 2022), and with `quantisation` that is QLoRA (Dettmers et al. 2023);
            "full" trains all weights.
        targets: the linear layers that get one, as PEFT reads it: "all-linear", one regular expression for whole names,
            or last parts of names.
        modules_to_save: modules that are copied and trained whole, by the end of their names.
        lora_dropout: before the first matrix of an adapter, 0 to 1.
        dtype, adapter_dtype: of the weights that are not quantised, and of the adapters (PEFT's default is float32).
        autocast: whether the loss is computed under `torch.autocast` in bfloat16.
        quantisation: of the frozen weights: 4 bits with double quantisation ("nf4"), 8 bits ("int8") or "none".
        checkpointing: keep the input of each block, and compute the rest again in the backward pass.
        rows: examples, or packed rows, of one micro-batch.
        sequence_length: tokens of a row (of source and target each, where there is an encoder; Whisper's is fixed).
        packed: rows hold several examples, kept apart by a mask.
        logits: "full", all at once, or "chunked", in tiles.
        fused: norms and gated feed-forward layers keep their inputs alone, in 16 bits (Liger's kernels; Hsu et al. 2024).

    Raises:
        ValueError: for a value that is not known, or out of its range.
    """

    method: Literal["lora", "full"] = "lora"
    rank: PositiveInt = 16
    targets: str | tuple[str, ...] = ALL_LINEAR
    modules_to_save: tuple[str, ...] = ()
    lora_dropout: float = Field(default=0.0, ge=0, lt=1)
    dtype: Precision = "bfloat16"
    adapter_dtype: Precision = "float32"
    autocast: bool = False
    quantisation: Literal["none", "nf4", "int8"] = "none"
    optimizer: Optimizer = "adamw"
    checkpointing: bool = True
    rows: PositiveInt = 1
    sequence_length: PositiveInt = 2048
    packed: bool = False
    logits: Literal["full", "chunked"] = "chunked"
    fused: bool = False

    def __post_init__(self) -> None:
        if self.method == "full" and (self.quantisation != "none" or self.modules_to_save):
            raise ValueError("full fine-tuning trains every weight: it has no quantised base and no modules_to_save")

    @property
    def arithmetic(self) -> int:
        """Bytes of a value that a layer computes with."""
        return 2 if self.autocast else WIDTHS[self.dtype]

    def adapts(self, model: ModelShape, module: Module) -> bool:
        """Say whether PEFT puts an adapter around this module."""
        saved = any(re.match(rf"(^|.*\.){name}($|\..*)", module.name) for name in self.modules_to_save)
        if self.method == "full" or module.kind != "linear" or saved:
            return False
        if self.targets == ALL_LINEAR:
            return module.name != model.head.name
        if isinstance(self.targets, str):
            return re.fullmatch(self.targets, module.name) is not None
        return any(f".{module.name}".endswith(f".{end}") for end in self.targets)

    def quantises(self, module: Module) -> bool:
        """Say whether this training has the weight of the module in few bits."""
        return module.quantised and self.quantisation != "none"


@dataclass(frozen=True)
class MemoryRow:
    """One part of the memory.

    Attributes:
        what, words: it is, and the arithmetic, for people.
        pageable_bytes: of these, what a paged optimizer may move to the host's memory.
    """

    part: Part
    what: str
    bytes: int
    words: str
    pageable_bytes: int = 0


def gigabytes(number: float) -> str:
    """Format bytes for people: decimal gigabytes with two decimals."""
    return f"{number / 1e9:.2f} GB"


def millions(number: int) -> str:
    """Format a count of parameters for people: 3,209.1 M."""
    return f"{number / 1e6:,.1f} M"
