"""Transcribing chunks a second time, with recognisers that are built otherwise than Whisper.

Two recognisers that share nothing make different mistakes: where they write the same, it was probably said.
Both here say only what they heard: no punctuation, no capitals, numbers in words.
"""

from __future__ import annotations

import multiprocessing
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from stt_platform.audio import SAMPLE_RATE_HZ
from stt_platform.pool_worker import stay_with_parent
from stt_platform.speech.recogniser import ChunkSpan

ReadSamples = Callable[[int, int], np.ndarray]
Progress = Callable[[int, int], None]

# How many chunks each process has waiting: enough to be always busy, and few enough for a small memory.
_WAITING_PER_WORKER = 2
# The receptive field of wav2vec 2.0's convolutions: they refuse what is shorter.
_SHORTEST_SAMPLES = 400

_decoder: Any = None


@dataclass(frozen=True)
class SecondTranscript:
    """What a second recogniser heard in one chunk; an empty text where it heard no words."""

    chunk_id: str
    text: str


class PocketSphinx:
    """Hidden Markov models and a trigram language model (Walker et al. 2004): the English ones of the package.

    It makes many more mistakes than Whisper, and others. Only the first of its three searches runs: the second is slow,
    and the third made the text worse where the first is bounded (character error rate 0.33 instead of 0.27).
    """

    def __init__(
        self, *, max_active_states: int = 1000, max_words: int = 5, gaussians: int = 2, workers: int = 1
    ) -> None:
        """Nothing is downloaded.

        The first three decide between speed and errors. The bounds cost far fewer errors for the same time than
        narrower beams do.

        Args:
            max_active_states: how many hidden Markov models are kept in the search at a time.
            max_words: how many words may end at a time.
            gaussians: how many of the nearest are summed for each sound, 1 to 4.
            workers: 1 decodes in this process; more start that many others, because the library holds Python's
                lock while it decodes. A script that asks for more needs the guard `if __name__ == "__main__"`.
        """
        self._arguments = {
            "maxhmmpf": max_active_states,
            "maxwpf": max_words,
            "topn": gaussians,
            "fwdflat": False,
            "bestpath": False,
        }
        self._workers = workers
        self._own_decoder: Any = None

    def transcribe_chunks(
        self, read_samples: ReadSamples, chunks: Sequence[ChunkSpan], *, progress: Progress | None = None
    ) -> Iterator[SecondTranscript]:
        """Transcribe chunks in the given order; a result depends on nothing but its own samples.

        Args:
            read_samples: gives float32 samples in [-1, 1] at 16 kHz for (start_sample, end_sample).
            progress: called after each chunk with the number of chunks done and their total.

        Raises:
            ValueError: a chunk is empty, or `read_samples` gave another number of samples than it was asked for.
        """
        if min(self._workers, len(chunks)) <= 1:
            if self._own_decoder is None:
                self._own_decoder = _new_decoder(self._arguments)
            texts = (_decode(self._own_decoder, _pcm(read_samples, chunk)) for chunk in chunks)
        else:
            texts = self._decode_elsewhere(read_samples, chunks)
        for done, (chunk, text) in enumerate(zip(chunks, texts, strict=True), start=1):
            yield SecondTranscript(chunk.chunk_id, text)
            if progress is not None:
                progress(done, len(chunks))

    def _decode_elsewhere(self, read_samples: ReadSamples, chunks: Sequence[ChunkSpan]) -> Iterator[str]:
        workers = min(self._workers, len(chunks))
        pool = ProcessPoolExecutor(
            workers,
            mp_context=multiprocessing.get_context("spawn"),
            initializer=_start_worker,
            initargs=(self._arguments,),
        )
        waiting: deque[Future[str]] = deque()
        try:
            for chunk in chunks:
                if len(waiting) >= workers * _WAITING_PER_WORKER:
                    yield waiting.popleft().result()
                waiting.append(pool.submit(_decode_in_worker, _pcm(read_samples, chunk)))
            while waiting:
                yield waiting.popleft().result()
        finally:
            pool.shutdown(cancel_futures=True)


class Wav2Vec2Ctc:
    """A wav2vec 2.0 model with a CTC head (Baevski et al. 2020), or any other of `AutoModelForCTC`; no language model."""

    def __init__(self, folder: str | Path, *, device: str = "cpu", dtype: str = "float32") -> None:
        """Load the model; nothing is downloaded.

        Args:
            folder: a folder with model (safetensors) and processor, or the name of a model in the local cache.
            device: 'cpu', 'cuda' or 'cuda:N'.
            dtype: 'float32', or 'float16' to save memory on a GPU.
        """
        import torch
        from transformers import AutoModelForCTC, AutoProcessor

        self._device = device
        self._dtype = getattr(torch, dtype)
        model = AutoModelForCTC.from_pretrained(
            str(folder), local_files_only=True, use_safetensors=True, dtype=self._dtype
        )
        self._processor = AutoProcessor.from_pretrained(str(folder), local_files_only=True)
        self._model = model.to(device).eval()

    def transcribe_chunks(
        self,
        read_samples: ReadSamples,
        chunks: Sequence[ChunkSpan],
        *,
        max_batch_s: float = 120.0,
        progress: Progress | None = None,
    ) -> Iterator[SecondTranscript]:
        """Transcribe chunks; the results come in the given order, after all have been heard.

        Chunks of similar length are heard together, so that little of a batch is filling. A model that was trained
        without a mask for the filling (those with group normalisation) hears each chunk alone, because the filling
        would change what it hears.

        Args:
            read_samples: gives float32 samples in [-1, 1] at 16 kHz for (start_sample, end_sample).
            max_batch_s: seconds of sound in a batch, filling included; at least one chunk.
            progress: called after each batch with the number of chunks done and their total.

        Raises:
            ValueError: a chunk is empty, or `read_samples` gave another number of samples than it was asked for.
        """
        takes_mask = self._processor.feature_extractor.return_attention_mask
        texts: dict[int, str] = {}
        for batch in _batches(chunks, max_batch_s if takes_mask else 0.0):
            texts.update(zip(batch, self._hear([_samples(read_samples, chunks[i]) for i in batch]), strict=True))
            if progress is not None:
                progress(len(texts), len(chunks))
        for i, chunk in enumerate(chunks):
            yield SecondTranscript(chunk.chunk_id, texts[i])

    def _hear(self, sounds: list[np.ndarray]) -> list[str]:
        import torch

        if any(sound.size < _SHORTEST_SAMPLES for sound in sounds):
            sounds = [np.pad(sound, (0, max(0, _SHORTEST_SAMPLES - sound.size))) for sound in sounds]
        inputs = self._processor(sounds, sampling_rate=SAMPLE_RATE_HZ, padding=True, return_tensors="pt")
        with torch.inference_mode():
            logits = self._model(
                inputs.input_values.to(self._device, self._dtype),
                attention_mask=inputs.attention_mask.to(self._device) if "attention_mask" in inputs else None,
            ).logits
        tokens = logits.argmax(dim=-1).cpu()
        if "attention_mask" in inputs:
            # What the model makes of the filling is no speech.
            lengths = self._model._get_feat_extract_output_lengths(inputs.attention_mask.sum(dim=-1))
            for row, length in zip(tokens, lengths.tolist(), strict=True):
                row[length:] = self._processor.tokenizer.pad_token_id
        return [" ".join(text.lower().split()) for text in self._processor.batch_decode(tokens)]


def _batches(chunks: Sequence[ChunkSpan], max_batch_s: float) -> Iterator[list[int]]:
    """Indices of chunks, the longest first: what does not fit into memory fails at once, and not at the end."""
    lengths = [chunk.end_sample - chunk.start_sample for chunk in chunks]
    batch: list[int] = []
    for i in sorted(range(len(chunks)), key=lambda i: (-lengths[i], i)):
        if batch and (len(batch) + 1) * lengths[batch[0]] > max_batch_s * SAMPLE_RATE_HZ:
            yield batch
            batch = []
        batch.append(i)
    if batch:
        yield batch


def _samples(read_samples: ReadSamples, chunk: ChunkSpan) -> np.ndarray:
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


def _pcm(read_samples: ReadSamples, chunk: ChunkSpan) -> bytes:
    samples = np.clip(np.rint(_samples(read_samples, chunk) * 32768.0), -32768, 32767)
    # PocketSphinx takes the byte order of the machine.
    return samples.astype(np.int16).tobytes()


def _new_decoder(arguments: Mapping[str, Any]):
    import pocketsphinx

    # The means of the whole chunk, and not of all that came before it: a result depends on its own samples.
    return pocketsphinx.Decoder(samprate=SAMPLE_RATE_HZ, cmn="batch", loglevel="FATAL", **arguments)


def _decode(decoder, pcm: bytes) -> str:
    # Otherwise its estimate of the noise lives on from one chunk to the next, and with it the words change.
    decoder.reinit_feat()
    decoder.start_utt()
    decoder.process_raw(pcm, full_utt=True)
    decoder.end_utt()
    found = decoder.hyp()
    return found.hypstr if found is not None else ""


def _start_worker(arguments: Mapping[str, Any]) -> None:
    global _decoder
    stay_with_parent()
    _decoder = _new_decoder(arguments)


def _decode_in_worker(pcm: bytes) -> str:
    return _decode(_decoder, pcm)
