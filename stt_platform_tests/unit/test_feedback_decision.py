"""An adapter serves only if it is shown to be better, and not worse at everything else."""

import pytest

from stt_platform.evaluation.intervals import Counts
from stt_platform.evaluation.paired import Comparison, paired_rates
from stt_platform.feedback.decision import decide


def beside(champion: list[int], adapter: list[int]) -> Comparison:
    """Errors in a hundred words of each sermon."""
    sides = ({f"s{k}": Counts(errors, 100) for k, errors in enumerate(side)} for side in (champion, adapter))
    return paired_rates(*sides)


BETTER = beside([20, 22, 18, 25, 30, 21, 19], [12, 15, 11, 14, 20, 13, 12])
WORSE = beside([12, 15, 11, 14, 20, 13, 12], [20, 22, 18, 25, 30, 21, 19])
CHANCE = beside([20, 22, 18, 25, 30, 21, 19], [21, 20, 19, 24, 31, 20, 19])
TOO_FEW = beside([20, 22, 18], [2, 3, 4])


@pytest.mark.parametrize(
    ("compared", "general", "outcome", "said"),
    [
        (BETTER, "not worse", "promoted", "it hears better on the church test"),
        (BETTER, "worse", "kept", "it got worse on general speech (+3 points)"),
        (BETTER, "undecided", "undecided", "put more recordings into STT_HOME/general"),
        (BETTER, "not measured", "undecided", "put general speech with its texts"),
        (WORSE, "not worse", "kept", "not shown to hear better"),
        (CHANCE, "not worse", "undecided", "not shown to hear better"),
        (TOO_FEW, "not worse", "undecided", "6"),
        (None, "not worse", "undecided", "run speech_evaluation again"),
    ],
)
def test_the_champion_keeps_its_place_in_every_doubt(
    compared: Comparison | None, general: str, outcome: str, said: str
) -> None:
    found = decide(beside_champion=compared, general=general, general_reason="+3 points")
    assert found.outcome == outcome
    assert said in found.reason


def test_a_test_that_was_touched_promotes_nobody() -> None:
    found = decide(spoilt="a sermon of it taught", beside_champion=BETTER, general="not worse")
    assert found.outcome == "kept"
    assert "a sermon of it taught" in found.reason
