"""The pictures of the loop: they are drawn whatever was measured, and the same for the same."""

import io
from collections.abc import Sequence

import numpy as np
import pytest
from PIL import Image

from stt_platform.evaluation.intervals import Interval
from stt_platform.feedback.confidence import ReliabilityBin
from stt_platform.feedback.pictures import CyclePoint, confidence_picture, cycles_picture

NOTHING = Interval(None, None, None, 0, "", 0.95, "nothing was scored")


def pixels(png: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(png)) as picture:
        assert picture.format == "PNG"
        return np.asarray(picture.convert("RGB")).astype(int)


def rate(value: float, low: float | None = None, high: float | None = None) -> Interval:
    return Interval(value, low, high, 8, "", 0.95)


def reliability(*pairs: tuple[float, float]) -> list[ReliabilityBin]:
    return [ReliabilityBin(expected, found, 10) for expected, found in pairs]


def shares(png: bytes, colour: tuple[int, int, int]) -> float:
    return float((np.abs(pixels(png) - np.array(colour)).max(axis=2) < 12).mean())


def drawn(asked: Sequence[float], others: Sequence[float], curve: Sequence[ReliabilityBin] = ()) -> bytes:
    return confidence_picture(asked, others, curve, title="chance that every word is right", reason="why; and how")


def test_the_height_of_the_bars_counts_segments() -> None:
    blue = (0x4D, 0x78, 0xA8)
    few, many = drawn([0.1] * 9, [0.9] * 3), drawn([0.1] * 9, [0.9] * 9)
    assert pixels(few).shape[1] == 900
    assert shares(many, blue) > 1.8 * shares(few, blue)
    assert drawn([0.1, 0.2], [0.9]) == drawn([0.2, 0.1], [0.9])


def test_the_curve_lies_where_the_shares_are() -> None:
    blue = (0x1B, 0x4F, 0x8A)
    curve = drawn([0.1], [0.9], reliability((0.1, 0.1), (0.9, 0.9)))
    assert shares(curve, blue) > 0
    assert shares(drawn([0.1], [0.9]), blue) == 0


@pytest.mark.parametrize(("asked", "others"), [([], []), ([0.0, 1.0], []), ([], [0.5, 1.0])])
def test_it_is_drawn_with_whatever_there_is(asked: list[float], others: list[float]) -> None:
    assert pixels(drawn(asked, others)).shape[1] == 900


def test_the_cycles_are_drawn_with_gaps_and_wide_intervals() -> None:
    points = [
        CyclePoint(0, rate(0.2), rate(0.12, 0.1, 0.14), rate(0.12), True),
        CyclePoint(1, None, NOTHING, None, False),
        CyclePoint(3, rate(0.2), rate(0.11, 0.02, 5.0), rate(0.12), False),
    ]
    png = cycles_picture(points)
    assert png == cycles_picture(list(reversed(points)))
    green = (0x1B, 0x78, 0x37)
    assert shares(png, green) > shares(cycles_picture(points[1:]), green) > 0


def test_without_a_rate_there_is_nothing_to_draw() -> None:
    with pytest.raises(ValueError, match="nothing to draw"):
        cycles_picture([CyclePoint(0, None, NOTHING, None, False)])
