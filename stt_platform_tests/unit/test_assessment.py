"""The chunks that people transcribe: who is drawn, the list handed out, and the list that comes back."""

import json
import random
from collections import Counter

import pytest

from stt_platform.evaluation.assessment import (
    BadAssessment,
    ChunkToAssess,
    choose_sample,
    noise_levels,
    read_transcripts,
    sample_csv,
    sample_jsonl,
)


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
KNOWN = [chunk.chunk_id for chunk in SAMPLE]


def test_the_lists_go_out_empty_and_come_back_as_they_were(tmp_path) -> None:
    (tmp_path / "sample.jsonl").write_text(sample_jsonl(SAMPLE), encoding="utf-8")
    (tmp_path / "sample.csv").write_text(sample_csv(SAMPLE), encoding="utf-8-sig", newline="")
    for name, first in (("sample.jsonl", 1), ("sample.csv", 2)):
        rows = read_transcripts(tmp_path / name, KNOWN)
        assert [(row.chunk_id, row.status, row.text, row.line) for row in rows] == [
            ("s1-0001", "pending", "", first),
            ("s1-0002", "pending", "", first + 1),
        ]
    assert list(json.loads(sample_jsonl(SAMPLE).splitlines()[0]).values()) == [
        *("s1-0001", "s1", "=Smith", 12.5, 8.25, "s1/0001.wav", "")
    ]
    assert sample_csv(SAMPLE).splitlines() == [
        "chunk_id,sermon,speaker,snr_db,duration_s,audio,manual_text",
        "s1-0001,s1,'=Smith,12.5,8.25,s1/0001.wav,",
        "s1-0002,s1,,,9.0,,",
    ]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.csv", "chunk_id,manual_text\r\ns1-0001,\"Grace, and\npeace\"\r\ns1-0002,[No speech]\r\n"),
        ("a.csv", "﻿Chunk_ID;manual_text\r\ns1-0001;Grace, and peace\r\n;\r\ns1-0002;[no speech]\r\n"),
        ("a.csv", "chunk_id\tspeaker\tmanual_text\ns1-0001\tx\tGrace, and  peace\ns1-0002\t\t[no speech]\n"),
        ("a.jsonl", '﻿{"chunk_id": "s1-0001", "manual_text": "Grace, and peace "}\n\n'
                    '{"chunk_id": "s1-0002", "manual_text": "[no speech]"}'),
    ],
)  # fmt: skip
def test_a_list_may_come_back_in_many_ways(tmp_path, name, content) -> None:
    (tmp_path / name).write_text(content, encoding="utf-8", newline="")
    rows = read_transcripts(tmp_path / name, KNOWN)
    assert [(row.chunk_id, row.status, row.text) for row in rows] == [
        ("s1-0001", "transcribed", "Grace, and peace"),
        ("s1-0002", "no speech", ""),
    ]


def test_rows_that_fit_nothing_are_marked(tmp_path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("chunk_id,manual_text\ns9-0001,hello\ns1-0001,one\ns1-0001,two\ns1-0001,\n", encoding="utf-8")
    rows = read_transcripts(path, KNOWN)
    assert [row.status for row in rows] == ["rejected", "transcribed", "rejected", "pending"]
    assert rows[0].reason.startswith("chunk 's9-0001' is not in the sample")
    assert rows[2].reason == "chunk 's1-0001' was transcribed on line 3 already; keep one of the two"


def test_rows_without_a_text_are_pending(tmp_path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"chunk_id": "s1-0001"}\n{"chunk_id": "s1-0002", "manual_text": null}\n', encoding="utf-8")
    assert [row.status for row in read_transcripts(path, KNOWN)] == ["pending", "pending"]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.csv", b"chunk_id,text\ns1-0001,hi\n", "a.csv, line 1: there is no column manual_text"),
        ("a.csv", b"", "a.csv, line 1: there is no column chunk_id"),
        ("a.csv", b'chunk_id,manual_text\ns1-0001,"a\nb"\ns1-0002,x,y\n', "a.csv, line 4: more cells than columns"),
        ("a.csv", b'chunk_id,manual_text\ns1-0001,"a\n', "a.csv, line 2: unexpected end of data"),
        ("a.csv", "chunk_id,manual_text\ns1-0001,señor\n".encode("cp1252"), "a.csv: not UTF-8 at byte 31; save it as"),
        ("a.jsonl", b'{"chunk_id": "s1-0001", "manual_text": ""}\n{bad}', "a.jsonl, line 2: not JSON"),
        ("a.jsonl", b"[1]", "a.jsonl, line 1: '\\[1\\]' is not an object"),
        ("a.jsonl", b'{"chunk_id": "x", "manual_text": 5}', "a.jsonl, line 1: manual_text is 5; a text was expected"),
        ("a.jsonl", b'{"manual_text": ""}', "a.jsonl, line 1: chunk_id is None"),
        ("a.xlsx", b"PK", "a.xlsx: '.xlsx' is no kind of list; save it as"),
    ],
)
def test_a_list_that_cannot_be_read_is_named(tmp_path, name, content, message) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(BadAssessment, match=message):
        read_transcripts(tmp_path / name, KNOWN)
