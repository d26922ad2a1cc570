"""The newer scrollmapper schema (2025): JSON, CSV (Book,Chapter,Verse,Text) and SQLite (`KJV_books`, `KJV_verses`).

It has no BBCCCVVV: a book is known by its name, or by its place where the name is none that is known.
"""

import csv
import io
import json
import sqlite3
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from stt_platform.scripture.books import BOOKS, BadReference, find_book
from stt_platform.scripture.sources.base import (
    DamagedSourceError,
    Offer,
    RawText,
    Shelf,
    as_number,
    ends_with,
    offer_of,
    stem_of,
)

_LOADER = "scrollmapper"


def offers(path: Path, shelf: Shelf) -> list[Offer]:
    """List the texts of a file; none where it is of another kind."""
    if ends_with(path, ".json"):
        head = shelf.head(path, 2000)
        return [offer_of(_LOADER, path, "", _names(path, head))] if b'"books"' in head and b'"chapters"' in head else []
    if ends_with(path, ".csv"):
        header = shelf.head(path, 200).decode("utf-8-sig", "replace").split("\n", 1)[0].strip().casefold()
        return [offer_of(_LOADER, path, "", (stem_of(path),))] if header == "book,chapter,verse,text" else []
    if ends_with(path, ".db", ".sqlite", ".sqlite3"):
        tables = shelf.tables(path)
        found = [name.removesuffix("_verses") for name, columns in tables.items() if _has_verses(name, columns, tables)]
        editions = _editions(shelf.database(path)) if found else {}
        return [_offer(path, name, editions) for name in found]
    return []


def load(offer: Offer, shelf: Shelf) -> RawText:
    """Read the rows of one text."""
    if ends_with(offer.path, ".json"):
        return RawText(offer, tuple(_json_rows(offer.path, shelf)))
    if ends_with(offer.path, ".csv"):
        reader = csv.reader(io.StringIO(shelf.text(offer.path)))
        next(reader, None)
        rows = [tuple(row[:4]) for row in reader if len(row) >= 4]
        return RawText(offer, tuple(_numbered(rows, list(dict.fromkeys(row[0] for row in rows)))))
    # The name is one that the file itself listed, so quoting it is enough.
    name = offer.key.replace('"', '""')
    database = shelf.database(offer.path)
    books = [book for (book,) in database.execute(f'SELECT name FROM "{name}_books" ORDER BY id')]
    rows = database.execute(
        f'SELECT b.name, v.chapter, v.verse, v.text FROM "{name}_verses" v '
        f'JOIN "{name}_books" b ON b.id = v.book_id ORDER BY v.id'
    ).fetchall()
    return RawText(offer, tuple(_numbered(rows, books)))


def book_numbers(names: list[str]) -> dict[str, int]:
    """Return the number of each book by its name; by its place where there are 66 and a name is not known.

    Books that are not of the 66, the Apocrypha, are left out.
    """
    numbers = {}
    for place, name in enumerate(names, start=1):
        try:
            numbers[name] = find_book(str(name)).number
        except BadReference:
            if len(names) == len(BOOKS):
                numbers[name] = place
    return numbers


def _json_rows(path: Path, shelf: Shelf) -> Iterable[tuple[int, str]]:
    try:
        books = json.loads(shelf.read(path))["books"]
        rows = [
            (book["name"], chapter["chapter"], verse["verse"], verse.get("text"))
            for book in books
            for chapter in book["chapters"]
            for verse in chapter["verses"]
        ]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DamagedSourceError(f"{path} is no JSON of the scrollmapper schema: {error!r}") from error
    return _numbered(rows, [book["name"] for book in books])


def _numbered(rows: Iterable[tuple], names: list[str]) -> list[tuple[int, str]]:
    numbers = book_numbers(names)
    return [
        (numbers[book] * 1_000_000 + as_number(chapter) * 1_000 + as_number(verse), str(text or ""))
        for book, chapter, verse, text in rows
        if book in numbers
    ]


def _names(path: Path, head: bytes) -> tuple[str, ...]:
    text = head.decode("utf-8", "replace")
    _, _, after = text.partition('"translation"')
    translation = after.partition('"')[2].partition('"')[0] if after else ""
    return (stem_of(path), translation.partition(":")[0], translation.partition(":")[2].strip())


def _has_verses(name: str, columns: tuple[str, ...], tables: dict[str, tuple[str, ...]]) -> bool:
    return (
        name.endswith("_verses")
        and {"book_id", "chapter", "verse", "text"} <= set(columns)
        and "name" in tables.get(name.removesuffix("_verses") + "_books", ())
    )


def _offer(path: Path, name: str, editions: dict[str, tuple[str, str]]) -> Offer:
    title, licence = editions.get(name, ("", ""))
    return offer_of(_LOADER, path, name, (name, title.partition(":")[0]), title=title, licence=licence)


def _editions(database: sqlite3.Connection) -> dict[str, tuple[str, str]]:
    with suppress(sqlite3.DatabaseError):
        rows = database.execute("SELECT translation, title, license FROM translations").fetchall()
        return {name: (title or "", licence or "") for name, title, licence in rows}
    return {}
