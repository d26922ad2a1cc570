"""A batch of everything that goes wrong: each is marked or refused with its reason, and the others go on."""

from pathlib import Path

import av
import dagster as dg
import numpy as np
import pytest
import soundfile as sf

from stt_platform.store.intake import ingest
from stt_platform.store.metadata import MetadataStore
from stt_platform_tests.runs.conftest import run_stages

RATE_HZ = 16_000


def video_without_audio(path: Path) -> None:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=10)
        stream.width = stream.height = 64
        stream.pix_fmt = "yuv420p"
        for _ in range(10):
            frame = av.VideoFrame.from_ndarray(np.zeros((64, 64, 3), dtype=np.uint8), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())


def truncated_mp3(path: Path, talk: Path) -> None:
    samples, rate_hz = sf.read(talk)
    sf.write(path, samples, rate_hz, format="MP3")
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])


@pytest.fixture
def batch(tmp_path: Path, talk: Path) -> Path:
    folder = tmp_path / "batch"
    folder.mkdir()
    (folder / "2024-01-01 words.mp3").write_text("this is a text, not a sound\n" * 100)
    (folder / "2024-01-02 empty.wav").touch()
    video_without_audio(folder / "2024-01-03 video.mp4")
    sf.write(folder / "2024-01-04 short.wav", np.full(RATE_HZ // 5, 0.1), RATE_HZ)
    truncated_mp3(folder / "2024-01-05 truncated.mp3", talk)
    with sf.SoundFile(folder / "2024-01-06 silence.flac", "w", 8_000, 1, format="FLAC") as file:
        for _ in range(120):
            file.write(np.zeros(60 * 8_000, dtype="int16"))
    samples, rate_hz = sf.read(talk)
    for day, name in enumerate(["a,b", "🎤", "x" * 230, 'it\'s "quoted"\nand broken', "..", "a b"], start=10):
        sf.write(folder / f"2024-01-{day} {name}.wav", samples[7 * rate_hz : 13 * rate_hz + day], rate_hz)
    return folder


REASONS = {
    "2024-01-01--words": "2024-01-01 words.mp3",
    "2024-01-02--empty": "empty",
    "2024-01-03--video": "no sound",
    "2024-01-04--short": "0.20 s",
    "2024-01-06--silence": "nobody speaks",
}


def test_each_is_marked_with_its_reason_and_the_others_go_on(
    store: MetadataStore, batch: Path, instance: dg.DagsterInstance
) -> None:
    taken = list(ingest(store, [batch, batch / ("y" * 300 + ".wav"), batch / "../../x.wav"]))
    assert [entry.outcome for entry in taken] == ["new"] * 12 + ["refused"] * 2
    assert "too long" in taken[-2].message
    assert "no such file" in taken[-1].message
    for entry in taken[:12]:
        assert run_stages(instance, entry.sermon).success
    rows = {row["sermon"]: row for row in store.query("select * from sermons").to_pylist()}
    assert len(rows) == 12
    for sermon, words in REASONS.items():
        assert rows[sermon]["status"] == "rejected"
        assert words.lower() in rows[sermon]["reason"].lower(), rows[sermon]["reason"]
    accepted = {sermon for sermon, row in rows.items() if row["status"] == "accepted"}
    assert accepted == set(rows) - set(REASONS)
    (note,) = store.query(
        "select reason from stage_results where stage = 'recording' and sermon = '2024-01-05--truncated'"
    ).to_pylist()
    assert "cut off" in note["reason"]
    inside = {path.resolve() for path in store.home.rglob("*")}
    assert all(path.is_relative_to(store.home.resolve()) for path in inside)


def test_the_same_recording_twice_is_said(store: MetadataStore, ingested: str, talk: Path, tmp_path: Path) -> None:
    (again,) = ingest(store, [talk])
    assert (again.outcome, again.sermon) == ("same recording", ingested)
    assert ingested in again.message


def test_two_recordings_of_one_name_are_two_sermons(store: MetadataStore, tmp_path: Path) -> None:
    for folder, level in (("a", 0.1), ("b", 0.2)):
        (tmp_path / folder).mkdir()
        sf.write(tmp_path / folder / "2024-03-10 Grace.wav", np.full(RATE_HZ, level), RATE_HZ)
    taken = list(ingest(store, [tmp_path / "a", tmp_path / "b"]))
    assert [entry.sermon for entry in taken] == ["2024-03-10--grace", "2024-03-10--grace-2"]


def test_what_unpacks_to_more_than_a_sermon_is_not_unpacked_to_its_end(
    store: MetadataStore, tmp_path: Path, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STT_GATES__MAX_RECORDING_H", "0.01")
    path = tmp_path / "2024-01-20 bomb.flac"
    sf.write(path, np.zeros(600 * 8_000, dtype="int16"), 8_000)
    (entry,) = ingest(store, [path])
    assert run_stages(instance, entry.sermon).success
    (row,) = store.query("select status, reason, gate from stage_results where stage = 'recording'").to_pylist()
    assert (row["status"], row["gate"]) == ("rejected", "duration")
    assert "more than 0.01 h" in row["reason"]
    (decoded,) = store.query("select duration_s from recordings").to_pylist()
    assert 36 < decoded["duration_s"] < 60
