"""A run launcher that notices when the process of a run has died.

Dagster's default launcher cannot tell (`supports_check_run_worker_health` is False): after a kill or a power loss a
run stays "started" for ever and keeps its place in the GPU pool. Here every run worker holds a lock for as long as it
lives; the kernel frees it on any death, so the monitoring daemon only has to look whether the lock is free. Clocks and
process numbers, which lie after sleep and reboot, play no part.
"""

import fcntl
import os
from multiprocessing.util import Finalize
from pathlib import Path

from dagster import DagsterInstance, DagsterRun

import stt_platform.orchestration.sqlite_patience  # noqa: F401 - by its import
from stt_platform.machine.files import age_s
from stt_platform.orchestration.dagster_private import CheckRunHealthResult, DefaultRunLauncher, WorkerStatus

_GRACE_S = 60
"""A run that says it has started but holds no lock yet is given this long to reach its executor."""


def _lock_path(instance: DagsterInstance, run_id: str) -> Path:
    return Path(instance.root_directory) / "run_workers" / f"{run_id}.lock"


def give_sign_of_life(instance: DagsterInstance, run_id: str) -> None:
    """Hold the lock that says the worker of `run_id` lives, until this process ends. For the run worker's process.

    To its very end, because the run is reported as over after the executor has returned.
    """
    path = _lock_path(instance, run_id)
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    # Unlike atexit, this runs in the children of multiprocessing too, which run workers are.
    Finalize(None, path.unlink, kwargs={"missing_ok": True}, exitpriority=0)


def worker_status(instance: DagsterInstance, run_id: str) -> CheckRunHealthResult:
    """Return whether the worker of a started run lives."""
    try:
        descriptor = os.open(_lock_path(instance, run_id), os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        record = instance.get_run_record_by_id(run_id)
        started_at = record.start_time if record else None
        if started_at is None or age_s(started_at) < _GRACE_S:
            return CheckRunHealthResult(WorkerStatus.RUNNING)
        return CheckRunHealthResult(WorkerStatus.FAILED, "The run's process ended before it began its first step")
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return CheckRunHealthResult(WorkerStatus.RUNNING)
    finally:
        os.close(descriptor)
    return CheckRunHealthResult(
        WorkerStatus.FAILED,
        "The run's process died (killed, out of memory, or the machine went down). Nothing half-made is kept; "
        "start it again, finished stages are not repeated",
    )


def runs_at_work(folder: Path) -> list[str]:
    """Return the runs whose workers live, by what they hold in `DAGSTER_HOME`; the databases need not be readable for it."""
    return sorted(path.stem for path in (folder / "run_workers").glob("*.lock") if _is_held(path))


def _is_held(path: Path) -> bool:
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


class WatchfulRunLauncher(DefaultRunLauncher):
    """The default launcher, able to tell the monitoring daemon that a run worker is dead."""

    @property
    def supports_check_run_worker_health(self) -> bool:
        return True

    def check_run_worker_health(self, run: DagsterRun) -> CheckRunHealthResult:
        return worker_status(self._instance, run.run_id)
