"""What every recogniser takes and gives: spans of a recording, and a text for each."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np

from stt_platform.audio import SAMPLE_RATE_HZ

WINDOW_SAMPLES = 30 * SAMPLE_RATE_HZ
"""The longest chunk: Whisper's window."""

ReadSamples = Callable[[int, int], np.ndarray]
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class ChunkSpan:
    """What is to be transcribed: samples of the recording, `end_sample` exclusive."""

    chunk_id: str
    start_sample: int
    end_sample: int


@dataclass(frozen=True)
class Word:
    """A word as written, its place in the recording (not in the chunk), and its probability, 0 to 1."""

    word: str
    start_sample: int
    end_sample: int
    probability: float


@dataclass(frozen=True)
class ChunkTranscript:
    """The text of one chunk; empty where no words were recognised.

    Attributes:
        avg_logprob: natural logarithm of the probability of a token, averaged over the tokens.
        no_speech_prob: probability that nobody speaks.
        compression_ratio: length of the text over its zlib-compressed length; high where it repeats itself.
        words: empty unless word times were asked for, and the recogniser has them.

    The three scores are None where the recogniser has none.
    """

    chunk_id: str
    text: str
    avg_logprob: float | None = None
    no_speech_prob: float | None = None
    compression_ratio: float | None = None
    words: tuple[Word, ...] = ()


class Recogniser(ABC):
    """A model that transcribes, loaded once for many recordings. `kind` is that of its entries in the registry."""

    kind: ClassVar[str]

    @classmethod
    @abstractmethod
    def load(cls, folder: Path, *, device: str = "cpu", compute_type: str = "int8", cpu_threads: int = 2) -> Self:
        """Load the weights in `folder`; nothing is downloaded.

        Args:
            device: 'cpu' or 'cuda'.
            compute_type: one of CTranslate2's, e.g. 'int8', 'float16'; ignored where it means nothing.
            cpu_threads: fixed, because sums may depend on it in their last digits.
        """

    @abstractmethod
    def transcribe_chunks(
        self,
        read_samples: ReadSamples,
        chunks: Sequence[ChunkSpan],
        *,
        language: str = "en",
        beam_size: int = 5,
        word_timestamps: bool = True,
        progress: Progress | None = None,
    ) -> Iterator[ChunkTranscript]:
        """Transcribe chunks in the given order; a result depends on nothing but its own samples.

        Args:
            read_samples: gives float32 samples in [-1, 1] at 16 kHz for (start_sample, end_sample).
            chunks: none longer than 30 s.
            language, beam_size, word_timestamps: ignored by a recogniser that has one language, no beam, no times.
            progress: called after each chunk, or batch, with the number of chunks done and their total.

        Raises:
            ValueError: a chunk is empty or too long, or `read_samples` gave another number of samples than it was
                asked for.
        """

    @classmethod
    def decoding(cls) -> dict[str, Any]:
        """Return all that decides a text beside weights and settings, as JSON can hold it: part of cache keys."""
        return {}

    def detect_language(self, samples: np.ndarray) -> tuple[str, float] | None:
        """Return the language in float32 samples at 16 kHz and its probability; None where it cannot tell."""
        return None

    def warm_up(self) -> None:
        """Transcribe a second of silence: the first call pays for memory and kernels."""
        list(self.transcribe_chunks(silence, [ChunkSpan("warm-up", 0, SAMPLE_RATE_HZ)], word_timestamps=False))


def silence(start_sample: int, end_sample: int) -> np.ndarray:
    """Return zeros, as a reader of samples."""
    return np.zeros(end_sample - start_sample, dtype=np.float32)


def samples_of(read_samples: ReadSamples, chunk: ChunkSpan) -> np.ndarray:
    """Read the samples of a chunk. Raises `ValueError` where it has none, or another number of them was read."""
    length = chunk.end_sample - chunk.start_sample
    if length <= 0:
        raise ValueError(f"Chunk {chunk.chunk_id} has {length} samples; give chunks of at least one.")
    samples = read_samples(chunk.start_sample, chunk.end_sample)
    if samples.shape != (length,):
        raise ValueError(
            f"Chunk {chunk.chunk_id} spans samples {chunk.start_sample} to {chunk.end_sample}, but an array of "
            f"shape {samples.shape} was read; give the recording that it was cut from."
        )
    return samples
