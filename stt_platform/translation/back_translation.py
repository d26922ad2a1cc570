"""English made from Spanish verses: which verses, and what of it is fit to learn from.

Only the training side is translated back: what is made from a held-out verse is held out too.
"""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

from stt_platform.machine.seeded import seeded_uniform
from stt_platform.scripture.filters import MARKUP
from stt_platform.scripture.pairs import ACCEPTED, QUARANTINED, PairRow
from stt_platform.translation.round_trip import judge_round_trip, tag_back_translation

ORIGINALS = ("web", "asv", "kjv")
"""Which English is compared with: the nearest to what a translator writes today first, then the others by name."""

SHORT_CHARACTERS = (40, 90)


@dataclass(frozen=True)
class BackTranslation:
    """One Spanish text with English that a model made of it.

    Attributes:
        en: with the tag `__bt__` where it is accepted, as it was made where it is not.
        system: the model, with its revision.
        chrf: agreement with the English that people wrote, 0 to 100; None where there was nothing to compare.
        status: "accepted" or "quarantined", with its reason in words.
    """

    segment_id: str
    es: str
    en: str
    system: str
    chrf: float | None
    status: str
    reason: str


def choose_segments(
    rows: Sequence[PairRow], *, sample: int | None, seed: int, exclude: Collection[str] = ()
) -> list[PairRow]:
    """One row for each segment of the training side that is to be translated back; its English is the original.

    Of the rows of a segment the one with the most Spanish verses is taken, then the one that stands first in
    `ORIGINALS`.

    Args:
        rows: those that are not accepted or not in the split "train" are left out.
        sample: how many segments, drawn by their names, so that the draw does not depend on the order or on other
            segments; None for all.
        exclude: segments to leave out.

    Returns:
        Sorted by the Spanish text and its verses.
    """
    best: dict[str, PairRow] = {}
    for row in rows:
        if row.status == ACCEPTED and row.split == "train" and row.segment_id not in exclude:
            known = best.get(row.segment_id)
            if known is None or _preference(row) < _preference(known):
                best[row.segment_id] = row
    chosen = sorted(
        best.values(), key=lambda row: (seeded_uniform(seed, "back-translation", row.segment_id), row.segment_id)
    )
    return sorted(chosen[:sample], key=lambda row: (row.es_source, row.es_refs, row.segment_id))


def choose_examples(rows: Sequence[PairRow], *, seed: int, count: int = 3) -> list[PairRow]:
    """Short rows of the training side, of different genres, to show a model that was not tuned what is wanted.

    Name their segments in `exclude` of `choose_segments`: a model that has seen the answer translates nothing.

    Raises:
        ValueError: where there are not enough.
    """
    low, high = SHORT_CHARACTERS
    short = [
        row
        for row in choose_segments(rows, sample=None, seed=seed)
        if low <= len(row.en) <= high and low <= len(row.es) <= high
    ]
    by_genre: dict[str, PairRow] = {}
    for row in sorted(short, key=lambda row: (seeded_uniform(seed, "example", row.segment_id), row.segment_id)):
        by_genre.setdefault(row.genre, row)
    chosen = list(by_genre.values())[:count]
    if len(chosen) < count:
        raise ValueError(
            f"{len(chosen)} of {count} examples found: rows of {low} to {high} characters, in the split 'train', each "
            "of another genre"
        )
    return chosen


def back_translate(
    rows: Sequence[PairRow],
    translate: Callable[[Sequence[str]], Sequence[str]],
    *,
    system: str,
    min_chrf: float = 35.0,
    max_copied: float = 60.0,
) -> list[BackTranslation]:
    """Translate the Spanish of the rows and judge what comes of it, in their order.

    Args:
        rows: of `choose_segments`.
        translate: gives the English of Spanish texts, in their order; an empty text where it could not.
        system: the model's identity.
        min_chrf, max_copied: see `judge_round_trip`.

    Raises:
        ValueError: where `translate` gives another number of texts, or a row has an empty side.
    """
    made = translate([row.es for row in rows])
    return [
        _judged(row, " ".join(text.split()), system, min_chrf, max_copied) for row, text in zip(rows, made, strict=True)
    ]


def _judged(row: PairRow, made: str, system: str, min_chrf: float, max_copied: float) -> BackTranslation:
    judged = judge_round_trip(made, row.en, row.es, min_chrf=min_chrf, max_copied=max_copied)
    status, reason = judged.status, judged.reason
    residue = sorted(set(MARKUP.findall(made)))
    if status == ACCEPTED and residue:
        status, reason = QUARANTINED, f"holds markup: {' '.join(residue)}"
    english = tag_back_translation(made) if status == ACCEPTED else made
    return BackTranslation(row.segment_id, row.es, english, system, judged.chrf, status, reason)


def _preference(row: PairRow) -> tuple[int, int, str]:
    rank = ORIGINALS.index(row.en_source) if row.en_source in ORIGINALS else len(ORIGINALS)
    return -len(row.es_refs), rank, row.pair_id
