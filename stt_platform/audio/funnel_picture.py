"""The funnel as a picture: one bar for what came in and one after every gate, with what each gate took."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

from stt_platform.audio import SAMPLE_RATE_HZ
from stt_platform.audio.funnel import HELD_BACK, FunnelStep

_WIDTH_PX, _HEADER_PX, _ROW_PX, _FOOTER_PX, _DPI = 900, 34, 44, 32, 100
_LEFT, _WIDTH = 0.225, 0.755
"""Where the bars lie, as shares of the width of the picture."""
_GREEN, _GREEN_LIGHT = "#1b7837", "#c7e9c0"
_RED, _RED_LIGHT = "#c0695c", "#f6dfdb"
# A pattern for each, so that it is not told by its colour only.
_LEFT_OVER = {"facecolor": _GREEN}
_HELD_BACK = {"facecolor": _GREEN_LIGHT, "edgecolor": _GREEN, "hatch": "////", "linewidth": 0}
_LOST = {"facecolor": _RED_LIGHT, "edgecolor": _RED, "hatch": "\\\\\\\\", "linewidth": 0}
_LONGEST_LINE = 125
"""Characters that have room under a bar."""


def funnel_picture(steps: Sequence[FunnelStep], *, title: str) -> bytes:
    """A PNG, 900 pixels wide: green is what is left, hatched what each gate took, with the reasons in words.

    Raises `ValueError` when there is no step.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    if not steps:
        raise ValueError(f"the funnel of {title!r} has no steps: give what `funnel_steps` returns")
    rows = len(steps) + 1
    height_px = _HEADER_PX + rows * _ROW_PX + _FOOTER_PX
    figure = Figure(figsize=(_WIDTH_PX / _DPI, height_px / _DPI), dpi=_DPI, facecolor="white")
    FigureCanvasAgg(figure)
    axes = figure.add_axes((_LEFT, _FOOTER_PX / height_px, _WIDTH, rows * _ROW_PX / height_px))
    total = max(steps[0].samples_in, 1)
    axes.set_xlim(0, total)
    axes.set_ylim(rows - 0.5, -0.5)
    axes.set_xticks([])
    axes.spines[:].set_visible(False)
    _draw_bar(axes, 0, [(steps[0].samples_in, _LEFT_OVER)])
    names = [f"came in\n{_amount(steps[0].samples_in, total)}"]
    for row, step in enumerate(steps, start=1):
        held_back = sum(samples for reason, samples in step.losses if reason in HELD_BACK)
        lost = step.samples_in - step.samples_left - held_back
        _draw_bar(axes, row, [(step.samples_left, _LEFT_OVER), (held_back, _HELD_BACK), (lost, _LOST)])
        axes.text(0, row + 0.37, _losses(step), fontsize=7, va="center", color="#444444", parse_math=False)
        names.append(f"{step.name}\n{_amount(step.samples_left, total)}")
    axes.set_yticks(range(rows), names, fontsize=8)
    axes.tick_params(left=False)
    figure.text(0.02, 1 - 10 / height_px, _shown(title), fontsize=10, weight="bold", va="top", parse_math=False)
    _draw_legend(figure, height_px)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()


def _draw_bar(axes: Any, row: int, parts: Sequence[tuple[int, dict[str, Any]]]) -> None:
    start = 0
    for samples, style in parts:
        if samples:
            axes.barh(row, samples, left=start, height=0.42, **style)
        start += samples


def _draw_legend(figure: Any, height_px: float) -> None:
    from matplotlib.patches import Patch

    entries = {
        "left after the step": _LEFT_OVER,
        "held back until someone has looked at it": _HELD_BACK,
        "not used (nothing is deleted)": _LOST,
    }
    figure.legend(
        [Patch(**style) for style in entries.values()],
        list(entries),
        loc="center left",
        bbox_to_anchor=(_LEFT, 0.5 * _FOOTER_PX / height_px),
        ncols=len(entries),
        fontsize=8,
        frameon=False,
        borderaxespad=0,
        borderpad=0,
        handlelength=2,
        columnspacing=1.6,
    )


def _losses(step: FunnelStep) -> str:
    """What was taken, largest first: as many reasons as there is room for, the rest together."""
    if not step.losses:
        return "nothing is taken away" if step.samples_in else ""
    line = ""
    for named in range(len(step.losses), 0, -1):
        shown = [f"{reason} {_duration(samples)}" for reason, samples in step.losses[:named]]
        rest = sum(samples for _, samples in step.losses[named:])
        line = "less: " + "; ".join(shown + ([f"other reasons {_duration(rest)}"] if rest else []))
        if len(line) <= _LONGEST_LINE:
            break
    return line


def _amount(samples: int, total: int) -> str:
    return f"{_duration(samples)}, {_share(samples, total)}"


def _share(samples: int, total: int) -> str:
    percent = 100 * samples / total
    # What is left of much is not nothing, and what lacks little is not all.
    if 0 < percent < 1:
        return "under 1 %"
    return f"{min(99, round(percent)) if percent < 100 else 100} %"


def _duration(samples: int) -> str:
    seconds = round(samples / SAMPLE_RATE_HZ)
    if seconds >= 3600:
        return f"{seconds // 3600} h {seconds % 3600 // 60:02d} min"
    if seconds >= 600:
        return f"{seconds // 60} min"
    if seconds >= 60:
        return f"{seconds // 60}:{seconds % 60:02d} min"
    return f"{seconds} s" if seconds or not samples else "under 1 s"


def _shown(title: str) -> str:
    line = " ".join(title.split())
    return line if len(line) <= 100 else line[:99] + "…"
