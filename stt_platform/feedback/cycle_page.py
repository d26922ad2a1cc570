"""One page that says what a cycle of the loop was: what people reviewed, what it cost, what it bought, and what next.

It is made like the pages of the evaluations: one HTML file without scripts, for people who know no statistics.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

from stt_platform.evaluation.evaluation_report import Cell, Curve, Row, Table, drawn_curves, drawn_gain, reach_of
from stt_platform.evaluation.intervals import Interval
from stt_platform.evaluation.paired import Comparison
from stt_platform.evaluation.report_pictures import Point
from stt_platform.evaluation.report_templates import fill
from stt_platform.feedback.convergence import Convergence
from stt_platform.feedback.pictures import CyclePoint

_TEMPLATE = Path(__file__).parent / "templates" / "cycle_report.html.j2"

Decision = Literal["promoted", "kept", "undecided"]


class _DecisionWords(NamedTuple):
    sign: str
    name: str
    meaning: str
    shade: str


_DECISIONS: Mapping[Decision | None, _DecisionWords] = {
    "promoted": _DecisionWords("✓", "Promoted", "What was learned in this cycle serves from now on.", "better"),
    "kept": _DecisionWords("=", "Not promoted", "What served before goes on serving.", "undecided"),
    "undecided": _DecisionWords(
        "?", "Undecided", "Nobody can say yet which is better: what served before goes on serving.", "undecided"
    ),
    None: _DecisionWords("…", "Not decided yet", "The cycle is not finished.", "undecided"),
}


@dataclass(frozen=True)
class Reviewed:
    """What people did in a cycle.

    Attributes:
        asked: segments of the list; `answered` of them were.
        answers: new ones, also to what was not on the list; of them `changed` and `unchanged` say what was heard, and
            `unusable` that the segment cannot be used.
        not_counted: what came in and is no answer (skipped, empty, foreign).
        word_edits: words that were put right; `proposal_words` of how many.
        spent_s: what the tools measured, of `timed` answers.
        expected_s: what so many answers to the list were expected to take.
        training_s: what training took; None where it is not known.
        warnings: about reviewers, in words.
        pool: WER of all texts that could be asked about, by the answers to what was drawn at random.
    """

    asked: int
    answered: int
    answers: int
    changed: int
    unchanged: int
    unusable: int
    not_counted: int
    word_edits: int
    proposal_words: int
    spent_s: float
    timed: int
    expected_s: float
    training_s: float | None
    warnings: tuple[str, ...]
    pool: Interval


@dataclass(frozen=True)
class Heard:
    """A recogniser with its WER on the church test and on general speech; None where it was not measured there.

    Attributes:
        beside: this cycle's adapter beside it (it is a, the adapter b) on the church test; None for the adapter itself.
    """

    name: str
    system: str
    church: Interval | None
    general: Interval | None
    beside: Comparison | None = None


@dataclass(frozen=True)
class Waiting:
    """What can still be asked about: segments of the list without an answer, others, and the time for all."""

    on_the_list: int
    others: int
    review_s: float


@dataclass(frozen=True)
class CycleReport:
    """All that the page of a cycle shows.

    Attributes:
        decision: None where nobody decided yet; `reason` in words.
        heard: the base model, what served before where that is another, and this cycle's adapter, if they were measured.
        waiting: None where no list was made.
        history: every cycle up to this one, on the same test.
        left_out: cycles that were measured on another test.
    """

    cycle: int
    decision: Decision | None
    reason: str
    reviewed: Reviewed
    heard: tuple[Heard, ...]
    waiting: Waiting | None
    convergence: Convergence
    history: tuple[CyclePoint, ...]
    left_out: tuple[int, ...] = ()


def cycle_title(report: CycleReport) -> str:
    """Return what the page is called."""
    return f"Cycle {report.cycle} of the loop"


def in_a_sentence(report: CycleReport) -> str:
    """Return what the page comes to, for a list of pages."""
    found = report.reviewed
    minutes = f" in {_minutes(found.spent_s)}" if found.timed else ""
    name = _DECISIONS[report.decision].name
    return f"{name}: {report.reason.removesuffix('.')}. {found.answers:,} answers{minutes}."


def render_cycle(report: CycleReport) -> str:
    """Return the page as one HTML file, made as `render_report` makes one."""
    reach = reach_of(each.beside for each in report.heard if each.beside is not None)
    points = [(point.cycle, point.champion, point.adapter) for point in report.history]
    curves = [
        Curve("WER of what serves after the cycle", "%", tuple(_point(cycle, found) for cycle, found, _ in points)),
        Curve("WER of the adapter of the cycle", "%", tuple(_point(cycle, found) for cycle, _, found in points)),
    ]
    measured = any(point.value is not None for curve in curves for point in curve.points)
    return fill(
        _TEMPLATE,
        title=cycle_title(report),
        report=report,
        decision=_DECISIONS[report.decision],
        tiles=[
            (f"WER, {each.name}", _percent(each.church.value), _span(each.church))
            for each in report.heard
            if each.church and each.church.value is not None
        ],
        reviewed=_reviewed(report.reviewed),
        cost=_cost(report.reviewed),
        scores=Table(
            "scores",
            ("Recogniser", "WER on the church test", "WER on general speech", "This cycle's adapter beside it"),
            [
                Row(each.name, each.system, (_cell(each.church), _cell(each.general), _beside(each.beside, reach)))
                for each in report.heard
            ],
        ),
        drawn=drawn_curves(curves) if measured else [],
        next=_next(report),
    )


def _reviewed(found: Reviewed) -> list[tuple[str, str]]:
    edits = f"{found.word_edits:,} of {found.proposal_words:,}" if found.proposal_words else f"{found.word_edits:,}"
    return [
        ("Asked about", f"{found.asked:,} segments, {found.answered:,} of them answered"),
        ("New answers, on the list or not", f"{found.answers:,}"),
        ("Text corrected", f"{found.changed:,}"),
        ("Text was right", f"{found.unchanged:,}"),
        ("Not usable", f"{found.unusable:,}"),
        ("No answer", f"{found.not_counted:,} (skipped, empty, or not ours)" if found.not_counted else ""),
        ("Words put right", edits),
        ("WER of all texts, by those drawn at random", _rate(found.pool)),
    ]


def _cost(found: Reviewed) -> list[tuple[str, str]]:
    if found.timed:
        spent = f"{_minutes(found.spent_s)}, measured in {found.timed:,} of {found.answers:,} answers"
    elif found.answers:
        spent = "the tools did not tell; "
        spent += f"answers to {found.answered:,} segments of the list are expected to take {_minutes(found.expected_s)}"
    else:
        spent = "nothing was answered"
    each = _minutes(found.spent_s / found.word_edits) if found.timed and found.word_edits else ""
    training = "" if found.training_s is None else _minutes(found.training_s)
    return [("People's time", spent), ("For each word put right", each), ("Training", training)]


def _beside(found: Comparison | None, reach: float) -> Cell:
    if found is None:
        return Cell("–")
    if found.difference is None:
        return Cell(f"not compared: {found.missing}")
    points = f"{100 * found.difference:+.1f} points".replace("-", "−")
    why = _span_of(found) if found.decidable else found.missing
    return Cell(points, (why,), drawn_gain(found, f"{points} WER", reach))


def _next(report: CycleReport) -> list[str]:
    waiting = report.waiting
    lines = []
    if waiting is None:
        lines.append("No list of segments was made for this cycle: run flagged_segments.")
    else:
        if waiting.on_the_list:
            lines.append(f"{waiting.on_the_list:,} segments of the list wait for an answer.")
        all_of_it = f"all of that would take {_minutes(waiting.review_s)}"
        lines.append(
            f"{waiting.others:,} more may be asked about in later cycles; {all_of_it}."
            if waiting.others
            else "There is nothing else to ask about: new sermons bring new segments."
        )
    stop = "The loop has converged: " if report.convergence.converged else "Does it still pay? "
    return [*lines, f"{stop}{report.convergence.reason}."]


def _point(cycle: int, found: Interval | None) -> Point:
    return Point(cycle, None) if found is None else Point(cycle, found.value, found.low, found.high)


def _rate(found: Interval | None) -> str:
    if found is None:
        return "not measured"
    if found.value is None:
        return f"not measured: {found.reason}" if found.reason else "not measured"
    return f"{_percent(found.value)} ({_span(found)})"


def _cell(found: Interval | None) -> Cell:
    return Cell(_rate(found)) if found is None or found.value is None else Cell(_percent(found.value), (_span(found),))


def _span(found: Interval) -> str:
    if found.low is None or found.high is None:
        return found.reason or "no interval"
    return f"{100 * found.low:.1f} to {_percent(found.high)}"


def _span_of(found: Comparison) -> str:
    if found.low is None or found.high is None:
        return "no interval"
    return f"{100 * found.low:+.1f} to {100 * found.high:+.1f} points, {found.n} sermons".replace("-", "−")


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def _minutes(seconds: float) -> str:
    if seconds < 99.5:
        return f"{seconds:.0f} s"
    minutes = seconds / 60
    return f"{minutes:.0f} minutes" if minutes < 120 else f"{minutes / 60:.1f} hours"
