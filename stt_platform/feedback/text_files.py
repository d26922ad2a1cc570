"""Read text files that people put somewhere: UTF-8, or what they are instead, and what to do about that."""

from __future__ import annotations

import json
import stat
from pathlib import Path
from typing import Any

from stt_platform.feedback.answers import Malformed

MAX_BYTES = 200_000_000

# What a file begins with that is no text, and what to do with it.
_NO_TEXT = (
    (b"PK\x03\x04", "a spreadsheet's own format or a ZIP archive; save it as “CSV UTF-8”, or unpack it"),
    (b"\xd0\xcf\x11\xe0", "an old spreadsheet; save it as “CSV UTF-8”"),
    (b"\x1f\x8b", "compressed; unpack it"),
    (b"SQLite format 3\x00", "a database; export from it (Prodigy: db-out)"),
    (b"\xff\xfe", "UTF-16; save it as UTF-8 (“CSV UTF-8” in a spreadsheet)"),
    (b"\xfe\xff", "UTF-16; save it as UTF-8 (“CSV UTF-8” in a spreadsheet)"),
)


def file_name(path: Path) -> str:
    """Return the name of a file as text; bytes that are none are shown as “?”."""
    return path.name.encode("utf-8", "replace").decode()


def text_of(path: Path) -> str:
    """Read a file that somebody put there: UTF-8, without the mark.

    Raises:
        Malformed: with the value and the remedy, for anything else.
    """
    try:
        found = path.stat()
        if not stat.S_ISREG(found.st_mode):
            raise Malformed("it is no file; put a file here")
        if found.st_size >= MAX_BYTES:
            size = f"{found.st_size / 1e6:.0f} MB"
            raise Malformed(f"it has {size}, less than {MAX_BYTES // 1_000_000} MB can be read: export what is new")
        raw = path.read_bytes()
    except OSError as error:
        raise Malformed(f"it cannot be opened ({error.strerror}); put it there again") from error
    for begins, what in _NO_TEXT:
        if raw.startswith(begins):
            raise Malformed(f"it is {what}")
    return _decoded(raw)


def json_value(text: str) -> Any:
    """Parse JSON. Raises `Malformed` with line and column."""
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise Malformed(f"broken JSON in line {error.lineno}, column {error.colno} ({error.msg})") from error
    except (RecursionError, ValueError) as error:
        raise Malformed(f"JSON that nothing can be made of ({str(error)[:80]})") from error


def _decoded(raw: bytes) -> str:
    try:
        content = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise Malformed(
            f"it is not UTF-8 at byte {error.start} (0x{raw[error.start]:02x}, line {line}); "
            "save it as UTF-8 (“CSV UTF-8” in a spreadsheet)"
        ) from error
    if "\0" in content:
        raise Malformed(
            "it holds zero bytes, as UTF-16 and programs do; save it as UTF-8 (“CSV UTF-8” in a spreadsheet)"
        )
    if content.lstrip()[:1] == "<":
        raise Malformed("it is a web page and no export; sign in, and export again")
    if not content.strip():
        raise Malformed("it is empty; export it again")
    return content
