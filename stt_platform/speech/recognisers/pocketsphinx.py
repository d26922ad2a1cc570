"""PocketSphinx: text without punctuation and capitals, numbers in words."""

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

# Between speed and errors: at most so many hidden Markov models in the search and words that end at a time, and the
# nearest Gaussians that are summed for each sound. Bounds cost far fewer errors for the same time than narrower beams.
_BOUNDS = {"maxhmmpf": 1000, "maxwpf": 5, "topn": 2}


class PocketSphinx(Recogniser):
    """Hidden Markov models and a trigram language model (Walker et al. 2004): the English ones of the package.

    It makes many more mistakes than Whisper, and others. Only the first of its three searches runs: the second is slow,
    and the third made the text worse where the first is bounded (character error rate 0.33 instead of 0.27).
    """

    kind = "pocketsphinx"

    def __init__(self) -> None:
        """Load the models of the package."""
        import pocketsphinx

        # The means of the whole chunk, and not of all that came before it: a result depends on its own samples.
        self._decoder = pocketsphinx.Decoder(
            samprate=SAMPLE_RATE_HZ, cmn="batch", loglevel="FATAL", fwdflat=False, bestpath=False, **_BOUNDS
        )

    @classmethod
    def load(cls, folder: Path, *, device: str = "cpu", compute_type: str = "int8", cpu_threads: int = 2) -> Self:
        return cls()

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
        """Transcribe chunks, as `Recogniser.transcribe_chunks` says."""
        for done, chunk in enumerate(chunks, start=1):
            samples = np.clip(np.rint(samples_of(read_samples, chunk) * 32768.0), -32768, 32767)
            # PocketSphinx takes the byte order of the machine.
            yield ChunkTranscript(chunk.chunk_id, self._decode(samples.astype(np.int16).tobytes()))
            if progress is not None:
                progress(done, len(chunks))

    def _decode(self, pcm: bytes) -> str:
        # Otherwise its estimate of the noise lives on from one chunk to the next, and with it the words change.
        self._decoder.reinit_feat()
        self._decoder.start_utt()
        self._decoder.process_raw(pcm, full_utt=True)
        self._decoder.end_utt()
        found = self._decoder.hyp()
        return found.hypstr if found is not None else ""
