"""What a stage may read of the tables: what it declares, and of cycles only those up to its own.

The declaration is what the framework digests, so a table that a recipe reads and does not declare would be stale data that
nobody notices. Asking for one raises `UndeclaredRead`.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import duckdb
import pyarrow as pa

from stt_platform.store.digests import fragment_digest
from stt_platform.store.metadata import MetadataStore, tables_of
from stt_platform.store.schemas import TABLES, VIEWS

_CYCLE = re.compile(r"cycle-([0-9]+)")
_UNKNOWN = re.compile(r"Table with name (\w+) does not exist")


class UndeclaredRead(RuntimeError):
    """A recipe asked for what its stage does not declare. Names the stage and what was asked for."""


@dataclass(frozen=True)
class Read:
    """A table of other stages that a recipe reads.

    Attributes:
        by: of a shared table, the stages whose rows are read; empty for all of them.
        cycles: what a stage of a cycle sees of other cycles: those up to its own, or only those before it.
    """

    table: str
    by: tuple[str, ...] = ()
    cycles: Literal["until", "before"] = "until"

    def __post_init__(self) -> None:
        if self.table not in TABLES:
            raise ValueError(f"there is no table {self.table!r} to read; views are declared by their tables")

    def shows(self, part: str, cycle: int | None) -> bool:
        """Return whether a part of the table is read in a cycle (None: of what is made for no cycle)."""
        owner, _, writer = part.partition(".")
        if self.by and writer and writer not in self.by:
            return False
        of_cycle = _CYCLE.fullmatch(owner)
        if of_cycle is None or cycle is None:
            return True
        return int(of_cycle[1]) < cycle + (self.cycles == "until")


@dataclass(frozen=True)
class DeclaredStore(MetadataStore):
    """The tables as one stage sees them: those that it declares, without its own output.

    Attributes:
        owner: whom the output that is made belongs to.
        writes: the tables of the stage.
    """

    stage: str = ""
    owner: str = ""
    reads: tuple[Read, ...] = ()
    writes: tuple[str, ...] = ()

    def query(self, sql: str, parameters: Sequence[Any] | Mapping[str, Any] | None = None) -> pa.Table:
        """As `MetadataStore.query`. Raises `UndeclaredRead` where the query names what is not declared."""
        try:
            return super().query(sql, parameters)
        except duckdb.CatalogException as error:
            asked = _UNKNOWN.search(str(error))
            if asked is None or asked[1].lower() not in {*TABLES, *VIEWS}:
                raise
            missing = sorted(set(tables_of([asked[1].lower()])) - set(self._readable()))
            raise self._undeclared(", ".join(missing)) from error

    def digests(self) -> dict[str, str]:
        """Return the digest of every fragment that is read, by table and part."""
        return {
            f"{table}/{path.stem}": fragment_digest(table, path)
            for table in self._readable()
            for path in self._fragments(table)
        }

    def _readable(self) -> list[str]:
        declared = {read.table for read in self.reads}
        return [table for table in TABLES if table in declared]

    def _fragments(self, table: str) -> list[Path]:
        if table in TABLES and table not in self._readable():
            raise self._undeclared(table)
        return [path for path in super()._fragments(table) if self._shows(table, path.stem)]

    def _path(self, table: str, part: str) -> Path:
        path = super()._path(table, part)
        if path not in self._fragments(table):
            raise FileNotFoundError(f"{self.stage} of {self.owner} does not see {table}/{part}")
        return path

    def _shows(self, table: str, part: str) -> bool:
        own = f"{self.owner}.{self.stage}" if TABLES[table].shared else self.owner
        if table in self.writes and part == own:
            return False
        found = _CYCLE.fullmatch(self.owner)
        cycle = int(found[1]) if found else None
        return any(read.shows(part, cycle) for read in self.reads if read.table == table)

    def _undeclared(self, tables: str) -> UndeclaredRead:
        return UndeclaredRead(f"{self.stage} reads {tables}, which it does not declare: add it to `reads` of the stage")
