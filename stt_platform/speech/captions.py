"""Captions as clean timed text: WebVTT, SRT, and YouTube's json3.

YouTube's automatic captions roll: every line is shown two or three times while the next one grows below it. Here
each is read once, with the times of its words where the file has them. What nobody says is left out: tags, marks such
as [Music], arrows and names before a change of speaker.
"""

from __future__ import annotations

import html
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, TypeGuard

CAPTION_SUFFIXES = frozenset([".vtt", ".srt", ".json3"])

_MAX_BYTES = 50_000_000
_TIME = r"(?:(\d{1,6}):)?(\d{1,2}):(\d{1,2})(?:[.,](\d{1,3}))?"
_TIMING = re.compile(rf"\s*{_TIME}\s*-{{1,2}}>\s*{_TIME}(?:\s.*)?", re.ASCII)
_INLINE_TIME = re.compile(rf"<{_TIME}>", re.ASCII)
# What is on the screen and not said. A sign on its own, as in "a < b", is no tag.
_UNSPOKEN = (
    re.compile(r"</?[A-Za-z][^<>]*>"),
    re.compile(r"\{\\[^{}]*\}"),
    re.compile(r"\[[^\[\]]{0,80}\]"),
    re.compile(
        r"\((?:[^()]{0,40}\b)?(?:music|applause|laughter|laughs|laughing|singing|inaudible|coughs|coughing|silence)\b[^()]{0,40}\)",
        re.IGNORECASE,
    ),
    re.compile(r"#?[♩♪♫♬]+#?"),
    re.compile(r"(?:^|(?<=\n))[ \t]*[-–—](?=\s)|>{2,}"),
)
_SPEAKER = re.compile(r"(?:^|(?<=\n))[ \t]*[A-Z][A-Z.'’\- ]{1,30}:(?=\s)")
# Zero-width characters and byte order marks are between words, or inside them, for the layout only.
_INVISIBLE = dict.fromkeys(map(ord, "\u200b\u200c\u200d\u2060\ufeff\u200e\u200f\u00ad"))

_ROLLING_SHARE = 0.4
"""Share of cues that repeat the line before: near 1 in rolling captions, near 0 in others. Where words are timed, as
only automatic captions do, one is enough."""
_SLOWEST_S_PER_CHARACTER = 0.2
_LONGEST_WORD_S = 0.5


class UnreadableCaptions(ValueError):
    """A file of captions that cannot be read: names it, what is wrong, and the remedy."""


@dataclass(frozen=True)
class TimedWord:
    """A word and when it begins."""

    text: str
    start_s: float


@dataclass(frozen=True)
class Caption:
    """One line of captions. `words` has all its words in order, or is empty where the file times no words."""

    start_s: float
    end_s: float
    text: str
    words: tuple[TimedWord, ...] = ()


@dataclass(frozen=True)
class CaptionTrack:
    """What a file of captions holds, ordered by start. `skipped_cues` counts those that could not be read."""

    captions: tuple[Caption, ...]
    skipped_cues: int


def read_captions(path: Path) -> list[Caption]:
    """The captions in a `.vtt`, `.srt` or `.json3` file, ordered by start; malformed cues are left out.

    Raises `UnreadableCaptions`; `OSError` where the file cannot be opened.
    """
    return list(read_track(path).captions)


def read_track(path: Path) -> CaptionTrack:
    """As `read_captions`, with the number of malformed cues that were left out."""
    if path.stat().st_size > _MAX_BYTES:
        raise UnreadableCaptions(f"{path.name}: over {_MAX_BYTES // 1_000_000} MB is no file of captions")
    data = path.read_bytes()
    encoding = "utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    try:
        content = data.decode(encoding)
    except UnicodeDecodeError as error:
        raise UnreadableCaptions(f"{path.name}: not UTF-8 at byte {error.start}; save it as UTF-8") from error
    try:
        return parse_captions(content)
    except UnreadableCaptions as error:
        raise UnreadableCaptions(f"{path.name}: {error}") from error


def parse_captions(content: str) -> CaptionTrack:
    """Parse captions; WebVTT, SRT and json3 are told apart by their content.

    Raises `UnreadableCaptions` where the content is none of them.
    """
    if content.lstrip("\ufeff \t\r\n").startswith("{"):
        return _parse_json3(content)
    # Not splitlines(): it also breaks at characters that may stand inside a line.
    lines = content.lstrip("\ufeff").replace("\r\n", "\n").replace("\r", "\n").split("\n")
    is_webvtt = re.match(r"WEBVTT(?:\s|$)", lines[0]) is not None
    cues, skipped = _cues(lines, is_webvtt)
    if not is_webvtt and not cues and content.strip():
        raise UnreadableCaptions(
            "neither WebVTT, SRT nor json3: no line such as 00:00:01,000 --> 00:00:02,000; "
            "download the captions again as .vtt or .srt"
        )
    captions = _unrolled(cues) if _is_rolling(cues) else [_caption(cue, cue.lines) for cue in cues]
    return _track(captions, skipped)


def caption_text(captions: Iterable[Caption], start_s: float, end_s: float) -> str:
    """The words that are said from `start_s` to `end_s`, as one text.

    A word belongs where its middle lies, so that windows that join take every word once. Words without a time of
    their own are spread over their caption by their length.
    """
    words = [word for caption in captions for word, middle_s in _middles(caption) if start_s <= middle_s < end_s]
    return " ".join(words)


def _middles(caption: Caption) -> Iterator[tuple[str, float]]:
    if caption.words:
        ends = [word.start_s for word in caption.words[1:]] + [caption.end_s]
        for word, end_s in zip(caption.words, ends, strict=True):
            yield word.text, word.start_s + min(max(end_s - word.start_s, 0.0), _LONGEST_WORD_S) / 2
        return
    # A caption stays on the screen when its words have been said.
    spoken_s = min(caption.end_s - caption.start_s, _SLOWEST_S_PER_CHARACTER * (len(caption.text) + 1))
    words, before = caption.text.split(), 0
    for word in words:
        yield word, caption.start_s + spoken_s * (before + (len(word) + 1) / 2) / (len(caption.text) + 1)
        before += len(word) + 1


@dataclass(frozen=True)
class _Line:
    """A line of a cue: `words` with their time, or None where it was not said."""

    words: tuple[tuple[str, float | None], ...]

    @property
    def is_timed(self) -> bool:
        return any(start_s is not None for _, start_s in self.words)

    @property
    def texts(self) -> tuple[str, ...]:
        return tuple(text for text, _ in self.words)


@dataclass(frozen=True)
class _Cue:
    start_s: float
    end_s: float
    lines: tuple[_Line, ...]


def _cues(lines: Sequence[str], is_webvtt: bool) -> tuple[list[_Cue], int]:
    cues: list[_Cue] = []
    skipped = 0
    at = 0
    while at < len(lines):
        # WebVTT has other things between its cues: headers, notes, styles, names of cues.
        if "->" not in lines[at]:
            is_lost = not is_webvtt and lines[at].strip() and not lines[at].strip().isdigit()
            at += 1
            if is_lost:
                skipped += 1
                while at < len(lines) and lines[at].strip() and "->" not in lines[at]:
                    at += 1
            continue
        times = _times(lines[at])
        first = at = at + 1
        while at < len(lines) and lines[at] and "-->" not in lines[at]:
            at += 1
        texts = list(lines[first:at])
        # The number of the next cue, where the empty line before it is missing or has blanks in it.
        if not is_webvtt and at < len(lines) and "-->" in lines[at] and texts and texts[-1].strip().isdigit():
            texts.pop()
        if times is None:
            skipped += 1
        else:
            cues.append(_Cue(*times, _lines(texts)))
    return cues, skipped


def _times(line: str) -> tuple[float, float] | None:
    match = _TIMING.fullmatch(line)
    if not match:
        return None
    start_s, end_s = _seconds(match.groups()[:4]), _seconds(match.groups()[4:])
    return (start_s, end_s) if start_s is not None and end_s is not None and start_s <= end_s else None


def _seconds(parts: Sequence[str | None]) -> float | None:
    hours, minutes, seconds = (int(part or 0) for part in parts[:3])
    if minutes > 59 or seconds > 59:
        return None
    milliseconds = int((parts[3] or "0").ljust(3, "0"))
    return ((hours * 60 + minutes) * 60_000 + seconds * 1000 + milliseconds) / 1000


def _lines(texts: Iterable[str]) -> tuple[_Line, ...]:
    """The lines with words in them; tags and marks may reach over several."""
    pieces: list[tuple[str, float | None]] = []
    for text in texts:
        parts = _INLINE_TIME.split(text)
        pieces.append((parts[0], None))
        for i in range(1, len(parts), 5):
            pieces.append((parts[i + 4], _seconds(parts[i : i + 4])))
        pieces.append(("\n", None))
    return _spoken(pieces)


def _spoken(pieces: Iterable[tuple[str, float | None]]) -> tuple[_Line, ...]:
    """Clean text in pieces, each with the time at which it begins to be said, or None."""
    text, times = "", []
    for piece, start_s in pieces:
        readable = html.unescape(piece).translate(_INVISIBLE).replace("\r", " ")
        text += readable
        times += [start_s] * len(readable)
    # Blanks of the same length keep each character at its time.
    for pattern in (*_UNSPOKEN, _SPEAKER):
        text = pattern.sub(lambda match: re.sub(r"[^\n]", " ", match[0]), text)
    lines, at = [], 0
    for line in text.split("\n"):
        words = tuple((match[0], times[at + match.start()]) for match in re.finditer(r"\S+", line))
        if words:
            lines.append(_Line(words))
        at += len(line) + 1
    return tuple(lines)


def _is_rolling(cues: Sequence[_Cue]) -> bool:
    filled = [cue for cue in cues if cue.lines]
    repeats = sum(_repeated(before.lines, cue.lines) > 0 for before, cue in pairwise(filled))
    if any(line.is_timed for cue in filled for line in cue.lines):
        return repeats > 0
    return len(filled) > 2 and repeats >= _ROLLING_SHARE * (len(filled) - 1)


def _repeated(before: Sequence[_Line], lines: Sequence[_Line]) -> int:
    """How many of the first `lines` were the last ones of the cue before; lines that time their words are new."""
    for count in range(min(len(before), len(lines)), 0, -1):
        shown = [line.texts for line in before[-count:]]
        if shown == [line.texts for line in lines[:count]] and not any(line.is_timed for line in lines[:count]):
            return count
    return 0


def _unrolled(cues: Iterable[_Cue]) -> Iterator[Caption]:
    shown: tuple[_Line, ...] = ()
    for cue in cues:
        new = cue.lines[_repeated(shown, cue.lines) :]
        # A line that grows word by word is shown again from its beginning.
        if new and len(new) == len(cue.lines) and shown and not new[0].is_timed:
            size = len(shown[-1].words)
            if new[0].texts[:size] == shown[-1].texts:
                new = (_Line(new[0].words[size:]), *new[1:])
        if new:
            yield _caption(cue, new)
        shown = cue.lines


def _caption(cue: _Cue, lines: Iterable[_Line]) -> Caption:
    words = [word for line in lines for word in line.words]
    return Caption(
        cue.start_s, cue.end_s, " ".join(text for text, _ in words), _timed_words(words, cue.start_s, cue.end_s)
    )


def _timed_words(words: Sequence[tuple[str, float | None]], start_s: float, end_s: float) -> tuple[TimedWord, ...]:
    """The words with times that never go back, or nothing where too little is known of them."""
    if len(words) > 1 and all(time is None for _, time in words[1:]):
        return ()
    timed, now_s = [], start_s
    for text, time_s in words:
        now_s = min(max(now_s, time_s if time_s is not None else now_s), end_s)
        timed.append(TimedWord(text, now_s))
    return tuple(timed)


def _parse_json3(content: str) -> CaptionTrack:
    try:
        events = json.loads(content.lstrip("\ufeff"))["events"]
        if not isinstance(events, list):
            raise TypeError
    except (json.JSONDecodeError, KeyError, TypeError, RecursionError) as error:
        raise UnreadableCaptions(
            "begins as JSON and is not YouTube's json3 (no list of events); download the captions again"
        ) from error
    captions: list[Caption] = []
    skipped, is_automatic = 0, False
    for event in events:
        if not isinstance(event, dict) or not event.get("segs"):
            # Windows and pens of the player have no text.
            skipped += not isinstance(event, dict)
            continue
        cue = _json3_cue(event)
        if cue is None:
            skipped += 1
        elif cue.lines:
            is_automatic |= any(line.is_timed for line in cue.lines)
            captions.append(_caption(cue, cue.lines))
    captions.sort(key=lambda caption: (caption.start_s, caption.end_s))
    if is_automatic:
        # Automatic lines stay on the screen while the next ones are said.
        ends = [caption.start_s for caption in captions[1:]] + [float("inf")]
        captions = [
            Caption(c.start_s, min(c.end_s, end_s), c.text, c.words) for c, end_s in zip(captions, ends, strict=True)
        ]
    return _track(captions, skipped)


def _json3_cue(event: dict[str, Any]) -> _Cue | None:
    start_ms, duration_ms, segments = event.get("tStartMs"), event.get("dDurationMs", 0), event["segs"]
    if not _is_ms(start_ms) or not _is_ms(duration_ms) or not isinstance(segments, list):
        return None
    pieces: list[tuple[str, float | None]] = []
    for segment in segments:
        if not isinstance(segment, dict) or not isinstance(segment.get("utf8", ""), str):
            return None
        offset_ms = segment.get("tOffsetMs")
        if offset_ms is not None and not _is_ms(offset_ms):
            return None
        pieces.append((segment.get("utf8", ""), None if offset_ms is None else (start_ms + offset_ms) / 1000))
    return _Cue(start_ms / 1000, (start_ms + duration_ms) / 1000, _spoken(pieces))


def _is_ms(value: object) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 10**13


def _track(captions: Iterable[Caption], skipped: int) -> CaptionTrack:
    with_text = (caption for caption in captions if caption.text)
    return CaptionTrack(tuple(sorted(with_text, key=lambda caption: (caption.start_s, caption.end_s))), skipped)
