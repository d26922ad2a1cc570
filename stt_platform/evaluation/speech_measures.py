"""All that is measured of a recogniser's texts, each with an interval by sermon."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Literal

from stt_platform.evaluation.entities import KINDS, EntityScores, Kind, entity_scores
from stt_platform.evaluation.intervals import Counts, Interval, corpus_rate
from stt_platform.evaluation.speech_scores import RowScore, sermon_counts, speech_score

ERROR_RATES = ("wer", "raw_wer", "cer")
ENTITY_SCORES = ("entity_f1", *(f"{kind}_f1" for kind in KINDS))

_RULES = ("church_english.py", "church_english.toml", "spoken_numbers.py", "spoken_references.py")


@dataclass(frozen=True)
class EntityMistake:
    """A reference or a name that was missed or invented `count` times."""

    kind: Kind
    value: str
    error: Literal["missed", "invented"]
    count: int


@dataclass(frozen=True)
class SpeechMeasures:
    """What was measured on a set of rows.

    Attributes:
        values: by metric: `wer, raw_wer, cer`; the parts of the WER, `substitution_rate, deletion_rate,
            insertion_rate`; `entity_f1, reference_f1, name_f1` (0 to 1, higher is better);
            `hallucinated_words_per_min` where nobody speaks. One that could not be scored has no value, and a reason.
        mistakes: references and names that were missed or invented, the most frequent first.
    """

    values: dict[str, Interval]
    mistakes: tuple[EntityMistake, ...]


def speech_measures(
    scores: Sequence[RowScore], names: Collection[str] = (), *, confidence: float = 0.95, called: str = "sermons"
) -> SpeechMeasures:
    """Measure scored rows.

    Args:
        scores: of `score_rows`.
        names: to look for, of `glossary_names`; without any, scripture references are the only entities.
        confidence: of the intervals, 0 to 1.
        called: what the rows are grouped by, in the plural, for the words of the result.
    """
    values = error_rates(scores, confidence=confidence, called=called)
    for part in ("substitution", "deletion", "insertion"):
        values[f"{part}_rate"] = _by_sermon(
            scores,
            lambda score, part=part: Counts(getattr(score.normalised, f"{part}s"), score.normalised.reference_words),
            confidence,
            called,
        )
    by_sermon = _entities_by_sermon(scores, names)
    for metric, kind in zip(ENTITY_SCORES, (None, *KINDS), strict=True):
        values[metric] = _f1(by_sermon, kind, confidence, called)
    values["hallucinated_words_per_min"] = _invented(scores, confidence)
    return SpeechMeasures(values, _most_frequent(by_sermon))


def error_rates(
    scores: Sequence[RowScore], *, confidence: float = 0.95, called: str = "sermons"
) -> dict[str, Interval]:
    """`wer` (normalised), `raw_wer` and `cer` (normalised), with intervals by sermon."""
    return {
        measure: corpus_rate(sermon_counts(scores, measure).values(), confidence=confidence, called=called)
        for measure in ERROR_RATES
    }


@cache
def signature(metric: str) -> str:
    """How to get the same number again: the library, and the rules by which texts were made alike."""
    here = Path(__file__).parent
    rules = hashlib.sha256(b"".join((here / name).read_bytes() for name in _RULES)).hexdigest()[:8]
    how = "as written" if metric == "raw_wer" else f"church English {rules}"
    if metric in ENTITY_SCORES:
        return f"entities {rules}|interval:jackknife by sermon"
    return f"jiwer {version('jiwer')}|{how}|interval:jackknife of the log rate by sermon"


def _by_sermon(
    scores: Iterable[RowScore], count: Callable[[RowScore], Counts], confidence: float, called: str
) -> Interval:
    errors: Counter[str] = Counter()
    words: Counter[str] = Counter()
    for score in scores:
        if score.status == "scored":
            counts = count(score)
            errors[score.row.sermon] += counts.errors
            words[score.row.sermon] += counts.words
    return corpus_rate(
        (Counts(errors[sermon], words[sermon]) for sermon in sorted(words)), confidence=confidence, called=called
    )


def _entities_by_sermon(scores: Iterable[RowScore], names: Collection[str]) -> list[EntityScores]:
    pairs: dict[str, list[tuple[str, str]]] = {}
    for score in scores:
        if score.status == "scored":
            pairs.setdefault(score.row.sermon, []).append((score.row.reference or "", score.row.hypothesis or ""))
    return [entity_scores(pairs[sermon], names, examples=10_000) for sermon in sorted(pairs)]


def _f1(by_sermon: Iterable[EntityScores], kind: str | None, confidence: float, called: str) -> Interval:
    counts = [scores.total if kind is None else dict(scores.by_kind)[kind] for scores in by_sermon]
    # What F1 lacks to 1 is a rate: wrong entities over twice the right ones and the wrong ones.
    lacking = corpus_rate(
        (Counts(each.misses + each.false_alarms, 2 * each.hits + each.misses + each.false_alarms) for each in counts),
        confidence=confidence,
        called=called,
    )
    if lacking.value is None:
        return replace(lacking, reason=f"no {kind or 'reference or name'} is in the texts")
    if lacking.low is None or lacking.high is None:
        return replace(lacking, value=1 - lacking.value)
    return replace(lacking, value=1 - lacking.value, low=max(0.0, 1 - lacking.high), high=1 - lacking.low)


def _invented(scores: Sequence[RowScore], confidence: float) -> Interval:
    silent = [score for score in scores if score.status == "no speech"]
    sermons = len({score.row.sermon for score in silent})
    rate = speech_score(silent).invented_per_minute
    reason = "no interval is made for it" if rate is not None else "nothing that was transcribed is without speech"
    return Interval(rate, None, None, sermons, "words over minutes without speech", confidence, reason)


def _most_frequent(by_sermon: Iterable[EntityScores]) -> tuple[EntityMistake, ...]:
    sums: Counter[tuple] = Counter()
    for scores in by_sermon:
        for error in scores.examples:
            sums[error.kind, error.value, error.error] += error.count
    ordered = sorted(sums.items(), key=lambda item: (-item[1], item[0]))
    return tuple(EntityMistake(*key, count) for key, count in ordered)
