"""What all stages of a sermon share: when there is something to do, doing it whole or not at all, and showing it.

A stage is a recipe: a function from `StageWork` to `StageResult`. `sermon_stage` makes the asset around it. The plan
of what is out of date needs no run: it compares hashes of recipes (`store/stages.py`).
"""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import dagster as dg

from stt_platform.audio.demucs_weights import SeparatorUnavailable
from stt_platform.audio.diarize_pyannote import PipelineUnavailable
from stt_platform.defs.platform import OWNERS, Platform
from stt_platform.defs.sermons.partitions import sermon_partitions
from stt_platform.defs.sermons.report import sermon_metadata
from stt_platform.files import write_atomically
from stt_platform.gpu import CPU, device_name, hold_device
from stt_platform.models.registry import ModelMissing
from stt_platform.settings import PlatformError, Settings, SettingsError, load_settings
from stt_platform.store.intake import Registration, registration
from stt_platform.store.metadata import MetadataStore
from stt_platform.store.stages import (
    StageOutput,
    StageResult,
    build_stage,
    current_output,
    stage_folder,
    stage_key,
)

_PROGRESS_EVERY_S = 1.0
_FOR_THE_USER = (PlatformError, ModelMissing, SeparatorUnavailable, PipelineUnavailable)


@dataclass(frozen=True)
class SermonContext:
    """What the parameters of a stage may depend on."""

    home: Path
    settings: Settings
    registration: Registration

    @property
    def sermon(self) -> str:
        return self.registration.sermon


@dataclass
class StageWork:
    """What a recipe works with. `folder` takes its files; `inputs` are the outputs it was declared to need."""

    store: MetadataStore
    settings: Settings
    registration: Registration
    stage: str
    key: str
    inputs: Mapping[str, StageOutput]
    folder: Path
    log: Callable[[str], None]
    timings_s: dict[str, float] = field(default_factory=dict)
    _progress_at: float = 0.0

    @property
    def sermon(self) -> str:
        return self.registration.sermon

    @cached_property
    def original(self) -> Path:
        """The recording as it came."""
        return self.registration.original_path(self.store.home)

    @property
    def context(self) -> SermonContext:
        return SermonContext(self.store.home, self.settings, self.registration)

    @property
    def path_in_home(self) -> str:
        """Where `folder` will lie once it is whole, relative to `STT_HOME`."""
        return f"sermons/{self.sermon}/{self.stage}/{self.key[:32]}"

    def progress(self, done: float, total: float | None, unit: str = "s") -> None:
        """Say how far a long stage has come; `stt run` and the listening page show it."""
        now = time.monotonic()
        if now - self._progress_at < _PROGRESS_EVERY_S:
            return
        self._progress_at = now
        text = f"{done:.0f} of {total:.0f} {unit}" if total else f"{done:.0f} {unit}"
        write_atomically(stage_folder(self.store.home, self.sermon, self.stage) / ".progress", text.encode())

    @contextmanager
    def device(self, kind: str) -> Iterator[None]:
        """Hold the device ('cpu' or 'cuda') for as long as the body runs; waiting and holding times are recorded."""
        name = device_name() if kind == "cuda" else CPU
        holder = f"{self.stage} of {self.sermon}"
        with hold_device(
            name, holder=holder, on_wait=lambda who: self.log(f"waiting for {name}: held by {who}")
        ) as lease:
            yield
        self.timings_s["waited for the device"] = lease.waited_s
        self.timings_s["held the device"] = lease.held_s


@dataclass(frozen=True)
class SermonStage:
    """A recipe with what decides whether its output is out of date."""

    name: str
    version: str
    upstream: tuple[str, ...]
    tables: tuple[str, ...]
    parameters: Callable[[SermonContext], Mapping[str, Any]]
    recipe: Callable[[StageWork], StageResult]

    def key(self, context: SermonContext, inputs: Mapping[str, StageOutput]) -> str:
        """Hash of everything that decides the output; the first stage's input is the recording itself."""
        digests = {name: output.digest for name, output in inputs.items()}
        digests = digests or {"recording": context.registration.sha256}
        return stage_key(self.name, self.version, self.parameters(context), digests)


SERMON_STAGES: dict[str, SermonStage] = {}
"""Every stage by name, in the order in which a sermon passes them."""


def plan(home: Path, settings: Settings, sermon: str, through: str | None = None) -> list[str]:
    """The stages of a sermon that are out of date, in order, as far as `through`. Empty: there is nothing to do."""
    entry = registration(home, sermon)
    if entry is None:
        raise KeyError(f"there is no sermon {sermon!r}")
    context = SermonContext(home, settings, entry)
    stale: list[str] = []
    outputs: dict[str, StageOutput] = {}
    for stage in _wanted(through):
        if any(name in stale for name in stage.upstream):
            stale.append(stage.name)
            continue
        inputs = {name: outputs[name] for name in stage.upstream}
        output = current_output(home, sermon, stage.name)
        if output is None or not output.serves(stage.key(context, inputs)):
            stale.append(stage.name)
        else:
            outputs[stage.name] = output
    return stale


def _wanted(through: str | None) -> list[SermonStage]:
    if through is None:
        return list(SERMON_STAGES.values())
    needed = {through}
    for stage in reversed(SERMON_STAGES.values()):
        if stage.name in needed:
            needed.update(stage.upstream)
    return [stage for stage in SERMON_STAGES.values() if stage.name in needed]


def sermon_stage(
    *,
    version: str,
    kinds: set[str],
    tables: tuple[str, ...] = (),
    upstream: tuple[str, ...] = (),
    parameters: Callable[[SermonContext], Mapping[str, Any]] = lambda context: {},
    on_device: Callable[[Settings], bool] = lambda settings: False,
) -> Callable[[Callable[[StageWork], StageResult]], dg.AssetsDefinition]:
    """Make an asset of a recipe. Raise `version` when the recipe's output changes for the same input.

    `on_device` says whether it computes on the device with these settings, and is queued in the pool `gpu`.
    """

    def make_asset(recipe: Callable[[StageWork], StageResult]) -> dg.AssetsDefinition:
        stage = SermonStage(recipe.__name__, version, upstream, tables, parameters, recipe)
        SERMON_STAGES[stage.name] = stage

        @dg.asset(
            name=stage.name,
            description=recipe.__doc__,
            partitions_def=sermon_partitions,
            deps=list(upstream),
            group_name="sermons",
            kinds=kinds,
            owners=OWNERS,
            code_version=version,
            pool="gpu" if _queues(on_device) else None,
        )
        def asset(context: dg.AssetExecutionContext, platform: Platform) -> dg.MaterializeResult:
            output, timings_s = run_stage(stage, platform, context.partition_key, context.log.info)
            if not output.accepted:
                context.log.warning(f"{output.sermon} is rejected at {output.stage}: {output.reason}")
            return dg.MaterializeResult(
                metadata=sermon_metadata(platform, output, timings_s), data_version=dg.DataVersion(output.digest)
            )

        return asset

    return make_asset


def _queues(on_device: Callable[[Settings], bool]) -> bool:
    try:
        return on_device(load_settings())
    except SettingsError:
        # Whoever runs a stage is told what is wrong with the settings; the assets are to be seen all the same.
        return True


def run_stage(
    stage: SermonStage, platform: Platform, sermon: str, log: Callable[[str], None]
) -> tuple[StageOutput, dict[str, float]]:
    """Bring one stage of a sermon up to date; returns its output and what took how long.

    Raises `dagster.Failure` where there is no such sermon, or where an earlier stage has not been made.
    """
    store, settings = platform.store, platform.settings
    entry = registration(store.home, sermon)
    if entry is None:
        raise dg.Failure(
            f"there is no sermon {sermon!r} in {store.home}: it was removed, or never ingested. "
            "Take it in again with `stt ingest`, or delete the partition in the UI.",
            allow_retries=False,
        )
    inputs = {name: _finished(store.home, sermon, name) for name in stage.upstream}
    key = stage.key(SermonContext(store.home, settings, entry), inputs)
    timings_s: dict[str, float] = {}

    def make(folder: Path) -> StageResult:
        for output in inputs.values():
            if not output.accepted:
                tables = {table: [] for table in stage.tables}
                return StageResult("rejected", output.reason, tables=tables, gate=output.gate)
        return stage.recipe(
            StageWork(store, settings, entry, stage.name, key, inputs, folder, log, timings_s=timings_s)
        )

    started = time.monotonic()
    try:
        output = build_stage(store, sermon, stage.name, key, make)
    except _FOR_THE_USER as error:
        # Says what to do; a traceback would bury it, and another try would end the same way.
        raise dg.Failure(str(error), allow_retries=False) from error
    finally:
        (stage_folder(store.home, sermon, stage.name) / ".progress").unlink(missing_ok=True)
    return output, {"this took": time.monotonic() - started, **timings_s}


def _finished(home: Path, sermon: str, stage: str) -> StageOutput:
    output = current_output(home, sermon, stage)
    if output is None:
        raise dg.Failure(
            f"{stage} of {sermon} has not been made: materialise it first, or run `stt run --sermon {sermon}`",
            allow_retries=False,
        )
    return output
