"""Does a translation use the glossary's Spanish where its source has the English term?

A term is judged only where the reference itself has an allowed rendering: elsewhere a free translation is right too,
and a metric that wants the glossary's word would punish it. These places are counted apart.
"""

from __future__ import annotations

import tomllib
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from functools import cache, lru_cache
from operator import attrgetter
from pathlib import Path
from typing import Literal

from stt_platform.glossary.matching import compiled
from stt_platform.glossary.terms import Glossary, Sense, Term

HintMode = Literal["no_hints", "hinted", "random_hints"]
"""The three modes of the WMT25 terminology task, as `glossary.augment.control_examples` names them."""


@dataclass(frozen=True)
class TermRow:
    """A translation to be judged.

    Attributes:
        source: English as people wrote it: without the hints, whatever the model was shown.
        ref: the verse as BBCCCVVV, which narrows the senses; None outside scripture.
        hints: (English, Spanish) that the model was given.
    """

    segment_id: str
    source: str
    hypothesis: str
    reference: str
    ref: int | None = None
    genre: str = ""
    mode: str = "no_hints"
    hints: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Occurrence:
    """A term of the glossary in one row; one that stands there twice counts once.

    Attributes:
        sense: that of the reference: the first that can be meant and whose Spanish stands there; else the likeliest.
        hinted: the term was hinted to in this segment in the mode "hinted". The same in all modes, so that a mode can
            be compared with another on the same terms.
        judged: an allowed rendering stands in the reference.
        hit: the Spanish of any sense that can be meant stands in the hypothesis, in any listed or regular form.
        sense_hit: that of `sense` does.
        lemma_hit, reference_lemma: the lemma of a sense that can be meant, inflected, stands in the hypothesis, in the
            reference. A lemma is what a hint gives; RVR1909 often has another right word.
        forbidden: the hypothesis has a rendering that is never right for any sense that can be meant, and the
            reference does not. `reference_forbidden`: the reference has one.
    """

    segment_id: str
    mode: str
    genre: str
    term_id: str
    sense: str
    hinted: bool
    judged: bool
    hit: bool
    sense_hit: bool
    lemma_hit: bool
    reference_lemma: bool
    forbidden: bool
    reference_forbidden: bool


@dataclass(frozen=True)
class TermCounts:
    """Sums over occurrences.

    Attributes:
        found: all occurrences; `total` those that are judged, `free` the others, where the reference goes without.
        hits, sense_hits, lemma_hits, reference_lemmas: of the `total`.
        free_hits: of the `free`: the hypothesis uses the glossary's word where the reference does not.
        forbidden, reference_forbidden: of all that were found.
    """

    found: int
    total: int
    hits: int
    sense_hits: int
    lemma_hits: int
    reference_lemmas: int
    free: int
    free_hits: int
    forbidden: int
    reference_forbidden: int

    @property
    def accuracy(self) -> float | None:
        """hits / total, 0 to 1; None where nothing was judged."""
        return _rate(self.hits, self.total)

    @property
    def sense_accuracy(self) -> float | None:
        """sense_hits / total: a right rendering of another sense does not count."""
        return _rate(self.sense_hits, self.total)

    @property
    def lemma_accuracy(self) -> float | None:
        """lemma_hits / total; what the reference itself reaches is `lemma_ceiling`."""
        return _rate(self.lemma_hits, self.total)

    @property
    def lemma_ceiling(self) -> float | None:
        """reference_lemmas / total."""
        return _rate(self.reference_lemmas, self.total)

    @property
    def ceiling(self) -> float | None:
        """total / found: the reference's own score, had every occurrence been judged."""
        return _rate(self.total, self.found)


def occurrences(rows: Iterable[TermRow], glossary: Glossary) -> list[Occurrence]:
    """Find every term that stands in the source of a row, in the order of the rows and of the text.

    English terms are found as in `find_terms`, so "law" is not counted within "works of the law"; Spanish counts
    wherever it stands.
    """
    listed = list(rows)
    english = compiled(glossary, "en")
    spanish = [compiled(glossary, language) for language in ("es", "es lemmas", "forbidden")]

    # Several English versions and modes stand beside the same Spanish verse.
    @lru_cache(maxsize=1 << 16)
    def in_spanish(text: str) -> list[frozenset[tuple[str, str]]]:
        return [matcher.keys(text) for matcher in spanish]

    hinted: dict[str, set[str]] = defaultdict(set)
    for row in listed:
        if row.mode == "hinted":
            hinted[row.segment_id].update(es.casefold() for _, es in row.hints)
    found = []
    for row in listed:
        matches = {(match.term_id, match.allowed): None for match in english.find(row.source, row.ref)}
        made, lemmas, wrong = in_spanish(row.hypothesis)
        wanted, wanted_lemmas, wanted_wrong = in_spanish(row.reference)
        for term_id, names in matches:
            keys = [(term_id, name) for name in names]
            meant = next((key for key in keys if key in wanted), keys[0])
            reference_forbidden = wanted_wrong.issuperset(keys)
            found.append(
                Occurrence(
                    segment_id=row.segment_id,
                    mode=row.mode,
                    genre=row.genre,
                    term_id=term_id,
                    sense=meant[1],
                    hinted=any(glossary.sense(*key).es.casefold() in hinted[row.segment_id] for key in keys),
                    judged=not wanted.isdisjoint(keys),
                    hit=not made.isdisjoint(keys),
                    sense_hit=meant in made,
                    lemma_hit=not lemmas.isdisjoint(keys),
                    reference_lemma=not wanted_lemmas.isdisjoint(keys),
                    forbidden=wrong.issuperset(keys) and not reference_forbidden,
                    reference_forbidden=reference_forbidden,
                )
            )
    return found


def tally(found: Iterable[Occurrence], *by: str) -> dict[tuple, TermCounts]:
    """Count by attributes of the occurrences, sorted by them; without attributes one count of all, under ().

    `tally(found, "mode", "genre")` compares modes within genres, `tally(found, "term_id", "sense")` is a table of
    terms, and `tally(found, "segment_id")` gives what an interval resamples: occurrences in one segment are not
    independent of each other.

    Raises:
        ValueError: for an attribute that an occurrence does not have.
    """
    known = [field.name for field in fields(Occurrence)]
    if unknown := [name for name in by if name not in known]:
        raise ValueError(f"tally by {unknown}: use {', '.join(known)}")
    groups: dict[tuple, list[Occurrence]] = defaultdict(list)
    for item in found:
        groups[tuple(getattr(item, name) for name in by)].append(item)
    if not by:
        groups.setdefault((), [])
    return {key: _counts(groups[key]) for key in sorted(groups)}


def hinted_terms(found: Iterable[Occurrence], mode: str) -> list[Occurrence]:
    """List of a mode the terms that were hinted to, the same in every mode.

    Hints help as far as "hinted" is above "random_hints", not only above "no_hints".
    """
    return [item for item in found if item.mode == mode and item.hinted]


def _counts(found: Sequence[Occurrence]) -> TermCounts:
    judged = [item for item in found if item.judged]
    free = [item for item in found if not item.judged]
    return TermCounts(
        found=len(found),
        total=len(judged),
        hits=_sum(judged, "hit"),
        sense_hits=_sum(judged, "sense_hit"),
        lemma_hits=_sum(judged, "lemma_hit"),
        reference_lemmas=_sum(judged, "reference_lemma"),
        free=len(free),
        free_hits=_sum(free, "hit"),
        forbidden=_sum(found, "forbidden"),
        reference_forbidden=_sum(found, "reference_forbidden"),
    )


def _sum(found: Iterable[Occurrence], name: str) -> int:
    return sum(map(attrgetter(name), found))


def _rate(part: int, whole: int) -> float | None:
    return part / whole if whole else None


@dataclass(frozen=True)
class SixSentence:
    """A sentence, its term and the Spanish word that a translation of it must have."""

    en: str
    term: str
    expected: str
    pos: str


@dataclass(frozen=True)
class SixResult:
    """What became of one of the six sentences."""

    sentence: SixSentence
    hypothesis: str
    found: bool


@cache
def six_sentences() -> tuple[SixSentence, ...]:
    """Read the spot check of the platform's first design, by the table `six_sentences.toml`, in its order."""
    table = tomllib.loads(Path(__file__).with_name("six_sentences.toml").read_text(encoding="utf-8"))
    return tuple(SixSentence(**row) for row in table["sentence"])


def score_six(hypotheses: Sequence[str]) -> tuple[SixResult, ...]:
    """Find whether each translation has the expected word: whole, in any regular inflection, names with their capital.

    Six sentences show what goes wrong and are no measurement: they have no useful interval.

    Args:
        hypotheses: translations of `six_sentences()`, in that order.

    Raises:
        ValueError: for another number of them.
    """
    sentences = six_sentences()
    if len(hypotheses) != len(sentences):
        raise ValueError(f"{len(hypotheses)} translations: one of each of the {len(sentences)} sentences was expected")
    matcher = compiled(_six_terms(), "es lemmas")
    return tuple(
        SixResult(sentence, hypothesis, (f"six-{k}", "") in matcher.keys(hypothesis))
        for k, (sentence, hypothesis) in enumerate(zip(sentences, hypotheses, strict=True))
    )


@cache
def _six_terms() -> Glossary:
    """The expected words as a glossary of their own: the check must not change with the glossary that is examined."""
    senses = [Sense(f"six-{k}", "", s.term, s.expected, s.pos, "") for k, s in enumerate(six_sentences())]
    return Glossary(tuple(Term(sense.term_id, sense.en, (sense,)) for sense in senses))
