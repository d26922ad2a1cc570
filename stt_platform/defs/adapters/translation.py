"""The training and validation sets of the translator: the asset `translation_training_set`."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from stt_platform.defs.adapters import report
from stt_platform.defs.glossary.assets import GLOSSARY_FILE
from stt_platform.errors import PlatformError
from stt_platform.glossary.terms import read_glossary
from stt_platform.orchestration.stage import stage
from stt_platform.orchestration.work import StageContext, Work
from stt_platform.settings import Settings
from stt_platform.store.choices import freeze_segments
from stt_platform.store.schemas import TABLES
from stt_platform.store.scripture import read_back_translations, read_pairs
from stt_platform.store.stages import StageResult
from stt_platform.training.translation_set import PromptName, TranslationSet, TranslationSetOptions, translation_set


def _options(settings: Settings, prompt: PromptName | None = None) -> TranslationSetOptions:
    chosen = settings.translation
    prompt = prompt or chosen.prompt
    try:
        return TranslationSetOptions(
            prompt=prompt,
            # The tags of Dinu et al. are what a model without instructions can read.
            hint_form="inline" if prompt == "marian" else settings.glossary.hint_form,
            hint_share=settings.glossary.hint_share,
            most_hints=settings.glossary.max_hints,
            dev_share=chosen.dev_share,
            modernise_spelling=chosen.modernise_spelling,
            weights=chosen.weights,
            control_size=chosen.control_segments,
            seed=settings.scripture.seed,
        )
    except ValueError as error:
        raise PlatformError(f"setting `translation`: {error}") from error


def _parameters(context: StageContext) -> Mapping[str, Any]:
    return asdict(_options(context.settings))


@dataclass(frozen=True)
class TranslationSetData:
    """How many examples there are, and for the prompt of which kind of model."""

    examples: int
    prompt: str


@stage(
    version="1",
    group="adapters",
    kinds={"table"},
    upstream=("verse_pairs", "scripture_split", "glossary", "glossary_pairs"),
    optional=("back_translations",),
    tables=("training_examples",),
    parameters=_parameters,
    published={"translation_training_set.json": "training/translation_training_set.json"},
    metadata=report.set_metadata,
)
def translation_training_set(work: Work) -> StageResult:
    """Assemble the translator's training set in the exact prompt of its model: verses, terms, hints, back-translations.

    No test verse is in it. A share of the verses is kept for early stopping (`dev`), and some held-out verses are
    written down three times, without, with, and with random hints, to measure what hints are worth. From here on the
    sides of the split are frozen. The manifest has hashes, counts and weights; the rows are in `training_examples`.
    """
    found = training_examples(work)
    manifest = found.manifest() | {"made from": {name: output.digest for name, output in sorted(work.inputs.items())}}
    path = work.folder / "translation_training_set.json"
    path.write_text(json.dumps(manifest, ensure_ascii=False, indent=1, sort_keys=True), encoding="utf-8")
    splits = pq.read_table(work.inputs["scripture_split"].folder / "scripture_splits.parquet")
    sides = zip(splits["segment_id"].to_pylist(), splits["split"].to_pylist(), strict=True)
    freeze_segments(work.home, dict(sides))
    return StageResult(
        data=TranslationSetData(len(found.examples), work.settings.translation.prompt),
        tables={"training_examples": _table(found)},
    )


def training_examples(work: Work, prompt: PromptName | None = None) -> TranslationSet:
    """Make the set from the outputs that `work` has of pairs, split, glossary and, where there are some, back-translations.

    Args:
        prompt: of the model that it is for; None for that of the settings.
    """
    rows = read_pairs(work.inputs["verse_pairs"].folder, work.inputs["scripture_split"].folder)
    made = work.inputs.get("back_translations")
    try:
        return translation_set(
            rows,
            read_glossary(work.inputs["glossary"].folder / GLOSSARY_FILE),
            read_back_translations(made.folder) if made else [],
            _options(work.settings, prompt),
        )
    except ValueError as error:
        raise PlatformError(str(error)) from error


def _table(found: TranslationSet) -> pa.Table:
    schema = TABLES["training_examples"].schema
    columns: dict[str, list[Any]] = {name: [getattr(row, name) for row in found.examples] for name in schema.names}
    columns["segment_id"] = [segment or None for segment in columns["segment_id"]]
    columns["hints"] = [[{"en": en, "es": es} for en, es in hints] for hints in columns["hints"]]
    return pa.Table.from_arrays([pa.array(columns[field.name], field.type) for field in schema], schema=schema)
