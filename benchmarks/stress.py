"""Many processes at once on the store and on the device lease, some of them killed.

`python benchmarks/stress.py --processes 8 --claims 500 --fragments 500` prints what was seen; it ends with 1 if
anything was wrong. The tests run the same functions with small numbers.
"""

import argparse
import contextlib
import hashlib
import multiprocessing
import os
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stt_platform.machine.gpu import hold_device

if TYPE_CHECKING:
    from stt_platform.store.metadata import MetadataStore

# Never fork: the parent's threads (Arrow's, DuckDB's) would be missing in the child.
_SPAWN = multiprocessing.get_context("spawn")
_VERSIONS = 2
_PATIENCE_S = 600

_EVERY_FRAGMENT = """
    SELECT sermon, count(*) AS rows, min(end_sample) AS fewest, max(end_sample) AS most,
           count(DISTINCT silence_ratio) AS versions, min(silence_ratio) AS version,
           md5(string_agg(chunk_id, '' ORDER BY start_sample)) AS checksum
    FROM chunks GROUP BY sermon ORDER BY sermon
"""


@dataclass(frozen=True)
class StoreReport:
    """What a reader saw while writers wrote. `faults` says what was wrong, in words; empty is what it should be."""

    writers: int
    killed: int
    finished: int
    reads: int
    seconds: float
    faults: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class LeaseReport:
    """What the claims wrote down. `longest_gap_s` is the longest time the device was free."""

    processes: int
    killed: int
    claims: int
    waited: int
    longest_gap_s: float
    seconds: float
    faults: list[str] = field(default_factory=list)


def stress_store(home: Path, *, processes: int, fragments: int, kill: int) -> StoreReport:
    """`processes` writers of `fragments` fragments each, `kill` of them killed, while this process reads the views.

    Every fragment is written, then replaced by one of another length. A fragment is whole when its
    rows are as many as each of them says, are of one version, and their identifiers hash as that version's do.
    """
    from stt_platform.store.metadata import MetadataStore

    store = MetadataStore(home)
    started_s = time.monotonic()
    with _processes(_write_fragments, [(home, name, fragments) for name in range(processes)]) as writers:
        victims = writers[:kill]
        faults: list[str] = []
        seen: dict[str, int] = {}
        reads = 0
        while any(writer.is_alive() for writer in writers) and time.monotonic() - started_s < _PATIENCE_S:
            _look(store, seen, faults)
            reads += 1
            for name, victim in enumerate(victims):
                if victim.is_alive() and len(_finished(home, name)) >= fragments:
                    os.kill(victim.pid, signal.SIGKILL)
        for writer in writers:
            writer.join(timeout=1)
    _look(store, seen, faults)
    finished = [_finished(home, name) for name in range(processes)]
    faults += _exit_faults(writers, victims)
    for name, log in enumerate(finished):
        wanted = {f"{name}-{number}" for number in range(fragments)}
        faults += [f"{part} was written as version {version} and is gone" for part, version in log.items()
                   if seen.get(part, 0) < version]  # fmt: skip
        if writers[name] not in victims and set(log) != wanted:
            faults.append(f"writer {name} finished {len(log)} of {fragments} fragments")
    return StoreReport(processes, kill, sum(map(len, finished)), reads, time.monotonic() - started_s, faults)


def _look(store: "MetadataStore", seen: dict[str, int], faults: list[str]) -> None:
    try:
        rows = store.query(_EVERY_FRAGMENT).to_pylist()
    except Exception as error:
        faults.append(f"reader: {type(error).__name__}: {error}")
        return
    for row in rows:
        part, version, length = row["sermon"], int(row["version"]), row["most"]
        whole = row["rows"] == row["fewest"] == length and row["versions"] == 1
        if not whole or row["checksum"] != _checksum(part, version, length):
            faults.append(f"{part}: torn: {row}")
        if version < seen.get(part, 0):
            faults.append(f"{part}: version {version} after version {seen[part]}")
        seen[part] = version
    faults += [f"{part}: vanished" for part in seen.keys() - {row["sermon"] for row in rows}]


def _write_fragments(home: Path, name: int, fragments: int) -> None:
    # Here, so that the processes of the lease need not load DuckDB.
    from stt_platform.store.metadata import MetadataStore

    store = MetadataStore(home)
    with _log(home, name).open("a") as log:
        for version in range(1, _VERSIONS + 1):
            for number in range(fragments):
                part = f"{name}-{number}"
                store.write("speech_chunks", part, _rows(part, version, length=10 + (version * 37 + number) % 60))
                log.write(f"{part} {version}\n")
                log.flush()


def _rows(part: str, version: int, length: int) -> list[dict[str, Any]]:
    return [
        {
            "sermon": part,
            "chunk_id": _identifier(part, version, number),
            "start_sample": number,
            "end_sample": length,
            "silence_ratio": float(version),
            "forced_cut": False,
            "status": "accepted",
        }
        for number in range(length)
    ]


def _identifier(part: str, version: int, number: int) -> str:
    return hashlib.sha256(f"{part} {version} {number}".encode()).hexdigest()[:16]


def _checksum(part: str, version: int, length: int) -> str:
    text = "".join(_identifier(part, version, number) for number in range(length))
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()


def _log(home: Path, name: int) -> Path:
    return home / f"written-{name}.txt"


def _finished(home: Path, name: int) -> dict[str, int]:
    """The version in which each fragment of a writer was last finished. The last line may be a killed one's."""
    with contextlib.suppress(FileNotFoundError):
        lines = _log(home, name).read_text().split("\n")[:-1]
        return {part: int(version) for part, version in (line.split() for line in lines)}
    return {}


def stress_lease(folder: Path, *, processes: int, claims: int, kill: int, hold_s: float = 0.002) -> LeaseReport:
    """`processes` claim the device `claims` times each; `kill` more are killed while they hold it.

    Each claim writes when it began and ended (CLOCK_MONOTONIC, one clock for all processes) into a file of its
    process. A killed holder's interval ends where it was killed.
    """
    folder.mkdir(exist_ok=True)
    started_s = time.monotonic()
    victims: list[Any] = []
    killed: list[tuple[float, float]] = []
    work = [(folder, name, claims, hold_s) for name in range(processes)]
    with _processes(_claim, work) as claimers:
        for name in range(kill):
            with _processes(_hold_for_ever, [(folder, f"victim-{name}")]) as (victim,):
                victims.append(victim)
                since_s = _wait_for_interval(folder, f"victim-{name}", victim)
                # Long enough for the others to be waiting when it dies.
                time.sleep(0.1)
                until_s = time.monotonic()
                os.kill(victim.pid, signal.SIGKILL)
                killed.append((since_s, until_s))
                victim.join()
        for claimer in claimers:
            claimer.join(timeout=max(0.0, started_s + _PATIENCE_S - time.monotonic()))
    intervals = [_intervals(folder, str(name)) for name in range(processes)]
    faults = _exit_faults([*claimers, *victims], victims)
    faults += [
        f"process {name} made {len(own)} of {claims} claims" for name, own in enumerate(intervals) if len(own) != claims
    ]
    everything = sorted([(since, until) for own in intervals for since, until, _ in own] + killed)
    faults += [f"{first} and {second} overlap" for first, second in pairwise(everything) if second[0] < first[1]]
    gaps = [second[0] - first[1] for first, second in pairwise(everything)]
    waited = sum(waited_s > 0 for own in intervals for _, _, waited_s in own)
    return LeaseReport(
        processes, kill, len(everything), waited, max(gaps, default=0.0), time.monotonic() - started_s, faults
    )


def _claim(folder: Path, name: int, claims: int, hold_s: float) -> None:
    with _interval_log(folder, str(name)).open("a") as log:
        for number in range(claims):
            with hold_device("stress", holder=f"claim {number} of {name}", folder=folder) as lease:
                since_s = time.monotonic()
                time.sleep(hold_s)
                until_s = time.monotonic()
            log.write(f"{since_s!r} {until_s!r} {lease.waited_s!r}\n")
            log.flush()


def _hold_for_ever(folder: Path, name: str) -> None:
    with hold_device("stress", holder=name, folder=folder):
        _interval_log(folder, name).write_text(f"{time.monotonic()!r}\n")
        time.sleep(_PATIENCE_S)


def _wait_for_interval(folder: Path, name: str, victim: Any) -> float:
    while victim.is_alive():
        with contextlib.suppress(FileNotFoundError):
            text = _interval_log(folder, name).read_text()
            if text.endswith("\n"):
                return float(text)
        time.sleep(0.005)
    raise RuntimeError(f"{name} ended with {victim.exitcode} before it held the device")


def _interval_log(folder: Path, name: str) -> Path:
    return folder / f"intervals-{name}.txt"


def _intervals(folder: Path, name: str) -> list[tuple[float, float, float]]:
    with contextlib.suppress(FileNotFoundError):
        lines = _interval_log(folder, name).read_text().splitlines()
        return [tuple(map(float, line.split())) for line in lines]
    return []


def _exit_faults(processes: list[Any], victims: list[Any]) -> list[str]:
    faults = []
    for process in processes:
        wanted = -signal.SIGKILL if process in victims else 0
        if process.exitcode != wanted:
            faults.append(f"{process.name} ended with {process.exitcode}, expected {wanted}")
    return faults


@contextlib.contextmanager
def _processes(target: Callable[..., None], arguments: list[tuple[Any, ...]]) -> Iterator[list[Any]]:
    processes = [_SPAWN.Process(target=target, args=args) for args in arguments]
    try:
        for process in processes:
            process.start()
        yield processes
    finally:
        for process in processes:
            if process.is_alive():
                process.kill()
            process.join()


def main(arguments: list[str] | None = None) -> int:
    """Run both and print a table; 1 if anything was wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--processes", type=int, default=8)
    parser.add_argument("--claims", type=int, default=500, help="of the device, per process")
    parser.add_argument("--fragments", type=int, default=500, help="per process, each written and replaced")
    parser.add_argument("--kill", type=int, default=2, help="processes to kill in each of the two")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        store = stress_store(Path(folder), processes=options.processes, fragments=options.fragments, kill=options.kill)
        lease = stress_lease(
            Path(folder) / "locks", processes=options.processes, claims=options.claims, kill=options.kill
        )
    print("store  writers  killed  fragments  reads  torn, lost or refused  seconds")
    print(f"       {store.writers:7}  {store.killed:6}  {store.finished:9}  {store.reads:5}  "
          f"{len(store.faults):21}  {store.seconds:7.1f}")  # fmt: skip
    print("lease  processes  killed  claims  waited  overlaps and other faults  longest gap  seconds")
    print(f"       {lease.processes:9}  {lease.killed:6}  {lease.claims:6}  {lease.waited:6}  "
          f"{len(lease.faults):25}  {lease.longest_gap_s * 1000:8.1f} ms  {lease.seconds:7.1f}")  # fmt: skip
    for fault in [*store.faults, *lease.faults][:20]:
        print(fault)
    return 1 if store.faults or lease.faults else 0


if __name__ == "__main__":
    sys.exit(main())
