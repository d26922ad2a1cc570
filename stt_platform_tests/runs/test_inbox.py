"""The inbox: whole files are taken, growing ones are left, and the sensors start what is due."""

import shutil
from pathlib import Path

import dagster as dg
import numpy as np
import pytest
import soundfile as sf
from dagster._core.definitions.partitions.context import partition_loading_context

from stt_platform.defs.platform import Platform
from stt_platform.defs.sermons.inbox import is_whole, take_from_inbox
from stt_platform.defs.sermons.partitions import sermon_partitions
from stt_platform.defs.sermons.sensors import inbox, new_sermons
from stt_platform.settings import InboxSettings
from stt_platform.store.intake import remove_sermon
from stt_platform.store.metadata import MetadataStore
from stt_platform_tests.runs.conftest import run_stages

AT_ONCE = InboxSettings(settle_s=0)


@pytest.fixture
def box(stt_home: Path) -> Path:
    folder = stt_home / "inbox"
    folder.mkdir()
    return folder


def tone(path: Path, seconds: float = 1.5, level: float = 0.1) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    sf.write(path, np.full(int(16_000 * seconds), level), 16_000)
    return path


def test_a_file_that_is_being_written_is_left_alone(store: MetadataStore, box: Path) -> None:
    path = tone(box / "2024-03-10 Grace.wav")
    with path.open("ab"):
        assert not is_whole(path, settle_s=0)
        assert list(take_from_inbox(store, AT_ONCE)) == []
    assert not is_whole(path, settle_s=60)
    (entry,) = take_from_inbox(store, AT_ONCE)
    assert (entry.outcome, entry.sermon) == ("new", "2024-03-10--grace")
    assert not path.exists()
    assert (box / "done" / path.name).exists()


def test_a_part_file_holds_its_recording_back(box: Path) -> None:
    path = tone(box / "2024-03-10 Grace.wav")
    (box / "2024-03-10 Grace.wav.part").touch()
    assert not is_whole(path, settle_s=0)


def test_again_and_changed(store: MetadataStore, box: Path) -> None:
    tone(box / "2024-03-10 Grace.wav")
    list(take_from_inbox(store, AT_ONCE))
    tone(box / "copy of it.wav")
    (again,) = take_from_inbox(store, AT_ONCE)
    assert (again.outcome, again.sermon) == ("same recording", "2024-03-10--grace")
    tone(box / "2024-03-10 Grace.wav", level=0.2)
    (changed,) = take_from_inbox(store, AT_ONCE)
    assert (changed.outcome, changed.sermon) == ("new version", "2024-03-10--grace")


def test_a_text_follows_its_recording(store: MetadataStore, box: Path) -> None:
    tone(box / "2024-03-10 Grace.wav")
    (box / "2024-03-10 Grace.txt").write_text("Grace.")
    (box / "stray.txt").write_text("nobody's")
    outcomes = [entry.outcome for entry in take_from_inbox(store, AT_ONCE)]
    assert outcomes == ["new", "reference", "refused"]
    assert (store.home / "sermons" / "2024-03-10--grace" / "references" / "reference.txt").read_text() == "Grace."
    assert (box / "stray.txt").exists()


def test_links_and_hidden_files_are_not_followed(store: MetadataStore, box: Path, tmp_path: Path) -> None:
    (box / "link.wav").symlink_to(tone(tmp_path / "secret.wav"))
    tone(box / ".hidden.wav")
    assert list(take_from_inbox(store, AT_ONCE)) == []


def tick(sensor: dg.SensorDefinition, instance: dg.DagsterInstance, cursor: str | None = None):
    from stt_platform.definitions import defs

    context = dg.build_sensor_context(
        instance=instance, cursor=cursor, definitions=defs, resources={"platform": Platform()}
    )
    with partition_loading_context(dynamic_partitions_store=instance):
        return sensor.evaluate_tick(context)


def test_the_sensors_lead_from_a_file_to_its_run(
    store: MetadataStore, box: Path, instance: dg.DagsterInstance, talk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STT_INBOX__SETTLE_S", "0")
    assert "nothing new" in tick(inbox, instance).skip_message
    shutil.copy(talk, box / "2024-03-10 Grace.wav")
    first = tick(inbox, instance)
    (request,) = first.dynamic_partitions_requests
    assert list(request.partition_keys) == ["2024-03-10--grace"]
    assert not first.run_requests
    instance.add_dynamic_partitions(sermon_partitions.name, request.partition_keys)
    (run,) = tick(new_sermons, instance).run_requests
    assert (run.job_name, run.partition_key) == ("sermon_to_transcript", "2024-03-10--grace")
    run_stages(instance, "2024-03-10--grace")
    (over_all,) = tick(new_sermons, instance).run_requests
    assert over_all.job_name == "after_sermons"


def test_a_removed_sermon_leaves_nothing_behind(
    store: MetadataStore, ingested: str, instance: dg.DagsterInstance
) -> None:
    run_stages(instance, ingested)
    remove_sermon(store, ingested)
    left = [str(path) for path in store.home.rglob("*") if ingested in path.name]
    assert left == []
    for table in ("sermons", "chunks", "transcripts", "stage_results"):
        assert store.query(f"select * from {table}").num_rows == 0
    with pytest.raises(KeyError, match=ingested):
        remove_sermon(store, ingested)
    assert [path.name for path in (store.home / "sermons").iterdir()] == [".intake.lock"]
