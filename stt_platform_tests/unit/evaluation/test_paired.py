"""Which of two systems is better: exact tests on known differences, and what sacrebleu says on the same texts."""

import itertools
import random

import numpy as np
import pytest
from sacrebleu.metrics import BLEU, CHRF
from sacrebleu.significance import PairedTest
from scipy import stats

from stt_platform.evaluation.intervals import Counts
from stt_platform.evaluation.paired import non_inferior, paired_rates, paired_scores


def sermons(errors: list[int], words: int | list[int] = 1000) -> dict[str, Counts]:
    lengths = words if isinstance(words, list) else [words] * len(errors)
    return {f"s{i:02}": Counts(*pair) for i, pair in enumerate(zip(errors, lengths, strict=True))}


def mean_score(summed: np.ndarray) -> float:
    return summed[0] / summed[1]


def as_rows(values: np.ndarray) -> np.ndarray:
    return np.column_stack([values, np.ones_like(values)])


@pytest.mark.parametrize(
    ("gaps", "p_value", "better"),
    [
        # All on one side: 2 of the 2^n flips are as far out.
        ([-10, -12, -9, -11, -8, -10], 2 / 64, "b"),
        ([10, 12, 9, 11, 8, 10], 2 / 64, "a"),
        # The smallest gap on the other side: 4 of the 64.
        ([-10, -12, -9, -11, 2, -10], 4 / 64, "undecided"),
        ([-10, -12, -9, -11, 2, -10, -9], 4 / 128, "b"),
        ([0] * 6, 1.0, "undecided"),
    ],
)
def test_the_p_value_counts_flips(gaps, p_value, better) -> None:
    a = sermons([100] * len(gaps))
    found = paired_rates(a, sermons([100 + gap for gap in gaps]))
    assert found.p_value == pytest.approx(p_value)
    assert found.better == better
    assert found.difference == pytest.approx(sum(gaps) / (1000 * len(gaps)))
    assert (found.lower_is_better, found.missing, found.n) == (True, "", len(gaps))


def test_the_interval_holds_the_differences_that_the_test_does_not_reject() -> None:
    words = np.array([300, 1200, 800, 500, 900, 1000, 400, 650])
    gaps = np.array([-9, -50, 12, -25, -60, -18, 4, -30])
    a = sermons([200] * 8, list(words))
    found = paired_rates(a, sermons(list(200 + gaps), list(words)))

    def p_value(difference: float) -> float:
        rest = gaps - difference * words
        flips = np.array(list(itertools.product((-1, 1), repeat=8))) @ rest
        return min(1.0, 2 * min(np.mean(flips >= rest.sum() - 1e-9), np.mean(flips <= rest.sum() + 1e-9)))

    step = 1e-6
    assert p_value(found.low + step) > 0.05 >= p_value(found.low - step)
    assert p_value(found.high - step) > 0.05 >= p_value(found.high + step)
    assert found.low < found.difference < found.high


def test_the_systems_may_be_named_either_way_round() -> None:
    a, b = sermons([100, 120, 90, 80, 130, 70, 95]), sermons([90, 100, 92, 60, 100, 50, 80])
    one, other = paired_rates(a, b), paired_rates(b, a)
    assert (one.better, other.better) == ("b", "a")
    assert (one.low, one.high) == (pytest.approx(-other.high), pytest.approx(-other.low))
    assert one.p_value == other.p_value


def test_a_large_common_difficulty_takes_nothing_from_the_comparison() -> None:
    hard = [20, 400, 90, 300, 60, 700, 150, 30]
    found = paired_rates(sermons([x + 10 for x in hard]), sermons(hard))
    assert found.better == "b"


def test_many_sermons_are_flipped_at_random_and_reproducibly() -> None:
    draw = np.random.default_rng(3)
    a, b = sermons(list(draw.integers(80, 120, 30))), sermons(list(draw.integers(60, 110, 30)))
    found = paired_rates(a, b, seed=1)
    assert found == paired_rates(a, b, seed=1)
    gaps = np.array([b[name].errors - a[name].errors for name in a])
    student = stats.ttest_1samp(gaps, 0).confidence_interval()
    assert (found.low, found.high) == (
        pytest.approx(student.low / 1000, abs=1e-3),
        pytest.approx(student.high / 1000, abs=1e-3),
    )
    assert "9,999 random flips" in found.method


@pytest.mark.parametrize(
    ("n", "has_interval", "missing"),
    [
        (0, False, "6 sermons are needed for a decision"),
        (1, False, "6 sermons are needed for a decision"),
        (2, True, "6 sermons are needed for a decision; the least p value that 2 can give is 0.5"),
        (5, True, "6 sermons are needed for a decision; the least p value that 5 can give is 0.0625"),
    ],
)
def test_too_few_sermons_decide_nothing(n, has_interval, missing) -> None:
    found = paired_rates(sermons([100 + i for i in range(n)]), sermons([50 + 2 * i for i in range(n)]))
    assert (found.better, found.missing) == ("undecided", missing)
    assert (found.low is not None) == has_interval
    assert missing in found.reason
    assert non_inferior(found, margin=1.0).verdict == "undecided"


def test_five_sermons_of_one_length_have_the_t_interval() -> None:
    gaps = np.array([-10, -30, -5, -22, -14])
    found = paired_rates(sermons([100] * 5), sermons(list(100 + gaps)))
    student = stats.ttest_1samp(gaps / 1000, 0).confidence_interval()
    assert (found.low, found.high) == (pytest.approx(student.low), pytest.approx(student.high))


def test_the_same_material_is_asked_for() -> None:
    with pytest.raises(ValueError, match="'s02' was scored for one system only"):
        paired_rates(sermons([1, 2]), sermons([1, 2, 3]))
    with pytest.raises(ValueError, match="'s00' has 1000 reference words for one system and 999"):
        paired_rates(sermons([1]), sermons([1], 999))


def test_sermons_without_words_do_not_count() -> None:
    found = paired_rates(sermons([5, 9], [100, 0]), sermons([6, 3], [100, 0]))
    assert (found.n, found.value_a, found.value_b) == (1, 0.05, 0.06)


def test_the_reason_is_a_sentence() -> None:
    found = paired_rates(sermons([100] * 6), sermons([90, 88, 91, 89, 92, 90]))
    assert found.reason == (
        "b differs from a by -1.00 points (95 %: -1.20 points to -0.80 points), p = 0.031, over 6 sermons: b is better"
    )


@pytest.mark.parametrize(
    ("gaps", "margin", "verdict"),
    [
        ([-10, -12, -9, -11, -8, -10], 0.0, "not worse"),
        ([1, -1, 2, -2, 1, 0, -1, 1], 0.005, "not worse"),
        ([1, -1, 2, -2, 1, 0, -1, 1], 0.0, "undecided"),
        ([20, 18, 25, 22, 19, 21], 0.005, "worse"),
        ([20, 18, -25, 22, -19, 21], 0.005, "undecided"),
    ],
)
def test_not_worse_by_more_than_a_margin(gaps, margin, verdict) -> None:
    found = paired_rates(sermons([100] * len(gaps)), sermons([100 + gap for gap in gaps]))
    judged = non_inferior(found, margin)
    assert (judged.verdict, judged.bound) == (verdict, found.high)
    assert verdict in judged.reason


def test_a_higher_score_is_turned_round_for_the_margin() -> None:
    draw = np.random.default_rng(5)
    a = draw.normal(60, 10, 200)
    names = [str(i) for i in range(200)]
    worse = paired_scores(as_rows(a), as_rows(a - 2 + draw.normal(0, 1, 200)), mean_score, names)
    assert (worse.better, worse.lower_is_better) == ("a", False)
    assert non_inferior(worse, 0.5).verdict == "worse"
    assert non_inferior(worse, 3.0).verdict == "not worse"
    assert non_inferior(worse, 3.0).bound == pytest.approx(-worse.low)
    with pytest.raises(ValueError, match="margin -1"):
        non_inferior(worse, -1)


def test_copies_of_a_verse_add_no_certainty() -> None:
    draw = np.random.default_rng(7)
    a = draw.normal(50, 10, 80)
    b = a + draw.normal(0.5, 3, 80)
    names = [f"v{i}" for i in range(80)]
    once = paired_scores(as_rows(a), as_rows(b), mean_score, names)
    five = paired_scores(as_rows(np.tile(a, 5)), as_rows(np.tile(b, 5)), mean_score, names * 5)
    # A cluster's statistics are summed, so five times the same rows give the same score and the same chance.
    assert five.n == once.n == 80
    assert five.difference == pytest.approx(once.difference)
    assert (five.low, five.high, five.p_value) == (pytest.approx(once.low), pytest.approx(once.high), once.p_value)
    naive = paired_scores(as_rows(np.tile(a, 5)), as_rows(np.tile(b, 5)), mean_score, [str(i) for i in range(400)])
    assert naive.high - naive.low < 0.6 * (once.high - once.low)


def test_few_segments_decide_nothing() -> None:
    a = np.linspace(40, 60, 49)
    found = paired_scores(as_rows(a), as_rows(a + 5), mean_score, [str(i) for i in range(49)], shuffles=199)
    assert (found.better, found.low, found.missing) == ("undecided", None, "50 segments are needed for a decision")
    assert found.p_value < 0.05
    with pytest.raises(ValueError, match="name the segment of each"):
        paired_scores(as_rows(a), as_rows(a), mean_score, ["v1"])


def made_systems(changed: float) -> tuple[list[str], list[str], list[str]]:
    draw = random.Random(11)
    words = ["grace", "peace", "mercy", "covenant", "the", "of", "and", "in", "lord", "people", "law", "heart", "light"]
    references = [" ".join(draw.choices(words, k=draw.randint(6, 20))) for _ in range(120)]

    def damaged(text: str, share: float) -> str:
        return " ".join("x" if draw.random() < share else word for word in text.split())

    return (
        references,
        [damaged(text, 0.20) for text in references],
        [damaged(text, 0.20 - changed) for text in references],
    )


@pytest.mark.parametrize("metric", [BLEU(), CHRF(word_order=2)], ids=["BLEU", "chrF++"])
@pytest.mark.parametrize("changed", [0.0, 0.01, 0.03, 0.1])
def test_sacrebleu_says_the_same(metric, changed) -> None:
    references, a, b = made_systems(changed)
    theirs = PairedTest([("a", a), ("b", b)], {"metric": metric}, [references], test_type="ar", n_samples=1000)()[1]
    (score_a, score_b) = next(results for name, results in theirs.items() if name != "System")
    found = paired_scores(
        np.array(metric._extract_corpus_statistics(a, [references])),
        np.array(metric._extract_corpus_statistics(b, [references])),
        lambda summed: metric._compute_score_from_stats(list(summed)).score,
        [str(i) for i in range(len(a))],
        shuffles=999,
        resamples=500,
    )
    assert (found.value_a, found.value_b) == (pytest.approx(score_a.score), pytest.approx(score_b.score))
    assert found.p_value == pytest.approx(score_b.p_value, abs=0.05)
    assert (found.better == "b") == (score_b.p_value < 0.05)
    assert found.low < found.difference < found.high
