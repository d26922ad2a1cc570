"""A small STT_HOME in which translators can be measured: made-up verses with terms of the glossary, and tiny models."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from stt_platform.definitions import defs as _defs  # noqa: F401  (registers the stages)
from stt_platform.models.registry import model
from stt_platform.orchestration.stage import stages
from stt_platform.scripture.pairs import PairRow
from stt_platform.settings import load_settings, repository
from stt_platform.store.adapters import Adapter, read_adapter, record_made
from stt_platform.store.metadata import MetadataStore
from stt_platform.store.scripture import pair_table
from stt_platform.store.stages import CORPUS, StageOutput, StageResult, build_stage, current_output
from stt_platform.training.adapter_files import AdapterFiles, Base, Provenance, weights_sha256, write_adapter
from stt_platform.training.lora import save_lora
from stt_platform_tests.helpers.translator_models import tiny_gemma, tiny_marian

BASE, MARIAN = "gemma-3-270m", "opus-mt-en-es"

_TERMS = (("grace", "gracia"), ("covenant", "pacto"), ("faith", "fe"), ("righteousness", "justicia"))
_BOOKS = (("pentateuch", "OT", 1), ("poetry", "OT", 19), ("gospels", "NT", 40))


def verses(count: int = 360, seed: int = 5) -> list[PairRow]:
    """Verses in words that nobody knows, each with a term; long and short ones, a quarter of them held out.

    Every verse stands in two English versions.
    """
    return [
        replace(row, pair_id=row.pair_id.replace("kjv", name), en_source=name)
        for row in _rows(count, seed)
        for name in ("kjv", "web")
    ]


def _rows(count: int, seed: int) -> Iterator[PairRow]:
    rng = random.Random(seed)
    words = [(f"k{_syllables(rng)}", f"z{_syllables(rng)}") for _ in range(900)]
    for number in range(count):
        genre, testament, book = _BOOKS[number % 3]
        chosen = rng.sample(words, 7 if number % 2 else 18)
        en_term, es_term = _TERMS[number % len(_TERMS)]
        ref = book * 1_000_000 + (number // 50 + 1) * 1000 + number % 50 + 1
        yield PairRow(
            pair_id=f"kjv-rvr1909-{ref:08d}",
            segment_id=f"rvr1909-{ref:08d}",
            en_source="kjv",
            es_source="rvr1909",
            en_refs=(ref,),
            es_refs=(ref,),
            en=" ".join([*(en for en, _ in chosen), "and", en_term]) + ".",
            es=" ".join([*(es for _, es in chosen), "y", es_term]) + ".",
            genre=genre,
            testament=testament,
            split="test" if number % 4 == 0 else "train",
        )


def _syllables(rng: random.Random) -> str:
    return "".join(rng.choice("bcdfglmnprst") + rng.choice("aeiou") for _ in range(2))


def build_home(home: Path, rows: list[PairRow] | None = None) -> Path:
    """Verse pairs, split and glossary as their stages leave them, up to date with the settings of `home`."""
    rows = rows or verses()
    sides = sorted({(row.segment_id, row.split) for row in rows})
    splits = [{"segment_id": name, "group_id": name, "split": split} for name, split in sides]
    glossary = repository() / "data" / "reference" / "glossary.csv"
    add_output(home, "scripture_texts", StageResult())
    add_output(home, "verse_pairs", StageResult(tables={"aligned_pairs": pair_table(rows)}))
    add_output(home, "scripture_split", StageResult(tables={"scripture_splits": splits}))
    add_output(home, "glossary", StageResult(), {"glossary.csv": glossary.read_bytes()})
    return home


def add_output(
    home: Path, name: str, result: StageResult, files: Mapping[str, bytes] | None = None, *, key: str = ""
) -> StageOutput:
    """What a stage would have left, had it been run with what lies before it; under another `key`, out of date."""
    stage = stages()[name]
    inputs = {one: current_output(home, CORPUS, one) for one in (*stage.upstream, *stage.optional)}
    there = {one: output for one, output in inputs.items() if output}
    key = key or stage.recipe_of(stage.context(home, load_settings(home)), there).key

    def make(folder: Path) -> StageResult:
        for file, content in (files or {}).items():
            (folder / file).write_bytes(content)
        return result

    return build_stage(MetadataStore(home), CORPUS, name, key, make)


def add_general_set(home: Path, name: str, pairs: list[tuple[str, str]]) -> None:
    """Sentences with their translation, as a table that a user put there."""
    folder = home / "general"
    folder.mkdir(exist_ok=True)
    lines = ["en\tes", *(f"{en}\t{es}" for en, es in pairs)]
    (folder / f"{name}.tsv").write_text("\n".join(lines), encoding="utf-8")


def add_models(home: Path) -> None:
    """The base translator and MarianMT, with random weights."""
    tiny_gemma(home / "models" / BASE)
    tiny_marian(home / "models" / MARIAN)


def add_adapter(home: Path, *, part: str = "A") -> Adapter:
    """An adapter of the base translator with random weights, written as the training writes it."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    torch.manual_seed(7)
    network = AutoModelForCausalLM.from_pretrained(home / "models" / BASE)
    config = LoraConfig(r=4, target_modules=["q_proj", "v_proj"], init_lora_weights=False, task_type="CAUSAL_LM")
    adapted = get_peft_model(network, config)
    adapted.peft_config["default"].base_model_name_or_path = BASE
    found = _written(home, "translategemma", BASE, lambda folder: save_lora(adapted, folder))
    record_made(home, "translategemma_adapter", part, found.adapter_id)
    return read_adapter(home, found.adapter_id)


def add_fine_tuned(home: Path) -> Adapter:
    """A MarianMT that was fine-tuned as a whole."""
    found = _written(home, "marian", MARIAN, lambda folder: tiny_marian(folder, seed=1))
    record_made(home, "marian_model", None, found.adapter_id)
    return read_adapter(home, found.adapter_id)


def _written(home: Path, kind: str, base: str, fill: Callable[[Path], object]) -> AdapterFiles:
    of = Base(base, model(base).pinned_revision, weights_sha256(home / "models" / base))
    provenance = Provenance(kind, of, "0" * 64, {}, "0", {"steps": [], "evaluations": []})
    return write_adapter(home / "adapters", provenance, fill)
