"""`stt run` for what is made once, or once for each cycle: scripture, glossary, training sets, evaluations."""

import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import MappingProxyType

import click
import dagster as dg
from rich.console import Console

from stt_platform.definitions import defs
from stt_platform.defs.adapters.translators import APPROACHES
from stt_platform.defs.corpus import CORPUS_STAGES, corpus_plan
from stt_platform.defs.cycles import CYCLES, newest_cycle, with_cycle
from stt_platform.defs.feedback.jobs import LEARNED
from stt_platform.defs.scripture.folders import own_folder
from stt_platform.defs.work import progress_file
from stt_platform.instance import open_instance
from stt_platform.settings import PlatformError, Settings
from stt_platform.store.metadata import MetadataStore

_LOOK_EVERY_S = 0.3


def corpus_is_wanted(home: Path) -> bool:
    """Whether somebody put Bible texts there, or had them fetched."""
    return any(path.name[0] != "." for path in own_folder(home).glob("*"))


def run_corpus(
    home: Path,
    settings: Settings,
    instance: dg.DagsterInstance,
    console: Console,
    *,
    through: Sequence[str] = (),
    parts: Mapping[str, int | str | None] = MappingProxyType({}),
) -> int:
    """Bring the corpus up to date in this process, as one run; returns the exit code.

    Args:
        parts: by kind, which of several is meant; without it the newest cycle, and translator A.
    """
    part = _part(instance, through, parts)
    stages = corpus_plan(home, settings, through, part=part)
    if not stages and through:
        with console.status("looking for what was not to be had before"):
            _fetch(home, settings, console, through)
            stages = corpus_plan(home, settings, through, part=part)
    if not stages:
        console.print(f"Nothing to do: {', '.join(through) or 'the scripture corpus'} is up to date.")
        return 0
    with _shown(home, stages, part, console):
        done = _run(instance, stages, part)
    print_outputs(home, stages, console, part)
    print_failed_checks(done, console)
    return 0 if done.success else 1


def learn_from_corrections(home: Path, console: Console, *, cycle: int | None = None) -> int:
    """What the job `learn` does, in this process; returns the exit code.

    Args:
        cycle: the newest one that there is without it.
    """
    with open_instance(home) as instance:
        part = newest_cycle(instance) if cycle is None else with_cycle(instance, cycle)
        with _shown(home, LEARNED, part, console):
            done = _run(instance, LEARNED, part)
    MetadataStore(home).refresh_catalog()
    print_outputs(home, LEARNED, console, part)
    print_failed_checks(done, console)
    return 0 if done.success else 1


def _fetch(home: Path, settings: Settings, console: Console, through: Sequence[str]) -> None:
    """Fetch what the named stages want: they may be up to date only as long as it is missing."""
    try:
        for name in through:
            CORPUS_STAGES[name].prepare(home, settings, lambda line: console.print(line, style="dim", markup=False))
    except PlatformError as error:
        raise click.ClickException(str(error)) from error


def _part(instance: dg.DagsterInstance, through: Sequence[str], parts: Mapping[str, int | str | None]) -> str | None:
    """The partition of what is asked for, where it has some; a cycle is added if there is none yet."""
    kinds = {stage.parts.kind for stage in map(CORPUS_STAGES.__getitem__, through) if stage.parts}
    for kind in sorted(kind for kind, part in parts.items() if part is not None and kind not in kinds):
        raise click.ClickException(f"--{kind}: {', '.join(through)} is not made for each {kind}; leave --{kind} out")
    if CYCLES.kind in kinds:
        cycle = parts.get(CYCLES.kind)
        return newest_cycle(instance) if cycle is None else with_cycle(instance, int(cycle))
    return str(parts.get(APPROACHES.kind) or APPROACHES.definition.get_first_partition_key()) if kinds else None


def print_outputs(home: Path, stages: Sequence[str], console: Console, part: str | None = None) -> None:
    """Say in a line what came of each stage."""
    for name in stages:
        output = CORPUS_STAGES[name].output(home, part)
        if output is None:
            console.print(f"{name}: not made; the page of the asset in the UI says why", style="yellow")
        else:
            # Tables and lists are on the page of the asset.
            told = {key: value for key, value in output.facts.items() if isinstance(value, str | int | float)}
            facts = ", ".join(f"{key} {value}" for key, value in told.items())
            console.print(f"{name}: {facts or 'done'}", markup=False)


def print_failed_checks(done: dg.ExecuteInProcessResult, console: Console) -> None:
    """Say what the asset checks of a run found wrong."""
    for check in done.get_asset_check_evaluations():
        if not check.passed:
            words = "; ".join(f"{key}: {value.value}" for key, value in check.metadata.items())
            console.print(
                f"{check.asset_key.to_user_string()}, {check.check_name}: {words}", style="yellow", markup=False
            )


def _run(instance: dg.DagsterInstance, stages: Sequence[str], part: str | None) -> dg.ExecuteInProcessResult:
    try:
        return defs.resolve_implicit_global_asset_job_def().execute_in_process(
            instance=instance,
            partition_key=part,
            run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
            asset_selection=[dg.AssetKey(stage) for stage in stages],
        )
    except dg.Failure as failure:
        raise click.ClickException(failure.description or str(failure)) from failure
    except dg.DagsterExecutionInterruptedError:
        raise click.ClickException("cancelled; what was saved is kept, and the next run goes on from there") from None


@contextmanager
def _shown(home: Path, stages: Sequence[str], part: str | None, console: Console) -> Iterator[None]:
    """What is being worked on, as the stages write it down."""
    over = threading.Event()
    with console.status("starting") as status:

        def watch() -> None:
            while not over.wait(_LOOK_EVERY_S):
                for number, name in enumerate(stages, start=1):
                    with suppress(FileNotFoundError):
                        owner = CORPUS_STAGES[name].owner(part)
                        now = progress_file(home, owner, name).read_text(encoding="utf-8")
                        status.update(f"{number} of {len(stages)}: {name}: {now}")

        watcher = threading.Thread(target=watch, daemon=True)
        watcher.start()
        try:
            yield
        finally:
            over.set()
            watcher.join()
