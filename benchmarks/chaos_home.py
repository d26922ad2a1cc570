"""A home with a few very short recordings, what an undisturbed run makes of them, and looking for what is lost or torn."""

import contextlib
import errno
import multiprocessing
import os
import random
import resource
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import psutil
import soundfile as sf

import stt_platform.definitions  # noqa: F401
from stt_platform.machine.files import sha256_of
from stt_platform.orchestration.planning import plan_sermon
from stt_platform.orchestration.platform import Platform
from stt_platform.orchestration.running import run_stage
from stt_platform.orchestration.scopes import SERMON
from stt_platform.orchestration.stage import stages, stages_of
from stt_platform.settings import load_settings
from stt_platform.store.intake import ingest, registrations
from stt_platform.store.mending import damaged_fragments
from stt_platform.store.metadata import MetadataStore
from stt_platform.store.stages import current_output

RECORDING_S = 6
_BEGINS_S = (7, 14, 21, 10, 17, 12)
_DISK_BYTES = 1 << 29
_NOBODY = 65534

# Forked from a process that has the imports and no threads, as the steps of a run are.
FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(["matplotlib.figure", "benchmarks.chaos_home"])


@dataclass(frozen=True)
class Trial:
    """One fault: how long it took until work went on, and what was lost or wrong by it, in words."""

    fault: str
    recovered_s: float
    wrong: tuple[str, ...] = ()


@dataclass
class Church:
    """Recordings in an `STT_HOME`, and the store that an undisturbed run makes of them: SHA-256 by file.

    `seen` remembers the finished outputs by their inodes: one that is made again has another.
    """

    home: Path
    quiet: Mapping[str, str]
    seen: dict[tuple[str, str], int] = field(default_factory=dict)

    @property
    def store(self) -> MetadataStore:
        return MetadataStore(self.home)

    @property
    def sermons(self) -> list[str]:
        return list(registrations(self.home))

    def plans(self) -> dict[str, list[str]]:
        """What is left to do."""
        plans = {sermon: plan_sermon(self.home, load_settings(self.home), sermon) for sermon in self.sermons}
        return {sermon: stages for sermon, stages in plans.items() if stages}

    def finished(self, sermon: str = "") -> int:
        """How many outputs there are, of one sermon or of all."""
        sermons = [sermon] if sermon else self.sermons
        return sum(bool(current_output(self.home, each, stage)) for each in sermons for stage in stages_of(SERMON))

    def makers(self) -> dict[int, str]:
        """The living processes that make an output now, and of which sermon.

        The folder has a temporary name with the process's number.
        """
        found = {
            int(path.name.split(".")[-2].split("-")[0]): path.parents[1].name
            for stage in stages_of(SERMON)
            for path in (self.home / "sermons").glob(f"*/{stage}/.*.tmp")
            if path.is_dir()
        }
        return {pid: sermon for pid, sermon in found.items() if psutil.pid_exists(pid)}

    def look(self) -> list[str]:
        """Remember what is finished; says what was finished and is gone, or was made a second time."""
        wrong = []
        for sermon in self.sermons:
            for stage in stages_of(SERMON):
                output = current_output(self.home, sermon, stage)
                before = self.seen.get((sermon, stage))
                if output is None:
                    wrong += [f"{stage} of {sermon} was finished and is gone"] if before else []
                    continue
                made = output.folder.stat().st_ino
                if before not in (None, made):
                    wrong.append(f"{stage} of {sermon} was finished and was made again")
                self.seen[sermon, stage] = made
        return wrong

    def torn(self) -> list[str]:
        """Fragments that cannot be read, and outputs that lack files."""
        wrong = [f"{name} is torn" for name in damaged_fragments(self.store)]
        for sermon, stage in self.seen:
            output = current_output(self.home, sermon, stage)
            if output is not None and not output.serves(output.key):
                wrong.append(f"{stage} of {sermon} lacks files")
        return wrong

    def differences(self) -> list[str]:
        """Where the store is not that of an undisturbed run."""
        here = store_state(self.home)
        names = sorted(set(here) | set(self.quiet))
        return [f"{name} differs" for name in names if here.get(name) != self.quiet.get(name)]

    def begin_again(self) -> None:
        """Forget all that was made, so that there is work."""
        for sermon in self.sermons:
            for stage in stages_of(SERMON):
                for path in (self.home / "sermons" / sermon / stage).glob("current.json"):
                    path.unlink()
        for sermon in self.sermons:
            for stage in stages_of(SERMON):
                _remove(self.home / "sermons" / sermon / stage)
        for path in (self.home / "tables").rglob("*.parquet"):
            if path.parent.name != "registrations":
                path.unlink()
        self.seen.clear()


def make_church(home: Path, recordings: Sequence[Path], quiet: Mapping[str, str]) -> Church:
    """Take the recordings into an empty home."""
    home.mkdir(parents=True, exist_ok=True)
    for entry in ingest(MetadataStore(home), recordings):
        if entry.outcome != "new":
            raise RuntimeError(entry.message)
    return Church(home, quiet)


def undisturbed(home: Path, recordings: Sequence[Path]) -> dict[str, str]:
    """The store of a run that nothing happens to."""
    make_church(home, recordings, {})
    if code := run_to_the_end(home):
        raise RuntimeError(f"the undisturbed run ended with {code}")
    return store_state(home)


def store_state(home: Path) -> dict[str, str]:
    """Every file of the sermons and of their tables, with its SHA-256; what is hidden (locks, leftovers) is left out."""
    paths = [*(home / "sermons").rglob("*"), *(home / "tables").rglob("*.parquet")]
    files = [path for path in paths if path.is_file() and not _is_hidden(path.relative_to(home))]
    return {path.relative_to(home).as_posix(): sha256_of(path) for path in sorted(files)}


def write_recordings(folder: Path, count: int = 3) -> list[Path]:
    """Recordings of six seconds, cut from the talk that the package pyannote.audio carries."""
    spec = find_spec("pyannote.audio")
    samples, rate_hz = sf.read(Path(spec.origin).parent / "sample" / "sample.wav", dtype="int16")
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for number, begin_s in enumerate(_BEGINS_S[:count]):
        path = folder / f"2024-03-{10 + number} Talk {number + 1}.wav"
        sf.write(path, samples[begin_s * rate_hz : (begin_s + RECORDING_S) * rate_hz], rate_hz)
        paths.append(path)
    return paths


def start_chain(home: Path, limit: Callable[[], None] | None = None) -> Any:
    """A process that makes every stage of every sermon, without Dagster's runs."""
    process = FORKS.Process(target=_run_chain, args=(home, limit))
    process.start()
    return process


def run_to_the_end(home: Path, limit: Callable[[], None] | None = None) -> int:
    """The exit code of such a process."""
    process = start_chain(home, limit)
    process.join()
    return process.exitcode


def _run_chain(home: Path, limit: Callable[[], None] | None) -> None:
    if limit is not None:
        # What it will say is expected.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
        limit()
    for sermon in registrations(home):
        for stage in stages_of(SERMON):
            run_stage(stages()[stage], Platform(home_folder=str(home)), lambda words: None, sermon)


def small_files_only(limit_bytes: int) -> None:
    """For a process: where no disk can be made that fills up, a file that grows too long fails as one there does."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit_bytes, limit_bytes))


def become_nobody() -> None:
    """For a process: one that may read the home and not write to it."""
    os.setuid(_NOBODY)


@dataclass(frozen=True)
class Disk:
    """A folder that is, where the machine allows it, a disk of its own."""

    folder: Path
    is_a_disk: bool

    @contextmanager
    def full(self, chance: random.Random) -> Iterator[None]:
        """Leave a few kB or some hundred."""
        filler = self.folder / "filler"
        left = chance.choice([0, 4_096, 65_536, 262_144, 786_432])
        with filler.open("wb") as file:
            try:
                while True:
                    file.write(bytes(1 << 16))
                    file.flush()
            except OSError as error:
                if error.errno != errno.ENOSPC:
                    raise
        os.truncate(filler, max(0, filler.stat().st_size - left))
        try:
            yield
        finally:
            filler.unlink()

    @contextmanager
    def read_only(self) -> Iterator[None]:
        """Nothing can be written to it."""
        _mount("-o", "remount,ro", str(self.folder))
        try:
            yield
        finally:
            _mount("-o", "remount,rw", str(self.folder))


@contextmanager
def a_disk(folder: Path) -> Iterator[Disk]:
    """A small disk in memory, where this user may mount one; else the folder as it is."""
    folder.mkdir(parents=True, exist_ok=True)
    try:
        _mount("-t", "tmpfs", "-o", f"size={_DISK_BYTES}", "tmpfs", str(folder))
    except (OSError, subprocess.CalledProcessError):
        yield Disk(folder, False)
        return
    try:
        yield Disk(folder, True)
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def wait_for(what: str, look: Callable[[], object], patience_s: float, every_s: float = 0.05) -> object:
    """What `look` returns once that is true. Raises TimeoutError."""
    deadline = time.monotonic() + patience_s
    while not (found := look()):
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what} did not happen within {patience_s:g} s")
        time.sleep(every_s)
    return found


def _mount(*arguments: str) -> None:
    subprocess.run(["mount", *arguments], check=True, capture_output=True)


def _is_hidden(path: Path) -> bool:
    return any(part[0] in "._" for part in path.parts)


def _remove(folder: Path) -> None:
    for path in sorted(folder.rglob("*"), reverse=True):
        with contextlib.suppress(FileNotFoundError):
            path.rmdir() if path.is_dir() else path.unlink()
