"""`stt run` and `stt learn`: what is out of date, with its progress, and in the end what became of it."""

import os
import threading
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import MappingProxyType

import click
import dagster as dg
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from stt_platform.definitions import defs
from stt_platform.defs.feedback.jobs import learned_stages
from stt_platform.errors import PlatformError
from stt_platform.orchestration import backfill as batch
from stt_platform.orchestration.instance import daemon_is_alive, open_instance
from stt_platform.orchestration.planning import Due, plan
from stt_platform.orchestration.scopes import CYCLE, SERMON, TRANSLATOR, Scope, newest_cycle, with_cycle
from stt_platform.orchestration.stage import follows_sermons, stages, stages_after_sermons, stages_of
from stt_platform.orchestration.work import progress_file
from stt_platform.settings import Settings, settings_file
from stt_platform.store.intake import registrations
from stt_platform.store.metadata import MetadataStore
from stt_platform.store.stages import FORMAT, stage_outputs

_LOOK_EVERY_S = 0.3
# Settings of these sections say where and when, not what comes out.
_NOT_DECIDING = ("STT_UI__", "STT_INBOX__", "STT_CHANNEL__", "STT_HOME", "STT_LOCK_DIR", "STT_SENSORS", "STT_TEST_DATA")
_REJECTED = """
select sermon, stage, reason from stage_results
where status = 'rejected' and inherited is not true and list_contains($sermons, sermon) order by sermon, stage
"""


def run_due(
    home: Path,
    settings: Settings,
    console: Console,
    *,
    through: Sequence[str] = (),
    sermons: Sequence[str] = (),
    parts: Mapping[str, int | str | None] = MappingProxyType({}),
    sermons_first: bool = True,
) -> int:
    """Bring everything up to date, or what `through` names with all that it needs; returns the exit code.

    Sermons come first, as one backfill; what is made once, or once for each cycle or translator, follows in this process.

    Args:
        sermons: the only ones to bring up to date; nothing else is made then.
        parts: by scope, such as "cycle", which of several is meant (default: the newest cycle, and translator A).
        sermons_first: whether that is so too where `through` names only what reads of sermons; else they are taken as they are.
    """
    known = registrations(home)
    _check(through, sermons, parts, known)
    of_sermons = [name for name in through if stages()[name].scope is SERMON]
    others = [name for name in through if name not in of_sermons]
    chosen = list(sermons) or list(known)
    follows = sermons_first and any(map(follows_sermons, others))
    code, done_anything = 0, False
    with open_instance(home) as instance:
        if of_sermons or not others or follows:
            due = plan(home, settings, of_sermons, sermons=chosen, scopes=[SERMON])
            if due:
                done_anything = True
                code = _run_sermons(home, settings, instance, due, console)
        if others or not (through or sermons):
            also = stages_after_sermons() if not others or follows else []
            part = _partition(instance, others, parts)
            due = _due(home, settings, others, also, part)
            if not due and others and not done_anything:
                with console.status("looking for what was not to be had before"):
                    _fetch(home, settings, console, others)
                due = _due(home, settings, others, also, part)
            for some in _independent(due):
                done_anything = True
                code = max(code, _run_here(home, instance, some, part, console, quiet=[*also] if not others else []))
    if not done_anything:
        what = f"{', '.join(through)} is" if others else f"{len(chosen)} sermons are"
        console.print(f"Nothing to do: {what} up to date.", markup=False)
    MetadataStore(home).refresh_catalog()
    return code


def learn_from_corrections(home: Path, console: Console, *, cycle: int | None = None) -> int:
    """Do what the job `learn` does, in this process; returns the exit code.

    Args:
        cycle: the newest one that there is without it.
    """
    with open_instance(home) as instance:
        part = newest_cycle(instance) if cycle is None else with_cycle(instance, cycle)
        due = [Due(name, part) for name in learned_stages()]
        code = _run_here(home, instance, due, (CYCLE, part), console)
    MetadataStore(home).refresh_catalog()
    return code


def _check(
    through: Sequence[str], sermons: Sequence[str], parts: Mapping[str, int | str | None], known: Mapping[str, object]
) -> None:
    choices = list(dict.fromkeys([*stages_of(SERMON), *stages()]))
    for name in through:
        if name not in choices:
            raise click.ClickException(
                f"--through {name!r}: there is no such asset; choose one of {', '.join(choices)}"
            )
        if sermons and stages()[name].scope is not SERMON:
            raise click.ClickException(f"--sermon: {name} is not made for each sermon; leave --sermon out")
    for sermon in sermons:
        if sermon not in known:
            raise click.ClickException(
                f"--sermon {sermon!r}: not here; `stt query 'select sermon from sermons'` lists them"
            )
    scopes = {stages()[name].scope.name for name in through}
    for kind in sorted(kind for kind, part in parts.items() if part is not None and kind not in scopes):
        if through:
            raise click.ClickException(
                f"--{kind}: {', '.join(through)} is not made for each {kind}; leave --{kind} out"
            )
        raise click.ClickException(f"--{kind}: name with --through what is made for each {kind}, or leave --{kind} out")


def _partition(
    instance: dg.DagsterInstance, names: Sequence[str], parts: Mapping[str, int | str | None]
) -> tuple[Scope, str] | None:
    """Return the partition of what is asked for, where it has some; a cycle is added if there is none yet."""
    scopes = [stages()[name].scope for name in names]
    if CYCLE in scopes:
        cycle = parts.get(CYCLE.name)
        return CYCLE, newest_cycle(instance) if cycle is None else with_cycle(instance, int(cycle))
    if TRANSLATOR in scopes:
        return TRANSLATOR, str(parts.get(TRANSLATOR.name) or TRANSLATOR.parts(Path())[0])
    return None


def _due(
    home: Path, settings: Settings, targets: Sequence[str], also: Sequence[str], part: tuple[Scope, str] | None
) -> list[Due]:
    parts = {part[0].name: part[1]} if part else {}
    scopes = [scope for scope in {each.scope for each in stages().values()} if scope is not SERMON]
    return plan(home, settings, [*targets, *also] if targets else [], parts=parts, scopes=scopes)


def _independent(due: Sequence[Due]) -> list[list[Due]]:
    """Return what looks at sermons, and what does not: a failure of the one keeps nobody from the other."""
    groups = [[each for each in due if follows_sermons(each.stage) == follows] for follows in (True, False)]
    return [group for group in groups if group]


def _fetch(home: Path, settings: Settings, console: Console, names: Sequence[str]) -> None:
    """Fetch what the named stages want: they may be up to date only as long as it is missing."""
    try:
        for name in names:
            stages()[name].prepare(home, settings, lambda line: console.print(line, style="dim", markup=False))
    except PlatformError as error:
        raise click.ClickException(str(error)) from error


def _run_sermons(
    home: Path, settings: Settings, instance: dg.DagsterInstance, due: Sequence[Due], console: Console
) -> int:
    plans: dict[str, list[str]] = defaultdict(list)
    for each in due:
        plans[str(each.part)].append(each.stage)
    _refuse_settings_that_a_running_platform_does_not_have(home)
    if old := [sermon for sermon in plans if any(output.format != FORMAT for output in stage_outputs(home, sermon))]:
        console.print(
            f"{len(old)} sermons were made by an earlier version of the platform: their stages are made again. What people "
            "wrote, the splits, choices, decisions and adapters stay."
        )
    result = _run_with_progress(home, settings, instance, dict(plans), console)
    for row in MetadataStore(home).query(_REJECTED, {"sermons": list(result.sermons)}).to_pylist():
        console.print(f"{row['sermon']} is rejected: {row['stage']}: {row['reason']}", style="yellow", markup=False)
    for sermon, run_id in result.failed.items():
        console.print(f"{sermon} failed: see run {run_id} in the UI (`make ui`)", style="red", markup=False)
    if result.stale:
        console.print(f"{len(result.stale)} sermons are out of date again: settings changed meanwhile; run it again.")
    done = len(result.sermons) - len(result.failed) - len(result.stale)
    console.print(f"{done} of {len(result.sermons)} sermons are up to date now.")
    return 1 if result.failed else 0


def _refuse_settings_that_a_running_platform_does_not_have(home: Path) -> None:
    here = sorted(name for name in os.environ if name.startswith("STT_") and not name.startswith(_NOT_DECIDING))
    if here and daemon_is_alive(home):
        raise click.ClickException(
            f"{', '.join(here)} is set here, but the platform that is running (`make ui`, or another `stt run`) has "
            f"settings of its own: write it into {settings_file(home)}, or stop the other first"
        )


def _run_with_progress(
    home: Path, settings: Settings, instance: dg.DagsterInstance, plans: dict[str, list[str]], console: Console
) -> batch.BatchResult:
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.fields[now]}"),
    )
    with Progress(*columns, console=console) as bars:
        by_sermon = bars.add_task("sermons", total=len(plans), now="waiting for the queue")
        by_stage = bars.add_task("stages", total=sum(map(len, plans.values())), now="")

        def show(progress: batch.Progress) -> None:
            bars.update(by_sermon, completed=progress.sermons_done, now=progress.now[:100])
            bars.update(by_stage, completed=progress.stages_done)

        return batch.run_batch(home, settings, instance, plans, show)


def _run_here(
    home: Path,
    instance: dg.DagsterInstance,
    due: Sequence[Due],
    part: tuple[Scope, str] | None,
    console: Console,
    *,
    quiet: Sequence[str] = (),
) -> int:
    """Run stages in this process, as one run, and say what came of each; returns the exit code."""
    with _shown(home, due, console):
        done = materialize(instance, [each.stage for each in due], part[1] if part else None)
    for each in due:
        if each.stage not in quiet:
            _print_output(home, each, console)
    if any(each.stage in quiet for each in due):
        console.print("The split, the references, the funnel and the baseline are up to date.")
    _print_failed_checks(done, console)
    return 0 if done.success else 1


def materialize(
    instance: dg.DagsterInstance, names: Sequence[str], partition: str | None = None
) -> dg.ExecuteInProcessResult:
    """Materialise assets in this process, as one run.

    Raises:
        click.ClickException: with what a stage says to its user, or that the run was cancelled.
    """
    try:
        return defs.resolve_implicit_global_asset_job_def().execute_in_process(
            instance=instance,
            partition_key=partition,
            run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
            asset_selection=[dg.AssetKey(name) for name in names],
        )
    except dg.Failure as failure:
        raise click.ClickException(failure.description or str(failure)) from failure
    except dg.DagsterExecutionInterruptedError:
        raise click.ClickException("cancelled; what was saved is kept, and the next run goes on from there") from None


def _print_output(home: Path, due: Due, console: Console) -> None:
    """Say in a line what came of a stage; tables and lists are on the page of its asset."""
    output = stages()[due.stage].output(home, due.part)
    if output is None:
        console.print(f"{due.stage}: not made; the page of the asset in the UI says why", style="yellow")
        return
    told = {label: value for label, value in output.shown.items() if isinstance(value, str | int | float)}
    words = ", ".join(f"{label} {value}" for label, value in told.items())
    console.print(f"{due.stage}: {words or 'done'}", markup=False)


def _print_failed_checks(done: dg.ExecuteInProcessResult, console: Console) -> None:
    """Say what the asset checks of a run found wrong."""
    for check in done.get_asset_check_evaluations():
        if not check.passed:
            words = "; ".join(f"{key}: {value.value}" for key, value in check.metadata.items())
            console.print(
                f"{check.asset_key.to_user_string()}, {check.check_name}: {words}", style="yellow", markup=False
            )


@contextmanager
def _shown(home: Path, due: Sequence[Due], console: Console) -> Iterator[None]:
    """Show what is being worked on, as the stages write it down."""
    over = threading.Event()
    with console.status("starting") as status:

        def watch() -> None:
            while not over.wait(_LOOK_EVERY_S):
                for number, each in enumerate(due, start=1):
                    with suppress(FileNotFoundError):
                        owner = stages()[each.stage].scope.owner(each.part)
                        now = progress_file(home, owner, each.stage).read_text(encoding="utf-8")
                        status.update(f"{number} of {len(due)}: {each.stage}: {now}")

        watcher = threading.Thread(target=watch, daemon=True)
        watcher.start()
        try:
            yield
        finally:
            over.set()
            watcher.join()
