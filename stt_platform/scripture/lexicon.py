"""A bilingual lexicon learned from the two texts themselves: nothing is downloaded, any pair of texts will do.

IBM model 1 (Brown et al. 1993, "The Mathematics of Statistical Machine Translation") on the verses that carry the
same number, in both directions. Most of them agree even where two texts number differently; what the others teach is
taken out again: a pair of words counts only as far as a second book supports it. What is too rare for that is
matched by spelling: names and learned words look alike in both languages once accents, doubled letters and the
spellings of transliterations are folded.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike

_STEM = 6
_EM_ROUNDS = 3
# Words of more than this share of the verses say nothing about which verse it is.
_COMMON_SHARE = 0.06
_COMMON_VERSES = 40
_LOOKALIKE_COUNT = 2.0
_SMALLEST = 0.003
_SMALLEST_SHARE = 0.02
_ABOVE_CHANCE = 1.5
_PAIRS_AT_ONCE = 4000
_MIN_BLOCKS = 5
# What a word without any counterpart costs, beside a uniform start of _START for each candidate.
_NULL = 0.002
_START = 0.05


@dataclass(frozen=True)
class Lexicon:
    """Word translation probabilities of two texts.

    Attributes:
        to_es: probability of a Spanish stem given an English one, sparse [en stems, es stems].
        to_en: the other direction, sparse [es stems, en stems].
        en_rate, es_rate: how often each stem occurs, as a share of all.
        length_ratio: Spanish characters per English character.
        length_variance: variance of the Spanish length per English character (Gale and Church 1993).
    """

    to_es: object
    to_en: object
    en_rate: np.ndarray
    es_rate: np.ndarray
    length_ratio: float
    length_variance: float


@dataclass(frozen=True)
class Verses:
    """The verses of one text as numbers: `stems[starts[k]:starts[k + 1]]` are those of `refs[k]`."""

    refs: np.ndarray
    lengths: np.ndarray
    starts: np.ndarray
    stems: np.ndarray


@lru_cache(maxsize=200_000)
def fold(word: str) -> str:
    """Fold case and accents of a word."""
    return "".join(c for c in unicodedata.normalize("NFKD", word.casefold()) if not unicodedata.combining(c))


_WORD = re.compile(r"[^\W_]+")


def stem_of(word: str) -> str:
    """Stem a word: what its forms share, more or less: no ending of number or gender, six letters at most."""
    stem = fold(word)
    if len(stem) > 4:
        stem = stem.removesuffix("s")
        stem = stem[:-1] if stem[-1] in "aeo" else stem
    return stem[:_STEM]


@lru_cache(maxsize=200_000)
def skeleton(stem: str) -> str:
    """Reduce a name to what its spellings share: Haseroth and Hazeroth, Philippi and Filipos, Cush and Chus."""
    for old, new in (("ph", "f"), ("th", "t"), ("sh", "s"), ("ch", "c"), ("qu", "c"), ("ce", "se"), ("ci", "si")):
        stem = stem.replace(old, new)
    stem = stem.replace("h", "").translate(str.maketrans("kqyjzvw", "cciisbu"))
    return re.sub(r"(.)\1+", r"\1", stem)[:5]


def number_verses(text: Mapping[int, str], ids: dict[str, int]) -> Verses:
    """Return the verses that have text, in order of their references; new stems are added to `ids`."""
    refs = sorted(ref for ref, words in text.items() if words.strip())
    known: dict[str, int] = {}

    def number(word: str) -> int:
        stem = stem_of(word)
        known[word] = ids.setdefault(stem, len(ids)) if len(stem) > 1 or stem.isdigit() else -1
        return known[word]

    rows = []
    for ref in refs:
        found = {known[word] if word in known else number(word) for word in _WORD.findall(text[ref])}
        found.discard(-1)
        rows.append(sorted(found))
    starts = np.concatenate([[0], np.cumsum([len(row) for row in rows])]).astype(np.int64)
    return Verses(
        refs=np.array(refs, dtype=np.int64),
        lengths=np.array([max(len(text[ref]), 1) for ref in refs], dtype=np.float64),
        starts=starts,
        stems=np.array([stem for row in rows for stem in row], dtype=np.int64),
    )


def without(verses: Verses, drop: np.ndarray) -> Verses:
    """Return the same verses without the stems that `drop` (one flag a stem) names."""
    keep = ~drop[verses.stems]
    counts = np.concatenate([[0], np.cumsum(keep)])
    return Verses(verses.refs, verses.lengths, counts[verses.starts], verses.stems[keep])


def too_common(verses: Verses, size: int) -> np.ndarray:
    """Return which stems stand in so many verses that they tell none from another."""
    limit = max(_COMMON_SHARE * len(verses.refs), _COMMON_VERSES)
    return np.bincount(verses.stems, minlength=size) > limit


def learn_lexicon(
    en: Verses, es: Verses, en_ids: Mapping[str, int], es_ids: Mapping[str, int], pairs: ArrayLike
) -> Lexicon:
    """Learn how the words of two texts go together.

    Args:
        en, es: the verses, without too common stems.
        en_ids, es_ids: the numbers of the stems.
        pairs: positions of verses that are believed to say the same; a few wrong ones do no harm.
    """
    from scipy import sparse

    chosen = np.array(pairs, dtype=np.int64).reshape(-1, 2)
    looks = _lookalikes(en_ids, es_ids)
    shape = (len(en_ids), len(es_ids))
    cells = _cells(en, es, chosen, _worth_learning(en, es, chosen, looks, shape))
    key = en.stems[cells.en_slot] * shape[1] + es.stems[cells.es_slot]
    order = np.argsort(key, kind="stable")
    sorted_key = key[order]
    first = np.flatnonzero(np.diff(sorted_key, prepend=-1))
    entry = np.empty(len(key), dtype=np.int64)
    entry[order] = np.repeat(np.arange(len(first)), np.diff(np.append(first, len(key))))
    unique = sorted_key[first]
    entry_en, entry_es = np.divmod(unique, shape[1])
    start = 1.0 + 20.0 * np.isin(unique, looks[0] * shape[1] + looks[1])

    # Cells come book by book and the sort is stable: equal keys stand in runs of one book.
    block = _blocks(en.refs[chosen[:, 0]])[cells.pair[order]]
    runs = np.flatnonzero((np.diff(sorted_key, prepend=-1) != 0) | (np.diff(block, prepend=-1) != 0))

    directions = []
    for given, slots in ((entry_en, cells.es_slot), (entry_es, cells.en_slot)):
        counts, shares = _expectation(entry, given, slots, start)
        by_book = np.add.reduceat(shares[order], runs) if len(runs) else np.zeros(0)
        most = np.maximum.reduceat(by_book, np.searchsorted(runs, first)) if len(first) else np.zeros(0)
        directions.append(np.maximum(counts - most, 0.0))

    to_es = _probabilities(entry_en, entry_es, directions[0], *looks, shape)
    to_en = _probabilities(entry_es, entry_en, directions[1], looks[1], looks[0], shape[::-1])
    ratio, variance = _length_model(en.lengths[chosen[:, 0]], es.lengths[chosen[:, 1]])
    return Lexicon(
        to_es=sparse.csr_array(to_es),
        to_en=sparse.csr_array(to_en),
        en_rate=_rates(en, shape[0]),
        es_rate=_rates(es, shape[1]),
        length_ratio=ratio,
        length_variance=variance,
    )


@dataclass(frozen=True)
class _Cells:
    """`en_slot` and `es_slot` tell one word of one verse from every other."""

    pair: np.ndarray
    en_slot: np.ndarray
    es_slot: np.ndarray


def _worth_learning(en: Verses, es: Verses, chosen: np.ndarray, looks, shape: tuple[int, int]) -> np.ndarray:
    """Return which stems meet more often than by chance, as a table of flags: model 1 would forget the others, later."""
    from scipy import sparse

    sides = []
    for verses, rows, size in ((en, chosen[:, 0], shape[0]), (es, chosen[:, 1], shape[1])):
        table = sparse.csr_array(
            (np.ones(len(verses.stems), dtype=np.int32), verses.stems, verses.starts), shape=(len(verses.refs), size)
        )
        sides.append(table[rows])
    together = (sides[0].T @ sides[1]).tocoo()
    en_count, es_count = (side.sum(axis=0).astype(np.float64) for side in sides)
    chance = en_count[together.row] * es_count[together.col] / max(len(chosen), 1)
    keep = (together.data >= 2) & (together.data > _ABOVE_CHANCE * chance)
    flags = np.zeros(shape, dtype=bool)
    flags[together.row[keep], together.col[keep]] = True
    flags[looks] = True
    return flags


def _cells(en: Verses, es: Verses, chosen: np.ndarray, wanted: np.ndarray) -> _Cells:
    """Return every English stem with every Spanish stem of each pair of verses, where the two are `wanted`."""
    found = []
    for start in range(0, len(chosen), _PAIRS_AT_ONCE):
        part = chosen[start : start + _PAIRS_AT_ONCE]
        a, b = np.diff(en.starts)[part[:, 0]], np.diff(es.starts)[part[:, 1]]
        size = a * b
        pair = np.repeat(np.arange(len(part)), size)
        inside = np.arange(len(pair)) - np.repeat(np.cumsum(size) - size, size)
        row, column = np.divmod(inside, np.maximum(b, 1)[pair])
        en_slot = en.starts[part[:, 0]][pair] + row
        es_slot = es.starts[part[:, 1]][pair] + column
        keep = wanted[en.stems[en_slot], es.stems[es_slot]]
        found.append((start + pair[keep], en_slot[keep], es_slot[keep]))
    empty = np.zeros(0, dtype=np.int64)
    return _Cells(*(np.concatenate([empty, *(part[k] for part in found)]) for k in range(3)))


def _expectation(
    entry: np.ndarray, given: np.ndarray, slots: np.ndarray, start: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Expected counts of each entry, and what each cell adds to them, after a few rounds of model 1."""
    probability = start / start.max(initial=1.0) * _START
    active = np.arange(len(entry))
    shares = np.zeros(len(entry))
    counts = np.zeros(len(start))
    for _ in range(_EM_ROUNDS):
        weight = probability[entry[active]]
        total = np.bincount(slots[active], weight)
        share = weight / (total[slots[active]] + _NULL)
        counts = np.bincount(entry[active], share, minlength=len(start))
        of_given = np.bincount(given, counts)
        probability = counts / (of_given[given] + 0.5) if len(given) else counts
        shares[:] = 0.0
        shares[active] = share
        # Most words of two verses have nothing to do with each other, and the first round shows which.
        active = active[share > _SMALLEST_SHARE]
    return counts, shares


def _probabilities(
    given: np.ndarray, target: np.ndarray, counts: np.ndarray, look_given: np.ndarray, look_target: np.ndarray, shape
):
    from scipy import sparse

    keep = counts > 0.05
    table = sparse.coo_array(
        (
            np.concatenate([counts[keep], np.full(len(look_given), _LOOKALIKE_COUNT)]),
            (np.concatenate([given[keep], look_given]), np.concatenate([target[keep], look_target])),
        ),
        shape=shape,
    ).tocsr()
    total = table.sum(axis=1) + 1.0
    table = table.tocoo()
    value = table.data / total[table.row]
    keep = value > _SMALLEST
    return sparse.coo_array((value[keep], (table.row[keep], table.col[keep])), shape=shape)


def _lookalikes(en_ids: Mapping[str, int], es_ids: Mapping[str, int]) -> tuple[np.ndarray, np.ndarray]:
    by_shape: dict[str, list[int]] = {}
    for stem, number in es_ids.items():
        by_shape.setdefault(_shape(stem), []).append(number)
    found = [(number, other) for stem, number in en_ids.items() for other in by_shape.get(_shape(stem), ())]
    table = np.array(sorted(found), dtype=np.int64).reshape(-1, 2)
    return table[:, 0], table[:, 1]


def _shape(stem: str) -> str:
    """Only words of some length are alike by more than chance; numbers are alike whole."""
    if stem.isdigit():
        return "#" + stem
    bones = skeleton(stem)
    return bones if len(bones) >= 4 else "=" + stem


def _blocks(refs: np.ndarray) -> np.ndarray:
    """Return the unit that may not support itself: the book; the chapter or the verse where there are few of them."""
    for size in (1_000_000, 1000):
        if len(np.unique(refs // size)) >= _MIN_BLOCKS:
            return refs // size
    return refs


def _rates(verses: Verses, size: int) -> np.ndarray:
    counts = np.bincount(verses.stems, minlength=size) + 0.5
    return counts / counts.sum()


def _length_model(en: np.ndarray, es: np.ndarray) -> tuple[float, float]:
    """Robust: medians, so that wrongly joined verses do not widen it."""
    if len(en) < 10:
        return 1.0, 4.0
    ratio = float(np.median(es / en))
    spread = np.abs(es - ratio * en) / np.sqrt(en)
    return ratio, float((1.4826 * np.median(spread)) ** 2) + 0.25
