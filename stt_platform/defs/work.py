"""What every recipe works with: its inputs, a folder for its files, its settings, and the device."""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from stt_platform.files import write_atomically
from stt_platform.gpu import CPU, device_name, hold_device
from stt_platform.settings import Settings, SettingsError, load_settings
from stt_platform.store.metadata import MetadataStore
from stt_platform.store.stages import StageOutput, StageResult, build_stage, stage_folder

_PROGRESS_EVERY_S = 1.0


def progress_file(home: Path, owner: str, stage: str) -> Path:
    """Where a stage at work writes down how far it is; gone when it is done."""
    return stage_folder(home, owner, stage) / ".progress"


@dataclass(kw_only=True)
class Work:
    """`folder` takes the files of a recipe; `inputs` are the outputs that it was declared to need.

    `part` is the partition, such as the number of a cycle; None where there is none. `observe` shows numbers in the UI
    while a long stage is at work.
    """

    store: MetadataStore
    settings: Settings
    owner: str
    stage: str
    key: str
    inputs: Mapping[str, StageOutput]
    folder: Path
    log: Callable[[str], None]
    part: str | None = None
    observe: Callable[[Mapping[str, Any]], None] = lambda numbers: None
    timings_s: dict[str, float] = field(default_factory=dict)
    _progress_at: float = 0.0

    def progress(self, done: float, total: float | None, unit: str = "s") -> None:
        """Say how far a long stage has come; `stt run` and the listening page show it."""
        self.say(f"{done:.0f} of {total:.0f} {unit}" if total else f"{done:.0f} {unit}")

    def say(self, now: str) -> None:
        """Say in words what a long stage is at; at most once a second is written down."""
        at = time.monotonic()
        if at - self._progress_at < _PROGRESS_EVERY_S:
            return
        self._progress_at = at
        write_atomically(progress_file(self.store.home, self.owner, self.stage), now.encode())

    @contextmanager
    def device(self, kind: str) -> Iterator[None]:
        """Hold the device ('cpu' or 'cuda') for as long as the body runs; waiting and holding times are recorded."""
        name = device_name() if kind == "cuda" else CPU
        holder = f"{self.stage} of {self.owner}"
        with hold_device(
            name, holder=holder, on_wait=lambda who: self.log(f"waiting for {name}: held by {who}")
        ) as lease:
            yield
        for name, seconds in (("waited for the device", lease.waited_s), ("held the device", lease.held_s)):
            self.timings_s[name] = self.timings_s.get(name, 0.0) + seconds


def build_timed(
    store: MetadataStore,
    owner: str,
    stage: str,
    key: str,
    make: Callable[[Path], StageResult],
    timings_s: Mapping[str, float],
) -> tuple[StageOutput, dict[str, float]]:
    """`build_stage`, and what took how long; `timings_s` is what the recipe measured of itself while it ran."""
    started = time.monotonic()
    try:
        output = build_stage(store, owner, stage, key, make)
    finally:
        progress_file(store.home, owner, stage).unlink(missing_ok=True)
    return output, {"this took": time.monotonic() - started, **timings_s}


@cache
def _settings_of_this_process() -> Settings:
    # Dagster reads the pools once, when the assets are defined; three dozen of them ask.
    return load_settings()


def device_pool(on_device: Callable[[Settings], bool]) -> str | None:
    """The pool in which a stage queues: `gpu` where it computes on the device with the settings of this instance."""
    try:
        return "gpu" if on_device(_settings_of_this_process()) else None
    except SettingsError:
        # Whoever runs a stage is told what is wrong with the settings; the assets are to be seen all the same.
        return "gpu"
