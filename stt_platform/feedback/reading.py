"""Read an export of any tool. Its content says what a file is: people rename files, and tools name all of them .json."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from stt_platform.feedback.answers import OPEN, UNREADABLE, Answer, Malformed, Origin, shown, unreadable
from stt_platform.feedback.text_files import file_name, json_value, text_of
from stt_platform.feedback.tools import TOOLS
from stt_platform.feedback.tools.label_studio import LabelStudio
from stt_platform.feedback.tools.prodigy import Prodigy
from stt_platform.feedback.tools.table import Table


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
        """Return the items that could not be read, each with its place and reason."""
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
        return _export(origin, [unreadable(origin, Table.name, str(problem), origin.source)])
    return _export(origin, _answers(content, origin, text_field))


def item_answers(item: object, origin: Origin, *, text_field: str | None = None) -> list[Answer]:
    """Return the answers in one JSON value of an export, of whichever tool; a server's reply may be given as well."""
    try:
        return _item_answers(item, origin, text_field)
    except RecursionError:
        return [unreadable(origin, Table.name, "it is nested too deeply to be an answer", b"nested too deeply")]


def _item_answers(item: object, origin: Origin, text_field: str | None) -> list[Answer]:
    if not isinstance(item, dict):
        return [unreadable(origin, Table.name, f"{shown(item)} is no task and no answer; an object was expected", item)]
    for tool in TOOLS:
        if (found := tool.parse(item, origin, text_field=text_field)) is not None:
            return list(found)
    there = ", ".join(sorted(item)) or "nothing"
    reason = f"neither a task with annotations nor a row with a text (it has {shown(there)}); export it again"
    return [unreadable(origin, Table.name, reason, item)]


def _answers(content: str, origin: Origin, text_field: str | None) -> Iterable[Answer]:
    if content.lstrip()[:1] not in ("{", "["):
        return next(
            found for tool in TOOLS if (found := tool.parse(content, origin, text_field=text_field)) is not None
        )
    if (lines := _json_lines(content)) is not None:
        return _of_lines(lines, origin, text_field)
    try:
        whole = json_value(content)
    except Malformed as problem:
        reason = f"{problem}; it may have been cut off: export it again"
        return [unreadable(origin, LabelStudio.name, reason, content.encode())]
    return _of_items(whole if isinstance(whole, list) else [whole], origin, text_field)


def _json_lines(content: str) -> list[str] | None:
    """Return the lines of JSONL; None where the content is one JSON value over many lines."""
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
            yield unreadable(place, Prodigy.name, str(problem), line.encode())
            continue
        yield from item_answers(item, place, text_field=text_field)


def _of_items(items: list[Any], origin: Origin, text_field: str | None) -> Iterator[Answer]:
    for number, item in enumerate(items, start=1):
        yield from item_answers(
            item, Origin(origin.source, f"item {number}", origin.received_at), text_field=text_field
        )


def _export(origin: Origin, answers: Iterable[Answer]) -> Export:
    listed = list(answers)
    answered = tuple(answer for answer in listed if answer.gate != OPEN)
    return Export(origin.source, answered, len(listed) - len(answered))
