"""How well a recogniser hears, and whether an adapter hears better: the asset `speech_evaluation`."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import dagster as dg

from stt_platform.defs.evaluation.frozen_test_set import (
    church_test,
    church_test_file,
    church_test_problems,
    freeze_church_test,
    sermons_transcribed_since,
    sermons_without_reference,
)
from stt_platform.defs.evaluation.speech_material import church_sounds, general_speech
from stt_platform.defs.evaluation.speech_measuring import CHURCH, SetMeasured, SpeechMeasured, SpeechSets, measure
from stt_platform.defs.evaluation.speech_report import (
    curves_of,
    draw_scores,
    earlier_numbers,
    report_name,
    speech_metadata,
    speech_report,
)
from stt_platform.defs.evaluation.speech_tables import WHY_NOTHING, SpeechTables, marks_of
from stt_platform.defs.evaluation.transcribing import decoding_of
from stt_platform.defs.recognisers import adapter_system, base_model_of, base_system
from stt_platform.errors import PlatformError
from stt_platform.evaluation import metrics
from stt_platform.evaluation.church_test import ChurchTest
from stt_platform.evaluation.evaluation_report import NotScored, render_report, verdict
from stt_platform.feedback.decision import GeneralVerdict, TestState
from stt_platform.orchestration.platform import Platform
from stt_platform.orchestration.scopes import CYCLE
from stt_platform.orchestration.stage import stage
from stt_platform.orchestration.work import StageContext, Work
from stt_platform.settings import Settings
from stt_platform.store.adapters import made_by
from stt_platform.store.choices import VIEWS, training_view
from stt_platform.store.glossary import glossary_files
from stt_platform.store.metadata import MetadataStore
from stt_platform.store.reading import Read
from stt_platform.store.reports import ReportCard, published_report, write_report
from stt_platform.store.stages import StageOutput, StageResult

ADAPTER = "whisper_adapter"
"""The asset that trains what is measured here."""

UNTOUCHED, BETTER, NOT_WORSE = "test_set_untouched", "better_than_its_base", "general_set_not_worse"
_REMEDY = "put back what was changed, or delete {file}: then a new test is drawn"
_STATE_IN_WORDS = {TestState.UNTOUCHED: "untouched", TestState.NONE: "there is none yet"}

ChurchVerdict = Literal["better", "worse", "undecided", "not valid", "not measured", "no adapter"]


@dataclass(frozen=True)
class SpeechEvaluationData:
    """What was measured of an adapter, or of the base model where there is none.

    Attributes:
        test_problems: how many reasons there are that the church test is not valid.
        church: the adapter beside its base on the church test.
        church_wer_base, church_wer_adapter, general_wer_base, general_wer_adapter: rates; None where not measured.
    """

    evaluation_id: str
    adapter_id: str | None
    test: TestState
    test_problems: int
    church: ChurchVerdict
    general: GeneralVerdict
    view: str
    church_wer_base: float | None
    church_wer_adapter: float | None
    general_wer_base: float | None
    general_wer_adapter: float | None


@dataclass(frozen=True)
class _Read:
    """All that is measured on, and what is known of the test and of earlier cycles."""

    sets: SpeechSets
    missing: list[NotScored]
    problems: list[str]
    earlier: Mapping[str, list[dict[str, Any]]]


def _read(context: StageContext) -> _Read:
    store, settings = context.store, context.settings
    adapter = made_by(context.home, ADAPTER, context.part)
    test = church_test(store, settings)
    sets = SpeechSets(test, church_sounds(context, test) if test else {}, general_speech(context.home, settings))
    return _Read(
        sets=sets,
        missing=_missing(store, settings, test),
        problems=church_test_problems(store, test, adapter) if test else [],
        earlier={str(cycle): rows for cycle, rows in earlier_numbers(store, context.cycle).items()},
    )


def _parameters(context: StageContext) -> Mapping[str, Any]:
    settings = context.settings
    adapter = made_by(context.home, ADAPTER, context.part)
    chosen = settings.evaluation
    base = base_model_of(adapter, settings)
    return {
        "cycle": context.part,
        "base": base.identity,
        "adapter": adapter.adapter_id if adapter else None,
        "decoding": decoding_of(settings, base.kind),
        "cutting": [settings.vad.model_dump(), settings.chunking.model_dump()],
        "second opinion": settings.agreement.second_model,
        "view": training_view(context.home, settings.training_view).view,
        "judging": [chosen.confidence, chosen.general_wer_margin, chosen.both_views],
        "rules": list(dict.fromkeys(metric.signature() for metric in metrics.SPEECH if not metric.of_clock)),
    }


def _prepare(home: Path, settings: Settings, log: Callable[[str], None]) -> None:
    freeze_church_test(MetadataStore(home), settings, log)


def _checks(platform: Platform, output: StageOutput | None) -> Iterator[dg.AssetCheckResult]:
    if output is None:
        return
    data = output.data_as(SpeechEvaluationData)
    yield dg.AssetCheckResult(
        check_name=UNTOUCHED,
        passed=data.test != TestState.TOUCHED,
        severity=dg.AssetCheckSeverity.ERROR,
        metadata={
            "found": output.shown["test set"],
            "what to do": _REMEDY.format(file=church_test_file(platform.home)),
        },
    )
    yield _wanted(BETTER, data.church, "better")
    yield _wanted(NOT_WORSE, data.general, GeneralVerdict.NOT_WORSE)


def _wanted(check: str, found: str, wanted: str) -> dg.AssetCheckResult:
    """Without an adapter there is nothing that could fail."""
    return dg.AssetCheckResult(
        check_name=check,
        passed=found in (wanted, GeneralVerdict.NO_ADAPTER),
        severity=dg.AssetCheckSeverity.WARN,
        metadata={"found": str(found)},
    )


@stage(
    version="1",
    group="evaluation",
    kinds={"whisper"},
    after=(ADAPTER,),
    reads=(
        *("registrations", "recordings", "stage_results", "splits", "references"),
        *("speech_chunks", "training_chunks", "consensus", "segments", "sound_measures"),
        Read("training_examples", by=("speech_training_set",)),
        Read("evaluations", by=("speech_evaluation",), cycles="before"),
    ),
    outputs=tuple(VIEWS.values()),
    read=_read,
    tables=("evaluations", "comparisons", "evaluation_rows"),
    parameters=_parameters,
    files=lambda context: glossary_files(context.settings),
    prepare=_prepare,
    published=published_report(report_name("{part}")),
    metadata=speech_metadata,
    check_specs=(
        (UNTOUCHED, "No model has learned from a sermon of the test, and its texts are those that were frozen.", False),
        (
            BETTER,
            "The adapter makes fewer errors than its base on the church test, by more than chance explains.",
            False,
        ),
        (NOT_WORSE, "The adapter is not worse on general speech by more than is allowed.", False),
    ),
    checks=_checks,
    on_device=lambda settings: True,
    scope=CYCLE,
    on_request=True,
)
def speech_evaluation(work: Work) -> StageResult:
    """Evaluate the recogniser: the base model, and beside it the adapter of this cycle where there is one.

    Both hear the same rows with the same decoding: the church test (transcribed chunks of sermons that examine; frozen in
    `STT_HOME/splits/church_test.json` when it is first used) and general speech (put a folder such as LibriSpeech's
    test-clean into `STT_HOME/general`). Intervals and comparisons are by sermon and by speaker. The page of the cycle has
    every number with its interval, the best and the worst texts, what was not scored and why, and the curve over the cycles.
    """
    settings, home, read = work.settings, work.home, work.read
    adapter = made_by(home, ADAPTER, work.part)
    base = base_system(base_model_of(adapter, settings).name)
    if adapter is not None and not adapter.serving.is_dir():
        raise PlatformError(f"{adapter.serving} is not there: make {ADAPTER} of cycle {work.part} again")
    test = read.sets.test
    view = training_view(home, settings.training_view)
    system = adapter_system(adapter, base.identity) if adapter else None
    measured = measure(work, base, system, read.sets, view.view)
    cycle = str(work.cycle)
    evaluation_id = f"{report_name(cycle)}-{work.key[:12]}"
    tables = SpeechTables(evaluation_id, settings, measured, marks_of(test, measured))
    problem = _in_words(read.problems)
    report = speech_report(
        measured,
        cycle=cycle,
        test=test,
        touched=bool(read.problems),
        problem=f"{problem}; {_REMEDY.format(file='STT_HOME/splits/church_test.json')}" if problem else "",
        decoding=decoding_of(settings, base.kind),
        confidence=settings.evaluation.confidence,
        curves=curves_of(read.earlier, work.cycle, tables.numbers, tables.marks),
        missing=read.missing,
    )
    found = verdict(report)
    card = ReportCard(
        name=report_name(cycle),
        title=report.title,
        subject="speech",
        system=adapter.identity if adapter else base.identity,
        level=found.level,
        words=found.words,
        evaluation_id=evaluation_id,
    )
    write_report(work.shown_folder, render_report(report), card)
    draw_scores(work.shown_folder, measured)
    data = SpeechEvaluationData(
        evaluation_id=evaluation_id,
        adapter_id=adapter.adapter_id if adapter else None,
        test=TestState.TOUCHED if read.problems else TestState.UNTOUCHED if test else TestState.NONE,
        test_problems=len(read.problems),
        church=_church_verdict(measured, touched=bool(read.problems)),
        general=_general_verdict(measured),
        view=view.view,
        church_wer_base=_wer(measured.church, "base"),
        church_wer_adapter=_wer(measured.church, "adapter"),
        general_wer_base=_wer(measured.general, "base"),
        general_wer_adapter=_wer(measured.general, "adapter"),
    )
    shown = {
        "verdict": found.words,
        "church test": data.church,
        "general set": data.general,
        "test set": problem or _STATE_IN_WORDS[data.test],
        "view": view.view,
        **{
            f"WER of the {who} on the {name} set (%)": round(100 * rate, 2)
            for name in ("church", "general")
            for who in ("base", "adapter")
            if (rate := getattr(data, f"{name}_wer_{who}")) is not None
        },
    }
    return StageResult(
        data=data,
        tables={"evaluations": tables.numbers, "comparisons": tables.comparisons, "evaluation_rows": tables.texts},
        shown=shown,
    )


def _missing(store: MetadataStore, settings: Settings, test: ChurchTest | None) -> list[NotScored]:
    """What of the sermons that examine is not in the test; the first says why there is none."""
    silent = sermons_without_reference(store)
    found = []
    if test is None:
        reason = (
            f"{WHY_NOTHING[CHURCH]}: put transcripts of chunks, or the text of a whole sermon, into STT_HOME/references"
        )
        found.append(NotScored("church test", reason))
    else:
        found += [NotScored(f"text {text.row_id} of {text.sermon}", text.reason) for text in test.left_out]
        if late := sermons_transcribed_since(store, settings, test):
            reason = (
                "transcribed after the test was frozen; delete STT_HOME/splits/church_test.json to draw one with it, with "
                "which the scores of before cannot be compared"
            )
            found.append(NotScored("sermon that examines", reason, len(late)))
    if silent:
        found.append(NotScored("sermon that examines", "nobody has transcribed anything of it", len(silent)))
    return found


def _in_words(problems: list[str]) -> str:
    if not problems:
        return ""
    more = f"; and {len(problems) - 3} more" if len(problems) > 3 else ""
    return "; ".join(problems[:3]) + more


def _church_verdict(measured: SpeechMeasured, *, touched: bool) -> ChurchVerdict:
    if measured.adapter is None:
        return "no adapter"
    if touched:
        return "not valid"
    if measured.church is None:
        return "not measured"
    verdicts: Mapping[str | None, ChurchVerdict] = {"a": "worse", "b": "better"}
    return verdicts.get(measured.church.whole.comparisons["wer"].better, "undecided")


def _general_verdict(measured: SpeechMeasured) -> GeneralVerdict:
    if measured.adapter is None:
        return GeneralVerdict.NO_ADAPTER
    return GeneralVerdict(measured.not_worse.verdict) if measured.not_worse else GeneralVerdict.NOT_MEASURED


def _wer(of_set: SetMeasured | None, who: str) -> float | None:
    values = getattr(of_set.whole, who) if of_set else None
    return values["wer"].value if values is not None else None
