"""English of sermons as it is compared: Whisper's normalisation, without its faults in church speech.

What differs only in writing becomes one form; what was said otherwise stays different. "John 3:16" is "John chapter
three verse sixteen", but "the twenty-third Psalm" is not "Psalm 23". The tables are in `church_english.toml`.
"""

from __future__ import annotations

import re
import tomllib
import unicodedata
from functools import cache
from pathlib import Path

from stt_platform.evaluation.spoken_numbers import ONES, ORDINALS, TEENS, TENS
from stt_platform.evaluation.spoken_references import Range, SpokenReference, find_references
from stt_platform.evaluation.wer import normalise_english
from stt_platform.scripture.grid import chapters_in

_MOST_PASSES = 8

_NUMBER = rf"(?:{'|'.join((*ONES, *TEENS, *TENS))})"
_DIGIT = rf"(?:{'|'.join(ONES)})"
_APOSTROPHES = str.maketrans("’‘ʼ`´′", "''''''")

_BRACKETS = re.compile(r"[<\[][^>\]]*[>\]]")
_ROUND = re.compile(r"\(([^()]*)\)")
_FILLER = re.compile(r"\b(?:h+m+|m{2,}|mhm|u+h+m*|u+m+|e+rm+)\b", re.IGNORECASE)
_A_HUNDRED = re.compile(r"\ban?\s+(?=(?:hundred|thousand|million|billion)\b)", re.IGNORECASE)
_FOLD = re.compile(rf"\b({_NUMBER}|hundred|thousand|\d+)[\s-]?fold\b", re.IGNORECASE)
_CHAPTER_COLON = re.compile(rf"\b(chapter\s+(?:\d+|{_NUMBER}(?:[\s-]{_NUMBER})?))\s*:\s*(?=\d)", re.IGNORECASE)
_INITIALS = re.compile(r"\b[a-z]\.(?:\s?[a-z]\.)+")
_CLOCK = re.compile(r"\b(\d{1,2}):(\d\d)\b")

_IT_IS = re.compile(r"(?<!\w)'t(is|was)\b")
_HAS = re.compile(r"\b([^\W_]+)'s\s+(been|gone|got)\b")
_WITH_APOSTROPHE = re.compile(r"(?<![^\W_])[^\W_]*'+[^\W_]*(?:'+[^\W_]*)*")
# Whisper's rules know these.
_CONTRACTED = re.compile(
    r".+n't|.+'(?:re|ll|ve)|i'm|y'all|ma'am|i'ma"
    r"|(?:i|you|he|she|it|we|they|who|that|there|what|how|where)'d"
)
# After these words 's is "is"; after any other it is taken for the possessive.
_IS = re.compile(
    r"he|she|it|that|this|there|here|what|who|where|when|how|why|(?:some|any|every|no)(?:thing|body)|(?:some|any|every)one"
)

# What Whisper's rules must not see: possessives, and "O", which they take for a zero.
_KEPT = re.compile(r"\b(?:[^\W_]+'s|o)\b")
_ZERO = re.compile(rf"\b({_NUMBER})\s+o\s+(?={_DIGIT}\b)")
_SINGLE_DIGITS = re.compile(rf"\b({_DIGIT})\s+(?={_DIGIT}\b)")
# Two numbers meet here, and Whisper would read one: "1984, thirty people", "20 one".
_APART = re.compile(rf"[,;:!?]+\s+|(?<=\d)\s+(?=(?:{_NUMBER}|{'|'.join(ORDINALS)})\b)|\n")


def normalise_church_english(text: str) -> str:
    """A text as it is compared for the normalised word error rate of sermons.

    As `normalise_english`, with these differences. Scripture references have one form ("john 3 16", "one corinthians
    13", "2 timothy 3 14 to 15"). "O" and "Oh" are one word and no zero. Possessives stay ("god's"); names in s have
    none ("Jesus'", "Jesus's"). What stands in round brackets counts, unless it is a sound ("(applause)"). Single
    digits in a row stay single, and "a hundred" is 100. British spelling and that of older Bibles is American.
    Typographic apostrophes and initials ("B.C.") are read. The number 1 is "one", as in Whisper's.

    The result normalised again is the same. Text without a word gives "".
    """
    for _ in range(_MOST_PASSES):
        # Whisper's rules look at neighbours, which are others once a sound or a point is gone.
        before, text = text, _normalised(text)
        if text == before:
            break
    return text


def _normalised(text: str) -> str:
    text = re.sub(r"\.{2,}", " ", unicodedata.normalize("NFKC", text)).translate(_APOSTROPHES)
    text = _ROUND.sub(_unless_sound, _BRACKETS.sub(" ", text))
    text = _A_HUNDRED.sub("one ", _FOLD.sub(r"\1 fold", _FILLER.sub("", text)))
    text = _CHAPTER_COLON.sub(r"\1 verse ", text)
    pieces, end = [], 0
    for reference in find_references(text):
        pieces += [_prose(text[end : reference.start]), *_written(reference)]
        end = reference.end
    pieces.append(_prose(text[end:]))
    return " ".join(piece for piece in pieces if piece)


def _unless_sound(match: re.Match[str]) -> str:
    words = re.findall(r"[^\W_]+", match[1].casefold())
    return " " if words and _table()["sounds"].issuperset(words) else f" {match[1]} "


def _written(reference: SpokenReference) -> list[str]:
    """The words of a reference in the one form."""
    if reference.book is None:
        several = len(reference.verses) > 1 or any(first < last for first, last in reference.verses)
        return ["verses" if several else "verse", *_ranges(reference.verses)]
    words = [] if reference.prefix is None else [_number(reference.prefix)]
    words.append(reference.said)
    if not reference.verses or chapters_in(reference.book) > 1:
        words += _ranges(reference.chapters)
    words += _ranges(reference.verses)
    if reference.last is not None:
        words += ["to", *map(_number, reference.last)]
    return words


def _ranges(ranges: tuple[Range, ...]) -> list[str]:
    words: list[str] = []
    for low, high in ranges:
        words += ["and"] * bool(words) + [_number(low)]
        words += ["to", _number(high)] if high > low else []
    return words


def _number(value: int) -> str:
    return "one" if value == 1 else str(value)


def _prose(text: str) -> str:
    """What stands between references."""
    text = _CLOCK.sub(r"\1\2", text.lower())
    text = _table()["alike"].sub(lambda match: _table()["written_alike"][" ".join(match[0].split())], text)
    text = _INITIALS.sub(lambda match: re.sub(r"\W", "", match[0]) + " ", text)
    text = _HAS.sub(r"\1 has \2", _IT_IS.sub(r"it \1", text))
    text = _WITH_APOSTROPHE.sub(_without_apostrophe, text)
    text = _SINGLE_DIGITS.sub("\\1\n", _ZERO.sub(r"\1 zero ", text.replace("\n", " ")))
    words: list[str] = []
    end = 0
    for kept in _KEPT.finditer(text):
        words += _plain(text[end : kept.start()])
        words.append(_american(kept[0]))
        end = kept.end()
    return " ".join(words + _plain(text[end:]))


def _without_apostrophe(match: re.Match[str]) -> str:
    word = re.sub(r"'+", "'", match[0]).strip("'")
    if "'" not in word or _CONTRACTED.fullmatch(word):
        return word
    stem, _, ending = word.rpartition("'")
    stem = stem.replace("'", "")
    if ending == "s":
        if stem == "let" or _IS.fullmatch(stem):
            return "let us" if stem == "let" else f"{stem} is"
        if stem.isdecimal():
            return f"{stem}s"
        return stem if stem.endswith("s") else f"{stem}'s"
    # "bless'd" of the hymns; after a pronoun it would be "would".
    return stem + ("ed" if ending == "d" else ending)


def _plain(text: str) -> list[str]:
    return [_american(word) for part in _APART.split(text) for word in normalise_english(part).split()]


def _american(word: str) -> str:
    stem, _, ending = word.partition("'")
    return _table()["american"].get(stem, stem) + ("'" + ending if ending else "")


@cache
def _table() -> dict:
    table = tomllib.loads(Path(__file__).with_name("church_english.toml").read_text(encoding="utf-8"))
    spelling = table["spelling"]
    american = dict(spelling["words"])
    for british, ours in (("our", "or"), ("is", "iz"), ("ys", "yz"), ("ll", "l")):
        rows = spelling[british]
        american |= {stem + british + e: stem + ours + e for stem in rows["stems"] for e in rows["endings"]}
    alike = "|".join(re.escape(key).replace(r"\ ", r"\s+") for key in sorted(table["written_alike"], key=len)[::-1])
    return {
        "sounds": frozenset(table["sounds"]["words"]),
        "written_alike": table["written_alike"],
        "alike": re.compile(rf"(?<!\w)(?:{alike})(?!\w)"),
        "american": american,
    }
