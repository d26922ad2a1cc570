"""SWORD modules from the packages of Debian and Ubuntu, without root: downloaded by apt, unpacked, checked."""

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from stt_platform.machine.files import fsync_folder, one_at_a_time
from stt_platform.scripture.sources.base import DamagedSourceError, Shelf
from stt_platform.scripture.sources.sword import load, sword_modules

_PACKAGE = re.compile(r"sword-text-[a-z0-9][a-z0-9+.-]*")
_MODULES = Path("usr/share/sword")
_MAX_S = 300
_MAX_REASON = 300


class SwordFetchError(RuntimeError):
    """A module that could not be had; the message says why and what else to do."""


def fetch_sword(
    packages: Sequence[str], into: Path, *, progress: Callable[[str], None] | None = None
) -> tuple[Path, ...]:
    """Get Debian packages such as "sword-text-kjv" and unpack their modules into folders of `into`.

    Returns the folder of each package, in the order asked for; one that is there already is left alone. apt checks
    what it downloads against the signed lists of the distribution; where the machine has none yet, it fetches lists
    of its own into a temporary folder. Nothing is installed and no root is needed. Each folder appears whole, after
    its module was read once. Raises `SwordFetchError`, and `ValueError` for what is no name of such a package.
    """
    for package in packages:
        if not _PACKAGE.fullmatch(package):
            raise ValueError(f"{package!r} is no SWORD package: a name such as 'sword-text-kjv' was expected")
    folders = tuple(into / package for package in packages)
    with one_at_a_time(into / ".fetch.lock"):
        wanted = [folder.name for folder in dict.fromkeys(folders) if not (folder / "mods.d").is_dir()]
        if wanted:
            for program in ("apt-get", "dpkg-deb"):
                if not shutil.which(program):
                    raise SwordFetchError(
                        f"{' and '.join(wanted)} cannot be fetched: {program} is not on this machine, which is no "
                        f"Debian or Ubuntu. Put the SWORD module (the folder with mods.d and modules) into {into}"
                    )
            with tempfile.TemporaryDirectory(prefix=".fetch-", dir=into) as name:
                _fetch(wanted, into, Path(name), progress or (lambda _: None))
    return folders


def _fetch(packages: list[str], into: Path, work: Path, progress: Callable[[str], None]) -> None:
    progress(f"downloading {', '.join(packages)}")
    _download(packages, work)
    for package in packages:
        progress(f"unpacking {package}")
        files = sorted(work.glob(f"{package}_*.deb"))
        if len(files) != 1:
            raise SwordFetchError(f"apt-get gave {len(files)} files for {package}, and one was expected")
        unpacked = work / package
        _run(["dpkg-deb", "-x", str(files[0]), str(unpacked)], work, f"{files[0].name} cannot be unpacked")
        modules = unpacked / _MODULES
        _check(package, modules)
        notice = unpacked / "usr/share/doc" / package / "copyright"
        if notice.is_file():
            shutil.copy(notice, modules / "copyright")
        modules.replace(into / package)
        fsync_folder(into)


def _download(packages: list[str], work: Path) -> None:
    try:
        _run(["apt-get", "-q", "download", *packages], work, "no download")
    except SwordFetchError:
        # Machines made from images have no lists of packages, and only root may fetch them into the usual place.
        lists, cache = work / "lists", work / "cache"
        for folder in (lists / "partial", cache / "archives" / "partial"):
            folder.mkdir(parents=True)
        own = ["-q", "-o", f"Dir::State::Lists={lists}", "-o", f"Dir::Cache={cache}"]
        hint = "is the network there? Else put the SWORD modules (folders with mods.d and modules) in by hand"
        _run(["apt-get", *own, "update"], work, f"{' and '.join(packages)} cannot be fetched, {hint}")
        _run(["apt-get", *own, "download", *packages], work, f"{' and '.join(packages)} cannot be fetched, {hint}")


def _run(command: list[str], work: Path, what: str) -> None:
    try:
        done = subprocess.run(
            command, cwd=work, env={**os.environ, "LC_ALL": "C"}, capture_output=True, text=True, timeout=_MAX_S
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise SwordFetchError(f"{what}: {error}") from error
    if done.returncode:
        reason = " ".join((done.stderr or done.stdout).split())[-_MAX_REASON:]
        raise SwordFetchError(f"{what}: {command[0]} said: {reason or f'exit status {done.returncode}'}")


def _check(package: str, modules: Path) -> None:
    links = [path for path in modules.rglob("*") if path.is_symlink()] if modules.is_dir() else []
    offers = sword_modules([modules]) if modules.is_dir() and not links else ()
    if not offers:
        raise SwordFetchError(f"{package} has no SWORD text that can be read")
    with Shelf() as shelf:
        for offer in offers:
            try:
                rows = load(offer, shelf).rows
            except DamagedSourceError as error:
                raise SwordFetchError(f"{package}: {error}") from error
            if not any(text for _, text in rows):
                raise SwordFetchError(f"{package}: the module {offer.key} is empty")
