"""Tasks for reviewers: for Label Studio with the proposal in the box, and a table for those who have no server."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any
from xml.etree import ElementTree

from stt_platform.feedback.answers import SPEAKER_FIELD, TEXT_FIELD, VERDICT_FIELD, VERDICT_LABELS
from stt_platform.feedback.table import as_cell

AUDIO = "audio"
"""The name of the player in the labelling configuration."""

_COLUMNS = ("chunk_id", "sermon", "seconds", "why", "audio", "proposal", "corrected", "verdict", "speaker", "reviewer")


@dataclass(frozen=True)
class ReviewTask:
    """A chunk that a person is asked about.

    Attributes:
        audio: where the reviewer's tool plays it from: an address, or a path. For files that Label Studio serves:
            `/data/local-files/?d=` and the path below its document root.
        proposal: what the recogniser heard.
        system: which recogniser that was.
        confidence: the chance that the proposal is right, 0 to 1; None where nothing is known yet.
        why: why this chunk was chosen, in words.
        speaker: who was found to speak; empty where not known.
        cycle: of the loop.
    """

    chunk_id: str
    sermon: str
    audio: str
    duration_s: float
    proposal: str
    system: str
    confidence: float | None = None
    why: str = ""
    speaker: str = ""
    cycle: int = 0


def label_studio_tasks(tasks: Iterable[ReviewTask]) -> list[dict[str, Any]]:
    """Tasks to import, in the given order, each with a prediction that puts the proposal into the box.

    Label Studio can make predictions from the data of a task (`preannotated_from_fields`), but not for a text box:
    the box stays empty (issue HumanSignal/label-studio 3941).
    """
    return [_label_studio_task(task) for task in tasks]


def labelling_configuration() -> str:
    """The labelling configuration (XML) of the project that `label_studio_tasks` go into.

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


def review_csv(tasks: Iterable[ReviewTask]) -> str:
    """The tasks as CSV (RFC 4180), in the given order.

    `corrected` holds the proposal, to be changed in place. A row counts as answered once its text is another one, or
    something stands in `verdict`: "ok" where the text is right. Write it with the encoding 'utf-8-sig' and without
    translating line ends: spreadsheets know UTF-8 by its mark.
    """
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\r\n")
    writer.writerow(_COLUMNS)
    for task in tasks:
        told = (
            task.chunk_id,
            task.sermon,
            f"{task.duration_s:.1f}",
            task.why,
            task.audio,
            task.proposal,
            task.proposal,
        )
        writer.writerow([*map(as_cell, told), "", as_cell(task.speaker), ""])
    return text.getvalue()


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
