"""Scripture references and names as things of their own: which were heard, which were missed, which were invented.

A word error rate weighs "Habakkuk" as it weighs "the"; to a listener with a Bible it is not the same.
"""

from __future__ import annotations

import re
import tomllib
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path
from typing import Literal

from stt_platform.evaluation.spoken_references import SpokenReference, find_references
from stt_platform.glossary.inflection import english_forms
from stt_platform.glossary.terms import Glossary

Kind = Literal["reference", "name"]
KINDS: tuple[Kind, ...] = ("reference", "name")
Error = Literal["missed", "invented"]

_NAME_DOMAINS = frozenset({"people", "places", "peoples", "books"})
_QUOTES = " \t\n\"'“”‘’()[]"
_ENDS = tuple(".!?:…–—")
_OPENS = tuple('"“([')


@dataclass(frozen=True, slots=True)
class Entity:
    """A reference or a name in a text, `text[start:end]`.

    Attributes:
        value: "JHN 3:16", "2TI 3:14-15", "PSA 23" for a reference; for a name its spelling in the list of names.
    """

    kind: Kind
    value: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class EntityCounts:
    """Entities of the references and of the hypotheses, counted.

    Attributes:
        hits: in both.
        misses: in the reference text only.
        false_alarms: in the hypothesis only.
    """

    hits: int
    misses: int
    false_alarms: int

    @property
    def precision(self) -> float | None:
        """Share of what was heard that was said, 0 to 1; None where nothing was heard."""
        return _share(self.hits, self.hits + self.false_alarms)

    @property
    def recall(self) -> float | None:
        """Share of what was said that was heard, 0 to 1; None where nothing was said."""
        return _share(self.hits, self.hits + self.misses)

    @property
    def f1(self) -> float | None:
        """Harmonic mean of precision and recall (van Rijsbergen 1979); None where there is no entity at all."""
        return _share(2 * self.hits, 2 * self.hits + self.misses + self.false_alarms)


@dataclass(frozen=True, slots=True)
class EntityError:
    """An entity that was missed or invented, `count` times; `pair` is the number of the first pair, from 0."""

    kind: Kind
    value: str
    error: Error
    count: int
    pair: int


@dataclass(frozen=True, slots=True)
class EntityScores:
    """How well references and names were heard, over a whole corpus.

    Attributes:
        total: all kinds together.
        by_kind: (kind, counts) for "reference" and "name".
        examples: the errors, the most frequent first.
    """

    total: EntityCounts
    by_kind: tuple[tuple[Kind, EntityCounts], ...]
    examples: tuple[EntityError, ...]


def find_entities(text: str, names: Collection[str], *, cased: bool | None = None) -> list[Entity]:
    """Find the references and names of a text in order, without overlaps; no name is found inside a reference.

    Names are whole words, the longest first, in any case. A name that is a word too ("Mark", "Job", "Acts") counts
    only with its capital letter inside a sentence; so at the head of a sentence it is not found.

    Args:
        names: as they are written ("Mary Magdalene"); `glossary_names` gives those of a glossary.
        cased: whether the capital letters of the text mean anything; None decides by the text, which must
            have both kinds. Without them no name that is a word too is found.
    """
    cased = is_cased(text) if cased is None else cased
    found = [
        Entity("reference", reference.value, reference.start, reference.end)
        for reference in find_references(text, reordered=True)
        if reference.value is not None and _certain(text, reference, cased)
    ]
    taken = [(entity.start, entity.end) for entity in found]
    pattern, listed = _compiled(frozenset(names))
    for match in pattern.finditer(text) if listed else ():
        word = _key(match[0])
        if word in _table()["names"] and not (cased and _told_by_capital(text, match.start())):
            continue
        if all(match.end() <= start or end <= match.start() for start, end in taken):
            found.append(Entity("name", listed[word], *match.span()))
    return sorted(found, key=lambda entity: entity.start)


def _counted(found: Iterable[Entity]) -> Counter[tuple[Kind, str]]:
    return Counter((entity.kind, entity.value) for entity in found)


def entity_scores(pairs: Sequence[tuple[str, str]], names: Collection[str], *, examples: int = 50) -> EntityScores:
    """Compare the entities of reference texts and hypotheses, pair by pair, as multisets.

    Where one text of a pair has no capital letters (or only those), those of the other are not used either.

    Args:
        pairs: (reference, hypothesis), not normalised.
        examples: how many of the errors are kept.
    """
    counts: dict[Kind, Counter[str]] = {kind: Counter() for kind in KINDS}
    errors: Counter[tuple[Kind, str, Error]] = Counter()
    first: dict[tuple[Kind, str, Error], int] = {}
    for number, pair in enumerate(pairs):
        cased = all(is_cased(text) for text in pair if any(map(str.isalpha, text)))
        said, heard = (_counted(find_entities(text, names, cased=cased)) for text in pair)
        for (kind, _), count in (said & heard).items():
            counts[kind]["hits"] += count
        only_in: dict[Error, Counter[tuple[Kind, str]]] = {"missed": said - heard, "invented": heard - said}
        for error, only in only_in.items():
            for (kind, value), count in only.items():
                counts[kind][error] += count
                errors[kind, value, error] += count
                first.setdefault((kind, value, error), number)
    by_kind: list[tuple[Kind, EntityCounts]] = [
        (kind, EntityCounts(c["hits"], c["missed"], c["invented"])) for kind, c in counts.items()
    ]
    worst = sorted(errors.items(), key=lambda item: (-item[1], item[0]))[:examples]
    return EntityScores(
        EntityCounts(
            *(sum(column) for column in zip(*((c.hits, c.misses, c.false_alarms) for _, c in by_kind), strict=True))
        ),
        tuple(by_kind),
        tuple(EntityError(*key, count, first[key]) for key, count in worst),
    )


def glossary_names(glossary: Glossary) -> tuple[str, ...]:
    """List the names of a glossary, sorted: people, places, peoples, books, and all terms that are names, with their forms.

    Only forms with a capital letter: "synagogue" is no name.
    """
    forms = {
        form
        for sense in glossary.senses
        if sense.pos == "name" or sense.domain in _NAME_DOMAINS
        for form in (sense.en, *sense.en_forms, *english_forms(sense))
    }
    return tuple(sorted(form for form in forms if "#" not in form and any(map(str.isupper, form))))


def is_cased(text: str) -> bool:
    """Return whether a text has small letters and capitals, so that its capitals say something."""
    return any(map(str.isupper, text)) and any(map(str.islower, text))


def _told_by_capital(text: str, start: int) -> bool:
    """Whether a word has a capital letter where no sentence and no quotation begins: there every word has one."""
    before = text[:start].rstrip()
    head = before.endswith(_OPENS) or not before.rstrip(_QUOTES) or before.rstrip(_QUOTES).endswith(_ENDS)
    return text[start].isupper() and not head


def _certain(text: str, reference: SpokenReference, cased: bool) -> bool:
    """Whether it is more than "acts two ways": a book that is a word too has a capital, a verse, or "chapter"."""
    if reference.verses or reference.said not in _table()["books"]:
        return True
    surface = text[reference.start : reference.end]
    return (cased and surface[0].isupper()) or "chapter" in surface.casefold()


@lru_cache(maxsize=8)
def _compiled(names: frozenset[str]) -> tuple[re.Pattern[str], dict[str, str]]:
    """A pattern for all names in all their spellings, and the name of each spelling."""
    listed: dict[str, str] = {}
    for name in sorted(names):
        key = _key(name)
        listed.setdefault(key, name)
        for spelling in _table()["spellings"].get(key, ()):
            listed.setdefault(spelling, name)
    longest = sorted(listed, key=lambda name: (-len(name), name))
    forms = "|".join(re.escape(name).replace(r"\ ", r"\s+").replace("'", "['’]") for name in longest)
    return re.compile(rf"(?<!\w)(?:{forms})(?!\w)", re.IGNORECASE), listed


def _key(name: str) -> str:
    return " ".join(name.casefold().replace("’", "'").split())


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None


def _both_ways(spellings: Iterable[tuple[str, str]]) -> dict[str, tuple[str, ...]]:
    found: dict[str, tuple[str, ...]] = {}
    for one, other in spellings:
        found[one] = (*found.get(one, ()), other)
        found[other] = (*found.get(other, ()), one)
    return found


@cache
def _table() -> dict:
    table = tomllib.loads(Path(__file__).with_name("church_english.toml").read_text(encoding="utf-8"))
    return {
        "names": frozenset(table["names"]["words"]),
        "books": frozenset(table["references"]["words"]),
        "spellings": _both_ways(table["spelling"]["words"].items()),
    }
