"""The validation set of a translator's training, and its measure."""

from __future__ import annotations

from collections.abc import Sequence
from math import nan

from stt_platform.evaluation.translation_scores import Translated, translation_scores
from stt_platform.training.sampling import EpochSampler
from stt_platform.training.translation_set import TrainingExample
from stt_platform.translation.translator import Translation


def held_out_examples(examples: Sequence[TrainingExample], most: int, seed: int) -> list[TrainingExample]:
    """Draw examples of the split "dev" by weight and in a random order, so that the first are a sample of all."""
    dev = [example for example in examples if example.split == "dev"]
    return [dev[i] for i in EpochSampler(dev, seed).epoch(0)[:most]]


def chrf_of(examples: Sequence[TrainingExample], translations: Sequence[Translation]) -> float:
    """Measure chrF++ of translations, 0 to 100; NaN where there is nothing to compare with."""
    rows = [
        Translated(example.segment_id, done.text, (example.target,))
        for example, done in zip(examples, translations, strict=True)
    ]
    score = translation_scores(rows).chrf.score()
    return nan if score is None else score
