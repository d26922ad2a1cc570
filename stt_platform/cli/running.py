"""`stt run`: what is out of date, with a progress bar, and in the end what became of it."""

import os
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

import click
import dagster as dg
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from stt_platform import batch
from stt_platform.cli.corpus import corpus_is_wanted, print_failed_checks, print_outputs, run_corpus
from stt_platform.definitions import defs
from stt_platform.defs.corpus import CORPUS_STAGES, corpus_plan
from stt_platform.defs.platform import Platform
from stt_platform.defs.sermons.fingerprint import over_all_fingerprint
from stt_platform.defs.sermons.jobs import OVER_ALL
from stt_platform.defs.sermons.stage import SERMON_STAGES
from stt_platform.files import write_atomically
from stt_platform.instance import daemon_is_alive, open_instance
from stt_platform.settings import Settings, settings_file
from stt_platform.store.intake import registrations
from stt_platform.store.metadata import MetadataStore

_FINGERPRINT = "over_all.sha256"
# Settings of these sections say where and when, not what comes out.
_NOT_DECIDING = ("STT_UI__", "STT_INBOX__", "STT_CHANNEL__", "STT_HOME", "STT_LOCK_DIR", "STT_SENSORS", "STT_TEST_DATA")


def run_what_is_due(
    home: Path,
    settings: Settings,
    console: Console,
    *,
    through: str | None = None,
    sermons: tuple[str, ...] = (),
    parts: Mapping[str, int | str | None] = MappingProxyType({}),
) -> int:
    """Bring everything up to date, or what `through` names; returns the exit code (1 when a run failed).

    The scripture corpus comes along by itself once there are texts in `STT_HOME/scripture/texts`. `parts` has by kind, such
    as "cycle", which of several is meant.
    """
    if through in CORPUS_STAGES and through not in OVER_ALL:
        if sermons:
            raise click.ClickException(f"--sermon: {through} is not made for each sermon; leave --sermon out")
        code = run_sermons(home, settings, console) if _follows_sermons(through) else 0
        with open_instance(home) as instance:
            code = max(code, run_corpus(home, settings, instance, console, through=[through], parts=parts))
        MetadataStore(home).refresh_catalog()
        return code
    for kind in sorted(kind for kind, part in parts.items() if part is not None):
        raise click.ClickException(f"--{kind}: name with --through what is made for each {kind}, or leave --{kind} out")
    code = run_sermons(home, settings, console, through=through, sermons=sermons)
    if through is None and not sermons and corpus_is_wanted(home):
        with open_instance(home) as instance:
            code = max(code, run_corpus(home, settings, instance, console))
        MetadataStore(home).refresh_catalog()
    return code


def run_sermons(
    home: Path, settings: Settings, console: Console, *, through: str | None = None, sermons: tuple[str, ...] = ()
) -> int:
    """Bring sermons up to date; returns the exit code (1 when a run failed)."""
    known = registrations(home)
    _check(through, sermons, known)
    chosen = list(sermons) or list(known)
    plans = batch.stale_stages(home, settings, chosen, None if through in OVER_ALL else through)
    with open_instance(home) as instance:
        over_all = through in OVER_ALL or (through is None and _over_all_is_due(home, settings))
        if not plans and not over_all:
            console.print(f"Nothing to do: {len(chosen)} sermons are up to date.")
            return 0
        code = _run_plans(home, settings, instance, plans, console) if plans else 0
        if over_all or through is None:
            done = materialize_over_all(home, settings, instance)
            console.print("The split, the references, the funnel and the baseline are up to date.")
            print_outputs(home, [through] if through in CORPUS_STAGES else [], console)
            print_failed_checks(done, console)
    MetadataStore(home).refresh_catalog()
    return code


def _run_plans(
    home: Path, settings: Settings, instance: dg.DagsterInstance, plans: dict[str, list[str]], console: Console
) -> int:
    _refuse_settings_that_a_running_platform_does_not_have(home)
    result = _run_with_progress(home, settings, instance, plans, console)
    for sermon, reason in batch.rejections(home, result.sermons, list(SERMON_STAGES)).items():
        console.print(f"{sermon} is rejected: {reason}", style="yellow", markup=False)
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


def _follows_sermons(stage: str) -> bool:
    before = dg.AssetSelection.assets(stage).upstream().resolve(defs.resolve_asset_graph())
    return any(key.to_user_string() in SERMON_STAGES for key in before)


def _over_all_is_due(home: Path, settings: Settings) -> bool:
    done = home / "dagster" / _FINGERPRINT
    if not done.exists() or done.read_text(encoding="utf-8") != over_all_fingerprint(home, settings):
        return True
    return bool(corpus_plan(home, settings, [name for name in OVER_ALL if name in CORPUS_STAGES]))


def _check(through: str | None, sermons: tuple[str, ...], known: dict) -> None:
    choices = list(dict.fromkeys([*SERMON_STAGES, *OVER_ALL, *CORPUS_STAGES]))
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


def materialize_over_all(home: Path, settings: Settings, instance: dg.DagsterInstance) -> dg.ExecuteInProcessResult:
    """Materialise the assets that look at all sermons together, in this process: they take a moment."""
    fingerprint = over_all_fingerprint(home, settings)
    try:
        done = defs.resolve_job_def("after_sermons").execute_in_process(
            instance=instance,
            resources={"platform": Platform(home_folder=str(home))},
            run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
        )
    except dg.Failure as failure:
        raise click.ClickException(failure.description or str(failure)) from failure
    write_atomically(home / "dagster" / _FINGERPRINT, fingerprint.encode())
    return done
