"""Reading an export of any tool. What a file is, its content says: people rename files, and tools call all of them .json."""

from __future__ import annotations

import json
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from stt_platform.feedback import label_studio, prodigy, table
from stt_platform.feedback.answers import OPEN, TEXT_FIELD, UNREADABLE, Answer, Malformed, Origin, shown, unreadable

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


@dataclass(frozen=True)
class Export:
    """What a file of answers holds.

    Attributes:
        answers: answers and items that are none (`Answer.gate`), in the order of the file. A file that cannot be read
            has one, and it is `UNREADABLE`.
        unanswered: tasks that nobody has answered yet.
    """

    source: str
    answers: tuple[Answer, ...]
    unanswered: int

    @property
    def unreadable(self) -> tuple[Answer, ...]:
        """The items that could not be read, each with its place and reason."""
        return tuple(answer for answer in self.answers if answer.gate == UNREADABLE)


def read_answers(path: Path, *, text_field: str | None = None, received_at: str = "") -> Export:
    """Read an export: Label Studio's JSON, JSON_MIN or CSV, Prodigy's JSONL, or a table; in UTF-8. Never raises.

    Args:
        text_field: name of the field or column that holds the text, where it is not the usual one of its tool.
        received_at: when the file arrived (UTC, `utc_time`): the time of answers that tell none. Give what was noted
            when it arrived first, so that reading it again gives the same.
    """
    origin = Origin(file_name(path), "", received_at)
    try:
        content = text_of(path)
    except Malformed as problem:
        return _export(origin, [unreadable(origin, "table", str(problem), origin.source)])
    return _export(origin, _answers(content, origin, text_field))


def item_answers(item: object, origin: Origin, *, text_field: str | None = None) -> list[Answer]:
    """The answers in one JSON value of an export, of whichever tool; a server's reply may be given as well."""
    try:
        return _item_answers(item, origin, text_field)
    except RecursionError:
        return [unreadable(origin, "table", "it is nested too deeply to be an answer", b"nested too deeply")]


def _item_answers(item: object, origin: Origin, text_field: str | None) -> list[Answer]:
    if not isinstance(item, dict):
        return [unreadable(origin, "table", f"{shown(item)} is no task and no answer; an object was expected", item)]
    if label_studio.is_task(item):
        return list(label_studio.task_answers(item, origin, text_field=text_field or TEXT_FIELD))
    if label_studio.is_row(item):
        return [label_studio.row_answer(item, origin, text_field=text_field or TEXT_FIELD)]
    if prodigy.is_example(item):
        return [prodigy.example_answer(item, origin, text_field=text_field)]
    if any(name in item for name in ((text_field,) if text_field else table.TEXT_COLUMNS)):
        return [table.row_answer(item, origin, text_field=text_field)]
    there = ", ".join(sorted(item)) or "nothing"
    reason = f"neither a task with annotations nor a row with a text (it has {shown(there)}); export it again"
    return [unreadable(origin, "table", reason, item)]


def file_name(path: Path) -> str:
    """The name of a file as text; bytes that are none are shown as “?”."""
    return path.name.encode("utf-8", "replace").decode()


def text_of(path: Path) -> str:
    """The text of a file that somebody put there: UTF-8, without the mark.

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


def _answers(content: str, origin: Origin, text_field: str | None) -> Iterable[Answer]:
    if content.lstrip()[:1] not in ("{", "["):
        return table.table_answers(content, origin, text_field=text_field)
    if (lines := _json_lines(content)) is not None:
        return _of_lines(lines, origin, text_field)
    try:
        whole = json_value(content)
    except Malformed as problem:
        reason = f"{problem}; it may have been cut off: export it again"
        return [unreadable(origin, "label_studio", reason, content.encode())]
    return _of_items(whole if isinstance(whole, list) else [whole], origin, text_field)


def _json_lines(content: str) -> list[str] | None:
    """The lines of JSONL; None where the content is one JSON value over many lines."""
    if not content.lstrip().startswith("{"):
        return None
    # Not `splitlines`: a text may hold the separators of Unicode.
    lines = content.split("\n")
    beginning = list(islice((line for line in lines if line.strip()), 2))
    # One of the two may be broken; of an object that is written over many lines, none is whole.
    return lines if any(_is_whole(line) for line in beginning) else None


def _is_whole(line: str) -> bool:
    try:
        return isinstance(json_value(line), dict)
    except Malformed:
        return False


def _of_lines(lines: list[str], origin: Origin, text_field: str | None) -> Iterator[Answer]:
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        place = Origin(origin.source, f"line {number}", origin.received_at)
        try:
            item = json_value(line)
        except Malformed as problem:
            yield unreadable(place, "prodigy", str(problem), line.encode())
            continue
        yield from item_answers(item, place, text_field=text_field)


def _of_items(items: list[Any], origin: Origin, text_field: str | None) -> Iterator[Answer]:
    for number, item in enumerate(items, start=1):
        yield from item_answers(
            item, Origin(origin.source, f"item {number}", origin.received_at), text_field=text_field
        )


def json_value(text: str) -> Any:
    """The value that JSON stands for. Raises `Malformed` with line and column."""
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise Malformed(f"broken JSON in line {error.lineno}, column {error.colno} ({error.msg})") from error
    except (RecursionError, ValueError) as error:
        raise Malformed(f"JSON that nothing can be made of ({str(error)[:80]})") from error


def _export(origin: Origin, answers: Iterable[Answer]) -> Export:
    listed = list(answers)
    answered = tuple(answer for answer in listed if answer.gate != OPEN)
    return Export(origin.source, answered, len(listed) - len(answered))
