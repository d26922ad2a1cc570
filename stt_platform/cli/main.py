"""The commands of `stt`. Each is a few calls; what they print is for a volunteer."""

import logging
import os
import signal
import sys
import warnings
from importlib.metadata import entry_points
from pathlib import Path

import click
from rich.console import Console

from stt_platform.cli.channel import channel
from stt_platform.errors import PlatformError
from stt_platform.settings import home, load_settings
from stt_platform.store.metadata import MetadataStore

console = Console(highlight=False, soft_wrap=True)


class _Cli(click.Group):
    """A group that shows what users can mend as one line, not as a traceback."""

    def invoke(self, ctx: click.Context) -> object:
        from stt_platform.models.registry import ModelMissing
        from stt_platform.store.metadata import DamagedFragmentError

        try:
            return super().invoke(ctx)
        except (ModelMissing, DamagedFragmentError, PlatformError) as error:
            raise click.ClickException(str(error)) from error


def _keep_libraries_quiet() -> None:
    """What they say to programmers, and their own progress bars, would tear ours apart. Set by hand it stays."""
    for name, value in (("TRANSFORMERS_VERBOSITY", "error"), ("HF_HUB_DISABLE_PROGRESS_BARS", "1")):
        os.environ.setdefault(name, value)
    warnings.filterwarnings("ignore", category=FutureWarning, module="transformers")
    logging.getLogger("bitsandbytes").setLevel(logging.ERROR)


@click.group(cls=_Cli, context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """Turns a church's sermon recordings into speech and translation models."""
    _keep_libraries_quiet()
    # As after Ctrl-C, what was started is stopped in order when a terminal is closed.
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: sys.exit(1))


@main.command()
@click.argument("paths", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--title", help="Title of the sermon; else guessed from the file's tags and name.")
@click.option("--speaker", help="Who speaks; else guessed.")
@click.option("--date", help="YYYY-MM-DD; else guessed.")
def ingest(paths: tuple[Path, ...], title: str | None, speaker: str | None, date: str | None) -> None:
    """Take in recordings: files, or folders of them.

    A text of the same name beside one becomes its reference; a .vtt or .srt file its captions.
    """
    from stt_platform.orchestration.instance import open_instance
    from stt_platform.orchestration.scopes import SERMON
    from stt_platform.store.intake import ingest as take_in

    store = MetadataStore(home())
    colours = {"new": "green", "new version": "yellow", "refused": "red"}
    refused = 0
    with open_instance(store.home) as instance:
        for entry in take_in(store, paths, title=title, speaker=speaker, date=date):
            refused += entry.outcome == "refused"
            console.print(f"{entry.path}: {entry.message}", style=colours.get(entry.outcome), markup=False)
            if entry.sermon:
                instance.add_dynamic_partitions(SERMON.name, [entry.sermon])
    store.refresh_catalog()
    console.print("Next: `stt run` (or nothing at all, while `make ui` is running).")
    sys.exit(1 if refused else 0)


@main.command()
@click.option("--through", metavar="ASSET", help="Stop after this stage (default: all of them).")
@click.option("--sermon", "sermons", multiple=True, metavar="KEY", help="Only this sermon; may be given again.")
@click.option("--cycle", type=click.IntRange(min=0), help="Of what is made for each cycle (default: the newest).")
@click.option("--translator", type=click.Choice(["A", "B"]), help="Of what is made for each translator (default: A).")
def run(through: str | None, sermons: tuple[str, ...], cycle: int | None, translator: str | None) -> None:
    """Run what is out of date: every stage that is missing, or whose input or settings changed.

    That is all stages of all sermons, and the scripture corpus once there are texts in STT_HOME/scripture/texts.
    """
    from stt_platform.cli.running import run_due

    parts = {"cycle": cycle, "translator": translator}
    targets = [through] if through else []
    sys.exit(run_due(home(), load_settings(), console, through=targets, sermons=sermons, parts=parts))


@main.command()
@click.option("--cycle", type=click.IntRange(min=0), help="Which round of the loop (default: the newest).")
def learn(cycle: int | None) -> None:
    """Train on the corrections so far, measure, decide whether the result serves, and report."""
    from stt_platform.cli.running import learn_from_corrections

    sys.exit(learn_from_corrections(home(), console, cycle=cycle))


@main.command()
def bundle() -> None:
    """Make what the live machine needs: the adapters, proven, in STT_HOME/bundles and on a share if one is set."""
    from stt_platform.cli.bundling import make_bundle

    sys.exit(make_bundle(home(), load_settings(), console))


@main.command()
@click.argument("sql")
@click.option("--format", "output", type=click.Choice(["table", "json", "csv"]), default="table", show_default=True)
def query(sql: str, output: str) -> None:
    """Ask the store, also while things run: `stt query "select sermon, status from sermons"`."""
    import duckdb

    from stt_platform.cli.output import print_table

    try:
        print_table(MetadataStore(home()).query(sql), output, console)
    except (duckdb.Error, ValueError) as error:
        raise click.ClickException(str(error)) from error


@main.command()
@click.argument("keys", nargs=-1, required=True)
@click.option("--yes", is_flag=True, help="Do not ask.")
def remove(keys: tuple[str, ...], yes: bool) -> None:
    """Remove sermons with everything made from them: recording, chunks, transcript, rows, runs."""
    from stt_platform.cli.removing import remove_sermons

    if not yes:
        click.confirm(f"Remove {', '.join(keys)} and everything made from them?", abort=True)
    try:
        remove_sermons(home(), keys, console)
    except KeyError as error:
        raise click.ClickException(error.args[0]) from error


@main.command()
def backup() -> None:
    """Copy what nobody could make again, and the Dagster instance, to STT_HOME/backups; every night by itself."""
    from stt_platform.cli.backing_up import back_up

    back_up(home(), console)


@main.command()
@click.option("--from", "chosen", metavar="DATE", help="Which backup (default: the newest).")
def restore(chosen: str | None) -> None:
    """Put back what is damaged or missing: the Dagster instance, tables, what you wrote. What is whole stays."""
    from stt_platform.cli.backing_up import restore_home

    restore_home(home(), console, backup=chosen)


@main.command()
def doctor() -> None:
    """Look for what is wrong on this machine, and say the command that mends it."""
    from stt_platform.cli.doctor import check_machine

    sys.exit(check_machine(home(), console))


@main.command()
def ui() -> None:
    """Serve the Dagster web UI and the listening page on this machine, and run what is due, until Ctrl-C."""
    from stt_platform.cli.serving import serve_all

    sys.exit(serve_all(home(), load_settings(), console))


@main.command("label-studio")
def label_studio() -> None:
    """Serve Label Studio on this machine, where people correct what was heard, until Ctrl-C."""
    from stt_platform.cli.label_studio_server import serve_label_studio

    serve_label_studio(home(), load_settings().label_studio, console)


main.add_command(channel)
# The demo is one: it uses the platform, which knows nothing of it.
for plugin in sorted(entry_points(group="stt_platform.commands"), key=lambda found: found.name):
    main.add_command(plugin.load())
