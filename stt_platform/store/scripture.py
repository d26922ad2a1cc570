"""Bible texts and verse pairs as rows of the tables, and back."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import fields
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from stt_platform.scripture.pairs import GATES_IN_WORDS, OTHER, PairRow
from stt_platform.scripture.texts import ScriptureText, Verse
from stt_platform.store.schemas import TABLES
from stt_platform.translation.back_translation import BackTranslation

GATE_IN_WORDS = f"""
case gate {" ".join(f"when '{gate}' then '{words}'" for gate, words in GATES_IN_WORDS.items())} else '{OTHER}' end
""".strip()
"""What set a pair of `aligned_pairs` or `verse_pairs` aside, in words: SQL, for pairs that are quarantined."""

_BLANK = "blank"
_NONE_WHERE_EMPTY = ("reason", "gate")


def verse_table(texts: Iterable[ScriptureText]) -> pa.Table:
    """Return the rows of `scripture_verses`; the verses that a text leaves blank are of the kind "blank"."""
    rows = [
        (text.text_id, row.ref, kind or row.kind, row.text, row.removed)
        for text in texts
        for kind, verses in (("", text.verses), (_BLANK, text.blank))
        for row in verses
    ]
    return _table("scripture_verses", rows)


def text_row(text: ScriptureText) -> dict:
    """Return the row of `scripture_texts` of a text that is used."""
    return {
        "text_id": text.text_id,
        "language": text.language,
        "title": text.title,
        "licence": text.licence,
        "attribution": text.attribution,
        "source": text.source,
        "verses": len(text.by_ref),
        "titles": len(text.rows("title")),
        "subscriptions": len(text.rows("subscription")),
        "blank": len(text.blank),
        "status": "used",
        "reason": text.lacks or None,
    }


def read_texts(folder: Path) -> dict[str, ScriptureText]:
    """Return the texts that are used, by id, from the files of the stage `scripture_texts`, in their order."""
    verses: dict[str, list[Verse]] = {}
    blank: dict[str, list[Verse]] = {}
    for row in _rows(folder / "scripture_verses.parquet"):
        verse = Verse(row["ref"], row["kind"], row["text"], tuple(row["removed"]))
        (blank if row["kind"] == _BLANK else verses).setdefault(row["text_id"], []).append(verse)
    texts = {}
    for row in pq.read_table(folder / "scripture_texts.parquet").to_pylist():
        if row["status"] != "used":
            continue
        name = row["text_id"]
        texts[name] = ScriptureText(
            text_id=name,
            language=row["language"],
            title=row["title"],
            licence=row["licence"],
            attribution=row["attribution"],
            source=row["source"],
            verses=tuple(verses.get(name, ())),
            blank=tuple(blank.get(name, ())),
        )
    return texts


def pair_table(pairs: Sequence[PairRow]) -> pa.Table:
    """Return the rows of `aligned_pairs`; the split has a table of its own."""
    names = TABLES["aligned_pairs"].schema.names
    return _table("aligned_pairs", [tuple(_or_none(row, name) for name in names) for row in pairs])


def read_pairs(folder: Path, splits: Path | None = None) -> list[PairRow]:
    """The pairs from the files of the stage `verse_pairs`, with the split from those of `scripture_split` if given."""
    side: dict[str, str] = {}
    if splits:
        table = pq.read_table(splits / "scripture_splits.parquet", columns=["segment_id", "split"])
        side = dict(zip(table["segment_id"].to_pylist(), table["split"].to_pylist(), strict=True))
    table = pq.read_table(folder / "aligned_pairs.parquet")
    # Files that were written before have no gates.
    columns = {"gate": [""] * table.num_rows} | {name: table[name].to_pylist() for name in table.column_names}
    columns |= {name: [tuple(refs) for refs in columns[name]] for name in ("en_refs", "es_refs")}
    columns |= {name: [value or "" for value in columns[name]] for name in _NONE_WHERE_EMPTY}
    columns["split"] = [side.get(segment, "") for segment in columns["segment_id"]]
    names = [field.name for field in fields(PairRow)]
    return [PairRow(*values) for values in zip(*(columns[name] for name in names), strict=True)]


def _or_none(row: PairRow, name: str) -> object:
    value = getattr(row, name)
    return None if name in _NONE_WHERE_EMPTY and not value else value


def _table(name: str, rows: Sequence[tuple]) -> pa.Table:
    schema = TABLES[name].schema
    columns = zip(*rows, strict=True) if rows else [()] * len(schema)
    arrays = [pa.array(column, field.type) for column, field in zip(columns, schema, strict=True)]
    return pa.Table.from_arrays(arrays, schema=schema)


def _rows(path: Path) -> Iterator[dict]:
    for batch in pq.ParquetFile(path).iter_batches(batch_size=20_000):
        yield from batch.to_pylist()


def read_back_translations(folder: Path) -> list[BackTranslation]:
    """Return the rows from the files of the stage `back_translations`."""
    rows = pq.read_table(folder / "back_translations.parquet").to_pylist()
    return [BackTranslation(**{**row, "reason": row["reason"] or ""}) for row in rows]
