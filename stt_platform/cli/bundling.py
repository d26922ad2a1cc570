"""`stt bundle`: the bundle that is due, where it has to lie, and what to do with it on the live machine."""

from pathlib import Path

from rich.console import Console

from stt_platform.cli.running import run_due
from stt_platform.defs.delivery.bundle import place_everywhere
from stt_platform.delivery.bundle import SCRIPT
from stt_platform.orchestration.stage import stages
from stt_platform.settings import Settings

_STAGE = "adapter_bundle"


def make_bundle(home: Path, settings: Settings, console: Console) -> int:
    """Make the bundle if adapters, reports or settings have changed, put it where it is missing; returns the exit code."""
    code = run_due(home, settings, console, through=[_STAGE], sermons_first=False)
    output = stages()[_STAGE].output(home)
    if code or output is None:
        return code or 1
    for placed in place_everywhere(home, output):
        console.print(f"{placed.folder} (named by {placed.latest.name})", markup=False)
    console.print(f"On the live machine: python3 {SCRIPT} in that folder.", markup=False)
    return 0
