"""One page that says what was measured of a model, how sure it is, and what it does not say.

It is a single HTML file without scripts or addresses, for people who know neither the metrics nor statistics: the
verdict is on top, each number has its interval, and what was not measured is said.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Literal, NamedTuple

from stt_platform.evaluation.intervals import Interval
from stt_platform.evaluation.paired import Comparison, NonInferiority
from stt_platform.evaluation.report_pictures import CurvePicture, Gain, Point, Shade, curve_picture
from stt_platform.evaluation.report_templates import DIFFERENCE, fill
from stt_platform.evaluation.terminology import HintMode, SixResult, TermCounts
from stt_platform.evaluation.trust import ArchaismRate, ProbeResult, what_scripture_scores_do_not_say

_TEMPLATE = Path(__file__).parent / "templates" / "evaluation_report.html.j2"
_MAX_WORDS = 80
_NOISE = 1e-9
_MODES: dict[HintMode, str] = {
    "no_hints": "without hints",
    "hinted": "with hints",
    "random_hints": "with hints to other terms",
}

Level = Literal["better", "worse", "mixed", "undecided", "alone", "invalid", "nothing"]


@dataclass(frozen=True)
class LevelWords:
    """How a level is shown, so that nobody has to tell colours apart.

    Attributes:
        sign: one character, each level its own.
        name: a word or two.
        meaning: what it comes to for someone who has to do something about it.
    """

    sign: str
    name: str
    meaning: str


LEVELS: Mapping[Level, LevelWords] = {
    "better": LevelWords("✓", "Better", "It does better than its base, by more than chance explains."),
    "worse": LevelWords(
        "✗", "Worse", "It does worse than its base, by more than chance explains: keep the base model."
    ),
    "mixed": LevelWords(
        "±",
        "Better here, worse elsewhere",
        "It has learned the church's language and has forgotten some of the rest: keep the base model, or train again "
        "with more general examples.",
    ),
    "undecided": LevelWords("?", "Undecided", "Nobody can say yet which of the two is better: measure on more."),
    "alone": LevelWords("○", "A base model", "There is nothing to compare it with; a trained one has to beat this."),
    "invalid": LevelWords("!", "Not valid", "A model knows what it was trained on: the numbers below say nothing."),
    "nothing": LevelWords("–", "No score", "There is no number to go by."),
}


@dataclass(frozen=True)
class Subject:
    """What was measured on what; empty parts are left out of the page.

    Attributes:
        adapter: empty where a base model is measured by itself.
        revision: of the adapter, or of the model without one.
        test_set: in words that end "on the …", such as "church test".
        data_hash: of the test set.
        decoding: (parameter, value).
        more: other (name, value) pairs, such as the date.
    """

    model: str
    test_set: str
    adapter: str = ""
    revision: str = ""
    data_hash: str = ""
    prompt: str = ""
    decoding: tuple[tuple[str, str], ...] = ()
    more: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Measure:
    """A measure of the base model and of the adapter beside it.

    Attributes:
        name: as the page shows it, such as "WER", "chrF++".
        unit: "%" where values are fractions (they are shown times 100); else what stands behind the number.
        base, adapter: None where it was not scored.
        comparison: base as a, adapter as b; None where they were not compared.
        clusters: what `n` counts: "sermons", "segments".
        explanation: what it measures, in a few words.
        lower_is_better: of the score.

    Raises:
        ValueError: the comparison takes the other direction for better.
    """

    name: str
    unit: str
    base: Interval | None
    adapter: Interval | None = None
    comparison: Comparison | None = None
    clusters: str = "sermons"
    explanation: str = ""
    lower_is_better: bool = True

    def __post_init__(self) -> None:
        if self.comparison is not None and self.comparison.lower_is_better != self.lower_is_better:
            raise ValueError(
                f"measure {self.name!r} has lower_is_better={self.lower_is_better} and its comparison the opposite: "
                "give both the same"
            )


@dataclass(frozen=True)
class Slice:
    """A measure on a part of the test set: `kind` is "genre", "view" or "hint mode", `name` which one."""

    kind: str
    name: str
    measure: Measure


@dataclass(frozen=True)
class GeneralSet:
    """A set from outside the church, and whether the adapter is not worse there (`non_inferior`; None without one)."""

    name: str
    measure: Measure
    judged: NonInferiority | None = None


@dataclass(frozen=True)
class Example:
    """One text, what should have come out and what did.

    Attributes:
        name: where it is from.
        hypothesis: of the system that the report is about; `base` that of its base model, None without one.
        source: the text that was translated; empty for speech.
        note: such as its score.
    """

    name: str
    reference: str
    hypothesis: str
    base: str | None = None
    source: str = ""
    note: str = ""


@dataclass(frozen=True)
class TermPair:
    """Terms counted for the base model and the adapter; None where one was not judged."""

    base: TermCounts | None
    adapter: TermCounts | None = None


@dataclass(frozen=True)
class Terms:
    """How terms were rendered.

    Attributes:
        all_terms: every term on held-out text, without hints.
        modes: the hinted terms in each mode, as `hinted_terms` lists them.
        six: the six sentences.
    """

    all_terms: TermPair | None = None
    modes: tuple[tuple[HintMode, TermPair], ...] = ()
    six: tuple[SixResult, ...] = ()


@dataclass(frozen=True)
class Trust:
    """What to think of scores on scripture.

    Attributes:
        archaisms: (whose text, rate), such as the base model's, the adapter's, the reference's.
        probe: whether the base model knows the text by heart; None where it was not asked.
    """

    archaisms: tuple[tuple[str, ArchaismRate], ...] = ()
    probe: ProbeResult | None = None


@dataclass(frozen=True)
class Curve:
    """A measure over training cycles, in the units of `Measure`."""

    name: str
    unit: str
    points: tuple[Point, ...]
    lower_is_better: bool = True


@dataclass(frozen=True)
class NotScored:
    """So many texts or measures that have no score, and why."""

    what: str
    reason: str
    count: int = 1


@dataclass(frozen=True)
class Report:
    """All that a page shows. What is empty is left out, or the page says that it is not known.

    Attributes:
        measures: on the test set; the first decides the verdict.
        test_set_touched: whether the test set may not be trusted (a sermon of it was trained on); makes any verdict void.
        test_set_problem: in what it was touched, in words; empty where it was not.
        best, worst: examples, in the order of the page.
        trust: given where the test set is scripture.
        signatures: (metric, signature).
        language: of references and hypotheses, as in HTML's `lang`.

    Raises:
        ValueError: a test set that was touched without words for it, or the other way round.
    """

    title: str
    subject: Subject
    measures: tuple[Measure, ...] = ()
    test_set_touched: bool = False
    test_set_problem: str = ""
    general: GeneralSet | None = None
    slices: tuple[Slice, ...] = ()
    best: tuple[Example, ...] = ()
    worst: tuple[Example, ...] = ()
    terms: Terms | None = None
    trust: Trust | None = None
    curves: tuple[Curve, ...] = ()
    not_scored: tuple[NotScored, ...] = ()
    signatures: tuple[tuple[str, str], ...] = ()
    language: str = "en"

    def __post_init__(self) -> None:
        if self.test_set_touched != bool(self.test_set_problem):
            raise ValueError(
                f"test_set_touched is {self.test_set_touched} and the problem {self.test_set_problem!r}: give both or neither"
            )


class Cell(NamedTuple):
    """A cell of a table: its text, small lines below, a drawing above, and the language of the text where it is not English."""

    text: str
    small: tuple[str, ...] = ()
    gain: Gain | None = None
    lang: str = ""


class Row(NamedTuple):
    """A row of a table: its heading, a small line below that, and a cell for each further head."""

    name: str
    about: str
    cells: tuple[Cell, ...]


class Table(NamedTuple):
    """A table; `kind` is its class in the style of the page."""

    kind: str
    heads: tuple[str, ...]
    rows: Sequence[Row]


@dataclass(frozen=True)
class Verdict:
    """What a report comes to.

    Attributes:
        level: 'mixed' is better on the test set and worse on the general one; 'alone' a base model without an
            adapter; 'invalid' a test set that may not be trusted; 'nothing' no score at all.
        words: one sentence, or two with the general set.
    """

    level: Level
    words: str


@dataclass(frozen=True)
class Piece:
    """Words of two texts: in both, only in the reference (missing), or only in the hypothesis (extra)."""

    kind: Literal["same", "missing", "extra"]
    text: str


def marked_difference(reference: str, hypothesis: str) -> list[Piece]:
    """What a hypothesis leaves out of its reference and what it adds, word by word, in reading order.

    Words are aligned with the fewest errors (jiwer), as the word error rate counts them, but without regard to case
    and to signs at their ends. A wrong word is a missing piece and then an extra one. Of a word that both have, the
    hypothesis gives the spelling, so that pieces without the missing ones are the hypothesis.
    """
    wanted, made = reference.split(), hypothesis.split()
    if not wanted or not made:
        pieces = [Piece("missing", " ".join(wanted)), Piece("extra", " ".join(made))]
        return [piece for piece in pieces if piece.text]
    import jiwer

    found = jiwer.process_words(" ".join(map(_bare, wanted)), " ".join(map(_bare, made)))
    pieces = []
    for chunk in found.alignments[0]:
        of_reference = " ".join(wanted[chunk.ref_start_idx : chunk.ref_end_idx])
        of_hypothesis = " ".join(made[chunk.hyp_start_idx : chunk.hyp_end_idx])
        if chunk.type == "equal":
            pieces.append(Piece("same", of_hypothesis))
            continue
        pieces += [Piece(kind, text) for kind, text in (("missing", of_reference), ("extra", of_hypothesis)) if text]
    return list(_wrong_words_together(pieces))


def verdict(report: Report) -> Verdict:
    """What the first measure says, and whether the general set agrees; the page shows it on top."""
    on = f"on the {report.subject.test_set}"
    if report.test_set_touched:
        return Verdict("invalid", f"Not valid {on}: {report.test_set_problem.removesuffix('.')}.")
    main = report.measures[0] if report.measures else None
    if not report.subject.adapter:
        if main is None or main.base is None or main.base.value is None:
            return Verdict("nothing", f"Nothing could be scored {on}{_why(main and main.base)}.")
        return Verdict("alone", f"A base model by itself {on}: {main.name} {_valued(main.base, main)}.")
    compared = main.comparison if main is not None else None
    if main is None or compared is None or compared.difference is None:
        why = _why(main and (main.adapter or main.base)) or (f": {compared.missing}" if compared else "")
        return Verdict("nothing", f"Nothing was compared {on}{why}.")
    found = f"{_gap(main)}, {_count(compared.n, main.clusters)}"
    if compared.better == "undecided":
        if not compared.decidable:
            said = f"Undecided {on}, because {compared.missing}. Measured so far: {found}."
            return Verdict("undecided", said + _general_words(report.general, agrees=False))
        said = f"Undecided {on}, because the difference may be chance: {found}, {_test(compared)}."
        return Verdict("undecided", said + _general_words(report.general, agrees=False))
    better = compared.better == "b"
    said = f"{'Better' if better else 'Worse'} than its base {on}: {found}, {_test(compared)}."
    judged = report.general.judged if report.general is not None else None
    lost = judged is not None and judged.verdict == "worse"
    level = "worse" if not better else "mixed" if lost else "better"
    return Verdict(level, said + _general_words(report.general, agrees=better))


def render_report(report: Report) -> str:
    """Return the page as one HTML file: no script, nothing from elsewhere, every text escaped. The same for the same report.

    A policy inside the page forbids all but its own style, so that it is safe to open from a folder too. A server
    that sends a policy of its own has to allow that style: `style_source()`.
    """
    compared, found, terms = bool(report.subject.adapter), verdict(report), report.terms
    main = report.measures[0] if report.measures and found.level not in ("invalid", "nothing") else None
    intervals = [i for m in report.measures for i in (m.base, m.adapter) if i is not None and i.low is not None]
    kinds = dict.fromkeys(item.kind for item in report.slices)
    pair = terms.all_terms if terms is not None else None
    judged = report.general.judged if report.general is not None else None
    return fill(
        _TEMPLATE,
        title=report.title,
        report=report,
        compared=compared,
        verdict=found,
        level=LEVELS[found.level],
        main=main,
        tiles=_figures(main, compared) if main is not None else [],
        confidence=" or ".join(sorted({_percent(interval.confidence) for interval in intervals})),
        scores=_scores([(m.name, m.explanation, m) for m in report.measures], "Measure", compared),
        general=report.general
        and _scores(
            [(report.general.measure.name, report.general.name, report.general.measure)],
            "Measure",
            compared,
            margin=judged.margin if judged is not None else None,
        ),
        judged=_capitalised(_judged_words(report.general)) if judged is not None else "",
        parts=[
            (
                kind,
                _scores(
                    [(s.name, s.measure.name, s.measure) for s in report.slices if s.kind == kind],
                    _capitalised(kind),
                    compared,
                ),
            )
            for kind in kinds
        ],
        terms=_term_table(terms, compared) if terms is not None else None,
        ceiling=pair and (pair.adapter or pair.base),
        six=_six_table(terms.six) if terms is not None else None,
        limits=what_scripture_scores_do_not_say(),
        archaisms=[
            (who, rate, _most_seen(rate))
            for who, rate in (report.trust.archaisms if report.trust is not None else ())
            if rate.text_rate is not None
        ],
        drawn=drawn_curves(report.curves),
        rows=_facts(report.subject),
        how_made=_how_made,
        first_pieces=_first_pieces,
        cut=_cut,
        percent=_percent,
    )


def _bare(word: str) -> str:
    return re.sub(r"^\W+|\W+$", "", word).casefold() or word


def _wrong_words_together(pieces: Iterable[Piece]) -> Iterable[Piece]:
    """Between two pieces that are the same, all missing words before all extra ones."""
    for same, run in groupby(pieces, key=lambda piece: piece.kind == "same"):
        listed = list(run)
        if same:
            yield from listed
            continue
        for kind in ("missing", "extra"):
            if text := " ".join(piece.text for piece in listed if piece.kind == kind):
                yield Piece(kind, text)


def _figures(measure: Measure, compared: bool) -> list[tuple[str, str, str]]:
    """The scores and their difference: (name, value, interval)."""
    scores = [("Base", measure.base), ("Adapter", measure.adapter)] if compared else [("", measure.base)]
    tiles = []
    for who, interval in scores:
        if interval is not None and interval.value is not None:
            value, span = _value_parts(interval, measure.unit)
            tiles.append((f"{who} {measure.name}".strip(), value, span or "no interval"))
    if compared and measure.comparison is not None and measure.comparison.difference is not None:
        value, span = _gap_parts(measure)
        tiles.append(("Difference", value, span or "no interval"))
    return tiles


def _facts(subject: Subject) -> list[tuple[str, str]]:
    return [
        ("Model", subject.model),
        ("Adapter", subject.adapter or "none: the base model is measured by itself"),
        ("Revision", subject.revision),
        ("Test set", subject.test_set),
        ("Hash of the test set", subject.data_hash),
        ("Prompt", subject.prompt),
        ("Decoding", ", ".join(f"{name} {value}" for name, value in subject.decoding)),
        *subject.more,
    ]


def _scores(rows: Sequence[tuple[str, str, Measure]], first: str, compared: bool, margin: float | None = None) -> Table:
    """A table of (name, about, measure), in which measures of one unit are drawn on one scale."""
    reach = {unit: _reach([m for _, _, m in rows if m.unit == unit], margin) for unit in {m.unit for _, _, m in rows}}
    made = []
    for name, about, measure in rows:
        way = "lower is better" if measure.lower_is_better else "higher is better"
        cells = [_value(measure.base, measure)]
        if compared:
            cells += [_value(measure.adapter, measure), _gain(measure, reach[measure.unit], margin)]
        made.append(Row(name, f"{about}; {way}" if about else way, tuple(cells)))
    heads = ("Base", "Adapter", DIFFERENCE) if compared else ("Value",)
    return Table("scores" if compared else "values", (first, *heads), made)


def _reach(measures: Sequence[Measure], margin: float | None) -> float:
    """The widest end of the decidable intervals: those of a few sermons are too wide to share a scale with."""
    compared = [m.comparison for m in measures if m.comparison is not None and m.comparison.difference is not None]
    return reach_of([item for item in compared if item.decidable] or compared, margin or 0.0)


def reach_of(compared: Iterable[Comparison], margin: float = 0.0) -> float:
    """Return the gain at the edge of a drawing that holds all of these, in the units of the scores."""
    ends = [abs(v) for item in compared for v in (item.difference, item.low, item.high) if v is not None]
    return 1.08 * max([*ends, margin, _NOISE])


def _value(interval: Interval | None, measure: Measure) -> Cell:
    if interval is None or interval.value is None:
        return Cell("not scored", (interval.reason,) if interval is not None else ())
    value, span = _value_parts(interval, measure.unit)
    if not span:
        return Cell(value, (f"no interval{_why(interval)}",))
    return Cell(value, (span, _count(interval.n, measure.clusters)))


def _gain(measure: Measure, reach: float, margin: float | None) -> Cell:
    compared = measure.comparison
    if compared is None or compared.difference is None:
        return Cell("not compared", (compared.missing,) if compared is not None else ())
    why = f"{_test(compared)}, {_count(compared.n, measure.clusters)}" if compared.decidable else compared.missing
    return Cell(_gap(measure, named=False), (why,), drawn_gain(compared, _gap(measure), reach, margin))


def drawn_gain(compared: Comparison, words: str, reach: float, margin: float | None = None) -> Gain:
    """Return the drawing of a difference of b to a, which `words` say."""
    shade: Shade = {"a": "worse", "b": "better", "undecided": "undecided"}[compared.better]
    sign = -1 if compared.lower_is_better else 1
    ends = [sign * end for end in (compared.low, compared.high) if end is not None]
    low, high = (min(ends), max(ends)) if len(ends) == 2 else (None, None)
    return Gain(sign * (compared.difference or 0.0), low, high, reach, shade, f"{words}: {shade}", margin)


def _how_made(measures: Sequence[Measure]) -> list[tuple[str, str]]:
    lines = []
    for measure in measures:
        made = [i.method for i in (measure.base, measure.adapter) if i is not None and i.method]
        made += [f"difference: {measure.comparison.method}"] if measure.comparison is not None else []
        if made:
            lines.append((measure.name, "; ".join(dict.fromkeys(made))))
    return lines


def _first_pieces(reference: str, hypothesis: str) -> tuple[list[Piece], str]:
    """The difference as far as a page shows it, and how many words are left out ("" for none)."""
    left, shown = _MAX_WORDS, []
    pieces = marked_difference(reference, hypothesis)
    for piece in pieces:
        words = piece.text.split()
        if left > 0:
            shown.append(Piece(piece.kind, " ".join(words[:left])))
        left -= len(words)
    return shown, f"{-left:,}" if left < 0 else ""


def _cut(text: str) -> str:
    words = text.split()
    rest = len(words) - _MAX_WORDS
    return " ".join(words[:_MAX_WORDS]) + (f" … and {rest:,} more words" if rest > 0 else "")


def _term_table(terms: Terms, compared: bool) -> Table | None:
    rows = [("All terms without hints", terms.all_terms)] if terms.all_terms is not None else []
    rows += [(f"Hinted terms {_MODES[mode]}", pair) for mode, pair in terms.modes]
    who = ("Base", "Adapter") if compared else ("Model",)
    heads = ("Terms", *who, *(f"Forbidden: {name.lower()}" for name in who))
    made = []
    for name, pair in rows:
        counts = (pair.base, pair.adapter) if compared else (pair.base,)
        made.append(Row(name, "", (*map(_accuracy, counts), *map(_forbidden, counts))))
    return Table("terms", heads, made) if made else None


def _accuracy(counts: TermCounts | None) -> Cell:
    if counts is None or counts.accuracy is None:
        return Cell("not judged")
    return Cell(_percent(counts.accuracy), (f"{counts.hits:,} of {counts.total:,}",))


def _forbidden(counts: TermCounts | None) -> Cell:
    return Cell("not judged" if counts is None or not counts.found else f"{counts.forbidden:,} of {counts.found:,}")


def _six_table(six: Sequence[SixResult]) -> Table:
    rows = [
        Row(
            item.sentence.en,
            "",
            (
                Cell(item.sentence.expected, lang="es"),
                Cell(_cut(item.hypothesis), lang="es") if item.hypothesis.strip() else Cell("nothing"),
                Cell("✓ found" if item.found else "✗ missing"),
            ),
        )
        for item in six
    ]
    return Table("six", ("Sentence", "Expected", "Translation", "Word"), rows)


def _most_seen(rate: ArchaismRate) -> str:
    seen = sorted((item for item in rate.markers if item.count), key=lambda item: (-item.count, item.marker))
    return f" (mostly {seen[0].marker}: “{seen[0].commonest[0][0]}”)" if seen and seen[0].commonest else ""


def drawn_curves(curves: Sequence[Curve]) -> list[tuple[str, CurvePicture | None]]:
    """Return the heading and the drawing of each curve; None where no cycle has a score."""
    made: list[tuple[str, CurvePicture | None]] = []
    for curve in curves:
        if all(point.value is None for point in curve.points):
            made.append((curve.name, None))
            continue
        factor = 100 if curve.unit == "%" else 1
        points = [
            Point(p.cycle, *(None if v is None else factor * v for v in (p.value, p.low, p.high))) for p in curve.points
        ]
        way = "lower is better" if curve.lower_is_better else "higher is better"
        axis = f"{curve.name}{f', {curve.unit}' if curve.unit else ''}; {way}"
        told = "; ".join(f"cycle {p.cycle}: {_point_words(p, curve.unit)}" for p in curve.points)
        made.append((axis, curve_picture(points, f"{axis}. {told}")))
    return made


def _point_words(point: Point, unit: str) -> str:
    if point.value is None:
        return "not scored"
    value, span = _value_parts(point, unit)
    return f"{value} ({span})" if span else f"{value}, no interval"


def _general_words(general: GeneralSet | None, *, agrees: bool) -> str:
    if general is None or general.judged is None:
        return ""
    joined = "And" if agrees == (general.judged.verdict == "not worse") else "But"
    return f" {joined} {_judged_words(general)}."


def _judged_words(general: GeneralSet) -> str:
    judged, measure = general.judged, general.measure
    on = f"on the general set ({general.name})"
    unit = "points " if measure.unit == "%" else ""
    if judged.bound is None:
        why = measure.comparison.missing if measure.comparison is not None else ""
        return f"whether it is worse {on} is undecided{f': {why}' if why else ''}"
    bound, margin = (_plain([v], measure.unit)[0] for v in (judged.bound, judged.margin))
    allowed = f"{margin} {unit}allowed"
    if judged.verdict == "not worse":
        if judged.bound <= 0:
            return f"it is not worse {on}"
        return f"it is not worse {on}: at most {bound} {unit}{measure.name} worse, {allowed}"
    if judged.verdict == "worse":
        return f"it is worse {on}: {_gap(measure)}, {allowed}"
    return f"whether it is worse {on} is undecided: it may be up to {bound} {unit}{measure.name} worse, {allowed}"


def _gap(measure: Measure, *, named: bool = True) -> str:
    value, span = _gap_parts(measure)
    text = f"{value} {measure.name}" if named else value
    return f"{text} ({span})" if span else text


def _gap_parts(measure: Measure) -> tuple[str, str]:
    """The difference with its unit, and its interval, empty where there is none."""
    compared = measure.comparison
    ends = [compared.low, compared.high] if compared.low is not None and compared.high is not None else []
    value, *bounds = _plain([compared.difference, *ends], measure.unit, signed=True)
    unit = " points" if measure.unit == "%" else f" {measure.unit}" if measure.unit else ""
    return f"{value}{unit}", f"{bounds[0]} to {bounds[1]}" if bounds else ""


def _valued(interval: Interval, measure: Measure) -> str:
    value, span = _value_parts(interval, measure.unit)
    if not span:
        return f"{value}, without an interval{_why(interval)}"
    return f"{value} ({span}), {_count(interval.n, measure.clusters)}"


def _value_parts(found: Interval | Point, unit: str) -> tuple[str, str]:
    """A value with its unit, and its interval, empty where there is none."""
    ends = [found.low, found.high] if found.low is not None and found.high is not None else []
    value, *bounds = _plain([found.value, *ends], unit)
    behind = f" {unit}" if unit else ""
    return f"{value}{behind}", f"{bounds[0]} to {bounds[1]}{behind}" if bounds else ""


def _test(compared: Comparison) -> str:
    name = f"{compared.test} " if compared.test else ""
    if compared.p_value is None:
        return "no p value"
    return f"{name}p < 0.001" if compared.p_value < 0.001 else f"{name}p = {compared.p_value:.2g}"


def _why(interval: Interval | None) -> str:
    return f": {interval.reason}" if interval is not None and interval.reason else ""


def _count(n: int, clusters: str) -> str:
    return f"{n:,} {clusters.removesuffix('s') if n == 1 else clusters}"


def _capitalised(text: str) -> str:
    return text[:1].upper() + text[1:]


def _plain(values: Sequence[float], unit: str, *, signed: bool = False) -> list[str]:
    """Numbers with the same decimals: as few as show each that is not zero."""
    scaled = [100 * v if unit == "%" else v for v in values]
    seen = [abs(v) for v in scaled if abs(v) > _NOISE]
    fewest = 1 if not seen or max(seen) >= 1 else 2
    decimals = next((d for d in (1, 2, 3) if d >= fewest and all(round(v, d) for v in seen)), 3)
    texts = [f"{round(v, decimals) + 0.0:{'+' if signed and round(v, decimals) else ''},.{decimals}f}" for v in scaled]
    return [text.replace("-", "−") for text in texts]


def _percent(share: float) -> str:
    text = f"{100 * share:.1f}".removesuffix(".0")
    return f"{text} %"
