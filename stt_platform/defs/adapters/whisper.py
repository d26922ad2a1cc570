"""The recogniser's adapter of each cycle: the asset `whisper_adapter`."""

import json
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from stt_platform.defs.adapters import report
from stt_platform.defs.adapters.keeping import Training, train_adapter
from stt_platform.defs.adapters.planning import loop_of, lora_shape, options_of, plan_training
from stt_platform.defs.adapters.speech_set import MANIFEST, METADATA
from stt_platform.errors import PlatformError
from stt_platform.models.registry import model
from stt_platform.models.whisper_weights import whisper_folder
from stt_platform.orchestration.scopes import CYCLE
from stt_platform.orchestration.stage import stage
from stt_platform.orchestration.work import StageContext, Work
from stt_platform.store.stages import StageResult
from stt_platform.training.whisper_data import (
    NoUsableExample,
    Segment,
    SpecAugment,
    WhisperExample,
    WhisperSet,
    WhisperSetOptions,
    prepare,
)
from stt_platform.training.whisper_export import export_whisper
from stt_platform.training.whisper_lora import (
    WhisperCheckpoint,
    WhisperLoraOptions,
    WhisperLoraTask,
    load_whisper,
    target_modules,
)

# Tokens of a long chunk's text: what memory is planned for. The decoder could read 448.
_PLANNED_TOKENS = 225


def _parameters(context: StageContext) -> Mapping[str, Any]:
    chosen = context.settings.speech_training
    return chosen.model_dump() | {"model": model(chosen.model).identity}


@stage(
    version="1",
    group="adapters",
    kinds={"whisper"},
    upstream=("speech_training_set",),
    tables=("adapters",),
    parameters=_parameters,
    scope=CYCLE,
    metadata=report.adapter_metadata,
    on_device=lambda settings: settings.speech_training.device == "cuda",
)
def whisper_adapter(work: Work) -> StageResult:
    """Train the recogniser on this cycle's set: LoRA beside the frozen model, in encoder and decoder.

    Trained from the base model each time. It can be cancelled, or killed, and goes on where it was. What comes out lies in
    `STT_HOME/adapters`, with a copy merged into the base that transcribes as it is. Whether it is better is for
    `speech_evaluation` to say.
    """
    chosen = work.settings.speech_training
    entry = model(chosen.model)
    base = whisper_folder(chosen.model, work.home, work.say)
    folder = work.inputs["speech_training_set"].folder
    manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    with work.device(chosen.device), tempfile.TemporaryDirectory(prefix=".features-", dir=work.folder) as features:
        targets = tuple(target_modules(chosen.targets))
        shape = lora_shape(chosen, targets=targets, rows=chosen.micro_batch, sequence_length=_PLANNED_TOKENS)
        planned = plan_training(work, base, shape, device=chosen.device, effective=chosen.effective_batch)
        work.say("loading the model and the sound")
        checkpoint = load_whisper(base, device=chosen.device, base=chosen.base)
        train = _prepared(work, folder / "train", checkpoint, Path(features), packed_share=chosen.packed_share)
        has_validation = (folder / "dev" / METADATA).exists()
        validation = _prepared(work, folder / "dev", checkpoint, Path(features)) if has_validation else None
        options = options_of(
            WhisperLoraOptions,
            chosen,
            micro_batch=planned.rows,
            spec_augment=SpecAugment() if chosen.spec_augment else None,
        )
        name, revision = entry.name, entry.pinned_revision
        task = WhisperLoraTask(checkpoint, train, validation, options, base_name=name, base_revision=revision)
        loop = loop_of(
            chosen,
            accumulation=planned.accumulation,
            stop_on=(("wer", "min"), ("loss", "min")) if validation else (),
            autocast="none" if chosen.base == "float32" else "bfloat16",
        )
        known = validation.examples if validation else ()
        training = Training(
            kind="whisper",
            entry=entry,
            base_folder=base,
            dataset_sha256=manifest["sha256"],
            device=chosen.device,
            plan=planned,
            loop=loop,
            summary=_summary(manifest),
            sermons=manifest["sermons"]["train"],
            examples=[{"chunk": each.example_id, "what was said": each.text} for each in known],
            write=lambda: task.transcribe(validation) if validation else [],
            rejected={each.example_id: each.reason for part in (train, validation) if part for each in part.rejected},
            convert=lambda adapter, serving: export_whisper(base, adapter, serving),
            shown={"examples": len(train)},
        )
        return train_adapter(work, task, training)


def _prepared(
    work: Work, folder: Path, checkpoint: WhisperCheckpoint, features: Path, *, packed_share: float = 0.0
) -> WhisperSet:
    # What is of one recording stands together, so that it can be joined.
    rows = sorted(_read(folder), key=lambda example: (example.recording, example.example_id))
    try:
        return prepare(
            rows,
            checkpoint.tokenizer,
            checkpoint.feature_extractor,
            checkpoint.tokens,
            WhisperSetOptions(packed_share=packed_share),
            store=features / folder.name,
            progress=lambda done: work.progress(done, len(rows), f"examples of {folder.name} heard"),
        )
    except NoUsableExample as error:
        raise PlatformError(f"{folder}: {error}") from error


def _read(folder: Path) -> Iterator[WhisperExample]:
    with (folder / METADATA).open(encoding="utf-8") as lines:
        for line in lines:
            row = json.loads(line)
            times = row["times_s"]
            yield WhisperExample(
                example_id=row["file_name"].removesuffix(".wav"),
                audio=folder / row["file_name"],
                text=row["text"],
                kind=row["kind"],
                segments=(Segment(times[0], times[1], row["text"]),) if times else (),
                recording=row["recording"],
                weak=row["weak"],
                confidence=row["confidence"],
            )


def _summary(manifest: Mapping[str, Any]) -> str:
    hours = sum(manifest["hours"].get("train", {}).values())
    sermons = len(manifest["sermons"]["train"])
    return f"It learned from {hours:.2f} hours of speech, of {sermons} sermons, in cycle {manifest['cycle']}."
