"""Where the parts of a report's drawings lie: differences with their intervals, curves over cycles.

The templates draw them as SVG (`templates/parts.html.j2`), in the units of the page: pixels of the drawing.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Literal, NamedTuple

Shade = Literal["better", "worse", "undecided"]

_WIDTH, _EDGE = 200, 10
_CURVE_WIDTH, _CURVE_HEIGHT = 640, 220
_LEFT, _RIGHT, _TOP, _BOTTOM = 60, 16, 14, 40
_MAX_TICKS = 6
_MAX_CYCLES_NAMED = 12


@dataclass(frozen=True)
class Point:
    """A value of one cycle; None where it was not scored, and bounds of None where no interval is valid."""

    cycle: int
    value: float | None
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Gain:
    """A gain with its interval; better lies right, whatever the sign of the score.

    Attributes:
        gain: positive where the score became better; `low` and `high` likewise.
        reach: the gain at the right edge.
        label: read aloud in place of the picture.
        margin: how much worse is allowed, drawn as a dashed line.
    """

    gain: float
    low: float | None
    high: float | None
    reach: float
    shade: Shade
    label: str
    margin: float | None = None

    def x(self, gain: float) -> float:
        """Return the x position of a gain: no gain is in the middle, `reach` at the right edge."""
        share = max(-1.0, min(1.0, gain / self.reach)) if self.reach else 0.0
        return round(_WIDTH / 2 + share * (_WIDTH / 2 - _EDGE), 1)


class Dot(NamedTuple):
    """A value of a curve and the y positions of its interval's ends, upper first; empty without one."""

    x: float
    y: float
    bar: tuple[float, ...]


@dataclass(frozen=True)
class CurvePicture:
    """A curve: (y, text) of each tick, (x, cycle) below, and each line without a gap."""

    label: str
    ticks: tuple[tuple[float, str], ...]
    cycles: tuple[tuple[float, int], ...]
    lines: tuple[tuple[Dot, ...], ...]


def curve_picture(points: Sequence[Point], label: str) -> CurvePicture:
    """Place values over cycles.

    Args:
        points: at least one with a value.
        label: what the curve is and shows, read aloud in place of the picture.

    Raises:
        ValueError: no point has a value.
    """
    bounds = [v for point in points for v in (point.value, point.low, point.high) if v is not None]
    if not bounds:
        raise ValueError(f"curve {label!r} has no value: leave it out")
    ticks, decimals = _ticks(min(bounds), max(bounds))
    cycles = sorted({point.cycle for point in points})

    def x_of(cycle: int) -> float:
        share = (cycle - cycles[0]) / (cycles[-1] - cycles[0]) if len(cycles) > 1 else 0.5
        return round(_LEFT + (0.04 + 0.92 * share) * (_CURVE_WIDTH - _LEFT - _RIGHT), 1)

    def y_of(value: float) -> float:
        share = (value - ticks[0]) / (ticks[-1] - ticks[0])
        return round(_CURVE_HEIGHT - _BOTTOM - share * (_CURVE_HEIGHT - _TOP - _BOTTOM), 1)

    def dot(point: Point) -> Dot:
        ends = () if point.low is None or point.high is None else (y_of(point.high), y_of(point.low))
        return Dot(x_of(point.cycle), y_of(point.value or 0.0), ends)

    ordered = sorted(points, key=lambda point: point.cycle)
    runs = groupby(ordered, key=lambda point: point.value is not None)
    return CurvePicture(
        label,
        tuple((y_of(tick), f"{tick + 0.0:.{decimals}f}".replace("-", "−")) for tick in ticks),
        tuple((x_of(cycle), cycle) for cycle in cycles[:: math.ceil(len(cycles) / _MAX_CYCLES_NAMED)]),
        tuple(tuple(map(dot, run)) for scored, run in runs if scored),
    )


def _ticks(low: float, high: float) -> tuple[list[float], int]:
    """Round values from below `low` to above `high`, and the decimals that tell them apart."""
    spread = (high - low) or abs(high) or 1.0
    power = 10.0 ** math.floor(math.log10(spread / (_MAX_TICKS - 1)))
    step = next(k * power for k in (1, 2, 5, 10) if spread / (k * power) <= _MAX_TICKS - 1)
    first = math.floor(low / step + 1e-9)
    last = max(math.ceil(high / step - 1e-9), first + 1)
    return [k * step for k in range(first, last + 1)], max(0, -math.floor(math.log10(step) + 1e-9))
