"""Word error rates of corpora with known errors."""

import pytest

from stt_platform.evaluation.wer import WordErrors, normalise_english, word_errors


@pytest.mark.parametrize(
    ("pairs", "expected"),
    [
        ([("a b c d", "a b c d")], WordErrors(0.0, 0, 0, 0, 4, 4)),
        ([("a b c d", "a x c")], WordErrors(0.5, 1, 1, 0, 2, 4)),
        ([("a b", "a b c d e")], WordErrors(1.5, 0, 0, 3, 2, 2)),
        # The rate of the corpus, 1 of 10 words, not the mean of 1 and 0.
        ([("a", "x"), ("b c d e f g h i j", "b c d e f g h i j")], WordErrors(0.1, 1, 0, 0, 9, 10)),
        ([("a b", "")], WordErrors(1.0, 0, 2, 0, 0, 2)),
        ([("", "a b"), ("c d", "c d")], WordErrors(1.0, 0, 0, 2, 2, 2)),
        ([("", "a b")], WordErrors(None, 0, 0, 2, 0, 0)),
        ([("", "")], WordErrors(None, 0, 0, 0, 0, 0)),
        ([], WordErrors(None, 0, 0, 0, 0, 0)),
    ],
)
def test_counts(pairs, expected):
    assert word_errors(pairs) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Good morning, Church!", "good morning church"),
        ("We won't go.", "we will not go"),
        ("twenty one days", "21 days"),
        ("um, so [applause] amen", "so amen"),
        ("Well... wait...what", "well wait what"),
        ("...", ""),
        ("", ""),
    ],
)
def test_normalised_english(text, expected):
    assert normalise_english(text) == expected


def test_normalisation_applies_to_both_sides():
    pairs = [("Grace, and peace!", "grace AND peace")]
    assert word_errors(pairs).wer == 1.0
    assert word_errors(pairs, normalise=normalise_english).wer == 0.0
    # A reference of punctuation only has no word.
    assert word_errors([("...", "")], normalise=normalise_english).reference_words == 0
