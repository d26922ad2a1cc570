"""From a translator's name in the registry to a folder that `load_translator` reads in seconds."""

from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

from stt_platform.models.conversion import converted_once
from stt_platform.models.registry import Model, ModelMissing, hub_token, model

_CAUSAL, _GGUF, _MARIAN = "causal-lm", "causal-lm-gguf", "marian"

# The repositories hold the same weights again in formats of other frameworks.
_WANTED = ("*.json", "*.safetensors", "*.spm", "*.model", "*.jinja")


def translator_folder(name: str, home: Path, progress: Callable[[str], None] | None = None) -> Path:
    """Return the folder of a translator: configuration, tokenizer and weights as safetensors.

    `STT_HOME/models/<name>`, where a user can put weights that the platform cannot fetch, goes before everything.
    Weights of the model hub are fetched on first use and stay in its cache. Packaged weights in GGUF are turned into
    safetensors once, which takes half a minute, and stay in `STT_HOME/models/<name>@<version>`; another process that
    wants them meanwhile waits.

    Args:
        name: of a model of the registry that translates.
        home: STT_HOME.
        progress: called with a sentence before something that takes long.

    Raises:
        ModelMissing: not on this machine and not to be had, with the remedy; or no translator.
    """
    entry = model(name)
    if entry.kind not in (_CAUSAL, _GGUF, _MARIAN):
        raise ModelMissing(f"model {name!r} is no translator: its kind is {entry.kind!r}")
    own = home / "models" / name
    if own.is_dir():
        _check_own(entry, own)
        return own
    return _converted(entry, home, progress) if entry.kind == _GGUF else _fetched(entry, progress)


def _check_own(entry: Model, folder: Path) -> None:
    missing = [pattern for pattern in ("config.json", "*.safetensors") if not any(folder.glob(pattern))]
    if missing:
        raise ModelMissing(
            f"{folder} is there for model {entry.name!r}, but holds no {' and no '.join(missing)}: put all files of the "
            "model there, or take the folder away"
        )


def _fetched(entry: Model, progress: Callable[[str], None] | None) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import GatedRepoError

    if progress is not None:
        progress(f"model {entry.identity}: from the model hub, or its cache on this machine")
    try:
        return Path(
            snapshot_download(entry.repo, revision=entry.revision, allow_patterns=list(_WANTED), token=hub_token())
        )
    except GatedRepoError as error:
        had = "the token in HF_TOKEN was not enough" if hub_token() else "HF_TOKEN is not set"
        raise ModelMissing(
            f"model {entry.name!r} ({entry.repo} at {entry.revision}) is gated, and {had}: accept its conditions on its "
            f"page of the model hub, set HF_TOKEN to a read token of that account, and run again. {_elsewhere(entry)}"
        ) from error
    except Exception as error:
        gated = " It is gated: HF_TOKEN has to be set too." if "gated" in entry.licence and not hub_token() else ""
        raise ModelMissing(
            f"model {entry.name!r} ({entry.repo} at {entry.revision}) is not on this machine and could not be fetched: "
            f"{type(error).__name__}. Connect to the network and run again (it is kept afterwards).{gated} "
            f"{_elsewhere(entry)}"
        ) from error


def _elsewhere(entry: Model) -> str:
    return (
        f"Or put its files into STT_HOME/models/{entry.name}; or use the embedded profile (STT_PROFILE=embedded), "
        "which needs no download"
    )


def _converted(entry: Model, home: Path, progress: Callable[[str], None] | None) -> Path:
    folder = home / "models" / entry.identity
    if folder.is_dir():
        return folder
    entry.folder_on_disk()

    def announce() -> None:
        if progress is not None:
            progress(f"converting {entry.identity} to safetensors, once: about half a minute")

    return converted_once(folder, lambda target: _convert(entry, target), announce)


def _convert(entry: Model, folder: Path) -> None:
    """Dequantise a packaged GGUF file into `folder`.

    In bfloat16, which the weights were made in: half the size of float32, and what is lost is far less than what
    quantising took. Of the time, two thirds go into reading the header with its 262,144 tokens in Python, which each
    call of transformers does again: so the tokenizer's class is named, and not found out.
    """
    import torch
    from transformers import AutoModelForCausalLM, GemmaTokenizer

    try:
        # Put together from the packages' parts, and held against its SHA-256.
        whole = import_module(entry.package).assemble(folder / "model.gguf")
    except (ImportError, FileNotFoundError, ValueError) as error:
        raise ModelMissing(
            f"the parts of model {entry.name!r} are damaged or not all there ({error}): install {entry.distribution} "
            "again with `make setup`"
        ) from error
    tokenizer = GemmaTokenizer.from_pretrained(str(folder), gguf_file=whole.name)
    network: Any = AutoModelForCausalLM.from_pretrained(str(folder), gguf_file=whole.name, dtype=torch.float32)
    whole.unlink()
    # These say that the model is quantised, which it no longer is, and keep it from being saved.
    network.hf_quantizer = None
    del network.config.quantization_config
    network.to(torch.bfloat16).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
