"""`stt bundle`: the bundle that is due, where it has to lie, and what to do with it on the live machine."""

from pathlib import Path

from rich.console import Console

from stt_platform.cli.corpus import run_corpus
from stt_platform.defs.corpus import CORPUS_STAGES
from stt_platform.defs.delivery.bundle import place_everywhere
from stt_platform.delivery.bundle import SCRIPT
from stt_platform.instance import open_instance
from stt_platform.settings import Settings

_STAGE = "adapter_bundle"


def make_bundle(home: Path, settings: Settings, console: Console) -> int:
    """Make the bundle if adapters, reports or settings have changed, put it where it is missing; returns the exit code."""
    with open_instance(home) as instance:
        code = run_corpus(home, settings, instance, console, through=[_STAGE])
    output = CORPUS_STAGES[_STAGE].output(home, None)
    if code or output is None:
        return code or 1
    for placed in place_everywhere(home, output):
        console.print(f"{placed.folder} (named by {placed.latest.name})", markup=False)
    console.print(f"On the live machine: python3 {SCRIPT} in that folder.", markup=False)
    return 0
