"""From aligned segments to rows of text in two languages."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from stt_platform.scripture.alignment import Segment
from stt_platform.scripture.books import book
from stt_platform.scripture.texts import TARGET, Removed, ScriptureText

ACCEPTED = "accepted"
QUARANTINED = "quarantined"


class Gate(StrEnum):
    """What sets a pair aside."""

    EMPTY_SIDE = "empty_side"
    TOO_MANY_VERSES = "too_many_verses"
    MARKUP = "markup"
    UNTRANSLATED = "untranslated"
    LANGUAGE = "language"
    ONE_SIDED_TITLE = "one_sided_title"
    LENGTH = "length"
    ORDER = "order"
    DUPLICATE = "duplicate"
    GAP = "gap"


GATES_IN_WORDS: Mapping[str, str] = {
    Gate.EMPTY_SIDE: "empty side",
    Gate.TOO_MANY_VERSES: "too many verses",
    Gate.MARKUP: "markup",
    Gate.UNTRANSLATED: "untranslated",
    Gate.LANGUAGE: "language",
    Gate.ONE_SIDED_TITLE: "one-sided title",
    Gate.LENGTH: "length",
    Gate.ORDER: "order",
    Gate.DUPLICATE: "duplicate",
    Gate.GAP: "gap",
}
OTHER = "other"
"""What a gate is called that has no words: of a row that was written before there were gates."""


@dataclass(frozen=True)
class PairRow:
    """One pair of texts that should say the same. Refs are BBCCCVVV.

    `segment_id` names the Spanish text and is shared by every English version of it; `status` is "accepted" or
    "quarantined", with what set it aside as `gate` (empty where accepted) and in words as `reason`; `split` is empty
    until the segments are split.
    """

    pair_id: str
    segment_id: str
    en_source: str
    es_source: str
    en_refs: tuple[int, ...]
    es_refs: tuple[int, ...]
    en: str
    es: str
    genre: str
    testament: str
    split: str = ""
    status: str = ACCEPTED
    reason: str = ""
    gate: str = ""

    def set_aside(self, gate: Gate, found: str) -> PairRow:
        """Quarantine it; `found` names the value and the limit, in words."""
        return replace(self, status=QUARANTINED, gate=gate.value, reason=f"{GATES_IN_WORDS[gate]}: {found}")


def join(segments: Sequence[Segment], en_text: ScriptureText, es_text: ScriptureText) -> list[PairRow]:
    """Write the texts of each segment beside each other.

    Titles go with the title of the same psalm, subscriptions with the subscription of the same epistle; one that has
    no counterpart becomes a row with one empty side. A Spanish verse that holds a psalm's title, as in Hebrew
    numbering, goes with the English title.

    Args:
        segments: of `align(en_text.by_ref, es_text.by_ref)`.

    Returns:
        A row for each segment, title and subscription, in the order of the segments; nothing is left out.
    """
    en_verses, es_verses = dict(en_text.by_ref), dict(es_text.by_ref)
    titles, in_title = _titles(segments, en_text, es_text)
    notes = _subscriptions(en_text, es_text)
    rows: list[PairRow] = []
    for k, segment in enumerate(segments):
        for side, refs in (("en", segment.en_refs), ("es", segment.es_refs)):
            rows += [titles.pop((side, ref - 1)) for ref in refs if (side, ref - 1) in titles]
        if segment.en_refs or not in_title.issuperset(segment.es_refs):
            english = " ".join(en_verses[ref] for ref in segment.en_refs)
            spanish = " ".join(es_verses[ref] for ref in segment.es_refs)
            rows.append(_row(en_text, es_text, segment.en_refs, segment.es_refs, english, spanish))
        here = _book_of(segment)
        if here in notes and (k + 1 == len(segments) or _book_of(segments[k + 1]) != here):
            rows.append(notes.pop(here))
    return _without_gaps(rows + list(titles.values()) + list(notes.values()), en_text, es_text)


def _without_gaps(rows: list[PairRow], en_text: ScriptureText, es_text: ScriptureText) -> list[PairRow]:
    """Set the pairs aside whose text says itself that words are missing ("...", "***")."""
    gaps = [
        (name, side, {row.ref for row in text.verses if Removed.GAP in map(Removed.of, row.removed)})
        for name, side, text in (("English", "en_refs", en_text), ("Spanish", "es_refs", es_text))
    ]
    for k, row in enumerate(rows):
        for name, side, missing in gaps:
            if not missing.isdisjoint(getattr(row, side)):
                found = f"the {name} side leaves words out and marks the place; 0 such places are allowed"
                rows[k] = row.set_aside(Gate.GAP, found)
    return rows


def unite_segments(rows: Iterable[PairRow]) -> list[PairRow]:
    """Give one `segment_id` to all rows that share a Spanish verse.

    English versions are cut differently here and there, so that what is two segments with one of them is one with
    another; whoever splits by segment must see them as one. A subscription goes with its verse.
    """
    listed = list(rows)
    parent: dict[str, str] = {row.segment_id: row.segment_id for row in listed}

    def root(name: str) -> str:
        while parent[name] != name:
            parent[name] = parent[parent[name]]
            name = parent[name]
        return name

    owner: dict[tuple[str, int], str] = {}
    for row in listed:
        for ref in row.es_refs:
            other, mine = root(owner.setdefault((row.es_source, ref), row.segment_id)), root(row.segment_id)
            parent[max(other, mine)] = min(other, mine)
    named = [root(row.segment_id) for row in listed]
    return [
        row if row.segment_id == name else replace(row, segment_id=name)
        for row, name in zip(listed, named, strict=True)
    ]


def main_target(rows: Iterable[PairRow]) -> str:
    """Return the Spanish text that terms and verses are taught from: RVR1909, or the first by name where it is not there."""
    sources = {row.es_source for row in rows}
    return TARGET if TARGET in sources or not sources else min(sources)


def _book_of(segment: Segment) -> int:
    return (segment.en_refs or segment.es_refs)[0] // 1_000_000


def _row(
    en_text: ScriptureText,
    es_text: ScriptureText,
    en_refs: Sequence[int],
    es_refs: Sequence[int],
    en: str,
    es: str,
    suffix: str = "",
) -> PairRow:
    where = book((en_refs or es_refs)[0] // 1_000_000)
    first = f"{en_refs[0]:08d}" if en_refs else f"es{es_refs[0]:08d}"
    spanish = f"{es_refs[0]:08d}" if es_refs else f"en{en_refs[0]:08d}"
    if len(es_refs) > 1:
        spanish += f"+{len(es_refs) - 1}"
    return PairRow(
        pair_id=f"{en_text.text_id}-{es_text.text_id}-{first}{suffix}",
        segment_id=f"{es_text.text_id}-{spanish}{suffix}",
        en_source=en_text.text_id,
        es_source=es_text.text_id,
        en_refs=tuple(en_refs),
        es_refs=tuple(es_refs),
        en=en,
        es=es,
        genre=where.genre,
        testament=where.testament,
    )


def _titles(
    segments: Sequence[Segment], en_text: ScriptureText, es_text: ScriptureText
) -> tuple[dict[tuple[str, int], PairRow], set[int]]:
    """Return a row for each title, by the language and number that it belongs above, and the Spanish verses used as one."""
    english = {row.ref: row.text for row in en_text.rows("title")}
    spanish = {row.ref: row.text for row in es_text.rows("title")}
    rows: dict[tuple[str, int], PairRow] = {}
    used: set[int] = set()
    answers = _spanish_titles(segments, english, spanish)
    for ref in sorted(english):
        refs = answers.get(ref, ())
        used.update(refs)
        text = " ".join(spanish.get(r) or es_text.by_ref[r] for r in refs)
        rows["en", ref] = _row(en_text, es_text, (ref,), refs, english[ref], text, "t")
    for ref in sorted(set(spanish) - used):
        rows["es", ref] = _row(en_text, es_text, (), (ref,), "", spanish[ref], "t")
    return rows, used


def _spanish_titles(
    segments: Sequence[Segment], en_titles: dict[int, str], es_titles: dict[int, str]
) -> dict[int, tuple[int, ...]]:
    """Return the Spanish references that answer each English title.

    The psalm is the one that the first verses are aligned with, so psalms that are counted otherwise find theirs.
    """
    answer: dict[int, tuple[int, ...]] = {}
    for k, segment in enumerate(segments):
        if not segment.en_refs or not segment.es_refs or segment.en_refs[0] % 1000 != 1:
            continue
        title = segment.en_refs[0] - 1
        spanish = segment.es_refs[0] // 1000 * 1000
        if title not in en_titles:
            continue
        if spanish in es_titles:
            answer[title] = (spanish,)
            continue
        before = []
        while k and not segments[k - 1].en_refs and segments[k - 1].es_refs[0] // 1000 * 1000 == spanish:
            k -= 1
            before = [*segments[k].es_refs, *before]
        if before:
            answer[title] = tuple(before)
    return answer


def _subscriptions(en_text: ScriptureText, es_text: ScriptureText) -> dict[int, PairRow]:
    """By book: an epistle has one, at its end, whatever number its last verse carries."""
    spanish = {row.ref // 1_000_000: row for row in es_text.rows("subscription")}
    english = {row.ref // 1_000_000: row for row in en_text.rows("subscription")}
    rows = {}
    for number in sorted(set(spanish) | set(english)):
        en, es = english.get(number), spanish.get(number)
        rows[number] = _row(
            en_text,
            es_text,
            (en.ref,) if en else (),
            (es.ref,) if es else (),
            en.text if en else "",
            es.text if es else "",
            "s",
        )
    return rows
