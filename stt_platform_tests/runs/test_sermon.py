"""One sermon from its recording to its transcript, and what makes it run again."""

import shutil
from pathlib import Path

import dagster as dg
import soundfile as sf

from stt_platform.orchestration.planning import plan_sermon
from stt_platform.orchestration.scopes import SERMON
from stt_platform.orchestration.stage import stages_of
from stt_platform.settings import load_settings
from stt_platform.store.intake import ingest
from stt_platform.store.metadata import MetadataStore
from stt_platform.store.stages import current_output
from stt_platform_tests.runs.conftest import run_stages


def test_recording_to_transcript(store: MetadataStore, ingested: str, instance: dg.DagsterInstance) -> None:
    result = run_stages(instance, ingested)
    assert result.success
    (sermon,) = store.query("select * from sermons").to_pylist()
    assert (sermon["title"], sermon["speaker"], sermon["date"]) == ("The Lamp", "Ann Lee", "2024-03-10")
    assert (sermon["status"], sermon["reason"]) == ("accepted", None)
    assert abs(sermon["duration_s"] - 30) < 0.1
    text = " ".join(
        row["text"]
        for row in store.query(
            "select text from transcripts join chunks using (chunk_id) order by start_sample"
        ).to_pylist()
    ).lower()
    assert "hello" in text
    chunks = store.query("select * from chunks order by start_sample").to_pylist()
    assert sum(chunk["end_sample"] - chunk["start_sample"] for chunk in chunks) <= 30 * 16_000
    for chunk in chunks:
        exported, rate_hz = sf.read(store.home / chunk["path"])
        assert rate_hz == 16_000
        assert len(exported) == chunk["end_sample"] - chunk["start_sample"]
    for row in store.query(
        "select words, start_sample, end_sample from transcripts join chunks using (chunk_id)"
    ).to_pylist():
        assert all(row["start_sample"] <= word["start_sample"] for word in row["words"])
        assert all(word["end_sample"] <= row["end_sample"] + 16_000 for word in row["words"])


def test_every_asset_shows_a_picture_numbers_and_rows(
    store: MetadataStore, ingested: str, instance: dg.DagsterInstance
) -> None:
    result = run_stages(instance, ingested)
    for stage in stages_of(SERMON):
        (event,) = [e for e in result.get_asset_materialization_events() if e.asset_key == dg.AssetKey(stage)]
        metadata = event.materialization.metadata
        assert metadata["status"].value == "accepted"
        assert metadata["picture"].value.startswith("![waveform and spectrogram](data:image/png;base64,")
        assert len(metadata["picture"].value) < 90_000
        assert metadata["listen"].value.endswith(f"/sermon/{ingested}")
        assert any(isinstance(value, dg.FloatMetadataValue | dg.IntMetadataValue) for value in metadata.values())


def test_done_again_is_the_same_and_does_nothing(
    store: MetadataStore, ingested: str, instance: dg.DagsterInstance
) -> None:
    run_stages(instance, ingested)
    before = {stage: current_output(store.home, ingested, stage) for stage in stages_of(SERMON)}
    assert plan_sermon(store.home, load_settings(), ingested) == []
    again = run_stages(instance, ingested)
    for event in again.get_asset_materialization_events():
        assert event.materialization.metadata["was already up to date"].value is True
    shutil.rmtree(before["standard_audio"].folder)
    elsewhere = {"recording", "captions"}
    assert set(plan_sermon(store.home, load_settings(), ingested)) == set(stages_of(SERMON)) - elsewhere
    run_stages(instance, ingested)
    after = {stage: current_output(store.home, ingested, stage) for stage in stages_of(SERMON)}
    assert {stage: output.digest for stage, output in after.items()} == {
        stage: output.digest for stage, output in before.items()
    }


def test_a_parameter_redoes_what_depends_on_it(
    store: MetadataStore, ingested: str, instance: dg.DagsterInstance
) -> None:
    run_stages(instance, ingested)
    (store.home / "settings.toml").write_text("[chunking]\nmax_s = 8\ntarget_s = 5\n")
    assert plan_sermon(store.home, load_settings(), ingested) == [
        "speech_chunks",
        "training_chunks",
        "transcript",
        "consensus",
    ]
    probabilities = current_output(store.home, ingested, "speech_probabilities").folder
    made_at = (probabilities / "probabilities.npy").stat().st_mtime_ns
    run_stages(instance, ingested)
    assert (probabilities / "probabilities.npy").stat().st_mtime_ns == made_at
    longest = store.query("select max(end_sample - start_sample) as n from chunks where status = 'accepted'")
    assert longest.to_pylist()[0]["n"] <= 8 * 16_000
    (store.home / "settings.toml").write_text("[transcription]\nbeam_size = 1\n[chunking]\nmax_s = 8\ntarget_s = 5\n")
    assert plan_sermon(store.home, load_settings(), ingested) == ["transcript", "consensus"]


def test_a_changed_file_is_a_new_version(
    store: MetadataStore, ingested: str, instance: dg.DagsterInstance, tmp_path: Path
) -> None:
    run_stages(instance, ingested)
    path = tmp_path / "2024-03-10 The Lamp - Ann Lee.wav"
    samples, rate_hz = sf.read(path, dtype="int16")
    sf.write(path, samples[: 12 * rate_hz], rate_hz)
    (entry,) = ingest(store, [path])
    assert (entry.outcome, entry.sermon) == ("new version", ingested)
    assert plan_sermon(store.home, load_settings(), ingested) == stages_of(SERMON)
    run_stages(instance, ingested)
    (sermon,) = store.query("select duration_s from sermons").to_pylist()
    assert abs(sermon["duration_s"] - 12) < 0.01


def test_split_and_references(store: MetadataStore, ingested: str, instance: dg.DagsterInstance) -> None:
    from stt_platform.definitions import defs

    run_stages(instance, ingested)
    chunk = store.query("select chunk_id from chunks where status = 'accepted'").to_pylist()[0]["chunk_id"]
    (store.home / "references").mkdir()
    (store.home / "references" / f"{ingested}.txt").write_text("Hello, hello.")
    (store.home / "references" / "mine.csv").write_text(
        f"chunk_id,text,transcriber\n{chunk},Hello,Ann\n0123456789abcdef,Nobody,Ann\n"
    )
    (store.home / "references" / "broken.jsonl").write_text("not json")
    job = defs.resolve_job_def("after_sermons")
    assert job.execute_in_process(instance=instance).success
    assert store.query("select split from sermons").to_pylist()[0]["split"] in {"train", "dev", "test", "final"}
    rows = store.query('select * from "references" order by source, chunk_id').to_pylist()
    assert [(row["source"], row["status"]) for row in rows] == [
        (f"{ingested}.txt", "accepted"),
        ("broken.jsonl", "rejected"),
        ("mine.csv", "rejected"),
        ("mine.csv", "accepted"),
    ]
