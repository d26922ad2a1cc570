"""Metrics of translators: chrF++ and BLEU by sacrebleu, COMET, archaisms, and memorised verses.

An adapter is taught the spelling of today, so the reference is put into it as well; the metrics of the texts as they are
stand beside those.
"""

from __future__ import annotations

from stt_platform.evaluation.bootstrap import Shares, shares
from stt_platform.evaluation.metrics.base import Metric, TranslationMetric, TranslationSample
from stt_platform.evaluation.translation_scores import Statistics
from stt_platform.evaluation.trust import archaism_rate


class ChrF(TranslationMetric):
    """chrF++ (Popović 2017, `word_order` 2) in the spelling of today, 0 to 100."""

    name = "chrf_today"
    label = "chrF++"
    explanation = "overlap with the reference in characters and words, 0 to 100, both in the spelling of today"

    def statistics(self, sample: TranslationSample) -> Statistics:
        return sample.today.chrf


class RawChrF(TranslationMetric):
    """chrF++ of the texts as they are."""

    name = "chrf"
    label = "chrF++, texts as they are"
    explanation = "the same, where á for a counts as a mistake"

    def statistics(self, sample: TranslationSample) -> Statistics:
        return sample.raw.chrf


class BLEU(TranslationMetric):
    """BLEU as sacrebleu has it (Post 2018) in the spelling of today, 0 to 100."""

    name = "bleu_today"
    label = "BLEU"
    explanation = "n-grams that are in the reference too, 0 to 100, in the spelling of today"

    def statistics(self, sample: TranslationSample) -> Statistics:
        return sample.today.bleu


class RawBLEU(TranslationMetric):
    """BLEU of the texts as they are."""

    name = "bleu"
    label = "BLEU, texts as they are"
    explanation = "the same, where á for a counts as a mistake"

    def statistics(self, sample: TranslationSample) -> Statistics:
        return sample.raw.bleu


class COMET(TranslationMetric):
    """COMET (Rei et al. 2020): the mean over segments, about 0 to 1."""

    name = "comet"
    label = "COMET"
    explanation = "a neural network's estimate of how people would rate it, about 0 to 1"

    def statistics(self, sample: TranslationSample) -> Shares | None:
        if not sample.comet:
            return None
        scored = [
            (text.segment_id, segment.score, 1.0)
            for text, segment in zip(sample.texts, sample.comet, strict=True)
            if segment.score is not None
        ]
        return shares(scored, sample.comet_signature)


class Archaisms(TranslationMetric):
    """Words in the style of old Bibles, by the table `archaisms.toml`, as a share of all words."""

    name = "archaisms"
    label = "Archaisms"
    explanation = "share of the words in the style of old Bibles"
    unit = "%"
    lower_is_better = True
    compared = False

    def statistics(self, sample: TranslationSample) -> Shares:
        rates = [archaism_rate([hypothesis]) for hypothesis in sample.hypotheses]
        rows = [
            (text.segment_id, float(rate.archaic_words), float(rate.words))
            for text, rate in zip(sample.texts, rates, strict=True)
        ]
        return shares(rows, "archaisms:archaisms.toml|share:words")


class RecitedVerses(Metric):
    """Verses of whose first half a base model gives the second word for word (`continuation_probe`)."""

    name = "recited_verses"
    label = "Memorised verses"
    explanation = "of 100 verses whose first half it was given, it continued so many word for word"
