"""The recogniser's adapter of each cycle: the asset `whisper_adapter`."""

import json
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from stt_platform.defs.adapters import report
from stt_platform.defs.adapters.keeping import keep_adapter, trained_result, write_what_it_learned
from stt_platform.defs.adapters.planning import Planned, options_of, plan_training
from stt_platform.defs.adapters.speech_set import MANIFEST, METADATA
from stt_platform.defs.adapters.training_run import clear_checkpoints, run_training
from stt_platform.models.registry import model
from stt_platform.models.whisper_weights import whisper_folder
from stt_platform.orchestration.scopes import CYCLE
from stt_platform.orchestration.stage import stage
from stt_platform.orchestration.work import StageContext, Work
from stt_platform.settings import PlatformError, SpeechTrainingSettings
from stt_platform.store.stages import StageResult
from stt_platform.training.architectures import model_config, model_shape
from stt_platform.training.loop import LoopOptions
from stt_platform.training.training_shape import TrainingShape
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
_SHOWN = 12


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
    """The recogniser, taught with this cycle's set: small matrices (LoRA) beside the frozen model, in encoder and decoder.

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
        planned = _plan(work, base, chosen)
        work.say("loading the model and the sound")
        checkpoint = load_whisper(base, device=chosen.device, base=chosen.base)
        teaches = _prepared(work, folder / "train", checkpoint, Path(features), packed_share=chosen.packed_share)
        watching = (folder / "dev" / METADATA).exists()
        watched = _prepared(work, folder / "dev", checkpoint, Path(features)) if watching else None
        task = _task(chosen, planned, checkpoint, teaches, watched, entry.name, entry.pinned_revision)
        before = task.transcribe(watched) if watched else []
        trained = run_training(work, task, _loop(chosen, planned, watching), device=chosen.device)
        examples = _examples(task, watched, before) if watched else []

        def fill(target: Path) -> None:
            task.save(target)
            work.say("merging the adapter into its base, and converting that for the recogniser")
            export_whisper(base, target, target / "serving")

        adapter = keep_adapter(
            work,
            kind="whisper",
            entry=entry,
            base_folder=base,
            dataset_sha256=manifest["sha256"],
            parameters={**task.parameters(), **asdict(_loop(chosen, planned, watching))},
            trained=trained,
            summary=_summary(manifest),
            sermons=manifest["sermons"]["train"],
            fill=fill,
        )
    clear_checkpoints(work)
    write_what_it_learned(work, trained, examples)
    rejected = {each.example_id: each.reason for part in (teaches, watched) if part for each in part.rejected}
    return trained_result(
        adapter, entry.identity, trained, planned, rejected, device=chosen.device, more={"examples": len(teaches)}
    )


def _plan(work: Work, base: Path, chosen: SpeechTrainingSettings) -> Planned:
    shape = TrainingShape(
        rank=chosen.rank,
        targets=target_modules(chosen.targets),
        lora_dropout=chosen.dropout,
        dtype="float32" if chosen.base == "float32" else "bfloat16",
        autocast=chosen.base != "float32",
        quantisation="int8" if chosen.base == "int8" else "none",
        optimizer=chosen.optimizer,
        checkpointing=chosen.checkpointing,
        rows=chosen.micro_batch,
        sequence_length=_PLANNED_TOKENS,
    )
    config = model_config(chosen.model, base)
    return plan_training(work, model_shape(config), shape, device=chosen.device, effective=chosen.effective_batch)


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
                segments=(Segment(*times, row["text"]),) if times else (),
                recording=row["recording"],
                weak=row["weak"],
                confidence=row["confidence"],
            )


def _task(
    chosen: SpeechTrainingSettings,
    planned: Planned,
    checkpoint: WhisperCheckpoint,
    teaches: WhisperSet,
    watched: WhisperSet | None,
    name: str,
    revision: str,
) -> WhisperLoraTask:
    spec_augment = SpecAugment() if chosen.spec_augment else None
    options = options_of(WhisperLoraOptions, chosen, micro_batch=planned.rows, spec_augment=spec_augment)
    return WhisperLoraTask(checkpoint, teaches, watched, options, base_name=name, base_revision=revision)


def _loop(chosen: SpeechTrainingSettings, planned: Planned, watching: bool) -> LoopOptions:
    return options_of(
        LoopOptions,
        chosen,
        accumulation=planned.accumulation,
        checkpoint_every_steps=chosen.save_steps,
        evaluate_every_steps=chosen.eval_steps,
        stop_on=(("wer", "min"), ("loss", "min")) if watching else (),
        autocast="none" if chosen.base == "float32" else "bfloat16",
    )


def _examples(task: WhisperLoraTask, watched: WhisperSet, before: list[str]) -> list[dict[str, str]]:
    after = task.transcribe(watched)
    changed = sorted(range(len(watched)), key=lambda k: (before[k] == after[k], watched.examples[k].example_id))
    return [
        {
            "chunk": watched.examples[k].example_id,
            "what was said": watched.examples[k].text,
            "before": before[k],
            "after": after[k],
        }
        for k in changed[:_SHOWN]
    ]


def _summary(manifest: Mapping[str, Any]) -> str:
    hours = sum(manifest["hours"].get("train", {}).values())
    sermons = len(manifest["sermons"]["train"])
    return f"It learned from {hours:.2f} hours of speech, of {sermons} sermons, in cycle {manifest['cycle']}."
