"""Recordings and their captions from the web, one after the other, resumed where an earlier run stopped.

What a site says never names a file: the names are made of the video's checked key, and the sound's ending is one of
those that yt-dlp knows as harmless.
"""

import hashlib
import json
import os
import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, MutableMapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from stt_platform.errors import PlatformError
from stt_platform.machine.files import write_atomically
from stt_platform.store.names import parse_date, printable
from stt_platform.web.client import Log, Politeness, asked, open_client
from stt_platform.web.videos import BadAddress, Video, checked_url

Progress = Callable[[Video, int, int | None], None]
"""Called with the video, the bytes that are there, and how many there will be where that is known."""

_LANGUAGE = re.compile(r"[A-Za-z]{2,3}(?:-[A-Za-z0-9_]{1,20}){0,4}", re.ASCII)
_MAX_CAPTION_BYTES = 20_000_000
_CAPTION_TRIES = 3
_FORMAT_FIELD = "stt_format"
# YouTube's own format has the times of words without the rolling lines; people's captions lose nothing in the others.
CaptionKind = Literal["manual", "automatic"]
_FORMATS: dict[CaptionKind, tuple[str, ...]] = {"manual": ("vtt", "srt", "json3"), "automatic": ("json3", "vtt", "srt")}


@dataclass(frozen=True)
class Details:
    """What was downloaded: the small file beside the sound. It is written last, so it says that all is there.

    `captions_problem` says why there are none though the site has some; they are tried again next time.
    """

    id: str
    url: str
    title: str
    uploader: str | None
    date: str | None
    duration_s: float | None
    audio: str
    audio_bytes: int
    captions: str | None
    captions_kind: CaptionKind | None
    captions_language: str | None
    captions_problem: str | None


@dataclass(frozen=True)
class Downloaded:
    """What became of one video. Paths and details are None where it failed; `reason` says why."""

    video: Video
    outcome: Literal["new", "already here", "failed"]
    reason: str | None = None
    audio_path: Path | None = None
    captions_path: Path | None = None
    details: Details | None = None


def download(
    videos: Iterable[Video],
    folder: Path,
    *,
    captions_language: str = "en",
    politeness: Politeness | None = None,
    retries: int = 10,
    progress: Progress | None = None,
) -> Iterator[Downloaded]:
    """Download the best sound of each video as the site has it, with its captions; one that fails stops no other.

    Captions that a person made are preferred to automatic ones, and automatic ones are taken only in the language
    that is spoken. What is there already is skipped; a part of a file is continued.

    Args:
        videos: what to download, in order.
        folder: where to; `<id>.<format>.<ending>`, `<id>.<language>.<vtt|srt|json3>` and `<id>.json`.
        captions_language: such as "en"; its regional forms count too.
        politeness: how long to wait, and how fast to load.
        retries: how often a broken connection is taken up again at once.
        progress: see `Progress`.

    Raises:
        PlatformError: the name of `folder` cannot be used.
        ValueError: `captions_language` is no language.
    """
    if not re.fullmatch(r"[a-z]{2,3}", captions_language):
        raise ValueError(f"captions_language = {captions_language!r}: want two or three letters, such as en")
    folder = folder.absolute()
    if os.path.expandvars(folder) != str(folder):
        raise PlatformError(f"{folder}: the name has a $ in it that would be replaced; use a folder without")
    folder.mkdir(parents=True, exist_ok=True)
    for video in videos:
        job = _Job(video, folder, captions_language, politeness or Politeness(), retries, progress)
        yield job.found() or job.run()


@dataclass(frozen=True)
class _Job:
    video: Video
    folder: Path
    language: str
    politeness: Politeness
    retries: int
    progress: Progress | None

    def found(self) -> Downloaded | None:
        """Return the video, where an earlier run has finished it."""
        try:
            details = Details(**json.loads((self.folder / f"{self.video.id}.json").read_text(encoding="utf-8")))
            audio = self._own(details.audio)
            captions = self._own(details.captions) if details.captions else None
            if details.url != self.video.url or details.captions_problem:
                return None
            if audio.stat().st_size != details.audio_bytes or (captions and not captions.exists()):
                return None
        except (OSError, ValueError, TypeError):
            return None
        return Downloaded(self.video, "already here", None, audio, captions, details)

    def run(self) -> Downloaded:
        refusals: list[str] = []
        options = {
            "outtmpl": {
                "default": f"{self.folder}/{self.video.id}".replace("%", "%%") + f".%({_FORMAT_FIELD})s.%(ext)s"
            },
            "continuedl": True,
            "retries": self.retries,
            "fragment_retries": self.retries,
            "retry_sleep_functions": dict.fromkeys(("http", "fragment", "extractor"), _wait_s),
            "sleep_interval": self.politeness.download_s[0],
            "max_sleep_interval": self.politeness.download_s[1],
            "ratelimit": self.politeness.bytes_per_s,
            "match_filter": lambda info, *, incomplete=False: _before_download(info, refusals),
            "progress_hooks": [self._report],
            # Some sites list captions only to who wants them; none is written by yt-dlp, which would name the
            # file by what the site says.
            "writesubtitles": True,
            "writeautomaticsub": True,
            "subtitleslangs": ["-all"],
        }
        stale = self._other_video()
        if stale:
            return Downloaded(self.video, "failed", stale)
        with open_client(options, politeness=self.politeness, log=Log()) as client:
            info, reason = asked(lambda: client.extract_info(self.video.url))
            if info is None or refusals:
                return Downloaded(self.video, "failed", refusals[0] if refusals else reason)
            audio = self._audio(info)
            if audio is None:
                return Downloaded(self.video, "failed", "the site gave no file; is it a recording, or a list?")
            captions, kind, language, problem = self._captions(client, info)
        details = Details(
            id=self.video.id,
            url=self.video.url,
            title=printable(str(info.get("title") or self.video.title))[:300],
            uploader=printable(str(info.get("uploader") or info.get("channel") or ""))[:200] or None,
            date=parse_date(str(info.get("upload_date") or "")) or (self.video.date and self.video.date.isoformat()),
            duration_s=info["duration"] if isinstance(info.get("duration"), int | float) else self.video.duration_s,
            audio=audio.name,
            audio_bytes=audio.stat().st_size,
            captions=captions.name if captions else None,
            captions_kind=kind,
            captions_language=language,
            captions_problem=problem,
        )
        text = json.dumps(asdict(details), indent=1, sort_keys=True, ensure_ascii=False)
        write_atomically(self.folder / f"{self.video.id}.json", text.encode())
        return Downloaded(self.video, "new", None, audio, captions, details)

    def _own(self, name: str) -> Path:
        if not name.startswith(f"{self.video.id}.") or "/" in name or "\\" in name:
            raise ValueError(name)
        return self.folder / name

    def _other_video(self) -> str | None:
        """Two addresses can only share a key when a site means them to."""
        try:
            url = json.loads((self.folder / f"{self.video.id}.json").read_text(encoding="utf-8"))["url"]
        except (OSError, ValueError, TypeError, KeyError):
            return None
        return None if url == self.video.url else f"{self.video.id} is here already from {printable(str(url))}"

    def _report(self, status: Mapping[str, Any]) -> None:
        total = status.get("total_bytes") or status.get("total_bytes_estimate")
        done = status.get("downloaded_bytes") or (total if status.get("status") == "finished" else 0)
        if self.progress:
            self.progress(self.video, int(done or 0), int(total) if total else None)

    def _audio(self, info: Mapping[str, Any]) -> Path | None:
        if "entries" in info:
            return None
        for part in info.get("requested_downloads") or ():
            path = Path(part.get("filepath") or "")
            if path.parent == self.folder and path.name.startswith(f"{self.video.id}.") and path.is_file():
                return path
        return None

    def _captions(
        self, client: Any, info: Mapping[str, Any]
    ) -> tuple[Path | None, CaptionKind | None, str | None, str | None]:
        """Return the captions' file, their kind and language, and what went wrong."""
        chosen = _choose_captions(info, self.language)
        if chosen is None:
            return None, None, None, None
        kind, language, ending, source = chosen
        path, problem = self.folder / f"{self.video.id}.{language}.{ending}", None
        for attempt in range(_CAPTION_TRIES):
            if attempt:
                time.sleep(min(self.politeness.download_s[0], _wait_s(attempt)))
            data, problem = asked(lambda: _caption_bytes(client, source))
            if data is not None:
                write_atomically(path, data)
                return path, kind, language, None
        return None, None, None, problem


def _wait_s(n: int) -> float:
    """Return seconds before the next try: 1, 2, 4 … a minute."""
    return float(min(2 ** min(n, 6), 60))


def _before_download(info: MutableMapping[str, Any], refusals: list[str]) -> str | None:
    """Return why the video is not to be downloaded, or None; names the chosen format for the file's name."""
    # A part of one format must never be continued with another, and a format's own name is the site's.
    info[_FORMAT_FIELD] = hashlib.sha256(str(info.get("format_id")).encode()).hexdigest()[:8]
    if info.get("playlist") or info.get("playlist_id") or info.get("playlist_index"):
        refusals.append("it is a list, not a recording; list it with `stt channel list`")
    elif info.get("is_live") or info.get("live_status") in ("is_live", "is_upcoming", "post_live"):
        refusals.append("it is live, or the site still works on it; try again tomorrow")
    else:
        return None
    return refusals[-1]


def _choose_captions(info: Mapping[str, Any], language: str) -> tuple[CaptionKind, str, str, Mapping[str, Any]] | None:
    """Kind, language, ending and source of the best captions; None where the site has none of this language."""
    automatic = _by_language(info.get("automatic_captions"))
    spoken = {name.removesuffix("-orig") for name in automatic if name.endswith("-orig")}
    # Automatic captions in a language that is not the spoken one are a machine's translation.
    is_translated = bool(spoken) and not any(name.split("-")[0] == language for name in spoken)
    offered = {"manual": _by_language(info.get("subtitles")), "automatic": {} if is_translated else automatic}
    for kind, endings in _FORMATS.items():
        found = offered[kind]
        names = [name for name in found if name.split("-")[0].casefold() == language]
        for name in sorted(names, key=lambda name: (not name.endswith("-orig"), name != language, name)):
            for ending in endings:
                for source in found[name]:
                    if source.get("ext") == ending and _can_be_fetched(source):
                        return kind, name, ending, source
    return None


def _by_language(captions: object) -> dict[str, list[Mapping[str, Any]]]:
    if not isinstance(captions, Mapping):
        return {}
    return {
        name: [source for source in sources if isinstance(source, Mapping)]
        for name, sources in captions.items()
        if isinstance(name, str) and _LANGUAGE.fullmatch(name) and isinstance(sources, list)
    }


def _can_be_fetched(source: Mapping[str, Any]) -> bool:
    if isinstance(source.get("data"), str):
        return True
    try:
        is_address = bool(checked_url(str(source.get("url") or "")))
    except BadAddress:
        return False
    return is_address and source.get("protocol") in (None, "http", "https")


def _caption_bytes(client: Any, source: Mapping[str, Any]) -> bytes:
    from yt_dlp.networking import Request

    if isinstance(source.get("data"), str):
        return source["data"].encode()
    headers = source.get("http_headers") or {}
    with client.urlopen(Request(source["url"], headers=headers)) as response:
        data = response.read(_MAX_CAPTION_BYTES + 1)
    if not data or len(data) > _MAX_CAPTION_BYTES:
        raise ValueError(f"captions of {len(data)} bytes; want 1 to {_MAX_CAPTION_BYTES}")
    return data
