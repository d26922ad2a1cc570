"""Find reviewers who accept far more proposals as they stand than the recogniser's confidence allows."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from math import fsum

from stt_platform.feedback.corrections import REJECTED, Correction, KnownChunk

MIN_ANSWERS = 20
"""With fewer nothing is said about a reviewer."""

# Far above: by so much, and by chance less often than once in a thousand reviewers.
_FAR_ABOVE = 0.2
_CHANCE = 1e-3


class Concern(StrEnum):
    """What there is to worry about in a reviewer."""

    NONE = ""
    ACCEPTS_TOO_MUCH = "accepts_too_much"
    """Far more proposals are accepted as they stand than can be right."""
    HURRIED = "hurried"
    """Most answers took less time than the sound lasts."""
    BOTH = "both"


@dataclass(frozen=True)
class Reviewer:
    """What one person did.

    Attributes:
        answers: that say something about a chunk, and for which the proposal is known.
        unchanged: of these, without a word changed.
        judged: of the answers, those for which the confidence says what to expect.
        unchanged_judged, expected_unchanged: of `judged`: without a word changed, and how many that should be; the
            latter is None without any.
        chance: how often somebody who listens would leave so many or more unchanged; None without a prediction.
        hurried: answers that took less time than their sound lasts; `timed` is for how many both are known.
        concern: whether there is something to warn of, and what.
    """

    name: str
    answers: int
    unchanged: int
    judged: int
    unchanged_judged: int
    expected_unchanged: float | None
    chance: float | None
    hurried: int
    timed: int
    concern: Concern

    @property
    def warning(self) -> str:
        """Return the concern with its numbers, in words; empty without one."""
        said = []
        if self.concern in (Concern.ACCEPTS_TOO_MUCH, Concern.BOTH):
            said.append(
                f"{self.unchanged_judged} of {self.judged} proposals accepted without a word changed, where about "
                f"{self.expected_unchanged:.0f} are right"
            )
        if self.concern in (Concern.HURRIED, Concern.BOTH):
            said.append(f"{self.hurried} of {self.timed} answers took less time than the sound lasts")
        return f"{'; '.join(said)}: listen to some of them again" if said else ""


def reviewers(corrections: Iterable[Correction], chunks: Mapping[str, KnownChunk]) -> list[Reviewer]:
    """Summarise what each reviewer did, sorted by name.

    The expectation is the sum of `KnownChunk.unchanged_probability`; the chance is of a Poisson binomial distribution.

    Args:
        corrections: of `merge_answers`; superseded ones count too.
    """
    found: dict[str, list[Correction]] = defaultdict(list)
    for correction in corrections:
        if correction.word_edits is not None and correction.chunk_id in chunks and _is_answer(correction):
            found[correction.reviewer].append(correction)
    return [_reviewer(name, found[name], chunks) for name in sorted(found)]


def _is_answer(correction: Correction) -> bool:
    return correction.gate != "same annotation" and (correction.status != REJECTED or correction.gate == "too long")


def _reviewer(name: str, answers: list[Correction], chunks: Mapping[str, KnownChunk]) -> Reviewer:
    from scipy.stats import poisson_binom

    judged = [
        (probability, answer.word_edits == 0)
        for answer in answers
        if (probability := chunks[answer.chunk_id].unchanged_probability) is not None
    ]
    unchanged_judged = sum(unchanged for _, unchanged in judged)
    expected = fsum(probability for probability, _ in judged) if judged else None
    chance = float(poisson_binom([p for p, _ in judged]).sf(unchanged_judged - 1)) if judged else None
    timed = [(a.spent_s, chunks[a.chunk_id].duration_s) for a in answers if a.spent_s is not None]
    hurried = sum(spent_s < duration_s for spent_s, duration_s in timed)
    accepts_too_much = False
    if expected is not None and chance is not None and len(judged) >= MIN_ANSWERS:
        excess = (unchanged_judged - expected) / len(judged)
        accepts_too_much = excess >= _FAR_ABOVE and chance < _CHANCE
    return Reviewer(
        name=name,
        answers=len(answers),
        unchanged=sum(answer.word_edits == 0 for answer in answers),
        judged=len(judged),
        unchanged_judged=unchanged_judged,
        expected_unchanged=expected,
        chance=chance,
        hurried=hurried,
        timed=len(timed),
        concern=_concern(accepts_too_much, len(timed) >= MIN_ANSWERS and hurried > len(timed) / 2),
    )


def _concern(accepts_too_much: bool, hurried: bool) -> Concern:
    if accepts_too_much:
        return Concern.BOTH if hurried else Concern.ACCEPTS_TOO_MUCH
    return Concern.HURRIED if hurried else Concern.NONE
