"""Builds environments from lock files: once for each content of the locks, whole or not at all.

An environment lies in a folder named for what it was made from, so a changed lock makes another one beside it and a
worker that is at work keeps its own. It is built under a temporary name and renamed when it is whole.
"""

import contextlib
import fcntl
import hashlib
import os
import platform
import re
import shutil
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from stt_platform.environments.session import SUPERVISED
from stt_platform.errors import PlatformError
from stt_platform.machine.files import fsync_folder, temporary_name
from stt_platform.settings import repository

_LAYOUT = "1"
"""Raised when environments are built in another way, so that old ones are not used."""

_TOLD = ("Downloading ", "Prepared ", "Installed ", "warning")
_KEPT_LINES = 12
_OFFLINE = ("error sending request", "Failed to fetch", "Network connectivity is disabled", "dns error", "timed out")
_CREDENTIALS = re.compile(r"(?<=://)[^/@\s]+@")


class EnvironmentNotBuilt(PlatformError):
    """An isolated environment that could not be built: says why and what to do."""


@dataclass(frozen=True)
class Recipe:
    """What an environment is made from.

    `lock` is installed into it. `unpacked` maps a folder's name in the environment to a lock whose packages are put
    there, apart from the others: for packages of which only the files are wanted. `sources` locks packages that are
    published as source only; they are built with the setuptools that `lock` holds.
    """

    name: str
    about: str
    lock: Path
    unpacked: Mapping[str, Path]
    sources: Path | None = None

    @property
    def locks(self) -> dict[str, Path]:
        """Every lock by the folder that its packages go into; empty for the environment itself."""
        built = {} if self.sources is None else {" built": self.sources}
        return {"": self.lock, **built, **dict(sorted(self.unpacked.items()))}

    def key(self) -> str:
        """Changes when anything does that decides what would be built."""
        digest = hashlib.sha256(f"{_LAYOUT} {platform.python_implementation()} {sys.version_info[:2]}".encode())
        for folder, lock in self.locks.items():
            try:
                content = lock.read_bytes()
            except FileNotFoundError:
                raise EnvironmentNotBuilt(
                    f"environment {self.name!r}: its lock file {lock} is missing. Restore it from the repository, or "
                    "write it anew with `make lock`"
                ) from None
            digest.update(f"\n{folder} {len(content)}\n".encode() + content)
        return digest.hexdigest()[:16]


@contextmanager
def built(recipe: Recipe, into: Path, progress: Callable[[str], None] | None = None) -> Iterator[Path]:
    """The folder of the built environment; it is not removed while the body runs.

    Raises `EnvironmentNotBuilt`.
    """
    tell = progress or (lambda line: None)
    into.mkdir(parents=True, exist_ok=True)
    folder = into / recipe.key()
    with contextlib.ExitStack() as stack:
        with _locked(into / "build.lock", recipe, tell) as lock:
            # Also where the Python that it was made with is no longer on the machine.
            if not (folder / "bin" / "python").exists():
                _build(recipe, folder, tell, lock)
            in_use = _open_in_use(folder)
            stack.callback(os.close, in_use)
            fcntl.flock(in_use, fcntl.LOCK_SH)
        yield folder


@contextmanager
def _locked(path: Path, recipe: Recipe, tell: Callable[[str], None]) -> Iterator[int]:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            tell(f"environment {recipe.name}: another process is building it; waiting")
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield descriptor
    finally:
        os.close(descriptor)


def _build(recipe: Recipe, folder: Path, tell: Callable[[str], None], lock: int) -> None:
    # Whoever holds the lock is the only one here: what has a temporary name was left by a killed build.
    for left in folder.parent.glob(".*.tmp"):
        shutil.rmtree(left)
    temporary = temporary_name(folder)
    commands = _commands(recipe, temporary)
    about = f" ({recipe.about})" if recipe.about else ""
    tell(f"environment {recipe.name}{about}: building it, once, in {folder.parent}")
    began_s = time.monotonic()
    try:
        for command in commands:
            _run(command, recipe, tell, lock)
        (temporary / "home").mkdir()
        # Its thousands of files are to survive a power loss when its name does.
        os.sync()
        if folder.exists():
            shutil.rmtree(folder)
        temporary.rename(folder)
        fsync_folder(folder.parent)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    _remove_unused(folder)
    tell(f"environment {recipe.name}: ready after {time.monotonic() - began_s:.0f} s")


def _commands(recipe: Recipe, folder: Path) -> list[list[str]]:
    uv = _uv()
    python = str(folder / "bin" / "python")
    # No building of packages: that would run code that no hash pins. Nothing is fetched for what is built from source.
    pinned = ["--require-hashes", "--no-build", "--python", python]
    built = ["--no-deps", "--no-build-isolation", "--require-hashes", "--python", python]
    return [
        [uv, "venv", "--quiet", "--no-project", "--relocatable", "--python", sys.executable, str(folder)],
        [uv, "pip", "sync", "--allow-empty-requirements", *pinned, str(recipe.lock)],
        *([[uv, "pip", "install", *built, "--requirements", str(recipe.sources)]] if recipe.sources else []),
        *(
            [uv, "pip", "install", "--no-deps", *pinned, "--target", str(folder / name), "--requirements", str(lock)]
            for name, lock in sorted(recipe.unpacked.items())
        ),
    ]


def _uv() -> str:
    if find_spec("uv"):
        import uv

        with contextlib.suppress(FileNotFoundError):
            return str(uv.find_uv_bin())
    own = repository() / ".tools" / "uv" / "bin" / "uv"
    found = str(own) if own.exists() else shutil.which("uv")
    if found is None:
        raise EnvironmentNotBuilt(
            f"the program uv, which builds isolated environments, is neither at {own} nor on the PATH: run `make setup`"
        )
    return found


def _run(command: list[str], recipe: Recipe, tell: Callable[[str], None], lock: int) -> None:
    process = subprocess.Popen(
        [*SUPERVISED, *command],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        start_new_session=True,
        # If this process is killed, the next one builds only after the supervisor has ended what this one began.
        pass_fds=(lock,),
    )
    said: deque[str] = deque(maxlen=_KEPT_LINES)
    # Leaving it closes the pipes, which ends the command, and waits for that.
    with process:
        for line in process.stderr or ():
            line = _CREDENTIALS.sub("", line.rstrip())
            said.append(line)
            if line.startswith(_TOLD):
                tell(f"environment {recipe.name}: {line}")
    if process.returncode:
        raise EnvironmentNotBuilt(_what_failed(recipe, "\n".join(said)))


def _what_failed(recipe: Recipe, said: str) -> str:
    if any(sign in said for sign in _OFFLINE):
        remedy = "The package index did not answer. Connect to the network and try again: what was fetched is kept"
    else:
        locks = ", ".join(str(lock) for lock in recipe.locks.values())
        remedy = (
            f"If a lock file was changed, restore it from the repository or write it anew with `make lock` ({locks})"
        )
    return f"environment {recipe.name!r} could not be built, and nothing of it was kept. {remedy}. uv said:\n{said}"


def _remove_unused(keep: Path) -> None:
    """Remove what other locks made, unless a worker is at work in it."""
    for other in keep.parent.iterdir():
        if other == keep or not other.is_dir():
            continue
        in_use = _open_in_use(other)
        try:
            fcntl.flock(in_use, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            continue
        else:
            # Renamed first: half removed, it must not be found by its name.
            removed = temporary_name(other)
            other.rename(removed)
            shutil.rmtree(removed)
        finally:
            os.close(in_use)


def _open_in_use(folder: Path) -> int:
    return os.open(folder / "in-use.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
