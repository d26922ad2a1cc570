"""What the platform stands: processes killed at random moments, power losses, bad clocks, full and damaged disks.

`python benchmarks/chaos.py --rounds 10` prints fault, trials, what was lost, and seconds until work went on; it ends with 1
if anything was wrong. The tests run the same functions with few trials. After every fault: what was finished is there and is
not made again, nothing is torn, the backfill completes, and the store ends with the bytes of an undisturbed one.
"""

import argparse
import contextlib
import os
import random
import shutil
import socket
import statistics
import struct
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from pathlib import Path

import dagster as dg
import psutil
from dagster._core.storage.tags import PARTITION_NAME_TAG
from rich.console import Console

from benchmarks.chaos_home import (
    Church,
    Disk,
    Trial,
    a_disk,
    become_nobody,
    make_church,
    run_to_the_end,
    small_files_only,
    start_chain,
    undisturbed,
    wait_for,
    write_recordings,
)
from stt_platform.cli.backing_up import restore_home
from stt_platform.orchestration.backfill import request_backfill
from stt_platform.orchestration.instance import (
    dagster_command,
    open_instance,
    start_daemon,
    start_process,
    stop_process,
)
from stt_platform.orchestration.sermon_runs import partitions_in_progress, unfinished_runs
from stt_platform.store.backups import damaged_databases, make_backup
from stt_platform.store.mending import mend_tables
from stt_platform.store.metadata import DamagedFragmentError

_DAY_S = 24 * 3600
_RECOVERS_WITHIN_S = 300
_OFFSET = struct.Struct("=q")
_QUESTION = "select count(*) from sermons join stage_results using (sermon)"


# One process that makes stage after stage.


def kill_step(church: Church, chance: random.Random) -> Trial:
    """It is killed at a random moment."""
    process = _at_work(church, chance)
    church.look()
    process.kill()
    process.join()
    return _goes_on(church, "step killed, alone")


def put_clock_back(church: Church, chance: random.Random) -> Trial:
    """It is killed, and the clock is put back: every file is of the future."""
    process = _at_work(church, chance)
    process.kill()
    process.join()
    church.look()
    ahead_s = chance.choice([60, 3600, _DAY_S, 365 * _DAY_S])
    for path in church.home.rglob("*"):
        with contextlib.suppress(FileNotFoundError):
            os.utime(path, (time.time() + ahead_s,) * 2)
    return _goes_on(church, "clock put back")


def fill_disk(disk: Disk, church: Church, chance: random.Random) -> Trial:
    """The disk fills up: whichever write comes to it fails, and when there is room the work goes on."""
    process = _at_work(church, chance)
    church.look()
    if disk.is_a_disk:
        with disk.full(chance):
            process.join(120)
            process.kill()
    else:
        process.kill()
        run_to_the_end(church.home, partial(small_files_only, chance.choice([0, 1_000, 20_000, 60_000])))
    process.join()
    return _goes_on(church, "disk full")


def make_read_only(disk: Disk, church: Church, chance: random.Random) -> Trial:
    """Nothing can be written to the home: the work fails, nothing changes, and later it goes on."""
    process = _at_work(church, chance)
    process.kill()
    process.join()
    church.look()
    if disk.is_a_disk:
        with disk.read_only():
            code = run_to_the_end(church.home, partial(small_files_only, 1 << 40))
    else:
        code = run_to_the_end(church.home, become_nobody)
    trial = _goes_on(church, "home read-only")
    return replace(trial, wrong=trial.wrong if code else (*trial.wrong, "it did not say that it cannot write"))


def damage_fragment(church: Church, chance: random.Random) -> Trial:
    """A fragment is damaged: a question says which and what to do, or is answered; mending gives the old bytes."""
    path = chance.choice(
        sorted(path for path in (church.home / "tables").rglob("*.parquet") if path.name[0] not in "._")
    )
    how = _damage(path, chance)
    started_s, wrong = time.monotonic(), []
    try:
        church.store.query(f'select * from "{path.parent.name}"')
    except DamagedFragmentError as error:
        wrong += [] if path.name in str(error) else [f"{path.name}: {how}: another file is named"]
    except Exception as error:
        wrong.append(f"{path.name}: {how}: {type(error).__name__} instead of the file's name: {error}")
    mend_tables(church.store)
    took_s = time.monotonic() - started_s
    wrong += church.differences()
    return Trial("Parquet fragment damaged", took_s, tuple(wrong))


def _at_work(church: Church, chance: random.Random):
    """A process somewhere in the middle of its work."""
    while True:
        if not church.plans():
            church.begin_again()
        process = start_chain(church.home, partial(small_files_only, 1 << 40))
        deadline = time.monotonic() + chance.uniform(0.2, 6)
        while time.monotonic() < deadline and process.is_alive():
            time.sleep(0.01)
        if process.is_alive():
            return process
        process.join()


def _goes_on(church: Church, fault: str) -> Trial:
    """Whether nothing is lost or torn, and how long it is until another process has finished something."""
    wrong = [*church.look(), *church.torn()]
    before, started_s = church.finished(), time.monotonic()
    process = start_chain(church.home)
    while process.is_alive() and church.finished() <= before:
        time.sleep(0.02)
    took_s = time.monotonic() - started_s
    process.join()
    wrong += [] if process.exitcode == 0 else [f"the work could not go on: exit code {process.exitcode}"]
    wrong += [*church.look(), *church.differences()]
    return Trial(fault, took_s, tuple(wrong))


def _damage(path: Path, chance: random.Random) -> str:
    data = bytearray(path.read_bytes())
    how = chance.choice(["empty", "cut", "zeros", "bit", "random"])
    at = chance.randrange(len(data))
    if how == "empty":
        data.clear()
    elif how == "cut":
        del data[at:]
    elif how == "zeros":
        data[at : at + 512] = bytes(len(data[at : at + 512]))
    elif how == "bit":
        data[at] ^= 1 << chance.randrange(8)
    else:
        data[at : at + 64] = chance.randbytes(len(data[at : at + 64]))
    # By rename, as a disk's error does not go through what has the file mapped.
    other = path.with_name(f".{path.name}.damaged")
    other.write_bytes(bytes(data))
    other.replace(path)
    return f"{how} at {at}"


# The whole platform: daemon, code server, webserver, runs and steps.


@dataclass
class Site:
    """A running platform, and what the faults of this round were."""

    church: Church
    instance: dg.DagsterInstance
    chance: random.Random
    daemon: subprocess.Popen
    webserver: subprocess.Popen | None = None
    port: int = 0

    @property
    def processes(self) -> list[psutil.Process]:
        """All that works for this home, orphans included: what has it in its environment, and is none of ours."""
        return [process for process in psutil.process_iter() if _works_for(process, self.church.home)]

    def code_servers(self) -> list[psutil.Process]:
        return [process for process in self.processes if _is_code_server(process)]

    def workers(self) -> list[tuple[psutil.Process, str]]:
        """The processes of the runs with the runs' ids: what has a run's sign of life open."""
        return [(process, run_id) for process in self.processes if (run_id := _run_of(process))]

    def sermon_of(self, run_id: str) -> str:
        return self.instance.get_run_by_id(run_id).tags[PARTITION_NAME_TAG]


@contextlib.contextmanager
def a_site(church: Church, chance: random.Random, *, webserver_port: int = 0) -> Iterator[Site]:
    """The platform at work on the home, until the body ends."""
    with open_instance(church.home) as instance, ExitStack() as stack:
        make_backup(church.home, keep_days=1, now=datetime.now())
        site = Site(church, instance, chance, start_daemon(church.home, instance, sensors=False), port=webserver_port)
        stack.callback(lambda: _kill_all(site))
        stack.callback(lambda: stop_process(site.daemon))
        if webserver_port:
            site.webserver = _start_webserver(site)
            stack.callback(lambda: stop_process(site.webserver))
            wait_for("the web UI", lambda: _answers(site), 120)
        yield site


@dataclass(frozen=True)
class Struck:
    """What happened, and to which sermon; "" where it was to all of them."""

    fault: str
    sermon: str = ""


def backfill(site: Site, faults: Sequence[Callable[[Site], Struck]]) -> list[Trial]:
    """A backfill that these faults happen to, in this order, each while it is at work; then the store is compared.

    Work has gone on when the sermon that was struck, or where all were, any of them, has another finished output.
    """
    church = site.church
    _ask(site)
    trials = []
    for strike in faults:
        if not _wait_for_work(site):
            church.begin_again()
            _ask(site)
            _wait_for_work(site)
        time.sleep(site.chance.uniform(0, 1))
        wrong = church.look()
        started_s = time.monotonic()
        struck = strike(site)
        wrong += [*church.look(), *church.torn()]
        try:
            _wait_for_progress(site, struck.sermon)
        except TimeoutError as error:
            wrong.append(str(error))
        trials.append(Trial(struck.fault, time.monotonic() - started_s, tuple(wrong)))
    _complete(site)
    wrong = [*church.look(), *church.torn(), *church.differences()]
    return [*trials[:-1], replace(trials[-1], wrong=(*trials[-1].wrong, *wrong))]


def kill_worker(site: Site) -> Struck:
    worker, run_id = site.chance.choice(_some("a run", site.workers))
    worker.kill()
    return Struck("run worker killed", site.sermon_of(run_id))


def kill_step_of_run(site: Site) -> Struck:
    pid, sermon = site.chance.choice(sorted(_some("a step", site.church.makers).items()))
    with contextlib.suppress(psutil.NoSuchProcess):
        psutil.Process(pid).kill()
    return Struck("step killed, in a run", sermon)


def kill_code_server(site: Site) -> Struck:
    site.chance.choice(_some("a code server", site.code_servers)).kill()
    return Struck("code server killed")


def kill_daemon(site: Site) -> Struck:
    site.daemon.kill()
    site.daemon.wait()
    site.daemon = _start_daemon_again(site)
    return Struck("daemon killed")


def kill_webserver(site: Site) -> Struck:
    site.webserver.kill()
    site.webserver.wait()
    site.webserver = _start_webserver(site)
    wait_for("the web UI", lambda: _answers(site), 120)
    return Struck("webserver killed")


def lose_power(site: Site) -> Struck:
    _kill_all(site)
    _start_again(site)
    return Struck("power loss: all of them at once")


def damage_instance(site: Site) -> Struck:
    """The power goes, and a database does not come back: it is restored from the backup of last night."""
    _kill_all(site)
    name = site.chance.choice(
        ["dagster/history/runs.db", "dagster/history/runs/index.db", "dagster/schedules/schedules.db"]
    )
    damage_database(site.church.home / name, site.chance)
    with Path(os.devnull).open("w") as nowhere:
        restore_home(site.church.home, Console(file=nowhere), backup=None)
    if found := damaged_databases(site.church.home):
        raise RuntimeError(f"still damaged: {found}")
    _start_again(site)
    return Struck("instance damaged, restored from the backup")


def damage_database(path: Path, chance: random.Random) -> None:
    """Overwrite its beginning, which no reader forgives, or cut it, or fill its middle with noise."""
    how = chance.choice(["header", "cut", "noise"])
    for suffix in ("-wal", "-shm"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)
    size = path.stat().st_size
    if how == "cut":
        os.truncate(path, size // 2)
        return
    with path.open("r+b") as file:
        file.seek(0 if how == "header" else size // 3)
        file.write(chance.randbytes(64 if how == "header" else size // 3))


def step_clock_back(site: Site) -> Struck:
    """The clock of every process of the platform goes back while they run."""
    with clock_file(site.church.home).open("r+b") as file:
        file.write(_OFFSET.pack(-site.chance.choice([90, 3600, _DAY_S])))
    return Struck("clock put back, in a run")


def clock_file(home: Path) -> Path:
    """Where the seconds stand by which the clock of the platform at `home` is off."""
    return home.parent / f"{home.name}.clock"


@contextlib.contextmanager
def a_clock_that_can_go_back(home: Path) -> Iterator[bool]:
    """For what is started within: its wall clock follows `clock_file`. Yields whether this machine can, with a C compiler."""
    compiler = shutil.which("cc")
    if compiler is None or sys.platform != "linux":
        yield False
        return
    library = home.parent / "wall_clock.so"
    source = Path(__file__).with_name("wall_clock.c")
    subprocess.run([compiler, "-O2", "-shared", "-fPIC", "-o", library, source], check=True)
    clock_file(home).write_bytes(_OFFSET.pack(0))
    variables = {"LD_PRELOAD": str(library), "WALL_CLOCK_OFFSET": str(clock_file(home))}
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield True
    finally:
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})


IN_A_RUN = (kill_worker, kill_step_of_run, kill_code_server, kill_daemon, lose_power)


def _ask(site: Site) -> None:
    plans = site.church.plans()
    if plans:
        request_backfill(site.instance, plans, "chaos")


def _wait_for_work(site: Site) -> bool:
    """Until an output is being made; False where everything is finished first."""
    deadline = time.monotonic() + _RECOVERS_WITHIN_S
    while time.monotonic() < deadline:
        if site.church.makers():
            return True
        plans = site.church.plans()
        if not plans:
            return False
        _ask_again_if_nobody_works(site)
        time.sleep(0.05)
    raise TimeoutError(f"nothing was worked on for {_RECOVERS_WITHIN_S} s; left: {site.church.plans()}")


def _wait_for_progress(site: Site, sermon: str) -> None:
    deadline = time.monotonic() + _RECOVERS_WITHIN_S
    before = site.church.finished(sermon)
    while site.church.finished(sermon) <= before and site.church.plans():
        if time.monotonic() > deadline:
            raise TimeoutError(f"work did not go on within {_RECOVERS_WITHIN_S} s")
        _ask_again_if_nobody_works(site)
        time.sleep(0.1)


def _complete(site: Site) -> None:
    deadline = time.monotonic() + _RECOVERS_WITHIN_S
    while site.church.plans() or unfinished_runs(site.instance):
        if time.monotonic() > deadline:
            raise TimeoutError(f"the backfill did not complete within {_RECOVERS_WITHIN_S} s: {site.church.plans()}")
        _ask_again_if_nobody_works(site)
        time.sleep(0.2)


def _ask_again_if_nobody_works(site: Site) -> None:
    """As a person does with `stt run` once a run has crashed more often than it is tried again."""
    if partitions_in_progress(site.instance):
        return
    runs = site.instance.get_runs(dg.RunsFilter(statuses=[dg.DagsterRunStatus.FAILURE]), limit=20)
    now = time.time()
    records = site.instance.get_run_records(dg.RunsFilter(run_ids=[run.run_id for run in runs])) if runs else []
    # The daemon takes some seconds until it starts a crashed one again.
    if all(now - (record.end_time or 0) > 45 for record in records):
        _ask(site)


def _start_daemon_again(site: Site) -> subprocess.Popen:
    """As `stt ui` does."""
    deadline = time.monotonic() + 60
    while True:
        try:
            return start_daemon(site.church.home, site.instance, sensors=False)
        except BlockingIOError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.5)


def _kill_all(site: Site) -> None:
    while found := site.processes:
        for process in found:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        psutil.wait_procs(found, timeout=10)
    for process in (site.daemon, site.webserver):
        if process is not None:
            process.wait()


def _start_again(site: Site) -> None:
    site.daemon = _start_daemon_again(site)
    if site.webserver:
        site.webserver = _start_webserver(site)


def _start_webserver(site: Site) -> subprocess.Popen:
    command = dagster_command("dagster-webserver", "-h", "127.0.0.1", "-p", str(site.port))
    return start_process(command, site.church.home, "webserver")


def _answers(site: Site) -> bool:
    with contextlib.suppress(OSError), urllib.request.urlopen(f"http://127.0.0.1:{site.port}/server_info", timeout=5):
        return True
    return False


def _some(what: str, look: Callable[[], list]) -> list:
    return wait_for(what, look, 120)


def _is_code_server(process: psutil.Process) -> bool:
    with contextlib.suppress(psutil.Error):
        words = process.cmdline()
        return "api" in words and "grpc" in words
    return False


def _works_for(process: psutil.Process, home: Path) -> bool:
    with contextlib.suppress(psutil.Error):
        return (
            process.pid != os.getpid()
            and process.status() != psutil.STATUS_ZOMBIE
            and process.environ().get("STT_HOME") == str(home)
            and not any("benchmarks." in word for word in process.cmdline())
        )
    return False


def _run_of(process: psutil.Process) -> str:
    with contextlib.suppress(psutil.Error):
        signs = [Path(file.path) for file in process.open_files() if "/run_workers/" in file.path]
        return signs[0].stem if signs else ""
    return ""


# All of it, and the table.


def alone(
    folder: Path, recordings: Sequence[Path], quiet: dict[str, str], trials: int, chance: random.Random
) -> Iterator[Trial]:
    """Faults of one process and of the disk, `trials` of each."""
    with a_disk(folder) as disk:
        church = make_church(folder / "home", recordings, quiet)
        faults = (kill_step, put_clock_back, partial(fill_disk, disk), partial(make_read_only, disk), damage_fragment)
        for fault in faults:
            for _ in range(trials):
                if fault is damage_fragment and church.plans():
                    run_to_the_end(church.home)
                yield fault(church, chance)


def in_runs(folder: Path, recordings: Sequence[Path], quiet: dict[str, str], chance: random.Random) -> Iterator[Trial]:
    """One backfill on the whole platform, with every fault of its processes in an order of its own."""
    church = make_church(folder, recordings, quiet)
    faults = [*IN_A_RUN, kill_webserver, damage_instance]
    chance.shuffle(faults)
    with (
        a_clock_that_can_go_back(church.home) as can_go_back,
        a_site(church, chance, webserver_port=free_port()) as site,
    ):
        yield from backfill(site, [*faults, *([step_clock_back] if can_go_back else [])])


def print_table(trials: Sequence[Trial]) -> int:
    """Print it and whatever was wrong; returns 1 if anything was."""
    by_fault = defaultdict(list)
    for trial in trials:
        by_fault[trial.fault].append(trial)
    print("| fault | trials | lost or wrong | seconds to recover, median | longest |")
    print("|---|---|---|---|---|")
    for fault, same in by_fault.items():
        seconds = [trial.recovered_s for trial in same]
        wrong = sum(bool(trial.wrong) for trial in same)
        print(f"| {fault} | {len(same)} | {wrong} | {statistics.median(seconds):.1f} | {max(seconds):.1f} |")
    print(f"| all | {len(trials)} | {sum(bool(trial.wrong) for trial in trials)} | | |")
    for trial in trials:
        for words in trial.wrong:
            print(f"{trial.fault}: {words}")
    return int(any(trial.wrong for trial in trials))


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def main(arguments: list[str] | None = None) -> int:
    """Run all and print the table; 1 if anything was wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=20, help="of each fault of one process and of the disk")
    parser.add_argument("--rounds", type=int, default=3, help="backfills, each with every fault of the platform")
    parser.add_argument("--minutes", type=float, default=60, help="no further trial is begun after so long")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args(arguments)
    until_s = time.monotonic() + options.minutes * 60
    chance = random.Random(options.seed)  # noqa: S311 - to repeat a run, not to keep a secret
    trials: list[Trial] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        os.environ["STT_LOCK_DIR"] = str(folder / "locks")
        recordings = write_recordings(folder / "recordings", 2)
        quiet = undisturbed(folder / "quiet", recordings)
        parts = [alone(folder / "disk", recordings, quiet, options.trials, chance)]
        parts += [in_runs(folder / f"round-{n}", recordings, quiet, chance) for n in range(options.rounds)]
        for part in parts:
            with closing(part):
                for trial in part:
                    trials.append(trial)
                    words = "; ".join(trial.wrong)
                    print(f"{trial.fault}: {trial.recovered_s:.1f} s {words}", file=sys.stderr, flush=True)
                    if time.monotonic() > until_s:
                        break
    return print_table(trials)


if __name__ == "__main__":
    sys.exit(main())
