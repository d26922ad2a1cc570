"""Which verses of one text say the same as which of another, whatever numbers they carry.

Two texts are aligned book by book with dynamic programming over segments: some verses on one side, some on the
other. A segment is judged by its lengths (Gale and Church 1993, "A Program for Aligning Sentences in Bilingual
Corpora") and by its words, with a lexicon that is learned from the two texts themselves (`lexicon.py`). Verses
that carry the same number are believed to belong together until the words say otherwise.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from stt_platform.scripture.lexicon import Lexicon, Verses, learn_lexicon, number_verses, too_common, without

# All scores are natural logarithms of odds: same meaning against chance.
_UNEXPLAINED = 0.4
_MAX_ODDS = 400.0
_LENGTH_BONUS = 1.0
_LENGTH_FREEDOM = 6.0
_SAME_NUMBER = 1.0
_BAND = 16
_DEPTH = 3
_MAX_MERGED = 14
_ONE_SIDED_COST = 9.0
# A number that the other text does not have: a verse that it leaves out, more likely than not.
_ABSENT_COST = 4.0
# The same may as well have been merged into its neighbour.
_ABSENT_MERGE = 2.0
_MERGE_COST = 6.0
_MERGE_MORE_COST = 1.0
_SEVERAL_COST = 14.0
# Chapters rarely run into each other.
_BORDER_COST = 3.0
_PSALMS = 19
_NEVER = -1e9


@dataclass(frozen=True, slots=True)
class Segment:
    """Verses (BBCCCVVV) that say the same; one side is empty where the other text has nothing for it."""

    en_refs: tuple[int, ...]
    es_refs: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class NumberedText:
    """A text with numbers for its words, to be aligned with several others. `plain` is without too common words."""

    plain: Verses
    ids: Mapping[str, int]


def number_text(text: Mapping[int, str]) -> NumberedText:
    """Prepare a text once. `text` has its verses by BBCCCVVV; empty ones count as absent."""
    ids: dict[str, int] = {}
    verses = number_verses(text, ids)
    return NumberedText(without(verses, too_common(verses, len(ids))), ids)


def align(en: Mapping[int, str] | NumberedText, es: Mapping[int, str] | NumberedText) -> list[Segment]:
    """Align two texts.

    Args:
        en: English verses by BBCCCVVV (titles and subscriptions left out). Empty ones count as absent.
        es: Spanish ones; numbered as their own tradition does.

    Returns:
        Segments in the order of the English text, each verse with text in exactly one.
    """
    en, es = (text if isinstance(text, NumberedText) else number_text(text) for text in (en, es))
    en_plain, es_plain = en.plain, es.plain
    _, en_at, es_at = np.intersect1d(en_plain.refs, es_plain.refs, return_indices=True)
    pairs = np.column_stack([en_at, es_at])
    segments: list[Segment] = []
    for _ in range(2):
        lexicon = learn_lexicon(en_plain, es_plain, en.ids, es.ids, pairs)
        segments = _align_all(en_plain, es_plain, lexicon)
        better = _single_pairs(segments, en_plain, es_plain)
        # Where the numbering was nearly right, learning again from what was found changes nothing.
        if len(_rows(better) - _rows(pairs)) <= 0.02 * max(len(better), 1):
            break
        pairs = better
    return segments


def _rows(pairs: np.ndarray) -> set[tuple[int, int]]:
    return {(int(a), int(b)) for a, b in pairs}


def _single_pairs(segments: list[Segment], en: Verses, es: Verses) -> np.ndarray:
    single = [(s.en_refs[0], s.es_refs[0]) for s in segments if len(s.en_refs) == len(s.es_refs) == 1]
    refs = np.array(single, dtype=np.int64).reshape(-1, 2)
    return np.column_stack([np.searchsorted(en.refs, refs[:, 0]), np.searchsorted(es.refs, refs[:, 1])])


def _align_all(en: Verses, es: Verses, lexicon: Lexicon) -> list[Segment]:
    segments: list[Segment] = []
    for book in sorted({int(b) for b in np.concatenate([en.refs, es.refs]) // 1_000_000}):
        part_en, part_es = _book(en, book), _book(es, book)
        if not len(part_en.refs) or not len(part_es.refs):
            segments += [Segment((int(ref),), ()) for ref in part_en.refs]
            segments += [Segment((), (int(ref),)) for ref in part_es.refs]
            continue
        segments += _align_book(part_en, part_es, lexicon)
    return segments


def _book(verses: Verses, book: int) -> Verses:
    first, last = np.searchsorted(verses.refs, [book * 1_000_000, (book + 1) * 1_000_000])
    starts = verses.starts[first : last + 1]
    return Verses(
        refs=verses.refs[first:last],
        lengths=verses.lengths[first:last],
        starts=starts - starts[0],
        stems=verses.stems[starts[0] : starts[-1]],
    )


def _align_book(en: Verses, es: Verses, lexicon: Lexicon) -> list[Segment]:
    odds_es = _word_odds(en, es, lexicon.to_es, lexicon.es_rate)
    odds_en = _word_odds(es, en, lexicon.to_en, lexicon.en_rate)
    en_of_es = _coarse_path(en, es, odds_es)
    es_of_en = _inverse(en_of_es, len(en.refs))
    scores = _Scores(en, es, lexicon, odds_es, odds_en, en_of_es, es_of_en)
    return _best_path(en, es, scores)


@dataclass(frozen=True)
class _Odds:
    """`table[k, column[t]]`: how much likelier the t-th stem of one text is, given a word of verse k of the other.

    `known[column[t]]` is 1 for a stem that the lexicon can translate. For another it is small where the lexicon
    knows few of the book's words: that such a word is not answered then means nothing.
    """

    table: np.ndarray
    column: np.ndarray
    sizes: np.ndarray
    known: np.ndarray


def _word_odds(given: Verses, target: Verses, probabilities, rate: np.ndarray) -> _Odds:
    from scipy import sparse

    used, column = np.unique(target.stems, return_inverse=True)
    holds = sparse.csr_array(
        (np.ones(len(given.stems), dtype=np.float32), given.stems, given.starts),
        shape=(len(given.refs), probabilities.shape[0]),
    )
    chosen = probabilities[:, used].astype(np.float32)
    table = (holds @ chosen).toarray() / rate[used].astype(np.float32)
    known = (chosen.sum(axis=0) > 0).astype(np.float32)
    if len(column):
        known = np.maximum(known, known[column].mean() ** 2)
    return _Odds(table, column, np.diff(given.starts).astype(np.float32), known)


def _coarse_path(en: Verses, es: Verses, odds: _Odds) -> np.ndarray:
    """Return where each Spanish verse (and the end) lies in the English book: a chain of agreeing rare words.

    It follows the words wherever they lead, so chapters that are counted otherwise do not matter.
    """
    from scipy import sparse

    n, m = len(en.refs), len(es.refs)
    rare = np.bincount(odds.column, minlength=odds.table.shape[1]) <= 8
    share = odds.table[:, rare] / np.maximum(odds.sizes, 1.0)[:, None]
    share[share < 8.0] = 0.0
    strength = sparse.csr_array(np.log1p(np.minimum(share, _MAX_ODDS)))
    holds = sparse.csr_array(
        (np.ones(len(odds.column), dtype=np.float32), odds.column, es.starts), shape=(m, len(rare))
    )[:, np.flatnonzero(rare)]
    weight = (strength @ holds.T).toarray().astype(np.float32)
    _, en_at, es_at = np.intersect1d(en.refs, es.refs, return_indices=True)
    weight[en_at, es_at] += 1.0

    best = np.zeros((n + 1, m + 1), dtype=np.float32)
    for i in range(n):
        step = best[i].copy()
        np.maximum(step[1:], best[i, :-1] + weight[i], out=step[1:])
        np.maximum.accumulate(step, out=best[i + 1])
    at_en, at_es = [n], [m]
    i, j = n, m
    while i and j:
        if best[i, j] == best[i - 1, j]:
            i -= 1
        elif best[i, j] == best[i, j - 1]:
            j -= 1
        else:
            i, j = i - 1, j - 1
            if weight[i, j] >= 3.0:
                at_en.append(i)
                at_es.append(j)
    path = np.interp(np.arange(m + 1), [0, *at_es[::-1]], [0, *at_en[::-1]])
    return np.rint(path).astype(np.int64)


def _inverse(en_of_es: np.ndarray, n: int) -> np.ndarray:
    return np.searchsorted(en_of_es, np.arange(n + 1), side="left").clip(0, len(en_of_es) - 1)


def _explained(odds: _Odds, starts: np.ndarray, centre: np.ndarray) -> np.ndarray:
    """Return how well each verse is explained by 1, 2 or 3 verses of the other text, around `centre`.

    Returns:
        [2, depth, verses, 2 * band + 1]; the column is the first of the explaining verses. First with all words of
        the verse, then without those that already stand in the verse before: in a merged segment a word of the
        other side cannot speak for both, or a refrain would draw its neighbours in.
    """
    width = 2 * _BAND + 1
    others = len(odds.sizes)
    verses = len(starts) - 1
    columns = centre[:verses, None] - _BAND + np.arange(width + _DEPTH - 1)
    inside = (columns >= 0) & (columns < others)
    columns = columns.clip(0, others - 1)
    verse_of = np.repeat(np.arange(verses), np.diff(starts))
    value = odds.table[columns[verse_of], odds.column[:, None]]
    value *= inside[verse_of]
    sizes = odds.sizes[columns] * inside
    fresh = ~np.isin(_keys(verse_of, odds.column), _keys(verse_of + 1, odds.column))
    result = np.empty((2, _DEPTH, verses, width), dtype=np.float32)
    total = np.zeros((len(verse_of), width), dtype=np.float32)
    words = np.zeros((verses, width), dtype=np.float32)
    for depth in range(_DEPTH):
        total += value[:, depth : depth + width]
        words += sizes[:, depth : depth + width]
        share = total / np.maximum(words, 1.0)[verse_of]
        np.minimum(share, _MAX_ODDS, out=share)
        logs = np.log(_UNEXPLAINED + (1.0 - _UNEXPLAINED) * share) * odds.known[odds.column][:, None]
        result[0, depth] = _sum_by_verse(logs, starts)
        logs *= fresh[:, None]
        result[1, depth] = _sum_by_verse(logs, starts)
    return result


def _sum_by_verse(values: np.ndarray, starts: np.ndarray) -> np.ndarray:
    sums = np.zeros((len(starts) - 1, values.shape[1]), dtype=np.float32)
    filled = np.flatnonzero(np.diff(starts))
    if len(filled):
        sums[filled] = np.add.reduceat(values, starts[filled], axis=0)
    return sums


def _keys(verse: np.ndarray, column: np.ndarray) -> np.ndarray:
    return verse * 1_000_000 + column


class _Scores:
    """The score of every segment that starts within the band: `table[j, move, d]`, English verse
    `en_of_es[j] - band + d`."""

    def __init__(self, en, es, lexicon, odds_es, odds_en, en_of_es, es_of_en) -> None:
        self.centre = en_of_es
        n, m = len(en.refs), len(es.refs)
        by_en = _explained(odds_es, es.starts, en_of_es)
        by_es = _explained(odds_en, en.starts, es_of_en)
        first_en = en_of_es[:, None] - _BAND + np.arange(2 * _BAND + 1)
        first_es = np.arange(m + 1)[:, None] + np.zeros_like(first_en)

        def es_words(size: int, shift: int) -> np.ndarray:
            """Spanish verse `shift` after the first, explained by `size` English ones."""
            j = first_es + shift
            return _pick(by_en[min(shift, 1), size - 1], j, first_en - _at(en_of_es, j) + _BAND)

        def en_words(size: int, shift: int) -> np.ndarray:
            i = first_en + shift
            return _pick(by_es[min(shift, 1), size - 1], i, first_es - _at(es_of_en, i) + _BAND)

        moves: list[tuple[int, int]] = []
        table: list[np.ndarray] = []

        absent_en = np.concatenate([[0], np.cumsum(~np.isin(en.refs, es.refs))])
        absent_es = np.concatenate([[0], np.cumsum(~np.isin(es.refs, en.refs))])

        border_en = np.concatenate([[0], np.cumsum(np.diff(en.refs // 1000, prepend=0) != 0)])
        border_es = np.concatenate([[0], np.cumsum(np.diff(es.refs // 1000, prepend=0) != 0)])

        def add(a: int, b: int, words: np.ndarray | float, cost: np.ndarray | float) -> None:
            moves.append((a, b))
            if a != b:
                absent = _count(absent_en, first_en, a) if a > b else _count(absent_es, first_es, b)
                cost = cost - _ABSENT_MERGE * (absent > 0)
            crossed = _count(border_en, first_en + 1, a - 1) + _count(border_es, first_es + 1, b - 1)
            cost = cost + _BORDER_COST * (crossed > 0)
            length = _length_score(en, es, lexicon, first_en, first_es, a, b)
            if max(a, b) > _DEPTH:
                # Only the words of the many speak here, and refrains fit anywhere: the length must fit well.
                length = np.minimum(length, length * np.abs(length))
            fits = (first_en >= 0) & (first_en + a <= n) & (first_es + b <= m)
            table.append(np.where(fits, words + length - cost, _NEVER).astype(np.float32))

        for b in range(1, _DEPTH + 1):
            for a in range(1, _DEPTH + 1):
                words = sum(es_words(a, k) for k in range(b)) + sum(en_words(b, k) for k in range(a))
                if (a, b) == (1, 1):
                    same = (en.refs[first_en.clip(0, n - 1)] == es.refs[first_es.clip(0, m - 1)]) * _SAME_NUMBER
                    add(1, 1, words / 2 + same, 0.0)
                elif 1 in (a, b):
                    add(a, b, words / 2, _MERGE_COST + _MERGE_MORE_COST * (a + b - 3))
                else:
                    add(a, b, words / 2, _SEVERAL_COST + _MERGE_MORE_COST * (a + b - 4))
        # A giant verse is judged by the words of the many: each is explained by it, or is not.
        many_en = sum(en_words(1, k) for k in range(_DEPTH))
        many_es = sum(es_words(1, k) for k in range(_DEPTH))
        for size in range(_DEPTH + 1, _MAX_MERGED + 1):
            many_en = many_en + en_words(1, size - 1)
            many_es = many_es + es_words(1, size - 1)
            cost = _MERGE_COST + _MERGE_MORE_COST * (size - 2)
            add(size, 1, many_en, cost)
            add(1, size, many_es, cost)
        moves.append((0, 1))
        fits = (first_en >= 0) & (first_en <= n) & (first_es < m)
        cost = np.append(_skip_costs(es.refs, en.refs), 0.0)[first_es]
        table.append(np.where(fits, -cost, _NEVER).astype(np.float32))
        self.skip_en = np.concatenate([[0.0], np.cumsum(_skip_costs(en.refs, es.refs))])
        self.moves = moves
        self.table = np.stack(table, axis=1)


def _skip_costs(refs: np.ndarray, others: np.ndarray) -> np.ndarray:
    absent = ~np.isin(refs, others)
    # Hebrew numbering counts a psalm's title as verse 1, the long ones as 1 and 2: such a psalm is longer.
    sizes = dict(zip(*np.unique(others // 1000, return_counts=True), strict=True))
    own, first, count = np.unique(refs // 1000, return_inverse=True, return_counts=True)
    longer = np.array([n > sizes.get(chapter, 0) for chapter, n in zip(own, count, strict=True)], dtype=bool)[first]
    title = (refs // 1_000_000 == _PSALMS) & (refs % 1000 <= 2) & longer
    return np.where(absent | title, _ABSENT_COST, _ONE_SIDED_COST)


def _at(centre: np.ndarray, index: np.ndarray) -> np.ndarray:
    return centre[index.clip(0, len(centre) - 1)]


def _pick(table: np.ndarray, row: np.ndarray, column: np.ndarray) -> np.ndarray:
    inside = (row >= 0) & (row < table.shape[0]) & (column >= 0) & (column < table.shape[1])
    picked = table[row.clip(0, table.shape[0] - 1), column.clip(0, table.shape[1] - 1)]
    return np.where(inside, picked, -60.0)


def _count(sums: np.ndarray, first: np.ndarray, count: int) -> np.ndarray:
    """Return what `count` verses from each `first` on hold together, given sums that begin with zero."""
    last = len(sums) - 1
    return sums[(first + count).clip(0, last)] - sums[first.clip(0, last)]


def _length_score(en, es, lexicon, first_en, first_es, a: int, b: int) -> np.ndarray:
    """Student's t, not Gauss: one odd length does not outweigh the words."""
    en_sum, es_sum = (np.concatenate([[0.0], np.cumsum(v.lengths)]) for v in (en, es))
    x, y = _count(en_sum, first_en, a), _count(es_sum, first_es, b)
    spread = lexicon.length_variance * (x + y / lexicon.length_ratio) / 2.0
    z2 = (y - lexicon.length_ratio * x) ** 2 / np.maximum(spread, 1.0)
    return _LENGTH_BONUS - (_LENGTH_FREEDOM + 1.0) / 2.0 * np.log1p(z2 / _LENGTH_FREEDOM)


def _best_path(en: Verses, es: Verses, scores: _Scores) -> list[Segment]:
    n, m = len(en.refs), len(es.refs)
    width = 2 * _BAND + 1
    centre, moves, kinds = scores.centre, scores.moves, len(scores.moves)
    steps = np.arange(width)
    english = centre[:, None] - _BAND + steps
    outside = (english < 0) | (english > n)
    skip = scores.skip_en[english.clip(0, n)]
    # reach[j, move, d]: score of the best path that ends with this move, begun at (j, d), between borders of
    # "never". `source` is where a path that arrives at (j, d) by this move comes from.
    pad = _MAX_MERGED + width
    size = width + 2 * pad
    reach = np.full((m + 1, kinds, size), _NEVER, dtype=np.float32)
    reach[:, :, pad : pad + width] = scores.table
    source = np.empty((m + 1, kinds), dtype=np.int64)
    rows = np.arange(m + 1)
    for kind, (a, b) in enumerate(moves):
        came = rows - b
        d = centre - a - centre[came.clip(0)]
        fits = (came >= 0) & (d > -pad) & (d < pad)
        # The left border of any row is "never" for all steps.
        source[:, kind] = np.where(fits, (came * kinds + kind) * size + pad + d, 0)
    never = source == 0
    flat = reach.reshape(-1)
    best = np.empty((m + 1, width))
    choice = np.empty((m + 1, width), dtype=np.int16)
    for j in range(m + 1):
        candidates = flat[source[j][:, None] + steps]
        candidates[never[j]] = _NEVER
        chosen = candidates.argmax(axis=0)
        row = candidates[chosen, steps].astype(np.float64)
        if j == 0:
            row[english[0] == 0] = 0.0
        row[outside[j]] = _NEVER
        # English verses with nothing on the other side: one pass along the row.
        skipped = np.maximum.accumulate(row + skip[j]) - skip[j]
        chosen[skipped > row + 1e-6] = kinds
        skipped[outside[j]] = _NEVER
        choice[j] = chosen
        best[j] = skipped
        reach[j, :, pad : pad + width] += skipped.astype(np.float32)
    found: list[Segment] = []
    i, j = n, m
    while i or j:
        move = int(choice[j, i - centre[j] + _BAND])
        da, db = (1, 0) if move == kinds or j == 0 else moves[move]
        found.append(
            Segment(
                tuple(int(ref) for ref in en.refs[i - da : i]),
                tuple(int(ref) for ref in es.refs[j - db : j]),
            )
        )
        i, j = i - da, j - db
    return found[::-1]
