"""Which of two systems is better, when both worked on the same material.

Two systems fail on the same hard passages, so the difference is far surer than either score. What is drawn
independently is the sermon in speech, the verse segment in translation (five English versions of one verse are one
segment), and the two systems can change places only there.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Literal

import numpy as np

from stt_platform.evaluation.intervals import Counts

# Half of all ways to flip the signs of five differences are one side of zero: 2 in 32 is the least p value.
FEWEST_SERMONS = 6
# Below, a percentile bootstrap is too narrow.
FEWEST_SEGMENTS = 50
_FLIPS = 9_999


Better = Literal["a", "b", "undecided"]
Inferiority = Literal["not worse", "worse", "undecided"]
PairedTest = Literal["sign-flip", "randomisation", ""]


@dataclass(frozen=True)
class Comparison:
    """System b beside system a.

    Attributes:
        value_a, value_b: the score of each over all clusters; None where nothing was counted.
        difference: value_b - value_a, in the unit of the score (a rate is a fraction, not per cent).
        low, high: interval of the difference; None where none is valid.
        p_value: two-sided, of "the systems do not differ"; None where no test is valid.
        n: clusters the comparison rests on.
        method: how interval and p value were made.
        better: decided only if the p value is below 1 - confidence and the interval leaves zero out.
        reason: the decision in words.
        missing: what a decision would need where none can be made from so few clusters, else empty. An interval
            that is given all the same is for information.
        lower_is_better: whether the score counts errors.
        confidence: of the interval, 0 to 1.
        fewest: clusters that a decision needs.
        test: what the p value is of; empty where that is not known.
    """

    value_a: float | None
    value_b: float | None
    difference: float | None
    low: float | None
    high: float | None
    p_value: float | None
    n: int
    method: str
    better: Better
    reason: str
    missing: str
    lower_is_better: bool
    confidence: float = 0.95
    fewest: int = 0
    test: PairedTest = ""

    @property
    def decidable(self) -> bool:
        """Whether there are enough clusters for a decision; `missing` says in words what it needs where not."""
        return self.n >= self.fewest


@dataclass(frozen=True)
class NonInferiority:
    """Whether b is worse than a by more than a margin.

    Attributes:
        verdict: 'not worse' and 'worse' are shown by the bound; 'undecided' is neither.
        bound: the most that b may be worse by, in the unit of the score; negative where b is surely better.
            None where no bound is valid.
        margin: what is allowed.
        reason: the verdict in words.
    """

    verdict: Inferiority
    bound: float | None
    margin: float
    reason: str


def paired_rates(
    a: Mapping[str, Counts],
    b: Mapping[str, Counts],
    *,
    seed: int = 0,
    confidence: float = 0.95,
    called: str = "sermons",
) -> Comparison:
    """Compare the corpus error rates of two systems, sermon by sermon.

    From six sermons on, the p value is that of the sign-flip permutation test (Fisher 1935), exact up to 13 sermons
    and of 9,999 random flips above. The interval holds the differences which that test does not reject: its ends
    are quantiles of the differences over all subsets of the sermons (Hartigan 1969). With 2 to 5 sermons no
    permutation can be significant; then there is a t interval over the jackknife, and no decision.

    Both take the differences to be symmetric about their centre, as they are when the systems are alike. Where one
    of two equal systems fails badly in a few sermons, up to about 9 % of pairs are told apart at 5 %.

    Args:
        a, b: from a sermon to its counts. Sermons without words are left out.
        seed: of the random flips.
        called: what the sermons are, in the plural, for the words of the result.

    Raises:
        ValueError: the systems were not scored on the same sermons and words.
    """
    _check_same(a, b)
    sermons = [sermon for sermon in sorted(a) if a[sermon].words > 0]
    n = len(sermons)
    words = np.array([a[sermon].words for sermon in sermons], dtype=float)
    errors_a = np.array([a[sermon].errors for sermon in sermons], dtype=float)
    errors_b = np.array([b[sermon].errors for sermon in sermons], dtype=float)
    gaps = errors_b - errors_a
    low = high = p_value = None
    missing = ""
    if n >= FEWEST_SERMONS:
        method = f"sign-flip permutation over {n} {called}, {'all' if _is_exact(n) else f'{_FLIPS:,} random'} flips"
        p_value = _flip_p_value(gaps, seed)
        low, high = _flip_interval(gaps, words, seed, confidence)
    else:
        method = f"t interval over {n} {called}, jackknife of the difference" if n > 1 else "none"
        least = f"; the least p value that {n} can give is {2 / 2**n:g}" if n > 1 else ""
        missing = f"{FEWEST_SERMONS} {called} are needed for a decision{least}"
        if n >= 2:
            p_value = _flip_p_value(gaps, seed)
            low, high = _t_interval(gaps, words, confidence)
    total = words.sum()
    return _decided(
        value_a=float(errors_a.sum() / total) if n else None,
        value_b=float(errors_b.sum() / total) if n else None,
        bounds=(low, high),
        p_value=p_value,
        n=n,
        clusters=called,
        method=method,
        missing=missing,
        fewest=FEWEST_SERMONS,
        test="sign-flip",
        lower_is_better=True,
        confidence=confidence,
    )


def paired_scores(
    a: np.ndarray,
    b: np.ndarray,
    score: Callable[[np.ndarray], float],
    clusters: Sequence[str],
    *,
    resamples: int = 1_000,
    shuffles: int = 9_999,
    seed: int = 12_345,
    confidence: float = 0.95,
) -> Comparison:
    """Compare two translation systems by a corpus score that is made from summed statistics (BLEU, chrF, a mean).

    The interval is a percentile bootstrap of whole clusters, the same ones for both systems (Koehn 2004). The p
    value is that of approximate randomisation, two-sided, in which a cluster changes sides as a whole (Riezler and
    Maxwell 2005). The p value that sacrebleu prints for its own paired bootstrap is not used: it is of one side
    once the systems differ, and calls about 10 % of equal systems different at 5 %.

    Args:
        a, b: statistics of every row, [rows, k], as `sacrebleu.metrics.BLEU` and `CHRF` extract them.
        score: from the sum of such rows, [k], to a score; higher is better.
        clusters: of every row, the segment it is a copy of.
        resamples: of the bootstrap.
        shuffles: of the randomisation; where there are fewer than that at all, all of them.

    Returns:
        With fewer than 50 clusters no interval and no decision, with one no p value.

    Raises:
        ValueError: the systems have other numbers of rows, or not every row has a cluster.
    """
    from scipy import stats

    rows_a, rows_b = np.atleast_2d(np.asarray(a, dtype=float)), np.atleast_2d(np.asarray(b, dtype=float))
    if rows_a.shape != rows_b.shape or len(rows_a) != len(clusters):
        raise ValueError(
            f"statistics of {rows_a.shape} and {rows_b.shape} with {len(clusters)} clusters: "
            "score both systems on the same rows, and name the segment of each"
        )
    names, owner = np.unique(np.asarray(clusters, dtype=str), return_inverse=True)
    n = len(names)
    both = np.zeros((2 * n, rows_a.shape[1]))
    np.add.at(both, owner, rows_a)
    np.add.at(both, owner + n, rows_b)
    numbers = np.arange(n)

    def gap(of_a: np.ndarray, of_b: np.ndarray) -> float:
        return score(both[of_b].sum(axis=0)) - score(both[of_a].sum(axis=0))

    low = high = p_value = None
    method = f"approximate randomisation ({shuffles:,} shuffles) over {n} segments"
    missing = f"{FEWEST_SEGMENTS} segments are needed for a decision" if n < FEWEST_SEGMENTS else ""
    if n >= 2:
        p_value = float(
            stats.permutation_test(
                (numbers, numbers + n),
                gap,
                permutation_type="samples",
                vectorized=False,
                n_resamples=shuffles,
                batch=100,
                rng=seed,
            ).pvalue
        )
    if n >= FEWEST_SEGMENTS:
        method = f"paired bootstrap ({resamples:,} resamples) and {method}"
        found = stats.bootstrap(
            (numbers,),
            lambda drawn: gap(drawn, drawn + n),
            method="percentile",
            vectorized=False,
            n_resamples=resamples,
            confidence_level=confidence,
            batch=100,
            rng=seed,
        ).confidence_interval
        low, high = float(found.low), float(found.high)
    return _decided(
        value_a=float(score(both[:n].sum(axis=0))) if n else None,
        value_b=float(score(both[n:].sum(axis=0))) if n else None,
        bounds=(low, high),
        p_value=p_value,
        n=n,
        clusters="segments",
        method=method,
        missing=missing,
        fewest=FEWEST_SEGMENTS,
        test="randomisation",
        lower_is_better=False,
        confidence=confidence,
    )


def non_inferior(comparison: Comparison, margin: float) -> NonInferiority:
    """Test whether b is not worse than a by more than `margin`: a general test set after fine-tuning, say.

    The bound is the worse end of the two-sided interval, so that it is wrong on that side half as often as the
    interval: 2.5 % at 95 % (ICH E9, 1998, section 5.2). No difference found is not enough.

    Args:
        margin: in the unit of the score, not negative; 0.005 is half a point of WER.

    Raises:
        ValueError: a negative margin.
    """
    if margin < 0:
        raise ValueError(f"margin {margin:g}: give how much worse is allowed, 0 or more")
    one_sided = 100 * (1 + comparison.confidence) / 2
    if not comparison.decidable or comparison.low is None or comparison.high is None:
        return NonInferiority("undecided", None, margin, f"{comparison.n} give no valid bound: {comparison.missing}")
    if comparison.lower_is_better:
        least, most = comparison.low, comparison.high
    else:
        least, most = -comparison.high, -comparison.low
    show = _points if comparison.lower_is_better else _plain
    if most <= margin:
        verdict: Inferiority = "not worse"
        said = f"b is worse by at most {show(most)}"
        if most <= 0:
            said = f"b is better by at least {show(-most)}"
    elif least > margin:
        verdict, said = "worse", f"b is worse by at least {show(least)}"
    else:
        verdict, said = "undecided", f"b may be worse by {show(most)}"
    return NonInferiority(
        verdict, most, margin, f"{said} (one-sided, {one_sided:g} %), the margin is {show(margin)}: {verdict}"
    )


def _check_same(a: Mapping[str, Counts], b: Mapping[str, Counts]) -> None:
    if only := sorted(set(a) ^ set(b)):
        raise ValueError(f"sermon {only[0]!r} was scored for one system only: compare what both have heard")
    for sermon in sorted(a):
        if a[sermon].words != b[sermon].words:
            raise ValueError(
                f"sermon {sermon!r} has {a[sermon].words} reference words for one system and {b[sermon].words} for "
                "the other: score both on the same rows with the same normaliser"
            )


def _is_exact(n: int) -> bool:
    return 2**n <= _FLIPS


def _flip_p_value(gaps: np.ndarray, seed: int) -> float:
    from scipy import stats

    # Over the words of both systems, which are the same, the difference of the rates is the sum of the gaps.
    found = stats.permutation_test(
        (gaps,),
        lambda flipped, axis: flipped.sum(axis=axis),
        permutation_type="samples",
        vectorized=True,
        n_resamples=_FLIPS,
        rng=seed,
    )
    return float(found.pvalue)


def _flip_interval(gaps: np.ndarray, words: np.ndarray, seed: int, confidence: float) -> tuple[float, float]:
    # Flipping the sermons of a subset about a difference δ makes the sum no smaller if and only if δ is at least
    # the difference over that subset; so the sorted differences of all subsets are where the test's count steps.
    subsets = _subsets(len(gaps), seed)
    differences = np.sort((subsets @ gaps) / (subsets @ words))
    # The flip of nothing counts in both tails.
    outside = int((1 - confidence) / 2 * (len(differences) + 1))
    return float(differences[outside - 1]), float(differences[-outside])


@cache
def _subsets(n: int, seed: int) -> np.ndarray:
    if _is_exact(n):
        flips = (np.arange(1, 2**n)[:, None] >> np.arange(n)) & 1
    else:
        flips = np.random.default_rng(seed).integers(2, size=(_FLIPS, n))
        flips = flips[flips.any(axis=1)]
    return flips.astype(float)


def _t_interval(gaps: np.ndarray, words: np.ndarray, confidence: float) -> tuple[float, float]:
    from scipy import stats

    n = len(gaps)
    difference = gaps.sum() / words.sum()
    without_one = (gaps.sum() - gaps) / (words.sum() - words)
    error = np.sqrt((n - 1) / n * np.sum((without_one - difference) ** 2))
    width = stats.t.ppf((1 + confidence) / 2, n - 1) * error
    return float(difference - width), float(difference + width)


def _decided(
    *,
    value_a: float | None,
    value_b: float | None,
    bounds: tuple[float | None, float | None],
    p_value: float | None,
    n: int,
    clusters: str,
    method: str,
    missing: str,
    fewest: int,
    test: PairedTest,
    lower_is_better: bool,
    confidence: float,
) -> Comparison:
    low, high = bounds
    difference = None if value_a is None or value_b is None else value_b - value_a
    zero_is_outside = (low is not None and low > 0) or (high is not None and high < 0)
    show = _points if lower_is_better else _plain
    better: Better = "undecided"
    if difference is None:
        reason = f"nothing to compare: {missing}"
    else:
        reason = f"b differs from a by {show(difference, signed=True)}"
        if low is not None and high is not None:
            reason += f" ({100 * confidence:g} %: {show(low, signed=True)} to {show(high, signed=True)})"
        if p_value is not None:
            reason += f", p = {p_value:.2g}"
        reason += f", over {n} {clusters if n != 1 else clusters[:-1]}: "
        if n < fewest:
            reason += f"undecided, {missing}"
        elif p_value is not None and p_value < 1 - confidence and zero_is_outside:
            better = "b" if (difference < 0) == lower_is_better else "a"
            reason += f"{better} is better"
        else:
            reason += "undecided, the difference may be chance"
    return Comparison(
        value_a,
        value_b,
        difference,
        low,
        high,
        p_value,
        n,
        method,
        better,
        reason,
        missing,
        lower_is_better,
        confidence,
        fewest,
        test,
    )


def _points(rate: float, *, signed: bool = False) -> str:
    return f"{100 * rate:{'+' if signed else ''}.2f} points"


def _plain(value: float, *, signed: bool = False) -> str:
    return f"{value:{'+' if signed else ''}.2f}"
