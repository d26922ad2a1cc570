"""Label Studio, both ways: tasks to import with the proposal in the box, and its exports and target storage.

The formats of answers are those of label-studio-sdk 2.1 (`converter`) and of `StorageAnnotationSerializer`. JSON tells
most: all versions of all annotations, and what was shown. JSON_MIN and CSV leave out what was cancelled.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import quote
from xml.etree import ElementTree

from stt_platform.feedback.answers import (
    CANCELLED,
    OPEN,
    SPEAKER_FIELD,
    TEXT_FIELD,
    VERDICT_FIELD,
    VERDICT_LABELS,
    Answer,
    Malformed,
    Origin,
    Verdict,
    chunk_of,
    expect,
    named,
    proposal_of,
    seconds,
    shown,
    tidy,
    unreadable,
    utc_time,
    verdict_of,
)
from stt_platform.feedback.tools.base import ReviewTask, ReviewTool

AUDIO = "audio"
"""The name of the player in the labelling configuration."""

TASKS_FILE, FORM_FILE = "label-studio.json", "label-studio.xml"

_TOOL = "label_studio"
_ROW_MARKS = {"annotation_id", "lead_time"}


class LabelStudio(ReviewTool):
    """Tasks as JSON to import, with the form of their project; answers from any export, and from target storage."""

    name = _TOOL
    served = True

    def write(self, tasks: Sequence[ReviewTask], folder: Path) -> dict[str, bytes | None]:
        """Return the tasks, played from where the own server plays them, and the form."""
        imported = label_studio_tasks(playable_tasks(tasks))
        return {
            TASKS_FILE: json.dumps(imported, ensure_ascii=False, indent=1).encode(),
            FORM_FILE: labelling_configuration().encode(),
        }

    def parse(
        self, content: Mapping[str, Any] | str, origin: Origin, *, text_field: str | None = None
    ) -> Iterable[Answer] | None:
        """Return the answers of a task with its annotations, or of a row of JSON_MIN."""
        if isinstance(content, str):
            return None
        if is_task(content):
            return task_answers(content, origin, text_field=text_field or TEXT_FIELD)
        if is_row(content):
            return [row_answer(content, origin, text_field=text_field or TEXT_FIELD)]
        return None


def audio_file_name(task: ReviewTask) -> str:
    """Name the sound file of a task, as the lists and the own server have it."""
    return f"{task.chunk_id}{Path(task.audio).suffix}"


def playable_tasks(tasks: Iterable[ReviewTask]) -> list[ReviewTask]:
    """Return the tasks with the addresses at which the own server plays their sound."""
    return [replace(task, audio=f"/data/local-files/?d=audio/{quote(audio_file_name(task))}") for task in tasks]


def label_studio_tasks(tasks: Iterable[ReviewTask]) -> list[dict[str, Any]]:
    """Return tasks to import, in the given order, each with a prediction that puts the proposal into the box.

    Label Studio can make predictions from the data of a task (`preannotated_from_fields`), but not for a text box:
    the box stays empty (issue HumanSignal/label-studio 3941).
    """
    return [_label_studio_task(task) for task in tasks]


def labelling_configuration() -> str:
    """Return the labelling configuration (XML) of the project that `label_studio_tasks` go into.

    `transcription` keeps the text in an open box instead of a line with a pencil beside it.
    """
    view = ElementTree.Element("View")
    _tag(view, "Header", value="$why", size="5")
    _tag(view, "Audio", name=AUDIO, value="$audio")
    _tag(view, "Header", value="What is said, word for word", size="4")
    box = {"editable": "true", "transcription": "true", "maxSubmissions": "1", "rows": "4", "showSubmitButton": "true"}
    _tag(view, "TextArea", name=TEXT_FIELD, toName=AUDIO, **box)
    choices = _tag(view, "Choices", name=VERDICT_FIELD, toName=AUDIO, choice="single-radio", showInline="true")
    for label in VERDICT_LABELS.values():
        _tag(choices, "Choice", value=label)
    _tag(view, "Header", value="Who speaks (may stay empty)", size="5")
    _tag(view, "TextArea", name=SPEAKER_FIELD, toName=AUDIO, maxSubmissions="1", editable="true", rows="1")
    ElementTree.indent(view)
    return ElementTree.tostring(view, encoding="unicode")


def is_task(item: Mapping[str, Any]) -> bool:
    """Return whether an object is a task with its annotations, or an annotation with its task inside (target storage)."""
    return isinstance(item.get("data"), dict) or ("result" in item and isinstance(item.get("task"), dict))


def is_row(names: Mapping[str, Any] | Sequence[str]) -> bool:
    """Return whether the names of an object (JSON_MIN), or of the columns of a table (CSV), are those of a flat export."""
    return set(names) >= _ROW_MARKS


def task_answers(task: Mapping[str, Any], origin: Origin, *, text_field: str = TEXT_FIELD) -> Iterator[Answer]:
    """Yield all annotations of one task, cancelled ones too; a task without any is `OPEN`. Predictions and drafts are none.

    Args:
        task: with `data` and `annotations` (or, as before 2021, `completions`); or an annotation with its `task`.
        text_field: `from_name` of the text; where there is no such one but a single other, that is taken.
    """
    annotations: list[Any]
    try:
        if "result" in task and "annotations" not in task:
            annotations, task = [task], expect(task.get("task"), dict, "task")
        else:
            found = task.get("annotations", task.get("completions"))
            annotations = expect([] if found is None else found, list, "annotations")
        data = expect(task.get("data"), dict, "data")
        chunk_id, named_by = chunk_of(data)
    except Malformed as problem:
        yield unreadable(origin, _TOOL, str(problem), task)
        return
    blank = Answer(
        chunk_id=chunk_id,
        text="",
        source=origin.source,
        place=origin.place,
        tool=_TOOL,
        task_id=named(task.get("id")),
        named_by=named_by,
        received_at=origin.received_at,
    )
    if not annotations:
        yield replace(blank, gate=OPEN, reason="not answered yet")
    for annotation in annotations:
        try:
            yield _annotated(blank, task, expect(annotation, dict, "an annotation"), text_field)
        except Malformed as problem:
            yield replace(unreadable(origin, _TOOL, str(problem), annotation), chunk_id=chunk_id, named_by=named_by)


def row_answer(row: Mapping[str, Any], origin: Origin, *, text_field: str = TEXT_FIELD) -> Answer:
    """Read one row of JSON_MIN or CSV: the data of the task and the answer, side by side; `OPEN` where nothing was."""
    try:
        chunk_id, named_by = chunk_of(row)
        value = _cell(row.get(text_field))
        texts = [value] if isinstance(value, str | dict) else expect([] if value is None else value, list, text_field)
        pieces = [item if isinstance(item, dict) else {"text": item} for item in texts]
        if len(pieces) > 1 and any("start" not in piece for piece in pieces):
            # The converter keeps the times of a region only where several texts are in it.
            raise Malformed(f"{text_field} has {len(pieces)} pieces and not their order; export as JSON")
        text = _joined(pieces)
        speaker = _joined([{"text": _cell(row.get(SPEAKER_FIELD)) or ""}])
        proposal = proposal_of(row)
    except Malformed as problem:
        return unreadable(origin, _TOOL, str(problem), dict(row))
    annotation_id = named(row.get("annotation_id"))
    return Answer(
        chunk_id=chunk_id,
        text=text,
        verdict=verdict_of(_cell(row.get(VERDICT_FIELD))) or "usable",
        speaker=speaker,
        # What the CSV export writes where nobody is known.
        reviewer=named(row.get("annotator")).removeprefix("{}"),
        source=origin.source,
        place=origin.place,
        tool=_TOOL,
        answered_at=utc_time(row.get("updated_at") or row.get("created_at")),
        spent_s=seconds(row.get("lead_time")),
        proposal=proposal,
        task_id=named(row.get("id")),
        annotation_id=annotation_id,
        named_by=named_by,
        received_at=origin.received_at,
        gate="" if annotation_id else OPEN,
        reason="" if annotation_id else "not answered yet",
    )


@dataclass(frozen=True)
class _Filled:
    """What the fields of an annotation or of a prediction hold."""

    text: str
    verdict: Verdict
    speaker: str


def _annotated(blank: Answer, task: Mapping[str, Any], annotation: Mapping[str, Any], text_field: str) -> Answer:
    cancelled = bool(annotation.get("was_cancelled") or annotation.get("skipped"))
    # Who skips a task may leave anything in its fields.
    filled = _Filled("", "usable", "") if cancelled else _filled(annotation.get("result"), text_field)
    return replace(
        blank,
        text=filled.text,
        verdict=filled.verdict,
        speaker=filled.speaker,
        reviewer=_person(annotation.get("completed_by") or annotation.get("created_username")),
        answered_at=utc_time(annotation.get("updated_at") or annotation.get("created_at")),
        spent_s=seconds(annotation.get("lead_time")),
        proposal=_proposal(task, annotation, text_field),
        annotation_id=named(annotation.get("id")),
        project=_identity(annotation.get("project")) or _identity(task.get("project")),
        gate=CANCELLED if cancelled else "",
        reason="skipped by the reviewer" if cancelled else "",
    )


def _filled(result: object, text_field: str) -> _Filled:
    results = [expect(item, dict, "a result") for item in expect([] if result is None else result, list, "result")]
    texts: dict[str, list[Mapping[str, Any]]] = {}
    verdicts: list[Verdict] = []
    for item in results:
        value = expect(item.get("value", {}), dict, "value")
        if item.get("type") == "textarea":
            texts.setdefault(named(item.get("from_name")), []).append(value)
        elif item.get("type") == "choices" and (verdict := verdict_of(value)):
            verdicts.append(verdict)
    speaker = _joined(texts.pop(SPEAKER_FIELD, []))
    if text_field not in texts and len(texts) > 1:
        raise Malformed(f"the fields {', '.join(sorted(texts))} hold texts, and none is called {text_field}; name it")
    chosen = texts.get(text_field) or next(iter(texts.values()), [])
    return _Filled(_joined(chosen), verdict_of(list(verdicts)) or "usable", speaker)


def _joined(values: Sequence[Mapping[str, Any]]) -> str:
    """Join the text of several entries or regions, in the order in which they are spoken."""
    pieces = []
    for number, value in enumerate(values):
        text = value.get("text")
        entries = text if isinstance(text, list) else [text if text is not None else ""]
        begins = seconds(value.get("start"))
        pieces.append((begins is None, begins or 0.0, number, [expect(entry, str, "text") for entry in entries]))
    return tidy(" ".join(entry for *_, entries in sorted(pieces) for entry in entries))


def _proposal(task: Mapping[str, Any], annotation: Mapping[str, Any], text_field: str) -> str | None:
    """Return what stood in the box at first: the prediction that the annotation began with, else the latest of the task."""
    began_with = annotation.get("prediction")
    predictions = [item for item in task.get("predictions") or [] if isinstance(item, dict)]
    parent = annotation.get("parent_prediction")
    own = [item for item in predictions if parent is not None and item.get("id") == parent]
    latest = sorted(predictions, key=lambda item: utc_time(item.get("updated_at") or item.get("created_at")))[-1:]
    for prediction in [began_with if isinstance(began_with, dict) else {}, *own, *latest]:
        if prediction.get("result"):
            return _filled(prediction["result"], text_field).text
    return proposal_of(task["data"])


def _person(value: object) -> str:
    return named(value.get("email") or value.get("id")) if isinstance(value, dict) else named(value)


def _identity(value: object) -> str:
    return named(value.get("id")) if isinstance(value, dict) else named(value)


def _cell(value: object) -> object:
    """Return what a cell of CSV holds: lists and objects are written into it as JSON."""
    if not isinstance(value, str) or value[:2] not in ('["', "[{", '{"'):
        return value
    try:
        return json.loads(value)
    except ValueError as error:
        raise Malformed(f"the cell {shown(value)} is broken JSON ({error}); export again") from error


def _label_studio_task(task: ReviewTask) -> dict[str, Any]:
    box = {
        "id": f"{task.chunk_id}-text",
        "from_name": TEXT_FIELD,
        "to_name": AUDIO,
        "type": "textarea",
        "value": {"text": [task.proposal]},
    }
    prediction: dict[str, Any] = {"model_version": task.system, "result": [box] if task.proposal else []}
    if task.confidence is not None:
        prediction["score"] = round(task.confidence, 4)
    return {
        # No name of a field of the form is used here: in JSON_MIN and CSV, data and answers share their columns.
        "data": {
            "audio": task.audio,
            "chunk_id": task.chunk_id,
            "sermon": task.sermon,
            "seconds": round(task.duration_s, 2),
            "proposal": task.proposal,
            "found_speaker": task.speaker,
            "why": task.why,
            "cycle": task.cycle,
        },
        "predictions": [prediction],
    }


def _tag(parent: ElementTree.Element, tag: str, /, **attributes: str) -> ElementTree.Element:
    return ElementTree.SubElement(parent, tag, attributes)
