"""What people see of a stage in the UI: the verdict, numbers that plot over sermons, a picture, the first rows."""

import hashlib
import json
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from stt_platform.audio import SAMPLE_RATE_HZ
from stt_platform.audio.overview import Overview
from stt_platform.audio.pictures import ChunkMark, Span, sermon_picture
from stt_platform.defs.sermons.funnel import shown_funnel
from stt_platform.defs.shown import embedded, page, table
from stt_platform.machine.files import write_atomically
from stt_platform.orchestration.platform import Platform
from stt_platform.orchestration.scopes import SERMON
from stt_platform.orchestration.stage import stage
from stt_platform.store.funnel import read_funnel
from stt_platform.store.stages import StageOutput, current_stage

_WITH_FUNNEL = ("training_chunks", "consensus")
_FIRST_ROWS = 10
_CHUNK_MARKS = "select start_sample, end_sample, status, reason from chunks where sermon = ? order by start_sample"


def sermon_metadata(platform: Platform, output: StageOutput) -> dict[str, Any]:
    """Metadata of one materialisation: what is shown of its data, and a preview of its tables."""
    metadata: dict[str, Any] = {"status": output.status, "reason": output.reason or "–"}
    picture = _picture(platform, output)
    if picture:
        metadata["picture"] = embedded(picture, "waveform and spectrogram")
    metadata |= {
        "listen": page(platform, f"sermon/{output.owner}"),
        **output.shown,
    }
    if output.stage in _WITH_FUNNEL:
        steps = read_funnel(platform.store, output.owner)
        if steps[0].samples_in:
            metadata["funnel"] = shown_funnel(steps, output.owner)
    for name in output.tables:
        rows = platform.store.read(name, output.owner)
        metadata["dagster/partition_row_count"] = rows.num_rows
        metadata[f"first rows of {name}"] = table(rows.slice(0, _FIRST_ROWS).to_pylist())
    return metadata


sermon_stage = partial(stage, scope=SERMON, group="sermons", metadata=sermon_metadata)
"""Declare a stage of a sermon."""


def _picture(platform: Platform, output: StageOutput) -> bytes | None:
    for name in ("standard_audio", "recording"):
        folder = current_stage(platform.home, output.owner, name)
        if folder and (folder / "overview.npz").exists():
            rows = platform.store.query(_CHUNK_MARKS, [output.owner]).to_pylist()
            marks = [
                ChunkMark(
                    row["start_sample"] / SAMPLE_RATE_HZ,
                    row["end_sample"] / SAMPLE_RATE_HZ,
                    row["status"],
                    row["reason"],
                )
                for row in rows
            ]
            sounds = _spans(platform, output.owner, "segments", "label")
            turns = _spans(platform, output.owner, "speaker_turns", "speaker")
            return _drawn_once(folder / "overview.npz", marks, sounds, turns, title=output.owner)
    return None


def _drawn_once(overview: Path, marks: list[ChunkMark], sounds: list[Span], turns: list[Span], *, title: str) -> bytes:
    """The picture of a sermon. Most stages show the same one, and to draw it takes longer than what they do."""
    shown = json.dumps([str(overview), [asdict(item) for item in (*marks, *sounds, *turns)], title])
    name = f"picture-{hashlib.sha256(shown.encode()).hexdigest()[:32]}.png"
    # Beside the sound that it shows, and gone with it.
    path = overview.parents[1] / f".{name}"
    if path.exists():
        return path.read_bytes()
    picture = sermon_picture(Overview.load(overview), marks, title=title, sounds=sounds, turns=turns)
    for older in overview.parents[1].glob(".picture-*.png"):
        older.unlink(missing_ok=True)
    write_atomically(path, picture)
    return picture


def _spans(platform: Platform, sermon: str, table: str, name: str) -> list[Span]:
    try:
        rows = platform.store.read(table, sermon).to_pylist()
    except FileNotFoundError:
        return []
    return [Span(row["start_sample"] / SAMPLE_RATE_HZ, row["end_sample"] / SAMPLE_RATE_HZ, row[name]) for row in rows]
