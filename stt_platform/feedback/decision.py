"""Decide between champion and challenger.

A challenger is promoted only if it is significantly better on the church test and non-inferior on general speech. So the
champion's errors on the frozen test never rise by more than chance would be believed to explain.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

from stt_platform.evaluation.paired import Comparison

Outcome = Literal["promoted", "kept", "undecided"]


class TestState(StrEnum):
    """State of the frozen church test."""

    # Or pytest takes it for a class of tests.
    __test__ = False

    UNTOUCHED = "untouched"
    NONE = "none"
    """There is no test yet."""
    TOUCHED = "touched"
    """Its texts or recordings changed, or a sermon of it was trained on."""

    @property
    def is_valid(self) -> bool:
        """Return whether nobody has touched it."""
        return self is not TestState.TOUCHED


class GeneralVerdict(StrEnum):
    """What is known of general speech, beside the base model."""

    NOT_WORSE = "not worse"
    WORSE = "worse"
    """By more than the margin."""
    UNDECIDED = "undecided"
    NOT_MEASURED = "not measured"
    NO_ADAPTER = "no adapter"


class Cause(StrEnum):
    """Why a decision is what it is."""

    PROMOTED = "promoted"
    NOTHING_TRAINED = "nothing_trained"
    SAME_AS_CHAMPION = "same_as_champion"
    TEST_TOUCHED = "test_touched"
    NOT_MEASURED = "not_measured"
    WORSE = "worse"
    NOT_BETTER = "not_better"
    GENERAL_WORSE = "general_worse"
    GENERAL_UNDECIDED = "general_undecided"
    GENERAL_NOT_MEASURED = "general_not_measured"


_OUTCOMES: dict[Cause, Outcome] = {
    Cause.PROMOTED: "promoted",
    Cause.NOTHING_TRAINED: "kept",
    Cause.SAME_AS_CHAMPION: "kept",
    Cause.TEST_TOUCHED: "kept",
    Cause.NOT_MEASURED: "undecided",
    Cause.WORSE: "kept",
    Cause.NOT_BETTER: "undecided",
    Cause.GENERAL_WORSE: "kept",
    Cause.GENERAL_UNDECIDED: "undecided",
    Cause.GENERAL_NOT_MEASURED: "undecided",
}
_OF_GENERAL = {
    GeneralVerdict.NOT_WORSE: Cause.PROMOTED,
    GeneralVerdict.WORSE: Cause.GENERAL_WORSE,
    GeneralVerdict.UNDECIDED: Cause.GENERAL_UNDECIDED,
    GeneralVerdict.NOT_MEASURED: Cause.GENERAL_NOT_MEASURED,
    GeneralVerdict.NO_ADAPTER: Cause.GENERAL_NOT_MEASURED,
}


@dataclass(frozen=True)
class Decision:
    """What becomes of an adapter.

    Attributes:
        cause: why; it decides what becomes of it.
        reason: the cause with its numbers, in a sentence for people.
    """

    cause: Cause
    reason: str

    @property
    def outcome(self) -> Outcome:
        """Return what becomes of it: it is promoted, the champion is kept, or nobody can tell which is better."""
        return _OUTCOMES[self.cause]


NOTHING_TRAINED = Decision(Cause.NOTHING_TRAINED, "nothing was trained in this cycle")
SAME_AS_CHAMPION = Decision(Cause.SAME_AS_CHAMPION, "it is the champion already: nothing new was trained")
"""What is decided without measuring."""


def decide(
    *,
    test: TestState,
    beside_champion: Comparison | None,
    general: GeneralVerdict,
    problems: Sequence[str] = (),
    general_reason: str = "",
) -> Decision:
    """Decide about an adapter that was measured.

    Args:
        test: the church test, as it is today.
        beside_champion: the adapter (b) beside the champion (a), on the frozen church test; None where either was not
            measured there.
        general: of general speech, beside the base model.
        problems: what was touched of the test, in words. Told, and decides nothing.
        general_reason: the numbers of general speech, in words. Told, and decides nothing.
    """
    cause = _cause(test, beside_champion, general)
    return Decision(cause, _in_words(cause, beside_champion, general, "; ".join(problems), general_reason))


def _cause(test: TestState, beside_champion: Comparison | None, general: GeneralVerdict) -> Cause:
    if not test.is_valid:
        return Cause.TEST_TOUCHED
    if beside_champion is None:
        return Cause.NOT_MEASURED
    if beside_champion.better != "b":
        return Cause.WORSE if beside_champion.better == "a" else Cause.NOT_BETTER
    return _OF_GENERAL[general]


def _in_words(
    cause: Cause, beside_champion: Comparison | None, general: GeneralVerdict, problems: str, general_reason: str
) -> str:
    if cause is Cause.TEST_TOUCHED:
        return f"the church test is not valid: {problems}"
    if cause is Cause.NOT_MEASURED or beside_champion is None:
        return (
            "it was not compared with the champion: the church test needs texts of test sermons (put them into "
            "STT_HOME/references); then run speech_evaluation again"
        )
    numbers = _numbers(beside_champion)
    better = f"it is better on the church test: {numbers}"
    match cause:
        case Cause.WORSE | Cause.NOT_BETTER:
            return f"it is not shown to be better on the church test: {numbers}"
        case Cause.PROMOTED:
            return f"{better}; and it is non-inferior on general speech"
        case Cause.GENERAL_WORSE:
            return f"it got worse on general speech ({general_reason}): give it more replay, though {better}"
        case Cause.GENERAL_UNDECIDED:
            return (
                f"it may have got worse on general speech ({general_reason}): put more recordings into STT_HOME/general, or "
                f"more replay into STT_HOME/replay; {better}"
            )
    return (
        f"whether it got worse at everything else is not known ({general}): put general speech with its texts, such as "
        f"LibriSpeech's test-clean, into STT_HOME/general; {better}"
    )


def _numbers(found: Comparison) -> str:
    if found.value_a is None or found.value_b is None:
        return found.reason
    words = f"WER {found.value_b:.1%} against {found.value_a:.1%} of the current champion"
    if found.low is not None and found.high is not None:
        words += f" (the difference is {100 * found.low:+.1f} to {100 * found.high:+.1f} points"
        words += (
            f", p = {found.p_value:.2g}, {found.n} sermons)" if found.p_value is not None else f", {found.n} sermons)"
        )
    return words if found.decidable else f"{words}; {found.missing}"
