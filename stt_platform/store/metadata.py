"""The metadata store: DuckDB over one Parquet fragment per table and part.

A fragment is never edited: a re-run writes the whole of it under a temporary name and renames it, so any
number of processes write and read at once and there is no lock that a dead one could keep. A DuckDB file
would allow one writing process only, and no reader beside it.

Readers map each fragment into memory before DuckDB sees it. DuckDB's own `read_parquet` opens a file twice,
once for the footer and once for the data; a fragment renamed into place in between would be read with the
wrong footer. A mapping keeps the file as it was when the query began, and it leaves DuckDB without any need
to open files, so that it can be forbidden to.
"""

import contextlib
import re
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from stt_platform.machine.files import atomic_path, fsync_folder, write_atomically
from stt_platform.store.compaction import GROUP, Compacted, Stamp, find_compacted, stamp_of, write_compacted
from stt_platform.store.rows import to_table
from stt_platform.store.schemas import TABLES, VIEWS, Table

if TYPE_CHECKING:
    import pyarrow.dataset as ds

_PART = re.compile(r"[a-z0-9][a-z0-9._-]{0,199}")
_EMPTY = "_empty"
_ABANDONED_AFTER_S = 3600

_READ_ONLY = {
    "enable_external_access": False,
    "allow_persistent_secrets": False,
    "python_enable_replacements": False,
    # In memory a spill would otherwise go to a folder below the current one.
    "temp_directory": "",
}

# PIVOT is MULTI: it makes a type in memory before it selects.
_READING = {duckdb.StatementType.SELECT, duckdb.StatementType.MULTI}


class DamagedFragmentError(RuntimeError):
    """A fragment that cannot be read."""


@dataclass(frozen=True)
class _Fragment:
    path: Path
    buffer: pa.Buffer


@dataclass(frozen=True)
class _Snapshot:
    """A table as it was at one moment: what a compacted file has of it, and the other fragments."""

    fragments: list[_Fragment]
    compacted: Compacted | None


@dataclass(frozen=True)
class MetadataStore:
    """The tables below `home` (STT_HOME). Holds nothing open: cheap to build, safe to pickle and to share."""

    home: Path

    def write(self, table: str, part: str, rows: Sequence[Mapping[str, Any]] | pa.Table) -> bool:
        """Replace one fragment by `rows`; returns whether anything changed.

        The same rows give the same bytes. Raises ValueError naming table, row, column and value for a column
        that the table does not have, a missing value that it requires, or a value of another type.
        """
        return _replace(self._path(table, part), _parquet_bytes(table, rows))

    def write_file(self, table: str, rows: Sequence[Mapping[str, Any]] | pa.Table, path: Path) -> None:
        """Write rows, checked as by `write`, to a file outside the tables, for `publish_file`."""
        path.write_bytes(_parquet_bytes(table, rows))

    def publish_file(self, table: str, part: str, path: Path) -> bool:
        """Replace one fragment by the file that `write_file` made; returns whether anything changed."""
        data = path.read_bytes()
        unknown = set(pq.read_schema(pa.BufferReader(data)).names) - set(_definition(table).schema.names)
        if unknown:
            raise ValueError(f"{path} has columns that table {table!r} does not have: {sorted(unknown)}")
        return _replace(self._path(table, part), data)

    def remove(self, part: str, table: str | None = None) -> int:
        """Remove a part from one table, or from all; returns how many fragments there were."""
        _check_part(part)
        self._forget_compacted([table] if table else list(TABLES))
        folders = [self._folder(table)] if table else self._folders()
        return _unlink(folder / f"{part}.parquet" for folder in folders)

    def remove_sermon(self, key: str) -> int:
        """Remove every fragment whose part is `key` or starts with `<key>.`; returns how many there were."""
        _check_part(key)
        self._forget_compacted(TABLES)
        return _unlink(
            path for folder in self._folders() for path in folder.glob("*.parquet") if path.name.startswith(f"{key}.")
        )

    def parts(self, table: str) -> list[str]:
        """Return the parts of a table, sorted."""
        return [path.stem for path in self._fragments(table)]

    def read(self, table: str, part: str) -> pa.Table:
        """One fragment with the table's columns; those that it was written without are NULL.

        Raises FileNotFoundError if there is no such part.
        """
        return read_fragment(table, self._path(table, part))

    def query(self, sql: str, parameters: Sequence[Any] | Mapping[str, Any] | None = None) -> pa.Table:
        """Answer one SELECT from a snapshot of the tables and views that it names.

        `parameters` fill `?` (a list) or `$name` (a dict). Each fragment is seen as it was when the query
        began. Raises ValueError for anything that is not one reading statement, `duckdb.Error` for SQL that
        DuckDB refuses, DamagedFragmentError naming the file if a fragment cannot be read.
        """
        readable = self._readable()
        named = [table for table in _tables_named_in(sql) if table in readable]
        try:
            return self._answer(sql, parameters, named or readable)
        except duckdb.CatalogException:
            if not named:
                raise
            # A name that is put together while the query runs is not in its text.
            return self._answer(sql, parameters, readable)

    def connect(self) -> duckdb.DuckDBPyConnection:
        """Return a connection over a snapshot of all tables and views, for several queries on the same state.

        It reads only, and cannot open files. Close it, or use it in a `with`.
        """
        return _connection(self._snapshot(self._readable()))

    def compact(self) -> int:
        """Gather the fragments of tables that have many in one file each, for reading; returns how many tables it did.

        The fragments stay as they are. Worth it once some hundreds are new; safe at any time.
        """
        return sum(self._compact(table) for table in TABLES)

    def _compact(self, table: str) -> bool:
        paths = _fragment_paths(self._folder(table))
        stamps = _stamps(paths)
        compacted = find_compacted(self._compacted_path(table), stamps)
        if len(stamps) - (len(compacted.names) if compacted else 0) < GROUP:
            return False
        write_compacted(
            self._compacted_path(table), TABLES[table].schema, _with_stamps(TABLES[table].schema, paths, stamps)
        )
        return True

    def refresh_catalog(self) -> bool:
        """Bring `metadata.duckdb` up to date for other programs; returns whether it had to be rebuilt.

        The file holds views over the fragments and no data, so it changes only when the views do or `home`
        moved. Many processes may open it read-only. A program that reads through it while a fragment is being
        replaced may see an error of that file and asks again; `query` never does.
        """
        for name, table in TABLES.items():
            folder = self._folder(name)
            _replace(folder / f"{_EMPTY}.parquet", _parquet_bytes(name, table.schema.empty_table()))
            _remove_abandoned(folder)
        with duckdb.connect() as connection:
            self._create_views(connection)
            wanted = _definitions_in(connection)
        catalog = self.home.absolute() / "metadata.duckdb"
        if _catalog_holds(catalog, wanted):
            return False
        with atomic_path(catalog) as temporary:
            with duckdb.connect(str(temporary)) as connection:
                self._create_views(connection)
            # A log that someone left behind belongs to the file that goes away.
            catalog.with_name(f"{catalog.name}.wal").unlink(missing_ok=True)
        return True

    def _create_views(self, connection: duckdb.DuckDBPyConnection) -> None:
        folder = _sql_text(_glob_escape(str(self.home.absolute() / "tables")))
        macro = f"CREATE OR REPLACE MACRO fragments(name) AS {folder} || '/' || name || "
        # DuckDB reads the files of a view when it is made. The empty ones are enough for that: they are few and
        # nobody removes them. What the views read afterwards is what the macro says then.
        connection.execute(f"{macro} '/{_EMPTY}.parquet'")
        for name, table in TABLES.items():
            columns = ", ".join(f'"{column}"' for column in table.schema.names)
            source = f"read_parquet(fragments('{name}'), union_by_name = true)"
            connection.execute(f'CREATE VIEW "{name}" AS SELECT {columns} FROM {source}')
        for name, sql in VIEWS.items():
            connection.execute(f'CREATE VIEW "{name}" AS {sql}')
        connection.execute(f"{macro} '/*.parquet'")

    def _answer(
        self, sql: str, parameters: Sequence[Any] | Mapping[str, Any] | None, tables: Iterable[str]
    ) -> pa.Table:
        snapshot = self._snapshot(tables)
        with _connection(snapshot) as connection:
            _require_one_reading_statement(connection, sql)
            try:
                return connection.sql(sql, params=parameters).to_arrow_table()
            except (duckdb.CatalogException, duckdb.BinderException, duckdb.ParserException):
                raise
            except duckdb.Error:
                if not _drop_damaged(snapshot):
                    _raise_if_damaged(snapshot)
                    raise
        return self._answer(sql, parameters, tables)

    def _snapshot(self, tables: Iterable[str]) -> dict[str, _Snapshot]:
        return {table: self._look_at(table) for table in tables}

    def _look_at(self, table: str) -> _Snapshot:
        paths = self._fragments(table)
        compacted = None
        if self._compacted_path(table).exists():
            stamps = _stamps(paths)
            compacted = find_compacted(self._compacted_path(table), stamps)
        covered = compacted.names if compacted else frozenset()
        return _Snapshot(list(_mapped(path for path in paths if path.name not in covered)), compacted)

    def _readable(self) -> list[str]:
        """Return the tables that queries may name."""
        return list(TABLES)

    def _fragments(self, table: str) -> list[Path]:
        """Return the fragments that readers see, sorted."""
        return _fragment_paths(self._folder(table))

    def _compacted_path(self, table: str) -> Path:
        return self.home / "cache" / "compacted" / f"{_definition(table).name}.parquet"

    def _forget_compacted(self, tables: Iterable[str]) -> None:
        # Rows of what is removed would stay in it, though nobody would see them.
        _unlink(self._compacted_path(table) for table in tables)

    def _folder(self, table: str) -> Path:
        return self.home / "tables" / _definition(table).name

    def _folders(self) -> list[Path]:
        # Not only the tables of this version: what an older one wrote goes too.
        return sorted(path for path in (self.home / "tables").glob("*") if path.is_dir())

    def _path(self, table: str, part: str) -> Path:
        return self._folder(table) / f"{_check_part(part)}.parquet"


def read_fragment(table: str, path: Path) -> pa.Table:
    """Read a file of a table's rows; columns that it was written without are NULL. Raises FileNotFoundError."""
    return _read(_definition(table).schema, _Fragment(path, _map(path)))


def tables_of(names: Iterable[str]) -> list[str]:
    """Return the base tables that tables and views of these names are made of."""
    return _tables_named_in(" ".join(names))


def _definition(table: str) -> Table:
    if table not in TABLES:
        raise ValueError(f"there is no table {table!r}; the tables are {', '.join(TABLES)}")
    return TABLES[table]


def _check_part(part: str) -> str:
    if not _PART.fullmatch(part):
        raise ValueError(
            f"part {part!r} must be 1 to 200 of a-z, 0-9, '.', '_', '-' and start with a letter or a digit"
        )
    return part


def _parquet_bytes(table: str, rows: Sequence[Mapping[str, Any]] | pa.Table) -> bytes:
    sink = pa.BufferOutputStream()
    pq.write_table(to_table(_definition(table), rows), sink, compression="zstd", write_page_checksum=True)
    return sink.getvalue().to_pybytes()


def _replace(path: Path, data: bytes) -> bool:
    with contextlib.suppress(FileNotFoundError):
        if path.read_bytes() == data:
            return False
    write_atomically(path, data)
    return True


def _unlink(paths: Iterable[Path]) -> int:
    removed = 0
    folders = set()
    for path in paths:
        with contextlib.suppress(FileNotFoundError):
            path.unlink()
            removed += 1
            folders.add(path.parent)
    for folder in folders:
        fsync_folder(folder)
    return removed


def _remove_abandoned(folder: Path) -> None:
    """Remove the temporary files of writers that were killed: a living one keeps its own for milliseconds."""
    for path in folder.glob(".*.tmp"):
        with contextlib.suppress(FileNotFoundError):
            if time.time() - path.stat().st_mtime > _ABANDONED_AFTER_S:
                path.unlink()


def _fragment_paths(folder: Path) -> list[Path]:
    # `glob("*")` of pathlib also gives the names that start with a dot.
    return sorted(path for path in folder.glob("*.parquet") if path.name[0] not in "._")


def _map(path: Path) -> pa.Buffer:
    # The mapping outlives the closed file and the name: neither a rename nor an unlink changes what it shows.
    with pa.memory_map(str(path)) as file:
        return file.read_buffer()


def _stamp(path: Path) -> Stamp | None:
    with contextlib.suppress(FileNotFoundError):
        return stamp_of(path)
    return None


def _stamps(paths: Iterable[Path]) -> dict[str, Stamp]:
    """By the names of those that are still there."""
    return {path.name: stamp for path in paths if (stamp := _stamp(path))}


def _with_stamps(
    schema: pa.Schema, paths: Iterable[Path], stamps: Mapping[str, Stamp]
) -> Iterator[tuple[str, Stamp, pa.Table]]:
    """Yield the fragments that can be read and are still the same when they have been."""
    for path in paths:
        with contextlib.suppress(FileNotFoundError, DamagedFragmentError):
            rows = _read(schema, _Fragment(path, _map(path)))
            if path.name in stamps and _stamp(path) == stamps[path.name]:
                yield path.name, stamps[path.name], rows


def _mapped(paths: Iterable[Path]) -> Iterator[_Fragment]:
    for path in paths:
        # Removed since the folder was listed. A replaced fragment is never missing.
        with contextlib.suppress(FileNotFoundError):
            yield _Fragment(path, _map(path))


def _dataset(schema: pa.Schema, snapshot: _Snapshot) -> "ds.Dataset":
    # Brings pandas with it, a second that processes which only write need not spend.
    import pyarrow.dataset as ds

    options = ds.ParquetFragmentScanOptions(page_checksum_verification=True, pre_buffer=False)
    parquet = ds.ParquetFileFormat(default_fragment_scan_options=options)
    files = [parquet.make_fragment(each.buffer) for each in snapshot.fragments]
    if snapshot.compacted and snapshot.compacted.row_groups:
        groups = list(snapshot.compacted.row_groups)
        files.insert(0, parquet.make_fragment(snapshot.compacted.buffer, row_groups=groups))
    return ds.FileSystemDataset(files, schema, parquet)


def _read(schema: pa.Schema, fragment: _Fragment) -> pa.Table:
    try:
        file = pq.ParquetFile(pa.BufferReader(fragment.buffer), page_checksum_verification=True)
        written = file.read(columns=[name for name in schema.names if name in file.schema_arrow.names])
        columns = [
            written[each.name].cast(each.type)
            if each.name in written.column_names
            else pa.nulls(written.num_rows, each.type)
            for each in schema
        ]
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise DamagedFragmentError(
            f"{fragment.path} cannot be read ({error}). `stt restore` makes it again."
        ) from error
    return pa.Table.from_arrays(columns, schema=schema)


def _drop_damaged(snapshot: Mapping[str, _Snapshot]) -> bool:
    """Remove compacted files that cannot be read; returns whether there were any."""
    damaged = []
    for each in snapshot.values():
        if each.compacted:
            try:
                each.compacted.read()
            except (pa.ArrowException, OSError, UnicodeDecodeError):
                damaged.append(each.compacted.path)
    _unlink(damaged)
    return bool(damaged)


def _raise_if_damaged(snapshot: Mapping[str, _Snapshot]) -> None:
    for table, each in snapshot.items():
        for fragment in each.fragments:
            _read(TABLES[table].schema, fragment)


def _connection(snapshot: Mapping[str, _Snapshot]) -> duckdb.DuckDBPyConnection:
    connection = duckdb.connect(config=_READ_ONLY)
    try:
        for table, each in snapshot.items():
            connection.register(table, _dataset(_nullable(TABLES[table].schema), each))
        for view, sql in VIEWS.items():
            if set(_tables_named_in(sql)) <= set(snapshot):
                connection.execute(f'CREATE TEMP VIEW "{view}" AS {sql}')
        connection.execute("SET lock_configuration = true")
    except BaseException:
        connection.close()
        raise
    return connection


def _nullable(schema: pa.Schema) -> pa.Schema:
    # An older fragment lacks columns that the schema calls required.
    return pa.schema([column.with_nullable(True) for column in schema])


def _names(sql: str) -> set[str]:
    return {word.lower() for word in re.findall(r"\w+", sql)}


def _tables_named_in(sql: str) -> list[str]:
    """Return the tables whose names occur in the text, directly or through views: rather too many than too few."""
    names = _names(sql)
    for view, definition in reversed(list(VIEWS.items())):
        if view in names:
            names |= _names(definition)
    return [table for table in TABLES if table in names]


def _require_one_reading_statement(connection: duckdb.DuckDBPyConnection, sql: str) -> None:
    try:
        statements = connection.extract_statements(sql)
    except duckdb.ParserException as error:
        if "references" in str(error):
            raise ValueError(f'{error}\nThe table "references" is written in double quotes.') from error
        raise
    if len(statements) != 1:
        raise ValueError(f"expected one SELECT, got {len(statements)} statements: {sql!r}")
    if statements[0].type not in _READING:
        raise ValueError(f"the store is only read by SQL; expected a SELECT, got {statements[0].type.name}: {sql!r}")


def _definitions_in(connection: duckdb.DuckDBPyConnection) -> list[tuple[str, str]]:
    return connection.execute(
        "SELECT view_name, sql FROM duckdb_views() WHERE NOT internal UNION ALL "
        "SELECT function_name, macro_definition FROM duckdb_functions() WHERE NOT internal ORDER BY 1"
    ).fetchall()


def _catalog_holds(catalog: Path, definitions: list[tuple[str, str]]) -> bool:
    if not catalog.exists():
        return False
    try:
        with duckdb.connect(str(catalog), read_only=True) as connection:
            return _definitions_in(connection) == definitions
    except duckdb.Error:
        return False


def _glob_escape(path: str) -> str:
    return re.sub(r"([*?[])", r"[\1]", path)


def _sql_text(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
