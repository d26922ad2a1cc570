"""References to verses as value objects: numbers, codes, names and ranges, and back."""

import re
from dataclasses import dataclass

from stt_platform.scripture.books import BadReference, Book, book, find_book
from stt_platform.scripture.grid import chapters_in, verses_in

__all__ = ["BadReference", "VerseRef", "parse_range"]

# Other traditions divide otherwise (Joel has four chapters in Hebrew, Psalm 51 two verses more), so a reference
# may lie outside the usual grid; these are the most of any tradition.
_MAX_CHAPTERS = 151
_MAX_VERSES = 200

_EXPECTED = '"01001001", 1001001, "GEN 1:1", "Genesis 1:1" or "Génesis 1:1"'
_PLACE = re.compile(r"\s*(?P<book>.*?[^\W\d_]\.?)[\s.]*(?P<chapter>\d{1,3})(?:\s*[:.,]\s*(?P<verse>\d{1,3}))?\s*")
_END = re.compile(r"\s*(?:(?P<chapter>\d{1,3})\s*[:.,]\s*)?(?P<verse>\d{1,3})\s*")


@dataclass(frozen=True, order=True, slots=True)
class VerseRef:
    """One verse; verse 0 is a title above verse 1. Ordered as in the canon.

    It need not be in the usual grid: texts divide otherwise here and there. Raises `BadReference`.
    """

    book: int
    chapter: int
    verse: int

    def __post_init__(self) -> None:
        if not (1 <= self.book <= 66 and 1 <= self.chapter <= _MAX_CHAPTERS and 0 <= self.verse <= _MAX_VERSES):
            raise BadReference(
                f"book {self.book!r}, chapter {self.chapter!r}, verse {self.verse!r} is no verse: books 1 to 66, "
                f"chapters 1 to {_MAX_CHAPTERS} and verses 0 (a title) to {_MAX_VERSES} were expected"
            )

    @classmethod
    def from_number(cls, number: int) -> "VerseRef":
        """Return the verse of a BBCCCVVV integer: 1001001 is Genesis 1:1, 66022021 the last verse."""
        book_number, rest = divmod(number, 1_000_000)
        try:
            return cls(book_number, *divmod(rest, 1_000))
        except BadReference as error:
            raise BadReference(f"{number!r} is no BBCCCVVV number: {error}") from None

    @classmethod
    def parse(cls, value: "str | int | VerseRef") -> "VerseRef":
        """Parse the verse of a number, a code or a name: 1001001, "01001001", "GEN 1:1", "Gen.1.1", "1 Corintios 13:4"."""
        if isinstance(value, VerseRef):
            return value
        if isinstance(value, int) and not isinstance(value, bool):
            return cls.from_number(value)
        if not isinstance(value, str):
            raise BadReference(f"{value!r} is no reference: {_EXPECTED} was expected")
        text = value.strip()
        if re.fullmatch(r"\d{7,8}", text, re.ASCII):
            return cls.from_number(int(text))
        try:
            return _place(text)
        except BadReference as error:
            raise BadReference(f"{value!r} is no reference: {error}") from None

    @property
    def number(self) -> int:
        """The BBCCCVVV integer, 1001001."""
        return self.book * 1_000_000 + self.chapter * 1_000 + self.verse

    @property
    def code(self) -> str:
        """The BBCCCVVV string, "01001001"."""
        return f"{self.number:08d}"

    @property
    def in_grid(self) -> bool:
        """Whether the usual division has this verse."""
        return self.chapter <= chapters_in(self.book) and 1 <= self.verse <= verses_in(self.book, self.chapter)

    def __str__(self) -> str:
        return f"{book(self.book).code} {self.chapter}:{self.verse}"


def parse_range(value: str) -> tuple[VerseRef, ...]:
    """Parse all verses of "Gen 1:1-3", "Gen 1:1-2:3", "Gen.1.1-Gen.1.3", "Jude 1:3" or a whole chapter, "Gen 1".

    The verses between are those of the usual grid. Raises `BadReference`.
    """
    parts = re.split(r"\s*[-–—]\s*", value.strip()) if isinstance(value, str) else []
    if not 1 <= len(parts) <= 2:
        raise BadReference(f'{value!r} is no range: "Gen 1:1-3" or "Gen 1:1-2:3" was expected')
    if len(parts) == 1 and (chapter := _whole_chapter(parts[0])):
        return chapter
    first = VerseRef.parse(parts[0])
    last = _last(first, parts[-1]) if len(parts) == 2 else first
    for end in (first, last):
        if not end.in_grid:
            raise BadReference(f"{value!r}: {end} is not in the usual division into verses")
    if last < first:
        raise BadReference(f"{value!r} ends before it begins")
    return tuple(
        VerseRef(number, chapter, verse)
        for number in range(first.book, last.book + 1)
        for chapter in range(1, chapters_in(number) + 1)
        for verse in range(1, verses_in(number, chapter) + 1)
        if first.number <= number * 1_000_000 + chapter * 1_000 + verse <= last.number
    )


def _match(text: str) -> tuple[Book, int, int | None] | None:
    match = _PLACE.fullmatch(text)
    if match is None:
        return None
    verse = match["verse"]
    return find_book(match["book"]), int(match["chapter"]), None if verse is None else int(verse)


def _place(text: str) -> VerseRef:
    found = _match(text)
    if found is None:
        raise BadReference(f"{_EXPECTED} was expected")
    where, chapter, verse = found
    if verse is None and chapters_in(where.number) > 1:
        raise BadReference(f"it names no verse; {_EXPECTED} was expected")
    # "Jude 5": a book of one chapter is cited without it.
    return VerseRef(where.number, 1, chapter) if verse is None else VerseRef(where.number, chapter, verse)


def _whole_chapter(text: str) -> tuple[VerseRef, ...] | None:
    found = _match(text)
    if found is None or found[2] is not None or chapters_in(found[0].number) == 1:
        return None
    where, chapter, _ = found
    return tuple(VerseRef(where.number, chapter, verse) for verse in range(1, verses_in(where.number, chapter) + 1))


def _last(first: VerseRef, text: str) -> VerseRef:
    if re.fullmatch(r"\d{7,8}", text, re.ASCII):
        return VerseRef.from_number(int(text))
    match = _END.fullmatch(text)
    if match is None:
        return VerseRef.parse(text)
    return VerseRef(first.book, int(match["chapter"] or first.chapter), int(match["verse"]))
