"""The Dagster instance below `STT_HOME`, and the daemon that works through its queue."""

import fcntl
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import dagster as dg
from sqlalchemy.exc import DatabaseError

from stt_platform.errors import PlatformError
from stt_platform.machine.files import one_at_a_time, write_atomically
from stt_platform.orchestration.launcher import runs_at_work
from stt_platform.settings import repository
from stt_platform.store.backups import damaged_databases

_DAEMON_START_S = 90


def dagster_home(home: Path) -> Path:
    """`DAGSTER_HOME` of the platform, with the repository's `dagster.yaml` in it."""
    folder = home / "dagster"
    folder.mkdir(parents=True, exist_ok=True)
    wanted = (repository() / "dagster.yaml").read_bytes()
    target = folder / "dagster.yaml"
    if not target.exists() or target.read_bytes() != wanted:
        write_atomically(target, wanted)
    return folder


def logs_folder(home: Path) -> Path:
    """Where the platform's programs write what they say. Not `DAGSTER_HOME/logs`, which Dagster empties for its telemetry."""
    return home / "logs"


def environment(home: Path) -> dict[str, str]:
    """Return the environment for every process of the platform: its places, and its own programs first on the path.

    Dagster's daemon and webserver send what lies in `DAGSTER_HOME/logs` to its makers, whatever `telemetry` in dagster.yaml
    says; only this variable ends that.
    """
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
    return {
        **os.environ,
        "STT_HOME": str(home),
        "DAGSTER_HOME": str(dagster_home(home)),
        "PATH": path,
        "DAGSTER_DISABLE_TELEMETRY": "1",
    }


@contextmanager
def open_instance(home: Path) -> Iterator[dg.DagsterInstance]:
    """The instance that the UI shows too. Raises `PlatformError` where one of its databases is damaged."""
    os.environ.update(environment(home))
    folder = dagster_home(home)
    try:
        _create_once(folder)
        with dg.DagsterInstance.from_config(str(folder)) as instance:
            yield instance
    except DatabaseError as error:
        # One that is locked by another process for too long is whole.
        damaged = sorted(damaged_databases(home))
        if not damaged:
            raise
        raise PlatformError(f"{home / damaged[0]} is damaged: stop the platform, then run `stt restore`") from error


def _create_once(folder: Path) -> None:
    """Let one process make the databases of a new instance: two at once break each other's migrations."""
    with one_at_a_time(folder / "create.lock"):
        if not (folder / "created").exists():
            with dg.DagsterInstance.from_config(str(folder)) as instance:
                # Each storage makes its tables when it is first asked for something.
                instance.get_runs(limit=1)
                instance.get_dynamic_partitions("sermon")
                instance.all_instigator_state()
                instance.get_daemon_heartbeats()
                # The page of the pools shows only those that somebody has queued in.
                instance.event_log_storage.initialize_concurrency_limit_to_default("gpu")
            write_atomically(folder / "created", b"")


def dagster_command(program: str, *arguments: str) -> list[str]:
    """Return a Dagster program of this environment on the platform's workspace."""
    binary = Path(sys.executable).parent / program
    return [str(binary), *arguments, "-w", str(repository() / "workspace.yaml")]


def daemon_is_alive(home: Path) -> bool:
    """Return whether a daemon of this `STT_HOME` lives: it holds a lock for as long as it does.

    Dagster's own heartbeats look alive for a minute after a kill.
    """
    try:
        os.close(_daemon_lock(home))
    except BlockingIOError:
        return True
    return False


@contextmanager
def nobody_at_work(home: Path) -> Iterator[None]:
    """Keep daemons away while the body runs. Raises `PlatformError` where one lives, or a run is at work."""
    try:
        lock = _daemon_lock(home)
    except BlockingIOError as error:
        raise PlatformError("the platform is running (`make ui` or `stt run`): stop it first") from error
    try:
        if runs := runs_at_work(dagster_home(home)):
            raise PlatformError(f"run {runs[0]} is still at work: wait for its end, or stop it")
        yield
    finally:
        os.close(lock)


def start_daemon(home: Path, instance: dg.DagsterInstance, *, sensors: bool = True) -> subprocess.Popen:
    """Start the daemon as a process of its own. Raises `BlockingIOError` when one lives already.

    Without `sensors` it works on what is asked of it and starts nothing by itself. Its log is `logs/daemon.log`.
    """
    lock = _daemon_lock(home)
    try:
        instance.wipe_daemon_heartbeats()
        variables = {} if sensors else {"STT_SENSORS": "false"}
        return start_process(dagster_command("dagster-daemon", "run"), home, "daemon", variables, pass_fds=(lock,))
    finally:
        os.close(lock)


def start_process(
    command: list[str],
    home: Path,
    name: str,
    variables: Mapping[str, str] | None = None,
    pass_fds: tuple[int, ...] = (),
) -> subprocess.Popen:
    """Start a program of the platform in the background, with its log in `STT_HOME/logs`.

    It is in a session of its own, so that Ctrl-C reaches the caller only, who then stops things in order; when the
    caller dies it ends too.
    """
    logs = logs_folder(home)
    logs.mkdir(parents=True, exist_ok=True)
    with (logs / f"{name}.log").open("ab") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "stt_platform.machine.with_parent", *command],
            env={**environment(home), **(variables or {})},
            cwd=repository(),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            pass_fds=pass_fds,
        )


def stop_process(process: subprocess.Popen, patience_s: float = 30) -> None:
    """Ask a program to end, and end it when it does not."""
    process.terminate()
    try:
        process.wait(timeout=patience_s)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


@contextmanager
def running_daemon(home: Path, instance: dg.DagsterInstance) -> Iterator[None]:
    """Make sure that a daemon works on the queue: the one that is there, else one for as long as the body runs.

    Ours starts nothing by itself: what it would start might not be over when the body is.
    """
    try:
        process = start_daemon(home, instance, sensors=False)
    except BlockingIOError:
        yield
        return
    try:
        _wait_until_at_work(instance, process, home)
        yield
    finally:
        stop_process(process)


def _wait_until_at_work(instance: dg.DagsterInstance, process: subprocess.Popen, home: Path) -> None:
    deadline = time.monotonic() + _DAEMON_START_S
    while not instance.get_daemon_heartbeats():
        if process.poll() is not None or time.monotonic() > deadline:
            raise PlatformError(f"the Dagster daemon did not start; see {logs_folder(home) / 'daemon.log'}")
        time.sleep(0.2)


def _daemon_lock(home: Path) -> int:
    descriptor = os.open(dagster_home(home) / "daemon.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise
    return descriptor
