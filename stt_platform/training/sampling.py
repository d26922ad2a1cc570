"""Which examples an epoch sees, drawn by their weights."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from functools import cache
from math import floor, fsum
from typing import Protocol, TypeVar

from stt_platform.machine.seeded import seeded_uniform
from stt_platform.scripture.splitting import comparable

Item = TypeVar("Item")


class Weighted(Protocol):
    """What decides how often an example is drawn."""

    @property
    def example_id(self) -> str: ...
    @property
    def target(self) -> str: ...
    @property
    def weight(self) -> float: ...


class EpochSampler:
    """Draws examples so that each is seen as often as its weight says, and copies take turns.

    Examples with the same target and weight are copies of each other: five English versions of a Spanish verse, each
    of weight 1/5. An epoch has one of them, the next epoch the next one; after five each was seen once. Weights that
    do not add up to a whole number are made good over the epochs: with 1.5 there is one, then two. An epoch depends
    on the seed and its number alone, not on the order of the examples or on the epochs before it.
    """

    def __init__(self, examples: Sequence[Weighted], seed: int) -> None:
        self._ids = [example.example_id for example in examples]
        self._seed = seed
        groups: dict[tuple[str, float], list[int]] = defaultdict(list)
        same = cache(comparable)
        for i in sorted(range(len(examples)), key=self._ids.__getitem__):
            if examples[i].weight > 0:
                groups[same(examples[i].target), examples[i].weight].append(i)
        self._groups = [
            (fsum([weight] * len(copies)), shuffled(copies, seed, f"copies of {self._ids[copies[0]]}"))
            for (_, weight), copies in sorted(groups.items())
        ]

    def epoch(self, number: int) -> list[int]:
        """Draw the examples of an epoch, by their numbers, shuffled.

        Args:
            number: from 0 on.
        """
        chosen = []
        for weight, copies in self._groups:
            start = seeded_uniform(self._seed, "start", self._ids[copies[0]])
            # A sum of fifths is not quite 1: rounding keeps a whole number whole.
            first, last = (floor(round(weight * k + start, 9)) for k in (number, number + 1))
            chosen += [copies[k % len(copies)] for k in range(first, last)]
        return shuffled(chosen, self._seed, f"epoch {number}")


def shuffled(items: Sequence[Item], seed: int, name: str) -> list[Item]:
    """Shuffle items into an order that depends on seed and name alone, and on how many there are."""
    order = sorted(range(len(items)), key=lambda k: seeded_uniform(seed, name, str(k)))
    return [items[k] for k in order]
