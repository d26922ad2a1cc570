"""What a round of the loop waits for, in words."""

import pytest

from stt_platform.feedback.readiness import Readiness

ENOUGH = {"segments": 40, "minutes": 20.0, "quiet_min": 30.0}


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (
            Readiness(12, 3.2, 28, 60.0),
            "12 of 40 corrected segments (3.2 of 20 minutes of sound would do too, 28 still open)",
        ),
        (Readiness(0, 0.0, 0, None), "0 of 40 corrected segments"),
        (Readiness(12, 3.2, None, 60.0), "3.2 of 20 minutes of sound would do too)"),
        (Readiness(40, 9.0, 10, 5.0), "the last answer came 5 minutes ago"),
        (
            Readiness(40, 9.0, 10, 60.0, "whisper_adapter of cycle-1"),
            "the device is at work: whisper_adapter of cycle-1",
        ),
    ],
)
def test_what_is_missing_is_said(found: Readiness, said: str) -> None:
    (missing,) = found.missing(**ENOUGH)
    assert said in missing


@pytest.mark.parametrize(
    "found",
    [
        Readiness(40, 9.0, 10, 31.0),
        Readiness(12, 20.0, 10, 31.0),
        # Nothing is left to be asked: there is nothing to wait for.
        Readiness(5, 1.0, 0, 31.0),
    ],
    ids=["segments", "minutes", "the list is answered"],
)
def test_enough_is_enough(found: Readiness) -> None:
    assert list(found.missing(**ENOUGH)) == []
