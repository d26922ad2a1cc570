"""What some minutes of training do to the packaged Gemma 3 270M, and what packing is worth.

    .venv/bin/python benchmarks/gemma_lora.py FOLDER [--steps 60] [--verses 100]

FOLDER holds KJV and RVR1909 in any supported format. The model learns from the training side, by the prompt and the code
that train TranslateGemma, and translates held-out verses before and after. Every output is cut at twice the length of
its source: that a tuned model knows when to stop is worth something, but it is not translating better.
"""

import argparse
import resource
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from statistics import median

import torch

from stt_platform.evaluation.held_out import HeldOutText, held_out_verses
from stt_platform.evaluation.paired import paired_scores
from stt_platform.evaluation.translation_scores import Statistics, Translated, translation_scores
from stt_platform.glossary.terms import read_glossary
from stt_platform.models.translators import translator_folder
from stt_platform.scripture.finding import find_texts
from stt_platform.scripture.pairing import pair_texts, verse_pairs_of
from stt_platform.scripture.pairs import PairRow
from stt_platform.scripture.splitting import split_segments
from stt_platform.settings import repository
from stt_platform.training.causal_lora import CausalLoraOptions, CausalLoraTask, target_loss, tokenise
from stt_platform.training.checkpoints import Checkpoints
from stt_platform.training.loop import LoopOptions, Step, train
from stt_platform.training.packing import TokenisedExample, fill_rows
from stt_platform.training.translation_set import TRANSLATION, translation_set
from stt_platform.translation.back_translation import choose_examples
from stt_platform.translation.causal_model import load_causal_model
from stt_platform.translation.translator import Translation, Translator

_MODEL = "gemma-3-270m"
_PADDED_TOGETHER, _TIMED = 4, 24


def pairs_of(folder: Path) -> list[PairRow]:
    """Verse pairs of KJV and the first Spanish text, with their sides."""
    found = find_texts([folder])
    rows = verse_pairs_of(pair_texts([found.texts["kjv"]], found.in_language("es")[:1]))
    side = {row.segment_id: row.split for row in split_segments(rows)}
    return [replace(row, split=side[row.segment_id]) for row in rows if row.segment_id in side]


def scored(verses: Sequence[HeldOutText], outputs: Sequence[str]) -> Statistics:
    """chrF++ of outputs that are cut at twice their source, both sides in the spelling of today."""
    rows = [
        Translated(verse.segment_id, text[: 2 * len(verse.source)], (verse.reference,))
        for verse, text in zip(verses, outputs, strict=True)
    ]
    return translation_scores(rows, spelling_today=True).chrf


def show_scores(systems: dict[str, Statistics], last: str) -> None:
    for name, statistics in systems.items():
        line = f"{name:32} chrF++ {statistics.score():5.1f}"
        if name != last:
            ours = systems[last]
            gain = paired_scores(statistics.counts, ours.counts, ours.of, ours.units)
            line += f"   {last} is {gain.difference:+.1f} ({gain.low:+.1f} to {gain.high:+.1f}), p {gain.p_value:.4f}"
        print(line)


def show_examples(verses: Sequence[HeldOutText], before: Sequence[str], after: Sequence[str]) -> None:
    for verse, base, adapter in zip(verses[:3], before, after, strict=False):
        print(f"\n  {verse.source}\n  reference: {verse.reference}\n  base:      {base}\n  adapter:   {adapter}")


def show_throughput(model: torch.nn.Module, examples: Sequence[TokenisedExample], row_tokens: int) -> None:
    """Tokens a second, forward and backward, of the same examples arranged in three ways.

    Seconds are those of the processor, so that what else the machine does is no part of the comparison.
    """
    rows = fill_rows([len(example) for example in examples], row_tokens)
    few = range(0, len(examples), _PADDED_TOGETHER)
    ways = {
        "packed": [[[examples[i] for i in row]] for row in rows],
        f"padded, {_PADDED_TOGETHER} together": [[[e] for e in examples[k : k + _PADDED_TOGETHER]] for k in few],
        "one per row": [[[example]] for example in examples],
    }
    tokens = sum(map(len, examples))
    for name, batches in ways.items():
        began = time.process_time()
        for batch in batches:
            target_loss(model, batch, 0)[0].backward()
        seconds = time.process_time() - began
        places = sum(len(batch) * max(sum(map(len, row)) for row in batch) for batch in batches)
        print(f"{name:22} {tokens / seconds:6.1f} tokens/CPU s   {tokens / places:6.1%} of the places hold a token")


def texts_of(translations: Sequence[Translation]) -> list[str]:
    return [done.text for done in translations]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--home", type=Path, help="keeps the converted model; a temporary folder if not given")
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--verses", type=int, default=100)
    parser.add_argument("--learning-rate", type=float, default=1e-3)
    parser.add_argument("--no-examples", dest="examples", action="store_false", help="ask the base in one way only")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    chosen = parser.parse_args()
    torch.set_num_threads(chosen.threads)
    with tempfile.TemporaryDirectory() as temporary:
        measure(chosen, Path(temporary))


def measure(chosen: argparse.Namespace, temporary: Path) -> tuple[dict[str, Statistics], float]:
    """Train and print; returns the scores by system, and how full packed rows are."""
    pairs = pairs_of(chosen.folder)
    glossary = read_glossary(repository() / "data" / "reference" / "glossary.csv")
    examples = [example for example in translation_set(pairs, glossary).examples if example.set == TRANSLATION]
    verses = held_out_verses(pairs, most=chosen.verses, seed=1).usable
    sources = [verse.source for verse in verses]
    model, tokenizer = load_causal_model(translator_folder(_MODEL, chosen.home or temporary, print))
    # A base model is at its best with examples.
    best = None
    if chosen.examples:
        shown = [(row.en, row.es) for row in choose_examples(pairs, seed=1)]
        best = texts_of(Translator(model.eval(), tokenizer, prompt="examples", examples=shown).translate(sources))
    options = CausalLoraOptions(held_out=50, translated=0)
    task = CausalLoraTask(model, tokenizer, examples, options, base_name=_MODEL)
    packing = task.packing()
    print(
        f"an epoch: {packing.examples:,} examples in {packing.rows:,} rows of {packing.row_tokens} tokens, "
        f"{packing.full:.1%} full (one in a row: {packing.alone:.1%}); {len(task.dropped)} are too long"
    )
    task.eval_mode()
    before = texts_of(task.translator.translate(sources))
    loop = LoopOptions(
        epochs=1,
        max_steps=chosen.steps,
        learning_rate=chosen.learning_rate,
        evaluate_every_steps=None,
        checkpoint_every_steps=None,
    )
    began = time.process_time()
    trained = train(task, loop, Checkpoints(temporary, "gemma"), progress=tell)
    cpu_s = (time.process_time() - began) / len(trained.steps)
    after = texts_of(task.translator.translate(sources))
    first, last = (evaluation.measures["loss"] for evaluation in (trained.evaluations[0], trained.evaluations[-1]))
    step_s = median(step.tokens / step.tokens_per_s for step in trained.steps)
    print(
        f"{len(trained.steps)} steps at {chosen.learning_rate:g}, {step_s:.1f} s each (processor: {cpu_s:.1f} s); "
        f"held-out loss {first:.3f} to {last:.3f} nats a token"
    )
    systems = {
        "copy of the source": scored(verses, sources),
        "base, TranslateGemma's prompt": scored(verses, before),
        **({"base, three examples": scored(verses, best)} if best is not None else {}),
        "adapter": scored(verses, after),
    }
    print(f"\n{len(verses)} held-out verses, {systems['adapter'].signature}")
    show_scores(systems, "adapter")
    show_examples(verses, before, after)
    print()
    task.train_mode()
    plain = [example for example in examples if example.source_kind == "verse"]
    show_throughput(model, tokenise(tokenizer, plain[:: len(plain) // _TIMED]), options.row_tokens)
    print(f"largest memory: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6:.1f} GB")
    return systems, packing.full


def tell(step: Step) -> None:
    if step.step % 10 == 0:
        print(f"step {step.step} of {step.steps_total}: loss {step.loss:.3f}", flush=True)


if __name__ == "__main__":
    main()
