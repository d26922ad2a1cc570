"""What a model is made of, counted without its weights.

transformers builds the model on the meta device, where tensors have shapes and no content: every number is that of the
real modules, and a 12B model takes a second and no memory.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from transformers import PreTrainedConfig, PreTrainedModel

Kind = Literal["linear", "norm", "other"]

# What a configuration is loaded as, the richest first: Gemma 3 of text and images is in the last one too.
_TASKS = ("IMAGE_TEXT_TO_TEXT", "SPEECH_SEQ_2_SEQ", "SEQ_TO_SEQ_CAUSAL_LM", "CAUSAL_LM")
# What people read for the first part of a module's name. Others are shown as they are, with spaces.
_COMPONENTS = {"layers": "language model", "norm": "language model", "multi_modal_projector": "image projector"}


class UnknownArchitecture(ValueError):
    """A model whose configuration is not known: says what is missing where."""


@dataclass(frozen=True)
class Module:
    """A module that has parameters of its own.

    Attributes:
        name: as in `named_modules()` of the model.
        component: the part of the model it belongs to, for people: "language model", "embeddings".
        inputs, outputs: width for each token; of a norm both are what it normalises, of others 0.
        tensors: parameters in each of its tensors.
        parameters: those that no earlier module shares.
        trainable: of these, those of each tensor that full fine-tuning changes.
        quantised: whether a quantised base has its weight in few bits: every plain linear layer but the output layer.
        upcasts: a norm that is written to work in float32, whatever goes in.
    """

    name: str
    component: str
    kind: Kind
    inputs: int
    outputs: int
    tensors: tuple[int, ...]
    parameters: int
    trainable: tuple[int, ...]
    quantised: bool
    upcasts: bool

    @property
    def last_name(self) -> str:
        """Of its name, what says in transformers what it does in its block."""
        return self.name.rpartition(".")[2]

    @property
    def parent(self) -> str:
        """Name of the module that it is a part of."""
        return self.name.rpartition(".")[0]


@dataclass(frozen=True)
class Block:
    """One layer of a transformer.

    Attributes:
        linears, norms: its modules in their order.
        encodes: whether it works on the source; a model without an encoder has no such block.
        source_positions: tokens of the encoder's input where that is fixed (Whisper: 30 s); None where the text decides.
        idle: it does not run on text (the vision tower).
        dropout: whether the model itself drops activations in training.
    """

    linears: tuple[Module, ...]
    norms: tuple[Module, ...]
    heads: int
    encodes: bool
    source_positions: int | None
    idle: bool
    dropout: bool

    @property
    def hidden(self) -> int:
        """Width of what flows from layer to layer."""
        return self.linears[0].inputs

    def named(self, *names: str) -> list[Module]:
        """Select linear layers by the last part of their names."""
        return [linear for linear in self.linears if linear.last_name in names]


@dataclass(frozen=True)
class ModelShape:
    """What memory is counted from.

    Attributes:
        name: of its class in transformers.
        modules: every module that has parameters, in their order.
        blocks: every layer, in the order in which they run.
        head: the output layer.
    """

    name: str
    modules: tuple[Module, ...]
    blocks: tuple[Block, ...]
    head: Module

    @property
    def parameters(self) -> int:
        """All parameters; what two modules share counts once."""
        return sum(module.parameters for module in self.modules)


def model_shape(config: PreTrainedConfig) -> ModelShape:
    """Count what a model of this configuration is made of.

    Raises:
        UnknownArchitecture: where transformers has no model of language or speech for it.
    """
    model = meta_model(config)
    modules = {module.name: module for module in _modules(model)}
    return ModelShape(
        name=type(model).__name__,
        modules=tuple(modules.values()),
        blocks=tuple(_blocks(model, modules)),
        head=next(modules[name] for name, module in model.named_modules() if module is model.get_output_embeddings()),
    )


def meta_model(config: PreTrainedConfig) -> PreTrainedModel:
    """Build the model of this configuration on the meta device.

    Raises:
        UnknownArchitecture: see `model_shape`.
    """
    import torch
    from transformers.initialization import no_init_weights
    from transformers.models.auto import modeling_auto

    mappings = (getattr(modeling_auto, f"MODEL_FOR_{task}_MAPPING") for task in _TASKS)
    kind: Any = next((mapping[type(config)] for mapping in mappings if type(config) in mapping), None)
    if kind is None:
        raise UnknownArchitecture(
            f"a model of type {config.model_type!r} neither writes text nor transcribes: memory cannot be planned for it"
        )
    # To draw first weights that are not there takes most of the time.
    with torch.device("meta"), no_init_weights():
        model = kind(config)
    model.tie_weights()
    return model


def model_config(folder: Path) -> PreTrainedConfig:
    """Read the configuration of the model whose weights are in this folder.

    Raises:
        UnknownArchitecture: for a `config.json` that transformers does not understand, or none.
    """
    from transformers import AutoConfig

    try:
        return AutoConfig.from_pretrained(folder, local_files_only=True)
    except (ValueError, KeyError, OSError) as error:
        raise UnknownArchitecture(
            f"{folder / 'config.json'} is no configuration that transformers reads ({error}): "
            f"take the folder with the weights to train, not a converted copy"
        ) from error


def _modules(model: PreTrainedModel) -> Iterator[Module]:
    from torch import nn
    from transformers.quantizers.base import get_keys_to_not_convert
    from transformers.quantizers.quantizers_utils import should_convert_module

    unquantised = get_keys_to_not_convert(model)
    vocabulary = {id(module.weight) for module in (model.get_input_embeddings(), model.get_output_embeddings())}
    seen: set[int] = set()
    for name, module in model.named_modules():
        parameters = dict(module.named_parameters(recurse=False))
        if not parameters:
            continue
        own = [parameter for parameter in parameters.values() if id(parameter) not in seen]
        seen |= set(map(id, own))
        is_vocabulary = id(parameters.get("weight")) in vocabulary
        first = name.removeprefix(f"{model.base_model_prefix}.").partition(".")[0]
        kind, inputs, outputs = _kind_and_widths(model, name, module)
        yield Module(
            name=name,
            component="embeddings" if is_vocabulary else _COMPONENTS.get(first, first.replace("_", " ")),
            kind=kind,
            inputs=inputs,
            outputs=outputs,
            tensors=tuple(parameter.numel() for parameter in parameters.values()),
            parameters=sum(parameter.numel() for parameter in own),
            trainable=tuple(parameter.numel() for parameter in own if parameter.requires_grad),
            # bitsandbytes replaces no class that was made from it.
            quantised=type(module) is nn.Linear and should_convert_module(name, unquantised),
            upcasts="RMSNorm" in type(module).__name__,
        )


def _kind_and_widths(model: PreTrainedModel, name: str, module: Any) -> tuple[Kind, int, int]:
    from torch import nn

    if isinstance(module, nn.Linear):
        return "linear", module.in_features, module.out_features
    if "Norm" not in type(module).__name__:
        return "other", 0, 0
    parent, _, last = name.rpartition(".")
    # One that works head by head has the width of one head, and sees all of them.
    by_head = last in ("q_norm", "k_norm")
    seen: Any = model.get_submodule(f"{parent}.{last[0]}_proj") if by_head else None
    width = seen.out_features if by_head else module.weight.numel()
    return "norm", width, width


def _blocks(model: PreTrainedModel, modules: Mapping[str, Module]) -> Iterator[Block]:
    from transformers.modeling_layers import GradientCheckpointingLayer

    config = model.config
    for name, layer in model.named_modules():
        if not isinstance(layer, GradientCheckpointingLayer):
            continue
        inside = [module for key, module in modules.items() if key.startswith(f"{name}.")]
        query = next((module for module in inside if module.last_name == "q_proj"), None)
        yield Block(
            linears=tuple(module for module in inside if module.kind == "linear"),
            norms=tuple(module for module in inside if module.kind == "norm"),
            heads=query.outputs // getattr(model.get_submodule(query.parent), "head_dim", query.outputs)
            if query
            else 1,
            encodes=config.is_encoder_decoder and ".encoder." in f".{name}",
            source_positions=getattr(config, "max_source_positions", None),
            idle="vision" in name,
            dropout=bool(getattr(config, "dropout", 0.0)),
        )
