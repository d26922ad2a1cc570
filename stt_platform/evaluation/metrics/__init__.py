"""The metrics: each is one small class with its name, unit, direction, words, signature and the way to its number.

To add one, write a class in a file of this folder (`SpeechMetric`, or `ErrorRate` for errors over words;
`TranslationMetric`; `TermRate`) and put it into the tuple below. The tables, reports, pages and comparisons
(`compared = True`) take it from there. Outputs that are there already get it when they are made again.
"""

from __future__ import annotations

from collections.abc import Mapping

from stt_platform.evaluation.intervals import Interval
from stt_platform.evaluation.metrics import entities, error_rates, speed, terms, translation
from stt_platform.evaluation.metrics.base import (
    ErrorRate,
    Metric,
    SpeechMetric,
    SpeechSample,
    TermRate,
    TranslationMetric,
)
from stt_platform.evaluation.paired import Comparison, paired_rates
from stt_platform.evaluation.speech_scores import scored_by_both

SPEECH: tuple[SpeechMetric, ...] = (
    *(error_rates.WER(), error_rates.RawWER(), error_rates.CER()),
    *(error_rates.Substitutions(), error_rates.Deletions(), error_rates.Insertions()),
    *(entities.EntityF1(), entities.ReferenceF1(), entities.NameF1()),
    *(speed.HallucinatedWords(), speed.RealTimeFactor()),
)
TERMS: tuple[TermRate, ...] = (
    *(terms.TermAccuracy(), terms.SenseAccuracy(), terms.LemmaAccuracy(), terms.LemmaCeiling()),
    *(terms.Ceiling(), terms.ForbiddenRate()),
)
TRANSLATION: tuple[TranslationMetric, ...] = (
    *(translation.ChrF(), translation.RawChrF(), translation.BLEU(), translation.RawBLEU()),
    *(translation.COMET(), translation.Archaisms()),
)
"""The first is the one that decides."""
OTHERS: tuple[Metric, ...] = (translation.RecitedVerses(), speed.TextsPerSecond(), speed.TokensPerSecond())
"""Metrics of which the stage that measures them has the number."""


def all_metrics() -> dict[str, Metric]:
    """Return every metric by its name, in the order in which pages list them."""
    return {metric.name: metric for metric in (*SPEECH, *TERMS, *OTHERS, *TRANSLATION)}


def signature(name: str) -> str:
    """Return how to get the same number of a speech metric again."""
    return next(metric for metric in SPEECH if metric.name == name).signature()


def measure_speech(sample: SpeechSample) -> dict[str, Interval]:
    """Measure all that can be measured of a sample, by the name of the metric."""
    found = {metric.name: metric.measure(sample) for metric in SPEECH}
    return {name: interval for name, interval in found.items() if interval is not None}


def error_rates(sample: SpeechSample) -> dict[str, Interval]:
    """Measure what two systems are compared by, such as `wer`, `raw_wer` and `cer`."""
    return {metric.name: metric.measure(sample) for metric in _compared()}


def compare_speech(a: SpeechSample, b: SpeechSample) -> Mapping[str, Comparison]:
    """Compare two recognisers by their error rates, over the rows that were scored for both."""
    return {
        metric.name: paired_rates(
            *scored_by_both(a.scores, b.scores, metric.counts), confidence=a.confidence, called=a.clusters
        )
        for metric in _compared()
    }


def _compared() -> list[ErrorRate]:
    return [metric for metric in SPEECH if metric.compared and isinstance(metric, ErrorRate)]
