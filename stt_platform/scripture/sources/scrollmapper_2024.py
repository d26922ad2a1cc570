"""The older scrollmapper schema: tables `t_kjv` … with id, book, chapter, verse and text; SQLite, CSV and JSON.

The id is BBCCCVVV, a number in SQLite and JSON and a quoted string in CSV. Book, chapter and verse have columns
of their own, but the id is what everything joins by, so the id counts.
"""

import csv
import io
import json
import sqlite3
from contextlib import suppress
from pathlib import Path

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

_COLUMNS = ("id", "b", "c", "v", "t")
_LOADER = "scrollmapper_2024"


def offers(path: Path, shelf: Shelf) -> list[Offer]:
    """List the texts of a file; none where it is of another kind."""
    if ends_with(path, ".csv") and stem_of(path).startswith("t_"):
        header = shelf.head(path, 200).split(b"\n", 1)[0].strip().lower().replace(b'"', b"")
        if header in (b"field,field,field,field,field", b"id,b,c,v,t"):
            return [_offer(path, stem_of(path), {})]
    if ends_with(path, ".json") and b'"resultset"' in shelf.head(path, 200):
        return [_offer(path, stem_of(path), {})]
    if ends_with(path, ".db", ".sqlite", ".sqlite3"):
        tables = shelf.tables(path)
        found = [name for name, columns in tables.items() if name.startswith("t_") and columns[:5] == _COLUMNS]
        editions = _editions(shelf.database(path)) if found else {}
        # A single table keeps no name of its own in the file's name.
        return [_offer(path, name, editions) for name in found]
    return []


def load(offer: Offer, shelf: Shelf) -> RawText:
    """Read the rows of one table."""
    if ends_with(offer.path, ".csv"):
        reader = csv.reader(io.StringIO(shelf.text(offer.path)))
        next(reader, None)
        rows = [(row[0], row[4]) for row in reader if len(row) >= 5]
    elif ends_with(offer.path, ".json"):
        try:
            fields = [row["field"] for row in json.loads(shelf.read(offer.path))["resultset"]["row"]]
            rows = [(field[0], field[4]) for field in fields]
        except (ValueError, KeyError, IndexError, TypeError) as error:
            raise DamagedSourceError(f"{offer.path} is no JSON of the older scrollmapper schema: {error}") from error
    else:
        # The name is one that the file itself listed, so quoting it is enough.
        table = offer.key.replace('"', '""')
        rows = shelf.database(offer.path).execute(f'SELECT id, t FROM "{table}" ORDER BY id').fetchall()
    return RawText(offer, tuple((as_number(number), str(text or "")) for number, text in rows))


def _offer(path: Path, table: str, editions: dict[str, tuple[str, str, str]]) -> Offer:
    language, title, licence = editions.get(table, ("", "", ""))
    key = table if not ends_with(path, ".csv", ".json") else ""
    return offer_of(
        _LOADER, path, key, (table.removeprefix("t_"), table), language=language, title=title, licence=licence
    )


def _editions(database: sqlite3.Connection) -> dict[str, tuple[str, str, str]]:
    with suppress(sqlite3.DatabaseError):
        rows = database.execute('SELECT "table", language, version, copyright FROM bible_version_key').fetchall()
        return {table: (language or "", version or "", licence or "") for table, language, version, licence in rows}
    return {}
