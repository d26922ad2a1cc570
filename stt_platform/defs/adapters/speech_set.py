"""What the recogniser learns from: the asset `speech_training_set`."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import soundfile as sf

from stt_platform.audio import SAMPLE_RATE_HZ
from stt_platform.audio.media import UnreadableMedia
from stt_platform.audio.reading import read_stretch
from stt_platform.defs.adapters import report
from stt_platform.defs.adapters.speech_chunks import labelled_chunks, silent_stretches
from stt_platform.defs.corpus import corpus_stage
from stt_platform.defs.cycles import CYCLES
from stt_platform.defs.sermons.freezing import freeze_sermons
from stt_platform.defs.work import Work
from stt_platform.evaluation.general_sets import USABLE, Utterance, read_general_sets
from stt_platform.files import link_atomically, sha256_of
from stt_platform.settings import PlatformError, Settings
from stt_platform.store.choices import LabelPolicy, ViewChoice, label_policy, training_view
from stt_platform.store.metadata import MetadataStore
from stt_platform.store.stages import StageResult, current_output
from stt_platform.training.speech_set import (
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
    """Where general English lies that is taught again, so that it is not forgotten."""
    return home / "replay"


def _choices(home: Path, settings: Settings) -> tuple[ViewChoice, LabelPolicy]:
    policy = label_policy(home, settings.assessment.label_policy)
    return training_view(home, settings.training_view), policy


def _options(settings: Settings, policy: str) -> SpeechSetOptions:
    chosen = settings.speech_training
    return SpeechSetOptions(
        policy=policy,
        min_avg_logprob=chosen.min_avg_logprob,
        drop_worst=chosen.drop_worst,
        replay_ratio=chosen.replay_ratio,
        no_speech_share=chosen.no_speech_share,
        timestamp_share=chosen.timestamp_share,
        most_dev=chosen.dev_examples,
        seed=chosen.seed,
    )


def _parameters(home: Path, settings: Settings, cycle: str) -> Mapping[str, Any]:
    view, policy = _choices(home, settings)
    store = MetadataStore(home)
    read = [asdict(chunk) for chunk in labelled_chunks(store, view.view, int(cycle))]
    read += [[sound.sound_id, start, end] for sound, start, end in silent_stretches(store)]
    folder = replay_folder(home)
    general = [
        (path.relative_to(folder).as_posix(), path.stat().st_size, path.stat().st_mtime_ns)
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    ]
    return {
        "options": asdict(_options(settings, policy.policy)),
        "view": view.view,
        "chunks": hashlib.sha256(json.dumps(read, sort_keys=True).encode()).hexdigest(),
        "replay": hashlib.sha256(json.dumps(general).encode()).hexdigest(),
    }


@corpus_stage(
    version="1",
    group="adapters",
    kinds={"audio"},
    upstream=("corrections",),
    after=("sermon_split", "references", "baseline_wer"),
    tables=("training_examples",),
    parameters=_parameters,
    parts=CYCLES,
    published={MANIFEST: "training/speech_training_set-{part}.json"},
    metadata=report.speech_set_metadata,
)
def speech_training_set(work: Work) -> StageResult:
    """What the recogniser learns from in this cycle, as an audio folder: chunks of training sermons, each with its best text.

    Corrections by people go first, then texts that systems of different kinds agree on, then automatic texts as far as
    their measured error rate allows. Some stretches where nobody speaks teach it to be silent, and general English (put
    recordings with their texts into `STT_HOME/replay`) keeps it from forgetting. From here on the split of the sermons is
    frozen.
    """
    store = work.store
    freeze_sermons(store)
    view, policy = _choices(store.home, work.settings)
    chunks = labelled_chunks(store, view.view, int(work.part))
    silences = {sound.sound_id: (sound, start, end) for sound, start, end in silent_stretches(store)}
    general = _replay(replay_folder(store.home))
    try:
        found = speech_set(
            chunks,
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
        "cycle": int(work.part),
        "view": view.view,
        "why this view": view.why,
        "why this policy": policy.why,
        "unreadable": unreadable,
        "made from": {name: output.digest for name, output in sorted(work.inputs.items())},
    }
    text = json.dumps(manifest, ensure_ascii=False, indent=1, sort_keys=True)
    (work.folder / MANIFEST).write_text(text, encoding="utf-8")
    hours = sum(manifest["hours"].get("train", {}).values())
    return StageResult(
        facts={"examples": len(kept.examples), "hours": round(hours, 3), "sha256": manifest["sha256"]},
        tables={"training_examples": [_row(work.part, example) for example in kept.examples]},
    )


def _replay(folder: Path) -> dict[str, tuple[OtherSound, Utterance]]:
    found: dict[str, tuple[OtherSound, Utterance]] = {}
    for each in read_general_sets(folder).speech:
        for row in each.utterances:
            if row.status == USABLE and row.audio is not None:
                # How long it is, is known once it is read: what cannot be read is marked then.
                name = f"replay.{hashlib.sha256(f'{each.name} {row.key}'.encode()).hexdigest()[:16]}"
                found[name] = OtherSound(name, 0.0, str(row.audio), row.text), row
    return found


class _AudioFolder:
    """Writes the sound of a set as `train/` and `dev/`, each with a `metadata.jsonl`, as `datasets` reads it."""

    def __init__(self, work: Work, silences: Mapping[str, tuple[int, int]], general: Mapping[str, Utterance]) -> None:
        self._work, self._silences, self._general = work, silences, general
        self.sha256: dict[str, str] = {}

    def write(self, found: SpeechSet) -> tuple[SpeechSet, dict[str, str]]:
        """The set without what could not be read, and why that could not."""
        unreadable: dict[str, str] = {}
        kept: list[SpeechExample] = []
        for number, example in enumerate(found.examples, start=1):
            try:
                kept.append(self._write_one(example))
            except (UnreadableMedia, OSError, sf.SoundFileError) as error:
                unreadable[example.example_id] = str(error)
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
            output = current_output(self._work.store.home, example.audio, "standard_audio")
            if output is None:
                raise FileNotFoundError(f"{example.audio} has no sound: run its stages again")
            self._write_samples(target, output.folder / "audio.wav", start, end)
        elif example.example_id in self._general:
            self._write_samples(target, Path(example.audio), 0, None)
        else:
            link_atomically(self._work.store.home / example.audio, target)
        self.sha256[example.example_id] = sha256_of(target)
        with sf.SoundFile(target) as sound:
            duration_s = sound.frames / sound.samplerate
        if duration_s > _LONGEST_S:
            raise OSError(f"{example.audio} lasts {duration_s:.1f} s, more than Whisper's window of {_LONGEST_S:g} s")
        return replace(example, duration_s=duration_s)

    def _speaker_of(self, name: str) -> str:
        """Whose general speech it is, so that what one person says may be joined; empty where the set does not tell."""
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
