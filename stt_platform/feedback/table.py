"""Answers in a table, from a volunteer with a spreadsheet: CSV with commas, semicolons or tabs."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator, Mapping
from typing import Any

from stt_platform.feedback import label_studio
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
from stt_platform.speech.references import NO_SPEECH

TEXT_COLUMNS = ("corrected", "manual_text", "correction", "transcript", TEXT_FIELD, "text")
"""Where the text may stand, the likeliest first."""

_TOOL = "table"
_REVIEWER_COLUMNS = ("reviewer", "transcriber", "annotator")
_TIME_COLUMNS = ("answered_at", "corrected_at")
_SEPARATOR_LINE = re.compile(r"sep=(.)[ \t]*(?:\r\n|\r|\n)", re.IGNORECASE)
# A spreadsheet takes a cell that begins so for a formula, or for a number that it may round.
_FORMULA = re.compile(r"'*[=+\-@]")
_NUMBER = re.compile(r"\d+(?:\.\d*)?(?:[eE][+-]?\d+)?")
_FORMULA_RESULT = re.compile(r"#(?:NAME\?|REF!|VALUE!|N/A|DIV/0!|NULL!|NUM!|ERROR!)|Err:\d+")


def as_cell(text: str) -> str:
    """`text` for a spreadsheet, with an apostrophe where it would be taken for a formula or a number."""
    return f"'{text}" if _FORMULA.match(text) or (len(text) > 8 and _NUMBER.fullmatch(text)) else text


def from_cell(cell: str) -> str:
    """What `as_cell` made a cell of; an apostrophe that belongs to the text ('Tis) stays."""
    bare = cell.removeprefix("'")
    return bare if cell != bare and as_cell(bare) == cell else cell


def table_answers(content: str, origin: Origin, *, text_field: str | None = None) -> Iterator[Answer]:
    """The rows of a table, also of one that Label Studio exported. Rows that are not filled in are `OPEN`.

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
    """One row of a plain table, or an object of JSONL with the same names.

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
    """Raises `Malformed` where no row could be an answer."""
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
