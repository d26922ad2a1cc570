"""Taking recordings in: each becomes a sermon with a key, a copy of the original, and a registration.

What is decided here: whether a recording is new, a new version of one that is known (the same file with other
content), or the same recording once more. Whether it can be decoded is for the first stage to find out: an unreadable
file becomes a sermon too, so that its reason is seen where people look.
"""

import hashlib
import json
import os
import re
import shutil
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Literal

from stt_platform.audio.decode import probe
from stt_platform.audio.media import UnreadableMedia
from stt_platform.machine.files import copy_atomically, one_at_a_time, sha256_of, write_atomically
from stt_platform.store.captions import CAPTION_SUFFIXES, attach_captions
from stt_platform.store.metadata import MetadataStore
from stt_platform.store.names import SermonName, guess_name, is_sermon_key, parse_date, printable, sermon_key

_AUDIO_SUFFIXES = frozenset([".wav", ".flac", ".mp3", ".ogg", ".oga", ".opus", ".m4a", ".aac", ".wma", ".aiff", ".aif"])
_VIDEO_SUFFIXES = frozenset([".mp4", ".m4v", ".mov", ".mkv", ".webm"])
RECORDING_SUFFIXES = _AUDIO_SUFFIXES | _VIDEO_SUFFIXES
REFERENCE_SUFFIXES = frozenset([".txt", ".jsonl", ".csv"])
COMPANION_SUFFIXES = REFERENCE_SUFFIXES | CAPTION_SUFFIXES
"""Files that belong to the recording of the same name beside them."""
INBOX_SOURCE = "inbox/"
_REGISTRATION = "sermon.json"


@dataclass(frozen=True)
class Registration:
    """What is known of a sermon before any stage has run. `version` counts the contents its file has had.

    `source` is where it came from, for people; `source_id` identifies that place exactly, whatever its name is made
    of. `date_is_known` says that the date was given, or stood in the file's name or tags.
    """

    sermon: str
    title: str
    speaker: str | None
    date: str
    source: str
    sha256: str
    version: int
    original: str
    source_id: str
    date_is_known: bool

    def original_path(self, home: Path) -> Path:
        """Return the platform's own copy of the recording, as it came."""
        return home / "sermons" / self.sermon / "original" / self.original

    def registered_at(self, home: Path) -> float:
        """Return when this version was taken in, in seconds since 1970."""
        return (home / "sermons" / self.sermon / _REGISTRATION).stat().st_mtime


@dataclass(frozen=True)
class Intake:
    """What became of one file."""

    path: str
    outcome: Literal["new", "new version", "same recording", "reference", "captions", "refused"]
    message: str
    sermon: str | None = None


class IntakeRefused(ValueError):
    """A file that cannot be taken in at all: names it, the reason and the remedy."""


def registration(home: Path, sermon: str) -> Registration | None:
    """Return the registration of a sermon, or None."""
    if not is_sermon_key(sermon):
        return None
    path = home / "sermons" / sermon / _REGISTRATION
    try:
        status = path.stat()
        return _parsed(path, status.st_mtime_ns, status.st_ino)
    except FileNotFoundError:
        return None


@lru_cache(maxsize=10_000)
def _parsed(path: Path, mtime_ns: int, inode: int) -> Registration:
    """Parse a registration once: each file that is taken in is compared with all, and a thousand take a second to parse.

    A registration is replaced by renaming, so that another content has another inode.
    """
    return Registration(**json.loads(path.read_text(encoding="utf-8")))


def registrations(home: Path) -> dict[str, Registration]:
    """Return all registered sermons by key, sorted."""
    folder = home / "sermons"
    keys = sorted(path.name for path in folder.iterdir() if is_sermon_key(path.name)) if folder.exists() else []
    found = {key: registration(home, key) for key in keys}
    return {key: entry for key, entry in found.items() if entry is not None}


def find_recordings(paths: Iterable[Path]) -> Iterator[Path]:
    """Yield the files that `paths` (files and folders) stand for, in order: recordings and what belongs to them.

    A file named directly is always among them, whatever its ending; in folders only known endings count.
    """
    for path in paths:
        # Unlike Path.is_dir, this takes a name that is too long for a file as no folder.
        if os.path.isdir(path):  # noqa: PTH112
            for found in sorted(path.rglob("*")):
                known = found.suffix.lower() in RECORDING_SUFFIXES | COMPANION_SUFFIXES
                if known and not found.name.startswith(".") and found.is_file():
                    yield found
        else:
            yield path


def ingest(
    store: MetadataStore,
    paths: Iterable[Path],
    *,
    title: str | None = None,
    speaker: str | None = None,
    date: str | None = None,
    source_of: Callable[[Path], str] = lambda path: str(path.absolute()),
) -> Iterator[Intake]:
    """Take in files, one `Intake` each; a bad one is refused with its reason and the others go on.

    References (`.txt`, `.jsonl`, `.csv`) and captions (`.vtt`, `.srt`, `.json3`) with a recording's name go to the
    sermon of that name. `source_of` names where a file came from: the same source with other content is a new
    version.
    """
    # Companions last: the recording that one belongs to may be among these.
    for path in sorted(find_recordings(paths), key=_is_companion):
        try:
            if _is_companion(path):
                yield _attach(store, path, source=source_of(path))
            else:
                yield _ingest_one(store, path, title=title, speaker=speaker, date=date, source=source_of(path))
        except (OSError, IntakeRefused) as error:
            reason = f"{error.strerror}" if isinstance(error, OSError) and error.strerror else str(error)
            yield Intake(printable(str(path)), "refused", f"refused: {reason}")


def _is_companion(path: Path) -> bool:
    return path.suffix.lower() in COMPANION_SUFFIXES


def _ingest_one(
    store: MetadataStore, path: Path, *, title: str | None, speaker: str | None, date: str | None, source: str
) -> Intake:
    shown = printable(str(path))
    if not path.exists():
        raise IntakeRefused("there is no such file; check the spelling")
    if not path.is_file():
        raise IntakeRefused("it is not a regular file; give a recording or a folder of recordings")
    if date is not None and parse_date(date) != date:
        raise IntakeRefused(f"--date {date!r} is not a calendar date; write it as YYYY-MM-DD")
    with one_at_a_time(store.home / "sermons" / ".intake.lock"):
        known = registrations(store.home)
        sha256 = sha256_of(path)
        for entry in known.values():
            if entry.sha256 == sha256:
                # Again, in case the power went between the file and the row.
                _write_row(store, entry)
                what = "nothing to do"
                if not _is_whole(entry.original_path(store.home), path):
                    _copy_original(path, entry.original_path(store.home), sha256)
                    what = "the platform's copy was lost or damaged and is whole again"
                message = f"the same recording is here already as {entry.sermon} (from {entry.source}); {what}"
                return Intake(shown, "same recording", message, entry.sermon)
        name = guess_name(path, _tags(path), title=title, speaker=speaker, date=date)
        before = next((entry for entry in known.values() if _is_new_version(entry, name, source)), None)
        if before:
            name = replace(
                name,
                title=title or (name.title if name.title_is_known else before.title),
                speaker=speaker or name.speaker or before.speaker,
                date=name.date if name.date_is_known else before.date,
            )
        key = before.sermon if before else sermon_key(name, sha256, frozenset(known))
        entry = _register(store, path, key, name, source, sha256, version=before.version + 1 if before else 1)
    if before:
        return Intake(shown, "new version", f"version {entry.version} of {key}; its stages will run again", key)
    by = f" by {entry.speaker}" if entry.speaker else ""
    return Intake(shown, "new", f"{key}: “{entry.title}”{by}, {entry.date}", key)


def _source_id(source: str) -> str:
    return hashlib.sha256(os.fsencode(source)).hexdigest()[:16]


def _is_new_version(entry: Registration, name: SermonName, source: str) -> bool:
    """Return whether a file from `source` is `entry` with other content.

    Recorders use their file names again: the same name in the inbox on another day is another sermon, and so is a
    file that says itself that it is of another date.
    """
    if entry.source_id != _source_id(source):
        return False
    if entry.date == name.date:
        return True
    return not source.startswith(INBOX_SOURCE) and not (entry.date_is_known and name.date_is_known)


def _tags(path: Path) -> dict[str, str]:
    try:
        return probe(path).tags
    except UnreadableMedia:
        return {}


def _register(
    store: MetadataStore, path: Path, key: str, name: SermonName, source: str, sha256: str, version: int
) -> Registration:
    original = f"{sha256[:16]}{path.suffix.lower() if path.suffix.lower() in RECORDING_SUFFIXES else ''}"
    entry = Registration(
        sermon=key,
        title=name.title,
        speaker=name.speaker,
        date=name.date,
        source=printable(source),
        sha256=sha256,
        version=version,
        original=original,
        source_id=_source_id(source),
        date_is_known=name.date_is_known,
    )
    # Earlier versions stay beside it: the only copy of a recording may be ours.
    _copy_original(path, entry.original_path(store.home), sha256)
    write_atomically(
        store.home / "sermons" / key / _REGISTRATION, json.dumps(asdict(entry), indent=1, sort_keys=True).encode()
    )
    _write_row(store, entry)
    return entry


def _is_whole(copy: Path, path: Path) -> bool:
    return copy.is_file() and copy.stat().st_size == path.stat().st_size


def _copy_original(path: Path, target: Path, sha256: str) -> None:
    if copy_atomically(path, target) != sha256:
        target.unlink()
        raise IntakeRefused("it changed while it was being copied; try again when it is complete")


def register_again(store: MetadataStore, entry: Registration) -> bool:
    """Put the sermon's row back as its registration has it; returns whether it was not."""
    return _write_row(store, entry)


def _write_row(store: MetadataStore, entry: Registration) -> bool:
    columns = ("sermon", "title", "speaker", "date", "source", "sha256", "version")
    return store.write("registrations", entry.sermon, [{column: getattr(entry, column) for column in columns}])


def _attach(store: MetadataStore, path: Path, *, source: str) -> Intake:
    shown = printable(str(path))
    names = _names_of_recording(printable(source))
    owners = [entry for entry in registrations(store.home).values() if str(Path(entry.source).with_suffix("")) in names]
    if not owners:
        message = "no recording of that name beside it; left alone (or put it into the references folder of STT_HOME)"
        return Intake(shown, "refused", message)
    sermon = owners[0].sermon
    if path.suffix.lower() in CAPTION_SUFFIXES:
        attach_captions(store.home, sermon, path)
        return Intake(shown, "captions", f"captions of {sermon}", sermon)
    target = store.home / "sermons" / sermon / "references" / f"reference{path.suffix.lower()}"
    if not target.exists() or sha256_of(target) != sha256_of(path):
        copy_atomically(path, target)
    return Intake(shown, "reference", f"reference text of {sermon}", sermon)


def _names_of_recording(source: str) -> tuple[str, ...]:
    """Return what the recording of a companion may be called: captions carry their language (`sermon.en.vtt`)."""
    name = Path(source).with_suffix("")
    language = re.fullmatch(r"\.[a-z]{2}(-[A-Za-z]{2,8})?", name.suffix)
    return (str(name), str(name.with_suffix(""))) if language else (str(name),)


def remove_sermon(store: MetadataStore, sermon: str) -> None:
    """Remove a sermon's files, wherever below `STT_HOME` they are, and its rows from every table.

    Raises `KeyError` when there is nothing of it. Killed half-way, it can be done again.
    """
    folder = store.home / "sermons" / sermon
    if not is_sermon_key(sermon) or not (folder.is_dir() or sermon in store.parts("registrations")):
        raise KeyError(f"there is no sermon {sermon!r}; `stt query 'select sermon from sermons'` lists them")
    with one_at_a_time(store.home / "sermons" / ".intake.lock"):
        shutil.rmtree(store.home / "inbox" / "done" / sermon, ignore_errors=True)
        for suffix in REFERENCE_SUFFIXES:
            (store.home / "references" / f"{sermon}{suffix}").unlink(missing_ok=True)
        # The rows first: while the folder is there, this can be repeated.
        store.remove_sermon(sermon)
        shutil.rmtree(folder, ignore_errors=True)
