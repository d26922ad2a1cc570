"""What is said in the chunks, and how far that can be relied on."""

import json
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import numpy as np
import soundfile as sf

from stt_platform.audio import SAMPLE_RATE_HZ
from stt_platform.audio.gates import Refusal
from stt_platform.defs.recognisers import base_system, load_recogniser, transcriber
from stt_platform.defs.sermons.assets.chunks import accepted_chunks, most_common_refusal
from stt_platform.defs.sermons.assets.sound import probabilities_of
from stt_platform.defs.sermons.report import sermon_stage
from stt_platform.evaluation.agreement import agreement_status, pairwise_cer
from stt_platform.models.registry import model
from stt_platform.orchestration.work import StageContext, Work
from stt_platform.speech.captions import Caption, UnreadableCaptions, caption_text, read_captions
from stt_platform.speech.language import EnglishEvidence, english_evidence, recording_is_english
from stt_platform.speech.recognisers.base import ChunkSpan, Word
from stt_platform.speech.text_checks import silent_word_share, text_refusal
from stt_platform.store.captions import caption_files
from stt_platform.store.choices import VIEWS, training_view
from stt_platform.store.schemas import CONSENSUS
from stt_platform.store.stages import StageOutput, StageResult


def _caption_files(context: StageContext) -> dict[str, Path]:
    return {path.name: path for path in caption_files(context.home, context.sermon)}


@dataclass(frozen=True)
class CaptionData:
    """How many captions came with the recording."""

    captions: int


@sermon_stage(version="1", kinds={"text"}, upstream=("recording",), tables=("captions",), files=_caption_files)
def captions(work: Work) -> StageResult:
    """The captions that came with the recording, if any; rolling automatic ones are merged into clean timed text.

    Put a `.vtt`, `.srt` or `.json3` file of the recording's name beside it before you ingest it; `stt channel fetch`
    brings them along.
    """
    try:
        cues, note = _captions_of(work.context), None
    except UnreadableCaptions as error:
        # A transcript does not need them: the sermon goes on without.
        cues, note = [], str(error)
    rows = [{"sermon": work.sermon, "start_s": cue.start_s, "end_s": cue.end_s, "text": cue.text} for cue in cues]
    if not rows and note is None:
        note = "no captions came with it"
    return StageResult("accepted", note, CaptionData(len(rows)), {"captions": rows})


def _captions_of(context: StageContext) -> list[Caption]:
    """Those that people wrote, where there are any; else automatic ones; the first that can be read.

    Raises `UnreadableCaptions` where there are some, and none can be read.
    """
    faults = []
    for path in caption_files(context.home, context.sermon):
        try:
            return read_captions(path)
        except UnreadableCaptions as error:
            faults.append(str(error))
    if faults:
        raise UnreadableCaptions("; ".join(faults))
    return []


def sound_reader(audio: sf.SoundFile) -> Callable[[int, int], np.ndarray]:
    """A function from (start_sample, end_sample) to float32 samples of an open sound file."""

    def read_samples(start_sample: int, end_sample: int) -> np.ndarray:
        audio.seek(start_sample)
        return audio.read(end_sample - start_sample, dtype="float32")

    return read_samples


def _view_of(context: StageContext) -> str:
    return training_view(context.home, context.settings.training_view).view


def _sound_of(work: Work, view: str) -> Path:
    return work.inputs[VIEWS[view]].folder / "audio.wav"


def _spans(chunks: list[dict]) -> list[ChunkSpan]:
    return [ChunkSpan(chunk["chunk_id"], chunk["start_sample"], chunk["end_sample"]) for chunk in chunks]


def _transcription_parameters(context: StageContext) -> dict:
    chosen = context.settings.transcription
    return chosen.model_dump() | {
        "model": transcriber(context.home, context.settings).identity,
        "view": _view_of(context),
    }


def _as_transcribed(context: StageContext, made: StageOutput) -> dict:
    # A better recogniser is offered for old sermons, and does not redo them by itself. One that was rejected before it was
    # transcribed names none.
    heard_by = str(made.data.get("recogniser") or "")
    return _transcription_parameters(context) | {
        "model": heard_by or model(context.settings.transcription.model).identity
    }


@dataclass(frozen=True)
class TranscriptData:
    """What was transcribed, by whom, and in which view and language.

    Attributes:
        recogniser: identity of its weights; None where no chunk could be transcribed.
        language_probability: of the language that a multilingual recogniser detects; None for an English one.
    """

    view: str
    words: int = 0
    recogniser: str | None = None
    mean_avg_logprob: float | None = None
    language: str | None = None
    language_probability: float | None = None


@sermon_stage(
    version="2",
    kinds={"whisper"},
    upstream=("standard_audio", "enhanced_audio", "speech_chunks", "training_chunks"),
    tables=("transcripts",),
    parameters=_transcription_parameters,
    as_made=_as_transcribed,
    on_device=lambda settings: True,
    waiting_for="The recogniser has to write down what is said.",
)
def transcript(work: Work) -> StageResult:
    """What is said in each chunk, by Whisper: text, the time of every word, and how sure the model is.

    It hears the view that trains (setting `training_view`). Where an adapter was found better than the base model, and made
    the champion, that transcribes; sermons of before keep their text until somebody materialises this again.
    """
    chosen = work.settings.transcription
    who = transcriber(work.home, work.settings)
    view = training_view(work.home, work.settings.training_view)
    chunks = accepted_chunks(work.table("speech_chunks"), work.table("training_chunks"), view.view)
    if not chunks:
        reason = f"none of its chunks can be used in the view {view.view}: all have music under the speech"
        return StageResult("rejected", reason, TranscriptData(view.view), {"transcripts": []}, gate="music")
    with work.device(chosen.device), sf.SoundFile(_sound_of(work, view.view)) as audio:
        recogniser = load_recogniser(who.system(work.settings), chosen)
        texts = list(
            recogniser.transcribe_chunks(
                sound_reader(audio),
                _spans(chunks),
                language=chosen.language,
                beam_size=chosen.beam_size,
                progress=partial(work.progress, unit="chunks"),
            )
        )
        language = recogniser.detect_language(_some_speech(sound_reader(audio), chunks))
    decoding = json.dumps(chosen.model_dump(exclude={"model"}), sort_keys=True)
    system = f"{who.kind}:{who.identity}"
    rows = [
        {"sermon": work.sermon, "system": system, "view": view.view, "decoding": decoding, **asdict(text)}
        for text in texts
    ]
    words = sum(len(text.text.split()) for text in texts)
    scores = [text.avg_logprob for text in texts if text.avg_logprob is not None]
    data = TranscriptData(
        view=view.view,
        words=words,
        recogniser=who.identity,
        mean_avg_logprob=round(float(np.mean(scores)), 4) if scores else None,
        language=language and language[0],
        language_probability=language and round(language[1], 3),
    )
    shown = {
        "words": words,
        "mean avg logprob": data.mean_avg_logprob,
        "system": system,
        "why this recogniser": who.why,
        "view": view.view,
        "why this view": view.why,
        "language": data.language,
        "language probability": data.language_probability,
    }
    tables = {"transcripts": rows}
    if not words:
        return StageResult("rejected", "no words were recognised in it", data, tables, gate="text", shown=shown)
    return StageResult(data=data, tables=tables, shown=shown)


def _some_speech(read_samples: Callable[[int, int], np.ndarray], chunks: list[dict]) -> np.ndarray:
    """Eight chunks, evenly spread over the recording: enough to know a language by."""
    chosen = np.unique(np.linspace(0, len(chunks) - 1, min(len(chunks), 8)).round().astype(int))
    sounds = [read_samples(chunks[i]["start_sample"], chunks[i]["end_sample"]) for i in chosen]
    return np.concatenate(sounds)


def _agreement_parameters(context: StageContext) -> dict:
    chosen = context.settings.agreement
    return {
        "second_model": model(chosen.second_model).identity,
        "max_mean_cer": chosen.max_mean_cer,
        "english_only": context.settings.gates.english_only,
    }


@dataclass(frozen=True)
class ConsensusData:
    """How many chunks have which verdict, and how far the recognisers disagree on the mean."""

    reliable_chunks: int
    unsure_chunks: int
    rejected_chunks: int
    mean_cer_percent: float | None
    compared_with: tuple[str, ...]


@sermon_stage(
    version="1",
    kinds={"text"},
    upstream=("standard_audio", "enhanced_audio", "speech_chunks", "training_chunks", "captions", "transcript"),
    tables=("second_opinions", "consensus"),
    parameters=_agreement_parameters,
    # The captions are read from their files, which time every word.
    files=_caption_files,
    on_device=lambda settings: settings.agreement.device == "cuda",
    waiting_for="A second recogniser has to listen, to tell which texts can be relied on.",
)
def consensus(work: Work) -> StageResult:
    """Whether each text can be relied on: what others heard, and what the text gives away.

    A recogniser of another architecture hears the same chunks, and captions say what they say. Where all agree (mean
    character error rate below 5 %) a text is `reliable`; where not, it is `unsure`, and worth a person's look. Texts
    that nobody said (loops, phrases that recognisers write into silence, impossible rates) are **rejected**, and so is
    what is not English.
    """
    made = work.inputs["transcript"].data_as(TranscriptData)
    chunks = accepted_chunks(work.table("speech_chunks"), work.table("training_chunks"), made.view)
    heard = {row["chunk_id"]: row for row in work.table("transcripts")}
    others = _other_texts(work, chunks, made.view)
    probabilities = probabilities_of(work)
    judged = [_judged(work, chunk, heard[chunk["chunk_id"]], others, probabilities) for chunk in chunks]
    rows = [judgement.row for judgement in judged]
    opinions = [
        {"sermon": work.sermon, "chunk_id": chunk_id, "system": system, "text": text}
        for system, texts in others.items()
        for chunk_id, text in texts.items()
    ]
    means = [row["mean_cer"] for row in rows if row["mean_cer"] is not None]
    counts = Counter(row["status"] for row in rows)
    data = ConsensusData(
        **{f"{status}_chunks": counts[status] for status in CONSENSUS},
        mean_cer_percent=round(100 * float(np.mean(means)), 2) if means else None,
        compared_with=tuple(others),
    )
    tables = {"second_opinions": opinions, "consensus": rows}
    reason = _not_english(work, made, judged)
    if reason:
        return StageResult("rejected", reason, data, tables, gate="language")
    if not any(row["status"] != "rejected" for row in rows):
        reason, gate = most_common_refusal(rows) or ("no text is left", "text")
        return StageResult("rejected", reason, data, tables, gate=gate)
    return StageResult(data=data, tables=tables)


def _other_texts(work: Work, chunks: list[dict], view: str) -> dict[str, dict[str, str]]:
    """What other systems say in each chunk, by system and chunk. Where captions say nothing, they are no system."""
    chosen = work.settings.agreement
    second = base_system(chosen.second_model)
    # On a CPU it takes one core, and leaves the others to the recogniser.
    lease = work.device(chosen.device) if chosen.device == "cuda" else nullcontext()
    with lease, sf.SoundFile(_sound_of(work, view)) as audio:
        found = load_recogniser(second, chosen).transcribe_chunks(
            sound_reader(audio),
            _spans(chunks),
            language=work.settings.transcription.language,
            word_timestamps=False,
            progress=partial(work.progress, unit="chunks"),
        )
        texts = {second.identity: {transcript.chunk_id: transcript.text for transcript in found}}
    # From the file and not from the table: it times every word.
    shown = _captions_of(work.context) if work.inputs["captions"].data_as(CaptionData).captions else []
    by_captions = {
        chunk["chunk_id"]: caption_text(
            shown, chunk["start_sample"] / SAMPLE_RATE_HZ, chunk["end_sample"] / SAMPLE_RATE_HZ
        )
        for chunk in chunks
    }
    said = {chunk_id: text for chunk_id, text in by_captions.items() if text}
    return texts | ({"captions": said} if said else {})


@dataclass(frozen=True)
class _Judgement:
    """The row of a chunk in `consensus`, and what it says about the language."""

    row: dict
    language: EnglishEvidence


def _judged(
    work: Work,
    chunk: dict,
    heard: dict,
    others: Mapping[str, Mapping[str, str]],
    probabilities: np.ndarray,
) -> _Judgement:
    chunk_id = chunk["chunk_id"]
    texts = {system: said[chunk_id] for system, said in others.items() if chunk_id in said}
    agreement = pairwise_cer({heard["system"]: heard["text"], **texts})
    duration_s = (chunk["end_sample"] - chunk["start_sample"]) / SAMPLE_RATE_HZ
    language = english_evidence(
        heard["text"],
        duration_s=duration_s,
        avg_logprob=heard["avg_logprob"],
        disagreement=min((cer for a, b, cer in agreement.pairs if heard["system"] in (a, b)), default=None),
    )
    found = text_refusal(
        heard["text"],
        duration_s=duration_s,
        speech_s=duration_s * (1 - chunk["silence_ratio"]),
        compression_ratio=heard["compression_ratio"],
        avg_logprob=heard["avg_logprob"],
        no_speech_prob=heard["no_speech_prob"],
        silent_word_share=silent_word_share([Word(**word) for word in heard["words"]], probabilities),
    )
    refusal = Refusal("text", found.reason) if found else None
    if not heard["text"].strip():
        refusal = Refusal("text", "nothing was recognised in it")
    if work.settings.gates.english_only and language.english is False:
        refusal = Refusal("language", language.reason or "probably not English")
    reliable = agreement_status(agreement.mean_cer, work.settings.agreement.max_mean_cer)
    status = "rejected" if refusal else "reliable" if reliable.status == "reliable" else "unsure"
    row = {
        "sermon": work.sermon,
        "chunk_id": chunk_id,
        "mean_cer": agreement.mean_cer,
        "status": status,
        "reason": refusal.reason if refusal else reliable.reason,
        "gate": refusal.gate if refusal else None,
    }
    return _Judgement(row, language)


def _not_english(work: Work, made: TranscriptData, judged: list[_Judgement]) -> str | None:
    """Why the whole sermon is taken not to be English, or None."""
    if not work.settings.gates.english_only:
        return None
    # What a multilingual recogniser calls English is looked at again: one that was taught nothing but English
    # (distil-large-v3) may never say anything else.
    if made.language not in (None, "en") and (made.language_probability or 0.0) > 0.5:
        return f"not English: the recogniser hears {made.language!r}"
    found = recording_is_english([judgement.language for judgement in judged])
    return found.reason if found.english is False else None
