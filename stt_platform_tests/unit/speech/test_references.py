"""Reading what people wrote down: the lists that come back in many ways, and texts of whole sermons."""

import json
from pathlib import Path

import pytest

from stt_platform.speech.references import UnreadableReferences, read_references


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("s.txt", "In the\nbeginning\n", [("In the beginning", None, None)]),
        ("s.txt", " \n", []),
        (
            "s.jsonl",
            '{"chunk_id": "ab", "manual_text": "Amen."}\n\n{"chunk_id": "cd", "manual_text": ""}\n',
            [("Amen.", "ab", None)],
        ),
        ("s.csv", 'chunk_id,text,transcriber\nab,"Grace, and peace",Ann\n', [("Grace, and peace", "ab", "Ann")]),
        ("s.csv", "\ufeffchunk_id,text\nab,hi\n", [("hi", "ab", None)]),
        # What stands beside a manual_text may be what a recogniser wrote.
        ("s.csv", "chunk_id,text,manual_text\nab,automatic,\ncd,automatic,by hand\n", [("by hand", "cd", None)]),
        ("s.jsonl", '{"chunk_id": "ab", "text": "automatic", "manual_text": null}\n', []),
        # An apostrophe keeps a spreadsheet from taking a cell for a formula; some programs leave it there.
        ("s.csv", "chunk_id,text,transcriber\n'ab,'tis so,'=Ann\n", [("'tis so", "ab", "=Ann")]),
        # The separators of Unicode end no line.
        (
            "s.jsonl",
            json.dumps({"chunk_id": "ab", "text": "one\u2028two"}, ensure_ascii=False),
            [("one two", "ab", None)],
        ),
    ],
)
def test_read(tmp_path: Path, name: str, content: str, expected: list[tuple]) -> None:
    (tmp_path / name).write_text(content, encoding="utf-8")
    found = read_references(tmp_path / name)
    assert [(reference.text, reference.chunk_id, reference.transcriber) for reference in found] == expected


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.csv", 'chunk_id,manual_text\r\ns1,"Grace, and\npeace"\r\ns2,[No speech]\r\n'),
        ("a.csv", "\ufeffChunk_ID;manual_text\r\ns1;Grace, and peace\r\n;\r\ns2;[no speech]\r\n"),
        ("a.CSV", "chunk_id\tspeaker\tmanual_text\ns1\tx\tGrace, and  peace\ns2\t\t[no speech]\n"),
        (
            "a.jsonl",
            '\ufeff{"chunk_id": "s1", "manual_text": "Grace, and peace "}\n\n{"chunk_id": "s2", "manual_text": "[no speech]"}',
        ),
    ],
)
def test_a_list_may_come_back_in_many_ways(tmp_path: Path, name: str, content: str) -> None:
    (tmp_path / name).write_text(content, encoding="utf-8", newline="")
    assert [(row.chunk_id, row.text) for row in read_references(tmp_path / name)] == [
        ("s1", "Grace, and peace"),
        ("s2", ""),
    ]


def test_a_row_is_named_by_the_line_where_it_begins(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text('chunk_id,text\ns1,"a\nb"\ns2,c\n', encoding="utf-8", newline="")
    assert [row.line for row in read_references(path)] == [2, 4]


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("s.jsonl", b'{"text": "a"}\nnot json', "line 2"),
        ("s.jsonl", b'["text"]', "not a JSON object"),
        ("s.jsonl", b'{"chunk_id": "ab"}', "no text or manual_text"),
        ("s.jsonl", b'{"text": 7}', "text = 7"),
        ("s.jsonl", b'{"text": "a", "chunk_id": 7}', "chunk_id = 7"),
        ("s.csv", b"chunk_id,text\nab,one,two\n", "line 2: more cells"),
        ("s.csv", b'chunk_id,text\ns1,"a\nb"\ns2,x,y\n', "line 4: more cells"),
        ("s.csv", b'chunk_id,text\ns1,"a\n', "line 2: unexpected end of data"),
        ("s.csv", b"chunk_id,words\ns1,a\n", "line 2: no text or manual_text"),
        ("s.csv", "chunk_id,text\ns1,señor\n".encode("cp1252"), "not UTF-8 at byte 19; save it as UTF-8"),
        ("s.txt", b"caf\xe9", "not UTF-8 at byte 3"),
        ("s.xlsx", b"PK", "'.xlsx' is no list of texts; save it as"),
    ],
)
def test_what_cannot_be_read_is_named(tmp_path: Path, name: str, content: bytes, words: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UnreadableReferences, match=words) as error:
        read_references(tmp_path / name)
    assert name in str(error.value)
