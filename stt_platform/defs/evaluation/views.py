"""Which view of the sound the recogniser hears better: the original, or the enhanced one."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import dagster as dg

from stt_platform.defs.evaluation import views_report as report
from stt_platform.defs.evaluation.assessment import ASSESSMENT, SERMONS_AND_CHUNKS
from stt_platform.defs.evaluation.assessment_report import draw_rates
from stt_platform.defs.evaluation.transcribing import Stretch, Transcribed, decoding_of, transcribe
from stt_platform.defs.recognisers import base_system
from stt_platform.evaluation.metrics import SpeechSample, compare_speech, measure_speech, signature
from stt_platform.evaluation.paired import Comparison
from stt_platform.evaluation.speech_scores import RowScore
from stt_platform.models.registry import model
from stt_platform.orchestration.platform import Platform
from stt_platform.orchestration.stage import stage
from stt_platform.orchestration.work import StageContext, Work
from stt_platform.store.assessment import Assessed, Span, assessed_texts, spans_of
from stt_platform.store.choices import VIEWS, ViewChoice, record_training_view, training_view
from stt_platform.store.evaluations import Measured, comparison_row, number_rows, part, text_row
from stt_platform.store.glossary import glossary_files, names_to_hear
from stt_platform.store.stages import StageOutput, StageResult

ORIGINAL, ENHANCED = VIEWS
UNDECIDED = "undecided"


@dataclass(frozen=True)
class _Material:
    """What is compared.

    Attributes:
        texts: without what was transcribed before: what is decided here changes it, and is not to be decided anew for that.
        spans: the accepted chunks that each text is of, in the order of the texts.
        sounds: the output with the sound of a sermon in a view, by "view sermon"; None where it is gone.
    """

    texts: list[Assessed]
    spans: list[list[Span]]
    sounds: Mapping[str, StageOutput | None]


def _read(context: StageContext) -> _Material:
    texts = assessed_texts(context.store, transcribed=False)
    sounds = {
        f"{view} {sermon}": context.output(sermon, made_by)
        for sermon in sorted({text.sermon for text in texts})
        for view, made_by in VIEWS.items()
    }
    return _Material(texts, list(spans_of(context.store, texts).values()), sounds)


def _parameters(context: StageContext) -> Mapping[str, Any]:
    chosen = model(context.settings.transcription.model)
    return {
        "system": chosen.identity,
        "decoding": decoding_of(context.settings, chosen.kind),
        "confidence": context.settings.evaluation.confidence,
        "rules": signature("wer"),
    }


@dataclass(frozen=True)
class ViewData:
    """Which view the recogniser transcribes better.

    Attributes:
        better_view: "original" or "enhanced"; None where the difference may be chance.
        difference: WER of the enhanced view less that of the original, a rate; None where nothing could be compared.
    """

    better_view: str | None
    wer_original: float | None
    wer_enhanced: float | None
    difference: float | None
    p_value: float | None
    texts_compared: int
    of_sermons: int
    not_compared: int
    recogniser: str


def _record_view(home: Path, output: StageOutput) -> None:
    """Let the setting `training_view = measured` mean the better view, where one is shown to be better."""
    if better := output.data_as(ViewData).better_view:
        record_training_view(home, ViewChoice(better, output.shown["in words"]))


def _check_view(platform: Platform, output: StageOutput | None) -> Iterator[dg.AssetCheckResult]:
    better = output.data_as(ViewData).better_view if output else None
    used = training_view(platform.home, platform.settings.training_view)
    yield dg.AssetCheckResult(
        check_name="the_better_view_is_used",
        passed=better in (None, used.view),
        severity=dg.AssetCheckSeverity.WARN,
        metadata={"better view": better or UNDECIDED, "used": used.view, "why": used.why},
    )


@stage(
    version="1",
    group="evaluation",
    kinds={"whisper"},
    upstream=("assessment_sample",),
    reads=(*SERMONS_AND_CHUNKS, "assessment_sample"),
    outputs=tuple(VIEWS.values()),
    read=_read,
    tables=("evaluations", "comparisons", "evaluation_rows"),
    parameters=_parameters,
    files=lambda context: glossary_files(context.settings),
    hand_out=_record_view,
    metadata=report.views_metadata,
    check_specs=(
        ("the_better_view_is_used", "The setting `training_view` does not name the view that is worse.", False),
    ),
    checks=_check_view,
    on_device=lambda settings: True,
    on_request=True,
)
def view_comparison(work: Work) -> StageResult:
    """Compare the WER on the original and on the enhanced sound, on what people have transcribed.

    One recogniser hears the same chunks in both, with the same settings, and the word error rates are compared sermon by
    sermon. Where the difference cannot be chance, the better view is what the setting `training_view = measured` means
    from then on, and sermons are to be transcribed anew where they were heard in the other; where it can, all stays as it
    is. Chunks that are usable in one view only, since the original has music in it, are left out.
    """
    texts = work.read.texts
    system = base_system(work.settings.transcription.model)
    confidence = work.settings.evaluation.confidence
    spans = _spans_in_both(texts, work.read.spans)
    heard = {view: transcribe(work, system, _stretches(work, spans, view)) for view in VIEWS}
    scores = {view: _scores(texts, spans, heard, view) for view in VIEWS}
    names, _ = names_to_hear(work.settings)
    samples = {view: SpeechSample(scores[view], names, confidence=confidence) for view in VIEWS}
    compared = compare_speech(samples[ORIGINAL], samples[ENHANCED])
    of = Measured(f"{work.stage}-{work.key[:12]}", system.identity, ASSESSMENT)
    numbers: list[dict[str, Any]] = []
    for view in VIEWS if texts else ():
        values = measure_speech(samples[view])
        numbers += number_rows(of, part("view", view), values, {metric: signature(metric) for metric in values})
    draw_rates(work.shown_folder / report.PICTURE, numbers, confidence)
    counted, wer = [score.status for score in scores[ORIGINAL]], compared["wer"]
    data = ViewData(
        better_view={"a": ORIGINAL, "b": ENHANCED}.get(wer.better),
        wer_original=wer.value_a,
        wer_enhanced=wer.value_b,
        difference=wer.difference,
        p_value=wer.p_value,
        texts_compared=counted.count("scored"),
        of_sermons=wer.n,
        not_compared=counted.count("not scored"),
        recogniser=system.identity,
    )
    return StageResult(
        data=data,
        shown={
            **_in_words(work, data, compared["wer"]),
            **report.numbers(compared["wer"]),
            "texts compared": data.texts_compared,
            "of sermons": data.of_sermons,
            "not compared": data.not_compared,
            "recogniser": system.identity,
        },
        tables={
            "evaluations": numbers,
            "comparisons": [
                comparison_row(
                    of, part("view", ENHANCED), metric, found, compared_with=f"{system.identity}, {ORIGINAL}"
                )
                for metric, found in compared.items()
                if found.difference is not None
            ],
            "evaluation_rows": [text_row(of, part("view", view), score) for view in VIEWS for score in scores[view]],
        },
    )


def _in_words(work: Work, data: ViewData, found: Comparison) -> dict[str, str]:
    words = report.in_words(found)
    before = training_view(work.home, work.settings.training_view)
    better = data.better_view
    if better is None:
        return {"better view": UNDECIDED, "verdict": f"undecided, {words}; it stays at {before.view} ({before.why})"}
    changes = work.settings.training_view == "measured" and better != before.view
    then = "; `stt run` transcribes anew what was heard in the other" if changes else ""
    return {"better view": better, "in words": words, "verdict": f"the view {better} is heard better: {words}{then}"}


@dataclass(frozen=True)
class _Spans:
    """The chunks of a text that may be used in both views; where there is none, `problem` says why."""

    spans: tuple[Span, ...]
    problem: str | None


def _spans_in_both(texts: Sequence[Assessed], spans_of_texts: Sequence[Sequence[Span]]) -> dict[str, _Spans]:
    found = {}
    for text, spans in zip(texts, spans_of_texts, strict=True):
        both = tuple(span for span in spans if set(VIEWS) <= set(span.views))
        why = next((span.reason for span in spans if span.reason), "none of its chunks is accepted")
        problem = text.problem or (None if both else f"there is nothing of it to hear in both views: {why}")
        found[text.row_id] = _Spans(() if problem else both, problem)
    return found


def _stretches(work: Work, spans: Mapping[str, _Spans], view: str) -> list[Stretch]:
    sounds = work.read.sounds

    def path(sermon: str) -> Path:
        output = sounds[f"{view} {sermon}"]
        # Where the sound is gone, `hear` says so of each text.
        return (output.folder if output else work.home / VIEWS[view]) / "audio.wav"

    listed = [span for each in spans.values() for span in each.spans]
    return [Stretch(span.chunk_id, path(span.sermon), span.start_sample, span.end_sample) for span in listed]


def _scores(
    texts: Sequence[Assessed],
    spans: Mapping[str, _Spans],
    heard: Mapping[str, Mapping[str, Transcribed]],
    view: str,
) -> list[RowScore]:
    """The texts as they were heard in a view; what could not be heard in one view is scored in neither."""
    scores = []
    for text in texts:
        ids = [span.chunk_id for span in spans[text.row_id].spans]
        lost = [found[name].reason for found in heard.values() for name in ids if found[name].text is None]
        hypothesis = " ".join(heard[view][name].text or "" for name in ids)
        problem = spans[text.row_id].problem or next(iter(lost), None)
        scores.append(replace(text, view=view).scored(hypothesis, problem))
    return scores
