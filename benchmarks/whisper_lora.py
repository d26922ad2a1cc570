"""What a Whisper adapter is worth in a hall, for speakers that it has not heard.

    python benchmarks/whisper_lora.py DATA [--targets all-linear] [--learning-rate 5e-4] [--epochs 4]

DATA holds `audio/manifest.jsonl` (a line of JSON for each recording, with `file`, `speaker`, `ref_kind` and `ref_text`),
recordings of LibriSpeech below `audio/librispeech/`, and impulse responses in `audio/rir/`. The recordings are convolved
with the response of a church. Each speaker is left out once: an adapter of Whisper tiny.en learns from the others, is exported,
and hears the speaker as the platform does (CTranslate2, int8, beam 5), in the church and dry. LibriSpeech writes no
capitals and no punctuation; what is taught is what a reviewer would make of the base's own text: words that it heard
rightly stay as it wrote them. Without a GPU: a training takes some minutes on two cores.
"""

import argparse
import json
import re
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from pathlib import Path

import numpy as np

from stt_platform.audio import SAMPLE_RATE_HZ
from stt_platform.audio.reading import read_stretch
from stt_platform.evaluation.church_english import normalise_church_english
from stt_platform.evaluation.intervals import Counts, Interval, corpus_rate
from stt_platform.evaluation.paired import paired_rates
from stt_platform.evaluation.wer import word_errors
from stt_platform.models.registry import model
from stt_platform.models.whisper_weights import whisper_folder
from stt_platform.speech.recognisers.base import ChunkSpan
from stt_platform.speech.recognisers.faster_whisper import FasterWhisper
from stt_platform.training.checkpoints import Checkpoints
from stt_platform.training.loop import LoopOptions, Step, Trained, train
from stt_platform.training.whisper_data import WhisperExample, WhisperSetOptions, prepare
from stt_platform.training.whisper_export import export_whisper
from stt_platform.training.whisper_lora import WhisperLoraOptions, WhisperLoraTask, load_whisper

MODEL = "whisper-tiny.en"
RESPONSE = "openair_st_andrews_church.wav"
LONGEST_SAMPLES = 30 * SAMPLE_RATE_HZ


@dataclass(frozen=True)
class Clip:
    """One utterance, dry and in the church."""

    key: str
    speaker: str
    text: str
    dry: np.ndarray
    church: np.ndarray


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--targets", default="all-linear", choices=("q_proj,v_proj", "attention", "all-linear"))
    parser.add_argument("--learning-rate", type=float, default=5e-4)
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--batch", type=int, default=4, help="examples of an optimizer step")
    parser.add_argument(
        "--packed", type=float, default=0.0, help="share of the speakers whose clips are joined to 30 s"
    )
    parser.add_argument("--folds", type=int, default=3, help="trainings; each leaves out its share of the speakers")
    parser.add_argument("--only", type=int, help="this fold alone, from 0")
    parser.add_argument("--autocast", default="none", choices=("none", "bfloat16"))
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()

    import torch

    torch.set_num_threads(arguments.threads)
    clips = read_clips(arguments.data)
    speakers = sorted({clip.speaker for clip in clips})
    folds = [speakers[k :: arguments.folds] for k in range(arguments.folds)]
    print(f"{len(clips)} clips of {len(speakers)} speakers, {sum(len(c.dry) for c in clips) / SAMPLE_RATE_HZ:.0f} s")
    heard: dict[tuple[str, str], dict[str, str]] = defaultdict(dict)
    places = ("church", "dry")
    with tempfile.TemporaryDirectory() as work:
        base = whisper_folder(MODEL, Path(work), print)
        for place in places:
            heard["base", place] = transcripts(model(MODEL).folder_on_disk(), clips, place, arguments.threads)
        for number, held_out in enumerate(folds):
            if arguments.only not in (None, number):
                continue
            tested = [clip for clip in clips if clip.speaker in held_out]
            taught = [clip for clip in clips if clip.speaker not in held_out]
            folder = Path(work) / f"fold{number}"
            trained = learn(base, taught, heard["base", "church"], folder, arguments)
            print(f"fold {number}, without {', '.join(held_out)}: {described(trained)}", flush=True)
            for place in places:
                heard["adapter", place] |= transcripts(folder / "served", tested, place, arguments.threads)
    for place in places:
        tested = [clip for clip in clips if clip.key in heard["adapter", place]]
        report(place, tested, heard["base", place], heard["adapter", place])


def read_clips(data: Path) -> list[Clip]:
    """The utterances of LibriSpeech that have a reference."""
    from scipy.signal import fftconvolve

    response = read_stretch(data / "audio" / "rir" / RESPONSE)
    clips = []
    for line in (data / "audio" / "manifest.jsonl").read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        wanted = row["file"].startswith(("audio/librispeech/test-", "audio/librispeech/dev-"))
        if not (wanted and row["ref_kind"].startswith("reference")):
            continue
        dry = read_stretch(data / row["file"])
        church = fftconvolve(dry, response)[:LONGEST_SAMPLES]
        church = (0.5 * church / np.abs(church).max()).astype(np.float32)
        clips.append(Clip(Path(row["file"]).stem, row["speaker"], row["ref_text"], dry, church))
    return clips


def corrected(text: str, heard: str) -> str:
    """What was said, with the words that were heard rightly written as they were heard."""
    said, written = text.split(), heard.split()
    sides = [[re.sub(r"[^\w']", "", word.casefold()) for word in words] for words in (said, written)]
    for block in SequenceMatcher(None, *sides, autojunk=False).get_matching_blocks():
        said[block.a : block.a + block.size] = written[block.b : block.b + block.size]
    return " ".join(said)


def learn(
    base: Path, clips: Sequence[Clip], heard: Mapping[str, str], folder: Path, arguments: argparse.Namespace
) -> Trained:
    """Train on the clips as they sound in the church; the exported model is in `folder/served`."""
    checkpoint = load_whisper(base)
    examples = [
        WhisperExample(clip.key, clip.church, corrected(clip.text, heard[clip.key]), recording=clip.speaker)
        for clip in clips
    ]
    options = WhisperSetOptions(packed_share=arguments.packed)
    taught = prepare(examples, checkpoint.tokenizer, checkpoint.feature_extractor, checkpoint.tokens, options)
    micro = min(arguments.batch, 4)
    lora = WhisperLoraOptions(targets=arguments.targets, micro_batch=micro, checkpointing=False)
    loop = LoopOptions(
        epochs=arguments.epochs,
        accumulation=arguments.batch // micro,
        learning_rate=arguments.learning_rate,
        evaluate_every_steps=None,
        autocast=arguments.autocast,
    )
    task = WhisperLoraTask(checkpoint, taught, None, lora, base_name=MODEL)
    trained = train(task, loop, Checkpoints(folder, "checkpoints"), progress=show)
    (folder / "adapter").mkdir()
    task.save(folder / "adapter")
    export_whisper(base, folder / "adapter", folder / "served")
    return trained


def show(step: Step) -> None:
    if sys.stdout.isatty():
        print(f"  step {step.step}/{step.steps_total}: loss {step.loss:.3f}", end="\r", flush=True)


def described(trained: Trained) -> str:
    first, last = (sum(s.loss for s in part) / len(part) for part in (trained.steps[:4], trained.steps[-4:]))
    return f"{len(trained.steps)} steps in {trained.seconds:.0f} s, loss {first:.2f} to {last:.2f}"


def transcripts(folder: Path, clips: Sequence[Clip], place: str, threads: int) -> dict[str, str]:
    """What a model hears in each clip, as the platform transcribes."""
    whisper = FasterWhisper(str(folder), cpu_threads=threads)
    found = {}
    for clip in clips:
        sound = getattr(clip, place)
        span = ChunkSpan(clip.key, 0, len(sound))
        (heard,) = whisper.transcribe_chunks(
            lambda start, end, sound=sound: sound[start:end], [span], word_timestamps=False
        )
        found[clip.key] = heard.text
    return found


def report(place: str, clips: Sequence[Clip], base: Mapping[str, str], adapter: Mapping[str, str]) -> None:
    """Print both error rates, the gain, and how sure they are, with speakers as what was drawn."""
    counts = [by_speaker(clips, heard) for heard in (base, adapter)]
    for name, counted in zip(("base", "adapter"), counts, strict=True):
        print(f"{place}, {name}: WER {shown(corpus_rate(counted.values()))}")
        print("  " + ", ".join(f"{s.split()[-2]} {100 * c.errors / c.words:.1f}" for s, c in sorted(counted.items())))
    compared = paired_rates(*counts)
    if compared.value_a:
        print(f"{place}: {100 * compared.difference / compared.value_a:+.1f} % relative; {compared.reason}")


def by_speaker(clips: Sequence[Clip], heard: Mapping[str, str]) -> dict[str, Counts]:
    pairs: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for clip in clips:
        pairs[clip.speaker].append((clip.text, heard[clip.key]))
    found = {speaker: word_errors(rows, normalise=normalise_church_english) for speaker, rows in pairs.items()}
    return {s: Counts(e.substitutions + e.deletions + e.insertions, e.reference_words) for s, e in found.items()}


def shown(rate: Interval) -> str:
    if rate.low is None:
        return f"{100 * rate.value:.1f} % ({rate.reason})"
    return f"{100 * rate.value:.1f} % ({100 * rate.low:.1f} to {100 * rate.high:.1f})"


if __name__ == "__main__":
    started = time.monotonic()
    main()
    print(f"{time.monotonic() - started:.0f} s in all")
