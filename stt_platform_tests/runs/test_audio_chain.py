"""The whole audio chain on services of which everything is known: classes, chunks, gates, views, speakers, agreement."""

from itertools import pairwise
from pathlib import Path

import dagster as dg
import numpy as np
import pytest
import soundfile as sf

from stt_platform.audio import SAMPLE_RATE_HZ
from stt_platform.audio.loudness import integrated_loudness_lufs, true_peak_dbtp
from stt_platform.orchestration.planning import plan_sermon
from stt_platform.settings import load_settings
from stt_platform.store.intake import ingest
from stt_platform.store.metadata import MetadataStore
from stt_platform.store.stages import current_output
from stt_platform_tests.helpers import services
from stt_platform_tests.runs.conftest import run_stages
from stt_platform_tests.unit.audio.test_separate import tiny_package, write_checkpoint

TEXTS = (
    "The lamp was lit again, and the house was full of light. Keep your oil, and wait until the morning comes.",
    "He went out to the field at evening, and lifted up his eyes, and behold, there was one coming to meet him.",
)


def take_in(store: MetadataStore, path: Path) -> str:
    (entry,) = ingest(store, [path])
    assert entry.sermon
    return entry.sermon


@pytest.fixture
def service(tmp_path: Path) -> services.Service:
    """Organ, a preacher, a preacher over the organ, silence, organ."""
    spoken = [services.preacher(text, seed=number) for number, text in enumerate(TEXTS)]
    return services.compose(
        [
            services.silence(1.0),
            services.music(services.organ(6.0)),
            services.silence(1.5),
            services.speech(spoken[0]),
            services.silence(3.0),
            services.speech_over_music(spoken[1], services.organ(12.0, seed=3), speech_to_music_db=3.0),
            services.silence(1.0),
        ]
    )


def test_every_sample_is_accounted_for(
    store: MetadataStore, service: services.Service, instance: dg.DagsterInstance, tmp_path: Path
) -> None:
    sermon = take_in(store, service.write(tmp_path / "2024-05-05 service.wav"))
    assert run_stages(instance, sermon).success

    (total,) = store.query("select sum(samples) as n, count(*) as parts from funnel").to_pylist()
    assert total["n"] == service.samples.size
    segments = store.query("select * from segments order by start_sample").to_pylist()
    assert segments[0]["start_sample"] == 0
    assert segments[-1]["end_sample"] == service.samples.size
    assert all(before["end_sample"] == after["start_sample"] for before, after in pairwise(segments))
    chunks = store.query("select * from chunks order by start_sample").to_pylist()
    assert all(1.0 <= (c["end_sample"] - c["start_sample"]) / SAMPLE_RATE_HZ <= 30.0 for c in chunks if not c["gate"])
    over_music = next(part for part in service.truth if part.label == "speech_over_music")
    for chunk in chunks:
        inside = over_music.start_sample - 8000 <= chunk["start_sample"]
        assert (chunk["gate"] == "music") == inside
        assert chunk["status"] == ("rejected" if inside else "accepted")
    assert {chunk["status"] for chunk in chunks} == {"accepted", "rejected"}


def test_both_views_lie_on_one_time_line_and_an_audio_folder_reads_them(
    store: MetadataStore, service: services.Service, instance: dg.DagsterInstance, tmp_path: Path
) -> None:
    from datasets import load_dataset

    sermon = take_in(store, service.write(tmp_path / "2024-05-05 service.wav"))
    assert run_stages(instance, sermon).success
    rows = store.query(
        "select t.*, s.start_sample, s.end_sample from training_chunks t join speech_chunks s using (sermon, chunk_id)"
    ).to_pylist()
    assert {row["view"] for row in rows} == {"original", "enhanced"}
    whole = {
        view: sf.read(current_output(store.home, sermon, stage).folder / "audio.wav", dtype="int16")[0]
        for view, stage in (("original", "standard_audio"), ("enhanced", "enhanced_audio"))
    }
    assert whole["original"].size == whole["enhanced"].size == service.samples.size
    for row in rows:
        samples, rate_hz = sf.read(store.home / row["path"], dtype="int16")
        assert rate_hz == SAMPLE_RATE_HZ
        assert np.array_equal(samples, whole[row["view"]][row["start_sample"] : row["end_sample"]])
        assert row["snr_db"] == min(row["wada_snr_db"], row["vad_snr_db"])
    (made,) = store.query("select * from enhancements").to_pylist()
    enhanced = whole["enhanced"] / 32768
    assert true_peak_dbtp(enhanced, SAMPLE_RATE_HZ) <= -0.99
    loudness_lufs = integrated_loudness_lufs(enhanced, SAMPLE_RATE_HZ)
    assert abs(loudness_lufs - -16.0) <= 0.2 or made["loudness_shortfall_db"] == pytest.approx(
        -16.0 - loudness_lufs, abs=0.1
    )
    folder = current_output(store.home, sermon, "training_chunks").folder / "chunks"
    dataset = load_dataset("audiofolder", data_dir=str(folder), cache_dir=str(tmp_path / "cache"), split="train")
    assert sorted(dataset["chunk_id"]) == sorted(row["chunk_id"] for row in rows)
    assert {"audio", "start_sample", "end_sample", "speaker", "snr_db", "view"} <= set(dataset.column_names)


def test_what_is_wrong_with_a_recording_is_said(
    store: MetadataStore, instance: dg.DagsterInstance, tmp_path: Path
) -> None:
    rng = np.random.default_rng(7)
    clean = services.preacher(TEXTS[0])
    clean = np.concatenate([np.zeros(8000, np.float32), clean / np.abs(clean).max(), np.zeros(8000, np.float32)])
    level = np.sqrt(np.mean(clean[np.abs(clean) > 0.01] ** 2))
    noise = rng.standard_normal(clean.size).astype(np.float32)
    wrong = {
        "2024-01-07 noisy": 0.3 * (clean + 10 ** (-3 / 20) * level * noise),
        "2024-01-14 clipped and turned down": 0.5 * np.clip(8 * clean, -1, 1),
        "2024-01-21 organ alone": 0.1 * services.organ(12.0),
    }
    expected = {"noisy": "noise", "clipped and turned down": "clipping", "organ alone": "speech"}
    for name, samples in wrong.items():
        path = tmp_path / f"{name}.wav"
        sf.write(path, samples, SAMPLE_RATE_HZ, subtype="PCM_16")
        sermon = take_in(store, path)
        assert run_stages(instance, sermon).success, "a refused recording is no failure"
        (row,) = store.query(
            "select first(gate) as gate, first(reason) as reason from stage_results "
            "where sermon = ? and status = 'rejected'",
            [sermon],
        ).to_pylist()
        assert row["gate"] == expected[name.partition(" ")[2]], row
        (funnel,) = store.query("select * from funnel where sermon = ?", [sermon]).to_pylist()
        assert (funnel["step"], funnel["outcome"]) == (1, row["gate"])
        assert funnel["samples"] == samples.size


def test_a_conversation_is_cut_between_its_speakers(
    store: MetadataStore, instance: dg.DagsterInstance, talk: Path, tmp_path: Path
) -> None:
    path = tmp_path / "2024-06-02 Conversation at the door.wav"
    path.write_bytes(talk.read_bytes())
    sermon = take_in(store, path)
    assert run_stages(instance, sermon).success
    turns = store.query("select * from speaker_turns").to_pylist()
    assert {turn["speaker"] for turn in turns} == {"S1", "S2"}
    speakers = store.query(
        "select distinct speaker from training_chunks where status = 'accepted' and view = 'original'"
    ).to_pylist()
    assert {row["speaker"] for row in speakers} == {"S1", "S2"}
    (share,) = store.query("select min(speaker_share) as least from training_chunks").to_pylist()
    assert share["least"] > 0.6


def test_speech_is_taken_out_of_the_music_under_it(
    store: MetadataStore, service: services.Service, instance: dg.DagsterInstance, tmp_path: Path
) -> None:
    """With a model of a few kilobytes, which separates badly: what counts is who is measured, and which view is used."""
    weights = store.home / "models" / "demucs"
    weights.parent.mkdir()
    write_checkpoint(weights, tiny_package())
    (weights / "tiny.yaml").rename(weights / "htdemucs.yaml")
    store.home.joinpath("settings.toml").write_text(
        '[separation]\nengine = "demucs"\n[gates]\nmin_chunk_snr_db = -30\nmin_recording_snr_db = -30\n'
    )
    sermon = take_in(store, service.write(tmp_path / "2024-05-12 service.wav"))
    assert run_stages(instance, sermon).success
    over_music = next(part for part in service.truth if part.label == "speech_over_music")
    rows = store.query(
        "select t.*, s.start_sample from training_chunks t join speech_chunks s using (sermon, chunk_id)"
    ).to_pylist()
    separated = [row for row in rows if row["start_sample"] >= over_music.start_sample - 8000]
    assert separated
    for row in separated:
        refused = row["view"] == "original"
        assert (row["status"], row["gate"]) == (("rejected", "music") if refused else ("accepted", None))
    heard = {row["chunk_id"] for row in store.query("select chunk_id from transcripts").to_pylist()}
    assert {row["chunk_id"] for row in rows if row["view"] == "enhanced"} == heard
    statuses = {row["status"] for row in store.query("select status, path from chunks").to_pylist()}
    assert statuses <= {"accepted", "rejected"}
    (made,) = store.query("select separated_s from enhancements").to_pylist()
    assert made["separated_s"] > 5
    store.home.joinpath("settings.toml").write_text(
        'training_view = "original"\n' + store.home.joinpath("settings.toml").read_text()
    )
    assert run_stages(instance, sermon).success
    heard = {row["chunk_id"] for row in store.query("select chunk_id from transcripts").to_pylist()}
    assert not heard & {row["chunk_id"] for row in separated}, "the original sound of these has music in it"


def test_the_same_of_other_settings_leaves_what_follows_as_it_is(
    store: MetadataStore, instance: dg.DagsterInstance, talk: Path, tmp_path: Path
) -> None:
    path = tmp_path / "2024-06-16 talk.wav"
    path.write_bytes(talk.read_bytes())
    sermon = take_in(store, path)
    assert run_stages(instance, sermon).success
    before = current_output(store.home, sermon, "transcript")
    store.home.joinpath("settings.toml").write_text("[gates]\nmin_recording_snr_db = 9\n")
    assert plan_sermon(store.home, load_settings(store.home), sermon)[0] == "sound_classes"
    assert run_stages(instance, sermon).success
    assert current_output(store.home, sermon, "transcript").key == before.key
    assert plan_sermon(store.home, load_settings(store.home), sermon) == []


def test_captions_count_as_another_opinion(store: MetadataStore, instance: dg.DagsterInstance, tmp_path: Path) -> None:
    spoken = services.preacher(TEXTS[0])
    path = tmp_path / "2024-06-09 Lamp.wav"
    sf.write(path, np.concatenate([np.zeros(8000), spoken, np.zeros(8000)]), SAMPLE_RATE_HZ, subtype="PCM_16")
    sermon = take_in(store, path)
    assert run_stages(instance, sermon).success
    assert plan_sermon(store.home, load_settings(store.home), sermon) == []
    captions = tmp_path / "2024-06-09 Lamp.en.vtt"
    captions.write_text(f"WEBVTT\n\n00:00:00.500 --> 00:00:{0.5 + spoken.size / SAMPLE_RATE_HZ:06.3f}\n{TEXTS[0]}\n")
    (entry,) = ingest(store, [captions])
    assert (entry.outcome, entry.sermon) == ("captions", sermon)
    assert plan_sermon(store.home, load_settings(store.home), sermon) == ["captions", "consensus"]
    assert run_stages(instance, sermon).success
    opinions = store.query("select system, text from second_opinions order by system").to_pylist()
    assert "captions" in {row["system"] for row in opinions}
    said = " ".join(row["text"] for row in opinions if row["system"] == "captions")
    assert said.split()[:5] == TEXTS[0].split()[:5]
    assert all(row["mean_cer"] is not None for row in store.query("select * from consensus").to_pylist())
