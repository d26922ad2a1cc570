"""Loading a separation model of demucs as safely as its files allow."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np


class SeparatorUnavailable(RuntimeError):
    """The weights of a separation model are not there, or must not be loaded: says what to do."""


def load_demucs(name: str = "htdemucs", repo: Path | None = None, *, revision: str | None = None) -> Any:
    """Load a separation model of demucs, on the CPU, ready for `separate_speech`.

    Demucs's own loader runs what a checkpoint asks for: its files are Python pickles, and its safetensors name
    a class to call. So the files are opened here: a pickle only with torch's restricted unpickler and the few
    types that a checkpoint needs, and only the architecture HTDemucs is built. A `.th` file must have the
    SHA-256 that its name begins to tell. That finds a damaged file; it does not say who made it.

    Args:
        name: a bag of models that demucs knows, such as `htdemucs` or `htdemucs_ft`.
        repo: a folder with its weights, as `SIGNATURE.safetensors` or `SIGNATURE-CHECKSUM.th`, and its
            `NAME.yaml` if demucs does not bring one.
        revision: without a folder, the commit of the author's safetensors on the model hub, which are fetched
            unless this machine has them. Without either nothing is fetched.

    Raises:
        SeparatorUnavailable: not there, damaged, or more than weights.
    """
    from demucs.apply import BagOfModels

    folder = _fetched(name, revision) if repo is None else Path(repo)
    bag = _bag(name, folder)
    models = [_load_member(name, folder, signature) for signature in bag["models"]]
    return BagOfModels(models, bag.get("weights"), bag.get("segment")).eval()


def _fetched(name: str, revision: str | None) -> Path:
    from demucs.hf import DEFAULT_NAMESPACE, hf_repo_name
    from huggingface_hub import snapshot_download

    if revision is None:
        raise _missing(name, "nowhere: no folder and no commit on the model hub is given")
    hub_repo = f"{DEFAULT_NAMESPACE}/{hf_repo_name(name)}"
    try:
        # Demucs would fall back to pickles from another server: not wanted.
        return Path(snapshot_download(hub_repo, revision=revision, allow_patterns=["*.yaml", "*.safetensors"]))
    except Exception as error:
        place = f"{hub_repo} at {revision} on the model hub and was not to be had ({type(error).__name__})"
        raise _missing(name, place) from error


def _bag(name: str, folder: Path) -> dict[str, Any]:
    """Return which models belong to that name: demucs's yaml, from the folder or from the installed package."""
    import yaml
    from demucs.pretrained import REMOTE_ROOT

    for place in (folder, REMOTE_ROOT):
        # Compared with names that are there, so that a name can never become a path.
        found = [path for path in sorted(place.glob("*.yaml")) if path.stem == name]
        if found:
            bag = yaml.safe_load(found[0].read_text(encoding="utf-8"))
            if isinstance(bag, dict) and isinstance(bag.get("models"), list) and bag["models"]:
                return bag
            raise SeparatorUnavailable(f"{found[0]} does not list the models of {name!r}; take it away")
    raise _missing(name, f"the folder {folder}")


def _load_member(name: str, folder: Path, signature: str) -> Any:
    weights = [path for path in sorted(folder.glob("*.safetensors")) if path.stem == signature]
    pickles = [path for path in sorted(folder.glob("*.th")) if path.stem.split("-")[0] == signature]
    if weights:
        return _load_safetensors(weights[0])
    if len(pickles) > 1:
        names = ", ".join(path.name for path in pickles)
        raise SeparatorUnavailable(f"{folder} has more than one file of model {signature}: {names}; keep one")
    if not pickles:
        raise _missing(name, f"the folder {folder}, which has no {signature}.safetensors or {signature}-….th")
    return _load_pickle(pickles[0])


def _load_safetensors(path: Path) -> Any:
    from demucs.hf import load_safetensors_model
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(str(path), framework="pt") as file:
            metadata = file.metadata() or {}
    except SafetensorError as error:
        raise SeparatorUnavailable(f"{path} is damaged ({error}): fetch it again") from error
    # Demucs calls whatever callable stands here, and imports what `structure` names.
    if metadata.get("klass") != "demucs.htdemucs.HTDemucs" or "structure" in metadata:
        raise SeparatorUnavailable(f"{path} is no plain HTDemucs model: it is not loaded")
    return load_safetensors_model(path)


def _load_pickle(path: Path) -> Any:
    import pickle
    from fractions import Fraction

    import torch
    from demucs.htdemucs import HTDemucs
    from demucs.repo import ModelLoadingError, check_checksum
    from demucs.states import load_model

    checksum = path.stem.partition("-")[2]
    if len(checksum) < 8:
        raise SeparatorUnavailable(f"{path} carries no checksum in its name: keep the name it was published under")
    try:
        check_checksum(path, checksum)
    except ModelLoadingError as error:
        raise SeparatorUnavailable(f"{path} is damaged ({error}): fetch it again") from error
    scalar = np.float64(0).__reduce__()[0]
    # Numbers of the training's bookkeeping; numpy 2 has renamed the module that old files name.
    numbers = [(scalar, f"numpy.{core}.multiarray.scalar") for core in ("core", "_core")]
    allowed = [HTDemucs, Fraction, np.dtype, *numbers, type(np.dtype("f8")), type(np.dtype("f4")), type(np.dtype("i8"))]
    try:
        with torch.serialization.safe_globals(allowed):
            package = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError) as error:
        raise SeparatorUnavailable(
            f"{path} holds more than the weights of an HTDemucs model, or is no such file: it is not loaded. "
            f"{str(error).splitlines()[0]}"
        ) from error
    if not isinstance(package, dict) or package.get("klass") is not HTDemucs:
        raise SeparatorUnavailable(f"{path} is no HTDemucs model: it is not loaded")
    return load_model(package)


def _missing(name: str, place: str) -> SeparatorUnavailable:
    wanted = "955717e8-8726e21a.th or 955717e8.safetensors" if name == "htdemucs" else "its .safetensors or .th files"
    return SeparatorUnavailable(
        f"separation model {name!r} was looked for in {place}. Put {wanted} into the folder of its weights, or switch "
        "separation off: speech over music is then marked and left out"
    )
