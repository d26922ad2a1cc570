"""Which of our chunks a segment of the live machine belongs to, and what is said where it belongs to none."""

import math
from dataclasses import replace

import pytest

from stt_platform.feedback.live import REJECTED, LiveSegment
from stt_platform.feedback.live_places import LiveHearing, NoPlace, PlacedChunk, place_segments

CHUNKS = [
    PlacedChunk("b", "lamp", 10.0, 20.0),
    PlacedChunk("a", "lamp", 0.0, 9.0),
    PlacedChunk("other", "vine", 0.0, 60.0),
]
RECORDINGS = {"Lamp": {"lamp"}, "lamp": {"lamp"}, "Sunday": {"lamp", "vine"}}


def segment(
    start_s: float, end_s: float, text: str = "grace", confidence: float | None = 0.5, **more: str
) -> LiveSegment:
    told = {"recording": "Lamp", "audio": "Lamp.wav", "system": "", "source": "live.jsonl", "place": "line 1"} | more
    return LiveSegment(start_s=start_s, end_s=end_s, text=text, confidence=confidence, **told)


@pytest.mark.parametrize(
    ("span", "chunk"),
    [
        ((1.0, 3.0), "a"),
        ((0.0, 9.0), "a"),
        ((11.0, 12.0), "b"),
        # Most of it lies in the second one.
        ((8.0, 14.0), "b"),
        ((4.0, 11.0), "a"),
        # Half is enough.
        ((19.0, 21.0), "b"),
    ],
)
def test_a_segment_belongs_to_the_chunk_that_holds_most_of_it(span: tuple[float, float], chunk: str) -> None:
    heard, unplaced = place_segments([segment(*span)], RECORDINGS, CHUNKS)
    assert list(heard) == [chunk]
    assert unplaced == []


@pytest.mark.parametrize(
    ("found", "sermon", "gate", "reason"),
    [
        (segment(20.5, 22.0), "lamp", NoPlace.NO_CHUNK, "there is no chunk with speech at 20.5 to 22.0 s of lamp"),
        (
            segment(19.5, 22.0),
            "lamp",
            NoPlace.CUT_OTHERWISE,
            "there is no chunk that holds half of it at 19.5 to 22.0 s of lamp",
        ),
        (
            segment(1.0, 30.0),
            "lamp",
            NoPlace.CUT_OTHERWISE,
            "there is no chunk that holds half of it at 1.0 to 30.0 s of lamp",
        ),
        (
            segment(1.0, 2.0, recording="Easter"),
            "",
            NoPlace.NO_RECORDING,
            "there is no recording “Easter” here; put it into STT_HOME/inbox, and its segments can be reviewed",
        ),
        (
            segment(1.0, 2.0, recording="Sunday"),
            "",
            NoPlace.MANY_RECORDINGS,
            "2 recordings are called “Sunday” (lamp, vine); write the sermon's key into audio",
        ),
        (
            replace(segment(0.0, 0.0), status=REJECTED, reason="live.jsonl, line 4: broken JSON"),
            "",
            NoPlace.UNREADABLE,
            "live.jsonl, line 4: broken JSON",
        ),
    ],
)
def test_what_belongs_to_no_chunk_is_marked(found: LiveSegment, sermon: str, gate: NoPlace, reason: str) -> None:
    heard, (unplaced,) = place_segments([found], RECORDINGS, CHUNKS)
    assert heard == {}
    assert (unplaced.segment, unplaced.sermon) == (found, sermon)
    assert (unplaced.gate, unplaced.reason) == (gate, reason)


def test_the_segments_of_a_chunk_are_one_text_and_their_confidence_is_by_words() -> None:
    parts = [
        segment(4.0, 6.0, "and peace to you", 0.25),
        segment(1.0, 3.0, "grace", 1.0),
        segment(6.0, 7.0, "all", None),
    ]
    heard, _ = place_segments(parts, RECORDINGS, CHUNKS)
    assert heard["a"].text == "grace and peace to you all"
    assert heard["a"].avg_logprob == pytest.approx(4 / 5 * math.log(0.25))
    assert heard["a"].confidence == pytest.approx(0.25**0.8)


def test_without_any_confidence_there_is_none() -> None:
    heard, _ = place_segments([segment(1.0, 3.0, confidence=None)], RECORDINGS, CHUNKS)
    assert heard == {"a": LiveHearing("grace", None)}
    assert heard["a"].confidence is None


def test_no_confidence_at_all_is_still_a_number() -> None:
    heard, _ = place_segments([segment(1.0, 3.0, confidence=0.0)], RECORDINGS, CHUNKS)
    assert heard["a"].confidence == pytest.approx(1e-6)


def test_an_export_that_lies_there_twice_counts_once() -> None:
    once = [segment(1.0, 3.0), segment(4.0, 6.0, "peace", 0.9)]
    again = [replace(each, source="copy.jsonl") for each in once]
    assert place_segments([*once, *again], RECORDINGS, CHUNKS) == place_segments(once, RECORDINGS, CHUNKS)
