"""Find glossary terms in a text: whole words, longest term first, in any regular or listed form."""

import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache

from stt_platform.glossary.inflection import english_forms, plain_english, plain_spanish, spanish_forms
from stt_platform.glossary.terms import Glossary, Sense

_LETTER = r"(?:[^\W_]|[\u0300-\u036f])"
_WORD = re.compile(rf"{_LETTER}+(?:['’ʼ]{_LETTER}+)*")
_HYPHENS = "\u2010\u2011-"
_INSIDE = re.compile(rf"\s+|[{_HYPHENS}]")
_BEFORE_NUMBER = re.compile(r"[\s,.:]+")
_COUNTERS = frozenset({"chapter", "chapters", "verse", "verses"})


@dataclass(frozen=True)
class Match:
    """A term in a text. `text[start:end] == surface`; a possessive ending is not part of it.

    Attributes:
        sense: name of the sense that the place suggests: one scoped to this verse before one that holds
            everywhere, then the order of the table.
        allowed: names of all senses that can be meant here, `sense` first. A translation is right with any of them.
    """

    term_id: str
    sense: str
    start: int
    end: int
    surface: str
    allowed: tuple[str, ...]


def find_terms(
    text: str, glossary: Glossary, language: str = "en", scope: int | None = None, *, cased: bool = True
) -> list[Match]:
    """Find the terms of `text`, in order and without overlaps: the longest wins, "works of the law" over "law".

    Words are compared casefolded and in NFC, with accents; a hyphen inside a term counts as a space, and a term is
    never part of a hyphenated word ("law-giver"), nor of any other.

    Args:
        text: in any Unicode normal form; positions are those of `text` as it is given.
        language: "en", or "es" for the Spanish renderings. Several terms share a Spanish word: then there is one
            match for each of them at the same place.
        scope: the verse, as BBCCCVVV: senses that do not hold there are left out. None for a sermon: every sense
            can be meant.
        cased: False for texts without capitals, where "mark" may be Mark.

    Raises:
        ValueError: for another language.
    """
    return compiled(glossary, language).find(text, scope, cased=cased)


def standing(
    text: str, glossary: Glossary, language: str = "es", scope: int | None = None
) -> frozenset[tuple[str, str]]:
    """Keys of all senses of which some form stands in `text`, inside longer terms as well.

    Language "forbidden" asks for the renderings that are never right.
    """
    return compiled(glossary, language).keys(text, scope)


@lru_cache(maxsize=16)
def compiled(glossary: Glossary, language: str) -> "Matcher":
    """Return the matcher of a glossary, made once: for "en", "es", "es lemmas" (no other rendering) or "forbidden".

    Raises `ValueError` for another language.
    """
    if language == "en":
        return Matcher(_english(glossary))
    if language == "es":
        return Matcher([(form, s) for s in glossary.senses for form in (*plain_spanish(s), *spanish_forms(s))])
    if language == "es lemmas":
        bare = [replace(sense, es_forms=()) for sense in glossary.senses]
        return Matcher([(form, sense) for sense in bare for form in (sense.es, *spanish_forms(sense))])
    if language == "forbidden":
        return Matcher([(form, s) for s in glossary.senses for form in s.forbidden])
    raise ValueError(f"language {language!r}: use 'en' or 'es'")


def _english(glossary: Glossary) -> list[tuple[str, Sense]]:
    listed = [(form, sense) for sense in glossary.senses for form in plain_english(sense)]
    owner = {form: sense.term_id for form, sense in listed}
    # An inflection that another term lists is that term's: "scriptures" may have a row of its own.
    regular = [(form, sense) for sense in glossary.senses for form in english_forms(sense)]
    return listed + [(form, s) for form, s in regular if owner.setdefault(form, s.term_id) == s.term_id]


@dataclass(frozen=True, slots=True)
class Candidate:
    """A stretch of text that is a form of `senses`, all of which hold there, the likeliest first."""

    start: int
    end: int
    words: int
    capitals: int
    senses: tuple[Sense, ...]


@dataclass(slots=True)
class _Node:
    words: dict[str, "_Node"] = field(default_factory=dict)
    stems: dict[str, "_Node"] = field(default_factory=dict)
    forms: list[tuple[Sense, tuple[tuple[int, ...], ...]]] = field(default_factory=list)
    before_number: list[tuple[Sense, tuple[tuple[int, ...], ...]]] = field(default_factory=list)

    def after(self, key: str) -> list["_Node"]:
        found = [self.words[key]] if key in self.words else []
        return found + [node for stem, node in self.stems.items() if key.startswith(stem)]


class Matcher:
    """A trie of words: the time depends on the text, hardly on the number of terms."""

    def __init__(self, forms: Sequence[tuple[str, Sense]]) -> None:
        self._root = _Node()
        for form, sense in dict.fromkeys(forms):
            self._add(form, sense)
        # Words repeat: what a word opens is worked out once for each spelling of it.
        self._opened = lru_cache(maxsize=1 << 16)(self._opens)

    def find(self, text: str, ref: int | None = None, *, cased: bool = True) -> list[Match]:
        """See `find_terms`."""
        candidates = self.candidates(text, ref, cased=cased)
        candidates.sort(key=lambda item: (-item.words, -item.capitals, item.start))
        taken: list[Candidate] = []
        for candidate in candidates:
            if all(candidate.end <= other.start or other.end <= candidate.start for other in taken):
                taken.append(candidate)
        return [match for item in sorted(taken, key=lambda item: item.start) for match in _matches(text, item)]

    def candidates(self, text: str, ref: int | None = None, *, cased: bool = True) -> list[Candidate]:
        """Return all terms of `text` whose senses hold at `ref`, overlapping ones too."""
        words = list(_WORD.finditer(text))
        return [
            candidate
            for i, word in enumerate(words)
            if self._opened(word.group()) and not _hyphen_before(text, word.start())
            for candidate in self._from(text, words, i, ref, cased)
        ]

    def keys(self, text: str, ref: int | None = None) -> frozenset[tuple[str, str]]:
        """Keys of all senses that have a form in `text`, inside longer terms as well."""
        return frozenset(sense.key for found in self.candidates(text, ref) for sense in found.senses)

    def _add(self, form: str, sense: Sense) -> None:
        words = re.split(rf"[\s{_HYPHENS}]+", unicodedata.normalize("NFC", form))
        before_number = words[-1] == "#"
        if before_number:
            words.pop()
        node = self._root
        for word in words:
            key = _key(word)
            branch = node.stems if key.endswith("*") else node.words
            node = branch.setdefault(key.removesuffix("*"), _Node())
        capitals = tuple(tuple(i for i, letter in enumerate(word) if letter.isupper()) for word in words)
        (node.before_number if before_number else node.forms).append((sense, capitals))

    def _opens(self, word: str) -> bool:
        key = _key(word)
        return bool(self._root.after(key) or self._root.after(_owner(key)))

    def _from(self, text: str, words: list[re.Match[str]], first: int, ref: int | None, cased: bool):
        nodes = [self._root]
        for last in range(first, len(words)):
            if last > first and not _INSIDE.fullmatch(text, words[last - 1].end(), words[last].start()):
                return
            key, end = _key(words[last].group()), words[last].end()
            owner = _owner(key)
            if owner != key:
                ended = [after for node in nodes for after in node.after(owner)]
                yield from self._ended(text, words[first : last + 2], last - first, end - 2, ended, ref, cased)
            nodes = [after for node in nodes for after in node.after(key)]
            if not nodes:
                return
            yield from self._ended(text, words[first : last + 2], last - first, end, nodes, ref, cased)

    def _ended(self, text, words, last: int, end: int, nodes, ref: int | None, cased: bool) -> Iterator[Candidate]:
        """Candidates of `words[0]` to `words[last]`; one word more may be given, to see a number in it."""
        if _hyphen_after(text, words[last].end()):
            return
        number = False
        if any(node.before_number for node in nodes) and len(words) > last + 1:
            following = words[last + 1]
            number = bool(_BEFORE_NUMBER.fullmatch(text, words[last].end(), following.start())) and (
                following.group()[0].isdigit() or following.group().casefold() in _COUNTERS
            )
        spelled = [unicodedata.normalize("NFC", word.group()) for word in words[: last + 1]]
        found: dict[tuple[int, int], list[Sense]] = {}
        for node in nodes:
            for extra, forms in ((0, node.forms), (1, node.before_number if number else ())):
                for sense, capitals in forms:
                    if sense.scope.holds(ref) and (not cased or _capitals_stand(spelled, capitals)):
                        found.setdefault((last + 1 + extra, sum(map(len, capitals))), []).append(sense)
        for (length, capitals), senses in found.items():
            likely = sorted(dict.fromkeys(senses), key=lambda sense: ref is not None and not sense.scope.ranges)
            yield Candidate(words[0].start(), end, length, capitals, tuple(likely))


def _matches(text: str, found: Candidate) -> list[Match]:
    """One match for each term of the candidate: one in English, where no two terms share a form."""
    allowed: dict[str, list[str]] = {}
    for sense in found.senses:
        allowed.setdefault(sense.term_id, []).append(sense.name)
    surface = text[found.start : found.end]
    return [
        Match(term_id, names[0], found.start, found.end, surface, tuple(names)) for term_id, names in allowed.items()
    ]


def _key(word: str) -> str:
    key = unicodedata.normalize("NFC", word).casefold()
    return unicodedata.normalize("NFC", key).replace("’", "'").replace("ʼ", "'")


def _owner(key: str) -> str:
    """ "abraham" of "abraham's"; the possessive of a plural ("apostles'") ends in no letter and needs nothing."""
    return key.removesuffix("'s")


def _capitals_stand(spelled: list[str], capitals: tuple[tuple[int, ...], ...]) -> bool:
    return all(
        i < len(word) and word[i].isupper() for word, places in zip(spelled, capitals, strict=True) for i in places
    )


def _hyphen_before(text: str, start: int) -> bool:
    """Return whether the word is the tail of a hyphenated one; a dash written "--" joins nothing."""
    return start > 1 and text[start - 1] in _HYPHENS and text[start - 2].isalnum()


def _hyphen_after(text: str, end: int) -> bool:
    return end + 1 < len(text) and text[end] in _HYPHENS and text[end + 1].isalnum()
