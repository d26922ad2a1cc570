"""Which chunks a person writes down from scratch, the list that is handed out, and the list that comes back.

The list holds no automatic text: who corrects a text keeps its errors, and the measured rate is too low.
"""

from __future__ import annotations

import csv
import io
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Literal

import numpy as np

from stt_platform.glossary.hints import drawn

# What a transcriber writes where nobody speaks; an empty cell is still to be done.
NO_SPEECH = "[no speech]"

_NEEDED = ("chunk_id", "manual_text")
_FORMULA = ("=", "+", "-", "@")


class BadAssessment(ValueError):
    """A list of transcripts that cannot be read: names the file, the line, the value and the remedy."""


@dataclass(frozen=True)
class ChunkToAssess:
    """A chunk that may be drawn. `snr_db` is None where it was not measured; `audio` is what to listen to."""

    chunk_id: str
    sermon: str
    speaker: str | None
    snr_db: float | None
    duration_s: float
    audio: str = ""


@dataclass(frozen=True)
class Transcribed:
    """A row that came back.

    Attributes:
        text: what was said, white space made single; empty unless `status` is 'transcribed'.
        status: 'transcribed'; 'no speech'; 'pending' (not done yet); 'rejected'.
        reason: why it was rejected, else empty.
        line: where the row begins in the file, from 1.
    """

    chunk_id: str
    text: str
    status: Literal["transcribed", "no speech", "pending", "rejected"]
    reason: str
    line: int


def choose_sample(chunks: Iterable[ChunkToAssess], *, size: int = 100, seed: int) -> list[ChunkToAssess]:
    """Draw chunks by sermon, level of noise (tertiles of the SNR) and speaker; the same for any order of `chunks`.

    Seats are dealt one by one. Every sermon comes first to what it is due: one chunk of each of its strata where
    there are seats for all strata, else one chunk. The rest goes by size (Sainte-Laguë), over sermons first, for it
    is their number that makes an interval narrow. Within a sermon the stratum is the one that has none yet, then
    the one whose noise and speaker are furthest below their share of the whole sample.

    Args:
        size: how many; 50 to 100 are usual. All chunks where there are no more.

    Returns:
        Sorted by sermon and chunk.

    Raises:
        ValueError: `size` is less than 1, or a chunk comes twice.
    """
    if size < 1:
        raise ValueError(f"size {size}: draw at least 1 chunk")
    everyone = sorted(chunks, key=lambda chunk: (drawn(seed, chunk.chunk_id), chunk.chunk_id))
    if twice := [chunk_id for chunk_id, times in Counter(chunk.chunk_id for chunk in everyone).items() if times > 1]:
        raise ValueError(f"chunk {min(twice)!r} comes twice: give each chunk once")
    levels = noise_levels(everyone)
    # From a sermon to its strata, and from a stratum to its chunks in the order in which they are drawn.
    waiting: dict[str, dict[tuple[str, str], list[ChunkToAssess]]] = {}
    for chunk in everyone:
        waiting.setdefault(chunk.sermon, {}).setdefault((levels[chunk.chunk_id], chunk.speaker or ""), []).append(chunk)
    all_strata = sum(len(strata) for strata in waiting.values())
    due = {sermon: len(strata) if all_strata <= size else 1 for sermon, strata in waiting.items()}
    of_sermon = Counter(chunk.sermon for chunk in everyone)
    of_group = Counter((levels[chunk.chunk_id], chunk.speaker or "") for chunk in everyone)
    chosen: list[ChunkToAssess] = []
    by_sermon: Counter[str] = Counter()
    by_group: Counter[tuple[str, str]] = Counter()
    by_stratum: Counter[tuple[str, tuple[str, str]]] = Counter()

    def sermon_claim(sermon: str) -> tuple:
        first = by_sermon[sermon] < due[sermon]
        share = _claim(of_sermon[sermon], by_sermon[sermon])
        # With fewer seats than sermons, a long one is no likelier than a short one.
        return first, not by_sermon[sermon], 0.0 if first else share, drawn(seed, sermon), sermon

    while len(chosen) < min(size, len(everyone)):
        sermon = max((name for name, strata in waiting.items() if any(strata.values())), key=sermon_claim)
        group = max(
            (name for name, left in waiting[sermon].items() if left),
            key=lambda name: (not by_stratum[sermon, name], _claim(of_group[name], by_group[name]), name),
        )
        chosen.append(waiting[sermon][group].pop())
        by_sermon[sermon] += 1
        by_group[group] += 1
        by_stratum[sermon, group] += 1
    return sorted(chosen, key=lambda chunk: (chunk.sermon, chunk.chunk_id))


def noise_levels(chunks: Iterable[ChunkToAssess]) -> dict[str, str]:
    """The level of every chunk: 'noisy', 'middle' or 'clean' by the tertiles of all SNRs, 'unknown' without one."""
    listed = list(chunks)
    measured = [chunk.snr_db for chunk in listed if chunk.snr_db is not None]
    if not measured:
        return {chunk.chunk_id: "unknown" for chunk in listed}
    lower, upper = np.quantile(measured, [1 / 3, 2 / 3])

    def level(snr_db: float | None) -> str:
        if snr_db is None:
            return "unknown"
        return "noisy" if snr_db <= lower else "middle" if snr_db <= upper else "clean"

    return {chunk.chunk_id: level(chunk.snr_db) for chunk in listed}


def sample_jsonl(chunks: Sequence[ChunkToAssess]) -> str:
    """The list to hand out, one JSON object a line, each with an empty `manual_text`."""
    return "".join(f"{json.dumps({**asdict(chunk), 'manual_text': ''}, ensure_ascii=False)}\n" for chunk in chunks)


def sample_csv(chunks: Sequence[ChunkToAssess]) -> str:
    """The list to hand out as CSV (RFC 4180) with an empty column `manual_text`.

    Write it with the encoding 'utf-8-sig' and without translating line ends: spreadsheets know UTF-8 by its mark.
    A text that a spreadsheet would take for a formula gets an apostrophe in front.
    """
    text = io.StringIO(newline="")
    columns = [*(column.name for column in fields(ChunkToAssess)), "manual_text"]
    writer = csv.DictWriter(text, columns, lineterminator="\r\n")
    writer.writeheader()
    for chunk in chunks:
        writer.writerow({name: _harmless(value) for name, value in asdict(chunk).items()} | {"manual_text": ""})
    return text.getvalue()


def read_transcripts(path: Path, known: Iterable[str]) -> list[Transcribed]:
    """Read a list that came back, `.jsonl` or `.csv`, with or without a byte order mark.

    Cells may be separated by commas, or by semicolons or tabs as spreadsheets do where the comma is a decimal
    sign. Only `chunk_id` and `manual_text` are read. Rows are marked, never dropped: 'rejected' are a chunk that
    is not in the sample, and a chunk that was transcribed before.

    Args:
        known: the chunks of the sample.

    Raises:
        BadAssessment: naming file, line and remedy.
    """
    try:
        content = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise BadAssessment(f"{path.name}: not UTF-8 at byte {error.start}; save it as “CSV UTF-8”") from error
    readers = {".jsonl": _jsonl_rows, ".csv": _csv_rows}
    if path.suffix.lower() not in readers:
        raise BadAssessment(f"{path.name}: {path.suffix!r} is no kind of list; save it as .jsonl or .csv")
    allowed = set(known)
    done: dict[str, int] = {}
    return [_transcribed(row, line, allowed, done) for line, row in readers[path.suffix.lower()](path.name, content)]


def _claim(items: int, seats: int) -> float:
    return items / (2 * seats + 1)


def _harmless(value: object) -> object:
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value


def _transcribed(row: Mapping[str, str], line: int, known: set[str], done: dict[str, int]) -> Transcribed:
    chunk_id = row["chunk_id"].strip()
    if chunk_id not in known:
        chunk_id = chunk_id.removeprefix("'")
    text = " ".join(row["manual_text"].split())
    if chunk_id not in known:
        reason = f"chunk {chunk_id[:60]!r} is not in the sample; copy its chunk_id from the list that was handed out"
        return Transcribed(chunk_id, "", "rejected", reason, line)
    if not text:
        return Transcribed(chunk_id, "", "pending", "", line)
    if (before := done.setdefault(chunk_id, line)) != line:
        reason = f"chunk {chunk_id!r} was transcribed on line {before} already; keep one of the two"
        return Transcribed(chunk_id, "", "rejected", reason, line)
    if text.casefold() == NO_SPEECH:
        return Transcribed(chunk_id, "", "no speech", "", line)
    return Transcribed(chunk_id, text, "transcribed", "", line)


def _csv_rows(file: str, content: str) -> Iterator[tuple[int, Mapping[str, str]]]:
    header = content.split("\n", 1)[0]
    delimiter = max(",;\t", key=header.count)
    reader = csv.DictReader(io.StringIO(content, newline=""), delimiter=delimiter, strict=True)
    begins = 2
    try:
        names = [(name or "").strip().casefold() for name in reader.fieldnames or ()]
        if missing := [name for name in _NEEDED if name not in names]:
            raise BadAssessment(f"{file}, line 1: there is no column {missing[0]}; put the header back that was there")
        reader.fieldnames = names
        for row in reader:
            if None in row:
                raise BadAssessment(
                    f"{file}, line {begins}: more cells than columns; put a text with {delimiter!r} in quotes"
                )
            cells = {name: row[name] or "" for name in _NEEDED}
            if any(value for value in row.values()):
                yield begins, cells
            begins = reader.line_num + 1
    except csv.Error as error:
        raise BadAssessment(f"{file}, line {begins}: {error}; save it as CSV again") from error


def _jsonl_rows(file: str, content: str) -> Iterator[tuple[int, Mapping[str, str]]]:
    # Not splitlines: a text may hold the separators of Unicode.
    for line, text in enumerate(content.split("\n"), start=1):
        if not text.strip():
            continue
        where = f"{file}, line {line}"
        try:
            row: Any = json.loads(text)
        except json.JSONDecodeError as error:
            raise BadAssessment(f"{where}: not JSON ({error.msg}); one object a line was handed out") from error
        if not isinstance(row, dict):
            raise BadAssessment(f"{where}: {text.strip()[:40]!r} is not an object with chunk_id and manual_text")
        # Without a manual_text, or with null, a row is still to be done.
        cells = {"chunk_id": row.get("chunk_id"), "manual_text": row.get("manual_text") or ""}
        for name, value in cells.items():
            if not isinstance(value, str):
                raise BadAssessment(f"{where}: {name} is {value!r}; a text was expected")
        yield line, cells
