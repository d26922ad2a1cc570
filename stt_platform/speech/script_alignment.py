"""Which words of a known script are spoken in which chunk.

A script is one text for a whole sermon; whoever trains or examines on chunks needs the text of each. What a recogniser
heard says where in the script a chunk lies, and the script says what was spoken there.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

# Between two chunks, words that the recogniser missed are dealt by the time that is left for them; more than this many
# are no slip at an edge, but speech that lies in neither chunk.
_MOST_MISSED_AT_AN_EDGE = 3
_CLAUSE_END = re.compile(r"[.!?;:,…—–-][\"'”’)\]]*$")


@dataclass(frozen=True)
class HeardWord:
    """A word that a recogniser heard, in samples of the recording, `end_sample` exclusive."""

    word: str
    start_sample: int
    end_sample: int


@dataclass(frozen=True)
class HeardChunk:
    """A chunk, its span in samples, and what a recogniser heard in it."""

    chunk_id: str
    start_sample: int
    end_sample: int
    words: tuple[HeardWord, ...]


@dataclass(frozen=True)
class ScriptPart:
    """The part of the script that is spoken in a chunk.

    Attributes:
        text: as the script has it, with its punctuation; empty where `reason` says why it cannot be told.
        error_rate: word errors of what was heard against it, over its words; None without a text.
    """

    chunk_id: str
    text: str
    error_rate: float | None
    reason: str = ""


def script_parts(script: str, chunks: Sequence[HeardChunk], *, most_errors: float = 0.7) -> list[ScriptPart]:
    """The part of a script that belongs to each chunk, in the order of the chunks.

    All that was heard is aligned with the script at once, with the fewest word errors (Levenshtein 1966). A word that was
    missed between two chunks goes to the one whose edge leaves time for it, and never apart from its clause.

    Args:
        chunks: of one recording, in any order.
        most_errors: a chunk with a higher word error rate cannot be placed with certainty.
    """
    import jiwer

    spoken = script.split()
    ordered = sorted(chunks, key=lambda chunk: chunk.start_sample)
    heard = [(number, word) for number, chunk in enumerate(ordered) for word in chunk.words if _key(word.word)]
    if not spoken or not heard:
        return [ScriptPart(chunk.chunk_id, "", None, "nothing was heard in it") for chunk in chunks]
    keys = [_key(word) or word for word in spoken]
    found = jiwer.process_words(" ".join(keys), " ".join(_key(word.word) for _, word in heard))
    owner: list[int | None] = [None] * len(spoken)
    partner: dict[int, int] = {}
    for piece in found.alignments[0]:
        if piece.type in ("equal", "substitute"):
            for offset in range(piece.ref_end_idx - piece.ref_start_idx):
                owner[piece.ref_start_idx + offset] = heard[piece.hyp_start_idx + offset][0]
                partner[piece.ref_start_idx + offset] = piece.hyp_start_idx + offset
    unsure = _deal_missed(owner, partner, spoken, ordered, [word for _, word in heard])
    parts = {}
    for number, chunk in enumerate(ordered):
        mine = [index for index, of in enumerate(owner) if of == number]
        parts[chunk.chunk_id] = _part(chunk, [spoken[i] for i in mine], number in unsure, most_errors)
    return [parts[chunk.chunk_id] for chunk in chunks]


def _deal_missed(
    owner: list[int | None],
    partner: dict[int, int],
    spoken: Sequence[str],
    chunks: Sequence[HeardChunk],
    heard: Sequence[HeardWord],
) -> set[int]:
    """Give words that nobody heard to a chunk; returns the chunks at whose edges that cannot be done."""
    unsure: set[int] = set()
    index = 0
    while index < len(spoken):
        if owner[index] is not None:
            index += 1
            continue
        end = index
        while end < len(spoken) and owner[end] is None:
            end += 1
        before = owner[index - 1] if index else None
        after = owner[end] if end < len(spoken) else None
        if before == after and before is not None:
            owner[index:end] = [before] * (end - index)
        elif end - index > _MOST_MISSED_AT_AN_EDGE:
            unsure.update(number for number in (before, after) if number is not None)
        else:
            room_s = _room(before, after, index, end, partner, chunks, heard)
            cut = index + _cut(spoken[index:end], room_s)
            owner[index:cut] = [before] * (cut - index)
            owner[cut:end] = [after] * (end - cut)
        index = end
    return unsure


def _room(
    before: int | None,
    after: int | None,
    index: int,
    end: int,
    partner: dict[int, int],
    chunks: Sequence[HeardChunk],
    heard: Sequence[HeardWord],
) -> tuple[int, int]:
    """Samples between the last word that was heard of a chunk and its end, and from the next one's start to its first."""
    at_end = chunks[before].end_sample - heard[partner[index - 1]].end_sample if before is not None else 0
    at_start = heard[partner[end]].start_sample - chunks[after].start_sample if after is not None else 0
    return max(0, at_end), max(0, at_start)


def _cut(missed: Sequence[str], room: tuple[int, int]) -> int:
    """How many of the missed words end the chunk before: all up to a clause's end, else by the room there is."""
    ends = [k + 1 for k, word in enumerate(missed) if _CLAUSE_END.search(word)]
    share = room[0] / sum(room) if sum(room) else 0.5
    wanted = share * len(missed)
    choices = ends or range(len(missed) + 1)
    return min(choices, key=lambda cut: (abs(cut - wanted), cut))


def _part(chunk: HeardChunk, words: Sequence[str], unsure: bool, most_errors: float) -> ScriptPart:
    import jiwer

    if unsure:
        return ScriptPart(chunk.chunk_id, "", None, "much of the script beside it was not heard: its edges are unknown")
    if not words:
        return ScriptPart(chunk.chunk_id, "", None, "no word of the script was heard in it")
    made = " ".join(filter(None, (_key(word.word) for word in chunk.words)))
    found = jiwer.process_words(" ".join(_key(word) or word for word in words), made)
    rate = (found.substitutions + found.deletions + found.insertions) / len(words)
    if rate > most_errors:
        reason = f"{rate:.0%} of its words were heard otherwise than the script has them: its place is not certain"
        return ScriptPart(chunk.chunk_id, "", None, reason)
    return ScriptPart(chunk.chunk_id, " ".join(words), rate)


def _key(word: str) -> str:
    return "".join(re.findall(r"[^\W_]+", word.casefold()))
