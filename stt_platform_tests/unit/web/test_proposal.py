"""The sample that is proposed, the list that a person edits, and the addresses that are refused."""

import datetime
import random
from dataclasses import replace
from pathlib import Path

import pytest

from stt_platform.web.download import _choose_captions
from stt_platform.web.noise import sample_advice
from stt_platform.web.proposal import Choice, propose, summary
from stt_platform.web.tables import BadTable, read_choices, read_videos, write_choices, write_videos
from stt_platform.web.titles import kind_of, speakers_of
from stt_platform.web.videos import BadAddress, Video, checked_url, video_key

TODAY = datetime.date(2024, 6, 1)
TITLES = (
    "The Lamp and the Oil - Ann Lee",
    "Behold the Man | John Smith",
    "Gospel Meeting - Mr. Peter Ray",
    "Romans 8 (Bro. David Vance)",
    "Sunday Morning",
)


def video(n: int, *, title: str = "", minutes: float | None = 45, days: int | None = None, **more: object) -> Video:
    days = n * 9 if days is None else days
    return Video(
        f"id{n}",
        f"https://example.org/{n}",
        title or TITLES[n % len(TITLES)],
        TODAY - datetime.timedelta(days=days),
        None if minutes is None else minutes * 60,
        **more,
    )


def taken(choices: list[Choice]) -> list[Choice]:
    return [choice for choice in choices if choice.take]


def hours(choices: list[Choice]) -> float:
    return sum(choice.video.duration_s or 0 for choice in choices) / 3600


@pytest.mark.parametrize(
    ("minutes", "count", "total_h"),
    [
        (10, 20, 20 / 6),
        (30, 20, 10.0),
        (45, 15, 11.25),
        (60, 15, 15.0),
        (90, 10, 15.0),
        (120, 10, 20.0),
        (170, 7, 19.8),
    ],
)
def test_a_sample_is_within_both_ranges_where_it_can_be(minutes: float, count: int, total_h: float) -> None:
    chosen = taken(propose([video(n, minutes=minutes) for n in range(150)], today=TODAY))
    assert (len(chosen), round(hours(chosen), 1)) == (count, pytest.approx(total_h, abs=0.06))


def test_a_sample_of_mixed_lengths_is_within_both_ranges() -> None:
    for seed in range(20):
        lengths = random.Random(seed)
        videos = [video(n, minutes=lengths.choice([6, 25, 45, 75, 110, 170])) for n in range(150)]
        chosen = taken(propose(videos, today=TODAY, seed=seed))
        assert 10 <= len(chosen) <= 20
        assert 10 <= hours(chosen) <= 20


def test_a_sample_is_mostly_recent_with_older_ones_and_all_speakers() -> None:
    videos = [video(n) for n in range(150)]
    videos += [video(900, title="Hymn Sing", days=300), video(901, title="Bible Q&A", days=1000)]
    choices = propose(videos, today=TODAY)
    assert len(choices) == len(videos)
    assert [choice.video.date for choice in choices] == sorted((v.date for v in videos), reverse=True)
    chosen = taken(choices)
    recent = [choice for choice in chosen if choice.video.date >= datetime.date(2022, 6, 1)]
    assert 0.6 <= len(recent) / len(chosen) <= 0.9
    assert {choice.speaker for choice in chosen} >= {"Ann Lee", "John Smith", "Peter Ray", "David Vance"}
    reasons = {choice.video.id: choice.reason for choice in chosen}
    assert reasons["id900"] == "songs, by its title"
    assert reasons["id901"] == "questions and answers, by its title; older"
    assert {choice.reason for choice in choices if not choice.take} == {"not needed: the sample is full without it"}
    (first, *more) = summary(choices, today=TODAY)
    assert f"{len(recent)} of the last 2 years" in first
    assert more == []


def test_the_same_videos_give_the_same_sample_in_any_order() -> None:
    videos = [video(n) for n in range(150)]
    shuffled = random.Random(1).sample(videos, len(videos))
    assert propose(videos, today=TODAY) == propose(shuffled + videos[:3], today=TODAY)
    assert propose(videos, today=TODAY) != propose(videos, today=TODAY, seed=43)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"duration_s": 299.0}, "left out: 5 min is under 5 min"),
        ({"duration_s": 60.0}, "left out: 1 min is under 5 min"),
        ({"duration_s": 12000.0}, "left out: 3.3 h is over 3.0 h"),
        ({"duration_s": None}, "left out: its length is not known"),
        ({"live_status": "is_live"}, "left out: it is live now; list again when it is over"),
        ({"live_status": "is_upcoming", "duration_s": None}, "left out: it has not happened yet"),
        ({"problem": "Private video"}, "left out: Private video"),
        ({"live_status": "was_live"}, "recent, Ann Lee"),
        ({"date": None}, "older, for variety, Ann Lee"),
    ],
)
def test_what_is_left_out_has_its_reason(changes: dict, reason: str) -> None:
    (choice,) = propose([replace(video(0), **changes)], today=TODAY)
    assert choice.reason == reason
    assert choice.take is not reason.startswith("left out")


def test_a_sample_that_falls_short_says_so() -> None:
    lines = summary(propose([video(4), video(9)], today=TODAY), today=TODAY)
    assert lines == [
        "2 recordings, 1.5 hours: 2 of the last 2 years, 0 older; 0 speakers by their titles; 0 with songs, "
        "0 with questions.",
        "That is less than 10 hours or 10 recordings: take more, or list from an earlier day.",
        "None is older: take a few older ones for variety.",
        "None has songs by its title: take one if you know of any.",
        "None has questions and answers by its title: take one if you know of any.",
        "The titles name fewer than two speakers: take several if you know who speaks.",
    ]
    assert propose([], today=TODAY) == []
    with pytest.raises(ValueError, match="hours"):
        propose([], today=TODAY, hours=(20, 10))


@pytest.mark.parametrize(
    ("title", "kind"),
    [
        ("Hymn Sing 2022", "songs"),
        ("Christmas Carols", "songs"),
        ("An Evening of Praise and Worship", "songs"),
        ("Bible Q&A with Ann", "questions"),
        ("Q and A night", "questions"),
        ("Your Questions Answered", "questions"),
        ("Song of Solomon 2", "sermon"),
        ("The Song of Moses", "sermon"),
        ("Questions Jesus Asked", "sermon"),
        ("Sunday Morning", "sermon"),
    ],
)
def test_kind_of_title(title: str, kind: str) -> None:
    assert kind_of(title) == kind


@pytest.mark.parametrize(
    ("title", "speaker"),
    [
        ("The Lamp and the Oil - Ann Lee", "Ann Lee"),
        ("Amazing Grace | John Smith", "John Smith"),
        ("Gospel Meeting - Mr. Peter McKay", "Peter McKay"),
        ("Ministry: Romans 8 (Bro. Vance)", "Vance"),
        ("1 Peter 1 by J. R. Smith", "J. R. Smith"),
        ("Bible Q&A with Mark O'Brien", "Mark O'Brien"),
        ("John 3:16 – David Vance Jr.", "David Vance Jr"),
        ("Ludwig van der Berg - Behold", "Ludwig van der Berg"),
        ("Sunday Gospel Meeting", None),
        ("The Love of God", None),
        ("Stark Road Gospel Hall - Sunday Morning", None),
        ("--exec rm -rf /", None),
        ("", None),
    ],
)
def test_speaker_of_title(title: str, speaker: str | None) -> None:
    assert speakers_of([title]).get(title) == speaker


def test_the_name_that_other_titles_have_is_the_speaker() -> None:
    titles = ["Bo Ray - Blessed Assurance", "Bo Ray - Precious Memories", "Bo Ray | Rock Solid"]
    assert set(speakers_of(titles).values()) == {"Bo Ray"}


def test_choices_survive_the_spreadsheet(tmp_path: Path) -> None:
    path = tmp_path / "sample.csv"
    hostile = ["=cmd|' /C calc'!A1", "+1", "-o", "@x", 'a, "b"\n c; [d]', "'=quoted", "Ünï 🎵", "x" * 300]
    choices = propose([video(n, title=title.replace("\n", " ")) for n, title in enumerate(hostile)], today=TODAY)
    write_choices(path, choices)
    assert not any(cell.startswith(("=", "+", "-", "@")) for cell in path.read_text("utf-8-sig").split(","))
    read = read_choices(path)
    assert [(c.take, c.kind, c.speaker, c.reason) for c in read] == [
        (c.take, c.kind, c.speaker, c.reason) for c in choices
    ]
    for before, after in zip(choices, read, strict=True):
        assert after.video == replace(before.video, title=" ".join(before.video.title.split()))


def test_videos_survive_the_spreadsheet(tmp_path: Path) -> None:
    videos = [
        video(1, live_status="was_live", date_is_exact=False),
        replace(video(2, minutes=None), date=None, problem="Private video"),
    ]
    write_videos(tmp_path / "videos.csv", videos)
    assert read_videos(tmp_path / "videos.csv") == videos


def test_a_person_may_change_add_and_leave_out(tmp_path: Path) -> None:
    path = tmp_path / "sample.csv"
    path.write_bytes(
        b"url;Take;minutes;date\r\nhttps://example.org/a;YES;45,5;10.03.2024\r\n;;;\r\nhttps://example.org/b;n;;\r\n"
    )
    first, second = read_choices(path)
    assert (first.take, second.take) == (True, False)
    assert first.video.duration_s == 45.5 * 60
    assert first.video.date is None
    assert first.video.id == video_key("", "https://example.org/a")
    assert first.video.title == "https://example.org/a"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("title,url\na,https://a.org/", "line 1: there is no column take"),
        ("take,url\nyes,https://a.org/\nmaybe,https://b.org/", "line 3: take = 'maybe'; write yes or no"),
        ("take,url\nyes,file:///etc/passwd", "line 2: 'file:///etc/passwd' is not an address on the web"),
        ("take,url\nyes,--exec=id", "line 2: '--exec=id' is not an address on the web"),
        ("take,url\nyes,https://a.org/\nno,https://a.org/", "line 3: https://a.org/ is there already"),
        ("take,url,minutes\nyes,https://a.org/,long", "line 2: minutes = 'long' is no length"),
        ("take,url,minutes\nyes,https://a.org/,nan", "line 2: minutes = 'nan' is no length"),
        ('take,url\nyes,"https://a.org/', "line 2: unexpected end of data; save it as CSV again"),
        ("take,url\nyes,https://a.org/,x", "line 2: more cells than columns"),
    ],
)
def test_a_bad_list_names_its_line(content: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "sample.csv"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(BadTable) as error:
        read_choices(path)
    assert str(error.value).startswith(f"{path}, {message}")


@pytest.mark.parametrize(
    "url",
    [
        "https://www.youtube.com/c/StarkRoadGospelHall/videos",
        "http://127.0.0.1:8080/x?y=-o#z",
        "HTTPS://example.org",
        "https://example.org/watch?v=-o&t=--exec",
        "https://пример.рф/",
        "http://[::1]:80/",
    ],
)
def test_addresses(url: str) -> None:
    assert checked_url(url) == url


@pytest.mark.parametrize(
    "url",
    [
        "",
        "--exec=id",
        "-o",
        "file:///etc/passwd",
        "ytsearch10:hymns",
        "ftp://example.org/x",
        "javascript:alert(1)",
        "//example.org/x",
        "https:///x",
        "https://-o/x",
        "https://example.org/\n-o",
        " https://example.org/",
        "https://example.org/a b",
        "https://example.org/\x00",
        "https://example.org/\u202egpj",
        "https://user:secret@example.org/",
        "https://example.org\\@evil.org/",
        "https://example.org:99999/",
        "https://[::1/",
        "https://example.org/#__youtubedl_smuggle=%7B%7D",
        "https://example.org/" + "a" * 5000,
        "../../x",
    ],
)
def test_addresses_that_are_refused(url: str) -> None:
    with pytest.raises(BadAddress) as error:
        checked_url(url)
    assert "secret" not in str(error.value)
    assert len(str(error.value)) < 400
    with pytest.raises(BadAddress):
        Video("id", url, "title")


@pytest.mark.parametrize(
    ("site_id", "key"),
    [
        ("dQw4w9WgXcQ", "dQw4w9WgXcQ"),
        ("-Qw4w9WgXcQ", "_-Qw4w9WgXcQ"),
        ("../../etc/passwd", None),
        ("a.b", None),
        ("", None),
        (None, None),
        ("a" * 65, None),
        ("a\n", None),
        ("é", None),
    ],
)
def test_keys(site_id: str | None, key: str | None) -> None:
    found = video_key(site_id, "https://example.org/1")
    assert found == (key or video_key("", "https://example.org/1"))
    Video(found, "https://example.org/1", "title")


@pytest.mark.parametrize("key", ["", "-o", "--exec", "../x", "a/b", "a.b", ".", "a\n", "a" * 65, "é"])
def test_ids_that_are_refused(key: str) -> None:
    with pytest.raises(ValueError, match="id = "):
        Video(key, "https://example.org/", "title")


@pytest.mark.parametrize(
    ("snr_db", "advice"),
    [
        ([30, 30, 19, 12, 25, 26], "2 of 6 are noisy (under 20 dB): good"),
        ([30, 30], "none of 2 is noisy (under 20 dB): add two or three, e.g. older ones"),
        ([30, 10, 30], "1 of 3 is noisy (under 20 dB): add one or two, e.g. older ones"),
        ([10, 10, 30], "2 of 3 are noisy (under 20 dB): more than half; add some that are clean"),
        ([30, 10, 11, float("nan")], "2 of 4 are noisy (under 20 dB); 1 could not be measured: good"),
        ([], "nothing to listen to yet"),
    ],
)
def test_advice(snr_db: list[float], advice: str) -> None:
    assert sample_advice(snr_db) == advice


def source(ending: str) -> dict[str, str]:
    return {"ext": ending, "url": f"https://example.org/c.{ending}"}


@pytest.mark.parametrize(
    ("subtitles", "automatic", "expected"),
    [
        ({"en": ["json3", "vtt"]}, {"en": ["json3"]}, ("manual", "en", "vtt")),
        ({"en-GB": ["srt"], "fr": ["vtt"]}, {}, ("manual", "en-GB", "srt")),
        ({"fr": ["vtt"]}, {"en": ["vtt", "json3"]}, ("automatic", "en", "json3")),
        ({}, {"en": ["vtt"], "en-orig": ["vtt"]}, ("automatic", "en-orig", "vtt")),
        ({}, {"en": ["vtt"], "es-orig": ["vtt"]}, None),
        ({"en/../x": ["vtt"], "enm": ["vtt"], "en": ["ttml"]}, {}, None),
        (None, None, None),
    ],
)
def test_choice_of_captions(subtitles: dict | None, automatic: dict | None, expected: tuple | None) -> None:
    def page(captions: dict | None) -> dict | None:
        return captions and {name: [source(ending) for ending in endings] for name, endings in captions.items()}

    found = _choose_captions({"subtitles": page(subtitles), "automatic_captions": page(automatic)}, "en")
    assert (found and found[:3]) == expected
