"""What was found of the terms as rows of the tables, as a list by sense, and as a picture."""

import csv
import io
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, get_args

from stt_platform.defs.evaluation.term_results import ACCURACY, NO_HINTS, SIX, Asked, FoundTerms, compare_terms
from stt_platform.evaluation import metrics
from stt_platform.evaluation.bootstrap import segment_interval
from stt_platform.evaluation.intervals import Interval
from stt_platform.evaluation.score_pictures import Bar, Panel, score_picture
from stt_platform.evaluation.term_findings import WHOLE, WORDS, TermFindings
from stt_platform.evaluation.terminology import HintMode, Occurrence, score_six, tally
from stt_platform.evaluation.translation_scores import NOT_SCORED, SCORED
from stt_platform.glossary.terms import Glossary
from stt_platform.store.evaluations import ALL, Measured, comparison_row, number_rows, part

SENSE_COLUMNS = (
    *("system", "term", "sense", "english", "spanish", "found", "judged", "hits", "in_this_sense", "lemmas"),
    "forbidden",
)


def measured_of(found: FoundTerms, evaluation_id: str) -> Measured:
    """Return whose rows these are."""
    return Measured(evaluation_id, found.system.name, "terminology", found.system.adapter_id)


def number_table(found: FoundTerms, evaluation_id: str, confidence: float) -> Iterator[dict[str, Any]]:
    """Make the rows of `evaluations` of a system."""
    of = measured_of(found, evaluation_id)
    for name in found.parts:
        shares = {metric.name: metric.shares(found.part(name)) for metric in metrics.TERMS}
        values = {metric: segment_interval(share, confidence=confidence) for metric, share in shares.items()}
        yield from number_rows(of, _slice(name), values, {metric: share.signature for metric, share in shares.items()})
    absent = Interval(None, None, None, 0, "", confidence, NO_HINTS)
    for mode in get_args(HintMode) if found.control is None else ():
        yield from number_rows(of, _slice(mode), {ACCURACY.name: absent}, {ACCURACY.name: ""})
    hits = [result.found for result in score_six(found.six)]
    reason = "six sentences show what goes wrong, and have no interval"
    six = Interval(sum(hits) / len(hits), None, None, len(hits), "", confidence, reason)
    yield from number_rows(of, SIX, {ACCURACY.name: six}, {ACCURACY.name: "six_sentences.toml"})


def comparison_table(
    found: FoundTerms, findings: TermFindings, evaluation_id: str, confidence: float
) -> Iterator[dict[str, Any]]:
    """Compare a system with its base, and its hinted answers with those without hints and with random ones."""
    of, name = measured_of(found, evaluation_id), found.system.name
    for one, comparison in findings.systems[name].comparisons.items():
        yield comparison_row(of, _slice(one), ACCURACY.name, comparison, compared_with=found.system.base)
    modes: tuple[HintMode, ...] = ("no_hints", "random_hints") if found.control is not None else ()
    for mode in modes:
        comparison = compare_terms(found.part(mode), found.part("hinted"), confidence)
        beside = f"{name}, {WORDS[mode]}"
        yield comparison_row(of, _slice("hinted"), ACCURACY.name, comparison, compared_with=beside)


def row_table(found: FoundTerms, asked: Asked, evaluation_id: str) -> Iterator[dict[str, Any]]:
    """Make the rows of `evaluation_rows` of a system; the reason names the terms that it missed."""
    of = measured_of(found, evaluation_id).columns()
    of_verses = _by_segment(found.of_verses)
    for text, made in zip(asked.verses, found.verses, strict=True):
        shown = {"row_id": text.key, "group_id": text.segment_id, "source": text.source, "reference": text.reference}
        judged = _judged(of_verses.get(text.segment_id, ()), asked.glossary)
        yield {**of, "slice": ALL, **shown, "hypothesis": made, **judged}
    by_mode = {mode: _by_segment(found.part(mode)) for mode in found.parts if mode != WHOLE}
    form = found.system.hint_form
    examples = asked.control[form] if form is not None and found.control is not None else ()
    for example, made in zip(examples, found.control or (), strict=True):
        shown = {"row_id": example.example_id, "group_id": example.segment_id, "source": example.source}
        judged = _judged(by_mode[example.kind].get(example.segment_id, ()), asked.glossary)
        place = {**of, "slice": _slice(example.kind), "reference": example.target}
        yield {**place, **shown, "hypothesis": made, **judged}
    for k, result in enumerate(score_six(found.six)):
        name, sentence = f"{SIX}: {k}", result.sentence
        shown = {"row_id": name, "group_id": name, "source": sentence.en, "hypothesis": result.hypothesis}
        missed = None if result.found else f"missed: {sentence.expected}"
        yield {**of, "slice": SIX, **shown, "status": SCORED, "reason": missed}


def by_sense(everyone: Sequence[FoundTerms], glossary: Glossary) -> str:
    """List every sense that was found on the held-out verses, by system, as CSV with `SENSE_COLUMNS`."""
    text = io.StringIO(newline="")
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(SENSE_COLUMNS)
    for found in everyone:
        for (term_id, sense), counts in tally(found.of_verses, "term_id", "sense").items():
            of = glossary.sense(term_id, sense)
            numbers = (counts.found, counts.total, counts.hits, counts.sense_hits, counts.lemma_hits, counts.forbidden)
            rows.writerow((found.system.name, term_id, sense, of.en, of.es, *numbers))
    return text.getvalue()


def terms_picture(everyone: Sequence[FoundTerms], findings: TermFindings) -> bytes:
    """Draw the accuracy of each system by part, as PNG."""
    panels = []
    for name, words in WORDS.items():
        bars = tuple(
            Bar(found.system.label, found.system.kind, findings.systems[found.system.name].intervals[name])
            for found in everyone
            if name in found.parts
        )
        if bars:
            panels.append(Panel(words[0].upper() + words[1:], bars, percent=True))
    return score_picture(panels, "Terms of faith that are rendered rightly")


def _slice(name: str) -> str:
    return ALL if name == WHOLE else part("hints", name)


def _by_segment(found: Iterable[Occurrence]) -> dict[str, list[Occurrence]]:
    groups: dict[str, list[Occurrence]] = {}
    for item in found:
        groups.setdefault(item.segment_id, []).append(item)
    return groups


def _judged(terms: Sequence[Occurrence], glossary: Glossary) -> dict[str, Any]:
    """Whether there was a term to judge, and which were missed; a segment stands here in one version."""
    judged = [item for item in terms if item.judged]
    if not judged:
        return {
            "status": NOT_SCORED,
            "reason": "no term of the glossary that the reference renders as the glossary does",
        }
    missed = sorted({glossary.sense(item.term_id, item.sense).es for item in judged if not item.hit})
    return {"status": SCORED, "reason": f"missed: {', '.join(missed)}" if missed else None}
