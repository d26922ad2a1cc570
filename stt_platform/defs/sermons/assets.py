"""The stages of a sermon: from the recording as it came to chunks with their transcript.

Each body is a recipe of a few calls; `stage.py` holds what they share. The order here is the order in which a sermon
passes them.
"""

import hashlib
import json
from dataclasses import asdict
from functools import partial
from pathlib import Path

import numpy as np
import soundfile as sf

from stt_platform.audio import SAMPLE_RATE_HZ
from stt_platform.audio.chunking import Chunk, cut_chunks
from stt_platform.audio.decode import measure, probe
from stt_platform.audio.media import UnreadableMedia
from stt_platform.audio.overview import NativeOverviewBuilder, overview_of
from stt_platform.audio.standardise import standardise
from stt_platform.audio.vad import VAD_MODEL, frame_energies_db, speech_probabilities
from stt_platform.defs.sermons.stage import StageWork, sermon_stage
from stt_platform.models.registry import model
from stt_platform.settings import Settings
from stt_platform.speech.recogniser import ChunkSpan, FasterWhisper
from stt_platform.store.metadata import MetadataStore
from stt_platform.store.stages import StageResult, build_stage, stage_key

VIEW = "original"


@sermon_stage(version="1", kinds={"audio"}, tables=("recordings",))
def recording(work: StageWork) -> StageResult:
    """The recording as it came: is it audio, how long is it, at which rate was it made?

    The file is decoded from end to end once, so that a damaged or cut-off one is found here. One that cannot be read
    is **rejected**, with the reason; the other sermons go on.
    """
    row = {"sermon": work.sermon, "size_bytes": work.original.stat().st_size}
    try:
        media = probe(work.original)
        picture = NativeOverviewBuilder()
        measured = measure(
            work.original, progress=partial(work.progress, total=media.header_duration_s), listener=picture.add
        )
        picture.finish().save(work.folder / "overview.npz")
    except UnreadableMedia as error:
        # People know the file by the name it came with, not by ours.
        reason = f"{Path(work.registration.source).name!r} {error.problem}. {error.remedy}"
        return StageResult("rejected", reason, {"sha256": work.registration.sha256}, {"recordings": [row]})
    row |= {
        "duration_s": measured.duration_s,
        "native_rate_hz": media.native_rate_hz,
        "channels": media.channels,
        "container": media.container,
        "codec": media.codec,
        "tags": json.dumps(media.tags, sort_keys=True, ensure_ascii=False),
        "decode_errors": measured.decode_errors,
    }
    facts = {
        "sha256": work.registration.sha256,
        "duration_s": measured.duration_s,
        "native_rate_hz": media.native_rate_hz,
        "channels": media.channels,
        "size_mb": round(row["size_bytes"] / 1e6, 2),
        "decode_errors": measured.decode_errors,
        "downmix": measured.downmix,
    }
    shortest_s = work.settings.chunking.min_s
    if measured.duration_s < shortest_s:
        reason = f"{measured.duration_s:.2f} s of sound: shorter than the shortest chunk ({shortest_s:g} s)"
        return StageResult("rejected", reason, facts, {"recordings": [row]})
    note = (
        f"cut off: the file says {media.header_duration_s:.0f} s, but {measured.duration_s:.0f} s can be read"
        if measured.truncated
        else None
    )
    return StageResult("accepted", note, facts, {"recordings": [row]})


@sermon_stage(version="1", kinds={"audio"}, upstream=("recording",))
def standard_audio(work: StageWork) -> StageResult:
    """The recording as 16 kHz mono: what every later stage listens to, and where time is counted in samples."""
    measured = work.inputs["recording"].facts
    samples = standardise(
        work.original,
        work.folder / "audio.wav",
        rate_hz=SAMPLE_RATE_HZ,
        downmix=measured["downmix"],
        progress=partial(work.progress, total=measured["duration_s"]),
    )
    overview_of(work.folder / "audio.wav").save(work.folder / "overview.npz")
    return StageResult(facts={"samples": samples, "duration_s": samples / SAMPLE_RATE_HZ})


def _chunking_parameters(settings: Settings) -> dict:
    return {"vad": VAD_MODEL, **settings.vad.model_dump(), **settings.chunking.model_dump()}


@sermon_stage(
    version="1",
    kinds={"audio", "silero"},
    upstream=("standard_audio",),
    tables=("speech_chunks",),
    parameters=_chunking_parameters,
)
def speech_chunks(work: StageWork) -> StageResult:
    """Where someone speaks, cut in the pauses into chunks of 1 to 30 seconds.

    Silero gives a probability of speech for every 32 ms; these are kept, so that other cutting parameters need no
    new listening. A cut inside speech happens only where there is no pause, and is flagged `forced_cut`.
    """
    audio = work.inputs["standard_audio"]
    probabilities = np.load(_probabilities(work) / "probabilities.npy")
    chunks = cut_chunks(
        probabilities,
        frame_energies_db(audio.folder / "audio.wav"),
        total_samples=audio.facts["samples"],
        **work.settings.vad.model_dump(),
        **work.settings.chunking.model_dump(),
    )
    rows = [{"sermon": work.sermon, "chunk_id": chunk_id(audio.digest, chunk), **asdict(chunk)} for chunk in chunks]
    accepted_s = sum(c.end_sample - c.start_sample for c in chunks if c.status == "accepted") / SAMPLE_RATE_HZ
    facts = {
        "chunks": len(chunks),
        "accepted_chunks": sum(c.status == "accepted" for c in chunks),
        "speech_percent": round(100 * accepted_s * SAMPLE_RATE_HZ / audio.facts["samples"], 2),
        "forced_cuts": sum(c.forced_cut for c in chunks),
    }
    if not facts["accepted_chunks"]:
        return StageResult("rejected", "nobody speaks in it: no speech was found", facts, {"speech_chunks": rows})
    return StageResult(facts=facts, tables={"speech_chunks": rows})


def _probabilities(work: StageWork):
    audio = work.inputs["standard_audio"]

    def listen(folder):
        np.save(folder / "probabilities.npy", speech_probabilities(audio.folder / "audio.wav"), allow_pickle=False)
        return StageResult()

    key = stage_key("speech_probabilities", "1", {"vad": VAD_MODEL}, {"standard_audio": audio.digest})
    return build_stage(work.store, work.sermon, "speech_probabilities", key, listen).folder


def chunk_id(audio_digest: str, chunk: Chunk) -> str:
    """Names a chunk by what it is, a piece of this audio: cutting anew leaves the ids of unmoved chunks as they were."""
    return hashlib.sha256(f"{audio_digest}:{chunk.start_sample}:{chunk.end_sample}".encode()).hexdigest()[:16]


def _accepted_chunks(store: MetadataStore, sermon: str) -> list[dict]:
    rows = store.read("speech_chunks", sermon).to_pylist()
    return [row for row in rows if row["status"] == "accepted"]


@sermon_stage(
    version="1",
    kinds={"audio", "flac"},
    upstream=("standard_audio", "speech_chunks"),
    tables=("training_chunks",),
)
def training_chunks(work: StageWork) -> StageResult:
    """The accepted chunks as files (FLAC, 16 kHz mono): what is transcribed, corrected and trained on."""
    chunks = _accepted_chunks(work.store, work.sermon)
    rows = []
    with sf.SoundFile(work.inputs["standard_audio"].folder / "audio.wav") as audio:
        for done, chunk in enumerate(chunks):
            audio.seek(chunk["start_sample"])
            samples = audio.read(chunk["end_sample"] - chunk["start_sample"], dtype="int16")
            name = f"{chunk['chunk_id']}.flac"
            sf.write(work.folder / name, samples, SAMPLE_RATE_HZ, subtype="PCM_16")
            rows.append(
                {
                    "sermon": work.sermon,
                    "chunk_id": chunk["chunk_id"],
                    "view": VIEW,
                    "status": "accepted",
                    "path": f"{work.path_in_home}/{name}",
                }
            )
            work.progress(done + 1, len(chunks), "chunks")
    exported_s = sum(chunk["end_sample"] - chunk["start_sample"] for chunk in chunks) / SAMPLE_RATE_HZ
    facts = {"exported_chunks": len(rows), "exported_s": round(exported_s, 3)}
    return StageResult(facts=facts, tables={"training_chunks": rows})


def _transcription_parameters(settings: Settings) -> dict:
    return settings.transcription.model_dump() | {"model": model(settings.transcription.model).identity}


@sermon_stage(
    version="1",
    kinds={"whisper"},
    upstream=("standard_audio", "training_chunks"),
    tables=("transcripts",),
    parameters=_transcription_parameters,
    pool="gpu",
)
def transcript(work: StageWork) -> StageResult:
    """What is said in each chunk, by Whisper: text, the time of every word, and how sure the model is."""
    chosen = work.settings.transcription
    recogniser_model = model(chosen.model)
    chunks = _accepted_chunks(work.store, work.sermon)
    with work.device(), sf.SoundFile(work.inputs["standard_audio"].folder / "audio.wav") as audio:
        recogniser = FasterWhisper(
            recogniser_model.folder_on_disk(),
            device=chosen.device,
            compute_type=chosen.compute_type,
            cpu_threads=chosen.cpu_threads,
        )

        def read_samples(start_sample: int, end_sample: int) -> np.ndarray:
            audio.seek(start_sample)
            return audio.read(end_sample - start_sample, dtype="float32")

        texts = list(
            recogniser.transcribe_chunks(
                read_samples,
                [ChunkSpan(chunk["chunk_id"], chunk["start_sample"], chunk["end_sample"]) for chunk in chunks],
                language=chosen.language,
                beam_size=chosen.beam_size,
                progress=lambda done, total: work.progress(done, total, "chunks"),
            )
        )
    decoding = json.dumps(chosen.model_dump(exclude={"model"}), sort_keys=True)
    system = f"faster-whisper:{recogniser_model.identity}"
    rows = [
        {"sermon": work.sermon, "system": system, "view": VIEW, "decoding": decoding, **asdict(text)} for text in texts
    ]
    words = sum(len(text.text.split()) for text in texts)
    heard = [text.avg_logprob for text in texts if text.avg_logprob is not None]
    facts = {
        "words": words,
        "mean_avg_logprob": round(float(np.mean(heard)), 4) if heard else None,
        "system": system,
    }
    if not words:
        return StageResult("rejected", "no words were recognised in it", facts, {"transcripts": rows})
    return StageResult(facts=facts, tables={"transcripts": rows})
