"""What the listening page shows of the store, as values that JSON can carry."""

import math
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any

from stt_platform.audio import SAMPLE_RATE_HZ
from stt_platform.audio.funnel import HELD_BACK
from stt_platform.errors import SettingsError
from stt_platform.settings import AgreementSettings, GateSettings, load_settings
from stt_platform.speech.captions import Caption, caption_text
from stt_platform.store.choices import VIEWS
from stt_platform.store.funnel import read_funnel
from stt_platform.store.metadata import MetadataStore
from stt_platform.store.stages import current_stage

ORIGINAL_VIEW = "original"

_CAPTIONS = "captions"

_SHOWN_OF_TRANSCRIPT = ("system", "view", "text", "avg_logprob", "no_speech_prob", "compression_ratio")
_SHOWN_OF_ENHANCEMENT = ("loudness_before_lufs", "gain_db", "loudness_lufs", "true_peak_dbtp", "loudness_shortfall_db")
_CHUNKS = """
    SELECT chunks.chunk_id, chunks.start_sample, chunks.end_sample, chunks.silence_ratio, chunks.forced_cut,
           chunks.status, chunks.reason, chunks.speaker, chunks.snr_db, chunks.loudness_lufs, chunks.true_peak_dbtp,
           training.wada_snr_db, training.vad_snr_db, training.clipped_ratio, training.bandwidth_hz,
           training.speaker_share, consensus.status AS text_status, consensus.mean_cer,
           consensus.reason AS text_reason
    FROM chunks
    LEFT JOIN training_chunks AS training
        ON training.sermon = chunks.sermon AND training.chunk_id = chunks.chunk_id AND training.view = 'original'
    LEFT JOIN consensus ON consensus.sermon = chunks.sermon AND consensus.chunk_id = chunks.chunk_id
    WHERE chunks.sermon = ? ORDER BY chunks.start_sample, chunks.chunk_id
"""


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
    stage = VIEWS.get(view)
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


def funnel_of(home: Path, sermon: str | None = None) -> list[dict[str, Any]]:
    """What was left after every gate, in seconds, of one sermon or of all; empty where nothing came in yet."""
    steps = read_funnel(MetadataStore(home), sermon)
    if not steps[0].samples_in:
        return []
    return [
        {
            "name": step.name,
            "seconds_in": step.samples_in / SAMPLE_RATE_HZ,
            "seconds_left": step.samples_left / SAMPLE_RATE_HZ,
            "losses": [
                {"reason": reason, "seconds": samples / SAMPLE_RATE_HZ, "held_back": reason in HELD_BACK}
                for reason, samples in step.losses
            ],
        }
        for step in steps
    ]


def sermon_details(home: Path, sermon: str) -> dict[str, Any] | None:
    """All that the page of one sermon shows, with times in seconds; None for a sermon the store does not know.

    `views` are those that have sound. `chunks` are in order of time, each with what every system heard in it, in
    whatever view it heard it: all views have the same time line. `waits_for` says in plain words what has not been
    done yet, `limits` what the gates ask for.
    """
    store = MetadataStore(home)
    found = store.query(
        "select sermon, title, speaker, date, source, duration_s, split, status, reason from sermons where sermon = ?",
        [sermon],
    ).to_pylist()
    if not found:
        return None
    chunks = [_in_seconds(_finite(row)) for row in store.query(_CHUNKS, [sermon]).to_pylist()]
    transcripts = _transcripts(_rows_of(store, "transcripts", sermon))
    heard_by_others = _heard_by_others(store, sermon, chunks)
    for chunk in chunks:
        chunk["transcripts"] = transcripts.get(chunk["chunk_id"], [])
        chunk["heard_by_others"] = heard_by_others[chunk["chunk_id"]]
    systems = {(row["system"], row["view"]) for rows in transcripts.values() for row in rows}
    return {
        **_finite(found[0]),
        "waits_for": _waits_for(store, sermon) if found[0]["status"] == "waiting" else None,
        "sample_rate_hz": SAMPLE_RATE_HZ,
        "views": _views_with_sound(home, sermon),
        "systems": [{"system": system, "view": view} for system, view in sorted(systems)],
        "chunks": chunks,
        "segments": [_shown(row, "label") for row in _rows_of(store, "segments", sermon)],
        "turns": [_shown(row, "speaker") for row in _rows_of(store, "speaker_turns", sermon)],
        "enhancement": _enhancement(_rows_of(store, "enhancements", sermon)),
        "limits": _limits(home),
    }


def _views_with_sound(home: Path, sermon: str) -> list[dict[str, str]]:
    sounds = {view: sound_of(home, sermon, view) for view in VIEWS}
    return [{"view": view, "version": sound.version} for view, sound in sounds.items() if sound]


def _rows_of(store: MetadataStore, table: str, sermon: str) -> list[dict[str, Any]]:
    """The rows of a table that has one part per sermon, without opening those of all the others."""
    try:
        return store.read(table, sermon).to_pylist()
    except FileNotFoundError:
        return []


def _waits_for(store: MetadataStore, sermon: str) -> dict[str, str]:
    rows = store.query("select stage from stage_results where sermon = ?", [sermon]).to_pylist()
    done = {row["stage"] for row in rows}
    # Brings Dagster with it: only where a sermon is not through.
    import stt_platform.definitions  # noqa: F401
    from stt_platform.orchestration.scopes import SERMON
    from stt_platform.orchestration.stage import stages, stages_of

    waiting_for = {name: stages()[name].waiting_for for name in stages_of(SERMON)}
    stage = next(name for name, words in waiting_for.items() if words and name not in done)
    return {"stage": stage, "text": waiting_for[stage]}


def _transcripts(rows: Iterable[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    by_chunk: dict[str, list[dict[str, Any]]] = {}
    for row in sorted(rows, key=lambda row: (row["system"], row["view"])):
        shown = _finite({name: row[name] for name in _SHOWN_OF_TRANSCRIPT})
        words = [_finite(_shown(word, "word", "probability")) for word in row["words"]]
        by_chunk.setdefault(row["chunk_id"], []).append({**shown, "words": words})
    return by_chunk


def _heard_by_others(
    store: MetadataStore, sermon: str, chunks: Sequence[dict[str, Any]]
) -> dict[str, list[dict[str, str]]]:
    """What second recognisers and the captions say, by chunk."""
    by_chunk: dict[str, list[dict[str, str]]] = {chunk["chunk_id"]: [] for chunk in chunks}
    for row in sorted(_rows_of(store, "second_opinions", sermon), key=lambda row: row["system"]):
        by_chunk.setdefault(row["chunk_id"], []).append({"system": row["system"], "text": row["text"]})
    captions = sorted(
        (Caption(row["start_s"], row["end_s"], row["text"]) for row in _rows_of(store, "captions", sermon)),
        key=lambda caption: caption.start_s,
    )
    starts = [caption.start_s for caption in captions]
    latest_ends = list(accumulate((caption.end_s for caption in captions), max))
    for chunk in chunks:
        others = by_chunk[chunk["chunk_id"]]
        near = captions[bisect_right(latest_ends, chunk["start_s"]) : bisect_left(starts, chunk["end_s"])]
        text = caption_text(near, chunk["start_s"], chunk["end_s"])
        # Chunks that were not transcribed have no second opinion, but captions all the same.
        if text and all(other["system"] != _CAPTIONS for other in others):
            others.append({"system": _CAPTIONS, "text": text})
    return by_chunk


def _enhancement(rows: list[dict[str, Any]]) -> dict[str, Any] | None:
    return _finite({name: rows[0][name] for name in _SHOWN_OF_ENHANCEMENT}) if rows else None


def _limits(home: Path) -> dict[str, float]:
    """What the gates ask for. Settings that cannot be read are told elsewhere, and no reason to show nothing."""
    try:
        settings = load_settings(home)
        gates, agreement = settings.gates, settings.agreement
    except SettingsError:
        gates, agreement = GateSettings(), AgreementSettings()
    return {
        "min_snr_db": gates.min_chunk_snr_db,
        "max_clipped_ratio": gates.max_clipped_ratio,
        "max_silence_ratio": gates.max_silence_ratio,
        "min_bandwidth_hz": gates.min_bandwidth_hz,
        "max_mean_cer": agreement.max_mean_cer,
    }


def _shown(row: Mapping[str, Any], *names: str) -> dict[str, Any]:
    times = {"start_s": row["start_sample"] / SAMPLE_RATE_HZ, "end_s": row["end_sample"] / SAMPLE_RATE_HZ}
    return {name: row[name] for name in names} | times


def _in_seconds(row: dict[str, Any]) -> dict[str, Any]:
    start, end = row.pop("start_sample"), row.pop("end_sample")
    return {**row, "start_s": start / SAMPLE_RATE_HZ, "end_s": end / SAMPLE_RATE_HZ}


def _finite(row: dict[str, Any]) -> dict[str, Any]:
    """JSON has no word for NaN and infinity (a silent chunk's loudness): they become null."""
    return {
        name: None if isinstance(value, float) and not math.isfinite(value) else value for name, value in row.items()
    }
