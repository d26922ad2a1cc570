"""The pictures: their size, that marks lie where they belong, and that nothing a title holds breaks them."""

import io
import subprocess
import sys
import warnings

import numpy as np
import pytest
from PIL import Image

from stt_platform.audio.overview import OverviewBuilder
from stt_platform.audio.pictures import ChunkMark, Span, _reasons, sermon_picture, spectrogram_png

LEFT, RIGHT, WAVE_ROW, SPECTROGRAM = 50, 877, 72, slice(166, 254)
"""Where the axes lie in the picture; the row is near the top of the waveform, over a quiet sound."""


FIRST_LANE_ROW, LANE_PX = 184, 13
"""Where the top lane begins in a picture with lanes, and how far they lie apart."""


def overview(samples: np.ndarray):
    builder = OverviewBuilder()
    builder.add(samples.astype(np.float32))
    return builder.finish()


def noise(seconds: float, level: float = 0.1) -> np.ndarray:
    return np.random.default_rng(0).normal(size=round(16_000 * seconds)) * level


def pixels(data: bytes) -> np.ndarray:
    picture = Image.open(io.BytesIO(data))
    assert (picture.format, picture.mode) == ("PNG", "P")
    return np.asarray(picture.convert("RGB")).astype(int)


def column_at(seconds: float, length_s: float) -> int:
    return round(LEFT + (RIGHT - LEFT) * seconds / length_s)


def is_green(rgb: np.ndarray) -> bool:
    return bool(rgb[1] > rgb[0] + 10 and rgb[1] > rgb[2] + 10)


def test_marks_lie_at_their_time():
    quiet = noise(60, 0.001)
    quiet[:100] = 0.9  # so that the rest of the waveform is a line and the background is seen
    chunks = [ChunkMark(6, 20, "accepted"), ChunkMark(30, 45, "rejected", "too quiet")]
    picture = pixels(sermon_picture(overview(quiet), chunks, title="Psalm 23"))
    assert picture.shape == (300, 900, 3)

    def around(seconds: float) -> np.ndarray:
        column = column_at(seconds, 60)
        return picture[WAVE_ROW : WAVE_ROW + 20, column - 4 : column + 5].reshape(-1, 3)

    for seconds in (7, 13, 19):
        assert is_green(around(seconds).mean(axis=0))
    for seconds in (31, 38, 44):
        found = around(seconds)
        assert np.ptp(found.mean(axis=0)) < 10
        assert found.mean() < 240
        assert found.std() > 5  # hatched
    for seconds in (4, 22, 28, 47, 59):
        assert around(seconds).min() > 240


def test_the_spectrogram_shows_sound_where_it_is():
    samples = np.zeros(16_000 * 60)
    samples[16_000 * 30 :] = noise(30)
    picture = pixels(sermon_picture(overview(samples), [], title="x"))
    left = picture[SPECTROGRAM, LEFT + 5 : column_at(29, 60)]
    right = picture[SPECTROGRAM, column_at(31, 60) : RIGHT - 5]
    assert left.mean() < 20
    assert right.mean() > 100


def lane_colour(picture: np.ndarray, lane: int, seconds: float, length_s: float) -> np.ndarray:
    row, column = FIRST_LANE_ROW + LANE_PX * lane + 5, column_at(seconds, length_s)
    return picture[row - 3 : row + 4, column - 4 : column + 5].reshape(-1, 3)


def test_lanes_show_what_is_heard_and_who_speaks_at_its_time():
    sounds = [Span(0, 20, "speech"), Span(20, 30, "music"), Span(30, 40, "silence"), Span(40, 60, "speech_over_music")]
    turns = [Span(0, 25, "S1"), Span(22, 28, "S2"), Span(45, 59, "S1")]
    chunks = [ChunkMark(1, 19, "accepted"), ChunkMark(41, 59, "rejected", "music under the speech")]
    sound = overview(noise(60, 0.001))
    picture = pixels(sermon_picture(sound, chunks, title="x", sounds=sounds, turns=turns))
    assert picture.shape == (300 + 20 + 9 + 3 * LANE_PX, 900, 3)

    def found(lane: int, seconds: float) -> np.ndarray:
        return lane_colour(picture, lane, seconds, 60)

    for seconds in (1, 10, 19):
        assert is_green(found(0, seconds).mean(axis=0))
    assert found(0, 35).min() > 240
    for seconds in (25, 50):
        # Told by a pattern, and not only by a colour.
        assert found(0, seconds).std(axis=0).max() > 10
    violet, amber = found(0, 25).mean(axis=0), found(0, 50).mean(axis=0)
    assert violet[2] > violet[1] + 30
    assert amber[0] > amber[2] + 60

    speaks = [[seconds for seconds in (10, 24, 35, 50) if found(lane, seconds).mean() < 200] for lane in (1, 2)]
    assert speaks == [[10, 24, 50], [24]]


def test_many_speakers_share_the_last_lane():
    turns = [Span(n, n + 0.9, f"S{n + 1}") for n in range(12)]
    picture = pixels(sermon_picture(overview(noise(12)), [], title="x", turns=turns))
    assert picture.shape[0] == 300 + 20 + 9 + 5 * LANE_PX
    speaks = [[n for n in range(12) if lane_colour(picture, lane, n + 0.45, 12).mean() < 200] for lane in range(5)]
    assert speaks == [[0], [1], [2], [3], [4, 5, 6, 7, 8, 9, 10, 11]]


@pytest.mark.parametrize(("seconds", "max_bytes"), [(60, 60_000), (7_200, 60_000), (600, 12_000), (0.2, 60_000)])
def test_it_fits(seconds, max_bytes):
    chunks = [
        ChunkMark(s, s + 9, "rejected" if s % 7 == 0 else "accepted", "music") for s in range(0, int(seconds), 10)
    ]
    sounds = [Span(s, s + 10, ("speech", "music", "singing", "noise")[s // 10 % 4]) for s in range(0, int(seconds), 10)]
    turns = [Span(s, s + 6, f"S{s % 5 + 1}") for s in range(0, int(seconds), 7)]
    builder = OverviewBuilder()
    piece = noise(min(seconds, 60)).astype(np.float32)
    for _ in range(max(1, round(seconds / 60))):
        builder.add(piece)
    data = sermon_picture(builder.finish(), chunks, title="x", sounds=sounds, turns=turns, max_bytes=max_bytes)
    assert len(data) <= max_bytes
    assert Image.open(io.BytesIO(data)).size[0] >= 450


def test_what_cannot_fit_is_said():
    with pytest.raises(ValueError, match="does not fit in 100 bytes"):
        sermon_picture(overview(noise(5)), [], title="x", max_bytes=100)


def test_the_same_input_gives_the_same_bytes():
    chunks = [ChunkMark(1, 4, "rejected", "too quiet")]
    first, second = (sermon_picture(overview(noise(10)), chunks, title="x") for _ in range(2))
    assert first == second


@pytest.mark.parametrize(
    "title",
    [
        "",
        "$5 & $10 {x} \\alpha",
        "two\nlines\ttab",
        "Gl\u00f3ria \U0001f64f \u65e5\u672c",
        "x" * 500,
        "\x00\x07",
        "\udcff",
    ],
)
def test_nothing_in_a_title_or_a_reason_breaks_it(title):
    chunks = [ChunkMark(0.1, 0.9, "rejected", title), ChunkMark(1, 1, "accepted"), ChunkMark(1.5, 99, "rejected", None)]
    spans = [Span(0, 1, title), Span(1, 1, "speech"), Span(1.5, 99, "_hidden")]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert sermon_picture(overview(noise(2)), chunks, title=title, sounds=spans, turns=spans)


def test_no_line_is_cut_off_at_the_right():
    music = "music under the speech, and nothing that takes it away"
    reasons = ["noisy: 12.3 dB speech over noise, at least 15 dB wanted", music, "third", "fourth"]
    chunks = [ChunkMark(n, n + 1, "rejected", reasons[min(n // 100, 3)]) for n in range(500)]
    picture = pixels(sermon_picture(overview(noise(500)), chunks, title="the good shepherd " * 20))
    assert picture[:, -8:].min() > 240


@pytest.mark.parametrize("samples", [0, 1, 3_200, 16_000 * 30])
def test_silence_and_nothing_have_a_picture(samples):
    assert pixels(sermon_picture(overview(np.zeros(samples)), [], title="x")).shape == (300, 900, 3)


@pytest.mark.parametrize(
    ("reasons", "expected"),
    [
        ([], ""),
        ([None, ""], ""),
        (["too quiet"], "1 × too quiet"),
        (["SNR 3.1 dB is below 10 dB", "SNR 7 dB is below 10 dB"], "2 × SNR … dB is below 10 dB"),
        (["SNR 3.1 dB is below 10 dB"], "1 × SNR 3.1 dB is below 10 dB"),
        (["b", "a", "b", "c", "d"], "2 × b; 1 × a; 2 × other"),
    ],
)
def test_reasons_are_summed_up(reasons, expected):
    assert _reasons([ChunkMark(0, 1, "rejected", reason) for reason in reasons]) == expected


def test_a_bare_spectrogram_has_its_size_and_low_notes_below():
    level_db = np.full((256, 700), -120.0, np.float32)
    level_db[:40] = -10
    data = spectrogram_png(level_db, 160)
    picture = pixels(data)
    assert picture.shape == (160, 700, 3)
    assert picture[-10].min() > 100
    assert picture[10].max() < 20
    assert spectrogram_png(level_db, 160) == data


def test_pictures_with_the_same_brightest_level_look_alike():
    quiet, loud = np.full((64, 10), -60.0), np.full((64, 10), -20.0)
    levels = [pixels(spectrogram_png(matrix, 20, top_db=-10)).mean() for matrix in (quiet, loud)]
    assert levels[0] < levels[1] / 2


def test_drawing_leaves_the_callers_matplotlib_alone():
    program = """
import sys
from stt_platform.audio.overview import OverviewBuilder
from stt_platform.audio.pictures import sermon_picture
sermon_picture(OverviewBuilder().finish(), [], title="x")
assert "matplotlib.pyplot" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", program], check=True)
