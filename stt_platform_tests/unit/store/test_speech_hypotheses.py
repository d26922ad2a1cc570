"""What was heard, kept between runs: by the samples and by all that decides what is heard."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from stt_platform.store.hypotheses import KeptHearing, SpeechHypothesisStore, sound_key

DECODING = {"beam_size": 5, "language": "en"}


def sound(number: int) -> np.ndarray:
    return np.random.default_rng(number).normal(0, 0.1, 1600).astype(np.float32)


def some(numbers: range | list[int]) -> dict[str, KeptHearing]:
    return {sound_key(sound(k)): KeptHearing(f"words «{k}»", k / 10, -0.25, 0.125, 1.5) for k in numbers}


def kept(home: Path, system: str = "m@1", **decoding: object) -> SpeechHypothesisStore:
    return SpeechHypothesisStore(home, system, DECODING | decoding)


def test_what_is_kept_is_found_by_the_samples_alone(tmp_path: Path) -> None:
    kept(tmp_path).keep(some(range(3)))
    wanted = sound_key(np.repeat(sound(1), 2)[::2])
    assert kept(tmp_path).find([wanted, sound_key(sound(9))]) == some([1])
    assert kept(tmp_path).damaged == ()


@pytest.mark.parametrize("samples", [sound(1)[1:], sound(1) * np.float32(0.5), -sound(1)])
def test_other_samples_have_another_key(samples: np.ndarray) -> None:
    assert sound_key(samples) != sound_key(sound(1))


@pytest.mark.parametrize(
    ("system", "decoding"), [("m@2", {}), ("m@1+adapter", {}), ("m@1", {"beam_size": 1}), ("m@1", {"new": None})]
)
def test_another_system_or_decoding_has_heard_nothing(tmp_path: Path, system: str, decoding: dict) -> None:
    kept(tmp_path).keep(some([1]))
    assert kept(tmp_path, system, **decoding).find(some([1])) == {}


def test_the_order_of_the_settings_is_no_setting(tmp_path: Path) -> None:
    SpeechHypothesisStore(tmp_path, "m@1", {"a": 1, "b": 2}).keep(some([1]))
    store = SpeechHypothesisStore(tmp_path, "m@1", {"b": 2, "a": 1})
    assert store.find(some([1])) == some([1])
    assert '"system": "m@1"' in (store.folder / "subject.txt").read_text(encoding="utf-8")


@pytest.mark.parametrize("damage", [lambda data: data[: len(data) // 2], lambda data: b"", lambda data: data + b"x"])
def test_a_damaged_file_is_skipped_and_reported(tmp_path: Path, damage: object) -> None:
    store = kept(tmp_path)
    store.keep(some([1]))
    (first,) = store.folder.glob("*.parquet")
    store.keep(some([2]))
    first.write_bytes(damage(first.read_bytes()))
    assert store.find(some([1, 2])) == some([2])
    (report,) = store.damaged
    assert str(first) in report
    assert "heard again" in report
    store.keep(some([1]))
    assert store.find(some([1, 2])) == some([1, 2])
    assert store.damaged == ()


def test_of_two_hearings_of_one_sound_the_same_is_found_before_and_after_compaction(tmp_path: Path) -> None:
    store = kept(tmp_path)
    for text in ("peace", "grace", "pace"):
        store.keep({sound_key(sound(1)): KeptHearing(text, 1.0, -0.1, 0.0, 1.0)})
    before = store.find(some([1]))
    assert [heard.text for heard in before.values()] == ["grace"]
    assert store.compact() == 3
    assert store.compact() == 1
    assert store.find(some([1])) == before


def test_processes_that_keep_and_compact_at_the_same_time_lose_nothing(tmp_path: Path) -> None:
    def work(worker: int) -> None:
        for k in range(6):
            store = kept(tmp_path)
            store.keep(some([worker * 10 + k]))
            if k % 2:
                store.compact()

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, range(4)))
    everything = some([worker * 10 + k for worker in range(4) for k in range(6)])
    assert kept(tmp_path).find(everything) == everything
