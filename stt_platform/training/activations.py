"""What the forward pass keeps for the backward pass.

Each layer of a transformer keeps what its gradients need: what norms and activation functions were given, what
attention was given and gave, and the inputs of layers that are trained. A frozen layer keeps no input. With
checkpointing a block keeps its own input only, and the rest of one block at a time is made again (Chen et al. 2016,
arXiv 1604.06174). The factors were counted by running the modules of transformers on the meta device, and the tests
count them again.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from stt_platform.training.architectures import Block, ModelShape, Module, role_of
from stt_platform.training.training_shape import (
    MemoryRow,
    TrainingShape,
    constants,
    gigabytes,
    has_adapter,
    is_quantised,
    width,
)

# A norm that works in float32, going backwards: its input's gradient in five versions of 4 bytes, one comes out in 2.
_UPCAST_BACKWARD_BYTES = 22
_MASK_BYTES = 1


@dataclass(frozen=True)
class _BlockMemory:
    """Bytes of one block: what it keeps, what is under way when its gradients are made, and its input."""

    block: Block
    kept: int
    under_way: int
    entry: int

    @property
    def at_work(self) -> int:
        return self.kept + self.under_way


def activation_rows(model: ModelShape, training: TrainingShape) -> Iterator[MemoryRow]:
    """The rows of the estimate for one micro-batch."""
    blocks = [_block_memory(model, training, block) for block in model.blocks if not block.idle]
    widest = max(blocks, key=lambda each: each.at_work)
    if training.checkpointing:
        stored = sum(each.entry for each in blocks)
        words = f"the inputs of {len(blocks)} blocks ({_lengths(training, blocks)}); the rest is computed again"
        what, moment, moment_words = "one block at work", widest.at_work, "what it keeps, and the gradients under way"
    else:
        stored = sum(each.kept for each in blocks)
        words = f"everything that {len(blocks)} blocks keep ({_lengths(training, blocks)})"
        what, moment, moment_words = "gradients under way", widest.under_way, "of one block"
    stored += _encoder_output(model, training) + _outer_norms(model, training)
    yield MemoryRow("activations", "activations", stored, words)
    if training.attention == "sdpa" and training.packed:
        size = 2 * training.rows * training.sequence_length**2
        square = f"{training.rows} × {training.sequence_length:,}²"
        yield MemoryRow("activations", "attention masks", size, f"two of {square} bytes, for global and local layers")
    logits, logits_words = _logits(model, training)
    later = f"{moment_words}; not at the same time as the logits ({gigabytes(logits)})"
    sooner = f"{logits_words}; not at the same time as {what} ({gigabytes(moment)})"
    block_is_more = moment >= logits
    yield MemoryRow("activations", what, moment, later, counted=block_is_more)
    yield MemoryRow("logits", "logits", logits, sooner, counted=not block_is_more)


def _block_memory(model: ModelShape, training: TrainingShape, block: Block) -> _BlockMemory:
    tokens = _tokens(training, block)
    arithmetic = _arithmetic(training)
    per_token = (
        _norms(training, block)
        + _inputs(model, training, block)
        + _attention(training, block, arithmetic)
        + _feed_forward(training, block, arithmetic)
    )
    if block.dropout:
        # After each attention and after the feed-forward layer.
        per_token += _MASK_BYTES * block.hidden * (1 + len(_with_role(block, "query")))
    kept = tokens * per_token + _seen_in_source(model, training, block, arithmetic)
    under_way = tokens * _under_way(model, training, block, arithmetic)
    return _BlockMemory(block, kept, under_way, tokens * block.hidden * width(training.dtype))


def _norms(training: TrainingShape, block: Block) -> int:
    """Bytes for each token: what the norms were given."""
    return sum(_norm(training, norm) for norm in block.norms)


def _norm(training: TrainingShape, norm: Module) -> int:
    if norm.upcasts and training.kernels == "eager":
        # With a weight that is trained, what it scales too.
        return norm.inputs * (8 if training.method == "full" else 4)
    # Autocast runs torch's own norms in float32.
    return norm.inputs * (4 if training.autocast and not norm.upcasts else width(training.dtype))


def _outer_norms(model: ModelShape, training: TrainingShape) -> int:
    """Bytes of what the norms after the last block, and before the first, were given."""
    inside = {norm.name for block in model.blocks for norm in block.norms}
    tokens = {block.component: _tokens(training, block) for block in model.blocks if not block.idle}
    outer = [module for module in model.modules if module.kind == "norm" and module.name not in inside]
    return sum(tokens.get(norm.component, 0) * _norm(training, norm) for norm in outer)


def _inputs(model: ModelShape, training: TrainingShape, block: Block) -> int:
    """Bytes for each token: inputs of layers that are trained, and what their adapters keep."""
    total = 0
    shared: dict[str, int] = {}
    for linear in block.linears:
        if _reads_source(linear):
            continue
        source = _source(linear)
        if has_adapter(model, training, linear):
            own, each = _adapter_input(training)
            if own:
                total += linear.inputs * each
            else:
                shared[source] = linear.inputs * each
            total += training.rank * _adapter_bytes(training)
        elif training.method == "full":
            # Under autocast what comes from a norm is float32, and each layer makes bfloat16 of it for itself.
            if training.autocast and source in ("attention input", "query of the source", "feed-forward input"):
                total += linear.inputs * 2
            else:
                shared[source] = linear.inputs * _arithmetic(training)
        if training.quantisation == "int8" and is_quantised(linear, training):
            # LLM.int8 keeps its input even where the weight is frozen (MatMul8bitLt).
            shared[source] = linear.inputs * _arithmetic(training)
    # What attention gave is kept by attention, and what the activation function gave by the gate.
    shared.pop("attention output", None)
    return total + sum(shared.values())


def _adapter_input(training: TrainingShape) -> tuple[bool, int]:
    """Whether an adapter keeps an input of its own, and bytes for each number of it.

    PEFT casts the input to the adapter's type for each layer, and drops a part of it for each.
    """
    each = _adapter_bytes(training)
    if training.lora_dropout:
        return True, each + _MASK_BYTES
    return training.autocast or each != _arithmetic(training), each


def _adapter_bytes(training: TrainingShape) -> int:
    return 2 if training.autocast else width(training.adapter_dtype)


def _attention(training: TrainingShape, block: Block, arithmetic: int) -> int:
    """Bytes for each token: query, key, value and what came of them; keys of the source are counted elsewhere."""
    total = 0
    for query in _with_role(block, "query"):
        keys = [
            linear
            for role in ("key", "value")
            for linear in _with_role(block, role)
            if _parent(linear) == _parent(query)
        ]
        total += 2 * query.outputs * arithmetic
        # With a mask, keys and values are repeated for every query head that shares them.
        repeated = training.attention == "eager" or (training.attention == "sdpa" and training.packed)
        if not _is_cross(query):
            total += sum(query.outputs if repeated else key.outputs for key in keys) * arithmetic
        length = _source_length(training, block) if _is_cross(query) else _length(training, block)
        if training.attention == "eager":
            # Softmax in float32, and its cast.
            total += block.heads * length * (4 if arithmetic == 4 else 6)
        else:
            # The logarithm of the sums, one float32 for each head.
            total += block.heads * 4
            if repeated:
                total += length * arithmetic
    return total


def _feed_forward(training: TrainingShape, block: Block, arithmetic: int) -> int:
    """Bytes for each token: what the activation function was given, and with a gate what it gave and by what."""
    wide = sum(linear.outputs for linear in _with_role(block, "up"))
    if not block.gated:
        return wide * arithmetic
    return wide * arithmetic * (3 if training.kernels == "eager" else 2)


def _under_way(model: ModelShape, training: TrainingShape, block: Block, arithmetic: int) -> int:
    """Bytes for each token of gradients that are there together, when a block goes backwards.

    First the wide ones of the feed-forward layer, whose input is let go meanwhile, or those of the norm after it.
    """
    wide = max((linear.inputs for linear in _with_role(block, "down")), default=block.hidden)
    own, each = False, 0
    if any(has_adapter(model, training, linear) for linear in _with_role(block, "down")):
        own, each = _adapter_input(training)[0], _adapter_bytes(training)
    elif training.method == "full":
        each = arithmetic
    wides = arithmetic
    if block.gated and training.kernels == "eager":
        # Of the product with the gate, and of both its factors; the product itself is gone by then.
        wides = 3 * arithmetic - each
    through_layers = 2 * block.hidden * arithmetic + wide * max(wides, each if own else 0)
    upcast = any(norm.upcasts for norm in block.norms) and training.kernels == "eager"
    return max(through_layers, _UPCAST_BACKWARD_BYTES * block.hidden if upcast else 0)


def _seen_in_source(model: ModelShape, training: TrainingShape, block: Block, arithmetic: int) -> int:
    """Bytes of a decoder's block that grow with the source: keys and values of what the encoder said."""
    tokens = training.rows * _source_length(training, block)
    total = 0
    for linear in block.linears:
        if _reads_source(linear):
            total += tokens * linear.outputs * arithmetic
            own, each = _adapter_input(training)
            if has_adapter(model, training, linear) and own:
                total += tokens * linear.inputs * each
            elif training.method == "full" and training.autocast:
                total += tokens * linear.inputs * 2
    return total


def _encoder_output(model: ModelShape, training: TrainingShape) -> int:
    """Bytes of what the encoder said, and of its gradient, which all blocks of the decoder add to."""
    encoder = [block for block in model.blocks if block.side == "source" and not block.idle]
    if not encoder:
        return 0
    return 2 * _tokens(training, encoder[-1]) * encoder[-1].hidden * width(training.dtype)


def _logits(model: ModelShape, training: TrainingShape) -> tuple[int, str]:
    """Bytes of logits and loss, and the arithmetic."""
    facts = constants()["logits"]
    vocabulary, hidden = model.head.outputs, model.head.inputs
    tokens = training.rows * training.sequence_length
    arithmetic = _arithmetic(training)
    if training.logits == "full":
        words = f"{tokens:,} tokens × {vocabulary:,} × {facts['full']} bytes: log-softmax in float32, and its gradients"
        return tokens * vocabulary * facts["full"], words
    tile = min(tokens, facts["tile_tokens"]) * min(vocabulary, facts["tile_vocabulary"]) * arithmetic
    # What goes into the output layer, the part of it that counts, and the gradient in float32.
    states = tokens * hidden * (2 * arithmetic + 4)
    return tile + states, f"in tiles of {facts['tile_vocabulary']:,} of {vocabulary:,}, and the last hidden states"


def _arithmetic(training: TrainingShape) -> int:
    """Bytes of a number that a layer computes with."""
    return 2 if training.autocast else width(training.dtype)


def _length(training: TrainingShape, block: Block) -> int:
    if block.positions is not None:
        return block.positions
    return _source_length(training, block) if block.side == "source" else training.sequence_length


def _source_length(training: TrainingShape, block: Block) -> int:
    return block.source_positions or training.source_length or training.sequence_length


def _tokens(training: TrainingShape, block: Block) -> int:
    return training.rows * _length(training, block)


def _with_role(block: Block, role: str) -> list[Module]:
    return [linear for linear in block.linears if role_of(linear.name) == role]


def _parent(linear: Module) -> str:
    return linear.name.rpartition(".")[0]


def _is_cross(linear: Module) -> bool:
    return _parent(linear).endswith("encoder_attn")


def _reads_source(linear: Module) -> bool:
    return _is_cross(linear) and role_of(linear.name) in ("key", "value")


def _source(linear: Module) -> str:
    """Where its input comes from: layers with the same one share it."""
    role = role_of(linear.name)
    if role in ("query", "key", "value"):
        return "query of the source" if _is_cross(linear) else "attention input"
    if role in ("gate", "up"):
        return "feed-forward input"
    if role == "attention output":
        return "attention output"
    return linear.name


def _lengths(training: TrainingShape, blocks: Sequence[_BlockMemory]) -> str:
    lengths = sorted({_length(training, each.block) for each in blocks})
    return f"{training.rows} × {' and '.join(f'{length:,}' for length in lengths)} tokens"
