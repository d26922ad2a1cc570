"""Prodigy, spreadsheets, and the tasks that are handed out: what goes out comes back as it went."""

import csv
import io
import json
from pathlib import Path
from xml.etree import ElementTree

import pytest

from stt_platform.feedback.answers import OPEN, SKIPPED, UNREADABLE, VERDICT_LABELS, Answer, Origin, verdict_of
from stt_platform.feedback.reading import Export, read_answers
from stt_platform.feedback.tools.base import ReviewTask
from stt_platform.feedback.tools.label_studio import AUDIO, label_studio_tasks, labelling_configuration
from stt_platform.feedback.tools.prodigy import example_answer, prodigy_tasks
from stt_platform.feedback.tools.table import as_cell, from_cell, review_csv

EXPORTS = Path(__file__).parents[2] / "feedback_exports"
TASK = ReviewTask(
    chunk_id="00000000000000a1",
    sermon="2024-03-03--the-lamp",
    audio="/data/local-files/?d=sermons/a/00000000000000a1.original.flac",
    duration_s=6.25,
    proposal="- so said he; “and wept”, and",
    system="tiny.en",
    confidence=0.41236,
    why="about 2.0 words wrong",
    speaker="=Ann",
)


def told(export: Export) -> list[tuple[str, str, str, str]]:
    return [(a.chunk_id[-2:], a.text, a.verdict, a.gate) for a in export.answers]


def read(tmp_path: Path, content: str | bytes, name: str = "answers.csv") -> Export:
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return read_answers(path)


def test_prodigy_tells_what_was_accepted_rejected_and_ignored() -> None:
    export = read_answers(EXPORTS / "prodigy.jsonl")
    assert told(export) == [
        ("a1", "The lamp was not lit.", "usable", ""),
        ("a2", "", "usable", SKIPPED),
        ("a3", "and Eli said", "unusable", ""),
        ("a4", "thank you thank you", "no_speech", ""),
        ("", "", "usable", UNREADABLE),
    ]
    first, third = export.answers[0], export.answers[2]
    assert (first.proposal, first.reviewer, first.answered_at) == (
        "the lamp was not lid",
        "corrections-ann",
        "2024-03-02T09:00:00.000000Z",
    )
    assert (first.named_by, third.named_by) == ("chunk_id", "audio")
    assert export.answers[4].place == "line 5"


@pytest.mark.parametrize(
    ("example", "text_field", "text", "gate"),
    [
        ({"chunk_id": "c1", "answer": "accept", "heard": "amen"}, "heard", "amen", ""),
        ({"chunk_id": "c1", "answer": "accept", "field_id": "heard", "heard": "amen"}, None, "amen", ""),
        ({"chunk_id": "c1", "transcript": "amen", "_task_hash": 1}, None, "amen", OPEN),
        ({"chunk_id": "c1", "transcript": ["amen"], "answer": "accept"}, None, "", UNREADABLE),
        ({"chunk_id": "c1", "transcript": "amen", "answer": "later"}, None, "", UNREADABLE),
        ({"meta": "c1", "transcript": "amen", "answer": "accept"}, None, "", UNREADABLE),
        ({"meta": {"chunk_id": "../c1"}, "transcript": "amen", "answer": "accept"}, None, "", UNREADABLE),
    ],
)
def test_examples_of_other_recipes(example: dict, text_field: str | None, text: str, gate: str) -> None:
    answer = example_answer(example, Origin("x"), text_field=text_field)
    assert (answer.text, answer.gate) == (text, gate)


def test_tasks_for_prodigy_come_back_as_they_went(tmp_path: Path) -> None:
    (line,) = prodigy_tasks([TASK]).splitlines()
    example = json.loads(line)
    assert example["audio"] == TASK.audio
    unanswered = read(tmp_path, prodigy_tasks([TASK]), "tasks.jsonl")
    assert (unanswered.answers, unanswered.unanswered) == ((), 1)
    answer = example_answer({**example, "answer": "accept"}, Origin("x"))
    assert (answer.chunk_id, answer.text, answer.proposal) == (TASK.chunk_id, TASK.proposal, TASK.proposal)


def test_the_table_comes_back_as_it_went(tmp_path: Path) -> None:
    sent = review_csv([TASK])
    unanswered = read(tmp_path, sent.encode("utf-8-sig"))
    assert (unanswered.answers, unanswered.unanswered) == ((), 1)
    header, row = list(csv.reader(io.StringIO(sent, newline="")))
    assert row[header.index("corrected")] == f"'{TASK.proposal}"
    row[header.index("verdict")] = "OK"
    back = io.StringIO()
    csv.writer(back, delimiter=";").writerows([header, row])
    (answer,) = read(tmp_path, back.getvalue()).answers
    assert (answer.chunk_id, answer.text, answer.proposal, answer.speaker) == (
        TASK.chunk_id,
        TASK.proposal,
        TASK.proposal,
        "=Ann",
    )


def test_a_spreadsheet_that_was_partly_filled_in() -> None:
    export = read_answers(EXPORTS / "spreadsheet.csv", received_at="2024-03-05T00:00:00.000000Z")
    assert told(export) == [
        ("a1", "The lamp was not lit.", "usable", ""),
        ("a3", "and Eli said", "usable", ""),
        ("a4", "thank you thank you", "no_speech", ""),
        ("a5", "- so said he; and wept", "usable", ""),
    ]
    assert export.unanswered == 1
    last = export.answers[-1]
    assert (last.reviewer, last.speaker, last.place, last.proposal) == ("Bea", "Ann Lee", "line 6", "so said he")
    assert (last.answered_at, last.received_at) == ("", "2024-03-05T00:00:00.000000Z")


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("chunk_id,text\nc1,a\n", [("c1", "a", "usable", "")]),
        ("chunk_id\tmanual_text\r\nc1\ta, b\r\n", [("c1", "a, b", "usable", "")]),
        ("\ufeffChunk ID ; Manual Text;;\nc1;a;;\n;;;\n", [("c1", "a", "usable", "")]),
        ("sep=;\nchunk_id;text\nc1;a\n", [("c1", "a", "usable", "")]),
        ("chunk_id,text\rc1,a\rc2,b\r", [("c1", "a", "usable", ""), ("c2", "b", "usable", "")]),
        ('chunk_id,text\nc1,"two\nlines"\nc2,b\n', [("c1", "two lines", "usable", ""), ("c2", "b", "usable", "")]),
        ("chunk_id,text\nc1,'Tis so\nc1,'=so\n", [("c1", "'Tis so", "usable", ""), ("c1", "=so", "usable", "")]),
        # The corrected column counts, whatever else there is.
        ("chunk_id,text,corrected\nc1,automatic,mine\n", [("c1", "mine", "usable", "")]),
        ("chunk_id,text,verdict\nc1,a,cut-off\n", [("c1", "a", "cut_off", "")]),
        ("chunk_id,proposal,corrected,verdict\nc1,shown,,ok\n", [("c1", "shown", "usable", "")]),
        ("chunk_id,text\nc1,[no speech]\n", [("c1", "[no speech]", "no_speech", "")]),
        ("audio,text\nchunks/c1.original.flac,a\n", [("c1", "a", "usable", "")]),
        ("chunk_id,text\nc1,a,b\nc2,b\n", [("", "", "usable", UNREADABLE), ("c2", "b", "usable", "")]),
        ("chunk_id,text\nc1,#NAME?\n", [("", "", "usable", UNREADABLE)]),
        ("chunk_id,text,verdict\nc1,a,hmm\n", [("", "", "usable", UNREADABLE)]),
        ("chunk_id,text\n../c1,a\n", [("", "", "usable", UNREADABLE)]),
        ('chunk_id,text\nc1,a\nc2,"b\nc3,c\n', [("c1", "a", "usable", ""), ("", "", "usable", UNREADABLE)]),
    ],
)
def test_forms_of_a_table(tmp_path: Path, content: str, expected: list[tuple[str, str, str, str]]) -> None:
    assert told(read(tmp_path, content)) == expected


def test_what_is_wrong_with_a_row_is_said_with_its_line(tmp_path: Path) -> None:
    content = 'sep=,\nchunk_id,text,verdict\nc1,"a\nb",\nc2,a,b,c\nc3,a,hmm\nc4,#NAME?,\nc5,"b\n'
    marked: tuple[Answer, ...] = read(tmp_path, content).unreadable
    assert [(answer.place, answer.reason) for answer in marked] == [
        ("line 5", "4 cells for 3 columns; put a text with ',' in quotes"),
        ("line 6", "verdict is 'hmm'; write ok, unusable, cut off, not English or no speech"),
        ("line 7", "text is '#NAME?': the spreadsheet took the text for a formula; type it again"),
        ("line 8", "the table breaks off here (unexpected end of data): nothing below is read; save it as CSV again"),
    ]


@pytest.mark.parametrize(
    ("text", "cell"),
    [
        ("=1+1", "'=1+1"),
        ("@x", "'@x"),
        ("-- he said", "'-- he said"),
        ("'=x", "''=x"),
        ("1234567890123456", "'1234567890123456"),
        ("12345678901e2345", "'12345678901e2345"),
        ("a1234567890", "a1234567890"),
        ("6.25", "6.25"),
        ("'Tis so", "'Tis so"),
        ("", ""),
    ],
)
def test_cells_are_neither_formulas_nor_rounded(text: str, cell: str) -> None:
    assert as_cell(text) == cell
    assert from_cell(cell) == text


def test_label_studio_shows_the_proposal_in_the_box() -> None:
    (task,) = label_studio_tasks([TASK])
    (prediction,) = task["predictions"]
    (box,) = prediction["result"]
    assert (box["from_name"], box["to_name"], box["type"]) == ("transcription", AUDIO, "textarea")
    assert box["value"] == {"text": [TASK.proposal]}
    assert (prediction["score"], prediction["model_version"]) == (0.4124, "tiny.en")
    assert task["data"]["chunk_id"] == TASK.chunk_id


def test_tasks_for_label_studio_are_no_answers(tmp_path: Path) -> None:
    export = read(tmp_path, json.dumps(label_studio_tasks([TASK, TASK])), "tasks.json")
    assert (export.answers, export.unanswered) == ((), 2)


def test_the_configuration_fits_the_tasks_and_the_reader() -> None:
    view = ElementTree.fromstring(labelling_configuration())  # noqa: S314 - our own text
    fields = {element.get("name"): element for element in view if element.get("name")}
    assert set(fields) == {AUDIO, "transcription", "verdict", "speaker"}
    assert all(fields[name].get("toName") == AUDIO for name in ("transcription", "verdict", "speaker"))
    (task,) = label_studio_tasks([TASK])
    variables = [value[1:] for element in view for value in element.attrib.values() if value.startswith("$")]
    assert set(variables) <= task["data"].keys()
    # In the flat exports, data and answers share their columns.
    assert not task["data"].keys() & {"transcription", "verdict", "speaker"}
    choices = [choice.get("value") for choice in fields["verdict"]]
    assert [verdict_of(choice) for choice in choices] == list(VERDICT_LABELS)


def test_a_chunk_in_which_nothing_was_heard_has_an_empty_box() -> None:
    (task,) = label_studio_tasks([ReviewTask("c1", "s", "a.flac", 2.0, "", "tiny.en")])
    assert task["predictions"] == [{"model_version": "tiny.en", "result": []}]
