"""Everyday talk for the demonstration: general English that is taught again, and another part that examines.

Who tunes a recogniser to sermons wants to see whether it got worse at everything else. In a real church recordings such
as LibriSpeech's serve for that; the demonstration makes its own, in other voices than those of its preachers.
"""

import json
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from stt_platform.audio import SAMPLE_RATE_HZ
from stt_platform.demo.workers import made_side_by_side
from stt_platform.machine.files import atomic_path, write_atomically
from stt_platform.speech.voices import Preacher, speak

FOLDER_NAME = "demo-talk"
LIST_NAME = "utterances.jsonl"

# A little noise: digital silence between the words is in no recording.
_NOISE_DB = -60.0
_LIVELINESS, _PAUSE_S = 0.03, 0.4


@dataclass(frozen=True)
class Talk:
    """What one person says: one recording for each text."""

    speaker: Preacher
    texts: tuple[str, ...]
    seed: int


def talks(part: str) -> Iterator[Talk]:
    """Yield the speakers of a part ("teaches" or "examines"), in the order of their names."""
    written = tomllib.loads(Path(__file__).with_name("general_talk.toml").read_text(encoding="utf-8"))
    for number, (name, voice) in enumerate(sorted(written["speakers"][part].items())):
        speaker = Preacher(name=name, liveliness=_LIVELINESS, pause_s=_PAUSE_S, **voice)
        yield Talk(speaker, tuple(written[part][name]), seed=1000 + number)


def make_talk(part: str, folder: Path) -> int:
    """Record the talk of a part below `folder`, with a list of what is said; returns the number of recordings.

    What is there stays as it is, so that a second call does nothing.
    """
    target = folder / FOLDER_NAME
    said = list(talks(part))
    missing = [talk for talk in said if not all(path.exists() for path in _paths(target, talk))]
    for _ in made_side_by_side(partial(_record, target), missing):
        pass
    rows = [
        {"id": path.stem, "file": path.name, "text": text, "speaker": talk.speaker.name}
        for talk in said
        for path, text in zip(_paths(target, talk), talk.texts, strict=True)
    ]
    lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()
    if not (target / LIST_NAME).exists() or (target / LIST_NAME).read_bytes() != lines:
        write_atomically(target / LIST_NAME, lines)
    return len(rows)


def _paths(target: Path, talk: Talk) -> list[Path]:
    return [target / f"{talk.speaker.name.lower()}-{number}.flac" for number in range(len(talk.texts))]


def _record(target: Path, talk: Talk) -> None:
    import soundfile as sf

    rng = np.random.default_rng(talk.seed)
    spoken = speak(talk.texts, talk.speaker, seed=talk.seed, rate_hz=SAMPLE_RATE_HZ)
    for path, samples in zip(_paths(target, talk), spoken, strict=True):
        quiet = np.zeros(SAMPLE_RATE_HZ // 2)
        sound = np.concatenate([quiet, 0.5 * samples, quiet])
        sound += 10 ** (_NOISE_DB / 20) * rng.standard_normal(sound.size)
        with atomic_path(path) as temporary:
            sf.write(temporary, sound, SAMPLE_RATE_HZ, format="FLAC", subtype="PCM_16")
