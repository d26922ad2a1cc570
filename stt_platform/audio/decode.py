"""The sound of a media file at the rate it was recorded with.

Decoding uses the FFmpeg libraries inside PyAV's wheel, so that no program has to be installed. It works on
one block at a time: hours of sound take the memory of seconds.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from stt_platform.audio.media import (
    MediaInfo,
    UnreadableMedia,
    header_of,
    open_sound,
    promised_duration_s,
)

__all__ = ["Measurement", "MediaInfo", "UnreadableMedia", "decode_blocks", "measure", "probe"]

Progress = Callable[[float], None]
Downmix = Literal["mean"] | int

_BLOCK_VALUES = 4_000_000
"""At most this many values (channels x samples) in a block: a file may claim hundreds of channels."""

_RATES_HZ = (1_000, 768_000)

_GAP_S = 0.05
"""A jump in the time stamps that is sound lost; smaller ones are rounding, WebM's are whole milliseconds."""


@dataclass(frozen=True)
class Measurement:
    """What decoding a whole file found.

    `samples` and `duration_s` count the decoded sound at the native rate. `peak` is the largest absolute
    sample of any channel, 1.0 being full scale; `channel_rms` has one value for each channel. `downmix` is
    'mean' for the mean of the channels, or the index of the one to use because the channels cancel each
    other. `truncated` says that the header promises more sound than there is.
    """

    samples: int
    native_rate_hz: int
    duration_s: float
    decode_errors: int
    peak: float
    channel_rms: tuple[float, ...]
    downmix: Downmix
    truncated: bool


def probe(path: Path) -> MediaInfo:
    """Return what a media file says about itself, once the first sound in it has decoded.

    Raises:
        UnreadableMedia: it is empty, a folder, no media file, or holds no sound.
    """
    with decode_blocks(path, block_s=0.1) as blocks:
        return blocks.info


def measure(
    path: Path,
    progress: Progress | None = None,
    listener: Callable[[np.ndarray, int], None] | None = None,
    *,
    max_s: float = math.inf,
) -> Measurement:
    """Decode a whole file once, in bounded memory, and say what is in it.

    Args:
        path: any media file that `probe` accepts.
        progress: called with the seconds decoded so far.
        listener: called with every block, float32 of shape `(channels, samples)`, and its rate in Hz.
        max_s: nothing is decoded beyond it: a file of some kilobytes may unpack to weeks of silence.

    Raises:
        UnreadableMedia: as `probe`.
    """
    with decode_blocks(path) as blocks:
        levels = _Levels(blocks.channels)
        for block in blocks:
            if levels.samples > max_s * blocks.rate_hz:
                break
            levels.add(block)
            if listener:
                listener(block, blocks.rate_hz)
            if progress:
                progress(levels.samples / blocks.rate_hz)
    duration_s = levels.samples / blocks.rate_hz
    promised_s = blocks.promised_s
    return Measurement(
        samples=levels.samples,
        native_rate_hz=blocks.rate_hz,
        duration_s=duration_s,
        decode_errors=blocks.decode_errors,
        peak=levels.peak,
        channel_rms=levels.channel_rms,
        downmix=levels.downmix,
        truncated=promised_s is not None and promised_s - duration_s > max(1.0, 0.02 * promised_s),
    )


def decode_blocks(path: Path, block_s: float = 10.0) -> BlockStream:
    """Decode a media file block by block.

    Packets that do not decode are left out and counted in `decode_errors` of what is returned, and so are gaps
    in the time stamps. Values that are no finite numbers become silence, and their blocks count too. If the rate
    or the channels change on the way, the sound goes on as it began.

    Returns:
        An iterator of float32 arrays of shape `(channels, samples)`, full scale 1.0, `block_s` seconds each
        or less. It closes the file at the end, or as a context manager.

    Raises:
        UnreadableMedia: as `probe`.
    """
    return BlockStream(path, block_s)


class BlockStream(Iterator[np.ndarray]):
    """The blocks of one file; `info`, `rate_hz` and `channels` are known from the start.

    `decode_errors` grows while one iterates. `promised_s` is the duration that the file should have, as far
    as its header can be trusted to know, else None.
    """

    rate_hz: int
    channels: int
    info: MediaInfo
    promised_s: float | None

    def __init__(self, path: Path, block_s: float) -> None:
        self.decode_errors = 0
        self._path = path
        self._block_s = block_s
        self._container, self._stream = open_sound(path)
        self._blocks = self._decode()
        try:
            self._first: np.ndarray | None = next(self._blocks, None)
            if self._first is None:
                raise UnreadableMedia(path, "holds no sound that can be decoded")
            self.info = header_of(path, self._container, self._stream, self.rate_hz, self.channels)
            self.promised_s = promised_duration_s(self.info, self._stream.codec_context.bit_rate)
        except BaseException:
            self.close()
            raise

    def __next__(self) -> np.ndarray:
        if self._first is not None:
            block, self._first = self._first, None
            return block
        return next(self._blocks)

    def __enter__(self) -> BlockStream:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._blocks.close()
        self._container.close()

    def _decode(self) -> Generator[np.ndarray, None, None]:
        import av.error

        try:
            yield from self._resampled()
        except UnreadableMedia:
            raise
        except (av.error.FFmpegError, ValueError) as error:
            # A damaged header can promise a format that the resampler refuses.
            raise UnreadableMedia(self._path, "is damaged: its sound cannot be decoded") from error

    def _resampled(self) -> Iterator[np.ndarray]:
        import av

        resampler, source = None, None
        for frame in self._frames():
            if resampler is None or source != (frame.format.name, frame.layout.name, frame.sample_rate):
                if resampler is None:
                    self._begin_with(frame)
                else:
                    yield from self._arrays(resampler.resample(None))
                source = (frame.format.name, frame.layout.name, frame.sample_rate)
                # Packed, because PyAV finds nine planes in a planar frame of eight channels.
                resampler = av.AudioResampler(
                    format="flt", layout=frame.layout, rate=self.rate_hz, frame_size=self._block_samples
                )
            yield from self._arrays(resampler.resample(frame))
        if resampler:
            yield from self._arrays(resampler.resample(None))
        self._container.close()

    def _begin_with(self, frame: Any) -> None:
        self.rate_hz, self.channels = frame.sample_rate, frame.layout.nb_channels
        lowest, highest = _RATES_HZ
        if not lowest <= self.rate_hz <= highest:
            raise UnreadableMedia(self._path, f"claims a rate of {self.rate_hz} Hz, not between {lowest} and {highest}")
        self._block_samples = max(1, min(round(self._block_s * self.rate_hz), _BLOCK_VALUES // self.channels))

    def _frames(self) -> Iterator[Any]:
        """Yield every frame that decodes; where the container can no longer be read, the sound ends."""
        end_s, errors_before = None, 0
        for frame in self._decoded():
            # Some demuxers drop what is damaged without a word: only the time stamps show it.
            if end_s is not None and frame.time is not None:
                lost = frame.time - end_s > _GAP_S
                self.decode_errors += lost and self.decode_errors == errors_before
            if frame.time is not None:
                end_s = frame.time + frame.samples / frame.sample_rate
            errors_before = self.decode_errors
            yield frame

    def _decoded(self) -> Iterator[Any]:
        import av.error

        packets = self._container.demux(self._stream)
        while True:
            try:
                packet = next(packets, None)
            except av.error.FFmpegError:
                self.decode_errors += 1
                packet = None
            try:
                frames = packet.decode() if packet else self._stream.codec_context.decode(None)
            except av.error.EOFError:
                frames = []
            except av.error.FFmpegError:
                self.decode_errors += 1
                frames = []
            yield from frames
            if packet is None:
                return

    def _arrays(self, frames: list[Any]) -> Iterator[np.ndarray]:
        for frame in frames:
            block = frame.to_ndarray().reshape(frame.samples, -1).T
            if block.shape[0] != self.channels:
                block = np.repeat(block.mean(axis=0, keepdims=True), self.channels, axis=0)
            if not np.isfinite(block).all():
                self.decode_errors += 1
                block = np.nan_to_num(block, nan=0.0, posinf=0.0, neginf=0.0)
            yield block


class _Levels:
    """Peak and level of the channels, and whether they cancel, from blocks of shape `(channels, samples)`."""

    def __init__(self, channels: int) -> None:
        self.samples = 0
        self.peak = 0.0
        self._sum = np.zeros(channels)
        self._products = np.zeros((channels, channels))

    def add(self, block: np.ndarray) -> None:
        values = np.ascontiguousarray(block, dtype=np.float64)
        self.samples += values.shape[1]
        self.peak = max(self.peak, -float(values.min(initial=0.0)), float(values.max(initial=0.0)))
        self._sum += values.sum(axis=1)
        self._products += values @ values.T

    @property
    def channel_rms(self) -> tuple[float, ...]:
        return tuple(np.sqrt(np.diagonal(self._products) / max(1, self.samples)).tolist())

    @property
    def downmix(self) -> Downmix:
        # Offsets are taken off: one that is common to all channels would hide that the sound in them cancels.
        covariance = self._products - np.outer(self._sum, self._sum) / max(1, self.samples)
        power = np.diagonal(covariance)
        cancels = covariance.mean() < 0.1 * power.mean()
        return int(np.argmax(power)) if cancels else "mean"
