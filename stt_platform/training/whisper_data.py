"""Training examples of Whisper as numbers: log-mel spectrograms, and the tokens that it should write.

Radford et al. 2022, "Robust Speech Recognition via Large-Scale Weak Supervision", section 2.3, says how a training
example is written; a text begins with a space, and what the decoder reads is what it should write, one place later.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from stt_platform.audio import SAMPLE_RATE_HZ
from stt_platform.audio.media import UnreadableMedia
from stt_platform.audio.reading import read_stretch
from stt_platform.machine.seeded import seeded_uniform

if TYPE_CHECKING:
    import torch

WINDOW_S = 30.0
FRAMES = 3000
TIMESTAMP_STEP_S = 0.02
IGNORED = -100
"""A label that is not learned (`torch.nn.functional.cross_entropy`)."""

# So many batches are sorted by length at a time: enough to be alike, few enough that an epoch stays mixed.
_POOL_BATCHES = 16


class NoUsableExample(ValueError):
    """Not one example of a set can be trained on: says why."""


@dataclass(frozen=True)
class Segment:
    """Some of the words of an example and when they are said, in seconds from the start of its sound."""

    start_s: float
    end_s: float
    text: str


@dataclass(frozen=True)
class WhisperExample:
    """Some sound of up to 30 s and what is said in it.

    Attributes:
        audio: float32 samples at 16 kHz in [-1, 1], or a media file.
        text: as it should be written; "" where nobody speaks.
        kind: where it comes from, for counts ("correction", "agreement", "replay", "no_speech", ...).
        segments: its words with their times, where timestamps are to be learned from it; else empty. With none in the
            whole set, the model unlearns them.
        recording: what it was cut from; only examples of one recording are joined.
        weak: its text may be wrong: it is learned in the first epoch only, and before the others.
        confidence: how sure the base model was of what it heard, the more the easier; None where that is not known.
    """

    example_id: str
    audio: np.ndarray | Path
    text: str
    kind: str = "speech"
    segments: tuple[Segment, ...] = ()
    recording: str = ""
    weak: bool = False
    confidence: float | None = None


@dataclass(frozen=True)
class Rejected:
    """An example that cannot be learned from, and why."""

    example_id: str
    reason: str


@dataclass(frozen=True)
class Tokens:
    """The special tokens of one Whisper model.

    Attributes:
        start: <|startoftranscript|>, the first that the decoder reads.
        language_and_task: what follows in a model of several languages; empty in one for English.
        no_timestamps, first_timestamp: <|notimestamps|>, <|0.00|>.
        no_speech: <|nospeech|>, in models for English <|nocaptions|>.
        end: <|endoftext|>.
        most: that the decoder can read.
    """

    start: int
    language_and_task: tuple[int, ...]
    no_timestamps: int
    first_timestamp: int
    no_speech: int
    end: int
    most: int

    @classmethod
    def of(cls, generation_config: Any, language: str = "en") -> Tokens:
        """Read from a checkpoint's configuration of generation."""
        settings = generation_config
        several = bool(settings.is_multilingual)
        prefix = (settings.lang_to_id[f"<|{language}|>"], settings.task_to_id["transcribe"]) if several else ()
        return cls(
            start=settings.decoder_start_token_id,
            language_and_task=prefix,
            no_timestamps=settings.no_timestamps_token_id,
            first_timestamp=settings.no_timestamps_token_id + 1,
            no_speech=settings.no_timestamps_token_id - 1,
            end=settings.eos_token_id,
            most=settings.max_length,
        )


@dataclass(frozen=True)
class Target:
    """What the decoder reads, and what it should write at each place (`IGNORED`: not learned). Equally long."""

    read: tuple[int, ...]
    write: tuple[int, ...]


@dataclass(frozen=True)
class SpecAugment:
    """Stretches of time and frequency that are blanked out (Park et al. 2019, arXiv:1904.08779).

    Attributes:
        time_share: of the frames with sound that are blanked, at most.
        time_frames: of one stretch.
        mel_share, mel_bins: the same for bands of frequency.
    """

    time_share: float = 0.05
    time_frames: int = 10
    mel_share: float = 0.05
    mel_bins: int = 4


@dataclass(frozen=True)
class WhisperSetOptions:
    """How examples are written.

    Attributes:
        language: of the texts; a model for English knows no other.
        packed_share: of the recordings whose neighbouring examples are joined up to 30 s, 0 to 1. The encoder hears 30 s
            whatever is in them, so an hour of short examples costs as much as three of long ones.
        gap_s: silence between joined examples.
        seed: of that draw.

    Raises:
        ValueError: the share is not from 0 to 1.
    """

    language: str = "en"
    packed_share: float = 0.0
    gap_s: float = 0.3
    seed: int = 42

    def __post_init__(self) -> None:
        if not 0 <= self.packed_share <= 1:
            raise ValueError(f"packed_share {self.packed_share!r}: a number from 0 to 1 was expected")


@dataclass(frozen=True)
class Batch:
    """What the model is given: `[n, mels, 3000]` and twice `[n, longest]`."""

    features: torch.Tensor
    read: torch.Tensor
    write: torch.Tensor

    @property
    def tokens(self) -> int:
        """Target tokens."""
        return int((self.write != IGNORED).sum())


@dataclass(frozen=True)
class WhisperSet:
    """Examples that are ready to be trained on.

    Attributes:
        examples: those that can be used, in order, joined ones as one, without their sound.
        targets: of each.
        rejected: those that cannot.
        seconds: of sound in each.
        spectrograms: of each, [mels, frames] float32, without the silence at the end; `features` gives them whole.
    """

    examples: tuple[WhisperExample, ...]
    targets: tuple[Target, ...]
    rejected: tuple[Rejected, ...]
    seconds: tuple[float, ...]
    spectrograms: tuple[np.ndarray, ...] = field(repr=False)

    def __len__(self) -> int:
        return len(self.examples)

    def features(self, index: int, augment: SpecAugment | None = None, draw: int = 0) -> np.ndarray:
        """Give the log-mel spectrogram of an example, [mels, 3000] float32: an array of its own, that may be changed.

        Args:
            draw: what is blanked out depends on it and the index alone.
        """
        kept = self.spectrograms[index]
        whole = np.empty((kept.shape[0], FRAMES), dtype=np.float32)
        whole[:, : kept.shape[1]] = kept
        whole[:, kept.shape[1] :] = kept[:, -1:]
        if augment is not None:
            _blank(whole, kept.shape[1], augment, np.random.default_rng([draw, index]))
        return whole

    def batch(self, indices: Sequence[int], augment: SpecAugment | None = None, draw: int = 0) -> Batch:
        """Join examples into one batch, filled up at the end with what is not learned."""
        import torch

        targets = [self.targets[index] for index in indices]
        longest = max(len(target.read) for target in targets)
        # Any token will do: a decoder reads no later place, and there nothing is learned.
        fill = targets[0].read[0]
        return Batch(
            torch.from_numpy(np.stack([self.features(index, augment, draw) for index in indices])),
            torch.tensor([list(target.read) + [fill] * (longest - len(target.read)) for target in targets]),
            torch.tensor([list(target.write) + [IGNORED] * (longest - len(target.write)) for target in targets]),
        )

    def epoch(self, number: int, batch_size: int, seed: int, *, easy_first: bool = False) -> list[list[int]]:
        """Deal the examples of an epoch into batches, in an order of its own; those of one batch have texts of similar length.

        Args:
            easy_first: whether the first epoch goes from what the base model was sure of to what it was not; what it was
                not asked about stands in the middle.
        """
        rng = np.random.default_rng([seed, number])
        weak = [index for index, example in enumerate(self.examples) if example.weak]
        others = [index for index, example in enumerate(self.examples) if not example.weak]
        parts = (weak, others) if number == 0 else (others,)
        if easy_first and number == 0:
            return [batch for part in parts for batch in self._from_easy_to_hard(part, batch_size)]
        return [batch for part in parts for batch in self._batches(rng.permutation(part), batch_size, rng)]

    def _from_easy_to_hard(self, part: Sequence[int], batch_size: int) -> list[list[int]]:
        known = [found for index in part if (found := self.examples[index].confidence) is not None]
        middle = float(np.median(known)) if known else 0.0

        def difficulty(index: int) -> tuple[float, int]:
            found = self.examples[index].confidence
            return (-(middle if found is None else found), index)

        order = sorted(part, key=difficulty)
        return [order[k : k + batch_size] for k in range(0, len(order), batch_size)]

    def _batches(self, order: np.ndarray, batch_size: int, rng: np.random.Generator) -> list[list[int]]:
        pool = _POOL_BATCHES * batch_size
        batches = []
        for start in range(0, len(order), pool):
            some = order[start : start + pool].tolist()
            alike = sorted(some, key=lambda index: (len(self.targets[index].read), index))
            batches += [alike[k : k + batch_size] for k in range(0, len(alike), batch_size)]
        return [batches[k] for k in rng.permutation(len(batches))]


def prepare(
    examples: Iterable[WhisperExample],
    tokenizer: Any,
    feature_extractor: Any,
    tokens: Tokens,
    options: WhisperSetOptions | None = None,
    *,
    store: Path | None = None,
    progress: Callable[[int], None] = lambda done: None,
) -> WhisperSet:
    """Read, join, transform and write down examples. What cannot be used is marked, and the others go on.

    Args:
        tokenizer, feature_extractor: of the checkpoint that learns: how many bands a spectrogram has is its own.
        store: a file for the spectrograms of sets that do not fit into memory (a second of sound takes 32 kB, with 128
            bands 51 kB); it is made anew, and read as long as the set lives.
        progress: called with the number of examples read so far.

    Raises:
        NoUsableExample: none is left.
    """
    options = options or WhisperSetOptions()
    keeper = _Keeper(store)
    done: list[tuple[WhisperExample, Target, float]] = []
    rejected: list[Rejected] = []
    seen = 0
    for example in _packed(_readable(examples, rejected), options):
        seen += 1
        progress(seen)
        try:
            target = write_target(example, tokenizer, tokens)
            keeper.add(_log_mel(example.audio, feature_extractor))
        except ValueError as error:
            rejected.append(Rejected(example.example_id, str(error)))
            continue
        done.append((replace(example, audio=np.empty(0, np.float32)), target, len(example.audio) / SAMPLE_RATE_HZ))
    if not done:
        reasons = "; ".join(f"{r.example_id}: {r.reason}" for r in rejected[:3])
        raise NoUsableExample(
            f"none of {len(rejected)} examples can be learned from ({reasons})" if rejected else "there are no examples"
        )
    kept, targets, seconds = zip(*done, strict=True)
    return WhisperSet(kept, targets, tuple(rejected), seconds, keeper.arrays)


def write_target(example: WhisperExample, tokenizer: Any, tokens: Tokens) -> Target:
    """Tokenise one example.

    Learned are the text, its timestamps, the end, and what follows the start: it is there that the model says whether
    anybody speaks. The task, and that no timestamps are wanted, are given to it.

    Raises:
        ValueError: it is too long, or its times are not in order.
    """
    if not example.text.strip():
        # After what it is always given it should end; at the start it should say that nobody speaks.
        read = (tokens.start, *tokens.language_and_task, tokens.no_timestamps)
        return Target(read, (tokens.no_speech, *[IGNORED] * (len(read) - 2), tokens.end))
    if example.segments:
        prefix, text = tokens.language_and_task, _timed_text(example, tokenizer, tokens)
    else:
        prefix = (*tokens.language_and_task, tokens.no_timestamps)
        text = tokenizer(_spoken(example.text), add_special_tokens=False).input_ids
    read = (tokens.start, *prefix, *text)
    if len(read) > tokens.most:
        raise ValueError(
            f"{len(read)} tokens of text: the decoder reads {tokens.most}; cut the recording into shorter chunks"
        )
    write = [*read[1:], tokens.end]
    # The first of them is learned.
    write[1 : len(prefix)] = [IGNORED] * max(len(prefix) - 1, 0)
    return Target(read, tuple(write))


def _timed_text(example: WhisperExample, tokenizer: Any, tokens: Tokens) -> list[int]:
    """As in `<|0.00|> In the beginning<|1.20|><|1.60|> God created<|2.80|>`."""
    text: list[int] = []
    before = 0.0
    for segment in example.segments:
        if not before <= segment.start_s <= segment.end_s <= WINDOW_S:
            raise ValueError(f"its words are timed from {segment.start_s:g} to {segment.end_s:g} s, after {before:g} s")
        before = segment.end_s
        start, end = (
            tokens.first_timestamp + round(second / TIMESTAMP_STEP_S) for second in (segment.start_s, segment.end_s)
        )
        text += [start, *tokenizer(_spoken(segment.text), add_special_tokens=False).input_ids, end]
    return text


def _spoken(text: str) -> str:
    """Whisper writes a space before every word, the first too."""
    return " " + " ".join(text.split())


def _readable(examples: Iterable[WhisperExample], rejected: list[Rejected]) -> Iterable[WhisperExample]:
    for example in examples:
        try:
            yield replace(example, audio=_samples(example.audio))
        except ValueError as error:
            rejected.append(Rejected(example.example_id, str(error)))


def _samples(audio: np.ndarray | Path) -> np.ndarray:
    if isinstance(audio, Path):
        try:
            audio = read_stretch(audio)
        except (UnreadableMedia, OSError) as error:
            raise ValueError(str(error)) from error
    if audio.ndim != 1 or not audio.size:
        raise ValueError(f"samples of one channel were expected, not an array of shape {audio.shape}")
    seconds = audio.size / SAMPLE_RATE_HZ
    if seconds > WINDOW_S:
        raise ValueError(f"{seconds:.2f} s long: Whisper hears {WINDOW_S:g} s at once")
    if not np.isfinite(audio).all():
        raise ValueError("some of its samples are no numbers")
    return np.asarray(audio, dtype=np.float32)


def _packed(examples: Iterable[WhisperExample], options: WhisperSetOptions) -> Iterable[WhisperExample]:
    """Neighbours of one recording joined while they fit; others as they are."""
    waiting: list[WhisperExample] = []
    for example in examples:
        share = (
            seeded_uniform(options.seed, "packed", example.recording)
            if example.recording and example.text.strip()
            else 1.0
        )
        if waiting and not (share < options.packed_share and _fit([*waiting, example], options.gap_s)):
            yield _joined(waiting, options.gap_s)
            waiting = []
        if share < options.packed_share:
            waiting.append(example)
        else:
            yield example
    if waiting:
        yield _joined(waiting, options.gap_s)


def _fit(examples: Sequence[WhisperExample], gap_s: float) -> bool:
    seconds = sum(len(example.audio) for example in examples) / SAMPLE_RATE_HZ + gap_s * (len(examples) - 1)
    # With one that has no times, a joined one would have none, and timestamps would be unlearned.
    alike = {(example.recording, example.weak, bool(example.segments)) for example in examples}
    return len(alike) == 1 and seconds <= WINDOW_S


def _joined(examples: Sequence[WhisperExample], gap_s: float) -> WhisperExample:
    if len(examples) == 1:
        return examples[0]
    gap = np.zeros(round(gap_s * SAMPLE_RATE_HZ), dtype=np.float32)
    pieces: list[np.ndarray] = []
    segments: list[Segment] = []
    for example in examples:
        before_s = sum(map(len, pieces)) / SAMPLE_RATE_HZ
        segments += [Segment(before_s + s.start_s, before_s + s.end_s, s.text) for s in example.segments]
        pieces += [example.audio, gap]
    return replace(
        examples[0],
        example_id="+".join(example.example_id for example in examples),
        audio=np.concatenate(pieces[:-1]),
        text=" ".join(example.text.strip() for example in examples),
        segments=tuple(segments),
        confidence=_mean([example.confidence for example in examples if example.confidence is not None]),
    )


def _mean(values: Sequence[float]) -> float | None:
    return float(np.mean(values)) if values else None


def _log_mel(samples: np.ndarray, feature_extractor: Any) -> np.ndarray:
    """Compute the spectrogram of 30 s, [mels, frames], without the silence at its end, which is one column again and again."""
    whole = feature_extractor(samples, sampling_rate=SAMPLE_RATE_HZ, return_tensors="np").input_features[0]
    if whole.shape[1] != FRAMES:
        raise ValueError(f"its spectrogram has {whole.shape[1]} frames: the model takes {FRAMES}")
    differs = np.flatnonzero((whole != whole[:, -1:]).any(axis=0))
    return whole[:, : differs[-1] + 2 if differs.size else 1].astype(np.float32)


def _blank(features: np.ndarray, frames: int, augment: SpecAugment, rng: np.random.Generator) -> None:
    mels = features.shape[0]
    # Zero of the paper, where spectrograms have a mean of zero.
    middle = features[:, :frames].mean()
    for axis, size, share, width in (
        (1, frames, augment.time_share, augment.time_frames),
        (0, mels, augment.mel_share, augment.mel_bins),
    ):
        width = min(width, size)
        # A part of a stretch is a chance of one.
        count = int(share * size / max(width, 1) + rng.random())
        for start in rng.integers(0, size - width + 1, size=count):
            where = (slice(None), slice(start, start + width)) if axis else slice(start, start + width)
            features[where] = middle


class _Keeper:
    """Spectrograms in memory, or in a file that is mapped into it."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._shapes: list[tuple[int, int]] = []
        self._kept: list[np.ndarray] = []
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b"")

    def add(self, features: np.ndarray) -> None:
        if self._path is None:
            self._kept.append(features)
            return
        self._shapes.append(features.shape)
        with self._path.open("ab") as file:
            file.write(np.ascontiguousarray(features).tobytes())

    @cached_property
    def arrays(self) -> tuple[np.ndarray, ...]:
        if self._path is None:
            return tuple(self._kept)
        flat = np.memmap(self._path, dtype=np.float32, mode="r")
        ends = np.cumsum([rows * columns for rows, columns in self._shapes])
        starts = [0, *ends[:-1].tolist()]
        return tuple(
            flat[start:end].reshape(shape) for start, end, shape in zip(starts, ends, self._shapes, strict=True)
        )
