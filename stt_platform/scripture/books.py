"""The 66 books: numbers, codes, names in both languages, testament and genre. The table is `books.toml`."""

import re
import tomllib
import unicodedata
from dataclasses import dataclass
from functools import cache
from pathlib import Path

GENRES = ("pentateuch", "history", "poetry", "prophecy", "gospels", "epistles", "apocalyptic")
"""The platform's seven genres, in the order of the books. Acts counts among the epistles."""

_ORDINALS = {
    "1": ("i", "1st", "first", "1o", "1a", "1ro", "1ra", "primer", "primero", "primera"),
    "2": ("ii", "2nd", "second", "2o", "2a", "2do", "2da", "segundo", "segunda"),
    "3": ("iii", "3rd", "third", "3o", "3a", "3ro", "3ra", "tercer", "tercero", "tercera"),
}
_FILLERS = {
    *("the", "of", "to", "according", "gospel", "epistle", "letter", "book", "apostle", "saint", "st", "paul"),
    *("el", "la", "los", "las", "a", "al", "de", "del", "segun", "evangelio", "epistola", "carta"),
    *("libro", "apostol", "san", "s", "pablo", "universal"),
}
_NUMERAL = {word: digit for digit, words in _ORDINALS.items() for word in words}


class BadReference(ValueError):
    """A reference, or the name of a book, that nothing can be found by."""


@dataclass(frozen=True)
class Book:
    """One book. `code` is that of USFM ("GEN"), `osis` that of OSIS and SWORD ("Gen")."""

    number: int
    code: str
    osis: str
    english: str
    spanish: str
    testament: str
    genre: str
    english_names: tuple[str, ...]
    spanish_names: tuple[str, ...]


def _read() -> tuple[Book, ...]:
    table = tomllib.loads(Path(__file__).with_name("books.toml").read_text(encoding="utf-8"))
    lists = ("english_names", "spanish_names")
    return tuple(Book(**row | {name: tuple(row[name]) for name in lists}) for row in table["books"])


BOOKS = _read()
"""All 66, in the order of the canon: `BOOKS[0]` is Genesis."""


def book(number: int) -> Book:
    """Return the book of that number, 1 to 66. Raises `BadReference`."""
    if not 1 <= number <= len(BOOKS):
        raise BadReference(f"{number!r} is no number of a book: 1 (Genesis) to 66 (Revelation) were expected")
    return BOOKS[number - 1]


def find_book(name: str) -> Book:
    """Return the book of a name or code in English or Spanish: "GEN", "Gen", "Génesis", "I Samuel", "1 Corintios".

    Case, accents, dots and spaces do not matter, nor does what titles say besides the name, as in "Primera
    Epístola de San Pablo a los Corintios". Raises `BadReference`.
    """
    words = _words(name)
    found = _by_name().get("".join(words)) or _by_name().get("".join(word for word in words if word not in _FILLERS))
    if found is None:
        raise BadReference(
            f"{name!r} is the name of no book: a USFM or OSIS code or an English or Spanish name was expected, "
            'such as "GEN", "Genesis" or "Génesis"'
        )
    return found


@cache
def _by_name() -> dict[str, Book]:
    # Codes last: where an abbreviation of one book is the code of another, the code counts.
    table = {}
    for names in (
        lambda row: (*row.english_names, *row.spanish_names),
        lambda row: (row.english, row.spanish, row.osis),
        lambda row: (row.code,),
    ):
        for row in BOOKS:
            table.update({"".join(_words(name)): row for name in names(row)})
    return table


def _words(name: str) -> list[str]:
    plain = unicodedata.normalize("NFKD", name.casefold())
    plain = "".join(char for char in plain if not unicodedata.combining(char))
    words = re.findall(r"[^\W_]+", plain)
    # "1Cor", "1Corintios", but not "1ra".
    if words and words[0] not in _NUMERAL and (match := re.fullmatch(r"([123])([^\W\d].*)", words[0])):
        words[0:1] = match.groups()
    # "1. a Juan" comes of "1.ª Juan".
    if len(words) > 2 and words[0].isdigit() and words[1] in ("a", "o"):
        del words[1]
    if len(words) > 1:
        words[0] = _NUMERAL.get(words[0], words[0])
    return words
