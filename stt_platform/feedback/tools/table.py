"""Tables for volunteers with a spreadsheet, both ways: CSV, which may come back with commas, semicolons or tabs."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import count
from pathlib import Path
from typing import Any

from stt_platform.feedback.answers import (
    AUDIO_FIELDS,
    OPEN,
    SPEAKER_FIELD,
    TEXT_FIELD,
    VERDICT_FIELD,
    Answer,
    Malformed,
    Origin,
    chunk_of,
    expect,
    named,
    proposal_of,
    seconds,
    shown,
    tidy,
    unreadable,
    utc_time,
    verdict_of,
)
from stt_platform.feedback.text_files import text_of
from stt_platform.feedback.tools import label_studio
from stt_platform.feedback.tools.base import ReviewTask, ReviewTool
from stt_platform.speech.references import NO_SPEECH

TEXT_COLUMNS = ("corrected", "manual_text", "correction", "transcript", TEXT_FIELD, "text")
"""Where the text may stand, the likeliest first."""

_TOOL = "table"
_COLUMNS = ("chunk_id", "sermon", "seconds", "why", "audio", "proposal", "corrected", "verdict", "speaker", "reviewer")
_REVIEWER_COLUMNS = ("reviewer", "transcriber", "annotator")
_TIME_COLUMNS = ("answered_at", "corrected_at")
_SEPARATOR_LINE = re.compile(r"sep=(.)[ \t]*(?:\r\n|\r|\n)", re.IGNORECASE)
# A spreadsheet takes a cell that begins so for a formula, or for a number that it may round.
_FORMULA = re.compile(r"'*[=+\-@]")
_NUMBER = re.compile(r"\d+(?:\.\d*)?(?:[eE][+-]?\d+)?")
_FORMULA_RESULT = re.compile(r"#(?:NAME\?|REF!|VALUE!|N/A|DIV/0!|NULL!|NUM!|ERROR!)|Err:\d+")


class Table(ReviewTool):
    """Tasks as `review.csv`, answers from any table that names chunks and has a column with a text."""

    name = _TOOL

    def write(self, tasks: Sequence[ReviewTask], folder: Path) -> dict[str, bytes | None]:
        """Return the tasks as a table. Where people have written in `review.csv`, `review-2.csv` takes what is not in it."""
        lists = sorted(folder.glob("review*.csv"))
        written_in = [path for path in lists if self._is_written_in(path)]
        taken = [path.read_bytes().decode("utf-8", "replace") for path in written_in]
        names = ("review.csv" if number == 1 else f"review-{number}.csv" for number in count(1))
        free = next(name for name in names if folder / name not in written_in)
        fresh = [task for task in tasks if not any(task.chunk_id in text for text in taken)]
        removed = {path.name: None for path in lists if path not in written_in}
        return {**removed, free: review_csv(fresh).encode("utf-8-sig") if fresh or not written_in else None}

    def parse(
        self, content: Mapping[str, Any] | str, origin: Origin, *, text_field: str | None = None
    ) -> Iterable[Answer] | None:
        """Return the answers of a table, or of an object with the names of its columns."""
        if isinstance(content, str):
            return table_answers(content, origin, text_field=text_field)
        if any(name in content for name in ((text_field,) if text_field else TEXT_COLUMNS)):
            return [row_answer(content, origin, text_field=text_field)]
        return None

    def _is_written_in(self, path: Path) -> bool:
        try:
            return any(answer.gate != OPEN for answer in table_answers(text_of(path), Origin(path.name)))
        except Malformed:
            # It may hold a person's work.
            return True


def review_csv(tasks: Iterable[ReviewTask]) -> str:
    """Write tasks as CSV (RFC 4180), in the given order.

    `corrected` holds the proposal, to be changed in place. A row counts as answered once its text is another one, or
    something stands in `verdict`: "ok" where the text is right. Write it with the encoding 'utf-8-sig' and without
    translating line ends: spreadsheets know UTF-8 by its mark.
    """
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\r\n")
    writer.writerow(_COLUMNS)
    for task in tasks:
        told = (
            task.chunk_id,
            task.sermon,
            f"{task.duration_s:.1f}",
            task.why,
            task.audio,
            task.proposal,
            task.proposal,
        )
        writer.writerow([*map(as_cell, told), "", as_cell(task.speaker), ""])
    return text.getvalue()


def as_cell(text: str) -> str:
    """Escape `text` for a spreadsheet, with an apostrophe where it would be taken for a formula or a number."""
    return f"'{text}" if _FORMULA.match(text) or (len(text) > 8 and _NUMBER.fullmatch(text)) else text


def from_cell(cell: str) -> str:
    """Return what `as_cell` made a cell of; an apostrophe that belongs to the text ('Tis) stays."""
    bare = cell.removeprefix("'")
    return bare if cell != bare and as_cell(bare) == cell else cell


def table_answers(content: str, origin: Origin, *, text_field: str | None = None) -> Iterator[Answer]:
    """Yield the rows of a table, also of one that Label Studio exported. Rows that are not filled in are `OPEN`.

    Args:
        content: the file, without a byte order mark.
        text_field: the column of the text; None for the first of `TEXT_COLUMNS` that there is.
    """
    # Excel writes, and reads, a first line that only names the delimiter.
    told = _SEPARATOR_LINE.match(content)
    skipped = told.end() if told else len(content) - len(content.lstrip("\r\n"))
    body, above = content[skipped:], len(re.findall(r"\r\n|\r|\n", content[:skipped]))
    header = re.split(r"[\r\n]", body, maxsplit=1)[0]
    delimiter = told[1] if told else max(",;\t", key=header.count)
    reader = csv.reader(io.StringIO(body, newline=""), delimiter=delimiter, strict=True)
    line = above + 1
    try:
        columns = [_column(name) for name in next(reader, [])]
        _check_columns(columns, text_field)
        line = above + reader.line_num + 1
        for cells in reader:
            # A spreadsheet may write rows of nothing but delimiters below the last one.
            if any(cell.strip() for cell in cells):
                place = Origin(origin.source, f"line {line}", origin.received_at)
                yield _row(columns, cells, place, delimiter, text_field)
            line = above + reader.line_num + 1
    except csv.Error as error:
        reason = f"the table breaks off here ({error}): nothing below is read; save it as CSV again"
        yield unreadable(Origin(origin.source, f"line {line}", origin.received_at), _TOOL, reason, body.encode())
    except Malformed as problem:
        yield unreadable(origin, _TOOL, str(problem), body.encode())


def row_answer(row: Mapping[str, Any], origin: Origin, *, text_field: str | None = None) -> Answer:
    """Read one row of a plain table, or an object of JSONL with the same names.

    Text that is the proposal, with nothing said in `verdict`, is `OPEN`: it stood there before.
    """
    try:
        cells = {name: _plain(value) for name, value in row.items()}
        chunk_id, named_by = chunk_of(cells)
        column = text_field or next((name for name in TEXT_COLUMNS if name in row), TEXT_COLUMNS[0])
        text = tidy(from_cell(expect(row.get(column) or "", str, column)))
        if _FORMULA_RESULT.fullmatch(text):
            raise Malformed(f"{column} is {shown(text)}: the spreadsheet took the text for a formula; type it again")
        proposal = proposal_of(cells)
        said = named(row.get(VERDICT_FIELD))
        verdict = "no_speech" if text.casefold() == NO_SPEECH else verdict_of(said) if said else "usable"
        if verdict is None:
            raise Malformed(f"verdict is {shown(said)}; write ok, unusable, cut off, not English or no speech")
    except Malformed as problem:
        return unreadable(origin, _TOOL, str(problem), dict(row))
    if not text and said and verdict == "usable" and proposal:
        # “ok” beside an empty cell means the text that was shown.
        text = proposal
    is_open = not said and (not text or text == proposal)
    return Answer(
        chunk_id=chunk_id,
        text=text,
        verdict=verdict,
        speaker=from_cell(named(row.get(SPEAKER_FIELD))),
        reviewer=from_cell(next((value for name in _REVIEWER_COLUMNS if (value := named(row.get(name)))), "")),
        source=origin.source,
        place=origin.place,
        tool=_TOOL,
        answered_at=next((time for name in _TIME_COLUMNS if (time := utc_time(row.get(name)))), ""),
        spent_s=seconds(row.get("spent_s")),
        proposal=proposal,
        named_by=named_by,
        received_at=origin.received_at,
        gate=OPEN if is_open else "",
        reason="not answered yet" if is_open else "",
    )


def _check_columns(columns: list[str], text_field: str | None) -> None:
    """Raise `Malformed` where no row could be an answer."""
    if label_studio.is_row(columns):
        return
    wanted = (_column(text_field),) if text_field else TEXT_COLUMNS
    there = ", ".join(name for name in columns if name) or "nothing"
    if "chunk_id" not in columns and not set(columns) & set(AUDIO_FIELDS):
        raise Malformed(f"there is no column chunk_id (there is {shown(there)}); put the header back that was there")
    if not set(columns) & set(wanted):
        raise Malformed(f"there is no column {' or '.join(wanted)} (there is {shown(there)}); add it")


def _row(columns: list[str], cells: list[str], origin: Origin, delimiter: str, text_field: str | None) -> Answer:
    if any(cell.strip() for cell in cells[len(columns) :]):
        reason = f"{len(cells)} cells for {len(columns)} columns; put a text with {delimiter!r} in quotes"
        return unreadable(origin, _TOOL, reason, cells)
    row = dict(zip(columns, cells, strict=False))
    text_field = text_field and _column(text_field)
    if label_studio.is_row(columns):
        return label_studio.row_answer(row, origin, text_field=text_field or TEXT_FIELD)
    return row_answer(row, origin, text_field=text_field)


def _column(name: str) -> str:
    return re.sub(r"[\s_]+", "_", name.strip().casefold())


def _plain(value: object) -> object:
    return from_cell(value.strip()) if isinstance(value, str) else value
