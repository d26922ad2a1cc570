"""Pictures, tables and links as the web UI shows them."""

import base64
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import dagster as dg

from stt_platform.orchestration.platform import Platform

_TEXT_LENGTH = 120


def picture(path: Path, what: str) -> dg.MarkdownMetadataValue:
    """A PNG, with words for those who do not see it."""
    return embedded(path.read_bytes(), what)


def embedded(png: bytes, what: str) -> dg.MarkdownMetadataValue:
    """A PNG from memory, with words for those who do not see it."""
    return dg.MetadataValue.md(f"![{what}](data:image/png;base64,{base64.b64encode(png).decode()})")


def page(platform: Platform, name: str) -> dg.UrlMetadataValue:
    """A page of the platform's own, for a closer look."""
    return dg.MetadataValue.url(platform.settings.ui.page_address(name))


def table(rows: Sequence[Mapping[str, Any]]) -> dg.TableMetadataValue | str:
    """Rows with the same names; lists are left out, long texts cut."""
    if not rows:
        return "no rows"
    records = [
        dg.TableRecord({name: _cell(value) for name, value in row.items() if not isinstance(value, list)})
        for row in rows
    ]
    columns = [dg.TableColumn(name, _type(records, name)) for name in records[0].data]
    return dg.MetadataValue.table(records, dg.TableSchema(columns))


def left_out(missing: Iterable[Sequence[str]]) -> dg.MarkdownMetadataValue:
    """List (what, why) of everything that was not scored, in full: the reason says what to do."""
    lines = [f"- **{what}**: {why}" for what, why in missing]
    return dg.MetadataValue.md("\n".join(lines) or "nothing was left out")


def _cell(value: Any) -> str | int | float | bool | None:
    if isinstance(value, float):
        return round(value, 3)
    if isinstance(value, str) and len(value) > _TEXT_LENGTH:
        return value[: _TEXT_LENGTH - 1] + "…"
    return value


def _type(records: list[dg.TableRecord], name: str) -> str:
    kinds = {bool: "bool", int: "int", float: "float"}
    values = [record.data[name] for record in records if record.data[name] is not None]
    return kinds.get(type(values[0]), "string") if values else "string"
