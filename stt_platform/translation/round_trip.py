"""Back-translated English: tagged, and kept only where it agrees with the English that people wrote."""

from dataclasses import dataclass

BACK_TRANSLATED = "__bt__"


@dataclass(frozen=True)
class RoundTrip:
    """What became of one back-translation. `chrf` is None where there was nothing to compare."""

    chrf: float | None
    status: str
    reason: str


def tag_back_translation(text: str) -> str:
    """Tag English that a model made; tagged once only.

    Caswell et al. 2019, "Tagged Back-Translation" (W19-5206): it is the tag that helps, not noise. A word rather than
    `<BT>`, since accepted texts hold no markup.
    """
    return text if text.startswith(f"{BACK_TRANSLATED} ") else f"{BACK_TRANSLATED} {text}"


def judge_round_trip(
    made: str, original: str, spanish: str, *, min_chrf: float = 35.0, max_copied: float = 60.0
) -> RoundTrip:
    """Accept or quarantine English that a model made from Spanish.

    Args:
        made: the back-translation, without its tag.
        original: English of the same verse that people wrote.
        spanish: what was translated.
        min_chrf: least chrF (Popović 2015, 0 to 100) between `made` and `original`. Between KJV and WEB 99 % of the
            verses reach 36; of verses that have nothing to do with each other 95 % stay below 26.
        max_copied: most chrF between `made` and `spanish`: above it the model copied instead of translating.

    Returns:
        status "accepted" or "quarantined", with the reason.

    Raises:
        ValueError: where `original` or `spanish` is empty.
    """
    if not original.strip() or not spanish.strip():
        raise ValueError(f"original {original!r} and Spanish {spanish!r}: neither may be empty")
    if not made.strip():
        return RoundTrip(None, "quarantined", "the model answered nothing")
    copied = agreement(made, spanish)
    agreed = agreement(made, original)
    if copied > max_copied and copied > agreed:
        return RoundTrip(agreed, "quarantined", f"copied, not translated: chrF {copied:.0f} with the Spanish")
    if agreed < min_chrf:
        return RoundTrip(agreed, "quarantined", f"chrF {agreed:.0f} with the original is below {min_chrf:.0f}")
    return RoundTrip(agreed, "accepted", "")


def agreement(text: str, reference: str) -> float:
    """chrF between two texts, 0 to 100, in lower case: Bibles differ in their capitals."""
    from sacrebleu.metrics.chrf import CHRF

    return CHRF(lowercase=True).sentence_score(text, [reference]).score
