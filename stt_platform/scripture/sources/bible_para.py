"""Helsinki-NLP/bible_para, the bible-uedin corpus of OPUS: parquet with `id` and `translation` {en, es}.

The published rows carry running numbers and no references, and one English Bible stands after the other. Where an
id is a reference it counts. Otherwise a part of exactly 31,102 rows is the usual division, and any other is placed
by the words that it shares with a text that is on disk too.
"""

import re
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path

from stt_platform.scripture.books import BadReference
from stt_platform.scripture.grid import VERSES, all_refs
from stt_platform.scripture.known import known_texts
from stt_platform.scripture.references import VerseRef
from stt_platform.scripture.sources.base import DamagedSourceError, Offer, RawText, Shelf, ends_with, offer_of

_LOADER = "bible_para"
_LANGUAGES = ("en", "es")
_LICENCE = "CC0-1.0"
_ATTRIBUTION = "Christodoulopoulos and Steedman, A massively parallel corpus: the Bible in 100 languages (2015)"
_NEAR = 200
_ENOUGH = 0.9

Row = tuple[str, str, str]


def offers(path: Path, shelf: Shelf) -> list[Offer]:
    """List the texts of a parquet file: each part in each language; none where it is of another kind."""
    if not ends_with(path, ".parquet"):
        return []
    found = []
    for part, rows in enumerate(_parts(path), start=1):
        for column, language in enumerate(_LANGUAGES, start=1):
            known = _recognised([row[column] for row in rows[:5]], language)
            name = known or f"{_LOADER}{language}{part if part > 1 else ''}"
            found.append(
                offer_of(
                    _LOADER,
                    path,
                    f"{language} {part}",
                    (name,),
                    language=language,
                    title=f"bible_para, {language}, part {part}",
                    licence=_LICENCE,
                    attribution=_ATTRIBUTION,
                )
            )
    return found


def load(offer: Offer, shelf: Shelf) -> RawText:
    """Read the rows of one part in one language.

    Raises `DamagedSourceError` where its rows have no references and cannot be placed.
    """
    language, _, part = offer.key.partition(" ")
    rows = _parts(offer.path)[int(part) - 1]
    refs = _references(rows) or _placed(rows, shelf.known)
    if not refs:
        raise DamagedSourceError(
            f"{offer.source}: its {len(rows)} rows carry no references, are not the {VERSES} of the usual division, "
            "and share too few words with the other texts on disk to be placed: put KJV or RVR1909 beside it"
        )
    column = 1 + _LANGUAGES.index(language)
    texts: dict[int, str] = {}
    for ref, row in zip(refs, rows, strict=True):
        if ref and row[column] not in texts.get(ref, ""):
            texts[ref] = f"{texts[ref]} {row[column]}" if ref in texts else row[column]
    return RawText(offer, tuple(texts.items()))


def _parts(path: Path) -> list[list[Row]]:
    import pyarrow.parquet as pq

    try:
        file = pq.ParquetFile(path)
        if not {"id", "translation"} <= set(file.schema_arrow.names):
            return []
        table = file.read(columns=["id", "translation"]).to_pylist()
    except (OSError, ValueError) as error:
        raise DamagedSourceError(f"{path} cannot be read as parquet: {error}") from error
    sides = [row["translation"] or {} for row in table]
    rows = [
        (str(row["id"]), str(side.get("en") or ""), str(side.get("es") or ""))
        for row, side in zip(table, sides, strict=True)
    ]
    if not rows or not any(row[1] for row in rows) or not any(row[2] for row in rows):
        return []
    first = _plain(rows[0][2])
    starts = [0] + [place for place in range(2, len(rows)) if first and _plain(rows[place][2]) == first]
    # A verse that occurs twice in one Bible is no new beginning.
    starts = [start for start in starts if start == 0 or start > VERSES // 4]
    return [rows[start:end] for start, end in zip(starts, [*starts[1:], len(rows)], strict=True)]


def _references(rows: Sequence[Row]) -> list[int]:
    numbers = []
    for row in rows:
        # OPUS writes "b.GEN.1.1" and "b.GEN.1.1.1" for parts of a verse.
        name = re.sub(r"^b\.(\w{3}\.\d+\.\d+).*$", r"\1", row[0])
        if re.fullmatch(r"\d{1,6}", name):
            return []
        try:
            numbers.append(VerseRef.parse(name).number)
        except BadReference:
            return []
    return numbers


def _placed(rows: Sequence[Row], known: Sequence[Mapping[int, str]]) -> list[int]:
    grid = all_refs()
    if len(rows) == VERSES:
        return list(grid)
    where: dict[str, list[int]] = {}
    index = {ref: place for place, ref in enumerate(grid)}
    for text in known:
        for ref, words in text.items():
            if ref in index:
                where.setdefault(_plain(words), []).append(index[ref])
    places: list[int | None] = []
    last = -1
    for _, *texts in rows:
        near = [place for words in texts for place in where.get(_plain(words), ()) if last < place <= last + _NEAR]
        places.append(min(near, default=None))
        last = min(near, default=last)
    _fill(places, len(grid))
    found = sum(place is not None for place in places)
    return [0 if place is None else grid[place] for place in places] if found >= _ENOUGH * len(rows) else []


def _fill(places: list[int | None], size: int) -> None:
    """Places between two known ones, where as many rows as verses lie between."""
    at = {-1: -1, len(places): size} | {row: place for row, place in enumerate(places) if place is not None}
    for left, right in pairwise(sorted(at)):
        if right - left == at[right] - at[left]:
            for row in range(left + 1, right):
                places[row] = at[left] + row - left


def _recognised(texts: Sequence[str], language: str) -> str:
    head = _plain(" ".join(texts))
    return next(
        (row.id for row in known_texts().values() if row.language == language and _plain(row.begins) in head), ""
    )


def _plain(text: str) -> str:
    return re.sub(r"[^\w]+", "", text.casefold())
