"""All that is measured of a system's translations: in parts, with intervals, and beside another system."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stt_platform.evaluation import metrics as registry
from stt_platform.evaluation.bootstrap import Summable, segment_interval
from stt_platform.evaluation.comet import CometSegment
from stt_platform.evaluation.held_out import HeldOutText
from stt_platform.evaluation.intervals import Interval
from stt_platform.evaluation.metrics.base import TranslationSample
from stt_platform.evaluation.paired import FEWEST_SEGMENTS, Comparison, paired_scores
from stt_platform.evaluation.translation_scores import SegmentScore


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

    statistics: Mapping[str, Summable]
    chrf: tuple[SegmentScore, ...]
    comet: tuple[CometSegment, ...] = ()


def score_system(sample: TranslationSample) -> SystemScores:
    """Score translations by all metrics.

    Raises:
        ValueError: for another number of hypotheses, or of COMET's scores, than of texts.
    """
    found = {metric.name: metric.statistics(sample) for metric in registry.TRANSLATION}
    statistics = {name: summable for name, summable in found.items() if summable is not None}
    return SystemScores(statistics, sample.today.segments, tuple(sample.comet))


def parts_of(texts: Sequence[HeldOutText]) -> dict[Part, frozenset[str]]:
    """List the segments of each part: all first, then genres and testaments by name."""
    found = {ALL: frozenset(text.segment_id for text in texts)}
    for kind in ("genre", "testament"):
        for name in sorted({getattr(text, kind) for text in texts} - {""}):
            found[Part(kind, name)] = frozenset(text.segment_id for text in texts if getattr(text, kind) == name)
    return found


def measured(
    scores: SystemScores, parts: Mapping[Part, frozenset[str]], *, confidence: float = 0.95
) -> Iterator[tuple[Part, str, Interval]]:
    """Find each metric with its interval on each part, in the order of the metrics within that of the parts."""
    for part, segments in parts.items():
        for metric, statistics in scores.statistics.items():
            rows = _rows(statistics, segments)
            yield part, metric, segment_interval(statistics, rows=rows, confidence=confidence)


def compared(
    base: SystemScores,
    other: SystemScores,
    parts: Mapping[Part, frozenset[str]],
    *,
    metrics: Sequence[str] = (),
    confidence: float = 0.95,
) -> dict[tuple[Part, str], Comparison]:
    """Compare `other` (b) with `base` (a) on the same texts: all of them by each metric, the other parts by the first.

    A part with fewer than 50 segments is left out: nothing could be decided of it.

    Args:
        metrics: by which; without any, all that systems are compared by.
    """
    metrics = metrics or [metric.name for metric in registry.TRANSLATION if metric.compared]
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
    """Compare two systems by `paired_scores` that were scored on the same rows, in some segments or in all.

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
