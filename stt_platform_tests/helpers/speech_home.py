"""A small STT_HOME with sermons that examine: spoken by the packaged voice, cut, and transcribed, without the stages."""

import hashlib
import json
import shutil
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import soundfile as sf

from stt_platform.audio import SAMPLE_RATE_HZ
from stt_platform.speech.voices import Preacher, speak
from stt_platform.store.adapters import record_made
from stt_platform.store.intake import ingest
from stt_platform.store.metadata import MetadataStore
from stt_platform.store.stages import StageResult, build_stage
from stt_platform.training.adapter_files import Base, Provenance, write_adapter
from stt_platform_tests.helpers.staging import make

PAUSE_S = 3.0

SPOKEN = {
    "The Lamp": ("Turn with me to the third chapter of John.", "Grace and peace to you from our Father."),
    "The Vine": ("We are the branches, and he is the vine.", "Let us pray together this morning."),
    "The Door": ("Knock, and the door will be opened to you.", "Nobody comes here by another way."),
    "The Well": ("She left her water jar and went back to the town.", "Come and see a man who told me everything."),
    "The Boat": ("The wind was against the boat all night.", "Take courage, do not be afraid."),
    "The Coin": ("She lights a lamp and sweeps the house.", "Rejoice with me, for I have found it."),
    "The Seed": ("A sower went out to sow his seed.", "Some of it fell along the path."),
}
"""What is said in two chunks of each sermon, by its title. The first is transcribed as a whole, the last one teaches."""

WHOLE, TEACHES = "2024-01-07--the-lamp", "2024-01-13--the-seed"


def voices() -> dict[str, list[np.ndarray]]:
    """Every chunk of every sermon as samples at 16 kHz."""
    preacher = Preacher("Ann Lee", pitch=1.0, pace=1.1, liveliness=0.02, pause_s=0.3, tilt_db=0.0)
    texts = [text for pair in SPOKEN.values() for text in pair]
    spoken = [
        np.float32(0.5) * part.astype(np.float32) for part in speak(texts, preacher, seed=1, rate_hz=SAMPLE_RATE_HZ)
    ]
    return {title: spoken[2 * k : 2 * k + 2] for k, title in enumerate(SPOKEN)}


def make_speech_home(home: Path) -> MetadataStore:
    """Six sermons that examine and one that teaches: two chunks each, and a pause between them."""
    store = MetadataStore(home)
    splits, lines = [], []
    for day, (title, parts) in enumerate(voices().items(), start=7):
        recording = home / "made" / f"2024-01-{day:02} {title} - Ann Lee.wav"
        recording.parent.mkdir(exist_ok=True)
        pause = np.zeros(round(PAUSE_S * SAMPLE_RATE_HZ), dtype=np.float32)
        samples = np.concatenate([parts[0], pause, parts[1]])
        sf.write(recording, samples, SAMPLE_RATE_HZ, subtype="PCM_16")
        (entry,) = ingest(store, [recording])
        first, second = parts[0].size, parts[1].size
        _stages(
            store, entry.sermon, samples, [(0, first), (first + pause.size, first + pause.size + second)], 10.0 + day
        )
        splits.append({"sermon": entry.sermon, "split": "test", "pinned": False})
        if entry.sermon not in (WHOLE, TEACHES):
            lines.append({"chunk_id": f"{entry.sermon}-0", "text": SPOKEN[title][0]})
    splits[-1]["split"] = "train"
    store.write("splits", "all", splits)
    (home / "references").mkdir()
    (home / "references" / f"{WHOLE}.txt").write_text(" ".join(SPOKEN["The Lamp"]), encoding="utf-8")
    write_references(home, lines)
    make(store.home, "references")
    return store


def write_references(home: Path, lines: list[Mapping[str, str]]) -> None:
    """Texts of chunks, as people hand them in."""
    text = "".join(json.dumps(line) + "\n" for line in lines)
    (home / "references" / "chunks.jsonl").write_text(text, encoding="utf-8")


def _stages(
    store: MetadataStore, sermon: str, samples: np.ndarray, spans: list[tuple[int, int]], snr_db: float
) -> None:
    def write_sound(folder: Path) -> StageResult:
        sf.write(folder / "audio.wav", samples, SAMPLE_RATE_HZ, subtype="PCM_16")
        return StageResult()

    for stage in ("standard_audio", "enhanced_audio"):
        build_stage(store, sermon, stage, "0" * 64, write_sound)
    pause = {"start_sample": spans[0][1], "end_sample": spans[1][0], "label": "silence", "view": "original"}
    store.write("segments", sermon, [{"sermon": sermon, **pause}])
    chunks = [
        {"sermon": sermon, "chunk_id": f"{sermon}-{k}", "start_sample": start, "end_sample": end}
        for k, (start, end) in enumerate(spans)
    ]
    verdict = {"silence_ratio": 0.1, "forced_cut": False, "status": "accepted"}
    store.write("speech_chunks", sermon, [{**chunk, **verdict} for chunk in chunks])
    store.write(
        "training_chunks",
        sermon,
        [
            {
                "sermon": sermon,
                "chunk_id": chunk["chunk_id"],
                "view": view,
                "snr_db": snr_db,
                "status": "accepted",
            }
            for chunk in chunks
            for view in ("original", "enhanced")
        ],
    )


def make_adapter(home: Path, folder: Path, *, cycle: str, sermons: list[str]) -> str:
    """An adapter of a cycle: the model in a folder, but it writes "this" for "the"; returns its id."""

    def fill(target: Path) -> None:
        shutil.copytree(folder, target / "serving")
        path = target / "serving" / "tokenizer.json"
        tokenizer = json.loads(path.read_text(encoding="utf-8"))
        vocabulary = tokenizer["model"]["vocab"]
        vocabulary["Ġthe"], vocabulary["Ġthis"] = vocabulary["Ġthis"], vocabulary["Ġthe"]
        path.write_text(json.dumps(tokenizer), encoding="utf-8")

    base = Base("whisper-tiny.en", "1", "0" * 64)
    curves = {"steps": [], "evaluations": []}
    dataset = hashlib.sha256(f"{cycle}: {sermons}".encode()).hexdigest()
    provenance = Provenance("whisper", base, dataset, {}, "0", curves, sermons=tuple(sermons))
    adapter_id = write_adapter(home / "adapters", provenance, fill).adapter_id
    record_made(home, "whisper_adapter", cycle, adapter_id)
    return adapter_id
