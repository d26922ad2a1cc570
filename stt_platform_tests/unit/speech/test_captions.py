"""Captions: three formats, rolling lines, and the words of a stretch of time."""

import json
from itertools import pairwise
from pathlib import Path

import pytest

from stt_platform.evaluation.wer import word_errors
from stt_platform.speech.captions import (
    Caption,
    TimedWord,
    UnreadableCaptions,
    caption_text,
    parse_captions,
    read_captions,
    read_track,
)
from stt_platform.store.captions import attach_captions

ROLLING = """WEBVTT
Kind: captions
Language: en

00:00:01.000 --> 00:00:02.990 align:start position:0%
~
holy<00:00:01.400><c> holy</c><00:00:01.800><c> holy</c>

00:00:02.990 --> 00:00:03.000 align:start position:0%
holy holy holy
~

00:00:03.000 --> 00:00:04.990 align:start position:0%
holy holy holy
holy<00:00:03.300><c> is</c><00:00:03.500><c> the</c><00:00:03.600><c> lord</c>

00:00:04.990 --> 00:00:05.000 align:start position:0%
holy is the lord
~

00:00:05.000 --> 00:00:06.990 align:start position:0%
holy is the lord
amen

00:00:06.990 --> 00:00:07.000 align:start position:0%
amen
~

00:00:07.000 --> 00:00:09.000 align:start position:0%
amen
amen

00:00:09.000 --> 00:00:12.000 align:start position:0%
amen
[Music]
""".replace("~", " ")


def texts(content: str) -> list[str]:
    return [caption.text for caption in parse_captions(content).captions]


def srt(*cues: tuple[str, str]) -> str:
    return "\n\n".join(f"{n}\n{times}\n{text}" for n, (times, text) in enumerate(cues, 1)) + "\n"


def json3(*events: dict) -> str:
    return json.dumps({"wireMagic": "pb3", "events": list(events)})


def test_rolling_lines_are_read_once_with_the_times_of_their_words() -> None:
    track = parse_captions(ROLLING)
    assert [caption.text for caption in track.captions] == ["holy holy holy", "holy is the lord", "amen", "amen"]
    assert track.skipped_cues == 0
    first, second, third, fourth = track.captions
    assert first == Caption(
        1.0, 2.99, "holy holy holy", (TimedWord("holy", 1.0), TimedWord("holy", 1.4), TimedWord("holy", 1.8))
    )
    assert [word.start_s for word in second.words] == [3.0, 3.3, 3.5, 3.6]
    assert third.words == (TimedWord("amen", 5.0),)
    assert (fourth.start_s, fourth.end_s) == (7.0, 9.0)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        pytest.param(
            srt(
                ("00:00:01,000 --> 00:00:02,990", "so let us\nread the word"),
                ("00:00:02,990 --> 00:00:03,000", "read the word"),
                ("00:00:03,000 --> 00:00:05,000", "read the word\nof the Lord"),
                ("00:00:05,000 --> 00:00:05,010", "of the Lord"),
                ("00:00:05,010 --> 00:00:06,000", "of the Lord\nthis morning"),
            ),
            ["so let us read the word", "of the Lord", "this morning"],
            id="rolling lines that were saved as SRT",
        ),
        pytest.param(
            srt(
                ("00:00:01,000 --> 00:00:02,000", "we"),
                ("00:00:02,000 --> 00:00:03,000", "we have"),
                ("00:00:03,000 --> 00:00:04,000", "we have\nwe have"),
                ("00:00:04,000 --> 00:00:05,000", "we have\na hope"),
            ),
            ["we", "have", "we have", "a hope"],
            id="a line that grows, then rolls",
        ),
        pytest.param(
            srt(
                ("00:00:01,000 --> 00:00:02,000", "Amen."),
                ("00:00:03,000 --> 00:00:04,000", "Amen."),
                ("00:00:05,000 --> 00:00:06,000", "Let us pray."),
                ("00:00:07,000 --> 00:00:08,000", "Our Father"),
                ("00:00:09,000 --> 00:00:10,000", "in heaven"),
            ),
            ["Amen.", "Amen.", "Let us pray.", "Our Father", "in heaven"],
            id="a word that is said twice stays",
        ),
    ],
)
def test_repeats(content: str, expected: list[str]) -> None:
    assert texts(content) == expected


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("Don&#39;t be &quot;afraid&quot; &amp; rest", 'Don\'t be "afraid" & rest'),
        ("<i>In</i> the <c.colorE5E5E5>beginning</c>", "In the beginning"),
        ("<v Ann Lee>In the beginning</v>", "In the beginning"),
        ("&lt;i&gt;In&lt;/i&gt; the", "In the"),
        ("{\\an8}In the beginning", "In the beginning"),
        ("a < b and c > d", "a < b and c > d"),
        ("[Music]", None),
        ("Amen [Applause] and [ __ ] amen", "Amen and amen"),
        ("[Music\nplaying] Amen", "Amen"),
        ("(upbeat music) Amen (Isaiah 53)", "Amen (Isaiah 53)"),
        ("♪ Amazing grace ♪", "Amazing grace"),
        (">> Good morning. >>> Welcome.", "Good morning. Welcome."),
        (">> PASTOR: Good morning", "Good morning"),
        ("- Who is it?\n- It is I.", "Who is it? It is I."),
        ("JOHN 3:16 says", "JOHN 3:16 says"),
        ("well-known - and loved", "well-known - and loved"),
        ("one\u200b two\u00a0three&nbsp;four", "one two three four"),
        ("ﬁnally\u2028here", "ﬁnally here"),
        ("   ", None),
    ],
)
def test_only_what_is_said(written: str, said: str | None) -> None:
    assert texts(srt(("00:00:01,000 --> 00:00:02,000", written))) == ([said] if said else [])


@pytest.mark.parametrize(
    ("times", "expected"),
    [
        ("00:00:01,599 --> 00:00:03,919", (1.599, 3.919)),
        ("0:00:01.5 --> 0:00:03.91", (1.5, 3.91)),
        ("01:02.250 --> 01:03.000 align:start position:0% line:84%", (62.25, 63.0)),
        ("100:00:00,000 --> 123:59:59,999", (360_000.0, 446_399.999)),
        ("00:00:01,000  -->  00:00:02,000  X1:100 X2:200", (1.0, 2.0)),
        ("00:00:01,000 -> 00:00:02,000", (1.0, 2.0)),
        ("00:00:01 --> 00:00:02", (1.0, 2.0)),
        ("00:00:05,000 --> 00:00:04,000", None),
        ("00:60:00,000 --> 00:61:00,000", None),
        ("00:00:xx --> 00:00:05,000", None),
        ("99999999:00:00 --> 99999999:00:01", None),
        ("٠٠:٠٠:٠١ --> ٠٠:٠٠:٠٢", None),
    ],
)
def test_times(times: str, expected: tuple[float, float] | None) -> None:
    track = parse_captions(srt((times, "first"), ("200:00:00,000 --> 200:00:01,000", "second")))
    found = [(caption.start_s, caption.end_s) for caption in track.captions]
    assert found == ([expected] if expected else []) + [(720_000.0, 720_001.0)]
    assert track.skipped_cues == (expected is None)


def test_what_is_between_the_cues_of_webvtt() -> None:
    content = (
        "WEBVTT - a title\nX-TIMESTAMP-MAP=LOCAL:00:00:00.000,MPEGTS:0\n\nSTYLE\n::cue(c) { color: red; }\n\n"
        "NOTE\nnot said\n\nintro\n00:01.000 --> 00:02.000\nsaid\n00:03.000 --> 00:04.000\nwithout an empty line\n\n"
        "2\n00:05.000 --> 00:06.000\n7\n"
    )
    assert texts(content) == ["said", "without an empty line", "7"]
    assert parse_captions(content).skipped_cues == 0


def test_srt_that_people_have_edited() -> None:
    content = (
        "1\n00:00:05,000 --> 00:00:06,000\nsecond\n \n2\n00:00:01,000 --> 00:00:09,000\nfirst\n3\n"
        "00:00:07,000 --> 00:00:08,000\nthird\n\na stray line\nand one more\n\n4\n00:00:10,000 --> 00:00:11,000\n144 thousand\n12"
    )
    track = parse_captions(content)
    assert [caption.text for caption in track.captions] == ["first", "second", "third", "144 thousand 12"]
    assert track.skipped_cues == 1


def test_line_ends_and_marks_of_encodings(tmp_path: Path) -> None:
    content = srt(("00:00:01,000 --> 00:00:02,000", "gracia\ny paz señor"))
    expected = [Caption(1.0, 2.0, "gracia y paz señor")]
    for data in (
        content.encode(),
        content.replace("\n", "\r\n").encode("utf-8-sig"),
        content.replace("\n", "\r").encode(),
        content.encode("utf-16"),
    ):
        (tmp_path / "a.srt").write_bytes(data)
        assert read_captions(tmp_path / "a.srt") == expected


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ("señor".encode("latin-1"), "not UTF-8 at byte 2; save it as UTF-8"),
        (b"<transcript><text/></transcript>", "neither WebVTT, SRT nor json3"),
        (b'{"events": 3}', "not YouTube's json3"),
        (b'{"a": ' + b"[" * 100_000, "not YouTube's json3"),
        (b"{broken", "download the captions again"),
    ],
)
def test_unreadable_files_are_named(data: bytes, message: str, tmp_path: Path) -> None:
    path = tmp_path / "bad.srt"
    path.write_bytes(data)
    with pytest.raises(UnreadableCaptions, match=r"^bad\.srt: ") as error:
        read_captions(path)
    assert message in str(error.value)


@pytest.mark.parametrize("content", ["", "WEBVTT", "WEBVTT\n\n", '{"events": []}'])
def test_no_captions(content: str) -> None:
    assert texts(content) == []


def test_json3() -> None:
    content = json3(
        {"tStartMs": 0, "dDurationMs": 9000, "id": 1, "wpWinPosId": 1},
        {
            "tStartMs": 1000,
            "dDurationMs": 5000,
            "wWinId": 1,
            "segs": [{"utf8": "grace"}, {"utf8": " and", "tOffsetMs": 400}],
        },
        {"tStartMs": 3000, "dDurationMs": 10, "wWinId": 1, "aAppend": 1, "segs": [{"utf8": "\n"}]},
        {
            "tStartMs": 3000,
            "dDurationMs": 4000,
            "wWinId": 1,
            "segs": [{"utf8": "peace"}, {"utf8": " [Music]", "tOffsetMs": 900}],
        },
        {"tStartMs": "x", "segs": [{"utf8": "bad"}]},
        {"tStartMs": 1, "segs": [{"utf8": 5}]},
        {"tStartMs": 1, "segs": {"utf8": "bad"}},
        "bad",
    )
    track = parse_captions(content)
    assert track.captions == (
        Caption(1.0, 3.0, "grace and", (TimedWord("grace", 1.0), TimedWord("and", 1.4))),
        Caption(3.0, 7.0, "peace", (TimedWord("peace", 3.0),)),
    )
    assert track.skipped_cues == 4


def test_captions_of_two_people_stay_as_they_are() -> None:
    content = json3(
        {"tStartMs": 0, "dDurationMs": 4000, "segs": [{"utf8": "Who is\nthere?"}]},
        {"tStartMs": 2000, "dDurationMs": 4000, "segs": [{"utf8": "It is I."}]},
    )
    assert parse_captions(content).captions == (Caption(0.0, 4.0, "Who is there?"), Caption(2.0, 6.0, "It is I."))


def test_times_of_words_never_go_back() -> None:
    content = "WEBVTT\n\n00:01.000 --> 00:03.000\na<00:02.500> b<00:01.500> c<00:09.000> d\n"
    (caption,) = parse_captions(content).captions
    assert [word.start_s for word in caption.words] == [1.0, 2.5, 2.5, 3.0]


@pytest.mark.parametrize(
    ("start_s", "end_s", "expected"),
    [
        (0.0, 1.0, ""),
        (1.0, 3.0, "holy holy holy"),
        (1.5, 3.4, "holy holy holy"),
        (3.4, 3.6, "is the"),
        (0.0, 99.0, "holy holy holy holy is the lord amen amen"),
    ],
)
def test_words_of_a_stretch_by_their_own_times(start_s: float, end_s: float, expected: str) -> None:
    assert caption_text(parse_captions(ROLLING).captions, start_s, end_s) == expected


@pytest.mark.parametrize(
    ("start_s", "end_s", "expected"),
    [
        (0.0, 10.0, "one two three four"),
        (10.0, 12.0, "one two"),
        (12.0, 14.0, "three four"),
        (10.4, 10.6, "one"),
        (14.0, 20.0, ""),
    ],
)
def test_words_of_a_stretch_spread_over_their_caption(start_s: float, end_s: float, expected: str) -> None:
    captions = [Caption(0.0, 2.0, "one two three four"), Caption(10.0, 14.0, "one two three four")]
    captions = captions[:1] if start_s == 0.0 else captions[1:]
    assert caption_text(captions, start_s, end_s) == expected


def test_words_are_not_spread_over_a_caption_that_stays_on_the_screen() -> None:
    assert caption_text([Caption(0.0, 60.0, "Let us pray.")], 0.0, 3.0) == "Let us pray."


def test_stretches_that_join_take_every_word_once(test_data: Path) -> None:
    for name in ("videogrep_manifesto.auto.en.vtt", "videogrep_manifesto.srt", "webvttpy_youtube_dl.vtt"):
        captions = read_captions(test_data / "captions" / name)
        whole = " ".join(caption.text for caption in captions)
        for step_s in (0.37, 4.0, 29.9):
            edges = [step_s * n for n in range(int(400 / step_s))]
            pieces = [caption_text(captions, a, b) for a, b in pairwise(edges)]
            assert " ".join(piece for piece in pieces if piece) == whole


def test_real_rolling_captions_equal_the_clean_ones(test_data: Path) -> None:
    rolling = read_track(test_data / "captions" / "videogrep_manifesto.auto.en.vtt")
    clean = read_track(test_data / "captions" / "videogrep_manifesto.srt")
    assert rolling.skipped_cues == clean.skipped_cues == 0
    assert [caption.text for caption in rolling.captions] == [caption.text for caption in clean.captions]
    pairs = [(" ".join(c.text for c in clean.captions), " ".join(c.text for c in rolling.captions))]
    assert word_errors(pairs).wer == 0.0
    assert all(len(caption.words) == len(caption.text.split()) for caption in rolling.captions)
    for ours, theirs in zip(rolling.captions, clean.captions, strict=True):
        assert ours.start_s == pytest.approx(theirs.start_s, abs=0.02)


def test_captions_are_kept_with_their_sermon(tmp_path: Path) -> None:
    source = tmp_path / "../x $(id) [Ünï].VTT".replace("/", "_")
    source.write_text(ROLLING)
    target = attach_captions(tmp_path / "home", "2024-03-10--the-lamp", source)
    assert target == tmp_path / "home/sermons/2024-03-10--the-lamp/captions/x-id-uni.vtt"
    assert target.read_text() == ROLLING
    source.write_text("WEBVTT\n")
    assert attach_captions(tmp_path / "home", "2024-03-10--the-lamp", source) == target
    assert target.read_text() == "WEBVTT\n"
    named = attach_captions(tmp_path / "home", "2024-03-10--the-lamp", source, name="../../automatic-en")
    assert named.name == "automatic-en.vtt"
    with pytest.raises(ValueError, match="no sermon key"):
        attach_captions(tmp_path / "home", "../../etc", source)
    with pytest.raises(ValueError, match=r"\.json3, \.srt, \.vtt"):
        attach_captions(tmp_path / "home", "2024-03-10--the-lamp", source.rename(tmp_path / "x.exe"))
