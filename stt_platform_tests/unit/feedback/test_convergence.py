"""When the loop has nothing more to gain: by the best that the intervals allow, and not by what was found."""

import pytest

from stt_platform.feedback.convergence import CycleGain, convergence


def gains(*at_most: float | None) -> list[CycleGain]:
    """Cycles that may have removed at most that share of the errors of a recogniser with a WER of 20 %."""
    return [CycleGain(n, 0.2, None if share is None else -0.2 * share) for n, share in enumerate(at_most)]


@pytest.mark.parametrize(
    ("at_most", "converged", "in_vain"),
    [
        ((), False, 0),
        ((0.30,), False, 0),
        ((0.01,), False, 1),
        ((0.30, 0.01), False, 1),
        ((0.30, 0.019, 0.019), True, 2),
        # The margin itself is a gain.
        ((0.30, 0.019, 0.02), False, 0),
        ((0.01, 0.01, 0.30), False, 0),
        ((0.01, 0.30, 0.01), False, 1),
        # Worse for sure is no gain either.
        ((0.30, -0.50, -0.10), True, 2),
        ((0.01, 0.01, 0.01), True, 3),
        # What could not be measured says nothing.
        ((0.01, None), False, 0),
        ((0.01, None, 0.01), False, 1),
    ],
)
def test_two_cycles_on_end_that_surely_gained_too_little(
    at_most: tuple[float | None, ...], converged: bool, in_vain: int
) -> None:
    found = convergence(gains(*at_most))
    assert (found.converged, found.in_vain) == (converged, in_vain)


@pytest.mark.parametrize(
    ("before", "low", "at_most"),
    [
        (0.20, -0.05, 0.25),
        (0.20, 0.0, 0.0),
        (0.20, 0.02, -0.10),
        # Who makes no errors has none to lose.
        (0.0, 0.0, 0.0),
        (None, -0.05, None),
        (0.20, None, None),
    ],
)
def test_the_gain_at_most_is_a_share_of_the_errors_of_before(
    before: float | None, low: float | None, at_most: float | None
) -> None:
    found = CycleGain(1, before, low).at_most
    assert found == (None if at_most is None else pytest.approx(at_most))


@pytest.mark.parametrize(
    ("least_gain", "cycles", "converged"), [(0.05, 2, True), (0.05, 3, False), (0.01, 2, False), (0.05, 1, True)]
)
def test_margin_and_number_can_be_set(least_gain: float, cycles: int, converged: bool) -> None:
    assert convergence(gains(0.3, 0.04, 0.03), least_gain=least_gain, cycles=cycles).converged is converged


def test_the_order_does_not_matter() -> None:
    listed = gains(0.3, 0.01, 0.01)
    assert convergence(reversed(listed)) == convergence(listed)


@pytest.mark.parametrize(
    ("at_most", "words"),
    [
        ((), "nothing was trained yet"),
        ((0.3, 0.071), "cycle 1 may have removed up to 7.1 % of the errors: go on"),
        ((0.3, None), "what cycle 1 gained could not be measured: go on"),
        (
            (0.3, 0.012),
            "cycle 1 removed at most 1.2 % of the errors: less than 2.0 %; "
            "after 2 such cycles on end there is nothing to gain",
        ),
        (
            (0.3, 0.012, -0.1),
            "cycle 1 removed at most 1.2 % of the errors, cycle 2 removed none of the errors: less than 2.0 %, 2 times on end; "
            "there is nothing more to gain",
        ),
    ],
)
def test_the_reason_in_words(at_most: tuple[float | None, ...], words: str) -> None:
    assert convergence(gains(*at_most)).reason == words


@pytest.mark.parametrize(
    ("listed", "cycles", "words"),
    [([CycleGain(1, 0.2, 0.0)] * 2, 2, r"cycles \[1, 1\]: give each cycle once"), ([], 0, "1 or more was expected")],
)
def test_what_makes_no_sense_is_refused(listed: list[CycleGain], cycles: int, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        convergence(listed, cycles=cycles)
