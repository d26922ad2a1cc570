"""Texts of people held against texts of a recogniser, by the platform's rules for church English."""

from dataclasses import replace

from stt_platform.evaluation.church_english import normalise_church_english
from stt_platform.evaluation.speech_scores import RowScore, score_rows
from stt_platform.store.assessment import Assessed


def score_text(text: Assessed, hypothesis: str | None, problem: str | None = None) -> RowScore:
    """Score one text; with a problem it is not scored for that reason, whatever the texts say."""
    problem = text.problem or problem
    (score,) = score_rows([text.row(None if problem else hypothesis)], normalise_church_english)
    return replace(score, row=text.row(hypothesis), reason=problem) if problem else score
