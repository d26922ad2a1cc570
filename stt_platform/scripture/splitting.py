"""Which segments of Scripture teach and which examine.

The unit is the segment: all versions of a Spanish text are on one side. So is all that would give an answer away: what
shares a verse with another segment, what reads alike, and parallel passages. Such segments form a group, and whole
groups are dealt, so that each genre has its share in the test.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from stt_platform.machine.seeded import seeded_uniform
from stt_platform.scripture.lexicon import fold
from stt_platform.scripture.pairs import ACCEPTED, PairRow
from stt_platform.scripture.parallels import Passage, find_parallels
from stt_platform.scripture.versification import show_refs

TRAIN, TEST, EXCLUDED = "train", "test", "excluded"

# Formulae are parallel to each other all over the book; copies and shared verses unite without a limit.
_MAX_BY_LIKENESS = 100
_WHY = {"words": "", "neighbours": ", and the verses around go together too", "list": ", within listed passages"}
_WORD = re.compile(r"[^\W_]+")
# What `pairs.py` adds to the first Spanish verse of a segment: how many follow, title, subscription.
_ENDING = re.compile(r"(?:\+\d+)?[ts]?$")


class SplitLeaks(ValueError):
    """Something is in train and in test."""


@dataclass(frozen=True)
class SegmentSplit:
    """The side of one segment: "train", "test", or "excluded", which is neither.

    `reason` says in words why it lies with others, or why it is excluded; it is empty for a segment by itself.
    """

    segment_id: str
    group_id: str
    split: str
    reason: str = ""


@dataclass(frozen=True)
class Leak:
    """One thing on both sides. `kind` is "segment", "target text", "source text" or "group" (a verse of one text);
    `train` and `test` are the first pair on each side."""

    kind: str
    what: str
    train: str
    test: str

    def __str__(self) -> str:
        return f"{self.kind} {self.what!r} is in train ({self.train}) and in test ({self.test})"


def comparable(text: str) -> str:
    """Normalise a text for comparison: without case, accents, punctuation, and so without the spelling of 1909 ("á")."""
    return " ".join(map(fold, _WORD.findall(text)))


def split_segments(
    rows: Sequence[PairRow], *, test_share: float = 0.10, seed: int = 42, frozen: Mapping[str, str] | None = None
) -> list[SegmentSplit]:
    """Split the segments into train, test and neither, the same for the same rows in any order.

    A group is drawn by its name, so that what is drawn does not depend on the other groups, and goes to the test as
    long as every stratum (testament and genre) that it has segments of has room for them.

    With a split that is `frozen` (segment to side) known segments keep their side, new ones take that of their group,
    and only new groups are dealt, up to the share. A new text or a corrected one can bring together what was dealt
    apart. Where the test segments of a group share a verse or a text with what a model may have trained on, they are
    excluded: they cannot examine any more, for their like is known; nor may they teach, for models that they have
    examined are still compared by them. What is new in such a group teaches. Likeness brings no groups together that
    were dealt apart, or each new text would cost a part of the test: a near copy that is new is excluded itself.

    Args:
        rows: of any number of texts; all of them, whatever their status.
        test_share: of the segments of each stratum, between 0 and 1.

    Returns:
        A row for each segment, by `segment_id`. A `group_id` is the first segment of the group.

    Raises `ValueError` for a share or a frozen side that does not exist.
    """
    if not 0.0 < test_share < 1.0:
        raise ValueError(
            f"a test share of {test_share!r} leaves one side empty; choose one between 0 and 1, such as 0.1"
        )
    segments = _segments(rows)
    before = _sides_before(segments, frozen or {})
    groups = _Groups(segments, before)
    _unite_copies(segments, groups)
    near_copies = _unite_parallels(segments, groups, before)
    members = groups.members()
    splits: dict[str, str] = {}
    reasons = dict(groups.reasons)
    for names in members.values():
        for name, (split, why) in _kept(names, before).items():
            if name in near_copies:
                split, why = EXCLUDED, near_copies[name]
            splits[name] = split
            if why:
                reasons[name] = "; ".join(filter(None, (why, reasons.get(name))))
    splits |= _dealt(segments, members, splits, test_share, seed)
    return [
        SegmentSplit(name, group, splits[name], reasons.get(name, ""))
        for name, group in sorted((name, group) for group, names in members.items() for name in names)
    ]


def leaks(rows: Iterable[PairRow]) -> list[Leak]:
    """Return what accepted rows have in train and in test: a segment, a text of either language, a verse of one text.

    Texts are compared by `comparable`. Sorted by kind. Raises `ValueError` for an accepted row whose `split` is none
    of the three.
    """
    sides: dict[str, list[PairRow]] = {TRAIN: [], TEST: [], EXCLUDED: []}
    for row in rows:
        if row.status != ACCEPTED:
            continue
        if row.split not in sides:
            raise ValueError(f"{row.pair_id} has the split {row.split!r}; train, test or excluded was expected")
        sides[row.split].append(row)
    folded = {text: comparable(text) for text in {text for row in sides[TEST] for text in (row.en, row.es)}}
    examined: dict[tuple[str, str, int], str] = {}
    for row in sorted(sides[TEST], key=lambda row: row.pair_id):
        for thing in _things(row, folded):
            examined.setdefault(thing, row.pair_id)
    found: dict[tuple[str, str, int], str] = {}
    folded = {text: comparable(text) for text in {text for row in sides[TRAIN] for text in (row.en, row.es)}}
    for row in sides[TRAIN]:
        for thing in _things(row, folded):
            if thing in examined:
                found[thing] = min(row.pair_id, found.get(thing, row.pair_id))
    return [
        Leak(kind, f"{what} {show_refs([ref])}" if ref else what, train, examined[kind, what, ref])
        for (kind, what, ref), train in sorted(found.items())
    ]


def _things(row: PairRow, folded: Mapping[str, str]) -> list[tuple[str, str, int]]:
    things = [("segment", row.segment_id, 0), ("target text", folded[row.es], 0), ("source text", folded[row.en], 0)]
    return things + [("group", source, ref) for source, ref in _verses(row)]


def assert_apart(rows: Iterable[PairRow]) -> None:
    """Raise `SplitLeaks` where anything is in train and in test; the first few are named, and the remedy."""
    found = leaks(rows)
    if found:
        raise SplitLeaks(
            f"train and test have {len(found)} in common: {'; '.join(map(str, found[:3]))}"
            f"{'; …' if len(found) > 3 else ''}. Give every row the split that split_segments gives its segment, and "
            "exclude what a model has been trained on already"
        )


@dataclass
class _Segment:
    """What the rows of one segment hold together."""

    stratum: tuple[str, str]
    source: str
    verses: set[tuple[str, int]] = field(default_factory=set)
    en_refs: set[int] = field(default_factory=set)
    es_refs: set[int] = field(default_factory=set)
    english: set[str] = field(default_factory=set)
    spanish: set[str] = field(default_factory=set)


def _verses(row: PairRow) -> list[tuple[str, int]]:
    return [(row.en_source, ref) for ref in row.en_refs] + [(row.es_source, ref) for ref in row.es_refs]


def _segments(rows: Iterable[PairRow]) -> dict[str, _Segment]:
    """Return all segments, in the order of their names."""
    segments: dict[str, _Segment] = {}
    for row in sorted(rows, key=lambda row: (row.segment_id, row.pair_id)):
        if row.segment_id not in segments:
            segments[row.segment_id] = _Segment((row.testament, row.genre), row.es_source)
        segment = segments[row.segment_id]
        segment.verses.update(_verses(row))
        segment.en_refs.update(row.en_refs)
        segment.es_refs.update(row.es_refs)
        segment.english.add(row.en)
        segment.spanish.add(row.es)
    return segments


class _Groups:
    """Segments that stay together (disjoint sets), each set under the first of its names."""

    def __init__(self, names: Iterable[str], before: Mapping[str, set[str]]) -> None:
        self._above = {name: name for name in names}
        self._size = dict.fromkeys(self._above, 1)
        self._sides = {name: set(before.get(name, ())) for name in self._above}
        self.reasons: dict[str, str] = {}

    def unite(self, one: str, other: str, reason: str, *, most: int | None = None) -> None:
        """Put both together for a reason, a sentence with a place for the other one's name; not beyond `most`."""
        first, second = sorted((self._first(one), self._first(other)))
        size = self._size[first] + self._size[second]
        if first == second or (most is not None and size > most):
            return
        self._above[second] = first
        self._size[first] = size
        self._sides[first] |= self._sides.pop(second)
        self.reasons.setdefault(one, reason.format(other))
        self.reasons.setdefault(other, reason.format(one))

    def apart(self, one: str, other: str) -> bool:
        """Return whether one of the two is in the test and the other one is known to a model."""
        first, second = (self._sides[self._first(name)] for name in (one, other))
        return (_examines(first) and _teaches(second)) or (_teaches(first) and _examines(second))

    def members(self) -> dict[str, list[str]]:
        groups: dict[str, list[str]] = {}
        for name in self._above:
            groups.setdefault(self._first(name), []).append(name)
        return groups

    def _first(self, name: str) -> str:
        while self._above[name] != name:
            self._above[name] = self._above[self._above[name]]
            name = self._above[name]
        return name


def _unite_copies(segments: Mapping[str, _Segment], groups: _Groups) -> None:
    # Quarantined rows too: a limit that is changed later must not tear a frozen group apart.
    for reason, things in (
        ("shares a verse with {}", lambda segment: segment.verses),
        ("has the same Spanish text as {}", lambda segment: set(map(comparable, segment.spanish))),
        ("has the same English text as {}", lambda segment: set(map(comparable, segment.english))),
    ):
        first: dict[object, str] = {}
        for name, segment in segments.items():
            for thing in sorted(things(segment)):
                if thing and (other := first.setdefault(thing, name)) != name:
                    groups.unite(name, other, reason)


def _unite_parallels(
    segments: Mapping[str, _Segment], groups: _Groups, before: Mapping[str, set[str]]
) -> dict[str, str]:
    """Unite what is parallel; returns the new segments that are near copies of the other side, with the reason."""
    texts: dict[str, list[tuple[int, str, Passage]]] = {}
    for name, segment in segments.items():
        # Versions are cut differently, and then the segment is what the longest of its texts says.
        text = max(segment.spanish, key=lambda text: (len(text), text))
        if text:
            refs = tuple(sorted(segment.en_refs or segment.es_refs))
            texts.setdefault(segment.source, []).append((min(segment.es_refs), name, Passage(refs, text)))
    near_copies: dict[str, str] = {}
    for source in sorted(texts):
        part = sorted(texts[source], key=lambda item: item[:2])
        for pair in find_parallels([passage for _, _, passage in part]):
            one, other = part[pair.first][1], part[pair.second][1]
            why = f"{pair.share:.0%} of the shorter one's rare words are in both{_WHY[pair.found_by]}"
            if not groups.apart(one, other):
                groups.unite(one, other, f"is parallel to {{}}: {why}", most=_MAX_BY_LIKENESS)
            elif pair.found_by == "words" and (new := [name for name in (one, other) if name not in before]):
                known = other if new[0] == one else one
                near_copies.setdefault(new[0], f"is nearly a copy of {known}, which lies on the other side: {why}")
    return near_copies


def _sides_before(segments: Mapping[str, _Segment], frozen: Mapping[str, str]) -> dict[str, set[str]]:
    """Return the frozen sides of each segment: its own, and those of segments that have become a part of it."""
    gone: dict[str, set[str]] = {}
    for name, side in frozen.items():
        if side not in (TRAIN, TEST, EXCLUDED):
            raise ValueError(f"{name} is frozen as {side!r}; train, test or excluded was expected")
        if name not in segments:
            gone.setdefault(_ENDING.sub("", name), set()).add(side)
    before: dict[str, set[str]] = {}
    for name, segment in segments.items():
        sides = {frozen[name]} if name in frozen else set()
        for ref in segment.es_refs if gone else ():
            sides |= gone.get(f"{segment.source}-{ref:08d}", set())
        if sides:
            before[name] = sides
    return before


def _teaches(sides: set[str]) -> bool:
    """Whether a group with these frozen sides is known to a model. What is excluded is so with the text that is gone."""
    return TRAIN in sides or sides == {EXCLUDED}


def _examines(sides: set[str]) -> bool:
    return TEST in sides and not _teaches(sides)


def _kept(names: Sequence[str], before: Mapping[str, set[str]]) -> dict[str, tuple[str, str]]:
    """The sides of a group of which some are known, with the reason where one is excluded; nothing for a new group."""
    known = {name: before[name] for name in names if name in before}
    if not known:
        return {}
    taught = _teaches(set().union(*known.values()))
    other = next((name for name, sides in known.items() if TRAIN in sides), "")
    kept = {}
    for name in names:
        own = known.get(name, {TRAIN if taught else TEST})
        if EXCLUDED in own:
            kept[name] = (EXCLUDED, "was excluded before")
        elif len(own) > 1:
            kept[name] = (EXCLUDED, "has verses of segments that were on different sides")
        elif taught and own == {TEST}:
            kept[name] = (EXCLUDED, f"was in the test, but lies with {other}, which was not")
        else:
            kept[name] = (next(iter(own)), "")
    return kept


def _dealt(
    segments: Mapping[str, _Segment],
    members: Mapping[str, Sequence[str]],
    splits: Mapping[str, str],
    test_share: float,
    seed: int,
) -> dict[str, str]:
    """Return the sides of the groups that have none yet."""
    room = {stratum: round(test_share * n) for stratum, n in Counter(s.stratum for s in segments.values()).items()}
    for name, split in splits.items():
        room[segments[name].stratum] -= split == TEST
    dealt: dict[str, str] = {}
    waiting = [group for group, names in members.items() if names[0] not in splits]
    for group in sorted(waiting, key=lambda group: (seeded_uniform(seed, group), group)):
        needed = Counter(segments[name].stratum for name in members[group])
        fits = all(room[stratum] >= n for stratum, n in needed.items())
        dealt.update(dict.fromkeys(members[group], TEST if fits else TRAIN))
        if fits:
            for stratum, n in needed.items():
                room[stratum] -= n
    return dealt
