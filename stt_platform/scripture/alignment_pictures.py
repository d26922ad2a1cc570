"""Pictures of the verse pairs for the web UI: how texts number their verses, what is set aside, and the split.

All are PNGs, 900 pixels wide, and nothing is told by colour only.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import groupby

from stt_platform.scripture.books import BOOKS, GENRES
from stt_platform.scripture.canvas import WIDTH_PX, Canvas, width_of
from stt_platform.scripture.grid import all_refs
from stt_platform.scripture.pairs import ACCEPTED, GATES_IN_WORDS, OTHER, Gate
from stt_platform.scripture.regions import ROW_PX, Box, Layout, Region, chapters, lay_out, place

_MARGIN = 12
_INNER = WIDTH_PX - 2 * _MARGIN
_GREY, _RED = "#666666", "#b2182b"
# Light for boxes, strong for blocks and bands; a chapter has the same pair on both sides.
_CHAPTERS = (("#dbe9f6", "#2b6cb0"), ("#fde3c8", "#d9730d"), ("#dcefd9", "#2f855a"), ("#eadff5", "#7c4dbd"))
_GENRES = {
    "pentateuch": ("#a6cee3", "Law of Moses"),
    "history": ("#fdd49e", "History"),
    "poetry": ("#b2df8a", "Poetry"),
    "prophecy": ("#cab2d6", "Prophets"),
    "gospels": ("#fb9a99", "Gospels"),
    "epistles": ("#ffed9f", "Acts and letters"),
    "apocalyptic": ("#c7c7c7", "Revelation"),
}
_SAME = {"facecolor": "#d5d5d5"}
_MERGED = {"hatch": "////", "edgecolor": "white"}
_ALONE = {"facecolor": "white", "edgecolor": _RED, "linestyle": "--", "linewidth": 1}
_USED = {"facecolor": "#1b7837"}
_SET_ASIDE = {"facecolor": "#f6dfdb", "edgecolor": "#c0695c", "hatch": "\\\\\\\\"}
_TEST = {"facecolor": "#f2b134", "edgecolor": "#7a4c05", "hatch": "////"}
_NEITHER = {"facecolor": "#e4e4e4", "edgecolor": "#8a8a8a", "hatch": "...."}
_MAX_SEGMENTS = 120
_REASONS: Mapping[str, str] = {
    Gate.EMPTY_SIDE: "only one of the two texts has it",
    Gate.LENGTH: "one side is far too long for the other",
    Gate.MARKUP: "signs such as { } < > were left in it",
    Gate.LANGUAGE: "a side is in the other language",
    Gate.DUPLICATE: "the same pair stands elsewhere already",
    Gate.ORDER: "the verse is out of its place",
    Gate.TOO_MANY_VERSES: "too many verses in one piece",
    Gate.UNTRANSLATED: "both sides have the same words",
    Gate.ONE_SIDED_TITLE: "a psalm's title on one side only",
    Gate.GAP: "words are missing in the source",
}

_BLOCK_PX, _VERSE_PX, _HEADER_PX = 24, 342, 116
"""Width of the block of a chapter and of the box of a verse, and the height above the first row."""
_EN_LEFT = _MARGIN + _BLOCK_PX + 4
_ES_LEFT = WIDTH_PX - _EN_LEFT - _VERSE_PX
_EN_RIGHT = _EN_LEFT + _VERSE_PX


def alignment_picture(
    region: Region, en: Mapping[int, str], es: Mapping[int, str], *, en_title: str, es_title: str
) -> bytes:
    """Draw the verses of a region, English left and Spanish right, with a band between those that say the same.

    A number stands at the same height on both sides: a level grey band is a verse that both number alike; a slanted
    one, in the colour of its English chapter, is one that they number otherwise. Of a long region the first 120
    segments are shown.

    Args:
        en, es: the texts by BBCCCVVV.
        en_title, es_title: their names.

    Raises:
        ValueError: the region has no segments.
    """
    if not region.segments:
        raise ValueError("a region without segments cannot be drawn: give one of `regions`")
    layout = lay_out(region.segments[:_MAX_SEGMENTS])
    left_out = len(region.segments) - _MAX_SEGMENTS
    canvas = Canvas(_HEADER_PX + layout.height + (34 if left_out > 0 else _MARGIN))
    canvas.text(_MARGIN, 16, region.title, size=12, weight="bold", width_px=_INNER)
    canvas.text(_MARGIN, 40, _in_words(region), size=9, width_px=_INNER)
    strong = {chapter: pair[1] for chapter, pair in _chapter_colours(layout).items()}
    _alignment_legend(canvas, layout, next(iter(strong.values())))
    canvas.text(_EN_LEFT, _HEADER_PX - 14, en_title, size=9.5, weight="bold", width_px=_VERSE_PX)
    canvas.text(_ES_LEFT, _HEADER_PX - 14, es_title, size=9.5, weight="bold", width_px=_VERSE_PX)
    for link in sorted(layout.links, key=lambda link: link.kind != "same"):
        (en_top, en_bottom), (es_top, es_bottom) = link.en_span, link.es_span
        ends = [(_EN_RIGHT, en_top + 1), (_ES_LEFT, es_top + 1), (_ES_LEFT, es_bottom - 1), (_EN_RIGHT, en_bottom - 1)]
        style = _SAME if link.kind == "same" else {"facecolor": strong[link.en_ref // 1000], "alpha": 0.75}
        style |= _MERGED if link.kind == "merged" else {}
        canvas.shape([(x, _HEADER_PX + y) for x, y in ends], **style)
    _draw_side(canvas, layout, layout.en, en, _EN_LEFT, _MARGIN)
    _draw_side(canvas, layout, layout.es, es, _ES_LEFT, WIDTH_PX - _MARGIN - _BLOCK_PX)
    if left_out > 0:
        words = f"… and {left_out:,} more: the picture shows the first {_MAX_SEGMENTS}"
        canvas.text(_EN_LEFT, _HEADER_PX + layout.height + 17, words, size=9, color=_GREY)
    return canvas.png()


def _in_words(region: Region) -> str:
    if not region.differing:
        return "The two texts number these verses alike."
    answered = [s for s in region.core if s.en_refs and s.es_refs and s.en_refs != s.es_refs]
    if not answered:
        return "These verses stand in one of the two texts only."
    first = next((s for s in answered if len(s.en_refs) == len(s.es_refs) == 1), None)
    if first is None:
        return "What one text counts as a single verse is several verses in the other."
    called = f"What is verse {place(first.en_refs[0])} on the left is verse {place(first.es_refs[0])} on the right"
    return called + (f", and so on: {region.differing} pairs have different numbers." if region.differing > 1 else ".")


def _chapter_colours(layout: Layout) -> dict[int, tuple[str, str]]:
    found = sorted({ref // 1000 for ref in layout.rows})
    return {chapter: _CHAPTERS[k % len(_CHAPTERS)] for k, chapter in enumerate(found)}


def _alignment_legend(canvas: Canvas, layout: Layout, colour: str) -> None:
    kinds = {link.kind for link in layout.links}
    entries = [
        ("same", _SAME, "level, grey: same number"),
        ("renumbered", {"facecolor": colour, "alpha": 0.75}, "slanted: same words, another number"),
        ("merged", {"facecolor": colour, "alpha": 0.75} | _MERGED, "striped: several verses in one"),
    ]
    shown = [(style, words) for kind, style, words in entries if kind in kinds]
    if any(box.alone for box in (*layout.en.values(), *layout.es.values())):
        shown.append((_ALONE, "dashed: only in this text"))
    canvas.legend(_MARGIN, 64, shown)


def _draw_side(
    canvas: Canvas, layout: Layout, boxes: Mapping[int, Box], text: Mapping[int, str], left: float, block: float
) -> None:
    colours = _chapter_colours(layout)
    for chapter, top, bottom in chapters(boxes):
        height = bottom - top
        canvas.box(block, _HEADER_PX + top + 1, _BLOCK_PX, height - 2, facecolor=colours[chapter][1])
        words = f"chapter {chapter % 1000}" if height >= 5 * ROW_PX else f"{chapter % 1000}"
        style = {"color": "white", "weight": "bold", "ha": "center", "rotation": 90 if height >= 5 * ROW_PX else 0}
        canvas.text(block + _BLOCK_PX / 2, _HEADER_PX + (top + bottom) / 2, words, size=8.5, **style)
    english = boxes is layout.en
    answers = Counter(link.en_ref if english else link.es_ref for link in layout.links)
    other_side = "right" if english else "left"
    for box in boxes.values():
        light, strong = colours[box.ref // 1000]
        style = _ALONE if box.alone else {"facecolor": light, "edgecolor": strong, "linewidth": 0.6}
        top = _HEADER_PX + box.top
        canvas.box(left, top + 1, _VERSE_PX, box.height - 2, **style)
        middle = top + box.height / 2
        canvas.text(left + 5, middle, place(box.ref), size=7.5, weight="bold")
        words, room = text.get(box.ref, ""), _VERSE_PX - 48
        if answers[box.ref] > 1:
            canvas.text(left + 43, middle - 6, words, size=7.5, width_px=room)
            words = f"(holds {answers[box.ref]} verses of the {other_side} text)"
            canvas.text(left + 43, middle + 6, words, size=7, color=_GREY)
        else:
            canvas.text(left + 43, middle, words, size=7.5, width_px=room)
    for ref, (top, height) in layout.rows.items():
        if ref not in text:
            words = f"(no verse is numbered {place(ref)})"
            canvas.text(left + 43, _HEADER_PX + top + height / 2, words, size=7, color=_GREY, style="italic")


_BLOCK_OF_PAIR_PX, _MARKS_PX, _STRIP_PX = 116, 58, 14
_RAISED_PX = 15
"""How much higher than its bar a number may stand to make room for another."""


def overview_picture(places: Mapping[str, Sequence[Region]]) -> bytes:
    """Draw the whole Bible as a strip for each pair of texts, with a mark where their numbering differs.

    Books are as wide as they have verses, in the usual division; a mark is the higher the more segments differ, and
    their number stands above it.

    Args:
        places: what `regions` returns, by the name of the pair ("KJV – RVR1909").

    Raises:
        ValueError: there is no pair.
    """
    if not places:
        raise ValueError("no pair of texts to draw: give the regions of at least one")
    header, footer = 66, 72
    canvas = Canvas(header + len(places) * _BLOCK_OF_PAIR_PX + footer)
    canvas.text(_MARGIN, 16, "Where the texts number their verses differently", size=12, weight="bold")
    words = "Each strip is the whole Bible, from Genesis to Revelation. A red bar is a place where the numbers differ;"
    canvas.text(_MARGIN, 38, f"{words} above it, in how many pairs.", size=8.5, width_px=_INNER)
    most = max((region.differing for found in places.values() for region in found), default=1)
    for k, (name, found) in enumerate(places.items()):
        _draw_strip(canvas, header + k * _BLOCK_OF_PAIR_PX, name, found, most)
    _draw_books(canvas, header + len(places) * _BLOCK_OF_PAIR_PX)
    return canvas.png()


def _x_of(ref: int) -> float:
    """Return where a verse lies on the strip; beyond the usual division it lies with the next that is in it."""
    return _MARGIN + _INNER * bisect_left(all_refs(), ref) / len(all_refs())


def _book_ends(first: int, last: int) -> tuple[float, float]:
    return _x_of(first * 1_000_000), _x_of((last + 1) * 1_000_000)


def _draw_strip(canvas: Canvas, top: float, name: str, found: Sequence[Region], most: int) -> None:
    pairs = sum(region.differing for region in found)
    summary = f"{_many(len(found), 'place')}, {_many(pairs, 'pair')}" if found else "the two number their verses alike"
    canvas.text(_MARGIN, top + 8, name, size=10, weight="bold", width_px=_INNER / 2)
    canvas.text(_MARGIN + min(width_of(name, 10, bold=True), _INNER / 2) + 14, top + 8, summary, size=9)
    strip = top + 16 + _MARKS_PX
    for number, book in enumerate(BOOKS, start=1):
        left, right = _book_ends(number, number)
        style = {"facecolor": _GENRES[book.genre][0], "edgecolor": "white", "linewidth": 0.25}
        canvas.box(left, strip, right - left, _STRIP_PX, **style)
    bars = []
    for region in found:
        refs = [ref for segment in region.core for ref in segment.en_refs or segment.es_refs]
        left, right = _x_of(min(refs)), _x_of(max(refs))
        width, height = max(right - left, 3), 6 + 24 * (region.differing / most) ** 0.5
        canvas.box(left - 1, strip - height, width, height + _STRIP_PX, facecolor=_RED)
        bars.append((left - 1 + width / 2, height, region.differing))
    _draw_numbers(canvas, strip, bars)
    by_book = Counter()
    for region in found:
        by_book[region.book] += region.differing
    listed = sorted(by_book.items(), key=lambda item: (-item[1], item[0]))
    words = " · ".join(f"{BOOKS[number - 1].english} {verses}" for number, verses in listed)
    canvas.text(_MARGIN, strip + _STRIP_PX + 10, words, size=7.5, color=_GREY, width_px=_INNER)


def _draw_numbers(canvas: Canvas, strip: float, bars: Sequence[tuple[float, float, int]]) -> None:
    """The number of verses above each bar, the largest first; one that has no room there is left out."""
    taken = [(x - 2, x + 2, height) for x, height, _ in bars]
    for x, height, verses in sorted(bars, key=lambda bar: (-bar[2], bar[0])):
        words = f"{verses}"
        half = width_of(words, 7.5) / 2 + 1
        below = [top for left, right, top in taken if left < x + half and x - half < right]
        if max(below) <= height + _RAISED_PX:
            y = max(below)
            canvas.text(x, strip - y - 6, words, size=7.5, ha="center")
            taken.append((x - half, x + half, y + 11))


def _draw_books(canvas: Canvas, top: float) -> None:
    """What the colours and places of the strips are."""
    for genre, books in groupby(BOOKS, key=lambda book: book.genre):
        numbers = [book.number for book in books]
        left, right = _book_ends(numbers[0], numbers[-1])
        colour, words = _GENRES[genre]
        canvas.box(left + 0.5, top + 4, right - left - 1, 7, facecolor=colour)
        # Revelation is narrower than its name.
        if right - left < width_of(words, 8):
            canvas.text(right, top + 34, words, size=8, ha="right")
        else:
            canvas.text((left + right) / 2, top + 21, words, size=8, ha="center")
    for testament, books in groupby(BOOKS, key=lambda book: book.testament):
        numbers = [book.number for book in books]
        left, right = _book_ends(numbers[0], numbers[-1])
        canvas.line([(left + 2, top + 46), (right - 2, top + 46)], color=_GREY, linewidth=1)
        words = "Old Testament" if testament == "OT" else "New Testament"
        canvas.text((left + right) / 2, top + 57, words, size=8, ha="center", color=_GREY)


_REASON_PX = 34


def counts_picture(counts: Mapping[tuple[str, str, str, str], int]) -> bytes:
    """Draw how many pairs are used and how many are set aside, for each pair of texts, and below it why.

    Args:
        counts: pairs by (en_source, es_source, status, gate); the gate is that of `PairRow`, empty for an accepted pair.
    """
    texts = sorted({(en, es) for en, es, _, _ in counts})
    used: Counter[tuple[str, str]] = Counter()
    aside: Counter[tuple[str, str]] = Counter()
    reasons: dict[str, Counter[tuple[str, str]]] = {}
    for (en, es, status, gate), n in counts.items():
        (used if status == ACCEPTED else aside)[en, es] += n
        if status != ACCEPTED:
            reasons.setdefault(gate, Counter())[en, es] += n
    first, row, second = 66, 24, 104 + 24 * max(len(texts), 1)
    canvas = Canvas(second + (_REASON_PX * len(reasons) + 6 if reasons else 16))
    total = used.total() + aside.total()
    canvas.text(_MARGIN, 16, "Verse pairs: used and set aside", size=12, weight="bold")
    words = (
        f"{total:,} pairs, {_share(aside.total(), total)} of them set aside. Nothing is deleted: each keeps its reason."
    )
    canvas.text(_MARGIN, 38, words, size=9)
    canvas.legend(_MARGIN, 56, [(_USED, "used"), (_SET_ASIDE, "set aside")])
    left, width = 170, 400
    widest = max((used[text] + aside[text] for text in texts), default=0)
    for k, text in enumerate(texts):
        y = first + row * (k + 0.6)
        scale = width / max(widest, 1)
        canvas.text(left - 8, y, _pair(*text), size=9, ha="right", width_px=left - 20)
        canvas.box(left, y - 7, used[text] * scale, 14, **_USED)
        # One in a hundred would be a hair's breadth.
        canvas.box(left + used[text] * scale, y - 7, max(aside[text] * scale, 2 * bool(aside[text])), 14, **_SET_ASIDE)
        words = f"{used[text]:,} used · {aside[text]:,} set aside ({_share(aside[text], used[text] + aside[text])})"
        canvas.text(left + width + 12, y, words, size=8.5)
    words = "Why pairs are set aside" if reasons else "No pair is set aside." if texts else "There are no pairs yet."
    canvas.text(_MARGIN, second - 10, words, size=10.5, weight="bold")
    one_spanish = len({es for _, es in texts}) == 1
    _draw_reasons(canvas, second, reasons, {text: text[0].upper() if one_spanish else _pair(*text) for text in texts})
    return canvas.png()


def _draw_reasons(
    canvas: Canvas,
    top: float,
    reasons: Mapping[str, Counter[tuple[str, str]]],
    names: Mapping[tuple[str, str], str],
) -> None:
    left, width = 330, 470
    listed = sorted(reasons, key=lambda gate: (-reasons[gate].total(), gate))
    for k, gate in enumerate(listed):
        y = top + _REASON_PX * k + 12
        words = GATES_IN_WORDS.get(gate, OTHER)
        canvas.text(left - 8, y - 1, _REASONS.get(gate, words), size=8.5, ha="right", width_px=left - 20)
        canvas.text(left - 8, y + 11, words if gate in _REASONS else "", size=7, ha="right", color=_GREY)
        length = max(width * reasons[gate].total() / max(reasons[listed[0]].total(), 1), 2)
        canvas.box(left, y - 7, length, 13, **_SET_ASIDE)
        canvas.text(left + length + 6, y - 1, f"{reasons[gate].total():,}", size=8.5, weight="bold")
        parts = [f"{name} {reasons[gate][text]:,}" for text, name in names.items() if reasons[gate][text]]
        canvas.text(left, y + 13, " · ".join(parts), size=7, color=_GREY, width_px=WIDTH_PX - left - _MARGIN)


def split_picture(counts: Mapping[tuple[str, str], int]) -> bytes:
    """Draw how each genre is shared out among training, test and neither, in per cent and numbers.

    Args:
        counts: pairs, or segments, by (genre, split); a split is "train", "test" or "excluded".
    """
    styles = {"train": _USED, "test": _TEST, "excluded": _NEITHER}
    rows: list[tuple[str, dict[str, int]]] = [
        (_GENRES[genre][1], {split: counts.get((genre, split), 0) for split in styles}) for genre in GENRES
    ]
    rows.append(("all", {split: sum(row[split] for _, row in rows) for split in styles}))
    first, height = 76, 28
    canvas = Canvas(first + height * len(rows) + 14)
    canvas.text(_MARGIN, 16, "What the model learns from, and what it is tested with", size=12, weight="bold")
    words = "A test verse is kept out of the training in every English text, and so are its parallels elsewhere."
    canvas.text(_MARGIN, 38, words, size=9)
    named = {"train": "training", "test": "test", "excluded": "neither"}
    canvas.legend(_MARGIN, 58, [(styles[split], words) for split, words in named.items()])
    left, width = 124, 300
    for k, (name, row) in enumerate(rows):
        y = first + height * (k + 0.5)
        total = sum(row.values())
        weight = "bold" if name == "all" else "normal"
        canvas.text(left - 8, y, name, size=9, ha="right", weight=weight)
        x = float(left)
        for split, style in styles.items():
            length = width * row[split] / max(total, 1)
            canvas.box(x, y - 8, length, 16, **style)
            x += length
        shares = [f"{row[split]:,} {what} ({_share(row[split], total)})" for split, what in named.items() if row[split]]
        canvas.text(left + width + 10, y, " · ".join(shares) or "no pairs", size=8, weight=weight)
    return canvas.png()


def _pair(en: str, es: str) -> str:
    return f"{en.upper()} – {es.upper()}"


def _many(number: int, thing: str) -> str:
    return f"{number:,} {thing}" + ("" if number == 1 else "s")


def _share(part: int, total: int) -> str:
    percent = 100 * part / max(total, 1)
    return "under 0.1 %" if 0 < percent < 0.05 else f"{percent:.1f} %"
