"""What is made once and not for each sermon: scripture, glossary, training sets.

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
    stage_key,
)

Metadata = Callable[[Platform, StageOutput], Mapping[str, Any]]


@dataclass(frozen=True)
class CorpusStage:
    """A recipe with what decides whether its output is out of date.

    `prepare` is called before the recipe's key is made, for what has to be fetched. What is `optional` upstream is
    used where it is there. `published` maps files of the output to the names in `STT_HOME` that others know.
    """

    name: str
    version: str
    upstream: tuple[str, ...]
    optional: tuple[str, ...]
    tables: tuple[str, ...]
    parameters: Callable[[Path, Settings], Mapping[str, Any]]
    prepare: Callable[[Path, Settings, Callable[[str], None]], None]
    published: Mapping[str, str]
    recipe: Callable[[Work], StageResult]

    def key(self, home: Path, settings: Settings, inputs: Mapping[str, StageOutput]) -> str:
        """Hash of everything that decides the output."""
        digests = {name: output.digest for name, output in inputs.items()}
        return stage_key(self.name, self.version, self.parameters(home, settings), digests)


CORPUS_STAGES: dict[str, CorpusStage] = {}
"""Every stage by name."""


def corpus_stages() -> list[CorpusStage]:
    """Every stage, after those that it needs."""
    needs = {name: (*stage.upstream, *stage.optional) for name, stage in sorted(CORPUS_STAGES.items())}
    return [CORPUS_STAGES[name] for name in TopologicalSorter(needs).static_order()]


def corpus_plan(home: Path, settings: Settings, through: Sequence[str] = ()) -> list[str]:
    """The stages that are out of date, in order, as far as those of `through`. Empty: there is nothing to do.

    Without `through`, what is only optional is left as it is: it may take hours of the device.
    """
    wanted = _wanted(through)
    stale: list[str] = []
    outputs: dict[str, StageOutput] = {}
    for stage in corpus_stages():
        if stage.name in wanted and any(name in stale for name in (*stage.upstream, *stage.optional)):
            stale.append(stage.name)
            continue
        output = current_output(home, CORPUS, stage.name)
        inputs = {name: outputs[name] for name in (*stage.upstream, *stage.optional) if name in outputs}
        if stage.name not in wanted:
            outputs |= {stage.name: output} if output else {}
        elif output is None or not output.serves(stage.key(home, settings, inputs)):
            stale.append(stage.name)
        else:
            outputs[stage.name] = output
    return stale


def _wanted(through: Sequence[str]) -> set[str]:
    if not through:
        return set(CORPUS_STAGES) - {name for stage in CORPUS_STAGES.values() for name in stage.optional}
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
    parameters: Callable[[Path, Settings], Mapping[str, Any]] = lambda home, settings: {},
    prepare: Callable[[Path, Settings, Callable[[str], None]], None] = lambda home, settings, log: None,
    published: Mapping[str, str] | None = None,
    check_specs: tuple[tuple[str, str, bool], ...] = (),
    checks: Callable[[Platform, StageOutput | None], Iterator[dg.AssetCheckResult]] | None = None,
    on_device: Callable[[Settings], bool] = lambda settings: False,
    may_be_missing: bool = False,
) -> Callable[[Callable[[Work], StageResult]], dg.AssetsDefinition]:
    """Make an asset of a recipe. Raise `version` when the recipe's output changes for the same input.

    Args:
        metadata: what people see of the output in the UI.
        published: files of the output, and the names below `STT_HOME` by which others know them.
        check_specs: name, what it means, and whether what follows waits for it.
        checks: the results of these checks, after every run.
        may_be_missing: whether what follows can do without it where its model is not on this machine.
    """

    def make_asset(recipe: Callable[[Work], StageResult]) -> dg.AssetsDefinition:
        stage = CorpusStage(
            recipe.__name__, version, upstream, optional, tables, parameters, prepare, published or {}, recipe
        )
        CORPUS_STAGES[stage.name] = stage

        @dg.asset(
            name=stage.name,
            description=inspect.getdoc(recipe),
            deps=[*upstream, *optional],
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
                output, timings_s = run_corpus_stage(stage, platform, context.log.info)
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


def run_corpus_stage(
    stage: CorpusStage, platform: Platform, log: Callable[[str], None]
) -> tuple[StageOutput, dict[str, float]]:
    """Bring one stage up to date; returns its output and what took how long.

    Raises `PlatformError` where an earlier stage has not been made.
    """
    store, settings = platform.store, platform.settings
    stage.prepare(store.home, settings, log)
    inputs = {name: _finished(store.home, name) for name in stage.upstream}
    for name in stage.optional:
        if output := current_output(store.home, CORPUS, name):
            inputs[name] = output
    key = stage.key(store.home, settings, inputs)
    timings_s: dict[str, float] = {}

    def make(folder: Path) -> StageResult:
        return stage.recipe(
            Work(
                store=store,
                settings=settings,
                owner=CORPUS,
                stage=stage.name,
                key=key,
                inputs=inputs,
                folder=folder,
                log=log,
                timings_s=timings_s,
            )
        )

    output, took_s = build_timed(store, CORPUS, stage.name, key, make, timings_s)
    for name, known_as in stage.published.items():
        link_atomically(output.folder / name, store.home / known_as)
    return output, took_s


def _finished(home: Path, stage: str) -> StageOutput:
    output = current_output(home, CORPUS, stage)
    if output is None:
        raise PlatformError(f"{stage} has not been made: materialise it first, or run `stt run --through {stage}`")
    return output
