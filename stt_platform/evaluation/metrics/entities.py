"""F1 of scripture references and names: a WER weighs "Habakkuk" as it weighs "the"."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from typing import ClassVar

from stt_platform.evaluation.entities import EntityCounts, EntityScores, Error, Kind
from stt_platform.evaluation.intervals import Counts, Interval, corpus_rate
from stt_platform.evaluation.metrics.base import SpeechMetric, SpeechSample
from stt_platform.evaluation.metrics.error_rates import RULES


@dataclass(frozen=True)
class EntityMistake:
    """A reference or a name that was missed or invented `count` times."""

    kind: Kind
    value: str
    error: Error
    count: int


def entity_mistakes(sample: SpeechSample) -> tuple[EntityMistake, ...]:
    """List the references and names that were missed or invented, the most frequent first."""
    sums: Counter[tuple[Kind, str, Error]] = Counter()
    for scores in sample.entities:
        for error in scores.examples:
            sums[error.kind, error.value, error.error] += error.count
    ordered = sorted(sums.items(), key=lambda item: (-item[1], item[0]))
    return tuple(EntityMistake(kind, value, error, count) for (kind, value, error), count in ordered)


class EntityF1(SpeechMetric):
    """F1 of all entities, of which subclasses take one `kind` (van Rijsbergen 1979)."""

    name = "entity_f1"
    label = "Names and references (F1)"
    explanation = "harmonic mean of precision and recall of names and scripture references"
    lower_is_better = False
    interval = "jackknife by sermon"
    kind: ClassVar[Kind | None] = None

    def measure(self, sample: SpeechSample) -> Interval:
        counts = [self._counts(scores) for scores in sample.entities]
        # What F1 lacks to 1 is a rate: wrong entities over twice the right ones and the wrong ones.
        lacking = corpus_rate(
            (
                Counts(each.misses + each.false_alarms, 2 * each.hits + each.misses + each.false_alarms)
                for each in counts
            ),
            confidence=sample.confidence,
            called=sample.clusters,
        )
        if lacking.value is None:
            return replace(lacking, reason=f"no {self.kind or 'reference or name'} is in the texts")
        if lacking.low is None or lacking.high is None:
            return replace(lacking, value=1 - lacking.value)
        return replace(lacking, value=1 - lacking.value, low=max(0.0, 1 - lacking.high), high=1 - lacking.low)

    def method(self) -> str:
        return f"entities {RULES}"

    def _counts(self, scores: EntityScores) -> EntityCounts:
        return scores.total if self.kind is None else dict(scores.by_kind)[self.kind]


class ReferenceF1(EntityF1):
    """F1 of scripture references."""

    name = "reference_f1"
    label = "Scripture references (F1)"
    explanation = "the same, of scripture references alone"
    kind = "reference"


class NameF1(EntityF1):
    """F1 of names."""

    name = "name_f1"
    label = "Names (F1)"
    explanation = "the same, of names alone"
    kind = "name"
