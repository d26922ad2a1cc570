"""Where two texts number differently: stretches of segments, and where their verses stand in a picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from stt_platform.scripture.alignment import Segment
from stt_platform.scripture.books import book

ROW_PX, CHAPTER_GAP_PX = 17, 8
"""Height of a verse that answers one verse, and the space before a new chapter."""
_MORE_VERSE, _MAX_ROWS_HIGH = 0.75, 5.0


@dataclass(frozen=True)
class Region:
    """A stretch of one book in which references differ, with some verses around it whose references are equal."""

    segments: tuple[Segment, ...]

    @property
    def differing(self) -> int:
        """Segments whose references differ."""
        return sum(map(_differs, self.segments))

    @property
    def core(self) -> tuple[Segment, ...]:
        """From the first differing segment to the last; all where none differs."""
        at = [k for k, segment in enumerate(self.segments) if _differs(segment)]
        return self.segments[at[0] : at[-1] + 1] if at else self.segments

    @property
    def book(self) -> int:
        """The number of the book, 1 to 66."""
        return _book(self.segments[0])

    @property
    def title(self) -> str:
        """Where the references differ, in people's words: "Job 38:39 – 40:24 (in Spanish 39:1 – 40:19)"."""
        english = _span([ref for segment in self.core for ref in segment.en_refs])
        spanish = _span([ref for segment in self.core for ref in segment.es_refs])
        name = book(self.book).english
        if not english:
            return f"{name} {spanish} (only in Spanish)"
        if not spanish:
            return f"{name} {english} (only in English)"
        return f"{name} {english}" + ("" if english == spanish else f" (in Spanish {spanish})")


def regions(segments: Sequence[Segment], *, context: int = 2, gap: int = 3) -> list[Region]:
    """Find the stretches in which references differ, in the order of the segments.

    Args:
        segments: of `align`; a region never reaches into another book.
        context: how many equal segments are kept before and after.
        gap: differing segments with at most so many equal ones between them are one region.
    """
    runs: list[list[int]] = []
    for k, segment in enumerate(segments):
        if not _differs(segment):
            continue
        if runs and k - runs[-1][-1] - 1 <= gap and _book(segments[runs[-1][-1]]) == _book(segment):
            runs[-1].append(k)
        else:
            runs.append([k])
    found = []
    for run in runs:
        first, last = max(run[0] - context, 0), run[-1] + context + 1
        here = _book(segments[run[0]])
        found.append(Region(tuple(s for s in segments[first:last] if _book(s) == here)))
    return found


def place(ref: int) -> str:
    """Chapter and verse of a BBCCCVVV number: "39:27"."""
    return f"{ref // 1000 % 1000}:{ref % 1000}"


@dataclass(frozen=True)
class Box:
    """A verse in the picture. Pixels from the top of the first row; `alone` where nothing answers it."""

    ref: int
    top: float
    height: float
    alone: bool

    @property
    def bottom(self) -> float:
        return self.top + self.height


@dataclass(frozen=True)
class Link:
    """A band from an English verse to the Spanish one that says the same.

    `kind` is "same" (one verse each, with the same number), "renumbered" (one each) or "merged" (several verses on
    one side or on both). `en_span` and `es_span` are top and bottom of its ends: a box with several links shares out
    its height among them.
    """

    en_ref: int
    es_ref: int
    kind: str
    en_span: tuple[float, float]
    es_span: tuple[float, float]

    @property
    def slant_px(self) -> float:
        """How far the band falls from left to right; 0 where it is level, below 0 where it rises."""
        return (sum(self.es_span) - sum(self.en_span)) / 2


@dataclass(frozen=True)
class Layout:
    """Where everything stands. `rows` has top and height of each number that one of the sides has."""

    rows: dict[int, tuple[float, float]]
    en: dict[int, Box]
    es: dict[int, Box]
    links: tuple[Link, ...]
    height: float


def lay_out(segments: Sequence[Segment]) -> Layout:
    """Give each number a row, the same on both sides: verses that share their number are level, others slant.

    A verse that answers several is a higher box.
    """
    answers_en, answers_es = _answers(segments)
    high = {
        ref: max(_rows_high(len(answers_en.get(ref, ()))), _rows_high(len(answers_es.get(ref, ()))))
        for ref in sorted(answers_en.keys() | answers_es.keys())
    }
    rows: dict[int, tuple[float, float]] = {}
    top = 0.0
    chapter = next(iter(high), 0) // 1000
    for ref, rows_high in high.items():
        top += CHAPTER_GAP_PX if ref // 1000 != chapter else 0
        rows[ref] = (top, rows_high * ROW_PX)
        top += rows[ref][1]
        chapter = ref // 1000
    en, es = _boxes(answers_en, rows), _boxes(answers_es, rows)
    links = tuple(
        Link(
            en_ref,
            es_ref,
            _kind(segment),
            _slice(en[en_ref], segment.es_refs.index(es_ref), len(segment.es_refs)),
            _slice(es[es_ref], segment.en_refs.index(en_ref), len(segment.en_refs)),
        )
        for segment in segments
        for en_ref in segment.en_refs
        for es_ref in segment.es_refs
    )
    return Layout(rows, en, es, links, top)


def chapters(boxes: Mapping[int, Box]) -> list[tuple[int, float, float]]:
    """Return each chapter (BBCCC) of one side with its top and bottom."""
    found: dict[int, tuple[float, float]] = {}
    for ref, box in sorted(boxes.items()):
        top, bottom = found.get(ref // 1000, (box.top, box.bottom))
        found[ref // 1000] = (min(top, box.top), max(bottom, box.bottom))
    return [(chapter, *ends) for chapter, ends in found.items()]


def _differs(segment: Segment) -> bool:
    return segment.en_refs != segment.es_refs


def _book(segment: Segment) -> int:
    return (segment.en_refs or segment.es_refs)[0] // 1_000_000


def _span(refs: Sequence[int]) -> str:
    if not refs:
        return ""
    first, last = min(refs), max(refs)
    if first == last:
        return place(first)
    return f"{place(first)}-{last % 1000}" if first // 1000 == last // 1000 else f"{place(first)} – {place(last)}"


def _kind(segment: Segment) -> str:
    if len(segment.en_refs) > 1 or len(segment.es_refs) > 1:
        return "merged"
    return "renumbered" if _differs(segment) else "same"


def _answers(segments: Sequence[Segment]) -> tuple[dict[int, tuple[int, ...]], dict[int, tuple[int, ...]]]:
    """By verse, the verses of the other side that say the same: of English ones, and of Spanish ones."""
    english = {ref: segment.es_refs for segment in segments for ref in segment.en_refs}
    spanish = {ref: segment.en_refs for segment in segments for ref in segment.es_refs}
    return english, spanish


def _rows_high(answers: int) -> float:
    return min(1 + _MORE_VERSE * max(answers - 1, 0), _MAX_ROWS_HIGH)


def _boxes(answers: dict[int, tuple[int, ...]], rows: dict[int, tuple[float, float]]) -> dict[int, Box]:
    boxes = {}
    for ref, others in answers.items():
        top, row_height = rows[ref]
        height = _rows_high(len(others)) * ROW_PX
        boxes[ref] = Box(ref, top + (row_height - height) / 2, height, not others)
    return boxes


def _slice(box: Box, number: int, of: int) -> tuple[float, float]:
    share = box.height / of
    return box.top + number * share, box.top + (number + 1) * share
