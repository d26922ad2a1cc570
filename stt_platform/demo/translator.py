"""The part of `stt demo --translator`: some minutes of training on scripture, and base against adapter."""

import json
import time
from pathlib import Path
from textwrap import shorten

from rich.console import Console
from rich.table import Table

from stt_platform.cli.running import run_due
from stt_platform.defs.adapters.report import EXAMPLES
from stt_platform.orchestration.stage import stages
from stt_platform.settings import Settings
from stt_platform.store.adapters import made_by

_STAGE, _APPROACH = "translategemma_adapter", "A"
_SHOWN_CHARACTERS = 180
_NAMES = {"loss": "loss (nats a token; less is better)", "chrf": "chrF++ (more is better)"}


def demo_translator(home: Path, settings: Settings, console: Console) -> int:
    """Train translator A, and print what it says of verses that it has not seen, before and after; returns the exit code."""
    started = time.monotonic()
    console.print("The translator: it reads verses for some minutes; those that are shown below are kept from it.")
    code = run_due(home, settings, console, through=[_STAGE], parts={"translator": _APPROACH})
    output, adapter = stages()[_STAGE].output(home, _APPROACH), made_by(home, _STAGE, _APPROACH)
    if output is None or adapter is None:
        return code or 1
    evaluations = adapter.manifest["curves"]["evaluations"]
    first, last = evaluations[0]["measures"], evaluations[-1]["measures"]
    table = Table("verses kept from it", "base", "with the adapter", title="What some minutes of scripture do")
    for name in sorted(first):
        table.add_row(_NAMES.get(name, name), f"{first[name]:.2f}", f"{last[name]:.2f}")
    console.print(table)
    rows = json.loads((output.shown_folder / EXAMPLES).read_text(encoding="utf-8"))[:4]
    shown = Table(*rows[0], title="Before and after", show_lines=True)
    for row in rows:
        # A base model that was not taught the prompt says it all again.
        shown.add_row(*(shorten(text, _SHOWN_CHARACTERS, placeholder=" …") for text in row.values()))
    console.print(shown)
    console.print(
        f"The translator took {time.monotonic() - started:.0f} s. `stt run --through translation_evaluation` measures it."
    )
    return code
