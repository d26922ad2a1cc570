"""Speech taken out of the music under it, by demucs, for given stretches of a recording.

The model was trained on 44.1 kHz stereo, so it hears the original recording and not the 16 kHz file, which has
lost two thirds of that band. What it finds is put into the 16 kHz file at the same samples.
"""

from __future__ import annotations

import itertools
import math
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from stt_platform.audio import SAMPLE_RATE_HZ
from stt_platform.audio.decode import BlockStream, Downmix, Progress, decode_blocks
from stt_platform.audio.standardise import resampled, to_16_bit

_ENERGY_FLOOR = 1e-10
"""-100 dB relative to full scale, which 16 bits cannot show: keeps ratios finite where one side is silent."""

_TOLERANCE_SAMPLES = 16
"""Two ways of resampling may round the end of a recording differently; 1 ms is no other recording."""


@dataclass(frozen=True)
class SeparatedSpan:
    """One span, in samples at 16 kHz, and the energy of its speech over the energy of what was taken away."""

    start_sample: int
    end_sample: int
    vocals_to_rest_db: float


@dataclass(frozen=True)
class Separation:
    """What was written: `samples` in all, `separated_samples` of them from the model, at 16 kHz."""

    samples: int
    separated_samples: int
    spans: tuple[SeparatedSpan, ...]

    @property
    def separated_s(self) -> float:
        return self.separated_samples / SAMPLE_RATE_HZ


def separate_speech(
    original: Path,
    standard_wav: Path,
    wav_out: Path,
    spans: Sequence[tuple[int, int]],
    *,
    load_model: Callable[[], Any],
    device: str = "cpu",
    overlap: float = 0.25,
    context_s: int = 4,
    fade_ms: float = 20.0,
    downmix: Downmix = "mean",
    progress: Progress | None = None,
) -> Separation:
    """Write the standard audio with the speech alone in the given spans, on the same time line.

    Outside the spans the samples stay as they are; without spans the file is copied and no model is loaded.
    Memory does not grow with the length of a span: its sound at the model's rate lies in an unnamed file
    beside `wav_out` (353 kB for a second of stereo, half for mono), and the model gets one of its segments
    (7.8 s for htdemucs) at a time. The result is that of `demucs.api.Separator` with `shifts=0` on the
    whole stretch. Its default of one random shift would give other bytes each time, and no better ones.

    Args:
        original: the recording that `standard_wav` was made of.
        standard_wav: 16 kHz mono, 16 bits, as `standardise` writes it.
        wav_out: the file to write; the caller sees to it that a half-written one is never seen.
        spans: `(start_sample, end_sample)` at 16 kHz, in order, none overlapping.
        load_model: gives a demucs model with a stem `vocals`, as `load_demucs` does; called at most once.
        device: where the model runs, as torch names it.
        overlap: share of a segment that the next one covers again.
        context_s: whole seconds around a span that the model hears as well, so that it never has to judge a
            short span alone.
        fade_ms: linear cross-fade inside both ends of a span. Linear, because the speech is part of what it
            replaces: amplitudes add, and not powers.
        downmix: as for `standard_wav`. With 'mean' the model hears both channels of a stereo recording; more
            than two are averaged first, and of an index only that channel is heard.
        progress: called with the seconds of the spans that are separated.

    Raises:
        UnreadableMedia: the original, as `probe`.
        ValueError: spans out of order or outside the recording; `standard_wav` is not 16 kHz mono; no channel
            of that index; an overlap outside [0, 1); the model has no stem `vocals`; the original ends
            before a span does.
    """
    import soundfile

    if not 0 <= overlap < 1:
        raise ValueError(f"overlap is {overlap}: it must be at least 0 and less than 1")
    total_samples = _samples_of(standard_wav)
    _check_spans(spans, total_samples)
    if not spans:
        shutil.copyfile(standard_wav, wav_out)
        return Separation(samples=total_samples, separated_samples=0, spans=())

    separator = _Separator(load_model(), device, overlap)
    with (
        decode_blocks(original) as blocks,
        soundfile.SoundFile(standard_wav) as standard,
        soundfile.SoundFile(wav_out, "w", samplerate=SAMPLE_RATE_HZ, channels=1, format="WAV", subtype="PCM_16") as out,
    ):
        if downmix != "mean" and not 0 <= downmix < blocks.channels:
            raise ValueError(f"{original.name!r} has {blocks.channels} channels: there is no channel {downmix}")
        sound = _Recording(blocks, downmix)
        writer = _Writer(standard, out, spans, round(fade_ms / 1000 * SAMPLE_RATE_HZ))
        for first_s, last_s in _stretches(spans, total_samples, context_s):
            writer.copy_to(first_s * SAMPLE_RATE_HZ)
            with _Excerpt(wav_out.parent, sound.channels) as excerpt:
                native = sound.between(first_s * sound.rate_hz, last_s * sound.rate_hz)
                for piece in resampled(native, sound.rate_hz, separator.rate_hz, sound.channels):
                    excerpt.append(piece)
                vocals = (stem.mean(axis=0)[:, None] for stem in separator.vocals(excerpt))
                for piece in resampled(vocals, separator.rate_hz, SAMPLE_RATE_HZ, 1):
                    writer.write(piece[:, 0])
                    if progress:
                        progress(writer.separated_samples / SAMPLE_RATE_HZ)
            _check_end(original, standard_wav, writer.position, spans, last_s)
        writer.copy_to(total_samples)
    return Separation(samples=total_samples, separated_samples=writer.separated_samples, spans=writer.measured())


class _Separator:
    """A demucs model that goes through a stretch segment by segment.

    `demucs.apply.apply_model(split=True)` cuts its input at multiples of one stride, runs each segment by
    itself, and adds the results up with triangular weights: a segment's result depends on nothing outside it.
    Running the same segments one at a time and adding them up in the same order is therefore the same sum; what
    may differ is the last bit of mean and deviation. The last segments are shorter: `TensorChunk.padded` fills them up with the sound before
    them, half of what is missing, and so they are given that sound too.
    """

    def __init__(self, model: Any, device: str, overlap: float) -> None:
        if "vocals" not in model.sources:
            raise ValueError(f"the separation model has no stem 'vocals', but {', '.join(model.sources)}")
        self.rate_hz = int(model.samplerate)
        # apply_model would move it to the device and back for every segment.
        self._model = model.to(device).eval()
        self._device = device
        self._stem = list(model.sources).index("vocals")
        # `segment` is a fraction: the product is exact, and demucs's.
        self._segment = int(model.samplerate * min(part.segment for part in getattr(model, "models", [model])))
        self._stride = int((1 - overlap) * self._segment)

    def vocals(self, excerpt: _Excerpt) -> Iterator[np.ndarray]:
        """Yield the stem in consecutive pieces, float32 of shape `(channels, samples)`."""
        half = self._segment // 2
        weight = np.concatenate((np.arange(1, half + 1), np.arange(self._segment - half, 0, -1))).astype(np.float32)
        weight /= weight.max()
        channels = self._model.audio_channels
        stem_sum = np.zeros((channels, self._segment), np.float32)
        weight_sum = np.zeros(self._segment, np.float32)
        for first in range(0, excerpt.samples, self._stride):
            length = min(self._segment, excerpt.samples - first)
            before = min(first, (self._segment - length) // 2)
            sound = excerpt.read(first - before, first + length)
            stem = self._run(np.broadcast_to(sound, (channels, sound.shape[1])), before, length)
            stem_sum[:, :length] += weight[:length] * stem
            weight_sum[:length] += weight[:length]
            # What no later segment reaches is finished.
            done = min(self._stride, length)
            yield excerpt.as_it_was(stem_sum[:, :done] / weight_sum[:done])
            for sums in (stem_sum, weight_sum):
                sums[..., :-done] = sums[..., done:].copy()
                sums[..., -done:] = 0

    def _run(self, sound: np.ndarray, before: int, length: int) -> np.ndarray:
        import torch
        from demucs.apply import TensorChunk, apply_model

        chunk = TensorChunk(torch.from_numpy(np.ascontiguousarray(sound))[None], before, length)
        with torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True):
            stems = apply_model(self._model, chunk, shifts=0, split=False, device=self._device)
        return stems[0, self._stem].cpu().numpy()


class _Excerpt:
    """A stretch at the model's rate, in a file without a name; read normalised, as demucs does it.

    Demucs takes mean and deviation over the whole of what it is given, averaged over the channels: they are
    collected while the stretch is written, so that every segment sees the same ones.
    """

    def __init__(self, folder: Path, channels: int) -> None:
        # Beside the output: the system's folder for temporary files may lie in memory.
        self._file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115
        self._channels = channels
        self._sum = self._square_sum = 0.0
        self.samples = 0

    def __enter__(self) -> _Excerpt:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def append(self, piece: np.ndarray) -> None:
        """Add float32 sound of shape `(samples, channels)`."""
        self._file.write(np.ascontiguousarray(piece).tobytes())
        mono = piece.mean(axis=1, dtype=np.float64)
        self._sum += float(mono.sum())
        self._square_sum += float(np.square(mono).sum())
        self.samples += len(piece)

    def read(self, first: int, last: int) -> np.ndarray:
        """Normalised sound, float32 of shape `(channels, last - first)`."""
        frame_bytes = 4 * self._channels
        self._file.seek(first * frame_bytes)
        stored = self._file.read((last - first) * frame_bytes)
        sound = np.frombuffer(stored, np.float32).reshape(-1, self._channels).T
        return (sound - self._mean) / self._deviation

    def as_it_was(self, sound: np.ndarray) -> np.ndarray:
        """Return the model's output at the level of the recording."""
        return sound * self._deviation + self._mean

    @property
    def _mean(self) -> np.float32:
        return np.float32(self._sum / self.samples)

    @property
    def _deviation(self) -> np.float32:
        variance = (self._square_sum - self._sum**2 / self.samples) / max(1, self.samples - 1)
        return np.float32(math.sqrt(max(0.0, variance)) + 1e-8)


class _Recording:
    """The original as the model is to hear it, read once from front to back.

    A channel that `downmix` chose is heard alone, because the others cancel it, and demucs's normalisation
    divides by the level of the mean of the channels.
    """

    def __init__(self, blocks: BlockStream, downmix: Downmix) -> None:
        self.rate_hz = blocks.rate_hz
        self.channels = 2 if blocks.channels == 2 and downmix == "mean" else 1
        self._blocks = blocks
        self._downmix = downmix
        self._block = np.zeros((blocks.channels, 0), np.float32)
        self._start = 0

    def between(self, first: int, last: int) -> Iterator[np.ndarray]:
        """Yield the samples from `first` up to `last` or the end, as float32 `(samples, channels)`; never backwards."""
        while True:
            end = self._start + self._block.shape[1]
            low, high = max(first, self._start), min(last, end)
            if low < high:
                yield self._heard(self._block[:, low - self._start : high - self._start])
            if end >= last:
                return
            block = next(self._blocks, None)
            if block is None:
                return
            self._block, self._start = block, end

    def _heard(self, block: np.ndarray) -> np.ndarray:
        if self.channels == 2:
            return np.ascontiguousarray(block.T)
        mono = block.mean(axis=0) if self._downmix == "mean" else block[self._downmix]
        return np.ascontiguousarray(mono)[:, None]


class _Writer:
    """Writes the standard audio, with the separated speech faded in where a span says so, and measures it."""

    def __init__(self, standard: Any, out: Any, spans: Sequence[tuple[int, int]], fade_samples: int) -> None:
        self.position = 0
        self._standard, self._out = standard, out
        self._spans = spans
        self._fade_samples = max(1, fade_samples)
        self._energies = np.zeros((len(spans), 2))
        # Spans that touch are one: the music must not come back for an instant between them.
        starts = [start for start, _ in spans]
        ends = [end for _, end in spans]
        outer_starts = [start for start, end in zip(starts, [-1, *ends], strict=False) if start != end]
        outer_ends = [end for end, start in zip(ends, [*starts[1:], -1], strict=True) if end != start]
        self._runs = list(zip(outer_starts, outer_ends, strict=True))

    def copy_to(self, end_sample: int) -> None:
        """Write the standard audio as it is, up to that sample."""
        while self.position < end_sample:
            samples = self._standard.read(min(1 << 18, end_sample - self.position), dtype="int16")
            self._out.write(samples)
            self.position += len(samples)

    def write(self, vocals: np.ndarray) -> None:
        """Write the next samples; `vocals` at 16 kHz belong to them. What lies past the end is left out."""
        samples = self._standard.read(len(vocals), dtype="int16")
        vocals = vocals[: len(samples)]
        before = samples.astype(np.float32) / 32768
        self._measure(vocals, before)
        share = self._share(len(samples))
        mixed = to_16_bit(vocals * share + before * (1 - share))
        self._out.write(np.where(share > 0, mixed, samples))
        self.position += len(samples)

    @property
    def separated_samples(self) -> int:
        """How many samples of the spans are written."""
        return sum(max(0, min(end, self.position) - start) for start, end in self._spans)

    def measured(self) -> tuple[SeparatedSpan, ...]:
        lengths = np.array([end - start for start, end in self._spans])[:, None]
        vocals_db, rest_db = 10 * np.log10(np.maximum(self._energies / lengths, _ENERGY_FLOOR)).T
        return tuple(
            SeparatedSpan(start, end, float(ratio_db))
            for (start, end), ratio_db in zip(self._spans, vocals_db - rest_db, strict=True)
        )

    def _measure(self, vocals: np.ndarray, before: np.ndarray) -> None:
        for index, (start, end) in enumerate(self._spans):
            part = slice(max(0, start - self.position), max(0, end - self.position))
            for column, signal in enumerate((vocals[part], before[part] - vocals[part])):
                self._energies[index, column] += float(np.sum(np.square(signal, dtype=np.float64)))

    def _share(self, samples: int) -> np.ndarray:
        """Return how much of each sample comes from the model: 1 inside a span, 0 outside, a slope at its ends."""
        share = np.zeros(samples, np.float32)
        for start, end in self._runs:
            low, high = max(start, self.position), min(end, self.position + samples)
            if low >= high:
                continue
            index = np.arange(low, high)
            fade = max(1, min(self._fade_samples, (end - start) // 2))
            # Nothing lies before the first sample or after the last one: no fade there.
            rise = (index - start + 1) / fade if start > 0 else np.ones(index.size)
            fall = (end - index) / fade if end < self._standard.frames else np.ones(index.size)
            share[low - self.position : high - self.position] = np.minimum(np.minimum(rise, fall), 1.0)
        return share


def _stretches(spans: Sequence[tuple[int, int]], total_samples: int, context_s: int) -> list[tuple[int, int]]:
    """Return what the model is to hear, in whole seconds: spans with their context, as one where these meet.

    A whole second is a whole number of samples at every rate, so that resampled sound begins on the grid of
    both and stays aligned to the sample.
    """
    last_s = -(-total_samples // SAMPLE_RATE_HZ)
    stretches: list[tuple[int, int]] = []
    for start, end in spans:
        first = max(0, start // SAMPLE_RATE_HZ - context_s)
        last = min(last_s, -(-end // SAMPLE_RATE_HZ) + context_s)
        if stretches and first <= stretches[-1][1]:
            first = stretches.pop()[0]
        stretches.append((first, last))
    return stretches


def _samples_of(standard_wav: Path) -> int:
    import soundfile

    info = soundfile.info(standard_wav)
    if (info.samplerate, info.channels, info.subtype) != (SAMPLE_RATE_HZ, 1, "PCM_16"):
        raise ValueError(
            f"{standard_wav} has {info.samplerate} Hz, {info.channels} channels and {info.subtype}; separation needs "
            f"{SAMPLE_RATE_HZ} Hz mono PCM_16. Give the file of the standard_audio stage."
        )
    return info.frames


def _check_spans(spans: Sequence[tuple[int, int]], total_samples: int) -> None:
    for start, end in spans:
        if not 0 <= start < end <= total_samples:
            raise ValueError(f"the span {start}–{end} is empty or outside the recording of {total_samples} samples")
    for (start, end), (next_start, next_end) in itertools.pairwise(spans):
        if next_start < end:
            raise ValueError(f"the spans {start}–{end} and {next_start}–{next_end} overlap or are out of order")


def _check_end(
    original: Path, standard_wav: Path, position: int, spans: Sequence[tuple[int, int]], last_s: int
) -> None:
    needed = max(end for _, end in spans if end <= last_s * SAMPLE_RATE_HZ)
    if position < needed - _TOLERANCE_SAMPLES:
        raise ValueError(
            f"{original.name!r} ends at {position / SAMPLE_RATE_HZ:.2f} s, before a span that ends at "
            f"{needed / SAMPLE_RATE_HZ:.2f} s: it is not the recording that {standard_wav} was made of"
        )
