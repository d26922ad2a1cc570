"""The training and validation sets of the recogniser: the asset `speech_training_set`."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import soundfile as sf

from stt_platform.audio import SAMPLE_RATE_HZ
from stt_platform.audio.media import UnreadableMedia
from stt_platform.audio.reading import read_stretch
from stt_platform.defs.adapters import report
from stt_platform.defs.adapters.planning import options_of
from stt_platform.defs.adapters.speech_chunks import labelled_chunks, silent_stretches
from stt_platform.errors import PlatformError
from stt_platform.evaluation.general_sets import USABLE, Utterance, read_general_sets
from stt_platform.machine.files import link_atomically, sha256_of
from stt_platform.orchestration.scopes import CYCLE
from stt_platform.orchestration.stage import stage
from stt_platform.orchestration.work import StageContext, Work
from stt_platform.settings import Settings
from stt_platform.store.choices import LabelPolicy, ViewChoice, label_policy, training_view
from stt_platform.store.splits import freeze_sermons
from stt_platform.store.stages import StageOutput, StageResult
from stt_platform.training.speech_set import (
    LabelledChunk,
    NothingToLearn,
    OtherSound,
    SpeechExample,
    SpeechSet,
    SpeechSetOptions,
    speech_set,
)

MANIFEST = "speech_training_set.json"
METADATA = "metadata.jsonl"
_LONGEST_S = 30.0


def replay_folder(home: Path) -> Path:
    """Locate the general English that is trained on again, so that it is not forgotten."""
    return home / "replay"


def _choices(home: Path, settings: Settings) -> tuple[ViewChoice, LabelPolicy]:
    policy = label_policy(home, settings.assessment.label_policy)
    return training_view(home, settings.training_view), policy


def _options(settings: Settings, policy: str) -> SpeechSetOptions:
    chosen = settings.speech_training
    return options_of(SpeechSetOptions, chosen, policy=policy, most_dev=chosen.dev_examples)


@dataclass(frozen=True)
class _Material:
    """What a set is chosen from.

    Attributes:
        silences: stretches in which nobody speaks, with their samples.
        sounds: the standard audio of their sermons.
        splits: the split of each sermon.
    """

    chunks: list[LabelledChunk]
    silences: list[tuple[OtherSound, int, int]]
    sounds: Mapping[str, StageOutput | None]
    splits: Mapping[str, str]


def _read(context: StageContext) -> _Material:
    view, _ = _choices(context.home, context.settings)
    silences = list(silent_stretches(context.store))
    rows = context.store.query("select sermon, split from splits").to_pylist()
    return _Material(
        chunks=labelled_chunks(context.store, view.view, context.cycle),
        silences=silences,
        sounds={
            sermon: context.output(sermon, "standard_audio") for sermon in sorted({row[0].audio for row in silences})
        },
        splits={row["sermon"]: row["split"] for row in rows},
    )


def _parameters(context: StageContext) -> Mapping[str, Any]:
    view, policy = _choices(context.home, context.settings)
    return {"options": _options(context.settings, policy.policy).model_dump(), "view": view.view}


def _files(context: StageContext) -> Mapping[str, Path]:
    folder = replay_folder(context.home)
    return {path.relative_to(folder).as_posix(): path for path in sorted(folder.rglob("*")) if path.is_file()}


@dataclass(frozen=True)
class SpeechSetData:
    """What the set is: how many examples, how long they are, and the hash that names it."""

    examples: int
    hours: float
    sha256: str


@stage(
    version="1",
    group="adapters",
    kinds={"audio"},
    upstream=("corrections",),
    after=("baseline_wer",),
    reads=(
        *("speech_chunks", "training_chunks", "transcripts", "consensus", "segments"),
        *("splits", "references", "corrections"),
    ),
    outputs=("standard_audio",),
    read=_read,
    tables=("training_examples",),
    parameters=_parameters,
    files=_files,
    scope=CYCLE,
    published={MANIFEST: "training/speech_training_set-{part}.json"},
    metadata=report.speech_set_metadata,
)
def speech_training_set(work: Work) -> StageResult:
    """Assemble the training set of this cycle as an audio folder: chunks of training sermons, each with its best text.

    Corrections by people go first, then texts that systems of different kinds agree on, then automatic texts as far as
    their measured error rate allows. Some stretches where nobody speaks train it to be silent, and general English (put
    recordings with their texts into `STT_HOME/replay`) keeps it from forgetting. From here on the split of the sermons is
    frozen.
    """
    material = work.read
    freeze_sermons(work.home, material.splits)
    view, policy = _choices(work.home, work.settings)
    silences = {sound.sound_id: (sound, start, end) for sound, start, end in material.silences}
    general = _replay(replay_folder(work.home))
    try:
        found = speech_set(
            material.chunks,
            replay=[sound for sound, _ in general.values()],
            silences=[sound for sound, _, _ in silences.values()],
            options=_options(work.settings, policy.policy),
        )
    except NothingToLearn as error:
        raise PlatformError(str(error)) from error
    writer = _AudioFolder(
        work, {key: row[1:] for key, row in silences.items()}, {k: u for k, (_, u) in general.items()}
    )
    kept, unreadable = writer.write(found)
    if not any(row.split == "train" and row.text for row in kept.examples):
        name, reason = next(iter(unreadable.items()))
        raise PlatformError(f"none of {len(unreadable)} examples could be read; the first, {name}: {reason}")
    manifest = kept.manifest(writer.sha256) | {
        "cycle": work.cycle,
        "view": view.view,
        "unreadable": unreadable,
        "made from": {name: output.digest for name, output in sorted(work.inputs.items())},
    }
    text = json.dumps(manifest, ensure_ascii=False, indent=1, sort_keys=True)
    (work.folder / MANIFEST).write_text(text, encoding="utf-8")
    hours = sum(manifest["hours"].get("train", {}).values())
    data = SpeechSetData(len(kept.examples), round(hours, 3), manifest["sha256"])
    return StageResult(
        data=data,
        shown={
            **asdict(data),
            "automatic texts": f"{policy.policy.replace('_', ' ')}: {policy.why}",
            "view": f"{view.view}: {view.why}",
        },
        tables={"training_examples": [_row(work.part, example) for example in kept.examples]},
    )


def _replay(folder: Path) -> dict[str, tuple[OtherSound, Utterance]]:
    found: dict[str, tuple[OtherSound, Utterance]] = {}
    for each in read_general_sets(folder).speech:
        for row in each.utterances:
            if row.status == USABLE and row.audio is not None:
                # How long it is, is known once it is read: what cannot be read is marked then.
                name = f"replay.{hashlib.sha256(f'{each.name} {row.key}'.encode()).hexdigest()[:16]}"
                found[name] = OtherSound(name, 0.0, f"{each.name}/{row.key}", row.text), row
    return found


class _AudioFolder:
    """Writes the sound of a set as `train/` and `dev/`, each with a `metadata.jsonl`, as `datasets` reads it."""

    def __init__(self, work: Work, silences: Mapping[str, tuple[int, int]], general: Mapping[str, Utterance]) -> None:
        self._work, self._silences, self._general = work, silences, general
        self.sha256: dict[str, str] = {}

    def write(self, found: SpeechSet) -> tuple[SpeechSet, dict[str, str]]:
        """Write the sound; give the set without what could not be read, and the reasons."""
        unreadable: dict[str, str] = {}
        kept: list[SpeechExample] = []
        for number, example in enumerate(found.examples, start=1):
            try:
                kept.append(self._write_one(example))
            except (UnreadableMedia, OSError, sf.SoundFileError) as error:
                unreadable[example.example_id] = str(error).replace(str(self._work.home), "STT_HOME")
                self._file_of(example).unlink(missing_ok=True)
            self._work.progress(number, len(found.examples), "examples")
        for split in ("train", "dev"):
            rows = [self._metadata(row) for row in kept if row.split == split]
            if rows:
                (self._work.folder / split / METADATA).write_text("".join(rows), encoding="utf-8")
        return replace(found, examples=tuple(kept)), unreadable

    def _file_of(self, example: SpeechExample) -> Path:
        return self._work.folder / example.split / f"{example.example_id}.wav"

    def _write_one(self, example: SpeechExample) -> SpeechExample:
        target = self._file_of(example)
        target.parent.mkdir(exist_ok=True)
        if example.example_id in self._silences:
            start, end = self._silences[example.example_id]
            output = self._work.read.sounds[example.audio]
            if output is None:
                raise FileNotFoundError(f"{example.audio} has no sound: run its stages again")
            self._write_samples(target, output.folder / "audio.wav", start, end)
        elif example.example_id in self._general:
            self._write_samples(target, self._general[example.example_id].audio, 0, None)
        else:
            link_atomically(self._work.home / example.audio, target)
        self.sha256[example.example_id] = sha256_of(target)
        with sf.SoundFile(target) as sound:
            duration_s = sound.frames / sound.samplerate
        if duration_s > _LONGEST_S:
            raise OSError(f"{example.audio} lasts {duration_s:.1f} s, more than Whisper's window of {_LONGEST_S:g} s")
        return replace(example, duration_s=duration_s)

    def _speaker_of(self, name: str) -> str:
        """Name the speaker of general speech, whose utterances may be joined; empty where the set does not tell."""
        found = self._general.get(name)
        return f"replay:{found.speaker}" if found is not None and found.speaker else ""

    def _write_samples(self, target: Path, source: Path, start: int, end: int | None) -> None:
        sf.write(target, read_stretch(source, start, end), SAMPLE_RATE_HZ, subtype="PCM_16")

    def _metadata(self, row: SpeechExample) -> str:
        values = {
            "file_name": f"{row.example_id}.wav",
            "text": row.text,
            "kind": row.kind,
            "sermon": row.sermon,
            "recording": row.sermon or self._speaker_of(row.example_id),
            "duration_s": round(row.duration_s, 4),
            "weak": row.weak,
            "times_s": row.times_s,
            "confidence": row.confidence,
        }
        return json.dumps(values, ensure_ascii=False) + "\n"


def _row(cycle: str, example: SpeechExample) -> dict[str, Any]:
    return {
        "set": f"speech-{cycle}",
        "example_id": example.example_id,
        "source_kind": example.kind,
        "split": example.split,
        "source": f"{example.split}/{example.example_id}.wav",
        "target": example.text,
        "hints": [],
        "weight": 1.0,
    }
