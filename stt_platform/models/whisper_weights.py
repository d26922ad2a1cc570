"""From a Whisper model of the registry to a folder that transformers trains.

The registry's Whisper models are those that are served: CTranslate2's format in float16. What is trained has to be the
same weights, so they are turned back, and no second copy of the model comes from elsewhere. Nothing is lost: the format
fuses the projections of queries, keys and values, and keeps every number.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stt_platform.models.conversion import converted_once
from stt_platform.models.ctranslate2_file import read_ctranslate2
from stt_platform.models.registry import Model, ModelMissing, model

if TYPE_CHECKING:
    import torch

_KIND = "faster-whisper"

# From CTranslate2's names to transformers': what is one to one.
_PARTS = {
    "position_encodings/encodings": "embed_positions.weight",
    "embeddings/weight": "embed_tokens.weight",
    "conv1": "conv1",
    "conv2": "conv2",
    "layer_norm": "layer_norm",
    "self_attention/layer_norm": "self_attn_layer_norm",
    "self_attention/linear_1": "self_attn.out_proj",
    "attention/layer_norm": "encoder_attn_layer_norm",
    "attention/linear_0": "encoder_attn.q_proj",
    "attention/linear_2": "encoder_attn.out_proj",
    "ffn/layer_norm": "final_layer_norm",
    "ffn/linear_0": "fc1",
    "ffn/linear_1": "fc2",
}
# What is stacked along the first axis.
_FUSED = {
    "self_attention/linear_0": ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"),
    "attention/linear_1": ("encoder_attn.k_proj", "encoder_attn.v_proj"),
}
_LEAVES = {"weight": "weight", "bias": "bias", "gamma": "weight", "beta": "bias"}
_NAME = re.compile(r"(encoder|decoder)/(?:layer_(\d+)/)?(.+)")
# The embeddings once more, in every Whisper.
_TIED = "decoder/projection/weight"


def whisper_folder(name: str, home: Path, progress: Callable[[str], None] | None = None) -> Path:
    """Return the folder of a Whisper model for `transformers`: configuration, tokenizer, and weights as safetensors.

    Made once from the model that is served and kept in `STT_HOME/models/<name>@<revision>`; another process that wants
    it meanwhile waits.

    Args:
        name: of a model of the registry that faster-whisper runs.
        home: STT_HOME.
        progress: called with a sentence before something that takes long.

    Raises:
        ModelMissing: not on this machine and not to be had, with the remedy; damaged; or no Whisper.
    """
    entry = model(name)
    if entry.kind != _KIND:
        raise ModelMissing(f"model {name!r} is no Whisper model: its kind is {entry.kind!r}")
    folder = home / "models" / entry.identity
    if folder.is_dir():
        return folder
    served = entry.folder_on_disk()

    def announce() -> None:
        if progress is not None:
            progress(f"converting {entry.identity} for training, once")

    return converted_once(folder, lambda target: _convert(entry, served, target), announce)


def _convert(entry: Model, served: Path, folder: Path) -> None:
    try:
        convert_whisper(served, folder)
    except (ValueError, KeyError, OSError) as error:
        raise ModelMissing(
            f"model {entry.name!r} in {served} cannot be trained: {error}. "
            + (f"Install {entry.distribution} again with `make setup`" if entry.package else "Fetch it again")
        ) from error


def convert_whisper(served: Path, folder: Path) -> None:
    """Write a Whisper model of CTranslate2's format into `folder` as transformers reads it.

    Args:
        served: with model.bin, config.json and tokenizer.json; preprocessor_config.json where it has one.
        folder: an empty one.

    Raises:
        ValueError: the weights are no Whisper, or not floating point (a quantised copy has lost what training needs).
        OSError: a file is missing.
    """
    from safetensors.torch import save_file
    from transformers import WhisperTokenizer

    weights = read_ctranslate2(served / "model.bin")
    if weights.specification != "WhisperSpec":
        raise ValueError(f"{served / 'model.bin'} holds {weights.specification}, not WhisperSpec")
    settings = json.loads((served / "config.json").read_text(encoding="utf-8"))
    state = dict(_renamed(weights.variables))
    shutil.copyfile(served / "tokenizer.json", folder / "tokenizer.json")
    end = "<|endoftext|>"
    tokenizer = WhisperTokenizer.from_pretrained(folder, unk_token=end, bos_token=end, eos_token=end, pad_token=end)
    tokenizer.save_pretrained(folder)
    config = _config(weights.variables, tokenizer)
    _check_whole(config, state)
    save_file(state, folder / "model.safetensors", metadata={"format": "pt"})
    config.save_pretrained(folder)
    _generation_config(config, settings, tokenizer).save_pretrained(folder)
    _feature_extractor(served, config).save_pretrained(folder)


def _renamed(variables: Mapping[str, torch.Tensor]) -> Iterator[tuple[str, torch.Tensor]]:
    import torch

    for name, value in variables.items():
        match = _NAME.fullmatch(name)
        # What has no dimension is a setting of the architecture.
        if match is None or not value.ndim or name == _TIED:
            continue
        if value.dtype not in (torch.float16, torch.bfloat16, torch.float32):
            raise ValueError(f"its weights are quantised ({name} is {value.dtype}): use a copy in float16")
        side, layer, part = match.groups()
        prefix = f"model.{side}." + (f"layers.{layer}." if layer else "")
        if part in _PARTS:
            yield prefix + _PARTS[part], value.clone()
            continue
        part, _, leaf = part.rpartition("/")
        targets = (_PARTS[part],) if part in _PARTS else _FUSED[part]
        for target, piece in zip(targets, value.chunk(len(targets)), strict=True):
            if target.endswith("k_proj") and leaf == "bias":
                # Whisper's keys have none; the fused one is filled up with zeros.
                if piece.any():
                    raise ValueError(f"{name} has a bias for keys, which Whisper has not")
                continue
            yield f"{prefix}{target}.{_LEAVES[leaf]}", piece.clone()


def _config(variables: Mapping[str, torch.Tensor], tokenizer: Any) -> Any:
    from transformers import WhisperConfig

    def layers(side: str) -> int:
        return 1 + max(int(m[2]) for name in variables if (m := _NAME.fullmatch(name)) and m[1] == side and m[2])

    def heads(side: str) -> int:
        # Older converters wrote one number for each layer.
        return int(next(variables[name] for name in variables if re.match(rf"{side}/.*num_heads$", name)))

    width, mels, _ = variables["encoder/conv1/weight"].shape
    start, end = tokenizer.convert_tokens_to_ids(["<|startoftranscript|>", "<|endoftext|>"])
    return WhisperConfig(
        vocab_size=variables["decoder/embeddings/weight"].shape[0],
        num_mel_bins=mels,
        d_model=width,
        encoder_layers=layers("encoder"),
        decoder_layers=layers("decoder"),
        encoder_attention_heads=heads("encoder"),
        decoder_attention_heads=heads("decoder"),
        encoder_ffn_dim=variables["encoder/layer_0/ffn/linear_0/weight"].shape[0],
        decoder_ffn_dim=variables["decoder/layer_0/ffn/linear_0/weight"].shape[0],
        max_source_positions=variables["encoder/position_encodings/encodings"].shape[0],
        max_target_positions=variables["decoder/position_encodings/encodings"].shape[0],
        decoder_start_token_id=start,
        bos_token_id=start,
        eos_token_id=end,
        pad_token_id=end,
        # Where they belong is the configuration of generation.
        suppress_tokens=None,
        begin_suppress_tokens=None,
        dtype=str(variables["encoder/conv1/weight"].dtype).removeprefix("torch."),
        architectures=["WhisperForConditionalGeneration"],
    )


def _generation_config(config: Any, settings: Mapping[str, Any], tokenizer: Any) -> Any:
    from transformers import GenerationConfig
    from transformers.models.whisper.tokenization_whisper import LANGUAGES

    vocabulary = tokenizer.get_vocab()
    # As OpenAI tells its models apart: those for English have one token less.
    multilingual = config.vocab_size >= 51865
    known = {f"<|{code}|>": vocabulary[f"<|{code}|>"] for code in LANGUAGES if f"<|{code}|>" in vocabulary}
    several = {
        "lang_to_id": known,
        "task_to_id": {task: vocabulary[f"<|{task}|>"] for task in ("transcribe", "translate")},
        "language": "en",
        "task": "transcribe",
    }
    return GenerationConfig(
        is_multilingual=multilingual,
        decoder_start_token_id=config.decoder_start_token_id,
        bos_token_id=config.bos_token_id,
        eos_token_id=config.eos_token_id,
        pad_token_id=config.pad_token_id,
        max_length=config.max_target_positions,
        no_timestamps_token_id=vocabulary["<|notimestamps|>"],
        prev_sot_token_id=vocabulary["<|startofprev|>"],
        return_timestamps=False,
        max_initial_timestamp_index=50,
        suppress_tokens=settings["suppress_ids"],
        begin_suppress_tokens=settings["suppress_ids_begin"],
        alignment_heads=settings["alignment_heads"],
        **(several if multilingual else {}),
    )


def _feature_extractor(served: Path, config: Any) -> Any:
    from transformers import WhisperFeatureExtractor

    if (served / "preprocessor_config.json").is_file():
        return WhisperFeatureExtractor.from_pretrained(served)
    return WhisperFeatureExtractor(feature_size=config.num_mel_bins)


def _check_whole(config: Any, state: Mapping[str, torch.Tensor]) -> None:
    import torch
    from transformers import WhisperForConditionalGeneration

    with torch.device("meta"):
        wanted = WhisperForConditionalGeneration(config).state_dict()
    shapes = {name: tuple(value.shape) for name, value in wanted.items() if name != "proj_out.weight"}
    found = {name: tuple(value.shape) for name, value in state.items()}
    if shapes != found:
        other = sorted({*shapes.items()} ^ {*found.items()})
        raise ValueError(f"its weights are no Whisper's: {other[0][0]} is missing, too much, or of another shape")
