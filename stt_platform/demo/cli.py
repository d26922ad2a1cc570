"""The command `stt demo`, which pyproject.toml names as an entry point of the group `stt_platform.commands`."""

import sys

import click
from rich.console import Console

from stt_platform.settings import home


@click.command()
@click.option("--sermons", type=click.IntRange(1, 24), default=24, show_default=True, help="How many sermons.")
@click.option("--translator", is_flag=True, help="Train the translator on scripture too; some ten minutes more.")
def demo(sermons: int, translator: bool) -> None:
    """Make a small church, take its recordings in, and run everything on them: one round of the loop too."""
    from stt_platform.demo.command import run_demo

    console = Console(highlight=False, soft_wrap=True)
    sys.exit(run_demo(home(), console, sermons=sermons, translator=translator))
