"""Reference texts: what was really said, written down by a person from scratch or taken from a known script.

One reader for all that people give back, whatever program they wrote it with.
"""

import csv
import io
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

NO_SPEECH = "[no speech]"
"""What a transcriber writes where nobody speaks; an empty cell is still to be done."""

LIST_SUFFIXES = frozenset([".jsonl", ".csv"])

_MAX_BYTES = 50_000_000
_COLUMNS = ("text", "manual_text", "sermon", "chunk_id", "transcriber")


class UnreadableReferences(ValueError):
    """A file of references that cannot be read: names the file, the place and the remedy."""


@dataclass(frozen=True)
class Reference:
    """A text for one chunk, or for a whole sermon where `chunk_id` is None.

    Attributes:
        text: white space made single; empty where somebody listened and nobody speaks.
        line: where its row begins in the file, from 1.
    """

    text: str
    sermon: str | None
    chunk_id: str | None
    transcriber: str | None
    line: int


def read_references(path: Path) -> list[Reference]:
    """The references in a file: `.txt` (one text, for a whole sermon), `.jsonl` or `.csv`, in UTF-8 with or without a mark.

    Rows have `manual_text` (the seed's name) or `text`, and `chunk_id`, `sermon`, `transcriber` where known. Where there
    is a `manual_text`, it alone counts: what stands beside it may be what a recogniser wrote. Rows whose text is empty
    have not been transcribed yet and are left out; "[no speech]" is a text. Cells may be separated by commas, or by
    semicolons or tabs as spreadsheets do where the comma is a decimal sign.

    Raises:
        UnreadableReferences: nothing of the file is used, for rows after a misplaced quote may belong to other chunks.
    """
    kind = path.suffix.lower()
    if kind != ".txt" and kind not in LIST_SUFFIXES:
        raise UnreadableReferences(f"{path.name}: {kind!r} is no list of texts; save it as “CSV UTF-8” or as .jsonl")
    if path.stat().st_size > _MAX_BYTES:
        raise UnreadableReferences(f"{path.name}: over {_MAX_BYTES // 1_000_000} MB is no list of references")
    try:
        # Not `read_text`: it would change the line ends within a cell.
        content = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UnreadableReferences(
            f"{path.name}: not UTF-8 at byte {error.start}; save it as UTF-8 (“CSV UTF-8” in a spreadsheet)"
        ) from error
    if kind == ".txt":
        text = " ".join(content.split())
        return [Reference(text, None, None, None, 1)] if text else []
    rows = _csv_rows(path, content) if kind == ".csv" else _jsonl_rows(path, content)
    return [reference for line, row in rows if (reference := _reference(path, line, row))]


def _reference(path: Path, line: int, row: Mapping[str, Any]) -> Reference | None:
    if "text" not in row and "manual_text" not in row:
        raise UnreadableReferences(f"{path.name}, line {line}: no text or manual_text; add that column")
    values = {name: row.get(name) for name in _COLUMNS}
    wrong = [name for name, value in values.items() if value is not None and not isinstance(value, str)]
    if wrong:
        raise UnreadableReferences(f"{path.name}, line {line}: {wrong[0]} = {values[wrong[0]]!r} is not a text")
    text = " ".join((values["manual_text" if "manual_text" in row else "text"] or "").split())
    if not text:
        return None
    return Reference(
        "" if text.casefold() == NO_SPEECH else text,
        _name(values["sermon"]),
        _name(values["chunk_id"]),
        _name(values["transcriber"]),
        line,
    )


def _name(value: str | None) -> str | None:
    # An apostrophe in front keeps spreadsheets from taking a cell for a formula; some leave it there.
    return (value or "").strip().removeprefix("'") or None


def _csv_rows(path: Path, content: str) -> Iterator[tuple[int, Mapping[str, Any]]]:
    header = content.split("\n", 1)[0]
    delimiter = max(",;\t", key=header.count)
    reader = csv.DictReader(io.StringIO(content, newline=""), delimiter=delimiter, strict=True)
    begins = 2
    try:
        reader.fieldnames = [(name or "").strip().casefold() for name in reader.fieldnames or ()]
        for row in reader:
            if None in row:
                raise UnreadableReferences(
                    f"{path.name}, line {begins}: more cells than columns; put texts with {delimiter!r} in quotes"
                )
            # A spreadsheet may write rows of nothing but delimiters below the last one.
            if any(row.values()):
                yield begins, row
            begins = reader.line_num + 1
    except csv.Error as error:
        raise UnreadableReferences(f"{path.name}, line {begins}: {error}; save it as CSV again") from error


def _jsonl_rows(path: Path, content: str) -> Iterator[tuple[int, Mapping[str, Any]]]:
    # Not `splitlines`: a text may hold the separators of Unicode.
    for line, text in enumerate(content.split("\n"), start=1):
        if not text.strip():
            continue
        try:
            row = json.loads(text)
        except json.JSONDecodeError as error:
            raise UnreadableReferences(f"{path.name}, line {line}: not JSON ({error.msg})") from error
        if not isinstance(row, dict):
            raise UnreadableReferences(f"{path.name}, line {line}: not a JSON object")
        yield line, row
