"""Transcribe stretches of sound: each once for each system, and kept."""

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from stt_platform.audio import SAMPLE_RATE_HZ
from stt_platform.audio.chunking import cut_chunks
from stt_platform.audio.media import UnreadableMedia
from stt_platform.audio.reading import read_stretch
from stt_platform.audio.vad import FRAME_SAMPLES, energies_of_blocks, probabilities_of_blocks
from stt_platform.defs.recognisers import SpeechSystem, load_recogniser
from stt_platform.orchestration.work import Work
from stt_platform.settings import Settings
from stt_platform.speech.recognisers import recogniser_class
from stt_platform.speech.recognisers.base import WINDOW_SAMPLES, ChunkSpan, Recogniser
from stt_platform.store.hypotheses import KeptHearing, SpeechHypothesisStore, sound_key

_BLOCK_SAMPLES = 512 * FRAME_SAMPLES


@dataclass(frozen=True)
class Stretch:
    """A part of a recording, in samples at 16 kHz; None stands for the beginning, or the end. `row_id` names it."""

    row_id: str
    path: Path
    start_sample: int | None = None
    end_sample: int | None = None


@dataclass(frozen=True)
class Transcribed:
    """The text of a stretch by one system.

    Attributes:
        text: empty where no words were recognised; None where the sound could not be read.
        reason: why there is no text, else empty.
        duration_s: of the sound; None where it could not be read.
        work_s: seconds that the recogniser took, perhaps in an earlier run.
        avg_logprob, no_speech_prob, compression_ratio: as in `ChunkTranscript`; of a stretch that was cut, their means
            by length. None where there was no speech, or the recogniser has no scores.
        kept: it was transcribed in an earlier run.
    """

    text: str | None
    reason: str
    duration_s: float | None
    work_s: float
    avg_logprob: float | None = None
    no_speech_prob: float | None = None
    compression_ratio: float | None = None
    kept: bool = False


def decoding_of(settings: Settings, kind: str) -> dict[str, Any]:
    """Return all that decides a text beside the weights: the settings of transcription, and the kind of recogniser."""
    return settings.transcription.model_dump(exclude={"model"}) | recogniser_class(kind).decoding()


def transcribe(work: Work, system: SpeechSystem, stretches: Sequence[Stretch]) -> dict[str, Transcribed]:
    """Transcribe each stretch, by `row_id`. One that cannot be read says why, and the others go on.

    Sound that this system has transcribed before with these settings is not transcribed again, in whatever file it
    lies. A stretch that is longer than Whisper's window is cut in its pauses, and its texts are joined. The device is
    held only while something is transcribed.
    """
    store = SpeechHypothesisStore(work.home, system.identity, decoding_of(work.settings, system.kind))
    pieces = {stretch.row_id: _pieces(stretch, work.settings) for stretch in stretches}
    wanted = {key for found in pieces.values() if not isinstance(found, str) for key, _ in found.spans}
    before = store.find(wanted)
    kept = dict(before)
    with ExitStack() as held:
        recogniser = None
        for done, stretch in enumerate(stretches, start=1):
            found = pieces[stretch.row_id]
            if isinstance(found, str) or all(key in kept for key, _ in found.spans):
                continue
            if recogniser is None:
                held.enter_context(work.device(work.settings.transcription.device))
                recogniser = load_recogniser(system, work.settings.transcription)
                # Outside the time that is reported.
                recogniser.warm_up()
            missing = [span for span in found.spans if span[0] not in kept]
            try:
                made = dict(_timed(recogniser, _read_again(stretch, missing), missing, work.settings))
            except UnreadableMedia as error:
                pieces[stretch.row_id] = str(error)
                continue
            store.keep(made)
            kept |= made
            work.progress(done, len(stretches), "stretches transcribed")
    if len(kept) > len(before):
        store.compact()
    return {row_id: _joined(found, kept, before) for row_id, found in pieces.items()}


@dataclass(frozen=True)
class _Pieces:
    """Where a stretch was cut: a key for each piece, and its place in the stretch, in samples."""

    samples: int
    spans: tuple[tuple[str, tuple[int, int]], ...]


def _timed(
    recogniser: Recogniser, samples: np.ndarray, spans: Sequence[tuple[str, tuple[int, int]]], settings: Settings
) -> Iterator[tuple[str, KeptHearing]]:
    """Transcribe parts of the samples, each with its key and the time it took."""
    found = recogniser.transcribe_chunks(
        lambda start, end: samples[start:end],
        [ChunkSpan(key, start, end) for key, (start, end) in spans],
        language=settings.transcription.language,
        beam_size=settings.transcription.beam_size,
        word_timestamps=False,
    )
    for _ in spans:
        began = time.perf_counter()
        text = next(found)
        work_s = time.perf_counter() - began
        scores = (text.avg_logprob, text.no_speech_prob, text.compression_ratio)
        yield text.chunk_id, KeptHearing(text.text, work_s, *scores)


def _read(stretch: Stretch) -> np.ndarray:
    return read_stretch(stretch.path, stretch.start_sample or 0, stretch.end_sample)


def _read_again(stretch: Stretch, spans: Sequence[tuple[str, tuple[int, int]]]) -> np.ndarray:
    samples = _read(stretch)
    if any(sound_key(samples[start:end]) != key for key, (start, end) in spans):
        raise UnreadableMedia(stretch.path, "was changed while it was read", "Run it again.")
    return samples


def _pieces(stretch: Stretch, settings: Settings) -> _Pieces | str:
    """Where a stretch is cut, or why it cannot be read."""
    try:
        samples = _read(stretch)
    except UnreadableMedia as error:
        return str(error)
    spans = [(0, samples.size)] if samples.size <= WINDOW_SAMPLES else _speech(samples, settings)
    return _Pieces(samples.size, tuple((sound_key(samples[start:end]), (start, end)) for start, end in spans))


def _speech(samples: np.ndarray, settings: Settings) -> list[tuple[int, int]]:
    """Where somebody speaks in a long stretch, in pieces that fit Whisper's window."""
    blocks = [samples[start : start + _BLOCK_SAMPLES] for start in range(0, samples.size, _BLOCK_SAMPLES)]
    chunks = cut_chunks(
        probabilities_of_blocks(blocks),
        energies_of_blocks(blocks),
        total_samples=samples.size,
        **settings.vad.model_dump(),
        **settings.chunking.model_dump(),
    )
    # Those too that are too short to train on: their words are in the reference.
    return [(chunk.start_sample, chunk.end_sample) for chunk in chunks]


def _joined(found: _Pieces | str, kept: Mapping[str, KeptHearing], before: Mapping[str, KeptHearing]) -> Transcribed:
    if isinstance(found, str):
        return Transcribed(None, found, None, 0.0)
    duration_s = found.samples / SAMPLE_RATE_HZ
    parts = [kept[key] for key, _ in found.spans]
    if not parts:
        return Transcribed("", "", duration_s, 0.0)
    lengths = [end - start for _, (start, end) in found.spans]

    def mean(values: Sequence[float | None]) -> float | None:
        scores = [value for value in values if value is not None]
        return float(np.average(scores, weights=lengths)) if len(scores) == len(lengths) else None

    return Transcribed(
        text=" ".join(part.text for part in parts if part.text),
        reason="",
        duration_s=duration_s,
        work_s=sum(part.work_s for part in parts),
        avg_logprob=mean([part.avg_logprob for part in parts]),
        no_speech_prob=mean([part.no_speech_prob for part in parts]),
        compression_ratio=mean([part.compression_ratio for part in parts]),
        kept=all(key in before for key, _ in found.spans),
    )
