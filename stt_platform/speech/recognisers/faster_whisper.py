"""Transcribing the chunks of a recording with Whisper, through faster-whisper.

A chunk fits into one of Whisper's windows of 30 s, so each is transcribed once, as a whole: filled up with silence as
in Whisper's training, and without timestamp tokens. `WhisperModel.transcribe` takes the end of many chunks a
second time, alone and out of its context, which was slower and, on most of the recordings that were measured,
worse by up to 1.5 points of word error rate. `BatchedInferencePipeline` has no temperature fallback.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from stt_platform.audio import SAMPLE_RATE_HZ
from stt_platform.speech.recognisers.base import (
    WINDOW_SAMPLES,
    ChunkSpan,
    ChunkTranscript,
    Progress,
    ReadSamples,
    Recogniser,
    Word,
    samples_of,
    silence,
)

if TYPE_CHECKING:
    from faster_whisper import WhisperModel

HOP_SAMPLES = 160
SEED = 0

# The thresholds and temperatures of Radford et al. 2022, section 4.5, and of every Whisper since.
TEMPERATURES = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
MIN_AVG_LOGPROB = -1.0
MAX_COMPRESSION_RATIO = 2.4
MAX_NO_SPEECH_PROB = 0.6

_PREPENDED_PUNCTUATION = "\"'“¿([{-"
_APPENDED_PUNCTUATION = "\"'.。,，!！?？:：”)]}、"


class FasterWhisper(Recogniser):
    """A Whisper model in CTranslate2's format."""

    kind = "faster-whisper"

    def __init__(self, model: str, *, device: str = "cpu", compute_type: str = "int8", cpu_threads: int = 2) -> None:
        """Load the model, as `load`; `model` may be the name of one that is in the local cache."""
        self._arguments = {
            "model_size_or_path": str(model),
            "device": device,
            "compute_type": compute_type,
            "cpu_threads": cpu_threads,
            "local_files_only": True,
        }
        self._model = self._load()

    @classmethod
    def load(cls, folder: Path, *, device: str = "cpu", compute_type: str = "int8", cpu_threads: int = 2) -> Self:
        return cls(str(folder), device=device, compute_type=compute_type, cpu_threads=cpu_threads)

    @classmethod
    def decoding(cls) -> dict[str, Any]:
        return {
            "temperatures": list(TEMPERATURES),
            "seed": SEED,
            "thresholds": [MIN_AVG_LOGPROB, MAX_COMPRESSION_RATIO, MAX_NO_SPEECH_PROB],
            **{name: version(name) for name in ("faster-whisper", "ctranslate2")},
        }

    def transcribe_chunks(
        self,
        read_samples: ReadSamples,
        chunks: Sequence[ChunkSpan],
        *,
        language: str = "en",
        beam_size: int = 5,
        word_timestamps: bool = True,
        temperatures: Sequence[float] = TEMPERATURES,
        progress: Progress | None = None,
    ) -> Iterator[ChunkTranscript]:
        """Transcribe chunks, as `Recogniser.transcribe_chunks` says.

        Args:
            temperatures: the first one decodes (0 with the beam); the others are tried in turn where the text
                repeats itself or is improbable.
        """
        from faster_whisper.tokenizer import Tokenizer

        tokenizer = Tokenizer(
            self._model.hf_tokenizer, self._model.model.is_multilingual, task="transcribe", language=language
        )
        for done, chunk in enumerate(chunks, start=1):
            if (length := chunk.end_sample - chunk.start_sample) > WINDOW_SAMPLES:
                raise ValueError(
                    f"Chunk {chunk.chunk_id} is {length / SAMPLE_RATE_HZ:.6g} s long; Whisper takes up to 30 s at once. "
                    "Cut the recording into shorter chunks."
                )
            samples = samples_of(read_samples, chunk)
            yield self._transcribe(samples, chunk, tokenizer, beam_size, word_timestamps, list(temperatures))
            if progress is not None:
                progress(done, len(chunks))

    def detect_language(self, samples: np.ndarray) -> tuple[str, float] | None:
        if not self._model.model.is_multilingual or not samples.size:
            return None
        return detect_language(self._model, samples)

    def warm_up(self) -> None:
        # Without the other temperatures: after those the model is a new one, and cold.
        spans = [ChunkSpan("warm-up", 0, SAMPLE_RATE_HZ)]
        list(self.transcribe_chunks(silence, spans, word_timestamps=False, temperatures=TEMPERATURES[:1]))

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


def detect_language(model: WhisperModel, samples: np.ndarray, *, max_windows: int = 4) -> tuple[str, float]:
    """Return the language that a multilingual Whisper recognises, with its mean probability.

    `WhisperModel.detect_language` stops at the first window of which it is more than half sure. Here the
    probabilities of several windows, evenly spread over the samples, are averaged by their length: a greeting in
    another language, or a hymn at the beginning, does not decide for the rest.

    Args:
        samples: float32 in [-1, 1] at 16 kHz, best only speech.
        max_windows: of 30 s each; a second or so a window on a CPU, hardly any time on a GPU.

    Returns:
        The language's code as Whisper has it, such as 'en', and its mean probability, 0 to 1.

    Raises:
        ValueError: the model knows one language only, or there are no samples.
    """
    if not model.model.is_multilingual:
        raise ValueError(
            "This Whisper knows English only, and cannot tell it from other languages; give a multilingual one, "
            "such as large-v3."
        )
    if samples.size == 0:
        raise ValueError("There are no samples to hear a language in; give at least a second of speech.")
    totals: dict[str, float] = {}
    windows = _windows(samples, max_windows)
    for window in windows:
        padded = np.zeros(WINDOW_SAMPLES, dtype=np.float32)
        padded[: window.size] = window
        features = model.feature_extractor(padded)[:, : WINDOW_SAMPLES // HOP_SAMPLES]
        for token, probability in model.model.detect_language(model.encode(features))[0]:
            language = token.removeprefix("<|").removesuffix("|>")
            totals[language] = totals.get(language, 0.0) + probability * window.size
    # Of equals, the first by name.
    best = min(totals, key=lambda language: (-totals[language], language))
    return best, totals[best] / sum(window.size for window in windows)


def _windows(samples: np.ndarray, max_windows: int) -> list[np.ndarray]:
    """Up to `max_windows` pieces of 30 s, evenly spread; the last may be shorter, but is no scrap under a second."""
    count = -(-samples.size // WINDOW_SAMPLES)
    if count > 1 and samples.size - (count - 1) * WINDOW_SAMPLES < SAMPLE_RATE_HZ:
        count -= 1
    chosen = np.unique(np.linspace(0, count - 1, min(count, max_windows)).round().astype(int))
    return [samples[i * WINDOW_SAMPLES : (i + 1) * WINDOW_SAMPLES] for i in chosen]


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
