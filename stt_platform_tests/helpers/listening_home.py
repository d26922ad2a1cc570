"""A small STT_HOME for the tests of the listening page, made through the real store and stages."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from stt_platform.audio.overview import overview_of
from stt_platform.store.metadata import MetadataStore
from stt_platform.store.stages import StageResult, build_stage

RATE_HZ = 16_000
DURATION_S = 12.0
SERMON = "2024-03-10--the-lamp-and-the-oil"
SILENT = "2024-03-03--silent-sunday"
UNREADABLE = "2024-03-17--unreadable"
WAITING = "2024-03-24--waiting"
HOSTILE = "2024-03-31--hostile"
HOSTILE_TITLE = '<img src=x onerror="window.attacked=1"><script>window.attacked=1</script>\'&amp;'
SILENT_REASON = "No speech was found in this recording."
CHUNK_REASON = "too noisy: SNR 8.2 dB, at least 15 dB wanted"

VIEWS = ("original", "enhanced")
RECOGNISER, SECOND = "faster-whisper:whisper-tiny.en@0.1.0", "pocketsphinx-en-us@5.1.1"
UNSURE_REASON = "the systems differ in 14.0 % of the characters; less than 5 % is reliable"
CAPTIONS = ((0.5, 3.5, "the lamp was lit again"), (7.0, 11.0, "keep your oil and wait until warning comes"))

CHUNKS = (
    # start_s, end_s, tone_hz, the reason of its rejection, words
    (1.0, 3.5, 500.0, None, ("The", "lamp", "was", "lit", "again")),
    (4.0, 6.0, 1500.0, CHUNK_REASON, ("noise", "and", "hum")),
    (7.0, 11.0, 3000.0, None, ("Keep", "your", "oil", "and", "wait", "until", "morning", "comes")),
)

SEGMENTS = (
    # start_s, end_s, label; from start to end of the sermon
    (0.0, 0.5, "silence"),
    (0.5, 3.75, "speech"),
    (3.75, 4.5, "music"),
    (4.5, 6.0, "speech_over_music"),
    (6.0, 6.5, "singing"),
    (6.5, 6.9, "noise"),
    (6.9, 12.0, "speech"),
)
TURNS = ((1.0, 3.5, "S1"), (4.0, 6.0, "S2"), (7.0, 11.0, "S1"))


def chunk_id(number: int) -> str:
    return f"{number:016x}"


def word_times_s(chunk: int, word: int) -> tuple[float, float]:
    """Start and end of a word: the words of a chunk share its time equally."""
    start_s, end_s, _, _, words = CHUNKS[chunk]
    step_s = (end_s - start_s) / len(words)
    return start_s + word * step_s, start_s + (word + 1) * step_s


def build_home(home: Path) -> Path:
    """One whole sermon, one silent, one unreadable, one waiting, one with a hostile title."""
    store = MetadataStore(home)
    _register(store, SERMON, "The Lamp and the Oil", speaker="Ann Preacher", duration_s=DURATION_S, split="train")
    stage(store, SERMON, "recording")
    stage(store, SERMON, "captions", tables={"captions": _captions()})
    _sound(store, SERMON, tones())
    stage(store, SERMON, "sound_classes", tables={"sound_measures": [_measures()], "segments": _segments()})
    stage(store, SERMON, "separated_audio")
    _sound(store, SERMON, 2 * tones(), "enhanced_audio", {"enhancements": [_enhancement()]})
    stage(store, SERMON, "speaker_turns", tables={"speaker_turns": _turns()})
    stage(store, SERMON, "speech_chunks", tables={"speech_chunks": _speech_chunks()})
    stage(store, SERMON, "training_chunks", tables={"training_chunks": _training_chunks()})
    stage(store, SERMON, "transcript", tables={"transcripts": _transcripts()})
    stage(store, SERMON, "consensus", tables={"second_opinions": _second_opinions(), "consensus": _consensus()})

    _register(store, SILENT, "Silent Sunday", duration_s=5.0)
    stage(store, SILENT, "recording")
    _sound(store, SILENT, np.zeros(5 * RATE_HZ))
    stage(store, SILENT, "speech_chunks", rejected=SILENT_REASON, gate="speech")

    _register(store, UNREADABLE, "Unreadable")
    stage(
        store, UNREADABLE, "recording", rejected="The file is not a recording: its content is text.", gate="unreadable"
    )

    _register(store, WAITING, "Waiting", duration_s=1800.0)
    stage(store, WAITING, "recording")

    _register(store, HOSTILE, HOSTILE_TITLE, speaker=HOSTILE_TITLE)
    stage(store, HOSTILE, "recording", rejected=HOSTILE_TITLE)
    return home


def tones() -> np.ndarray:
    """Silence, with a tone of its own where each chunk is."""
    samples = np.zeros(round(DURATION_S * RATE_HZ))
    for start_s, end_s, tone_hz, _, _ in CHUNKS:
        at = np.arange(round(start_s * RATE_HZ), round(end_s * RATE_HZ))
        samples[at] = 0.3 * np.sin(2 * np.pi * tone_hz * at / RATE_HZ)
    return samples


def stage(
    store: MetadataStore,
    sermon: str,
    name: str,
    rejected: str | None = None,
    tables: Mapping[str, list[dict[str, Any]]] | None = None,
    gate: str | None = None,
) -> None:
    status = "rejected" if rejected else "accepted"
    result = StageResult(status=status, reason=rejected, tables=tables or {}, gate=gate)
    build_stage(store, sermon, name, "0" * 64, lambda folder: result)


def _register(
    store: MetadataStore,
    sermon: str,
    title: str,
    speaker: str | None = None,
    duration_s: float | None = None,
    split: str | None = None,
) -> None:
    registration = {"sermon": sermon, "title": title, "speaker": speaker, "date": sermon[:10]}
    store.write("registrations", sermon, [{**registration, "source": "a.wav", "sha256": "0" * 64, "version": 1}])
    store.write("recordings", sermon, [{"sermon": sermon, "duration_s": duration_s, "size_bytes": 1}])
    if split:
        store.write("splits", sermon, [{"sermon": sermon, "split": split, "pinned": False}])


def _sound(
    store: MetadataStore,
    sermon: str,
    samples: np.ndarray,
    name: str = "standard_audio",
    tables: Mapping[str, list[dict[str, Any]]] | None = None,
) -> None:
    def make(folder: Path) -> StageResult:
        soundfile.write(folder / "audio.wav", samples, RATE_HZ, subtype="PCM_16")
        overview_of(folder / "audio.wav").save(folder / "overview.npz")
        return StageResult(tables=tables or {})

    build_stage(store, sermon, name, "1" * 64, make)


def _measures() -> dict[str, Any]:
    samples = round(DURATION_S * RATE_HZ)
    return {"sermon": SERMON, "samples": samples, "snr_db": 21.0, "silence_ratio": 0.2, "bandwidth_hz": 7000.0}


def _segments() -> list[dict[str, Any]]:
    return [
        {"sermon": SERMON, **_samples(start_s, end_s), "label": label, "view": "original"}
        for start_s, end_s, label in SEGMENTS
    ]


def _turns() -> list[dict[str, Any]]:
    return [{"sermon": SERMON, **_samples(start_s, end_s), "speaker": speaker} for start_s, end_s, speaker in TURNS]


def _samples(start_s: float, end_s: float) -> dict[str, int]:
    return {"start_sample": round(start_s * RATE_HZ), "end_sample": round(end_s * RATE_HZ)}


def _enhancement() -> dict[str, Any]:
    return {
        "sermon": SERMON,
        "loudness_before_lufs": -26.5,
        "gain_db": 6.0,
        "loudness_lufs": -20.5,
        "true_peak_dbtp": -1.0,
        "loudness_shortfall_db": 4.5,
        "separated_s": 0.0,
    }


def _captions() -> list[dict[str, Any]]:
    return [{"sermon": SERMON, "start_s": start, "end_s": end, "text": text} for start, end, text in CAPTIONS]


def _second_opinions() -> list[dict[str, Any]]:
    texts = {0: "the lamp was lit again", 2: "keep you oil an weight until morning comes"}
    rows = [
        {"sermon": SERMON, "chunk_id": chunk_id(number), "system": SECOND, "text": text}
        for number, text in texts.items()
    ]
    return [*rows, {"sermon": SERMON, "chunk_id": chunk_id(1), "system": HOSTILE_TITLE, "text": HOSTILE_TITLE}]


def _consensus() -> list[dict[str, Any]]:
    sure = {"sermon": SERMON, "chunk_id": chunk_id(0), "mean_cer": 0.01, "status": "reliable"}
    unsure = {"sermon": SERMON, "chunk_id": chunk_id(2), "mean_cer": 0.14, "status": "unsure", "reason": UNSURE_REASON}
    return [sure, unsure]


def _speech_chunks() -> list[dict[str, Any]]:
    return [
        {
            "sermon": SERMON,
            "chunk_id": chunk_id(number),
            **_samples(start_s, end_s),
            "silence_ratio": 0.1,
            "forced_cut": number == 2,
            "status": "accepted",
        }
        for number, (start_s, end_s, _, _, _) in enumerate(CHUNKS)
    ]


def _training_chunks() -> list[dict[str, Any]]:
    return [
        {
            "sermon": SERMON,
            "chunk_id": chunk_id(number),
            "view": "original",
            "loudness_lufs": float("-inf") if reason else -20.5,
            "status": "rejected" if reason else "accepted",
            "reason": reason,
            "gate": "noise" if reason else None,
            "snr_db": 8.2 if reason else 21.5,
            "wada_snr_db": 8.2 if reason else 21.5,
            "vad_snr_db": 9.9 if reason else 30.25,
            "clipped_ratio": 0.0004,
            "bandwidth_hz": 7000.0,
            "speaker": "S2" if reason else "S1",
            "speaker_share": 0.9,
        }
        for number, (_, _, _, reason, _) in enumerate(CHUNKS)
    ]


def _transcripts() -> list[dict[str, Any]]:
    return [
        {
            "sermon": SERMON,
            "chunk_id": chunk_id(number),
            "system": RECOGNISER,
            "view": "enhanced",
            "text": " ".join(words),
            "avg_logprob": -0.25,
            "no_speech_prob": 0.01,
            "compression_ratio": 1.2,
            "words": [_word(number, position) for position in range(len(words))],
            "decoding": "{}",
        }
        for number, (_, _, _, _, words) in enumerate(CHUNKS)
    ]


def _word(chunk: int, position: int) -> dict[str, Any]:
    start_s, end_s = word_times_s(chunk, position)
    return {
        "word": f" {CHUNKS[chunk][4][position]}",
        "start_sample": round(start_s * RATE_HZ),
        "end_sample": round(end_s * RATE_HZ),
        "probability": 0.3 if (chunk, position) == (0, 1) else 0.95,
    }
