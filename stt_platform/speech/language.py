"""Whether what is spoken is English: asked of a multilingual Whisper, or concluded from how English ears fail.

A multilingual Whisper knows the language (`Recogniser.detect_language`). Where there is none, two English recognisers show it:
Whisper tiny.en finds its own text improbable, and a second recogniser writes something quite different. Neither is
enough alone: noise makes one unsure, an accent makes the other stumble.

A single chunk is refused only where the case is plain; a recording, by how many of its chunks are in doubt. The
limits hold for tiny.en and PocketSphinx; other models need others. Measured on chunks of real speech (recordings of
some thirty voices; a third of the chunks with noise at 10 or 5 dB, reverberation of a church, or a telephone's band):

                                                  chunks   in doubt   refused
    English                                          217          0         0
    English, the made-up church                        9          0         0
    English in 5 dB of dishes or music, or 10 dB
    of another voice                                  53          8         2
    Spanish (three voices)                            35         35        27

The limits were chosen on these same chunks, and no third language was at hand.
"""

from collections.abc import Sequence
from dataclasses import dataclass

DOUBTFUL_LOGPROB = -0.7
REFUSED_LOGPROB = -0.9
HOPELESS_LOGPROB = -1.0
DIFFERENT_FROM = 0.6


@dataclass(frozen=True)
class EnglishEvidence:
    """What one chunk says about the language.

    Attributes:
        duration_s: its weight.
        english: None where there are no words, or no score; otherwise True unless it is plainly another language.
        in_doubt: it may be another language, or English that is hard to hear.
        reason: why it is taken not to be English, else None.
    """

    duration_s: float
    english: bool | None
    in_doubt: bool
    reason: str | None


@dataclass(frozen=True)
class RecordingLanguage:
    """Whether a recording is in English.

    Attributes:
        english: None where there is too little speech to say so.
        english_share: of the seconds in which words were heard, those that are not in doubt, 0 to 1; None without
            any.
        reason: why it is not English, or why nobody can say; else None.
    """

    english: bool | None
    english_share: float | None
    reason: str | None


def english_evidence(
    text: str,
    *,
    duration_s: float,
    avg_logprob: float | None,
    disagreement: float | None = None,
    doubtful_logprob: float = DOUBTFUL_LOGPROB,
    refused_logprob: float = REFUSED_LOGPROB,
    hopeless_logprob: float = HOPELESS_LOGPROB,
    different_from: float = DIFFERENT_FROM,
) -> EnglishEvidence:
    """Judge one chunk; English is what it is taken for unless both recognisers fail.

    Args:
        text, avg_logprob: of an English-only Whisper, see `ChunkTranscript`; without a score nothing is concluded.
        disagreement: `pairwise_cer(...).mean_cer` with a recogniser of another kind; above `different_from`, what
            is below `doubtful_logprob` is in doubt and what is below `refused_logprob` is refused. Without it, both
            begin at `hopeless_logprob`.
    """
    if not text.strip() or avg_logprob is None:
        return EnglishEvidence(duration_s, None, False, None)
    details = ""
    if disagreement is None:
        in_doubt = refused = avg_logprob < hopeless_logprob
    else:
        in_doubt = avg_logprob < doubtful_logprob and disagreement > different_from
        refused = in_doubt and avg_logprob < refused_logprob
        details = f", and a second one differs in {disagreement:.0%} of the characters"
    reason = f"probably not English: the recogniser doubts its text ({avg_logprob:.2f} a token){details}"
    return EnglishEvidence(duration_s, not refused, in_doubt, reason if refused else None)


def recording_is_english(
    evidence: Sequence[EnglishEvidence], *, min_english_share: float = 0.25, min_speech_s: float = 10.0
) -> RecordingLanguage:
    """Judge a recording by all its chunks, each with the weight of its length.

    Args:
        min_english_share: with less English the whole recording is refused; one that mixes languages loses chunks.
        min_speech_s: with fewer seconds of words nothing is said.
    """
    heard = [e for e in evidence if e.english is not None]
    total_s = sum(e.duration_s for e in heard)
    share = sum(e.duration_s for e in heard if not e.in_doubt) / total_s if total_s else None
    if share is None or total_s < min_speech_s:
        return RecordingLanguage(None, share, f"{total_s:.0f} s with words; {min_speech_s:g} s are needed")
    if share >= min_english_share:
        return RecordingLanguage(True, share, None)
    return RecordingLanguage(
        False, share, f"probably not English: {share:.0%} of it sounds so; at least {min_english_share:.0%}"
    )
