"""How well a recogniser hears, and whether an adapter hears better: the asset `speech_evaluation`."""

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import dagster as dg

from stt_platform.defs.corpus import corpus_stage
from stt_platform.defs.cycles import CYCLES
from stt_platform.defs.evaluation.church_test import (
    church_test,
    church_test_file,
    church_test_problems,
    freeze_church_test,
    sermons_transcribed_since,
    sermons_without_reference,
)
from stt_platform.defs.evaluation.hearing import decoding_of
from stt_platform.defs.evaluation.speech_material import general_speech, sound_digests
from stt_platform.defs.evaluation.speech_measuring import (
    CHURCH,
    SpeechMeasured,
    measure,
)
from stt_platform.defs.evaluation.speech_report import (
    curves_of,
    draw_scores,
    earlier_numbers,
    report_name,
    speech_metadata,
    speech_report,
)
from stt_platform.defs.evaluation.speech_tables import WHY_NOTHING, SpeechTables, marks_of
from stt_platform.defs.glossary.reading import names_to_hear
from stt_platform.defs.platform import Platform
from stt_platform.defs.recognisers import adapter_system, base_model_of, base_system
from stt_platform.defs.work import Work
from stt_platform.evaluation.church_test import ChurchTest
from stt_platform.evaluation.report import NotScored, render_report, verdict
from stt_platform.evaluation.speech_measures import signature
from stt_platform.settings import PlatformError, Settings
from stt_platform.store.adapters import made_by
from stt_platform.store.choices import training_view
from stt_platform.store.metadata import MetadataStore
from stt_platform.store.reports import ReportCard, published_report, write_report
from stt_platform.store.stages import StageOutput, StageResult

ADAPTER = "whisper_adapter"
"""The asset that trains what is measured here."""

UNTOUCHED, BETTER, NOT_WORSE = "test_set_untouched", "better_than_its_base", "general_set_not_worse"
_NO_ADAPTER = "no adapter"
_REMEDY = "put back what was changed, or delete {file}: then a new test is drawn"
_UNTOUCHED, _NO_TEST = "untouched", "there is none yet"
VALID_TEST = (_UNTOUCHED, _NO_TEST)
"""What the fact `test set` says where nobody has touched the church test."""


def _parameters(home: Path, settings: Settings, cycle: str) -> Mapping[str, Any]:
    store = MetadataStore(home)
    adapter = made_by(home, ADAPTER, cycle)
    test = church_test(store, settings)
    names, _ = names_to_hear(settings)
    general = general_speech(home, settings)
    chosen = settings.evaluation
    return {
        "cycle": cycle,
        "base": base_model_of(adapter, settings).identity,
        "adapter": adapter.adapter_id if adapter else None,
        "decoding": decoding_of(settings),
        "cutting": [settings.vad.model_dump(), settings.chunking.model_dump()],
        "second opinion": settings.agreement.second_model,
        "view": training_view(home, settings.training_view).view,
        "church test": test.sha256 if test else None,
        "not in it": [asdict(each) for each in _missing(store, settings, test)],
        "touched": church_test_problems(store, test, adapter) if test else [],
        "sound": sound_digests(home, test) if test else {},
        "general": [general.digest, *(asdict(each) for each in general.missing)],
        "judging": [chosen.confidence, chosen.general_wer_margin, chosen.both_views],
        "names": hashlib.sha256(json.dumps(names).encode()).hexdigest(),
        "rules": [signature(metric) for metric in ("wer", "raw_wer", "entity_f1")],
        "earlier": hashlib.sha256(json.dumps(earlier_numbers(store, int(cycle))).encode()).hexdigest(),
    }


def _prepare(home: Path, settings: Settings, log: Callable[[str], None]) -> None:
    freeze_church_test(MetadataStore(home), settings, log)


def _checks(platform: Platform, output: StageOutput | None) -> Iterator[dg.AssetCheckResult]:
    if output is None:
        return
    facts = output.facts
    yield dg.AssetCheckResult(
        check_name=UNTOUCHED,
        passed=facts["test set"] in VALID_TEST,
        severity=dg.AssetCheckSeverity.ERROR,
        metadata={
            "found": facts["test set"],
            "what to do": _REMEDY.format(file=church_test_file(platform.home)),
        },
    )
    yield _wanted(BETTER, facts["church test"], "better")
    yield _wanted(NOT_WORSE, facts["general set"], "not worse")


def _wanted(check: str, found: str, wanted: str) -> dg.AssetCheckResult:
    """Without an adapter there is nothing that could fail."""
    return dg.AssetCheckResult(
        check_name=check,
        passed=found in (wanted, _NO_ADAPTER),
        severity=dg.AssetCheckSeverity.WARN,
        metadata={"found": found},
    )


@corpus_stage(
    version="1",
    group="evaluation",
    kinds={"whisper"},
    after=("references", "sermon_split", ADAPTER),
    tables=("evaluations", "comparisons", "evaluation_rows"),
    parameters=_parameters,
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
    parts=CYCLES,
    on_request=True,
)
def speech_evaluation(work: Work) -> StageResult:
    """How well the recogniser hears: the base model, and beside it the adapter of this cycle where there is one.

    Both hear the same rows with the same decoding: the church test (transcribed chunks of sermons that examine; frozen in
    `STT_HOME/splits/church_test.json` when it is first used) and general speech (put a folder such as LibriSpeech's
    test-clean into `STT_HOME/general`). Intervals and comparisons are by sermon and by speaker. The page of the cycle has
    every number with its interval, the best and the worst texts, what was not scored and why, and the curve over the cycles.
    """
    store, settings, home = work.store, work.settings, work.store.home
    adapter = made_by(home, ADAPTER, work.part)
    base = base_system(base_model_of(adapter, settings).name)
    if adapter is not None and not adapter.serving.is_dir():
        raise PlatformError(f"{adapter.serving} is not there: make {ADAPTER} of cycle {work.part} again")
    test = church_test(store, settings)
    problems = church_test_problems(store, test, adapter) if test else []
    view = training_view(home, settings.training_view)
    measured = measure(work, base, adapter_system(adapter, base.identity) if adapter else None, test, view.view)
    evaluation_id = f"{report_name(work.part)}-{work.key[:12]}"
    tables = SpeechTables(evaluation_id, settings, measured, marks_of(test, measured))
    missing = _missing(store, settings, test)
    problem = _in_words(problems)
    report = speech_report(
        measured,
        cycle=work.part,
        test=test,
        problem=f"{problem}; {_REMEDY.format(file='STT_HOME/splits/church_test.json')}" if problem else "",
        decoding=decoding_of(settings),
        confidence=settings.evaluation.confidence,
        curves=curves_of(store, int(work.part), tables.numbers, tables.marks),
        missing=missing,
    )
    found = verdict(report)
    card = ReportCard(
        name=report_name(work.part),
        title=report.title,
        subject="speech",
        system=adapter.identity if adapter else base.identity,
        level=found.level,
        words=found.words,
        evaluation_id=evaluation_id,
    )
    write_report(work.folder, render_report(report), card)
    draw_scores(work.folder, measured)
    facts = {
        "verdict": found.words,
        "church test": _church_decision(measured, problem),
        "general set": _general_decision(measured),
        "test set": problem or (_UNTOUCHED if test else _NO_TEST),
        "view": view.view,
        **_wers(measured),
    }
    return StageResult(
        facts=facts,
        tables={"evaluations": tables.numbers, "comparisons": tables.comparisons, "evaluation_rows": tables.texts},
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


def _church_decision(measured: SpeechMeasured, problem: str) -> str:
    if measured.adapter is None:
        return _NO_ADAPTER
    if problem:
        return "not valid"
    if measured.church is None:
        return "not measured"
    better = measured.church.whole.comparisons["wer"].better
    return {"a": "worse", "b": "better"}.get(better, "undecided")


def _general_decision(measured: SpeechMeasured) -> str:
    if measured.adapter is None:
        return _NO_ADAPTER
    return measured.not_worse.verdict if measured.not_worse is not None else "not measured"


def _wers(measured: SpeechMeasured) -> dict[str, float | None]:
    found: dict[str, float | None] = {}
    for name, of_set in (("church", measured.church), ("general", measured.general)):
        if of_set is None:
            continue
        for who, values in (("base", of_set.whole.base), ("adapter", of_set.whole.adapter)):
            if values is not None and values["wer"].value is not None:
                found[f"WER of the {who} on the {name} set (%)"] = round(100 * values["wer"].value, 2)
    return found
