"""A small STT_HOME of the made-up church: sermons that teach and sermons that examine, cut and transcribed, without the stages."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial

import numpy as np
import soundfile as sf
import soxr

from stt_platform.audio import SAMPLE_RATE_HZ
from stt_platform.demo.church import Script, render, scripts
from stt_platform.models.registry import model
from stt_platform.speech.recognisers.base import ChunkSpan, ChunkTranscript
from stt_platform.speech.recognisers.faster_whisper import FasterWhisper
from stt_platform.speech.voices import sentences
from stt_platform.store.intake import ingest
from stt_platform.store.metadata import MetadataStore
from stt_platform.store.stages import StageResult, build_stage
from stt_platform_tests.helpers.staging import make

_MARGIN = SAMPLE_RATE_HZ // 5
_MOST_WORDS = 45
_CHUNKS = 3


@dataclass(frozen=True)
class MadeSermon:
    """A sermon as it was taken in, and what is said in each of its chunks."""

    sermon: str
    split: str
    chunk_ids: tuple[str, ...]
    texts: tuple[str, ...]


def make_church_home(store: MetadataStore, *, teaches: Sequence[str], examines: Sequence[str]) -> list[MadeSermon]:
    """Sermons by their titles, the beginning of each in chunks. Those that examine have their script as reference."""
    by_title = {script.title: script for script in scripts()}
    whisper = FasterWhisper(model("whisper-tiny.en").folder_on_disk(), compute_type="int8", cpu_threads=2)
    made = []
    for split, titles in (("train", teaches), ("test", examines)):
        for title in titles:
            script = by_title[title]
            short = replace(script, paragraphs=_parts(script)[:_CHUNKS], interludes=(), naming="name")
            made.append(_take_in(store, short, split, whisper))
    store.write("splits", "all", [{"sermon": each.sermon, "split": each.split, "pinned": False} for each in made])
    make(store.home, "references")
    return made


def _parts(script: Script) -> tuple[str, ...]:
    """Its sentences, in parts that fit Whisper's window however slowly they are spoken."""
    parts = [""]
    for sentence in (sentence for paragraph in script.paragraphs for sentence in sentences(paragraph)):
        longer = f"{parts[-1]} {sentence}".strip()
        parts[-1:] = [longer] if len(longer.split()) <= _MOST_WORDS else [parts[-1], sentence]
    return tuple(parts)


def _take_in(store: MetadataStore, script: Script, split: str, whisper: FasterWhisper) -> MadeSermon:
    rendering = render(script)
    ratio = SAMPLE_RATE_HZ / rendering.rate_hz
    sound = soxr.resample(rendering.mix.mean(axis=0), rendering.rate_hz, SAMPLE_RATE_HZ)
    spans = [
        (max(0, round(start * ratio) - _MARGIN), min(sound.size, round(end * ratio) + _MARGIN))
        for start, end in rendering.speech_spans
    ]
    path = store.home / "made" / f"{script.date} {script.title} - {script.preacher.name}.wav"
    path.parent.mkdir(exist_ok=True)
    sf.write(path, sound, SAMPLE_RATE_HZ, subtype="PCM_16")
    (entry,) = ingest(store, [path])
    sermon = entry.sermon

    def write_sound(folder) -> StageResult:
        sf.write(folder / "audio.wav", sound, SAMPLE_RATE_HZ, subtype="PCM_16")
        return StageResult()

    for stage in ("standard_audio", "enhanced_audio"):
        build_stage(store, sermon, stage, "0" * 64, write_sound)
    ids = tuple(f"{sermon}-{number}" for number in range(len(spans)))
    _write_chunks(store, sermon, ids, spans, sound)
    if split == "train":
        _transcribe(store, sermon, ids, spans, sound, whisper)
        verdict = {"sermon": sermon, "stage": "transcript", "status": "accepted", "key": "0" * 64, "digest": "0" * 64}
        store.write("stage_results", sermon, [verdict])
    else:
        folder = store.home / "references"
        folder.mkdir(exist_ok=True)
        (folder / f"{sermon}.txt").write_text(script.text, encoding="utf-8")
    return MadeSermon(sermon, split, ids, script.paragraphs)


def _write_chunks(
    store: MetadataStore, sermon: str, ids: Sequence[str], spans: Sequence[tuple[int, int]], sound: np.ndarray
) -> None:
    folder = store.home / "made" / sermon
    folder.mkdir()
    chunks, views = [], []
    for chunk_id, (start, end) in zip(ids, spans, strict=True):
        sf.write(folder / f"{chunk_id}.wav", sound[start:end], SAMPLE_RATE_HZ, subtype="PCM_16")
        place = {"sermon": sermon, "chunk_id": chunk_id}
        span = {"start_sample": start, "end_sample": end, "silence_ratio": 0.1, "forced_cut": False}
        chunks.append(place | span | {"status": "accepted"})
        path = f"made/{sermon}/{chunk_id}.wav"
        views += [
            place | {"view": view, "snr_db": 25.0, "status": "accepted", "path": path}
            for view in ("original", "enhanced")
        ]
    store.write("speech_chunks", sermon, chunks)
    store.write("training_chunks", sermon, views)


def _transcribe(
    store: MetadataStore,
    sermon: str,
    ids: Sequence[str],
    spans: Sequence[tuple[int, int]],
    sound: np.ndarray,
    whisper: FasterWhisper,
) -> None:
    chunks = [ChunkSpan(chunk_id, start, end) for chunk_id, (start, end) in zip(ids, spans, strict=True)]
    samples = sound.astype(np.float32)
    heard = list(whisper.transcribe_chunks(lambda start, end: samples[start:end], chunks, beam_size=1))
    store.write("transcripts", sermon, list(map(partial(_row, sermon), heard)))


def _row(sermon: str, heard: ChunkTranscript) -> dict:
    return {"sermon": sermon, "system": "faster-whisper:base", "view": "enhanced", "decoding": "{}", **asdict(heard)}
