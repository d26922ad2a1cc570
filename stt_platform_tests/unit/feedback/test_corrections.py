"""What counts of everything that reviewers ever answered, and that it does not depend on how the answers came."""

import csv
import json
import random
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from stt_platform.feedback.answers import Answer
from stt_platform.feedback.corrections import (
    ACCEPTED,
    REJECTED,
    SUPERSEDED,
    Correction,
    KnownChunk,
    edit_distance,
    merge_answers,
)
from stt_platform.feedback.reading import read_answers
from stt_platform.feedback.tools.base import ReviewTask
from stt_platform.feedback.tools.table import review_csv

SERMON = "2024-03-03--the-lamp"
CHUNKS = {
    **{name: KnownChunk(name, SERMON, "train", 6.0) for name in ("c1", "c2", "c3")},
    **{name: KnownChunk(name, f"2024-04-07--{name}", name, 6.0) for name in ("dev", "test", "final")},
}


def answer(chunk_id: str, text: str, at: str = "09:00", **more) -> Answer:
    moment = f"2024-03-02T{at}:00.000000Z" if at else ""
    return Answer(chunk_id, text, reviewer="ann", source="export.json", answered_at=moment, **more)


def merged(*answers: Answer, **options) -> list[tuple[str, str, str, str]]:
    return [(row.text, row.status, row.gate, row.reason) for row in merge_answers(answers, CHUNKS, **options)]


@pytest.mark.parametrize(
    ("given", "gate", "reason"),
    [
        (answer("c9", "x"), "unknown chunk", "there is no chunk 'c9': it was cut anew, or is of another installation"),
        (
            answer("talk", "x", named_by="audio"),
            "foreign",
            "from another project: it names no chunk, and its sound 'talk' is none of ours",
        ),
        (answer("", "x"), "foreign", "from another project: it names no chunk and no sound"),
        (answer("c1", "x", project="8"), "foreign", "from project '8', which is none of ours (7)"),
        *(
            (answer(name, "x"), "not train", f"2024-04-07--{name} is a {name} sermon: what examines may never teach")
            for name in ("dev", "test", "final")
        ),
        (answer("c1", ""), "empty", "no text and no verdict; say “no speech” where nobody speaks"),
        (answer("c1", "", gate="cancelled", reason="skipped by the reviewer"), "cancelled", "skipped by the reviewer"),
        (
            answer("", "", gate="unreadable", reason="text is 3; a text was expected", place="item 4"),
            "unreadable",
            "export.json, item 4: text is 3; a text was expected",
        ),
        (answer("c1", "x", verdict="unusable"), "unusable", "marked “unusable” by ann"),
        (answer("c1", "x", verdict="cut_off"), "cut off", "marked “cut off” by ann"),
        (answer("c1", "por gracia", verdict="not_english"), "not English", "marked “not English” by ann"),
        (answer("c1", "one two three four"), "too long", "4 tokens; Whisper writes at most 3 of one chunk"),
    ],
)
def test_every_refusal_is_said_in_words(given: Answer, gate: str, reason: str) -> None:
    (row,) = merge_answers([given], CHUNKS, projects={"7"}, count_tokens=lambda text: len(text.split()), max_tokens=3)
    assert (row.status, row.gate, row.reason) == (REJECTED, gate, reason)


def test_no_speech_teaches_an_empty_text() -> None:
    assert merged(answer("c1", "thank you", verdict="no_speech")) == [("", ACCEPTED, "", "")]


def test_the_latest_answer_wins_and_the_others_stay() -> None:
    early, late = answer("c1", "old", "09:00"), replace(answer("c1", "new", "10:00"), reviewer="bea")
    assert merged(late, early) == [
        ("old", SUPERSEDED, "answered again", "answered again on 2024-03-02 10:00 by bea"),
        ("new", ACCEPTED, "", ""),
    ]
    # At one time, the tool's own number decides, and 10 comes after 9.
    nine, ten = answer("c1", "nine", annotation_id="9"), answer("c1", "ten", annotation_id="10")
    assert [row[:2] for row in merged(ten, nine)] == [("nine", SUPERSEDED), ("ten", ACCEPTED)]


def test_who_calls_a_chunk_unusable_takes_back_its_text() -> None:
    rows = merged(answer("c1", "text", "09:00"), answer("c1", "text", "10:00", verdict="unusable"))
    assert [row[1:3] for row in rows] == [(SUPERSEDED, "answered again"), (REJECTED, "unusable")]


def test_what_is_no_answer_supersedes_nothing() -> None:
    text = answer("c1", "text", "09:00", annotation_id="1")
    skipped = answer("c1", "", "10:00", annotation_id="2", gate="cancelled", reason="skipped by the reviewer")
    empty = answer("c1", "", "11:00", annotation_id="3")
    foreign = answer("c1", "other", "12:00", annotation_id="4", project="8")
    rows = merge_answers([text, skipped, empty, foreign], CHUNKS, projects=["7"])
    assert [row.status for row in rows] == [ACCEPTED, REJECTED, REJECTED, REJECTED]


def test_an_annotation_that_is_cancelled_later_is_taken_back() -> None:
    text = answer("c1", "text", "09:00", annotation_id="1")
    cancelled = answer("c1", "", "10:00", annotation_id="1", gate="cancelled", reason="skipped by the reviewer")
    assert merged(text, cancelled) == [
        ("text", SUPERSEDED, "same annotation", "changed later by the reviewer"),
        ("", REJECTED, "cancelled", "skipped by the reviewer"),
    ]


def test_answers_without_a_time_count_from_their_arrival() -> None:
    first = answer("c1", "first", at="", received_at="2024-03-02T08:00:00.000000Z")
    dated = answer("c1", "dated", "09:00")
    later = answer("c1", "later", at="", received_at="2024-03-02T10:00:00.000000Z")
    assert [row[:2] for row in merged(later, dated, first)] == [
        ("first", SUPERSEDED),
        ("dated", SUPERSEDED),
        ("later", ACCEPTED),
    ]
    # The same table given again a day later says nothing new.
    again = replace(first, received_at="2024-03-03T08:00:00.000000Z", source="copy.csv", place="line 7")
    assert merge_answers([again, first, dated], CHUNKS) == merge_answers([first, dated], CHUNKS)


def test_an_export_is_one_state_however_often_and_in_whatever_order_it_comes() -> None:
    draw = random.Random(3)
    texts = ["the lamp", "the lamb", "a lamp was lit", ""]
    answers = [
        Answer(
            chunk_id=draw.choice([*CHUNKS, "c9", ""]),
            text=draw.choice(texts),
            verdict=draw.choice(["usable"] * 4 + ["unusable", "no_speech", "cut_off"]),
            reviewer=draw.choice(["ann", "bea", ""]),
            source="export.json",
            place=f"item {number}",
            tool="label_studio",
            answered_at=draw.choice(["", *(f"2024-03-0{day}T09:00:00.000000Z" for day in (1, 2, 3))]),
            spent_s=draw.choice([None, 12.5]),
            proposal=draw.choice([None, "the lamb"]),
            annotation_id=draw.choice(["", *map(str, range(40))]),
            project=draw.choice(["", "7", "8"]),
            named_by=draw.choice(["chunk_id", "audio"]),
            received_at="2024-03-04T00:00:00.000000Z",
            gate=draw.choice([""] * 5 + ["cancelled", "unreadable"]),
            digest=str(number % 50),
        )
        for number in range(400)
    ]
    state = merge_answers(answers, CHUNKS, projects=["7"])
    assert {row.status for row in state} == {ACCEPTED, REJECTED, SUPERSEDED}
    for seed in range(10):
        draw = random.Random(seed)
        copies: list[Answer] = []
        for day in (5, 6, 7):
            half = draw.sample(answers, len(answers) // 2)
            copy = [*answers, *half]
            draw.shuffle(copy)
            # A copy arrives later, under another name, with its items in another order.
            copies += [
                replace(a, received_at=f"2024-03-0{day}T00:00:00.000000Z", source=f"copy{day}.json", place=f"item {i}")
                for i, a in enumerate(copy)
            ]
        everything = [*answers, *copies]
        draw.shuffle(everything)
        assert merge_answers(everything, CHUNKS, projects=["7"]) == state
        shuffled = draw.sample(answers, len(answers))
        assert merge_answers(shuffled, CHUNKS, projects=["7"]) == state


def test_at_most_one_answer_of_a_chunk_teaches_and_none_is_lost() -> None:
    draw = random.Random(5)
    answers = [answer(f"c{draw.randint(1, 4)}", f"text {n}", f"{draw.randint(10, 12)}:00") for n in range(60)]
    rows = merge_answers(answers, CHUNKS)
    taught = [row.chunk_id for row in rows if row.status == ACCEPTED]
    assert taught == ["c1", "c2", "c3"]
    assert len(rows) == 60
    assert all(row.reason and row.gate for row in rows if row.status != ACCEPTED)


@pytest.mark.parametrize(
    ("text", "proposal", "characters", "words"),
    [
        ("The lamp was lit.", "the lamp was lit", 2, 0),
        ("The lamp was lit.", "the lamb was lid", 4, 2),
        ("don’t", "don't", 1, 0),
        ("grace and peace", "grace peace", 4, 1),
        ("", "thank you", 9, 2),
        ("amen", "", 4, 1),
    ],
)
def test_what_was_changed_is_counted(text: str, proposal: str, characters: int, words: int) -> None:
    assert edit_distance(text, proposal) == (characters, words)
    verdict = "usable" if text else "no_speech"
    (row,) = merge_answers([answer("c1", text, verdict=verdict, proposal=proposal)], CHUNKS)
    assert (row.character_edits, row.word_edits, row.unedited) == (characters, words, False)
    assert row.proposal_words == len(proposal.split())


def test_an_unedited_answer_is_known_by_what_was_shown() -> None:
    chunks = {"c1": replace(CHUNKS["c1"], proposal="the lamp")}

    def row(given: Answer) -> Correction:
        return merge_answers([given], chunks)[0]

    assert row(answer("c1", "the lamp")).unedited is True
    # What the export says was shown counts before what was handed out.
    assert row(answer("c1", "the lamp", proposal="the lamb")).unedited is False
    assert merge_answers([answer("c1", "the lamp")], CHUNKS)[0].unedited is None
    unusable = row(answer("c1", "the lamp", verdict="unusable"))
    assert (unusable.unedited, unusable.character_edits) == (None, None)


def words(draw: random.Random, count: int) -> str:
    return " ".join(draw.choice(["grace", "and", "peace", "to", "the", "lamp", "he", "said"]) for _ in range(count))


def ten_thousand(folder: Path) -> tuple[Sequence[Path], dict[str, KnownChunk]]:
    """4,000 answers as Label Studio JSON, 3,000 as Prodigy JSONL, 3,000 as a table."""
    draw = random.Random(1)
    chunks = {f"{n:016x}": KnownChunk(f"{n:016x}", f"s{n % 40}", "train", 12.0) for n in range(10_000)}
    texts = {name: words(draw, 30) for name in chunks}
    names = list(chunks)
    tasks = [
        {
            "id": n,
            "data": {"chunk_id": name, "proposal": texts[name]},
            "annotations": [
                {
                    "id": n,
                    "updated_at": "2024-03-02T09:00:00Z",
                    "result": [
                        {"type": "textarea", "from_name": "transcription", "value": {"text": [texts[name] + " amen"]}}
                    ],
                }
            ],
        }
        for n, name in enumerate(names[:4000])
    ]
    (folder / "a.json").write_text(json.dumps(tasks))
    examples = [
        {"chunk_id": name, "transcript": f"amen {texts[name]}", "orig_transcript": texts[name], "answer": "accept"}
        for name in names[4000:7000]
    ]
    (folder / "b.jsonl").write_text("".join(f"{json.dumps(example)}\n" for example in examples))
    table = review_csv(ReviewTask(name, "s", "a.flac", 12.0, texts[name], "tiny.en") for name in names[7000:])
    rows = list(csv.reader(table.splitlines()))
    corrected = rows[0].index("corrected")
    with (folder / "c.csv").open("w", newline="") as file:
        csv.writer(file).writerows(
            [rows[0], *([*r[:corrected], f"{r[corrected]} amen", *r[corrected + 1 :]] for r in rows[1:])]
        )
    return [folder / name for name in ("a.json", "b.jsonl", "c.csv")], chunks


def test_ten_thousand_answers_are_read_and_merged_in_seconds(tmp_path: Path) -> None:
    files, chunks = ten_thousand(tmp_path)
    began = time.perf_counter()
    rows = merge_answers([a for path in files for a in read_answers(path).answers], chunks)
    took_s = time.perf_counter() - began
    assert len(rows) == 10_000
    assert {(row.status, row.word_edits, row.proposal_words) for row in rows} == {(ACCEPTED, 1, 30)}
    assert took_s < 30
