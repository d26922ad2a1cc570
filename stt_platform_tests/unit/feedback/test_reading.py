"""Exports of reviewers' tools: what Label Studio's own converter wrote, old and odd forms, and files that cannot be read."""

import json
import os
import random
from pathlib import Path
from typing import Any

import pytest

from stt_platform.feedback.answers import (
    CANCELLED,
    UNREADABLE,
    Answer,
    Malformed,
    audio_name,
    chunk_of,
    tidy,
    utc_time,
    verdict_of,
)
from stt_platform.feedback.corrections import ACCEPTED, KnownChunk, merge_answers
from stt_platform.feedback.reading import read_answers
from stt_platform.feedback.text_files import MAX_BYTES

EXPORTS = Path(__file__).parents[2] / "feedback_exports"
CHUNKS = {
    f"00000000000000a{n}": KnownChunk(f"00000000000000a{n}", "2024-03-03--the-lamp", "train", 6.5) for n in range(1, 9)
}


def written(folder: Path, content: Any, name: str = "export.json") -> Path:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
    return path


def box(text: Any, name: str = "transcription", **value: Any) -> dict[str, Any]:
    return {"from_name": name, "to_name": "audio", "type": "textarea", "value": {**value, "text": text}}


def task(*annotations: Any, **more: Any) -> dict[str, Any]:
    return {"id": 5, "data": {"chunk_id": "c1"}, "annotations": list(annotations), **more}


def annotation(*result: Any, **more: Any) -> dict[str, Any]:
    return {"id": 9, "completed_by": 1, "result": list(result), "updated_at": "2024-03-02T09:00:00Z", **more}


def the_one(path: Path) -> Answer:
    (answer,) = read_answers(path).answers
    return answer


def test_a_label_studio_export_tells_every_annotation() -> None:
    export = read_answers(EXPORTS / "label_studio.json")
    told = [(a.chunk_id[-2:], a.annotation_id, a.text, a.verdict, a.reviewer, a.gate) for a in export.answers]
    assert told == [
        ("a1", "11", "The lamp was not lit.", "usable", "1", ""),
        ("a1", "12", "The lamp was not lit at all.", "usable", "2", ""),
        ("a2", "21", "turn to First Samuel, chapter two", "usable", "1", ""),
        ("a3", "31", "And Eli said, “My son.”", "usable", "1", ""),
        ("a4", "41", "thank you thank you", "no_speech", "1", ""),
        ("a5", "51", "por gracia", "not_english", "1", ""),
        ("a6", "61", "", "usable", "1", CANCELLED),
        ("a6", "62", "Grace and peace.", "usable", "1", ""),
        ("a8", "81", "", "usable", "1", ""),
    ]
    assert export.unanswered == 1
    second = export.answers[1]
    assert (second.answered_at, second.spent_s, second.project) == ("2024-03-02T11:30:00.500000Z", 18.25, "7")
    assert (second.proposal, second.task_id, second.source) == ("the lamp was not lid", "1", "label_studio.json")
    assert export.answers[7].speaker == "Ann Lee"


@pytest.mark.parametrize("name", ["label_studio_min.json", "label_studio.csv"])
def test_the_flat_exports_tell_the_same_texts(name: str) -> None:
    def texts(export: str) -> dict[str, str]:
        merged = merge_answers(read_answers(EXPORTS / export).answers, CHUNKS)
        return {row.chunk_id[-2:]: row.text for row in merged if row.status == ACCEPTED}

    flat, full = texts(name), texts("label_studio.json")
    # The converter loses the times of the regions, and with them their order.
    assert full.pop("a3") == "And Eli said, “My son.”"
    assert flat == full
    (lost,) = read_answers(EXPORTS / name).unreadable
    assert lost.reason == "transcription has 2 pieces and not their order; export as JSON"
    assert read_answers(EXPORTS / name).unanswered == 1


def test_json_and_csv_of_one_project_are_one_set_of_answers() -> None:
    full = read_answers(EXPORTS / "label_studio.json").answers
    flat = read_answers(EXPORTS / "label_studio.csv").answers
    alone = {row.chunk_id: row for row in merge_answers(full, CHUNKS) if row.status == ACCEPTED}
    both = {row.chunk_id: row for row in merge_answers([*flat, *full], CHUNKS) if row.status == ACCEPTED}
    assert both == alone


@pytest.mark.parametrize("name", ["label_studio.json", "label_studio_min.json", "label_studio.csv", "prodigy.jsonl"])
def test_an_export_that_comes_three_times_shuffled_and_half_of_it_twice_is_one_state(tmp_path: Path, name: str) -> None:
    content = (EXPORTS / name).read_text(encoding="utf-8")
    header, parts = "", json.loads(content) if name.endswith(".json") else content.splitlines()
    if name.endswith(".csv"):
        header, *parts = parts
    answers = list(read_answers(EXPORTS / name, received_at="2024-03-04T00:00:00.000000Z").answers)
    state = merge_answers(answers, CHUNKS)
    for seed in range(3):
        draw = random.Random(seed)
        copy = [*parts, *draw.sample(parts, len(parts) // 2)]
        draw.shuffle(copy)
        text = json.dumps(copy) if name.endswith(".json") else "\n".join([header, *copy] if header else copy)
        path = written(tmp_path, text.encode(), f"{seed}-{name}")
        answers = [*read_answers(path, received_at=f"2024-03-0{5 + seed}T00:00:00.000000Z").answers, *answers]
        assert merge_answers(answers, CHUNKS) == state


def test_regions_of_a_flat_export_are_put_in_order(tmp_path: Path) -> None:
    row = {"chunk_id": "c1", "annotation_id": 3, "lead_time": 1.5, "annotator": "bea@example.org"}
    regions = [{"start": 4.5, "end": 6, "text": ["and", "peace"]}, {"start": "0.5", "end": 4, "text": "Grace"}]
    answer = the_one(written(tmp_path, [{**row, "transcription": regions}]))
    assert (answer.text, answer.reviewer) == ("Grace and peace", "bea@example.org")


@pytest.mark.parametrize(
    ("item", "text", "verdict"),
    [
        (task(annotation(box("one string"))), "one string", "usable"),
        (task(annotation(box(["two", "pieces"]))), "two pieces", "usable"),
        (task(annotation(box(["one"], "answer"))), "one", "usable"),
        (task(annotation(box(["this"], "notes"), box(["that"]))), "that", "usable"),
        (task(annotation(box(["x\u0000y\u200b z\u00ad\n w"]))), "x yz w".replace("yz", "y z"), "usable"),
        (task(annotation(box(["cafe\u0301"]))), "café", "usable"),
        # The old key, its times in seconds, and its word for cancelled ones.
        (
            {"data": {"chunk_id": "c1"}, "completions": [annotation(box(["old"]), created_at=1612345678)]},
            "old",
            "usable",
        ),
        # A file of the target storage: an annotation with its task inside.
        ({**annotation(box(["stored"])), "task": {"id": 5, "data": {"chunk_id": "c1"}}}, "stored", "usable"),
        (
            task(annotation({"type": "choices", "from_name": "verdict", "value": {"choices": ["usable", "cut off"]}})),
            "",
            "cut_off",
        ),
        (task(annotation({"type": "choices", "from_name": "topic", "value": {"choices": ["Faith"]}})), "", "usable"),
    ],
)
def test_forms_of_an_annotation(tmp_path: Path, item: dict[str, Any], text: str, verdict: str) -> None:
    for content in (item, [item]):
        answer = the_one(written(tmp_path, content))
        assert (answer.chunk_id, answer.text, answer.verdict, answer.gate) == ("c1", text, verdict, "")


def test_an_old_cancelled_one_is_marked(tmp_path: Path) -> None:
    old = {"data": {"chunk_id": "c1"}, "completions": [annotation(box(["x"]), skipped=True)]}
    answer = the_one(written(tmp_path, old))
    assert (answer.gate, answer.text, answer.reason) == (CANCELLED, "", "skipped by the reviewer")


@pytest.mark.parametrize(
    ("annotations", "predictions", "data", "proposal"),
    [
        # What the annotation began with, then the parent it names, then the latest, then the data.
        ({"prediction": {"id": 1, "result": [box(["began"])]}}, [{"result": [box(["other"])]}], {}, "began"),
        ({"parent_prediction": 7}, [{"id": 7, "result": [box(["named"])]}, {"result": [box(["x"])]}], {}, "named"),
        (
            {"prediction": 3},
            [
                {"result": [box(["new"])], "created_at": "2024-03-02T00:00:00Z"},
                {"result": [box(["old"])], "created_at": "2024-03-01T00:00:00Z"},
            ],
            {"proposal": "data"},
            "new",
        ),
        ({}, [], {"asr_text": " from  data "}, "from data"),
        ({}, [], {}, None),
    ],
)
def test_what_was_shown(tmp_path: Path, annotations, predictions, data, proposal) -> None:
    item = task(annotation(box(["x"]), **annotations), predictions=predictions, data={"chunk_id": "c1", **data})
    assert the_one(written(tmp_path, [item])).proposal == proposal


@pytest.mark.parametrize(
    ("item", "reason"),
    [
        (3, "3 is no task and no answer; an object was expected"),
        ({"some": "thing"}, "neither a task with annotations nor a row with a text (it has 'some'); export it again"),
        (task(annotation(), annotations="all"), "annotations is 'all'; a list was expected"),
        (task("nine"), "an annotation is 'nine'; an object was expected"),
        (task(annotation(result={})), "result is {}; a list was expected"),
        (task(annotation(box([3]))), "text is 3; a text was expected"),
        (task(annotation(box(["half \ud800"]))), "the text 'half \\ud800' holds half a character; type it anew"),
        (
            task(annotation(box(["a"], "one"), box(["b"], "two"))),
            "the fields one, two hold texts, and none is called transcription; name it",
        ),
        (task(annotation(), data={"chunk_id": ["c"]}), "chunk_id is ['c']; a text was expected"),
        *(
            (
                task(annotation(), data={"chunk_id": path}),
                f"chunk_id {path!r} is no name of a chunk: a path is never followed; put the id back",
            )
            for path in ("../../etc/passwd", "C:\\chunks\\a", "/tmp/a", "..", "~root", ".hidden")
        ),
    ],
)
def test_a_bad_item_is_marked_and_the_rest_is_taken(tmp_path: Path, item: Any, reason: str) -> None:
    good = task(annotation(box(["good"])))
    export = read_answers(written(tmp_path, [good, item, good]))
    assert [answer.gate for answer in export.answers] == ["", UNREADABLE, ""]
    (bad,) = export.unreadable
    assert (bad.reason, bad.place, bad.source) == (reason, "item 2", "export.json")


def test_one_bad_annotation_leaves_the_others_of_its_task(tmp_path: Path) -> None:
    export = read_answers(written(tmp_path, [task(annotation(box([None])), annotation(box(["good"])))]))
    assert [(answer.text, answer.gate, answer.chunk_id) for answer in export.answers] == [
        ("", UNREADABLE, "c1"),
        ("good", "", "c1"),
    ]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b'[{"data": {"chunk_id": "c1"},\n "annotations": [}]', "it may have been cut off: export it again"),
        (b'[{"data": {"chunk_id": "c1"},\n "annotations": [}]', "broken JSON in line 2, column 18"),
        (
            "chunk_id,text\nc1,caf\xe9\n".encode("latin-1"),
            "it is not UTF-8 at byte 20 (0xe9, line 2); save it as UTF-8",
        ),
        ("chunk_id,text\nc1,a\n".encode("utf-16"), "UTF-16; save it as UTF-8"),
        ("chunk_id,text\nc1,a\n".encode("utf-16-le"), "it holds zero bytes"),
        (b"PK\x03\x04 and so on", "a spreadsheet's own format"),
        (b"\x1f\x8b\x08", "compressed; unpack it"),
        (b"SQLite format 3\x00", "a database; export from it"),
        (b"<!DOCTYPE html><html>", "it is a web page and no export; sign in"),
        (b"  \n", "it is empty"),
        (b"", "it is empty"),
        (b"[" * 100_000, "JSON that nothing can be made of"),
        (b"just some words\nin two lines\n", "there is no column chunk_id (there is 'just_some_words')"),
        (b"chunk_id,notes\nc1,hm\n", "there is no column corrected or manual_text"),
    ],
)
def test_a_file_that_cannot_be_read_is_one_marked_item(tmp_path: Path, content: bytes, reason: str) -> None:
    answer = the_one(written(tmp_path, content))
    assert (answer.gate, answer.source) == (UNREADABLE, "export.json")
    assert reason in answer.reason


def test_files_that_are_none_are_marked_without_being_read(tmp_path: Path) -> None:
    huge = tmp_path / "huge.json"
    with huge.open("wb") as file:
        file.truncate(MAX_BYTES)
    os.mkfifo(tmp_path / "pipe.json")
    assert "it has 200 MB, less than 200 MB can be read" in the_one(huge).reason
    assert the_one(tmp_path / "pipe.json").reason == "it is no file; put a file here"
    assert the_one(tmp_path).reason == "it is no file; put a file here"
    assert "No such file" in the_one(tmp_path / "absent.json").reason


def test_deep_nesting_is_a_bad_item_and_no_crash(tmp_path: Path) -> None:
    value: Any = "cut off"
    for _ in range(600):
        value = [value]
    deep = task(annotation({"type": "choices", "value": {"choices": value}}))
    export = read_answers(written(tmp_path, [deep, task(annotation(box(["good"])))]))
    assert export.answers[-1].text == "good"
    assert export.answers[0].gate in ("", UNREADABLE)


def test_lines_of_json_are_read_one_by_one(tmp_path: Path) -> None:
    lines = [
        json.dumps({"chunk_id": "c1", "text": "a\u2028b"}, ensure_ascii=False),
        "{broken",
        "",
        json.dumps({"text": "x"}),
    ]
    export = read_answers(written(tmp_path, "\n".join(lines).encode(), "rows.txt"))
    assert [(a.chunk_id, a.text, a.gate, a.place) for a in export.answers] == [
        ("c1", "a b", "", "line 1"),
        ("", "", UNREADABLE, "line 2"),
        ("", "x", "", "line 4"),
    ]
    assert export.answers[1].reason.startswith("broken JSON in line 1, column 2")


@pytest.mark.parametrize(
    ("address", "name"),
    [
        ("/data/local-files/?d=church/chunks/ab12.original.flac", "ab12"),
        ("/data/upload/1/3f2a9b1c-ab12.original.flac", "ab12"),
        ("https://example.org/x/ab12.wav?token=1", "ab12"),
        ("C:\\church\\ab12.wav", "ab12"),
        ("ab%2012.wav", "ab 12"),
        ("data:audio/wav;base64,AAAA", ""),
        ("", ""),
    ],
)
def test_the_name_of_a_sound_file(address: str, name: str) -> None:
    assert audio_name(address) == name


def test_a_chunk_is_named_by_its_id_before_its_sound() -> None:
    assert chunk_of({"chunk_id": "'c1", "audio": "c2.wav"}) == ("c1", "chunk_id")
    assert chunk_of({"audio": "c2.wav"}) == ("c2", "audio")
    # A spreadsheet took the id for a number.
    assert chunk_of({"chunk_id": "1.23457E+15", "audio": "1234567890123456.original.flac"}) == (
        "1234567890123456",
        "audio",
    )
    assert chunk_of({"chunk_id": 12}) == ("12", "chunk_id")
    with pytest.raises(Malformed, match="is no name of a chunk"):
        chunk_of({"chunk_id": "x" * 201})


@pytest.mark.parametrize(
    ("value", "time"),
    [
        ("2024-03-02T09:00:00.5Z", "2024-03-02T09:00:00.500000Z"),
        ("2024-03-02 10:00:00+01:00", "2024-03-02T09:00:00.000000Z"),
        ("2024-03-02", "2024-03-02T00:00:00.000000Z"),
        (1709370000, "2024-03-02T09:00:00.000000Z"),
        (1709370000000, "2024-03-02T09:00:00.000000Z"),
        ("1709370000", "2024-03-02T09:00:00.000000Z"),
        ("2 March", ""),
        (None, ""),
        (True, ""),
        (float("nan"), ""),
        (1e300, ""),
        ("0001-01-01T00:00:00+14:00", ""),
    ],
)
def test_times_are_utc_text(value: object, time: str) -> None:
    assert utc_time(value) == time


def test_words_for_verdicts() -> None:
    said = [
        "Usable",
        "ok",
        "cut-off",
        "NOT ENGLISH",
        "[no speech]",
        "unusable",
        "maybe",
        None,
        {"choices": ["no speech"]},
    ]
    assert [verdict_of(word) for word in said] == [
        *("usable", "usable", "cut_off", "not_english", "no_speech", "unusable", None, None, "no_speech"),
    ]
    assert tidy("  a\t b ") == "a b"


def test_real_exports_of_other_projects_are_foreign(test_data: Path) -> None:
    files = sorted((test_data / "annotation" / "label_studio").glob("*.json"))
    assert len(files) == 8
    answers = [answer for path in files for answer in read_answers(path).answers]
    assert sum(read_answers(path).unanswered for path in files) == 6
    assert [answer.text for answer in answers] == ["", "", "", "Mario"]
    assert {(row.status, row.gate) for row in merge_answers(answers, CHUNKS)} == {("rejected", "foreign")}
