"""Estimate how likely a transcript is wrong, fitted on the chunks that people have answered.

A recogniser's own figures are overconfident and differ between models, beams and temperatures; what they are worth is
measured on answered chunks, anew in each cycle. The best single sign is that a recogniser of another architecture heard
something else. Two logistic regressions over the same features: whether a word is wrong at all, and what share is.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass
from typing import Literal

import numpy as np

from stt_platform.machine.seeded import seeded_uniform

MIN_ANSWERS = 200
"""With fewer answers the fixed prior is used."""

_MIN_OF_A_KIND = 20
_MIN_RANDOM = 30
_BINS = 10
# Of the penalty on standardised coefficients: one answer's worth, which also keeps separable answers finite.
_RIDGE = 1.0
_LEAST, _MOST = 1e-3, 1 - 1e-3


@dataclass(frozen=True)
class TranscriptFeatures:
    """What a transcript shows of itself.

    Attributes:
        mean_word_probability, low_word_probability: mean and 10th percentile over the words, 0 to 1; None without.
        avg_logprob, compression_ratio, no_speech_prob: the recogniser's own, see `ChunkTranscript`.
        chars_per_s: characters of text for each second of sound.
        disagreement: character error rate against other systems, 0 to 1; None with one system.
        snr_db: None where not measured.
        words: how many.
    """

    mean_word_probability: float | None
    low_word_probability: float | None
    avg_logprob: float
    compression_ratio: float
    no_speech_prob: float
    chars_per_s: float
    disagreement: float | None
    snr_db: float | None
    words: int


@dataclass(frozen=True)
class AnsweredTranscript:
    """A transcript with what a person made of it.

    Attributes:
        errors: word errors of the transcript against the person's text.
        random: whether the chunk was drawn at random, and not for its features.
    """

    chunk_id: str
    sermon: str
    features: TranscriptFeatures
    errors: int
    random: bool = False


@dataclass(frozen=True)
class Expectation:
    """What is expected of a transcript.

    Attributes:
        wrong_probability: that at least one word is wrong, 0 to 1; None from the prior, which only ranks.
        error_rate: share of its words that are wrong, 0 to 1.
        errors: how many.
    """

    wrong_probability: float | None
    error_rate: float
    errors: float


@dataclass(frozen=True)
class ReliabilityBin:
    """Answers of like probability: the mean of it, the share of them that were wrong, and how many they are."""

    expected: float
    found: float
    answers: int


@dataclass(frozen=True)
class ConfidenceModel:
    """Features to expectations.

    Attributes:
        kind: "fitted", or "prior".
        answers: that it rests on, or that there were.
        auroc: how often a wrong transcript is thought wrong rather than a right one, 0.5 (chance) to 1.
        calibration_error: mean difference between expected and found share of wrong transcripts over ten bins of equal
            size (expected calibration error). Both are of answers that were held out, sermon by sermon; None where not
            measured.
        measured_on: "random answers" where there are enough, which speak for the whole pool, else "all answers".
        reason: in words: how good it is, or why there is only the prior.
        reliability: the bins that `calibration_error` is the mean of, from the lowest probability on.
    """

    kind: Literal["fitted", "prior"]
    answers: int
    auroc: float | None
    calibration_error: float | None
    measured_on: str
    reason: str
    centre: tuple[float, ...] = ()
    scale: tuple[float, ...] = ()
    wrong: tuple[float, ...] = ()
    rate: tuple[float, ...] = ()
    reliability: tuple[ReliabilityBin, ...] = ()

    def expect(self, transcripts: Sequence[TranscriptFeatures]) -> list[Expectation]:
        """Return one expectation for each transcript, in order."""
        if not transcripts:
            return []
        if self.kind == "prior":
            rates = [prior_error_rate(features) for features in transcripts]
            return [Expectation(None, rate, rate * t.words) for rate, t in zip(rates, transcripts, strict=True)]
        design = _standardised(_matrix(transcripts), np.array(self.centre), np.array(self.scale))
        wrong, rate = _sigmoid(design @ np.array(self.wrong)), _sigmoid(design @ np.array(self.rate))
        return [
            Expectation(float(w), float(r), float(r) * t.words)
            for w, r, t in zip(wrong, rate, transcripts, strict=True)
        ]


def transcript_features(
    text: str,
    word_probabilities: Sequence[float],
    *,
    duration_s: float,
    avg_logprob: float,
    compression_ratio: float,
    no_speech_prob: float,
    disagreement: float | None = None,
    snr_db: float | None = None,
) -> TranscriptFeatures:
    """Compute the features of one transcript. Raises `ValueError` for a duration that is not positive."""
    if duration_s <= 0:
        raise ValueError(f"duration_s is {duration_s}: give the length of the chunk in seconds")
    probabilities = np.asarray(word_probabilities, dtype=float)
    return TranscriptFeatures(
        mean_word_probability=float(probabilities.mean()) if probabilities.size else None,
        low_word_probability=float(np.quantile(probabilities, 0.1)) if probabilities.size else None,
        avg_logprob=avg_logprob,
        compression_ratio=compression_ratio,
        no_speech_prob=no_speech_prob,
        chars_per_s=len(text) / duration_s,
        disagreement=disagreement,
        snr_db=snr_db,
        words=len(text.split()),
    )


def prior_error_rate(features: TranscriptFeatures) -> float:
    """Guess the share of wrong words, for ranking only: disagreement, and the improbability of a token."""
    improbable = 1 - math.exp(min(0.0, features.avg_logprob))
    if features.disagreement is None:
        return improbable
    return (min(1.0, features.disagreement) + improbable) / 2


def fit_confidence(
    answered: Sequence[AnsweredTranscript], *, min_answers: int = MIN_ANSWERS, folds: int = 5, seed: int = 0
) -> ConfidenceModel:
    """Learn what the features are worth; the prior where there are too few answers. The same for any order of answers.

    Chunks are asked about because of their features, which does not bias a regression on those features, but does bias
    how good it looks: that is measured on the random share.

    Args:
        min_answers: answers to fit with; of them 20 have to be wrong, and 20 right.
        folds: for the measures; the answers of a sermon are held out together.
        seed: deals the sermons to the folds.
    """
    ordered = sorted(answered, key=lambda item: item.chunk_id)
    wrong = np.array([item.errors > 0 for item in ordered], dtype=float)
    if lack := _lack(wrong, min_answers):
        return ConfidenceModel("prior", len(ordered), None, None, "", lack)
    values = _matrix([item.features for item in ordered])
    words = np.array([max(1, item.features.words) for item in ordered], dtype=float)
    errors = np.minimum([item.errors for item in ordered], words)
    held_out = _held_out(values, wrong, _folds(ordered, folds, seed))
    at_random = np.array([item.random for item in ordered])
    enough = at_random.sum() >= _MIN_RANDOM and len(set(wrong[at_random])) == 2
    measured = at_random if enough else np.ones(len(ordered), dtype=bool)
    measured_on = "random answers" if enough else "all answers"
    auroc = area_under_roc(held_out[measured], wrong[measured])
    calibration_error = expected_calibration_error(held_out[measured], wrong[measured])
    centre, scale = _spread(values)
    design = _standardised(values, centre, scale)
    these = f"{int(at_random.sum())} random answers" if enough else f"all {len(ordered)} answers"
    return ConfidenceModel(
        kind="fitted",
        answers=len(ordered),
        auroc=auroc,
        calibration_error=calibration_error,
        measured_on=measured_on,
        reason=(
            f"fitted on {len(ordered)} answers; on {these}, each held out, a wrong text is told from a right one "
            f"{auroc:.0%} of the time, and the probability is off by {calibration_error:.0%}"
        ),
        centre=tuple(centre.tolist()),
        scale=tuple(scale.tolist()),
        wrong=tuple(_fit(design, wrong, np.ones(len(ordered))).tolist()),
        rate=tuple(_fit(design, errors, words).tolist()),
        reliability=reliability_bins(held_out[measured], wrong[measured]),
    )


def area_under_roc(scores: np.ndarray, positive: np.ndarray) -> float:
    """Return how often a positive has the higher score than a negative, ties half (Mann and Whitney 1947). Needs both kinds."""
    from scipy.stats import rankdata

    positive = np.asarray(positive, dtype=bool)
    ranks = rankdata(scores)
    count = int(positive.sum())
    above = ranks[positive].sum() - count * (count + 1) / 2
    return float(above / (count * (len(ranks) - count)))


def expected_calibration_error(probabilities: np.ndarray, happened: np.ndarray, bins: int = _BINS) -> float:
    """Mean distance between expected and found shares over bins of equal size (Nixon et al. 2019), 0 to 1."""
    found = reliability_bins(probabilities, happened, bins)
    return sum(each.answers * abs(each.expected - each.found) for each in found) / len(probabilities)


def reliability_bins(probabilities: np.ndarray, happened: np.ndarray, bins: int = _BINS) -> tuple[ReliabilityBin, ...]:
    """Expected beside found shares in bins of equal size, from the lowest probability on; fewer where there are fewer."""
    order = np.argsort(probabilities, kind="stable")
    return tuple(
        ReliabilityBin(float(np.mean(probabilities[part])), float(np.mean(happened[part])), int(part.size))
        for part in np.array_split(order, bins)
        if part.size
    )


def _lack(wrong: np.ndarray, min_answers: int) -> str:
    if len(wrong) < min_answers:
        return (
            f"{len(wrong)} of {min_answers} answers that are needed to learn from: ranked by agreement and probability"
        )
    rarer = int(min(wrong.sum(), len(wrong) - wrong.sum()))
    if rarer < _MIN_OF_A_KIND:
        kind = "wrong" if wrong.mean() < 0.5 else "right"
        return (
            f"{rarer} of {len(wrong)} texts were {kind}, {_MIN_OF_A_KIND} are needed to tell them apart: "
            "ranked by agreement and probability"
        )
    return ""


def _matrix(transcripts: Sequence[TranscriptFeatures]) -> np.ndarray:
    """Columns that a linear model can use, [transcripts, columns]; NaN where a value is missing."""
    return np.array([_columns(features) for features in transcripts], dtype=float)


def _columns(features: TranscriptFeatures) -> list[float]:
    raw: Mapping[str, float | None] = dict(zip(features.__dataclass_fields__, astuple(features), strict=True))
    given = {name: math.nan if value is None else float(value) for name, value in raw.items()}
    return [
        _log_odds(given["mean_word_probability"]),
        _log_odds(given["low_word_probability"]),
        given["avg_logprob"],
        math.log(max(given["compression_ratio"], 0.1)),
        _log_odds(given["no_speech_prob"]),
        given["chars_per_s"],
        math.sqrt(given["disagreement"]),
        given["snr_db"],
        math.log(features.words + 1),
        float(features.disagreement is None),
        float(features.snr_db is None),
    ]


def _log_odds(probability: float) -> float:
    if math.isnan(probability):
        return probability
    bounded = min(max(probability, _LEAST), _MOST)
    return math.log(bounded / (1 - bounded))


def _spread(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation of each column over the values that are there; 0 and 1 where it says nothing."""
    there = ~np.isnan(values)
    count = np.maximum(there.sum(axis=0), 1)
    centre = np.where(there, values, 0).sum(axis=0) / count
    scale = np.sqrt((np.where(there, values - centre, 0) ** 2).sum(axis=0) / count)
    return centre, np.where(scale > 1e-9, scale, 1.0)


def _standardised(values: np.ndarray, centre: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """With a column of ones in front; a missing value is the mean, and none lies further out than 5 deviations."""
    columns = np.clip(np.nan_to_num((values - centre) / scale, nan=0.0), -5, 5)
    return np.column_stack([np.ones(len(values)), columns])


def _fit(design: np.ndarray, successes: np.ndarray, trials: np.ndarray) -> np.ndarray:
    """Coefficients of a binomial logistic regression, by Newton's method with halved steps."""
    penalty = np.full(design.shape[1], _RIDGE)
    penalty[0] = 1e-6

    def loss(weights: np.ndarray) -> float:
        logits = design @ weights
        return float(np.sum(trials * np.logaddexp(0, logits) - successes * logits) + 0.5 * penalty @ weights**2)

    weights = np.zeros(design.shape[1])
    current = loss(weights)
    for _ in range(100):
        chances = _sigmoid(design @ weights)
        gradient = design.T @ (trials * chances - successes) + penalty * weights
        curvature = (design.T * (trials * chances * (1 - chances))) @ design + np.diag(penalty)
        step = np.linalg.solve(curvature, gradient)
        while (after := loss(weights - step)) > current and np.abs(step).max() > 1e-12:
            step = step / 2
        weights, gained, current = weights - step, current - after, after
        if gained < 1e-10 * max(1.0, abs(current)):
            break
    return weights


def _sigmoid(logits: np.ndarray) -> np.ndarray:
    from scipy.special import expit

    return expit(logits)


def _held_out(values: np.ndarray, wrong: np.ndarray, folds: np.ndarray) -> np.ndarray:
    """Return the probability of each to be wrong, from a fit without its fold; the share of all where none can be fitted."""
    chances = np.full(len(wrong), wrong.mean())
    for fold in np.unique(folds):
        inside = folds != fold
        if len(set(wrong[inside])) < 2:
            continue
        centre, scale = _spread(values[inside])
        weights = _fit(_standardised(values[inside], centre, scale), wrong[inside], np.ones(int(inside.sum())))
        chances[~inside] = _sigmoid(_standardised(values[~inside], centre, scale) @ weights)
    return chances


def _folds(answered: Sequence[AnsweredTranscript], folds: int, seed: int) -> np.ndarray:
    """Return the fold of each answer: by sermon, by chunk where there are fewer sermons than folds."""
    sermons = {item.sermon for item in answered}
    units = [item.sermon if len(sermons) >= folds else item.chunk_id for item in answered]
    dealt = sorted(set(units), key=lambda unit: (seeded_uniform(seed, "fold", unit), unit))
    place = {unit: number % folds for number, unit in enumerate(dealt)}
    return np.array([place[unit] for unit in units])
