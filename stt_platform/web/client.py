"""yt-dlp as this platform uses it: no configuration files, no commands, no cookies, polite."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stt_platform.store.names import printable

_ANSI = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
_MAX_REASON = 300


@dataclass(frozen=True)
class Politeness:
    """How much a site is asked for: yt-dlp's own preset `sleep`. Zero does not wait, for a server of one's own.

    `download_s` is the least and the longest wait before a download; `bytes_per_s` None does not limit.
    """

    request_s: float = 0.75
    download_s: tuple[float, float] = (10.0, 20.0)
    bytes_per_s: int | None = None


class Log:
    """What yt-dlp reports, kept instead of printed."""

    def __init__(self) -> None:
        self.warnings: list[str] = []

    def debug(self, message: str) -> None:
        """Nothing of it is for people."""

    def warning(self, message: str) -> None:
        """Keep a warning."""
        self.warnings.append(reason_of(message))

    def error(self, message: str) -> None:
        """Errors are raised as well."""


def open_client(options: Mapping[str, Any], *, politeness: Politeness, log: Log):
    """A `yt_dlp.YoutubeDL` with the options that every use of it shares, and `options` over them."""
    from yt_dlp import YoutubeDL, globals, plugins

    if not globals.all_plugins_loaded.value:
        # Code in a home folder is not run: plugins count only where they are installed beside yt-dlp.
        globals.plugin_dirs.value = [str(Path(plugins.__file__).parents[2])]
    # Not all that it takes is in the types of yt-dlp.
    parameters: Any = {
        "quiet": True,
        "noprogress": True,
        "logger": log,
        "color": "never",
        "cachedir": False,
        "noplaylist": True,
        "extract_flat": "in_playlist",
        "enable_file_urls": False,
        "format": "bestaudio/best",
        "postprocessors": [],
        "fixup": "never",
        "socket_timeout": 30,
        "sleep_interval_requests": politeness.request_s,
        **options,
    }
    return YoutubeDL(parameters)


def reason_of(error: object) -> str:
    """Return what went wrong, on one line for people."""
    text = _ANSI.sub("", str(error))
    text = re.sub(r"^(?:ERROR|WARNING): (?:\[[^\]]{1,60}\] (?:[^ :]{1,80}: )?)?", "", text)
    text = printable(text.split("; please report this issue")[0].split("; file an issue")[0])
    return (text if len(text) <= _MAX_REASON else f"{text[: _MAX_REASON - 1]}…") or "no reason was given"


def asked(call: Callable[[], Any]) -> tuple[Any, str | None]:
    """Call yt-dlp: what it gives, or None and the reason why it failed."""
    try:
        return call(), None
    # yt-dlp reads pages that others write, and lets through whatever goes wrong with them: it concerns one video.
    except Exception as error:
        return None, reason_of(error)
