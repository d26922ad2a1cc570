"""Recordings as the recorders, phones and editors of a church would have saved them."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np


@dataclass(frozen=True)
class RecordingFormat:
    """One way to save a recording: FFmpeg's names of container and encoder, rate, channels, bits per second."""

    suffix: str
    container: str
    encoder: str
    rate_hz: int
    channels: int
    bit_rate: int | None = None


FORMATS: Mapping[str, RecordingFormat] = {
    "wav": RecordingFormat(".wav", "wav", "pcm_s16le", 44_100, 2),
    "mp3": RecordingFormat(".mp3", "mp3", "libmp3lame", 44_100, 1, 96_000),
    "m4a": RecordingFormat(".m4a", "ipod", "aac", 32_000, 1, 64_000),
    "ogg": RecordingFormat(".ogg", "ogg", "vorbis", 44_100, 2, 128_000),
    "opus": RecordingFormat(".opus", "opus", "libopus", 48_000, 1, 32_000),
    "flac": RecordingFormat(".flac", "flac", "flac", 48_000, 1),
    "webm": RecordingFormat(".webm", "webm", "libopus", 48_000, 2, 48_000),
    "wma": RecordingFormat(".wma", "asf", "wmav2", 22_050, 1, 48_000),
}


def encode(path: Path, sound: np.ndarray, recording_format: RecordingFormat, tags: Mapping[str, str]) -> None:
    """Write float (channels, samples) in [-1, 1] at the format's rate to `path`, with FFmpeg's names of `tags`.

    The same arguments give the same bytes. Raises ValueError where the channels do not fit the format.
    """
    import av
    from av.codec.context import Flags as CodecFlags
    from av.container import Flags as ContainerFlags

    if sound.shape[0] != recording_format.channels:
        raise ValueError(f"{path}: {sound.shape[0]} channels given, {recording_format.channels} wanted")
    layout = "stereo" if recording_format.channels == 2 else "mono"
    pcm = np.round(np.clip(sound, -1, 1) * 32767).astype(np.int16)
    with av.open(str(path), "w", format=recording_format.container) as container:
        # Without this FFmpeg writes random serial numbers and its own version into the file.
        container.flags |= ContainerFlags.bitexact.value
        container.metadata.update(tags)
        # FFmpeg calls its Vorbis encoder experimental; it is the only one in PyAV's wheels.
        stream = container.add_stream(
            recording_format.encoder, recording_format.rate_hz, layout=layout, options={"strict": "experimental"}
        )
        assert isinstance(stream, av.AudioStream)
        stream.codec_context.flags |= CodecFlags.bitexact
        stream.codec_context.thread_count = 1
        if recording_format.bit_rate:
            stream.bit_rate = recording_format.bit_rate
        for start in range(0, pcm.shape[1], recording_format.rate_hz):
            block = np.ascontiguousarray(pcm[:, start : start + recording_format.rate_hz].T).reshape(1, -1)
            frame = av.AudioFrame.from_ndarray(block, format="s16", layout=layout)
            frame.sample_rate = recording_format.rate_hz
            frame.pts = start
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
