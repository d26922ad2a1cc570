"""The inbox: whole files are taken, growing ones are left, and the sensors start what is due."""

import errno
import os
import shutil
from pathlib import Path

import dagster as dg
import numpy as np
import pytest
import soundfile as sf
from dagster._core.definitions.partitions.context import partition_loading_context

from stt_platform.defs.sermons.sensors import inbox, new_sermons
from stt_platform.orchestration.platform import Platform
from stt_platform.orchestration.scopes import SERMON
from stt_platform.settings import InboxSettings
from stt_platform.store import intake
from stt_platform.store.inbox import is_whole, take_from_inbox
from stt_platform.store.intake import ingest, registrations, remove_sermon
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
    assert (box / "done" / "2024-03-10--grace" / path.name).exists()


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
    instance.add_dynamic_partitions(SERMON.name, request.partition_keys)
    (run,) = tick(new_sermons, instance).run_requests
    assert (run.job_name, run.partition_key) == ("sermon_stages", "2024-03-10--grace")
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


def test_what_cannot_be_copied_stays_in_the_inbox(
    store: MetadataStore, box: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tone(box / "2024-03-10 Grace.wav")
    tone(box / "2024-03-11 Hope.wav", level=0.2)
    real = intake.copy_atomically

    def full_disk(source: Path, target: Path) -> str:
        if "Grace" in source.name:
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(source, target)

    monkeypatch.setattr(intake, "copy_atomically", full_disk)
    assert [entry.outcome for entry in take_from_inbox(store, AT_ONCE)] == ["refused", "new"]
    assert (box / "2024-03-10 Grace.wav").exists()
    monkeypatch.undo()
    assert [entry.outcome for entry in take_from_inbox(store, AT_ONCE)] == ["new"]


def test_a_recorders_name_used_again_is_another_sermon(store: MetadataStore, box: Path) -> None:
    for day, level in ((1, 0.1), (2, 0.2)):
        path = tone(box / "ZOOM0001.wav", level=level)
        os.utime(path, (day * 86_400 * 30, day * 86_400 * 30))
        (entry,) = take_from_inbox(store, AT_ONCE)
        assert entry.outcome == "new"
    assert len(list((box / "done").rglob("*.wav"))) == 2


def test_a_partition_that_was_lost_is_given_again(
    store: MetadataStore, ingested: str, instance: dg.DagsterInstance
) -> None:
    (run,) = tick(new_sermons, instance).run_requests
    assert run.partition_key == ingested
    assert instance.get_dynamic_partitions(SERMON.name) == [ingested]


def test_going_back_to_an_earlier_recording_runs_again(
    store: MetadataStore, box: Path, instance: dg.DagsterInstance
) -> None:
    keys = set()
    for level in (0.1, 0.2, 0.1):
        tone(box / "2024-03-10 Grace.wav", level=level)
        list(take_from_inbox(store, AT_ONCE))
        keys |= {request.run_key for request in tick(new_sermons, instance).run_requests}
    assert len(keys) == 3


def test_sensors_can_be_turned_off(
    store: MetadataStore, ingested: str, instance: dg.DagsterInstance, monkeypatch
) -> None:
    monkeypatch.setenv("STT_SENSORS", "false")
    for sensor in (inbox, new_sermons):
        assert "sensors are off" in tick(sensor, instance).skip_message


def test_a_new_version_keeps_what_was_said_of_the_first(store: MetadataStore, tmp_path: Path) -> None:
    path = tone(tmp_path / "two.wav")
    list(ingest(store, [path], title="Grace", speaker="Ann", date="2024-01-07"))
    tone(path, level=0.2)
    (entry,) = ingest(store, [path])
    assert (entry.outcome, entry.sermon) == ("new version", "2024-01-07--grace")
    found = registrations(store.home)[entry.sermon]
    assert (found.title, found.speaker, found.date, found.version) == ("Grace", "Ann", "2024-01-07", 2)
    assert len(list((store.home / "sermons" / entry.sermon / "original").iterdir())) == 2


def test_a_row_that_was_lost_is_written_again(store: MetadataStore, tmp_path: Path) -> None:
    path = tone(tmp_path / "2024-03-10 Grace.wav")
    list(ingest(store, [path]))
    store.remove("2024-03-10--grace", "registrations")
    assert [entry.outcome for entry in ingest(store, [path])] == ["same recording"]
    assert store.query("select sermon from sermons").num_rows == 1


@pytest.mark.parametrize("damage", [Path.unlink, lambda path: path.write_bytes(b"cut")])
def test_a_copy_that_was_lost_comes_back_with_the_recording(store: MetadataStore, tmp_path: Path, damage) -> None:
    path = tone(tmp_path / "2024-03-10 Grace.wav")
    list(ingest(store, [path]))
    copy = registrations(store.home)["2024-03-10--grace"].original_path(store.home)
    damage(copy)
    (entry,) = ingest(store, [path])
    assert entry.outcome == "same recording"
    assert "whole again" in entry.message
    assert copy.read_bytes() == path.read_bytes()
