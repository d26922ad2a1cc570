"""What a cycle of the loop cost and bought, on one page: the asset `cycle_report`."""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from stt_platform.defs.corpus import corpus_stage
from stt_platform.defs.cycles import CYCLES
from stt_platform.defs.feedback.cycle_facts import CycleFacts, read_cycle
from stt_platform.defs.platform import Platform
from stt_platform.defs.shown import page, picture, table
from stt_platform.defs.work import Work
from stt_platform.evaluation.intervals import Interval
from stt_platform.evaluation.report import Level
from stt_platform.feedback.cycle_page import CycleReport, cycle_title, in_a_sentence, render_cycle
from stt_platform.feedback.pictures import CyclePoint, cycles_picture
from stt_platform.settings import Settings
from stt_platform.store.metadata import MetadataStore
from stt_platform.store.reports import ReportCard, published_report, write_report
from stt_platform.store.stages import StageOutput, StageResult

PICTURE = "cycles.png"

_NOT_DECIDED = "whether the adapter of this cycle serves was not decided yet: run speech_decision"
_NO_ADAPTER = "nothing was trained in this cycle yet"
_CORRECTED = """
select proposal as "was shown", text as "was said", word_edits as words, reviewer from corrections
where cycle = $cycle and status = 'accepted' and word_edits > 0 order by word_edits desc, chunk_id limit 10
"""


def report_name(cycle: str) -> str:
    """What the page of a cycle is called."""
    return f"cycle-{cycle}"


def _parameters(home: Path, settings: Settings, cycle: str) -> Mapping[str, Any]:
    facts = read_cycle(MetadataStore(home), settings, int(cycle))
    return {
        "cycle": cycle,
        "read": hashlib.sha256(repr(facts.read).encode()).hexdigest(),
        "judging": [settings.evaluation.confidence, settings.feedback.least_gain, settings.feedback.vain_cycles],
    }


def _metadata(platform: Platform, output: StageOutput) -> Mapping[str, Any]:
    number = output.facts["cycle"]
    drawn = output.folder / PICTURE
    hidden = ("cycle", "cycles", "recognisers")
    return {
        **{name: value for name, value in output.facts.items() if name not in hidden and value is not None},
        "report": page(platform, f"evaluation/{report_name(str(number))}"),
        **({"picture": picture(drawn, "the word error rate over the cycles")} if drawn.exists() else {}),
        "recognisers": table(output.facts["recognisers"]),
        "cycles": table(output.facts["cycles"]),
        "what was corrected most": table(platform.store.query(_CORRECTED, {"cycle": number}).to_pylist()),
    }


@corpus_stage(
    version="1",
    group="feedback",
    kinds={"report"},
    after=("flagged_segments", "corrections", "speech_evaluation", "speech_decision"),
    parameters=_parameters,
    parts=CYCLES,
    published=published_report(report_name("{part}")),
    metadata=_metadata,
    on_request=True,
)
def cycle_report(work: Work) -> StageResult:
    """What this cycle was: what people reviewed, what it cost them, what it bought, and what next.

    The WER of the base model, of what served before and of this cycle's adapter, each with its interval, on the frozen
    church test and on general speech; what was decided, and why; the curve over the cycles; how much waits to be asked
    about, and whether the loop still pays. It can be made at any time, and says what is not known yet.
    """
    facts = read_cycle(work.store, work.settings, int(work.part))
    report = _report(facts)
    level = _level(report)
    adapter = facts.adapters.get(facts.cycle)
    card = ReportCard(
        name=report_name(work.part),
        title=cycle_title(report),
        subject="speech",
        system=adapter.identity if adapter is not None else "",
        level=level,
        words=in_a_sentence(report),
        evaluation_id=facts.evaluation_id,
    )
    write_report(work.folder, render_cycle(report), card)
    if any(_value(point.base) or _value(point.adapter) for point in report.history):
        (work.folder / PICTURE).write_bytes(cycles_picture(report.history))
    found, waiting = report.reviewed, report.waiting
    return StageResult(
        facts={
            "cycle": facts.cycle,
            "decision": report.decision or "not decided yet",
            "reason": report.reason,
            "answers": found.answers,
            "answered of those asked about": f"{found.answered} of {found.asked}",
            "words put right": found.word_edits,
            "minutes of people's time": round(found.spent_s / 60, 1) if found.timed else None,
            "segments that wait": waiting.on_the_list + waiting.others if waiting is not None else None,
            "converged": report.convergence.converged,
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
        }
    )


def _report(facts: CycleFacts) -> CycleReport:
    decided = facts.decisions.get(facts.cycle)
    not_yet = _NOT_DECIDED if facts.cycle in facts.adapters else _NO_ADAPTER
    return CycleReport(
        cycle=facts.cycle,
        decision=decided["decision"] if decided else None,
        reason=decided["reason"] if decided else not_yet,
        reviewed=facts.reviewed(),
        heard=facts.heard(),
        waiting=facts.waiting(),
        convergence=facts.convergence,
        history=facts.history,
        left_out=facts.on_another_test,
    )


def _level(report: CycleReport) -> Level:
    """How a list of pages shows it, in the words that it has for evaluations."""
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


def _value(found: Interval | None) -> bool:
    return found is not None and found.value is not None
