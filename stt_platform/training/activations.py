"""What the forward pass keeps for the backward pass, in bytes.

Each layer of a transformer keeps what its gradients need: what norms and activation functions were given, what
attention was given and gave, and the inputs of layers that are trained. A frozen layer keeps no input. With
checkpointing a block keeps its own input only, and the rest of one block at a time is made again (Chen et al. 2016,
arXiv 1604.06174). The factors were counted by running the modules of transformers on the meta device, and the tests
count them again.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property

from stt_platform.training.architectures import Block, ModelShape, Module
from stt_platform.training.training_shape import WIDTHS, MemoryRow, TrainingShape, gigabytes

# A norm that works in float32, going backwards: its input's gradient in five versions of 4 bytes, one comes out in 2.
_UPCAST_BACKWARD_BYTES = 22
_MASK_BYTES = 1
# Bytes for each logit when all are there at once: log-softmax in float32, and its gradient before and after the
# softmax. Counted by running transformers' loss on the meta device. The logits are gone once the loss is made.
_LOGIT_BYTES = 12
# A tile of the fused loss: TRL, kernels/chunked_logprob.py, TOKEN_CHUNK_SIZE, and the tile of the vocabulary that we ask for.
_TILE_TOKENS, _TILE_VOCABULARY = 4096, 8192


def activation_rows(model: ModelShape, training: TrainingShape) -> Iterator[MemoryRow]:
    """Estimate activations and logits of one micro-batch."""
    blocks = [_BlockMemory(model, training, block) for block in model.blocks if not block.idle]
    widest = max(blocks, key=lambda each: each.kept + each.under_way)
    if training.checkpointing:
        stored, words = sum(each.entry for each in blocks), f"inputs of {len(blocks)} blocks; the rest is made again"
        what, moment = "one block at work", widest.kept + widest.under_way
    else:
        stored, words = sum(each.kept for each in blocks), f"everything that {len(blocks)} blocks keep"
        what, moment = "gradients under way", widest.under_way
    encoder = [each for each in blocks if each.block.encodes]
    # The encoder's output, and its gradient, which all blocks of the decoder add to.
    stored += 2 * encoder[-1].entry if encoder else 0
    yield MemoryRow("activations", "activations", stored, words)
    if training.packed:
        words = f"for global and local layers, {training.rows} × {training.sequence_length:,}² bytes each"
        size = 2 * training.rows * training.sequence_length**2
        yield MemoryRow("activations", "attention masks", size, words)
    logits, words = _logits(model, training)
    # Logits are gone before a block goes backwards.
    if moment >= logits:
        yield MemoryRow("activations", what, moment, f"not at the same time as the logits ({gigabytes(logits)})")
    else:
        yield MemoryRow("logits", "logits", logits, f"{words}; not at the same time as {what} ({gigabytes(moment)})")


class _BlockMemory:
    """Bytes of one block: what it keeps, what is under way when its gradients are made, and its input."""

    def __init__(self, model: ModelShape, training: TrainingShape, block: Block) -> None:
        self.training, self.block = training, block
        self._width = training.arithmetic
        self._adapted = {linear.name for linear in block.linears if training.adapts(model, linear)}
        self._source_tokens = training.rows * (block.source_positions or training.sequence_length)
        self.tokens = self._source_tokens if block.encodes else training.rows * training.sequence_length
        # PEFT casts the input to the adapter's type for each layer, and drops a part of it for each.
        self._adapter_width = 2 if training.autocast else WIDTHS[training.adapter_dtype]
        self._gated = bool(block.named("gate_proj")) and not training.fused
        self._own_input = bool(training.lora_dropout) or training.autocast or self._adapter_width != self._width
        self._own_input_width = self._adapter_width + (_MASK_BYTES if training.lora_dropout else 0)

    @cached_property
    def kept(self) -> int:
        norms = sum(self._norm(norm) for norm in self.block.norms)
        # What the activation function was given, and with a gate what it gave and by what.
        factor = 3 if self._gated else 2 if self.block.named("gate_proj") else 1
        wide = factor * self._width * sum(linear.outputs for linear in self.block.named("up_proj", "fc1"))
        # After each attention and after the feed-forward layer.
        dropped = self.block.hidden * (1 + len(self.block.named("q_proj"))) if self.block.dropout else 0
        per_token = norms + self._inputs() + self._attention() + wide + _MASK_BYTES * dropped
        return self.tokens * per_token + self._source_tokens * self._cross_keys()

    @cached_property
    def under_way(self) -> int:
        """Gradients that are there together, when the block goes backwards.

        First the wide ones of the feed-forward layer, whose input is let go meanwhile, or those of the norm after it.
        """
        down = self.block.named("down_proj", "fc2")
        wide = max((linear.inputs for linear in down), default=self.block.hidden)
        adapted = any(linear.name in self._adapted for linear in down)
        full = self.training.method == "full"
        kept = self._adapter_width if adapted else self._width if full else 0
        # With a gate: of the product with it, and of both its factors; the product itself is gone by then.
        wides = 3 * self._width - kept if self._gated else self._width
        if adapted and self._own_input:
            wides = max(wides, kept)
        layers = 2 * self.block.hidden * self._width + wide * wides
        upcast = any(norm.upcasts for norm in self.block.norms) and not self.training.fused
        return self.tokens * max(layers, _UPCAST_BACKWARD_BYTES * self.block.hidden if upcast else 0)

    @property
    def entry(self) -> int:
        return self.tokens * self.block.hidden * WIDTHS[self.training.dtype]

    def _norm(self, norm: Module) -> int:
        """Bytes for each token: what the norm was given."""
        if norm.upcasts and not self.training.fused:
            # With a weight that is trained, what it scales too.
            return norm.inputs * (8 if self.training.method == "full" else 4)
        # Autocast runs torch's own norms in float32.
        return norm.inputs * (4 if self.training.autocast and not norm.upcasts else WIDTHS[self.training.dtype])

    def _inputs(self) -> int:
        """Bytes for each token: inputs of layers that are trained, and what their adapters keep."""
        training, total = self.training, 0
        shared: dict[str, int] = {}
        for linear in self.block.linears:
            if _reads_source(linear):
                continue
            # Layers with the same input share it.
            from_norm = linear.last_name in ("q_proj", "k_proj", "v_proj", "gate_proj", "up_proj", "fc1")
            source = linear.parent if from_norm else linear.name
            if linear.name in self._adapted:
                total += training.rank * self._adapter_width
                if self._own_input:
                    total += linear.inputs * self._own_input_width
                else:
                    shared[source] = linear.inputs * self._own_input_width
            elif training.method == "full" and training.autocast and from_norm:
                # What comes from a norm is float32, and each layer makes bfloat16 of it for itself.
                total += linear.inputs * 2
            elif training.method == "full":
                shared[source] = linear.inputs * self._width
            if training.quantisation == "int8" and training.quantises(linear):
                # LLM.int8 keeps its input even where the weight is frozen (MatMul8bitLt).
                shared[source] = linear.inputs * self._width
            if linear.last_name in ("o_proj", "out_proj"):
                # What attention gave is kept by attention.
                shared.pop(source, None)
        return total + sum(shared.values())

    def _attention(self) -> int:
        """Bytes for each token: query, key, value and what came of them; keys of the source are counted elsewhere."""
        total = 0
        for query in self.block.named("q_proj"):
            # The output, and the logarithm of the sums, one float32 for each head.
            total += 2 * query.outputs * self._width + self.block.heads * 4
            if not _is_cross(query):
                both = self.block.named("k_proj", "v_proj")
                keys = [linear for linear in both if linear.parent == query.parent]
                # With a mask, keys and values are repeated for every query head that shares them.
                packed = self.training.packed
                total += sum(query.outputs if packed else key.outputs for key in keys) * self._width
            if self.training.packed:
                tokens = self._source_tokens if _is_cross(query) else self.tokens
                total += tokens // self.training.rows * self._width
        return total

    def _cross_keys(self) -> int:
        """Bytes for each token of the source: a decoder's keys and values of the encoder's output."""
        total = 0
        for linear in filter(_reads_source, self.block.linears):
            total += linear.outputs * self._width
            if linear.name in self._adapted and self._own_input:
                total += linear.inputs * self._own_input_width
            elif self.training.method == "full" and self.training.autocast:
                total += linear.inputs * 2
        return total


def _is_cross(linear: Module) -> bool:
    """Say whether it belongs to a decoder's attention to the encoder."""
    return linear.parent.endswith("encoder_attn")


def _reads_source(linear: Module) -> bool:
    return _is_cross(linear) and linear.last_name in ("k_proj", "v_proj")


def _logits(model: ModelShape, training: TrainingShape) -> tuple[int, str]:
    """Bytes of logits and loss, and the arithmetic."""
    vocabulary, tokens = model.head.outputs, training.rows * training.sequence_length
    if training.logits == "full":
        words = f"{tokens:,} tokens × {vocabulary:,} × {_LOGIT_BYTES} bytes: log-softmax in float32, and its gradients"
        return tokens * vocabulary * _LOGIT_BYTES, words
    tile = min(tokens, _TILE_TOKENS) * min(vocabulary, _TILE_VOCABULARY) * training.arithmetic
    # What goes into the output layer, the part of it that counts, and the gradient in float32.
    states = tokens * model.head.inputs * (2 * training.arithmetic + 4)
    return tile + states, f"in tiles of {_TILE_VOCABULARY:,} of {vocabulary:,}, and the last hidden states"
