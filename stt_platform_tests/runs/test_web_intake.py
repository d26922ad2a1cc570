"""Intake from the web with the real yt-dlp, against a site on loopback."""

import datetime
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from stt_platform.cli.channel import channel
from stt_platform.speech.captions import read_captions
from stt_platform.store.intake import registrations
from stt_platform.web.client import Politeness
from stt_platform.web.download import download
from stt_platform.web.listing import ListingFailed, list_channel
from stt_platform.web.tables import read_choices, read_videos
from stt_platform.web.videos import BadAddress, Video
from stt_platform_tests.helpers.loopback_site import Site, load_plugins, serving

AT_ONCE = Politeness(request_s=0, download_s=(0, 0))
TODAY = datetime.date(2025, 6, 1)
SINCE = datetime.date(2021, 2, 1)
VTT = b"WEBVTT\n\n00:00:01.000 --> 00:00:03.000\nGrace and peace\n"
JSON3 = json.dumps(
    {
        "events": [
            {"tStartMs": 1000, "dDurationMs": 2000, "segs": [{"utf8": "grace"}, {"utf8": " and", "tOffsetMs": 300}]}
        ]
    }
).encode()


@pytest.fixture
def site(talk: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    load_plugins()
    site = Site()
    with serving(site):
        site.files |= {"/talk.wav": talk.read_bytes(), "/c.vtt": VTT, "/c.json3": JSON3}
        yield site


def page(site: Site, key: str, **more: object) -> Video:
    """Put a video on the site."""
    site.pages[f"/watch/{key}"] = {
        "title": f"Title of {key}",
        "upload_date": "20240310",
        "duration": 2700,
        "formats": [
            {"format_id": "140", "url": f"{site.address}/talk.wav", "ext": "wav", "vcodec": "none", "acodec": "pcm"}
        ],
        **more,
    }
    return Video(key, f"{site.address}/watch/{key}", f"Title of {key}")


def entry(site: Site, key: str, **more: object) -> dict[str, object]:
    """A video as a channel lists it."""
    return {"_type": "url", "id": key, "url": f"{site.address}/watch/{key}", "title": f"Title of {key}", **more}


def seconds(day: datetime.date) -> int:
    return int(datetime.datetime(day.year, day.month, day.day, tzinfo=datetime.UTC).timestamp())


def looked_at(site: Site) -> set[str]:
    return {path.removeprefix("/watch/") for path, _ in site.requests if path.startswith("/watch/")}


def test_only_open_dates_are_asked_for(site: Site) -> None:
    four_years_ago = seconds(datetime.date(2021, 6, 1))
    page(site, "edge-in", upload_date="20210201")
    page(site, "edge-out", upload_date="20210131")
    page(site, "undated", upload_date="20230405")
    page(site, "timed", upload_date=None, timestamp=seconds(datetime.date(2022, 2, 3)))
    page(site, "short", duration=59.5)
    site.pages["/channel"] = {
        "entries": [
            entry(site, "exact", upload_date="20250101", duration=1800),
            entry(site, "round", timestamp=seconds(datetime.date(2024, 6, 1)), duration=1800),
            entry(site, "edge-in", timestamp=four_years_ago, duration=1800),
            entry(site, "edge-out", timestamp=four_years_ago, duration=1800),
            entry(site, "undated"),
            entry(site, "timed"),
            entry(site, "short", upload_date="20250102"),
            entry(site, "old", timestamp=seconds(datetime.date(2020, 6, 1)), duration=1800),
            entry(site, "private"),
            entry(site, "soon", live_status="is_upcoming"),
        ]
    }
    seen: list[tuple[int, int]] = []
    videos = list_channel(
        f"{site.address}/channel",
        since=SINCE,
        today=TODAY,
        politeness=AT_ONCE,
        progress=lambda done, total: seen.append((done, total)),
    )
    assert looked_at(site) == {"edge-in", "edge-out", "undated", "timed", "short", "private"}
    assert seen == [(n, 6) for n in range(7)]
    assert {(video.id, str(video.date), video.date_is_exact) for video in videos} == {
        ("exact", "2025-01-01", True),
        ("round", "2024-06-01", False),
        ("edge-in", "2021-02-01", True),
        ("undated", "2023-04-05", True),
        ("timed", "2022-02-03", True),
        ("short", "2024-03-10", True),
        ("private", "None", False),
        ("soon", "None", False),
    }
    assert {video.id: video.duration_s for video in videos}["short"] == 59.5
    problems = {video.id: video.problem for video in videos if video.problem}
    assert set(problems) == {"private"}
    assert "404" in problems["private"]

    site.requests.clear()
    again = list_channel(
        f"{site.address}/channel",
        since=SINCE,
        today=TODAY,
        politeness=AT_ONCE,
        known={video.id: video for video in videos},
    )
    assert looked_at(site) == {"edge-out", "private"}, "what is known exactly is not asked for again"
    assert again == videos


def test_channel_of_tabs_and_hostile_entries(site: Site) -> None:
    site.pages["/channel"] = {
        "entries": [
            {"_type": "url", "ie_key": "LoopbackChannelTab", "url": f"{site.address}/channel/videos"},
            {"_type": "url", "ie_key": "LoopbackChannelTab", "url": f"{site.address}/channel/streams"},
            {"_type": "url", "ie_key": "LoopbackChannelTab", "url": f"{site.address}/channel/gone"},
        ]
    }
    dated = {"upload_date": "20240101", "duration": 1800}
    site.pages["/channel/videos"] = {"entries": [entry(site, "one", **dated)]}
    site.pages["/channel/streams"] = {
        "entries": [
            entry(site, "one", **dated),
            entry(site, "two", **dated),
            {**entry(site, "file", **dated), "url": "file:///etc/passwd"},
            {**entry(site, "search", **dated), "url": "ytsearch5:anything"},
            {**entry(site, "../../escape", **dated), "title": "--exec\nrm"},
        ]
    }
    videos = {
        video.url: video
        for video in list_channel(f"{site.address}/channel", since=SINCE, today=TODAY, politeness=AT_ONCE)
    }
    assert len(videos) == 3
    hostile = videos[f"{site.address}/watch/../../escape"]
    assert hostile.id.startswith("x")
    assert hostile.title == "--exec rm"


def test_a_site_that_refuses_is_not_asked_on(site: Site) -> None:
    site.pages["/channel"] = {"entries": [entry(site, f"v{n}") for n in range(9)]}
    videos = list_channel(f"{site.address}/channel", since=SINCE, today=TODAY, politeness=AT_ONCE)
    assert len(looked_at(site)) == 5
    assert all(video.problem for video in videos)


@pytest.mark.parametrize("url", ["file:///etc/passwd", "--exec=id", "ytsearch:x", "-o", "https://a/\n-o"])
def test_addresses_that_are_none(url: str) -> None:
    with pytest.raises(BadAddress):
        list_channel(url, since=SINCE)


def test_channel_that_is_not_there(site: Site) -> None:
    with pytest.raises(ListingFailed, match="404"):
        list_channel(f"{site.address}/channel", since=SINCE, politeness=AT_ONCE)


def test_downloads_with_the_right_captions(site: Site, talk: Path, tmp_path: Path) -> None:
    manual = {"url": f"{site.address}/c.vtt", "ext": "vtt"}
    rolling = {"url": f"{site.address}/c.json3", "ext": "json3"}
    evil = {"en/../../../evil": [manual], "live_chat": [manual]}
    videos = [
        page(site, "both", subtitles={"en-GB": [manual], **evil}, automatic_captions={"en": [manual, rolling]}),
        page(site, "auto", automatic_captions={"en": [manual], "en-orig": [manual, rolling], "es": [manual]}),
        page(site, "spanish", automatic_captions={"en": [rolling], "es-orig": [rolling], "es": [rolling]}),
        page(site, "none", subtitles=evil),
        page(site, "file", subtitles={"en": [{"url": "file:///etc/passwd", "ext": "vtt"}]}),
    ]
    found = {result.video.id: result for result in download(videos, tmp_path / "d", politeness=AT_ONCE)}
    assert [result.outcome for result in found.values()] == ["new"] * 5
    names = {key: result.captions_path and result.captions_path.name for key, result in found.items()}
    assert names == {
        "both": "both.en-GB.vtt",
        "auto": "auto.en-orig.json3",
        "spanish": None,
        "none": None,
        "file": None,
    }
    assert [found[key].details.captions_kind for key in ("both", "auto")] == ["manual", "automatic"]
    assert [caption.text for caption in read_captions(found["auto"].captions_path)] == ["grace and"]
    for result in found.values():
        assert result.audio_path.read_bytes() == talk.read_bytes()
        assert result.details.date == "2024-03-10"
    assert {path.parent for path in tmp_path.rglob("*") if path.is_file()} == {tmp_path / "d"}

    site.requests.clear()
    again = list(download(videos, tmp_path / "d", politeness=AT_ONCE))
    assert [result.outcome for result in again] == ["already here"] * 5
    assert site.requests == []


def test_interrupted_download_goes_on_where_it_stopped(site: Site, talk: Path, tmp_path: Path) -> None:
    video = page(site, "cut")
    site.cuts["/talk.wav"] = [300_000]
    (first,) = download([video], tmp_path, politeness=AT_ONCE, retries=0)
    assert first.outcome == "failed"
    assert "bytes" in first.reason
    assert [path.suffix for path in tmp_path.iterdir()] == [".part"]
    there = next(tmp_path.iterdir()).stat().st_size

    seen: list[int] = []
    (second,) = download([video], tmp_path, politeness=AT_ONCE, progress=lambda _, done, total: seen.append(done))
    assert second.outcome == "new"
    assert second.audio_path.read_bytes() == talk.read_bytes()
    assert site.ranges("/talk.wav") == [None, f"bytes={there}-"]
    assert seen[0] > there
    assert seen[-1] == talk.stat().st_size
    assert not list(tmp_path.glob("*.part"))


def test_another_format_does_not_continue_a_part(site: Site, talk: Path, tmp_path: Path) -> None:
    video = page(site, "cut")
    site.cuts["/talk.wav"] = [300_000]
    list(download([video], tmp_path, politeness=AT_ONCE, retries=0))
    site.pages["/watch/cut"]["formats"][0]["format_id"] = "../251"
    (second,) = download([video], tmp_path, politeness=AT_ONCE)
    assert second.audio_path.read_bytes() == talk.read_bytes()
    assert site.ranges("/talk.wav") == [None, None]


def test_broken_connection_is_taken_up_again_at_once(site: Site, talk: Path, tmp_path: Path) -> None:
    site.cuts["/talk.wav"] = [300_000]
    (only,) = download([page(site, "cut")], tmp_path, politeness=AT_ONCE)
    assert only.audio_path.read_bytes() == talk.read_bytes()
    assert len(site.ranges("/talk.wav")) == 2


def test_bad_videos_stop_no_other(site: Site, tmp_path: Path) -> None:
    gone = Video("gone", f"{site.address}/watch/gone", "Gone")
    lost = page(site, "lost", formats=[{"format_id": "1", "url": f"{site.address}/lost.wav", "ext": "wav"}])
    local = page(site, "local", formats=[{"format_id": "1", "url": "file:///etc/passwd", "ext": "wav"}])
    ending = page(site, "ending", formats=[{"format_id": "1", "url": f"{site.address}/talk.wav", "ext": "/../../sh"}])
    live = page(site, "live", is_live=True)
    site.pages["/channel"] = {"entries": [entry(site, "good")]}
    listed = Video("listed", f"{site.address}/channel", "A list")
    good = page(
        site,
        "good",
        title="../../x --exec %(id)s $HOME",
        subtitles={"en": [{"url": f"{site.address}/no", "ext": "vtt"}]},
    )
    videos = [gone, lost, local, ending, live, listed, good]
    found = {result.video.id: result for result in download(videos, tmp_path / "d", politeness=AT_ONCE, retries=0)}
    assert [key for key, result in found.items() if result.outcome == "failed"] == [video.id for video in videos[:-1]]
    assert all(result.reason and "\n" not in result.reason for result in found.values() if result.outcome == "failed")
    assert "404" in found["gone"].reason
    assert "live" in found["live"].reason
    assert "list" in found["listed"].reason
    assert found["good"].details.title == "../../x --exec %(id)s $HOME"
    assert "404" in found["good"].details.captions_problem
    assert {path.name.split(".")[0] for path in tmp_path.rglob("*") if path.is_file()} == {"good"}

    # Captions that failed are tried again; the sound is not.
    site.files["/no"] = VTT
    site.requests.clear()
    (again,) = download([good], tmp_path / "d", politeness=AT_ONCE)
    assert again.captions_path.read_bytes() == VTT
    assert site.ranges("/talk.wav") == []


def test_one_key_from_two_addresses(site: Site, tmp_path: Path) -> None:
    first = page(site, "same")
    list(download([first], tmp_path, politeness=AT_ONCE))
    (other,) = download([Video("same", f"{site.address}/watch/same?other", "x")], tmp_path, politeness=AT_ONCE)
    assert other.outcome == "failed"
    assert first.url in other.reason


def test_nothing_in_a_home_folder_changes_what_is_done(site: Site, talk: Path, tmp_path: Path) -> None:
    video = page(site, "plain")
    config = tmp_path / "home" / ".config" / "yt-dlp"
    plugin = config / "plugins" / "evil" / "yt_dlp_plugins" / "extractor" / "evil.py"
    plugin.parent.mkdir(parents=True)
    plugin.write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\n")
    (config / "config").write_text(f"-o {tmp_path}/elsewhere.%(ext)s\n--exec 'touch {tmp_path}/ran'\n")
    code = (
        "import sys; from pathlib import Path; from stt_platform.web.download import *\n"
        "asked = [Video('plain', sys.argv[1], 'x')]\n"
        "(r,) = download(asked, Path(sys.argv[2]), politeness=Politeness(0, (0, 0)))\n"
        "print(r.outcome, r.audio_path)"
    )
    out = subprocess.run(
        [sys.executable, "-c", code, video.url.replace("/watch/plain", "/talk.wav"), str(tmp_path / "$(id) %(title)s")],
        env={
            "PATH": os.environ["PATH"],
            "HOME": str(tmp_path / "home"),
            "PYTHONPATH": os.environ.get("PYTHONPATH", ""),
        },
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    outcome, _, path = out.strip().partition(" ")
    assert outcome == "new"
    assert Path(path).parent == tmp_path / "$(id) %(title)s"
    assert Path(path).read_bytes() == talk.read_bytes()
    assert {path.name for path in tmp_path.iterdir()} == {"home", "$(id) %(title)s"}


def test_from_channel_to_sermons(site: Site, stt_home: Path) -> None:
    captions = {"automatic_captions": {"en": [{"url": f"{site.address}/c.json3", "ext": "json3"}]}}
    page(site, "a", title="The Lamp - Ann Lee", **captions)
    page(site, "b", title="=Bible Q&A, with Bo Ray [live]", upload_date="20240317")
    site.files["/other.wav"] = site.files["/talk.wav"][:-2000]
    site.pages["/watch/b"]["formats"][0]["url"] = f"{site.address}/other.wav"
    page(site, "short", duration=20)
    site.pages["/channel"] = {"entries": [entry(site, key) for key in ("a", "b", "short")]}

    def stt_channel(*arguments: str, code: int = 0) -> str:
        result = CliRunner().invoke(channel, [*arguments], catch_exceptions=False)
        assert result.exit_code == code, result.output
        return result.output

    assert "first `stt channel list" in stt_channel("propose", code=1)
    assert "first `stt channel propose" in stt_channel("fetch", code=1)
    listed = stt_channel("list", f"{site.address}/channel", "--pause", "0")
    assert "3 recordings" in listed
    assert len(read_videos(stt_home / "channel" / "videos.csv")) == 3
    proposed = stt_channel("propose", "--hours", "1-2", "--recordings", "1-2")
    assert "2 recordings, 1.5 hours" in proposed
    sample = stt_home / "channel" / "sample.csv"
    assert {choice.video.id: (choice.take, choice.speaker) for choice in read_choices(sample)} == {
        "a": (True, "Ann Lee"),
        "b": (True, "Bo Ray"),
        "short": (False, None),
    }
    assert "b" in [choice.video.id for choice in read_choices(sample) if choice.kind == "questions"]
    assert stt_channel("propose", code=1), "a sample that was edited is not replaced without asking"

    fetched = stt_channel("fetch", "--yes", "--pause", "0")
    assert "automatic captions" in fetched
    assert "Noise:" in fetched
    sermons = registrations(stt_home)
    assert [(s.sermon, s.title, s.speaker, s.source) for s in sermons.values()] == [
        ("2024-03-10--the-lamp-ann-lee", "The Lamp - Ann Lee", "Ann Lee", f"{site.address}/watch/a"),
        (
            "2024-03-17--bible-q-a-with-bo-ray-live",
            "=Bible Q&A, with Bo Ray [live]",
            "Bo Ray",
            f"{site.address}/watch/b",
        ),
    ]
    attached = stt_home / "sermons" / "2024-03-10--the-lamp-ann-lee" / "captions" / "automatic-en.json3"
    assert attached.read_bytes() == JSON3
    assert "the same recording is here already" in stt_channel("fetch", "--yes", "--pause", "0")
