"""Transcribing the chunks of a recording with Whisper, through faster-whisper.

A chunk fits into one of Whisper's windows of 30 s, so each is heard once, as a whole: filled up with silence as
in Whisper's training, and without timestamp tokens. `WhisperModel.transcribe` hears the end of many chunks a
second time, alone and out of its context, which was slower and, on most of the recordings that were measured,
worse by up to 1.5 points of word error rate. `BatchedInferencePipeline` has no temperature fallback.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from stt_platform.audio import SAMPLE_RATE_HZ

WINDOW_SAMPLES = 30 * SAMPLE_RATE_HZ
HOP_SAMPLES = 160
SEED = 0

# The thresholds and temperatures of Radford et al. 2022, section 4.5, and of every Whisper since.
TEMPERATURES = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
MIN_AVG_LOGPROB = -1.0
MAX_COMPRESSION_RATIO = 2.4
MAX_NO_SPEECH_PROB = 0.6

_PREPENDED_PUNCTUATION = "\"'“¿([{-"
_APPENDED_PUNCTUATION = "\"'.。,，!！?？:：”)]}、"


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
        avg_logprob: natural logarithm of the probability of a token, averaged over the tokens.
        no_speech_prob: Whisper's probability that nobody speaks.
        compression_ratio: length of what Whisper wrote over its zlib-compressed length; high where it repeats
            itself.
        words: empty unless word times were asked for.
    """

    chunk_id: str
    text: str
    avg_logprob: float
    no_speech_prob: float
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
        """Load the model; nothing is downloaded.

        Args:
            model: a folder with a converted model, or the name of one that is in the local cache.
            device: 'cpu' or 'cuda'.
            compute_type: one of CTranslate2's, e.g. 'int8', 'float16'.
            cpu_threads: fixed, because sums may depend on it in their last digits.
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
        temperatures: Sequence[float] = TEMPERATURES,
        progress: Callable[[int, int], None] | None = None,
    ) -> Iterator[ChunkTranscript]:
        """Transcribe chunks in the given order; a result depends on nothing but its own samples.

        Args:
            read_samples: gives float32 samples in [-1, 1] at 16 kHz for (start_sample, end_sample).
            chunks: none longer than 30 s.
            temperatures: the first one decodes (0 with the beam); the others are tried in turn where the text
                repeats itself or is improbable.
            progress: called after each chunk with the number of chunks done and their total.

        Raises:
            ValueError: a chunk is longer than Whisper's window, or `read_samples` gave another number of
                samples than it was asked for.
        """
        from faster_whisper.tokenizer import Tokenizer

        tokenizer = Tokenizer(
            self._model.hf_tokenizer, self._model.model.is_multilingual, task="transcribe", language=language
        )
        for done, chunk in enumerate(chunks, start=1):
            samples = read_samples(chunk.start_sample, chunk.end_sample)
            _check(chunk, samples)
            yield self._transcribe(samples, chunk, tokenizer, beam_size, word_timestamps, list(temperatures))
            if progress is not None:
                progress(done, len(chunks))

    def detect_language(self, samples: np.ndarray) -> tuple[str, float] | None:
        """The language heard in float32 samples at 16 kHz and its probability; None where the model knows one only."""
        if not self._model.model.is_multilingual or not samples.size:
            return None
        from stt_platform.speech.language import detect_language

        return detect_language(self._model, samples)

    def _transcribe(
        self,
        samples: np.ndarray,
        chunk: ChunkSpan,
        tokenizer,
        beam_size: int,
        word_timestamps: bool,
        temperatures: list[float],
    ) -> ChunkTranscript:
        window = np.zeros(WINDOW_SAMPLES, dtype=np.float32)
        window[: samples.size] = samples
        # The extractor adds a hop of its own, which is one frame more than the window has.
        features = self._model.feature_extractor(window)[:, : WINDOW_SAMPLES // HOP_SAMPLES]
        encoded = self._model.encode(features)

        result, avg_logprob, ratio = self._decode(encoded, tokenizer, beam_size, temperatures[:1])
        improbable = avg_logprob < MIN_AVG_LOGPROB
        silent = improbable and result.no_speech_prob > MAX_NO_SPEECH_PROB
        if len(temperatures) > 1 and not silent and (improbable or ratio > MAX_COMPRESSION_RATIO):
            self._reseed()
            encoded = self._model.encode(features)
            result, avg_logprob, ratio = self._decode(encoded, tokenizer, beam_size, temperatures)

        tokens = [] if silent else [t for t in result.sequences_ids[0] if t < tokenizer.eot]
        words: tuple[Word, ...] = ()
        if word_timestamps and tokens:
            words = self._words(chunk, tokens, tokenizer, encoded)
        return ChunkTranscript(
            chunk_id=chunk.chunk_id,
            text=tokenizer.decode(tokens).strip(),
            avg_logprob=float(avg_logprob),
            no_speech_prob=float(result.no_speech_prob),
            compression_ratio=float(ratio),
            words=words,
        )

    def _decode(self, encoded, tokenizer, beam_size: int, temperatures: list[float]):
        prompt = self._model.get_prompt(tokenizer, [], without_timestamps=True)
        options = _options(tokenizer, beam_size, temperatures)
        result, avg_logprob, _, ratio = self._model.generate_with_fallback(encoded, prompt, tokenizer, options)
        return result, avg_logprob, ratio

    def _words(self, chunk: ChunkSpan, tokens: list[int], tokenizer, encoded) -> tuple[Word, ...]:
        length = chunk.end_sample - chunk.start_sample
        segment = {"tokens": tokens, "start": 0.0, "end": length / SAMPLE_RATE_HZ, "seek": 0}
        self._model.add_word_timestamps(
            [[segment]],
            tokenizer,
            encoded,
            num_frames=-(-length // HOP_SAMPLES),
            prepend_punctuations=_PREPENDED_PUNCTUATION,
            append_punctuations=_APPENDED_PUNCTUATION,
            last_speech_timestamp=0.0,
        )

        def position(seconds: float) -> int:
            # Whisper counts in steps of 20 ms, and the last may end after the chunk.
            return chunk.start_sample + min(round(seconds * SAMPLE_RATE_HZ), length)

        return tuple(
            Word(w["word"].strip(), position(w["start"]), position(w["end"]), float(w["probability"]))
            for w in segment["words"]
        )

    def _reseed(self) -> None:
        import ctranslate2

        # CTranslate2 reads the seed when a worker thread draws its first random number, and never again: only
        # a new model, with new threads, makes a sampled text independent of the chunks before it.
        ctranslate2.set_random_seed(SEED)
        self._model = self._load()

    def _load(self):
        from faster_whisper import WhisperModel

        return WhisperModel(**self._arguments)


def _check(chunk: ChunkSpan, samples: np.ndarray) -> None:
    length = chunk.end_sample - chunk.start_sample
    if not 0 < length <= WINDOW_SAMPLES:
        raise ValueError(
            f"Chunk {chunk.chunk_id} is {length / SAMPLE_RATE_HZ:.6g} s long; Whisper hears up to 30 s at once. "
            "Cut the recording into shorter chunks."
        )
    if samples.shape != (length,):
        raise ValueError(
            f"Chunk {chunk.chunk_id} spans samples {chunk.start_sample} to {chunk.end_sample}, but an array of "
            f"shape {samples.shape} was read; give the recording that it was cut from."
        )


def _options(tokenizer, beam_size: int, temperatures: list[float]):
    from faster_whisper.transcribe import TranscriptionOptions, get_suppressed_tokens

    return TranscriptionOptions(
        beam_size=beam_size,
        best_of=5,
        patience=1,
        length_penalty=1,
        repetition_penalty=1,
        no_repeat_ngram_size=0,
        log_prob_threshold=MIN_AVG_LOGPROB,
        no_speech_threshold=MAX_NO_SPEECH_PROB,
        compression_ratio_threshold=MAX_COMPRESSION_RATIO,
        condition_on_previous_text=False,
        prompt_reset_on_temperature=0.5,
        temperatures=temperatures,
        initial_prompt=None,
        prefix=None,
        suppress_blank=True,
        suppress_tokens=get_suppressed_tokens(tokenizer, [-1]),
        without_timestamps=True,
        max_initial_timestamp=0.0,
        word_timestamps=True,
        prepend_punctuations=_PREPENDED_PUNCTUATION,
        append_punctuations=_APPENDED_PUNCTUATION,
        multilingual=False,
        max_new_tokens=None,
        clip_timestamps=[],
        hallucination_silence_threshold=None,
        hotwords=None,
    )
