"""The curves of a training as a picture for the web UI."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence

from stt_platform.training.loop import Evaluation, Step

_WIDTH_IN, _HEIGHT_IN, _DPI = 9.0, 3.4, 100
_INK, _ACCENT, _GREY = "#1d2126", "#245a9c", "#8a929a"
_RATES = ("wer", "cer")


def curves_picture(
    steps: Sequence[Step],
    evaluations: Sequence[Evaluation],
    *,
    best_step: int | None = None,
    names: Mapping[str, str] | None = None,
) -> bytes:
    """The loss of every step, and each held-out measure beside it, over the steps.

    Args:
        best_step: is marked.
        names: what a measure is called, by its key.

    Returns:
        A PNG, 900 pixels wide; without steps it says so.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    measures = sorted({name for evaluation in evaluations for name in evaluation.measures})
    figure = Figure(figsize=(_WIDTH_IN, _HEIGHT_IN), dpi=_DPI, layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(1, 1 + len([name for name in measures if name != "loss"]), squeeze=False)[0]
    _draw_loss(panels[0], steps, evaluations)
    for panel, name in zip(panels[1:], [name for name in measures if name != "loss"], strict=True):
        scale = 100 if name in _RATES else 1
        points = [(e.step, scale * e.measures[name]) for e in evaluations if name in e.measures]
        panel.plot(*zip(*points, strict=True), color=_ACCENT, marker="o", markersize=4)
        unit = ", %" if name in _RATES else ""
        panel.set_title(f"{(names or {}).get(name, name.upper())}{unit}, on what it has not learned from", fontsize=9)
    for panel in panels:
        panel.set_xlabel("step", fontsize=8)
        panel.tick_params(labelsize=8)
        panel.grid(alpha=0.25)
        panel.spines[["top", "right"]].set_visible(False)
        if best_step:
            panel.axvline(best_step, color=_GREY, linestyle=":", linewidth=1)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()


def _draw_loss(panel, steps: Sequence[Step], evaluations: Sequence[Evaluation]) -> None:
    panel.set_title("loss: of each step, and (dots) on what it has not learned from", fontsize=9)
    if not steps:
        panel.text(0.5, 0.5, "no step yet", ha="center", transform=panel.transAxes)
        return
    panel.plot([step.step for step in steps], [step.loss for step in steps], color=_GREY, linewidth=0.8)
    points = [(e.step, e.measures["loss"]) for e in evaluations if "loss" in e.measures]
    if points:
        panel.plot(*zip(*points, strict=True), color=_INK, marker="o", markersize=4)
    panel.set_ylim(bottom=0)
