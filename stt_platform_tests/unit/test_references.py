"""Reading reference texts."""

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
    ],
)
def test_read(tmp_path: Path, name: str, content: str, expected: list[tuple]) -> None:
    (tmp_path / name).write_text(content, encoding="utf-8")
    found = read_references(tmp_path / name)
    assert [(reference.text, reference.chunk_id, reference.transcriber) for reference in found] == expected


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("s.jsonl", b'{"text": "a"}\nnot json', "line 2"),
        ("s.jsonl", b'["text"]', "not a JSON object"),
        ("s.jsonl", b'{"chunk_id": "ab"}', "no text or manual_text"),
        ("s.jsonl", b'{"text": 7}', "text = 7"),
        ("s.csv", b"chunk_id,text\nab,one,two\n", "more cells"),
        ("s.txt", b"caf\xe9", "not UTF-8 at byte 3"),
    ],
)
def test_what_cannot_be_read_is_named(tmp_path: Path, name: str, content: bytes, words: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UnreadableReferences, match=words) as error:
        read_references(tmp_path / name)
    assert name in str(error.value)
