"""The training and validation sets of the recogniser: the label of each chunk, and what else belongs into them.

The best text there is wins: what a person corrected, what a person wrote down from scratch, what systems of different
kinds agree on, and only then the automatic text, as far as the measured error rate of such texts allows.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import ceil
from typing import Any, Literal

from stt_platform.machine.seeded import seeded_uniform
from stt_platform.training.options import SpeechMixOptions

CORRECTION, REFERENCE, SCRIPT, AGREEMENT, AUTOMATIC = "correction", "reference", "script", "agreement", "automatic"
NO_SPEECH, REPLAY = "no_speech", "replay"
KINDS = (CORRECTION, REFERENCE, SCRIPT, AGREEMENT, AUTOMATIC, NO_SPEECH, REPLAY)

Policy = Literal["confidence_filter", "drop_worst", "weak_then_clean", "transcribe_again"]
Split = Literal["train", "dev"]

# A person's text of a chunk that is shorter than this and was not heard at all is no example: its edges are cut words.
_SHORTEST_S = 0.5


class NothingToLearn(ValueError):
    """No chunk is left to train on: says what became of them, and what to do."""


@dataclass(frozen=True)
class LabelledChunk:
    """A chunk of a training or validation sermon, with every text there is for it.

    Attributes:
        split: "train" or "dev".
        automatic: the transcript of the recogniser, with its `avg_logprob`; `reliable` where other systems agree.
        correction: of a person who saw the automatic text; "" where the person found that nobody speaks. None: not
            corrected. `refused` says why a person found it unusable.
        reference: by a person from scratch; `script`: the part of a known script.
        speech_s: when the first word begins and the last one ends, in seconds of the chunk; None where not known.
        audio: where its sound lies; opaque here.
    """

    chunk_id: str
    sermon: str
    split: Split
    duration_s: float
    audio: str
    automatic: str
    avg_logprob: float
    reliable: bool = False
    correction: str | None = None
    refused: str = ""
    reference: str | None = None
    script: str | None = None
    speech_s: tuple[float, float] | None = None


@dataclass(frozen=True)
class OtherSound:
    """Sound that is no chunk: general English with its text, or a stretch where nobody speaks (`text` is empty)."""

    sound_id: str
    duration_s: float
    audio: str
    text: str


class SpeechSetOptions(SpeechMixOptions):
    """How the set is made.

    Attributes:
        policy: how automatic texts are used, see `speech_set`.
        most_dev: chunks of the validation set.
    """

    policy: Policy = "drop_worst"
    most_dev: int = 64


@dataclass(frozen=True)
class SpeechExample:
    """A row of the set.

    Attributes:
        kind: one of `KINDS`.
        weak: in the first pass only.
        times_s: when its speech begins and ends, where its label carries times; else None.
        confidence: `avg_logprob` of the automatic text; None where there is none.
    """

    example_id: str
    kind: str
    split: Split
    sermon: str
    text: str
    audio: str
    duration_s: float
    weak: bool = False
    times_s: tuple[float, float] | None = None
    confidence: float | None = None


@dataclass(frozen=True)
class LeftOut:
    """A chunk that is in neither set, and why."""

    chunk_id: str
    sermon: str
    reason: str


@dataclass(frozen=True)
class SpeechSet:
    """The examples, sorted by split, kind and id, and what was left out."""

    examples: tuple[SpeechExample, ...]
    left_out: tuple[LeftOut, ...]
    options: SpeechSetOptions

    def manifest(self, sound_sha256: Mapping[str, str]) -> dict[str, Any]:
        """Describe the set for JSON: hash, counts, hours by kind, sermons, and what was left out by reason.

        Args:
            sound_sha256: of the sound of each example.
        """
        digest = hashlib.sha256()
        hours: dict[str, dict[str, float]] = defaultdict(lambda: defaultdict(float))
        counts: dict[str, Counter[str]] = defaultdict(Counter)
        for example in self.examples:
            hours[example.split][example.kind] += example.duration_s / 3600
            counts[example.split][example.kind] += 1
            row = [example.example_id, example.kind, example.split, example.text, example.weak, example.times_s]
            digest.update(json.dumps([*row, sound_sha256[example.example_id]], ensure_ascii=False).encode() + b"\n")
        return {
            "sha256": digest.hexdigest(),
            "examples": {split: dict(sorted(kinds.items())) for split, kinds in sorted(counts.items())},
            "hours": {
                split: {kind: round(value, 4) for kind, value in sorted(kinds.items())}
                for split, kinds in sorted(hours.items())
            },
            "sermons": {
                split: sorted({row.sermon for row in self.examples if row.split == split and row.sermon})
                for split in ("train", "dev")
            },
            "left_out": dict(sorted(Counter(row.reason for row in self.left_out).items())),
            "policy": self.options.policy,
        }


def speech_set(
    chunks: Iterable[LabelledChunk],
    *,
    replay: Iterable[OtherSound] = (),
    silences: Iterable[OtherSound] = (),
    options: SpeechSetOptions | None = None,
) -> SpeechSet:
    """Put the set together; the same for any order of what is given.

    Automatic texts on which no other system agrees are used by the policy: "confidence_filter" takes those whose average
    log probability is high enough; "drop_worst" all but the worst; "weak_then_clean" all, in the first pass only, before
    passes over the rest; "transcribe_again" none: they have too many errors, and a better recogniser has to write them.
    Chunks of validation sermons need a text that no model under training wrote.

    Raises:
        NothingToLearn: no chunk has a text that may be trained on.
    """
    options = options or SpeechSetOptions()
    everything = sorted(chunks, key=lambda chunk: chunk.chunk_id)
    usable: list[SpeechExample] = []
    left_out: list[LeftOut] = []
    automatic_only = [chunk for chunk in everything if chunk.split == "train" and _best(chunk)[0] == AUTOMATIC]
    automatic = _refused_by_policy(automatic_only, options)
    for chunk in everything:
        kind, text = _best(chunk)
        reason = _refusal(chunk, kind) or automatic.get(chunk.chunk_id, "")
        if reason:
            left_out.append(LeftOut(chunk.chunk_id, chunk.sermon, reason))
            continue
        weak = kind == AUTOMATIC and options.policy == "weak_then_clean"
        usable.append(_example(chunk, kind if text else NO_SPEECH, text, weak, options))
    validation, too_many = _validation([row for row in usable if row.split == "dev"], options)
    left_out += [LeftOut(row.example_id, row.sermon, "enough chunks are watched already") for row in too_many]
    train = [row for row in usable if row.split == "train"]
    if not any(row.text for row in train):
        raise NothingToLearn(_nothing(left_out, len(everything)))
    train += _others(silences, NO_SPEECH, _share_of(len(train), options.no_speech_share), options)
    train += _others(replay, REPLAY, _share_of(len(train), options.replay_ratio), options)
    rows = sorted([*train, *validation], key=lambda row: (row.split, row.kind, row.example_id))
    return SpeechSet(tuple(rows), tuple(sorted(left_out, key=lambda row: row.chunk_id)), options)


def _best(chunk: LabelledChunk) -> tuple[str, str]:
    """Choose the best text that there is, with its kind."""
    choices = ((CORRECTION, chunk.correction), (REFERENCE, chunk.reference), (SCRIPT, chunk.script))
    for kind, text in choices:
        if text is not None:
            return kind, text.strip()
    return AGREEMENT if chunk.reliable else AUTOMATIC, chunk.automatic.strip()


def _refusal(chunk: LabelledChunk, kind: str) -> str:
    if chunk.refused:
        return f"a person found it unusable: {chunk.refused}"
    if chunk.duration_s < _SHORTEST_S:
        return f"shorter than {_SHORTEST_S:g} s"
    if chunk.split == "dev" and kind in (AGREEMENT, AUTOMATIC):
        return "of a dev sermon, where only texts by people are watched"
    if kind in (AGREEMENT, AUTOMATIC) and not chunk.automatic.strip():
        return "nothing was heard in it"
    return ""


def _refused_by_policy(chunks: Sequence[LabelledChunk], options: SpeechSetOptions) -> dict[str, str]:
    """Give the reasons for which automatic texts are not used, by chunk."""
    if options.policy == "transcribe_again":
        reason = "the automatic texts have too many errors to learn from: transcribe with a better recogniser first"
        return {chunk.chunk_id: reason for chunk in chunks}
    if options.policy == "confidence_filter":
        return {
            chunk.chunk_id: f"the recogniser is less sure than {options.min_avg_logprob:g} (average log probability)"
            for chunk in chunks
            if chunk.avg_logprob < options.min_avg_logprob
        }
    if options.policy == "drop_worst":
        worst = sorted(chunks, key=lambda chunk: (chunk.avg_logprob, chunk.chunk_id))
        reason = f"among the {options.drop_worst:.0%} of which the recogniser is least sure"
        return {chunk.chunk_id: reason for chunk in worst[: ceil(options.drop_worst * len(worst))]}
    return {}


def _example(chunk: LabelledChunk, kind: str, text: str, weak: bool, options: SpeechSetOptions) -> SpeechExample:
    timed = text and chunk.speech_s and seeded_uniform(options.seed, "times", chunk.chunk_id) < options.timestamp_share
    return SpeechExample(
        example_id=chunk.chunk_id,
        kind=kind,
        split=chunk.split,
        sermon=chunk.sermon,
        text=text,
        audio=chunk.audio,
        duration_s=chunk.duration_s,
        weak=weak,
        times_s=chunk.speech_s if timed else None,
        confidence=chunk.avg_logprob,
    )


def _validation(
    rows: Sequence[SpeechExample], options: SpeechSetOptions
) -> tuple[list[SpeechExample], list[SpeechExample]]:
    chosen = sorted(rows, key=lambda row: (seeded_uniform(options.seed, "watched", row.example_id), row.example_id))
    return chosen[: options.most_dev], chosen[options.most_dev :]


def _others(sounds: Iterable[OtherSound], kind: str, most: int, options: SpeechSetOptions) -> list[SpeechExample]:
    chosen = sorted(sounds, key=lambda sound: (seeded_uniform(options.seed, kind, sound.sound_id), sound.sound_id))[
        :most
    ]
    return [SpeechExample(s.sound_id, kind, "train", "", s.text, s.audio, s.duration_s) for s in chosen]


def _share_of(others: int, share: float) -> int:
    """Count how many make up a share of a whole that has so many others."""
    return round(others * share / (1 - share))


def _nothing(left_out: Sequence[LeftOut], chunks: int) -> str:
    reasons = "; ".join(f"{count} {reason}" for reason, count in Counter(r.reason for r in left_out).most_common(5))
    return (
        f"none of {chunks} chunks of training sermons has a text to learn from ({reasons or 'there are no chunks'}): "
        "correct some, transcribe sermons that are in the split train, or choose another assessment.label_policy"
    )
