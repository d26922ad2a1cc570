"""Backups below `STT_HOME/backups`: the Dagster instance, and the small files that nobody could make again.

What the stages make is not in them: it is named by what made it, and is made again. Recordings are not either: they are
large, and are yours to keep. A backup is a folder named by its day, made under a temporary name and renamed when it is
whole. Databases are copied with SQLite's own backup, while the platform runs, and are looked through before they count.
A database that has not changed since the last backup is the same file in both.
"""

import json
import os
import re
import shutil
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from stt_platform.errors import PlatformError
from stt_platform.machine.files import copy_atomically, fsync_file, fsync_folder, one_at_a_time, temporary_name

CANNOT_BE_REMADE = (
    "settings.toml",
    "splits/*",
    "choices/*",
    "corrections/**/*",
    "references/**/*",
    "assessment/*",
    "review/cycle-*/review*.csv",
    "scripture/versification/*",
    "channel/*.csv",
    "adapters/made/*.json",
    "adapters/*/*.json",
    "adapters/*/README.md",
    "cycles/*/speech_decision/**/*",
    "sermons/*/sermon.json",
    "sermons/*/references/*",
    "sermons/*/captions/*",
)
"""What people wrote, chose and froze, and what says what an adapter was made from. Secrets are not among it."""

_AUDIO = frozenset([".wav", ".flac", ".mp3", ".ogg", ".opus", ".m4a", ".mp4", ".webm"])
_MAIN = ("dagster/history/runs.db", "dagster/history/runs/index.db", "dagster/schedules/schedules.db")
_DATABASES = ("dagster/history/**/*.db", "dagster/schedules/*.db", "label-studio/*.sqlite3")
_MANIFEST = "backup.json"
_FOLDER = re.compile(r"\d{4}-\d{2}-\d{2}(T\d{6})?")
_BUSY_S = 30.0


@dataclass(frozen=True)
class Backup:
    """A backup on disk.

    Attributes:
        name: its day, with the time of day where it is not the first of that day.
        files: what is in it, relative to `STT_HOME`.
        damaged: databases that could not be read when it was made, with what SQLite said; they are not in it.
    """

    name: str
    folder: Path
    files: tuple[str, ...]
    damaged: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Restored:
    """What was put back, relative to `STT_HOME`; what was damaged lies in `set_aside`."""

    backup: str | None
    databases: tuple[str, ...]
    files: tuple[str, ...]
    set_aside: Path | None


def backups_folder(home: Path) -> Path:
    """Return where the backups lie."""
    return home / "backups"


def list_backups(home: Path) -> list[Backup]:
    """Return the whole backups, oldest first."""
    found = []
    for folder in sorted(backups_folder(home).glob("*")):
        if _FOLDER.fullmatch(folder.name):
            try:
                manifest = _manifest(folder)
            except (OSError, ValueError):
                continue
            found.append(Backup(folder.name, folder, tuple(manifest["files"]), manifest["damaged"]))
    return found


def make_backup(home: Path, *, keep_days: int, now: datetime) -> Backup:
    """Copy what cannot be remade, while the platform runs, and take away backups older than `keep_days`.

    Raises `PlatformError` where one of the databases that everything hangs on is damaged, or there is no room: the backups
    that are there stay as they are.
    """
    shelf = backups_folder(home)
    shelf.mkdir(parents=True, exist_ok=True)
    shelf.chmod(0o700)
    with one_at_a_time(shelf / ".lock"):
        for left in shelf.glob(".*.tmp"):
            shutil.rmtree(left, ignore_errors=True)
        known = list_backups(home)
        day = now.date().isoformat()
        name = day if not (shelf / day).exists() else now.strftime("%Y-%m-%dT%H%M%S")
        work = temporary_name(shelf / name)
        try:
            made = _fill(home, work, name, known[-1] if known else None)
            work.rename(made.folder)
            fsync_folder(shelf)
        except OSError as error:
            raise PlatformError(f"no backup was made in {shelf}: {error}. Make room, then run `stt backup`") from error
        finally:
            shutil.rmtree(work, ignore_errors=True)
        oldest = (now - timedelta(days=keep_days)).date().isoformat()
        for old in known:
            if old.name[:10] < oldest:
                shutil.rmtree(old.folder, ignore_errors=True)
    return made


def damaged_databases(home: Path) -> dict[str, str]:
    """The databases that SQLite cannot read, relative to `STT_HOME`, with what it says; the main ones if they are missing."""
    found = {}
    for path in _databases(home):
        if fault := _fault(path):
            found[_name(home, path)] = fault
    if (home / "dagster" / "created").exists():
        found |= {name: "is missing" for name in _MAIN if not (home / name).exists()}
    return found


def restore(home: Path, backup: Backup | None) -> Restored:
    """Put back the databases that are damaged, and the files that are missing or torn; nothing that is whole is touched.

    The databases that everything hangs on come from the same backup, all or none, since each names what is in the others. Of
    a damaged log of one run that is in no backup the log is lost, and nothing else. Nobody may have the instance open.
    """
    damaged = set(damaged_databases(home))
    if damaged & set(_MAIN):
        damaged |= set(_MAIN)
    aside = _set_aside(home, sorted(damaged)) if damaged else None
    if damaged & set(_MAIN) and backup is None:
        # Whoever opens the instance next makes new ones.
        (home / "dagster" / "created").unlink(missing_ok=True)
    files = backup.files if backup else ()
    databases = tuple(name for name in files if name in damaged)
    missing = tuple(name for name in files if _is_wanted(home, name) and not _is_readable(home / name))
    if backup is None:
        return Restored(None, (), (), aside)
    for name in (*databases, *missing):
        copy_atomically(backup.folder / name, home / name)
    return Restored(backup.name, databases, missing, aside)


def _fill(home: Path, work: Path, name: str, last: Backup | None) -> Backup:
    work.mkdir()
    states: dict[str, Any] = {}
    damaged = {}
    before = _manifest(last.folder)["databases"] if last else {}
    for path in _databases(home):
        named = _name(home, path)
        target = work / named
        target.parent.mkdir(parents=True, exist_ok=True)
        states[named] = _state(path)
        if last and states[named] is not None and before.get(named) == states[named]:
            os.link(last.folder / named, target)
        elif fault := _copy_database(path, target):
            damaged[named] = fault
            del states[named]
    if wrong := sorted(set(damaged) & set(_MAIN)):
        raise PlatformError(
            f"no backup was made: {home / wrong[0]} is damaged ({damaged[wrong[0]]}). Stop the platform, then run `stt restore`"
        )
    kept = [_name(home, path) for path in _small_files(home)]
    for named in kept:
        copy_atomically(home / named, work / named)
    files = sorted([*states, *kept])
    manifest = {"files": files, "databases": states, "damaged": damaged}
    (work / _MANIFEST).write_text(json.dumps(manifest, indent=1, sort_keys=True), encoding="utf-8")
    fsync_file(work / _MANIFEST)
    for folder in sorted({path.parent for path in work.rglob("*")} | {work}):
        fsync_folder(folder)
    return Backup(name, work.with_name(name), tuple(files), damaged)


def _copy_database(path: Path, target: Path) -> str:
    """Copy a database that others may be writing to; returns what is wrong with it, or an empty text."""
    try:
        with closing(sqlite3.connect(path, timeout=_BUSY_S)) as source, closing(sqlite3.connect(target)) as copy:
            source.backup(copy)
        if fault := _fault(target):
            target.unlink()
            return fault
    except sqlite3.DatabaseError as error:
        target.unlink(missing_ok=True)
        return str(error)
    fsync_file(target)
    return ""


def _fault(path: Path) -> str:
    try:
        with closing(sqlite3.connect(path, timeout=_BUSY_S)) as database:
            ((said, *_), *_) = database.execute("PRAGMA quick_check(1)").fetchall()
            return "" if said == "ok" else str(said)
    except sqlite3.DatabaseError as error:
        # Somebody is writing to it, so it can be read.
        return "" if "locked" in str(error) else str(error)


def _state(path: Path) -> list[int] | None:
    """Changes when the database does; None while changes wait in its log."""
    log = path.with_name(f"{path.name}-wal")
    if log.exists() and log.stat().st_size:
        return None
    found = path.stat()
    return [found.st_size, found.st_mtime_ns]


def _set_aside(home: Path, names: list[str]) -> Path:
    folder = temporary_name(home / "dagster" / "damaged" / "databases").with_suffix("")
    folder = folder.with_name(folder.name.lstrip("."))
    for name in names:
        for suffix in ("", "-wal", "-shm", "-journal"):
            path = home / f"{name}{suffix}"
            if path.exists():
                target = folder / f"{name}{suffix}"
                target.parent.mkdir(parents=True, exist_ok=True)
                path.rename(target)
    return folder


def _databases(home: Path) -> Iterator[Path]:
    for pattern in _DATABASES:
        yield from sorted(path for path in home.glob(pattern) if path.is_file())


def _is_database(name: str) -> bool:
    return name.startswith(("dagster/", "label-studio/"))


def _small_files(home: Path) -> list[Path]:
    found = {path for pattern in CANNOT_BE_REMADE for path in home.glob(pattern)}
    return sorted(
        path
        for path in found
        if path.is_file() and not path.is_symlink() and path.name[0] != "." and path.suffix.lower() not in _AUDIO
    )


def _is_wanted(home: Path, name: str) -> bool:
    """Return whether it comes back by being missing: no log of a run, and nothing of a sermon that was removed since."""
    owner = home.joinpath(*Path(name).parts[:2]) if name.startswith("sermons/") else home
    return not _is_database(name) and owner.is_dir()


def _is_readable(path: Path) -> bool:
    """Return whether it is there and, where it is JSON, whole."""
    try:
        if path.suffix == ".json":
            json.loads(path.read_bytes())
        return path.exists()
    except (FileNotFoundError, ValueError):
        return False


def _manifest(folder: Path) -> dict[str, Any]:
    manifest = json.loads((folder / _MANIFEST).read_text(encoding="utf-8"))
    if not {"files", "databases", "damaged"} <= set(manifest):
        raise ValueError(f"{folder / _MANIFEST} is no backup's list")
    return manifest


def _name(home: Path, path: Path) -> str:
    return path.relative_to(home).as_posix()
