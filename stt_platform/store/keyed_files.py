"""Rows that are kept by key and can be made again: files in a folder, for any number of processes at once.

Every call of `keep` writes a file of its own that is named by its content: processes can write at the same time, and a
file whose bytes do not give its name is damaged. Nothing here is needed for good: the folder can be deleted.
"""

import hashlib
import io
from collections.abc import Collection, Mapping
from dataclasses import astuple
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar, get_type_hints

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from stt_platform.machine.files import one_at_a_time, write_atomically

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

T = TypeVar("T", bound="DataclassInstance")

_COLUMN_TYPES = {str: pa.string(), int: pa.int64(), float: pa.float64(), float | None: pa.float64()}
_KEY = pa.field("key", pa.string(), nullable=False)


class KeyedFiles(Generic[T]):
    """Values by key, for one subject such as a model. A subclass says what they are.

    Attributes:
        kind: the dataclass of a value: fields of text, whole and real numbers, required unless `float | None`.
        made_again: what becomes of the keys of a damaged file, in words that end a sentence.
        damaged: a sentence for each file that `find` or `compact` could not use the last time; its keys count as not
            kept.
    """

    kind: ClassVar[type]
    made_again: ClassVar[str]

    def __init__(self, folder: Path, subject: str) -> None:
        """Look at the subject's own folder below `folder`.

        Args:
            subject: whatever decides the values beside the key; written into `subject.txt` for people.
        """
        self.folder = folder / hashlib.sha256(subject.encode()).hexdigest()[:32]
        self.damaged: tuple[str, ...] = ()
        self._subject = subject
        columns = get_type_hints(self.kind)
        self._schema = pa.schema(
            [_KEY, *(pa.field(name, _COLUMN_TYPES[kind], kind == float | None) for name, kind in columns.items())]
        )

    def find(self, keys: Collection[str]) -> dict[str, T]:
        """Return the values of those keys that are kept. Where a key has two, the one that sorts first."""
        wanted = pa.array(sorted(keys), pa.string())
        found = self._by_key([table.filter(pc.is_in(table["key"], wanted)) for _, table in self._parts()])
        return {key: self.kind(*values) for key, values in found.items()}

    def keep(self, made: Mapping[str, T]) -> None:
        """Write values to the disk; they are there when this returns."""
        if not made:
            return
        name = self.folder / "subject.txt"
        if not name.exists():
            write_atomically(name, f"{self._subject}\n".encode())
        self._write({key: astuple(value) for key, value in made.items()})

    def compact(self) -> int:
        """Put all files into one, which is quicker to search; returns how many there were.

        Other processes may read and keep meanwhile. Damaged files stay as they are.
        """
        if not self.folder.is_dir():
            return 0
        with one_at_a_time(self.folder / ".lock"):
            parts = self._parts()
            if len(parts) > 1:
                whole = self._write(self._by_key([table for _, table in parts]))
                for path, _ in parts:
                    if path != whole:
                        path.unlink(missing_ok=True)
        return len(parts)

    def _write(self, made: Mapping[str, tuple[Any, ...]]) -> Path:
        rows = [(key, *values) for key, values in sorted(made.items())]
        columns = zip(zip(*rows, strict=True), self._schema, strict=True)
        table = pa.Table.from_arrays([pa.array(column, field.type) for column, field in columns], schema=self._schema)
        buffer = io.BytesIO()
        pq.write_table(table, buffer)
        data = buffer.getvalue()
        path = self.folder / f"{hashlib.sha256(data).hexdigest()}.parquet"
        write_atomically(path, data)
        return path

    def _parts(self) -> list[tuple[Path, pa.Table]]:
        while True:
            try:
                return self._read_parts()
            except FileNotFoundError:
                # Another process put the files together after they were listed; what they held is in a new one.
                continue

    def _read_parts(self) -> list[tuple[Path, pa.Table]]:
        parts, damaged = [], []
        for path in sorted(self.folder.glob("*.parquet")):
            data = path.read_bytes()
            if hashlib.sha256(data).hexdigest() != path.stem:
                damaged.append(
                    f"{path} is damaged ({len(data)} bytes that do not give its name): it is skipped and "
                    f"{self.made_again}; delete it"
                )
                continue
            parts.append((path, pq.ParquetFile(pa.BufferReader(data)).read()))
        self.damaged = tuple(damaged)
        return parts

    def _by_key(self, tables: list[pa.Table]) -> dict[str, tuple[Any, ...]]:
        found: dict[str, tuple[Any, ...]] = {}
        for table in tables:
            columns = [table[name].to_pylist() for name in self._schema.names]
            for key, *row in zip(*columns, strict=True):
                values = tuple(row)
                found[key] = min(found.get(key, values), values)
        return found
