"""The chunks that people transcribe: who is drawn, and the lists that are handed out and kept."""

import json
import random
from collections import Counter
from pathlib import Path

import pytest

from stt_platform.evaluation.assessment import (
    ChunkToAssess,
    choose_sample,
    noise_levels,
    sample_csv,
    sample_jsonl,
)
from stt_platform.evaluation.assessment_pictures import Share, bands_picture, sample_picture
from stt_platform.evaluation.intervals import Interval
from stt_platform.store.assessment_lists import hand_out, returned_lists


def church(sermons: int, chunks: int, speakers: int = 2) -> list[ChunkToAssess]:
    draw = random.Random(1)
    return [
        ChunkToAssess(f"s{s:02}-{c:04}", f"s{s:02}", f"speaker {s % speakers}", draw.gauss(20, 8), draw.uniform(5, 30))
        for s in range(sermons)
        for c in range(chunks)
    ]


def test_a_sample_is_the_same_for_any_order_and_another_for_another_seed() -> None:
    chunks = church(10, 60)
    sample = choose_sample(chunks, size=80, seed=1)
    assert sample == choose_sample(random.Random(2).sample(chunks, len(chunks)), size=80, seed=1)
    assert sample != choose_sample(chunks, size=80, seed=2)
    assert len({chunk.chunk_id for chunk in sample}) == 80


def test_every_stratum_is_there_and_the_rest_follows_size() -> None:
    # One sermon of 600 chunks, nine of 60; one chunk of a guest.
    chunks = church(10, 60) + [
        ChunkToAssess(f"s00-x{i:04}", "s00", "speaker 0", 20.0 + i % 9, 10.0) for i in range(540)
    ]
    chunks.append(ChunkToAssess("s03-guest", "s03", "guest", None, 10.0))
    sample = choose_sample(chunks, size=100, seed=1)
    levels = noise_levels(chunks)

    def strata(items: list[ChunkToAssess]) -> set:
        return {(chunk.sermon, levels[chunk.chunk_id], chunk.speaker) for chunk in items}

    assert strata(sample) == strata(chunks)
    counts = Counter(chunk.sermon for chunk in sample)
    assert 45 <= counts["s00"] <= 58
    assert all(4 <= counts[f"s{s:02}"] <= 7 for s in range(1, 10))


def test_more_strata_than_seats_still_take_every_sermon_and_balance_the_noise() -> None:
    chunks = church(50, 30)
    sample = choose_sample(chunks, size=60, seed=1)
    assert set(Counter(chunk.sermon for chunk in sample).values()) == {1, 2}
    assert len({chunk.sermon for chunk in sample}) == 50
    levels = noise_levels(chunks)
    counts = Counter(levels[chunk.chunk_id] for chunk in sample)
    assert set(counts) == {"noisy", "middle", "clean"}
    assert min(counts.values()) >= 18


def test_more_sermons_than_seats_give_one_each() -> None:
    sample = choose_sample(church(80, 5), size=50, seed=1)
    assert len({chunk.sermon for chunk in sample}) == 50


def test_fewer_chunks_than_seats_are_all_taken() -> None:
    chunks = church(2, 3)
    assert choose_sample(chunks, size=50, seed=1) == chunks
    assert choose_sample([], size=50, seed=1) == []


def test_what_cannot_be_drawn_is_named() -> None:
    with pytest.raises(ValueError, match="size 0"):
        choose_sample([], size=0, seed=1)
    with pytest.raises(ValueError, match="'s00-0000' comes twice"):
        choose_sample(church(1, 1) * 2, seed=1)


def test_noise_is_told_in_thirds() -> None:
    chunks = [ChunkToAssess(str(i), "s", None, float(i), 1.0) for i in range(9)]
    chunks.append(ChunkToAssess("x", "s", None, None, 1.0))
    assert Counter(noise_levels(chunks).values()) == {"noisy": 3, "middle": 3, "clean": 3, "unknown": 1}
    assert noise_levels([chunks[-1]]) == {"x": "unknown"}


SAMPLE = [
    ChunkToAssess("s1-0001", "s1", "=Smith", 12.5, 8.25, "s1/0001.wav"),
    ChunkToAssess("s1-0002", "s1", None, None, 9.0),
]


def test_the_lists_go_out_without_texts() -> None:
    assert list(json.loads(sample_jsonl(SAMPLE).splitlines()[0]).values()) == [
        *("s1-0001", "s1", "=Smith", 12.5, 8.25, "s1/0001.wav", "")
    ]
    assert sample_csv(SAMPLE).splitlines() == [
        "chunk_id,sermon,speaker,snr_db,duration_s,audio,manual_text",
        "s1-0001,s1,'=Smith,12.5,8.25,s1/0001.wav,",
        "s1-0002,s1,,,9.0,,",
    ]


def test_keeping_some_of_a_sample_leaves_all_of_it_as_it_is() -> None:
    chunks = church(12, 40)
    sample = choose_sample(chunks, size=60, seed=1)
    for kept in (sample[:1], sample[10:40], sample):
        assert choose_sample(chunks, size=60, seed=1, keep=[chunk.chunk_id for chunk in kept]) == sample


def test_what_was_transcribed_stays_when_sermons_come_and_the_size_changes() -> None:
    before = choose_sample(church(4, 40), size=40, seed=1)
    done = {chunk.chunk_id for chunk in before[::2]}
    more = church(14, 40)
    after = choose_sample(more, size=40, seed=1, keep=done)
    assert len(after) == 40
    assert done <= {chunk.chunk_id for chunk in after}
    assert len({chunk.sermon for chunk in after}) == 14
    smaller = choose_sample(more, size=10, seed=1, keep=done)
    assert {chunk.chunk_id for chunk in smaller} == done
    assert choose_sample(more, size=10, seed=1, keep=["gone"]) == choose_sample(more, size=10, seed=1)


def fill(path: Path, texts: dict[str, str]) -> bytes:
    """Write texts into the jsonl list; returns what it holds then."""
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    path.write_text("".join(json.dumps({**row, "manual_text": texts.get(row["chunk_id"], "")}) + "\n" for row in rows))
    return path.read_bytes()


def ids(path: Path) -> list[str]:
    return [json.loads(line)["chunk_id"] for line in path.read_text().splitlines()]


def test_a_list_that_people_have_written_in_is_never_overwritten(tmp_path: Path) -> None:
    folder = tmp_path / "assessment"
    hand_out(tmp_path, SAMPLE)
    assert sorted(path.name for path in folder.iterdir()) == ["assessment_sample.csv", "assessment_sample.jsonl"]
    assert (folder / "assessment_sample.csv").read_bytes().startswith(b"\xef\xbb\xbfchunk_id,")
    assert returned_lists(tmp_path) == []
    # An untouched list follows the sample.
    hand_out(tmp_path, SAMPLE[:1])
    assert ids(folder / "assessment_sample.jsonl") == ["s1-0001"]
    hand_out(tmp_path, SAMPLE)
    written = fill(folder / "assessment_sample.jsonl", {"s1-0001": "Amen."})
    assert [path.name for path in returned_lists(tmp_path)] == ["assessment_sample.jsonl"]
    hand_out(tmp_path, SAMPLE[1:])
    assert (folder / "assessment_sample.jsonl").read_bytes() == written
    assert not (folder / "assessment_sample-2.jsonl").exists()
    new = [*SAMPLE[1:], ChunkToAssess("s2-0001", "s2", None, None, 3.0)]
    hand_out(tmp_path, new)
    assert (folder / "assessment_sample.jsonl").read_bytes() == written
    assert ids(folder / "assessment_sample-2.jsonl") == ["s2-0001"]
    # Transcribed meanwhile: there is nothing to hand out any more.
    hand_out(tmp_path, [])
    assert not (folder / "assessment_sample-2.jsonl").exists()


def test_what_people_saved_and_nobody_can_read_is_theirs_too(tmp_path: Path) -> None:
    hand_out(tmp_path, SAMPLE)
    folder = tmp_path / "assessment"
    spoilt = "chunk_id,manual_text\ns1-0001,señor\n".encode("cp1252")
    (folder / "assessment_sample.csv").write_bytes(spoilt)
    (folder / "filled.xlsx").write_bytes(b"PK")
    (folder / ".~lock.assessment_sample.csv#").write_bytes(b"")
    (folder / "~$filled.xlsx").write_bytes(b"")
    hand_out(tmp_path, SAMPLE)
    assert (folder / "assessment_sample.csv").read_bytes() == spoilt
    assert [path.name for path in returned_lists(tmp_path)] == ["assessment_sample.csv", "filled.xlsx"]


def test_pictures_are_the_same_each_time_and_survive_odd_numbers() -> None:
    shares = {"sermon": [Share(f"sermon {k}", 10 + k, k % 4, k % 2) for k in range(30)], "speaker": []}
    assert sample_picture(shares) == sample_picture(shares)
    assert sample_picture({"speaker": [Share("nobody", 0, 0, 0)]}).startswith(b"\x89PNG")

    def rate(value: float | None, low: float | None = None, high: float | None = None) -> Interval:
        return Interval(value, low, high, 5, "", 0.95)

    rates = [("all", rate(0.17, 0.1, 0.3)), ("noisy", rate(9999.0)), ("clean", rate(None)), ("x", rate(0.0, 0.0, 5.0))]
    assert bands_picture(rates) == bands_picture(rates)
    with pytest.raises(ValueError, match="nothing to draw"):
        bands_picture([("all", rate(None))])
