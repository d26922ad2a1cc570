"""The table of differences between two numberings: written by the aligner, corrected by people.

One row for each segment whose references differ, as a person would say it: NUM 12:16 = NUM 13:1.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from stt_platform.scripture.alignment import Segment
from stt_platform.scripture.references import BadReference, VerseRef

COLUMNS = ("english", "spanish", "kind", "note")
KINDS = ("renumbered", "merged", "split", "regrouped", "only English", "only Spanish", "same")


class BadVersification(ValueError):
    """A versification table that cannot be used; the message names the file, the line and the remedy."""


@dataclass(frozen=True, order=True)
class Difference:
    """Verses (BBCCCVVV) that say the same under different numbers. One side is empty where nothing answers."""

    en_refs: tuple[int, ...]
    es_refs: tuple[int, ...]
    note: str = ""

    @property
    def kind(self) -> str:
        """One of `KINDS`, seen from the English side: "merged" means several English verses in one Spanish."""
        if self.en_refs == self.es_refs:
            return "same"
        if not self.en_refs or not self.es_refs:
            return "only Spanish" if self.es_refs else "only English"
        if len(self.es_refs) == 1:
            return "renumbered" if len(self.en_refs) == 1 else "merged"
        return "split" if len(self.en_refs) == 1 else "regrouped"

    def __str__(self) -> str:
        return f"{show_refs(self.en_refs) or 'nothing'} = {show_refs(self.es_refs) or 'nothing'}"


@dataclass(frozen=True)
class Alarm:
    """One thing in which an alignment and the table disagree, and what it means in words."""

    row: Difference
    reason: str


def differences(segments: Iterable[Segment]) -> list[Difference]:
    """Return the segments whose references differ, in the order of the text."""
    return [Difference(s.en_refs, s.es_refs) for s in segments if s.en_refs != s.es_refs]


def correct(segments: Sequence[Segment], table: Iterable[Difference]) -> list[Segment]:
    """Apply the table to the segments: where it speaks, it wins over the aligner.

    A row may also say that the aligner saw a difference where there is none ("NUM 13:1 = NUM 13:1"). Verses that a
    row takes out of a segment leave the others of that segment: these go back to the verse of their own number where
    that is free, else they stand alone. Verses that a text does not have are passed over.
    """
    en_known = {ref for s in segments for ref in s.en_refs}
    es_known = {ref for s in segments for ref in s.es_refs}
    rows = []
    for row in table:
        wanted = Segment(
            tuple(ref for ref in row.en_refs if ref in en_known), tuple(ref for ref in row.es_refs if ref in es_known)
        )
        if wanted.en_refs or wanted.es_refs:
            rows.append(wanted)
    en_taken = {ref for row in rows for ref in row.en_refs}
    es_taken = {ref for row in rows for ref in row.es_refs}
    kept: list[Segment] = []
    loose_en: list[int] = []
    loose_es: list[int] = []
    for segment in segments:
        if en_taken.isdisjoint(segment.en_refs) and es_taken.isdisjoint(segment.es_refs):
            kept.append(segment)
        else:
            loose_en += [ref for ref in segment.en_refs if ref not in en_taken]
            loose_es += [ref for ref in segment.es_refs if ref not in es_taken]
    free = set(loose_es)
    own = [Segment((ref,), (ref,) if ref in free else ()) for ref in loose_en]
    alone = [Segment((), (ref,)) for ref in loose_es if ref not in set(loose_en)]
    return in_order([*kept, *rows, *own, *alone])


def in_order(segments: Iterable[Segment]) -> list[Segment]:
    """In the order of the English text; what only Spanish has, after the verse that it follows there."""
    listed = sorted(segments, key=lambda s: (s.es_refs or s.en_refs, s.en_refs))
    place: dict[Segment, tuple[int, int, int]] = {}
    last = (0, 0)
    for segment in listed:
        if segment.en_refs:
            last = (segment.en_refs[0], 0) if segment.es_refs else last
            place[segment] = (segment.en_refs[0], 0, 0)
        else:
            same_book = last[0] // 1_000_000 == segment.es_refs[0] // 1_000_000
            place[segment] = (
                last[0] if same_book else segment.es_refs[0] // 1_000_000 * 1_000_000,
                1,
                segment.es_refs[0],
            )
    return sorted(listed, key=lambda s: place[s])


def alarm(found: Iterable[Difference], known: Iterable[Difference]) -> list[Alarm]:
    """Compare a new alignment with the table: rows of its own, and rows that it does not confirm.

    Notes do not matter, nor do rows of the table that say that nothing differs there.
    """
    ours = {(row.en_refs, row.es_refs): row for row in found if row.kind != "same"}
    theirs = {(row.en_refs, row.es_refs): row for row in known}
    settled = {ref for row in theirs.values() if row.kind == "same" for ref in row.en_refs}
    alarms = []
    for key, row in ours.items():
        if key not in theirs:
            missing = "; the table says that these agree" if settled.intersection(row.en_refs) else ""
            alarms.append(Alarm(row, f"found {row} ({row.kind}), which the table does not have{missing}"))
    for key, row in theirs.items():
        if key not in ours and row.kind != "same":
            alarms.append(Alarm(row, f"the table has {row} ({row.kind}), which this text does not show"))
    return sorted(alarms, key=lambda a: ((a.row.en_refs or a.row.es_refs), a.reason))


def write_versification(path: Path, table: Iterable[Difference]) -> None:
    """Write the table as CSV (UTF-8, header `english,spanish,kind,note`). The same table gives the same bytes."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(COLUMNS)
    for row in table:
        writer.writerow([show_refs(row.en_refs), show_refs(row.es_refs), row.kind, row.note])
    path.write_text(out.getvalue(), encoding="utf-8")


def read_versification(path: Path) -> list[Difference]:
    """Read a table that `write_versification` wrote and a person may have corrected.

    References are read as people write them ("Num 13:32-33", "Números 13:32", "JOB 39:27-40:5" needs both chapters
    written out: "JOB 39:27-30; 40:1-5"). `kind` follows from the references and is not read. Empty lines are passed
    over. Raises `BadVersification`.
    """
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise BadVersification(
            f"{path} is not UTF-8 ({error.reason} at byte {error.start}): save it as UTF-8"
        ) from None
    with io.StringIO(text, newline="") as file:
        delimiter = ";" if ";" in text.partition("\n")[0] and "," not in text.partition("\n")[0] else ","
        reader = csv.reader(file, delimiter=delimiter)
        header = [name.strip().lower() for name in next(reader, [])]
        if missing := [name for name in COLUMNS[:2] if name not in header]:
            raise BadVersification(
                f"{path}, line 1: the column {missing[0]!r} is missing; the first line must be {','.join(COLUMNS)}"
            )
        rows: list[Difference] = []
        seen: dict[tuple[str, int], int] = {}
        for cells in reader:
            if not any(cell.strip() for cell in cells):
                continue
            where = f"{path}, line {reader.line_num}"
            fields = dict(zip(header, (cell.strip() for cell in cells), strict=False))
            try:
                en_refs, es_refs = (parse_refs(fields.get(name, "")) for name in COLUMNS[:2])
            except BadReference as error:
                raise BadVersification(f"{where}: {error}; write it as NUM 13:1 or NUM 13:32-33") from None
            if not en_refs and not es_refs:
                raise BadVersification(f"{where}: neither side names a verse; fill in one, or delete the line")
            for side, refs in (("English", en_refs), ("Spanish", es_refs)):
                if len({ref // 1_000_000 for ref in refs}) > 1:
                    raise BadVersification(f"{where}: {show_refs(refs)} is in two books; make a line for each")
                for ref in refs:
                    if (side, ref) in seen:
                        raise BadVersification(
                            f"{where}: {side} {show_refs((ref,))} is already in line {seen[side, ref]}; "
                            "leave it in one of the two"
                        )
                    seen[side, ref] = reader.line_num
            rows.append(Difference(en_refs, es_refs, fields.get("note", "")))
    return rows


def show_refs(refs: Sequence[int]) -> str:
    """References as people write them: "NUM 13:32-33", "JOB 39:27-30; 40:1-5"."""
    runs: list[list[int]] = []
    for ref in refs:
        if runs and ref == runs[-1][-1] + 1:
            runs[-1].append(ref)
        else:
            runs.append([ref])
    parts = []
    book = ""
    for run in runs:
        first = VerseRef.from_number(run[0])
        code, place = str(first).split(" ", 1)
        parts.append((place if code == book else f"{code} {place}") + (f"-{run[-1] % 1000}" if len(run) > 1 else ""))
        book = code
    return "; ".join(parts)


def parse_refs(text: str) -> tuple[int, ...]:
    """Parse the verses of "NUM 13:32-33" or "JOB 39:27-30; 40:1-5"; none for an empty text. Raises `BadReference`."""
    refs: list[int] = []
    book = ""
    for part in (part.strip() for part in text.split(";")):
        if not part:
            continue
        range_end = re.fullmatch(r"(.*\d)\s*[-–]\s*(\d+)", part)
        start = range_end.group(1) if range_end else part
        bare = re.fullmatch(r"\d+\s*:\s*\d+", start)
        first = VerseRef.parse(f"{book} {start}" if bare and book else start)
        last = int(range_end.group(2)) if range_end else first.verse
        if not first.verse <= last < 1000:
            raise BadReference(f"{part!r} ends before it begins")
        book = str(first).split(" ", 1)[0]
        refs += range(first.number, first.number + last - first.verse + 1)
    return tuple(refs)
