"""Who teaches and who examines."""

import random
from collections import Counter

import pytest

from stt_platform.evaluation.splits import SermonToSplit, split_sermons

SHARES = {"train": 0.65, "dev": 0.10, "test": 0.15, "final": 0.10}


def church(sermons: int, speakers: int) -> list[SermonToSplit]:
    return [SermonToSplit(f"2024-01-01--s{i:03}", f"speaker {i % speakers}") for i in range(sermons)]


def test_shares_are_met_over_all_and_each_speaker_is_spread() -> None:
    items = church(100, speakers=5)
    splits = split_sermons(items, SHARES, seed=42)
    assert all(abs(Counter(splits.values())[split] - 100 * share) <= 2 for split, share in SHARES.items())
    for speaker in {item.speaker for item in items}:
        counts = Counter(splits[item.sermon] for item in items if item.speaker == speaker)
        assert counts["train"] >= 11
        assert counts["test"] >= 2


def test_the_order_of_arrival_does_not_matter() -> None:
    items = church(24, speakers=5)
    shuffled = random.Random(1).sample(items, len(items))
    assert split_sermons(items, SHARES, seed=42) == split_sermons(shuffled, SHARES, seed=42)


def test_another_seed_is_another_split() -> None:
    items = church(24, speakers=5)
    assert split_sermons(items, SHARES, seed=42) != split_sermons(items, SHARES, seed=43)


def test_24_sermons_have_all_four() -> None:
    counts = Counter(split_sermons(church(24, speakers=6), SHARES, seed=42).values())
    assert set(counts) == set(SHARES)
    assert counts["test"] >= 3


def test_frozen_stays_when_sermons_come_and_pins_win() -> None:
    before = split_sermons(church(20, speakers=4), SHARES, seed=42)
    after = split_sermons(church(40, speakers=4), SHARES, seed=42, frozen=before)
    assert all(after[sermon] == split for sermon, split in before.items())
    pinned = split_sermons(church(20, 4), SHARES, seed=42, frozen=before, pinned={"2024-01-01--s003": "final"})
    assert pinned == {**before, "2024-01-01--s003": "final"}


def test_a_pin_to_nowhere_is_named() -> None:
    with pytest.raises(ValueError, match="'tset'"):
        split_sermons(church(3, 1), SHARES, seed=42, pinned={"2024-01-01--s001": "tset"})
