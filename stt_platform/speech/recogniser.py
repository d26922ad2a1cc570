"""Transcribing the chunks of a recording with Whisper, through faster-whisper.

One call for each chunk: measured on real recordings, faster-whisper's batched pipeline is 1.6 times as fast on
a CPU, but it has no temperature fallback, and its word error rate was up to 3 points worse.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

SAMPLE_RATE_HZ = 16_000
SEED = 0

TEMPERATURES = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
MIN_AVG_LOGPROB = -1.0
MAX_COMPRESSION_RATIO = 2.4
MAX_NO_SPEECH_PROB = 0.6


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
    """What was heard in one chunk; an empty text where nothing was.

    Attributes:
        avg_logprob: natural logarithm of the probability of a token, averaged over the chunk's tokens.
        no_speech_prob: Whisper's probability that nobody speaks, averaged in the same way.
        compression_ratio: length of the text over its zlib-compressed length; high where it repeats itself.
            0 for an empty text.
        words: empty unless word times were asked for.

    For an empty text the first two belong to the text that was withheld; they are None where Whisper did not
    write any.
    """

    chunk_id: str
    text: str
    avg_logprob: float | None
    no_speech_prob: float | None
    compression_ratio: float
    words: tuple[Word, ...]


class FasterWhisper:
    """A Whisper model in CTranslate2's format, loaded once for many recordings."""

    def __init__(
        self,
        model: str,
        *,
        device: str = "cpu",
        compute_type: str = "int8",
        cpu_threads: int = 2,
        device_index: int = 0,
    ) -> None:
        """Load the model.

        Args:
            model: a folder with a converted model, or the name of one that is in the local cache.
            device: 'cpu' or 'cuda'.
            compute_type: see CTranslate2's quantization, e.g. 'int8', 'float16'.
            cpu_threads: fixed, because the result may depend on it in the last digits.
        """
        self._arguments = {
            "model_size_or_path": str(model),
            "device": device,
            "device_index": device_index,
            "compute_type": compute_type,
            "cpu_threads": cpu_threads,
            "local_files_only": True,
        }
        self._model = self._load()

    def transcribe_chunks(
        self,
        read_samples: Callable[[int, int], np.ndarray],
        chunks: Sequence[ChunkSpan],
        *,
        language: str = "en",
        beam_size: int = 5,
        word_timestamps: bool = True,
        condition_on_previous_text: bool = False,
        temperatures: Sequence[float] = TEMPERATURES,
        progress: Callable[[int, int], None] | None = None,
    ) -> Iterator[ChunkTranscript]:
        """Transcribe chunks in the given order; each result depends on its own samples only.

        Args:
            read_samples: gives float32 samples in [-1, 1] at 16 kHz for (start_sample, end_sample).
            condition_on_previous_text: within a chunk, for the rare one that Whisper hears in two windows.
            temperatures: the first one decodes; the others are tried in turn on a chunk whose text repeats
                itself or is improbable.
            progress: called after each chunk with the number of chunks done and their total.

        Raises:
            ValueError: `read_samples` gave another number of samples than it was asked for.
        """
        for done, chunk in enumerate(chunks, start=1):
            samples = np.ascontiguousarray(
                read_samples(chunk.start_sample, chunk.end_sample), dtype=np.float32
            )
            if samples.shape != (chunk.end_sample - chunk.start_sample,):
                raise ValueError(
                    f"Chunk {chunk.chunk_id} spans samples {chunk.start_sample} to {chunk.end_sample}, but "
                    f"{samples.shape} samples were read; is it a chunk of this recording?"
                )
            yield self._transcribe(
                samples,
                chunk,
                tuple(temperatures),
                {
                    "language": language,
                    "beam_size": beam_size,
                    "word_timestamps": word_timestamps,
                    "condition_on_previous_text": condition_on_previous_text,
                },
            )
            if progress is not None:
                progress(done, len(chunks))

    def _transcribe(
        self, samples: np.ndarray, chunk: ChunkSpan, temperatures: tuple[float, ...], options: dict
    ) -> ChunkTranscript:
        segments = self._segments(samples, temperatures[:1], options)
        if len(temperatures) > 1 and any(
            s.avg_logprob < MIN_AVG_LOGPROB or s.compression_ratio > MAX_COMPRESSION_RATIO for s in segments
        ):
            self._seed()
            segments = self._segments(samples, temperatures, options)
        if segments:
            return _transcript(chunk, segments, withheld=False)
        # Whisper wrote nothing, or found it too likely that nobody speaks; how likely, only the text tells.
        withheld = self._segments(samples, temperatures[:1], options, withhold=False)
        return _transcript(chunk, withheld, withheld=True)

    def _segments(
        self, samples: np.ndarray, temperatures: tuple[float, ...], options: dict, *, withhold: bool = True
    ) -> list:
        segments, _ = self._model.transcribe(
            samples,
            temperature=list(temperatures),
            log_prob_threshold=MIN_AVG_LOGPROB,
            compression_ratio_threshold=MAX_COMPRESSION_RATIO,
            no_speech_threshold=MAX_NO_SPEECH_PROB if withhold else None,
            **options,
        )
        return list(segments)

    def _seed(self) -> None:
        import ctranslate2

        # CTranslate2 reads the seed when a worker thread draws its first random number, and never again: only
        # a new model, with new threads, makes the result of a chunk independent of the chunks before it.
        ctranslate2.set_random_seed(SEED)
        self._model = self._load()

    def _load(self):
        from faster_whisper import WhisperModel

        return WhisperModel(**self._arguments)


def _transcript(chunk: ChunkSpan, segments: list, *, withheld: bool) -> ChunkTranscript:
    from faster_whisper.transcribe import get_compression_ratio

    tokens = np.array([len(s.tokens) for s in segments], dtype=np.float64)
    avg_logprob = no_speech_prob = None
    if segments:
        avg_logprob = float(np.average([s.avg_logprob for s in segments], weights=tokens))
        no_speech_prob = float(np.average([s.no_speech_prob for s in segments], weights=tokens))
    text = "" if withheld else " ".join(s.text.strip() for s in segments)
    return ChunkTranscript(
        chunk_id=chunk.chunk_id,
        text=text,
        avg_logprob=avg_logprob,
        no_speech_prob=no_speech_prob,
        compression_ratio=get_compression_ratio(text) if text else 0.0,
        words=() if withheld else _words(chunk, segments),
    )


def _words(chunk: ChunkSpan, segments: list) -> tuple[Word, ...]:
    def position(seconds: float) -> int:
        # Whisper's last word may end in the silence that it adds behind the chunk.
        return min(chunk.start_sample + round(seconds * SAMPLE_RATE_HZ), chunk.end_sample)

    return tuple(
        Word(
            word=w.word.strip(),
            start_sample=position(w.start),
            end_sample=position(w.end),
            probability=float(w.probability),
        )
        for s in segments
        for w in s.words or ()
    )
