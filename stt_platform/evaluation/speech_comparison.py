"""A recogniser measured on a set of rows, and an adapter beside it on the same rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from stt_platform.evaluation import metrics
from stt_platform.evaluation.intervals import Interval
from stt_platform.evaluation.metrics import SpeechSample
from stt_platform.evaluation.paired import Comparison
from stt_platform.evaluation.speech_scores import slices


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


def compare_systems(base: SpeechSample, adapter: SpeechSample | None) -> Compared:
    """Measure both by every metric of speech, and compare their error rates."""
    return Compared(
        metrics.measure_speech(base),
        None if adapter is None else metrics.measure_speech(adapter),
        {} if adapter is None else metrics.compare_speech(base, adapter),
    )


def compare_parts(base: SpeechSample, adapter: SpeechSample | None, kind: str) -> dict[str, Compared]:
    """Compare the error rates on the parts that a kind tells apart, by its value; empty where it tells nothing apart."""
    # Where nobody speaks there is no error rate.
    of_base = slices([score for score in base.scores if score.status != "no speech"], kind)
    if len(of_base) < 2:
        return {}
    of_adapter = slices(adapter.scores, kind) if adapter is not None else {}
    found = {}
    for value, scores in of_base.items():
        one = replace(base, scores=scores)
        two = replace(adapter, scores=of_adapter[value]) if adapter is not None and value in of_adapter else None
        found[value] = Compared(
            metrics.error_rates(one),
            None if two is None else metrics.error_rates(two),
            {} if two is None else metrics.compare_speech(one, two),
        )
    return found
