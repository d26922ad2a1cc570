"""How sure an error rate is, when errors come in clusters.

The words of one sermon share a speaker, a room and a subject, so what is drawn independently is the sermon. An
interval from single words or utterances is far too narrow (Liu and Peng 2020, arXiv:1912.09508), and a percentile
bootstrap of a handful of sermons is too narrow as well.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

# From two, the interval is valid and says nothing: it reaches from a fortieth of the rate to forty times it.
FEWEST_CLUSTERS = 3


@dataclass(frozen=True)
class Counts:
    """What was counted in one cluster (a sermon): how many errors in how many words (or characters, or terms)."""

    errors: int
    words: int


@dataclass(frozen=True)
class Interval:
    """A value and how far it may be from the truth.

    Attributes:
        value: the estimate; None where nothing was counted.
        low, high: bounds of the interval; None where none is valid, and `reason` says why. A rate of errors has no
            upper limit: more words may be inserted than were spoken.
        n: clusters it rests on.
        method: how the interval was made.
        confidence: how often such intervals hold the truth, 0 to 1.
        reason: why there is no interval, else empty.
    """

    value: float | None
    low: float | None
    high: float | None
    n: int
    method: str
    confidence: float
    reason: str = ""


def corpus_rate(clusters: Iterable[Counts], *, confidence: float = 0.95, called: str = "sermons") -> Interval:
    """Compute the rate of the whole corpus (all errors over all words) with an interval that is valid for few clusters.

    The delete-one jackknife of the ratio's logarithm gives the standard error (Efron and Stein 1981), never taken
    smaller than if every word failed independently; Student's t the width. Degrees of freedom come from the
    effective number of clusters (Kish 1965), one less than (sum of words)² / sum of words². The logarithm makes
    the interval as skewed as rates are, and keeps it above zero.

    Args:
        clusters: one for each sermon; those without words are left out.
        called: what the clusters are, in the plural, for the words of the result.
    """
    from scipy import stats

    counted = [cluster for cluster in clusters if cluster.words > 0]
    errors = np.array([cluster.errors for cluster in counted], dtype=float)
    words = np.array([cluster.words for cluster in counted], dtype=float)
    n = len(counted)
    method = f"t interval over {n} {called}, jackknife of the log rate"
    rate = float(errors.sum() / words.sum()) if n else None
    reason = _no_interval(errors, called)
    if rate is None or reason:
        return Interval(rate, None, None, n, method, confidence, reason)
    without_one = np.log((errors.sum() - errors) / (words.sum() - words))
    variance = (n - 1) / n * np.sum((without_one - np.log(rate)) ** 2)
    independent = max(0.0, 1 - rate) / errors.sum()
    freedom = max(1.0, words.sum() ** 2 / np.sum(words**2) - 1)
    width = stats.t.ppf((1 + confidence) / 2, freedom) * np.sqrt(max(variance, independent))
    return Interval(rate, float(rate * np.exp(-width)), float(rate * np.exp(width)), n, method, confidence)


def _no_interval(errors: np.ndarray, called: str) -> str:
    n = len(errors)
    if n < FEWEST_CLUSTERS:
        return f"{n} {called if n != 1 else called[:-1]} with words: an interval needs {FEWEST_CLUSTERS}"
    if np.count_nonzero(errors) < 2:
        held = np.count_nonzero(errors)
        return f"{held} of {n} {called} {'has' if held == 1 else 'have'} errors: how they differ needs errors in 2"
    return ""
