"""What recognisers make up is refused; what preachers and Scripture really repeat is not."""

import re
import tomllib
import zlib
from importlib.resources import files

import numpy as np
import pytest

from stt_platform.speech.recognisers.base import Word
from stt_platform.speech.text_checks import (
    Repetition,
    invented_phrase,
    longest_repetition,
    silent_word_share,
    text_refusal,
)

SURE = {"avg_logprob": -0.2, "no_speech_prob": 0.01}
UNSURE = {"avg_logprob": -0.9, "no_speech_prob": 0.1}


def refusal(text, *, chars_per_s=17.0, **figures):
    """Refusal of a text that was spoken at an everyday pace, with Whisper's own compression ratio."""
    seconds = max(1.0, len(text) / chars_per_s)
    encoded = text.encode()
    figures = {"duration_s": seconds, "speech_s": 0.9 * seconds} | SURE | figures
    return text_refusal(text, compression_ratio=len(encoded) / len(zlib.compress(encoded)), **figures)


TWO_CITIES = (
    "It was the best of times, it was the worst of times, it was the age of wisdom, it was the age of foolishness, "
    "it was the epoch of belief, it was the epoch of incredulity, it was the season of light, it was the season of "
    "darkness"
)

SPOKEN = [
    "",
    "Amen.",
    "Holy, holy, holy, Lord God Almighty!",
    "Holy, holy, holy, holy, holy.",
    "Praise him, praise him, praise him, praise him!",
    "Lord, have mercy. Lord, have mercy. Lord, have mercy.",
    "He is risen. He is risen indeed. Say it with me. He is risen. He is risen indeed.",
    "Thank you. Thank you very much.",
    "I thank you, Lord, for watching over us, and for this church.",
    "You can subscribe to our newsletter at the door, and please leave a like for the choir, who sang so well today.",
    "And the LORD said unto him, I AM THAT I AM.",
    "The name of the boy was Mahershalalhashbaz.",
    TWO_CITIES,
    "O give thanks unto the Lord, for his mercy endures for ever. O give thanks unto the God of gods, for his mercy "
    "endures for ever. O give thanks to the Lord of lords, for his mercy endures for ever.",
    "Blessed are the poor in spirit. Blessed are they that mourn. Blessed are the meek. Blessed are the merciful. "
    "Blessed are the pure in heart. Blessed are the peacemakers.",
    "And God said, and it was so. And God said, and it was so. And the evening and the morning were the third day.",
]


@pytest.mark.parametrize("text", SPOKEN)
def test_what_people_really_say_is_believed(text):
    assert refusal(text) is None


def test_no_text_of_the_made_up_church_is_refused():
    sermons = tomllib.loads((files("stt_platform") / "demo" / "sermons.toml").read_text(encoding="utf-8"))["sermons"]
    texts = [text for sermon in sermons for text in sermon["text"]]
    assert len(texts) > 50
    assert [text for text in texts if refusal(text) or refusal(text, **UNSURE)] == []


@pytest.mark.parametrize(
    ("text", "figures", "reason"),
    [
        ("Thank you.", {"duration_s": 8, "speech_s": 0.1}, r"text for 0\.1 s of speech; at least 0\.2"),
        ("And so it was.", {"no_speech_prob": 0.82}, r"probability 0\.82; at most 0\.6"),
        ("And so it was.", {"silent_word_share": 0.75}, "75% of the words.*at most 50%"),
        ("Thanks for watching!", {}, "“thanks for watching”"),
        (
            "If you enjoyed this video, don't forget to subscribe to the channel for more videos.",
            {},
            "“don't forget to subscribe”",
        ),
        ("Thank you.", UNSURE, "“thank you”"),
        ("Thank you.", {"no_speech_prob": 0.5}, "“thank you”"),
        ("who can be a human, " * 5, {}, "“who can be a human” 5 times on end; at most 3"),
        ("Heather Lynn, " * 4, UNSURE, "“heather lynn” 4 times on end; at most 3"),
        ("I will not go there, and then we saw him again. " * 3, {}, "3 times on end; at most 2"),
        ("Of Peter, and of James, and of John, and of Andrew. " + "and of the mass " * 3, {}, None),
        # A loop and a response of the congregation, said three times, cannot be told apart by their text.
        ("He is risen. He is risen indeed. " * 3, {}, "the text repeats itself"),
        (
            "the tribe of Dan gave one, the tribe of Gad gave one, the tribe of Levi gave one, the tribe of Judah gave "
            "one, the tribe of Asher gave one, the tribe of Joseph gave one, the tribe of Reuben gave one",
            {},
            r"compresses 2\.\d\d times; at most 2\.4",
        ),
        (TWO_CITIES, UNSURE, "only 33% of the words.*more than 40%"),
        ("He said " + "a" * 26, {}, "26 letters, “aaaaaaaaaaaa…”; at most 25"),
        (
            "They came from the city to the river",
            {"duration_s": 0.8, "speech_s": 0.8},
            r"3\d letters a second; at most 35",
        ),
        ("a b c d e f g h i j", {"duration_s": 1.0, "speech_s": 1.0}, r"10\.0 words a second; at most 8"),
        ("In the beginning", {"duration_s": 9, "speech_s": 8}, r"1\.8 letters for each second.*at least 3"),
        ("THE WORKS OF THE LORD", {}, "in capitals"),
        ("Adios anaerosurmano, saves quanta", {"avg_logprob": -1.02}, r"-1\.02 a token; at least -1"),
    ],
)
def test_what_was_made_up_is_refused_with_value_and_limit(text, figures, reason):
    found = refusal(text, **figures)
    if reason is None:
        assert found is None
        return
    assert found is not None
    assert found.gate == "text"
    assert re.search(reason, found.reason)


def test_figures_that_are_not_given_are_not_checked():
    assert text_refusal("In the beginning was the Word.", duration_s=2.0, speech_s=1.8) is None


@pytest.mark.parametrize(("duration_s", "speech_s"), [(0.0, 0.0), (-1.0, 0.0), (1.0, 2.0), (1.0, -0.5)])
def test_impossible_durations_are_refused(duration_s, speech_s):
    with pytest.raises(ValueError, match=f"duration_s={duration_s}"):
        text_refusal("Amen.", duration_s=duration_s, speech_s=speech_s)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", Repetition("", 1)),
        ("one two three", Repetition("", 1)),
        ("no no", Repetition("no", 2)),
        ("Go. Go! GO, I say", Repetition("go", 3)),
        ("he went up and up and up and down", Repetition("up and", 3)),
        ("so a b c a b c a b c d", Repetition("a b c", 3)),
        ("a b a b a b a b a", Repetition("a b", 4)),
    ],
)
def test_longest_repetition(text, expected):
    assert longest_repetition(text) == expected


@pytest.mark.parametrize(
    ("text", "doubtful", "phrase"),
    [
        ("Subtitles by the Amara.org community", False, "subtitles by the amara org community"),
        ("Please give us a thumbs up.", False, "give … a thumbs up"),
        ("Don’t forget to subscribe!", False, "don't forget to subscribe"),
        ("Thank you.", False, None),
        ("Thank you. Thank you very much.", True, "thank you very much"),
        ("you", True, "you"),
        ("Thank you for coming to the prayer meeting.", True, None),
        ("Please subscribe to the view that we are saved by grace alone.", False, None),
    ],
)
def test_invented_phrases_make_up_nearly_the_whole_text(text, doubtful, phrase):
    assert invented_phrase(text, doubtful=doubtful) == phrase


def test_words_where_vad_heard_nobody():
    # 2 s of speech, then 2 s of silence, in frames of 32 ms.
    probabilities = np.repeat(np.array([0.9, 0.1], dtype=np.float32), 63)

    def word(start_s, end_s):
        return Word("word", round(start_s * 16_000), round(end_s * 16_000), 0.9)

    assert silent_word_share([], probabilities) is None
    assert silent_word_share([word(0.0, 0.4), word(1.8, 2.2)], probabilities) == 0.0
    # Times are uncertain: a word up to 0.3 s after the speech may belong to it.
    assert silent_word_share([word(2.2, 2.5)], probabilities) == 0.0
    assert silent_word_share([word(1.0, 1.5), word(3.0, 3.5)], probabilities) == 0.5
    assert silent_word_share([word(3.8, 4.4)], probabilities) == 1.0
