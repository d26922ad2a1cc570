"""What the loaders share: offers, raw texts, and files that may be compressed."""

import bz2
import gzip
import lzma
import sqlite3
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from stt_platform.scripture.known import KnownText, known_as, language_named, slug

_OPENERS = {".gz": gzip.open, ".xz": lzma.open, ".bz2": bz2.open}
_MAX_BYTES = 1 << 29


class DamagedSourceError(ValueError):
    """A file that cannot be read as what it claims to be."""


@dataclass(frozen=True)
class Offer:
    """A text that a file or folder has. `key` says which one in it: a table, a module, a column."""

    loader: str
    path: Path
    key: str
    text_id: str
    language: str
    title: str
    licence: str
    attribution: str

    @property
    def source(self) -> str:
        """The loader and the file, for people."""
        return f"{self.loader}: {self.path.name}" + (f" ({self.key})" if self.key else "")


@dataclass(frozen=True)
class RawText:
    """A text as published: `rows` are BBCCCVVV and the text with all its markup, in the order of the source."""

    offer: Offer
    rows: tuple[tuple[int, str], ...]


class Shelf:
    """Files opened for one search, each read once; closed together.

    `known` are the verses of texts that were read before, for a loader that has to recognise its own.
    """

    def __init__(self) -> None:
        self.known: list[Mapping[int, str]] = []
        self._bytes: dict[Path, bytes] = {}
        self._databases: dict[Path, sqlite3.Connection] = {}

    def __enter__(self) -> "Shelf":
        return self

    def __exit__(self, *_: object) -> None:
        for database in self._databases.values():
            database.close()
        self._databases.clear()
        self._bytes.clear()

    def head(self, path: Path, size: int = 4096) -> bytes:
        """Read the first bytes of a file, unpacked."""
        if path in self._bytes:
            return self._bytes[path][:size]
        with _open(path) as file:
            return file.read(size)

    def read(self, path: Path) -> bytes:
        """Read a file's bytes, unpacked. Raises `DamagedSourceError` for one that unpacks to over 512 MB."""
        if path not in self._bytes:
            with _open(path) as file:
                data = file.read(_MAX_BYTES + 1)
            if len(data) > _MAX_BYTES:
                raise DamagedSourceError(f"{path} unpacks to over {_MAX_BYTES >> 20} MB, which no Bible text does")
            self._bytes[path] = data
        return self._bytes[path]

    def text(self, path: Path) -> str:
        """Read a file's text: UTF-8, with or without its mark, else Windows-1252."""
        data = self.read(path)
        try:
            return data.decode("utf-8-sig")
        except UnicodeDecodeError:
            return data.decode("cp1252", "replace")

    def database(self, path: Path) -> sqlite3.Connection:
        """Open a SQLite file, read-only; a packed one is held in memory."""
        if path not in self._databases:
            if path.suffix in _OPENERS:
                database = sqlite3.connect(":memory:")
                database.deserialize(self.read(path))
                self._bytes.pop(path)
            else:
                database = sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro&immutable=1", uri=True)
            self._databases[path] = database
        return self._databases[path]

    def tables(self, path: Path) -> dict[str, tuple[str, ...]]:
        """Return the columns of each table of a SQLite file, in lower case; nothing where it is no SQLite file."""
        if not self.head(path, 16).startswith(b"SQLite format 3"):
            return {}
        database = self.database(path)
        names = [name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        return {
            name: tuple(
                column.casefold() for (column,) in database.execute("SELECT name FROM pragma_table_info(?)", (name,))
            )
            for name in sorted(names)
        }


def unpacked_name(path: Path) -> str:
    """Return the file's name without the ending of its compression: "t_kjv.csv" for "t_kjv.csv.gz"."""
    return path.stem if path.suffix in _OPENERS else path.name


def stem_of(path: Path) -> str:
    """Return the file's name without its endings: "t_kjv" for "t_kjv.csv.gz"."""
    return unpacked_name(path).rpartition(".")[0] or unpacked_name(path)


def ends_with(path: Path, *endings: str) -> bool:
    """Return whether a file, unpacked, has one of these endings."""
    return unpacked_name(path).casefold().endswith(endings)


def offer_of(
    loader: str,
    path: Path,
    key: str,
    names: Iterable[str],
    *,
    language: str = "",
    title: str = "",
    licence: str = "",
    attribution: str = "",
) -> Offer:
    """Return an offer under the id of the known text that a name means, else under the first name as an id.

    The text's own licence counts before that of the table: an edition may have another.
    """
    names = [name for name in names if name]
    known: KnownText | None = known_as(*names)
    if known:
        return Offer(
            loader, path, key, known.id, known.language, known.title, licence or known.licence, known.attribution
        )
    title = title or names[0]
    return Offer(
        loader,
        path,
        key,
        slug(names[0]),
        language_named(language),
        title,
        licence or "unknown: ask the publisher before use",
        attribution or title,
    )


def as_number(value: object) -> int:
    """Return a BBCCCVVV number of a cell: 1001001, "01001001". 0 where it is none."""
    try:
        return int(value)  # type: ignore[call-overload]
    except (TypeError, ValueError):
        return 0


def _open(path: Path) -> BinaryIO:
    return _OPENERS.get(path.suffix, open)(path, "rb")
