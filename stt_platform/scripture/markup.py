"""Marks out of one verse: OSIS, GBF and ThML tags, notes in braces, entities, brackets, pilcrows.

The words stay, and what is taken out is kept with its kind. Titles come apart from the verse.
"""

import html
import re
from dataclasses import dataclass, field

from stt_platform.scripture.texts import Removed

_TAG = re.compile(r"<(/?)([A-Za-z][\w:]*)((?:\s[^<>]*?)?)(/?)>")
# Where two pieces of text meet that a note or a pair of tags kept apart.
_SEAM = "\x00"
_SPACE_AT_SEAM = re.compile(rf"(?<=[^\s(\[“‘«¿¡—{_SEAM}])[{_SEAM}]+(?=[\w“‘(¿¡«])")
_NOTES = {"note", "rf", "footnote", "scripref", "rdg"}
_HEADINGS = {"title", "ts", "speaker", "head"}
_SUPPLIED = {"transchange", "fi", "i", "added"}
# Word-level elements carry nothing of their own; a Bible has 700,000 of them, so they go in one sweep, after
# two that touch were kept apart.
_TOUCHING = re.compile(r"(</(?:w|transChange)>)(?=<(?:w|transChange)\b)")
_TRANSPARENT = re.compile(r"</?(?:w|q|seg|divineName|foreign|hi|name|abbr|rb|w_)\b[^<>]*>")
_LINE = re.compile(r"</?(?:l|lb|lg|p|br|div|item|list|row|cell|milestone|CM|CL|pb)\b[^<>]*>")

_ANGLES = re.compile(r"&lt;(.*?)&gt;")
_BRACES = re.compile(r"\{([^{}]*)\}")
_MERGE = re.compile(r"\\(\d+:\d+)\\")
_USFM_MARK = re.compile(r"\\\+?[a-z]+\d?\*?")
_BRACKETS = re.compile(r"\[([^\[\]]*)\]")
_BACKTICKS = re.compile(r"`((?:[^`'.;!?]|'(?=\w))+[.,;]?)'(?!\w)")
# Dots that stand alone are words that could not be translated; those after a word are speech that breaks off.
_GAP = re.compile(r"\*{2,}|(?<!\S)\.{3,}")
_LOOSE = re.compile(r"[¶§†‡*|\[\]{}<>\\\u200b\ufeff\xad]|(?<!\S)\+(?!\S)")
_AND = {"en": "and", "es": "y"}
_MAX_SUPPLIED_WORDS = 8
_VERSE_IN_TEXT = re.compile(r"\((\d{1,3}):(\d{1,3})\)\s*")

# Misprints: "Bucita,, de la familia de Ram".
_DOUBLED = re.compile(r"(?<![,.])([,.])\1(?![,.])")


@dataclass
class Stripped:
    """A verse without marks. `titles` are what stood before or in it as a title, `endings` what stood below the
    chapter's end; `removed` is the rest of what was taken out."""

    text: str = ""
    titles: list[str] = field(default_factory=list)
    endings: list[str] = field(default_factory=list)
    headings: list[str] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)


def strip_marks(raw: str, language: str) -> Stripped:
    """Take all marks out of one verse as published."""
    row = Stripped()
    text = raw
    if "&lt;" in text:
        text = _ANGLES.sub(r'<title type="marked">\1</title>', text)
    if "<" in text:
        text = _without_tags(text, row)
    row.text = plain_words(text, language, row.removed)
    for name in ("titles", "endings", "headings"):
        setattr(
            row, name, [words for part in getattr(row, name) if (words := plain_words(part, language, row.removed))]
        )
    return row


def plain_words(text: str, language: str, removed: list[str]) -> str:
    """Strip entities, notes in braces, brackets and other signs; what goes is added to `removed`."""
    if "&" in text:
        text = _entities(text, language, removed)
    if "{" in text:
        text = _BRACES.sub(lambda match: _drop(Removed.NOTE, match[1], removed, _SEAM), text)
    if "\\" in text:
        text = _MERGE.sub(lambda match: _drop(Removed.MERGE, match[1], removed, " "), text)
        text = _USFM_MARK.sub(lambda match: _drop(Removed.MARKUP, match[0], removed, ""), text)
    if "[" in text:
        text = _BRACKETS.sub(lambda match: _keep(match[1], removed), text)
    if "`" in text:
        text = _BACKTICKS.sub(lambda match: _supplied(match, removed), text)
        text = text.replace("`", "'")
    if "..." in text or "*" in text:
        text = _GAP.sub(lambda match: _drop(Removed.GAP, match[0], removed, " "), text)
    text = _LOOSE.sub(lambda match: _drop(Removed.MARKUP, match[0], removed, " "), text)
    if _SEAM in text:
        text = _SPACE_AT_SEAM.sub(" ", text).replace(_SEAM, "")
    if ",," in text or ".." in text:
        text = _DOUBLED.sub(lambda match: _drop(Removed.DOUBLED, match[0], removed, match[1]), text)
    # A stop that lost its word, and spaces that italics left.
    return re.sub(r"\s+(?=[,;:.?!)](?:[\s'’\"”)]|$))", "", " ".join(text.split()))


def verses_within(ref: int, text: str) -> list[tuple[int, str]]:
    """Split a text that says where other verses of its chapter begin, "(14:24) Now to him", as rows of their own."""
    chapter = ref // 1000 % 1000
    marks = [
        match for match in _VERSE_IN_TEXT.finditer(text) if int(match[1]) == chapter and int(match[2]) > ref % 1000
    ]
    if not marks:
        return [(ref, text)]
    rows = [(ref, text[: marks[0].start()].strip())]
    ends = [match.start() for match in marks[1:]] + [len(text)]
    return rows + [
        (ref // 1000 * 1000 + int(match[2]), text[match.end() : end].strip())
        for match, end in zip(marks, ends, strict=True)
    ]


def _without_tags(text: str, row: Stripped) -> str:
    out: list[str] = []
    # Where text goes: a list and the kind of what is collected in it.
    sinks: list[tuple[str, str, list[str]]] = [("", "", out)]
    ended = False
    place = 0
    text = _LINE.sub(" ", _TRANSPARENT.sub("", _TOUCHING.sub(rf"\1{_SEAM}", text)))
    if "<" not in text:
        return text
    for tag in _TAG.finditer(text):
        sinks[-1][2].append(text[place : tag.start()])
        place = tag.end()
        closing, name, attributes, alone = tag[1], tag[2].casefold(), tag[3], tag[4]
        if len(tag[2]) == 2 and tag[2][0].isupper() and tag[2][1].islower():
            # GBF closes "FI" by "Fi".
            closing = "/"
        if name == "range":
            row.removed.append(Removed.RANGE.entry("the verse after stands in this one"))
        elif alone:
            sinks[-1][2].append(" ")
            ended = ended or (name == "chapter" and "eID=" in attributes)
            if ended and len(sinks) == 1:
                sinks.append(("end", "end", []))
        elif closing:
            if sinks[-1][0] == name and len(sinks) > 1:
                _close(sinks, row, ended)
        else:
            if name in _NOTES and sinks[-1][1] != "note":
                sinks.append((name, "note", []))
            elif name in _HEADINGS:
                titled = 'canonical="true"' in attributes or 'type="psalm"' in attributes or '"marked"' in attributes
                sinks.append((name, "title" if titled else "heading", []))
            elif name in _SUPPLIED:
                sinks.append((name, "supplied", []))
            elif name == "reference" and "annotateRef" in attributes:
                sinks.append((name, "label", []))
    sinks[-1][2].append(text[place:])
    while len(sinks) > 1:
        _close(sinks, row, ended)
    return "".join(out)


def _close(sinks: list[tuple[str, str, list[str]]], row: Stripped, ended: bool) -> None:
    _, kind, parts = sinks.pop()
    words = " ".join("".join(parts).replace(_SEAM, "").split())
    outer = sinks[-1][2]
    if kind == "supplied":
        outer.append("".join(parts))
        if words and sinks[-1][1] in ("", "supplied"):
            row.removed.append(Removed.SUPPLIED.entry(words))
    elif kind == "note":
        outer.append(_SEAM)
        if words:
            row.removed.append(Removed.NOTE.entry(html.unescape(words)))
    elif kind == "title" and not ended:
        row.titles.append(words)
    elif kind in ("title", "heading") and ended:
        row.endings.append(words)
    elif kind == "heading":
        row.headings.append(words)
    elif kind == "end" and words:
        row.removed.append(Removed.NOTE.entry(html.unescape(words)))


def _entities(text: str, language: str, removed: list[str]) -> str:
    def one(match: re.Match) -> str:
        sign = html.unescape(match[0])
        if sign in "<>":
            return _drop(Removed.MARKUP, match[0], removed, " ")
        return sign

    text = re.sub(r"&#?\w+;", one, text)
    # What is left is an "and"; letters that only stand for a mark went above.
    return re.sub(r"\s*&\s*", lambda match: _drop(Removed.MARKUP, "&", removed, f" {_AND.get(language, 'and')} "), text)


def _drop(kind: Removed, words: str, removed: list[str], instead: str) -> str:
    if words.strip():
        removed.append(kind.entry(" ".join(words.replace(_SEAM, "").split())))
    return instead


def _keep(words: str, removed: list[str]) -> str:
    if words.strip():
        removed.append(Removed.SUPPLIED.entry(" ".join(words.replace(_SEAM, "").split())))
    return words


def _supplied(match: re.Match, removed: list[str]) -> str:
    words = match[1]
    # What begins small, or is one word without a stop, was in italics; the rest is quoted speech.
    if len(words.split()) > _MAX_SUPPLIED_WORDS or not (words[0].islower() or re.fullmatch(r"\w+(?: \w+)*", words)):
        return f"'{words}'"
    return _keep(words, removed)
