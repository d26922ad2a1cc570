"""What a recogniser got wrong in each row: words, characters, and speech hallucinated in silence.

Also what the error rate of the automatic labels means for training on them. The table is `baseline_bands.toml`.
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Literal

from stt_platform.evaluation.intervals import Counts, Interval
from stt_platform.evaluation.wer import WordErrors, word_errors


@dataclass(frozen=True)
class SpeechRow:
    """One stretch of audio, what was said in it and what a recogniser wrote.

    Attributes:
        reference: empty where nobody speaks; None where it is not known.
        hypothesis: None where the recogniser gave none.
        kinds: what the row can be told apart by, such as {"speaker": "Smith", "noise": "noisy", "text": "verse"}.
    """

    row_id: str
    sermon: str
    reference: str | None
    hypothesis: str | None
    duration_s: float | None = None
    kinds: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class RowScore:
    """A row and its counts.

    Attributes:
        status: 'scored'; 'no speech' (the reference is empty: words of the hypothesis are invented, and count in no
            error rate); 'not scored'.
        reason: why it was not scored, else empty.
        normalised, raw: word errors with both sides normalised, and as they are.
        characters: errors and characters of the reference, spaces included, both sides normalised.
        invented_words: normalised words that were heard where nobody speaks.
    """

    row: SpeechRow
    status: Literal["scored", "no speech", "not scored"]
    reason: str
    normalised: WordErrors
    raw: WordErrors
    characters: Counts
    invented_words: int


@dataclass(frozen=True)
class LabelBand:
    """A range of error rates of automatic labels, and how to use such labels.

    Attributes:
        below: where it ends, as a fraction; None for the last. It begins where the one before ends.
        words: what the policy comes to, as the end of a sentence.
    """

    name: str
    label_policy: str
    words: str
    below: float | None = None


@dataclass(frozen=True)
class Band:
    """Where an error rate of labels lies, and how to use such labels.

    Attributes:
        name: the band of the estimate; None without one.
        certain: the whole interval lies in that band.
        candidates: every band that the interval touches, the best first; all where there is no interval.
        label_policy: that of the worst candidate: too careful costs time, too bold teaches errors. None where
            there is no interval to decide by.
        words: all this in a sentence.
    """

    name: str | None
    certain: bool
    candidates: tuple[str, ...]
    label_policy: str | None
    words: str


def score_rows(rows: Iterable[SpeechRow], normalise: Callable[[str], str]) -> list[RowScore]:
    """Count the errors of each row, in the order given. No row is left out; those that cannot be scored say why.

    Args:
        normalise: applied to both sides for everything but the raw counts.
    """
    return [_scored(row, normalise) for row in rows]


def sermon_counts(scores: Iterable[RowScore], count: Callable[[RowScore], Counts]) -> dict[str, Counts]:
    """Sum up what `count` finds in every sermon that has a scored row, sorted by sermon."""
    sums: dict[str, list[int]] = {}
    for score in scores:
        if score.status == "scored":
            counts = count(score)
            total = sums.setdefault(score.row.sermon, [0, 0])
            total[0] += counts.errors
            total[1] += counts.words
    return {sermon: Counts(*sums[sermon]) for sermon in sorted(sums)}


def scored_by_both(
    a: Iterable[RowScore], b: Iterable[RowScore], count: Callable[[RowScore], Counts]
) -> tuple[dict[str, Counts], dict[str, Counts]]:
    """Sum up by sermon the rows that were scored for both systems: what `paired_rates` compares."""
    of_a = {score.row.row_id: score for score in a if score.status == "scored"}
    of_b = {score.row.row_id: score for score in b if score.status == "scored"}
    common = sorted(of_a.keys() & of_b.keys())
    return (
        sermon_counts([of_a[row_id] for row_id in common], count),
        sermon_counts([of_b[row_id] for row_id in common], count),
    )


def slices(scores: Iterable[RowScore], kind: str) -> dict[str, list[RowScore]]:
    """Group rows by their value of a kind, sorted by value; rows without the kind are 'unknown'."""
    found: dict[str, list[RowScore]] = {}
    for score in scores:
        found.setdefault(score.row.kinds.get(kind, "unknown"), []).append(score)
    return dict(sorted(found.items()))


@cache
def label_bands() -> tuple[LabelBand, ...]:
    """Read the bands of `baseline_bands.toml`, the best first."""
    table = tomllib.loads(Path(__file__).with_name("baseline_bands.toml").read_text(encoding="utf-8"))
    return tuple(LabelBand(**band) for band in table["band"])


def baseline_band(interval: Interval) -> Band:
    """Find the band of an error rate of automatic labels, by its interval and not only by the estimate."""
    bands = label_bands()
    if interval.value is None:
        return Band(None, False, tuple(band.name for band in bands), None, f"no error rate: {interval.reason}")
    at = _band_number(interval.value)
    name, rate = bands[at].name, f"{100 * interval.value:.1f} %"
    if interval.low is None or interval.high is None:
        return Band(
            name,
            False,
            tuple(band.name for band in bands),
            None,
            f"{rate} lies in {name}, but how sure that is cannot be said ({interval.reason}): choose a policy by hand, "
            "or transcribe from more sermons",
        )
    touched = bands[_band_number(interval.low) : _band_number(interval.high) + 1]
    names = tuple(band.name for band in touched)
    words = f"{rate} ({100 * interval.confidence:g} %: {100 * interval.low:.1f} to {100 * interval.high:.1f} %) "
    if len(touched) == 1:
        words += f"lies in {name}: {touched[0].words}"
    else:
        words += f"may lie in {' or '.join(names)}; the careful choice: {touched[-1].words}"
    return Band(name, len(touched) == 1, names, touched[-1].label_policy, words)


def _scored(row: SpeechRow, normalise: Callable[[str], str]) -> RowScore:
    def found(status: Literal["no speech", "not scored"], reason: str = "", invented_words: int = 0) -> RowScore:
        nothing = word_errors([])
        return RowScore(row, status, reason, nothing, nothing, Counts(0, 0), invented_words)

    if row.reference is None:
        return found("not scored", "there is no reference: transcribe it, or mark it as no speech")
    if row.hypothesis is None:
        return found("not scored", "the recogniser gave no answer, not even an empty one: run it again")
    reference, hypothesis = " ".join(normalise(row.reference).split()), " ".join(normalise(row.hypothesis).split())
    if not row.reference.strip():
        return found("no speech", invented_words=len(hypothesis.split()))
    if not reference:
        return found("not scored", f"the reference {row.reference.strip()[:40]!r} holds no word once normalised")
    return RowScore(
        row,
        "scored",
        "",
        word_errors([(reference, hypothesis)]),
        word_errors([(row.reference, row.hypothesis)]),
        _character_errors(reference, hypothesis),
        0,
    )


def _character_errors(reference: str, hypothesis: str) -> Counts:
    import jiwer

    found = jiwer.process_characters(reference, hypothesis)
    return Counts(
        errors=found.substitutions + found.deletions + found.insertions,
        words=found.hits + found.substitutions + found.deletions,
    )


def _band_number(rate: float) -> int:
    return sum(rate >= band.below for band in label_bands() if band.below is not None)
