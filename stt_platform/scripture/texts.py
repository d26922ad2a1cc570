"""What a Bible text is here: cleaned rows with what was taken out of them, and where they come from."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from types import MappingProxyType

TARGET = "rvr1909"
SOURCES = ("kjv", "asv", "web", "bbe", "ylt")
"""The English texts that the platform pairs with its target; any other that is found is paired too."""

# The texts that leave out most have some 31,060; others count verses together.
_BOOKS, _WHOLE = 66, 30_000


class Removed(StrEnum):
    """Kinds of what cleaning takes out of a verse."""

    CAPITALS = "capitals"
    DOUBLED = "doubled"
    DUPLICATE = "duplicate"
    GAP = "gap"
    HEADING = "heading"
    MARKUP = "markup"
    MERGE = "merge"
    MOVED = "moved"
    NOTE = "note"
    RANGE = "range"
    SUPPLIED = "supplied"

    def entry(self, words: str) -> str:
        """Write an entry of `Verse.removed`: the kind, and the words as they stood."""
        return f"{self}: {words}"

    @classmethod
    def of(cls, entry: str) -> "Removed":
        """Tell the kind that `entry` wrote."""
        return cls(entry[: entry.index(":")])


@dataclass(frozen=True, slots=True)
class Verse:
    """One row of a text. `ref` is BBCCCVVV.

    `kind` is "verse", "title" (a psalm's superscription, verse 0) or "subscription" (a note below an epistle,
    with the reference of the verse that it follows). `removed` is what cleaning took out, in order, each an entry of
    `Removed`: "note: or, firmament", "supplied: is", "capitals: ENTONCES", "gap: ...".
    """

    ref: int
    kind: str
    text: str
    removed: tuple[str, ...] = ()


@dataclass(frozen=True)
class ScriptureText:
    """One Bible: cleaned rows in the order of the canon. `source` names the loader and the file.

    `blank` are the verses that the source has without any text, or with nothing but a note.
    """

    text_id: str
    language: str
    title: str
    licence: str
    attribution: str
    source: str
    verses: tuple[Verse, ...]
    blank: tuple[Verse, ...] = ()

    @cached_property
    def by_ref(self) -> Mapping[int, str]:
        """The text of each verse (titles and subscriptions left out), by BBCCCVVV, in order."""
        return MappingProxyType({row.ref: row.text for row in self.verses if row.kind == "verse"})

    @cached_property
    def books(self) -> int:
        """How many books it has verses of."""
        return len({ref // 1_000_000 for ref in self.by_ref})

    @property
    def is_whole(self) -> bool:
        """Whether it is a whole Bible."""
        return self.books == _BOOKS and len(self.by_ref) >= _WHOLE

    @property
    def lacks(self) -> str:
        """In words, what is missing for a whole Bible; empty for one."""
        return "" if self.is_whole else f"it has {len(self.by_ref)} verses in {self.books} of {_BOOKS} books"

    def rows(self, kind: str) -> tuple[Verse, ...]:
        """Return the rows of one kind."""
        return tuple(row for row in self.verses if row.kind == kind)
