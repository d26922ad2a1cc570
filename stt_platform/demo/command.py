"""`stt demo`: a small church, made here, taken in, run through every stage, and through one round of the loop."""

import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from stt_platform.audio import SAMPLE_RATE_HZ
from stt_platform.cli.running import run_due
from stt_platform.demo.church import DemoSermon, make_church, titles_that_examine
from stt_platform.demo.general_talk import make_talk
from stt_platform.demo.loop import demo_loop
from stt_platform.demo.scripture import demo_scripture
from stt_platform.demo.translator import demo_translator
from stt_platform.evaluation.wer import normalise_english, word_errors
from stt_platform.machine.files import write_atomically
from stt_platform.orchestration.instance import open_instance
from stt_platform.orchestration.scopes import SERMON
from stt_platform.orchestration.stage import stages_after_sermons
from stt_platform.settings import load_settings
from stt_platform.store.funnel import read_funnel
from stt_platform.store.intake import ingest
from stt_platform.store.metadata import MetadataStore

_TEXTS = """
select r.sermon, any_value(s.speaker) as speaker, any_value(r.text) as reference,
    string_agg(t.text, ' ' order by c.start_sample) as hypothesis
from "references" r join sermons s using (sermon)
join transcripts t on t.sermon = r.sermon join chunks c on c.chunk_id = t.chunk_id
where r.status = 'accepted' and r.chunk_id is null
group by r.sermon order by r.sermon
"""


def run_demo(home: Path, console: Console, *, sermons: int = 24, translator: bool = False) -> int:
    """Make the church below `home/demo`, ingest it, run it, and say what came of it."""
    started = time.monotonic()
    store = MetadataStore(home)
    recordings = home / "demo"
    console.print(f"A small church: {sermons} sermons, a conversation, one silent recording and one broken file.")
    with Progress(console=console) as bars:
        task = bars.add_task("reading the sermons aloud", total=None)
        made = make_church(
            recordings,
            sermons=sermons,
            progress=lambda done, total, name: bars.update(task, completed=done, total=total, description=name[:50]),
        )
    with open_instance(home) as instance:
        taken = list(ingest(store, [recordings]))
        instance.add_dynamic_partitions(SERMON.name, sorted({e.sermon for e in taken if e.sermon}))
    examining = _pin_what_examines(home, made, {Path(entry.path): entry.sermon for entry in taken if entry.sermon})
    new = sum(entry.outcome == "new" for entry in taken)
    console.print(f"{len(made)} recordings, {new} of them new.")
    code = run_due(home, load_settings(home), console, through=stages_after_sermons())
    _print_funnel(store, console)
    _print_word_errors(store, console)
    if examining == len(titles_that_examine()):
        _add_general_talk(home, console)
        code = max(code, demo_loop(home, console))
    else:
        console.print(
            f"The loop needs the whole church: it compares recognisers on {len(titles_that_examine())} sermons."
        )
    code = max(code, demo_scripture(home, load_settings(home), console))
    if translator:
        code = max(code, demo_translator(home, load_settings(home), console))
    console.print(f"Everything is in {home}; the recordings that were made are in {recordings}.", markup=False)
    console.print("Open it: `make ui`, then http://127.0.0.1:3000 (Dagster) and http://127.0.0.1:3001 (listen, read).")
    console.print('Ask it:  .venv/bin/stt query "select sermon, status, reason from sermons"')
    console.print(
        f"The demo took {time.monotonic() - started:.0f} s and ended {'well' if code == 0 else 'with failures'}."
    )
    return code


def _pin_what_examines(home: Path, made: Sequence[DemoSermon], sermons: Mapping[Path, str]) -> int:
    """Pin the sermons that the demonstration keeps for examining; returns how many of them are there.

    Pins that somebody wrote by hand stay as they are.
    """
    examining = [
        sermons[sermon.path] for sermon in made if sermon.title in titles_that_examine() and sermon.path in sermons
    ]
    path = home / "splits" / "pinned.csv"
    if not path.exists():
        lines = ["sermon,split", *(f"{sermon},test" for sermon in sorted(examining))]
        write_atomically(path, ("\n".join(lines) + "\n").encode())
    return len(examining)


def _add_general_talk(home: Path, console: Console) -> None:
    """Everyday talk: some is taught again, so that the recogniser forgets nothing, and some shows whether it did."""
    with console.status("recording everyday talk"):
        for part, folder in (("teaches", "replay"), ("examines", "general")):
            make_talk(part, home / folder)


def _print_funnel(store: MetadataStore, console: Console) -> None:
    table = Table("step", "minutes in", "minutes left", "what took the rest", title="What came in, and what was left")
    for step in read_funnel(store):
        losses = "; ".join(f"{reason} {_minutes(samples)}" for reason, samples in step.losses)
        table.add_row(step.name, _minutes(step.samples_in), _minutes(step.samples_left), losses)
    console.print(table)
    for row in store.query("select sermon, reason from sermons where status = 'rejected' order by sermon").to_pylist():
        console.print(f"rejected: {row['sermon']}: {row['reason']}", markup=False)


def _minutes(samples: int) -> str:
    return f"{samples / SAMPLE_RATE_HZ / 60:.1f}"


def _print_word_errors(store: MetadataStore, console: Console) -> None:
    rows = store.query(_TEXTS).to_pylist()
    if not rows:
        return
    table = Table(
        "preacher", "sermons", "words", "WER", "WER, normalised", title="Word errors against the known script"
    )
    by_speaker: dict[str, list[tuple[str, str]]] = {}
    for row in rows:
        by_speaker.setdefault(row["speaker"] or "–", []).append((row["reference"], row["hypothesis"]))
    for speaker, pairs in [*sorted(by_speaker.items()), ("all", [(r["reference"], r["hypothesis"]) for r in rows])]:
        raw, normalised = word_errors(pairs), word_errors(pairs, normalise=normalise_english)
        table.add_row(speaker, str(len(pairs)), str(raw.reference_words), f"{raw.wer:.1%}", f"{normalised.wer:.1%}")
    console.print(table)
