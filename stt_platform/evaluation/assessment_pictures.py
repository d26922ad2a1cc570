"""The assessment as pictures for the web UI: what was drawn of all there is, and where the error rate lies."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from stt_platform.evaluation.intervals import Interval
from stt_platform.evaluation.speech_scores import label_bands
from stt_platform.scripture.canvas import WIDTH_PX, Canvas

_MARGIN, _LEFT = 12, 220
_ROW_PX = 26
_MOST_ROWS = 14
_GREY = "#666666"
# A pattern for each, so that it is not told by its colour only.
_POOL = {"facecolor": "#e4e4e4", "edgecolor": "#8a8a8a", "hatch": "...."}
_DRAWN = {"facecolor": "#f2b134", "edgecolor": "#7a4c05", "hatch": "////"}
_DONE = {"facecolor": "#1b7837"}
_BANDS = ("#e3f1e1", "#fbf3d5", "#fbe3cd", "#f6d5d0")
_LEAST_AXIS, _WIDEST_AXIS = 0.4, 1.2


@dataclass(frozen=True)
class Share:
    """One of the parts that a sample was drawn from: how many chunks it has, were drawn, and are transcribed by now."""

    name: str
    pool: int
    drawn: int
    transcribed: int


def sample_picture(parts: Mapping[str, Sequence[Share]]) -> bytes:
    """Draw what was sampled beside what there is, as shares of either; a fair sample has two bars of like length.

    Args:
        parts: by what the chunks are told apart ("level of noise", "speaker", "sermon"); of each the largest are shown.

    Returns:
        A PNG, 900 pixels wide.
    """
    shown = {kind: _largest(shares) for kind, shares in parts.items()}
    height = 96 + sum(44 + _ROW_PX * len(shares) for shares in shown.values())
    canvas = Canvas(height)
    canvas.text(_MARGIN, 16, "What was drawn, beside all that there is", size=12, weight="bold")
    words = (
        "Each bar is a share: of all chunks that may be drawn, and of those that were. Alike bars are a fair sample."
    )
    canvas.text(_MARGIN, 38, words, size=9)
    legend = [
        (_POOL, "may be drawn"),
        (_DONE, "drawn and transcribed"),
        (_DRAWN, "drawn, still to be transcribed"),
    ]
    canvas.legend(_MARGIN, 62, legend)
    top = 92.0
    for kind, shares in shown.items():
        canvas.text(_MARGIN, top, f"By {kind}", size=10.5, weight="bold")
        top += 18
        top = _draw_shares(canvas, top, shares, parts[kind]) + 26
    return canvas.png()


def bands_picture(rates: Sequence[tuple[str, Interval]]) -> bytes:
    """Draw WERs with their intervals over the bands that say how labels are used.

    Args:
        rates: what each is of, and the rate, as a fraction; that of everything comes first. Those without a value are
            left out.

    Returns:
        A PNG, 900 pixels wide.

    Raises:
        ValueError: none has a value.
    """
    rows = [(name, rate, rate.value) for name, rate in rates if rate.value is not None]
    if not rows:
        raise ValueError("no error rate has a value: there is nothing to draw")
    # The interval of a part with three sermons may reach far; the bands have to stay visible.
    ends = [value for *_, value in rows] + [rows[0][1].high or 0.0]
    limit = min(max(_LEAST_AXIS, 1.05 * max(ends)), _WIDEST_AXIS)
    top, bottom = 78.0, 78.0 + _ROW_PX * len(rows)
    canvas = Canvas(bottom + 76)
    canvas.text(_MARGIN, 16, "Word error rate of the automatic labels", size=12, weight="bold")
    words = (
        "The dot is the rate, the line holds the true one in 95 of 100 such measurements; the fields say what it means."
    )
    canvas.text(_MARGIN, 38, words.replace("95", f"{100 * rows[0][1].confidence:g}"), size=9)
    width = WIDTH_PX - _LEFT - 2 * _MARGIN
    _draw_bands(canvas, top, bottom, limit, width)
    for number, (name, rate, value) in enumerate(rows):
        _draw_rate(canvas, top + _ROW_PX * (number + 0.5), name, rate, value, limit, width, bold=number == 0)
    return canvas.png()


def _largest(shares: Sequence[Share]) -> list[Share]:
    ordered = sorted(shares, key=lambda share: (-share.pool, share.name))
    if len(ordered) <= _MOST_ROWS:
        return ordered
    rest = ordered[_MOST_ROWS - 1 :]
    others = Share(
        f"{len(rest)} others",
        sum(share.pool for share in rest),
        sum(share.drawn for share in rest),
        sum(share.transcribed for share in rest),
    )
    return [*ordered[: _MOST_ROWS - 1], others]


def _draw_shares(canvas: Canvas, top: float, shares: Sequence[Share], everything: Sequence[Share]) -> float:
    pool = max(sum(share.pool for share in everything), 1)
    drawn = max(sum(share.drawn for share in everything), 1)
    longest = max([1e-9, *(share.pool / pool for share in shares), *(share.drawn / drawn for share in shares)])
    width = 400.0
    for number, share in enumerate(shares):
        y = top + _ROW_PX * number
        canvas.text(_LEFT - 8, y + 11, share.name, size=9, ha="right", width_px=_LEFT - 8 - _MARGIN)
        canvas.box(_LEFT, y + 2, width * share.pool / pool / longest, 8, **_POOL)
        done = width * share.transcribed / drawn / longest
        canvas.box(_LEFT, y + 12, done, 8, **_DONE)
        canvas.box(_LEFT + done, y + 12, width * (share.drawn - share.transcribed) / drawn / longest, 8, **_DRAWN)
        words = f"{share.drawn:,} of {share.pool:,} drawn, {share.transcribed:,} transcribed"
        canvas.text(_LEFT + width + 10, y + 11, words, size=8)
    return top + _ROW_PX * len(shares)


def _draw_bands(canvas: Canvas, top: float, bottom: float, limit: float, width: float) -> None:
    start = 0.0
    for number, (band, colour) in enumerate(zip(label_bands(), _BANDS, strict=True)):
        end = limit if band.below is None else min(band.below, limit)
        left = _LEFT + width * start / limit
        span = width * (end - start) / limit
        canvas.box(left, top, span, bottom - top, facecolor=colour, edgecolor="#bbbbbb", linewidth=0.6)
        canvas.text(left + span / 2, top - 10, band.name, size=8, ha="center", width_px=span - 4)
        # Side by side they would have no room.
        canvas.text(_MARGIN, bottom + 16 + 15 * number, f"{band.name}: {band.words}", size=8, color=_GREY)
        start = end


def _draw_rate(
    canvas: Canvas, y: float, name: str, rate: Interval, value: float, limit: float, width: float, *, bold: bool
) -> None:
    weight = "bold" if bold else "normal"
    canvas.text(_LEFT - 8, y, name, size=9, ha="right", weight=weight, width_px=_LEFT - 8 - _MARGIN)

    def x(rate: float) -> float:
        return _LEFT + width * min(rate, limit) / limit

    words = f"{100 * value:.1f} %"
    end = x(value)
    if rate.low is not None and rate.high is not None:
        low, high = x(rate.low), x(rate.high)
        canvas.box(low, y - 1, high - low, 2, facecolor="#222222")
        for bound in (low, high):
            canvas.box(bound - 1, y - 5, 2, 10, facecolor="#222222")
        words += f" ({100 * rate.low:.1f} to {100 * rate.high:.1f})"
        end = high
    canvas.line([(x(value), y)], marker="o", markersize=7, color="#1b4f8a" if bold else "#222222")
    # Where the line ends at the edge of the picture, the words stand before it.
    if end < _LEFT + 0.72 * width:
        canvas.text(end + 10, y, words, size=8.5, weight=weight)
    else:
        start = x(value if rate.low is None else rate.low)
        canvas.text(start - 10, y, words, size=8.5, ha="right", weight=weight)
