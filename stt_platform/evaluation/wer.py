"""Word error rate of a corpus, raw or normalised."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache


@dataclass(frozen=True)
class WordErrors:
    """Counts over a whole corpus: long texts weigh more than short ones.

    Attributes:
        wer: (substitutions + deletions + insertions) / reference_words, or None where the references hold no
            word; the insertions then say how much was heard that nobody said.
        hits: words that agree.
    """

    wer: float | None
    substitutions: int
    deletions: int
    insertions: int
    hits: int
    reference_words: int


def word_errors(pairs: Sequence[tuple[str, str]], *, normalise: Callable[[str], str] | None = None) -> WordErrors:
    """Align each reference with its hypothesis and count the word errors.

    Args:
        pairs: (reference, hypothesis), words separated by white space. Either may be empty: an empty reference
            turns every word of the hypothesis into an insertion.
        normalise: applied to both sides; None compares the texts as they are.

    Returns:
        Counts summed over all pairs.
    """
    import jiwer

    if normalise is not None:
        pairs = [(normalise(reference), normalise(hypothesis)) for reference, hypothesis in pairs]
    # jiwer takes no empty corpus, and its rate for one without reference words is a count of insertions.
    found = jiwer.process_words([r for r, _ in pairs] or [""], [h for _, h in pairs] or [""])
    errors = found.substitutions + found.deletions + found.insertions
    reference_words = found.hits + found.substitutions + found.deletions
    return WordErrors(
        wer=errors / reference_words if reference_words else None,
        substitutions=found.substitutions,
        deletions=found.deletions,
        insertions=found.insertions,
        hits=found.hits,
        reference_words=reference_words,
    )


def normalise_english(text: str) -> str:
    """Normalise English text as Whisper's authors do: lower case, no punctuation, digits for numbers.

    Radford et al. 2022, "Robust Speech Recognition via Large-Scale Weak Supervision", appendix C; without the
    list of British spellings. It is made for everyday English: "O Lord" becomes "0 lord", and chapter and
    verse of a scripture reference run together.
    """
    # The normaliser takes the middle of an ellipsis for a decimal point, and would leave it as a word.
    return _english_normaliser()(re.sub(r"\.{2,}", " ", text)).strip()


@cache
def _english_normaliser():
    from transformers.models.whisper.english_normalizer import EnglishTextNormalizer

    return EnglishTextNormalizer({})
