"""Opening a media file, and what its header says."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

# Named one by one, because FFmpeg also reads playlists (which name other files and addresses), raw data, and
# text drawn as pictures: none of that may be opened because a file was called .mp3.
_FORMATS = (
    "aac,ac3,aiff,amr,amrnb,amrwb,ape,asf,au,avi,caf,dsf,dts,eac3,flac,flv,loas,matroska,webm,mov,mp4,m4a,"
    "mp3,mpc,mpc8,mpeg,mpegts,mxf,nut,ogg,rm,tak,tta,voc,w64,wav,wtv,wv"
)
_ALLOWED = {"format_whitelist": _FORMATS, "protocol_whitelist": "file"}

_FORMATS_WITHOUT_INDEX = {"aac", "ac3", "amr", "amrnb", "amrwb", "dts", "eac3", "loas", "mp3"}

_CONVERT = "Open it in an audio editor and export it as WAV, FLAC or MP3, or copy it again from where it came from."
_COPY_AGAIN = "Copy it again from where it came from."


class UnreadableMedia(ValueError):
    """No sound can be read from a file: the message names the file, what is wrong with it, and the remedy."""

    def __init__(self, path: Path, problem: str, remedy: str = _CONVERT) -> None:
        super().__init__(f"{path.name!r} {problem}. {remedy}")
        self.problem, self.remedy = problem, remedy


@dataclass(frozen=True)
class MediaInfo:
    """What a media file says about itself.

    `header_duration_s` is what the header promises, which a damaged file does not keep; None where it says
    nothing. `tags` are the file's own (title, artist, date ...), names in lower case, sorted.
    """

    container: str
    codec: str
    native_rate_hz: int
    channels: int
    header_duration_s: float | None
    tags: dict[str, str]
    size_bytes: int


def open_sound(path: Path) -> tuple[Any, Any]:
    """Open a media file: its PyAV container and the best audio stream.

    Raises:
        UnreadableMedia: the file is empty, a folder, not there, no media file, or without sound.
    """
    import av.error
    from av.stream import Discard

    _check_file(path)
    try:
        # "file:", because FFmpeg takes what stands before a colon in a name for a protocol.
        container = av.open(f"file:{path.absolute()}", container_options=_ALLOWED, metadata_errors="replace")
    except (av.error.FFmpegError, OSError, ValueError) as error:
        raise UnreadableMedia(path, "is not an audio or video file, or its beginning is damaged") from error
    stream = container.streams.best("audio")
    if stream is None or stream.codec_context is None:
        undecodable = bool(container.streams.audio)
        container.close()
        if undecodable:
            raise UnreadableMedia(path, "holds sound in a format that cannot be decoded")
        raise UnreadableMedia(path, "holds no sound", "Check that the sound was recorded with the pictures.")
    for other in container.streams:
        if other.index != stream.index:
            other.discard = Discard.all
    return container, stream


def header_of(path: Path, container: Any, stream: Any, rate_hz: int, channels: int) -> MediaInfo:
    """Return what the header says, with the rate and the channels that decoding found (HE-AAC headers give half)."""
    import av

    if stream.duration is not None:
        duration_s = float(stream.duration * stream.time_base)
    elif container.duration is not None:
        duration_s = container.duration / av.time_base
    else:
        duration_s = 0.0
    size_bytes = path.stat().st_size
    if container.format.name == "wav":
        duration_s *= _declared_share(path, size_bytes)
    # Ogg keeps the tags with the stream, most others with the file.
    tags = {name.lower(): value for name, value in {**stream.metadata, **container.metadata}.items()}
    return MediaInfo(
        container=container.format.name,
        codec=stream.codec_context.codec.canonical_name,
        native_rate_hz=rate_hz,
        channels=channels,
        header_duration_s=duration_s if duration_s > 0 else None,
        tags=dict(sorted(tags.items())),
        size_bytes=size_bytes,
    )


def promised_duration_s(info: MediaInfo, bit_rate: int | None) -> float | None:
    """Return the duration that the file must have had when it was whole; None where nobody can know.

    Without a Xing header or an index, FFmpeg divides the size of the file by the bit rate: a cut file then
    looks as if it had always been short, and one with a changing bit rate as if it were damaged.
    """
    promised_s = info.header_duration_s
    if promised_s is None or info.container not in _FORMATS_WITHOUT_INDEX or not bit_rate:
        return promised_s
    estimate_s = info.size_bytes * 8 / bit_rate
    return None if abs(estimate_s - promised_s) < 0.01 * promised_s else promised_s


def _check_file(path: Path) -> None:
    try:
        if path.is_dir():
            raise UnreadableMedia(path, "is a folder, not a recording", "Name the files in it.")
        if not path.exists():
            raise UnreadableMedia(path, "does not exist", "Check the name.")
        if not path.is_file():
            raise UnreadableMedia(path, "is not an ordinary file", "Copy the recording into a file.")
        if path.stat().st_size == 0:
            raise UnreadableMedia(path, "is empty (0 bytes)", _COPY_AGAIN)
        with path.open("rb"):
            pass
    except OSError as error:
        raise UnreadableMedia(
            path, f"cannot be read ({error.strerror})", "Check the name and who may read the file."
        ) from error


def _declared_share(path: Path, size_bytes: int) -> float:
    """Return how many times as long as it is a RIFF file claims to be; FFmpeg hides that a file was cut."""
    with path.open("rb") as file:
        start = file.read(8)
    declared_bytes = int.from_bytes(start[4:8], "little") + 8
    # A recorder that does not know the length in advance writes the largest number there is, or nearly.
    is_known = start[:4] == b"RIFF" and declared_bytes < 0x7FFF0000
    return max(1.0, declared_bytes / size_bytes) if is_known else 1.0
