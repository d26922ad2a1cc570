"""The translators that learn from scripture: the assets `translategemma_adapter` and `marian_model`."""

import json
from collections.abc import Mapping
from typing import Any

import pyarrow.parquet as pq

from stt_platform.defs.adapters import report
from stt_platform.defs.adapters.keeping import Training, train_adapter
from stt_platform.defs.adapters.planning import loop_of, lora_shape, options_of, plan_training
from stt_platform.defs.adapters.translation import training_examples
from stt_platform.errors import PlatformError
from stt_platform.models.registry import model
from stt_platform.models.translators import translator_folder
from stt_platform.orchestration.scopes import TRANSLATOR
from stt_platform.orchestration.stage import stage
from stt_platform.orchestration.work import StageContext, Work
from stt_platform.store.stages import StageResult
from stt_platform.training.causal_lora import TARGET_MODULES, CausalLoraOptions, CausalLoraTask
from stt_platform.training.marian import MarianOptions, MarianTask, load_marian
from stt_platform.training.training_shape import TrainingShape
from stt_platform.training.translation_set import TRANSLATION, TrainingExample
from stt_platform.translation.causal_model import load_causal_model
from stt_platform.translation.ct2_translator import convert_marian

_STOP_ON = (("loss", "min"), ("chrf", "max"))
_SHOWN = 10


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
    """Train TranslateGemma on scripture (QLoRA): A on the 4B model, B on the 12B one.

    Only the linear layers of the language model get small matrices; the vocabulary, which is a fifth of the model, stays
    frozen, as its makers left it. Short verses are packed into rows, kept apart. It stops when neither the loss nor
    chrF++ on verses kept for it becomes better, can be cancelled or killed, and goes on where it was.
    """
    chosen = work.settings.translator_training
    entry = model(chosen.models[work.part])
    folder = translator_folder(entry.name, work.home, work.say)
    examples, sha256 = _set(work)
    with work.device(chosen.device):
        rows, tokens = chosen.rows[work.part], chosen.row_tokens
        shape = lora_shape(chosen, targets=TARGET_MODULES, rows=rows, sequence_length=tokens, packed=True)
        planned = plan_training(work, folder, shape, device=chosen.device, effective=chosen.effective_rows)
        work.say("loading the model")
        network, tokenizer = load_causal_model(
            folder,
            device=chosen.device,
            dtype="float32" if chosen.base == "float32" else "bfloat16",
            quantisation="nf4" if chosen.base == "nf4" else "none",
        )
        options = options_of(
            CausalLoraOptions,
            chosen,
            rows_per_batch=planned.rows,
            held_out=chosen.dev_loss_examples,
            translated=chosen.dev_examples,
        )
        name, revision = entry.name, entry.pinned_revision
        task = CausalLoraTask(network, tokenizer, examples, options, base_name=name, base_revision=revision)
        packing = task.packing()
        loop = loop_of(
            chosen,
            max_steps=chosen.max_steps or None,
            accumulation=planned.accumulation,
            # The share alone decides.
            warmup_steps=10**9,
            stop_on=_STOP_ON,
            keep=chosen.save_total,
            autocast="none" if chosen.base == "float32" else "bfloat16",
        )
        shown = {
            "rows are full to (%)": None if packing.full is None else round(100 * packing.full, 1),
            "one example in a row would fill (%)": None if packing.alone is None else round(100 * packing.alone, 1),
        }
        training = Training(
            kind="translategemma",
            entry=entry,
            base_folder=folder,
            dataset_sha256=sha256,
            device=chosen.device,
            plan=planned,
            loop=loop,
            shown=shown,
            **_validation(task, len(examples)),
        )
        return train_adapter(work, task, training)


def _validation(task: CausalLoraTask | MarianTask, examples: int) -> dict[str, Any]:
    """Describe for `Training` what a translator is trained on, and what people see of it."""
    some = task.held_out[:_SHOWN]
    return {
        "summary": f"It learned from {examples - len(task.held_out):,} examples of scripture and a glossary.",
        "examples": [{"English": example.source, "reference": example.target} for example in some],
        "write": lambda: [done.text for done in task.translate(some)],
        "rejected": {each.example_id: each.reason for each in task.dropped},
    }


def _set(work: Work) -> tuple[list[TrainingExample], str]:
    """Read the examples of the translation set, and the hash that names it."""
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
    """Fine-tune MarianMT as a whole, the small fallback that runs anywhere; it learns to follow glossary tags.

    It learns from what `translation_training_set` holds, written for it: terms stand in the sentence with their
    translation. Beside the model lies a copy in CTranslate2's format, which translates several times faster.
    """
    chosen = work.settings.marian_training
    entry = model(chosen.model)
    folder = translator_folder(entry.name, work.home, work.say)
    made = training_examples(work, prompt="marian")
    examples = [example for example in made.examples if example.set == TRANSLATION]
    with work.device(chosen.device):
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
        planned = plan_training(work, folder, shape, device=chosen.device, effective=rows)
        network, tokenizer = load_marian(folder, device=chosen.device)
        options = options_of(
            MarianOptions,
            chosen,
            most_tokens=chosen.max_tokens,
            held_out=chosen.dev_loss_examples,
            translated=chosen.dev_examples,
        )
        task = MarianTask(network, tokenizer, examples, options)
        autocast = "bfloat16" if chosen.bfloat16 else "none"
        loop = loop_of(chosen, max_steps=chosen.max_steps or None, stop_on=_STOP_ON, autocast=autocast)
        training = Training(
            kind="marian",
            entry=entry,
            base_folder=folder,
            dataset_sha256=made.manifest()["sha256"],
            device=chosen.device,
            plan=planned,
            loop=loop,
            convert=convert_marian,
            shown={"notes": " ".join(task.notes)} if task.notes else {},
            **_validation(task, len(examples)),
        )
        return train_adapter(work, task, training)
