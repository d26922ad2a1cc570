"""What all stages of a sermon share: when there is something to do, doing it whole or not at all, and showing it.

A stage is a recipe: a function from `StageWork` to `StageResult`. `sermon_stage` makes the asset around it. The plan
of what is out of date needs no run: it compares hashes of recipes (`store/stages.py`).
"""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import dagster as dg

from stt_platform.audio.demucs_weights import SeparatorUnavailable
from stt_platform.audio.diarize_pyannote import PipelineUnavailable
from stt_platform.defs.platform import OWNERS, Platform
from stt_platform.defs.sermons.partitions import sermon_partitions
from stt_platform.defs.sermons.report import sermon_metadata
from stt_platform.defs.work import Work, build_timed, device_pool
from stt_platform.models.registry import ModelMissing
from stt_platform.settings import PlatformError, Settings
from stt_platform.store.intake import Registration, registration
from stt_platform.store.stages import (
    StageOutput,
    StageResult,
    current_output,
    stage_key,
)

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


@dataclass(kw_only=True)
class StageWork(Work):
    """What the recipe of a sermon works with."""

    registration: Registration

    @property
    def sermon(self) -> str:
        return self.owner

    @cached_property
    def original(self) -> Path:
        """The recording as it came. Raises `PlatformError` where somebody took it away."""
        path = self.registration.original_path(self.store.home)
        if not path.is_file():
            raise PlatformError(
                f"the recording of {self.sermon} is gone: put it into the inbox again (it came from "
                f"{self.registration.source}; it is known by its content), then try again. Missing is {path}"
            )
        return path

    @property
    def context(self) -> SermonContext:
        return SermonContext(self.store.home, self.settings, self.registration)

    @property
    def path_in_home(self) -> str:
        """Where `folder` will lie once it is whole, relative to `STT_HOME`."""
        return f"sermons/{self.sermon}/{self.stage}/{self.key[:32]}"


AsMade = Callable[[SermonContext, StageOutput], Mapping[str, Any]]


@dataclass(frozen=True)
class SermonStage:
    """A recipe with what decides whether its output is out of date."""

    name: str
    version: str
    upstream: tuple[str, ...]
    tables: tuple[str, ...]
    parameters: Callable[[SermonContext], Mapping[str, Any]]
    recipe: Callable[[StageWork], StageResult]
    as_made: AsMade | None = None

    def key(self, context: SermonContext, inputs: Mapping[str, StageOutput]) -> str:
        """Hash of everything that decides the output; the first stage's input is the recording itself."""
        return self._key(context, inputs, self.parameters(context))

    def will_do(self, output: StageOutput, context: SermonContext, inputs: Mapping[str, StageOutput]) -> bool:
        """Whether an output is up to date, or as good as that until somebody asks for it."""
        if output.serves(self.key(context, inputs)):
            return True
        if self.as_made is None:
            return False
        return output.serves(self._key(context, inputs, self.as_made(context, output)))

    def _key(self, context: SermonContext, inputs: Mapping[str, StageOutput], parameters: Mapping[str, Any]) -> str:
        digests = {name: output.digest for name, output in inputs.items()}
        digests = digests or {"recording": context.registration.sha256}
        return stage_key(self.name, self.version, parameters, digests)


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
        if output is None or not stage.will_do(output, context, inputs):
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
    as_made: AsMade | None = None,
    on_device: Callable[[Settings], bool] = lambda settings: False,
) -> Callable[[Callable[[StageWork], StageResult]], dg.AssetsDefinition]:
    """Make an asset of a recipe. Raise `version` when the recipe's output changes for the same input.

    `on_device` says whether it computes on the device with these settings, and is queued in the pool `gpu`. `as_made` gives
    the parameters with those choices that an output was made with: a plan leaves it as it is where nothing else changed.
    """

    def make_asset(recipe: Callable[[StageWork], StageResult]) -> dg.AssetsDefinition:
        stage = SermonStage(recipe.__name__, version, upstream, tables, parameters, recipe, as_made)
        SERMON_STAGES[stage.name] = stage

        @dg.asset(
            name=stage.name,
            description=inspect.getdoc(recipe),
            partitions_def=sermon_partitions,
            deps=list(upstream),
            group_name="sermons",
            kinds=kinds,
            owners=OWNERS,
            code_version=version,
            pool=device_pool(on_device),
        )
        def asset(context: dg.AssetExecutionContext, platform: Platform) -> dg.MaterializeResult:
            output, timings_s = run_stage(stage, platform, context.partition_key, context.log.info)
            if not output.accepted:
                context.log.warning(f"{output.owner} is rejected at {output.stage}: {output.reason}")
            return dg.MaterializeResult(
                metadata=sermon_metadata(platform, output, timings_s), data_version=dg.DataVersion(output.digest)
            )

        return asset

    return make_asset


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
            StageWork(
                store=store,
                settings=settings,
                owner=sermon,
                stage=stage.name,
                key=key,
                inputs=inputs,
                folder=folder,
                log=log,
                timings_s=timings_s,
                registration=entry,
            )
        )

    try:
        return build_timed(store, sermon, stage.name, key, make, timings_s)
    except _FOR_THE_USER as error:
        # Says what to do; a traceback would bury it, and another try would end the same way.
        raise dg.Failure(str(error), allow_retries=False) from error


def _finished(home: Path, sermon: str, stage: str) -> StageOutput:
    output = current_output(home, sermon, stage)
    if output is None:
        raise dg.Failure(
            f"{stage} of {sermon} has not been made: materialise it first, or run `stt run --sermon {sermon}`",
            allow_retries=False,
        )
    return output
