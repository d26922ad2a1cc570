"""The device lease: one process at a time on the GPU of this machine.

A lock file per device, held with `flock` by the process that computes: the kernel frees it when that process
dies, however it dies. It lies in a folder of the machine, not of a home, so that several homes, users and
Dagster instances exclude each other. Without CUDA the device is the CPU and everything else is the same.

`STT_LOCK_DIR` names another folder for the lock files. Whoever shares the device must share the folder.
"""

import contextlib
import fcntl
import functools
import json
import os
import re
import stat
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

CPU = "cpu"

_DEVICE = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9._-]{0,99}")
_FOLDER_NAME = "stt_platform-locks"
_FOLDER_MODE = 0o1777
_FILE_MODE = 0o666
_OPEN_ATTEMPTS = 40
_OPEN_RETRY_S = 0.05
_PROBE_TIMEOUT_S = 60

# Asks the driver which device CUDA calls number 0 in this environment: CUDA_VISIBLE_DEVICES,
# CUDA_DEVICE_ORDER and MIG mean exactly what they mean to torch and CTranslate2. In a process of its own,
# because a process that has initialised CUDA must not fork.
_PROBE = """
import ctypes
try:
    cuda = ctypes.CDLL("libcuda.so.1")
except OSError:
    raise SystemExit(0)
device, count, uuid = ctypes.c_int(), ctypes.c_int(), (ctypes.c_ubyte * 16)()
if cuda.cuInit(0) or cuda.cuDeviceGetCount(ctypes.byref(count)) or not count.value:
    raise SystemExit(0)
name_of = getattr(cuda, "cuDeviceGetUuid_v2", cuda.cuDeviceGetUuid)
if cuda.cuDeviceGet(ctypes.byref(device), 0) or name_of(uuid, device):
    raise SystemExit("CUDA counts a device and cannot name it")
print(bytes(uuid).hex())
"""


@dataclass(frozen=True)
class Holder:
    """Who holds a device: what it wrote about itself, None where it has written nothing (yet)."""

    what: str | None = None
    pid: int | None = None
    since: str | None = None

    def __str__(self) -> str:
        if self.what is None:
            return "another process"
        return f"{self.what} (process {self.pid}, since {self.since})"


@dataclass(frozen=True)
class Lease:
    """A device held by this thread: how long it waited for it, and how long it has had or had it."""

    device: str
    holder: str
    waited_s: float
    waited_for: Holder | None
    _since_s: float = field(repr=False)
    _until_s: list[float] = field(default_factory=list, repr=False)

    @property
    def held_s(self) -> float:
        """Seconds since the device was given; after the end of the lease, how long it was held."""
        return (self._until_s[0] if self._until_s else time.monotonic()) - self._since_s


class DeviceHeldError(RuntimeError):
    """This thread asked for a device that it holds: it would wait for itself for ever."""


def device_name() -> str:
    """`cuda-<uuid>` of the device that CUDA calls number 0 here, else `cpu`.

    Follows CUDA_VISIBLE_DEVICES and does not initialise CUDA in this process. The answer is kept.
    """
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    return _device_name(visible, os.environ.get("CUDA_DEVICE_ORDER"))


@functools.cache
def _device_name(visible: str | None, order: str | None) -> str:
    if visible is not None and visible.strip() in ("", "-1"):
        return CPU
    command = [sys.executable, "-I", "-S", "-c", _PROBE]
    try:
        probe = subprocess.run(command, capture_output=True, text=True, timeout=_PROBE_TIMEOUT_S, check=True)
    except subprocess.SubprocessError as error:
        said = getattr(error, "stderr", None) or str(error)
        raise RuntimeError(f"the CUDA driver does not answer; does nvidia-smi? {said.strip()}") from error
    return f"cuda-{uuid.UUID(hex=probe.stdout.strip())}" if probe.stdout.strip() else CPU


def lock_folder() -> Path:
    """Return the folder of the lock files: `STT_LOCK_DIR`, else one that every user of this machine shares."""
    chosen = os.environ.get("STT_LOCK_DIR")
    if chosen:
        return Path(chosen)
    # Asks what the folder is, not whether this user may write to it: all users must come to the same answer.
    shared = Path("/run/lock")
    with contextlib.suppress(OSError):
        if stat.S_IMODE(shared.stat().st_mode) == _FOLDER_MODE:
            return shared / _FOLDER_NAME
    return Path("/tmp") / _FOLDER_NAME  # noqa: S108


@contextmanager
def hold_device(
    device: str,
    *,
    holder: str,
    on_wait: Callable[[Holder], None] | None = None,
    folder: Path | None = None,
) -> Iterator[Lease]:
    """Hold `device` alone on this machine, waiting for it as long as it takes.

    `holder` says to people what is being done with it. `on_wait` is called once, with who holds the device,
    before waiting for it. A signal handler that raises ends the wait (in the main thread: Python runs
    handlers there). Processes forked inside keep the device claimed if this one is killed, until they end too.

    Raises DeviceHeldError if this thread holds the device already, OSError if the lock file is not to be
    trusted.
    """
    if not _DEVICE.fullmatch(device):
        raise ValueError(f"device {device!r} must be 1 to 100 letters, digits, '.', '_' or '-'")
    path = (folder or lock_folder()).absolute() / f"{device}.lock"
    asked_s = time.monotonic()
    with _claimed_by_this_thread(path, device), _locked(path, on_wait) as (file, waited_for):
        since_s = time.monotonic()
        _write_holder(file, holder)
        lease = Lease(device, holder, since_s - asked_s if waited_for else 0.0, waited_for, since_s)
        try:
            yield lease
        finally:
            lease._until_s.append(time.monotonic())
            file.truncate(0)


def holder_of(device: str, *, folder: Path | None = None) -> Holder | None:
    """Who holds `device` now; None where it is free. It is only looked at: a moment later it may be otherwise."""
    with _open_lock_file((folder or lock_folder()).absolute() / f"{device}.lock") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return _read_holder(file)
        fcntl.flock(file, fcntl.LOCK_UN)
    return None


_claims = threading.local()


@contextmanager
def _claimed_by_this_thread(path: Path, device: str) -> Iterator[None]:
    held: set[Path] = _claims.__dict__.setdefault("paths", set())
    if path in held:
        raise DeviceHeldError(f"this thread holds {device} already; take it once, around all that needs it")
    try:
        held.add(path)
        yield
    finally:
        held.discard(path)


@contextmanager
def _locked(path: Path, on_wait: Callable[[Holder], None] | None) -> Iterator[tuple[IO[bytes], Holder | None]]:
    waited_for: Holder | None = None
    while True:
        with _open_lock_file(path) as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                current = _read_holder(file)
                if waited_for is None and on_wait:
                    on_wait(current)
                waited_for = waited_for or current
                fcntl.flock(file, fcntl.LOCK_EX)
            try:
                # The file may have been tidied away while it was waited for; its successor has another lock.
                if _is_still_there(file, path):
                    yield file, waited_for
                    return
            finally:
                # Closing alone would leave it to processes that were forked meanwhile and outlive the lease.
                fcntl.flock(file, fcntl.LOCK_UN)


def _is_still_there(file: IO[bytes], path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.lstat())
    except FileNotFoundError:
        return False


def _open_lock_file(path: Path) -> IO[bytes]:
    """Open the lock file of a folder that other users write to: a plain file by that name, or an error."""
    _make_folder(path.parent)
    for attempt in range(_OPEN_ATTEMPTS):
        try:
            # Not O_CREAT for a file that exists: the kernel refuses it for another user's file in such a
            # folder (fs.protected_regular).
            file = open(path, "r+b", buffering=0, opener=_open_existing)  # noqa: SIM115
        except FileNotFoundError:
            with contextlib.suppress(FileExistsError), open(path, "xb", opener=_create) as new:
                os.fchmod(new.fileno(), _FILE_MODE)
        except PermissionError:
            # Its maker may be about to open it to others.
            if attempt + 1 == _OPEN_ATTEMPTS:
                raise
            time.sleep(_OPEN_RETRY_S)
        else:
            found = os.fstat(file.fileno())
            if stat.S_ISREG(found.st_mode) and found.st_nlink <= 1:
                return file
            file.close()
            raise OSError(f"{path} is not a plain file of its own; remove it and try again")
    raise OSError(f"{path} disappears as soon as it is made; remove {path.parent} and try again")


# O_NONBLOCK: opening a FIFO would wait for its other end.
def _open_existing(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)


def _create(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_CLOEXEC | os.O_NOFOLLOW, _FILE_MODE)


def _make_folder(folder: Path) -> None:
    with contextlib.suppress(FileExistsError):
        folder.parent.mkdir(parents=True, exist_ok=True)
        folder.mkdir()
        folder.chmod(_FOLDER_MODE)
    if not stat.S_ISDIR(folder.lstat().st_mode):
        raise OSError(f"{folder} is not a folder (a link is refused); remove it and try again")


def _write_holder(file: IO[bytes], what: str) -> None:
    since = datetime.now(UTC).isoformat(timespec="seconds")
    text = json.dumps({"what": what, "pid": os.getpid(), "since": since})
    file.truncate(0)
    os.pwrite(file.fileno(), text.encode(), 0)


def _read_holder(file: IO[bytes]) -> Holder:
    """Return what the file says. Anyone may have written it: what is no holder reads as an unnamed one."""
    with contextlib.suppress(ValueError, TypeError, KeyError):
        said: dict[str, Any] = json.loads(os.pread(file.fileno(), 4096, 0))
        return Holder(what=str(said["what"]), pid=int(said["pid"]), since=str(said["since"]))
    return Holder()
