"""Keys and guessed names."""

import os
from pathlib import Path

import pytest

from stt_platform.store.names import SermonName, guess_name, is_sermon_key, parse_date, printable, sermon_key

SHA = "ab" * 32


@pytest.mark.parametrize(
    ("title", "taken", "expected"),
    [
        ("The Lamp and the Oil", [], "2024-03-10--the-lamp-and-the-oil"),
        ("God's “Grace”, again!", [], "2024-03-10--gods-grace-again"),
        ("Niño Jesús", [], "2024-03-10--nino-jesus"),
        ("🙏", [], "2024-03-10--recording-abababab"),
        ("../../etc/passwd", [], "2024-03-10--etc-passwd"),
        ("a,b\n'c'", [], "2024-03-10--a-b-c"),
        ("x" * 300, [], "2024-03-10--" + "x" * 60),
        ("Grace", ["2024-03-10--grace", "2024-03-10--grace-2"], "2024-03-10--grace-3"),
    ],
)
def test_sermon_key(title: str, taken: list[str], expected: str) -> None:
    key = sermon_key(SermonName(title, None, "2024-03-10"), SHA, frozenset(taken))
    assert key == expected
    assert is_sermon_key(key)


@pytest.mark.parametrize(
    "text", ["", "grace", "../2024-03-10--x", "2024-03-10--", "2024-03-10--a,b", "2024-03-10--A", "٢٠٢٤-03-10--x"]
)
def test_not_a_sermon_key(text: str) -> None:
    assert not is_sermon_key(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2024-03-10 Grace", "2024-03-10"),
        ("sermon_20240310", "2024-03-10"),
        ("2024_03_10", "2024-03-10"),
        ("20241399 then 20240229", "2024-02-29"),
        ("2023-02-29", None),
        ("120240310", None),
        ("no date", None),
    ],
)
def test_parse_date(text: str, expected: str | None) -> None:
    assert parse_date(text) == expected


@pytest.mark.parametrize(
    ("file_name", "tags", "given", "expected"),
    [
        ("2024-03-10 The Lamp - Ann Lee.mp3", {}, {}, ("The Lamp", "Ann Lee", "2024-03-10")),
        ("2024-03-10_the_lamp.wav", {}, {}, ("the lamp", None, "2024-03-10")),
        ("rec.mp3", {"TITLE": "Hope", "artist": "Bo", "date": "2023-01-02"}, {}, ("Hope", "Bo", "2023-01-02")),
        ("Saved by Grace.mp3", {"date": "2023-01-02"}, {}, ("Saved by Grace", None, "2023-01-02")),
        ("rec.mp3", {}, {"title": "T", "speaker": "S", "date": "2020-01-01"}, ("T", "S", "2020-01-01")),
        ("rec.mp3", {"date": "1999"}, {}, ("rec", None, "2001-09-09")),
        ("a\n'b.mp3", {}, {}, ("a 'b", None, "2001-09-09")),
    ],
)
def test_guess_name(tmp_path: Path, file_name: str, tags: dict, given: dict, expected: tuple) -> None:
    path = tmp_path / file_name
    path.touch()
    os.utime(path, (1_000_000_000, 1_000_000_000))
    name = guess_name(path, tags, **given)
    assert (name.title, name.speaker, name.date) == expected


def test_printable_makes_any_file_name_a_text() -> None:
    broken = os.fsdecode(b"caf\xe9.wav")
    assert printable(broken).encode("utf-8").decode() == "caf\ufffd.wav"
