"""What is made once and not for each sermon, or once for each cycle: scripture, glossary, training sets, evaluations.

As with the stages of a sermon, a stage is a recipe from `Work` to `StageResult`, its output is named by a hash of what
decides it, and the plan of what is out of date needs no run.
"""

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from graphlib import TopologicalSorter
from pathlib import Path
from typing import Any

import dagster as dg

from stt_platform.defs.platform import OWNERS, Platform
from stt_platform.defs.work import Work, build_timed, device_pool
from stt_platform.files import link_atomically
from stt_platform.models.registry import ModelMissing
from stt_platform.settings import PlatformError, Settings
from stt_platform.store.stages import (
    CORPUS,
    StageOutput,
    StageResult,
    current_output,
    part_owner,
    stage_key,
)

Published = Mapping[str, str] | Callable[[StageOutput], Mapping[str, str]]
Metadata = Callable[[Platform, StageOutput], Mapping[str, Any]]
Parameters = Callable[[Path, Settings], Mapping[str, Any]] | Callable[[Path, Settings, str], Mapping[str, Any]]


@dataclass(frozen=True)
class Parts:
    """That a stage is made for each of several: cycles, say. `kind` names the owners of their outputs."""

    kind: str
    definition: dg.PartitionsDefinition


@dataclass(frozen=True)
class CorpusStage:
    """A recipe with what decides whether its output is out of date.

    `prepare` is called before the recipe's key is made, for what has to be fetched. What is `optional` upstream is
    used where it is there. `published` maps files of the output to the names in `STT_HOME` that others know; `{part}` in
    a name stands for the partition; `hand_out` makes files there that people may change. A stage with `parts` is made
    for each partition; `parameters` is then given its key too. `on_request` is not made by a plan that names nothing.
    """

    name: str
    version: str
    upstream: tuple[str, ...]
    optional: tuple[str, ...]
    tables: tuple[str, ...]
    parameters: Parameters
    prepare: Callable[[Path, Settings, Callable[[str], None]], None]
    published: Published
    recipe: Callable[[Work], StageResult]
    parts: Parts | None = None
    on_request: bool = False
    hand_out: Callable[[Path, StageOutput], None] = lambda home, output: None

    def owner(self, part: str | None) -> str:
        """The owner of its output for a partition. Raises ValueError where it has partitions and none is given."""
        if self.parts is None:
            return CORPUS
        if part is None:
            raise ValueError(f"{self.name} is made for each {self.parts.kind}: name one")
        return part_owner(self.parts.kind, part)

    def output(self, home: Path, part: str | None) -> StageOutput | None:
        """What was made last, or None."""
        return current_output(home, self.owner(part), self.name)

    def key(self, home: Path, settings: Settings, inputs: Mapping[str, StageOutput], part: str | None = None) -> str:
        """Hash of everything that decides the output."""
        digests = {name: output.digest for name, output in inputs.items()}
        parameters = self.parameters(home, settings) if self.parts is None else self.parameters(home, settings, part)
        return stage_key(self.name, self.version, parameters, digests)


CORPUS_STAGES: dict[str, CorpusStage] = {}
"""Every stage by name."""


def corpus_stages() -> list[CorpusStage]:
    """Every stage, after those that it needs."""
    needs = {name: (*stage.upstream, *stage.optional) for name, stage in sorted(CORPUS_STAGES.items())}
    return [CORPUS_STAGES[name] for name in TopologicalSorter(needs).static_order()]


def corpus_plan(home: Path, settings: Settings, through: Sequence[str] = (), *, part: str | None = None) -> list[str]:
    """The stages that are out of date, in order, as far as those of `through`. Empty: there is nothing to do.

    Without `through`, what is only optional or made on request is left as it is: it may take hours of the device.

    Args:
        part: the partition, where `through` names a stage that has some.
    """
    wanted = _wanted(through)
    stale: list[str] = []
    outputs: dict[str, StageOutput] = {}
    for stage in corpus_stages():
        if stage.name in wanted and any(name in stale for name in (*stage.upstream, *stage.optional)):
            stale.append(stage.name)
            continue
        if stage.parts is not None and part is None and stage.name not in wanted:
            continue
        output = stage.output(home, part)
        inputs = {name: outputs[name] for name in (*stage.upstream, *stage.optional) if name in outputs}
        if stage.name not in wanted:
            outputs |= {stage.name: output} if output else {}
        elif output is None or not output.serves(stage.key(home, settings, inputs, part)):
            stale.append(stage.name)
        else:
            outputs[stage.name] = output
    return stale


def _wanted(through: Sequence[str]) -> set[str]:
    if not through:
        left = {name for stage in CORPUS_STAGES.values() for name in stage.optional}
        left |= {stage.name for stage in CORPUS_STAGES.values() if stage.on_request or stage.parts}
        return set(CORPUS_STAGES) - left
    needed = set(through)
    for stage in reversed(corpus_stages()):
        if stage.name in needed:
            needed.update(stage.upstream, stage.optional)
    return needed


def corpus_stage(
    *,
    version: str,
    group: str,
    kinds: set[str],
    metadata: Metadata,
    tables: tuple[str, ...] = (),
    upstream: tuple[str, ...] = (),
    optional: tuple[str, ...] = (),
    after: tuple[str, ...] = (),
    parameters: Parameters = lambda home, settings, *part: {},
    prepare: Callable[[Path, Settings, Callable[[str], None]], None] = lambda home, settings, log: None,
    published: Published | None = None,
    check_specs: tuple[tuple[str, str, bool], ...] = (),
    checks: Callable[[Platform, StageOutput | None], Iterator[dg.AssetCheckResult]] | None = None,
    on_device: Callable[[Settings], bool] = lambda settings: False,
    may_be_missing: bool = False,
    parts: Parts | None = None,
    on_request: bool = False,
    hand_out: Callable[[Path, StageOutput], None] = lambda home, output: None,
) -> Callable[[Callable[[Work], StageResult]], dg.AssetsDefinition]:
    """Make an asset of a recipe. Raise `version` when the recipe's output changes for the same input.

    Args:
        metadata: what people see of the output in the UI.
        after: assets that are no stages of this kind and that it reads, for the lineage; `parameters` has to hold a digest
            of what is read of them.
        published: files of the output, and the names below `STT_HOME` by which others know them.
        check_specs: name, what it means, and whether what follows waits for it.
        checks: the results of these checks, after every run.
        may_be_missing: whether what follows can do without it where its model is not on this machine.
        parts: for a stage that is made for each of several.
        on_request: whether it is made only by a click, or where `stt run --through` names it.
        hand_out: gives people files of their own, made of the output, after every run; it keeps what they wrote there.
    """

    def make_asset(recipe: Callable[[Work], StageResult]) -> dg.AssetsDefinition:
        stage = CorpusStage(
            name=recipe.__name__,
            version=version,
            upstream=upstream,
            optional=optional,
            tables=tables,
            parameters=parameters,
            prepare=prepare,
            published=published or {},
            recipe=recipe,
            parts=parts,
            on_request=on_request,
            hand_out=hand_out,
        )
        CORPUS_STAGES[stage.name] = stage

        @dg.asset(
            name=stage.name,
            description=inspect.getdoc(recipe),
            deps=[*upstream, *optional, *after],
            partitions_def=parts.definition if parts else None,
            group_name=group,
            kinds=kinds,
            owners=OWNERS,
            code_version=version,
            pool=device_pool(on_device),
            check_specs=[
                dg.AssetCheckSpec(name, asset=stage.name, description=means, blocking=blocking)
                for name, means, blocking in check_specs
            ],
        )
        def asset(context: dg.AssetExecutionContext, platform: Platform) -> dg.MaterializeResult:
            try:
                part = context.partition_key if parts else None
                output, timings_s = run_corpus_stage(
                    stage, platform, context.log.info, part, observe=_observer(context)
                )
            except ModelMissing as missing:
                if not may_be_missing:
                    raise dg.Failure(str(missing), allow_retries=False) from missing
                context.log.warning(str(missing))
                shown, output = {"status": "not made", "reason": str(missing)}, None
            except PlatformError as error:
                # Says what to do; a traceback would bury it, and another try would end the same way.
                raise dg.Failure(str(error), allow_retries=False) from error
            else:
                timings = {f"{name} (s)": round(seconds, 3) for name, seconds in timings_s.items()}
                shown = {**metadata(platform, output), "was already up to date": output.reused, **timings}
            return dg.MaterializeResult(
                metadata=shown,
                data_version=dg.DataVersion(output.digest) if output else None,
                check_results=list(checks(platform, output)) if checks else [],
            )

        return asset

    return make_asset


def _observer(context: dg.AssetExecutionContext) -> Callable[[Mapping[str, Any]], None]:
    partition = context.partition_key if context.has_partition_key else None

    def observe(numbers: Mapping[str, Any]) -> None:
        context.log_event(dg.AssetObservation(context.asset_key, metadata=numbers, partition=partition))

    return observe


def run_corpus_stage(
    stage: CorpusStage,
    platform: Platform,
    log: Callable[[str], None],
    part: str | None = None,
    *,
    observe: Callable[[Mapping[str, Any]], None] = lambda numbers: None,
) -> tuple[StageOutput, dict[str, float]]:
    """Bring one stage up to date; returns its output and what took how long.

    Raises `PlatformError` where an earlier stage has not been made.
    """
    store, settings = platform.store, platform.settings
    stage.prepare(store.home, settings, log)
    owner = stage.owner(part)
    inputs = {name: _finished(store.home, name, part) for name in stage.upstream}
    for name in stage.optional:
        if output := CORPUS_STAGES[name].output(store.home, part):
            inputs[name] = output
    key = stage.key(store.home, settings, inputs, part)
    timings_s: dict[str, float] = {}

    def make(folder: Path) -> StageResult:
        return stage.recipe(
            Work(
                store=store,
                settings=settings,
                owner=owner,
                part=part,
                stage=stage.name,
                key=key,
                inputs=inputs,
                folder=folder,
                log=log,
                observe=observe,
                timings_s=timings_s,
            )
        )

    output, took_s = build_timed(store, owner, stage.name, key, make, timings_s)
    published = stage.published(output) if callable(stage.published) else stage.published
    for name, known_as in published.items():
        link_atomically(output.folder / name, store.home / known_as.format(part=part))
    stage.hand_out(store.home, output)
    return output, took_s


def _finished(home: Path, stage: str, part: str | None) -> StageOutput:
    output = CORPUS_STAGES[stage].output(home, part)
    if output is None:
        raise PlatformError(f"{stage} has not been made: materialise it first, or run `stt run --through {stage}`")
    return output
