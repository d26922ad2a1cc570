"""Word and character error rates (Levenshtein alignment by jiwer), and what the word error rate is made of."""

from __future__ import annotations

from importlib.metadata import version

from stt_platform.evaluation.intervals import Counts
from stt_platform.evaluation.metrics.base import ErrorRate
from stt_platform.evaluation.speech_scores import RowScore
from stt_platform.evaluation.wer import WordErrors

RULES = "868ad550"
"""Version of the rules for church English (`church_english`, `spoken_numbers`, `spoken_references`), for signatures.

Choose another when a rule changes what a text becomes: then numbers of before are not compared with those of after.
"""


class WER(ErrorRate):
    """Word error rate: (substitutions + deletions + insertions) / words of the reference, on normalised texts."""

    name = "wer"
    label = "WER"
    long_label = "Word error rate (WER)"
    explanation = "word errors per 100 words of the reference, capitals and punctuation ignored"
    compared = True

    def counts(self, score: RowScore) -> Counts:
        return _counts(score.normalised)

    def method(self) -> str:
        return f"jiwer {version('jiwer')}|church English {RULES}"


class RawWER(WER):
    """Word error rate of the texts as they are."""

    name = "raw_wer"
    label = "WER as written"
    long_label = ""
    explanation = "the same, where capitals, punctuation and ways to write a number count too"

    def counts(self, score: RowScore) -> Counts:
        return _counts(score.raw)

    def method(self) -> str:
        return f"jiwer {version('jiwer')}|as written"


class CER(WER):
    """Character error rate on normalised texts, spaces included."""

    name = "cer"
    label = "CER"
    long_label = "Character error rate (CER)"
    explanation = "character errors per 100 characters of the reference"

    def counts(self, score: RowScore) -> Counts:
        return score.characters


class Substitutions(WER):
    """The share of the WER that is substitutions."""

    name = "substitution_rate"
    label = "Substitutions"
    long_label = ""
    explanation = "wrong words per 100 words of the reference"
    compared = False

    def counts(self, score: RowScore) -> Counts:
        return Counts(score.normalised.substitutions, score.normalised.reference_words)


class Deletions(Substitutions):
    """The share of the WER that is deletions."""

    name = "deletion_rate"
    label = "Deletions"
    explanation = "missing words per 100 words of the reference"

    def counts(self, score: RowScore) -> Counts:
        return Counts(score.normalised.deletions, score.normalised.reference_words)


class Insertions(Substitutions):
    """The share of the WER that is insertions."""

    name = "insertion_rate"
    label = "Insertions"
    explanation = "added words per 100 words of the reference"

    def counts(self, score: RowScore) -> Counts:
        return Counts(score.normalised.insertions, score.normalised.reference_words)


def _counts(found: WordErrors) -> Counts:
    return Counts(found.substitutions + found.deletions + found.insertions, found.reference_words)
