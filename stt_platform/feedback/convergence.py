"""Judge whether the loop still pays: it has converged once cycle after cycle surely gains next to nothing.

That a gain was not found is no sign: a small test finds little. What counts is the best that the interval allows.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class CycleGain:
    """What a cycle's recogniser does better than the one that served before it, on the same test.

    Attributes:
        before: WER of the one before, as a fraction; None where it was not measured.
        low: lower end of the interval of the difference (this cycle's less the one before), as a fraction: the best that
            may be true. None where none is valid.
    """

    cycle: int
    before: float | None
    low: float | None

    @property
    def at_most(self) -> float | None:
        """Return the largest share of the errors that it may have removed; negative where it surely makes more.

        The WER of the one before is taken as it was measured: on the same rows it goes up and down with the difference.
        """
        if self.before is None or self.low is None:
            return None
        return -self.low / self.before if self.before > 0 else 0.0


@dataclass(frozen=True)
class Convergence:
    """Whether to go on.

    Attributes:
        in_vain: cycles in vain on end, up to the last one.
        reason: in words.
    """

    converged: bool
    in_vain: int
    reason: str


def convergence(gains: Iterable[CycleGain], *, least_gain: float = 0.02, cycles: int = 2) -> Convergence:
    """Judge whether the last cycles all gained less than `least_gain` of the errors, at the upper end of the interval.

    A cycle that could not be measured says nothing, and the cycles before it no longer count.

    Args:
        gains: of the cycles that trained something, in any order.
        least_gain: share of the errors, 0.02 is 2 % of them.
        cycles: that have to be in vain on end.

    Raises:
        ValueError: a cycle comes twice, or no cycle would be needed.
    """
    ordered = sorted(gains, key=lambda gain: gain.cycle)
    numbers = [gain.cycle for gain in ordered]
    if len(set(numbers)) != len(numbers):
        raise ValueError(f"cycles {numbers}: give each cycle once")
    if cycles < 1:
        raise ValueError(f"cycles is {cycles}: 1 or more was expected")
    if not ordered:
        return Convergence(False, 0, "nothing was trained yet")
    in_vain = 0
    for gain in reversed(ordered):
        if gain.at_most is None or gain.at_most >= least_gain:
            break
        in_vain += 1
    last = ordered[-1]
    wanted = _percent(least_gain)
    if last.at_most is None:
        return Convergence(False, 0, f"what cycle {last.cycle} gained could not be measured: go on")
    if not in_vain:
        return Convergence(
            False, 0, f"cycle {last.cycle} may have removed up to {_percent(last.at_most)} of the errors: go on"
        )
    told = ", ".join(f"cycle {gain.cycle} {_told(gain.at_most or 0.0)}" for gain in ordered[-min(in_vain, cycles) :])
    if in_vain >= cycles:
        said = f"{told}: less than {wanted}, {cycles} times on end; there is nothing more to gain"
        return Convergence(True, in_vain, said)
    return Convergence(
        False, in_vain, f"{told}: less than {wanted}; after {cycles} such cycles on end there is nothing to gain"
    )


def _told(at_most: float) -> str:
    return f"removed at most {_percent(at_most)} of the errors" if at_most > 0 else "removed none of the errors"


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"
