"""The glossary as data: terms, their senses in Spanish, and where each sense holds.

One row of the table is one sense. Rows with the same `term_id` are senses of one English term: "James" is Jacobo the
apostle and Santiago the epistle. Lists inside a cell are separated by `|`.
"""

import csv
import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from stt_platform.scripture.books import BOOKS, BadReference, find_book
from stt_platform.scripture.references import parse_range

COLUMNS = (
    *("term_id", "en", "es", "pos", "domain", "sense", "scope", "note", "source"),
    *("en_article", "es_article", "en_forms", "es_forms", "forbidden"),
)
POS = ("noun", "name", "book", "verb", "adjective", "phrase")
DOMAINS = (
    *("soteriology", "theology", "christology", "pneumatology", "ecclesiology", "worship", "ordinances", "offices"),
    *("eschatology", "typology", "scripture", "virtues", "sins", "christian life", "creation", "people", "places"),
    *("peoples", "books"),
)
ENGLISH_ARTICLES = ("", "the", "a", "an")
SPANISH_ARTICLES = ("", "el", "la", "los", "las")

_ID = re.compile(r"[a-z0-9]+(?:-[a-z0-9]+)*")
_REGISTER = re.compile(r"register=([a-z]+)")
_SPANISH_FORM = re.compile(r"~[^\W\d_]+[aeiíu]r(?:se)?|[^\W\d_][^\W_]*\*?(?:[ '’-][^\W_]+\*?)*")
_ENGLISH_FORM = re.compile(r"[^\W_]+(?:[ '’-][^\W_]+)*(?: #)?")
_MIN_STEM = 3


class BadGlossary(ValueError):
    """A glossary that cannot be read: names the file, the line, the value and the remedy."""


@dataclass(frozen=True)
class Scope:
    """Where a sense holds: ranges of BBCCCVVV numbers (both ends included), registers of speech, or everywhere.

    A sense with registers only ("sermon") is never that of a verse.
    """

    ranges: tuple[tuple[int, int], ...] = ()
    registers: tuple[str, ...] = ()

    def holds(self, ref: int | None) -> bool:
        """Return whether the sense can be meant at this verse; without a verse (a sermon) every sense can."""
        if ref is None or not (self.ranges or self.registers):
            return True
        return any(first <= ref <= last for first, last in self.ranges)

    @classmethod
    def parse(cls, text: str) -> "Scope":
        """`OT`, `NT`, a book (`JAS`), books (`MAT-ACT`), verses (`2CO 13:14`, `1CO 11:20-34`), a chapter
        (`1CO 13`) or `register=sermon`, any number of them separated by `|`; empty is everywhere.

        Raises `BadReference` with the value.
        """
        ranges, registers = [], []
        for item in _list(text):
            if register := _REGISTER.fullmatch(item):
                registers.append(register[1])
            else:
                ranges.append(_verses(item))
        return cls(tuple(ranges), tuple(registers))


@dataclass(frozen=True)
class Sense:
    """One row: an English term in one of its meanings, and its Spanish.

    Attributes:
        name: tells the senses of a term apart ("apostle", "epistle"); may be empty where there is one.
        en, es: the lemmas; `es` is what a hint gives.
        en_forms, es_forms: what also counts as the term: irregular inflections, variants, and in Spanish other
            right renderings, those of RVR1909 among them. Regular inflections need no listing. A capital letter
            must stand in the text too ("Mark" is never "mark"). A Spanish word may end in `*`: any word that
            begins so; `~amar` stands for all regular forms of that verb. An English form may end in ` #`: it
            counts before a number or "chapter" ("James #").
        forbidden: renderings that are never right for this sense.
        en_article, es_article: what the term carries in a sentence ("the covenant", "el pacto"); empty for none.
    """

    term_id: str
    name: str
    en: str
    es: str
    pos: str
    domain: str
    scope: Scope = Scope()
    note: str = ""
    source: str = ""
    en_article: str = ""
    es_article: str = ""
    en_forms: tuple[str, ...] = ()
    es_forms: tuple[str, ...] = ()
    forbidden: tuple[str, ...] = ()
    scope_text: str = ""

    @property
    def key(self) -> tuple[str, str]:
        """(term_id, name): unique in a glossary."""
        return self.term_id, self.name


@dataclass(frozen=True)
class Term:
    """An English term and its senses, the usual one first."""

    term_id: str
    en: str
    senses: tuple[Sense, ...]


@dataclass(frozen=True, eq=False)
class Glossary:
    """Terms in the order of the table."""

    terms: tuple[Term, ...]

    @cached_property
    def senses(self) -> tuple[Sense, ...]:
        """All senses, in the order of the terms."""
        return tuple(sense for term in self.terms for sense in term.senses)

    @cached_property
    def _by_key(self) -> dict[tuple[str, str], Sense]:
        return {sense.key: sense for sense in self.senses}

    @cached_property
    def _by_id(self) -> dict[str, Term]:
        return {term.term_id: term for term in self.terms}

    def sense(self, term_id: str, name: str = "") -> Sense:
        """Return the sense of that term and name. Raises `KeyError`."""
        return self._by_key[term_id, name]

    def term(self, term_id: str) -> Term:
        """Return the term of that name. Raises `KeyError`."""
        return self._by_id[term_id]


def read_glossary(path: Path) -> Glossary:
    """Read a glossary from a CSV file in UTF-8 with the columns of `COLUMNS`.

    Refused are duplicates (a sense twice, an English form that two terms claim), unknown parts of speech, domains
    and articles, scopes that name no verses, and a rendering that is both allowed and forbidden.

    Raises:
        BadGlossary: naming file, line, value and remedy.
    """
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.DictReader(file, strict=True)
        try:
            _check_columns(path, reader.fieldnames or ())
            rows = [(reader.line_num, row) for row in reader]
        except UnicodeDecodeError as error:
            raise BadGlossary(f"{path} is not UTF-8 ({error.reason} at byte {error.start}): save it as UTF-8") from None
        except csv.Error as error:
            raise BadGlossary(f"{path}: line {reader.line_num} is not CSV: {error}") from None
    if not rows:
        raise BadGlossary(f"{path} has no term below its first line: restore it, or add one")
    return _joined(path, [(line, _sense(f"{path}: line {line}", row)) for line, row in rows])


def _check_columns(path: Path, found: Sequence[str]) -> None:
    missing = [name for name in COLUMNS if name not in found]
    unknown = [name for name in found if name not in COLUMNS]
    if missing or unknown:
        raise BadGlossary(
            f"{path}: line 1: missing columns {missing}, unknown columns {unknown}; expected {','.join(COLUMNS)}"
        )


def _sense(where: str, row: Mapping[str, str | None]) -> Sense:
    # Of a row that is too long the reader gives a list besides, and None for what a short one lacks.
    cells = {
        name: unicodedata.normalize("NFC", " ".join(value.split()))
        for name, value in row.items()
        if isinstance(value, str)
    }
    if len(cells) < len(row):
        raise BadGlossary(f"{where}: {len(COLUMNS)} cells were expected: quote a cell that holds a comma")
    for name in ("term_id", "en", "es", "pos", "domain"):
        if not cells[name]:
            raise BadGlossary(f"{where}: {name} is empty: fill it in")
    if not _ID.fullmatch(cells["term_id"]):
        raise BadGlossary(f"{where}: term_id {cells['term_id']!r}: use small letters, digits and single hyphens")
    for name, allowed in {
        "pos": POS,
        "domain": DOMAINS,
        "en_article": ENGLISH_ARTICLES,
        "es_article": SPANISH_ARTICLES,
    }.items():
        if cells[name] not in allowed:
            raise BadGlossary(f"{where}: {name} {cells[name]!r}: use one of {', '.join(filter(None, allowed))}")
    for name, forms, shape in (
        ("en", (cells["en"],), _ENGLISH_FORM),
        ("en_forms", _list(cells["en_forms"]), _ENGLISH_FORM),
        ("es", (cells["es"],), _SPANISH_FORM),
        ("es_forms", _list(cells["es_forms"]), _SPANISH_FORM),
        ("forbidden", _list(cells["forbidden"]), _SPANISH_FORM),
    ):
        _check_forms(where, name, forms, shape)
    try:
        scope = Scope.parse(cells["scope"])
    except BadReference as error:
        raise BadGlossary(
            f"{where}: scope {cells['scope']!r}: {error}. Use OT, NT, a book (JAS), books (MAT-ACT), verses "
            "(2CO 13:14) or register=sermon, separated by |"
        ) from None
    return Sense(
        term_id=cells["term_id"],
        name=cells["sense"],
        en=cells["en"],
        es=cells["es"],
        pos=cells["pos"],
        domain=cells["domain"],
        scope=scope,
        note=cells["note"],
        source=cells["source"],
        en_article=cells["en_article"],
        es_article=cells["es_article"],
        en_forms=_list(cells["en_forms"]),
        es_forms=_list(cells["es_forms"]),
        forbidden=_list(cells["forbidden"]),
        scope_text=cells["scope"],
    )


def _check_forms(where: str, column: str, forms: Sequence[str], shape: re.Pattern[str]) -> None:
    for form in forms:
        if not shape.fullmatch(form) or (column in ("en", "es") and form.strip("*#~") != form):
            raise BadGlossary(
                f"{where}: {column} {form!r}: words joined by spaces, hyphens or apostrophes were expected, in Spanish "
                "forms with * at the end of a stem or ~ before a verb, in English forms with a final # for a number"
            )
        for word in form.split():
            if word.endswith("*") and len(word) <= _MIN_STEM:
                raise BadGlossary(f"{where}: {column} {form!r}: a stem needs {_MIN_STEM} letters before its *")


def _joined(path: Path, rows: Sequence[tuple[int, Sense]]) -> Glossary:
    first_line: dict[tuple[str, str], int] = {}
    claimed: dict[str, tuple[str, int]] = {}
    terms: dict[str, list[Sense]] = {}
    for line, sense in rows:
        if sense.key in first_line:
            raise BadGlossary(
                f"{path}: line {line}: term_id {sense.term_id!r} with sense {sense.name!r} is also on line "
                f"{first_line[sense.key]}: give the second another sense, or remove it"
            )
        first_line[sense.key] = line
        for form in (sense.en, *sense.en_forms):
            owner, owner_line = claimed.setdefault(form, (sense.term_id, line))
            if owner != sense.term_id:
                raise BadGlossary(
                    f"{path}: line {line}: {form!r} of {sense.term_id!r} is also a form of {owner!r} on line "
                    f"{owner_line}: make both senses of one term, or keep the form in one of them"
                )
        allowed = {form.casefold() for form in (sense.es, *sense.es_forms)}
        for form in sense.forbidden:
            if form.casefold() in allowed:
                raise BadGlossary(f"{path}: line {line}: {form!r} is allowed and forbidden: choose one")
        terms.setdefault(sense.term_id, []).append(sense)
    return Glossary(tuple(Term(term_id, senses[0].en, tuple(senses)) for term_id, senses in terms.items()))


def _list(cell: str) -> tuple[str, ...]:
    return tuple(item.strip() for item in cell.split("|") if item.strip())


def _verses(item: str) -> tuple[int, int]:
    if item in ("OT", "NT"):
        numbers = [book.number for book in BOOKS if book.testament == item]
        return _books(numbers[0], numbers[-1])
    if re.fullmatch(r"[1-3]?[A-Z]{2,3}(-[1-3]?[A-Z]{2,3})?", item):
        ends = [find_book(code).number for code in item.split("-")]
        if ends[-1] < ends[0]:
            raise BadReference(f"{item!r} ends before it begins")
        return _books(ends[0], ends[-1])
    verses = parse_range(item)
    return verses[0].number, verses[-1].number


def _books(first: int, last: int) -> tuple[int, int]:
    return first * 1_000_000, last * 1_000_000 + 999_999
