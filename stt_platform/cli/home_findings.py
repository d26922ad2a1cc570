"""What `stt doctor` looks for in `STT_HOME`: what is damaged, what is missing, and what was never copied."""

import json
from collections.abc import Iterator
from datetime import date
from pathlib import Path

from stt_platform.defs.recognisers import transcriber
from stt_platform.errors import PlatformError
from stt_platform.machine.gpu_facts import Finding
from stt_platform.models.registry import ModelMissing
from stt_platform.settings import Settings
from stt_platform.store.backups import damaged_databases, list_backups
from stt_platform.store.intake import registrations
from stt_platform.store.mending import damaged_fragments
from stt_platform.store.metadata import MetadataStore
from stt_platform.training.adapter_files import AdapterRefused, check_adapter

_OLD_BACKUP_DAYS = 3
_UNREADABLE = "select distinct reason from corrections where gate = 'unreadable' order by 1"
_RESTORE = "stop the platform, then run `stt restore`"
_BRING_BACK = "`stt restore` brings it back from a backup; train nothing before that"
_FROZEN = {
    "frozen.json": ("whisper_adapter-*.json",),
    "frozen_segments.json": ("translategemma_adapter-*.json", "marian_model*.json"),
}
"""The files that say on which side everything was, and what has been trained since they are needed."""


def home_findings(home: Path, settings: Settings, *, today: date | None = None) -> Iterator[Finding]:
    """Nothing of a home that has no sermon yet. Reads every table once, so the tables come last."""
    if not registrations(home):
        return
    yield _databases(home)
    yield _champion(home, settings)
    yield from _pins(home)
    yield _backups(home, today or date.today())
    damaged = damaged_fragments(MetadataStore(home))
    if damaged:
        yield Finding("wrong", f"{len(damaged)} pieces of tables cannot be read, such as {damaged[0]}", _RESTORE)
        return
    yield Finding("fine", "all tables can be read")
    yield from _corrections(home)


def _databases(home: Path) -> Finding:
    damaged = damaged_databases(home)
    if not damaged:
        return Finding("fine", "the databases of Dagster can be read")
    name, fault = min(damaged.items())
    return Finding("wrong", f"{name} is damaged: {fault}", _RESTORE)


def _champion(home: Path, settings: Settings) -> Finding:
    try:
        chosen = transcriber(home, settings)
        if chosen.adapter is not None:
            check_adapter(chosen.adapter.folder)
    except ModelMissing as error:
        return Finding("wrong", str(error))
    except (PlatformError, AdapterRefused) as error:
        remedy = f"or delete {home / 'choices' / 'speech_champion.json'}, and the base model transcribes"
        return Finding("wrong", f"the recogniser that was promoted cannot be used: {error}", remedy)
    return Finding("fine", f"new sermons are transcribed by {chosen.identity}: {chosen.why}")


def _pins(home: Path) -> Iterator[Finding]:
    """Once something was trained, what has taught must never examine: the files say on which side everything was."""
    for name, trained in _FROZEN.items():
        path = home / "splits" / name
        if not any(any((home / "adapters" / "made").glob(made)) for made in trained):
            continue
        try:
            json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            yield Finding("wrong", f"{path} is gone, which says what a model has learned from", _BRING_BACK)
        except ValueError as error:
            yield Finding("wrong", f"{path} cannot be read: {error}", f"delete it; then {_BRING_BACK}")
        else:
            yield Finding("fine", f"{name} is there: what has taught does not examine")


def _backups(home: Path, today: date) -> Finding:
    known = list_backups(home)
    if not known:
        return Finding("look at", "there is no backup yet", "`make ui` makes one every night, and `stt backup` now")
    newest = known[-1].name[:10]
    if (today - date.fromisoformat(newest)).days > _OLD_BACKUP_DAYS:
        return Finding("look at", f"the newest backup is of {newest}", "`stt backup` makes one now")
    return Finding("fine", f"the newest backup is of {newest}")


def _corrections(home: Path) -> Iterator[Finding]:
    for row in MetadataStore(home).query(_UNREADABLE).to_pylist():
        yield Finding("look at", f"corrections: {row['reason']}", f"mend or remove the file in {home / 'corrections'}")
