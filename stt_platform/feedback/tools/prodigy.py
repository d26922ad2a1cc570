"""Prodigy, both ways: what `db-out` exports, and tasks for `audio.transcribe` with the proposal in the box."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from stt_platform.feedback.answers import (
    OPEN,
    SKIPPED,
    SPEAKER_FIELD,
    VERDICT_FIELD,
    Answer,
    Malformed,
    Origin,
    chunk_of,
    expect,
    named,
    proposal_of,
    shown,
    tidy,
    unreadable,
    utc_time,
    verdict_of,
)
from stt_platform.feedback.tools.base import ReviewTask, ReviewTool

TRANSCRIPT_FIELD = "transcript"
"""The field of `audio.transcribe`."""

_TOOL = "prodigy"
_MARKS = {"_task_hash", "_input_hash", "_view_id", "_session_id", "answer", "field_id"}
_ANSWERS = {"accept": "", "reject": "", "ignore": SKIPPED}


class Prodigy(ReviewTool):
    """Tasks as `prodigy.jsonl`, answers from `db-out`."""

    name = _TOOL

    def write(self, tasks: Sequence[ReviewTask], folder: Path) -> dict[str, bytes | None]:
        """Return the tasks with absolute paths of their sound: Prodigy is started anywhere."""
        here = [replace(task, audio=str(folder / task.audio)) for task in tasks]
        return {"prodigy.jsonl": prodigy_tasks(here).encode()}

    def parse(
        self, content: Mapping[str, Any] | str, origin: Origin, *, text_field: str | None = None
    ) -> Iterable[Answer] | None:
        """Return the answer of an example."""
        if isinstance(content, str) or not is_example(content):
            return None
        return [example_answer(content, origin, text_field=text_field)]


def is_example(item: Mapping[str, Any]) -> bool:
    """Return whether an object is one of Prodigy's."""
    return bool(_MARKS & item.keys()) and "annotation_id" not in item


def example_answer(example: Mapping[str, Any], origin: Origin, *, text_field: str | None = None) -> Answer:
    """Read one example of `db-out`. "ignore" is `SKIPPED`; "reject" says that the chunk cannot be used.

    Args:
        text_field: the field of the text; None for the one that the example names (`field_id`), else `transcript`.
    """
    answer = example.get("answer")
    try:
        meta = expect(example.get("meta") or {}, dict, "meta")
        chunk_id, named_by = chunk_of({**_playable(example), **_playable(meta), **_naming(example, meta)})
        field = text_field or named(example.get("field_id")) or TRANSCRIPT_FIELD
        text = tidy(expect(example.get(field) or "", str, field))
        shown_text = example.get(f"orig_{field}")
        proposal = tidy(shown_text) if isinstance(shown_text, str) else proposal_of(meta) or proposal_of(example)
        if answer is not None and answer not in _ANSWERS:
            raise Malformed(f"answer is {shown(answer)}; accept, reject or ignore was expected")
    except Malformed as problem:
        return unreadable(origin, _TOOL, str(problem), dict(example))
    said = verdict_of(example.get(VERDICT_FIELD)) or verdict_of(example.get("accept")) or "usable"
    reviewer = named(example.get("_annotator_id") or example.get("_session_id"))
    task_id = named(example.get("_task_hash"))
    gate = OPEN if answer is None else _ANSWERS[answer]
    return Answer(
        chunk_id=chunk_id,
        text=text,
        verdict="unusable" if answer == "reject" and said == "usable" else said,
        speaker=named(example.get(SPEAKER_FIELD)),
        reviewer=reviewer,
        source=origin.source,
        place=origin.place,
        tool=_TOOL,
        answered_at=utc_time(example.get("_timestamp")),
        proposal=proposal,
        task_id=task_id,
        annotation_id=f"{task_id}:{reviewer}" if task_id else "",
        named_by=named_by,
        received_at=origin.received_at,
        gate=gate,
        reason={OPEN: "not answered yet", SKIPPED: "ignored by the reviewer"}.get(gate, ""),
    )


def prodigy_tasks(tasks: Iterable[ReviewTask]) -> str:
    """Write tasks as JSONL for `prodigy audio.transcribe DATASET FILE --loader jsonl --fetch-media`, in the given order."""
    lines = [
        {
            "audio": task.audio,
            "path": task.audio,
            "chunk_id": task.chunk_id,
            TRANSCRIPT_FIELD: task.proposal,
            f"orig_{TRANSCRIPT_FIELD}": task.proposal,
            "field_id": TRANSCRIPT_FIELD,
            "field_label": "What is said",
            "field_rows": 4,
            "meta": {"chunk_id": task.chunk_id, "sermon": task.sermon, "why": task.why},
        }
        for task in tasks
    ]
    return "".join(f"{json.dumps(line, ensure_ascii=False)}\n" for line in lines)


def _playable(item: Mapping[str, Any]) -> dict[str, Any]:
    # The sound itself may stand there, as base64.
    return {name: value for name, value in item.items() if name in ("audio", "path") and not _is_sound(value)}


def _naming(example: Mapping[str, Any], meta: Mapping[str, Any]) -> dict[str, Any]:
    value = example.get("chunk_id") or meta.get("chunk_id")
    return {} if value is None else {"chunk_id": value}


def _is_sound(value: object) -> bool:
    return not isinstance(value, str) or value.startswith("data:")
