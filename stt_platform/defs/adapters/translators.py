"""The translators that learn from scripture: the assets `translategemma_adapter` and `marian_model`."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from stt_platform.defs.adapters import report
from stt_platform.defs.adapters.keeping import keep_adapter, trained_result, write_what_it_learned
from stt_platform.defs.adapters.planning import Planned, options_of, plan_training
from stt_platform.defs.adapters.training_run import clear_checkpoints, run_training
from stt_platform.defs.adapters.translation import training_examples
from stt_platform.models.registry import model
from stt_platform.models.translators import translator_folder
from stt_platform.orchestration.scopes import TRANSLATOR
from stt_platform.orchestration.stage import stage
from stt_platform.orchestration.work import StageContext, Work
from stt_platform.settings import MarianTrainingSettings, PlatformError, TranslatorTrainingSettings
from stt_platform.store.stages import StageResult
from stt_platform.training.architectures import model_config, model_shape
from stt_platform.training.causal_lora import TARGET_MODULES, CausalLoraOptions, CausalLoraTask
from stt_platform.training.loop import LoopOptions
from stt_platform.training.marian import MarianOptions, MarianTask, load_marian
from stt_platform.training.packing import Dropped
from stt_platform.training.training_shape import TrainingShape
from stt_platform.training.translation_set import TRANSLATION, TrainingExample
from stt_platform.translation.causal_model import load_causal_model
from stt_platform.translation.ct2_translator import convert_marian
from stt_platform.translation.translator import Translation

_STOP_ON = (("loss", "min"), ("chrf", "max"))
_SHOWN = 10
_NAMES = {"chrf": "chrF++"}


def _gemma_parameters(context: StageContext) -> Mapping[str, Any]:
    chosen = context.settings.translator_training
    return chosen.model_dump(exclude={"models", "rows"}) | {
        "model": model(chosen.models[context.part]).identity,
        "rows": chosen.rows[context.part],
    }


@stage(
    version="1",
    group="adapters",
    kinds={"gemma"},
    upstream=("translation_training_set",),
    tables=("adapters",),
    parameters=_gemma_parameters,
    scope=TRANSLATOR,
    metadata=report.adapter_metadata,
    on_device=lambda settings: settings.translator_training.device == "cuda",
)
def translategemma_adapter(work: Work) -> StageResult:
    """TranslateGemma, taught the words of scripture (QLoRA): A on the 4B model, B on the 12B one.

    Only the linear layers of the language model get small matrices; the vocabulary, which is a fifth of the model, stays
    frozen, as its makers left it. Short verses are packed into rows, kept apart. It stops when neither the loss nor
    chrF++ on verses kept for it becomes better, can be cancelled or killed, and goes on where it was.
    """
    chosen = work.settings.translator_training
    entry = model(chosen.models[work.part])
    folder = translator_folder(entry.name, work.home, work.say)
    examples, sha256 = _set(work)
    with work.device(chosen.device):
        planned = _plan(work, folder, entry.name, chosen)
        work.say("loading the model")
        network, tokenizer = load_causal_model(
            folder,
            device=chosen.device,
            dtype="float32" if chosen.base == "float32" else "bfloat16",
            quantisation="nf4" if chosen.base == "nf4" else "none",
        )
        task = CausalLoraTask(
            network,
            tokenizer,
            examples,
            _gemma_options(chosen, planned),
            base_name=entry.name,
            base_revision=entry.pinned_revision,
        )
        with task.base():
            before = task.translate(task.held_out[:_SHOWN])
        trained = run_training(work, task, _gemma_loop(chosen, planned), device=chosen.device)
        after = task.translate(task.held_out[:_SHOWN])
        adapter = keep_adapter(
            work,
            kind="translategemma",
            entry=entry,
            base_folder=folder,
            dataset_sha256=sha256,
            parameters={**task.parameters(), **asdict(_gemma_loop(chosen, planned))},
            trained=trained,
            summary=f"It learned from {len(examples) - len(task.held_out):,} examples of scripture and a glossary.",
            fill=task.save,
        )
    clear_checkpoints(work)
    write_what_it_learned(work, trained, _before_and_after(task.held_out[:_SHOWN], before, after), _NAMES)
    packing = task.packing()
    return trained_result(
        adapter,
        entry.identity,
        trained,
        planned,
        _reasons(task.dropped),
        device=chosen.device,
        more={
            "rows are full to (%)": None if packing.full is None else round(100 * packing.full, 1),
            "one example in a row would fill (%)": None if packing.alone is None else round(100 * packing.alone, 1),
        },
    )


def _set(work: Work) -> tuple[list[TrainingExample], str]:
    """The examples of the translation set, and the hash that names it."""
    folder = work.inputs["translation_training_set"].folder
    manifest = json.loads((folder / "translation_training_set.json").read_text(encoding="utf-8"))
    if manifest["prompt"] != "translategemma":
        raise PlatformError(
            f"translation_training_set was made for {manifest['prompt']!r}: set translation.prompt to translategemma and "
            "make it anew"
        )
    rows = pq.read_table(folder / "training_examples.parquet", filters=[("set", "=", TRANSLATION)]).to_pylist()
    return [_example(row) for row in rows], manifest["sha256"]


def _example(row: Mapping[str, Any]) -> TrainingExample:
    hints = tuple((hint["en"], hint["es"]) for hint in row["hints"])
    return TrainingExample(**{**row, "segment_id": row["segment_id"] or "", "hints": hints})


def _plan(work: Work, folder: Path, name: str, chosen: TranslatorTrainingSettings) -> Planned:
    shape = TrainingShape(
        rank=chosen.rank,
        targets=TARGET_MODULES,
        lora_dropout=chosen.dropout,
        dtype="float32" if chosen.base == "float32" else "bfloat16",
        autocast=chosen.base != "float32",
        quantisation="nf4" if chosen.base == "nf4" else "none",
        optimizer=chosen.optimizer,
        checkpointing=chosen.checkpointing,
        rows=chosen.rows[work.part],
        sequence_length=chosen.row_tokens,
        packed=True,
    )
    config = model_config(name, folder)
    return plan_training(work, model_shape(config), shape, device=chosen.device, effective=chosen.effective_rows)


def _gemma_options(chosen: TranslatorTrainingSettings, planned: Planned) -> CausalLoraOptions:
    held_out, translated = chosen.dev_loss_examples, chosen.dev_examples
    return options_of(CausalLoraOptions, chosen, rows_per_batch=planned.rows, held_out=held_out, translated=translated)


def _gemma_loop(chosen: TranslatorTrainingSettings, planned: Planned) -> LoopOptions:
    return options_of(
        LoopOptions,
        chosen,
        max_steps=chosen.max_steps or None,
        accumulation=planned.accumulation,
        # The share alone decides.
        warmup_steps=10**9,
        checkpoint_every_steps=chosen.save_steps,
        evaluate_every_steps=chosen.eval_steps,
        stop_on=_STOP_ON,
        keep=chosen.save_total,
        autocast="none" if chosen.base == "float32" else "bfloat16",
    )


def _marian_parameters(context: StageContext) -> Mapping[str, Any]:
    chosen = context.settings.marian_training
    return chosen.model_dump() | {"model": model(chosen.model).identity}


@stage(
    version="1",
    group="adapters",
    kinds={"marian"},
    upstream=("verse_pairs", "scripture_split", "glossary", "translation_training_set"),
    optional=("back_translations",),
    tables=("adapters",),
    parameters=_marian_parameters,
    metadata=report.adapter_metadata,
    on_device=lambda settings: settings.marian_training.device == "cuda",
    on_request=True,
)
def marian_model(work: Work) -> StageResult:
    """MarianMT, the small fallback that runs anywhere, fine-tuned as a whole; it learns to follow glossary tags.

    It learns from what `translation_training_set` holds, written for it: terms stand in the sentence with their
    translation. Beside the model lies a copy in CTranslate2's format, which translates several times faster.
    """
    chosen = work.settings.marian_training
    entry = model(chosen.model)
    folder = translator_folder(entry.name, work.home, work.say)
    made = training_examples(work, prompt="marian")
    examples = [example for example in made.examples if example.set == TRANSLATION]
    with work.device(chosen.device):
        network, tokenizer = load_marian(folder, device=chosen.device)
        task = MarianTask(network, tokenizer, examples, _marian_options(chosen))
        planned = _marian_plan(work, folder, entry.name, chosen)
        shown = task.held_out[:_SHOWN]
        before = task.translate(shown)
        trained = run_training(work, task, _marian_loop(chosen), device=chosen.device)

        def fill(target: Path) -> None:
            task.save(target)
            work.say("converting it to CTranslate2's format")
            convert_marian(target, target / "serving")

        adapter = keep_adapter(
            work,
            kind="marian",
            entry=entry,
            base_folder=folder,
            dataset_sha256=made.manifest()["sha256"],
            parameters={**task.parameters(), **asdict(_marian_loop(chosen))},
            trained=trained,
            summary=f"It learned from {len(examples) - len(task.held_out):,} examples of scripture and a glossary.",
            fill=fill,
        )
        after = task.translate(shown)
    clear_checkpoints(work)
    write_what_it_learned(work, trained, _before_and_after(shown, before, after), _NAMES)
    return trained_result(
        adapter,
        entry.identity,
        trained,
        planned,
        _reasons(task.dropped),
        device=chosen.device,
        more={"notes": " ".join(task.notes)} if task.notes else {},
    )


def _marian_options(chosen: MarianTrainingSettings) -> MarianOptions:
    held_out, translated = chosen.dev_loss_examples, chosen.dev_examples
    return options_of(MarianOptions, chosen, most_tokens=chosen.max_tokens, held_out=held_out, translated=translated)


def _marian_plan(work: Work, folder: Path, name: str, chosen: MarianTrainingSettings) -> Planned:
    # The batch is counted in tokens: as many of the longest examples as it holds are planned for.
    rows = max(1, chosen.batch_tokens // chosen.max_tokens)
    shape = TrainingShape(
        method="full",
        dtype="float32",
        autocast=chosen.bfloat16,
        checkpointing=False,
        rows=rows,
        sequence_length=chosen.max_tokens,
        logits="full",
    )
    config = model_config(name, folder)
    return plan_training(work, model_shape(config), shape, device=chosen.device, effective=rows)


def _marian_loop(chosen: MarianTrainingSettings) -> LoopOptions:
    return options_of(
        LoopOptions,
        chosen,
        max_steps=chosen.max_steps or None,
        checkpoint_every_steps=chosen.save_steps,
        evaluate_every_steps=chosen.eval_steps,
        stop_on=_STOP_ON,
        autocast="bfloat16" if chosen.bfloat16 else "none",
    )


def _before_and_after(
    shown: Sequence[TrainingExample], before: Sequence[Translation], after: Sequence[Translation]
) -> list[dict[str, str]]:
    return [
        {"English": example.source, "reference": example.target, "before": one.text, "after": other.text}
        for example, one, other in zip(shown, before, after, strict=True)
    ]


def _reasons(dropped: Sequence[Dropped]) -> dict[str, str]:
    return {each.example_id: each.reason for each in dropped}
