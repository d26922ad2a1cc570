"""Whether a model's weights are on this machine, without fetching or loading anything."""

import hashlib
from pathlib import Path

from stt_platform.models.registry import ModelMissing, model

_WEIGHTS = ("*.safetensors", "checkpoints/model.ckpt")
_FIRST_FILES = ("config.json", "hparams.yaml")


def present_weights(name: str, home: Path) -> str | None:
    """Return what identifies the weights of a model that are here: another text for other weights.

    A folder `STT_HOME/models/<name>` goes before everything; it is known by the sizes and times of its files, since
    nobody says what a user puts there.

    Returns:
        None where they are not here, or are not whole, and would have to be fetched.

    Raises:
        ModelMissing: the registry has no such model.
    """
    entry = model(name)
    own = home / "models" / name
    if own.is_dir():
        return f"{name}@own-{_state(own)}"
    if entry.package:
        try:
            return entry.identity
        except ModelMissing:
            return None
    return entry.identity if _in_the_cache(entry.repo, entry.revision) else None


def fetched_weights(name: str, home: Path) -> str:
    """`present_weights`, of a model that was to be fetched before: nobody waits for the network a second time.

    Raises:
        ModelMissing: they are not here, with the remedy.
    """
    found, entry = present_weights(name, home), model(name)
    if found is None:
        gated = (
            " It is gated: accept its conditions on the model hub and set HF_TOKEN." if "gated" in entry.licence else ""
        )
        raise ModelMissing(
            f"model {name!r} ({entry.repo or entry.distribution}) is not on this machine and could not be fetched.{gated} "
            f"Connect to the network and run again (it is kept afterwards), or put its files into STT_HOME/models/{name}"
        )
    return found


def _state(folder: Path) -> str:
    files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    seen = [(path.relative_to(folder).as_posix(), path.stat().st_size, path.stat().st_mtime_ns) for path in files]
    return hashlib.sha256(repr(seen).encode()).hexdigest()[:12]


def _in_the_cache(repo: str, revision: str | None) -> bool:
    from huggingface_hub import try_to_load_from_cache

    for name in _FIRST_FILES:
        found = try_to_load_from_cache(repo, name, revision=revision)
        if isinstance(found, str):
            return any(any(Path(found).parent.glob(pattern)) for pattern in _WEIGHTS)
    return False
