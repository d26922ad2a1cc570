"""What translators are examined on: held-out verses, and sentences that are not of the church.

Draws go by the names of the texts, so they depend on no order and on no other text, and a larger one holds a smaller.
"""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import astuple, dataclass
from functools import cached_property
from typing import Literal

from stt_platform.evaluation.general_sets import USABLE, TranslationSet
from stt_platform.machine.seeded import seeded_uniform
from stt_platform.scripture.pairs import ACCEPTED, PairRow, main_target
from stt_platform.scripture.splitting import TEST

Kind = Literal["scripture_test", "general_text"]


@dataclass(frozen=True)
class HeldOutText:
    """An English text and its Spanish reference.

    Attributes:
        key: unique within its set.
        segment_id: what it is resampled by; a sentence is a segment of its own.
        ref: the first verse as BBCCCVVV; None outside scripture.
        status, reason: "usable", or "rejected" with what keeps it from being scored.
    """

    key: str
    segment_id: str
    source: str
    reference: str
    genre: str = ""
    testament: str = ""
    en_source: str = ""
    ref: int | None = None
    status: str = USABLE
    reason: str = ""


@dataclass(frozen=True)
class TextSet:
    """A test set; `name` is "all" for the verses, and the set's own name for sentences."""

    kind: Kind
    name: str
    texts: tuple[HeldOutText, ...]

    @property
    def key(self) -> str:
        """Unique among test sets."""
        return f"{self.kind}/{self.name}"

    @cached_property
    def usable(self) -> tuple[HeldOutText, ...]:
        """The texts that can be translated and scored."""
        return tuple(text for text in self.texts if text.status == USABLE)

    @cached_property
    def sha256(self) -> str:
        """Hash of all texts with their references, in order; 64 characters."""
        rows = json.dumps([astuple(text) for text in self.texts], ensure_ascii=False)
        return hashlib.sha256(rows.encode()).hexdigest()


def held_out_verses(pairs: Iterable[PairRow], *, most: int = 0, seed: int = 0) -> TextSet:
    """Draw accepted verses of the test side with their main target, each segment in one English version.

    Several versions of one verse are not independent, and one of them is enough.

    Args:
        most: segments, drawn; 0 for all.
        seed: of the draws.

    Returns:
        Verses in the order of the draw.
    """
    by_segment: dict[str, list[PairRow]] = defaultdict(list)
    accepted = [row for row in pairs if row.status == ACCEPTED]
    main = main_target(accepted)
    for row in accepted:
        if row.split == TEST and row.es_source == main:
            by_segment[row.segment_id].append(row)
    names = sorted(by_segment, key=lambda name: (seeded_uniform(seed, "held out", name), name))[: most or None]
    chosen = [
        min(by_segment[name], key=lambda row: (seeded_uniform(seed, "version", row.pair_id), row.pair_id))
        for name in names
    ]
    return TextSet("scripture_test", "all", tuple(_verse(row) for row in chosen))


def general_texts(found: TranslationSet, *, most: int = 0, seed: int = 0) -> TextSet:
    """Draw sentences of a general set; those that cannot be used stay, marked.

    Args:
        most: usable sentences; 0 for all.
        seed: of the draw.
    """
    texts = [
        HeldOutText(pair.key, pair.key, pair.en, pair.es, status=pair.status, reason=pair.reason)
        for pair in found.pairs
    ]
    usable = [text for text in texts if text.status == USABLE]
    chosen = sorted(usable, key=lambda text: (seeded_uniform(seed, "general", text.key), text.key))[: most or None]
    return TextSet("general_text", found.name, (*chosen, *(text for text in texts if text.status != USABLE)))


def _verse(row: PairRow) -> HeldOutText:
    return HeldOutText(
        key=row.pair_id,
        segment_id=row.segment_id,
        source=row.en,
        reference=row.es,
        genre=row.genre,
        testament=row.testament,
        en_source=row.en_source,
        ref=row.en_refs[0] if row.en_refs else None,
    )
