"""Adapters on disk: `STT_HOME/adapters/<adapter_id>/`, named by hash, and which one an asset made last."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stt_platform.errors import PlatformError
from stt_platform.machine.files import write_atomically

_ID = re.compile(r"[0-9a-f]{8,64}")
_PLACE = re.compile(r"[a-z][a-z0-9_]*(-[a-z0-9]+)?")


@dataclass(frozen=True)
class Adapter:
    """An adapter, or a model that was fine-tuned as a whole.

    Attributes:
        kind: "whisper", "translategemma" or "marian".
        base_model, base_revision: of the registry.
        folder: with `adapter.json` and the weights; in `serving` within it lies what a recogniser or translator loads
            as it is, where it was exported.
        manifest: all that `adapter.json` says.
    """

    adapter_id: str
    kind: str
    base_model: str
    base_revision: str
    dataset_sha256: str
    folder: Path
    manifest: Mapping[str, Any]

    @property
    def serving(self) -> Path:
        return self.folder / "serving"

    @property
    def identity(self) -> str:
        """What `transcripts.system` and the evaluations call it."""
        return f"{self.base_model}@{self.base_revision}+{self.adapter_id[:12]}"


def adapter_folder(home: Path, adapter_id: str) -> Path:
    """Return where an adapter lies. Raises ValueError for what is no id."""
    if not _ID.fullmatch(adapter_id):
        raise ValueError(f"{adapter_id!r} is no adapter's id: want 8 to 64 of 0-9 and a-f")
    return home / "adapters" / adapter_id


def read_adapter(home: Path, adapter_id: str) -> Adapter:
    """Raises `PlatformError` naming the file where it is not there or cannot be read."""
    folder = adapter_folder(home, adapter_id)
    path = folder / "adapter.json"
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
        names = ("kind", "base_model", "base_revision", "dataset_sha256")
        told = {name: str(manifest[name]) for name in names}
        return Adapter(adapter_id=adapter_id, folder=folder, manifest=manifest, **told)
    except (OSError, ValueError, KeyError) as error:
        raise PlatformError(f"{path} cannot be read ({error!r}): train it again, or restore the folder") from error


def made_by(home: Path, asset: str, part: str | None = None) -> Adapter | None:
    """Return the adapter that an asset (of a partition) made last, or None."""
    try:
        found = json.loads(_pointer(home, asset, part).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    return read_adapter(home, found["adapter_id"])


def record_made(home: Path, asset: str, part: str | None, adapter_id: str) -> None:
    """Say that an asset (of a partition) made this adapter."""
    data = json.dumps({"adapter_id": adapter_id}).encode()
    path = _pointer(home, asset, part)
    if not path.exists() or path.read_bytes() != data:
        write_atomically(path, data)


def _pointer(home: Path, asset: str, part: str | None) -> Path:
    place = asset if part is None else f"{asset}-{part.lower()}"
    if not _PLACE.fullmatch(place):
        raise ValueError(f"{asset!r} of {part!r} is no name for an adapter's place")
    return home / "adapters" / "made" / f"{place}.json"
