"""What is told of the translators: a page for the base model, and one for each adapter beside its base."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from stt_platform.defs.evaluation.term_findings import TermFindings
from stt_platform.defs.evaluation.translation_results import COMPARED_ON_GENERAL_TEXT, VERSES, Evaluated, SetResult
from stt_platform.defs.evaluation.translators import System
from stt_platform.evaluation.general_sets import USABLE
from stt_platform.evaluation.held_out import HeldOutText
from stt_platform.evaluation.hypotheses import Generated
from stt_platform.evaluation.intervals import Interval
from stt_platform.evaluation.paired import Comparison, non_inferior
from stt_platform.evaluation.report import (
    Example,
    GeneralSet,
    Measure,
    NotScored,
    Report,
    Slice,
    Subject,
    Trust,
    Verdict,
    render_report,
    verdict,
)
from stt_platform.evaluation.translation_measures import ALL, WORDS, Metric, Part
from stt_platform.evaluation.trust import archaism_rate
from stt_platform.scripture.versification import show_refs
from stt_platform.settings import Settings
from stt_platform.store.reports import ReportCard

MAIN: Metric = "chrf_today"
GENERAL: Metric = COMPARED_ON_GENERAL_TEXT[0]

_EXAMPLES = 4
_WORST_FIRST = {"worse": 0, "undecided": 1, "not worse": 2}


@dataclass(frozen=True)
class Page:
    """A page, with what the checks and the list of pages need of it."""

    card: ReportCard
    html: str
    verdict: Verdict
    adapter_id: str | None
    comparison: Comparison | None
    general: tuple[GeneralSet, ...]


def pages(evaluated: Evaluated, settings: Settings, terms: TermFindings | None) -> list[Page]:
    """The page of the base model, and then that of each adapter that was measured."""
    found = [_page(evaluated, settings, terms, None)]
    found += [_page(evaluated, settings, terms, system) for system in evaluated.systems if system.kind == "adapter"]
    return found


def _page(evaluated: Evaluated, settings: Settings, terms: TermFindings | None, adapter: System | None) -> Page:
    base = _base_of(evaluated, adapter)
    general = _general(evaluated, settings, base, adapter)
    report = Report(
        title=f"Translation: {adapter.label}"
        if adapter
        else f"Translation: the base model {settings.evaluation.model}",
        subject=_subject(evaluated, settings, base, adapter),
        measures=tuple(_measures(evaluated, base, adapter)),
        test_set_problem=_problem(evaluated.problems),
        general=general[0] if general else None,
        slices=tuple(_slices(evaluated, base, adapter, general[1:], terms)),
        **_examples(evaluated, base, adapter),
        terms=terms.for_report(base.name if base else "", adapter.name if adapter else "") if terms else None,
        trust=_trust(evaluated, base, adapter),
        not_scored=tuple(_not_scored(evaluated, base, adapter, terms)),
        signatures=tuple(_signatures(evaluated, adapter or base)),
        language="es",
    )
    said = verdict(report)
    name = f"translation-{adapter.place if adapter else 'base'}"
    system = (adapter or base).name if adapter or base else settings.evaluation.model
    card = ReportCard(name, report.title, "translation", system, said.level, said.words, evaluated.evaluation_id)
    comparison = evaluated.of(adapter.name).comparisons.get((ALL, MAIN)) if adapter else None
    return Page(card, render_report(report), said, adapter.adapter_id if adapter else None, comparison, general)


def _base_of(evaluated: Evaluated, adapter: System | None) -> System | None:
    """The base beside an adapter, or the first of all base models; None where it could not be measured."""
    bases = [system for system in evaluated.systems if system.kind == "base"]
    if adapter is None:
        return bases[0] if bases else None
    return next((system for system in bases if system.name == adapter.base), None)


def _problem(problems: Sequence[str]) -> str:
    if not problems:
        return ""
    return problems[0] if len(problems) == 1 else f"{problems[0]}, and there are {len(problems) - 1} more such problems"


def _subject(evaluated: Evaluated, settings: Settings, base: System | None, adapter: System | None) -> Subject:
    shown, verses = adapter or base, evaluated.sets.verses
    if shown is None:
        return Subject(settings.evaluation.model, "held-out verses")
    generated = evaluated.of(shown.name).generated
    decoding = shown.decoding
    versions = sorted({text.en_source for text in verses.usable})
    return Subject(
        model=base.weights if base else shown.weights,
        test_set="held-out verses",
        adapter=shown.adapter_id[:12] if shown.adapter_id else "",
        revision=shown.adapter_id or shown.weights.partition("@")[2],
        data_hash=f"sha256:{verses.sha256[:16]}",
        prompt=f"{shown.prompting.kind}, English to Spanish, without hints",
        decoding=(
            ("search", decoding.search),
            ("most new tokens", str(decoding.max_new_tokens)),
            ("arithmetic", decoding.dtype),
        ),
        more=(
            (
                "Verses",
                f"{len(verses.usable):,}, each in one of {len(versions)} English versions ({', '.join(versions)})",
            ),
            ("Stopped at the limit", f"{_cut(generated):,} of {len(generated.hypotheses):,} translations"),
            ("Speed", speed_words(generated)),
        ),
    )


def _cut(generated: Generated) -> int:
    return sum(hypothesis.status == "cut" for hypothesis in generated.hypotheses)


def speed_words(generated: Generated) -> str:
    """How fast it was, or that nothing was made anew."""
    speed = generated.speed
    if not speed.texts_per_s:
        return "not measured: all translations had been kept from before"
    tokens = f", {speed.tokens_per_s:.1f} tokens" if speed.tokens_per_s else ""
    return f"{speed.texts_per_s:.2f} texts{tokens} a second on {speed.device}, of {speed.texts:,} texts"


def _measures(evaluated: Evaluated, base: System | None, adapter: System | None) -> Iterator[Measure]:
    of_base = evaluated.of(base.name) if base else None
    of_adapter = evaluated.of(adapter.name) if adapter else None
    if of_base is None and of_adapter is None:
        return
    # The reason is a long one, and stands among what was not scored.
    absent = replace(evaluated.no_comet, reason="see “What was not scored”") if evaluated.no_comet else None
    for metric in WORDS:
        yield _measure(metric, ALL, of_base, of_adapter, absent)


def _measure(
    metric: Metric, part: Part, base: SetResult | None, adapter: SetResult | None, no_comet: Interval | None = None
) -> Measure:
    words = WORDS[metric]
    absent = no_comet if metric == "comet" else None
    return Measure(
        name=words.label,
        unit=words.unit,
        base=base.intervals.get((part, metric), absent) if base else None,
        adapter=adapter.intervals.get((part, metric), absent) if adapter else None,
        comparison=adapter.comparisons.get((part, metric)) if adapter else None,
        clusters="segments",
        explanation=words.explanation,
        lower_is_better=words.lower_is_better,
    )


def _general(
    evaluated: Evaluated, settings: Settings, base: System | None, adapter: System | None
) -> tuple[GeneralSet, ...]:
    """The general sets, the one with the worst verdict first; none without an adapter."""
    if adapter is None or base is None:
        return ()
    judged = []
    for texts in evaluated.sets.general:
        measure = _measure(GENERAL, ALL, evaluated.of(base.name, texts.key), evaluated.of(adapter.name, texts.key))
        if measure.comparison is not None:
            margin = settings.evaluation.general_chrf_margin
            judged.append(GeneralSet(texts.name, measure, non_inferior(measure.comparison, margin)))
    return tuple(sorted(judged, key=lambda item: (_WORST_FIRST[item.judged.verdict], -(item.judged.bound or 0.0))))


def _slices(
    evaluated: Evaluated,
    base: System | None,
    adapter: System | None,
    general: Sequence[GeneralSet],
    terms: TermFindings | None,
) -> Iterator[Slice]:
    of_base = evaluated.of(base.name) if base else None
    of_adapter = evaluated.of(adapter.name) if adapter else None
    shown = of_adapter or of_base
    if shown is None:
        return
    for part, metric in shown.intervals:
        if part != ALL and metric == MAIN:
            yield Slice(part.kind, part.name, _measure(MAIN, part, of_base, of_adapter))
    yield from (Slice("general set", item.name, item.measure) for item in general)
    if adapter is None:
        for texts in evaluated.sets.general:
            yield Slice("general set", texts.name, _measure(GENERAL, ALL, evaluated.of(base.name, texts.key), None))
        for other in evaluated.systems:
            if other != base:
                yield Slice("other system", other.label, _measure(MAIN, ALL, evaluated.of(other.name), None))
    if terms is not None:
        yield from terms.slices(base.name if base else "", adapter.name if adapter else "")


def _examples(evaluated: Evaluated, base: System | None, adapter: System | None) -> dict[str, tuple[Example, ...]]:
    """The verses that gained and lost most, or of a base model alone those with the highest and lowest scores."""
    shown = adapter or base
    if shown is None:
        return {}
    result = evaluated.of(shown.name)
    before = evaluated.of(base.name) if adapter and base else None
    scored = []
    for k, (text, segment) in enumerate(zip(result.texts.usable, result.scores.chrf, strict=True)):
        if segment.chrf is not None:
            was = before.scores.chrf[k].chrf if before else None
            scored.append((segment.chrf - (was or 0.0), k, text, was, segment.chrf))
    scored.sort(key=lambda item: (-item[0], item[2].key))

    def example(item: tuple[float, int, HeldOutText, float | None, float]) -> Example:
        _, k, text, was, now = item
        return Example(
            name=f"{show_refs((text.ref,)) if text.ref else text.key} ({text.en_source})",
            reference=text.reference,
            hypothesis=result.hypotheses[k],
            base=before.hypotheses[k] if before else None,
            source=text.source,
            note=f"chrF++ {now:.1f}" if was is None else f"chrF++ {was:.1f} → {now:.1f}",
        )

    best = [item for item in scored[:_EXAMPLES] if before is None or item[0] > 0]
    worst = [item for item in scored[len(best) :][::-1][:_EXAMPLES] if before is None or item[0] < 0]
    return {"best": tuple(map(example, best)), "worst": tuple(map(example, worst))}


def _trust(evaluated: Evaluated, base: System | None, adapter: System | None) -> Trust:
    rates = []
    for texts in evaluated.sets.sets:
        where = "held-out verses" if texts.key == VERSES else texts.name
        for who, system in (("Base model", base), ("Adapter", adapter)):
            if system is not None:
                rates.append((f"{who}, {where}", archaism_rate(evaluated.of(system.name, texts.key).hypotheses)))
        rates.append((f"Reference, {where}", archaism_rate(text.reference for text in texts.usable)))
    return Trust(tuple(rates), evaluated.probes.get(base.weights) if base else None)


def _not_scored(
    evaluated: Evaluated, base: System | None, adapter: System | None, terms: TermFindings | None
) -> Iterator[NotScored]:
    yield from evaluated.not_scored
    if evaluated.no_comet is not None:
        yield NotScored("COMET", evaluated.no_comet.reason)
    for texts in evaluated.sets.sets:
        left_out = [text for text in texts.texts if text.status != USABLE]
        if left_out:
            yield NotScored(f"sentence of {texts.name}", left_out[0].reason, len(left_out))
    shown = adapter or base
    lost = [h for h in evaluated.of(shown.name).generated.hypotheses if h.status == "failed"] if shown else []
    if lost:
        reason = f"nothing was translated, which counts as an empty translation: {lost[0].reason}"
        yield NotScored("verse", reason, len(lost))
    if terms is None:
        yield NotScored("terms of faith", "terminology_evaluation has not been made: materialise it, then this again")
    else:
        yield from terms.not_scored_of([system.name for system in (base, adapter) if system])


def _signatures(evaluated: Evaluated, shown: System | None) -> Iterator[tuple[str, str]]:
    if shown is not None:
        for metric, statistics in evaluated.of(shown.name).scores.statistics.items():
            yield WORDS[metric].label, statistics.signature
