"""A small STT_HOME with a list of chunks that people are to be asked about: their sound, and what was heard in them."""

import json
from dataclasses import asdict
from pathlib import Path

import numpy as np
import soundfile as sf

from stt_platform.audio import SAMPLE_RATE_HZ
from stt_platform.feedback.tools.base import ReviewTask
from stt_platform.store.metadata import MetadataStore
from stt_platform.store.stages import StageResult, build_stage, part_owner

SERMON = "2024-03-10--the-lamp-and-the-oil"
HEARD = ("the lamb was lit again", "keep your oil and weight until morning", "he came by knight")
DURATION_S = 6.0
SYSTEM = "faster-whisper:whisper-tiny.en@0.1.0"


def chunk_id(number: int) -> str:
    return f"{number:016x}"


def make_review_home(home: Path) -> MetadataStore:
    """One sermon that teaches, three chunks of a tone each, and the list of cycle 0 with all of them."""
    store = MetadataStore(home)
    store.write("splits", SERMON, [{"sermon": SERMON, "split": "train", "pinned": False}])
    paths = [_sound(home, number) for number in range(len(HEARD))]
    length = round(DURATION_S * SAMPLE_RATE_HZ)
    known = [{"sermon": SERMON, "chunk_id": chunk_id(number)} for number in range(len(HEARD))]
    cut = {"silence_ratio": 0.1, "forced_cut": False, "status": "accepted"}
    store.write(
        "speech_chunks",
        SERMON,
        [
            {**chunk, **cut, "start_sample": number * length, "end_sample": (number + 1) * length}
            for number, chunk in enumerate(known)
        ],
    )
    store.write("transcripts", SERMON, [_heard(number) for number in range(len(HEARD))])
    flag(home, 0, [_task(number, path) for number, path in enumerate(paths)])
    return store


def flag(home: Path, cycle: int, tasks: list[ReviewTask]) -> None:
    """Make the output of `flagged_segments` for a cycle."""

    def make(folder: Path) -> StageResult:
        written = json.dumps([asdict(task) for task in tasks])
        (folder / "tasks.json").write_text(written, encoding="utf-8")
        return StageResult()

    build_stage(MetadataStore(home), part_owner("cycle", str(cycle)), "flagged_segments", f"{len(tasks):064x}", make)


def sound_path(number: int) -> str:
    """Where the sound of a chunk lies, relative to the home."""
    return f"sermons/{SERMON}/training_chunks/made/chunks/{chunk_id(number)}.original.flac"


def _sound(home: Path, number: int) -> str:
    path = home / sound_path(number)
    path.parent.mkdir(parents=True, exist_ok=True)
    at_s = np.arange(round(DURATION_S * SAMPLE_RATE_HZ)) / SAMPLE_RATE_HZ
    sf.write(path, 0.3 * np.sin(2 * np.pi * 220 * (number + 1) * at_s), SAMPLE_RATE_HZ, subtype="PCM_16")
    return sound_path(number)


def _heard(number: int) -> dict[str, object]:
    numbers = {"avg_logprob": -0.5, "no_speech_prob": 0.01, "compression_ratio": 1.2}
    told = {"sermon": SERMON, "chunk_id": chunk_id(number), "system": SYSTEM, "view": "original", "decoding": "{}"}
    return {**told, **numbers, "text": HEARD[number], "words": []}


def _task(number: int, path: str) -> ReviewTask:
    return ReviewTask(
        chunk_id=chunk_id(number),
        sermon=SERMON,
        audio=path,
        duration_s=DURATION_S,
        proposal=HEARD[number],
        system=SYSTEM,
        confidence=0.4,
        why="many words are in doubt",
        speaker="S1",
    )
