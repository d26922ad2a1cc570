"""What follows from speaker turns: the main speaker, the speaker of a chunk, the borders between speakers."""

import pytest

from stt_platform.audio.diarize import (
    Turn,
    name_by_speech_time,
    primary_speaker,
    speaker_borders,
    speaker_of,
)

SECOND = 16_000


def turns(text: str) -> list[Turn]:
    """Turns from "A 0-10, B 9.5-12", in seconds."""
    found = []
    for part in filter(None, text.split(", ")):
        speaker, span = part.split(" ")
        start, end = (round(float(second) * SECOND) for second in span.split("-"))
        found.append(Turn(start, end, speaker))
    return found


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("", None),
        ("A 0-10", ("A", 1.0)),
        ("A 0-6, B 6-10", ("A", 0.6)),
        ("A 0-2, B 2-5, A 5-6", ("A", 0.5)),
        # Overlapped speech counts for both.
        ("A 0-10, B 0-10", ("A", 0.5)),
        ("A 0-6, B 4-8", ("A", 0.6)),
        # A speaker's own turns that overlap count once.
        ("A 0-4, A 2-6, B 6-10", ("A", 0.6)),
        # Of equals, the first to speak.
        ("B 0-5, A 5-10", ("B", 0.5)),
    ],
)
def test_primary_speaker(given, expected):
    assert primary_speaker(turns(given)) == (expected and (expected[0], pytest.approx(expected[1])))


@pytest.mark.parametrize(
    ("start_s", "end_s", "expected"),
    [
        (0, 10, ("A", 1.0)),
        (8, 16, ("B", 4 / 6)),
        (10, 12, None),
        (11, 12.5, ("B", 1.0)),
        # Inside the overlap of B and C.
        (16, 17, ("B", 0.5)),
        (30, 40, None),
        # What ends where the chunk begins is not in it.
        (20, 30, None),
    ],
)
def test_speaker_of_a_chunk(start_s, end_s, expected):
    given = turns("A 0-10, B 12-18, C 16-20")
    found = speaker_of(given, round(start_s * SECOND), round(end_s * SECOND))
    assert found == (expected and (expected[0], pytest.approx(expected[1])))


@pytest.mark.parametrize(
    ("given", "borders_s"),
    [
        ("", []),
        ("A 0-10, A 12-20", []),
        # In the middle of the pause, of the overlap, or where they touch.
        ("A 0-10, B 12-20", [11]),
        ("A 0-10, B 9-20", [9.5]),
        ("A 0-10, B 10-20", [10]),
        ("A 0-10, B 11-20, A 21-30", [10.5, 20.5]),
        # An "amen" is no turn: in a pause, over the speech, before, after, or between two speakers.
        ("A 0-10, B 10.2-10.8, A 11-20", []),
        ("A 0-20, B 10.2-10.8", []),
        ("B 0-0.5, A 1-20", []),
        ("A 0-10, B 10.5-11", []),
        ("A 0-10, B 10.2-10.7, C 14-20", [12.35]),
        ("A 0-10, B 13-13.5, C 14-20", [11.5]),
        # Many of them stay none.
        ("A 0-3, B 3-3.6, A 4-7, B 7-7.6, A 8-11", []),
        # One second is a turn; so are two halves with a breath between them.
        ("A 0-10, B 10.5-11.5, A 12-20", [10.25, 11.75]),
        ("A 0-10, B 10.5-11.1, B 11.4-12, A 12.5-20", [10.25, 12.25]),
        ("A 0-10, B 10.5-11.1, B 11.7-12.3, A 12.5-20", []),
        # Who speaks while another goes on does not take the floor.
        ("A 0-20, B 5-9", []),
        ("A 0-20, B 5-9, B 19-30", [19.5]),
        # The order of the turns does not matter.
        ("B 12-20, A 0-10", [11]),
        ("A 0-10, B 8-14, C 12-20", [9, 13]),
    ],
)
def test_borders(given, borders_s):
    assert speaker_borders(turns(given)) == [round(second * SECOND) for second in borders_s]


def test_the_shortest_turn_is_a_parameter():
    given = turns("A 0-10, B 10.5-11.5, A 12-20")
    assert speaker_borders(given, min_turn_s=1.1) == []
    assert speaker_borders(turns("A 0-10, B 10.5-11, A 12-20"), min_turn_s=0.4) == [164_000, 184_000]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("", ""),
        ("x 0-3, y 3-10", "S2 0-3, S1 3-10"),
        # Of equals, the first to speak; the name that came in decides nothing before that.
        ("z 0-5, a 5-10", "S1 0-5, S2 5-10"),
        ("z 2-4, a 0-1, a 6-8", "S1 0-1, S2 2-4, S1 6-8"),
    ],
)
def test_names(given, expected):
    assert name_by_speech_time(turns(given)) == turns(expected)
