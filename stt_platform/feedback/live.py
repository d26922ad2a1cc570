"""Read live transcripts with their confidence: JSONL of segments, as seed phase 6 has it put into a folder."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from stt_platform.feedback.answers import Malformed, audio_name, named, seconds, shown, tidy
from stt_platform.feedback.text_files import file_name, json_value, text_of

READABLE, REJECTED = "readable", "rejected"

_AUDIO = ("audio", "audio_path", "audio_filepath", "recording", "file")
_START, _END = ("start_s", "start"), ("end_s", "end")
_LONGEST_S = 24 * 3600.0


@dataclass(frozen=True)
class LiveSegment:
    """A segment that the live machine transcribed.

    Attributes:
        audio: the recording as the live machine names it; `recording` is its name without folders and ending.
        start_s, end_s: in the recording.
        text: white space made single; empty where there is none.
        confidence: 0 to 1; of an average log probability (0 or below, per token) its exponential. None where not said.
        system: model and adapter; empty where not said.
        place: the line, from 1.
        status: "readable", or "rejected" with its reason in words.
    """

    audio: str
    recording: str
    start_s: float
    end_s: float
    text: str
    confidence: float | None
    system: str
    source: str
    place: str
    status: Literal["readable", "rejected"] = READABLE
    reason: str = ""


def read_live_segments(path: Path) -> list[LiveSegment]:
    """Read the segments of a file, one JSON object a line: audio, start, end, text, confidence. Never raises.

    Rows that cannot be used are marked, and so is a file that cannot be read, as its one row.
    """
    source = file_name(path)
    try:
        return list(_segments(text_of(path), source))
    except Malformed as problem:
        return [_rejected(source, "", str(problem))]


def _segments(content: str, source: str) -> Iterator[LiveSegment]:
    # Not `splitlines`: a text may hold the separators of Unicode.
    for number, line in enumerate(content.split("\n"), start=1):
        if line.strip():
            try:
                yield _segment(json_value(line), source, f"line {number}")
            except Malformed as problem:
                yield _rejected(source, f"line {number}", str(problem))


def _segment(row: Any, source: str, place: str) -> LiveSegment:
    """Read one segment. Raises `Malformed`."""
    if not isinstance(row, dict):
        raise Malformed(f"{shown(row)} is no segment; an object with audio, start, end, text, confidence was expected")
    audio = next((name for field in _AUDIO if isinstance(row.get(field), str) and (name := tidy(row[field]))), "")
    if not (recording := audio_name(audio)):
        raise Malformed("it names no recording; write its file into audio")
    start_s, end_s = _time(row, _START), _time(row, _END)
    if end_s <= start_s:
        raise Malformed(f"it ends at {end_s:g} s and begins at {start_s:g} s; times are seconds of the recording")
    text = row.get("text")
    if not isinstance(text, str):
        raise Malformed(f"text is {shown(text)}; a text was expected, an empty one where nothing was heard")
    system = named(row.get("system") or row.get("model"))
    return LiveSegment(audio, recording, start_s, end_s, tidy(text), _confidence(row), system, source, place)


def _time(row: Mapping[str, Any], fields: tuple[str, ...]) -> float:
    value = next((row[field] for field in fields if field in row), None)
    found = seconds(value)
    if found is None or found > _LONGEST_S:
        raise Malformed(f"{fields[-1]} is {shown(value)}; seconds of the recording were expected")
    return found


def _confidence(row: Mapping[str, Any]) -> float | None:
    value = row.get("confidence", row.get("avg_logprob"))
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value) or value > 1:
        raise Malformed(f"confidence is {shown(value)}; 0 to 1, or an average log probability, was expected")
    return math.exp(value) if value < 0 or "confidence" not in row else float(value)


def _rejected(source: str, place: str, reason: str) -> LiveSegment:
    where = f"{source}, {place}" if place else source
    return LiveSegment("", "", 0.0, 0.0, "", None, "", source, place, REJECTED, f"{where}: {reason}")
