"""A recogniser measured on a set of rows, and an adapter beside it on the same rows."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from stt_platform.evaluation.intervals import Interval
from stt_platform.evaluation.paired import Comparison, paired_rates
from stt_platform.evaluation.speech_measures import ERROR_RATES, error_rates, speech_measures
from stt_platform.evaluation.speech_scores import RowScore, scored_by_both, slices, speech_score


@dataclass(frozen=True)
class HeardRows:
    """The scored rows of a system, and how long it worked on them; the rows of two systems are the same, in order."""

    scores: Sequence[RowScore]
    work_s: float


@dataclass(frozen=True)
class Compared:
    """The values of a base model and of an adapter beside it, by metric.

    Attributes:
        adapter: None where there is none.
        comparisons: base as a, adapter as b; over the rows that were scored for both.
    """

    base: Mapping[str, Interval]
    adapter: Mapping[str, Interval] | None
    comparisons: Mapping[str, Comparison]


def compare_systems(
    base: HeardRows,
    adapter: HeardRows | None,
    names: Collection[str],
    *,
    called: str = "sermons",
    confidence: float = 0.95,
) -> Compared:
    """Measure all that `speech_measures` does and the real-time factor `rtf`, and compare the error rates.

    Args:
        names: for the entities, see `speech_measures`.
        called: what the rows are grouped by, in the plural.
    """
    return Compared(
        _all_values(base, names, called, confidence),
        None if adapter is None else _all_values(adapter, names, called, confidence),
        _comparisons(base.scores, adapter and adapter.scores, called, confidence),
    )


def compare_parts(
    base: Sequence[RowScore],
    adapter: Sequence[RowScore] | None,
    kind: str,
    *,
    called: str = "sermons",
    confidence: float = 0.95,
) -> dict[str, Compared]:
    """Error rates on the parts that a kind tells apart, by its value. Empty where it tells nothing apart."""
    # Where nobody speaks there is no error rate.
    of_base = slices([score for score in base if score.status != "no speech"], kind)
    if len(of_base) < 2:
        return {}
    of_adapter = slices(adapter, kind) if adapter is not None else {}
    return {value: _rates(scores, of_adapter.get(value), called, confidence) for value, scores in of_base.items()}


def _rates(base: Sequence[RowScore], adapter: Sequence[RowScore] | None, called: str, confidence: float) -> Compared:
    return Compared(
        error_rates(base, confidence=confidence, called=called),
        None if adapter is None else error_rates(adapter, confidence=confidence, called=called),
        _comparisons(base, adapter, called, confidence),
    )


def _comparisons(
    base: Sequence[RowScore], adapter: Sequence[RowScore] | None, called: str, confidence: float
) -> dict[str, Comparison]:
    if adapter is None:
        return {}
    return {
        metric: paired_rates(*scored_by_both(base, adapter, metric), confidence=confidence, called=called)
        for metric in ERROR_RATES
    }


def _all_values(heard: HeardRows, names: Collection[str], called: str, confidence: float) -> dict[str, Interval]:
    values = speech_measures(heard.scores, names, confidence=confidence, called=called).values
    return values | {"rtf": _real_time_factor(heard, confidence)}


def _real_time_factor(heard: HeardRows, confidence: float) -> Interval:
    timed = [score for score in heard.scores if score.row.duration_s]
    factor = speech_score(timed, processing_s=heard.work_s).real_time_factor
    reason = "nothing was heard" if factor is None else "no interval is made for it"
    return Interval(factor, None, None, len(timed), "seconds of work over seconds of sound", confidence, reason)
