"""What the live machine heard: every row is read or marked."""

import json
import math
from pathlib import Path

import pytest

from stt_platform.feedback.live import READABLE, REJECTED, LiveSegment, read_live_segments

ROW = {
    "audio": "/Users/live/2024-03-10 The Lamp.wav",
    "start": 1.5,
    "end": 4,
    "text": " Grace  and peace ",
    "confidence": 0.8,
}


def read(tmp_path: Path, *rows: object) -> list[LiveSegment]:
    path = tmp_path / "live.jsonl"
    path.write_text("".join(f"{row if isinstance(row, str) else json.dumps(row)}\n" for row in rows), encoding="utf-8")
    return read_live_segments(path)


def test_a_segment_is_read_whole(tmp_path: Path) -> None:
    (segment,) = read(tmp_path, {**ROW, "model": "large-v3+c2"})
    assert segment == LiveSegment(
        audio="/Users/live/2024-03-10 The Lamp.wav",
        recording="2024-03-10 The Lamp",
        start_s=1.5,
        end_s=4.0,
        text="Grace and peace",
        confidence=0.8,
        system="large-v3+c2",
        source="live.jsonl",
        place="line 1",
    )


@pytest.mark.parametrize(
    ("changed", "confidence"),
    [
        ({}, 0.8),
        ({"confidence": 0}, 0.0),
        ({"confidence": -0.5}, math.exp(-0.5)),
        ({"confidence": None}, None),
    ],
)
def test_confidence_may_be_a_log_probability(tmp_path: Path, changed: dict, confidence: float | None) -> None:
    (segment,) = read(tmp_path, {**ROW, **changed})
    assert segment.confidence == (None if confidence is None else pytest.approx(confidence))


def test_other_names_for_the_same(tmp_path: Path) -> None:
    row = {"audio_path": "a.wav", "start_s": "0", "end_s": "2.5", "text": "", "avg_logprob": 0.0}
    (segment,) = read(tmp_path, row)
    assert (segment.recording, segment.start_s, segment.end_s, segment.confidence) == ("a", 0.0, 2.5, 1.0)


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("{broken", "broken JSON in line 1, column 2"),
        ("3", "3 is no segment"),
        ({**ROW, "audio": ""}, "it names no recording"),
        ({**ROW, "audio": 5}, "it names no recording"),
        ({**ROW, "end": 1.5}, "it ends at 1.5 s and begins at 1.5 s"),
        ({**ROW, "start": -1}, "start is -1"),
        ({**ROW, "end": "soon"}, "end is 'soon'"),
        ({**ROW, "end": 1e9}, "end is 1000000000.0"),
        ({**ROW, "text": None}, "text is None"),
        ({**ROW, "confidence": 80}, "confidence is 80"),
        ({**ROW, "confidence": "high"}, "confidence is 'high'"),
        ('{"audio": "a.wav", "start": 0, "end": NaN, "text": "x"}', "end is nan"),
    ],
)
def test_a_bad_row_is_marked_and_the_rest_is_taken(tmp_path: Path, row: object, reason: str) -> None:
    segments = read(tmp_path, ROW, row, "", ROW)
    assert [segment.status for segment in segments] == [READABLE, REJECTED, READABLE]
    assert segments[1].reason.startswith(f"live.jsonl, line 2: {reason}")


def test_a_file_that_cannot_be_read_is_one_marked_row(tmp_path: Path) -> None:
    path = tmp_path / "live.jsonl"
    path.write_bytes(json.dumps(ROW).encode("utf-16"))
    (segment,) = read_live_segments(path)
    assert segment.reason == "live.jsonl: it is UTF-16; save it as UTF-8 (“CSV UTF-8” in a spreadsheet)"
    (absent,) = read_live_segments(tmp_path / "absent.jsonl")
    assert absent.status == REJECTED
