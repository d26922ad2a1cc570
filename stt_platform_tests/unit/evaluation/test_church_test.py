"""The frozen church test: what is drawn, what is kept, and who is noticed touching it."""

from __future__ import annotations

import json
import random
from dataclasses import replace

import pytest

from stt_platform.evaluation.church_test import (
    ChurchTest,
    QuietStretch,
    Today,
    TranscribedText,
    disturbances,
    draw_church_test,
)

SECOND = 16_000
SERMONS = ("s1", "s2", "s3")
RECORDINGS = {sermon: f"sha of {sermon}" for sermon in (*SERMONS, "elsewhere")}


def chunk(sermon: str, number: int, text: str = "grace and peace", snr_db: float | None = None) -> TranscribedText:
    span = (number * 10 * SECOND, (number * 10 + 8) * SECOND)
    return TranscribedText(f"{sermon}-{number}", sermon, "chunk", (span,), text, f"preacher of {sermon}", snr_db)


def whole(sermon: str, text: str = "grace and peace", chunks: int = 3) -> TranscribedText:
    spans = tuple((k * 10 * SECOND, (k * 10 + 8) * SECOND) for k in range(chunks))
    return TranscribedText(sermon, sermon, "sermon", spans, text, None, 20.0)


def quiet(sermon: str, number: int, label: str = "silence") -> QuietStretch:
    return QuietStretch(sermon, number * SECOND, (number + 3) * SECOND, label)


CHUNKS = [chunk(sermon, k, snr_db=10.0 + 3 * k) for sermon in SERMONS for k in range(10)]
QUIET = [quiet(sermon, 4 * k, "music" if k % 2 else "silence") for sermon in SERMONS for k in range(40)]


def drawn(texts: list = CHUNKS, quiet: list = QUIET, chunks: int = 12, stretches: int = 6) -> ChurchTest | None:
    return draw_church_test(texts, quiet, RECORDINGS, chunks=chunks, stretches=stretches, seed=42)


def test_chunks_are_drawn_from_every_sermon_and_level_of_noise() -> None:
    test = drawn()
    spoken = [row for row in test.rows if row.kind == "chunk"]
    assert len(spoken) == 12
    assert {row.sermon for row in spoken} == set(SERMONS)
    assert {(row.sermon, row.noise) for row in spoken} == {
        (sermon, noise) for sermon in SERMONS for noise in ("noisy", "middle", "clean")
    }
    assert {row.reference for row in spoken} == {"grace and peace"}
    silent = [row for row in test.rows if row.kind == "no speech"]
    assert len(silent) == 6
    assert {row.noise for row in silent} == {"music", "silence"}
    assert {row.reference for row in silent} == {""}
    assert test.recordings == {sermon: RECORDINGS[sermon] for sermon in SERMONS}


def test_the_same_material_in_any_order_is_the_same_test() -> None:
    texts, silences = list(CHUNKS), list(QUIET)
    random.Random(7).shuffle(texts)
    random.Random(8).shuffle(silences)
    again = drawn(texts, silences)
    assert again == drawn()
    assert again.sha256 == drawn().sha256
    assert drawn(CHUNKS[:-1]).sha256 != drawn().sha256


def test_texts_of_whole_sermons_always_count_and_silence_comes_from_sermons_of_the_test() -> None:
    test = drawn([*CHUNKS[:20], whole("s3")], [*QUIET, quiet("elsewhere", 1)], chunks=1, stretches=30)
    assert [row.row_id for row in test.rows if row.kind == "sermon"] == ["s3"]
    assert len([row for row in test.rows if row.kind == "chunk"]) == 1
    (sermon,) = (row for row in test.rows if row.kind == "sermon")
    assert (len(sermon.spans), sermon.speaker, sermon.noise) == (3, "unknown", "clean")
    assert "elsewhere" not in test.sermons
    assert not [row for row in drawn(stretches=0).rows if row.kind == "no speech"]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (chunk("s1", 99, "… – !"), "holds no word"),
        (chunk("s1", 99, "(applause)"), "holds no word"),
        (whole("s2", chunks=0), "none of its chunks"),
    ],
)
def test_what_cannot_be_scored_takes_no_seat_and_says_why(text: TranscribedText, reason: str) -> None:
    test = drawn([*CHUNKS[:10], text], chunks=100)
    (left,) = test.left_out
    assert (left.row_id, left.sermon) == (text.row_id, text.sermon)
    assert reason in left.reason
    assert text.row_id not in {row.row_id for row in test.rows}


@pytest.mark.parametrize("texts", [[], [chunk("s1", 1, "...")], [chunk("s1", 1, "")], [whole("s1", chunks=0)]])
def test_without_a_text_there_is_no_test(texts: list) -> None:
    assert drawn(texts) is None


def test_a_chunk_in_which_nobody_speaks_is_a_row() -> None:
    test = drawn([*CHUNKS, chunk("s1", 50, "")], chunks=100, stretches=0)
    assert [row.reference for row in test.rows if row.row_id == "s1-50"] == [""]


def test_the_file_gives_the_test_again() -> None:
    test = drawn([*CHUNKS, whole("s3", "Él dijo: “Grace”"), chunk("s2", 77, "!")])
    assert ChurchTest.from_json(test.to_json()) == test


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda content: content["rows"][0].update(reference="mercy"), "changed by hand"),
        (lambda content: content["rows"].pop(), "changed by hand"),
        (lambda content: content["recordings"].update(s1="another"), "changed by hand"),
        (lambda content: content.pop("rows"), "no frozen church test"),
        (lambda content: content["rows"].append({"row_id": "x"}), "no frozen church test"),
    ],
)
def test_a_file_that_was_changed_is_refused(change: object, message: str) -> None:
    content = json.loads(drawn().to_json())
    change(content)
    with pytest.raises(ValueError, match=message):
        ChurchTest.from_json(json.dumps(content))


@pytest.mark.parametrize("text", ["", "[]", "null", '{"rows": 5, "left_out": [], "recordings": {}, "sha256": ""}', "{"])
def test_what_is_no_test_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        ChurchTest.from_json(text)


def today(**changed: object) -> Today:
    test = drawn()
    untouched = Today(
        splits=dict.fromkeys(SERMONS, "test") | {"other": "train"},
        recordings=RECORDINGS,
        references={row.row_id: row.reference for row in test.rows if row.kind != "no speech"},
        frozen=dict.fromkeys(SERMONS, "test"),
        learned={"the training set speech-0": {"other"}},
    )
    return replace(untouched, **changed)


def test_nobody_has_touched_it() -> None:
    assert disturbances(drawn(), today()) == []
    assert disturbances(drawn(), today(splits={})) == []


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"splits": {"s1": "train", "s2": "test", "s3": "test"}}, ["s1 is in train now"]),
        ({"splits": {"s1": "final"}}, ["s1 is in final now"]),
        ({"pins": {"s2": "train"}}, ["s2 is pinned to train"]),
        ({"frozen": {"s3": "dev"}}, ["s3 was in dev when the first model was trained"]),
        (
            {"learned": {"the adapter 0123": {"s2", "x"}, "the training set speech-1": set(SERMONS)}},
            ["the adapter 0123 has learned from s2", "the training set speech-1 has learned from s1, s2, s3"],
        ),
        ({"recordings": RECORDINGS | {"s1": "cut"}}, ["s1 has another recording now"]),
        ({"recordings": {name: sha for name, sha in RECORDINGS.items() if name != "s3"}}, ["s3 has been removed"]),
        ({"references": {}}, ["was changed or taken away"]),
    ],
)
def test_whoever_touches_it_is_named(changed: dict, words: list[str]) -> None:
    found = disturbances(drawn(), today(**changed))
    assert len(found) == len(words)
    assert all(wanted in said for wanted, said in zip(words, found, strict=True))


def test_a_changed_reference_is_named() -> None:
    references = dict(today().references)
    first = min(references)
    assert disturbances(drawn(), today(references=references | {first: "grace and pieces"})) == [
        f"the reference of {first} was changed or taken away"
    ]
