"""How far several recognisers agree on what was said: the character error rate of each against each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import Literal

from stt_platform.evaluation.wer import normalise_english

RELIABLE_BELOW = 0.05


@dataclass(frozen=True)
class Agreement:
    """How far texts of the same speech differ.

    Attributes:
        mean_cer: mean over all pairs, 0 (the same) to 1 (nothing in common); None with fewer than two systems.
        pairs: (system_a, system_b, cer), the systems in alphabetical order.
    """

    mean_cer: float | None
    pairs: tuple[tuple[str, str, float], ...]


@dataclass(frozen=True)
class AgreementStatus:
    """Whether a text can be relied on, as its table says it.

    Attributes:
        status: 'reliable', 'unreliable', or 'unknown' where there was nothing to compare with.
        reason: why it is not reliable, else None.
    """

    status: Literal["reliable", "unreliable", "unknown"]
    reason: str | None


def pairwise_cer(texts: Mapping[str, str]) -> Agreement:
    """Compare what each system wrote with what each other system wrote.

    Neither of a pair is the truth, so the rate is symmetric: the least number of characters to insert, delete or
    replace (Levenshtein 1966), over the length of the longer text. It is never above the usual rate, which
    divides by the reference. Texts are compared as `normalise_english` writes them; two empty ones agree.

    Args:
        texts: from a system's name to what it heard.
    """
    normalised = {system: normalise_english(texts[system]) for system in sorted(texts)}
    pairs = tuple((a, b, _character_difference(normalised[a], normalised[b])) for a, b in combinations(normalised, 2))
    mean = sum(cer for _, _, cer in pairs) / len(pairs) if pairs else None
    return Agreement(mean, pairs)


def agreement_status(mean_cer: float | None, threshold: float = RELIABLE_BELOW) -> AgreementStatus:
    """Judge an agreement: a mean below the threshold is reliable; none at all is unknown."""
    if mean_cer is None:
        return AgreementStatus("unknown", "only one system has a text; two are needed to compare")
    if mean_cer < threshold:
        return AgreementStatus("reliable", None)
    return AgreementStatus(
        "unreliable",
        f"the systems differ in {100 * mean_cer:.1f} % of the characters; less than {100 * threshold:g} % is reliable",
    )


def _character_difference(a: str, b: str) -> float:
    import jiwer

    if not a or not b:
        # jiwer has no rate for an empty reference.
        return float(a != b)
    found = jiwer.process_characters(a, b)
    return (found.substitutions + found.deletions + found.insertions) / max(len(a), len(b))
