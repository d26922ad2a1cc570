"""Making translations to be scored, and keeping them: what is made anew, what is lost, what counts as the same."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from stt_platform.evaluation.hypotheses import (
    Decoding,
    Generated,
    Prompting,
    Request,
    Translate,
    check_comparable,
    generate,
)
from stt_platform.store.hypotheses import HypothesisStore
from stt_platform.translation.translator import Hints, Translation, load_translator
from stt_platform_tests.helpers.translator_models import SENTENCES, tiny_gemma

REQUESTS = [Request(f"v{k}", "grace " * (k % 7 + 1) + str(k)) for k in range(20)]


class Shouting:
    """Translates by capitals, at one second and one token for every text; cannot do what holds "fail"."""

    def __init__(self, *, breaks_at: int | None = None) -> None:
        self.calls: list[list[str]] = []
        self.seconds = 0.0
        self.breaks_at = breaks_at

    def __call__(self, texts: Sequence[str], hints: Sequence[Hints]) -> list[Translation]:
        assert len(texts) == len(hints)
        if len(self.calls) == self.breaks_at:
            raise KeyboardInterrupt
        self.calls.append(list(texts))
        self.seconds += len(texts)
        return [
            Translation("", 0, "failed", "cannot") if "fail" in text else Translation(text.upper(), 1) for text in texts
        ]

    @property
    def asked(self) -> list[str]:
        """Without the first call, which warms up."""
        return [text for call in self.calls[1:] for text in call]


class InMemory:
    def __init__(self) -> None:
        self.held: dict[str, Translation] = {}

    def find(self, keys: Collection[str]) -> Mapping[str, Translation]:
        return {key: self.held[key] for key in keys if key in self.held}

    def keep(self, made: Mapping[str, Translation]) -> None:
        self.held |= made


def made(requests: Sequence[Request], translate: Translate, keeper: object, **changed: object) -> Generated:
    options = {"model": "m@1", "prompting": Prompting(), "decoding": Decoding(), "device": "cpu", "batch": 8} | changed
    return generate(requests, translate, keeper=keeper, **options)


def test_results_are_in_order_and_texts_go_in_by_length_in_batches() -> None:
    shouting, seen = Shouting(), []
    done = made(REQUESTS, shouting, InMemory(), progress=lambda one, two: seen.append((one, two)))
    assert [hypothesis.key for hypothesis in done.hypotheses] == [request.key for request in REQUESTS]
    assert [hypothesis.text for hypothesis in done.hypotheses] == [request.source.upper() for request in REQUESTS]
    assert [len(call) for call in shouting.calls] == [1, 8, 8, 4]
    lengths = [len(text) for text in shouting.asked]
    assert lengths == sorted(lengths, reverse=True)
    assert seen == [(0, 20), (8, 20), (16, 20), (20, 20)]


def test_only_what_is_not_kept_is_made() -> None:
    keeper = InMemory()
    made(REQUESTS[:12], Shouting(), keeper)
    shouting = Shouting()
    done = made(REQUESTS, shouting, keeper)
    assert sorted(shouting.asked) == sorted(request.source for request in REQUESTS[12:])
    assert [hypothesis.kept for hypothesis in done.hypotheses] == [True] * 12 + [False] * 8
    again = Shouting()
    assert made(REQUESTS, again, keeper).speed.tokens_per_s is None
    assert again.calls == []


def test_a_text_that_stands_there_twice_is_made_once() -> None:
    shouting = Shouting()
    done = made([Request("a", "grace"), Request("b", "grace")], shouting, InMemory())
    assert shouting.asked == ["grace"]
    assert [hypothesis.text for hypothesis in done.hypotheses] == ["GRACE", "GRACE"]


@pytest.mark.parametrize(
    ("changed", "request_"),
    [
        ({"model": "m@2"}, REQUESTS[0]),
        ({"decoding": Decoding(max_new_tokens=64)}, REQUESTS[0]),
        ({"decoding": Decoding(dtype="bfloat16")}, REQUESTS[0]),
        ({"prompting": Prompting("plain")}, REQUESTS[0]),
        ({"prompting": Prompting("continuation", "es", "es")}, REQUESTS[0]),
        ({"prompting": Prompting("examples", examples=(("peace", "paz"),))}, REQUESTS[0]),
        ({"prompting": Prompting(source="es", target="en")}, REQUESTS[0]),
        ({}, replace(REQUESTS[0], hints=(("grace", "gracia"),))),
    ],
)
def test_under_other_conditions_it_is_made_anew(changed: dict, request_: Request) -> None:
    keeper = InMemory()
    made(REQUESTS[:1], Shouting(), keeper)
    shouting = Shouting()
    made([request_], shouting, keeper, **changed)
    assert shouting.asked == [request_.source]


def test_another_reference_or_key_changes_nothing_that_the_model_reads() -> None:
    keeper, shouting = InMemory(), Shouting()
    made([Request("a", "grace", references=("gracia",))], Shouting(), keeper)
    made([Request("b", "grace", references=("favor",))], shouting, keeper)
    assert shouting.calls == []


def test_failed_texts_are_marked_and_tried_again() -> None:
    keeper, requests = InMemory(), [Request("a", "fail"), Request("b", "grace")]
    first, _ = made(requests, Shouting(), keeper).hypotheses
    assert (first.status, first.reason, first.text, first.kept) == ("failed", "cannot", "", False)
    shouting = Shouting()
    made(requests, shouting, keeper)
    assert shouting.asked == ["fail"]


def test_an_interruption_loses_at_most_one_batch(tmp_path: Path) -> None:
    store = HypothesisStore(tmp_path, "m@1")
    with pytest.raises(KeyboardInterrupt):
        made(REQUESTS, Shouting(breaks_at=3), store)
    shouting = Shouting()
    made(REQUESTS, shouting, store)
    assert len(shouting.asked) == 4


def test_the_speed_leaves_the_warm_up_out() -> None:
    shouting = Shouting()
    speed = made(REQUESTS, shouting, InMemory(), device="cuda:0", clock=lambda: shouting.seconds).speed
    assert (speed.device, speed.texts, speed.tokens, speed.seconds) == ("cuda:0", 20, 20, 20.0)
    assert (speed.tokens_per_s, speed.texts_per_s) == (1.0, 1.0)


@pytest.mark.parametrize(
    ("requests", "batch", "message"),
    [
        ([Request("a", "x"), Request("a", "y")], 8, "the key 'a'"),
        (REQUESTS, 0, "batch 0"),
    ],
)
def test_what_cannot_be_made_is_named(requests: list, batch: int, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        made(requests, Shouting(), InMemory(), batch=batch)


def test_a_translator_that_gives_too_few_is_refused() -> None:
    with pytest.raises(ValueError, match="0 translations of 1 texts"):
        made(REQUESTS[:1], lambda texts, hints: [], InMemory())


def test_only_what_was_asked_alike_is_compared() -> None:
    base = made(REQUESTS, Shouting(), InMemory())
    check_comparable(base, made(REQUESTS, Shouting(), InMemory(), model="m@1+adapter"))
    for other, message in (
        (made(REQUESTS, Shouting(), InMemory(), decoding=Decoding(64)), "decodings differ"),
        (made(REQUESTS, Shouting(), InMemory(), prompting=Prompting("plain")), "prompts differ"),
        (made(REQUESTS[:5], Shouting(), InMemory()), "20 and 5 texts"),
        (made([*REQUESTS[:19], Request("v19", "x")], Shouting(), InMemory()), r"\(v19\)"),
    ):
        with pytest.raises(ValueError, match=message):
            check_comparable(base, other)


def test_with_a_real_translator(tmp_path: Path) -> None:
    translator = load_translator(tiny_gemma(tmp_path / "model"))
    store = HypothesisStore(tmp_path, "tiny@1")

    def translate(texts: Sequence[str], hints: Sequence[Hints]) -> list[Translation]:
        return translator.translate(texts, hints=hints, max_new_tokens=12)

    requests = [
        Request(str(k), text, (("God", "Dios"),) if "God" in text else ()) for k, text in enumerate(SENTENCES[:4])
    ]
    done = made([*requests, Request("empty", " ")], translate, store, decoding=Decoding(12))
    alone = [translate([request.source], [request.hints])[0] for request in requests]
    assert [hypothesis.text for hypothesis in done.hypotheses[:4]] == [each.text for each in alone]
    assert done.hypotheses[4].status == "failed"
    assert done.speed.tokens_per_s > 0
    again = made([*requests, Request("empty", " ")], translate, store, decoding=Decoding(12))
    assert [hypothesis.kept for hypothesis in again.hypotheses] == [each.status != "failed" for each in done.hypotheses]
    assert [hypothesis.text for hypothesis in again.hypotheses] == [each.text for each in done.hypotheses]


def key(number: int) -> str:
    return hashlib.sha256(str(number).encode()).hexdigest()


def some(numbers: Collection[int]) -> dict[str, Translation]:
    return {key(k): Translation(f"texto {k} «ñ»\n", k, "cut" if k % 5 == 0 else "translated", "") for k in numbers}


def parts(store: HypothesisStore) -> list[Path]:
    return sorted(store.folder.glob("*.parquet"))


def test_what_is_kept_is_found_by_another_process_and_by_no_other_model(tmp_path: Path) -> None:
    HypothesisStore(tmp_path, "m@1").keep(some(range(10)))
    store = HypothesisStore(tmp_path, "m@1")
    assert store.find([key(3), key(99)]) == some([3])
    assert HypothesisStore(tmp_path, "m@2").find([key(3)]) == {}
    assert (store.folder / "subject.txt").read_text() == "m@1\n"
    assert store.damaged == ()


def test_thousands_of_keys_are_found_at_once(tmp_path: Path) -> None:
    store = HypothesisStore(tmp_path, "m@1")
    everything = some(range(3000))
    names = list(everything)
    for start in range(0, 3000, 128):
        store.keep({name: everything[name] for name in names[start : start + 128]})
    times = []
    for _ in range(3):
        began = time.perf_counter()
        assert store.find(names) == everything
        times.append(time.perf_counter() - began)
    assert min(times) < 0.2


def test_compaction_keeps_everything_in_one_file(tmp_path: Path) -> None:
    store = HypothesisStore(tmp_path, "m@1")
    assert store.compact() == 0
    for start in range(0, 50, 10):
        store.keep(some(range(start, start + 12)))
    assert store.compact() == 5
    assert len(parts(store)) == 1
    assert store.find([key(k) for k in range(100)]) == some(range(52))
    assert store.compact() == 1
    assert len(parts(store)) == 1


@pytest.mark.parametrize("damage", [lambda data: data[: len(data) // 2], lambda data: b"", lambda data: data + b"x"])
def test_a_damaged_file_is_skipped_and_reported(tmp_path: Path, damage: object) -> None:
    store = HypothesisStore(tmp_path, "m@1")
    store.keep(some([1, 2]))
    (first,) = parts(store)
    store.keep(some([3]))
    first.write_bytes(damage(first.read_bytes()))
    assert store.find([key(1), key(3)]) == some([3])
    (report,) = store.damaged
    assert str(first) in report
    assert "delete it" in report
    store.compact()
    assert first.exists()
    store.keep(some([1, 2]))
    assert store.find([key(1), key(3)]) == some([1, 3])
    assert store.damaged == ()


def test_one_key_with_two_texts_gives_the_same_before_and_after_compaction(tmp_path: Path) -> None:
    store = HypothesisStore(tmp_path, "m@1")
    for text in ("paz", "gracia", "pan"):
        store.keep({key(1): Translation(text, 3)})
    before = store.find([key(1)])
    assert before == {key(1): Translation("gracia", 3)}
    store.compact()
    assert store.find([key(1)]) == before


def test_keeping_finding_and_compacting_at_the_same_time_loses_nothing(tmp_path: Path) -> None:
    def work(worker: int) -> None:
        store = HypothesisStore(tmp_path, "m@1")
        for k in range(8):
            numbers = range(worker * 100 + k * 4, worker * 100 + k * 4 + 4)
            store.keep(some(numbers))
            if k % 3 == 0:
                store.compact()
            assert store.find([key(number) for number in numbers]) == some(numbers)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, range(4)))
    numbers = [worker * 100 + k for worker in range(4) for k in range(32)]
    store = HypothesisStore(tmp_path, "m@1")
    assert store.find([key(number) for number in numbers]) == some(numbers)
    assert store.damaged == ()
