"""One page that says what a cycle of the loop was: what people reviewed, what it cost, what it bought, and what next.

It is made like the pages of the evaluations: one HTML file without scripts, for people who know no statistics.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from stt_platform.evaluation.intervals import Interval
from stt_platform.evaluation.paired import Comparison
from stt_platform.evaluation.report import Curve, curves_section, render_page
from stt_platform.evaluation.report_pictures import Point, Shade, escaped, gain_picture
from stt_platform.feedback.convergence import Convergence
from stt_platform.feedback.pictures import CyclePoint

Decision = Literal["promoted", "kept", "undecided"]

# sign, name, what it means, class of the box
_DECISIONS: Mapping[Decision | None, tuple[str, str, str, str]] = {
    "promoted": ("✓", "Promoted", "What was learned in this cycle serves from now on.", "better"),
    "kept": ("=", "Not promoted", "What served before goes on serving.", "undecided"),
    "undecided": (
        "?",
        "Undecided",
        "Nobody can say yet which is better: what served before goes on serving.",
        "undecided",
    ),
    None: ("…", "Not decided yet", "The cycle is not finished.", "undecided"),
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
    """What the page is called."""
    return f"Cycle {report.cycle} of the loop"


def in_a_sentence(report: CycleReport) -> str:
    """What the page comes to, for a list of pages."""
    _, name, _, _ = _DECISIONS[report.decision]
    found = report.reviewed
    minutes = f" in {_minutes(found.spent_s)}" if found.timed else ""
    return f"{name}: {report.reason.removesuffix('.')}. {found.answers:,} answers{minutes}."


def render_cycle(report: CycleReport) -> str:
    """The page as one HTML file, made as `render_report` makes one."""
    return render_page(
        cycle_title(report),
        [
            f'<h1>{escaped(cycle_title(report))}</h1><p class="quiet">What people reviewed, what it cost, what it bought, and '
            "what next.</p>",
            _decision(report),
            _reviewed(report.reviewed),
            _cost(report.reviewed),
            _bought(report.heard),
            _over_the_cycles(report),
            _next(report),
        ],
    )


def _decision(report: CycleReport) -> str:
    sign, name, meaning, shade = _DECISIONS[report.decision]
    figures = [
        (f"WER, {each.name}", each.church) for each in report.heard if each.church and each.church.value is not None
    ]
    tiles = "".join(
        f"<div><dt>{escaped(what)}</dt><dd>{_percent(found.value)}<small>{escaped(_span(found))}</small></dd></div>"
        for what, found in figures
    )
    return (
        f'<section class="verdict {shade}" aria-label="Decision"><p class="level"><span class="sign" aria-hidden="true">{sign}'
        f"</span> {name}</p><p>{meaning}</p>"
        + (f'<dl class="figures">{tiles}</dl>' if tiles else "")
        + f"<p>{escaped(report.reason)}</p></section>"
    )


def _reviewed(found: Reviewed) -> str:
    edits = f"{found.word_edits:,} of {found.proposal_words:,}" if found.proposal_words else f"{found.word_edits:,}"
    facts = [
        ("Asked about", f"{found.asked:,} segments, {found.answered:,} of them answered"),
        ("New answers, on the list or not", f"{found.answers:,}"),
        ("Text corrected", f"{found.changed:,}"),
        ("Text was right", f"{found.unchanged:,}"),
        ("Not usable", f"{found.unusable:,}"),
        ("No answer", f"{found.not_counted:,} (skipped, empty, or not ours)" if found.not_counted else ""),
        ("Words put right", edits),
        ("WER of all texts, by those drawn at random", _rate(found.pool)),
    ]
    warnings = "".join(f"<li>{escaped(words)}</li>" for words in found.warnings)
    more = f"<h3>Look at these</h3><ul>{warnings}</ul>" if warnings else ""
    return f"<h2>What was reviewed</h2>{_facts(facts)}{more}"


def _cost(found: Reviewed) -> str:
    if found.timed:
        spent = f"{_minutes(found.spent_s)}, measured in {found.timed:,} of {found.answers:,} answers"
    elif found.answers:
        spent = "the tools did not tell; "
        spent += f"answers to {found.answered:,} segments of the list are expected to take {_minutes(found.expected_s)}"
    else:
        spent = "nothing was answered"
    each = _minutes(found.spent_s / found.word_edits) if found.timed and found.word_edits else ""
    training = "" if found.training_s is None else _minutes(found.training_s)
    facts = [("People's time", spent), ("For each word put right", each), ("Training", training)]
    return f"<h2>What it cost</h2>{_facts(facts)}"


def _bought(heard: Sequence[Heard]) -> str:
    if not heard:
        return "<h2>What it bought</h2><p>Nothing was measured yet.</p>"
    reach = _reach([each.beside for each in heard if each.beside is not None])
    heads = ("Recogniser", "WER on the church test", "WER on general speech", "This cycle's adapter beside it")
    head = "".join(f'<th scope="col">{name}</th>' for name in heads)
    body = "".join(
        f'<tr><th scope="row">{escaped(each.name)}<small>{escaped(each.system)}</small></th>'
        + "".join(
            f'<td data-name="{name}"><div>{cell}</div></td>'
            for name, cell in zip(
                heads[1:], (_cell(each.church), _cell(each.general), _beside(each.beside, reach)), strict=True
            )
        )
        + "</tr>"
        for each in heard
    )
    told = (
        "WER: of 100 spoken words, so many are wrong, missing or added. The small numbers are the interval that holds the "
        "true value. A difference is drawn beside a line for “no difference”: ← worse, better →."
    )
    return (
        f'<h2>What it bought</h2><div class="wide"><table class="scores"><thead><tr>{head}</tr></thead><tbody>{body}</tbody>'
        f'</table></div><p class="quiet">{told}</p>'
    )


def _beside(found: Comparison | None, reach: float) -> str:
    if found is None:
        return "–"
    if found.difference is None:
        return escaped(f"not compared: {found.missing}")
    shade: Shade = {"a": "worse", "b": "better", "undecided": "undecided"}[found.better]
    points = f"{100 * found.difference:+.1f} points".replace("-", "−")
    ends = [-end for end in (found.low, found.high) if end is not None]
    low, high = (min(ends), max(ends)) if len(ends) == 2 else (None, None)
    picture = gain_picture(-found.difference, low, high, reach=reach, shade=shade, label=f"{points} WER: {shade}")
    return (
        f'{picture}{escaped(points)} <span class="word-{shade}">{shade}</span>'
        f"<small>{escaped(_span_of(found) if found.decidable else found.missing)}</small>"
    )


def _over_the_cycles(report: CycleReport) -> str:
    if not any(
        found and found.value is not None for point in report.history for found in (point.adapter, point.champion)
    ):
        return ""
    serving = tuple(_point(point.cycle, point.champion) for point in report.history)
    trained = tuple(_point(point.cycle, point.adapter) for point in report.history)
    curves = [
        Curve("WER of what serves after the cycle", "%", serving),
        Curve("WER of the adapter of the cycle", "%", trained),
    ]
    left_out = ", ".join(map(str, report.left_out))
    note = f"<p>Measured on another test, and so not shown: cycle {left_out}.</p>" if left_out else ""
    return curves_section(curves) + note


def _next(report: CycleReport) -> str:
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
    lines.append(f"{stop}{report.convergence.reason}.")
    return "<h2>What next</h2><ul>" + "".join(f"<li>{escaped(line)}</li>" for line in lines) + "</ul>"


def _facts(rows: Sequence[tuple[str, str]]) -> str:
    cells = "".join(
        f'<tr><th scope="row">{escaped(name)}</th><td>{escaped(text)}</td></tr>' for name, text in rows if text
    )
    return f'<div class="wide"><table class="facts"><tbody>{cells}</tbody></table></div>'


def _point(cycle: int, found: Interval | None) -> Point:
    return Point(cycle, None) if found is None else Point(cycle, found.value, found.low, found.high)


def _reach(compared: Sequence[Comparison]) -> float:
    ends = [abs(end) for each in compared for end in (each.difference, each.low, each.high) if end is not None]
    return 1.08 * max([*ends, 1e-9])


def _rate(found: Interval | None) -> str:
    if found is None:
        return "not measured"
    if found.value is None:
        return f"not measured: {found.reason}" if found.reason else "not measured"
    return f"{_percent(found.value)} ({_span(found)})"


def _cell(found: Interval | None) -> str:
    if found is None or found.value is None:
        return escaped(_rate(found))
    return f"{_percent(found.value)}<small>{escaped(_span(found))}</small>"


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
