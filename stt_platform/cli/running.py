"""`stt run`: what is out of date, with a progress bar, and in the end what became of it."""

from pathlib import Path

import click
import dagster as dg
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from stt_platform import batch
from stt_platform.definitions import defs
from stt_platform.defs.platform import Platform
from stt_platform.defs.sermons.stage import SERMON_STAGES
from stt_platform.instance import open_instance
from stt_platform.settings import Settings
from stt_platform.store.intake import registrations
from stt_platform.store.metadata import MetadataStore

_OVER_ALL = ("sermon_split", "references")


def run_sermons(
    home: Path, settings: Settings, console: Console, *, through: str | None = None, sermons: tuple[str, ...] = ()
) -> int:
    """Bring sermons up to date; returns the exit code (1 when a run failed)."""
    known = registrations(home)
    _check(through, sermons, known)
    chosen = list(sermons) or list(known)
    last = None if through in _OVER_ALL else through
    plans = batch.stale_stages(home, settings, chosen, last)
    if not plans:
        console.print(f"Nothing to do: {len(chosen)} sermons are up to date.")
        return 0
    with open_instance(home) as instance:
        result = _run_with_progress(home, settings, instance, plans, console)
        if through is None or through in _OVER_ALL:
            materialize_over_all(home, instance)
    MetadataStore(home).refresh_catalog()
    for sermon, reason in batch.rejections(home, result.sermons, list(SERMON_STAGES)).items():
        console.print(f"{sermon} is rejected: {reason}", style="yellow", markup=False)
    for sermon, run_id in result.failed.items():
        console.print(f"{sermon} failed: see run {run_id} in the UI (`make ui`)", style="red", markup=False)
    done = len(result.sermons) - len(result.failed)
    console.print(f"{done} of {len(result.sermons)} sermons are up to date now.")
    return 1 if result.failed else 0


def _check(through: str | None, sermons: tuple[str, ...], known: dict) -> None:
    choices = [*SERMON_STAGES, *_OVER_ALL]
    if through is not None and through not in choices:
        raise click.ClickException(f"--through {through!r}: there is no such asset; choose one of {', '.join(choices)}")
    for sermon in sermons:
        if sermon not in known:
            raise click.ClickException(
                f"--sermon {sermon!r}: not here; `stt query 'select sermon from sermons'` lists them"
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


def materialize_over_all(home: Path, instance: dg.DagsterInstance) -> None:
    """Materialise the assets that look at all sermons together, in this process: they take a moment."""
    defs.resolve_job_def("after_sermons").execute_in_process(
        instance=instance,
        resources={"platform": Platform(home_folder=str(home))},
        run_config={"loggers": {"console": {"config": {"log_level": "WARNING"}}}},
    )
