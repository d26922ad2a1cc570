"""The rate of a corpus and its interval."""

import numpy as np
import pytest
from scipy import stats

from stt_platform.evaluation.intervals import Counts, Interval, corpus_rate

FIVE = [Counts(12, 100), Counts(8, 100), Counts(15, 100), Counts(10, 100), Counts(30, 100)]


def test_the_value_is_all_errors_over_all_words() -> None:
    assert corpus_rate([Counts(1, 10), Counts(0, 90), Counts(9, 100)]).value == 0.05


def test_clusters_of_one_size_have_the_jackknife_of_the_log_and_t_of_n_minus_one() -> None:
    found = corpus_rate(FIVE)
    errors = np.array([12, 8, 15, 10, 30])
    without_one = np.log((75 - errors) / 400)
    error = np.sqrt(4 / 5 * np.sum((without_one - np.log(0.15)) ** 2))
    width = stats.t.ppf(0.975, 4) * error
    assert found.low == pytest.approx(0.15 * np.exp(-width))
    assert found.high == pytest.approx(0.15 * np.exp(width))
    assert (found.n, found.confidence, found.reason) == (5, 0.95, "")


def test_clusters_of_unlike_size_have_fewer_degrees_of_freedom() -> None:
    # The same rates; one sermon holds most of the words, so there is little to learn a spread from.
    equal = corpus_rate([Counts(10, 100), Counts(20, 100), Counts(10, 100), Counts(20, 100)])
    unlike = corpus_rate([Counts(100, 1000), Counts(20, 100), Counts(10, 100), Counts(20, 100)])
    assert np.log(unlike.high / unlike.low) > np.log(equal.high / equal.low)


def test_an_interval_is_never_narrower_than_that_of_independent_words() -> None:
    found = corpus_rate([Counts(10, 100)] * 4)
    width = stats.t.ppf(0.975, 3) * np.sqrt(0.9 / 40)
    assert np.log(found.high / found.value) == pytest.approx(width)
    # More errors than words: there is no such bound.
    assert corpus_rate([Counts(150, 100)] * 4).high == pytest.approx(1.5)


def test_order_does_not_matter_and_more_confidence_is_wider() -> None:
    assert corpus_rate(reversed(FIVE)).high == pytest.approx(corpus_rate(FIVE).high)
    assert corpus_rate(FIVE, confidence=0.99).high > corpus_rate(FIVE).high


@pytest.mark.parametrize(
    ("clusters", "value", "n", "reason"),
    [
        ([], None, 0, "0 sermons with words: an interval needs 3"),
        ([Counts(5, 0)], None, 0, "0 sermons with words: an interval needs 3"),
        ([Counts(5, 100)], 0.05, 1, "1 sermon with words: an interval needs 3"),
        ([Counts(5, 100), Counts(7, 100), Counts(4, 0)], 0.06, 2, "2 sermons with words: an interval needs 3"),
        ([Counts(0, 100)] * 3, 0.0, 3, "0 of 3 sermons have errors: how they differ needs errors in 2"),
        (
            [Counts(3, 100), *[Counts(0, 100)] * 2],
            0.01,
            3,
            "1 of 3 sermons has errors: how they differ needs errors in 2",
        ),
    ],
)
def test_no_interval_where_none_is_valid(clusters, value, n, reason) -> None:
    found = corpus_rate(clusters)
    assert found == Interval(found.value, None, None, n, found.method, 0.95, reason)
    assert found.value == (None if value is None else pytest.approx(value))
