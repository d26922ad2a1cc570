"""An adapter serves only if it is shown to be better, and not worse at everything else."""

import pytest

from stt_platform.evaluation.intervals import Counts
from stt_platform.evaluation.paired import Comparison, paired_rates
from stt_platform.feedback.decision import (
    NOTHING_TRAINED,
    SAME_AS_CHAMPION,
    Cause,
    GeneralVerdict,
    TestState,
    decide,
)


def beside(champion: list[int], adapter: list[int]) -> Comparison:
    """Errors in a hundred words of each sermon."""
    sides = ({f"s{k}": Counts(errors, 100) for k, errors in enumerate(side)} for side in (champion, adapter))
    return paired_rates(*sides)


BETTER = beside([20, 22, 18, 25, 30, 21, 19], [12, 15, 11, 14, 20, 13, 12])
WORSE = beside([12, 15, 11, 14, 20, 13, 12], [20, 22, 18, 25, 30, 21, 19])
CHANCE = beside([20, 22, 18, 25, 30, 21, 19], [21, 20, 19, 24, 31, 20, 19])
TOO_FEW = beside([20, 22, 18], [2, 3, 4])


FINE, WORSE_OFF, DOUBT = GeneralVerdict.NOT_WORSE, GeneralVerdict.WORSE, GeneralVerdict.UNDECIDED


@pytest.mark.parametrize(
    ("compared", "general", "cause", "outcome"),
    [
        (BETTER, FINE, Cause.PROMOTED, "promoted"),
        (BETTER, WORSE_OFF, Cause.GENERAL_WORSE, "kept"),
        (BETTER, DOUBT, Cause.GENERAL_UNDECIDED, "undecided"),
        (BETTER, GeneralVerdict.NOT_MEASURED, Cause.GENERAL_NOT_MEASURED, "undecided"),
        (BETTER, GeneralVerdict.NO_ADAPTER, Cause.GENERAL_NOT_MEASURED, "undecided"),
        (WORSE, FINE, Cause.WORSE, "kept"),
        (CHANCE, FINE, Cause.NOT_BETTER, "undecided"),
        (TOO_FEW, FINE, Cause.NOT_BETTER, "undecided"),
        (None, FINE, Cause.NOT_MEASURED, "undecided"),
    ],
)
@pytest.mark.parametrize("test", [TestState.UNTOUCHED, TestState.NONE])
def test_the_champion_keeps_its_place_in_every_doubt(
    test: TestState, compared: Comparison | None, general: GeneralVerdict, cause: Cause, outcome: str
) -> None:
    found = decide(test=test, beside_champion=compared, general=general)
    assert (found.cause, found.outcome) == (cause, outcome)


@pytest.mark.parametrize("compared", [BETTER, WORSE, None])
def test_a_test_that_was_touched_promotes_nobody(compared: Comparison | None) -> None:
    found = decide(test=TestState.TOUCHED, beside_champion=compared, general=FINE)
    assert (found.cause, found.outcome) == (Cause.TEST_TOUCHED, "kept")


def test_what_is_said_decides_nothing() -> None:
    said = {"problems": ["untouched"], "general_reason": "worse: touched, not measured"}
    for test in TestState:
        for compared in (BETTER, WORSE, CHANCE, None):
            for general in GeneralVerdict:
                asked = {"test": test, "beside_champion": compared, "general": general}
                assert decide(**asked, **said).cause == decide(**asked).cause


def test_only_one_cause_promotes() -> None:
    asked = [
        decide(test=t, beside_champion=c, general=g) for t in TestState for c in (BETTER, None) for g in GeneralVerdict
    ]
    assert {found.cause for found in asked if found.outcome == "promoted"} == {Cause.PROMOTED}
    assert (NOTHING_TRAINED.outcome, SAME_AS_CHAMPION.outcome) == ("kept", "kept")


def test_every_cause_is_said_with_its_numbers() -> None:
    numbers = (
        "WER 13.9% against 22.1% of the current champion (the difference is -10.0 to -7.0 points, p = 0.016, 7 sermons)"
    )
    better = f"it is better on the church test: {numbers}"

    def said(compared: Comparison | None, general: GeneralVerdict, test: TestState = TestState.UNTOUCHED) -> str:
        problems = ["a sermon of it was trained on", "a text is gone"] if test is TestState.TOUCHED else ()
        return decide(
            test=test, beside_champion=compared, general=general, problems=problems, general_reason="+3 points"
        ).reason

    assert said(BETTER, FINE, TestState.TOUCHED) == (
        "the church test is not valid: a sermon of it was trained on; a text is gone"
    )
    assert said(None, FINE) == (
        "it was not compared with the champion: the church test needs texts of test sermons (put them into "
        "STT_HOME/references); then run speech_evaluation again"
    )
    assert said(BETTER, FINE) == f"{better}; and it is non-inferior on general speech"
    assert said(BETTER, WORSE_OFF) == (
        f"it got worse on general speech (+3 points): give it more replay, though {better}"
    )
    assert said(BETTER, DOUBT) == (
        "it may have got worse on general speech (+3 points): put more recordings into STT_HOME/general, or more replay "
        f"into STT_HOME/replay; {better}"
    )
    assert said(BETTER, GeneralVerdict.NOT_MEASURED) == (
        "whether it got worse at everything else is not known (not measured): put general speech with its texts, such as "
        f"LibriSpeech's test-clean, into STT_HOME/general; {better}"
    )
    assert said(WORSE, FINE).startswith(
        "it is not shown to be better on the church test: WER 22.1% against 13.9% of the current champion"
    )
    assert said(TOO_FEW, FINE).endswith(
        "6 sermons are needed for a decision; the least p value that 3 can give is 0.25"
    )
    assert NOTHING_TRAINED.reason == "nothing was trained in this cycle"
    assert SAME_AS_CHAMPION.reason == "it is the champion already: nothing new was trained"
