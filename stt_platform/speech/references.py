"""Reference texts: what was really said, written down by a person from scratch or taken from a known script."""

import csv
import io
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_MAX_BYTES = 50_000_000


class UnreadableReferences(ValueError):
    """A file of references that cannot be read: names the file, the place and the remedy."""


@dataclass(frozen=True)
class Reference:
    """A text for one chunk, or for a whole sermon where `chunk_id` is None. `line` counts from 1."""

    text: str
    sermon: str | None
    chunk_id: str | None
    transcriber: str | None
    line: int


def read_references(path: Path) -> list[Reference]:
    """The references in a file: `.txt` (one text, for a whole sermon), `.jsonl` or `.csv`.

    Rows have `text` (or the seed's `manual_text`), and `chunk_id`, `sermon`, `transcriber` where known. Rows whose
    text is empty have not been transcribed yet and are left out. Raises `UnreadableReferences`.
    """
    if path.stat().st_size > _MAX_BYTES:
        raise UnreadableReferences(f"{path.name}: over {_MAX_BYTES // 1_000_000} MB is no list of references")
    try:
        content = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise UnreadableReferences(f"{path.name}: not UTF-8 at byte {error.start}; save it as UTF-8") from error
    if path.suffix.lower() == ".txt":
        text = " ".join(content.split())
        return [Reference(text, None, None, None, 1)] if text else []
    rows = _csv_rows(path, content) if path.suffix.lower() == ".csv" else _jsonl_rows(path, content)
    return [reference for line, row in rows if (reference := _reference(path, line, row))]


def _reference(path: Path, line: int, row: Mapping[str, Any]) -> Reference | None:
    if "text" not in row and "manual_text" not in row:
        raise UnreadableReferences(f"{path.name}, line {line}: no text or manual_text; add that column")
    values = {name: row.get(name) for name in ("text", "manual_text", "sermon", "chunk_id", "transcriber")}
    wrong = [name for name, value in values.items() if value is not None and not isinstance(value, str)]
    if wrong:
        raise UnreadableReferences(f"{path.name}, line {line}: {wrong[0]} = {values[wrong[0]]!r} is not a text")
    text = " ".join((values["text"] or values["manual_text"] or "").split())
    if not text:
        return None
    return Reference(text, values["sermon"] or None, values["chunk_id"] or None, values["transcriber"] or None, line)


def _csv_rows(path: Path, content: str) -> Iterator[tuple[int, Mapping[str, Any]]]:
    reader = csv.DictReader(io.StringIO(content, newline=""), strict=True)
    try:
        for row in reader:
            if None in row:
                raise UnreadableReferences(
                    f"{path.name}, line {reader.line_num}: more cells than columns; put texts with commas in quotes"
                )
            yield reader.line_num, row
    except csv.Error as error:
        raise UnreadableReferences(f"{path.name}, line {reader.line_num}: {error}; save it as CSV again") from error


def _jsonl_rows(path: Path, content: str) -> Iterator[tuple[int, Mapping[str, Any]]]:
    for line, text in enumerate(content.splitlines(), start=1):
        if not text.strip():
            continue
        try:
            row = json.loads(text)
        except json.JSONDecodeError as error:
            raise UnreadableReferences(f"{path.name}, line {line}: not JSON ({error.msg})") from error
        if not isinstance(row, dict):
            raise UnreadableReferences(f"{path.name}, line {line}: not a JSON object")
        yield line, row
