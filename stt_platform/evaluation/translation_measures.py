"""All that is measured of a system's translations: in parts, with intervals, and beside another system."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from stt_platform.evaluation.bootstrap import Summable, segment_interval, shares
from stt_platform.evaluation.comet import CometSegment
from stt_platform.evaluation.held_out import HeldOutText
from stt_platform.evaluation.intervals import Interval
from stt_platform.evaluation.paired import FEWEST_SEGMENTS, Comparison, paired_scores
from stt_platform.evaluation.translation_scores import SegmentScore, Translated, translation_scores
from stt_platform.evaluation.trust import archaism_rate

Metric = Literal["chrf_today", "chrf", "bleu_today", "bleu", "comet", "archaisms"]


@dataclass(frozen=True)
class MetricWords:
    """How people are told of a metric; see `report.Measure`."""

    label: str
    unit: str
    explanation: str
    lower_is_better: bool = False


WORDS: Mapping[Metric, MetricWords] = {
    "chrf_today": MetricWords(
        "chrF++", "", "likeness to the reference in letters and words, 0 to 100, both in the spelling of today"
    ),
    "chrf": MetricWords("chrF++, texts as they are", "", "the same, where á for a counts as a mistake"),
    "bleu_today": MetricWords(
        "BLEU", "", "runs of words that are as in the reference, 0 to 100, in the spelling of today"
    ),
    "bleu": MetricWords("BLEU, texts as they are", "", "the same, where á for a counts as a mistake"),
    "comet": MetricWords("COMET", "", "a network's estimate of how people would rate it, about 0 to 1"),
    "archaisms": MetricWords("Old style", "%", "share of the words in the style of old Bibles", lower_is_better=True),
}
"""Every metric; the first is the one that decides. An adapter is taught the spelling of today, so the reference is put
into it as well."""

COMPARED: tuple[Metric, ...] = ("chrf_today", "chrf", "bleu_today", "bleu", "comet")
"""Metrics of which more is better, and two systems can be compared by."""


@dataclass(frozen=True)
class Part:
    """A part of a test set: `kind` is "all", "genre" or "testament", `name` which one."""

    kind: str
    name: str


ALL = Part("all", "all")


@dataclass(frozen=True, eq=False)
class SystemScores:
    """One system on one test set.

    Attributes:
        statistics: by metric, a row for each text that it could score. Which texts it can score depends on sources and
            references alone, but for the archaisms, which are counted in the translations.
        chrf: of each text in order, in the spelling of today.
        comet: of each text in order; empty where it was not asked for.
    """

    statistics: Mapping[Metric, Summable]
    chrf: tuple[SegmentScore, ...]
    comet: tuple[CometSegment, ...] = ()


def score_system(
    texts: Sequence[HeldOutText],
    hypotheses: Sequence[str],
    comet: Sequence[CometSegment] = (),
    comet_signature: str = "",
) -> SystemScores:
    """Score translations by all metrics.

    Args:
        texts: that were translated.
        hypotheses: one for each, in order; an empty one is scored as the failure that it is.
        comet: of `comet_scores`, one for each; none where COMET is unavailable.

    Raises:
        ValueError: for another number of hypotheses, or of COMET's scores, than of texts.
    """
    rows = [
        Translated(text.segment_id, hypothesis, (text.reference,), text.genre, text.testament, text.en_source)
        for text, hypothesis in zip(texts, hypotheses, strict=True)
    ]
    raw, today = translation_scores(rows), translation_scores(rows, spelling_today=True)
    statistics: dict[Metric, Summable] = {
        "chrf_today": today.chrf,
        "chrf": raw.chrf,
        "bleu_today": today.bleu,
        "bleu": raw.bleu,
        "archaisms": _archaisms(texts, hypotheses),
    }
    if comet:
        scored = [
            (text.segment_id, segment.score, 1.0)
            for text, segment in zip(texts, comet, strict=True)
            if segment.score is not None
        ]
        statistics["comet"] = shares(scored, comet_signature)
    return SystemScores(statistics, today.segments, tuple(comet))


def parts_of(texts: Sequence[HeldOutText]) -> dict[Part, frozenset[str]]:
    """The segments of each part: all first, then genres and testaments by name."""
    found = {ALL: frozenset(text.segment_id for text in texts)}
    for kind in ("genre", "testament"):
        for name in sorted({getattr(text, kind) for text in texts} - {""}):
            found[Part(kind, name)] = frozenset(text.segment_id for text in texts if getattr(text, kind) == name)
    return found


def measured(
    scores: SystemScores, parts: Mapping[Part, frozenset[str]], *, confidence: float = 0.95
) -> Iterator[tuple[Part, Metric, Interval]]:
    """Each metric with its interval on each part, in the order of `WORDS` within that of the parts."""
    for part, segments in parts.items():
        for metric in get_args(Metric):
            if (statistics := scores.statistics.get(metric)) is not None:
                rows = _rows(statistics, segments)
                yield part, metric, segment_interval(statistics, rows=rows, confidence=confidence)


def compared(
    base: SystemScores,
    other: SystemScores,
    parts: Mapping[Part, frozenset[str]],
    *,
    metrics: Sequence[Metric] = COMPARED,
    confidence: float = 0.95,
) -> dict[tuple[Part, Metric], Comparison]:
    """`other` (b) beside `base` (a) on the same texts: all of them by each of the metrics, the other parts by the first.

    A part with fewer than 50 segments is left out: nothing could be decided of it.
    """
    found = {}
    for part, segments in parts.items():
        if part != ALL and len(segments) < FEWEST_SEGMENTS:
            continue
        for metric in metrics if part == ALL else metrics[:1]:
            a, b = base.statistics.get(metric), other.statistics.get(metric)
            if a is not None and b is not None:
                found[part, metric] = compare_statistics(a, b, segments, confidence=confidence)
    return found


def compare_statistics(
    a: Summable, b: Summable, segments: frozenset[str] | None = None, *, confidence: float = 0.95
) -> Comparison:
    """`paired_scores` of two systems that were scored on the same rows, in some segments or in all.

    Raises:
        ValueError: the rows are not the same.
    """
    if a.units != b.units:
        raise ValueError("the two systems were not scored on the same texts: score both on the same ones")
    rows = _rows(a, segments) if segments is not None else np.ones(len(a.units), dtype=bool)
    units = [unit for unit, chosen in zip(a.units, rows, strict=True) if chosen]
    return paired_scores(a.counts[rows], b.counts[rows], a.of, units, confidence=confidence)


def _rows(statistics: Summable, segments: frozenset[str]) -> NDArray[np.bool_]:
    return np.fromiter((unit in segments for unit in statistics.units), dtype=bool, count=len(statistics.units))


def _archaisms(texts: Sequence[HeldOutText], hypotheses: Sequence[str]) -> Summable:
    rates = [archaism_rate([hypothesis]) for hypothesis in hypotheses]
    rows = [
        (text.segment_id, float(rate.archaic_words), float(rate.words)) for text, rate in zip(texts, rates, strict=True)
    ]
    return shares(rows, "archaisms:archaisms.toml|share:words")
