"""Compacted files change how fast a question is answered, and never the answer."""

import itertools
from pathlib import Path

import pytest

from stt_platform.store.compaction import GROUP
from stt_platform.store.metadata import MetadataStore


def rows(sermon: str, count: int, label: str = "speech") -> list[dict[str, object]]:
    return [
        {"sermon": sermon, "view": "original", "start_sample": 100 * n, "end_sample": 100 * n + 50, "label": label}
        for n in range(count)
    ]


@pytest.fixture
def store(tmp_path: Path) -> MetadataStore:
    """A hundred and fifty sermons; some have nothing to say."""
    store = MetadataStore(tmp_path)
    for number in range(150):
        store.write("segments", key(number), rows(key(number), number % 4))
    return store


def key(number: int) -> str:
    return f"2024-01-01--talk-{number:03}"


def compacted(store: MetadataStore) -> Path:
    return store.home / "cache" / "compacted" / "segments.parquet"


def one_by_one(store: MetadataStore) -> list[dict[str, object]]:
    parts = itertools.chain.from_iterable(store.read("segments", part).to_pylist() for part in store.parts("segments"))
    return sorted(parts, key=lambda row: (row["sermon"], row["start_sample"]))


def answer(store: MetadataStore) -> list[dict[str, object]]:
    found = store.query("select * from segments order by sermon, start_sample").to_pylist()
    assert found == one_by_one(store)
    return found


def test_the_answer_is_the_same_whatever_happened_since(store: MetadataStore) -> None:
    before = answer(store)
    assert store.compact() == 1
    assert answer(store) == before
    store.write("segments", key(3), rows(key(3), 2, "music"))
    store.write("segments", "2024-01-01--talk-0035", rows("2024-01-01--talk-0035", 5))
    (store.home / "tables" / "segments" / f"{key(99)}.parquet").unlink()
    assert len(answer(store)) == len(before) - 3 + 2 + 5 - 3


def test_it_is_gathered_again_only_once_much_is_new(store: MetadataStore) -> None:
    assert store.compact() == 1
    assert store.compact() == 0
    store.write("segments", key(0), rows(key(0), 9))
    # Its whole group is read one by one now, and that is enough to begin again.
    assert GROUP == 64
    assert store.compact() == 1
    assert store.compact() == 0
    assert len(answer(store)) == len(one_by_one(store))


def test_few_fragments_and_empty_ones_are_left_as_they_are(tmp_path: Path) -> None:
    store = MetadataStore(tmp_path)
    for number in range(GROUP - 1):
        store.write("segments", key(number), rows(key(number), 1))
    assert store.compact() == 0
    for number in range(2 * GROUP):
        store.write("segments", key(number), [])
    assert (store.compact(), store.compact()) == (1, 0)
    assert answer(store) == []


@pytest.mark.parametrize("at", [0.0, 0.3, 0.6, 1.0])
def test_a_damaged_one_is_dropped_and_the_question_answered(store: MetadataStore, at: float) -> None:
    store.compact()
    data = bytearray(compacted(store).read_bytes())
    begin = min(round(at * len(data)), len(data) - 16)
    data[begin : begin + 16] = bytes(byte ^ 0xFF for byte in data[begin : begin + 16])
    compacted(store).write_bytes(data)
    assert answer(store)


def test_nothing_of_a_removed_sermon_stays_in_it(store: MetadataStore) -> None:
    store.compact()
    assert key(3).encode() in compacted(store).read_bytes()
    store.remove_sermon(key(3))
    assert not compacted(store).exists()
    assert key(3) not in {row["sermon"] for row in answer(store)}


def test_what_cannot_be_read_is_still_said(store: MetadataStore) -> None:
    store.compact()
    path = store.home / "tables" / "segments" / f"{key(5)}.parquet"
    path.write_bytes(b"PAR1 not much of a fragment PAR1")
    with pytest.raises(RuntimeError, match=path.name):
        store.query("select * from segments")
