"""How far systems agree: known distances, and nothing that depends on who comes first."""

import pytest

from stt_platform.evaluation.agreement import Agreement, AgreementStatus, agreement_status, pairwise_cer


@pytest.mark.parametrize(
    ("a", "b", "cer"),
    [
        ("grace and peace", "grace and peace", 0.0),
        ("Grace, and PEACE!", "grace and peace", 0.0),
        ("twenty one days", "21 days", 0.0),
        ("we won't go", "we will not go", 0.0),
        # One character of the ten of the longer text.
        ("abcdefghij", "abcdefghi", 0.1),
        ("abcdefghij", "abcdefghix", 0.1),
        ("kitten", "sitting", 3 / 7),
        ("abc", "xyz", 1.0),
        ("", "", 0.0),
        ("...", "", 0.0),
        ("amen", "", 1.0),
    ],
)
def test_the_rate_of_a_pair_is_over_the_longer_text(a, b, cer):
    assert pairwise_cer({"one": a, "two": b}) == Agreement(pytest.approx(cer), (("one", "two", pytest.approx(cer)),))
    assert pairwise_cer({"two": a, "one": b}).mean_cer == pytest.approx(cer)


def test_three_systems_make_three_pairs_in_order_of_their_names():
    found = pairwise_cer({"whisper": "abcd", "captions": "abcd", "sphinx": "abxx"})
    assert found.pairs == (("captions", "sphinx", 0.5), ("captions", "whisper", 0.0), ("sphinx", "whisper", 0.5))
    assert found.mean_cer == pytest.approx(1 / 3)


@pytest.mark.parametrize("texts", [{}, {"whisper": "alone"}])
def test_fewer_than_two_systems_have_no_rate(texts):
    assert pairwise_cer(texts) == Agreement(None, ())
    assert agreement_status(None).status == "unknown"


@pytest.mark.parametrize(
    ("mean_cer", "status"), [(0.0, "reliable"), (0.0499, "reliable"), (0.05, "unreliable"), (1.0, "unreliable")]
)
def test_less_than_five_percent_is_reliable(mean_cer, status):
    assert agreement_status(mean_cer).status == status


def test_the_reason_names_value_and_limit():
    assert agreement_status(0.04) == AgreementStatus("reliable", None)
    assert agreement_status(0.123, threshold=0.1).reason == (
        "the systems differ in 12.3 % of the characters; less than 10 % is reliable"
    )
