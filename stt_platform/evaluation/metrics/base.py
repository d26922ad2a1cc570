"""What every metric has: a name, words for people, a direction, and a way to its number and interval."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

from stt_platform.evaluation.bootstrap import Shares, Summable, shares
from stt_platform.evaluation.comet import CometSegment
from stt_platform.evaluation.entities import EntityScores, entity_scores
from stt_platform.evaluation.held_out import HeldOutText
from stt_platform.evaluation.intervals import Counts, Interval, corpus_rate
from stt_platform.evaluation.speech_scores import RowScore, sermon_counts
from stt_platform.evaluation.terminology import Occurrence
from stt_platform.evaluation.translation_scores import Translated, TranslationScores, translation_scores


class Metric:
    """A number that is measured of a system.

    Attributes:
        name: in the tables; it never changes.
        label: what people read, such as "WER"; `long_label` where there is room, such as "Word error rate (WER)".
        explanation: what it measures, as the end of a sentence that begins with the label.
        unit: "%" where values are fractions, which people see times 100; else what stands behind the number.
        compared: whether two systems are compared by it, and the parts of a test set measured.
        of_clock: it differs between two runs of the same, and nothing is decided by it.
    """

    name: ClassVar[str]
    label: ClassVar[str]
    long_label: ClassVar[str] = ""
    explanation: ClassVar[str]
    unit: ClassVar[str] = "%"
    lower_is_better: ClassVar[bool] = True
    compared: ClassVar[bool] = False
    of_clock: ClassVar[bool] = False


@dataclass(frozen=True)
class SpeechSample:
    """The scored rows of one recogniser.

    Attributes:
        scores: of `score_rows`; those of two systems are of the same rows, in the same order.
        names: names to look for, of `glossary_names`; without any, scripture references are the only entities.
        work_s: seconds that the recogniser worked on these rows; None where nobody measured it.
        confidence: of the intervals, 0 to 1.
        clusters: what the rows are grouped by, in the plural, for the words of the result.
    """

    scores: Sequence[RowScore]
    names: Collection[str] = ()
    work_s: float | None = None
    confidence: float = 0.95
    clusters: str = "sermons"

    @cached_property
    def entities(self) -> list[EntityScores]:
        """References and names, by sermon."""
        pairs: dict[str, list[tuple[str, str]]] = {}
        for score in self.scores:
            if score.status == "scored":
                pairs.setdefault(score.row.sermon, []).append((score.row.reference or "", score.row.hypothesis or ""))
        return [entity_scores(pairs[sermon], self.names, examples=10_000) for sermon in sorted(pairs)]


class SpeechMetric(Metric, ABC):
    """A metric of a recogniser.

    Attributes:
        interval: how its interval is made, for the signature.
    """

    interval: ClassVar[str] = "jackknife of the log rate by sermon"

    @abstractmethod
    def measure(self, sample: SpeechSample) -> Interval | None:
        """Measure a sample; without a value, and with the reason, where nothing can be scored.

        Returns:
            None where the sample is not made for it, such as one without times for a speed.
        """

    @abstractmethod
    def method(self) -> str:
        """Return the library, and the rules by which texts were made alike."""

    def signature(self) -> str:
        """Return how to get the same number again."""
        return f"{self.method()}|interval:{self.interval}"


class ErrorRate(SpeechMetric):
    """Errors over words (or characters), summed over the corpus, with an interval by sermon (`corpus_rate`)."""

    @abstractmethod
    def counts(self, score: RowScore) -> Counts:
        """Return the errors and words of a row that was scored."""

    def measure(self, sample: SpeechSample) -> Interval:
        """Return the rate of the corpus."""
        by_sermon = sermon_counts(sample.scores, self.counts)
        return corpus_rate(by_sermon.values(), confidence=sample.confidence, called=sample.clusters)


@dataclass(frozen=True)
class TranslationSample:
    """The translations of one system.

    Attributes:
        texts: that were translated.
        hypotheses: one for each, in order; an empty one is scored as the failure that it is.
        comet: of `comet_scores`, one for each; none where COMET is unavailable.
    """

    texts: Sequence[HeldOutText]
    hypotheses: Sequence[str]
    comet: Sequence[CometSegment] = ()
    comet_signature: str = ""

    @cached_property
    def raw(self) -> TranslationScores:
        """BLEU and chrF++ of the texts as they are."""
        return translation_scores(self._rows)

    @cached_property
    def today(self) -> TranslationScores:
        """The same with both sides in the spelling of today."""
        return translation_scores(self._rows, spelling_today=True)

    @property
    def _rows(self) -> list[Translated]:
        return [
            Translated(text.segment_id, hypothesis, (text.reference,), text.en_source)
            for text, hypothesis in zip(self.texts, self.hypotheses, strict=True)
        ]


class TranslationMetric(Metric, ABC):
    """A metric of a translator; intervals are by segment (`segment_interval`), and more is better."""

    unit = ""
    lower_is_better = False
    compared = True

    @abstractmethod
    def statistics(self, sample: TranslationSample) -> Summable | None:
        """Return what can be summed up over segments, with its signature; None where it was not asked for."""


class TermRate(Metric):
    """A rate of the terms of a glossary, of occurrences that are `part` among those that are `whole` (all for "")."""

    part: ClassVar[str]
    whole: ClassVar[str] = "judged"
    lower_is_better = False

    def shares(self, found: Iterable[Occurrence]) -> Shares:
        """Return it as a share of each segment, for resampling: terms of one segment depend on each other."""
        counts: dict[str, list[int]] = defaultdict(lambda: [0, 0])
        for item in found:
            if not self.whole or getattr(item, self.whole):
                counts[item.segment_id][0] += getattr(item, self.part)
                counts[item.segment_id][1] += 1
        rows = [(segment, float(hits), float(total)) for segment, (hits, total) in sorted(counts.items())]
        return shares(rows, f"terms:{self.part}|of:{self.whole or 'all'}")
