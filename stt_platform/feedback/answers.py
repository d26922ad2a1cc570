"""Hold a reviewer's answer in one form for every tool, and what the readers of exports share."""

from __future__ import annotations

import datetime
import hashlib
import json
import math
import re
import tomllib
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path, PurePosixPath
from typing import Any, Literal, TypeVar, get_args
from urllib.parse import parse_qs, unquote, urlsplit

Verdict = Literal["usable", "unusable", "cut_off", "not_english", "no_speech"]
VERDICTS: tuple[Verdict, ...] = get_args(Verdict)
VERDICT_LABELS: Mapping[Verdict, str] = {
    "usable": "usable",
    "unusable": "unusable",
    "cut_off": "cut off",
    "not_english": "not English",
    "no_speech": "no speech",
}
"""What reviewers see."""

TEXT_FIELD, VERDICT_FIELD, SPEAKER_FIELD = "transcription", "verdict", "speaker"
"""Names of the fields that a reviewer fills in."""

# Why an item of an export is no answer to begin with; `Answer.gate`.
UNREADABLE, FOREIGN, CANCELLED, SKIPPED, OPEN = "unreadable", "foreign", "cancelled", "skipped", "open"

PROPOSAL_FIELDS = ("proposal", "asr_text")
AUDIO_FIELDS = ("audio", "audio_filepath", "path", "url")

_LONGEST_ID = 200
_SHOWN = 60
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
# Soft hyphens, joiners, marks of direction and of byte order: they come with pasted text, and nobody sees them.
_INVISIBLE = re.compile("[\u00ad\u200b-\u200f\u202a-\u202e\u2060-\u2064\ufeff]")
_SURROGATE = re.compile("[\ud800-\udfff]")
# Label Studio puts eight digits in front of the name of a file that was uploaded to it.
_UPLOADED = re.compile(r"/data/upload/.*/[0-9a-f]{8}-([^/]+)$")
# A spreadsheet writes 1.23457E+15 for an id that it takes for a number.
_ROUNDED = re.compile(r"\d(?:[.,]\d+)?[eE]\+\d+")
# Later than any date that seconds since 1970 would give, and what milliseconds give for 1973.
_MILLISECONDS_FROM = 1e11


class Malformed(ValueError):
    """An item that is not as its format says: names the value and what was expected."""


@dataclass(frozen=True)
class Answer:
    """What one person answered to one task, as an export tells it.

    Attributes:
        chunk_id: empty where the export does not tell it.
        text: white space made single, Unicode composed.
        verdict: what the reviewer says of the chunk; "usable" where nothing is said.
        speaker, reviewer: empty where not said.
        source: the file or the server it came from; `place` is where in it.
        answered_at: UTC as `utc_time` writes it, so that the order of texts is that of times; empty where not said.
        spent_s: what the reviewer took; None where not said.
        proposal: the text that the reviewer was shown; None where not said.
        task_id, annotation_id, project: the tool's own names; empty where it has none.
        named_by: "chunk_id" where the export names the chunk, "audio" where only its file does.
        received_at: when the export arrived, as `answered_at`; orders answers that tell no time.
        gate: empty, or why it is no answer: `UNREADABLE`, `FOREIGN`, `CANCELLED`, `SKIPPED`, `OPEN` (not answered yet).
        reason: the same in words, with the value and the remedy.
        digest: of an unreadable item, by which it is known again in another copy of the export.
    """

    chunk_id: str
    text: str
    verdict: Verdict = "usable"
    speaker: str = ""
    reviewer: str = ""
    source: str = ""
    place: str = ""
    tool: str = "table"
    answered_at: str = ""
    spent_s: float | None = None
    proposal: str | None = None
    task_id: str = ""
    annotation_id: str = ""
    project: str = ""
    named_by: Literal["chunk_id", "audio"] = "chunk_id"
    received_at: str = ""
    gate: str = ""
    reason: str = ""
    digest: str = ""


@dataclass(frozen=True)
class Origin:
    """Where an item comes from: the file or server, the place in it, and when it arrived (UTC, may be empty)."""

    source: str
    place: str = ""
    received_at: str = ""


def unreadable(origin: Origin, tool: str, reason: str, raw: object) -> Answer:
    """Mark an item that cannot be read. `raw` is the item itself, or its bytes."""
    content = raw if isinstance(raw, bytes) else json.dumps(raw, sort_keys=True, default=str).encode()
    return Answer(
        chunk_id="",
        text="",
        source=origin.source,
        place=origin.place,
        received_at=origin.received_at,
        tool=tool,
        gate=UNREADABLE,
        reason=reason,
        digest=hashlib.sha256(content).hexdigest()[:16],
    )


Kind = TypeVar("Kind")


def expect(value: object, kind: type[Kind], name: str) -> Kind:
    """Return `value`, which has to be of this type. Raises `Malformed` naming it."""
    if not isinstance(value, kind):
        wanted = {dict: "an object", list: "a list", str: "a text"}.get(kind, kind.__name__)
        raise Malformed(f"{name} is {shown(value)}; {wanted} was expected")
    return value


def shown(value: object) -> str:
    """Quote a value in a message: as it is written, cut where it is long."""
    text = repr(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"


def tidy(text: str) -> str:
    """Put `text` on one line: white space made single, no control or invisible characters, Unicode composed (NFC).

    Raises:
        Malformed: half of a pair of surrogates, which no file could hold.
    """
    if _SURROGATE.search(text):
        raise Malformed(f"the text {shown(text)} holds half a character; type it anew")
    return unicodedata.normalize("NFC", " ".join(_CONTROL.sub(" ", _INVISIBLE.sub("", text)).split()))


def named(value: object) -> str:
    """Return a name or an id as text; empty where there is none."""
    if value is None or isinstance(value, bool | dict | list):
        return ""
    return tidy(str(value))


def chunk_of(data: Mapping[str, Any]) -> tuple[str, Literal["chunk_id", "audio"]]:
    """Find the chunk that a task is about, and what names it: its `chunk_id`, else the file that is played.

    Raises:
        Malformed: a chunk_id that is a path or no name at all.
    """
    value = data.get("chunk_id")
    name = named(value).removeprefix("'")
    if name and not _ROUNDED.fullmatch(name):
        if re.search(r"[/\\]", name) or name.startswith((".", "~")) or len(name) > _LONGEST_ID:
            raise Malformed(f"chunk_id {shown(value)} is no name of a chunk: a path is never followed; put the id back")
        return name, "chunk_id"
    if value not in (None, "") and not name:
        raise Malformed(f"chunk_id is {shown(value)}; a text was expected")
    for field in AUDIO_FIELDS:
        if isinstance(audio := data.get(field), str) and (stem := audio_name(audio)):
            return stem, "audio"
    return name, "chunk_id"


def audio_name(address: str) -> str:
    """Take the name of a sound file, without folders and endings, from a path or an address; empty where there is none.

    Understands Label Studio's `/data/local-files/?d=…` and `/data/upload/…`.
    """
    if address.startswith("data:"):
        return ""
    parts = urlsplit(address.replace("\\", "/"))
    inner = parse_qs(parts.query).get("d")
    path = inner[-1] if inner else unquote(parts.path)
    if uploaded := _UPLOADED.search(path):
        path = uploaded[1]
    name = PurePosixPath(path).name.split(".")[0]
    return tidy(name) if len(name) <= _LONGEST_ID else ""


def proposal_of(data: Mapping[str, Any]) -> str | None:
    """Return the text that was shown, as the data of a task tell it; None where they do not."""
    return next((tidy(data[name]) for name in PROPOSAL_FIELDS if isinstance(data.get(name), str)), None)


def verdict_of(value: object) -> Verdict | None:
    """Return the verdict that a word or a choice stands for; None for any other."""
    if isinstance(value, dict):
        value = value.get("choices")
    if isinstance(value, list):
        found: list[Verdict] = [verdict for item in value if (verdict := verdict_of(item))]
        # Of several, the one that speaks against the chunk.
        return min(found, key=lambda verdict: verdict == "usable", default=None)
    return _verdict_words().get(re.sub(r"[\s_-]+", "_", str(value).strip().casefold()))


def utc_time(value: object) -> str:
    """Write a time as `2024-03-10T14:05:00.000000Z`; empty where it is none.

    Args:
        value: ISO 8601 (UTC where it tells no zone), or seconds or milliseconds since 1970.
    """
    try:
        if isinstance(value, str) and not re.fullmatch(r"\d{9,}(\.\d+)?", value.strip()):
            moment = datetime.datetime.fromisoformat(value.strip())
        elif isinstance(value, bool) or value is None:
            return ""
        else:
            seconds = float(value)  # type: ignore[arg-type]
            seconds = seconds / 1000 if seconds >= _MILLISECONDS_FROM else seconds
            moment = datetime.datetime.fromtimestamp(seconds, datetime.UTC)
        moment = moment.replace(tzinfo=datetime.UTC) if moment.tzinfo is None else moment.astimezone(datetime.UTC)
    except (ValueError, TypeError, OverflowError, OSError):
        return ""
    return f"{moment:%Y-%m-%dT%H:%M:%S.%f}Z"


def seconds(value: object) -> float | None:
    """Return a duration in seconds, None where it is none."""
    try:
        number = float(value) if isinstance(value, int | float | str) and not isinstance(value, bool) else math.nan
    except ValueError:
        return None
    return number if math.isfinite(number) and number >= 0 else None


@cache
def _verdict_words() -> Mapping[str, Verdict]:
    table = tomllib.loads(Path(__file__).with_name("verdicts.toml").read_text(encoding="utf-8"))
    return {word: verdict for verdict in VERDICTS for word in table[verdict]}
