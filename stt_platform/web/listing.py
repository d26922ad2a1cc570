"""What a channel holds since a date: the list first, then a look only at videos whose date it leaves open."""

import datetime
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from stt_platform.errors import PlatformError
from stt_platform.store.names import parse_date, printable
from stt_platform.web.client import Log, Politeness, asked, open_client
from stt_platform.web.videos import BadAddress, Video, checked_url, video_key

_LIVE_STATUSES = frozenset(["is_live", "is_upcoming", "post_live", "was_live", "not_live"])
_MAX_FAILURES_IN_A_ROW = 5
_DEEPEST_LIST = 2


class ListingFailed(PlatformError):
    """A channel that cannot be listed: names it, the reason and the remedy."""


def list_channel(
    url: str,
    *,
    since: datetime.date,
    known: Mapping[str, Video] | None = None,
    today: datetime.date | None = None,
    politeness: Politeness | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> list[Video]:
    """List the videos of a channel, a list or a single page that were published on `since` or later, newest first.

    The list of a channel is fetched as a whole; it rounds dates ("3 years ago") or has none. Only a video that may
    be from before `since`, or has no date or length, is then asked for by itself. What cannot be learned stays in
    the result with its `problem`.

    Args:
        url: an http or https address.
        since: the first day that counts.
        known: videos by id from an earlier listing; those with an exact date are not asked for again.
        today: for rounded dates; default: today in UTC.
        politeness: how long to wait between requests.
        progress: called with how many of the videos that need a look have had it, and how many need it.

    Raises:
        BadAddress: the URL cannot be used.
        ListingFailed: nothing can be listed there.
    """
    checked_url(url)
    today = today or datetime.datetime.now(datetime.UTC).date()
    politeness = politeness or Politeness()
    options = {"ignore_no_formats_error": True, "extractor_args": {"youtubetab": {"approximate_date": [""]}}}
    with open_client(options, politeness=politeness, log=Log()) as client:
        flat = {video.id: video for entry in _entries(client, url) if (video := _video(entry))}
        videos = {key: _with_known(video, known or {}) for key, video in flat.items()}
        open_questions = [video for video in videos.values() if _needs_a_look(video, since, today)]
        failures = 0
        for done, video in enumerate(open_questions):
            if progress:
                progress(done, len(open_questions))
            if failures >= _MAX_FAILURES_IN_A_ROW:
                videos[video.id] = replace(video, problem="not asked for: the site refused the ones before it")
                continue
            videos[video.id] = _looked_at(client, video)
            failures = failures + 1 if videos[video.id].problem else 0
        if progress and open_questions:
            progress(len(open_questions), len(open_questions))
    wanted = [video for video in videos.values() if video.date is None or video.date >= since]
    return sorted(wanted, key=lambda video: (video.date or datetime.date.min, video.id), reverse=True)


def _entries(client: Any, url: str, depth: int = 0) -> Iterator[Mapping[str, Any]]:
    """Yield the videos behind `url`; a channel's front page is a list of lists."""
    info, reason = asked(lambda: client.extract_info(url, download=False))
    if info is None:
        if depth:
            return
        raise ListingFailed(f"{url} cannot be listed: {reason}. Open it in a browser; is it a channel or a list?")
    if "entries" not in info:
        yield info
        return
    for entry in _flattened(info["entries"]):
        key = str(entry.get("ie_key") or "")
        if key.endswith(("Tab", "Playlist")):
            if depth < _DEEPEST_LIST and _is_address(entry.get("url")):
                yield from _entries(client, entry["url"], depth + 1)
        else:
            yield entry


def _flattened(entries: Iterable[Any]) -> Iterator[Mapping[str, Any]]:
    for entry in entries:
        if isinstance(entry, Mapping):
            if entry.get("entries") is not None:
                yield from _flattened(entry["entries"])
            else:
                yield entry


def _is_address(url: object) -> bool:
    try:
        return isinstance(url, str) and checked_url(url) == url
    except BadAddress:
        return False


def _video(entry: Mapping[str, Any]) -> Video | None:
    """Return a video from what a list says of it; None where it has no address that can be used."""
    url = next((entry[n] for n in ("webpage_url", "original_url", "url") if _is_address(entry.get(n))), None)
    if url is None:
        return None
    date, is_exact = _date(entry)
    duration_s, live_status = entry.get("duration"), entry.get("live_status")
    key = video_key(entry.get("id"), url)
    return Video(
        id=key,
        url=url,
        title=printable(str(entry.get("title") or key))[:300],
        date=date,
        duration_s=float(duration_s) if isinstance(duration_s, int | float) and 0 < duration_s < 1e6 else None,
        live_status=live_status if live_status in _LIVE_STATUSES else None,
        date_is_exact=is_exact,
    )


def _date(entry: Mapping[str, Any]) -> tuple[datetime.date | None, bool]:
    exact = parse_date(str(entry.get("upload_date") or ""))
    if exact:
        return datetime.date.fromisoformat(exact), True
    timestamp = entry.get("timestamp")
    # A list has "3 years ago", counted back from this second.
    if isinstance(timestamp, int | float) and 0 < timestamp < 1e11:
        return datetime.datetime.fromtimestamp(timestamp, tz=datetime.UTC).date(), False
    return None, False


def _oldest_day(video: Video, today: datetime.date) -> datetime.date | None:
    """Return the first day that a rounded date can mean: "3 years ago" is said until the fourth year is full."""
    if video.date is None or video.date_is_exact:
        return video.date
    age_days = (today - video.date).days
    rounded_days = 367 if age_days >= 360 else 32 if age_days >= 28 else 8 if age_days >= 7 else 2
    return video.date - datetime.timedelta(days=rounded_days)


def _needs_a_look(video: Video, since: datetime.date, today: datetime.date) -> bool:
    oldest = _oldest_day(video, today)
    if video.live_status in ("is_live", "is_upcoming"):
        return False
    if video.date is None or oldest is None:
        return True
    return video.date >= since and (oldest < since or video.duration_s is None)


def _with_known(video: Video, known: Mapping[str, Video]) -> Video:
    before = known.get(video.id)
    if before is None or before.url != video.url or before.date is None or not before.date_is_exact:
        return video
    return replace(video, date=before.date, date_is_exact=True, duration_s=before.duration_s or video.duration_s)


def _looked_at(client: Any, video: Video) -> Video:
    info, reason = asked(lambda: client.extract_info(video.url, download=False))
    if info is None or "entries" in info:
        return replace(video, problem=reason or "it is a list, not a recording")
    date, is_exact = _date(info)
    found = _video({**info, "webpage_url": video.url}) or video
    return replace(found, id=video.id, date=date or video.date, date_is_exact=is_exact and date is not None)
