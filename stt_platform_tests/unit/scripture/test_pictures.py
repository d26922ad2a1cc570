"""Pictures of the verse pairs: where numbers differ is found, and what is drawn is what is so."""

import io
from collections import Counter
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest
from PIL import Image

from stt_platform.scripture.alignment import Segment, align
from stt_platform.scripture.alignment_pictures import alignment_picture, counts_picture, overview_picture, split_picture
from stt_platform.scripture.books import GENRES
from stt_platform.scripture.canvas import fitted, width_of
from stt_platform.scripture.regions import ROW_PX, Region, chapters, lay_out, regions
from stt_platform_tests.helpers.scripture_texts import shared_texts

JOB = 18_000_000
RED = (0xB2, 0x18, 0x2B)


def verses(first: int, last: int, chapter: int = 1, by: int = 0, book: int = 1) -> list[Segment]:
    """Verses of a chapter, in Spanish numbered higher `by`."""
    start = book * 1_000_000 + chapter * 1000
    return [Segment((start + verse,), (start + verse + by,)) for verse in range(first, last + 1)]


def job() -> list[Segment]:
    """Job 38-41, KJV and RVR1909, as read in the books."""
    return [
        *verses(1, 38, 38, book=18),
        *(Segment((JOB + 38_038 + k,), (JOB + 39_000 + k,)) for k in (1, 2, 3)),
        *verses(1, 26, 39, by=3, book=18),
        Segment((*range(JOB + 39_027, JOB + 39_031), *range(JOB + 40_001, JOB + 40_006)), (JOB + 39_030,)),
        *verses(6, 24, 40, by=-5, book=18),
        *verses(1, 34, 41, book=18),
    ]


def text_of(segments: list[Segment], side: str) -> dict[int, str]:
    return {ref: f"words of {ref}, and what follows" * 9 for s in segments for ref in getattr(s, side)}


def size_of(png: bytes) -> tuple[int, int]:
    with Image.open(io.BytesIO(png)) as picture:
        assert picture.format == "PNG"
        assert "Software" not in picture.info
        return picture.size


@pytest.mark.parametrize(
    ("segments", "expected"),
    [
        ([], []),
        (verses(1, 20), []),
        (verses(1, 5) + verses(6, 7, by=1) + verses(9, 20), [("Genesis 1:6-7 (in Spanish 1:7-8)", 2, 6)]),
        # Two differences with three equal ones between them are one region, with four they are two.
        (
            verses(1, 3, by=1) + verses(5, 7) + verses(8, 8, by=1) + verses(10, 20),
            [("Genesis 1:1-8 (in Spanish 1:2-9)", 4, 9)],
        ),
        (
            verses(1, 3, by=1) + verses(5, 8) + verses(9, 9, by=1) + verses(11, 20),
            [("Genesis 1:1-3 (in Spanish 1:2-4)", 3, 5), ("Genesis 1:9 (in Spanish 1:10)", 1, 5)],
        ),
        # The end of one book and the beginning of the next are two, and neither takes verses of the other.
        (
            verses(1, 4) + verses(5, 5, by=1) + verses(1, 1, book=2, by=1) + verses(3, 9, book=2),
            [("Genesis 1:5 (in Spanish 1:6)", 1, 3), ("Exodus 1:1 (in Spanish 1:2)", 1, 3)],
        ),
        (
            [*verses(1, 4), Segment((1_001_005, 1_001_006), (1_001_005,)), *verses(7, 9)],
            [("Genesis 1:5-6 (in Spanish 1:5)", 1, 5)],
        ),
        ([*verses(1, 4), Segment((), (1_001_005,)), *verses(6, 9)], [("Genesis 1:5 (only in Spanish)", 1, 5)]),
        ([*verses(1, 4), Segment((1_001_005,), ()), *verses(6, 9)], [("Genesis 1:5 (only in English)", 1, 5)]),
        (
            [
                *verses(1, 4),
                Segment((1_001_005,), (1_001_005, 1_001_006)),
                Segment((1_001_006, 1_001_007), (1_001_007,)),
            ],
            [("Genesis 1:5-7", 2, 4)],
        ),
        (job(), [("Job 38:39 – 40:24 (in Spanish 39:1 – 40:19)", 49, 53)]),
    ],
)
def test_regions(segments: list[Segment], expected: list[tuple[str, int, int]]) -> None:
    assert [(r.title, r.differing, len(r.segments)) for r in regions(segments)] == expected


def test_regions_without_context() -> None:
    segments = verses(1, 5) + verses(6, 7, by=1) + verses(9, 20)
    assert regions(segments, context=0)[0].segments == tuple(verses(6, 7, by=1))


def test_links_of_job_slant_and_equal_numbers_are_level() -> None:
    layout = lay_out(regions(job())[0].segments)
    links = {(link.en_ref - JOB, link.es_ref - JOB): link for link in layout.links}
    assert len(links) == len(layout.links) == 2 + 3 + 26 + 9 + 19 + 2
    for number in (38_037, 38_038, 41_001, 41_002):
        assert links[number, number].kind == "same"
        assert links[number, number].slant_px == 0
    for english, spanish in ((38_039, 39_001), (39_001, 39_004), (39_026, 39_029)):
        assert links[english, spanish].kind == "renumbered"
        assert links[english, spanish].slant_px >= 3 * ROW_PX
    assert links[40_006, 40_001].slant_px == links[40_024, 40_019].slant_px == -5 * ROW_PX
    merged = [link for link in layout.links if link.es_ref == JOB + 39_030]
    assert [link.kind for link in merged] == ["merged"] * 9
    assert links[39_027, 39_030].slant_px > 0 > links[40_001, 39_030].slant_px
    # The nine share out the height of the box, from top to bottom.
    box = layout.es[JOB + 39_030]
    assert box.height >= 4 * ROW_PX
    ends = [end for link in merged for end in link.es_span]
    assert ends == pytest.approx(sorted(ends))
    assert (ends[0], ends[-1]) == pytest.approx((box.top, box.bottom))


def test_boxes_follow_one_another() -> None:
    layout = lay_out(regions(job())[0].segments)
    for boxes in (layout.en, layout.es):
        listed = [boxes[ref] for ref in sorted(boxes)]
        assert all(above.bottom <= below.top for above, below in pairwise(listed))
        assert listed[-1].bottom <= layout.height
    assert [chapter for chapter, _, _ in chapters(layout.en)] == [18_038, 18_039, 18_040, 18_041]
    ends = {chapter: bottom for chapter, _, bottom in chapters(layout.es)}
    assert ends[18_038] == layout.es[JOB + 38_038].bottom
    assert ends[18_040] == layout.es[JOB + 40_019].bottom < layout.en[JOB + 40_024].bottom


def test_a_verse_of_one_text_stands_alone() -> None:
    layout = lay_out([*verses(1, 2), Segment((), (1_001_003,)), *verses(4, 5)])
    assert [ref for ref, box in layout.es.items() if box.alone] == [1_001_003]
    assert not any(box.alone for box in layout.en.values())
    assert 1_001_003 not in {link.es_ref for link in layout.links}


def test_alignment_picture() -> None:
    segments = job()
    (region,) = regions(segments)

    def drawn() -> bytes:
        en, es = text_of(segments, "en_refs"), text_of(segments, "es_refs")
        return alignment_picture(region, en, es, en_title="King James $Version$", es_title="Reina-Valera")

    png = drawn()
    width, height = size_of(png)
    assert width == 900
    assert height > lay_out(region.segments).height
    assert drawn() == png


@pytest.mark.parametrize(
    "segments",
    [
        verses(1, 3),
        [Segment((1_001_001,), ())],
        [Segment((), (1_001_001,))],
        [Segment((1_001_001, 1_001_002), (1_001_001, 1_001_002, 1_001_003))],
        [Segment((19_003_000,), (19_003_001,)), Segment((19_003_001,), (19_003_002,))],
    ],
    ids=["no difference", "only English", "only Spanish", "several and several", "title"],
)
def test_odd_regions_are_drawn(segments: list[Segment]) -> None:
    png = alignment_picture(Region(tuple(segments)), {}, {1_001_001: "日本"}, en_title="", es_title="x" * 200)
    assert size_of(png)[0] == 900


def test_a_long_region_is_cut() -> None:
    long = Region(tuple(verses(1, 190, by=1)))
    width, height = size_of(alignment_picture(long, {}, {}, en_title="a", es_title="b"))
    assert width == 900
    assert height < 125 * ROW_PX + 200


def test_an_empty_region_is_refused() -> None:
    with pytest.raises(ValueError, match="without segments"):
        alignment_picture(Region(()), {}, {}, en_title="a", es_title="b")


def test_overview_shows_where_numbers_differ() -> None:
    def red(png: bytes) -> list[int]:
        """Columns with the red of a mark."""
        with Image.open(io.BytesIO(png)) as picture:
            rgb = picture.convert("RGB")
            return sorted({x for x in range(rgb.width) for y in range(rgb.height) if rgb.getpixel((x, y)) == RED})

    assert red(overview_picture({"KJV – RVR1909": []})) == []
    png = overview_picture({"KJV – RVR1909": regions(job())})
    assert overview_picture({"KJV – RVR1909": regions(job())}) == png
    # Job 39 begins after 13,835 of the 31,102 verses.
    at = 12 + 876 * 13_835 / 31_102
    assert red(png)
    assert all(abs(x - at) < 5 for x in red(png))
    assert size_of(png)[0] == 900
    assert size_of(overview_picture({"a": [], "b": []}))[1] > size_of(png)[1]
    with pytest.raises(ValueError, match="no pair"):
        overview_picture({})


@pytest.mark.parametrize(
    ("draw", "counts"),
    [
        (
            counts_picture,
            {
                ("kjv", "rvr1909", "accepted", ""): 30_878,
                ("kjv", "rvr1909", "quarantined", "length"): 3,
                ("kjv", "rvr1909", "quarantined", "a gate nobody knows"): 1,
                ("kjv", "other", "accepted", ""): 0,
            },
        ),
        (counts_picture, {("kjv", "rvr1909", "accepted", ""): 5}),
        (counts_picture, {("kjv", "rvr1909", "quarantined", "order"): 0}),
        (counts_picture, {}),
        (split_picture, {(genre, split): 9 for genre in GENRES for split in ("train", "test", "excluded")}),
        (split_picture, {("poetry", "train"): 9}),
        (split_picture, {}),
    ],
)
def test_pictures_of_counts(draw: Callable[[dict], bytes], counts: dict) -> None:
    png = draw(counts)
    assert size_of(png)[0] == 900
    assert draw(Counter(dict(reversed(counts.items())))) == png


def test_words_are_shortened_to_their_room() -> None:
    words = "In the beginning God created the heaven and the earth."
    assert fitted(words, 900, 8) == words
    assert fitted("two\n lines", 900, 8) == "two lines"
    short = fitted(words, 120, 8)
    assert short.endswith("…")
    assert words.startswith(short[:-1])
    assert 100 < width_of(short, 8) <= 120
    assert width_of(words, 8, bold=True) > width_of(words, 8)


def test_regions_of_the_real_texts(test_data: Path) -> None:
    texts = shared_texts(test_data)
    books = (4, 18)

    def part(name: str) -> dict[int, str]:
        return {ref: text for ref, text in texts[name].by_ref.items() if ref // 1_000_000 in books}

    found = regions(align(part("kjv"), part("rvr1909")))
    assert [region.title for region in found] == [
        "Numbers 12:16 – 13:33 (in Spanish 13:1-33)",
        "Numbers 29:40 – 30:16 (in Spanish 30:1-16)",
        "Job 35:15-16 (in Spanish 35:15)",
        "Job 38:39 – 40:24 (in Spanish 39:1 – 40:19)",
    ]
