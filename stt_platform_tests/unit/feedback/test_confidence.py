"""What a transcript's own figures are worth: learned coefficients, honest measures, and the prior before there are answers."""

import random
from dataclasses import replace

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from stt_platform.feedback.confidence import (
    MIN_ANSWERS,
    AnsweredTranscript,
    TranscriptFeatures,
    area_under_roc,
    expected_calibration_error,
    fit_confidence,
    prior_error_rate,
    reliability_bins,
    transcript_features,
)


def church(count: int, seed: int = 1, sermons: int = 12, random_share: float = 0.3) -> list[AnsweredTranscript]:
    """Transcripts whose words are wrong with a probability that their figures tell, up to chance."""
    draw = np.random.default_rng(seed)
    answered = []
    for n in range(count):
        hard = draw.normal()
        rate = 1 / (1 + np.exp(-(-2.6 + 1.2 * hard)))
        words = int(draw.integers(8, 50))
        features = TranscriptFeatures(
            mean_word_probability=float(np.clip(0.9 - 0.08 * hard + draw.normal(0, 0.03), 0.05, 0.999)),
            low_word_probability=float(np.clip(0.6 - 0.15 * hard + draw.normal(0, 0.1), 0.01, 0.99)),
            avg_logprob=-0.35 - 0.15 * hard + draw.normal(0, 0.05),
            compression_ratio=1.4 + draw.normal(0, 0.1),
            no_speech_prob=float(np.clip(0.05 + draw.normal(0, 0.02), 0, 1)),
            chars_per_s=14 + draw.normal(0, 2),
            disagreement=float(np.clip(0.12 + 0.05 * hard + draw.normal(0, 0.03), 0, 1)) if n % 5 else None,
            snr_db=None if n % 7 == 0 else 20 - 3 * hard + draw.normal(0, 3),
            words=words,
        )
        answered.append(
            AnsweredTranscript(
                f"c{n:05}",
                f"s{n % sermons:02}",
                features,
                int(draw.binomial(words, rate)),
                draw.random() < random_share,
            )
        )
    return answered


def test_features_of_a_transcript() -> None:
    found = transcript_features(
        "Grace and peace",
        [0.5, 0.9, 1.0],
        duration_s=3.0,
        avg_logprob=-0.2,
        compression_ratio=1.1,
        no_speech_prob=0.01,
        disagreement=0.1,
    )
    assert found == TranscriptFeatures(pytest.approx(0.8), pytest.approx(0.58), -0.2, 1.1, 0.01, 5.0, 0.1, None, 3)
    silent = transcript_features("", [], duration_s=3.0, avg_logprob=-2, compression_ratio=0.0, no_speech_prob=0.9)
    assert (silent.mean_word_probability, silent.low_word_probability, silent.words) == (None, None, 0)
    with pytest.raises(ValueError, match="duration_s is 0"):
        transcript_features("", [], duration_s=0, avg_logprob=-2, compression_ratio=0.0, no_speech_prob=0.9)


def test_the_model_tells_wrong_from_right_on_new_chunks_and_counts_their_errors() -> None:
    model = fit_confidence(church(1500))
    new = church(3000, seed=2)
    expected = model.expect([item.features for item in new])
    wrong = np.array([item.errors > 0 for item in new])
    chances = np.array([item.wrong_probability for item in expected])
    assert area_under_roc(chances, wrong) > 0.75
    assert expected_calibration_error(chances, wrong) < 0.04
    assert sum(item.errors for item in expected) == pytest.approx(sum(item.errors for item in new), rel=0.05)
    # What was told beforehand holds on the new ones.
    assert model.auroc == pytest.approx(area_under_roc(chances, wrong), abs=0.06)
    assert model.calibration_error < 0.08
    assert (model.kind, model.answers, model.measured_on) == ("fitted", 1500, "random answers")
    assert model.reason.startswith("fitted on 1500 answers; on ")


def test_the_same_answers_in_any_order_give_the_same_model() -> None:
    answered = church(300)
    assert fit_confidence(random.Random(1).sample(answered, 300)) == fit_confidence(answered)


def test_answers_without_news_are_held_out_by_sermon() -> None:
    """Figures that only name the sermon look good within it, and say nothing about another one."""
    draw = np.random.default_rng(4)
    plain = church(1)[0]
    answered = []
    for n in range(400):
        sermon = n % 10
        # Each sermon has a figure of its own, and errors that have nothing to do with the figures of the others.
        features = replace(plain.features, snr_db=3.0 * sermon, disagreement=0.1, words=20)
        often_wrong = [0.9, 0.1, 0.2, 0.9, 0.1, 0.8, 0.9, 0.1, 0.2, 0.8][sermon]
        answered.append(AnsweredTranscript(f"c{n:04}", f"s{sermon}", features, int(draw.random() < often_wrong)))
    model = fit_confidence(answered)
    assert model.measured_on == "all answers"
    assert model.auroc < 0.62


def test_too_few_answers_leave_the_prior_and_say_so() -> None:
    few = fit_confidence(church(MIN_ANSWERS - 1))
    assert (few.kind, few.auroc, few.calibration_error) == ("prior", None, None)
    assert few.reason == "199 of 200 answers that are needed to learn from: ranked by agreement and probability"
    right = fit_confidence([replace(item, errors=0) for item in church(300)])
    assert right.reason.startswith("0 of 300 texts were wrong, 20 are needed")
    wrong = fit_confidence([replace(item, errors=1) for item in church(300)])
    assert wrong.reason.startswith("0 of 300 texts were right, 20 are needed")
    assert fit_confidence([]).kind == "prior"


def test_the_prior_ranks_by_agreement_and_probability() -> None:
    sure = church(2)[1].features
    unsure = [
        replace(sure, disagreement=0.3),
        replace(sure, avg_logprob=-0.9),
        replace(sure, disagreement=None, avg_logprob=-1.5),
    ]
    certain = replace(sure, disagreement=0.0, avg_logprob=0.0)
    assert prior_error_rate(certain) == 0
    assert all(prior_error_rate(other) > prior_error_rate(sure) for other in unsure)
    (expected,) = fit_confidence([]).expect([sure])
    assert expected.wrong_probability is None
    assert expected.errors == pytest.approx(sure.words * prior_error_rate(sure))
    assert fit_confidence([]).expect([]) == []


def test_figures_that_were_never_measured_and_figures_far_out_are_no_trouble() -> None:
    answered = [replace(item, features=replace(item.features, snr_db=None, disagreement=None)) for item in church(300)]
    model = fit_confidence(answered)
    strange = replace(
        answered[0].features, avg_logprob=-1e6, chars_per_s=1e9, compression_ratio=0.0, words=0, snr_db=5.0
    )
    (expected,) = model.expect([strange])
    assert 0 <= expected.wrong_probability <= 1
    assert expected.errors == 0


def test_a_perfect_sign_stays_finite() -> None:
    answered = [
        replace(item, errors=int(n % 2), features=replace(item.features, avg_logprob=-1.0 * (n % 2)))
        for n, item in enumerate(church(300))
    ]
    model = fit_confidence(answered)
    assert model.auroc == pytest.approx(1.0)
    assert all(np.isfinite(model.wrong))


def test_the_fit_is_that_of_scikit_learn() -> None:
    from stt_platform.feedback.confidence import _fit, _matrix, _spread, _standardised

    answered = church(800)
    values = _matrix([item.features for item in answered])
    design = _standardised(values, *_spread(values))
    wrong = np.array([item.errors > 0 for item in answered], dtype=float)
    other = LogisticRegression(C=1.0, tol=1e-10, max_iter=10_000).fit(design[:, 1:], wrong)
    found = _fit(design, wrong, np.ones(len(wrong)))
    assert found[1:] == pytest.approx(other.coef_[0], abs=1e-4)
    assert found[0] == pytest.approx(other.intercept_[0], abs=1e-4)
    scores = design @ found
    assert area_under_roc(scores, wrong) == pytest.approx(roc_auc_score(wrong, scores))


@pytest.mark.parametrize(
    ("scores", "positive", "area"),
    [([1, 2, 3, 4], [0, 0, 1, 1], 1.0), ([1, 1, 1, 1], [0, 1, 0, 1], 0.5), ([4, 3, 2, 1], [0, 0, 1, 1], 0.0)],
)
def test_area_under_roc(scores: list[int], positive: list[int], area: float) -> None:
    assert area_under_roc(np.array(scores), np.array(positive)) == area


def test_calibration_error_of_known_shares() -> None:
    assert expected_calibration_error(np.array([0.0] * 5 + [1.0] * 5), np.array([0.0] * 5 + [1.0] * 5), bins=2) == 0
    assert expected_calibration_error(np.array([0.2] * 10), np.array([1.0] * 5 + [0.0] * 5), bins=1) == pytest.approx(
        0.3
    )


def test_the_bins_of_the_reliability_curve() -> None:
    found = reliability_bins(np.array([0.9, 0.1, 0.2, 0.8]), np.array([1, 0, 1, 1]), bins=2)
    assert [(each.expected, each.found, each.answers) for each in found] == [
        (pytest.approx(0.15), 0.5, 2),
        (pytest.approx(0.85), 1.0, 2),
    ]
    assert len(reliability_bins(np.array([0.4]), np.array([1]))) == 1


def test_a_fitted_model_shows_the_bins_that_its_calibration_error_is_the_mean_of() -> None:
    model = fit_confidence(church(900))
    answers = sum(each.answers for each in model.reliability)
    gaps = sum(each.answers * abs(each.expected - each.found) for each in model.reliability)
    assert model.calibration_error == pytest.approx(gaps / answers)
    assert fit_confidence(church(20)).reliability == ()
