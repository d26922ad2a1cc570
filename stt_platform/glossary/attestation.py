"""Does a translation really use the glossary's Spanish where the English term stands?"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

from stt_platform.glossary.matching import compiled
from stt_platform.glossary.terms import Glossary, Sense


@dataclass(frozen=True)
class Attestation:
    """One sense held against verse pairs.

    Attributes:
        n: pairs in which the English term stands and the sense can be meant.
        hits: those of them in which a form of this sense's Spanish stands; `lemma_hits`, its lemma itself, inflected.
        any_hits: those in which the Spanish of any sense stands that can be meant there.
        rate, lemma_rate, any_rate: hits, lemma_hits and any_hits by n; None where n is 0.
        chance: share of the other pairs, without the English term, in which the Spanish stands as well: a rate says
            something only where it is far above it. None where there are no others.
        forbidden: pairs among the n with a rendering that is never right.
        attested, missed: references, the first of each.
        status: "attested", "weak" (any_rate below `min_rate`), "unattested" (no hit) or "not in text" (n is 0).
        reason: why it is not "attested", for a person.
    """

    term_id: str
    sense: str
    en: str
    es: str
    n: int
    hits: int
    lemma_hits: int
    any_hits: int
    rate: float | None
    lemma_rate: float | None
    any_rate: float | None
    chance: float | None
    forbidden: int
    attested: tuple[int, ...]
    missed: tuple[int, ...]
    status: str
    reason: str


@dataclass(slots=True)
class _Count:
    n: int = 0
    hits: int = 0
    lemma_hits: int = 0
    any_hits: int = 0
    elsewhere: int = 0
    forbidden: int = 0
    attested: list[int] = field(default_factory=list)
    missed: list[int] = field(default_factory=list)


def attest(
    glossary: Glossary, pairs: Iterable[tuple[int, str, str]], *, min_rate: float = 0.5, examples: int = 3
) -> tuple[Attestation, ...]:
    """Hold every sense against verse pairs, in the order of the glossary.

    The English term is found as in `find_terms`, so "law" is not counted within "works of the law"; the Spanish counts
    wherever it stands in the verse.

    Args:
        pairs: (BBCCCVVV of the English verse, English, Spanish), read once, in any number of versions.
        min_rate: below it a sense is "weak".
        examples: how many references of each kind are kept.
    """
    english = compiled(glossary, "en")
    spanish = [compiled(glossary, language) for language in ("es", "es lemmas", "forbidden")]

    # Five English versions stand beside the same Spanish verse.
    @lru_cache(maxsize=1 << 16)
    def in_spanish(text: str) -> list[frozenset[tuple[str, str]]]:
        return [matcher.keys(text) for matcher in spanish]

    counts = {sense.key: _Count() for sense in glossary.senses}
    total = 0
    for ref, en, es in pairs:
        total += 1
        found, as_lemma, wrong = in_spanish(es)
        # A term that stands twice in a verse is one verse.
        meant = {(match.term_id, match.allowed): None for match in english.find(en, ref)}
        here = {(term_id, name): names for term_id, names in meant for name in names}
        for key in found:
            counts[key].elsewhere += key not in here
        for key, names in here.items():
            count = counts[key]
            count.n += 1
            count.hits += key in found
            count.lemma_hits += key in as_lemma
            count.any_hits += any((key[0], name) in found for name in names)
            count.forbidden += key in wrong
            kept = count.attested if key in found else count.missed
            if len(kept) < examples:
                kept.append(ref)
    return tuple(_attestation(sense, counts[sense.key], total, min_rate) for sense in glossary.senses)


def _attestation(sense: Sense, count: _Count, total: int, min_rate: float) -> Attestation:
    n = count.n
    status, reason = _status(sense, count, min_rate)
    return Attestation(
        term_id=sense.term_id,
        sense=sense.name,
        en=sense.en,
        es=sense.es,
        n=n,
        hits=count.hits,
        lemma_hits=count.lemma_hits,
        any_hits=count.any_hits,
        rate=count.hits / n if n else None,
        lemma_rate=count.lemma_hits / n if n else None,
        any_rate=count.any_hits / n if n else None,
        chance=count.elsewhere / (total - n) if total > n else None,
        forbidden=count.forbidden,
        attested=tuple(count.attested),
        missed=tuple(count.missed),
        status=status,
        reason=reason,
    )


def _status(sense: Sense, count: _Count, min_rate: float) -> tuple[str, str]:
    if count.n == 0:
        return "not in text", f"{sense.en!r} in this sense stands in none of the pairs"
    if count.hits == 0:
        return "unattested", f"{sense.en!r} stands in {count.n} pairs, {sense.es!r} in none of them"
    if count.any_hits < min_rate * count.n:
        share = count.any_hits / count.n
        return "weak", f"{sense.es!r} or another right rendering stands in {share:.0%} of {count.n} pairs"
    return "attested", ""


def unattested(table: Sequence[Attestation]) -> tuple[Attestation, ...]:
    """Return the rows that a person should look at, the worst first: unattested, then weak by rate."""
    rows = [row for row in table if row.status in ("unattested", "weak")]
    return tuple(sorted(rows, key=lambda row: (row.any_rate, -row.n, row.term_id, row.sense)))
