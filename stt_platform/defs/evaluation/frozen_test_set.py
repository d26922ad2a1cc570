"""The church test of this home: drawn from the sermons that examine, frozen at its first use, and watched since."""

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from stt_platform.audio import SAMPLE_RATE_HZ
from stt_platform.defs.sermons.assets.chunks import accepted_chunks
from stt_platform.errors import PlatformError
from stt_platform.evaluation.church_test import (
    ChurchTest,
    Kind,
    QuietStretch,
    Today,
    TranscribedText,
    disturbances,
    draw_church_test,
)
from stt_platform.machine.files import one_at_a_time, write_atomically
from stt_platform.settings import Settings
from stt_platform.store.adapters import Adapter
from stt_platform.store.choices import training_view
from stt_platform.store.intake import registrations
from stt_platform.store.metadata import MetadataStore
from stt_platform.store.splits import freeze_sermons, frozen_splits, pinned_splits

QUIET_LABELS = ("music", "noise", "silence")
_MOST_QUIET = 30
_SHORTEST_QUIET_S, _LONGEST_QUIET_S = 2.0, 30.0

Spans = Iterable[tuple[int, int]]
"""In samples of the recording at 16 kHz."""

_CHUNKS = """
select written.sermon, written.chunk_id, written.text, sermons.speaker, chunks.snr_db, chunks.start_sample, chunks.end_sample
from "references" as written
join sermons on sermons.sermon = written.sermon and sermons.split = 'test' and sermons.status <> 'rejected'
join chunks on chunks.chunk_id = written.chunk_id
where written.status = 'accepted'
qualify row_number() over (partition by written.chunk_id order by written.source, written.text) = 1
"""
_SERMONS = """
select written.sermon, written.text, sermons.speaker, measures.snr_db
from "references" as written
join sermons on sermons.sermon = written.sermon and sermons.split = 'test' and sermons.status <> 'rejected'
left join sound_measures as measures on measures.sermon = written.sermon
where written.status = 'accepted' and written.chunk_id is null and written.sermon not in (
    select sermon from "references" where status = 'accepted' and chunk_id is not null
)
qualify row_number() over (partition by written.sermon order by written.source, written.text) = 1
"""
_QUIET = """
select segments.sermon, segments.start_sample, segments.end_sample, segments.label
from segments join splits on splits.sermon = segments.sermon and splits.split = 'test'
where list_contains($labels, segments.label) and segments.end_sample - segments.start_sample >= $least
order by segments.sermon, segments.start_sample
"""
# Whatever the status: a chunk that was cut anew since has the same text as before.
_TEXTS = """
select coalesce(chunk_id, sermon) as row_id, text from "references"
qualify row_number() over (partition by coalesce(chunk_id, sermon) order by status, source, text) = 1
"""
_LEARNED = """
select examples."set", coalesce(chunks.sermon, split_part(examples.example_id, '.', 1)) as sermon
from training_examples as examples left join speech_chunks as chunks on chunks.chunk_id = examples.example_id
where examples."set" like 'speech%' group by all order by all
"""


def church_test_file(home: Path) -> Path:
    """Return where the test is kept once it is frozen."""
    return home / "splits" / "church_test.json"


def frozen_church_test(home: Path) -> ChurchTest | None:
    """Read the test as it was frozen, or None. Raises `PlatformError` naming the file where it cannot be used."""
    path = church_test_file(home)
    try:
        return ChurchTest.from_json(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise PlatformError(
            f"{path} cannot be used: {error}. Restore it from a backup, or delete it: then a new test is drawn, and scores "
            "of before say nothing about it"
        ) from error


def church_test(store: MetadataStore, settings: Settings) -> ChurchTest | None:
    """Read the frozen test, or draw the one that would be frozen today. None where no sermon that examines has a reference."""
    return frozen_church_test(store.home) or _drawn(store, settings)


def freeze_church_test(store: MetadataStore, settings: Settings, log: Callable[[str], None]) -> None:
    """Freeze the test if it is not yet, and with it the split of the sermons. Where nothing can be drawn, nothing is.

    Raises `PlatformError` where a sermon that a model may have learned from would examine.
    """
    path = church_test_file(store.home)
    with one_at_a_time(path.with_name(".church_test.lock")):
        if frozen_church_test(store.home) is not None:
            return
        test = _drawn(store, settings)
        if test is None:
            return
        freeze_sermons(store.home, _splits(store))
        write_atomically(path, test.to_json().encode())
        log(f"the church test is frozen: {len(test.rows)} rows of {len(test.sermons)} sermons, in {path}")


def church_test_problems(store: MetadataStore, test: ChurchTest, adapter: Adapter | None) -> list[str]:
    """List what makes the test invalid today, a sentence each; empty where nobody has touched it."""
    splits = _splits(store)
    learned: dict[str, set[str]] = {}
    for row in store.query(_LEARNED).to_pylist():
        learned.setdefault(f"the training set {row['set']}", set()).add(row["sermon"])
    if adapter is not None:
        learned[f"the adapter {adapter.adapter_id[:12]}"] = set(adapter.manifest.get("sermons", ()))
    return disturbances(
        test,
        Today(
            splits=splits,
            recordings={sermon: entry.sha256 for sermon, entry in registrations(store.home).items()},
            references={row["row_id"]: row["text"] for row in store.query(_TEXTS).to_pylist()},
            pins=pinned_splits(store.home),
            frozen=frozen_splits(store.home),
            learned=learned,
        ),
    )


def _splits(store: MetadataStore) -> dict[str, str]:
    return {row["sermon"]: row["split"] for row in store.query("select sermon, split from splits").to_pylist()}


def sermons_without_reference(store: MetadataStore) -> list[str]:
    """List the sermons of the test split that nobody has transcribed anything of."""
    rows = store.query(
        "select sermon from sermons where split = 'test' and status <> 'rejected' and sermon not in "
        "(select sermon from \"references\" where status = 'accepted') order by sermon"
    )
    return [row["sermon"] for row in rows.to_pylist()]


def sermons_transcribed_since(store: MetadataStore, settings: Settings, test: ChurchTest) -> list[str]:
    """List the sermons of the test split that would be in the test if it were drawn today."""
    today = _drawn(store, settings)
    return sorted(set(today.sermons) - set(test.sermons)) if today else []


def _drawn(store: MetadataStore, settings: Settings) -> ChurchTest | None:
    recordings = {sermon: entry.sha256 for sermon, entry in registrations(store.home).items()}
    texts = [text for text in [*_chunks(store), *_whole_sermons(store, settings)] if text.sermon in recordings]
    return draw_church_test(
        texts,
        _quiet(store),
        recordings,
        chunks=settings.evaluation.church_segments,
        stretches=_MOST_QUIET,
        seed=settings.split.seed,
    )


def _text(row: Mapping[str, Any], row_id: str, kind: Kind, spans: Spans) -> TranscribedText:
    said = {name: row[name] for name in ("sermon", "text", "speaker", "snr_db")}
    return TranscribedText(row_id=row_id, kind=kind, spans=tuple(spans), **said)


def _chunks(store: MetadataStore) -> list[TranscribedText]:
    return [
        _text(row, row["chunk_id"], "chunk", [(row["start_sample"], row["end_sample"])])
        for row in store.query(_CHUNKS).to_pylist()
    ]


def _whole_sermons(store: MetadataStore, settings: Settings) -> list[TranscribedText]:
    view = training_view(store.home, settings.training_view).view
    found = []
    for row in store.query(_SERMONS).to_pylist():
        # Not those of which a recogniser made nothing: they are its errors.
        speech, training = (
            store.read(name, row["sermon"]).to_pylist() for name in ("speech_chunks", "training_chunks")
        )
        chunks = accepted_chunks(speech, training, view)
        spans = sorted((chunk["start_sample"], chunk["end_sample"]) for chunk in chunks)
        found.append(_text(row, row["sermon"], "sermon", spans))
    return found


def _quiet(store: MetadataStore) -> list[QuietStretch]:
    least, most = (round(seconds * SAMPLE_RATE_HZ) for seconds in (_SHORTEST_QUIET_S, _LONGEST_QUIET_S))
    rows = store.query(_QUIET, {"labels": list(QUIET_LABELS), "least": least}).to_pylist()
    return [
        QuietStretch(
            row["sermon"],
            row["start_sample"],
            min(row["end_sample"], row["start_sample"] + most),
            row["label"],
        )
        for row in rows
    ]
