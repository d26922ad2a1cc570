"""Rows as people write them, checked against a table's pinned schema.

pyarrow alone would truncate 1.5 to 1, drop unknown keys of a struct and take bytes for text.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from stt_platform.store.schemas import Table


def to_table(table: Table, rows: Sequence[Mapping[str, Any]] | pa.Table) -> pa.Table:
    """Return rows as a pyarrow table of exactly the pinned schema; columns that may be NULL can be left out.

    Raises ValueError naming table, row, column and value.
    """
    if not isinstance(rows, Sequence):
        _check_names(table, rows.column_names, "")
        if rows.schema.equals(table.schema):
            _check_columns(table, rows)
            return rows
        rows = rows.to_pylist()
    columns: dict[str, list[Any]] = {name: [] for name in table.schema.names}
    for number, row in enumerate(rows):
        _check_names(table, row, f", row {number}")
        for field in table.schema:
            try:
                value = _checked(row.get(field.name), field, field.name)
                _check_choice(table, field.name, value)
            except ValueError as error:
                raise ValueError(f"table {table.name!r}, row {number}, {error}") from None
            columns[field.name].append(value)
    arrays = [pa.array(columns[field.name], field.type) for field in table.schema]
    return pa.Table.from_arrays(arrays, schema=table.schema)


def _check_names(table: Table, names: Any, where: str) -> None:
    for name in names:
        if name not in table.schema.names:
            raise ValueError(
                f"table {table.name!r}{where}: there is no column {name!r}; "
                f"the columns are {', '.join(table.schema.names)}"
            )


def _check_columns(table: Table, rows: pa.Table) -> None:
    """What can be wrong with columns that have the pinned types; 100,000 rows take milliseconds."""
    for field in table.schema:
        column = rows[field.name]
        if not field.nullable and column.null_count:
            number = column.is_null().index(True).as_py()
            raise ValueError(
                f"table {table.name!r}, row {number}, column {field.name!r}: a value is required, got None"
            )
        if field.name in table.choices:
            for value in column.unique().to_pylist():
                _check_choice(table, field.name, value)
        if pa.types.is_floating(field.type) and pc.any(pc.is_nan(column)).as_py():
            raise ValueError(
                f"table {table.name!r}, column {field.name!r}: nan is not a measurement; leave the value out"
            )


def _check_choice(table: Table, column: str, value: Any) -> None:
    choices = table.choices.get(column)
    if choices and value is not None and value not in choices:
        raise ValueError(f"column {column!r}: {value!r} is none of {', '.join(choices)}")


def _checked(value: Any, field: pa.Field, column: str) -> Any:
    """`value` as plain Python of the field's type, or ValueError naming `column` and the value."""
    if isinstance(value, np.generic | np.ndarray):
        value = value.tolist()
    if value is None:
        if not field.nullable:
            raise ValueError(f"column {column!r}: a value is required, got None")
        return None
    kind = field.type
    if pa.types.is_list(kind) and isinstance(value, list | tuple):
        return [_checked(item, kind.value_field, f"{column}[{n}]") for n, item in enumerate(value)]
    if pa.types.is_struct(kind) and isinstance(value, Mapping):
        unknown = sorted(set(value) - {child.name for child in kind})
        if unknown:
            raise ValueError(f"column {column!r}: there is no field {unknown[0]!r} in {kind}")
        return {child.name: _checked(value.get(child.name), child, f"{column}.{child.name}") for child in kind}
    fault = _fault(value, kind)
    if fault:
        raise ValueError(f"column {column!r}: {repr(value)[:120]} {fault}")
    return value


def _fault(value: Any, kind: pa.DataType) -> str | None:
    """Return what is wrong with a value of a plain type, in words that follow the value; None if nothing is."""
    if pa.types.is_string(kind) and isinstance(value, str):
        return None if _is_utf8(value) else "cannot be written as UTF-8"
    if pa.types.is_boolean(kind) and isinstance(value, bool):
        return None
    if pa.types.is_integer(kind) and isinstance(value, int) and not isinstance(value, bool):
        limit = 1 << (kind.bit_width - 1)
        return None if -limit <= value < limit else f"is out of range for {kind}"
    if pa.types.is_floating(kind) and isinstance(value, int | float) and not isinstance(value, bool):
        return "is not a measurement; leave the value out" if math.isnan(value) else None
    return f"is {type(value).__name__}, expected {kind}"


def _is_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
