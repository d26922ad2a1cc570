"""Verses that say the same are found whatever numbers they carry, and nothing is found where nothing differs."""

import random
from functools import cache
from pathlib import Path

import pytest

from stt_platform.scripture.alignment import Segment, align
from stt_platform.scripture.references import VerseRef
from stt_platform.scripture.versification import differences, parse_refs, show_refs
from stt_platform_tests.helpers.scripture_texts import made_up_texts, shared_texts, shifted


def rows(segments: list[Segment]) -> list[str]:
    return [str(row) for row in differences(segments)]


def moved(text: dict[int, str], old: int, new: int, *, joined: bool = False) -> dict[int, str]:
    """The verse `old` under the number `new`, before or with what stands there."""
    changed = dict(text)
    words = changed.pop(old)
    changed[new] = f"{changed.get(new, '')} {words}".strip() if joined else words
    return dict(sorted(changed.items()))


def test_equal_numbers_stay_single_pairs() -> None:
    en, es = made_up_texts()
    assert align(en, es) == [Segment((ref,), (ref,)) for ref in sorted(en)]


def test_every_verse_is_in_exactly_one_segment() -> None:
    en, es = made_up_texts()
    es, _ = shifted(es, 2003, random.Random(1))
    del en[4002005]
    es = {ref: words for ref, words in es.items() if ref // 1_000_000 != 6}
    segments = align(en, es)
    assert sorted(ref for s in segments for ref in s.en_refs) == sorted(en)
    assert sorted(ref for s in segments for ref in s.es_refs) == sorted(es)
    assert Segment((6001001,), ()) in segments


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda t: moved(t, 1002006, 1002005, joined=True), ["GEN 2:5-6 = GEN 2:5"]),
        (lambda t: moved(t, 1002014, 1003000), ["GEN 2:14 = GEN 3:0"]),
        (lambda t: {k: v for k, v in t.items() if k != 2001003}, ["EXO 1:3 = nothing"]),
        (lambda t: t | {3002015: t[5001001][::-1]}, ["nothing = LEV 2:15"]),
        (
            lambda t: (
                {k: v for k, v in t.items() if not 4001003 < k <= 4001011}
                | {4001003: " ".join(t[k] for k in range(4001003, 4001012))}
            ),
            ["NUM 1:3-11 = NUM 1:3"],
        ),
        (
            lambda t: (
                t
                | {1001004: " ".join(t[1001004].split()[:4]), 1001005: " ".join([*t[1001004].split()[4:], t[1001005]])}
            ),
            [],
        ),
    ],
    ids=["merged", "over the border", "left out", "only there", "giant", "some words moved"],
)
def test_changes_of_one_place_are_found_and_no_others(change, expected) -> None:
    en, es = made_up_texts()
    assert rows(align(en, change(es))) == expected


def test_chapters_that_are_counted_otherwise() -> None:
    en, es = made_up_texts()
    # As in Joel: the second half of chapter 2 is chapter 3, and what was 3 to 5 is 4 to 6.
    renumbered = {}
    for ref, words in es.items():
        book, chapter, verse = ref // 1_000_000, ref // 1000 % 1000, ref % 1000
        if book == 3 and chapter > 2:
            ref += 1000
        elif book == 3 and chapter == 2 and verse > 7:
            ref += 1000 - 7
        renumbered[ref] = words
    found = align(en, renumbered)
    assert all(len(s.en_refs) == len(s.es_refs) == 1 and en[s.en_refs[0]] for s in found)
    assert {s.en_refs[0]: renumbered[s.es_refs[0]] for s in found} == es


def test_titles_counted_as_verses_stand_alone() -> None:
    texts = made_up_texts(books=6, chapters=4, verses=8)
    en, es = ({ref + 18_000_000: words for ref, words in text.items()} for text in texts)
    renumbered = {ref + 1 if ref // 1000 in (19002, 19003) else ref: words for ref, words in es.items()} | {
        19002001: "zzalmo",
        19003001: "zzalmo zzantor",
    }
    assert [s for s in align(en, renumbered) if not s.en_refs] == [Segment((), (19002001,)), Segment((), (19003001,))]


def test_empty_verses_count_as_absent() -> None:
    en, es = made_up_texts()
    assert rows(align(en, es | {1001004: "  "})) == ["GEN 1:4 = nothing"]
    assert align({}, {}) == []
    assert align({1001001: "word"}, {}) == [Segment((1001001,), ())]


def test_the_same_input_gives_the_same_segments_in_any_order_of_the_verses() -> None:
    en, es = made_up_texts()
    es, _ = shifted(es, 5002, random.Random(4))
    assert align(en, es) == align(dict(reversed(en.items())), dict(reversed(es.items())))


@pytest.mark.parametrize("seed", range(4))
def test_made_up_shifts_are_found_exactly(seed: int) -> None:
    en, es = made_up_texts()
    rng = random.Random(seed)
    chapters = [book * 1000 + rng.randint(1, 5) for book in range(1, 7)]
    truth: list[Segment] = []
    for chapter in chapters:
        es, segments = shifted(es, chapter, rng)
        truth += segments
    found = align(en, es)
    exact = sum(segment in set(found) for segment in truth)
    assert exact >= 0.95 * len(truth)
    assert {ref // 1000 for s in found if s.en_refs != s.es_refs for ref in s.en_refs + s.es_refs} == set(chapters)


# The shared Bibles: known truth that was read by eye.

REGIONS = {
    "NUM 12:16 = NUM 13:1": 33,
    "NUM 29:40 = NUM 30:1": 16,
    "JDG 14:18 = JDG 14:18-19": 2,
    "1SA 23:29 = 1SA 24:1": 22,
    "2SA 20:25-26 = 2SA 20:25": 1,
    "1KI 22:43 = 1KI 22:43-44": 10,
    "1CH 1:30-31 = 1CH 1:30": 2,
    "1CH 21:15 = 1CH 21:15-16": 15,
    "2CH 33:10-11 = 2CH 33:10": 15,
    "JOB 35:15-16 = JOB 35:15": 1,
    "JOB 38:39 = JOB 39:1": 49,
    "HOS 11:12 = HOS 12:1": 14,
    "JON 1:17 = JON 2:1": 10,
    "ACT 19:40-41 = ACT 19:40": 1,
    "2CO 13:12-13 = 2CO 13:12": 2,
}
"""The first row of each place where RVR1909 on the grid of the KJV differs from it, and how many rows it has."""

INSIDE = [
    "NUM 13:32-33 = NUM 13:33",
    "NUM 30:15-16 = NUM 30:16",
    "JDG 14:19-20 = JDG 14:20",
    "1SA 24:21-22 = 1SA 24:22",
    "1KI 22:44 = 1KI 22:45",
    "1KI 22:52-53 = 1KI 22:53",
    "1CH 1:32 = 1CH 1:31-32",
    "1CH 21:29-30 = 1CH 21:30",
    "2CH 33:25 = 2CH 33:24",
    "JOB 39:26 = JOB 39:29",
    "JOB 39:27-30; 40:1-5 = JOB 39:30",
    "JOB 40:6 = JOB 40:1",
    "JOB 40:24 = JOB 40:19",
    "HOS 12:13-14 = HOS 12:14",
    "JON 2:9-10 = JON 2:10",
    "2CO 13:14 = 2CO 13:13",
]


@cache
def aligned(folder: Path) -> tuple[Segment, ...]:
    texts = shared_texts(folder)
    return tuple(align(texts["kjv"].by_ref, texts["rvr1909"].by_ref))


def test_the_shifts_of_rvr1909_are_found_and_no_others(test_data: Path) -> None:
    found = rows(list(aligned(test_data)))
    starts = [found.index(first) for first in REGIONS]
    assert starts == sorted(starts)
    assert [b - a for a, b in zip(starts, [*starts[1:], len(found)], strict=True)] == list(REGIONS.values())
    assert set(INSIDE) <= set(found)
    quiet = ["DEU 5:18", "DEU 5:19", "PSA 49:1", "PSA 49:2", "3JN 1:14", "REV 13:1", "MAL 4:1", "JOL 3:1"]
    pairs = {s.en_refs: s.es_refs for s in aligned(test_data)}
    for ref in map(parse_refs, quiet):
        assert pairs[ref] == ref, show_refs(ref)


def trials(folder: Path, count: int, seed: int) -> tuple[list[str], list[str]]:
    """The shifted chapters in which nothing was found, and the others in which something was, of `count` each."""
    texts = shared_texts(folder)
    en, es = dict(texts["kjv"].by_ref), dict(texts["rvr1909"].by_ref)
    known = {ref // 1000 for s in aligned(folder) if s.en_refs != s.es_refs for ref in s.en_refs + s.es_refs}
    sizes: dict[int, int] = {}
    for ref in es:
        sizes[ref // 1000] = sizes.get(ref // 1000, 0) + 1
    rng = random.Random(seed)
    free = [chapter for chapter, size in sorted(sizes.items()) if chapter not in known and size > 1]
    chosen = rng.sample(free, 2 * count)
    for chapter in chosen[:count]:
        es, _ = shifted(es, chapter, rng)
    found = {ref // 1000 for s in align(en, es) if s.en_refs != s.es_refs for ref in s.en_refs + s.es_refs}
    missed = [str(VerseRef.from_number(c * 1000 + 1)) for c in chosen[:count] if c not in found]
    return missed, [str(VerseRef.from_number(c * 1000 + 1)) for c in chosen[count:] if c in found]


def test_a_shift_of_one_verse_in_any_chapter_is_found(test_data: Path) -> None:
    assert trials(test_data, 20, seed=1) == ([], [])


@pytest.mark.prove
@pytest.mark.parametrize("seed", range(5))
def test_a_hundred_shifts_are_found_and_nothing_in_a_hundred_chapters_without(test_data: Path, seed: int) -> None:
    missed, invented = trials(test_data, 100, seed=seed)
    assert len(missed) <= 2
    assert invented == []


@pytest.mark.prove
def test_a_shift_is_found_in_a_chapter_alone(test_data: Path) -> None:
    texts = shared_texts(test_data)
    rng = random.Random(7)
    known = {ref // 1000 for s in aligned(test_data) if s.en_refs != s.es_refs for ref in s.en_refs + s.es_refs}
    chapters = sorted({ref // 1000 for ref in texts["kjv"].by_ref} - known)
    missed = []
    for chapter in rng.sample(chapters, 100):
        en, es = (
            {ref: words for ref, words in texts[name].by_ref.items() if ref // 1000 == chapter}
            for name in ("kjv", "rvr1909")
        )
        assert rows(align(en, es)) == []
        if not rows(align(en, shifted(es, chapter, rng)[0])):
            missed.append(chapter)
    assert len(missed) <= 2
