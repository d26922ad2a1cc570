"""The loop as pictures for the web UI: how sure the recogniser may be believed, and what each cycle brought."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from stt_platform.evaluation.intervals import Interval
from stt_platform.feedback.confidence import ReliabilityBin
from stt_platform.scripture.canvas import WIDTH_PX, Canvas, width_of

_MARGIN = 12
_BINS = 20
_GREY, _INK = "#666666", "#222222"
# A pattern for each, so that it is not told by its colour only.
_ASKED = {"facecolor": "#f2b134", "edgecolor": "#7a4c05", "hatch": "////"}
_LEFT_OUT = {"facecolor": "#4d78a8"}
_BASE = {"color": "#8a8a8a", "linestyle": (0, (5, 3)), "linewidth": 1.5}
_CHAMPION = {"color": "#1b7837", "linewidth": 2.0}


@dataclass(frozen=True)
class CyclePoint:
    """What was measured in a cycle.

    Attributes:
        base, adapter, champion: WER of the base model, of this cycle's adapter, and of what serves after the cycle, as
            fractions; None where not measured.
        promoted: whether the adapter serves.
    """

    cycle: int
    base: Interval | None
    adapter: Interval | None
    champion: Interval | None
    promoted: bool


def confidence_picture(
    asked: Sequence[float], others: Sequence[float], reliability: Sequence[ReliabilityBin], *, title: str, reason: str
) -> bytes:
    """How the segments lie over a scale from 0 to 1, those that are asked about apart; beside it the reliability curve.

    Args:
        asked, others: the value of each segment: the chance that its text is right, or the share of wrong words.
        reliability: of answers that were held out; empty where nothing was learned yet, and `reason` says why.
        title: what the scale is.
        reason: how good the confidence is, in words.

    Returns:
        A PNG, 900 pixels wide.
    """
    canvas = Canvas(390)
    canvas.text(_MARGIN, 16, "How sure the texts are", size=12, weight="bold")
    first, _, rest = reason.partition("; ")
    for number, words in enumerate((first, rest)):
        canvas.text(_MARGIN, 38 + 18 * number, words, size=9, width_px=WIDTH_PX - 2 * _MARGIN)
    canvas.legend(_MARGIN, 80, [(_ASKED, "asked about"), (_LEFT_OUT, "not asked about in this cycle")])
    _draw_histogram(canvas, (52, 110, 470, 216), asked, others, title)
    _draw_reliability(canvas, (628, 110, 236, 216), reliability)
    return canvas.png()


def cycles_picture(points: Sequence[CyclePoint]) -> bytes:
    """The word error rate over the cycles: the base model, each cycle's adapter with its interval, and what serves.

    Returns:
        A PNG, 900 pixels wide.

    Raises:
        ValueError: nothing was measured.
    """
    found = [rate for point in points for rate in (point.base, point.adapter, point.champion) if rate is not None]
    values = [rate.value for rate in found if rate.value is not None]
    if not values:
        raise ValueError("no cycle has a word error rate: there is nothing to draw")
    ordered = sorted(points, key=lambda point: point.cycle)
    left, top, width, height = 64, 92, WIDTH_PX - 64 - 24, 230
    canvas = Canvas(top + height + 56)
    canvas.text(_MARGIN, 16, "Word error rate over the cycles", size=12, weight="bold")
    told = "On the frozen church test; lower is better. The thin line holds the true value of each adapter."
    canvas.text(_MARGIN, 38, told, size=9)
    highs = [rate.high for rate in found if rate.value is not None and rate.high is not None]
    # All intervals, but none that would flatten everything else. Rates above 2 come from invented words.
    reach = min(2.5, 1.05 * max(min(max(values + highs), 2.5 * max(values)), 1e-3))

    def y(rate: float) -> float:
        return top + height * (1 - min(rate, reach) / reach)

    def x(number: int) -> float:
        return left + width * (number + 0.5) / len(ordered)

    _draw_legend(canvas)
    for share in _ticks(reach):
        canvas.line([(left, y(share)), (left + width, y(share))], color="#dddddd", linewidth=0.8)
        canvas.text(left - 8, y(share), f"{100 * share:g} %", ha="right")
    for number, point in enumerate(ordered):
        canvas.text(x(number), top + height + 16, f"cycle {point.cycle}", ha="center", size=9)
    for which, style in (("base", _BASE), ("champion", _CHAMPION)):
        _draw_steps(canvas, [(x(k), getattr(point, which)) for k, point in enumerate(ordered)], y, width, style)
    for number, point in enumerate(ordered):
        _draw_adapter(canvas, x(number), point, y, reach)
    return canvas.png()


def _draw_histogram(
    canvas: Canvas, place: tuple[int, int, int, int], asked: Sequence[float], others: Sequence[float], title: str
) -> None:
    left, top, width, height = place
    edges = np.linspace(0, 1, _BINS + 1)
    below, above = (np.histogram(np.clip(values, 0, 1), edges)[0] for values in (asked, others))
    most = max(int((below + above).max()), 1)
    for number, (first, second) in enumerate(zip(below, above, strict=True)):
        x, at = left + width * number / _BINS, top + height
        for count, style in ((first, _ASKED), (second, _LEFT_OUT)):
            tall = height * count / most
            canvas.box(x + 1, at - tall, width / _BINS - 2, tall, **style)
            at -= tall
    canvas.line([(left, top + height), (left + width, top + height)], color=_INK, linewidth=1)
    for share in (0, 0.25, 0.5, 0.75, 1):
        canvas.text(left + width * share, top + height + 14, f"{100 * share:.0f} %", ha="center")
    canvas.text(left - 8, top, f"{most:,}", ha="right")
    canvas.text(left - 8, top + height, "0", ha="right")
    canvas.text(left + width / 2, top + height + 36, f"{title}; the height counts segments", ha="center", size=9)


def _draw_reliability(canvas: Canvas, place: tuple[int, int, int, int], found: Sequence[ReliabilityBin]) -> None:
    left, top, width, height = place
    canvas.box(left, top, width, height, facecolor="#f7f7f7", edgecolor="#cccccc", linewidth=0.8)
    words = "expected share of wrong texts, and found"
    canvas.text(left + width / 2, top + height + 36, words, ha="center", size=9)
    if not found:
        canvas.text(left + width / 2, top + height / 2, "nothing was learned yet", ha="center", size=9, color=_GREY)
        return
    for share in (0, 0.5, 1):
        canvas.text(left + width * share, top + height + 14, f"{100 * share:.0f} %", ha="center")
        canvas.text(left - 8, top + height * (1 - share), f"{100 * share:.0f} %", ha="right")
    canvas.line([(left, top + height), (left + width, top)], **_BASE)
    curve = [(left + width * each.expected, top + height * (1 - each.found)) for each in found]
    canvas.line(curve, color="#1b4f8a", linewidth=1.5, marker="o", markersize=5)


def _draw_legend(canvas: Canvas) -> None:
    x = float(_MARGIN)
    for style, words in ((_BASE, "base model"), (_CHAMPION, "what serves after the cycle")):
        canvas.line([(x, 64), (x + 30, 64)], **style)
        canvas.text(x + 38, 64, words)
        x += 38 + width_of(words, 8) + 24
    for filled, words in ((True, "adapter of the cycle, promoted"), (False, "adapter of the cycle, not promoted")):
        _dot(canvas, x + 6, 64, filled)
        canvas.text(x + 18, 64, words)
        x += 18 + width_of(words, 8) + 24


def _draw_steps(
    canvas: Canvas,
    found: Sequence[tuple[float, Interval | None]],
    y: Callable[[float], float],
    width: float,
    style: dict[str, Any],
) -> None:
    half = width / len(found) / 2
    line: list[tuple[float, float]] = []
    for x, rate in [*found, (0.0, None)]:
        if rate is not None and rate.value is not None:
            line += [(x - half, y(rate.value)), (x + half, y(rate.value))]
        elif line:
            canvas.line(line, **style)
            line = []


def _draw_adapter(canvas: Canvas, x: float, point: CyclePoint, y: Callable[[float], float], reach: float) -> None:
    rate = point.adapter
    if rate is None or rate.value is None:
        return
    if rate.low is not None and rate.high is not None:
        canvas.line([(x, y(rate.low)), (x, y(rate.high))], color=_INK, linewidth=1.2)
        # A line without its upper end goes on above the picture.
        for end in (rate.low, rate.high):
            if end <= reach:
                canvas.line([(x - 5, y(end)), (x + 5, y(end))], color=_INK, linewidth=1.2)
    _dot(canvas, x, y(rate.value), point.promoted)
    canvas.text(x + 11, y(rate.value) - 11, f"{100 * rate.value:.1f} %", size=9)


def _dot(canvas: Canvas, x: float, y: float, filled: bool) -> None:
    face = "#1b7837" if filled else "white"
    canvas.line([(x, y)], marker="o", markersize=8, color="#1b7837", markerfacecolor=face, markeredgewidth=1.6)


def _ticks(reach: float) -> list[float]:
    """Round shares from 0 to the top of the scale, three to seven of them."""
    step = next(
        step for step in (0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5) if reach / step < 6
    )
    return [round(number * step, 6) for number in range(int(reach / step) + 1)]
