"""Files that are either whole or absent.

Every file the platform writes goes through here: a temporary name in the same folder, synced, renamed.
A reader, another process, or the next start after a power loss never sees half of one.
"""

import fcntl
import hashlib
import math
import os
import secrets
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_BLOCK_BYTES = 1 << 20
_CLOCK_SKEW_S = 60


def temporary_name(path: Path) -> Path:
    """Return a name beside `path` that no glob for the real files matches: it starts with a dot."""
    return path.with_name(f".{path.name[-80:]}.{os.getpid()}-{secrets.token_hex(4)}.tmp")


def age_s(changed_at_s: float) -> float:
    """Return seconds since a time of the file system; infinite where it lies well ahead, as after a clock was put back.

    What waits for a file to have been left alone would else wait until the clock has come there again.
    """
    passed_s = time.time() - changed_at_s
    return math.inf if passed_s < -_CLOCK_SKEW_S else max(0.0, passed_s)


def fsync_folder(folder: Path) -> None:
    """Make the names in `folder` survive a power loss."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def fsync_file(path: Path) -> None:
    """Make the content of `path` survive a power loss."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yield a temporary path; on success it is synced and becomes `path`, on any error it is removed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = temporary_name(path)
    try:
        yield temporary
        fsync_file(temporary)
        temporary.replace(path)
        fsync_folder(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


def write_atomically(path: Path, data: bytes) -> None:
    """Write `data` to `path` so that the old content or the new is there, never a part."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(data)


@contextmanager
def one_at_a_time(lock: Path) -> Iterator[None]:
    """Hold the file `lock` while the body runs; others wait. The kernel frees it when its holder dies."""
    lock.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def sha256_of(path: Path) -> str:
    """Hex SHA-256 of the bytes of a file of any size."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def copy_atomically(source: Path, target: Path) -> str:
    """Copy a file and return the SHA-256 of the bytes that were written: one read of the source."""
    digest = hashlib.sha256()
    with atomic_path(target) as temporary, source.open("rb") as reader, temporary.open("wb") as writer:
        while block := reader.read(_BLOCK_BYTES):
            digest.update(block)
            writer.write(block)
    return digest.hexdigest()


def link_atomically(source: Path, target: Path) -> None:
    """Give a finished file another name, without a second copy where the file system allows it.

    Whoever opens `target` sees the old file or the new one; it must not be written to.
    """
    if target.exists() and target.samefile(source):
        return
    with atomic_path(target) as temporary:
        try:
            os.link(source, temporary)
        except OSError:
            shutil.copyfile(source, temporary)
