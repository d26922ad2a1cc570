"""SacreBLEU and chrF++ of translations: by segment, and as counts that a bootstrap can add up again."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import zip_longest
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from stt_platform.scripture.spelling import modernise

MetricName = Literal["bleu", "chrf"]

SCORED, NOT_SCORED = "scored", "not scored"


@dataclass(frozen=True)
class Translated:
    """A translation and what it is compared with.

    `references` may differ in number from row to row; None and texts without a letter or digit count as missing. Rows
    with the same `segment_id` are copies: the same Spanish, translated from several English versions.
    """

    segment_id: str
    hypothesis: str
    references: tuple[str | None, ...]
    en_source: str = ""


@dataclass(frozen=True, eq=False)
class Statistics:
    """The counts that a corpus score is made of, a row for each scored text.

    Scores of corpora are no means of scores of segments, so a resampled corpus is scored from its summed counts, as
    sacrebleu's own bootstrap does (Post 2018, "A Call for Clarity in Reporting BLEU Scores").

    Attributes:
        signature: how to get the same score again, in sacrebleu's notation.
        units: the segment of each row. Copies are not independent of each other.
        counts: one row for each text, the columns of sacrebleu's metric.
    """

    metric: MetricName
    signature: str
    units: tuple[str, ...]
    counts: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.counts)

    def score(self, indices: Sequence[int] | NDArray[np.integer] | None = None) -> float | None:
        """Compute the corpus score of these rows, 0 to 100, a row counting as often as it is named; of all for None.

        None where there are no rows.
        """
        counts = self.counts if indices is None else self.counts[np.asarray(indices, dtype=np.int64)]
        return self.of(counts.sum(axis=0)) if len(counts) else None

    def of(self, total: NDArray) -> float:
        """Compute the corpus score of rows whose counts add up to `total`: one number for each column, whole ones."""
        return _score(self.metric, total.astype(np.int64))


@dataclass(frozen=True)
class SegmentScore:
    """chrF++ of one text, 0 to 100; None with a reason where it was not scored."""

    segment_id: str
    en_source: str
    chrf: float | None
    status: str
    reason: str


@dataclass(frozen=True, eq=False)
class TranslationScores:
    """Scores of one system.

    Attributes:
        bleu, chrf: counts and signature of each metric, of the scored texts in the order of the rows. What is scored
            depends on the references alone, so two systems with the same rows have the same rows here.
        segments: one for each row, in order.
    """

    bleu: Statistics
    chrf: Statistics
    segments: tuple[SegmentScore, ...]


def translation_scores(rows: Sequence[Translated], *, spelling_today: bool = False) -> TranslationScores:
    """Score translations with SacreBLEU (Post 2018) and chrF++ (Popović 2017, `word_order` 2).

    Scores are those of sacrebleu's command line on the scored rows. An empty hypothesis is scored as the failure that
    it is; a row without any reference that holds a letter or digit is not scored.

    Args:
        rows: in any number; the order is kept.
        spelling_today: put both sides into today's spelling (`modernise`) before they are compared, so that "á" for
            "a" is no error. The signatures then say `spelling:today`.
    """
    usable = [tuple(text for text in row.references if text is not None and _says_something(text)) for row in rows]
    kept = [k for k, references in enumerate(usable) if references]
    change: Callable[[str], str] = modernise if spelling_today else str
    hypotheses = [change(rows[k].hypothesis) for k in kept]
    references = [[change(text) for text in usable[k]] for k in kept]
    units = tuple(rows[k].segment_id for k in kept)
    bleu, chrf = (_statistics(name, hypotheses, references, units, spelling_today) for name in get_args(MetricName))
    by_row = {k: _score("chrf", counts) for k, counts in zip(kept, chrf.counts, strict=True)}
    return TranslationScores(bleu, chrf, tuple(_segments(rows, by_row)))


def _statistics(
    name: MetricName,
    hypotheses: Sequence[str],
    references: Sequence[Sequence[str]],
    units: tuple[str, ...],
    spelling_today: bool,
) -> Statistics:
    metric = _metric(name)
    # As sacrebleu wants them: a stream for each place in the list of references, None where a row has no more.
    streams = [list(stream) for stream in zip_longest(*references)]
    metric.num_refs = 0
    # sacrebleu offers these counts to its own significance tests only; there is no public name for them.
    counts = metric._extract_corpus_statistics(hypotheses, streams) if hypotheses else []
    signature = metric.get_signature()
    if spelling_today:
        signature.update("spelling", "today")
    table = np.array(counts, dtype=np.int64).reshape(len(units), len(counts[0]) if counts else 0)
    return Statistics(name, signature.format(), units, table)


def _score(name: MetricName, counts: NDArray[np.int64]) -> float:
    return float(_scorer(name)._compute_score_from_stats(counts.tolist()).score)


@cache
def _scorer(name: MetricName):
    return _metric(name)


def _metric(name: MetricName):
    from sacrebleu.metrics.bleu import BLEU
    from sacrebleu.metrics.chrf import CHRF

    return BLEU() if name == "bleu" else CHRF(word_order=2)


def _segments(rows: Sequence[Translated], by_row: dict[int, float]) -> Iterable[SegmentScore]:
    for k, row in enumerate(rows):
        if k in by_row:
            yield SegmentScore(row.segment_id, row.en_source, by_row[k], SCORED, "")
            continue
        given = [text for text in row.references if text is not None and text.strip()]
        reason = (
            f"reference {given[0]!r} holds no letter or digit" if given else "there is no reference, or an empty one"
        )
        yield SegmentScore(row.segment_id, row.en_source, None, NOT_SCORED, reason)


def _says_something(text: str) -> bool:
    return any(letter.isalnum() for letter in text)
