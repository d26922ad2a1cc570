"""The drawings of a report, as SVG that stands in the page: differences with their intervals, curves over cycles."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from itertools import groupby
from typing import Literal

Shade = Literal["better", "worse", "undecided"]

_WIDTH, _HEIGHT, _EDGE = 200, 24, 10
_CURVE_WIDTH, _CURVE_HEIGHT = 640, 220
_LEFT, _RIGHT, _TOP, _BOTTOM = 60, 16, 14, 40
_MOST_TICKS = 6
# Controls, marks that turn the direction of writing around, and halves of pairs, which no file can hold.
_UNPRINTABLE = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


@dataclass(frozen=True)
class Point:
    """A value of one cycle; None where it was not scored, and bounds of None where no interval is valid."""

    cycle: int
    value: float | None
    low: float | None = None
    high: float | None = None


def escaped(text: str) -> str:
    """A text of others for the inside of a page or of an attribute; characters that cannot be shown become "�"."""
    return escape(_UNPRINTABLE.sub("\ufffd", text))


def place(gain: float, reach: float) -> float:
    """The x position of a gain, in units of the drawing: no gain is in the middle, `reach` at the right edge."""
    share = max(-1.0, min(1.0, gain / reach)) if reach else 0.0
    return round(_WIDTH / 2 + share * (_WIDTH / 2 - _EDGE), 1)


def gain_picture(
    gain: float,
    low: float | None,
    high: float | None,
    *,
    reach: float,
    shade: Shade,
    label: str,
    margin: float | None = None,
) -> str:
    """A gain with its interval beside a line at zero; better lies right, whatever the sign of the score.

    A decided gain has a filled dot, an undecided one a ring. An end beyond `reach` is an arrow.

    Args:
        gain: positive where the score became better; `low` and `high` likewise.
        reach: the gain at the right edge.
        label: read aloud in place of the picture.
        margin: how much worse is allowed, drawn as a dashed line.
    """
    middle, y = place(0, reach), _HEIGHT / 2
    parts = [f'<line class="zero" x1="{middle}" x2="{middle}" y1="0" y2="{_HEIGHT}"/>']
    if margin is not None:
        x = place(-margin, reach)
        parts.append(f'<line class="margin" x1="{x}" x2="{x}" y1="0" y2="{_HEIGHT}"/>')
    if low is not None and high is not None:
        x1, x2 = place(low, reach), place(high, reach)
        parts.append(f'<line class="span" x1="{x1}" x2="{x2}" y1="{y}" y2="{y}"/>')
        parts += [_end(x, y, beyond=abs(bound) > reach, right=bound > 0) for x, bound in ((x1, low), (x2, high))]
    parts.append(
        f'<circle class="{"dot" if shade != "undecided" else "ring"}" cx="{place(gain, reach)}" cy="{y}" r="4"/>'
    )
    return _svg(f"gain {shade}", _WIDTH, _HEIGHT, label, parts)


def curve_picture(points: Sequence[Point], *, axis: str, label: str) -> str:
    """Values over cycles with error bars; a cycle without a value leaves a gap in the line.

    Args:
        points: at least one with a value.
        axis: what the values are, with their unit.
        label: read aloud in place of the picture.

    Raises:
        ValueError: no point has a value.
    """
    bounds = [v for point in points for v in (point.value, point.low, point.high) if v is not None]
    if not bounds:
        raise ValueError(f"curve {axis!r} has no value: leave it out")
    ticks, decimals = _ticks(min(bounds), max(bounds))
    cycles = sorted({point.cycle for point in points})

    def x_of(cycle: int) -> float:
        share = (cycle - cycles[0]) / (cycles[-1] - cycles[0]) if len(cycles) > 1 else 0.5
        return round(_LEFT + (0.04 + 0.92 * share) * (_CURVE_WIDTH - _LEFT - _RIGHT), 1)

    def y_of(value: float) -> float:
        share = (value - ticks[0]) / (ticks[-1] - ticks[0])
        return round(_CURVE_HEIGHT - _BOTTOM - share * (_CURVE_HEIGHT - _TOP - _BOTTOM), 1)

    parts = []
    for tick in ticks:
        y = y_of(tick)
        parts.append(f'<line class="grid" x1="{_LEFT}" x2="{_CURVE_WIDTH - _RIGHT}" y1="{y}" y2="{y}"/>')
        parts.append(f'<text class="end" x="{_LEFT - 8}" y="{y + 4}">{_minus(f"{tick + 0.0:.{decimals}f}")}</text>')
    step = math.ceil(len(cycles) / 12)
    for cycle in cycles[::step]:
        parts.append(f'<text class="mid" x="{x_of(cycle)}" y="{_CURVE_HEIGHT - _BOTTOM + 18}">{cycle}</text>')
    parts.append(f'<text class="mid" x="{(_LEFT + _CURVE_WIDTH) / 2}" y="{_CURVE_HEIGHT - 4}">cycle</text>')
    ordered = sorted(points, key=lambda point: point.cycle)
    for scored, run in groupby(ordered, key=lambda point: point.value is not None):
        if scored:
            line = " ".join(f"{x_of(point.cycle)},{y_of(point.value)}" for point in run)
            parts.append(f'<polyline class="curve" points="{line}"/>')
    for point in ordered:
        if point.value is None:
            continue
        x = x_of(point.cycle)
        if point.low is not None and point.high is not None:
            top, bottom = y_of(point.high), y_of(point.low)
            parts.append(f'<path class="bar" d="M{x} {top}V{bottom}M{x - 4} {top}h8M{x - 4} {bottom}h8"/>')
        parts.append(f'<circle class="dot" cx="{x}" cy="{y_of(point.value)}" r="4"/>')
    return _svg("curve-picture", _CURVE_WIDTH, _CURVE_HEIGHT, label, parts)


def _svg(kind: str, width: int, height: int, label: str, parts: Sequence[str]) -> str:
    return (
        f'<svg class="{kind}" viewBox="0 0 {width} {height}" width="{width}" height="{height}" role="img" '
        f'aria-label="{escaped(label)}">{"".join(parts)}</svg>'
    )


def _end(x: float, y: float, *, beyond: bool, right: bool) -> str:
    if not beyond:
        return f'<line class="span" x1="{x}" x2="{x}" y1="{y - 5}" y2="{y + 5}"/>'
    back = -5 if right else 5
    return f'<path class="span" d="M{x + back} {y - 5}L{x} {y}L{x + back} {y + 5}"/>'


def _ticks(low: float, high: float) -> tuple[list[float], int]:
    """Round values from below `low` to above `high`, and the decimals that tell them apart."""
    spread = (high - low) or abs(high) or 1.0
    power = 10.0 ** math.floor(math.log10(spread / (_MOST_TICKS - 1)))
    step = next(k * power for k in (1, 2, 5, 10) if spread / (k * power) <= _MOST_TICKS - 1)
    first = math.floor(low / step + 1e-9)
    last = max(math.ceil(high / step - 1e-9), first + 1)
    return [k * step for k in range(first, last + 1)], max(0, -math.floor(math.log10(step) + 1e-9))


def _minus(number: str) -> str:
    return number.replace("-", "−")
