"""Printing rows: for people as a table, for programs as JSON or CSV."""

import json
import sys

import pyarrow as pa
import pyarrow.csv
from rich.console import Console
from rich.table import Column, Table

_CELL_LENGTH = 300


def print_table(rows: pa.Table, output: str, console: Console) -> None:
    """Print `rows` as 'table', 'json' (a list of objects) or 'csv'."""
    if output == "json":
        print(json.dumps(rows.to_pylist(), ensure_ascii=False, default=str, indent=1))
    elif output == "csv":
        nested = [name for name in rows.column_names if pa.types.is_nested(rows.schema.field(name).type)]
        for name in nested:
            texts = pa.array([json.dumps(v, ensure_ascii=False) for v in rows[name].to_pylist()], pa.string())
            rows = rows.set_column(rows.column_names.index(name), name, texts)
        pyarrow.csv.write_csv(rows, sys.stdout.buffer)
    else:
        table = Table(*(Column(name, overflow="fold") for name in rows.column_names))
        for row in rows.to_pylist():
            table.add_row(*(_cell(value) for value in row.values()))
        console.print(table)
        console.print(f"{rows.num_rows} rows")


def _cell(value: object) -> str:
    text = f"{value:.6g}" if isinstance(value, float) else "" if value is None else str(value)
    text = " ".join(text.split())
    # Square brackets would be taken for markup.
    return (text if len(text) <= _CELL_LENGTH else text[: _CELL_LENGTH - 1] + "…").replace("[", "\\[")
