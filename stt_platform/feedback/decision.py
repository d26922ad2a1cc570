"""Whether an adapter serves from now on: only if it is shown to be better, and not worse at everything else.

The champion of before keeps its place in every doubt. So its errors on the frozen test never rise by more than chance
would be believed to explain.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from stt_platform.evaluation.paired import Comparison

Outcome = Literal["promoted", "kept", "undecided"]

NOT_WORSE, WORSE, UNDECIDED = "not worse", "worse", "undecided"


@dataclass(frozen=True)
class Decision:
    """What becomes of an adapter, and why, in a sentence for people."""

    outcome: Outcome
    reason: str


def decide(*, spoilt: str = "", beside_champion: Comparison | None, general: str, general_reason: str = "") -> Decision:
    """Decide about an adapter that was measured.

    Args:
        spoilt: why the church test is worth nothing today; empty where nobody has touched it.
        beside_champion: the adapter (b) beside what serves now (a), on the frozen church test; None where either was not
            measured there.
        general: of general speech, beside the base model: "not worse" or "worse" by more than the margin, "undecided", or
            in other words why it was not measured.
        general_reason: the numbers of that, in words.
    """
    if spoilt:
        return Decision("kept", f"the church test is not valid: {spoilt}")
    if beside_champion is None:
        return Decision(
            "undecided",
            "it was not measured beside what serves now: the church test needs texts of sermons that examine (put them into "
            "STT_HOME/references); then run speech_evaluation again",
        )
    if beside_champion.better != "b":
        outcome: Outcome = "kept" if beside_champion.better == "a" else "undecided"
        return Decision(outcome, f"it is not shown to hear better on the church test: {_numbers(beside_champion)}")
    better = f"it hears better on the church test: {_numbers(beside_champion)}"
    if general == NOT_WORSE:
        return Decision("promoted", f"{better}; and it is not worse on general speech")
    if general == WORSE:
        return Decision(
            "kept", f"it got worse on general speech ({general_reason}): give it more replay, though {better}"
        )
    if general == UNDECIDED:
        return Decision(
            "undecided",
            f"it may have got worse on general speech ({general_reason}): put more recordings into STT_HOME/general, or more "
            f"replay into STT_HOME/replay; {better}",
        )
    return Decision(
        "undecided",
        f"whether it got worse at everything else is not known ({general}): put general speech with its texts, such as "
        f"LibriSpeech's test-clean, into STT_HOME/general; {better}",
    )


def _numbers(found: Comparison) -> str:
    if found.value_a is None or found.value_b is None:
        return found.reason
    words = f"{found.value_b:.1%} of the words wrong, where what serves now gets {found.value_a:.1%} wrong"
    if found.low is not None and found.high is not None:
        words += f" (the difference is {100 * found.low:+.1f} to {100 * found.high:+.1f} points"
        words += (
            f", p = {found.p_value:.2g}, {found.n} sermons)" if found.p_value is not None else f", {found.n} sermons)"
        )
    return f"{words}; {found.missing}" if found.missing else words
