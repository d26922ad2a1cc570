"""The lists that a person reads and edits in a spreadsheet: what a channel holds, and what to take of it."""

import csv
import datetime
import io
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from stt_platform.errors import PlatformError
from stt_platform.machine.files import write_atomically
from stt_platform.store.names import parse_date, printable
from stt_platform.web.proposal import Choice
from stt_platform.web.titles import kind_of
from stt_platform.web.videos import Video, is_video_key, video_key

_VIDEO_COLUMNS = ("date", "minutes", "title", "url", "id", "date_is_exact", "live_status", "problem")
_CHOICE_COLUMNS = ("take", "date", "minutes", "kind", "speaker", "title", "reason", "url", "id")
_YES = frozenset(["yes", "y", "true", "1", "x", "take", "sí", "si"])
_NO = frozenset(["no", "n", "false", "0", ""])
_MAX_BYTES = 20_000_000
# A spreadsheet takes a cell that begins so for a formula, and titles are written by others.
_FORMULA = re.compile(r"'*[=+\-@]")


class BadTable(PlatformError):
    """A list that cannot be read: names the file, the line, the value and the remedy."""


def write_videos(path: Path, videos: Iterable[Video]) -> None:
    """Write a listing as CSV."""
    rows = [
        {
            **_shared(video),
            "date_is_exact": "yes" if video.date_is_exact else "no",
            "live_status": video.live_status or "",
            "problem": video.problem or "",
        }
        for video in videos
    ]
    _write(path, _VIDEO_COLUMNS, rows)


def read_videos(path: Path) -> list[Video]:
    """Read a listing that `write_videos` wrote. Raises `BadTable`; `FileNotFoundError`."""
    return [
        _video(
            path,
            line,
            row,
            date_is_exact=row.get("date_is_exact") != "no",
            live_status=row.get("live_status") or None,
            problem=row.get("problem") or None,
        )
        for line, row in _read(path, ("url",))
    ]


def write_choices(path: Path, choices: Iterable[Choice]) -> None:
    """Write a sample as CSV, with `take` yes or no in front."""
    rows = [
        {
            **_shared(choice.video),
            "take": "yes" if choice.take else "no",
            "kind": choice.kind,
            "speaker": choice.speaker or "",
            "reason": choice.reason,
        }
        for choice in choices
    ]
    _write(path, _CHOICE_COLUMNS, rows)


def read_choices(path: Path) -> list[Choice]:
    """Read a sample as a person left it: `take` and `url` are needed, every other cell may be empty or missing.

    Raises `BadTable`; `FileNotFoundError`.
    """
    choices: dict[str, Choice] = {}
    for line, row in _read(path, ("take", "url")):
        answer = row["take"].casefold()
        if answer not in _YES | _NO:
            raise BadTable(f"{path}, line {line}: take = {row['take'][:40]!r}; write yes or no")
        video = _video(path, line, row)
        if video.id in choices:
            raise BadTable(f"{path}, line {line}: {video.url} is there already; remove one of the two lines")
        kind = row.get("kind")
        choices[video.id] = Choice(
            video,
            take=answer in _YES,
            reason=row.get("reason") or "your choice",
            kind=kind if kind in ("sermon", "songs", "questions") else kind_of(video.title),
            speaker=row.get("speaker") or None,
        )
    return list(choices.values())


def _shared(video: Video) -> dict[str, str]:
    return {
        "date": video.date.isoformat() if video.date else "",
        "minutes": "" if video.duration_s is None else f"{video.duration_s / 60:.2f}",
        "title": video.title,
        "url": video.url,
        "id": video.id,
    }


def _video(path: Path, line: int, row: Mapping[str, str], **more: Any) -> Video:
    url = row["url"]
    # A spreadsheet may have written the date its own way; the exact one comes with the download.
    date = parse_date(row.get("date", ""))
    written = row.get("minutes", "").replace(",", ".")
    try:
        minutes = float(written) if written else None
        if minutes is not None and not 0 < minutes < 1e5:
            raise ValueError
    except ValueError as error:
        raise BadTable(f"{path}, line {line}: minutes = {written[:40]!r} is no length; leave it empty") from error
    site_id = row.get("id", "")
    try:
        return Video(
            id=site_id if is_video_key(site_id) else video_key("", url),
            url=url,
            title=row.get("title") or url,
            date=datetime.date.fromisoformat(date) if date else None,
            duration_s=None if minutes is None else round(minutes * 60, 1),
            **more,
        )
    except ValueError as error:
        raise BadTable(f"{path}, line {line}: {error}") from error


def _write(path: Path, columns: Sequence[str], rows: Iterable[Mapping[str, str]]) -> None:
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, columns, lineterminator="\r\n")
    writer.writeheader()
    for row in rows:
        writer.writerow({name: _harmless(printable(value)) for name, value in row.items()})
    # The mark in front tells a spreadsheet that this is UTF-8.
    write_atomically(path, text.getvalue().encode("utf-8-sig"))


def _harmless(cell: str) -> str:
    return f"'{cell}" if _FORMULA.match(cell) else cell


def _as_meant(cell: str) -> str:
    return cell[1:] if cell[:1] == "'" and _FORMULA.match(cell) else cell


def _read(path: Path, needed: Sequence[str]) -> Iterator[tuple[int, dict[str, str]]]:
    if path.stat().st_size > _MAX_BYTES:
        raise BadTable(f"{path}: over {_MAX_BYTES // 1_000_000} MB is no list of recordings")
    try:
        content = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise BadTable(f"{path}: not UTF-8 at byte {error.start}; save it as “CSV UTF-8”") from error
    header = content.split("\n", 1)[0]
    # Where a comma is a decimal sign, spreadsheets put semicolons or tabs between cells.
    delimiter = max(",;\t", key=header.count)
    reader = csv.DictReader(io.StringIO(content, newline=""), delimiter=delimiter, strict=True)
    try:
        reader.fieldnames = [(name or "").strip().casefold() for name in reader.fieldnames or ()]
        missing = [name for name in needed if name not in reader.fieldnames]
        if missing:
            raise BadTable(f"{path}, line 1: there is no column {missing[0]}; add it, or propose again")
        for row in reader:
            if None in row:
                raise BadTable(
                    f"{path}, line {reader.line_num}: more cells than columns; put texts with commas in quotes"
                )
            cells = {name: _as_meant(printable(value or "")) for name, value in row.items()}
            if any(cells.values()):
                yield reader.line_num, cells
    except csv.Error as error:
        raise BadTable(f"{path}, line {reader.reader.line_num}: {error}; save it as CSV again") from error
