"""How a model is trained, as far as memory depends on it, and the rows of an estimate."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal, get_args

from stt_platform.training.architectures import ModelShape, Module

Method = Literal["lora", "full"]
Numbers = Literal["bfloat16", "float32"]
Quantisation = Literal["none", "nf4", "int8"]
Optimizer = Literal["adamw", "adamw_8bit", "paged_adamw_8bit", "paged_adamw_32bit"]
Logits = Literal["full", "chunked"]
Attention = Literal["sdpa", "flash_attention_2", "eager"]
Kernels = Literal["eager", "fused"]
Part = Literal["weights", "adapter", "gradients", "optimizer", "activations", "logits", "workspace", "context"]

ALL_LINEAR = "all-linear"


@dataclass(frozen=True)
class TrainingShape:
    """How a model is trained, as far as memory depends on it.

    Attributes:
        method: "lora" trains adapters (Hu et al. 2022), and with `quantisation` that is QLoRA; "full" trains all.
        rank: of the adapters.
        targets: the linear layers that get one, as PEFT reads it: "all-linear", one regular expression for whole names,
            or last parts of names.
        modules_to_save: modules that are copied and trained whole, by the end of their names.
        tied_copies: modules that share a tensor share the copy (`ensure_weight_tying` of PEFT).
        lora_dropout: before the first matrix of an adapter, 0 to 1.
        dtype: of the weights that are not quantised.
        adapter_dtype: of the adapters; PEFT's default is float32.
        autocast: whether the loss is computed under `torch.autocast` in bfloat16.
        quantisation: of the frozen weights: 4 bits ("nf4"), 8 bits ("int8") or "none".
        double_quantisation: whether the constants of NF4 are quantised too.
        optimizer: as the training loop names it.
        checkpointing: keep the input of each block, and compute the rest again in the backward pass.
        rows: examples, or packed rows, of one micro-batch.
        sequence_length: tokens of a row (of the target, where there is an encoder).
        source_length: tokens of the source of an encoder; None is `sequence_length`. Whisper's is fixed.
        packed: rows hold several examples, kept apart by a mask.
        logits: "full", all at once, or "chunked", in tiles.
        attention: implementation of transformers.
        kernels: "eager" is transformers as it is. "fused" is textbook arithmetic: norms and gated feed-forward layers
            keep what goes in, in 16 bits (as Liger's kernels do; Hsu et al. 2024).

    Raises:
        ValueError: for a value that is not known, or out of its range.
    """

    method: Method = "lora"
    rank: int = 16
    targets: str | tuple[str, ...] = ALL_LINEAR
    modules_to_save: tuple[str, ...] = ()
    tied_copies: bool = False
    lora_dropout: float = 0.0
    dtype: Numbers = "bfloat16"
    adapter_dtype: Numbers = "float32"
    autocast: bool = False
    quantisation: Quantisation = "none"
    double_quantisation: bool = True
    optimizer: Optimizer = "adamw"
    checkpointing: bool = True
    rows: int = 1
    sequence_length: int = 2048
    source_length: int | None = None
    packed: bool = False
    logits: Logits = "chunked"
    attention: Attention = "sdpa"
    kernels: Kernels = "eager"

    def __post_init__(self) -> None:
        allowed = {
            "method": Method,
            "dtype": Numbers,
            "adapter_dtype": Numbers,
            "quantisation": Quantisation,
            "optimizer": Optimizer,
            "logits": Logits,
            "attention": Attention,
            "kernels": Kernels,
        }
        for name, kinds in allowed.items():
            if getattr(self, name) not in get_args(kinds):
                raise ValueError(f"{name} {getattr(self, name)!r}: one of {', '.join(get_args(kinds))} was expected")
        for name in ("rank", "rows", "sequence_length"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} {getattr(self, name)!r}: at least 1 was expected")
        if not 0 <= self.lora_dropout < 1:
            raise ValueError(f"lora_dropout {self.lora_dropout!r}: a number from 0 to below 1 was expected")
        if self.method == "full" and (self.quantisation != "none" or self.modules_to_save):
            raise ValueError("full fine-tuning trains every weight: it has no quantised base and no modules_to_save")


@dataclass(frozen=True)
class MemoryRow:
    """One part of it.

    Attributes:
        part: of which kind.
        what: it is, for people.
        bytes: of it.
        words: the arithmetic.
        pageable_bytes: of these, what a paged optimizer may move to the host's memory.
        counted: false for what is never there at the same time as something bigger.
    """

    part: Part
    what: str
    bytes: int
    words: str
    pageable_bytes: int = 0
    counted: bool = True


@cache
def constants() -> Mapping[str, Any]:
    """`memory.toml`."""
    return tomllib.loads((Path(__file__).parent / "memory.toml").read_text(encoding="utf-8"))


def width(dtype: Numbers) -> int:
    """Bytes of one number."""
    return constants()["number_bytes"][dtype]


def gigabytes(number: float) -> str:
    """For people: decimal gigabytes with two figures behind the point."""
    return f"{number / 1e9:.2f} GB"


def counted(numbers: int) -> str:
    """A count for people: 3,209 M."""
    if numbers >= 100_000_000:
        return f"{numbers / 1e6:,.0f} M"
    return f"{numbers / 1e6:.1f} M" if numbers >= 100_000 else f"{numbers:,}"


def has_adapter(model: ModelShape, training: TrainingShape, module: Module) -> bool:
    """Whether PEFT puts an adapter around this layer."""
    if training.method == "full" or module.kind != "linear" or _is_saved(module.name, training):
        return False
    if training.targets == ALL_LINEAR:
        return module.name != model.head.name
    if isinstance(training.targets, str):
        return re.fullmatch(training.targets, module.name) is not None
    return any(module.name == end or module.name.endswith(f".{end}") for end in training.targets)


def is_quantised(module: Module, training: TrainingShape) -> bool:
    """Whether this training has the weight of the module in few bits."""
    return module.quantised and training.quantisation != "none"


def _is_saved(name: str, training: TrainingShape) -> bool:
    return any(re.match(rf"(^|.*\.){saved}($|\..*)", name) for saved in training.modules_to_save)
