"""Whether asking about what `flagged_segments` chooses teaches more than asking about anything, for the same time of a person.

    python benchmarks/selection.py FOLDER [--seeds 0 1 2] [--minutes 2 4 8] [--strategies random selection]

The demo church without its noisy recordings, which no gate lets through: 20 sermons of six preachers, cut at the ends of
sentences. For each seed a third of them examines and the others are the pool. Both strategies get the same minutes of
reviewing, in cycles: what was bought for two minutes is kept, and two more are spent. "selection" is `choose_segments`
with the expectations of a first cycle (the fixed prior over Whisper's probabilities and what pocketsphinx heard), the
terms of the glossary, and the transcripts of the base model; "random" draws chunks alike, and takes what fits. "oracle"
is the selection with the true word errors in place of the expected ones. The stand-in reviewer writes what the script
says. Each time an adapter of Whisper tiny.en learns from the base on what was bought alone, and hears the sermons that
examine (greedily, in float32).

All that is measured is kept in FOLDER, as lines of JSON: the same command goes on where it was. Without a GPU: two
minutes for the church, and about one for each training, on two cores.
"""

import argparse
import json
import os
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cache
from pathlib import Path
from statistics import mean
from typing import Any

import numpy as np
import soundfile as sf
import soxr
from scipy import stats

from stt_platform.audio import SAMPLE_RATE_HZ
from stt_platform.defs.feedback.candidates import terms_in
from stt_platform.demo.church import Script, render, scripts
from stt_platform.evaluation.agreement import pairwise_cer
from stt_platform.evaluation.church_english import normalise_church_english
from stt_platform.evaluation.intervals import Counts
from stt_platform.evaluation.paired import Comparison, paired_rates
from stt_platform.evaluation.wer import word_errors
from stt_platform.feedback.confidence import TranscriptFeatures, fit_confidence, transcript_features
from stt_platform.feedback.review_time import ReviewTime
from stt_platform.feedback.selection import FLAGGED, Candidate, SelectionOptions, choose_segments, junk_reason
from stt_platform.glossary.terms import Glossary, read_glossary
from stt_platform.machine.files import atomic_path
from stt_platform.machine.seeded import seeded_uniform
from stt_platform.models.registry import model
from stt_platform.models.whisper_weights import whisper_folder
from stt_platform.settings import repository
from stt_platform.speech.recognisers.base import ChunkSpan
from stt_platform.speech.recognisers.faster_whisper import FasterWhisper
from stt_platform.speech.recognisers.pocketsphinx import PocketSphinx
from stt_platform.speech.voices import sentences
from stt_platform.training.checkpoints import Checkpoints
from stt_platform.training.loop import LoopOptions, train
from stt_platform.training.whisper_data import WhisperExample, WhisperSet, WhisperSetOptions, prepare
from stt_platform.training.whisper_lora import WhisperCheckpoint, WhisperLoraOptions, WhisperLoraTask, load_whisper

MODEL = "whisper-tiny.en"
BASE, RANDOM, SELECTION, ORACLE = "base", "random", "selection", "oracle"
FOLDS = 3
CHUNKS, RESULTS, SOUNDS = "chunks.jsonl", "results.jsonl", "sounds"
REVIEW = ReviewTime()

# The platform cuts at about 15 s.
_MOST_WORDS = 36
_MARGIN = SAMPLE_RATE_HZ // 5


@dataclass(frozen=True)
class Chunk:
    """A chunk of a sermon, what is said in it, and what the base heard."""

    chunk_id: str
    sermon: str
    preacher: str
    duration_s: float
    text: str
    heard: str
    features: TranscriptFeatures

    @property
    def review_s(self) -> float:
        return REVIEW.of(self.duration_s)


@dataclass(frozen=True)
class Recipe:
    """How an adapter learns; the platform's settings for this base, with smaller steps for so few chunks."""

    epochs: int = 4
    batch: int = 4
    learning_rate: float = 5e-4
    targets: str = "all-linear"


@dataclass(frozen=True)
class Heard:
    """What one model made of the sermons that examine.

    Attributes:
        minutes: of reviewing that were to be had; 0 for the base.
        bought: the chunks that were corrected for them.
        counts: word errors and words of each sermon.
    """

    seed: int
    strategy: str
    minutes: int
    bought: tuple[str, ...]
    counts: Mapping[str, Counts]

    @property
    def wer(self) -> float:
        return sum(c.errors for c in self.counts.values()) / sum(c.words for c in self.counts.values())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="where all that is measured is kept")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--minutes", type=int, nargs="+", default=[2, 4, 8], help="of reviewing, all cycles so far")
    parser.add_argument("--strategies", nargs="+", default=[RANDOM, SELECTION], choices=(RANDOM, SELECTION, ORACLE))
    parser.add_argument("--epochs", type=int, default=Recipe.epochs)
    parser.add_argument("--learning-rate", type=float, default=Recipe.learning_rate)
    parser.add_argument("--sermons", type=int, help="so many of the church only, to try it")
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()

    import torch

    torch.set_num_threads(arguments.threads)
    recipe = Recipe(epochs=arguments.epochs, learning_rate=arguments.learning_rate)
    minutes = sorted(set(arguments.minutes))
    church = read_church(arguments.folder, quiet_sermons()[: arguments.sermons], arguments.threads)
    with tempfile.TemporaryDirectory() as work:
        school = School(arguments.folder, whisper_folder(MODEL, Path(work), print), church, recipe)
        found = [
            heard
            for seed in arguments.seeds
            for heard in school.measured(seed, arguments.strategies, minutes, Path(work))
        ]
    report(church, found, arguments.strategies)


def quiet_sermons() -> list[Script]:
    """The sermons whose recordings pass the gates, by preacher and date, so that dealing them out deals out preachers."""
    return sorted((s for s in scripts() if s.snr_db is None), key=lambda script: (script.preacher.name, script.date))


def read_church(folder: Path, wanted: Sequence[Script], threads: int) -> list[Chunk]:
    """The chunks of these sermons; what is not in the folder yet is recorded and transcribed."""
    path = folder / CHUNKS
    (folder / SOUNDS).mkdir(parents=True, exist_ok=True)
    known: dict[str, list[Chunk]] = defaultdict(list)
    for row in read_lines(path):
        for chunk in row["chunks"]:
            features = TranscriptFeatures(**chunk.pop("features"))
            known[chunk["sermon"]].append(Chunk(**chunk, features=features))
    missing = [script for script in wanted if script.title not in known]
    if missing:
        whisper = FasterWhisper(model(MODEL).folder_on_disk(), compute_type="int8", cpu_threads=threads)
        sphinx = PocketSphinx()
        for script in missing:
            known[script.title] = recorded(folder, script, whisper, sphinx)
            write_line(path, {"chunks": [asdict(chunk) for chunk in known[script.title]]})
            print(f"{script.title}: {len(known[script.title])} chunks", flush=True)
    return [chunk for script in wanted for chunk in known[script.title]]


def recorded(folder: Path, script: Script, whisper: FasterWhisper, sphinx: PocketSphinx) -> list[Chunk]:
    """Record a sermon, cut it, and hear it with the base and with the second recogniser."""
    parts = _parts(script)
    rendering = render(replace(script, paragraphs=parts, interludes=()))
    ratio = SAMPLE_RATE_HZ / rendering.rate_hz
    sound = soxr.resample(rendering.mix.mean(axis=0), rendering.rate_hz, SAMPLE_RATE_HZ).astype(np.float32)
    spans = [
        ChunkSpan(
            f"{script.date}-{number}",
            max(0, round(start * ratio) - _MARGIN),
            min(sound.size, round(end * ratio) + _MARGIN),
        )
        for number, (start, end) in enumerate(rendering.speech_spans)
    ]

    def read(start: int, end: int) -> np.ndarray:
        return sound[start:end]

    chunks = []
    heard = whisper.transcribe_chunks(read, spans)
    other = sphinx.transcribe_chunks(read, spans)
    for text, span, first, second in zip(parts, spans, heard, other, strict=True):
        with atomic_path(sound_of(folder, span.chunk_id)) as temporary:
            sf.write(temporary, read(span.start_sample, span.end_sample), SAMPLE_RATE_HZ, "PCM_16", format="WAV")
        duration_s = (span.end_sample - span.start_sample) / SAMPLE_RATE_HZ
        features = transcript_features(
            first.text,
            [word.probability for word in first.words],
            duration_s=duration_s,
            avg_logprob=first.avg_logprob,
            compression_ratio=first.compression_ratio,
            no_speech_prob=first.no_speech_prob,
            disagreement=pairwise_cer({"first": first.text, "second": second.text}).mean_cer,
        )
        chunks.append(Chunk(span.chunk_id, script.title, script.preacher.name, duration_s, text, first.text, features))
    return chunks


def sound_of(folder: Path, chunk_id: str) -> Path:
    return folder / SOUNDS / f"{chunk_id}.wav"


def _parts(script: Script) -> tuple[str, ...]:
    """Its sentences, joined while they stay short; no part goes on over the end of a paragraph."""
    parts: list[str] = []
    for paragraph in script.paragraphs:
        parts.append("")
        for sentence in sentences(paragraph):
            longer = f"{parts[-1]} {sentence}".strip()
            parts[-1:] = [longer] if len(longer.split()) <= _MOST_WORDS or not parts[-1] else [parts[-1], sentence]
    return tuple(parts)


class School:
    """Buys corrections, teaches with them, and examines; what was measured before is read from the folder."""

    def __init__(self, folder: Path, base: Path, church: Sequence[Chunk], recipe: Recipe) -> None:
        self._folder, self._base, self._church, self._recipe = folder, base, church, recipe
        self._known = {_key(row): row for row in read_lines(folder / RESULTS)}

    def measured(self, seed: int, strategies: Sequence[str], minutes: Sequence[int], work: Path) -> Iterator[Heard]:
        """The base, then each strategy at each budget."""
        pool, tested = pool_of(self._church, seed), examining(self._church, seed)
        yield self._measure(seed, BASE, 0, [], tested, work)
        bought = {strategy: buy(strategy, pool, minutes, seed) for strategy in strategies}
        for budget in minutes:
            for strategy in strategies:
                yield self._measure(seed, strategy, budget, bought[strategy][budget], tested, work)

    def _measure(
        self, seed: int, strategy: str, minutes: int, bought: Sequence[Chunk], tested: Sequence[Chunk], work: Path
    ) -> Heard:
        wanted: dict[str, Any] = {
            "seed": seed,
            "strategy": strategy,
            "minutes": minutes,
            "bought": [chunk.chunk_id for chunk in bought],
            "tested": [chunk.chunk_id for chunk in tested],
            "recipe": None if strategy == BASE else asdict(self._recipe),
        }
        row = self._known.get(_key(wanted))
        if row is None:
            began = time.monotonic()
            row = wanted | {"counts": self._examined(seed, bought, tested, work)}
            row["seconds"] = round(time.monotonic() - began, 1)
            write_line(self._folder / RESULTS, row)
        heard = Heard(seed, strategy, minutes, tuple(row["bought"]), {s: Counts(*c) for s, c in row["counts"].items()})
        print(
            f"seed {seed}, {strategy}, {minutes} min: {len(bought)} chunks, WER {100 * heard.wer:.1f} % "
            f"({row['seconds']:.0f} s)",
            flush=True,
        )
        return heard

    def _examined(
        self, seed: int, bought: Sequence[Chunk], tested: Sequence[Chunk], work: Path
    ) -> dict[str, tuple[int, int]]:
        checkpoint = load_whisper(self._base)
        exam = self._set(tested, checkpoint)
        # Without training an adapter changes nothing: this is the base.
        taught = self._set(bought or tested[:1], checkpoint)
        micro = min(self._recipe.batch, 2)
        lora = WhisperLoraOptions(targets=self._recipe.targets, micro_batch=micro, checkpointing=False, seed=seed)
        task = WhisperLoraTask(checkpoint, taught, None, lora, base_name=MODEL)
        if bought:
            loop = LoopOptions(
                epochs=self._recipe.epochs,
                accumulation=self._recipe.batch // micro,
                learning_rate=self._recipe.learning_rate,
                evaluate_every_steps=None,
                checkpoint_every_steps=None,
                checkpoint_every_s=None,
                seed=seed,
            )
            with tempfile.TemporaryDirectory(dir=work) as checkpoints:
                train(task, loop, Checkpoints(Path(checkpoints), "checkpoints"))
        task.eval_mode()
        heard = {e.example_id: text for e, text in zip(exam.examples, task.transcribe(exam), strict=True)}
        pairs: dict[str, list[tuple[str, str]]] = defaultdict(list)
        for chunk in tested:
            pairs[chunk.sermon].append((chunk.text, heard[chunk.chunk_id]))
        found = {sermon: _counts(rows) for sermon, rows in pairs.items()}
        return {sermon: (each.errors, each.words) for sermon, each in found.items()}

    def _set(self, chunks: Sequence[Chunk], checkpoint: WhisperCheckpoint) -> WhisperSet:
        examples = [WhisperExample(c.chunk_id, sound_of(self._folder, c.chunk_id), c.text) for c in chunks]
        # One example for each chunk: joined ones would make fewer steps of the same minutes.
        options = WhisperSetOptions(packed_share=0.0)
        return prepare(examples, checkpoint.tokenizer, checkpoint.feature_extractor, checkpoint.tokens, options)


def _fold(church: Sequence[Chunk], seed: int) -> set[str]:
    return set(list(dict.fromkeys(chunk.sermon for chunk in church))[seed % FOLDS :: FOLDS])


def pool_of(church: Sequence[Chunk], seed: int) -> list[Chunk]:
    """The chunks that may be bought."""
    return [chunk for chunk in church if chunk.sermon not in _fold(church, seed)]


def examining(church: Sequence[Chunk], seed: int) -> list[Chunk]:
    """The chunks of the sermons that examine; with three seeds each sermon examines once."""
    return [chunk for chunk in church if chunk.sermon in _fold(church, seed)]


def buy(strategy: str, pool: Sequence[Chunk], minutes: Sequence[int], seed: int) -> dict[int, list[Chunk]]:
    """What a strategy corrects for each budget; the smaller one is the beginning of the larger."""
    bought: list[Chunk] = []
    by_budget = {}
    for cycle, budget in enumerate(minutes):
        left_s = 60 * budget - sum(chunk.review_s for chunk in bought)
        if strategy == RANDOM:
            more = _at_random(pool, bought, left_s, seed)
        else:
            more = _selected(pool, bought, left_s, seed + cycle, oracle=strategy == ORACLE)
        bought = bought + more
        by_budget[budget] = bought
    return by_budget


def _at_random(pool: Sequence[Chunk], bought: Sequence[Chunk], left_s: float, seed: int) -> list[Chunk]:
    """All alike, in one order for all cycles; what does not fit any more is passed over, as the selection does."""
    more = []
    for chunk in sorted(pool, key=lambda each: (seeded_uniform(seed, "order", each.chunk_id), each.chunk_id)):
        if chunk not in bought and chunk.review_s <= left_s:
            more.append(chunk)
            left_s -= chunk.review_s
    return more


def _selected(pool: Sequence[Chunk], bought: Sequence[Chunk], left_s: float, seed: int, *, oracle: bool) -> list[Chunk]:
    by_id = {chunk.chunk_id: chunk for chunk in pool}
    expected = expected_errors(pool)
    candidates = [
        Candidate(
            chunk_id=chunk.chunk_id,
            sermon=chunk.sermon,
            speaker=chunk.preacher,
            split="train",
            duration_s=chunk.duration_s,
            expected_errors=errors_of([chunk]).errors if oracle else expected[chunk.chunk_id],
            junk=_junk(chunk),
            answered=chunk in bought,
            terms=terms_in(chunk.heard, glossary()),
        )
        for chunk in pool
    ]
    options = SelectionOptions(share=1.0, most_review_s=left_s, review_time=REVIEW, seed=seed, counted=oracle)
    terms = Counter(term for chunk in bought for term in terms_in(chunk.text, glossary()))
    rows = choose_segments(candidates, options, corrected_terms=terms)
    return [by_id[row.chunk_id] for row in rows if row.status == FLAGGED]


def expected_errors(pool: Sequence[Chunk]) -> dict[str, float]:
    """As in a first cycle, before anybody has answered."""
    found = fit_confidence([]).expect([chunk.features for chunk in pool])
    return {chunk.chunk_id: each.errors for chunk, each in zip(pool, found, strict=True)}


def _junk(chunk: Chunk) -> str:
    shown = chunk.features
    return junk_reason(
        chunk.heard,
        duration_s=chunk.duration_s,
        speech_s=chunk.duration_s,
        compression_ratio=shown.compression_ratio,
        avg_logprob=shown.avg_logprob,
        no_speech_prob=shown.no_speech_prob,
    )


@cache
def glossary() -> Glossary:
    return read_glossary(repository() / "data" / "reference" / "glossary.csv")


def errors_of(chunks: Sequence[Chunk]) -> Counts:
    """Word errors of what the base heard."""
    return _counts([(chunk.text, chunk.heard) for chunk in chunks])


def _counts(pairs: Sequence[tuple[str, str]]) -> Counts:
    found = word_errors(pairs, normalise=normalise_church_english)
    return Counts(found.substitutions + found.deletions + found.insertions, found.reference_words)


def under_curve(curve: Mapping[int, Mapping[str, Counts]]) -> dict[str, Counts]:
    """Of each sermon, its counts at each budget, weighed as the trapezoidal rule weighs them.

    Errors over words is then the mean word error rate over the minutes: the area under the curve, over its width.
    """
    minutes = sorted(curve)
    # Twice the weights, which are whole numbers.
    weights = {at: minutes[min(k + 1, len(minutes) - 1)] - minutes[max(k - 1, 0)] for k, at in enumerate(minutes)}
    return {
        sermon: Counts(
            sum(weights[at] * curve[at][sermon].errors for at in minutes),
            sum(weights[at] * curve[at][sermon].words for at in minutes),
        )
        for sermon in curve[minutes[0]]
    }


def summed(parts: Sequence[Mapping[str, Counts]]) -> dict[str, Counts]:
    """Sermon by sermon, over the seeds that it examined in."""
    errors, words = Counter(), Counter()
    for part in parts:
        errors.update({sermon: each.errors for sermon, each in part.items()})
        words.update({sermon: each.words for sermon, each in part.items()})
    return {sermon: Counts(errors[sermon], words[sermon]) for sermon in words}


def report(church: Sequence[Chunk], found: Sequence[Heard], strategies: Sequence[str]) -> None:
    """Print the error rates, the areas, what the time bought, and what that says."""
    by_place = {(h.seed, h.strategy, h.minutes): h for h in found}
    seeds = sorted({h.seed for h in found})
    minutes = sorted({h.minutes for h in found if h.minutes})
    curves = {
        (seed, strategy): {
            0: by_place[seed, BASE, 0].counts,
            **{at: by_place[seed, strategy, at].counts for at in minutes},
        }
        for seed in seeds
        for strategy in strategies
    }
    areas = {place: under_curve(curve) for place, curve in curves.items()}
    print("\n| WER, % | " + " | ".join(f"{at} min" for at in (0, *minutes)) + " | mean over the minutes |")
    print("|---|" + "---|" * (len(minutes) + 2))
    for strategy in strategies:
        for seed in seeds:
            rates = [_rate(curves[seed, strategy][at]) for at in (0, *minutes)]
            _print_row(f"{strategy}, seed {seed}", [*rates, _rate(areas[seed, strategy])])
        pooled = [_rate(summed([curves[seed, strategy][at] for seed in seeds])) for at in (0, *minutes)]
        _print_row(f"{strategy}, all seeds", [*pooled, _rate(summed([areas[seed, strategy] for seed in seeds]))])
    _print_bought(church, by_place, seeds, minutes, strategies)
    for strategy in strategies:
        if strategy != RANDOM and RANDOM in strategies:
            _print_verdict(strategy, areas, seeds)


def _print_row(name: str, rates: Sequence[float]) -> None:
    print(f"| {name} | " + " | ".join(f"{100 * rate:.1f}" for rate in rates) + " |")


def _rate(counts: Mapping[str, Counts]) -> float:
    return sum(each.errors for each in counts.values()) / sum(each.words for each in counts.values())


def _print_bought(
    church: Sequence[Chunk],
    by_place: Mapping[tuple[int, str, int], Heard],
    seeds: Sequence[int],
    minutes: Sequence[int],
    strategies: Sequence[str],
) -> None:
    """What the time went into, as means over the seeds."""
    by_id = {chunk.chunk_id: chunk for chunk in church}
    print(
        "\n| means over seeds | chunks | reviewing, min | sound, s | words | of them wrong | wrong a minute | terms "
        "| sermons | preachers | bought by random too |"
    )
    print("|---|" + "---|" * 10)
    for at in minutes:
        for strategy in strategies:
            rows = []
            for seed in seeds:
                bought = [by_id[name] for name in by_place[seed, strategy, at].bought]
                alike = by_place.get((seed, RANDOM, at))
                spent_min = sum(chunk.review_s for chunk in bought) / 60
                wrong = errors_of(bought)
                rows.append(
                    [
                        len(bought),
                        spent_min,
                        sum(chunk.duration_s for chunk in bought),
                        wrong.words,
                        wrong.errors,
                        wrong.errors / spent_min,
                        len({term for chunk in bought for term in terms_in(chunk.text, glossary())}),
                        len({chunk.sermon for chunk in bought}),
                        len({chunk.preacher for chunk in bought}),
                        len({chunk.chunk_id for chunk in bought} & set(alike.bought if alike else ())),
                    ]
                )
            print(
                f"| {strategy}, {at} min | "
                + " | ".join(f"{mean(column):.1f}" for column in zip(*rows, strict=True))
                + " |"
            )
    for seed in seeds:
        pool = pool_of(church, seed)
        expected = expected_errors(pool)
        guessed = [expected[chunk.chunk_id] / chunk.review_s for chunk in pool]
        true = [errors_of([chunk]).errors / chunk.review_s for chunk in pool]
        whole = errors_of(pool)
        print(
            f"seed {seed}: a pool of {len(pool)} chunks, {sum(c.review_s for c in pool) / 60:.0f} min of reviewing, "
            f"{whole.errors} of {whole.words} words wrong ({whole.errors / whole.words:.1%}), "
            f"{sum(bool(_junk(c)) for c in pool)} refused as junk; expected and true errors a second rank alike to "
            f"{stats.spearmanr(guessed, true).statistic:.2f} (Spearman)"
        )


def _print_verdict(strategy: str, areas: Mapping[tuple[int, str], Mapping[str, Counts]], seeds: Sequence[int]) -> None:
    """Whether a strategy is better than chance, over sermons and over seeds.

    Sermons that examined in one seed heard the same models, so what the draw and the training did to all of them alike
    is not in the first interval; it is in the second, which rests on as many values as there are seeds.
    """
    a, b = (summed([areas[seed, name] for seed in seeds]) for name in (RANDOM, strategy))
    compared = paired_rates(a, b)
    gaps = [_rate(areas[seed, strategy]) - _rate(areas[seed, RANDOM]) for seed in seeds]
    print(f"\n{strategy} (b) against random (a), mean WER over the minutes: {compared.reason}; {compared.method}")
    between = None
    if len(gaps) > 1:
        width = stats.t.ppf(0.975, len(gaps) - 1) * np.std(gaps, ddof=1) / np.sqrt(len(gaps))
        between = (mean(gaps) - width, mean(gaps) + width)
        told = ", ".join(f"{100 * gap:+.2f}" for gap in gaps)
        print(
            f"by seed {told}: {100 * mean(gaps):+.2f} points (95 %: {100 * between[0]:+.2f} to "
            f"{100 * between[1]:+.2f}, t over {len(gaps)} seeds)"
        )
    print(verdict(strategy, compared, between))


def verdict(strategy: str, compared: Comparison, between: tuple[float, float] | None) -> str:
    """In words. A strategy wins only where sermons and seeds both say so."""
    sure = between is not None and (between[0] > 0 or between[1] < 0)
    if compared.better == "undecided":
        return f"{strategy} does not win: the sermons do not tell it from random"
    if compared.better == "a":
        return f"{strategy} loses" + ("" if sure else ", on these draws: the seeds are too few to say it of others")
    return f"{strategy} wins" + ("" if sure else " on these draws: the seeds are too few to say it of others")


def _key(row: Mapping[str, Any]) -> str:
    """What a result is a result of."""
    return json.dumps({k: row[k] for k in ("seed", "strategy", "bought", "tested", "recipe")}, sort_keys=True)


def read_lines(path: Path) -> list[dict[str, Any]]:
    """The whole lines of a file; the last one may have been cut off."""
    if not path.exists():
        return []
    return [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n")[:-1] if line]


def write_line(path: Path, row: Mapping[str, Any]) -> None:
    """Append a line, after the last whole one."""
    whole = path.read_bytes() if path.exists() else b""
    with path.open("r+b" if path.exists() else "wb") as file:
        file.truncate(whole.rfind(b"\n") + 1)
        file.seek(0, os.SEEK_END)
        file.write((json.dumps(row, ensure_ascii=False) + "\n").encode())


if __name__ == "__main__":
    started = time.monotonic()
    main()
    print(f"{time.monotonic() - started:.0f} s in all")
