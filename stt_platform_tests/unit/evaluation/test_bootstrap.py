"""Intervals of one system's score: what they are on known material, and where there is none."""

from __future__ import annotations

import numpy as np
import pytest
import sacrebleu
from scipy import stats

from stt_platform.evaluation.bootstrap import segment_interval, shares
from stt_platform.evaluation.translation_scores import Translated, translation_scores

WORDS = [
    "a",
    "en",
    "el",
    "la",
    "los",
    "que",
    "de",
    "Dios",
    "tierra",
    "cielo",
    "luz",
    "y",
    "dijo",
    "fue",
    "sea",
    "agua",
    "noche",
    "día",
]


def texts(count: int, copies: int = 1) -> list[Translated]:
    rng = np.random.default_rng(3)
    pairs = [(" ".join(rng.choice(WORDS, 12)), " ".join(rng.choice(WORDS, 12))) for _ in range(count)]
    return [Translated(f"s{k}", h, (r,)) for k, (h, r) in enumerate(pairs) for _ in range(copies)]


def test_the_value_is_the_librarys_and_the_bounds_are_scipys() -> None:
    rows = texts(80)
    chrf = translation_scores(rows).chrf
    found = segment_interval(chrf)
    theirs = sacrebleu.corpus_chrf([r.hypothesis for r in rows], [[r.references[0] for r in rows]], word_order=2)
    assert found.value == theirs.score
    numbers = np.arange(80)
    same = stats.bootstrap(
        (numbers,), lambda drawn: chrf.score(drawn), method="percentile", vectorized=False, n_resamples=2_000, rng=1
    ).confidence_interval
    assert (found.low, found.high) == pytest.approx((same.low, same.high), abs=0.25)
    assert found.n == 80 and "1,000 resamples" in found.method
    assert segment_interval(chrf) == found


def test_copies_of_a_segment_make_nothing_surer() -> None:
    once, five_times = (segment_interval(translation_scores(texts(60, copies)).chrf) for copies in (1, 5))
    assert five_times.n == 60
    assert (five_times.low, five_times.high) == pytest.approx((once.low, once.high))


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_the_interval_of_a_rate_is_as_wide_as_it_should_be(share: float) -> None:
    rng = np.random.default_rng(11)
    hits = rng.random(400) < share
    found = segment_interval(shares([(f"s{k}", float(hit), 1.0) for k, hit in enumerate(hits)], "made up"))
    assert found.value == pytest.approx(hits.mean())
    error = np.sqrt(hits.mean() * (1 - hits.mean()) / 400)
    assert found.high - found.low == pytest.approx(2 * 1.96 * error, rel=0.1)


@pytest.mark.parametrize(
    ("rows", "value", "reason"),
    [
        ([], None, "nothing in it could be scored"),
        ([("s", 1.0, 0.0)], None, "nothing in it could be scored"),
        ([("s", 1.0, 2.0)], 0.5, "1 segment: an interval needs 50"),
        ([(f"s{k}", k % 2, 1.0) for k in range(49)], 24 / 49, "49 segments: an interval needs 50"),
        ([(f"s{k % 7}", k % 2, 1.0) for k in range(70)], 0.5, "7 segments: an interval needs 50"),
        ([(f"s{k}", 1.0, 1.0) for k in range(60)], 1.0, "all 60 segments are alike in this"),
    ],
    ids=["no row", "no whole", "one", "few", "few with copies", "all alike"],
)
def test_where_there_is_no_valid_interval_there_is_none(rows: list, value: float | None, reason: str) -> None:
    found = segment_interval(shares(rows, "made up"))
    assert found.value == pytest.approx(value) if value is not None else found.value is None
    assert found.low is None and found.high is None
    assert found.reason.startswith(reason)


def test_a_part_of_the_rows() -> None:
    rows = shares([(f"s{k}", float(k < 60), 1.0) for k in range(120)], "made up")
    assert segment_interval(rows, rows=np.arange(120) < 60).value == 1.0
    assert segment_interval(rows).value == 0.5
