"""Demonstrate one round of the loop, as a part of `stt demo`: ask, correct, train, evaluate, decide and deliver."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.table import Table

from stt_platform.cli.bundling import make_bundle
from stt_platform.cli.running import learn_from_corrections, run_due
from stt_platform.demo.reviewer import REVIEWER, review
from stt_platform.settings import load_settings
from stt_platform.store.choices import speech_champion
from stt_platform.store.metadata import MetadataStore

_CYCLE = 0
_SCORES = """
select case when adapter_id is null then 'base model' else 'with the adapter of this cycle' end as recogniser, "set",
    value, ci_low, ci_high, n
from evaluations where evaluation_id like 'speech-cycle-0-%' and slice = 'all' and metric = 'wer' and value is not null
order by "set", adapter_id nulls first
"""
_DECISION = "select decision, reason from decisions where cycle = $cycle"


# The church has a few dozen chunks: a tenth of them, as in a real one, would be too few to train on.
_ASKED = {"STT_FEEDBACK__SHARE": "0.85", "STT_FEEDBACK__QUOTA": "0.25"}


@contextmanager
def _asking_about_most() -> Iterator[None]:
    mine = {name: value for name, value in _ASKED.items() if name not in os.environ}
    os.environ.update(mine)
    try:
        yield
    finally:
        for name in mine:
            del os.environ[name]


def demo_loop(home: Path, console: Console) -> int:
    """Run one round of the loop on the demo church; returns the exit code."""
    started = time.monotonic()
    console.print("The loop: what the recogniser is least sure of is corrected, and it is trained on that.")
    with _asking_about_most():
        parts = {"cycle": _CYCLE}
        code = run_due(home, load_settings(home), console, through=["review_tasks"], parts=parts, sermons_first=False)
    store = MetadataStore(home)
    corrected = review(store, _CYCLE)
    console.print(f"{corrected} segments were corrected, by the {REVIEWER}.")
    code = max(code, learn_from_corrections(home, console, cycle=_CYCLE))
    _print_scores(store, console)
    for row in store.query(_DECISION, {"cycle": _CYCLE}).to_pylist():
        console.print(f"The adapter is {row['decision']}: {row['reason']}.", markup=False)
    if speech_champion(home).adapter_id is not None:
        code = max(code, make_bundle(home, load_settings(home), console))
    console.print(
        f"The round took {time.monotonic() - started:.0f} s; its page: http://127.0.0.1:3001/evaluation/cycle-0"
    )
    return code


def _print_scores(store: MetadataStore, console: Console) -> None:
    names = {"church_test": "frozen church test", "general_speech": "general talk"}
    table = Table("recogniser", "measured on", "WER", "95 % interval", "sermons or speakers", title="What it bought")
    for row in store.query(_SCORES).to_pylist():
        interval = "–" if row["ci_low"] is None else f"{row['ci_low']:.1%} to {row['ci_high']:.1%}"
        table.add_row(
            row["recogniser"], names.get(row["set"], row["set"]), f"{row['value']:.1%}", interval, str(row["n"])
        )
    console.print(table)
