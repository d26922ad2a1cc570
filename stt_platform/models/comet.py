"""From a COMET model's name in the registry to the folders that its isolated environment reads."""

from collections.abc import Callable
from pathlib import Path

from stt_platform.evaluation.comet import CometModel
from stt_platform.models.registry import Model, ModelMissing, hub_token, model

_COMET = "comet"

# Not the weights of the encoder, which the checkpoint has too.
_CHECKPOINT = ("hparams.yaml", "checkpoints/model.ckpt")
_ENCODER = ("config.json", "tokenizer.json", "tokenizer_config.json")


def comet_model(name: str, home: Path, progress: Callable[[str], None] | None = None) -> CometModel:
    """Return where a COMET model lies; it is fetched on first use, 2.3 GB, and stays in the model hub's cache.

    `STT_HOME/models/<name>`, where a user can put a model that the platform cannot fetch, goes before the model hub:
    `hparams.yaml`, `checkpoints/model.ckpt`, and `config.json` and `tokenizer.json` of the encoder in `encoder/`.

    Args:
        name: of a model of the registry that is of COMET.
        home: STT_HOME.
        progress: called with a sentence before something that takes long.

    Raises:
        ModelMissing: not on this machine and not to be had, with the remedy; or no COMET model.
    """
    entry = model(name)
    if entry.kind != _COMET:
        raise ModelMissing(f"model {name!r} is no COMET model: its kind is {entry.kind!r}")
    own = home / "models" / name
    if own.is_dir():
        return CometModel(name, own, own / "encoder")
    tell = progress or (lambda line: None)
    return CometModel(
        name,
        _fetched(entry, _CHECKPOINT, name, tell),
        # The checkpoint has the encoder's weights, but not its tokenizer.
        _fetched(model("xlm-roberta-large"), _ENCODER, name, tell),
    )


def _fetched(entry: Model, wanted: tuple[str, ...], name: str, tell: Callable[[str], None]) -> Path:
    from huggingface_hub import snapshot_download

    tell(f"model {entry.identity}: from the model hub, or its cache on this machine")
    try:
        return Path(
            snapshot_download(entry.repo, revision=entry.revision, allow_patterns=list(wanted), token=hub_token())
        )
    except Exception as error:
        raise ModelMissing(
            f"model {entry.name!r} ({entry.repo} at {entry.revision}) is not on this machine and could not be fetched: "
            f"{type(error).__name__}. Connect to the network and run again (it is kept afterwards). Or put the files "
            f"of {name!r} into STT_HOME/models/{name}, with those of its encoder in its folder encoder"
        ) from error
