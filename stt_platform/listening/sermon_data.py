"""What the listening page shows of the store, as values that JSON can carry."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stt_platform.audio import SAMPLE_RATE_HZ
from stt_platform.store.metadata import MetadataStore
from stt_platform.store.stages import current_stage

ORIGINAL_VIEW = "original"
_STAGE_WITH_SOUND = {ORIGINAL_VIEW: "standard_audio"}
"""Which stage holds `audio.wav` of a view."""

_WAITING_FOR = {
    "recording": "The recording has to be looked at: can it be read, and how long is it?",
    "standard_audio": "The sound has to be converted to the form that every later step reads.",
    "speech_chunks": "The speech has to be found and cut into chunks.",
    "training_chunks": "The chunks have to be measured and written as sound files.",
    "transcript": "The recogniser has to write down what is said.",
}
"""The stages in order, each with what a sermon waits for that has not been through it."""

_SHOWN_OF_TRANSCRIPT = ("system", "text", "avg_logprob", "no_speech_prob", "compression_ratio")


@dataclass(frozen=True)
class Sound:
    """The recording of one view: a 16 kHz WAV, the numbers for its overview picture, and a name for its content."""

    audio: Path
    overview: Path
    version: str


def sermon_exists(home: Path, sermon: str) -> bool:
    """Whether the store knows a sermon of this key."""
    return bool(_rows_of(MetadataStore(home), "registrations", sermon))


def sound_of(home: Path, sermon: str, view: str = ORIGINAL_VIEW) -> Sound | None:
    """The sound of a sermon's view, or None when there is none (yet)."""
    stage = _STAGE_WITH_SOUND.get(view)
    folder = current_stage(home, sermon, stage) if stage else None
    if folder is None or not (folder / "audio.wav").is_file():
        return None
    return Sound(audio=folder / "audio.wav", overview=folder / "overview.npz", version=folder.name)


def list_sermons(home: Path) -> list[dict[str, Any]]:
    """Every sermon with its verdict, newest first."""
    rows = MetadataStore(home).query(
        "select sermon, title, speaker, date, duration_s, split, status, reason from sermons order by date desc, sermon"
    )
    return [_finite(row) for row in rows.to_pylist()]


def sermon_details(home: Path, sermon: str, view: str = ORIGINAL_VIEW) -> dict[str, Any] | None:
    """All that the page of one sermon shows, with times in seconds; None for a sermon the store does not know.

    `chunks` are in order of time, each with the transcripts of `view` by system; `waits_for` says in plain words
    what has not been done yet.
    """
    store = MetadataStore(home)
    found = store.query(
        "select sermon, title, speaker, date, source, duration_s, split, status, reason from sermons where sermon = ?",
        [sermon],
    ).to_pylist()
    if not found:
        return None
    transcripts = _rows_of(store, "transcripts", sermon)
    by_chunk = _by_chunk(transcripts, view)
    sound = sound_of(home, sermon, view)
    return {
        **_finite(found[0]),
        "waits_for": _waits_for(store, sermon) if found[0]["status"] == "waiting" else None,
        "sample_rate_hz": SAMPLE_RATE_HZ,
        "view": view,
        "views": _views(transcripts, _rows_of(store, "training_chunks", sermon)),
        "systems": sorted({row["system"] for rows in by_chunk.values() for row in rows}),
        "sound": {"version": sound.version} if sound else None,
        "chunks": _chunks(store, sermon, by_chunk),
    }


def _views(*rows: list[dict[str, Any]]) -> list[str]:
    others = {row["view"] for table in rows for row in table} - {ORIGINAL_VIEW}
    return [ORIGINAL_VIEW, *sorted(others)]


def _rows_of(store: MetadataStore, table: str, sermon: str) -> list[dict[str, Any]]:
    """The rows of a table that has one part per sermon, without opening those of all the others."""
    try:
        return store.read(table, sermon).to_pylist()
    except FileNotFoundError:
        return []


def _waits_for(store: MetadataStore, sermon: str) -> dict[str, str]:
    rows = store.query("select stage from stage_results where sermon = ?", [sermon]).to_pylist()
    done = {row["stage"] for row in rows}
    stage = next((stage for stage in _WAITING_FOR if stage not in done), "transcript")
    return {"stage": stage, "text": _WAITING_FOR[stage]}


def _chunks(store: MetadataStore, sermon: str, transcripts: dict[str, list[dict[str, Any]]]) -> list[dict[str, Any]]:
    rows = store.query(
        "select chunk_id, start_sample, end_sample, silence_ratio, forced_cut, snr_db, loudness_lufs, "
        "true_peak_dbtp, speaker, status, reason from chunks where sermon = ? order by start_sample, chunk_id",
        [sermon],
    ).to_pylist()
    return [{**_in_seconds(_finite(row)), "transcripts": transcripts.get(row["chunk_id"], [])} for row in rows]


def _by_chunk(transcripts: list[dict[str, Any]], view: str) -> dict[str, list[dict[str, Any]]]:
    by_chunk: dict[str, list[dict[str, Any]]] = {}
    for row in sorted(transcripts, key=lambda row: row["system"]):
        if row["view"] == view:
            words = [_in_seconds(_finite(word)) for word in row["words"]]
            shown = {name: row[name] for name in _SHOWN_OF_TRANSCRIPT}
            by_chunk.setdefault(row["chunk_id"], []).append({**_finite(shown), "words": words})
    return by_chunk


def _in_seconds(row: dict[str, Any]) -> dict[str, Any]:
    start, end = row["start_sample"], row["end_sample"]
    return {**row, "start_s": start / SAMPLE_RATE_HZ, "end_s": end / SAMPLE_RATE_HZ}


def _finite(row: dict[str, Any]) -> dict[str, Any]:
    """JSON has no word for NaN and infinity (a silent chunk's loudness): they become null."""
    return {
        name: None if isinstance(value, float) and not math.isfinite(value) else value for name, value in row.items()
    }
