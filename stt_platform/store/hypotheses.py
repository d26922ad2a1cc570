"""Translations kept between runs: files below `STT_HOME/cache/hypotheses`, a folder for each model."""

import hashlib
import io
from collections.abc import Collection, Mapping
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from stt_platform.files import one_at_a_time, write_atomically
from stt_platform.translation.translator import Translation

_SCHEMA = pa.schema(
    [
        pa.field("key", pa.string(), nullable=False),
        pa.field("text", pa.string(), nullable=False),
        pa.field("tokens", pa.int64(), nullable=False),
        pa.field("status", pa.string(), nullable=False),
        pa.field("reason", pa.string(), nullable=False),
    ]
)


class HypothesisStore:
    """What one model has translated, by `hypothesis_key`.

    Every call of `keep` writes a file of its own that is named by its content: processes can write at the same time,
    and a file whose bytes do not give its name is damaged. Nothing here is needed for good: the folder can be deleted,
    and its texts are translated again.

    Attributes:
        damaged: a sentence for each file that `find` or `compact` could not use the last time; its texts count as not
            translated yet.
    """

    def __init__(self, home: Path, model: str) -> None:
        """`home` is STT_HOME; `model` is what `hypothesis_key` was given as the model."""
        self.folder = home / "cache" / "hypotheses" / hashlib.sha256(model.encode()).hexdigest()[:32]
        self.damaged: tuple[str, ...] = ()
        self._model = model

    def find(self, keys: Collection[str]) -> dict[str, Translation]:
        """Those of the keys that are kept. Where a key is kept with two texts, the one that sorts first."""
        wanted = pa.array(sorted(keys), pa.string())
        tables = [table.filter(pc.is_in(table["key"], wanted)) for _, table in self._parts()]
        return _by_key(tables)

    def keep(self, made: Mapping[str, Translation]) -> None:
        """Write translations to the disk; they are there when this returns."""
        if not made:
            return
        name = self.folder / "model.txt"
        if not name.exists():
            write_atomically(name, f"{self._model}\n".encode())
        self._write(made)

    def compact(self) -> int:
        """Put all files into one, which is quicker to search; returns how many there were.

        Other processes may read and keep meanwhile. Damaged files stay as they are.
        """
        if not self.folder.is_dir():
            return 0
        with one_at_a_time(self.folder / ".lock"):
            parts = self._parts()
            if len(parts) > 1:
                whole = self._write(_by_key([table for _, table in parts]))
                for path, _ in parts:
                    if path != whole:
                        path.unlink(missing_ok=True)
        return len(parts)

    def _write(self, made: Mapping[str, Translation]) -> Path:
        rows = [(key, done.text, done.tokens, done.status, done.reason) for key, done in sorted(made.items())]
        arrays = [pa.array(column, field.type) for column, field in zip(zip(*rows, strict=True), _SCHEMA, strict=True)]
        buffer = io.BytesIO()
        pq.write_table(pa.Table.from_arrays(arrays, schema=_SCHEMA), buffer)
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
                    f"{path} is damaged ({len(data)} bytes that do not give its name): it is skipped and its texts are "
                    "translated again; delete it"
                )
                continue
            parts.append((path, pq.ParquetFile(pa.BufferReader(data)).read()))
        self.damaged = tuple(damaged)
        return parts


def _by_key(tables: list[pa.Table]) -> dict[str, Translation]:
    found: dict[str, tuple[str, int, str, str]] = {}
    for table in tables:
        columns = [table[name].to_pylist() for name in _SCHEMA.names]
        for key, *row in zip(*columns, strict=True):
            value = tuple(row)
            found[key] = min(found.get(key, value), value)
    return {key: Translation(*value) for key, value in found.items()}
