"""Many small fragments in one file, for reading: opening a thousand files takes longer than what stands in them.

The fragments stay what is true. A compacted file, one for each table, says of each of its row groups which fragments it was
made from, as the file system knew them then; a group counts for as long as all of these are still there unchanged, and the
others are read one by one. So it is never wrong, only less useful with time, and anybody may delete it.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from stt_platform.machine.files import atomic_path

GROUP = 64
"""Fragments in a row group: so many are read one by one after one of them changed."""

_GROUPS = b"stt.groups"

Stamp = tuple[int, int, int]
"""Time of the last change in ns, bytes, inode: another content has another one, as fragments are replaced by renaming."""


def stamp_of(path: Path) -> Stamp:
    """Return how the file system knows a fragment. Raises FileNotFoundError."""
    status = path.stat()
    return status.st_mtime_ns, status.st_size, status.st_ino


@dataclass(frozen=True)
class Compacted:
    """The row groups of a compacted file that count, and the names of the fragments that they stand for."""

    path: Path
    buffer: pa.Buffer
    row_groups: tuple[int, ...]
    names: frozenset[str]

    def read(self) -> None:
        """Read all of it, to see whether it can be. Raises `pa.ArrowException` or OSError."""
        pq.read_table(pa.BufferReader(self.buffer), page_checksum_verification=True)


def find_compacted(path: Path, stamps: Mapping[str, Stamp]) -> Compacted | None:
    """What a compacted file has of the fragments with these stamps; None where there is none, or it cannot be read."""
    try:
        with pa.memory_map(str(path)) as file:
            buffer = file.read_buffer()
        written = pq.read_metadata(pa.BufferReader(buffer)).metadata or {}
        live = [
            (number, group)
            for number, group in json.loads(written[_GROUPS])
            if all(stamps.get(name) == tuple(stamp) for name, stamp in group.items())
        ]
    except (OSError, pa.ArrowException, KeyError, ValueError):
        return None
    row_groups = tuple(number for number, _ in live if number is not None)
    return Compacted(path, buffer, row_groups, frozenset(name for _, group in live for name in group))


def write_compacted(path: Path, schema: pa.Schema, fragments: Iterable[tuple[str, Stamp, pa.Table]]) -> None:
    """Write fragments, each as its name, stamp and rows with this schema, in the order given."""
    groups: list[tuple[int | None, dict[str, Stamp]]] = []
    written = 0
    with (
        atomic_path(path) as temporary,
        closing(pq.ParquetWriter(temporary, schema, compression="zstd", write_page_checksum=True)) as writer,
    ):
        for group in _grouped(fragments):
            rows = pa.concat_tables(table for _, _, table in group)
            # Without rows there is no row group.
            if len(rows):
                writer.write_table(rows, row_group_size=len(rows))
            groups.append((written if len(rows) else None, {name: stamp for name, stamp, _ in group}))
            written += bool(len(rows))
        writer.add_key_value_metadata({_GROUPS.decode(): json.dumps(groups)})


def _grouped(fragments: Iterable[tuple[str, Stamp, pa.Table]]) -> Iterator[Sequence[tuple[str, Stamp, pa.Table]]]:
    group: list[tuple[str, Stamp, pa.Table]] = []
    for fragment in fragments:
        group.append(fragment)
        if len(group) == GROUP:
            yield group
            group = []
    if group:
        yield group
