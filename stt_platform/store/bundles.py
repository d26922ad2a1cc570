"""Bundles where others take them from: `STT_HOME/bundles/<name>`, or a share that another machine reads.

A share may be slow and may lack what Linux takes for granted: a Windows drive in WSL (9P) refuses some syncs, and often
symbolic links and the renaming of a folder onto another. So a bundle is copied under a temporary name, read again and held
against its hashes, and only then renamed; `latest` is a symbolic link where there are some, else the name stands in
`latest.txt`. Whoever looks sees the old bundles or the new one too, and never a part.
"""

import errno
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from stt_platform.delivery.verify_bundle import Unfit, damage, read_manifest
from stt_platform.errors import PlatformError
from stt_platform.machine.files import temporary_name

LATEST, LATEST_TXT = "latest", "latest.txt"

_BLOCK_BYTES = 1 << 20
_TRIES = 5
# What a file system answers that has no such operation. All else is a failure.
_NOT_THERE = {errno.EINVAL, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EPERM, errno.EACCES}
# A folder that another program on the other side has open, such as a virus scanner that looks at what is new.
_BUSY = {errno.EBUSY, errno.EACCES, errno.EPERM, errno.ETXTBSY}


@dataclass(frozen=True)
class Placed:
    """A bundle on a shelf.

    Attributes:
        folder: the bundle.
        latest: the link, or the file with the name, that says that it is the newest.
        was_there: whether it lay there already, every byte of it.
    """

    folder: Path
    latest: Path
    was_there: bool


def place_bundle(bundle: Path, shelf: Path, *, keep: int) -> Placed:
    """Put a finished bundle on a shelf, let `latest` point at it, and take away all but the newest `keep`.

    Only one process may do it at a time; see `stt_platform.machine.files.one_at_a_time`.

    Args:
        bundle: as `seal_bundle` left it.
        shelf: a folder; made if it is not there, within one that is.

    Raises:
        PlatformError: there is no room, the copy is not what was copied, or the share fails. Nothing of it is left then,
            and `latest` is what it was.
    """
    name = read_manifest(bundle)["name"]
    target = shelf / name
    try:
        # Not its parents: on a share that is not mounted they would be made on the disk of this machine.
        shelf.mkdir(exist_ok=True)
        _remove_unfinished(shelf)
        was_there = target.is_dir() and not damage(target)
        if not was_there:
            _check_room(bundle, shelf)
            _copy_whole(bundle, target)
        latest = _point_at(shelf, name)
        _prune(shelf, keep, never=name)
    except OSError as error:
        raise PlatformError(
            f"the bundle {name} could not be written to {shelf} ({error}): make room there, or see whether the share is "
            "mounted and may be written to, and run it again; what was made is kept and only the copying is repeated"
        ) from error
    return Placed(target, latest, was_there)


def bundle_bytes(bundle: Path) -> int:
    """Return the bytes of all files of a bundle."""
    return sum(path.stat().st_size for path in bundle.rglob("*") if path.is_file())


def _check_room(bundle: Path, shelf: Path) -> None:
    wanted, free = bundle_bytes(bundle), shutil.disk_usage(shelf).free
    if wanted > free:
        raise OSError(errno.ENOSPC, f"{wanted / 1e6:.0f} MB are needed, and {free / 1e6:.0f} MB are free")


def _copy_whole(bundle: Path, target: Path) -> None:
    temporary = temporary_name(target)
    try:
        for path in sorted(bundle.rglob("*")):
            if path.is_file():
                _copy(path, temporary / path.relative_to(bundle))
        if damaged := damage(temporary):
            raise OSError(errno.EIO, f"what was written reads otherwise: {damaged[0]}")
        for folder in (*sorted(path for path in temporary.rglob("*") if path.is_dir()), temporary):
            _sync(folder)
        # A damaged one of that name gives way. Not by renaming onto it, which some shares refuse.
        aside = temporary_name(target)
        if target.exists():
            _rename(target, aside)
        _rename(temporary, target)
        _sync(target.parent)
        shutil.rmtree(aside, ignore_errors=True)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    with source.open("rb") as reader, target.open("wb") as writer:
        while block := reader.read(_BLOCK_BYTES):
            writer.write(block)
    _sync(target)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in _NOT_THERE:
            raise
    finally:
        os.close(descriptor)


def _rename(source: Path, target: Path) -> None:
    for left in reversed(range(_TRIES)):
        try:
            source.rename(target)
            return
        except OSError as error:
            if not left or error.errno not in _BUSY:
                raise
            time.sleep(0.1 * 2 ** (_TRIES - left))


def _point_at(shelf: Path, name: str) -> Path:
    link, text = shelf / LATEST, shelf / LATEST_TXT
    if link.is_dir() and not link.is_symlink():
        raise OSError(errno.EEXIST, f"{link} is a folder that the platform did not make: give it another name")
    temporary = temporary_name(link)
    try:
        temporary.symlink_to(name, target_is_directory=True)
        temporary.replace(link)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        if error.errno not in _NOT_THERE:
            raise
        _write(text, f"{name}\n")
        # One from before would point at another bundle.
        with suppress(FileNotFoundError):
            link.unlink()
        return text
    text.unlink(missing_ok=True)
    return link


def _write(path: Path, text: str) -> None:
    temporary = temporary_name(path)
    try:
        temporary.write_text(text, encoding="utf-8")
        _sync(temporary)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def _prune(shelf: Path, keep: int, *, never: str) -> None:
    newest_first = sorted(_bundles(shelf), reverse=True)
    others = [name for _, name in newest_first if name != never]
    for name in others[max(keep - 1, 0) :]:
        # First out of sight, so that nobody meets half of it.
        gone = temporary_name(shelf / name)
        _rename(shelf / name, gone)
        shutil.rmtree(gone, ignore_errors=True)


def _bundles(shelf: Path) -> Iterator[tuple[str, str]]:
    """Yield when each was made, and its name; what is no bundle of ours is left alone."""
    for path in shelf.iterdir():
        if path.is_symlink() or path.name.startswith(".") or not path.is_dir():
            continue
        with suppress(Unfit):
            manifest = read_manifest(path)
            if manifest["name"] == path.name:
                yield manifest["made_at"], path.name


def _remove_unfinished(shelf: Path) -> None:
    # Whoever made them is gone: only one at a time is at work.
    for left in shelf.glob(".*.tmp"):
        if left.is_dir() and not left.is_symlink():
            shutil.rmtree(left, ignore_errors=True)
        else:
            left.unlink(missing_ok=True)
