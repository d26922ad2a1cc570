"""Whether a transcript is what was said, judged by the text alone: signs that a recogniser made it up.

Whisper repeats itself, or writes the end of a video, where it hears nothing it knows (Radford et al. 2022, section
4.5; Barański et al. 2025, "Investigation of Whisper ASR Hallucinations Induced by Non-Speech Audio"). A preacher
repeats himself too: of passages of the King James Bible as long as a chunk, none of 12 or 30 words fails, and of 75
words one in 200, from genealogies and lists of offerings.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from stt_platform.audio import SAMPLE_RATE_HZ
from stt_platform.audio.gates import Refusal
from stt_platform.audio.vad import FRAME_SAMPLES
from stt_platform.speech.recognisers.base import Word
from stt_platform.speech.recognisers.faster_whisper import MAX_COMPRESSION_RATIO, MAX_NO_SPEECH_PROB, MIN_AVG_LOGPROB

_PHRASES = Path(__file__).with_name("invented_phrases.toml")

# A recogniser is in doubt below the first or above the second. Of 217 English chunks of many voices, with noise
# at 5 dB or reverberation on some, tiny.en had none below -0.58 or above 0.30.
DOUBTFUL_LOGPROB = -0.6
DOUBTFUL_NO_SPEECH = 0.4

_NEARLY_ALL = 0.75
_LONGEST_GAP_WORDS = 4
_LONGEST_PHRASE_WORDS = 50
# Word times are uncertain by some tenths of a second, and so is the beginning of speech.
_TIME_TOLERANCE_S = 0.3


@dataclass(frozen=True)
class Repetition:
    """The longest passage that says the same words again and again, without others between."""

    phrase: str
    times: int


def text_refusal(
    text: str,
    *,
    duration_s: float,
    speech_s: float,
    compression_ratio: float | None = None,
    avg_logprob: float | None = None,
    no_speech_prob: float | None = None,
    silent_word_share: float | None = None,
    min_speech_s: float = 0.2,
    max_no_speech_prob: float = MAX_NO_SPEECH_PROB,
    min_avg_logprob: float = MIN_AVG_LOGPROB,
    max_compression_ratio: float = MAX_COMPRESSION_RATIO,
    min_unique_share: float = 0.4,
    unique_share_words: int = 20,
    max_chars_per_s: float = 35.0,
    max_words_per_s: float = 8.0,
    min_chars_per_s: float = 3.0,
    max_word_letters: int = 25,
    max_silent_word_share: float = 0.5,
) -> Refusal | None:
    """The first check that a transcript fails, or None.

    An empty text claims nothing and fails nothing. Checks of figures that are not given are left out.

    Args:
        duration_s: length of the chunk.
        speech_s: how much of it is speech by VAD.
        compression_ratio, avg_logprob, no_speech_prob: the recogniser's own figures, see `ChunkTranscript`.
        silent_word_share: see `silent_word_share`.
        min_unique_share: share of different words in a text of `unique_share_words` or more; with less, the text
            fails if the recogniser was in doubt as well, because some good prose has less.
        min_chars_per_s: over the speech, where there are 3 s of it; `max_chars_per_s` and `max_words_per_s` are
            over the chunk.

    Raises:
        ValueError: a duration that is not positive, or more speech than sound.
    """
    if duration_s <= 0 or not 0 <= speech_s <= duration_s + 1e-3:
        raise ValueError(f"duration_s={duration_s}, speech_s={speech_s}: 0 <= speech_s <= duration_s, and not 0 s.")
    words = _words(text)
    if not words:
        return None
    doubtful = _above(no_speech_prob, DOUBTFUL_NO_SPEECH) or _above(DOUBTFUL_LOGPROB, avg_logprob)
    letters = sum(map(len, words))

    if speech_s < min_speech_s:
        return _refusal("text for {:.2g} s of speech; at least {:g} s", speech_s, min_speech_s)
    if _above(no_speech_prob, max_no_speech_prob):
        return _refusal("nobody speaks with probability {:.2f}; at most {:g}", no_speech_prob, max_no_speech_prob)
    if _above(silent_word_share, max_silent_word_share):
        return _refusal(
            "{:.0%} of the words are where nobody speaks; at most {:.0%}",
            silent_word_share,
            max_silent_word_share,
        )
    if (phrase := invented_phrase(text, doubtful=doubtful)) is not None:
        return _refusal("“{}” is what recognisers write where they hear nothing they know", phrase)
    repetition = longest_repetition(text)
    if (limit := _loop_limit(repetition, doubtful)) is not None:
        return _refusal("“{}” {} times on end; at most {}", repetition.phrase, repetition.times, limit)
    if _above(compression_ratio, max_compression_ratio):
        return _refusal(
            "the text repeats itself: it compresses {:.2f} times; at most {:g}",
            compression_ratio,
            max_compression_ratio,
        )
    unique_share = len(set(words)) / len(words)
    if doubtful and len(words) >= unique_share_words and unique_share <= min_unique_share:
        return _refusal(
            "only {:.0%} of the words are different ones; more than {:.0%}, where the recogniser is in doubt",
            unique_share,
            min_unique_share,
        )
    longest = max(words, key=len)
    if len(longest) > max_word_letters:
        return _refusal("a word of {} letters, “{}…”; at most {}", len(longest), longest[:12], max_word_letters)
    if letters / duration_s > max_chars_per_s:
        return _refusal("{:.0f} letters a second; at most {:g}", letters / duration_s, max_chars_per_s)
    if len(words) / duration_s > max_words_per_s:
        return _refusal("{:.1f} words a second; at most {:g}", len(words) / duration_s, max_words_per_s)
    if speech_s >= 3.0 and letters / speech_s < min_chars_per_s:
        return _refusal("{:.1f} letters for each second of speech; at least {:g}", letters / speech_s, min_chars_per_s)
    if _is_all_capitals(text):
        return _refusal("all in capitals, which is how it writes signs and not speech")
    if _above(min_avg_logprob, avg_logprob):
        return _refusal(
            "the recogniser found its own text improbable: {:.2f} a token; at least {:g}",
            avg_logprob,
            min_avg_logprob,
        )
    return None


def longest_repetition(text: str) -> Repetition:
    """The passage of most words that consists of one phrase said two or more times on end.

    Returns:
        A phrase in lower case without punctuation; said once, and empty, where nothing is repeated.
    """
    words = _words(text)
    count = len(words)
    best, best_words = Repetition("", 1), 1
    for length in range(1, min(count // 2, _LONGEST_PHRASE_WORDS) + 1):
        # A run of equal words at this distance means that the phrase before it is said again.
        same = 0
        for i in range(length, count + 1):
            if i < count and words[i] == words[i - length]:
                same += 1
                continue
            times = same // length + 1
            if times > 1 and times * length > best_words:
                start = i - same - length
                best, best_words = Repetition(" ".join(words[start : start + length]), times), times * length
            same = 0
    return best


def invented_phrase(text: str, *, doubtful: bool) -> str | None:
    """The known invention that makes up nearly the whole text (three quarters of its words or more), or None.

    Args:
        doubtful: whether the recogniser was in doubt; only then everyday words such as "thank you" count.
    """
    normalised = " ".join(_words(text))
    words = normalised.count(" ") + 1
    covered = [False] * words
    first: str | None = None
    for phrase, pattern in _patterns(doubtful):
        for match in pattern.finditer(normalised):
            start = normalised.count(" ", 0, match.start())
            length = match.group().count(" ") + 1
            covered[start : start + length] = [True] * length
            first = first or phrase
    return first if sum(covered) >= _NEARLY_ALL * words else None


def silent_word_share(words: Sequence[Word], probabilities: np.ndarray, *, threshold: float = 0.5) -> float | None:
    """Share of the words that lie where VAD heard nobody, up to 0.3 s before and after them.

    Args:
        words: their places in the recording.
        probabilities: of the whole recording, shape `(frames,)`, one per 512 samples.

    Returns:
        0 to 1; None without words.
    """
    if not words:
        return None
    tolerance = round(_TIME_TOLERANCE_S * SAMPLE_RATE_HZ)
    silent = 0
    for word in words:
        first = max(0, word.start_sample - tolerance) // FRAME_SAMPLES
        last = (word.end_sample + tolerance) // FRAME_SAMPLES
        silent += not np.any(probabilities[first : last + 1] >= threshold)
    return silent / len(words)


def _loop_limit(repetition: Repetition, doubtful: bool) -> int | None:
    """How often a phrase may be said that is said too often; None where it is not."""
    # "Lord, have mercy" is said three times, and so is a short response; in the King James Bible nothing of three
    # words or more stands three times on end, in the World English Bible one clause (Exodus 37:21).
    words = repetition.times * (repetition.phrase.count(" ") + 1)
    if repetition.times >= 4 and words >= (8 if doubtful else 10):
        return 3
    if repetition.times == 3 and words >= 30:
        return 2
    return None


def _is_all_capitals(text: str) -> bool:
    # "LORD" and "I AM" are printed in capitals.
    return len([word for word in text.split() if len(word) > 1]) >= 4 and text.isupper()


def _above(value: float | None, limit: float | None) -> bool:
    return value is not None and limit is not None and value > limit


def _refusal(reason: str, *values: object) -> Refusal:
    return Refusal("text", reason.format(*values))


def _words(text: str) -> list[str]:
    return re.findall(r"[^\W_]+(?:'[^\W_]+)*", text.lower().replace("’", "'"))


@cache
def _patterns(doubtful: bool) -> tuple[tuple[str, re.Pattern[str]], ...]:
    table = tomllib.loads(_PHRASES.read_text(encoding="utf-8"))
    phrases = [*table["always"], *(table["in_doubt"] if doubtful else [])]
    # The longest first: the reason then quotes the most telling one.
    return tuple((phrase, _pattern(phrase)) for phrase in sorted(phrases, key=lambda p: (-len(p), p)))


def _pattern(phrase: str) -> re.Pattern[str]:
    gap = rf"(?:\S+ ){{0,{_LONGEST_GAP_WORDS}}}"
    return re.compile(rf"(?<!\S){re.escape(phrase).replace(re.escape('… '), gap)}(?!\S)")
