"""Which chunks a person is asked about: those where an hour of listening corrects most, and some drawn at random.

The least confident tenth alone would be garbage (music, other languages, cut words), all of one sermon, and would never
tell how wrong the confident rest is. So junk is left out with its reason, the others are ranked by expected word errors
for each second of reviewing, no sermon and no speaker fills the list, and a share is drawn from all of them alike.
"""

from __future__ import annotations

import heapq
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from math import ceil, floor, inf
from statistics import median
from typing import Literal

from stt_platform.audio.gates import Refusal
from stt_platform.evaluation.intervals import Counts, Interval, corpus_rate
from stt_platform.evaluation.wer import normalise_english, word_errors
from stt_platform.feedback.review_time import ReviewTime
from stt_platform.machine.seeded import seeded_uniform
from stt_platform.speech.text_checks import text_refusal

FLAGGED, EXCLUDED, LEFT = "flagged", "excluded", "left"

SCORED, RANDOM = "scored", "random"

_SHOWN_TERMS = 3


class NotAsked(StrEnum):
    """Why a chunk is not asked about, though it may be speech; junk has the gates of what refused it."""

    TEST_SERMON = "test_sermon"
    DEV_SERMON = "dev_sermon"
    FINAL_SERMON = "final_sermon"
    NO_SPLIT = "no_split"
    ANSWERED = "answered"
    NO_VIEW = "no_view"
    GONE = "gone"
    NO_LENGTH = "no_length"
    WORTH_LESS = "worth_less"


NOT_ASKED_IN_WORDS: Mapping[str, str] = {
    NotAsked.TEST_SERMON: "its sermon is a test sermon: only train sermons teach",
    NotAsked.DEV_SERMON: "its sermon is a dev sermon: only train sermons teach",
    NotAsked.FINAL_SERMON: "its sermon is a final sermon: only train sermons teach",
    NotAsked.NO_SPLIT: "its sermon is in no split yet: only train sermons teach",
    NotAsked.ANSWERED: "answered already",
    NotAsked.NO_VIEW: "it has no sound in the view that is trained on",
    NotAsked.GONE: "its sound is gone: run the stage training_chunks of its sermon again",
    NotAsked.NO_LENGTH: "it is … s long",
    NotAsked.WORTH_LESS: "others give more for the time",
}
"""What all chunks with such a gate have in common, in words."""

_OF_SPLIT = {
    "test": NotAsked.TEST_SERMON,
    "dev": NotAsked.DEV_SERMON,
    "final": NotAsked.FINAL_SERMON,
    "": NotAsked.NO_SPLIT,
}
_WORTH_LESS = Refusal(NotAsked.WORTH_LESS, NOT_ASKED_IN_WORDS[NotAsked.WORTH_LESS])


@dataclass(frozen=True)
class Candidate:
    """A chunk with its transcript.

    Attributes:
        split: of its sermon.
        expected_errors: word errors in the transcript, as `ConfidenceModel.expect` gives them.
        junk: why nobody should be asked about it (`junk_reason`, not English, music); None where it is speech.
        answered: whether a person has answered it already.
        terms: glossary terms in the transcript, each once.
    """

    chunk_id: str
    sermon: str
    speaker: str
    split: str
    duration_s: float
    expected_errors: float
    junk: Refusal | None = None
    answered: bool = False
    terms: tuple[str, ...] = ()


@dataclass(frozen=True)
class SelectionOptions:
    """How chunks are chosen.

    Attributes:
        share: of the pool that is flagged; the seed has 0.05 to 0.15.
        most: flagged at most, however large the pool; None for no limit.
        max_review_s: of a person's time for all of them; None for no limit.
        random_share: share of the flagged that is drawn at random.
        quota: of the scored ones, the share that one sermon, or one speaker, may have; or twice its share of the pool,
            where that is more.
        term_bonus: how much more a chunk counts for a term that was never corrected; 0.5 is half as much again.
        review_time: what a person takes.
        seed: of the random draw; another one for each cycle.
        counted: whether the expected errors are a count that may be told; else they only rank.

    Raises:
        ValueError: for a value that is out of its range.
    """

    share: float = 0.10
    most: int | None = None
    max_review_s: float | None = None
    random_share: float = 0.15
    quota: float = 0.10
    term_bonus: float = 0.5
    review_time: ReviewTime = field(default_factory=ReviewTime)
    seed: int = 42
    counted: bool = True

    def __post_init__(self) -> None:
        for name in ("share", "random_share", "quota"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} is {getattr(self, name)!r}: a number from 0 to 1 was expected")
        if self.term_bonus < 0:
            raise ValueError(f"term_bonus is {self.term_bonus!r}: 0 or more was expected")
        if self.review_time.factor <= 0 or self.review_time.fixed_s < 0:
            raise ValueError(f"{self.review_time}: reviewing takes time")


@dataclass(frozen=True)
class Flagged:
    """What became of a candidate.

    Attributes:
        status: "flagged", "excluded" (junk, not a train sermon, answered), or "left" for a later cycle.
        kind: "scored" or "random" where flagged, else empty.
        rank: from 1, among the flagged of its kind; None where not flagged.
        review_s: what answering is expected to take a person.
        errors_per_minute: expected word errors for each minute of reviewing.
        reason: in words.
        gate: where not flagged, why: one of `NotAsked`, or the gate of the junk; empty where flagged.
        new_terms: of `terms`, those that nobody had corrected when it was chosen; empty where it is not scored.
    """

    chunk_id: str
    sermon: str
    speaker: str
    status: Literal["flagged", "excluded", "left"]
    kind: Literal["scored", "random", ""]
    rank: int | None
    expected_errors: float
    review_s: float
    errors_per_minute: float
    terms: tuple[str, ...]
    reason: str
    gate: str = ""
    new_terms: tuple[str, ...] = ()


@dataclass(frozen=True)
class RandomAnswer:
    """An answer to a chunk that was drawn at random; `text` is the corrected one."""

    sermon: str
    text: str
    proposal: str


def choose_segments(
    candidates: Iterable[Candidate],
    options: SelectionOptions | None = None,
    *,
    corrected_terms: Mapping[str, int] | None = None,
) -> list[Flagged]:
    """Choose what is to be reviewed, and say why the rest is not; one row for each candidate, the same for any order of them.

    The random ones are drawn first and from the whole pool, so that they speak for it. Each of the others is the one
    that gives most for its time after what was chosen before; it fills the seats of its sermon and its speaker, and its
    terms count less from then on. Nobody gets more than the quota as long as others are left.

    Args:
        corrected_terms: how often each glossary term stands in what is corrected already.

    Returns:
        The flagged first, random ones and scored ones each by rank, then the excluded and the left by chunk.

    Raises:
        ValueError: a chunk comes twice.
    """
    options = options or SelectionOptions()
    everyone = sorted(candidates, key=lambda item: item.chunk_id)
    if twice := [name for name, times in Counter(item.chunk_id for item in everyone).items() if times > 1]:
        raise ValueError(f"chunk {min(twice)!r} comes twice: give each chunk once")
    why_not = {item.chunk_id: found for item in everyone if (found := _exclusion(item)) is not None}
    pool = [item for item in everyone if item.chunk_id not in why_not]
    seats = min(ceil(options.share * len(pool)), len(pool) if options.most is None else options.most)
    at_random = sorted(pool, key=lambda item: (seeded_uniform(options.seed, RANDOM, item.chunk_id), item.chunk_id))
    time_s = inf if options.max_review_s is None else options.max_review_s
    chosen_at_random = _within(at_random, ceil(options.random_share * seats), options.random_share * time_s, options)
    time_s -= sum(options.review_time.of(item.duration_s) for item in chosen_at_random)
    taken = {item.chunk_id for item in chosen_at_random}
    rest = [item for item in pool if item.chunk_id not in taken]
    scored = _scored(rest, pool, seats - len(chosen_at_random), time_s, options, corrected_terms or {})
    taken |= {item.chunk_id for item, _, _ in scored}
    return [
        *(
            _row(
                item,
                options,
                FLAGGED,
                f"drawn at random from {len(pool)}: it shows how good all of them are",
                kind=RANDOM,
                rank=rank,
            )
            for rank, item in enumerate(chosen_at_random, start=1)
        ),
        *(
            _row(item, options, FLAGGED, why, kind=SCORED, rank=rank, new_terms=new_terms)
            for rank, (item, why, new_terms) in enumerate(scored, start=1)
        ),
        *(_unasked(item, options, EXCLUDED, why_not[item.chunk_id]) for item in everyone if item.chunk_id in why_not),
        *(_unasked(item, options, LEFT, _WORTH_LESS) for item in pool if item.chunk_id not in taken),
    ]


def review_order(rows: Iterable[Flagged]) -> list[Flagged]:
    """Return the flagged in the order of asking: the best first, and the random ones spread evenly among them.

    Whoever has time for half of them has then answered half of either kind.
    """
    flagged = [row for row in rows if row.status == FLAGGED]
    count = Counter(row.kind for row in flagged)
    return sorted(flagged, key=lambda row: (((row.rank or 0) - 0.5) / count[row.kind], row.kind != SCORED))


def junk_reason(
    text: str,
    *,
    duration_s: float,
    speech_s: float,
    compression_ratio: float,
    avg_logprob: float,
    no_speech_prob: float,
) -> Refusal | None:
    """Tell why a transcript is no speech that a person could correct; None where it may be. See `text_refusal`.

    That the recogniser found its own text improbable is no reason: those are the ones to ask about.
    """
    return text_refusal(
        text,
        duration_s=duration_s,
        speech_s=speech_s,
        compression_ratio=compression_ratio,
        avg_logprob=avg_logprob,
        no_speech_prob=no_speech_prob,
        min_avg_logprob=-inf,
    )


def pool_error_rate(answers: Iterable[RandomAnswer], *, confidence: float = 0.95) -> Interval:
    """Estimate the word error rate of the whole pool from the answers to the chunks that were drawn at random.

    Unbiased as far as the draw goes; but who corrects a text overlooks some of its errors, so the truth is rather
    higher. Words are compared as `normalise_english` writes them, and what is drawn independently is the sermon.
    """
    errors: dict[str, int] = defaultdict(int)
    words: dict[str, int] = defaultdict(int)
    for answer in answers:
        found = word_errors([(answer.text, answer.proposal)], normalise=normalise_english)
        errors[answer.sermon] += found.substitutions + found.deletions + found.insertions
        words[answer.sermon] += found.reference_words
    return corpus_rate((Counts(errors[name], words[name]) for name in sorted(words)), confidence=confidence)


def _exclusion(item: Candidate) -> Refusal | None:
    if item.split != "train":
        where = f"is a {item.split} sermon" if item.split else "is in no split yet"
        return Refusal(_OF_SPLIT[item.split], f"{item.sermon} {where}: only train sermons teach")
    if item.answered:
        return Refusal(NotAsked.ANSWERED, NOT_ASKED_IN_WORDS[NotAsked.ANSWERED])
    if item.duration_s <= 0:
        return Refusal(NotAsked.NO_LENGTH, f"it is {item.duration_s:g} s long")
    return item.junk


def _within(ordered: Sequence[Candidate], seats: int, time_s: float, options: SelectionOptions) -> list[Candidate]:
    """Return the first of them, as many as there are seats and time for."""
    taken: list[Candidate] = []
    for item in ordered[:seats]:
        time_s -= options.review_time.of(item.duration_s)
        if time_s < 0:
            break
        taken.append(item)
    return taken


def _scored(
    rest: Sequence[Candidate],
    pool: Sequence[Candidate],
    seats: int,
    time_s: float,
    options: SelectionOptions,
    corrected_terms: Mapping[str, int],
) -> list[tuple[Candidate, str, tuple[str, ...]]]:
    """Choose the best for the time, one by one, with reasons and new terms; quotas hold while anybody is left whom they allow."""
    terms = Counter(corrected_terms)
    quotas = _quotas(pool, _likely_seats(rest, seats, time_s, options), options)
    filled: Counter[tuple[str, str]] = Counter()
    waiting: list[Candidate] = []
    chosen: list[tuple[Candidate, str, tuple[str, ...]]] = []
    heap = [(-_worth(item, options, terms), item.chunk_id, item) for item in rest]
    heapq.heapify(heap)
    lifted = False
    while len(chosen) < seats and (heap or waiting):
        if not heap:
            heap = [(-_worth(item, options, terms), item.chunk_id, item) for item in waiting]
            heapq.heapify(heap)
            waiting, lifted = [], True
        worth, name, item = heapq.heappop(heap)
        # A worth only sinks while terms are chosen, so the top whose worth still stands is the best.
        if heap and (now := -_worth(item, options, terms)) > worth:
            heapq.heappush(heap, (now, name, item))
            continue
        groups = _groups(item)
        if not lifted and any(filled[group] >= quotas[group] for group in groups):
            waiting.append(item)
            continue
        if options.review_time.of(item.duration_s) > time_s:
            continue
        time_s -= options.review_time.of(item.duration_s)
        new_terms = tuple(sorted(term for term in item.terms if not terms.get(term)))
        chosen.append((item, _why(item, options, new_terms, lifted), new_terms))
        filled.update(groups)
        terms.update(item.terms)
    return chosen


def _worth(item: Candidate, options: SelectionOptions, terms: Mapping[str, int]) -> float:
    rarest = max((1 / (1 + terms.get(term, 0)) for term in item.terms), default=0.0)
    return item.expected_errors / options.review_time.of(item.duration_s) * (1 + options.term_bonus * rarest)


def _groups(item: Candidate) -> list[tuple[str, str]]:
    # Who is not known is not one person.
    return [("sermon", item.sermon), *([("speaker", item.speaker)] if item.speaker else [])]


def _likely_seats(rest: Sequence[Candidate], seats: int, time_s: float, options: SelectionOptions) -> int:
    """Estimate how many the time is enough for, if they are as long as most; a quota of more seats would bind nobody."""
    if not rest:
        return seats
    each_s = median(options.review_time.of(item.duration_s) for item in rest)
    return max(1, floor(min(seats, time_s / each_s)))


def _quotas(pool: Sequence[Candidate], seats: int, options: SelectionOptions) -> dict[tuple[str, str], int]:
    """Return the maximum of seats of each sermon and speaker: the quota, or twice their share of the pool."""
    size = Counter(group for item in pool for group in _groups(item))
    return {group: ceil(seats * max(options.quota, 2 * count / len(pool))) for group, count in size.items()}


def _why(item: Candidate, options: SelectionOptions, new_terms: Sequence[str], lifted: bool) -> str:
    told = f"about {item.expected_errors:.1f} words wrong, {_per_minute(item, options):.1f} a minute of reviewing"
    parts = [told if options.counted else "among the most doubtful for the time it takes"]
    if new_terms:
        shown = ", ".join(f"“{term}”" for term in new_terms[:_SHOWN_TERMS])
        parts.append(f"it has {shown}, which nobody has corrected yet")
    if lifted:
        parts.append("more than the quota of its sermon or speaker, since no other is left")
    return "; ".join(parts)


def _per_minute(item: Candidate, options: SelectionOptions) -> float:
    return 60 * item.expected_errors / options.review_time.of(item.duration_s)


def _unasked(item: Candidate, options: SelectionOptions, status: Literal["excluded", "left"], why: Refusal) -> Flagged:
    return _row(item, options, status, why.reason, gate=str(why.gate))


def _row(
    item: Candidate,
    options: SelectionOptions,
    status: Literal["flagged", "excluded", "left"],
    reason: str,
    *,
    gate: str = "",
    kind: Literal["scored", "random", ""] = "",
    rank: int | None = None,
    new_terms: tuple[str, ...] = (),
) -> Flagged:
    return Flagged(
        chunk_id=item.chunk_id,
        sermon=item.sermon,
        speaker=item.speaker,
        status=status,
        kind=kind,
        rank=rank,
        expected_errors=item.expected_errors,
        review_s=options.review_time.of(max(0.0, item.duration_s)),
        errors_per_minute=_per_minute(item, options) if item.duration_s > 0 else 0.0,
        terms=item.terms,
        reason=reason,
        gate=gate,
        new_terms=new_terms,
    )
