"""Words and numbers of a text, in the ways in which they are said: "twenty-three", "one hundred and nineteen"."""

from __future__ import annotations

import re
from typing import NamedTuple

ONES = ("one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
TEENS = ("ten", "eleven", "twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen")
TENS = ("twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")

_VALUE = {
    **{word: i for i, word in enumerate((*ONES, *TEENS), start=1)},
    **{word: 10 * i for i, word in enumerate(TENS, start=2)},
}
_IRREGULAR = {"one": "first", "two": "second", "three": "third", "five": "fifth", "nine": "ninth"}
_IRREGULAR |= {"eight": "eighth", "twelve": "twelfth"} | {word: word[:-1] + "ieth" for word in TENS}
_ORDINAL = {_IRREGULAR.get(word, word + "th"): value for word, value in _VALUE.items()}
ORDINALS = tuple(_ORDINAL)

_TOKEN = re.compile(r"\d+(?:(?:st|nd|rd|th)(?![^\W\d_]))?|[^\W\d_]+(?:['’][^\W\d_]+)*", re.IGNORECASE)
_BLANK = re.compile(r"\s+")
_SOON = re.compile(r"\s+|\s*,\s*|\.\s+")


class Token(NamedTuple):
    """A word or a number, in lower case, and where it stands."""

    word: str
    start: int
    end: int


class Number(NamedTuple):
    """A number and the token after it; `follows` when it is only the tail of one ("oh three")."""

    value: int
    next: int
    worded: bool
    follows: bool = False


class Words:
    """The words and numbers of a text. A place past the last is an empty word behind a line break."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.tokens = [Token(m[0].casefold().replace("’", "'"), *m.span()) for m in _TOKEN.finditer(text)]

    def word(self, i: int) -> str:
        """The word or number at a place, in lower case."""
        return self.tokens[i].word if i < len(self.tokens) else ""

    def blank(self, i: int) -> bool:
        """Whether a token stands there with only white space before it."""
        return i < len(self.tokens) and bool(_BLANK.fullmatch(self.gap(i)))

    def soon(self, i: int) -> bool:
        """Whether a token stands there with no more than a comma, or the point of an abbreviation, before it."""
        return i < len(self.tokens) and bool(_SOON.fullmatch(self.gap(i)))

    def gap(self, i: int) -> str:
        """What stands between a token and the one before it."""
        if not 0 < i < len(self.tokens):
            return "\n" if i else ""
        return self.text[self.tokens[i - 1].end : self.tokens[i].start]

    def number(self, i: int) -> Number | None:
        """One number as it is said in one go: "16", "twenty three", "a hundred and nineteen" without its "a"."""
        word = self.word(i)
        if word.isdecimal():
            thousands = self.gap(i + 1) == "," and re.fullmatch(r"\d{3}", self.word(i + 1))
            return None if thousands or len(word) > 4 or int(word) == 0 else Number(int(word), i + 1, False)
        if word in ("oh", "o", "zero"):
            said = self.word(i + 1)
            return Number(_VALUE[said], i + 2, True, True) if said in ONES and self.blank(i + 1) else None
        if word in ONES and self.word(i + 1) == "hundred" and self.blank(i + 1):
            hundreds, after = 100 * _VALUE[word], i + 2
            rest = after + 1 if self.word(after) == "and" and self.blank(after) else after
            tail = self._below_hundred(rest) if self.blank(rest) else None
            return Number(hundreds + tail[0], tail[1], True) if tail else Number(hundreds, after, True)
        below = self._below_hundred(i)
        return None if below is None else Number(*below, True)

    def ordinal(self, i: int) -> tuple[int, int] | None:
        """ "23rd", "twenty-third", "one hundred and third" as a number, and the token after it."""
        word = self.word(i)
        if match := re.fullmatch(r"(\d{1,3})(?:st|nd|rd|th)", word):
            return int(match[1]), i + 1
        if word in _ORDINAL:
            return _ORDINAL[word], i + 1
        if word in TENS and self.word(i + 1) in _ORDINAL and self.gap(i + 1).strip() in ("", "-"):
            return _VALUE[word] + _ORDINAL[self.word(i + 1)], i + 2
        if word in ONES and self.word(i + 1) == "hundred":
            tail = self.ordinal(i + 3 if self.word(i + 2) == "and" else i + 2)
            return (100 * _VALUE[word] + tail[0], tail[1]) if tail else None
        return None

    def _below_hundred(self, i: int) -> tuple[int, int] | None:
        word = self.word(i)
        if word in TENS and self.word(i + 1) in ONES and re.fullmatch(r"\s+|-", self.gap(i + 1)):
            return _VALUE[word] + _VALUE[self.word(i + 1)], i + 2
        return (_VALUE[word], i + 1) if word in _VALUE else None


def together(said: list[Number]) -> int | None:
    """One number, or two that say one: "one nineteen" is 119, "one oh three" 103."""
    if len(said) == 1:
        return None if said[0].follows else said[0].value
    first, second = said
    hundreds = first.worded and second.worded and first.value < 10 and not first.follows
    return 100 * first.value + second.value if hundreds and (second.follows or 10 <= second.value < 100) else None
