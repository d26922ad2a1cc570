"""Rates of the terms of a glossary that are rendered as it says; see `terminology.Occurrence`."""

from __future__ import annotations

from stt_platform.evaluation.metrics.base import TermRate


class TermAccuracy(TermRate):
    """Right renderings, of any sense that can be meant."""

    name = "term_accuracy"
    label = "Term accuracy"
    explanation = "of 100 terms that the reference renders as the glossary does, so many are rendered so too"
    part = "hit"


class SenseAccuracy(TermRate):
    """Renderings of the sense of the reference."""

    name = "sense_accuracy"
    label = "Terms in the right sense"
    explanation = "the same, where a rendering of another sense of the term does not count"
    part = "sense_hit"


class LemmaAccuracy(TermRate):
    """Renderings by the word that a hint gives."""

    name = "lemma_accuracy"
    label = "Terms in the glossary's own word"
    explanation = "the same, where only the word that a hint would give counts, in any form"
    part = "lemma_hit"


class LemmaCeiling(TermRate):
    """The lemma accuracy of the reference itself."""

    name = "lemma_ceiling"
    label = "The glossary's own word in the reference"
    explanation = "more than this cannot be asked of a model in its own word"
    part = "reference_lemma"


class Ceiling(TermRate):
    """Terms that the reference renders as the glossary does."""

    name = "ceiling"
    label = "Terms rendered by the reference"
    explanation = (
        "of 100 terms in the source, the reference renders so many as the glossary does; only these are judged"
    )
    part = "judged"
    whole = ""


class ForbiddenRate(TermRate):
    """Renderings that are never right."""

    name = "forbidden_rate"
    label = "Forbidden renderings"
    explanation = "of 100 terms in the source, so many have a rendering that is never right"
    lower_is_better = True
    part = "forbidden"
    whole = ""
