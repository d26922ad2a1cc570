"""A run's process is killed, and then the whole machine: noticed, nothing half-made, and the next run gives the same bytes."""

import os
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path

import dagster as dg
import psutil
import pytest
import soundfile as sf

import stt_platform.definitions  # noqa: F401
from stt_platform.orchestration.backfill import request_backfill
from stt_platform.orchestration.instance import open_instance, start_daemon, stop_process
from stt_platform.orchestration.planning import plan_sermon
from stt_platform.orchestration.scopes import SERMON
from stt_platform.orchestration.stage import stages_of
from stt_platform.settings import load_settings
from stt_platform.store.intake import ingest
from stt_platform.store.metadata import MetadataStore
from stt_platform.store.stages import current_output
from stt_platform_tests.runs.conftest import run_stages

NOTICED_WITHIN_S = 120


@pytest.fixture
def long_talk(talk: Path, tmp_path: Path) -> Path:
    samples, rate_hz = sf.read(talk, dtype="int16")
    path = tmp_path / "2024-03-10 The Lamp.wav"
    sf.write(path, list(samples) * 4, rate_hz)
    return path


def wait_for(what: str, look: Callable[[], object], patience_s: float) -> object:
    deadline = time.monotonic() + patience_s
    while time.monotonic() < deadline:
        found = look()
        if found:
            return found
        time.sleep(0.1)
    raise AssertionError(f"{what} did not happen within {patience_s} s")


def at_work_on_the_transcript(home: Path, sermon: str) -> bool:
    """Whether a living process makes the transcript: its folder has a temporary name with the process's number."""
    made_by = [
        path.name.split(".")[-2].split("-")[0] for path in (home / "sermons" / sermon / "transcript").glob(".*.tmp")
    ]
    return any(psutil.pid_exists(int(pid)) for pid in made_by)


def worker_of(instance: dg.DagsterInstance, run_id: str) -> psutil.Process:
    (event,) = [
        entry.dagster_event
        for entry in instance.all_logs(run_id, of_type=dg.DagsterEventType.ENGINE_EVENT)
        if entry.dagster_event and "parent process (pid:" in (entry.dagster_event.message or "")
    ]
    return psutil.Process(int(event.message.split("(pid: ")[1].rstrip(")")))


def test_killed_worker_and_power_loss(stt_home: Path, long_talk: Path, tmp_path: Path) -> None:
    store = MetadataStore(stt_home)
    (entry,) = ingest(store, [long_talk])
    sermon = entry.sermon
    stages = plan_sermon(stt_home, load_settings(), sermon)
    with open_instance(stt_home) as instance:
        request_backfill(instance, {sermon: stages}, "test")
        daemon = start_daemon(stt_home, instance)
        try:
            wait_for("the transcript", lambda: at_work_on_the_transcript(stt_home, sermon), 600)
            (run,) = instance.get_runs()
            worker = worker_of(instance, run.run_id)
            steps = worker.children(recursive=True)
            worker.send_signal(signal.SIGKILL)
            _, alive = psutil.wait_procs(steps, timeout=10)
            assert not alive, "a step outlived its run worker"
            nothing_half_made(store, sermon)
            wait_for(
                "the failure",
                lambda: instance.get_run_by_id(run.run_id).status == dg.DagsterRunStatus.FAILURE,
                NOTICED_WITHIN_S,
            )
            # The daemon starts a crashed run again; the power goes while that is at work.
            wait_for("the retry", lambda: at_work_on_the_transcript(stt_home, sermon), 600)
            (retry,) = instance.get_runs(dg.RunsFilter(statuses=[dg.DagsterRunStatus.STARTED]))
            assert retry.parent_run_id == run.run_id
            for process in [psutil.Process(daemon.pid), *psutil.Process(daemon.pid).children(recursive=True)]:
                process.send_signal(signal.SIGKILL)
            daemon.wait()
            time.sleep(1)
            nothing_half_made(store, sermon)
            assert instance.get_run_by_id(retry.run_id).status == dg.DagsterRunStatus.STARTED
            daemon = start_daemon(stt_home, instance)
            wait_for(
                "the failure",
                lambda: instance.get_run_by_id(retry.run_id).status == dg.DagsterRunStatus.FAILURE,
                NOTICED_WITHIN_S,
            )
            wait_for("the end", lambda: not plan_sermon(stt_home, load_settings(), sermon), 900)
        finally:
            stop_process(daemon)
    undisturbed_is_the_same(store, sermon, long_talk, tmp_path / "other")


def nothing_half_made(store: MetadataStore, sermon: str) -> None:
    assert current_output(store.home, sermon, "transcript") is None
    assert store.query("select * from transcripts").num_rows == 0
    assert store.query("select * from chunks where status = 'accepted'").num_rows > 0
    visible = [path.name for path in (store.home / "sermons" / sermon / "transcript").iterdir()]
    assert all(name.startswith(".") for name in visible)


def undisturbed_is_the_same(store: MetadataStore, sermon: str, recording: Path, other: Path) -> None:
    other.mkdir()
    os.environ["STT_HOME"] = str(other)
    ingested = ingest(MetadataStore(other), [recording])
    assert [entry.sermon for entry in ingested] == [sermon]
    with dg.DagsterInstance.ephemeral() as instance:
        run_stages(instance, sermon)
    for stage in stages_of(SERMON):
        here, there = (current_output(home, sermon, stage) for home in (store.home, other))
        assert here.files == there.files
        for name in here.files:
            same = (here.folder / name).read_bytes() == (there.folder / name).read_bytes()
            assert same, f"{stage}: {name} differs"
    shutil.rmtree(other)
