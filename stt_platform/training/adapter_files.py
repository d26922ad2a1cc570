"""An adapter on disk: weights, and beside them all that says where they come from and whether they are whole.

An adapter fits one base and nothing else, and nothing in its weights says which. So `adapter.json` names the base by
revision and hash, the training set by hash, and every file by hash; the folder is named by the hash of all that. What
does not match is refused before it is used. The same goes for a model that was trained as a whole.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import platform
import shutil
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from math import isfinite
from pathlib import Path
from typing import Any

from stt_platform.training.model_card import model_card

MANIFEST, CARD = "adapter.json", "README.md"

_PACKAGES = ("torch", "transformers", "peft", "bitsandbytes", "safetensors", "tokenizers", "ctranslate2", "trl")
_IDENTITY = ("kind", "base_model", "base_revision", "base_sha256", "dataset_sha256", "parameters")


class AdapterRefused(ValueError):
    """An adapter that may not be used: names the folder, what is wrong and the remedy."""


@dataclass(frozen=True)
class Base:
    """A base model: its name and pinned revision, and `weights_sha256` of its folder."""

    name: str
    revision: str
    sha256: str


@dataclass(frozen=True)
class Provenance:
    """Where weights come from.

    Attributes:
        kind: "whisper", "translategemma" or "marian".
        base: what was trained.
        dataset_sha256: of the training set.
        parameters: all that decides the training.
        code_version: of the platform.
        curves: what was seen while it learnt: "steps" and "evaluations" as `loop.Trained` has them, each as a dict.
        summary: a sentence or two for the model card: what it learnt from, what it is better at.
        sermons: that it learnt from; none of them may examine it.
    """

    kind: str
    base: Base
    dataset_sha256: str
    parameters: Mapping[str, Any]
    code_version: str
    curves: Mapping[str, Any]
    summary: str = ""
    sermons: tuple[str, ...] = ()


@dataclass(frozen=True)
class AdapterFiles:
    """An adapter as its manifest has it.

    Attributes:
        adapter_id: hash of where the weights come from and of the weights.
        environment: versions of Python and of the packages that trained it.
        created_at: in UTC, ISO 8601.
        files: SHA-256 by name, of all files but the manifest.
    """

    adapter_id: str
    folder: Path
    provenance: Provenance
    environment: Mapping[str, str]
    created_at: str
    files: Mapping[str, str]


def write_adapter(adapters: Path, provenance: Provenance, fill: Callable[[Path], None]) -> AdapterFiles:
    """Make the folder of an adapter below `adapters`: whole, or not at all.

    The same weights of the same origin have the same name: a folder that is there and whole stays as it is.

    Args:
        fill: puts the files into the empty folder that it is given, at any depth.

    Raises:
        ValueError: where `fill` wrote nothing.
        OSError: the disk is full, or the folder cannot be written; nothing is left of it.
    """
    adapters.mkdir(parents=True, exist_ok=True)
    _remove_unfinished(adapters)
    temporary = adapters / f".{os.getpid()}.tmp"
    temporary.mkdir()
    try:
        fill(temporary)
        weights = _hashes(temporary)
        if not weights:
            raise ValueError(f"nothing was written into the folder of the {provenance.kind} adapter: there is none")
        described = _described(provenance, weights)
        target = adapters / described["adapter_id"]
        if (there := _whole(target)) is not None:
            return there
        (temporary / CARD).write_text(model_card(described), encoding="utf-8")
        _seal(temporary, described)
        shutil.rmtree(target, ignore_errors=True)
        temporary.rename(target)
        _sync(adapters)
    except Exception as error:
        # The writer of safetensors has an error class of its own, which carries the system's words only.
        if isinstance(error, OSError) or os.strerror(errno.ENOSPC) not in str(error):
            raise
        raise OSError(errno.ENOSPC, str(error), str(adapters)) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return read_adapter(target)


def read_adapter(folder: Path) -> AdapterFiles:
    """What the manifest says; the other files are not looked at.

    Raises:
        AdapterRefused: there is none, or it was changed since it was written.
    """
    path = folder / MANIFEST
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
        seal = manifest.pop("manifest_sha256")
        base = Base(manifest["base_model"], manifest["base_revision"], manifest["base_sha256"])
        names = ("dataset_sha256", "parameters", "code_version", "curves", "summary")
        sermons = tuple(manifest["sermons"])
        provenance = Provenance(manifest["kind"], base, **{name: manifest[name] for name in names}, sermons=sermons)
        rest = [manifest[name] for name in ("environment", "created_at", "files")]
        found = AdapterFiles(manifest["adapter_id"], folder, provenance, *rest)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise AdapterRefused(f"{path} cannot be read ({error!r}): restore the folder, or train again") from error
    if seal != _hash(manifest):
        raise AdapterRefused(f"{path} was changed since it was written: restore the folder, or train again")
    return found


def check_adapter(folder: Path, *, base: Base | None = None, dataset_sha256: str | None = None) -> AdapterFiles:
    """The adapter, if every byte is what it was, and if it belongs to this base and this training set.

    Args:
        base: that it is to be used with; None where that is not the question.
        dataset_sha256: of the training set that it is to be of; None likewise.

    Raises:
        AdapterRefused: where something does not match.
    """
    found = read_adapter(folder)
    for name, expected in sorted(found.files.items()):
        path = folder / name
        if not path.is_file():
            raise AdapterRefused(f"{path} is missing: restore the folder, or train again")
        if _sha256(path) != expected:
            raise AdapterRefused(f"{path} was changed since it was written: restore the folder, or train again")
    trained_on = found.provenance.base
    if base is not None and base != trained_on:
        raise AdapterRefused(
            f"{folder} was trained on {_named(trained_on)}, and the base here is {_named(base)}: restore that "
            "base, or train again"
        )
    if dataset_sha256 is not None and dataset_sha256 != found.provenance.dataset_sha256:
        raise AdapterRefused(
            f"{folder} was trained on the training set {found.provenance.dataset_sha256[:12]}, and the one here is "
            f"{dataset_sha256[:12]}: train again"
        )
    return found


def weights_sha256(folder: Path) -> str:
    """Hash of the weights of a model: of names and contents of its safetensors, or where there are none, of `model.bin`.

    Raises:
        ValueError: where there are neither.
    """
    paths = sorted(folder.glob("*.safetensors")) or sorted(folder.glob("model.bin"))
    if not paths:
        raise ValueError(f"{folder} holds no *.safetensors and no model.bin: there are no weights to know it by")
    return _hash({path.name: _sha256(path) for path in paths})


def package_versions() -> dict[str, str]:
    """What decides the arithmetic: Python, the machine and the packages that are installed."""
    found = {"python": platform.python_version(), "machine": f"{platform.system()} {platform.machine()}"}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "not installed"
    return found


def _described(provenance: Provenance, weights: Mapping[str, str]) -> dict[str, Any]:
    fields = asdict(provenance)
    base = fields.pop("base")
    fields |= {"base_model": base["name"], "base_revision": base["revision"], "base_sha256": base["sha256"]}
    fields = _plain(fields)
    identity = {name: fields[name] for name in _IDENTITY} | {"files": dict(weights)}
    return {
        "adapter_id": _hash(identity),
        **fields,
        "environment": package_versions(),
        "created_at": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def _seal(folder: Path, described: Mapping[str, Any]) -> None:
    manifest = {**described, "files": _hashes(folder)}
    text = json.dumps(manifest | {"manifest_sha256": _hash(manifest)}, indent=1, ensure_ascii=False, allow_nan=False)
    (folder / MANIFEST).write_text(f"{text}\n", encoding="utf-8")
    for path in (*sorted(folder.rglob("*")), folder):
        _sync(path)


def _remove_unfinished(adapters: Path) -> None:
    """What processes left that are gone; another one may be writing."""
    for left in adapters.glob(".*.tmp"):
        name = left.name[1:-4]
        if name.isdecimal() and (int(name) == os.getpid() or not _lives(int(name))):
            shutil.rmtree(left)


def _lives(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


def _whole(folder: Path) -> AdapterFiles | None:
    try:
        return check_adapter(folder)
    except AdapterRefused:
        return None


def _named(base: Base) -> str:
    return f"{base.name} at {base.revision} (weights {base.sha256[:12]})"


def _hashes(folder: Path) -> dict[str, str]:
    paths = sorted(path for path in folder.rglob("*") if path.is_file() and path != folder / MANIFEST)
    return {path.relative_to(folder).as_posix(): _sha256(path) for path in paths}


def _plain(value: Any) -> Any:
    """As JSON has it: what is no number is null."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return None if isinstance(value, float) and not isfinite(value) else value


def _hash(value: Any) -> str:
    text = json.dumps(value, sort_keys=True, ensure_ascii=False, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
