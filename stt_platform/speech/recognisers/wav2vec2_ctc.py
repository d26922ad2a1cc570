"""wav2vec 2.0 with CTC: text without punctuation and capitals, numbers in words."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Self

import numpy as np

from stt_platform.audio import SAMPLE_RATE_HZ
from stt_platform.speech.recognisers.base import (
    ChunkSpan,
    ChunkTranscript,
    Progress,
    ReadSamples,
    Recogniser,
    samples_of,
)

# The receptive field of the convolutions: they refuse what is shorter.
_MIN_SAMPLES = 400


class Wav2Vec2Ctc(Recogniser):
    """A wav2vec 2.0 model with a CTC head (Baevski et al. 2020), or any other of `AutoModelForCTC`; no language model."""

    kind = "wav2vec2-ctc"

    def __init__(self, folder: str | Path, *, device: str = "cpu") -> None:
        """Load model (safetensors) and processor from a folder, or by a name that is in the local cache."""
        from transformers import AutoModelForCTC, AutoProcessor

        self._device = device
        model = AutoModelForCTC.from_pretrained(
            str(folder), local_files_only=True, use_safetensors=True, dtype="float32"
        )
        self._processor = AutoProcessor.from_pretrained(str(folder), local_files_only=True)
        self._model = model.to(device).eval()

    @classmethod
    def load(cls, folder: Path, *, device: str = "cpu", compute_type: str = "int8", cpu_threads: int = 2) -> Self:
        return cls(folder, device=device)

    def transcribe_chunks(
        self,
        read_samples: ReadSamples,
        chunks: Sequence[ChunkSpan],
        *,
        language: str = "en",
        beam_size: int = 5,
        word_timestamps: bool = True,
        max_batch_s: float = 120.0,
        progress: Progress | None = None,
    ) -> Iterator[ChunkTranscript]:
        """Transcribe chunks, as `Recogniser.transcribe_chunks` says; the results come after the last batch.

        Chunks of similar length are transcribed together, so that little of a batch is padding. A model that was
        trained without an attention mask (those with group normalisation) takes each chunk alone, because padding
        would change its text.

        Args:
            max_batch_s: seconds of sound in a batch, padding included; at least one chunk.
        """
        takes_mask = self._processor.feature_extractor.return_attention_mask
        texts: dict[int, str] = {}
        for batch in _batches(chunks, max_batch_s if takes_mask else 0.0):
            texts.update(zip(batch, self._decode([samples_of(read_samples, chunks[i]) for i in batch]), strict=True))
            if progress is not None:
                progress(len(texts), len(chunks))
        for i, chunk in enumerate(chunks):
            yield ChunkTranscript(chunk.chunk_id, texts[i])

    def _decode(self, sounds: list[np.ndarray]) -> list[str]:
        import torch

        if any(sound.size < _MIN_SAMPLES for sound in sounds):
            sounds = [np.pad(sound, (0, max(0, _MIN_SAMPLES - sound.size))) for sound in sounds]
        inputs = self._processor(sounds, sampling_rate=SAMPLE_RATE_HZ, padding=True, return_tensors="pt")
        with torch.inference_mode():
            logits = self._model(
                inputs.input_values.to(self._device),
                attention_mask=inputs.attention_mask.to(self._device) if "attention_mask" in inputs else None,
            ).logits
        tokens = logits.argmax(dim=-1).cpu()
        if "attention_mask" in inputs:
            # What the model makes of the padding is no speech.
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
