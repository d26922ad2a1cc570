"""References to scripture as they are said and written: "John 3:16", "First John four eight", "the 23rd Psalm"."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import NamedTuple

from stt_platform.evaluation.spoken_numbers import Number, Words, together
from stt_platform.scripture.books import BOOKS, book, find_book
from stt_platform.scripture.grid import chapters_in, verses_in
from stt_platform.scripture.references import VerseRef

_PREFIX = {
    **dict.fromkeys(("1", "1st", "first", "i", "one"), 1),
    **dict.fromkeys(("2", "2nd", "second", "ii", "two"), 2),
    **dict.fromkeys(("3", "3rd", "third", "iii", "three"), 3),
}
# "I Peter" can be the apostle speaking, and "one John" a man; "First Peter" and "1 Peter" are books.
_DOUBTFUL_PREFIX = frozenset({"i", "one", "two", "three"})
_PEOPLES = frozenset({"chronicles", "corinthians", "kings", "thessalonians"})
_CHAPTER = frozenset({"chapter", "chapters", "ch", "chap"})
_VERSE = frozenset({"verse", "verses", "v", "vv", "vs", "vss"})
_TO = frozenset({"to", "through", "thru", "until"})
_LEADING = frozenset({"the", "book", "gospel", "of", "according", "to", "epistle", "letter", "saint", "st", "paul's"})
_MOST_VERSES = 176
_MOST_SAID = 4

_LISTED = re.compile(r"\s*[,;]\s*")
_DASH = re.compile(r"\s*[-‐‑–—]+\s*")
_COLON = re.compile(r"\s*:\s*|\.")
_NUMBERED = re.compile(r"([123]) ?(.+)")

Range = tuple[int, int]


@dataclass(frozen=True, slots=True)
class SpokenReference:
    """A reference in a text, `text[start:end]`.

    Attributes:
        book: 1 to 66, or None where verses are named without a book.
        said: what is called the book, in lower case without the number before it: "corinthians", "song of songs".
            Abbreviations are written out. Without a book the word that stands there: "verses".
        prefix: the number before the name of the book, or None.
        chapters: ranges, both ends included; none where a numbered book is only named.
        verses: ranges in the one chapter; none where whole chapters are meant.
        last: (chapter, verse) where the reference ends in a later chapter: "Genesis 1:1-2:3".
    """

    start: int
    end: int
    book: int | None
    said: str
    prefix: int | None
    chapters: tuple[Range, ...] = ()
    verses: tuple[Range, ...] = ()
    last: tuple[int, int] | None = None

    @property
    def value(self) -> str | None:
        """ "JHN 3:16", "2TI 3:14-15", "JHN 3:16,18", "GEN 1-3", "GEN 1:1-2:3"; None without book or chapter."""
        if self.book is None or not self.chapters:
            return None
        if not self.verses:
            return f"{book(self.book).code} {_joined(self.chapters)}"
        first = VerseRef(self.book, self.chapters[0][0], self.verses[0][0])
        if self.last is not None:
            return f"{first}-{self.last[0]}:{self.last[1]}"
        return str(first).partition(":")[0] + ":" + _joined(self.verses)


class _Name(NamedTuple):
    number: int
    said: str
    written: str
    abbreviated: bool


class _Book(NamedTuple):
    number: int
    said: str
    prefix: int | None
    next: int
    abbreviated: bool = False
    doubtful: bool = False
    needs_verse: bool = False


class _Place(NamedTuple):
    chapters: tuple[Range, ...]
    verses: tuple[Range, ...]
    next: int
    marked: bool
    last: tuple[int, int] | None = None


def find_references(text: str, *, reordered: bool = False) -> list[SpokenReference]:
    """The references of a text in order, without overlaps.

    Chapter and verse stand in digits or words, with or without "chapter" and "verse". Where words can be read in
    several ways, the one that is a verse of the usual division counts: "Psalm one nineteen" is Psalm 119, "Isaiah
    one eighteen" is 1:18. Numbered books are found without a chapter too, and "verses 14 and 15" without a book.

    Args:
        text: in any case; abbreviations of books ("Gen") need a capital letter and digits after it.
        reordered: also what names the book last or otherwise: "the twenty-third Psalm", "the third chapter of
            John", "verse 16 of John 3", "John's gospel, chapter 3", "the first letter to the Corinthians, chapter 13".
    """
    reader = _Reader(text, possessive=reordered)
    found, i = [], 0
    while i < len(reader.tokens):
        at = (reader.reordered(i) if reordered else None) or reader.reference(i) or reader.bare_verses(i)
        if at is None:
            i += 1
            continue
        reference, i = at
        found.append(reference)
    return found


class _Reader(Words):
    """The words and numbers of a text, and what can be read from the i-th on."""

    def __init__(self, text: str, possessive: bool) -> None:
        super().__init__(text)
        self.possessive = possessive

    def reference(self, i: int) -> tuple[SpokenReference, int] | None:
        """A book and what follows it."""
        named = self.book(i)
        if named is None:
            return None
        place = self.place(named.next, named)
        if place is not None:
            return self._reference(i, named, place)
        if named.prefix is None or named.doubtful or named.abbreviated:
            return None
        return self._reference(i, named, _Place((), (), named.next, False))

    def bare_verses(self, i: int) -> tuple[SpokenReference, int] | None:
        """ "verses 14 and 15" without a book."""
        word = self.tokens[i].word
        if word not in _VERSE or (number := self.number(self._past_point(i))) is None:
            return None
        if number.follows or (number.worded and word not in ("verse", "verses")):
            return None
        verses, after = self.ranges(number.value, number.next, _MOST_VERSES)
        said = word if word in ("verse", "verses") else "verse" if verses[0][0] == verses[-1][1] else "verses"
        return SpokenReference(*self._span(i, after), None, said, None, (), verses), after

    def reordered(self, i: int) -> tuple[SpokenReference, int] | None:
        """The forms that name the book after the chapter, or an epistle by its reader."""
        return self._ordered_psalm(i) or self._book_last(i) or self._letter(i)

    def book(self, i: int) -> _Book | None:
        """The longest name of a book that begins at a token."""
        prefix = _PREFIX.get(self.word(i))
        named = self._name(i + 1, prefix) if prefix is not None and self.gap(i + 1).strip() == "" else None
        if named is None:
            prefix, named = None, self._name(i, None)
        if named is None:
            return None
        after, name = named
        doubtful = prefix is not None and self.word(i) in _DOUBTFUL_PREFIX
        doubtful = doubtful and (self.word(i) != "i" or name.said not in _PEOPLES)
        needs_verse = name.abbreviated and name.written in _table()["references"]["abbreviations"]
        return _Book(name.number, name.said, prefix, after, name.abbreviated, doubtful, needs_verse)

    def place(self, i: int, named: _Book) -> _Place | None:
        """Chapter and verse after the name of a book."""
        marked = several = False
        if self.word(i) in _CHAPTER and self.soon(i):
            i, marked, several = self._past_point(i), True, self.word(i) == "chapters"
        elif self.word(i) in _VERSE and self.soon(i) and chapters_in(named.number) == 1:
            return self._only_chapter(i, named.number)
        elif not self._after_name(i, named):
            return None
        place = self._chapter_and_verse(i, named.number, marked, several)
        if place is None or place.verses:
            return place
        # "Zetham, and Joel, three": a list. "Daniel three times": a count.
        listed = not place.marked and "," in self.gap(i)
        counted = not place.marked and self._counted(place.next)
        return None if named.needs_verse or listed or counted else place

    def ranges(self, first: int, i: int, most: int) -> tuple[tuple[Range, ...], int]:
        """Numbers that go on from `first`: "-15", "to 15", "and 18", ", 20 and 22"; neighbours make a range."""
        found = [[first, first]]
        while True:
            through, at = self._continued(i)
            if self.word(at) in _VERSE and at > i:
                at += 1
            number = self.number(at) if at < len(self.tokens) else None
            if number is None or number.follows or not found[-1][1] < number.value <= most:
                break
            if self._begins_another(at, number.next):
                break
            if through or number.value == found[-1][1] + 1:
                found[-1][1] = number.value
            else:
                found.append([number.value, number.value])
            i = self._past_letter(number.next)
        return tuple((low, high) for low, high in found), i

    def _chapter_and_verse(self, i: int, number: int, marked: bool, several: bool) -> _Place | None:
        # "chapters one, two and three": no number after the first is a verse.
        said = self._said(i)[: 1 if several else None]
        if not said:
            return None
        if chapters_in(number) == 1 and (said[0].value > 1 or self._ends(said[0].next)):
            return self._only_chapter(i, number, chapter_marked=marked)
        best: tuple[int, _Place] | None = None
        for count in (1, 2):
            chapter = together(said[:count]) if len(said) >= count else None
            if chapter is None:
                continue
            after = said[count - 1].next
            for length, place in self._places(number, chapter, said[count:], after, marked):
                if best is None or count + length > best[0]:
                    best = (count + length, place)
        return self._run_together(said[0], number) if best is None else best[1]

    def _places(
        self, number: int, chapter: int, rest: list[Number], after: int, marked: bool
    ) -> Iterator[tuple[int, _Place]]:
        """The ways to read a verse, or more chapters, after a chapter, each with how much speaks for it."""
        if chapter > chapters_in(number):
            return
        at = self._verse_at(after)
        if at is not None:
            said, most = self._said(at), verses_in(number, chapter)
            for count in (2, 1):
                verse = together(said[:count]) if len(said) >= count else None
                # In digits what is no verse is a slip, and still a reference.
                if verse is not None and (verse <= most or (not said[0].worded and verse <= _MOST_VERSES)):
                    verses, end = self.ranges(verse, self._past_letter(said[count - 1].next), most)
                    last, end = self._later_chapter(end, number, chapter) if len(verses) == 1 else (None, end)
                    yield _MOST_SAID + count, _Place(((chapter, chapter),), verses, end, True, last)
                    return
        for count in (1, 2):
            verse = together(rest[:count]) if len(rest) >= count else None
            if verse is not None and verse <= verses_in(number, chapter):
                verses, end = self.ranges(verse, rest[count - 1].next, verses_in(number, chapter))
                yield count, _Place(((chapter, chapter),), verses, end, marked)
        chapters, end = self.ranges(chapter, after, chapters_in(number))
        yield 0, _Place(chapters, (), end, marked)

    def _later_chapter(self, i: int, number: int, chapter: int) -> tuple[tuple[int, int] | None, int]:
        """The end of "1:1-2:3", and the token after it."""
        through, at = self._continued(i)
        at += through and self.word(at) == "chapter"
        last = self.number(at) if through else None
        verse = self._verse_at(last.next) if last is not None and chapter < last.value <= chapters_in(number) else None
        end = self.number(verse) if verse is not None else None
        return (None, i) if last is None or end is None else ((last.value, end.value), end.next)

    def _only_chapter(self, i: int, number: int, chapter_marked: bool = False) -> _Place | None:
        """ "Jude 24": a book of one chapter is cited without it."""
        at = self._past_point(i) if self.word(i) in _VERSE else i
        said = self.number(at)
        if said is None or said.value > verses_in(number, 1):
            return None
        if chapter_marked:
            return _Place(((1, 1),), (), said.next, True) if said.value == 1 else None
        verses, end = self.ranges(said.value, self._past_letter(said.next), verses_in(number, 1))
        return _Place(((1, 1),), verses, end, at > i)

    def _run_together(self, said: Number, number: int) -> _Place | None:
        """ "John 316", "John twenty five": no chapter, but in one way only a chapter and a verse."""
        digits = str(said.value)
        ways = [(int(digits[:k]), int(digits[k:])) for k in range(1, len(digits)) if digits[k] != "0"]
        if said.worded or len(digits) < 3:
            tens, ones = divmod(said.value, 10)
            ways = [(10 * tens, ones)] if said.worded and ones and 2 <= tens < 10 else []
        ways = [(c, v) for c, v in ways if c <= chapters_in(number) and v <= verses_in(number, c)]
        if len(ways) != 1:
            return None
        (chapter, verse) = ways[0]
        verses, end = self.ranges(verse, said.next, verses_in(number, chapter))
        return None if self._counted(end) else _Place(((chapter, chapter),), verses, end, False)

    def _said(self, i: int) -> list[Number]:
        """The numbers from a token on, with no more than a comma between them."""
        found: list[Number] = []
        while len(found) < _MOST_SAID and (number := self.number(i)) is not None:
            if not found and number.follows:
                break
            found.append(number)
            i = number.next
            if not (self.blank(i) or re.fullmatch(r"\s*,\s+", self.gap(i))):
                break
        return found

    def _verse_at(self, i: int) -> int | None:
        """Where the number of the verse stands, if a colon or "verse" says that it is one."""
        if _COLON.fullmatch(self.gap(i)) and self.word(i).isdecimal():
            return i
        if self.word(i) == "and" and self.blank(i) and self.word(i + 1) in ("verse", "verses"):
            i += 1
        if self.word(i) in _VERSE and (self.soon(i) or self.gap(i) in ("", ":", "; ")):
            return self._past_point(i)
        return None

    def _continued(self, i: int) -> tuple[bool, int]:
        """Whether a range or a list goes on at a token, and where its next number is."""
        gap, word = self.gap(i), self.word(i)
        if _DASH.fullmatch(gap):
            return True, i
        if word in _TO and self.blank(i):
            return True, i + 1
        if word == "and" and (self.blank(i) or _LISTED.fullmatch(gap)):
            return False, i + 1
        return False, i if _LISTED.fullmatch(gap) else len(self.tokens)

    def _begins_another(self, i: int, after: int) -> bool:
        """Whether a number belongs to what follows: "and 4:10", "and 2 Peter", ", 20 people"."""
        if _COLON.fullmatch(self.gap(after)) and self.word(after).isdecimal():
            return True
        named = self.book(i)
        if named is not None and named.prefix is not None:
            return True
        return self._counted(after) and self.word(after) != "of"

    def _ordered_psalm(self, i: int) -> tuple[SpokenReference, int] | None:
        found = self.ordinal(i)
        if found is None or self.word(found[1]) not in ("psalm", "psalms") or not 1 <= found[0] <= 150:
            return None
        chapter, after = found
        named = _Book(19, "psalm", None, after + 1)
        return self._reference(i, named, self._with_verses(chapter, 19, after + 1))

    def _book_last(self, i: int) -> tuple[SpokenReference, int] | None:
        verses: tuple[Range, ...] = ()
        at = i
        if self.word(at) in _VERSE and (number := self.number(self._past_point(at))) is not None:
            verses, at = self.ranges(number.value, number.next, _MOST_VERSES)
            if self.word(at) not in ("of", "in", "from"):
                return None
            at += 1
        start = at
        at += self.word(at) == "the"
        chapter = None
        if (ordered := self.ordinal(at)) is not None and self.word(ordered[1]) == "chapter":
            chapter, at = ordered[0], ordered[1] + 1
        elif self.word(at) == "chapter" and (number := self.number(self._past_point(at))) is not None:
            chapter, at = number.value, number.next
            if not verses and (verse := self._verse_at(at)) is not None and (number := self.number(verse)) is not None:
                verses, at = self.ranges(number.value, number.next, _MOST_VERSES)
        if chapter is None:
            if not verses or (found := self.reference(self._past_title(start))) is None or found[0].verses:
                return None
            reference, after = found
            chapters = reference.chapters
            if reference.book is None or len(chapters) != 1 or chapters[0][0] != chapters[0][1]:
                return None
            named = _Book(reference.book, reference.said, reference.prefix, after)
            return self._reference(i, named, _Place(chapters, verses, after, True))
        if self.word(at) not in ("of", "in", "from") or (named := self.book(self._past_title(at + 1))) is None:
            return None
        if named.abbreviated or not 1 <= chapter <= chapters_in(named.number):
            return None
        place = _Place(((chapter, chapter),), verses, named.next, True)
        return self._reference(i, named, place if verses else self._with_verses(chapter, named.number, named.next))

    def _letter(self, i: int) -> tuple[SpokenReference, int] | None:
        prefix, at = _PREFIX.get(self.word(i)), i + 1
        if prefix is None or self.word(at) not in ("letter", "epistle", "book"):
            return None
        if self.word(at + 1) not in ("to", "of"):
            return None
        at += 2
        at += self.word(at) == "the"
        named = self._name(at, prefix)
        if named is None or named[1].abbreviated:
            return None
        where = _Book(named[1].number, named[1].said, prefix, named[0])
        place = self.place(where.next, where)
        return None if place is None else self._reference(i, where, place)

    def _with_verses(self, chapter: int, number: int, i: int) -> _Place:
        at = self._verse_at(i)
        said = self.number(at) if at is not None else None
        if said is None or said.value > verses_in(number, chapter):
            return _Place(((chapter, chapter),), (), i, True)
        verses, end = self.ranges(said.value, said.next, verses_in(number, chapter))
        return _Place(((chapter, chapter),), verses, end, True)

    def _name(self, i: int, prefix: int | None) -> tuple[int, _Name] | None:
        if self.possessive and self.word(i).endswith("'s") and self.word(i + 1) in ("gospel", "letter", "epistle"):
            owned = _names().get((prefix, self.word(i)[:-2]), [])
            return next(((i + 2, name) for words, name in owned if len(words) == 1 and not name.abbreviated), None)
        for words, name in _names().get((prefix, self.word(i)), ()):
            end = i + len(words)
            if [token.word for token in self.tokens[i:end]] != list(words):
                continue
            if not all(self.blank(k) for k in range(i + 1, end)):
                continue
            if name.abbreviated and not (self.text[self.tokens[i].start].isupper() and self._digit_soon(end)):
                continue
            return end, name
        return None

    def _after_name(self, i: int, named: _Book) -> bool:
        """Whether a number may be the chapter, from what stands between it and the name."""
        gap = self.gap(i)
        if named.abbreviated:
            return bool(re.fullmatch(r"\.?\s*", gap))
        return bool(self.blank(i) or re.fullmatch(r"\s*,\s*", gap))

    def _reference(self, i: int, named: _Book, place: _Place) -> tuple[SpokenReference, int]:
        said = _table()["said_alike"].get(named.said, named.said)
        start, end = self._span(i, place.next)
        found = SpokenReference(start, end, named.number, said, named.prefix, place.chapters, place.verses, place.last)
        return found, place.next

    def _past_title(self, i: int) -> int:
        """The token after "the book of", "the gospel according to Saint"."""
        while self.word(i) in _LEADING:
            i += 1
        return i

    def _past_letter(self, i: int) -> int:
        """The token after the a of "3:16a"."""
        return i + 1 if self.word(i) in ("a", "b", "c") and self.gap(i) == "" else i

    def _past_point(self, i: int) -> int:
        return i + 1 if re.fullmatch(r"\.?\s*", self.gap(i + 1)) else len(self.tokens)

    def _counted(self, i: int) -> bool:
        """Whether the word at a token makes the number before it a count of things."""
        return self.blank(i) and self.word(i) in _table()["references"]["counted"]

    def _digit_soon(self, i: int) -> bool:
        return self.word(i)[:1].isdecimal() and bool(re.fullmatch(r"\.?\s*", self.gap(i)))

    def _ends(self, i: int) -> bool:
        return not (self._verse_at(i) is not None or (self.number(i) is not None and self.soon(i)))

    def _span(self, i: int, after: int) -> tuple[int, int]:
        return self.tokens[i].start, self.tokens[after - 1].end


def _joined(ranges: tuple[Range, ...]) -> str:
    return ",".join(str(low) if low == high else f"{low}-{high}" for low, high in ranges)


@cache
def _table() -> dict:
    table = tomllib.loads(Path(__file__).with_name("church_english.toml").read_text(encoding="utf-8"))
    table["references"] = {key: frozenset(words) for key, words in table["references"].items()}
    return table


@cache
def _names() -> dict[tuple[int | None, str], list[tuple[tuple[str, ...], _Name]]]:
    """The names of the books by the number before them and their first word, the longest first."""
    full = {row.english.casefold() for row in BOOKS}
    spoken = _table()["spoken_books"]
    found: dict[tuple[int | None, tuple[str, ...]], _Name] = {}
    names = [(row.number, name) for row in BOOKS for name in (row.english, *row.english_names, row.osis, row.code)]
    names += [(find_book(code).number, name) for name, code in spoken.items()]
    for number, written in names:
        name = written.casefold()
        abbreviated = name not in full and name not in spoken
        match = _NUMBERED.fullmatch(name)
        prefix, base = (int(match[1]), match[2]) if match else (None, name)
        said = base if not abbreviated else book(number).english.casefold().lstrip("123 ")
        if not abbreviated or (len(base.split()) == 1 and len(base) > 1):
            found.setdefault((prefix, tuple(base.split())), _Name(number, said, base, abbreviated))
    table: dict[tuple[int | None, str], list[tuple[tuple[str, ...], _Name]]] = {}
    for (prefix, words), name in sorted(found.items(), key=lambda item: -len(item[0][1])):
        table.setdefault((prefix, words[0]), []).append((words, name))
    return table
