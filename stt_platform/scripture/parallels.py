"""Passages of one text that tell the same: Kings and Isaiah, Psalms 14 and 53, the Gospels.

Two verses are alike as far as they share rare words and pairs of neighbouring words, weighted by rarity (inverse
document frequency, Spärck Jones 1972). Near copies are parallel by themselves. Freer wording is where it goes on for
some verses: each the best counterpart of the other, beside others of which the same is true. Within the passages
that reference Bibles list (`parallels.toml`) the best counterpart is enough, or a place between two such.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from itertools import combinations
from pathlib import Path

import numpy as np

from stt_platform.scripture.grid import VERSES
from stt_platform.scripture.lexicon import stem_of
from stt_platform.scripture.references import parse_range

FOUND_BY = ("words", "list", "neighbours")
"""Near copies, what reference Bibles list, and freer wording that goes on for some verses."""

# From this share of the rarity of the shorter verse on, two verses are near copies.
_COPY = 0.5
# What neighbours must bear out needs less, and what is listed least.
_FREE = 0.2
_LISTED = 0.1
# So many verses later the counterparts are as much further on: those between go together, whatever they say.
_SPANNED = 4
# The shares of the counterparts within so many verses before and behind, added up.
_NEIGHBOURS = 3
_BORNE_OUT = 0.8
# A litany is full of neighbours that say nearly the same; they bear nothing out about each other.
_NEAREST = 10
# Words of more verses tell none from another; what is shared must weigh as much as two rare words (nats).
_MAX_VERSES = 150
_MIN_SHARED = 12.0
_AT_ONCE = 2000

_WORD = re.compile(r"[^\W_]+")


@dataclass(frozen=True, slots=True)
class Passage:
    """A verse or a few of one text; `refs` are BBCCCVVV as the usual division counts them."""

    refs: tuple[int, ...]
    text: str


@dataclass(frozen=True, slots=True)
class Parallel:
    """Two passages, by their places in the sequence.

    `share` is how much of what the shorter one says in rare words is in both, 0 to 1; `found_by` is one of `FOUND_BY`.
    """

    first: int
    second: int
    share: float
    found_by: str


def find_parallels(passages: Sequence[Passage]) -> list[Parallel]:
    """Find the parallel passages of one text.

    Args:
        passages: in the order of the text; what stands next to each other here counts as neighbours.

    Returns:
        Each pair once, `first` before `second`, the surest first: in the order of `FOUND_BY`, then by their share.
    """
    if len(passages) < 2:
        return []
    words, weight = _rare_words(passages)
    first, second, share = _alike(words, weight)
    pairs: dict[tuple[int, int], tuple[float, str]] = {}
    for found_by, found in (("neighbours", _borne_out(passages, first, second, share)), ("words", share >= _COPY)):
        for one, other, value in zip(first[found], second[found], share[found], strict=True):
            pairs[int(one), int(other)] = float(value), found_by
    for pair, value in _listed(passages, words, weight).items():
        if value < _COPY:
            pairs[pair] = value, "list"
    parallels = [Parallel(*pair, round(value, 4), found_by) for pair, (value, found_by) in pairs.items()]
    return sorted(parallels, key=lambda p: (FOUND_BY.index(p.found_by), -p.share, p.first, p.second))


def _rare_words(passages: Sequence[Passage]):
    """Stems and pairs of neighbouring stems, sparse [passages, stems and pairs]: the root of what each weighs.

    Also what all of each passage weighs together.
    """
    from scipy import sparse

    numbers: dict[str, int] = {}
    known: dict[str, int] = {}
    stems: list[int] = []
    starts = [0]
    for passage in passages:
        for word in _WORD.findall(passage.text.casefold()):
            if word not in known:
                known[word] = numbers.setdefault(stem_of(word), len(numbers))
            stems.append(known[word])
        starts.append(len(stems))
    stem = np.array(stems, dtype=np.int64)
    place = np.repeat(np.arange(len(passages)), np.diff(starts))
    beside = place[1:] == place[:-1]
    pair = (stem[:-1] + 1) * len(numbers) + stem[1:]
    used, column = np.unique(np.concatenate([stem, pair[beside]]), return_inverse=True)
    rows = np.concatenate([place, place[1:][beside]])
    cells = np.divmod(np.unique(rows * len(used) + column), max(len(used), 1))
    count = np.bincount(cells[1], minlength=len(used))
    # Of a few verses nothing can be learned about what is rare: as if they stood in a whole Bible.
    rarity = np.log(max(len(passages), VERSES) / np.maximum(count, 1)).astype(np.float32)
    rarity[count > _MAX_VERSES] = 0.0
    shape = (len(passages), len(used))
    words = sparse.csr_array((np.sqrt(rarity)[cells[1]], (cells[0], cells[1])), shape=shape)
    weight = np.bincount(cells[0], weights=rarity[cells[1]], minlength=len(passages))
    return words[:, (count > 1) & (rarity > 0)], weight


def _alike(words, weight: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return all pairs that share enough to be judged: both places, and the share of the shorter one."""
    found: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
    for start in range(0, words.shape[0], _AT_ONCE):
        shared = (words[start : start + _AT_ONCE] @ words.T).tocoo()
        keep = (shared.data >= _MIN_SHARED) & (shared.row + start < shared.col)
        found.append((shared.row[keep] + start, shared.col[keep], shared.data[keep]))
    first, second, shared = (np.concatenate(part) for part in zip(*found, strict=True))
    share = shared / np.minimum(weight[first], weight[second])
    keep = share >= _LISTED
    return first[keep], second[keep], share[keep]


def _borne_out(passages: Sequence[Passage], first: np.ndarray, second: np.ndarray, share: np.ndarray) -> np.ndarray:
    from scipy import sparse

    size = len(passages)
    chapter = np.array([passage.refs[0] // 1000 for passage in passages])
    best = _best(first, chapter[second], share) & _best(second, chapter[first], share) & (share >= _FREE)
    best &= second - first > _NEAREST
    table = sparse.csr_array((share[best], (first[best], second[best])), shape=(size, size))
    reach = min(_NEIGHBOURS, size - 1)
    steps = range(-reach, reach + 1)
    near = sparse.diags_array([np.ones(size)] * len(steps), offsets=list(steps), shape=(size, size)).tocsr()
    around = (near @ table @ near).tocsr()
    borne_out = np.zeros(len(share), dtype=bool)
    borne_out[best] = around[first[best], second[best]] - share[best] >= _BORNE_OUT
    return borne_out


def _best(passage: np.ndarray, chapter: np.ndarray, share: np.ndarray) -> np.ndarray:
    """Return which pairs have the highest share that the passage reaches anywhere in that chapter."""
    _, place = np.unique(passage * 100_000 + chapter, return_inverse=True)
    highest = np.zeros(len(share))
    np.maximum.at(highest, place, share)
    return share >= highest[place]


def _listed(passages: Sequence[Passage], words, weight: np.ndarray) -> dict[tuple[int, int], float]:
    """Return the best counterpart of each passage within what is listed as parallel to it."""
    at: dict[int, list[int]] = {}
    for place, passage in enumerate(passages):
        for ref in passage.refs:
            at.setdefault(ref, []).append(place)
    found: dict[tuple[int, int], float] = {}
    for line in _table():
        here = [np.unique([place for ref in refs for place in at.get(ref, ())]).astype(np.int64) for refs in line]
        for left, right in combinations([places for places in here if len(places)], 2):
            least = np.minimum(weight[left][:, None], weight[right][None, :])
            share = (words[left] @ words[right].T).toarray() / np.maximum(least, 1.0)
            share[left[:, None] == right[None, :]] = 0.0
            for row, column in _counterparts(share):
                one, other = sorted((int(left[row]), int(right[column])))
                if one != other:
                    found[one, other] = float(share[row, column])
    return found


def _counterparts(share: np.ndarray) -> set[tuple[int, int]]:
    """Return what is best for a row or for a column, and what lies between two such in step with both."""
    best = set(enumerate(share.argmax(axis=1).tolist()))
    best |= {(row, column) for column, row in enumerate(share.argmax(axis=0).tolist())}
    best = {cell for cell in best if share[cell] >= _LISTED}
    # Listed passages begin and end together.
    ends = best | {(-1, -1), share.shape}
    between = {
        (row + k, column + k)
        for row, column in ends
        for step in range(2, _SPANNED + 1)
        if (row + step, column + step) in ends
        for k in range(1, step)
    }
    return best | between


@cache
def _table() -> tuple[tuple[tuple[int, ...], ...], ...]:
    table = tomllib.loads(Path(__file__).with_name("parallels.toml").read_text(encoding="utf-8"))
    return tuple(
        tuple(tuple(ref.number for ref in parse_range(passage)) for passage in line) for line in table["passages"]
    )
