"""What the pages of verse pairs and of the glossary show of the store, as values that JSON can carry."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from stt_platform.scripture.books import BOOKS, BadReference, Book, book, find_book
from stt_platform.scripture.references import VerseRef
from stt_platform.scripture.texts import SOURCES, TARGET
from stt_platform.scripture.versification import Difference
from stt_platform.store.metadata import MetadataStore
from stt_platform.store.scripture import GATE_IN_WORDS

SAMPLES = 20
"""Pairs shown of each reason for setting aside."""

_HEADING_SLOT = -1
_PLACES = {"": "everywhere", "OT": "Old Testament", "NT": "New Testament"}
_CODE = re.compile(r"\b[1-3A-Z][A-Z]{2}\b")

# Refs of a segment ascend, so its ends tell whether it reaches into the chapter; an empty side gives NULL.
_CHAPTER = """
    SELECT pair_id, en_refs, es_refs, split, status, reason FROM verse_pairs
    WHERE en_source = $en AND es_source = $es
      AND ((en_refs[1] < $end AND en_refs[-1] >= $start) OR (es_refs[1] < $end AND es_refs[-1] >= $start))
    ORDER BY pair_id
"""
_NOTES = """
    SELECT en_refs, es_refs, note, alarm FROM versification
    WHERE en_source = $en AND es_source = $es
      AND ((en_refs[1] < $end AND en_refs[-1] >= $start) OR (es_refs[1] < $end AND es_refs[-1] >= $start))
"""
_CHAPTERS = """
    SELECT chapter, count(*) FILTER (status = 'quarantined') AS set_aside
    FROM (
        SELECT status, unnest(list_distinct(
            [en_refs[1] // 1000, en_refs[-1] // 1000, es_refs[1] // 1000, es_refs[-1] // 1000]
        )) AS chapter
        FROM aligned_pairs WHERE en_source = ? AND es_source = ?
    )
    GROUP BY chapter ORDER BY chapter
"""
_COUNTS = """
    count(*) AS pairs, count(*) FILTER (status = 'accepted') AS accepted,
    count(*) FILTER (status = 'quarantined') AS set_aside,
    count(*) FILTER (status = 'accepted' AND split = 'train') AS train,
    count(*) FILTER (status = 'accepted' AND split = 'test') AS test
"""
_SET_ASIDE = f"""
    SELECT * FROM (
        SELECT {GATE_IN_WORDS} AS kind, reason, en_source, es_source, en_refs, es_refs, en, es, pair_id,
               count(*) OVER (PARTITION BY gate) AS pairs,
               row_number() OVER (PARTITION BY gate ORDER BY md5(pair_id)) AS place
        FROM aligned_pairs WHERE status = 'quarantined'
    )
    WHERE place <= ? ORDER BY pairs DESC, kind, en_refs, es_refs, en_source, pair_id
"""


class NoSuchPlace(ValueError):
    """A place that cannot be shown; the message says what is possible."""


@dataclass(frozen=True)
class Place:
    """A chapter of an English text beside a Spanish one, among all that can be chosen.

    `combinations` are the texts that are paired; `chapters` those (BBCCC) that either of the two texts has, in order,
    with the pairs set aside in each.
    """

    en: str
    es: str
    book: Book
    chapter: int
    combinations: Sequence[Mapping[str, str]]
    chapters: Mapping[int, int]

    def as_json(self) -> dict[str, Any]:
        names = {"code": self.book.code, "english": self.book.english, "spanish": self.book.spanish}
        return {"en": self.en, "es": self.es, "chapter": self.chapter, "book": self.book.code, "names": names}


def place_of(home: Path, asked: Mapping[str, str]) -> Place | None:
    """The place that the keys `en`, `es`, `book` and `chapter` name; what is not named is chosen.

    None where there are no pairs at all. Raises `NoSuchPlace`.
    """
    combinations = _combinations(home)
    if not combinations:
        return None
    wanted = {side: asked[side] for side in ("en", "es") if asked.get(side)}
    fitting = [each for each in combinations if all(each[side] == name for side, name in wanted.items())]
    if not fitting:
        named = " with ".join(f'"{name}"' for name in wanted.values())
        possible = ", ".join(f"{each['en']} with {each['es']}" for each in combinations)
        raise NoSuchPlace(f"There are no verse pairs of {named}. There are pairs of {possible}.")
    en, es = fitting[0]["en"], fitting[0]["es"]
    rows = MetadataStore(home).query(_CHAPTERS, [en, es]).to_pylist()
    chapters = {row["chapter"]: row["set_aside"] for row in rows}
    by_book = _by_book(chapters)
    where = _book_of(asked.get("book", ""), by_book, f"{en} with {es}")
    chapter = _chapter_of(asked.get("chapter", ""), where, by_book[where.number])
    return Place(en, es, where, chapter, combinations, chapters)


def scripture_overview(home: Path, place: Place) -> dict[str, Any]:
    """What can be chosen beside a place: texts, books with their chapters, regions that are counted otherwise."""
    by_book = _by_book(place.chapters)
    rows = MetadataStore(home).query(
        "SELECT en_refs, es_refs, alarm FROM versification WHERE en_source = ? AND es_source = ?", [place.en, place.es]
    )
    return {
        "combinations": place.combinations,
        "books": [
            {"code": each.code, "english": each.english, "spanish": each.spanish, "chapters": by_book[each.number]}
            for each in BOOKS
            if each.number in by_book
        ],
        "regions": _regions(rows.to_pylist()),
        "set_aside": [{**_link(chapter), "pairs": pairs} for chapter, pairs in place.chapters.items() if pairs],
    }


def chapter_view(home: Path, place: Place) -> dict[str, Any]:
    """One chapter as two columns of verses, each at the height of its own number, and what joins them.

    `slot` is that height: the verse number within the chapter, 0 for a title; verses of other chapters that are
    paired with one of this follow above or below, under a heading of their own. `pairs` name the verses by `key`.
    """
    store = MetadataStore(home)
    start = place.book.number * 1_000_000 + place.chapter * 1_000
    asked = {"en": place.en, "es": place.es, "start": start, "end": start + 1_000}
    pairs = store.query(_CHAPTER, asked).to_pylist()
    notes = {(tuple(row["en_refs"]), tuple(row["es_refs"])): row for row in store.query(_NOTES, asked).to_pylist()}
    shown = []
    for row in pairs:
        refs = {side: tuple(row[f"{side}_refs"]) for side in ("en", "es")}
        note = notes.get((refs["en"], refs["es"]), {})
        shown.append(
            {
                **{side: [_key(ref, row["pair_id"]) for ref in refs[side]] for side in refs},
                "kind": Difference(refs["en"], refs["es"]).kind,
                "status": row["status"],
                "reason": row["reason"],
                "split": row["split"],
                "note": " ".join(filter(None, (note.get("note"), note.get("alarm")))),
            }
        )
    keys = {side: {key for pair in shown for key in pair[side]} for side in ("en", "es")}
    texts = _texts(store, place, keys["en"] | keys["es"])
    columns = {side: _column(keys[side], texts[side], place) for side in keys}
    before, after = _neighbours(list(place.chapters), start // 1_000)
    return {**place.as_json(), "columns": columns, "pairs": shown, "previous": before, "next": after}


def scripture_counts(home: Path) -> dict[str, Any]:
    """The texts, how many pairs they give by text and genre, and what was set aside, by reason, with samples."""
    store = MetadataStore(home)
    by_text = store.query(f"SELECT en_source AS en, es_source AS es, {_COUNTS} FROM verse_pairs GROUP BY ALL")
    by_genre = store.query(
        f"SELECT genre, min(coalesce(en_refs[1], es_refs[1])) AS first, {_COUNTS} FROM verse_pairs "
        "GROUP BY genre ORDER BY first"
    )
    texts = store.query(
        "SELECT * FROM scripture_texts ORDER BY list_position(['used', 'missing', 'not used'], status), language"
    )
    reasons: dict[str, dict[str, Any]] = {}
    for row in store.query(_SET_ASIDE, [SAMPLES]).to_pylist():
        reason = reasons.setdefault(row["kind"], {"kind": row["kind"], "pairs": row["pairs"], "samples": []})
        first = (row["en_refs"] or row["es_refs"])[0]
        sample = {name: row[name] for name in ("en", "es", "reason", "en_source", "es_source")}
        labels = {f"{side}_label": _label(row[f"{side}_refs"]) for side in ("en", "es")}
        reason["samples"].append({**sample, **labels, **_link(first // 1_000)})
    return {
        "texts": texts.to_pylist(),
        "by_text": sorted(by_text.to_pylist(), key=lambda row: _preferred(row["en"], row["es"])),
        "by_genre": by_genre.to_pylist(),
        "reasons": list(reasons.values()),
    }


def glossary_terms(home: Path) -> list[dict[str, Any]]:
    """Every sense of every term with its attestation, by the English; references lead to a chapter."""
    rows = MetadataStore(home).query("SELECT * FROM glossary ORDER BY lower(en), term_id, sense").to_pylist()
    for row in rows:
        row["scope"] = _scope_in_words(row["scope"])
        for name in ("attested", "missed"):
            row[name] = [{"label": _label([ref]), **_link(ref // 1_000)} for ref in row[name]]
    return rows


def _scope_in_words(scope: str) -> str:
    """ "OT|JAS|register=sermon" as a person says it."""
    parts = [part.strip() for part in scope.split("|")]
    return ", ".join(_PLACES.get(part) or _CODE.sub(_name_of, part).replace("register=", "in a ") for part in parts)


def _name_of(code: re.Match[str]) -> str:
    return next((each.english for each in BOOKS if each.code == code.group()), code.group())


def _combinations(home: Path) -> list[dict[str, Any]]:
    """The texts that are paired, the platform's own first."""
    rows = MetadataStore(home).query("SELECT DISTINCT en_source AS en, es_source AS es FROM aligned_pairs").to_pylist()
    return sorted(rows, key=lambda row: _preferred(row["en"], row["es"]))


def _preferred(en: str, es: str) -> tuple[Any, ...]:
    return es != TARGET, es, SOURCES.index(en) if en in SOURCES else len(SOURCES), en


def _by_book(chapters: Iterable[int]) -> dict[int, list[int]]:
    by_book: dict[int, list[int]] = {}
    for each in chapters:
        number, chapter = divmod(each, 1_000)
        by_book.setdefault(number, []).append(chapter)
    return by_book


def _book_of(name: str, by_book: Mapping[int, Sequence[int]], texts: str) -> Book:
    if not name:
        return book(min(by_book))
    try:
        found = find_book(name)
    except BadReference:
        found = None
    if found is None or found.number not in by_book:
        possible = ", ".join(f"{book(number).english} ({book(number).code})" for number in sorted(by_book))
        raise NoSuchPlace(f'"{name[:40]}" is no book of {texts}. There are {possible}.')
    return found


def _chapter_of(text: str, where: Book, chapters: Sequence[int]) -> int:
    if not text:
        return chapters[0]
    if not (text.isascii() and text.isdigit() and len(text) <= 3 and int(text) in chapters):
        first, last = chapters[0], chapters[-1]
        possible = f"the chapters {first} to {last}" if last > first else f"chapter {first} only"
        raise NoSuchPlace(f'{where.english} has no chapter "{text[:40]}" here. It has {possible}.')
    return int(text)


def _neighbours(chapters: Sequence[int], here: int) -> tuple[dict[str, Any] | None, dict[str, Any] | None]:
    at = chapters.index(here)
    before = _link(chapters[at - 1]) if at else None
    return before, _link(chapters[at + 1]) if at + 1 < len(chapters) else None


def _link(chapter: int) -> dict[str, Any]:
    """A chapter (BBCCC) as a page names it."""
    where = book(chapter // 1_000)
    return {"book": where.code, "name": where.english, "chapter": chapter % 1_000}


def _label(refs: Sequence[int]) -> str:
    """ "Job 39:27", "Job 38:39 – 41:34"; empty for no verse."""
    if not refs:
        return ""
    first, last = VerseRef.from_number(refs[0]), VerseRef.from_number(refs[-1])
    label = f"{book(first.book).english} {first.chapter}:{first.verse}"
    if first == last:
        return label
    return f"{label}–{last.verse}" if first.chapter == last.chapter else f"{label} – {last.chapter}:{last.verse}"


def _regions(rows: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Rows of the versification table that follow one another, as one region each."""
    ordered = sorted(rows, key=lambda row: row["en_refs"] or row["es_refs"])
    runs: list[list[Mapping[str, Any]]] = [[row] for row in ordered[:1]]
    for before, row in pairwise(ordered):
        if any(_follows(before[side], row[side]) for side in ("en_refs", "es_refs")):
            runs[-1].append(row)
        else:
            runs.append([row])
    return [_region(run) for run in runs]


def _follows(before: Sequence[int], after: Sequence[int]) -> bool:
    if not before or not after:
        return False
    next_chapter = (before[-1] // 1_000 + 1) * 1_000
    return after[0] == before[-1] + 1 or next_chapter <= after[0] <= next_chapter + 1


def _region(run: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    sides = {side: sorted(ref for row in run for ref in row[f"{side}_refs"]) for side in ("en", "es")}
    kinds: dict[str, int] = {}
    for row in run:
        kind = Difference(tuple(row["en_refs"]), tuple(row["es_refs"])).kind
        kinds[kind] = kinds.get(kind, 0) + 1
    by_chapter: dict[int, int] = {}
    for ref in sides["en"] + sides["es"]:
        by_chapter[ref // 1_000] = by_chapter.get(ref // 1_000, 0) + 1
    return {
        "english": _label(sides["en"]),
        "spanish": _label(sides["es"]),
        "kinds": kinds,
        "alarms": sorted({row["alarm"] for row in run if row["alarm"]}),
        # Most of it is seen in the chapter that has most of it.
        **_link(max(by_chapter, key=lambda chapter: (by_chapter[chapter], -chapter))),
        "chapters": [_link(chapter) for chapter in sorted(by_chapter)],
    }


def _key(ref: int, pair_id: str) -> str:
    """A verse within its text. A subscription carries the number of the verse that it follows."""
    return f"{ref}s" if pair_id.endswith("s") else str(ref)


def _ref(key: str) -> int:
    return int(key.removesuffix("s"))


def _texts(store: MetadataStore, place: Place, keys: Iterable[str]) -> dict[str, dict[str, str]]:
    """What the verses say, by side and key."""
    refs = [_ref(key) for key in keys]
    rows = store.query(
        "SELECT text_id, ref, kind, text FROM scripture_verses "
        "WHERE text_id IN (?, ?) AND ref BETWEEN ? AND ? AND kind <> 'blank'",
        [place.en, place.es, min(refs), max(refs)],
    ).to_pylist()
    texts: dict[str, dict[str, str]] = {"en": {}, "es": {}}
    for row in rows:
        side = "en" if row["text_id"] == place.en else "es"
        texts[side][f"{row['ref']}{'s' if row['kind'] == 'subscription' else ''}"] = row["text"]
    return texts


def _column(keys: Iterable[str], texts: Mapping[str, str], place: Place) -> list[dict[str, Any]]:
    here = place.book.number * 1_000 + place.chapter
    by_chapter: dict[int, list[dict[str, Any]]] = {here: []}
    for key in sorted(keys, key=lambda key: (_ref(key), key)):
        ref, note = _ref(key), key.endswith("s")
        by_chapter.setdefault(ref // 1_000, []).append(
            {
                "key": key,
                "kind": "subscription" if note else "verse" if ref % 1_000 else "title",
                "verse": ref % 1_000,
                "chapter": ref // 1_000 % 1_000,
                "text": texts.get(key, ""),
                "own": ref // 1_000 == here,
            }
        )
    own = by_chapter[here]
    last = max((row["verse"] for row in own), default=0)
    for row in own:
        row["slot"] = last + 1 if row["kind"] == "subscription" else row["verse"]
    heading = {**_heading(here), "own": True, "slot": _HEADING_SLOT}
    above = _guests((chapter, rows) for chapter, rows in by_chapter.items() if chapter < here)
    below = _guests((chapter, rows) for chapter, rows in by_chapter.items() if chapter > here)
    first_below = max((row["slot"] for row in own), default=0) + 1
    for slot, row in enumerate(above, _HEADING_SLOT - len(above)):
        row["slot"] = slot
    for slot, row in enumerate(below, first_below):
        row["slot"] = slot
    return [*above, heading, *own, *below]


def _guests(chapters: Iterable[tuple[int, list[dict[str, Any]]]]) -> list[dict[str, Any]]:
    """The verses of other chapters, each chapter under its heading."""
    return [row for chapter, rows in sorted(chapters) for row in ({**_heading(chapter), "own": False}, *rows)]


def _heading(chapter: int) -> dict[str, Any]:
    return {"kind": "heading", **_link(chapter)}
