"""Many short examples in one row: a verse and its prompt have some 150 tokens, a row has room for 512 or more.

Rows are filled so that hardly a place is left over and no example is cut. Positions begin anew with each example: that
is how the attention tells them apart.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

IGNORED = -100
"""The label of a token that does not count in the loss."""


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
    """Select the examples that fit into a row, in order, and tell of the others why they do not.

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
    """Deal items into rows by best fit decreasing, with a look ahead for the end of each row.

    Of what is left the longest that fits goes into a row; the last two are the pair that fills it best (after Johnson
    1974). Verses and their prompts fill rows of 512 tokens to 98 per cent, where plain best fit leaves 5 empty.

    Args:
        lengths: of the items, 1 to `row_tokens`.

    Returns:
        The numbers of the items in each row, of equal items the first first. It depends on the lengths alone.

    Raises:
        ValueError: for an item that no row can hold.
    """
    left: dict[int, list[int]] = {}
    for item in reversed(range(len(lengths))):
        if not 0 < lengths[item] <= row_tokens:
            raise ValueError(f"item {item} has the length {lengths[item]}: 1 to {row_tokens} was expected")
        left.setdefault(lengths[item], []).append(item)
    sizes = sorted(left)
    rows: list[list[int]] = []
    while sizes:
        room = row_tokens
        rows.append([])
        while sizes and sizes[0] <= room:
            two_are_left = room < 3 * sizes[0]
            size = _first_of_best_pair(sizes, left, room) if two_are_left else sizes[bisect_right(sizes, room) - 1]
            rows[-1].append(left[size].pop())
            room -= size
            if not left[size]:
                sizes.remove(size)
    return rows


def _first_of_best_pair(sizes: Sequence[int], left: Mapping[int, Sequence[int]], room: int) -> int:
    """Choose the longer one of the two lengths, or the one, that fill the room best."""
    best, first = 0, 0
    for place in range(bisect_right(sizes, room)):
        size = sizes[place]
        # The longest beside it; of its own length there has to be a second one.
        beside = min(bisect_right(sizes, room - size), place if len(left[size]) < 2 else place + 1)
        together = size + (sizes[beside - 1] if beside else 0)
        if together >= best:
            best, first = together, size
    return first


def packed_row(examples: Sequence[TokenisedExample]) -> PackedRow:
    """Join examples, one after the other."""
    tokens: list[int] = []
    positions: list[int] = []
    labels: list[int] = []
    for example in examples:
        tokens += (*example.prompt, *example.completion)
        positions += range(len(example))
        labels += (*(IGNORED for _ in example.prompt), *example.completion)
    return PackedRow(tokens, positions, labels)


def packing_of(rows: Sequence[Sequence[TokenisedExample]], row_tokens: int) -> Packing:
    """Count how well rows are filled."""
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
