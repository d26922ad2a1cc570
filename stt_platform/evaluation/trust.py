"""What to think of a score: is the text known by heart, does the model write as in 1909, what is not measured."""

from __future__ import annotations

import hashlib
import json
import re
import tomllib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from functools import cache
from pathlib import Path
from typing import Literal, Protocol

from stt_platform.machine.seeded import seeded_uniform
from stt_platform.scripture.pairs import ACCEPTED
from stt_platform.scripture.spelling import modernise
from stt_platform.scripture.splitting import comparable

SPELLING = "spelling of 1909"

BY_HEART, PARTLY, NO_SIGN, UNKNOWN = "by heart", "in parts", "no sign", "cannot be said"

FEWEST_PROBES = 30
"""Fewer continuations than this allow no verdict."""

_WORD = re.compile(r"[^\W\d_]+(?:[-'’][^\W\d_]+)*")
_CHANCE_RUNS = 0.01
_SHORTEST_RUN = 5
_PARTLY_FROM, _BY_HEART_FROM = 0.02, 0.5
_SHUFFLES = 5


@dataclass(frozen=True)
class Archaism:
    """A stretch of a text in old style: `text[start:end] == surface`."""

    marker: str
    start: int
    end: int
    surface: str


@dataclass(frozen=True)
class MarkerCount:
    """How often one marker was seen.

    Attributes:
        count: stretches; `texts` those texts that have one.
        commonest: (stretch in lower case, count), at most five, the commonest first.
    """

    marker: str
    count: int
    texts: int
    commonest: tuple[tuple[str, int], ...]


@dataclass(frozen=True)
class ArchaismRate:
    """How much of some texts is in old style.

    Attributes:
        texts, archaic_texts: all that have a word, and those of them with at least one marker.
        words, archaic_words: all, and those inside a marker; a word counts once.
        markers: every marker, in the order of the table, those that were not seen too.
    """

    texts: int
    archaic_texts: int
    words: int
    archaic_words: int
    markers: tuple[MarkerCount, ...]

    @property
    def word_rate(self) -> float | None:
        """archaic_words / words, 0 to 1; None without words."""
        return self.archaic_words / self.words if self.words else None

    @property
    def text_rate(self) -> float | None:
        """archaic_texts / texts, 0 to 1; None without texts."""
        return self.archaic_texts / self.texts if self.texts else None


def archaisms(text: str) -> list[Archaism]:
    """Find the places of a Spanish text that are in the style of old Bibles, in order and without overlaps.

    By the table `archaisms.toml` and the spelling of 1909. Old-fashioned words that a sermon of today has as well
    ("varón", "siervo") are no markers.
    """
    current, markers = _markers()
    found = [
        Archaism(SPELLING, word.start(), word.end(), word.group())
        for word in _WORD.finditer(text)
        if word.group().casefold() not in current and modernise(word.group()) != word.group()
    ]
    for name, pattern in markers:
        for match in pattern.finditer(text):
            if all(match.end() <= other.start or other.end <= match.start() for other in found):
                found.append(Archaism(name, match.start(), match.end(), match.group()))
    return sorted(found, key=lambda item: item.start)


def archaism_rate(texts: Iterable[str]) -> ArchaismRate:
    """Count how much of Spanish texts (sentences or verses) is in the style of old Bibles, see `archaisms`.

    A translator that was tuned on such a Bible starts to speak like it. Compare with the rate of the base model and of
    the reference.
    """
    names = [SPELLING, *(name for name, _ in _markers()[1])]
    surfaces: dict[str, Counter[str]] = {name: Counter() for name in names}
    seen: Counter[str] = Counter()
    count = archaic_texts = words = archaic_words = 0
    for text in texts:
        in_text = len(_WORD.findall(text))
        found = archaisms(text)
        count += bool(in_text)
        words += in_text
        archaic_texts += bool(found)
        archaic_words += sum(len(_WORD.findall(item.surface)) for item in found)
        seen.update({item.marker for item in found})
        for item in found:
            surfaces[item.marker][item.surface.casefold()] += 1
    markers = tuple(MarkerCount(name, surfaces[name].total(), seen[name], _commonest(surfaces[name])) for name in names)
    return ArchaismRate(count, archaic_texts, words, archaic_words, markers)


def _commonest(surfaces: Counter[str]) -> tuple[tuple[str, int], ...]:
    return tuple(sorted(surfaces.items(), key=lambda item: (-item[1], item[0]))[:5])


@cache
def _markers() -> tuple[frozenset[str], tuple[tuple[str, re.Pattern[str]], ...]]:
    table = tomllib.loads(Path(__file__).with_name("archaisms.toml").read_text(encoding="utf-8"))
    markers = tuple(
        (row["name"], re.compile(rf"(?<![\w-])(?:{'|'.join(row['patterns'])})(?![\w-])", re.IGNORECASE))
        for row in table["marker"]
    )
    return frozenset(table["still_usual"]), markers


class SpanishVerse(Protocol):
    """A verse pair, as `verse_pairs` holds it."""

    @property
    def segment_id(self) -> str: ...
    @property
    def es(self) -> str: ...
    @property
    def status(self) -> str: ...


@dataclass(frozen=True)
class Probe:
    """The first half of a Spanish text, to be continued without any English, and the other half."""

    segment_id: str
    given: str
    expected: str


@dataclass(frozen=True)
class Continued:
    """One continuation held against what was expected.

    Attributes:
        chrf: chrF (Popović 2015), 0 to 100.
        run: the longest run of words that both have.
        recited: the run is one that chance hardly makes.
    """

    segment_id: str
    chrf: float
    run: int
    recited: bool


@dataclass(frozen=True)
class ProbeResult:
    """Whether a model seems to know a text by heart.

    Attributes:
        answered: continuations that hold a word.
        chrf, run: means over the answered; None where there are none.
        chance_chrf, chance_run: the same with the expectations of other verses.
        run_limit: a run of so many words is reached by at most 1 % of the other verses.
        recited: continuations that reach it; `low` and `high` are the 95 % interval of their share (Wilson 1927).
        verdict: `BY_HEART`, `PARTLY`, `NO_SIGN` or `UNKNOWN`.
        reason: the verdict in a sentence, with its numbers.
        continued: the answered, in the order of the probes.
    """

    probes: int
    answered: int
    chrf: float | None
    chance_chrf: float | None
    run: float | None
    chance_run: float | None
    run_limit: int | None
    recited: int
    low: float | None
    high: float | None
    verdict: Literal["by heart", "in parts", "no sign", "cannot be said"]
    reason: str
    continued: tuple[Continued, ...]


def continuation_probe(
    rows: Iterable[SpanishVerse], *, min_words: int = 16, most: int | None = None, seed: int = 0
) -> list[Probe]:
    """Ask for the second half of Spanish verses: whoever continues them word for word has read them before.

    Left out are verses that begin like another one, where nobody could tell which is meant, and those whose second half
    shares five words in a row with another verse: whoever knows the formulas ("y hizo lo malo en ojos de Jehová")
    would continue them without knowing the verse.

    Args:
        rows: one whole Spanish text, so that formulas are known, in any number of English versions. Accepted ones
            count, each segment once, with its longest text.
        min_words: of the whole verse; shorter ones are left out, since a few words are easily guessed.
        most: so many are drawn by `seed`; None for all.

    Returns:
        Probes sorted by segment.
    """
    accepted = sorted((row.segment_id, len(row.es), row.es) for row in rows if row.status == ACCEPTED)
    verses = {name: text.split() for name, _, text in accepted}
    runs: Counter[tuple[str, ...]] = Counter()
    for words in verses.values():
        runs.update(_runs(" ".join(words)))
    probes = [
        Probe(name, " ".join(words[: len(words) // 2]), " ".join(words[len(words) // 2 :]))
        for name, words in verses.items()
        if len(words) >= min_words
    ]
    beginnings = Counter(comparable(probe.given) for probe in probes)
    probes = [
        probe
        for probe in probes
        if beginnings[comparable(probe.given)] == 1 and all(runs[run] == 1 for run in _runs(probe.expected))
    ]
    chosen = sorted(probes, key=lambda probe: seeded_uniform(seed, "probe", probe.segment_id))[:most]
    return sorted(chosen, key=lambda probe: probe.segment_id)


def _runs(text: str) -> set[tuple[str, ...]]:
    words = comparable(text).split()
    return {tuple(words[k : k + _SHORTEST_RUN]) for k in range(len(words) - _SHORTEST_RUN + 1)}


def judge_continuations(probes: Sequence[Probe], continuations: Sequence[str], *, seed: int = 0) -> ProbeResult:
    """Compare continuations with the text, and with other verses of about the same length, which is chance.

    Compared are words without case, accents and punctuation. The beginning does not count where it is repeated, nor
    does anything after as many words as are expected.

    "in parts" is said where the interval of the recited share lies above 2 %, "by heart" where half is recited too. A
    5-gram model of all other verses of RVR1909 recites none of the probes. A model that shows no sign may still have
    read the text.

    Args:
        continuations: one for each probe, in order; an empty one says nothing either way.

    Raises:
        ValueError: for another number of continuations than of probes.
    """
    if len(probes) != len(continuations):
        raise ValueError(f"{len(continuations)} continuations of {len(probes)} probes: one of each was expected")
    answered = []
    for probe, text in zip(probes, continuations, strict=True):
        expected = comparable(probe.expected).split()
        if words := _new_words(probe, text, expected):
            answered.append(_Answer(probe.segment_id, words, expected))
    if len(answered) < FEWEST_PROBES:
        reason = f"{len(answered)} of {len(probes)} beginnings were continued; {FEWEST_PROBES} are needed"
        return ProbeResult(len(probes), len(answered), None, None, None, None, None, 0, None, None, UNKNOWN, reason, ())
    own = [_compare(answer.words, answer.expected) for answer in answered]
    others = [_compare(answer.words, other.expected) for answer, other in _shuffled(answered, seed)]
    limit = _run_limit([run for _, run in others])
    continued = tuple(
        Continued(answer.segment_id, chrf, run, run >= limit) for answer, (chrf, run) in zip(answered, own, strict=True)
    )
    recited = sum(item.recited for item in continued)
    low, high = _interval(recited, len(continued))
    share = recited / len(continued)
    verdict = NO_SIGN if low <= _PARTLY_FROM else PARTLY if share < _BY_HEART_FROM else BY_HEART
    return ProbeResult(
        probes=len(probes),
        answered=len(continued),
        chrf=_mean(chrf for chrf, _ in own),
        chance_chrf=_mean(chrf for chrf, _ in others),
        run=_mean(run for _, run in own),
        chance_run=_mean(run for _, run in others),
        run_limit=limit,
        recited=recited,
        low=low,
        high=high,
        verdict=verdict,
        reason=_in_words(verdict, recited, len(continued), limit, low, high),
        continued=continued,
    )


@dataclass(frozen=True)
class _Answer:
    segment_id: str
    words: list[str]
    expected: list[str]


def _new_words(probe: Probe, continuation: str, expected: Sequence[str]) -> list[str]:
    words, given = comparable(continuation).split(), comparable(probe.given).split()
    start = len(given) if words[: len(given)] == given else 0
    return words[start : start + len(expected)]


def _compare(words: Sequence[str], expected: Sequence[str]) -> tuple[float, int]:
    run = SequenceMatcher(None, words, expected, autojunk=False).find_longest_match().size
    return _chrf().sentence_score(" ".join(words), [" ".join(expected)]).score, run


@cache
def _chrf():
    from sacrebleu.metrics.chrf import CHRF

    return CHRF()


def _shuffled(answered: Sequence[_Answer], seed: int) -> Iterable[tuple[_Answer, _Answer]]:
    """Each answer with some others: its neighbours by length, and among equals by chance."""
    order = sorted(answered, key=lambda item: (len(item.expected), seeded_uniform(seed, "chance", item.segment_id)))
    for shift in range(1, _SHUFFLES + 1):
        for place, answer in enumerate(order):
            yield answer, order[(place + shift) % len(order)]


def _run_limit(runs: Sequence[int]) -> int:
    """The shortest run, in words, that at most 1 % of `runs` reach."""
    longest_first = sorted(runs, reverse=True)
    return max(_SHORTEST_RUN, longest_first[int(_CHANCE_RUNS * len(runs))] + 1)


def _interval(hits: int, total: int) -> tuple[float, float]:
    from scipy.stats import binomtest

    interval = binomtest(hits, total).proportion_ci(method="wilson")
    return float(interval.low), float(interval.high)


def _mean(values: Iterable[float]) -> float:
    listed = list(values)
    return sum(listed) / len(listed)


def _in_words(verdict: str, recited: int, total: int, limit: int, low: float, high: float) -> str:
    seems = {
        BY_HEART: "The model seems to know the text by heart: scores on it say little about how it translates",
        PARTLY: "The model seems to know parts of the text by heart: scores on it are too high by an unknown amount",
        NO_SIGN: "Nothing shows that the model knows the text by heart; it may have read it all the same",
    }[verdict]
    return (
        f"{seems}. Without any English it continued {recited} of {total} verses ({low:.0%} to {high:.0%}) with {limit} or "
        f"more words of the text in a row; at most 1 % do so by chance."
    )


def hypothesis_key(model: str, prompt: str, decoding: Mapping[str, str | int | float | bool | None]) -> str:
    """Return the name under which a translation can be kept: the same only where the same would be made again.

    Args:
        model: what identifies the weights, adapter included: hashes, not names that may be given again.
        prompt: all that the model reads, with hints and template.
        decoding: parameters of generation, in any order; a seed where it samples.

    Returns:
        SHA-256 in hexadecimal, 64 characters.

    Raises:
        TypeError, ValueError: for a parameter that JSON cannot hold, NaN included.
    """
    parts = [model, hashlib.sha256(prompt.encode()).hexdigest(), decoding]
    text = json.dumps(parts, ensure_ascii=False, sort_keys=True, allow_nan=False, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def what_scripture_scores_do_not_say() -> tuple[str, ...]:
    """Write paragraphs for a report that shows scores on verses, for readers who know neither metric nor model."""
    return (
        "These scores say how close a translation of Bible verses comes to the wording of one Spanish Bible. A sermon is "
        "spoken, with asides and unfinished sentences, and reaches the translator through a transcript that has errors "
        "of its own; a verse has none of this, so a better score here need not mean a better translation of sermons.",
        "The model has probably read these verses before, in both languages: then the scores are higher than on new "
        "text, and more so for larger models. A model that learns from an old Bible also learns to write like it, which "
        "raises the score and is a fault in a service today; the archaism rate stands beside it for that reason. Only "
        "sermons that people have translated can tell how well sermons are translated.",
    )
