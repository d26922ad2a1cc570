"""Digests of everything that decides the output of a stage: values, files, and fragments of the tables."""

import dataclasses
import hashlib
import json
from collections.abc import Set
from functools import lru_cache
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pydantic import BaseModel

from stt_platform.machine.files import sha256_of
from stt_platform.store.schemas import TABLES


def digest_of(value: Any) -> str:
    """Hash a value made of numbers, texts, lists, mappings, sets, dataclasses, Arrow tables and outputs of stages.

    Raises:
        TypeError: a value of another kind. Paths are among them: a digest that holds one differs on every machine.
    """
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=_plain).encode()).hexdigest()


def _plain(value: Any) -> Any:
    digest = getattr(value, "digest", None)
    if isinstance(digest, str):
        return digest
    if dataclasses.is_dataclass(value):
        return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    if isinstance(value, BaseModel):
        return value.model_dump()
    if isinstance(value, Set):
        return sorted(value)
    if isinstance(value, pa.Table):
        return _table_digest(value)
    raise TypeError(f"{value!r} is a {type(value).__name__}, which cannot be part of what decides an output")


def file_digest(path: Path) -> str:
    """Hash the content of a file; it is read again only where the file system says that it changed."""
    status = path.stat()
    return _file_digest(path, status.st_size, status.st_mtime_ns, status.st_ino)


@lru_cache(maxsize=100_000)
def _file_digest(path: Path, size_bytes: int, mtime_ns: int, inode: int) -> str:
    return sha256_of(path)


def fragment_digest(table: str, path: Path) -> str:
    """Hash a fragment without what a clock made in it (`Table.clock_columns`, `Table.clock_metrics`)."""
    status = path.stat()
    return _fragment_digest(table, path, status.st_size, status.st_mtime_ns, status.st_ino)


@lru_cache(maxsize=100_000)
def _fragment_digest(table: str, path: Path, size_bytes: int, mtime_ns: int, inode: int) -> str:
    definition = TABLES[table]
    if not definition.clock_columns and not definition.clock_metrics:
        return sha256_of(path)
    rows = pq.read_table(path)
    if definition.clock_metrics:
        rows = rows.filter(pc.invert(pc.is_in(rows["metric"], value_set=pa.array(definition.clock_metrics))))
    return _table_digest(rows.drop_columns([name for name in definition.clock_columns if name in rows.column_names]))


def _table_digest(rows: pa.Table) -> str:
    sink = pa.BufferOutputStream()
    pq.write_table(rows, sink)
    return hashlib.sha256(sink.getvalue()).hexdigest()
