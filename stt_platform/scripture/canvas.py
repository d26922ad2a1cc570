"""A sheet to draw on in pixels from the top left corner, 900 wide as the web UI shows it."""

from __future__ import annotations

import io
from collections.abc import Sequence
from functools import lru_cache
from itertools import accumulate, takewhile
from typing import Any

WIDTH_PX = 900
_DPI = 100


class Canvas:
    """A white sheet. Sizes of letters are in points of 1/72 inch at 100 dots per inch."""

    def __init__(self, height_px: float) -> None:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure

        self.height_px = round(height_px)
        self._figure = Figure(figsize=(WIDTH_PX / _DPI, self.height_px / _DPI), dpi=_DPI, facecolor="white")
        FigureCanvasAgg(self._figure)
        self._axes = self._figure.add_axes((0, 0, 1, 1))
        self._axes.set_xlim(0, WIDTH_PX)
        self._axes.set_ylim(self.height_px, 0)
        self._axes.axis("off")

    def box(self, left: float, top: float, width: float, height: float, **style: Any) -> None:
        """A filled rectangle; `style` as of matplotlib's patches."""
        from matplotlib.patches import Rectangle

        style.setdefault("linewidth", 0)
        self._axes.add_patch(Rectangle((left, top), width, height, **style))

    def shape(self, points: Sequence[tuple[float, float]], **style: Any) -> None:
        """A filled polygon."""
        from matplotlib.patches import Polygon

        style.setdefault("linewidth", 0)
        self._axes.add_patch(Polygon(points, closed=True, **style))

    def line(self, points: Sequence[tuple[float, float]], **style: Any) -> None:
        """A line through the points."""
        self._axes.plot(*zip(*points, strict=True), **style)

    def text(
        self, x: float, y: float, words: str, *, size: float = 8, width_px: float = WIDTH_PX, **style: Any
    ) -> None:
        """Words on one line, centred on the height `y`, shortened to `width_px`."""
        words = fitted(words, width_px, size, bold=style.get("weight") == "bold")
        self._axes.text(x, y, words, fontsize=size, **({"va": "center", "parse_math": False} | style))

    def legend(self, left: float, y: float, entries: Sequence[tuple[dict[str, Any], str]], *, size: float = 8) -> None:
        """Samples with their meaning, side by side, in a new line where there is no room."""
        x = left
        for style, words in entries:
            width = width_of(words, size)
            if x > left and x + 24 + width > WIDTH_PX - 10:
                x, y = left, y + 18
            self.box(x, y - 5, 19, 10, **style)
            self.text(x + 24, y, words, size=size)
            x += 24 + width + 18

    def png(self) -> bytes:
        """Return the picture: the same drawing gives the same bytes."""
        buffer = io.BytesIO()
        self._figure.savefig(buffer, format="png", metadata={"Software": None})
        return buffer.getvalue()


def width_of(words: str, size: float, *, bold: bool = False) -> float:
    """Width in pixels of words in the picture's letters."""
    return sum(_width_of_letter(letter, size, bold) for letter in words)


def fitted(words: str, width_px: float, size: float, *, bold: bool = False) -> str:
    """Return the words on one line, shortened with an ellipsis to a width, in letters that the picture's font has."""
    known = _font(bold).get_char_index
    line = "".join(letter if known(ord(letter)) else "·" for letter in " ".join(words.split()))
    if width_of(line, size, bold=bold) <= width_px:
        return line
    room = width_px - width_of("…", size, bold=bold)
    ends = accumulate(_width_of_letter(letter, size, bold) for letter in line)
    return line[: sum(1 for _ in takewhile(lambda end: end <= room, ends))].rstrip() + "…"


# Laying out a whole line is slow, and a picture has hundreds; kerning is too little to matter.
@lru_cache(maxsize=4096)
def _width_of_letter(letter: str, size: float, bold: bool) -> float:
    from matplotlib.backends.backend_agg import get_hinting_flag

    font = _font(bold)
    font.set_size(size, _DPI)
    return font.load_char(ord(letter), flags=get_hinting_flag()).horiAdvance / 64


@lru_cache(maxsize=2)
def _font(bold: bool) -> Any:
    from matplotlib.font_manager import FontProperties, findfont, get_font

    return get_font(findfont(FontProperties(weight="bold" if bold else "normal")))
