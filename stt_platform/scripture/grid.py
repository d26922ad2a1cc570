"""The usual division into chapters and verses, that of the King James Version. The table is `grid.toml`."""

import tomllib
from functools import cache
from pathlib import Path

from stt_platform.scripture.books import BOOKS, BadReference, book

VERSES = 31_102
"""Verses in all 66 books."""


@cache
def _grid() -> tuple[tuple[int, ...], ...]:
    table = tomllib.loads(Path(__file__).with_name("grid.toml").read_text(encoding="utf-8"))
    return tuple(tuple(table[row.code]) for row in BOOKS)


def chapters_in(number: int) -> int:
    """Chapters of the book of that number (1 to 66)."""
    return len(_grid()[book(number).number - 1])


def verses_in(number: int, chapter: int) -> int:
    """Verses of a chapter. Raises `BadReference` where the book has no such chapter."""
    found = book(number)
    if not 1 <= chapter <= chapters_in(number):
        raise BadReference(f"{found.english} has no chapter {chapter!r}: it has {chapters_in(number)}")
    return _grid()[number - 1][chapter - 1]


@cache
def all_refs() -> tuple[int, ...]:
    """Return the BBCCCVVV numbers of all 31,102 verses, in order."""
    return tuple(
        number * 1_000_000 + chapter * 1_000 + verse
        for number, chapters in enumerate(_grid(), start=1)
        for chapter, verses in enumerate(chapters, start=1)
        for verse in range(1, verses + 1)
    )


@cache
def in_grid() -> frozenset[int]:
    """`all_refs` as a set."""
    return frozenset(all_refs())
