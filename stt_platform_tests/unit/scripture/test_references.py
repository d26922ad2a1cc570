"""References, books and the grid: what is read, what is refused, and what is never mixed up."""

import csv
import gzip
from pathlib import Path

import pytest

from stt_platform.scripture import grid
from stt_platform.scripture.books import BOOKS, GENRES, BadReference, book, find_book
from stt_platform.scripture.references import VerseRef, parse_range

READ = [
    (1001001, 1001001),
    ("01001001", 1001001),
    ("1001001", 1001001),
    (66022021, 66022021),
    ("66022021", 66022021),
    ("GEN 1:1", 1001001),
    ("Gen 1:1", 1001001),
    ("Génesis 1:1", 1001001),
    ("genesis 1.1", 1001001),
    ("Gen.1.1", 1001001),
    ("1 Corinthians 13:4", 46013004),
    ("1 Corintios 13:4", 46013004),
    ("I Corinthians 13:4", 46013004),
    ("1Cor.13.4", 46013004),
    ("1CO 13:4", 46013004),
    ("Primera Epístola de San Pablo a los Corintios 13:4", 46013004),
    ("1.ª Juan 2:3", 62002003),
    ("San Juan 3:16", 43003016),
    ("Revelation of John 22:21", 66022021),
    ("Jude 5", 65001005),
    ("Psalm 119:176", 19119176),
    ("PSA 3:0", 19003000),
]
REFUSED = [
    0,
    67001001,
    1000001,
    1001999,
    -1001001,
    "abc",
    "",
    "Gen 0:1",
    "Foo 1:1",
    "Gen 1",
    "Gen 1:x",
    True,
    None,
    3.5,
]


@pytest.mark.parametrize(("value", "number"), READ)
def test_a_reference_is_read(value: str | int, number: int) -> None:
    ref = VerseRef.parse(value)
    assert ref.number == number
    assert ref.code == f"{number:08d}"
    assert VerseRef.parse(str(ref)) == VerseRef.parse(ref.code) == VerseRef.from_number(number) == ref


@pytest.mark.parametrize("value", REFUSED)
def test_a_bad_reference_is_named_in_the_error(value: object) -> None:
    with pytest.raises(BadReference, match=r"expected|no verse") as caught:
        VerseRef.parse(value)  # type: ignore[arg-type]
    assert repr(value) in str(caught.value)


def test_references_are_ordered_as_the_canon() -> None:
    refs = [VerseRef.parse(value) for value in ("REV 1:1", "GEN 10:2", "GEN 2:10", "MAT 1:1", "GEN 2:9")]
    assert [str(ref) for ref in sorted(refs)] == ["GEN 2:9", "GEN 2:10", "GEN 10:2", "MAT 1:1", "REV 1:1"]


@pytest.mark.parametrize(
    ("value", "count", "last"),
    [
        ("Gen 1:1-3", 3, "GEN 1:3"),
        ("Gen 1:1–2:3", 34, "GEN 2:3"),
        ("Gen.1.1-Gen.1.3", 3, "GEN 1:3"),
        ("Génesis 50:26-Éxodo 1:2", 3, "EXO 1:2"),
        ("Gen 1", 31, "GEN 1:31"),
        ("Judas 3-5", 3, "JUD 1:5"),
        ("Jn 3:16", 1, "JHN 3:16"),
        ("01001001-01001003", 3, "GEN 1:3"),
    ],
)
def test_a_range_is_read(value: str, count: int, last: str) -> None:
    refs = parse_range(value)
    assert (len(refs), str(refs[-1])) == (count, last)
    assert list(refs) == sorted(set(refs))


@pytest.mark.parametrize("value", ["Gen 1:3-1", "Gen 1:1-2-3", "Gen 1:30-40", "Foo 1:1-2", "", "Gen 51"])
def test_a_bad_range_is_refused(value: str) -> None:
    with pytest.raises(BadReference):
        parse_range(value)


def test_the_grid_is_the_usual_one() -> None:
    refs = grid.all_refs()
    assert (len(refs), len(set(refs)), refs[0], refs[-1]) == (grid.VERSES, grid.VERSES, 1001001, 66022021)
    assert list(refs) == sorted(refs)
    assert sum(grid.chapters_in(row.number) for row in BOOKS) == 1189
    assert [grid.verses_in(*place) for place in ((19, 119), (19, 117), (64, 1), (66, 12))] == [176, 2, 14, 17]
    with pytest.raises(BadReference, match="no chapter 51"):
        grid.verses_in(1, 51)
    assert not VerseRef(1, 1, 32).in_grid
    assert not VerseRef(29, 4, 1).in_grid


def test_the_books_are_66_in_seven_genres() -> None:
    assert [row.number for row in BOOKS] == list(range(1, 67))
    assert [sum(row.genre == genre for row in BOOKS) for genre in GENRES] == [5, 12, 5, 17, 4, 22, 1]
    assert [row.testament for row in BOOKS] == ["OT"] * 39 + ["NT"] * 27
    assert (book(44).english, book(44).genre) == ("Acts", "epistles")
    for bad in (0, 67):
        with pytest.raises(BadReference, match=str(bad)):
            book(bad)


def test_no_name_means_two_books() -> None:
    for row in BOOKS:
        for name in (row.code, row.osis, row.english, row.spanish, *row.english_names, *row.spanish_names):
            assert find_book(name) == row, name
            assert find_book(name.upper()) == row, name


def test_names_of_the_older_schema_are_known(test_data: Path) -> None:
    folder = test_data / "bible" / "legacy_2024"
    rows = list(csv.reader((folder / "key_abbreviations_english.csv").open(encoding="utf-8")))[1:]
    unknown = []
    for _, name, number, _ in rows:
        try:
            assert find_book(name).number == int(number), name
        except BadReference:
            unknown.append(name)
    assert len(unknown) < 15
    for number, name, testament, _ in list(csv.reader((folder / "key_english.csv").open(encoding="utf-8")))[1:]:
        assert (find_book(name).number, find_book(name).testament) == (int(number), testament)


def test_every_id_of_a_real_table_is_its_book_chapter_and_verse(test_data: Path) -> None:
    with gzip.open(test_data / "bible" / "legacy_2024" / "t_kjv.csv.gz", "rt", encoding="utf-8") as file:
        rows = list(csv.reader(file))[1:]
    for code, number, chapter, verse, _ in rows:
        ref = VerseRef.parse(code)
        assert (ref.book, ref.chapter, ref.verse) == (int(number), int(chapter), int(verse))
    assert [int(row[0]) for row in rows] == list(grid.all_refs())
