"""The funnel as a picture: one bar for what came in and one after every gate, with what each gate took."""

from __future__ import annotations

import io
from collections.abc import Sequence

from stt_platform.audio import SAMPLE_RATE_HZ
from stt_platform.audio.funnel import UNSURE, FunnelStep

_WIDTH_PX, _ROW_PX, _MARGIN_PX, _DPI = 900, 46, 64, 100
_LEFT_OF_BARS = 0.27
_GREEN, _GREEN_LIGHT = "#1b7837", "#a6dba0"
_LOSS_SHADES = ("#b2182b", "#ef8a62", "#fddbc7", "#d9d9d9", "#bdbdbd")
_MOST_REASONS = 4


def funnel_picture(steps: Sequence[FunnelStep], *, title: str) -> bytes:
    """A PNG, 900 pixels wide: green is what is left, red shades are what each gate took, with the reasons in words.

    Raises `ValueError` when there is no step.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    if not steps:
        raise ValueError(f"the funnel of {title!r} has no steps: give what `funnel_steps` returns")
    rows = len(steps) + 1
    height_px = _MARGIN_PX + rows * _ROW_PX
    figure = Figure(figsize=(_WIDTH_PX / _DPI, height_px / _DPI), dpi=_DPI, facecolor="white")
    canvas = FigureCanvasAgg(figure)
    axes = figure.add_axes((_LEFT_OF_BARS, 0.06, 0.71, (rows * _ROW_PX) / height_px))
    total = max(steps[0].samples_in, 1)
    axes.set_xlim(0, total)
    axes.set_ylim(rows - 0.4, -0.6)
    axes.set_xticks([])
    axes.spines[:].set_visible(False)
    axes.barh(0, steps[0].samples_in, height=0.5, color=_GREEN)
    names = [f"came in\n{_amount(steps[0].samples_in, total)}"]
    for row, step in enumerate(steps, start=1):
        axes.barh(row, step.samples_left, height=0.5, color=_GREEN)
        start = step.samples_left
        for (reason, samples), shade in zip(_shown(step), _LOSS_SHADES, strict=False):
            colour = _GREEN_LIGHT if reason == UNSURE else shade
            axes.barh(row, samples, left=start, height=0.5, color=colour, edgecolor="white", linewidth=0.5)
            start += samples
        taken = "; ".join(f"{reason} {_duration(samples)}" for reason, samples in _shown(step))
        axes.text(0, row + 0.4, taken or "nothing taken away", fontsize=7, va="center", color="#444444")
        names.append(f"{step.name}\n{_amount(step.samples_left, total)}")
    axes.set_yticks(range(rows), names, fontsize=8)
    axes.tick_params(left=False)
    figure.text(0.02, 1 - 14 / height_px, title, fontsize=10, weight="bold", va="top", parse_math=False)
    canvas.draw()
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()


def _shown(step: FunnelStep) -> list[tuple[str, int]]:
    """The largest losses by name, the rest together."""
    shown = list(step.losses[:_MOST_REASONS])
    rest = sum(samples for _, samples in step.losses[_MOST_REASONS:])
    return [*shown, ("other reasons", rest)] if rest else shown


def _amount(samples: int, total: int) -> str:
    return f"{_duration(samples)} ({samples / total:.0%})"


def _duration(samples: int) -> str:
    seconds = round(samples / SAMPLE_RATE_HZ)
    if seconds >= 3600:
        return f"{seconds // 3600} h {seconds % 3600 // 60:02d} min"
    return f"{seconds // 60}:{seconds % 60:02d} min"
