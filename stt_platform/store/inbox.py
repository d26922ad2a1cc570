"""Deciding which files of the inbox are whole, and taking those in."""

import fcntl
import os
import time
from collections.abc import Iterator
from pathlib import Path

from stt_platform.machine.files import age_s
from stt_platform.settings import InboxSettings
from stt_platform.store.intake import COMPANION_SUFFIXES, INBOX_SOURCE, RECORDING_SUFFIXES, Intake, ingest
from stt_platform.store.metadata import MetadataStore
from stt_platform.store.names import printable

_DONE = "done"
_UNFINISHED = frozenset([".part", ".crdownload", ".tmp", ".partial", ".download"])


def take_from_inbox(store: MetadataStore, settings: InboxSettings) -> Iterator[Intake]:
    """Take in every whole file of `STT_HOME/inbox` and move it to `inbox/done/<sermon>`, within the time budget.

    A file that is still being written, or was changed less than `settle_s` ago, stays for the next look. A file of
    the same name with other content is a new version of the sermon.
    """
    inbox = store.home / "inbox"
    inbox.mkdir(parents=True, exist_ok=True)
    deadline = time.monotonic() + settings.budget_s
    for path in waiting_files(inbox):
        if time.monotonic() > deadline:
            return
        try:
            if not is_whole(path, settings.settle_s):
                continue
            taken = list(ingest(store, [path], source_of=lambda file: f"{INBOX_SOURCE}{file.relative_to(inbox)}"))
            yield from taken
            if taken[0].sermon:
                _move_away(path, inbox / _DONE / taken[0].sermon)
        except OSError as error:
            # One that cannot be read, or has gone again, must not keep the others waiting.
            yield Intake(printable(str(path)), "refused", f"left in the inbox: {error.strerror}")


def waiting_files(inbox: Path) -> list[Path]:
    """Return the recordings in the inbox, sorted, and after them what belongs to recordings."""
    known = RECORDING_SUFFIXES | COMPANION_SUFFIXES
    files = [
        path
        for path in inbox.rglob("*")
        if path.suffix.lower() in known
        and not path.name.startswith(".")
        and path.relative_to(inbox).parts[0] != _DONE
        and path.is_file()
        and not path.is_symlink()
    ]
    return sorted(files, key=lambda path: (path.suffix.lower() in COMPANION_SUFFIXES, str(path)))


def is_whole(path: Path, settle_s: float) -> bool:
    """Return whether nobody is writing to the file, as far as can be known.

    The kernel grants a read lease only on a file that nobody has open for writing; where leases are not to be had
    (network and Windows drives, other people's files) the time since the last change decides alone.
    """
    if path.with_name(path.name + ".part").exists() or path.suffix.lower() in _UNFINISHED:
        return False
    if age_s(path.stat().st_mtime) < settle_s:
        return False
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_RDLCK)
        fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_UNLCK)
    except BlockingIOError:
        return False
    except OSError:
        return True
    finally:
        os.close(descriptor)
    return True


def _move_away(path: Path, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    target, number = folder / path.name, 2
    while target.exists():
        target, number = folder / f"{path.stem} ({number}){path.suffix}", number + 1
    path.replace(target)
