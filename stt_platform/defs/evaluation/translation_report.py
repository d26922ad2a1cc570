"""What is told of the translators: a page for the base model, and one for each adapter beside its base."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from stt_platform.defs.evaluation.translation_results import COMPARED_ON_GENERAL_TEXT, VERSES, Evaluated, SetResult
from stt_platform.defs.evaluation.translators import System
from stt_platform.evaluation import metrics
from stt_platform.evaluation.evaluation_report import (
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
from stt_platform.evaluation.general_sets import USABLE
from stt_platform.evaluation.held_out import TextSet
from stt_platform.evaluation.hypotheses import Generated
from stt_platform.evaluation.paired import Comparison, non_inferior
from stt_platform.evaluation.term_findings import TermFindings
from stt_platform.evaluation.translation_measures import ALL, Part
from stt_platform.evaluation.trust import archaism_rate
from stt_platform.scripture.versification import show_refs
from stt_platform.settings import Settings
from stt_platform.store.reports import ReportCard
from stt_platform.translation.translator import CUT, FAILED

MAIN = metrics.TRANSLATION[0].name
GENERAL = COMPARED_ON_GENERAL_TEXT[0]

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
    """Write the page of the base model, and then that of each adapter that was measured."""
    bases = [system for system in evaluated.systems if system.kind == "base"]
    own = next((system for system in bases if system.label == settings.evaluation.model), None)
    found = [_Writer(evaluated, settings, terms, own, None).page()]
    for adapter in evaluated.systems:
        if adapter.kind == "adapter":
            base = next((system for system in bases if system.name == adapter.base), None)
            found.append(_Writer(evaluated, settings, terms, base, adapter).page())
    return found


def speed_words(generated: Generated) -> str:
    """Say how fast it was, or that nothing was made anew."""
    speed = generated.speed
    if not speed.texts_per_s:
        return "not measured: all translations had been kept from before"
    tokens = f", {speed.tokens_per_s:.1f} tokens" if speed.tokens_per_s else ""
    return f"{speed.texts_per_s:.2f} texts{tokens} a second on {speed.device}, of {speed.texts:,} texts"


@dataclass(frozen=True)
class _Writer:
    """Writes the page of an adapter beside its base, or without an adapter that of a base model by itself.

    Attributes:
        base: None where it could not be measured.
    """

    evaluated: Evaluated
    settings: Settings
    terms: TermFindings | None
    base: System | None
    adapter: System | None

    @property
    def shown(self) -> System | None:
        """The system that the page is about."""
        return self.adapter or self.base

    def page(self) -> Page:
        general = self._general()
        model = self.settings.evaluation.model
        report = Report(
            title=f"Translation: {self.adapter.label if self.adapter else f'the base model {model}'}",
            subject=self._subject(),
            measures=tuple(self._measures()),
            test_set_touched=bool(self.evaluated.problems),
            test_set_problem=self._problem(),
            general=general[0] if general else None,
            slices=tuple(self._slices(general[1:])),
            **self._examples(),
            terms=self.terms.for_report(*self._names()) if self.terms else None,
            trust=self._trust(),
            not_scored=tuple(self._not_scored()),
            signatures=tuple(self._signatures()),
            language="es",
        )
        said = verdict(report)
        name = f"translation-{self.adapter.place if self.adapter else 'base'}"
        system = self.shown.name if self.shown else model
        return Page(
            card=ReportCard(
                name, report.title, "translation", system, said.level, said.words, self.evaluated.evaluation_id
            ),
            html=render_report(report),
            verdict=said,
            adapter_id=self.adapter.adapter_id if self.adapter else None,
            comparison=self._of(self.adapter).comparisons.get((ALL, MAIN)) if self.adapter else None,
            general=general,
        )

    def _of(self, system: System | None, texts: TextSet | None = None) -> SetResult | None:
        return self.evaluated.of(system.name, texts.key if texts else VERSES) if system else None

    def _names(self) -> tuple[str, str]:
        return self.base.name if self.base else "", self.adapter.name if self.adapter else ""

    def _problem(self) -> str:
        first, *more = self.evaluated.problems or ("",)
        return f"{first}, and there are {len(more)} more such problems" if more else first

    def _subject(self) -> Subject:
        shown, verses = self.shown, self.evaluated.sets.verses
        if shown is None:
            return Subject(self.settings.evaluation.model, "held-out verses")
        generated, decoding = self._of(shown).generated, shown.decoding
        cut = sum(hypothesis.status == CUT for hypothesis in generated.hypotheses)
        versions = sorted({text.en_source for text in verses.usable})
        in_versions = f"each in one of {len(versions)} English versions ({', '.join(versions)})"
        return Subject(
            model=(self.base or shown).weights,
            test_set="held-out verses",
            adapter=(shown.adapter_id or "")[:12],
            revision=shown.adapter_id or shown.weights.partition("@")[2],
            data_hash=f"sha256:{verses.sha256[:16]}",
            prompt=f"{shown.prompting.kind}, English to Spanish, without hints",
            decoding=(
                ("search", decoding.search),
                ("most new tokens", str(decoding.max_new_tokens)),
                ("arithmetic", decoding.dtype),
            ),
            more=(
                ("Verses", f"{len(verses.usable):,}, {in_versions}"),
                ("Stopped at the limit", f"{cut:,} of {len(generated.hypotheses):,} translations"),
                ("Speed", speed_words(generated)),
            ),
        )

    def _measures(self) -> Iterator[Measure]:
        if self.shown is not None:
            for metric in metrics.TRANSLATION:
                yield self._measure(metric.name, ALL, self._of(self.base), self._of(self.adapter))

    def _measure(self, metric: str, part: Part, base: SetResult | None, adapter: SetResult | None = None) -> Measure:
        words, no_comet = metrics.all_metrics()[metric], self.evaluated.no_comet
        # The reason is a long one, and stands among what was not scored.
        absent = replace(no_comet, reason="see “What was not scored”") if no_comet and metric == "comet" else None
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

    def _general(self) -> tuple[GeneralSet, ...]:
        """The general sets, the one with the worst verdict first; none where nothing is compared."""
        judged = []
        for texts in self.evaluated.sets.general if self.adapter and self.base else ():
            measure = self._measure(GENERAL, ALL, self._of(self.base, texts), self._of(self.adapter, texts))
            margin = self.settings.evaluation.general_chrf_margin
            judged.append(GeneralSet(texts.name, measure, non_inferior(measure.comparison, margin)))
        return tuple(sorted(judged, key=lambda item: (_WORST_FIRST[item.judged.verdict], -(item.judged.bound or 0.0))))

    def _slices(self, general: Sequence[GeneralSet]) -> Iterator[Slice]:
        of_base, of_adapter = self._of(self.base), self._of(self.adapter)
        for part, metric in (of_adapter or of_base).intervals if self.shown else ():
            if part != ALL and metric == MAIN:
                yield Slice(part.kind, part.name, self._measure(MAIN, part, of_base, of_adapter))
        yield from (Slice("general set", item.name, item.measure) for item in general)
        if self.adapter is None:
            for texts in self.evaluated.sets.general if self.base else ():
                yield Slice("general set", texts.name, self._measure(GENERAL, ALL, self._of(self.base, texts)))
            for other in self.evaluated.systems:
                if other != self.base:
                    yield Slice("other system", other.label, self._measure(MAIN, ALL, self._of(other)))
        if self.terms is not None:
            yield from self.terms.slices(*self._names())

    def _examples(self) -> dict[str, tuple[Example, ...]]:
        """The verses that gained and lost most, or of a base model by itself those with the best and worst scores."""
        result, before = self._of(self.shown), self._of(self.base) if self.adapter else None
        scored = []
        for k, segment in enumerate(result.scores.chrf if result else ()):
            if segment.chrf is not None:
                was = before.scores.chrf[k].chrf if before else 0.0
                scored.append((segment.chrf - was, k))
        scored.sort(key=lambda item: (-item[0], item[1]))
        best = [k for gain, k in scored[:_EXAMPLES] if before is None or gain > 0]
        worst = [k for gain, k in scored[len(best) :][::-1][:_EXAMPLES] if before is None or gain < 0]

        def example(k: int) -> Example:
            text, now = result.texts.usable[k], result.scores.chrf[k].chrf
            was = f"{before.scores.chrf[k].chrf:.1f} → " if before else ""
            return Example(
                name=f"{show_refs((text.ref,)) if text.ref else text.key} ({text.en_source})",
                reference=text.reference,
                hypothesis=result.hypotheses[k],
                base=before.hypotheses[k] if before else None,
                source=text.source,
                note=f"chrF++ {was}{now:.1f}",
            )

        return {"best": tuple(map(example, best)), "worst": tuple(map(example, worst))}

    def _trust(self) -> Trust:
        rates = []
        for texts in self.evaluated.sets.sets:
            where = "held-out verses" if texts.key == VERSES else texts.name
            for who, system in (("Base model", self.base), ("Adapter", self.adapter)):
                if system is not None:
                    rates.append((f"{who}, {where}", archaism_rate(self._of(system, texts).hypotheses)))
            rates.append((f"Reference, {where}", archaism_rate(text.reference for text in texts.usable)))
        return Trust(tuple(rates), self.evaluated.probes.get(self.base.weights) if self.base else None)

    def _not_scored(self) -> Iterator[NotScored]:
        yield from self.evaluated.not_scored
        if self.evaluated.no_comet is not None:
            yield NotScored("COMET", self.evaluated.no_comet.reason)
        for texts in self.evaluated.sets.sets:
            reasons = Counter(text.reason for text in texts.texts if text.status != USABLE)
            yield from (NotScored(f"sentence of {texts.name}", reason, count) for reason, count in reasons.items())
        if self.shown is not None:
            made = self._of(self.shown).generated.hypotheses
            reasons = Counter(hypothesis.reason for hypothesis in made if hypothesis.status == FAILED)
            for reason, count in reasons.items():
                yield NotScored("verse", f"it counts as an empty translation: {reason}", count)
        if self.terms is None:
            yield NotScored(
                "terms of faith", "terminology_evaluation has not been made: materialise it, then this again"
            )
        else:
            yield from self.terms.not_scored_of([name for name in self._names() if name])

    def _signatures(self) -> Iterator[tuple[str, str]]:
        if self.shown is not None:
            for metric, statistics in self._of(self.shown).scores.statistics.items():
                yield metrics.all_metrics()[metric].label, statistics.signature
