"""The peak of a real training step, counted on the meta device: every tensor has its size, and none has content.

The modules are those of transformers and PEFT, and autograd keeps and drops what it keeps and drops on a GPU. Attention
alone is replaced, by one that keeps what the memory-efficient kernels keep: the meta device has the plain one only.
"""

import warnings
import weakref
from collections.abc import Iterable
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from transformers import AttentionInterface, PreTrainedConfig

from stt_platform.training.architectures import meta_model
from stt_platform.training.training_shape import ALL_LINEAR, TrainingShape


class LiveBytes(TorchDispatchMode):
    """Bytes of all storages that are alive, and their peak."""

    def __init__(self, static: Iterable[torch.Tensor]) -> None:
        super().__init__()
        self._sizes: dict[int, int] = {}
        self.now = self.peak = 0
        for tensor in static:
            self._add(tensor)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        for leaf in tree_leaves(out):
            if isinstance(leaf, torch.Tensor):
                self._add(leaf)
        return out

    def _add(self, tensor: torch.Tensor) -> None:
        storage = tensor.untyped_storage()
        key = storage._cdata
        if key not in self._sizes:
            self._sizes[key] = storage.nbytes()
            self.now += storage.nbytes()
            self.peak = max(self.peak, self.now)
            weakref.finalize(storage, self._drop, key)

    def _drop(self, key: int) -> None:
        self.now -= self._sizes.pop(key)


class _Attention(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
        batch, heads, length, width = query.shape
        out = query.new_empty(batch, length, heads, width)
        sums = query.new_empty(batch, heads, length, dtype=torch.float32)
        ctx.save_for_backward(query, key, value, out, sums)
        return out

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> Any:
        query, key, value, *_ = ctx.saved_tensors
        return torch.empty_like(query), torch.empty_like(key), torch.empty_like(value)


def _attention(module: Any, query: Any, key: Any, value: Any, mask: Any, **_: Any) -> tuple[torch.Tensor, None]:
    return _Attention.apply(query, key, value), None


AttentionInterface.register("memory_stand_in", _attention)


def peft_model(config: PreTrainedConfig, training: TrainingShape) -> Any:
    """The model of PEFT on the meta device."""
    from peft import LoraConfig, get_peft_model

    model = meta_model(config).to(getattr(torch, training.dtype))
    targets = training.targets if isinstance(training.targets, str) else list(training.targets)
    lora = LoraConfig(
        r=training.rank,
        target_modules="all-linear" if targets == ALL_LINEAR else targets,
        modules_to_save=list(training.modules_to_save) or None,
    )
    with torch.device("meta"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return get_peft_model(model, lora)


def real_model(config: PreTrainedConfig) -> Any:
    """The model as its own class makes it, on the meta device."""
    with torch.device("meta"):
        return type(meta_model(config))(config)


def activation_peak_bytes(config: PreTrainedConfig, training: TrainingShape) -> int:
    """The most that is alive in one micro-batch, beside weights, adapters and gradients.

    With the loss of transformers, from all logits; without dropout.
    """
    numbers = getattr(torch, training.dtype)
    if training.method == "full":
        model = meta_model(config).to(numbers)
        base = model
    else:
        model = peft_model(config, training)
        base = model.get_base_model()
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.data = parameter.data.to(getattr(torch, training.adapter_dtype))
    base.config._attn_implementation = "memory_stand_in"
    for part in base.modules():
        if getattr(part, "config", None) is not None:
            part.config._attn_implementation = "memory_stand_in"
    if training.checkpointing:
        # The generators of the meta device have no state to keep.
        base.activation_checkpointing_enable({"use_reentrant": False, "preserve_rng_state": False})
    model.train()
    static = list(model.parameters())
    for parameter in static:
        if parameter.requires_grad:
            parameter.grad = torch.empty_like(parameter)
    inputs = _inputs(config, training, numbers)
    live = LiveBytes([*static, *(p.grad for p in static if p.grad is not None), *inputs.values()])
    before = live.now
    labels = torch.zeros(training.rows * training.sequence_length, dtype=torch.long, device="meta")
    with live:
        # In one expression: nobody holds the logits when it goes backwards.
        torch.nn.functional.cross_entropy(
            base(**inputs, use_cache=False).logits.float().flatten(0, 1), labels
        ).backward()
    return live.peak - before


def _inputs(config: PreTrainedConfig, training: TrainingShape, numbers: torch.dtype) -> dict[str, torch.Tensor]:
    tokens = torch.zeros(training.rows, training.sequence_length, dtype=torch.long, device="meta")
    if config.model_type == "whisper":
        frames = 2 * config.max_source_positions
        sound = torch.zeros(training.rows, config.num_mel_bins, frames, dtype=numbers, device="meta")
        return {"input_features": sound, "decoder_input_ids": tokens}
    if config.is_encoder_decoder:
        source = tokens.new_zeros(training.rows, training.sequence_length)
        return {"input_ids": source, "decoder_input_ids": tokens}
    return {"input_ids": tokens}
