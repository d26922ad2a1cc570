"""Many short examples in one row: a verse and its prompt have some 150 tokens, a row has room for 512 or more.

Rows are filled so that hardly a place is left over and no example is cut. Positions begin anew with each example: that
is how the attention tells them apart.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Sequence
from dataclasses import dataclass

from stt_platform.training.row_patterns import patterned_rows

IGNORED = -100
"""The label of a token that does not count in the loss."""

_SHORT_ROW = 1024
"""In longer rows best fit leaves no more than 2 per cent empty."""


@dataclass(frozen=True, slots=True)
class TokenisedExample:
    """The tokens of one example: what the model reads, then what it is to write."""

    example_id: str
    prompt: Sequence[int]
    completion: Sequence[int]

    def __len__(self) -> int:
        return len(self.prompt) + len(self.completion)


@dataclass(frozen=True, slots=True)
class PackedRow:
    """Some examples, one after the other; the three sequences are equally long.

    Attributes:
        tokens: prompt and completion of each example.
        positions: 0, 1, … anew for each example.
        labels: `IGNORED` for the tokens of a prompt, and the token itself for those of a completion. They are not
            shifted: a label is what the token before it is to predict.
    """

    tokens: list[int]
    positions: list[int]
    labels: list[int]


@dataclass(frozen=True, slots=True)
class Dropped:
    """An example that cannot be trained on, and why."""

    example_id: str
    tokens: int
    reason: str


@dataclass(frozen=True)
class Packing:
    """How well rows are filled.

    Attributes:
        row_tokens: places of a row.
        tokens: in all rows; `target_tokens` those that count in the loss.
        full: share of all places that hold a token, 0 to 1; None where there are no rows.
        alone: the same with one example in a row.
    """

    row_tokens: int
    rows: int
    examples: int
    tokens: int
    target_tokens: int
    full: float | None
    alone: float | None


def fitting(
    examples: Sequence[TokenisedExample], row_tokens: int
) -> tuple[tuple[TokenisedExample, ...], tuple[Dropped, ...]]:
    """The examples that fit into a row, in order, and the others with the reason.

    Nothing is cut: half a verse would teach the model to stop in the middle.
    """
    kept, dropped = [], []
    for example in examples:
        if not example.prompt or not example.completion:
            side = "completion" if example.prompt else "prompt"
            dropped.append(Dropped(example.example_id, len(example), f"its {side} has no token"))
        elif len(example) > row_tokens:
            reason = f"{len(example)} tokens; a row has room for {row_tokens}"
            dropped.append(Dropped(example.example_id, len(example), reason))
        else:
            kept.append(example)
    return tuple(kept), tuple(dropped)


def fill_rows(lengths: Sequence[int], row_tokens: int) -> list[list[int]]:
    """Deal items into as few rows as can be found.

    Verses and their prompts fill rows of 512 tokens to 95 per cent by best fit, to 98 by the best patterns.

    Args:
        lengths: of the items, 1 to `row_tokens`.

    Returns:
        The numbers of the items in each row. It depends on the lengths alone.

    Raises:
        ValueError: for an item that no row can hold.
    """
    rows = best_fit(lengths, row_tokens)
    if row_tokens > _SHORT_ROW:
        return rows
    patterned, left = patterned_rows(lengths, row_tokens)
    patterned += [[left[k] for k in row] for row in best_fit([lengths[item] for item in left], row_tokens)]
    return min(rows, patterned, key=len)


def best_fit(lengths: Sequence[int], row_tokens: int) -> list[list[int]]:
    """Deal items into rows: the longest first, each into the fullest row that still has room for it (Johnson 1974).

    Args and returns as `fill_rows`; of equal items the first comes first.
    """
    rows: list[list[int]] = []
    with_room: dict[int, list[int]] = {}
    rooms: list[int] = []
    for item in sorted(range(len(lengths)), key=lambda i: (-lengths[i], i)):
        if not 0 < lengths[item] <= row_tokens:
            raise ValueError(f"item {item} has the length {lengths[item]}: 1 to {row_tokens} was expected")
        place = bisect_left(rooms, lengths[item])
        if place == len(rooms):
            room = row_tokens
            rows.append([])
            row = len(rows) - 1
        else:
            room = rooms[place]
            row = with_room[room].pop()
            if not with_room[room]:
                del rooms[place], with_room[room]
        rows[row].append(item)
        room -= lengths[item]
        if room not in with_room:
            insort(rooms, room)
        with_room.setdefault(room, []).append(row)
    return rows


def packed_row(examples: Sequence[TokenisedExample]) -> PackedRow:
    """The examples, one after the other."""
    tokens: list[int] = []
    positions: list[int] = []
    labels: list[int] = []
    for example in examples:
        tokens += (*example.prompt, *example.completion)
        positions += range(len(example))
        labels += (*(IGNORED for _ in example.prompt), *example.completion)
    return PackedRow(tokens, positions, labels)


def packing_of(rows: Sequence[Sequence[TokenisedExample]], row_tokens: int) -> Packing:
    """What there is to say of rows, for people."""
    examples = [example for row in rows for example in row]
    tokens = sum(map(len, examples))
    return Packing(
        row_tokens=row_tokens,
        rows=len(rows),
        examples=len(examples),
        tokens=tokens,
        target_tokens=sum(len(example.completion) for example in examples),
        full=tokens / (len(rows) * row_tokens) if rows else None,
        alone=tokens / (len(examples) * row_tokens) if examples else None,
    )
