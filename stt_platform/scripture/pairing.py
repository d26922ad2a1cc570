"""All English texts beside all Spanish ones: aligned, corrected, joined and filtered."""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

from stt_platform.scripture.alignment import Segment, align, number_text
from stt_platform.scripture.filters import Limits, filter_pairs
from stt_platform.scripture.pairs import PairRow, join, unite_segments
from stt_platform.scripture.texts import ScriptureText
from stt_platform.scripture.versification import Alarm, Difference, alarm, correct, differences


@dataclass(frozen=True)
class PairedTexts:
    """Two texts and how their verses answer each other.

    `table` holds the segments whose references differ, as they are used; `alarms` in what the aligner disagrees with
    the table that a person confirmed, or, where there is none, with that of the first English text.
    """

    en: ScriptureText
    es: ScriptureText
    segments: tuple[Segment, ...]
    table: tuple[Difference, ...]
    alarms: tuple[Alarm, ...]

    @property
    def name(self) -> str:
        """ "kjv-rvr1909": also the name of the table's file."""
        return f"{self.en.text_id}-{self.es.text_id}"


def pair_texts(
    english: Sequence[ScriptureText],
    spanish: Sequence[ScriptureText],
    *,
    confirmed: Mapping[str, Sequence[Difference]] | None = None,
    progress: Callable[[str], None] | None = None,
    threads: int = 2,
) -> list[PairedTexts]:
    """Align every English text with every Spanish one.

    Args:
        english, spanish: the first English text is the one that the others are held against.
        confirmed: versification tables that a person corrected, by the name of the pair: they win over the aligner.
        progress: is told what was aligned.
        threads: alignments at once; numpy lets them run beside each other.
    """
    confirmed = confirmed or {}
    wanted = [(en, es) for es in spanish for en in english]
    numbered = {text.text_id: number_text(text.by_ref) for text in (*english, *spanish)}

    def aligned(pair: tuple[ScriptureText, ScriptureText]) -> list[Segment]:
        segments = align(numbered[pair[0].text_id], numbered[pair[1].text_id])
        if progress:
            progress(f"{pair[0].title} beside {pair[1].title}")
        return segments

    with ThreadPoolExecutor(threads) as pool:
        found = list(pool.map(aligned, wanted))
    paired: list[PairedTexts] = []
    first: dict[str, list[Difference]] = {}
    for (en, es), segments in zip(wanted, found, strict=True):
        by_hand = confirmed.get(f"{en.text_id}-{es.text_id}")
        seen = differences(segments)
        known = first.setdefault(es.text_id, seen)
        if by_hand is not None:
            alarms = alarm(seen, by_hand)
            segments = correct(segments, by_hand)
            notes = {(row.en_refs, row.es_refs): row.note for row in by_hand}
            table = [replace(row, note=notes.get((row.en_refs, row.es_refs), "")) for row in differences(segments)]
        else:
            # What a text leaves out it does not number otherwise.
            alarms = [each for each in alarm(seen, known) if each.row.en_refs and each.row.es_refs]
            table = seen
        paired.append(PairedTexts(en, es, tuple(segments), tuple(table), tuple(alarms)))
    return paired


def verse_pairs_of(paired: Sequence[PairedTexts], limits: Limits | None = None) -> list[PairRow]:
    """Pair the texts: the rows of all pairs, each accepted or quarantined with its reason."""
    rows = [row for each in paired for row in join(each.segments, each.en, each.es)]
    return filter_pairs(unite_segments(rows), limits)
