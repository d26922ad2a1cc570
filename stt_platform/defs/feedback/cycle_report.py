"""Report what a cycle of the loop cost and gained, on one page: the asset `cycle_report`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from stt_platform.defs.feedback.corrections import CorrectionsData
from stt_platform.defs.feedback.cycle_facts import CycleFacts, read_cycle
from stt_platform.defs.shown import page, picture, table
from stt_platform.evaluation.evaluation_report import Level
from stt_platform.evaluation.intervals import Interval
from stt_platform.feedback.cycle_page import CycleReport, cycle_title, in_a_sentence, render_cycle
from stt_platform.feedback.pictures import CyclePoint, cycles_picture
from stt_platform.orchestration.platform import Platform
from stt_platform.orchestration.scopes import CYCLE
from stt_platform.orchestration.stage import stage
from stt_platform.orchestration.work import StageContext, Work
from stt_platform.store.reading import Read
from stt_platform.store.reports import ReportCard, published_report, write_report
from stt_platform.store.stages import StageOutput, StageResult, shown_of

PICTURE = "cycles.png"

_NOT_DECIDED = "whether the adapter of this cycle serves was not decided yet: run speech_decision"
_NO_ADAPTER = "nothing was trained in this cycle yet"
_CORRECTED = """
select proposal as "was shown", text as "was said", word_edits as words, reviewer from corrections
where cycle = $cycle and status = 'accepted' and word_edits > 0 order by word_edits desc, chunk_id limit 10
"""


def report_name(cycle: str) -> str:
    """Name the page of a cycle."""
    return f"cycle-{cycle}"


def _read(context: StageContext) -> CycleFacts:
    return read_cycle(context.store, context.settings, context.cycle)


def _parameters(context: StageContext) -> Mapping[str, Any]:
    settings = context.settings
    judging = [settings.evaluation.confidence, settings.feedback.least_gain, settings.feedback.vain_cycles]
    return {"cycle": context.part, "judging": judging}


@dataclass(frozen=True)
class CycleReportData:
    """What a cycle was.

    Attributes:
        decision: None where nothing was decided yet.
        answered, asked: of the list of the cycle.
        converged: whether the loop no longer pays.
    """

    cycle: int
    decision: str | None
    answers: int
    answered: int
    asked: int
    words_put_right: int
    segments_that_wait: int | None
    converged: bool


def _metadata(platform: Platform, output: StageOutput) -> Mapping[str, Any]:
    number = output.data_as(CycleReportData).cycle
    drawn = output.shown_folder / PICTURE
    hidden = ("cycle", "cycles", "recognisers")
    return {
        **{name: value for name, value in output.shown.items() if name not in hidden and value is not None},
        "report": page(platform, f"evaluation/{report_name(str(number))}"),
        **({"picture": picture(drawn, "the word error rate over the cycles")} if drawn.exists() else {}),
        "recognisers": table(output.shown["recognisers"]),
        "cycles": table(output.shown["cycles"]),
        "what was corrected most": table(platform.store.query(_CORRECTED, {"cycle": number}).to_pylist()),
    }


@stage(
    version="1",
    group="feedback",
    kinds={"report"},
    optional=("corrections",),
    reads=(
        *(Read(name, by=("speech_evaluation",)) for name in ("evaluations", "evaluation_rows")),
        *("decisions", "flagged_segments", "corrections"),
    ),
    read=_read,
    parameters=_parameters,
    scope=CYCLE,
    published=published_report(report_name("{part}")),
    metadata=_metadata,
    on_request=True,
)
def cycle_report(work: Work) -> StageResult:
    """Report on this cycle: what people reviewed, what it cost them, what it gained, and what next.

    The WER of the base model, of the champion before and of this cycle's adapter, each with its interval, on the frozen
    church test and on general speech; what was decided, and why; the curve over the cycles; how much waits to be asked
    about, and whether the loop still pays. It can be made at any time, and says what is not known yet.
    """
    facts: CycleFacts = work.read
    answered = work.inputs.get("corrections")
    reviewers = answered.data_as(CorrectionsData).reviewers if answered else ()
    report = _report(facts, [f"{each.name or 'a reviewer'}: {each.warning}" for each in reviewers if each.concern])
    level = _level(report)
    adapter = facts.adapters.get(facts.cycle)
    card = ReportCard(
        name=report_name(str(facts.cycle)),
        title=cycle_title(report),
        subject="speech",
        system=adapter.identity if adapter is not None else "",
        level=level,
        words=in_a_sentence(report),
        evaluation_id=facts.evaluation_id,
    )
    write_report(work.shown_folder, render_cycle(report), card)
    if any(_percent(wer) is not None for point in report.history for wer in (point.base, point.adapter)):
        (work.shown_folder / PICTURE).write_bytes(cycles_picture(report.history))
    found, waiting = report.reviewed, report.waiting
    data = CycleReportData(
        cycle=facts.cycle,
        decision=report.decision,
        answers=found.answers,
        answered=found.answered,
        asked=found.asked,
        words_put_right=found.word_edits,
        segments_that_wait=waiting.on_the_list + waiting.others if waiting is not None else None,
        converged=report.convergence.converged,
    )
    return StageResult(
        data=data,
        shown={
            **shown_of(data),
            "decision": report.decision or "not decided yet",
            "reason": report.reason,
            "minutes of people's time": round(found.spent_s / 60, 1) if found.timed else None,
            "does it still pay": report.convergence.reason,
            "recognisers": [
                {
                    "recogniser": each.name,
                    "system": each.system,
                    "church WER (%)": _percent(each.church),
                    "from": _percent(each.church, "low"),
                    "to": _percent(each.church, "high"),
                    "general WER (%)": _percent(each.general),
                    "this cycle's adapter beside it": each.beside.reason if each.beside else None,
                }
                for each in report.heard
            ],
            "cycles": [_row(point) for point in report.history],
        },
    )


def _report(facts: CycleFacts, warnings: Sequence[str]) -> CycleReport:
    decided = facts.decisions.get(facts.cycle)
    not_yet = _NOT_DECIDED if facts.cycle in facts.adapters else _NO_ADAPTER
    return CycleReport(
        cycle=facts.cycle,
        decision=decided["decision"] if decided else None,
        reason=decided["reason"] if decided else not_yet,
        reviewed=facts.reviewed(warnings),
        heard=facts.heard(),
        waiting=facts.waiting(),
        convergence=facts.convergence,
        history=facts.history,
        left_out=facts.on_another_test,
    )


def _level(report: CycleReport) -> Level:
    """Choose how a list of pages shows it, in the words that it has for evaluations."""
    if report.decision == "promoted":
        return "better"
    if report.decision is None:
        return "nothing"
    compared = [each.beside for each in report.heard if each.beside is not None]
    return "worse" if compared and compared[-1].better == "a" else "undecided"


def _row(point: CyclePoint) -> dict[str, Any]:
    return {
        "cycle": point.cycle,
        "base WER (%)": _percent(point.base),
        "adapter WER (%)": _percent(point.adapter),
        "promoted": point.promoted,
        "WER of what serves after it (%)": _percent(point.champion),
    }


def _percent(found: Interval | None, end: str = "value") -> float | None:
    value = getattr(found, end) if found is not None else None
    return None if value is None else round(100 * value, 2)
