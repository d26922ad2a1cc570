"""Scores of several systems as bars with their intervals, as a picture for the web UI."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from stt_platform.evaluation.intervals import Interval
from stt_platform.scripture.canvas import WIDTH_PX, Canvas

_MARGIN = 12
_LEFT, _RIGHT = 330, 160
_ROW_PX, _BAR_PX = 26, 14
_HEAD_PX, _TITLE_PX, _GAP_PX = 48, 28, 14
_INK, _GREY = "#222222", "#666666"
# A pattern for each, so that it is not told by its colour only.
_STYLES = {
    "base": ({"facecolor": "#4d78a8"}, "base model"),
    "adapter": ({"facecolor": "#1b7837", "edgecolor": "#0c3d1b", "hatch": "////"}, "trained here"),
    "peer": ({"facecolor": "#f2b134", "edgecolor": "#7a4c05", "hatch": "...."}, "another kind of translator"),
    "floor": ({"facecolor": "#d4d4d4", "edgecolor": "#8a8a8a"}, "the source, copied"),
}


@dataclass(frozen=True)
class Bar:
    """The score of a system; `kind` is "base", "adapter", "peer" or "floor"."""

    system: str
    kind: str
    interval: Interval


@dataclass(frozen=True)
class Panel:
    """Bars that share a scale. `percent` is for rates, which are shown times 100."""

    title: str
    bars: tuple[Bar, ...]
    percent: bool = False


def score_picture(panels: Sequence[Panel], title: str) -> bytes:
    """Draw bars with their intervals, a panel for each test set.

    A bar without a thin line has no interval, and one without a score says so.

    Returns:
        A PNG, 900 pixels wide.
    """
    heights = [_TITLE_PX + _ROW_PX * len(panel.bars) + _GAP_PX for panel in panels]
    canvas = Canvas(_HEAD_PX + 26 + sum(heights))
    canvas.text(_MARGIN, 16, title, size=12, weight="bold")
    seen = {bar.kind for panel in panels for bar in panel.bars}
    entries = [entry for kind, entry in _STYLES.items() if kind in seen]
    canvas.legend(_MARGIN, 44, entries)
    top = _HEAD_PX + 26
    for panel, height in zip(panels, heights, strict=True):
        _draw(canvas, top, panel)
        top += height
    return canvas.png()


def _draw(canvas: Canvas, top: float, panel: Panel) -> None:
    canvas.text(_MARGIN, top + 8, panel.title, size=10, weight="bold")
    ends = [v for bar in panel.bars for v in (bar.interval.value, bar.interval.high) if v is not None]
    reach = max([*ends, 1e-9])
    room = WIDTH_PX - _LEFT - _RIGHT
    for number, bar in enumerate(panel.bars):
        y = top + _TITLE_PX + _ROW_PX * number + _ROW_PX / 2
        canvas.text(_LEFT - 8, y, bar.system, ha="right", width_px=_LEFT - 2 * _MARGIN)
        found = bar.interval
        if found.value is None:
            canvas.text(_LEFT, y, f"not scored: {found.reason}", color=_GREY, width_px=WIDTH_PX - _LEFT - _MARGIN)
            continue
        canvas.box(_LEFT, y - _BAR_PX / 2, max(room * found.value / reach, 1), _BAR_PX, **_STYLES[bar.kind][0])
        right = found.value
        if found.low is not None and found.high is not None:
            low, high = (_LEFT + room * end / reach for end in (found.low, found.high))
            canvas.line([(low, y), (high, y)], color=_INK, linewidth=1.5)
            for end in (low, high):
                canvas.line([(end, y - 5), (end, y + 5)], color=_INK, linewidth=1.5)
            right = max(right, found.high)
        x = _LEFT + room * right / reach + 8
        canvas.text(x, y, _words(found, found.value, panel.percent), width_px=WIDTH_PX - x - _MARGIN, color=_INK)


def _words(found: Interval, rate: float, percent: bool) -> str:
    factor, decimals = (100, 1) if percent else (1, 1 if rate >= 1 else 3)
    ends = [end for end in (found.low, found.high) if end is not None]
    value, *bounds = (f"{factor * v:.{decimals}f}" for v in (rate, *ends))
    unit = " %" if percent else ""
    return f"{value}{unit} ({bounds[0]} to {bounds[1]})" if len(bounds) == 2 else f"{value}{unit}, no interval"
