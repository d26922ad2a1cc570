"""How fast a system works, and how much a recogniser makes up where nobody speaks."""

from __future__ import annotations

from stt_platform.evaluation.intervals import Interval
from stt_platform.evaluation.metrics.base import Metric, SpeechMetric, SpeechSample
from stt_platform.evaluation.metrics.error_rates import WER


class HallucinatedWords(SpeechMetric):
    """Normalised words per minute in which nobody speaks; without an interval."""

    name = "hallucinated_words_per_min"
    label = "Hallucinated words"
    explanation = "words written per minute in which nobody speaks"
    unit = "per minute"

    def measure(self, sample: SpeechSample) -> Interval:
        silent = [score for score in sample.scores if score.status == "no speech"]
        timed = [score for score in silent if score.row.duration_s]
        minutes = sum(score.row.duration_s or 0.0 for score in timed) / 60
        rate = sum(score.invented_words for score in timed) / minutes if minutes else None
        reason = "no interval is made for it" if rate is not None else "nothing that was transcribed is without speech"
        sermons = len({score.row.sermon for score in silent})
        return Interval(rate, None, None, sermons, "words over minutes without speech", sample.confidence, reason)

    def method(self) -> str:
        return WER().method()


class RealTimeFactor(SpeechMetric):
    """Seconds of work for one second of audio; without an interval."""

    name = "rtf"
    label = "Real-time factor"
    explanation = "seconds of processing per second of audio"
    unit = ""
    of_clock = True

    def measure(self, sample: SpeechSample) -> Interval | None:
        if sample.work_s is None:
            return None
        durations = [score.row.duration_s for score in sample.scores if score.row.duration_s]
        factor = sample.work_s / sum(durations) if durations else None
        reason = "nothing was heard" if factor is None else "no interval is made for it"
        return Interval(factor, None, None, len(durations), self.signature(), sample.confidence, reason)

    def method(self) -> str:
        return "seconds of work over seconds of sound"

    def signature(self) -> str:
        return self.method()


class TextsPerSecond(Metric):
    """Texts that a translator writes in a second."""

    name = "texts_per_s"
    label = "Texts per second"
    explanation = "how fast it translates"
    unit = ""
    of_clock = True
    lower_is_better = False


class TokensPerSecond(TextsPerSecond):
    """Tokens that a translator writes in a second."""

    name = "tokens_per_s"
    label = "Tokens per second"
    explanation = "how fast it generates"
