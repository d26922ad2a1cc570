"""One page that says what was measured of a model, how sure it is, and what it does not say.

It is a single HTML file without scripts or addresses, for people who know neither the metrics nor statistics: the
verdict is on top, each number has its interval, and what was not measured is said.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import groupby
from pathlib import Path
from string import Template
from typing import Literal

from stt_platform.evaluation.intervals import Interval
from stt_platform.evaluation.paired import Comparison, NonInferiority
from stt_platform.evaluation.report_pictures import Point, Shade, curve_picture, escaped, gain_picture
from stt_platform.evaluation.terminology import HintMode, SixResult, TermCounts
from stt_platform.evaluation.trust import ArchaismRate, ProbeResult, what_scripture_scores_do_not_say

_MOST_WORDS = 80
_NOISE = 1e-9
_MODES: dict[HintMode, str] = {
    "no_hints": "without hints",
    "hinted": "with hints",
    "random_hints": "with hints to other terms",
}
_STYLE = re.compile(r"<style>(.*?)</style>", re.DOTALL)
_BEFORE_BODY = "<main>\n"

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
        modes: the hinted terms in each mode, as `compare_modes` counts them.
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
    """The page as one HTML file: no script, nothing from elsewhere, every text escaped. The same for the same report.

    A policy inside the page forbids all but its own style, so that it is safe to open from a folder too. A server
    that sends a policy of its own has to allow that style: `style_source()`.
    """
    compared = bool(report.subject.adapter)
    body = [
        f'<h1>{escaped(report.title)}</h1><p class="quiet">{escaped(_about(report.subject))}</p>',
        _verdict_box(report),
        _measures(report, compared),
        _general(report.general, compared),
        _slices(report.slices, compared),
        _examples(report, compared),
        _terms(report.terms, compared),
        _trust(report.trust),
        curves_section(report.curves),
        _not_scored(report.not_scored),
        _facts(report.subject),
        _signatures(report.signatures),
    ]
    return render_page(report.title, body)


def render_page(title: str, parts: Iterable[str]) -> str:
    """A page like that of a report, of parts that are markup already; empty ones are left out. See `render_report`."""
    return Template(_page()).substitute(
        title=escaped(title),
        policy=f"default-src 'none'; style-src {style_source()}; base-uri 'none'; form-action 'none'",
        body="\n".join(filter(None, parts)),
    )


def style_source(page: str = "") -> str:
    """The style of a page as a source of a Content-Security-Policy: its SHA-256 (W3C CSP Level 3, section 2.3.1).

    Args:
        page: one that `render_report` made, perhaps with an earlier style; empty for the style of today.
    """
    style = _STYLE.search(page or _page())
    return f"'sha256-{base64.b64encode(hashlib.sha256(style[1].encode()).digest()).decode()}'" if style else "'none'"


def with_link_back(page: str, address: str, words: str) -> str:
    """A page as a server shows it: with a link above its title. The file itself links to nothing."""
    link = f'<nav class="back"><a href="{escaped(address)}">← {escaped(words)}</a></nav>\n'
    return page.replace(_BEFORE_BODY, _BEFORE_BODY + link, 1)


@cache
def _page() -> str:
    return Path(__file__).with_name("report_page.html").read_text(encoding="utf-8")


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


def _about(subject: Subject) -> str:
    which = f"with the adapter {subject.adapter}" if subject.adapter else "without an adapter"
    return f"{subject.model} {which}, on the {subject.test_set}"


def _verdict_box(report: Report) -> str:
    found = verdict(report)
    level = LEVELS[found.level]
    parts = [
        f'<section class="verdict {found.level}" aria-label="Verdict">',
        f'<p class="level"><span class="sign" aria-hidden="true">{level.sign}</span> {level.name}</p>',
        f"<p>{level.meaning}</p>",
    ]
    main = report.measures[0] if report.measures and found.level not in ("invalid", "nothing") else None
    if main is not None:
        parts.append(_in_figures(main, bool(report.subject.adapter)))
    parts.append(f"<p>{escaped(found.words)}</p>")
    if main is not None and main.explanation:
        way = "Lower is better." if main.lower_is_better else "Higher is better."
        parts.append(f'<p class="quiet">{escaped(main.name)}: {escaped(main.explanation)}. {way}</p>')
    return "".join([*parts, "</section>"])


def _in_figures(measure: Measure, compared: bool) -> str:
    """The scores and their difference, large."""
    scores = [("Base", measure.base), ("Adapter", measure.adapter)] if compared else [("", measure.base)]
    figures = []
    for who, interval in scores:
        if interval is None or interval.value is None:
            continue
        value, *bounds = _shown(
            [v for v in (interval.value, interval.low, interval.high) if v is not None], measure.unit
        )
        span = f"{_bare_unit(bounds[0], measure.unit)} to {bounds[1]}" if len(bounds) == 2 else "no interval"
        figures.append((f"{who} {measure.name}".strip(), value, span))
    if compared and measure.comparison is not None and measure.comparison.difference is not None:
        value, span = _gap_parts(measure)
        figures.append(("Difference", value, span or "no interval"))
    tiles = "".join(
        f"<div><dt>{escaped(name)}</dt><dd>{escaped(value)}<small>{escaped(span)}</small></dd></div>"
        for name, value, span in figures
    )
    return f'<dl class="figures">{tiles}</dl>'


def _facts(subject: Subject) -> str:
    rows = [
        ("Model", subject.model),
        ("Adapter", subject.adapter or "none: the base model is measured by itself"),
        ("Revision", subject.revision),
        ("Test set", subject.test_set),
        ("Hash of the test set", subject.data_hash),
        ("Prompt", subject.prompt),
        ("Decoding", ", ".join(f"{name} {value}" for name, value in subject.decoding)),
        *subject.more,
    ]
    cells = "".join(f'<tr><th scope="row">{escaped(k)}</th><td>{escaped(v)}</td></tr>' for k, v in rows if v)
    return f'<h2>How it was measured</h2><div class="wide"><table class="facts"><tbody>{cells}</tbody></table></div>'


def _measures(report: Report, compared: bool) -> str:
    on = escaped(report.subject.test_set)
    if not report.measures:
        return f"<h2>Scores on the {on}</h2><p>Nothing was scored.</p>"
    listed = [(measure.name, measure.explanation, measure) for measure in report.measures]
    intervals = [i for m in report.measures for i in (m.base, m.adapter) if i is not None and i.low is not None]
    confidence = {_percent(interval.confidence) for interval in intervals}
    how = []
    if confidence:
        how.append(
            f"The small numbers are the interval that holds the true value in {' or '.join(sorted(confidence))} of such "
            "measurements. A wide one means that more has to be measured."
        )
    if any(measure.comparison is not None for measure in report.measures):
        how.append(
            "The difference is drawn with its interval beside a line for “no difference”. A filled dot is decided, a ring "
            "is not. p is how often chance alone makes two equal systems differ as much."
        )
    told = f'<p class="quiet">{" ".join(how)}</p>' if how else ""
    return f"<h2>Scores on the {on}</h2>{_table(listed, 'Measure', compared)}{told}{_methods(report.measures)}"


def _general(general: GeneralSet | None, compared: bool) -> str:
    if general is None:
        lost = "No general set was measured: whether the adapter has unlearned anything is not known."
        return f"<h2>General set</h2><p>{lost}</p>" if compared else ""
    listed = [(general.measure.name, general.name, general.measure)]
    if general.judged is None:
        about = "Texts from outside the church: an adapter may not be much worse than this."
        return f"<h2>General set</h2><p>{about}</p>{_table(listed, 'Measure', compared)}{_methods([general.measure])}"
    said = _judged_words(general)
    return (
        "<h2>General set: not worse?</h2><p>An adapter that learns the church's language must not forget the rest. "
        f"<strong>{escaped(said[0].upper() + said[1:])}.</strong> The dashed line is how much worse is allowed.</p>"
        + _table(listed, "Measure", compared, margin=general.judged.margin)
        + _methods([general.measure])
    )


def _slices(slices: Sequence[Slice], compared: bool) -> str:
    if not slices:
        return ""
    parts = ["<h2>Parts of the test set</h2>"]
    if compared:
        parts.append(
            "<p>Parts are smaller than the whole, so they are less sure. Of 20 parts without any difference, one is "
            "still shown as better or worse by chance.</p>"
        )
    for kind in dict.fromkeys(item.kind for item in slices):
        listed = [(item.name, item.measure.name, item.measure) for item in slices if item.kind == kind]
        parts.append(f"<h3>By {escaped(kind)}</h3>{_table(listed, kind[:1].upper() + kind[1:], compared)}")
    return "".join(parts)


def _table(rows: Sequence[tuple[str, str, Measure]], first: str, compared: bool, *, margin: float | None = None) -> str:
    names = ["Base", "Adapter", "Difference (← worse, better →)"] if compared else ["Value"]
    reach = {unit: _reach([m for _, _, m in rows if m.unit == unit], margin) for unit in {m.unit for _, _, m in rows}}
    body = []
    for name, about, measure in rows:
        way = "lower is better" if measure.lower_is_better else "higher is better"
        row = f"{escaped(name)}<small>{escaped(f'{about}; {way}' if about else way)}</small>"
        cells = [_value(measure.base, measure)]
        if compared:
            cells += [_value(measure.adapter, measure), _gain(measure, reach[measure.unit], margin)]
        body.append((row, cells))
    heads = names.copy()
    if compared:
        heads[-1] = 'Difference <span class="sides"><span>← worse</span><span>better →</span></span>'
    return _grid([escaped(first), *heads], names, body, "scores" if compared else "values")


def _grid(heads: Sequence[str], names: Sequence[str], rows: Iterable[tuple[str, Sequence[str]]], kind: str) -> str:
    """A table whose rows become blocks on a narrow screen, where each cell says its name, for the heads are gone.

    Args:
        heads: of all columns, as markup; `names` of all but the first, as text.
        rows: (heading, cells), as markup.
    """
    head = "".join(f'<th scope="col">{text}</th>' for text in heads)
    body = "".join(
        f'<tr><th scope="row">{heading}</th>'
        + "".join(
            f'<td data-name="{escaped(name)}"><div>{cell}</div></td>' for name, cell in zip(names, cells, strict=True)
        )
        + "</tr>"
        for heading, cells in rows
    )
    return f'<div class="wide"><table class="{kind}"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def _reach(measures: Sequence[Measure], margin: float | None) -> float:
    """The widest end of the decidable intervals: those of a few sermons are too wide to share a scale with."""
    compared = [m.comparison for m in measures if m.comparison is not None and m.comparison.difference is not None]
    decidable = [item for item in compared if item.decidable] or compared
    ends = [abs(v) for item in decidable for v in (item.difference, item.low, item.high) if v is not None]
    return 1.08 * max([*ends, margin or 0.0, _NOISE])


def _value(interval: Interval | None, measure: Measure) -> str:
    if interval is None:
        return "not scored"
    if interval.value is None:
        return f"not scored<small>{escaped(interval.reason)}</small>"
    if interval.low is None or interval.high is None:
        value = _shown([interval.value], measure.unit)[0]
        return f"{escaped(value)}<small>no interval{escaped(_why(interval))}</small>"
    value, low, high = _shown([interval.value, interval.low, interval.high], measure.unit)
    return (
        f"{escaped(value)}<small>{escaped(_bare_unit(low, measure.unit))} to {escaped(high)}</small>"
        f"<small>{escaped(_count(interval.n, measure.clusters))}</small>"
    )


def _gain(measure: Measure, reach: float, margin: float | None) -> str:
    compared = measure.comparison
    if compared is None or compared.difference is None:
        why = f"<small>{escaped(compared.missing)}</small>" if compared is not None and compared.missing else ""
        return f"not compared{why}"
    shade: Shade = {"a": "worse", "b": "better", "undecided": "undecided"}[compared.better]
    sign = -1 if measure.lower_is_better else 1
    ends = [sign * end for end in (compared.low, compared.high) if end is not None]
    low, high = (min(ends), max(ends)) if len(ends) == 2 else (None, None)
    words = f"{_gap(measure)}: {shade}"
    picture = gain_picture(sign * compared.difference, low, high, reach=reach, shade=shade, label=words, margin=margin)
    why = f"{_test(compared)}, {_count(compared.n, measure.clusters)}" if compared.decidable else compared.missing
    return (
        f'{picture}{escaped(_gap(measure, named=False))} <span class="word-{shade}">{shade}</span>'
        f"<small>{escaped(why)}</small>"
    )


def _methods(measures: Sequence[Measure]) -> str:
    lines = []
    for measure in measures:
        made = [i.method for i in (measure.base, measure.adapter) if i is not None and i.method]
        made += [f"difference: {measure.comparison.method}"] if measure.comparison is not None else []
        if made:
            lines.append(f"<li>{escaped(measure.name)}: {escaped('; '.join(dict.fromkeys(made)))}</li>")
    return (
        f"<details><summary>How the intervals were made</summary><ul>{''.join(lines)}</ul></details>" if lines else ""
    )


def _examples(report: Report, compared: bool) -> str:
    if not report.best and not report.worst:
        return ""
    parts = [
        "<h2>Examples</h2><p><del>Struck through</del>: it should be there and is missing. <ins>Underlined</ins>: it is "
        "there and should not be. Capitals and punctuation are not compared.</p>"
    ]
    for heading, examples in (("Best", report.best), ("Worst", report.worst)):
        if examples:
            cards = "".join(_example(example, report.language, compared) for example in examples)
            parts.append(f"<h3>{heading}</h3>{cards}")
    return "".join(parts)


def _example(example: Example, language: str, compared: bool) -> str:
    lines = [("Source", escaped(_cut(example.source)), "")] if example.source else []
    lang = f' lang="{escaped(language)}"'
    lines.append(("Reference", escaped(_cut(example.reference)) or "<em>empty</em>", lang))
    if example.base is not None:
        lines.append(("Base", _marked(example.reference, example.base), lang))
    lines.append(("Adapter" if compared else "Model", _marked(example.reference, example.hypothesis), lang))
    note = f' <span class="quiet">{escaped(example.note)}</span>' if example.note else ""
    listed = "".join(f"<dt>{name}</dt><dd{attribute}>{text}</dd>" for name, text, attribute in lines)
    return f'<div class="example"><strong>{escaped(example.name)}</strong>{note}<dl>{listed}</dl></div>'


def _marked(reference: str, hypothesis: str) -> str:
    if not hypothesis.strip():
        return "<em>nothing was written</em>"
    signs = {"missing": ("del", "missing:"), "extra": ("ins", "added:")}
    left, parts = _MOST_WORDS, []
    pieces = marked_difference(reference, hypothesis)
    for piece in pieces:
        if left <= 0:
            break
        words = piece.text.split()
        text = escaped(" ".join(words[:left]))
        if piece.kind != "same":
            tag, said = signs[piece.kind]
            text = f'<{tag}><span class="unseen" lang="en">{said} </span>{text}</{tag}>'
        parts.append(text)
        left -= len(words)
    rest = sum(len(piece.text.split()) for piece in pieces) - _MOST_WORDS
    return " ".join([*parts, f'<span class="quiet">… and {rest:,} more words</span>'] if rest > 0 else parts)


def _cut(text: str) -> str:
    words = text.split()
    rest = len(words) - _MOST_WORDS
    return " ".join(words[:_MOST_WORDS]) + (f" … and {rest:,} more words" if rest > 0 else "")


def _terms(terms: Terms | None, compared: bool) -> str:
    if terms is None:
        return ""
    rows = [("All terms without hints", terms.all_terms)] if terms.all_terms is not None else []
    rows += [(f"Hinted terms {_MODES[mode]}", pair) for mode, pair in terms.modes]
    parts = ["<h2>Terms of faith</h2>"]
    if rows:
        who = ["Base", "Adapter"] if compared else ["Model"]
        names = [*who, *(f"Forbidden: {name.lower()}" for name in who)]
        body = []
        for name, pair in rows:
            counts = [pair.base, pair.adapter] if compared else [pair.base]
            body.append((name, [*map(_accuracy, counts), *map(_forbidden, counts)]))
        parts.append(
            "<p>How often a term of the glossary has one of its right renderings. Only places are judged where the "
            "reference itself has one; elsewhere a free translation is right too. Forbidden are renderings that are never "
            f"right.</p>{_grid(['Terms', *names], names, body, 'terms')}"
        )
        parts += [f"<p>{text}</p>" for text in _ceiling(terms)]
    if len(terms.modes) > 1:
        parts.append(
            "<p>Hints help as far as the row with hints is above that with hints to other terms, not only above that "
            "without.</p>"
        )
    if terms.six:
        parts.append(_six(terms.six))
    return "".join(parts) if len(parts) > 1 else ""


def _accuracy(counts: TermCounts | None) -> str:
    if counts is None or counts.accuracy is None:
        return "not judged"
    return f"{_percent(counts.accuracy)}<small>{counts.hits:,} of {counts.total:,}</small>"


def _forbidden(counts: TermCounts | None) -> str:
    return "not judged" if counts is None or not counts.found else f"{counts.forbidden:,} of {counts.found:,}"


def _ceiling(terms: Terms) -> Iterable[str]:
    pair = terms.all_terms
    counts = (pair.adapter or pair.base) if pair is not None else None
    if counts is None or counts.ceiling is None:
        return
    yield (
        f"The ceiling: the reference itself has a listed rendering in {counts.total:,} of {counts.found:,} places "
        f"({_percent(counts.ceiling)}). More cannot be asked of a model."
    )
    if counts.lemma_accuracy is not None:
        yield (
            f"The very word that the glossary gives: {_percent(counts.lemma_accuracy)}, in the reference "
            f"{_percent(counts.lemma_ceiling)}."
        )


def _six(six: Sequence[SixResult]) -> str:
    names = ["Expected", "Translation", "Word"]
    rows = [
        (
            escaped(item.sentence.en),
            [
                f'<span lang="es">{escaped(item.sentence.expected)}</span>',
                f'<span lang="es">{escaped(_cut(item.hypothesis))}</span>'
                if item.hypothesis.strip()
                else "<em>nothing</em>",
                '<span class="found">✓ found</span>' if item.found else '<span class="found">✗ missing</span>',
            ],
        )
        for item in six
    ]
    told = "<h3>Six sentences</h3><p>They show what goes wrong, and measure nothing.</p>"
    return told + _grid(["Sentence", *names], names, rows, "six")


def _trust(trust: Trust | None) -> str:
    if trust is None:
        return ""
    parts = ["<h2>What these scores do not say</h2>"]
    parts += [f"<p>{escaped(text)}</p>" for text in what_scripture_scores_do_not_say()]
    probe = trust.probe.reason if trust.probe is not None else "The base model was not asked whether it knows the text."
    parts.append(f"<h3>Known by heart?</h3><p>{escaped(probe)}</p>")
    rated = [(who, rate) for who, rate in trust.archaisms if rate.text_rate is not None]
    if rated:
        lines = "".join(
            f"<li>{escaped(who)}: {_percent(rate.text_rate)} of {rate.texts:,} texts, {_percent(rate.word_rate)} of the "
            f"words{escaped(_most_seen(rate))}</li>"
            for who, rate in rated
        )
        parts.append(f"<h3>Old style</h3><p>How much is in the style of old Bibles:</p><ul>{lines}</ul>")
    return "".join(parts)


def _most_seen(rate: ArchaismRate) -> str:
    seen = sorted((item for item in rate.markers if item.count), key=lambda item: (-item.count, item.marker))
    return f" (mostly {seen[0].marker}: “{seen[0].commonest[0][0]}”)" if seen and seen[0].commonest else ""


def curves_section(curves: Sequence[Curve]) -> str:
    """The curves with a heading, as markup; empty without any."""
    parts = []
    for curve in curves:
        if all(point.value is None for point in curve.points):
            parts.append(f"<h3>{escaped(curve.name)}</h3><p>No cycle has a score yet.</p>")
            continue
        factor = 100 if curve.unit == "%" else 1
        points = [
            Point(p.cycle, *(None if v is None else factor * v for v in (p.value, p.low, p.high))) for p in curve.points
        ]
        way = "lower is better" if curve.lower_is_better else "higher is better"
        axis = f"{curve.name}{f', {curve.unit}' if curve.unit else ''}; {way}"
        told = "; ".join(f"cycle {p.cycle}: {_point_words(p, curve.unit)}" for p in curve.points)
        parts.append(f"<h3>{escaped(axis)}</h3>{curve_picture(points, axis=axis, label=f'{axis}. {told}')}")
    return f"<h2>Over the cycles</h2>{''.join(parts)}" if parts else ""


def _point_words(point: Point, unit: str) -> str:
    if point.value is None:
        return "not scored"
    if point.low is None or point.high is None:
        return f"{_shown([point.value], unit)[0]}, no interval"
    value, low, high = _shown([point.value, point.low, point.high], unit)
    return f"{value} ({_bare_unit(low, unit)} to {high})"


def _not_scored(missing: Sequence[NotScored]) -> str:
    if not missing:
        return "<h2>What was not scored</h2><p>Nothing was reported as left out.</p>"
    lines = "".join(f"<li>{item.count:,} × {escaped(item.what)}: {escaped(item.reason)}</li>" for item in missing)
    return f"<h2>What was not scored</h2><ul>{lines}</ul>"


def _signatures(signatures: Sequence[tuple[str, str]]) -> str:
    lines = "".join(f"<li>{escaped(name)}: <code>{escaped(text)}</code></li>" for name, text in signatures)
    return f"<h2>Signatures</h2><p>With these the same scores can be made again.</p><ul>{lines}</ul>" if lines else ""


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
    if interval.low is None or interval.high is None:
        return f"{_shown([interval.value], measure.unit)[0]}, without an interval{_why(interval)}"
    value, low, high = _shown([interval.value, interval.low, interval.high], measure.unit)
    return f"{value} ({_bare_unit(low, measure.unit)} to {high}), {_count(interval.n, measure.clusters)}"


def _test(compared: Comparison) -> str:
    name = f"{compared.test} " if compared.test else ""
    if compared.p_value is None:
        return "no p value"
    return f"{name}p < 0.001" if compared.p_value < 0.001 else f"{name}p = {compared.p_value:.2g}"


def _why(interval: Interval | None) -> str:
    return f": {interval.reason}" if interval is not None and interval.reason else ""


def _count(n: int, clusters: str) -> str:
    return f"{n:,} {clusters.removesuffix('s') if n == 1 else clusters}"


def _shown(values: Sequence[float], unit: str) -> list[str]:
    behind = f" {unit}" if unit else ""
    return [text + behind for text in _plain(values, unit)]


def _bare_unit(text: str, unit: str) -> str:
    return text.removesuffix(f" {unit}") if unit else text


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
