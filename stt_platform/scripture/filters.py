"""Which pairs are fit for training, and why the others are not. Marked, never dropped."""

from __future__ import annotations

import re
import tomllib
from bisect import bisect_right
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path

from stt_platform.scripture.lexicon import fold
from stt_platform.scripture.pairs import QUARANTINED, Gate, PairRow
from stt_platform.scripture.versification import show_refs

MARKUP = re.compile(r"[{}\[\]<>¶&]")
"""What no text to learn from holds."""
_WORD = re.compile(r"[^\W_]+")
_PSALMS = 19


@dataclass(frozen=True)
class Limits:
    """The limits of `filter_pairs`.

    Attributes:
        length_z: how far the lengths of the sides may be from what is usual between the two texts, in standard
            deviations (Gale and Church 1993); both shorter than `short_characters` are not judged.
        short_characters: see above.
        verses: most verses on one side.
        same_words: from this share of words alike on, a text of at least `same_words_of` words is untranslated.
        same_words_of: see above.
        foreign_words: how many more short words of the other language than of its own a side may have.
    """

    length_z: float = 5.0
    short_characters: int = 20
    verses: int = 4
    same_words: float = 0.8
    same_words_of: int = 5
    foreign_words: int = 2


def filter_pairs(rows: Iterable[PairRow], limits: Limits | None = None) -> list[PairRow]:
    """Mark each pair as accepted or quarantined. The first thing that is wrong gives the reason.

    Lengths, duplicates and order are judged within one pair of texts. Rows that are quarantined already stay so.

    Args:
        rows: pairs of any number of texts, each pair of texts in the order of `join`.

    Returns:
        The same rows in the same order, with `status`, `gate` and `reason`; the reason names the value and the limit.
    """
    limits = limits or Limits()
    listed = list(rows)
    by_texts: dict[tuple[str, str], list[int]] = {}
    for k, row in enumerate(listed):
        by_texts.setdefault((row.en_source, row.es_source), []).append(k)
    for numbers in by_texts.values():
        own = [listed[k] for k in numbers]
        checks = _checks(own, limits)
        seen: dict[tuple[str, str], str] = {}
        for k, row in zip(numbers, own, strict=True):
            if row.status == QUARANTINED:
                continue
            listed[k] = next(
                (row.set_aside(gate, found) for gate, check in checks if (found := check(row)) is not None), row
            )
            same = (_plain(row.en), _plain(row.es))
            if listed[k] is row and (first := seen.setdefault(same, row.pair_id)) != row.pair_id:
                found = f"both sides say the same as {first}; 1 copy is allowed"
                listed[k] = row.set_aside(Gate.DUPLICATE, found)
    return listed


def _checks(rows: list[PairRow], limits: Limits) -> list[tuple[Gate, Callable[[PairRow], str | None]]]:
    """Return the gates in their order, each with a check that says in words what it found, or None."""
    length = _length_model(rows)
    misplaced = _out_of_order(rows)
    return [
        (Gate.EMPTY_SIDE, _empty),
        (Gate.TOO_MANY_VERSES, lambda row: _too_many(row, limits)),
        (Gate.MARKUP, _markup),
        (Gate.UNTRANSLATED, lambda row: _untranslated(row, limits)),
        (Gate.LANGUAGE, lambda row: _language(row, limits)),
        (Gate.ONE_SIDED_TITLE, _one_sided_title),
        (Gate.LENGTH, lambda row: _length(row, length, limits)),
        (Gate.ORDER, lambda row: misplaced.get(row.pair_id)),
    ]


def _empty(row: PairRow) -> str | None:
    for language, text, refs in (("English", row.en, row.es_refs), ("Spanish", row.es, row.en_refs)):
        if not text.strip():
            return f"no {language} text answers {show_refs(refs)}; at least 1 character is needed"
    return None


def _too_many(row: PairRow, limits: Limits) -> str | None:
    if max(len(row.en_refs), len(row.es_refs)) <= limits.verses:
        return None
    sides = f"{len(row.en_refs)} English and {len(row.es_refs)} Spanish"
    return f"{sides} verses in one segment; at most {limits.verses} are allowed"


def _markup(row: PairRow) -> str | None:
    for language, text in (("English", row.en), ("Spanish", row.es)):
        if found := MARKUP.search(text):
            return f"the {language} side holds {found.group()!r}; none of {{ }} [ ] < > ¶ & is allowed"
    return None


def _untranslated(row: PairRow, limits: Limits) -> str | None:
    en, es = _words(row.en), _words(row.es)
    if min(len(en), len(es)) < limits.same_words_of:
        return None
    both = set(en)
    alike = len(both.intersection(es))
    share = alike / (len(both) + len(set(es)) - alike)
    if share < limits.same_words:
        return None
    return f"{share:.0%} of the words are the same on both sides; below {limits.same_words:.0%} is allowed"


def _language(row: PairRow, limits: Limits) -> str | None:
    short = _short_words()
    for language, other, text in (("english", "spanish", row.en), ("spanish", "english", row.es)):
        words = _words(text)
        own, foreign = (sum(map(short[name].__contains__, words)) for name in (language, other))
        if foreign - own > limits.foreign_words:
            return (
                f"the {language.title()} side has {foreign} short {other.title()} words and {own} "
                f"{language.title()} ones; at most {limits.foreign_words} more are allowed"
            )
    return None


def _one_sided_title(row: PairRow) -> str | None:
    if (row.en_refs or row.es_refs)[0] // 1_000_000 != _PSALMS or 1 not in {
        r % 1000 for r in row.en_refs + row.es_refs
    }:
        return None
    titles = _table()["titles"]
    english, spanish = (
        any(_plain(text).startswith(_plain(start)) for start in titles[language])
        for language, text in (("english", row.en), ("spanish", row.es))
    )
    if english == spanish:
        return None
    side = "English" if english else "Spanish"
    return f"1 of 2 sides, the {side} one, begins with a psalm's title; both or none must"


def _length(row: PairRow, model: tuple[float, float], limits: Limits) -> str | None:
    en, es = len(row.en), len(row.es)
    if max(en, es) < limits.short_characters:
        return None
    ratio, variance = model
    z = (es - ratio * en) / (variance * (en + es / ratio) / 2.0) ** 0.5
    if abs(z) <= limits.length_z:
        return None
    return (
        f"{en} English and {es} Spanish characters are {abs(z):.1f} standard deviations from the usual ratio "
        f"of {ratio:.2f}; at most {limits.length_z:g} are allowed"
    )


def _length_model(rows: list[PairRow]) -> tuple[float, float]:
    """Spanish characters per English one, and the variance of the Spanish length per English character."""
    from statistics import median

    sizes = [(len(row.en), len(row.es)) for row in rows if row.en.strip() and row.es.strip()]
    # What is usual cannot be learned from a handful; these are round figures of English and Spanish prose.
    if len(sizes) < 50:
        return 1.0, 6.0
    ratio = median(es / en for en, es in sizes)
    spread = median(abs(es - ratio * en) / en**0.5 for en, es in sizes)
    return ratio, (1.4826 * spread) ** 2 + 0.25


def _out_of_order(rows: list[PairRow]) -> dict[str, str]:
    """Find the fewest pairs of verses that must go for the Spanish ones of each book to ascend with the English ones."""
    found: dict[str, str] = {}
    by_book: dict[int, list[PairRow]] = {}
    for row in rows:
        # A title that Spanish counts as a verse has a number of its own kind on the other side.
        if row.en_refs and row.es_refs and row.en_refs[0] % 1000 and row.es_refs[0] % 1000:
            by_book.setdefault(row.en_refs[0] // 1_000_000, []).append(row)
    for part in by_book.values():
        part = sorted(part, key=lambda row: row.en_refs)
        # Longest ascending run (patience sorting).
        tails: list[int] = []
        at: list[int] = []
        before: list[int] = []
        for k, row in enumerate(part):
            place = bisect_right(tails, row.es_refs[0])
            before.append(at[place - 1] if place else -1)
            tails[place : place + 1] = [row.es_refs[0]]
            at[place : place + 1] = [k]
        kept = set()
        k = at[-1]
        while k >= 0:
            kept.add(k)
            k = before[k]
        for k, row in enumerate(part):
            if k not in kept:
                found[row.pair_id] = (
                    f"{show_refs(row.es_refs)} answers {show_refs(row.en_refs)} but stands out of the order of "
                    "its neighbours; 0 verses out of order are allowed"
                )
    return found


@cache
def _short_words() -> dict[str, frozenset[str]]:
    return {language: frozenset(_table()[language]) for language in ("english", "spanish")}


@cache
def _table() -> dict:
    return tomllib.loads(Path(__file__).with_name("filters.toml").read_text(encoding="utf-8"))


# Every English version meets the same Spanish text, and most checks ask for the words again.
@lru_cache(maxsize=1 << 17)
def _words(text: str) -> tuple[str, ...]:
    return tuple(fold(word) for word in _WORD.findall(text))


def _plain(text: str) -> str:
    return " ".join(_words(text))
