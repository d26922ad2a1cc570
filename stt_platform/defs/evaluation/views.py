"""Which view of the sound the recogniser hears better: the original, or the enhanced one."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import dagster as dg

from stt_platform.defs.corpus import corpus_stage
from stt_platform.defs.evaluation import views_report as report
from stt_platform.defs.evaluation.assessment import ASSESSMENT
from stt_platform.defs.evaluation.hearing import Heard, Stretch, decoding_of, hear
from stt_platform.defs.evaluation.scoring import score_text
from stt_platform.defs.glossary.reading import glossary_digest, names_to_hear
from stt_platform.defs.platform import Platform
from stt_platform.defs.recognisers import base_system
from stt_platform.defs.work import Work
from stt_platform.evaluation.paired import Comparison, paired_rates
from stt_platform.evaluation.speech_measures import ERROR_RATES, signature, speech_measures
from stt_platform.evaluation.speech_scores import RowScore, scored_by_both
from stt_platform.models.registry import model
from stt_platform.settings import Settings
from stt_platform.store.assessment import Assessed, Span, assessed_texts, spans_of, texts_digest
from stt_platform.store.choices import VIEWS, ViewChoice, record_training_view, training_view
from stt_platform.store.evaluations import Measured, comparison_row, number_rows, part, text_row
from stt_platform.store.metadata import MetadataStore
from stt_platform.store.stages import StageOutput, StageResult, current_output

ORIGINAL, ENHANCED = VIEWS
UNDECIDED = "undecided"


def _parameters(home: Path, settings: Settings) -> Mapping[str, Any]:
    store = MetadataStore(home)
    texts = _texts(store)
    spans = spans_of(store, texts)
    sermons = sorted({text.sermon for text in texts})
    outputs = {
        f"{sermon} {stage}": current_output(home, sermon, stage) for sermon in sermons for stage in VIEWS.values()
    }
    return {
        "texts": texts_digest(texts),
        "spans": {row_id: [list(asdict(span).values()) for span in found] for row_id, found in spans.items()},
        "sound": {name: output.digest if output else None for name, output in outputs.items()},
        "system": model(settings.transcription.model).identity,
        "decoding": decoding_of(settings),
        "glossary": glossary_digest(settings),
        "confidence": settings.evaluation.confidence,
        "rules": signature("wer"),
    }


def _texts(store: MetadataStore) -> list[Assessed]:
    # Without what was heard before: what is decided here changes it, and is not to be decided anew for that.
    return [replace(text, hypothesis=None, system=None, view=None) for text in assessed_texts(store)]


def _check_view(platform: Platform, output: StageOutput | None) -> Iterator[dg.AssetCheckResult]:
    better = output.facts["better view"] if output else UNDECIDED
    used = training_view(platform.home, platform.settings.training_view)
    yield dg.AssetCheckResult(
        check_name="the_better_view_is_used",
        passed=better in (UNDECIDED, used.view),
        severity=dg.AssetCheckSeverity.WARN,
        metadata={"better view": better, "used": used.view, "why": used.why},
    )


@corpus_stage(
    version="1",
    group="evaluation",
    kinds={"whisper"},
    upstream=("assessment_sample",),
    after=("references", "training_chunks", "enhanced_audio"),
    tables=("evaluations", "comparisons", "evaluation_rows"),
    parameters=_parameters,
    metadata=report.views_metadata,
    check_specs=(
        ("the_better_view_is_used", "The setting `training_view` does not name the view that is worse.", False),
    ),
    checks=_check_view,
    on_device=lambda settings: True,
    on_request=True,
)
def view_comparison(work: Work) -> StageResult:
    """Which view the recogniser hears better, the original or the enhanced one, on what people have transcribed.

    One recogniser hears the same chunks in both, with the same settings, and the word error rates are compared sermon by
    sermon. Where the difference cannot be chance, the better view is what the setting `training_view = measured` means
    from then on, and sermons are to be transcribed anew where they were heard in the other; where it can, all stays as it
    is. Chunks that are usable in one view only, since the original has music in it, are left out.
    """
    texts = _texts(work.store)
    system = base_system(work.settings.transcription.model)
    confidence = work.settings.evaluation.confidence
    spans = _spans_in_both(work.store, texts)
    heard = {view: hear(work, system, _stretches(work.store.home, spans, view)) for view in VIEWS}
    scores = {view: _scores(texts, spans, heard, view) for view in VIEWS}
    compared = {
        metric: paired_rates(*scored_by_both(scores[ORIGINAL], scores[ENHANCED], metric), confidence=confidence)
        for metric in ERROR_RATES
    }
    names, _ = names_to_hear(work.settings)
    of = Measured(f"{work.stage}-{work.key[:12]}", system.identity, ASSESSMENT)
    numbers: list[dict[str, Any]] = []
    for view in VIEWS if texts else ():
        values = speech_measures(scores[view], names, confidence=confidence).values
        numbers += number_rows(of, part("view", view), values, {metric: signature(metric) for metric in values})
    report.draw_views(work.folder, numbers, confidence)
    counted = [score.status for score in scores[ORIGINAL]]
    return StageResult(
        facts={
            **_decided(work, compared["wer"]),
            **report.numbers(compared["wer"]),
            "texts compared": counted.count("scored"),
            "of sermons": compared["wer"].n,
            "not compared": counted.count("not scored"),
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


def _decided(work: Work, found: Comparison) -> dict[str, str]:
    """What to use from now on, recorded where it is sure."""
    better = {"a": ORIGINAL, "b": ENHANCED}.get(found.better)
    words = report.in_words(found)
    before = training_view(work.store.home, work.settings.training_view)
    if better:
        record_training_view(work.store.home, ViewChoice(better, words))
        used = training_view(work.store.home, work.settings.training_view)
        then = "; `stt run` transcribes anew what was heard in the other" if used.view != before.view else ""
        return {"better view": better, "verdict": f"the view {better} is heard better: {words}{then}"}
    return {"better view": UNDECIDED, "verdict": f"undecided, {words}; it stays at {before.view} ({before.why})"}


@dataclass(frozen=True)
class _Spans:
    """The chunks of a text that may be used in both views; where there is none, `problem` says why."""

    spans: tuple[Span, ...]
    problem: str | None


def _spans_in_both(store: MetadataStore, texts: Sequence[Assessed]) -> dict[str, _Spans]:
    found = {}
    for text, spans in zip(texts, spans_of(store, texts).values(), strict=True):
        both = tuple(span for span in spans if set(VIEWS) <= set(span.views))
        why = next((span.reason for span in spans if span.reason), "none of its chunks is accepted")
        problem = text.problem or (None if both else f"there is nothing of it to hear in both views: {why}")
        found[text.row_id] = _Spans(() if problem else both, problem)
    return found


def _stretches(home: Path, spans: Mapping[str, _Spans], view: str) -> list[Stretch]:
    listed = [span for each in spans.values() for span in each.spans]
    stage = VIEWS[view]
    outputs = {sermon: current_output(home, sermon, stage) for sermon in {span.sermon for span in listed}}
    # Where the sound is gone, `hear` says so of each text.
    folders = {sermon: output.folder if output else home / stage for sermon, output in outputs.items()}
    return [
        Stretch(span.chunk_id, folders[span.sermon] / "audio.wav", span.start_sample, span.end_sample)
        for span in listed
    ]


def _scores(
    texts: Sequence[Assessed],
    spans: Mapping[str, _Spans],
    heard: Mapping[str, Mapping[str, Heard]],
    view: str,
) -> list[RowScore]:
    """The texts as they were heard in a view; what could not be heard in one view is scored in neither."""
    scores = []
    for text in texts:
        ids = [span.chunk_id for span in spans[text.row_id].spans]
        lost = [found[name].reason for found in heard.values() for name in ids if found[name].text is None]
        hypothesis = " ".join(heard[view][name].text or "" for name in ids)
        problem = spans[text.row_id].problem or next(iter(lost), None)
        scores.append(score_text(replace(text, view=view), hypothesis, problem))
    return scores
