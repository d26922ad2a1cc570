"""The one place where a sermon's key is made, and what a file's name and tags tell about a sermon."""

import datetime
import os
import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

_KEY = re.compile(r"\d{4}-\d{2}-\d{2}--[a-z0-9]+(?:-[a-z0-9]+)*", re.ASCII)
_SLUG_LENGTH = 60
_DATE_IN_NAME = re.compile(r"(?<!\d)(\d{4})([-_. ]?)(\d{2})\2(\d{2})(?!\d)", re.ASCII)
_TITLE_AND_SPEAKER = re.compile(r"\s+[-–—]\s+")


@dataclass(frozen=True)
class SermonName:
    """What people call a sermon. `date` is ISO (YYYY-MM-DD); what is not known was guessed from little."""

    title: str
    speaker: str | None
    date: str
    title_is_known: bool = True
    date_is_known: bool = True


def is_sermon_key(text: str) -> bool:
    """Return whether `text` has the form of a sermon key: `YYYY-MM-DD--slug`, safe as a folder and a partition."""
    return _KEY.fullmatch(text) is not None and len(text) <= _SLUG_LENGTH + 20


def slug(text: str, fallback: str) -> str:
    """`text` in `[a-z0-9-]`, at most 60 characters; `fallback` where nothing of it is left."""
    ascii_text = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode().lower()
    words = re.sub(r"['\"]", "", ascii_text)
    return re.sub(r"[^a-z0-9]+", "-", words).strip("-")[:_SLUG_LENGTH].strip("-") or fallback


def sermon_key(name: SermonName, sha256: str, taken: frozenset[str] = frozenset()) -> str:
    """Return the canonical key of a sermon; a number is added when another recording has the same date and title."""
    stem = f"{name.date}--{slug(name.title, fallback=f'recording-{sha256[:8]}')}"
    key, number = stem, 2
    while key in taken:
        key, number = f"{stem}-{number}", number + 1
    return key


def printable(text: str) -> str:
    """`text` on one line, without control characters or bytes that are no text: what may be shown and stored."""
    readable = os.fsencode(text).decode("utf-8", "replace") if _has_surrogates(text) else text
    return " ".join("".join(c if c.isprintable() else " " for c in readable).split())


def _has_surrogates(text: str) -> bool:
    return any(0xD800 <= ord(character) <= 0xDFFF for character in text)


def parse_date(text: str) -> str | None:
    """Return the first full calendar date in `text` (2024-03-10, 20240310, 2024_03_10) as ISO, or None."""
    for match in _DATE_IN_NAME.finditer(text):
        try:
            return datetime.date(int(match[1]), int(match[3]), int(match[4])).isoformat()
        except ValueError:
            continue
    return None


def guess_name(
    path: Path,
    tags: Mapping[str, str],
    *,
    title: str | None = None,
    speaker: str | None = None,
    date: str | None = None,
) -> SermonName:
    """Return what was said on the command line, else the file's tags, else its name, else (date) when it was last changed.

    A name such as `2024-03-10 The Lamp and the Oil - Ann Preacher.mp3` gives all three.
    """
    stem = printable(path.stem)
    without_date = _DATE_IN_NAME.sub(" ", stem).strip(" -_–—.")
    parts = _TITLE_AND_SPEAKER.split(without_date, maxsplit=1)
    name_title = parts[0].replace("_", " ").strip(" -")
    name_speaker = parts[1].replace("_", " ").strip(" -") if len(parts) == 2 else None
    lower_tags = {tag.lower(): printable(value) for tag, value in tags.items()}
    found_date = (
        date
        or parse_date(stem)
        or parse_date(lower_tags.get("date", ""))
        or parse_date(lower_tags.get("creation_time", ""))
    )
    last_changed = datetime.datetime.fromtimestamp(path.stat().st_mtime, tz=datetime.UTC).date().isoformat()
    return SermonName(
        title=printable(title or lower_tags.get("title") or name_title or stem)[:200],
        speaker=printable(speaker or lower_tags.get("artist") or name_speaker or "")[:200] or None,
        date=found_date or last_changed,
        title_is_known=bool(title or lower_tags.get("title")),
        date_is_known=found_date is not None,
    )
