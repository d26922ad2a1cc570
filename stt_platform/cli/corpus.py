"""`stt run` for what is made once: scripture, glossary, training sets."""

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import click
import dagster as dg
from rich.console import Console

from stt_platform.definitions import defs
from stt_platform.defs.corpus import corpus_plan
from stt_platform.defs.scripture.folders import own_folder
from stt_platform.defs.work import progress_file
from stt_platform.settings import Settings
from stt_platform.store.stages import CORPUS, current_output

_LOOK_EVERY_S = 0.3


def corpus_is_wanted(home: Path) -> bool:
    """Whether somebody put Bible texts there, or had them fetched."""
    return any(path.name[0] != "." for path in own_folder(home).glob("*"))


def run_corpus(
    home: Path, settings: Settings, instance: dg.DagsterInstance, console: Console, *, through: Sequence[str] = ()
) -> int:
    """Bring the corpus up to date in this process, as one run; returns the exit code."""
    stages = corpus_plan(home, settings, through)
    if not stages:
        console.print(f"Nothing to do: {', '.join(through) or 'the scripture corpus'} is up to date.")
        return 0
    with _shown(home, stages, console):
        done = _run(instance, stages)
    for name in stages:
        output = current_output(home, CORPUS, name)
        if output is None:
            console.print(f"{name}: not made; the page of the asset in the UI says why", style="yellow")
        else:
            facts = ", ".join(f"{key} {value}" for key, value in output.facts.items())
            console.print(f"{name}: {facts or 'done'}", markup=False)
    for check in done.get_asset_check_evaluations():
        if not check.passed:
            words = "; ".join(f"{key}: {value.value}" for key, value in check.metadata.items())
            console.print(
                f"{check.asset_key.to_user_string()}, {check.check_name}: {words}", style="yellow", markup=False
            )
    return 0 if done.success else 1


def _run(instance: dg.DagsterInstance, stages: Sequence[str]) -> dg.ExecuteInProcessResult:
    try:
        return defs.resolve_job_def("corpus").execute_in_process(
            instance=instance,
            run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
            asset_selection=[dg.AssetKey(stage) for stage in stages],
        )
    except dg.Failure as failure:
        raise click.ClickException(failure.description or str(failure)) from failure


@contextmanager
def _shown(home: Path, stages: Sequence[str], console: Console) -> Iterator[None]:
    """What is being worked on, as the stages write it down."""
    over = threading.Event()
    with console.status("starting") as status:

        def watch() -> None:
            while not over.wait(_LOOK_EVERY_S):
                for number, name in enumerate(stages, start=1):
                    with suppress(FileNotFoundError):
                        now = progress_file(home, CORPUS, name).read_text(encoding="utf-8")
                        status.update(f"{number} of {len(stages)}: {name}: {now}")

        watcher = threading.Thread(target=watch, daemon=True)
        watcher.start()
        try:
            yield
        finally:
            over.set()
            watcher.join()
