"""What a model is made of, counted without its weights.

transformers builds the model on the meta device, where tensors have shapes and no content, so that every number below is
that of the real modules: a 12B model takes a second and no memory. Configurations of the models that are trained here
are in `architectures.toml`; a `config.json` on disk goes before them.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedConfig, PreTrainedModel

Kind = Literal["linear", "embedding", "norm", "other"]
Side = Literal["source", "target"]

_TABLES = Path(__file__).parent
# What a configuration is loaded as, the richest first: Gemma 3 of text and images is in the last one too.
_TASKS = ("IMAGE_TEXT_TO_TEXT", "SPEECH_SEQ_2_SEQ", "SEQ_TO_SEQ_CAUSAL_LM", "CAUSAL_LM")


class UnknownArchitecture(ValueError):
    """A model whose configuration is not known: says what is missing where."""


@dataclass(frozen=True)
class Tensor:
    """One parameter.

    Attributes:
        numbers: in it.
        learns: whether full fine-tuning changes it.
        tied: it is a tensor of an earlier module too, and counted there.
    """

    numbers: int
    learns: bool
    tied: bool


@dataclass(frozen=True)
class Module:
    """A module that has parameters of its own.

    Attributes:
        name: as `named_modules()` of the model says it.
        component: the part of the model it belongs to, for people: "language model", "embeddings".
        kind: what it is.
        inputs, outputs: numbers that go in and come out for each token; of a norm both are what it normalises.
        tensors: its parameters, the weight first.
        quantised: whether a quantised base has its weight in few bits: every plain linear layer but the output layer.
        upcasts: a norm that is written to work in float32, whatever goes in.
    """

    name: str
    component: str
    kind: Kind
    inputs: int
    outputs: int
    tensors: tuple[Tensor, ...]
    quantised: bool = False
    upcasts: bool = False

    @property
    def numbers(self) -> int:
        """Parameters that are counted here and nowhere else."""
        return sum(tensor.numbers for tensor in self.tensors if not tensor.tied)


@dataclass(frozen=True)
class Block:
    """One layer of transformer: what is kept of the forward pass is kept, or made again, by these.

    Attributes:
        component: see `Module`.
        linears, norms: its modules in their order.
        heads: of attention.
        side: whether it works on the source or on the target; a model without an encoder has targets only.
        positions, source_positions: how long its input, and that of the encoder, always is, in tokens (Whisper hears
            30 s); None where the text says.
        idle: it does not run on text (what looks at images).
        dropout: whether the model itself drops activations in training.
    """

    component: str
    linears: tuple[Module, ...]
    norms: tuple[Module, ...]
    heads: int
    side: Side
    positions: int | None
    source_positions: int | None
    idle: bool
    dropout: bool

    @property
    def hidden(self) -> int:
        """Width of what flows from layer to layer."""
        return self.linears[0].inputs

    @property
    def gated(self) -> bool:
        """Whether its feed-forward layer has a gate."""
        return any(role_of(linear.name) == "gate" for linear in self.linears)


@dataclass(frozen=True)
class ModelShape:
    """What memory is counted from.

    Attributes:
        name: of the class that transformers has for it.
        modules: every module that has parameters, in their order.
        blocks: every layer, in the order in which they run.
        head: the output layer.
    """

    name: str
    modules: tuple[Module, ...]
    blocks: tuple[Block, ...]
    head: Module

    @property
    def numbers(self) -> int:
        """All parameters; what two modules share counts once."""
        return sum(module.numbers for module in self.modules)


def model_shape(config: PreTrainedConfig) -> ModelShape:
    """What a model of this configuration is made of.

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
    """The model of this configuration on the meta device."""
    import torch
    from transformers.initialization import no_init_weights

    with torch.device("meta"):
        # To draw first weights that are not there takes most of the time.
        with no_init_weights():
            model = _model_class(config)(config)
        model.tie_weights()
    return model


def model_config(name: str, folder: Path | None = None) -> PreTrainedConfig:
    """The configuration of a model: that in its folder where there is one, else that of the table.

    Args:
        name: as `architectures.toml` has it.
        folder: of its weights.

    Raises:
        UnknownArchitecture: for a name that is in no table, or a file that transformers does not understand.
    """
    from transformers import AutoConfig

    if folder is not None and (folder / "config.json").is_file():
        try:
            return AutoConfig.from_pretrained(folder, local_files_only=True)
        except (ValueError, KeyError, OSError) as error:
            raise UnknownArchitecture(
                f"{folder / 'config.json'} is no configuration that transformers reads ({error}): "
                f"take the folder with the weights to train, not a converted copy"
            ) from error
    known = _known_configurations()
    if name not in known:
        raise UnknownArchitecture(
            f"no configuration of {name!r}: known are {', '.join(sorted(known))}; for another model give the folder "
            "that has its config.json"
        )
    values = dict(known[name])
    return AutoConfig.for_model(values.pop("model_type"), **values)


@cache
def roles() -> Mapping[str, str]:
    """From the last part of a layer's name to what it does in its block."""
    return tomllib.loads((_TABLES / "memory.toml").read_text(encoding="utf-8"))["roles"]


def role_of(name: str) -> str | None:
    """What a linear layer does in its block; None for a name that is not known."""
    return roles().get(name.rpartition(".")[2])


@cache
def _known_configurations() -> Mapping[str, Mapping[str, Any]]:
    return tomllib.loads((_TABLES / "architectures.toml").read_text(encoding="utf-8"))


@cache
def _component_names() -> Mapping[str, str]:
    return tomllib.loads((_TABLES / "memory.toml").read_text(encoding="utf-8"))["components"]


def _model_class(config: PreTrainedConfig) -> Any:
    from transformers.models.auto import modeling_auto

    for task in _TASKS:
        mapping = getattr(modeling_auto, f"MODEL_FOR_{task}_MAPPING")
        if type(config) in mapping:
            return mapping[type(config)]
    raise UnknownArchitecture(
        f"a model of type {config.model_type!r} neither writes text nor hears speech: memory cannot be planned for it"
    )


def _modules(model: PreTrainedModel) -> Iterator[Module]:
    unquantised = _unquantised(model)
    vocabulary = {id(module.weight) for module in (model.get_input_embeddings(), model.get_output_embeddings())}
    seen: set[int] = set()
    for name, module in model.named_modules():
        parameters = dict(module.named_parameters(recurse=False))
        if not parameters:
            continue
        ordered = sorted(parameters, key=lambda key: key != "weight")
        kind = _kind(module)
        tensors = []
        for key in ordered:
            parameter = parameters[key]
            tensors.append(Tensor(parameter.numel(), parameter.requires_grad, id(parameter) in seen))
            seen.add(id(parameter))
        inputs, outputs = _widths(model, name, module, kind)
        component = "embeddings" if id(parameters.get("weight")) in vocabulary else _component(model, name)
        yield Module(
            name=name,
            component=component,
            kind=kind,
            inputs=inputs,
            outputs=outputs,
            tensors=tuple(tensors),
            quantised=_is_plain_linear(module) and name not in unquantised,
            upcasts=kind == "norm" and "RMSNorm" in type(module).__name__,
        )


def _unquantised(model: PreTrainedModel) -> set[str]:
    """Names of modules that transformers leaves alone when it quantises."""
    from transformers.quantizers.base import get_keys_to_not_convert
    from transformers.quantizers.quantizers_utils import should_convert_module

    keys = get_keys_to_not_convert(model)
    return {name for name, _ in model.named_modules() if not should_convert_module(name, keys)}


def _is_plain_linear(module: torch.nn.Module) -> bool:
    """What bitsandbytes replaces: no class that was made from it."""
    from torch import nn

    return type(module) is nn.Linear


def _kind(module: torch.nn.Module) -> Kind:
    from torch import nn

    if isinstance(module, nn.Linear):
        return "linear"
    if isinstance(module, nn.Embedding):
        return "embedding"
    return "norm" if "Norm" in type(module).__name__ else "other"


def _widths(model: PreTrainedModel, name: str, module: torch.nn.Module, kind: Kind) -> tuple[int, int]:
    """Numbers that go in and come out for each token."""
    if kind == "linear":
        return module.in_features, module.out_features
    if kind == "embedding":
        return module.num_embeddings, module.embedding_dim
    if kind == "norm":
        parent, _, last = name.rpartition(".")
        # One that works head by head has the width of one head, and sees all of them.
        by_head = last in ("q_norm", "k_norm")
        width = model.get_submodule(f"{parent}.{last[0]}_proj").out_features if by_head else module.weight.numel()
        return width, width
    return 0, 0


def _component(model: PreTrainedModel, name: str) -> str:
    first = name.removeprefix(f"{model.base_model_prefix}.").partition(".")[0]
    return _component_names().get(first, first.replace("_", " "))


def _blocks(model: PreTrainedModel, modules: Mapping[str, Module]) -> Iterator[Block]:
    from transformers.modeling_layers import GradientCheckpointingLayer

    config = model.config
    # Whisper's: as many as 30 s of sound have.
    heard = getattr(config, "max_source_positions", None)
    for name, layer in model.named_modules():
        if not isinstance(layer, GradientCheckpointingLayer):
            continue
        inside = [module for key, module in modules.items() if key.startswith(f"{name}.")]
        linears = tuple(module for module in inside if module.kind == "linear")
        encodes = config.is_encoder_decoder and ".encoder." in f".{name}"
        yield Block(
            component=_component(model, name),
            linears=linears,
            norms=tuple(module for module in inside if module.kind == "norm"),
            heads=next(
                (linear.outputs // _head_width(model, linear) for linear in linears if role_of(linear.name) == "query"),
                1,
            ),
            side="source" if encodes else "target",
            positions=heard if encodes else None,
            source_positions=heard,
            idle="vision" in name,
            dropout=bool(getattr(config, "dropout", 0.0)),
        )


def _head_width(model: PreTrainedModel, query: Module) -> int:
    attention = model.get_submodule(query.name.rpartition(".")[0])
    return getattr(attention, "head_dim", query.outputs)
