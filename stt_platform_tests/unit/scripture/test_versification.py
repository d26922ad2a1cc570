"""The table of differences: readable, correctable, and loud where a new text disagrees."""

from pathlib import Path

import pytest

from stt_platform.scripture.alignment import Segment
from stt_platform.scripture.versification import (
    BadVersification,
    Difference,
    alarm,
    correct,
    differences,
    parse_refs,
    read_versification,
    show_refs,
    write_versification,
)

NUM = 4_000_000
SEGMENTS = [
    Segment((NUM + 12015,), (NUM + 12015,)),
    Segment((NUM + 12016,), (NUM + 13001,)),
    Segment((NUM + 13001,), (NUM + 13002,)),
    Segment((NUM + 13002, NUM + 13003), (NUM + 13003,)),
    Segment((NUM + 13004,), (NUM + 13004, NUM + 13005)),
    Segment((), (NUM + 13006,)),
    Segment((NUM + 13007,), ()),
]


@pytest.mark.parametrize(
    ("refs", "text"),
    [
        ((), ""),
        ((NUM + 12016,), "NUM 12:16"),
        ((NUM + 13032, NUM + 13033), "NUM 13:32-33"),
        ((18039029, 18039030, 18040001, 18040002), "JOB 39:29-30; 40:1-2"),
        ((19003000,), "PSA 3:0"),
        ((57001001, 57001003), "PHM 1:1; 1:3"),
    ],
)
def test_references_are_written_as_people_write_them_and_read_back(refs: tuple[int, ...], text: str) -> None:
    assert show_refs(refs) == text
    assert parse_refs(text) == refs


def test_a_person_may_write_them_in_other_ways() -> None:
    assert parse_refs("Números 13:32-33") == parse_refs(" Num 13:32 ; Num 13:33 ") == (NUM + 13032, NUM + 13033)


def test_differences_are_the_segments_whose_references_differ() -> None:
    table = differences(SEGMENTS)
    assert [(str(row), row.kind) for row in table] == [
        ("NUM 12:16 = NUM 13:1", "renumbered"),
        ("NUM 13:1 = NUM 13:2", "renumbered"),
        ("NUM 13:2-3 = NUM 13:3", "merged"),
        ("NUM 13:4 = NUM 13:4-5", "split"),
        ("nothing = NUM 13:6", "only Spanish"),
        ("NUM 13:7 = nothing", "only English"),
    ]


def test_the_file_is_readable_and_comes_back_the_same(tmp_path: Path) -> None:
    table = [*differences(SEGMENTS), Difference((1001001,), (1001001,), "read by Ana, really")]
    path = tmp_path / "versification.csv"
    write_versification(path, table)
    assert path.read_text(encoding="utf-8").splitlines()[:3] == [
        "english,spanish,kind,note",
        "NUM 12:16,NUM 13:1,renumbered,",
        "NUM 13:1,NUM 13:2,renumbered,",
    ]
    assert read_versification(path) == table


def test_a_file_saved_by_a_spreadsheet_is_read(tmp_path: Path) -> None:
    path = tmp_path / "v.csv"
    path.write_bytes("\ufeffEnglish,Spanish\r\nNUM 12:16,Números 13:1\r\n\r\n,\r\n".encode())
    assert read_versification(path) == [Difference((NUM + 12016,), (NUM + 13001,))]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("en,es\nNUM 1:1,NUM 1:2\n", r"line 1: the column 'english' is missing; the first line must be english,"),
        ("english,spanish\nNUM 1:1,Foo 1:2\n", r"line 2: .*Foo.*; write it as NUM 13:1"),
        ("english,spanish\nNUM 1:9-3,NUM 1:2\n", r"line 2: 'NUM 1:9-3' ends before it begins"),
        ("english,spanish\nNUM 1:1,NUM 1:2\nNUM 1:1,NUM 1:3\n", r"line 3: English NUM 1:1 is already in line 2; leave"),
        ("english,spanish,kind,note\n,,merged,x\n", r"line 2: neither side names a verse; fill in one, or delete"),
        ("english,spanish\nNUM 1:1; DEU 1:1,NUM 1:1\n", r"line 2: NUM 1:1; DEU 1:1 is in two books; make a line"),
    ],
)
def test_errors_name_the_line_and_the_remedy(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "bad.csv"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(BadVersification, match=message) as raised:
        read_versification(path)
    assert str(path) in str(raised.value)


def test_an_untouched_table_changes_nothing() -> None:
    assert correct(SEGMENTS, differences(SEGMENTS)) == SEGMENTS
    assert correct(SEGMENTS, []) == SEGMENTS


def test_corrections_win_over_the_aligner() -> None:
    table = [
        Difference((NUM + 13002,), (NUM + 13003,)),
        Difference((NUM + 13004,), (NUM + 13004,)),
        Difference((66001001,), (66001001,)),
    ]
    assert correct(SEGMENTS, table) == [
        *SEGMENTS[:3],
        Segment((NUM + 13002,), (NUM + 13003,)),
        Segment((NUM + 13003,), ()),
        Segment((NUM + 13004,), (NUM + 13004,)),
        Segment((), (NUM + 13005,)),
        *SEGMENTS[5:],
    ]


def test_verses_that_a_correction_frees_go_back_to_their_own_number() -> None:
    wrong = [Segment((1001001,), (1001001,)), Segment((1001002, 1001003), (1001002, 1001003))]
    fixed = correct(wrong, [Difference((1001003,), (1001003,))])
    assert fixed == [Segment((1001000 + k,), (1001000 + k,)) for k in (1, 2, 3)]


def test_no_alarm_where_a_text_agrees_with_the_table() -> None:
    table = differences(SEGMENTS)
    noted = [Difference(row.en_refs, row.es_refs, "seen") for row in table]
    assert alarm(table, [*noted, Difference((1001001,), (1001001,))]) == []


def test_the_alarm_says_what_a_new_text_has_otherwise() -> None:
    known = [Difference((NUM + 12016,), (NUM + 13001,)), Difference((1001001,), (1001001,))]
    found = [Difference((1001001,), (1001002,)), Difference((), (40017021,))]
    assert [a.reason for a in alarm(found, known)] == [
        "found GEN 1:1 = GEN 1:2 (renumbered), which the table does not have; the table says that these agree",
        "the table has NUM 12:16 = NUM 13:1 (renumbered), which this text does not show",
        "found nothing = MAT 17:21 (only Spanish), which the table does not have",
    ]


def test_a_table_from_a_spreadsheet_says_what_is_wrong_with_it_or_is_read(tmp_path: Path) -> None:
    path = tmp_path / "kjv-rvr1909.csv"
    path.write_bytes("english,spanish\nNúmeros 12:16,NUM 13:1\n".encode("latin-1"))
    with pytest.raises(BadVersification, match=r"kjv-rvr1909.csv is not UTF-8 .*: save it as UTF-8"):
        read_versification(path)
    path.write_text("english;spanish;kind;note\nNUM 12:16;NUM 13:1;renumbered;\n", encoding="utf-8-sig")
    assert read_versification(path) == [Difference((4012016,), (4013001,))]
