"""Rows of an English test in which somebody speaks another language: they do not measure English transcription."""

from collections.abc import Mapping, Sequence

import numpy as np

from stt_platform.audio import SAMPLE_RATE_HZ
from stt_platform.audio.media import UnreadableMedia
from stt_platform.audio.reading import read_stretch
from stt_platform.defs.evaluation.speech_material import SpokenText
from stt_platform.defs.evaluation.transcribing import Stretch, Transcribed
from stt_platform.defs.recognisers import SpeechSystem, base_system, load_recogniser
from stt_platform.evaluation.agreement import pairwise_cer
from stt_platform.evaluation.speech_scores import RowScore
from stt_platform.orchestration.work import Work
from stt_platform.speech.language import DOUBTFUL_LOGPROB, english_evidence
from stt_platform.speech.recognisers.base import WINDOW_SAMPLES, ChunkSpan, ChunkTranscript, Recogniser

# What agrees with an English reference in every second word is English, whatever a recogniser says of itself.
_HARDLY_RIGHT = 0.5
_SURE = 0.5


def foreign_rows(
    work: Work,
    base: SpeechSystem,
    rows: Sequence[SpokenText],
    texts: Mapping[str, Transcribed],
    scores: Sequence[RowScore],
) -> dict[str, str]:
    """Return why rows are taken not to be English, by `row_id`, judged by the texts of the base model.

    Only rows that hardly agree with their reference are judged, a long one by its middle: a multilingual model is asked
    for the language, and where an English one doubts its own text, a recogniser of another kind gives its opinion.
    Whole sermons were judged when they were taken in.

    Args:
        scores: of the base model, in the order of `rows`.
    """
    doubtful = [
        row for row, score in zip(rows, scores, strict=True) if len(row.stretches) == 1 and _is_hardly_right(score)
    ]
    found: dict[str, str] = {}
    if not doubtful:
        return found
    with work.device(work.settings.transcription.device):
        judge = _Judge(work, base)
        for done, row in enumerate(doubtful, start=1):
            if reason := judge.refusal(row.stretches[0], texts[row.stretches[0].row_id]):
                found[row.row_id] = reason
            work.progress(done, len(doubtful), "doubtful rows judged")
    return found


class _Judge:
    """The base model, and a recogniser of another kind that is loaded when it is first asked."""

    def __init__(self, work: Work, base: SpeechSystem) -> None:
        self._chosen = work.settings.transcription
        self._agreement = work.settings.agreement
        self._first = load_recogniser(base, self._chosen)
        self._second: Recogniser | None = None

    def refusal(self, stretch: Stretch, made: Transcribed) -> str | None:
        """Return why a stretch is taken not to be English, or None."""
        try:
            samples = read_stretch(stretch.path, stretch.start_sample or 0, stretch.end_sample)
        except UnreadableMedia:
            return None
        text, avg_logprob = made.text or "", made.avg_logprob
        if samples.size > WINDOW_SAMPLES:
            samples = samples[(samples.size - WINDOW_SAMPLES) // 2 :][:WINDOW_SAMPLES]
            found = self._transcribe(self._first, samples)
            text, avg_logprob = found.text, found.avg_logprob
        language = self._first.detect_language(samples)
        if language is not None and language[0] != self._chosen.language and language[1] > _SURE:
            return f"not English: the recogniser hears {language[0]!r} ({language[1]:.0%})"
        if avg_logprob is None or avg_logprob >= DOUBTFUL_LOGPROB:
            return None
        if self._second is None:
            self._second = load_recogniser(base_system(self._agreement.second_model), self._agreement)
        other = self._transcribe(self._second, samples)
        return english_evidence(
            text,
            duration_s=samples.size / SAMPLE_RATE_HZ,
            avg_logprob=avg_logprob,
            disagreement=pairwise_cer({"first": text, "second": other.text}).mean_cer,
        ).reason

    def _transcribe(self, recogniser: Recogniser, samples: np.ndarray) -> ChunkTranscript:
        found = recogniser.transcribe_chunks(
            lambda start, end: samples[start:end],
            [ChunkSpan("", 0, samples.size)],
            language=self._chosen.language,
            beam_size=self._chosen.beam_size,
            word_timestamps=False,
        )
        return next(found)


def _is_hardly_right(score: RowScore) -> bool:
    return (
        score.status == "scored"
        and score.normalised.wer is not None
        and score.normalised.wer > _HARDLY_RIGHT
        and bool((score.row.hypothesis or "").strip())
    )
