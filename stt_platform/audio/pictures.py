"""Pictures of a recording that a person understands at a glance, small enough to store with its numbers."""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from stt_platform.audio import SAMPLE_RATE_HZ
from stt_platform.audio.overview import Overview

_WIDTH_PX, _HEIGHT_PX, _DPI = 900, 300, 100
_LEFT, _WIDTH = 0.055, 0.92
"""Where the axes lie, as shares of the width of the picture."""
_LEGEND_PX, _WAVE_PX, _GAP_PX, _SPECTROGRAM_PX = 64.5, 90, 9, 93
"""Heights from the top of the picture downwards; lanes come between waveform and spectrogram."""
_LANE_PX, _LANE_LEGEND_PX = 13, 20
_MOST_SPEAKER_LANES = 4
_SPECTROGRAM_RANGE_DB = 60.0
_COLOURMAP = "magma"
_TICKS_S = (0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14_400)
_GREEN, _GREEN_LIGHT = "#1b7837", "#c7e9c0"
_GREY, _GREY_LIGHT, _HATCH = "#8a8a8a", "#e4e4e4", "#a8a8a8"
_BLUE = "#9aa7b5"
_SPEAKER = "#2b6cb0"
# A pattern for each, so that it is not told by its colour only.
_SOUNDS = {
    "speech": {"facecolor": "#38a169"},
    "music": {"facecolor": "#7c5cbf", "edgecolor": "#3d2680", "hatch": "|||"},
    "singing": {"facecolor": "#c39be8", "edgecolor": "#6b3fa8", "hatch": "//////"},
    "speech_over_music": {"facecolor": "#e3a32f", "edgecolor": "#7a4c05", "hatch": "------"},
    "noise": {"facecolor": "#b4b9bc", "edgecolor": "#3f4447", "hatch": "......"},
    "silence": {"facecolor": "white"},
}
_FIGURE = re.compile(r"-?\d+(?:[.,]\d+)?")


@dataclass(frozen=True)
class ChunkMark:
    """A stretch of a recording to draw: `status` is 'accepted', or 'rejected' for a `reason`."""

    start_s: float
    end_s: float
    status: str
    reason: str | None = None


@dataclass(frozen=True)
class Span:
    """A stretch of a recording with a name: what is heard in it, or who speaks."""

    start_s: float
    end_s: float
    label: str


def sermon_picture(
    overview: Overview,
    chunks: Sequence[ChunkMark],
    *,
    title: str,
    sounds: Sequence[Span] = (),
    turns: Sequence[Span] = (),
    max_bytes: int = 60_000,
) -> bytes:
    """Waveform above spectrogram on one time axis, with the chunks drawn on the waveform.

    Accepted chunks are green, rejected ones grey and hatched, with the reasons in the legend; what is in no
    chunk is plain. The waveform is scaled to the loudest moment.

    Args:
        sounds: what is heard when (labels as in `stt_platform.audio.classify`): a lane of its own.
        turns: who speaks when, by the speaker's name: a lane for each of the first four, and one for the others.

    Returns:
        A PNG in a palette, 900 x 300 pixels, higher by its lanes. To stay within `max_bytes` it first loses
        colours, then size.

    Raises:
        ValueError: no picture fits in `max_bytes`.
    """
    from PIL import Image

    lanes = _lanes(sounds, turns)
    picture = Image.fromarray(_drawn(overview, chunks, lanes, title))
    for scale in (1.0, 0.75, 0.5):
        size = (round(picture.width * scale), round(picture.height * scale))
        scaled = picture if scale == 1 else picture.resize(size, Image.Resampling.LANCZOS)
        for colours in (128, 64, 32, 16):
            data = _png(scaled.quantize(colours, dither=Image.Dither.NONE))
            if len(data) <= max_bytes:
                return data
    raise ValueError(f"a picture of {title!r} does not fit in {max_bytes} bytes: the least is {len(data)}")


def spectrogram_png(db_matrix: np.ndarray, height_px: int, *, top_db: float | None = None) -> bytes:
    """A bare picture of a spectrogram, for a page that lays time over it.

    Args:
        db_matrix: shape `(bands, columns)`, lowest band first. height_px: height; the width is one pixel a
        column. top_db: what is drawn brightest, 60 dB above the darkest. By default the loudest but 0.5 %
        of the matrix:
            give one value where several pictures are to look alike.
    """
    from PIL import Image

    shades = _shades(db_matrix, _top_db(db_matrix) if top_db is None else top_db)
    picture = Image.fromarray(shades[::-1]).resize((db_matrix.shape[1], height_px), Image.Resampling.BILINEAR)
    picture.putpalette(_palette())
    buffer = io.BytesIO()
    picture.save(buffer, "PNG", compress_level=3)
    return buffer.getvalue()


@dataclass(frozen=True)
class _Lane:
    name: str
    spans: tuple[Span, ...]
    styles: dict[str, dict[str, Any]]


def _lanes(sounds: Sequence[Span], turns: Sequence[Span]) -> list[_Lane]:
    lanes = [_Lane("heard", tuple(sounds), {s.label: _SOUNDS.get(s.label, {"facecolor": _GREY}) for s in sounds})]
    speakers = sorted({turn.label for turn in turns}, key=lambda name: (len(name), name))
    own = speakers if len(speakers) <= _MOST_SPEAKER_LANES + 1 else speakers[:_MOST_SPEAKER_LANES]
    for names, shown in [((speaker,), speaker) for speaker in own] + [(tuple(speakers[len(own) :]), "others")]:
        spans = tuple(turn for turn in turns if turn.label in names)
        lanes.append(_Lane(shown, spans, {name: {"facecolor": _SPEAKER} for name in names}))
    return [lane for lane in lanes if lane.spans]


def _drawn(overview: Overview, chunks: Sequence[ChunkMark], lanes: Sequence[_Lane], title: str) -> np.ndarray:
    """RGB pixels of shape `(height, 900, 3)`."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    legend_px = _LEGEND_PX + (_LANE_LEGEND_PX if lanes else 0)
    lanes_px = len(lanes) * _LANE_PX + (_GAP_PX if lanes else 0)
    height_px = round(_HEIGHT_PX + legend_px - _LEGEND_PX + lanes_px)
    figure = Figure(figsize=(_WIDTH_PX / _DPI, height_px / _DPI), dpi=_DPI, facecolor="white")
    canvas = FigureCanvasAgg(figure)

    def axes_at(top_px: float, size_px: float, **options: Any) -> Any:
        return figure.add_axes((_LEFT, 1 - (top_px + size_px) / height_px, _WIDTH, size_px / height_px), **options)

    wave = axes_at(legend_px, _WAVE_PX)
    lanes_top_px = legend_px + _WAVE_PX + _GAP_PX
    spectrum = axes_at(lanes_top_px + lanes_px, _SPECTROGRAM_PX, sharex=wave)
    reduced = overview.reduced(round(_WIDTH_PX * _WIDTH))
    end_s = max(overview.duration_s, 1e-3)
    for axes in (wave, spectrum):
        axes.set_xlim(0, end_s)
        axes.tick_params(labelsize=8, length=3)
    _draw_chunks(wave, chunks, end_s)
    _draw_wave(wave, reduced, chunks)
    for number, lane in enumerate(lanes):
        _draw_lane(axes_at(lanes_top_px + number * _LANE_PX, _LANE_PX - 2, sharex=wave), lane, end_s)
    _draw_spectrogram(spectrum, reduced, end_s)
    _draw_time_axis(wave, spectrum, end_s)
    figure.text(_LEFT, 1 - 4.5 / height_px, _shown(title, 80), fontsize=10, weight="bold", va="top", parse_math=False)
    _draw_legend(figure, chunks, height_px)
    if lanes:
        _draw_lane_legend(figure, lanes, height_px)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()


def _draw_lane(axes: Any, lane: _Lane, end_s: float) -> None:
    pixel_s = end_s / (_WIDTH_PX * _WIDTH)
    axes.set_xlim(0, end_s)
    axes.set_ylim(0, 1)
    axes.tick_params(labelbottom=False, length=0)
    axes.set_yticks([0.45], [_shown(lane.name, 8)], fontsize=7)
    axes.spines[:].set_color("#cccccc")
    axes.spines[:].set_linewidth(0.5)
    # Drawn as many as there are of a label at once: a long recording has hundreds.
    for label, style in lane.styles.items():
        spans = [(s.start_s, max(s.end_s - s.start_s, pixel_s)) for s in lane.spans if s.label == label]
        axes.broken_barh(spans, (0, 1), linewidth=0, **style)


def _draw_lane_legend(figure: Any, lanes: Sequence[_Lane], height_px: float) -> None:
    from matplotlib.patches import Patch

    styles = lanes[0].styles if lanes[0].name == "heard" else {}
    named = [label for label in _SOUNDS if label in styles] + sorted(label for label in styles if label not in _SOUNDS)
    outline: dict[str, Any] = {"edgecolor": _GREY, "linewidth": 0.5}
    entries = [(Patch(**outline | styles[label]), _shown(label.replace("_", " "), 30)) for label in named]
    if len(lanes) > bool(styles):
        entries.append((Patch(facecolor=_SPEAKER), "who speaks: S1 longest"))
    figure.legend(
        [patch for patch, _ in entries],
        [text for _, text in entries],
        loc="center left",
        bbox_to_anchor=(0.048, 1 - 66 / height_px),
        ncols=len(entries),
        fontsize=8,
        frameon=False,
        borderaxespad=0,
        handlelength=2,
        columnspacing=1.4,
    )


def _draw_chunks(axes: Any, chunks: Sequence[ChunkMark], end_s: float) -> None:
    pixel_s = end_s / (_WIDTH_PX * _WIDTH)
    for status, style in (
        ("accepted", {"facecolor": _GREEN_LIGHT}),
        ("rejected", {"facecolor": _GREY_LIGHT, "hatch": "/////", "edgecolor": _HATCH, "linewidth": 0}),
    ):
        # Two pixels at least: in a long recording a short chunk would vanish between its neighbours.
        spans = [(c.start_s, max(c.end_s - c.start_s, 2 * pixel_s)) for c in chunks if c.status == status]
        if spans:
            axes.broken_barh(spans, (-1.2, 2.4), zorder=1, **style)
    # Chunks often touch: a line keeps them apart, unless they are so many that lines would be all one sees.
    if len(chunks) * 6 * pixel_s < end_s:
        axes.vlines([c.start_s for c in chunks], -1.2, 1.2, colors="white", linewidth=1, zorder=2)


def _draw_wave(axes: Any, overview: Overview, chunks: Sequence[ChunkMark]) -> None:
    axes.axhline(0, color=_GREY, linewidth=0.4, zorder=2)
    axes.set_ylim(-1.08, 1.08)
    axes.set_yticks([])
    axes.set_ylabel("sound", fontsize=8)
    if not overview.columns:
        return
    # A silent recording stays a line instead of being blown up to its rounding noise.
    peak = max(0.01, float(np.abs((overview.minimum, overview.maximum)).max(initial=0.0)))
    column_s = overview.column_samples / SAMPLE_RATE_HZ
    low, high = overview.minimum / peak, overview.maximum / peak
    accepted, rejected = (_covered(overview.columns, column_s, chunks, status) for status in ("accepted", "rejected"))
    edges_s = np.arange(overview.columns + 1) * column_s
    for columns, colour in (
        (accepted, _GREEN),
        (rejected & ~accepted, _GREY),
        (~accepted & ~rejected, _BLUE),
    ):
        axes.stairs(
            np.where(columns, high, 0), edges_s, baseline=np.where(columns, low, 0), fill=True, color=colour, zorder=3
        )


def _covered(columns: int, column_s: float, chunks: Sequence[ChunkMark], status: str) -> np.ndarray:
    covered = np.zeros(columns, bool)
    for chunk in chunks:
        if chunk.status == status:
            first, last = (int(time_s / column_s) for time_s in (chunk.start_s, chunk.end_s))
            covered[first : max(last, first + 1)] = True
    return covered


def _draw_spectrogram(axes: Any, overview: Overview, end_s: float) -> None:
    level_db = overview.spectrum_db
    if not level_db.size:
        axes.set_yticks([])
        return
    # Sixteen shades: as many as one sees at this size, and they compress well.
    shades = _shades(level_db, _top_db(level_db)) // 16 * 17
    picture = _palette_rgb()[shades]
    extent = (0, overview.columns * overview.column_samples / SAMPLE_RATE_HZ, 0, 8)
    axes.imshow(picture, aspect="auto", origin="lower", extent=extent, interpolation="nearest")
    axes.set_xlim(0, end_s)
    axes.set_yticks([0, 4, 8])
    axes.set_ylabel("pitch, kHz", fontsize=8)


def _draw_time_axis(wave: Any, spectrum: Any, end_s: float) -> None:
    step_s = next((s for s in _TICKS_S if end_s / s <= 11), _TICKS_S[-1])
    ticks_s = np.arange(0, end_s + 1e-9, step_s)
    spectrum.set_xticks(ticks_s, [_clock(t, step_s, hours=end_s >= 3600) for t in ticks_s])
    wave.tick_params(labelbottom=False)
    unit = "seconds" if step_s < 1 else "hours:minutes:seconds" if end_s >= 3600 else "minutes:seconds"
    spectrum.set_xlabel(f"time in the recording, {unit}", fontsize=8, labelpad=1)


def _draw_legend(figure: Any, chunks: Sequence[ChunkMark], height_px: float) -> None:
    from matplotlib.patches import Patch

    if not chunks:
        figure.text(_LEFT, 1 - 28.5 / height_px, "no chunks", fontsize=8, va="center")
        return
    accepted = [c for c in chunks if c.status == "accepted"]
    rejected = [c for c in chunks if c.status == "rejected"]
    entries = [
        (Patch(facecolor=_GREEN_LIGHT, edgecolor=_GREEN), f"accepted: {_amount(accepted)}"),
        (
            Patch(facecolor=_GREY_LIGHT, edgecolor=_HATCH, hatch="//////", linewidth=0),
            f"rejected: {_amount(rejected)}",
        ),
        (Patch(facecolor="white", edgecolor=_BLUE), "no speech"),
    ]
    figure.legend(
        [patch for patch, _ in entries],
        [text for _, text in entries],
        loc="upper left",
        bbox_to_anchor=(0.048, 1 - 19.5 / height_px),
        ncols=3,
        fontsize=8,
        frameon=False,
        borderaxespad=0,
        handlelength=1.6,
        columnspacing=1.4,
    )
    reasons = _reasons(rejected)
    if reasons:
        text = f"Rejected because: {reasons}"
        figure.text(_LEFT, 1 - 46.5 / height_px, text, fontsize=7, va="center", parse_math=False)


def _amount(chunks: Sequence[ChunkMark]) -> str:
    if not chunks:
        return "none"
    seconds = sum(c.end_s - c.start_s for c in chunks)
    return f"{len(chunks)} chunk{'s' if len(chunks) != 1 else ''}, {_clock(seconds)}"


def _reasons(rejected: Sequence[ChunkMark]) -> str:
    """The most frequent reasons and how often. Reasons that differ in figures only count as one."""
    alike: dict[tuple[str, ...], list[str]] = {}
    for chunk in rejected:
        if chunk.reason:
            alike.setdefault(tuple(_FIGURE.split(chunk.reason)), []).append(chunk.reason)
    ranked = sorted(alike.items(), key=lambda item: (-len(item[1]), item[0]))
    shown = [f"{len(reasons)} × {_shown(_summary(reasons), 58)}" for _, reasons in ranked[:2]]
    if len(ranked) > 2:
        shown.append(f"{sum(len(reasons) for _, reasons in ranked[2:])} × other")
    return "; ".join(shown)


def _summary(reasons: Sequence[str]) -> str:
    """Reasons that differ in figures only, as one: a figure that is not always the same becomes an ellipsis."""
    figures = zip(*(_FIGURE.findall(reason) for reason in reasons), strict=True)
    shown = (column[0] if len(set(column)) == 1 else "…" for column in figures)
    return _FIGURE.sub(lambda _: next(shown), reasons[0])


def _clock(seconds: float, step_s: float = 1, hours: bool = False) -> str:
    if step_s < 1:
        return f"{seconds:g}"
    minutes, rest = divmod(round(seconds), 60)
    if hours or minutes >= 60:
        return f"{minutes // 60}:{minutes % 60:02d}:{rest:02d}"
    return f"{minutes}:{rest:02d}"


def _shown(text: str, length: int) -> str:
    """One line of at most `length` characters, in letters that the picture's font has."""
    from matplotlib.font_manager import FontProperties, findfont, get_font

    font = get_font(findfont(FontProperties()))
    line = " ".join(text.split())
    line = "".join(c if font.get_char_index(ord(c)) else "·" for c in line)
    return line if len(line) <= length else line[: length - 1] + "…"


def _top_db(level_db: np.ndarray) -> float:
    """What is drawn brightest; not under -60 dB, so that silence stays dark."""
    return max(-60.0, float(np.percentile(level_db, 99.5))) if level_db.size else -60.0


def _shades(level_db: np.ndarray, top_db: float) -> np.ndarray:
    share = (level_db - (top_db - _SPECTROGRAM_RANGE_DB)) / _SPECTROGRAM_RANGE_DB
    return (share.clip(0, 1) * 255).astype(np.uint8)


@lru_cache(maxsize=1)
def _palette_rgb() -> np.ndarray:
    """uint8 of shape `(256, 3)`."""
    from matplotlib import colormaps

    return (colormaps[_COLOURMAP](np.arange(256))[:, :3] * 255).round().astype(np.uint8)


def _palette() -> bytes:
    return _palette_rgb().tobytes()


def _png(picture: Any) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, "PNG", optimize=True)
    return buffer.getvalue()
