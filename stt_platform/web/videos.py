"""A video as the web names it, and the checks that keep an address from becoming an option or a path."""

import datetime
import hashlib
import re
from dataclasses import dataclass
from urllib.parse import urlsplit

_KEY = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_-]{0,63}", re.ASCII)
_MAX_URL = 4096
# The library that downloads takes options for its own parts from behind this mark.
_SMUGGLED = "__youtubedl_smuggle"


class BadAddress(ValueError):
    """An address that is not used: names it, what is wrong, and the remedy."""


@dataclass(frozen=True)
class Video:
    """A recording on the web. None is what is not known.

    `id` is safe as the name of a file. `date` is exact, or the newest day that it can be where the site says only
    "3 years ago". `live_status` is yt-dlp's: `is_live`, `is_upcoming`, `post_live`, `was_live`, `not_live`.
    `problem` says why nothing could be learned of it.

    Raises `BadAddress` for a URL, `ValueError` for an id that must not be used.
    """

    id: str
    url: str
    title: str
    date: datetime.date | None = None
    duration_s: float | None = None
    live_status: str | None = None
    date_is_exact: bool = True
    problem: str | None = None

    def __post_init__(self) -> None:
        checked_url(self.url)
        if not is_video_key(self.id):
            raise ValueError(f"id = {self.id[:80]!r}: want 1 to 64 of A-Z a-z 0-9 _ -, and no - in front")


def checked_url(url: str) -> str:
    """`url` itself, where it is a plain http or https address. Raises `BadAddress`."""
    shown = repr(url[:120])
    if len(url) > _MAX_URL:
        raise BadAddress(f"{shown}…: longer than {_MAX_URL} characters; copy the address of the page itself")
    if not all(c.isprintable() and not c.isspace() for c in url):
        raise BadAddress(f"{shown}: blanks or control characters in an address; copy it from the browser again")
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        raise BadAddress(f"{shown} is no address ({error}); copy it from the browser again") from error
    if parts.scheme.lower() not in ("http", "https") or not host:
        raise BadAddress(f"{shown} is not an address on the web; it begins with https:// and the name of a site")
    if host.startswith("-") or "\\" in url:
        raise BadAddress(f"{shown}: no site has such a name; copy the address from the browser again")
    if parts.username is not None or parts.password is not None:
        raise BadAddress(f"an address at {host} with a name or a password in it; leave out what stands before the @")
    if _SMUGGLED in url:
        raise BadAddress(f"{shown}: {_SMUGGLED} is an option, not part of an address; leave it out")
    return url


def is_video_key(text: str) -> bool:
    """Tell whether `text` is safe as the name of a file and never taken for an option."""
    return _KEY.fullmatch(text) is not None


def video_key(site_id: object, url: str) -> str:
    """Return the site's own id where it is safe as the name of a file, else one made from the address."""
    text = str(site_id or "")
    # YouTube's ids may begin with a dash.
    text = f"_{text}" if text.startswith("-") else text
    return text if is_video_key(text) else f"x{hashlib.sha256(url.encode()).hexdigest()[:16]}"
