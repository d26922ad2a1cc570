"""Checkpoints of a training run: whole or absent, checked before they are used, kept apart by what they belong to.

A checkpoint is a folder. It is written under a temporary name, synced and renamed, and carries the SHA-256 of each of
its files. What is in it is the business of who writes it.
"""

import errno
import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

MANIFEST = "manifest.json"

_PREFIX = "step-"


class CheckpointNotSaved(OSError):
    """The disk is full: names the folder, what is free and what is needed. Earlier checkpoints are as they were."""


@dataclass(frozen=True)
class Checkpoint:
    """A whole checkpoint.

    Attributes:
        step: optimizer steps that were made before it was saved.
        folder: its files.
    """

    step: int
    folder: Path


class Checkpoints:
    """The checkpoints of one training. One process at a time may use those of one key."""

    def __init__(self, folder: Path, key: str) -> None:
        """
        Args:
            folder: of the checkpoints of all trainings; made on the first save.
            key: what this training is, a hash of its inputs and parameters: the same key resumes.

        Raises:
            ValueError: the key is no name of a folder.
        """
        if not key or key.startswith(".") or "/" in key:
            raise ValueError(f"key {key!r} cannot name a folder: give a hash")
        self.folder = folder / key
        self.notes: list[str] = []
        """What was found damaged, in words."""

    def save(self, step: int, write: Callable[[Path], None]) -> Checkpoint:
        """Make the checkpoint of a step; one that is whole already is left as it is.

        Args:
            write: puts the files into the empty folder that it is given, at any depth.

        Raises:
            CheckpointNotSaved: the disk is full.
        """
        target = self._path(step)
        if self._damage(target) is None:
            return Checkpoint(step, target)
        self.folder.mkdir(parents=True, exist_ok=True)
        self._remove_unfinished()
        temporary = self.folder / f".{target.name}.tmp"
        temporary.mkdir()
        try:
            write(temporary)
            _seal(temporary, step)
            if target.exists():
                shutil.rmtree(target)
            temporary.rename(target)
            _sync(self.folder)
        except Exception as error:
            if not _disk_is_full(error):
                raise
            raise self._no_room(step, temporary) from error
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
        return Checkpoint(step, target)

    def latest(self) -> Checkpoint | None:
        """Find the newest checkpoint that is whole; None where there is none. Damaged ones are named in `notes`."""
        return next((found for step in reversed(self._steps()) if (found := self.at(step)) is not None), None)

    def at(self, step: int) -> Checkpoint | None:
        """Find the checkpoint of that step; None where there is none or, with a note, where it is damaged."""
        folder = self._path(step)
        if not folder.is_dir():
            return None
        damage = self._damage(folder)
        if damage is None:
            return Checkpoint(step, folder)
        note = f"checkpoint {folder} is damaged and was not used: {damage}"
        if note not in self.notes:
            self.notes.append(note)
        return None

    def prune(self, keep: int, also: Iterable[int] = ()) -> None:
        """Remove all but the newest `keep` (at least one) and those of the steps in `also`."""
        steps = self._steps()
        for step in set(steps) - set(steps[-max(keep, 1) :]) - set(also):
            shutil.rmtree(self._path(step))

    def clear(self) -> None:
        """Remove all of them: the training is over and its result is stored elsewhere."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _path(self, step: int) -> Path:
        return self.folder / f"{_PREFIX}{step:08d}"

    def _steps(self) -> list[int]:
        names = [path.name.removeprefix(_PREFIX) for path in self.folder.glob(f"{_PREFIX}*") if path.is_dir()]
        return sorted(int(name) for name in names if name.isdecimal())

    def _remove_unfinished(self) -> None:
        for left in self.folder.glob(f".{_PREFIX}*.tmp"):
            shutil.rmtree(left)

    def _damage(self, folder: Path) -> str | None:
        try:
            files = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))["files"]
            for name, sha256 in files.items():
                if _sha256(folder / name) != sha256:
                    return f"{name} has changed since it was written"
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            return f"{type(error).__name__}: {error}"
        return None

    def _no_room(self, step: int, temporary: Path) -> CheckpointNotSaved:
        written = _bytes_in(temporary)
        earlier = self._steps()
        needed = max(written, _bytes_in(self._path(earlier[-1]))) if earlier else written
        free = shutil.disk_usage(self.folder).free + written
        kept = f"the checkpoint of step {earlier[-1]} is kept" if earlier else "there is no earlier checkpoint"
        return CheckpointNotSaved(
            errno.ENOSPC,
            f"the checkpoint of step {step} does not fit: {_megabytes(free)} free, {'' if earlier else 'more than '}"
            f"{_megabytes(needed)} needed. Make room and run again: {kept}, and the training goes on from there",
            str(self.folder),
        )


def _seal(folder: Path, step: int) -> None:
    """Sync every file, then write and sync the manifest."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    files = {path.relative_to(folder).as_posix(): _sha256(path) for path in paths}
    manifest = folder / MANIFEST
    manifest.write_text(json.dumps({"step": step, "files": files}, indent=1), encoding="utf-8")
    for path in (*paths, manifest, *(path for path in folder.rglob("*") if path.is_dir()), folder):
        _sync(path)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _disk_is_full(error: Exception) -> bool:
    # The writer of safetensors has an error class of its own, which carries the system's words only.
    full = (errno.ENOSPC, errno.EDQUOT)
    if isinstance(error, OSError):
        return error.errno in full
    return any(os.strerror(number) in str(error) for number in full)


def _bytes_in(folder: Path) -> int:
    return sum(path.lstat().st_size for path in folder.rglob("*") if path.is_file())


def _megabytes(number: int) -> str:
    return f"{number / 1e6:,.1f} MB"
