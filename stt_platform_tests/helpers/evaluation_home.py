"""A small STT_HOME with reports, numbers and choices that are made up, for the tests of the evaluation pages.

The texts and counts are invented; rates, intervals and verdicts are what the platform's own functions make of them.
"""

import os
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from stt_platform.evaluation.evaluation_report import (
    Curve,
    Example,
    GeneralSet,
    Measure,
    NotScored,
    Report,
    Slice,
    Subject,
    TermPair,
    Terms,
    Trust,
    render_report,
    verdict,
)
from stt_platform.evaluation.intervals import Counts, Interval, corpus_rate
from stt_platform.evaluation.paired import Comparison, non_inferior, paired_rates
from stt_platform.evaluation.report_pictures import Point
from stt_platform.evaluation.terminology import TermCounts, score_six
from stt_platform.evaluation.trust import ProbeResult, archaism_rate
from stt_platform.store.choices import ViewChoice, record_label_policy, record_training_view
from stt_platform.store.evaluations import ALL, Measured, comparison_row, number_rows, part
from stt_platform.store.metadata import MetadataStore
from stt_platform.store.reports import ReportCard, write_report

HOSTILE = '<img src=x onerror="window.attacked=1"><script>window.attacked=1</script>\'&amp;'
RECOGNISER = "whisper-small.en@e0c2f1a"
TRANSLATOR = "translategemma-4b@71d9c55"
WHY_ENHANCED = "of 100 words, 1.2 fewer are wrong in the enhanced view (0.8 to 1.7), over 8 sermons, p = 0.0078"
WER_IN_WORDS = "of 100 spoken words, so many are wrong, missing or added"

ByCluster = Mapping[str, Counts]


def simulated(seed: int, clusters: int, rate: float, gain: float, words: int = 640) -> tuple[ByCluster, ByCluster]:
    """Errors of a base model and of its adapter in as many sermons, some of which are harder than others."""
    rng = np.random.default_rng(seed)
    base, adapter = {}, {}
    for k in range(clusters):
        spoken = int(words * rng.uniform(0.7, 1.4))
        hardness = rng.lognormal(0, 0.35)
        base[f"sermon {k:02}"] = Counts(round(spoken * rate * hardness), spoken)
        left = 1 - gain * rng.uniform(0.4, 1.6)
        adapter[f"sermon {k:02}"] = Counts(round(spoken * rate * hardness * left), spoken)
    return base, adapter


def rates(name: str, counts: tuple[ByCluster, ByCluster], explanation: str = "", clusters: str = "sermons") -> Measure:
    """A measure of both, compared by the platform's own test."""
    base, adapter = counts
    intervals = corpus_rate(base.values()), corpus_rate(adapter.values())
    return Measure(name, "%", *intervals, paired_rates(base, adapter), clusters, explanation)


def text_scores(name: str, base: float, gain: float, half_width: float, n: int, explanation: str = "") -> Measure:
    """A score of 0 to 100 with a bootstrap interval, as the evaluation of a translator gives it."""
    method = f"percentile bootstrap (1,000 resamples) over {n} segments"
    low, high = gain - half_width / 2, gain + half_width / 2
    decided = low > 0 or high < 0
    comparison = Comparison(
        *(base, base + gain, gain, low, high, 0.0006 if decided else 0.31, n),
        f"paired bootstrap (1,000 resamples) and approximate randomisation (9,999 shuffles) over {n} segments",
        ("b" if gain > 0 else "a") if decided else "undecided",
        "",
        "",
        lower_is_better=False,
        test="randomisation",
    )
    scores = [Interval(v, v - half_width, v + half_width, n, method, 0.95) for v in (base, base + gain)]
    return Measure(name, "", *scores, comparison, "segments", explanation, lower_is_better=False)


def tuned(adapter: str, sermons: str) -> Subject:
    """A recogniser with an adapter on the church test."""
    return Subject(
        model=RECOGNISER,
        adapter=adapter,
        test_set="church test",
        revision=f"{adapter}e5f6",
        data_hash="sha256:8d1f4be02c6a97e0",
        decoding=(("beams", "5"), ("temperature", "0"), ("view", "enhanced")),
        more=(("Sermons", sermons),),
    )


def better() -> Report:
    """A recogniser's adapter that helps, with every part of a report of speech."""
    wer = simulated(7, 14, 0.142, 0.22)
    few = tuple(dict(list(side.items())[:3]) for side in wer)
    names = simulated(3, 14, 0.31, 0.35, words=46)
    general = simulated(21, 40, 0.034, 0.02, words=240)
    outside = rates("WER", general, "of 100 spoken words, so many are wrong", "speakers")
    invented = [
        Interval(value, None, None, 14, "no-speech stretches of 11 minutes", 0.95, "there are too few stretches")
        for value in (3.42, 0.81)
    ]
    return Report(
        title="Speech: the adapter of cycle 3",
        subject=tuned("9c41f07ab2d3", "14, none of them trained on; 2 hours 3 minutes"),
        measures=(
            rates("WER", wer, WER_IN_WORDS),
            rates("Names and references", names, "of 100 names and scripture references, so many are missed"),
            rates("CER", simulated(8, 14, 0.071, 0.2, 3100), "the same for letters"),
            Measure("Invented words", "per minute", *invented, explanation="words written where nobody speaks"),
        ),
        general=GeneralSet("LibriSpeech test-clean", outside, non_inferior(outside.comparison, 0.005)),
        slices=(
            Slice("speaker", "Ann Lee", rates("WER", simulated(11, 9, 0.118, 0.24))),
            Slice("speaker", "John Okafor", rates("WER", few)),
            Slice("noise", "clean", rates("WER", simulated(12, 8, 0.096, 0.15))),
            Slice("noise", "noisy", rates("WER", simulated(13, 11, 0.213, 0.27))),
        ),
        best=(
            Example(
                "2024-03-10 The Lamp and the Oil, 12:40",
                "Turn with me to Second Timothy, chapter three, verse sixteen.",
                "Turn with me to Second Timothy chapter three, verse sixteen.",
                "Turn with me to the second team of the chapter three, verse sixteen.",
                note="errors: 4 → 0 of 10 words",
            ),
            Example(
                "2024-05-19 The Day of Pentecost, 31:07",
                "He is the propitiation for our sins, and not for ours only, but also for the whole world.",
                "He is the propitiation for our sins, and not for ours only but also for the whole world.",
                "He is the preposition for our sins and not for hours only but also for the whole word.",
                note="errors: 3 → 0 of 18 words",
            ),
        ),
        worst=(
            Example(
                "2024-04-21 Bread for the Hungry, 02:11",
                "And all God's people said, amen.",
                "And all God's people said amen. Amen. Amen. Amen. Thank you.",
                "And all God's people said amen.",
                note="errors: 0 → 5 of 6 words",
            ),
            Example(
                "2024-06-02 Nehemiah Builds, 18:55",
                "Sanballat the Horonite and Tobiah the servant heard of it.",
                "",
                "Some ballad the whole night and to buy a servant heard of it.",
                note="errors: 7 → 10 of 10 words",
            ),
        ),
        curves=(
            Curve(
                "WER",
                "%",
                (
                    Point(0, 0.141, 0.118, 0.168),
                    Point(1, 0.128, 0.107, 0.154),
                    Point(2, 0.183, 0.144, 0.232),
                    Point(3, 0.111, 0.092, 0.133),
                ),
            ),
        ),
        not_scored=(
            NotScored("stretch of audio", "there is no reference: transcribe it, or mark it as no speech", 3),
            NotScored("sermon", "it is in Spanish: 2024-02-11--culto-en-espanol"),
        ),
        signatures=(("WER", "jiwer 4.0.0, church English 2"),),
    )


def worse() -> Report:
    """An adapter that learned from spoilt corrections."""
    return replace(
        better(),
        title="Speech: the adapter of cycle 2",
        subject=tuned("52e0c8813bfa", "14, none of them trained on"),
        measures=(rates("WER", simulated(5, 14, 0.142, -0.3), WER_IN_WORDS),),
        general=None,
        slices=(),
        best=(),
        curves=(),
    )


def undecided() -> Report:
    """Three sermons: too few for any test."""
    measures = (rates("WER", simulated(9, 3, 0.15, 0.15), WER_IN_WORDS),)
    return Report("Speech: the adapter of cycle 1", tuned("07d3a94e6c21", "3, none of them trained on"), measures)


def invalid() -> Report:
    """A sermon of the test was trained on."""
    problem = "the sermon 2024-03-10--the-lamp-and-the-oil of it was trained on"
    subject = tuned("e81b2f60957d", "3, one of them trained on")
    return replace(
        undecided(),
        title="Speech: the adapter of cycle 4",
        subject=subject,
        test_set_touched=True,
        test_set_problem=problem,
    )


def mixed() -> Report:
    """A translator that learned verses and forgot the rest."""
    n = 1_204
    chrf = text_scores("chrF++", 47.9, 6.3, 0.9, n, "likeness to the reference in letters and words, 0 to 100")
    outside = text_scores("chrF++", 61.4, -3.1, 0.8, 997, "likeness to the reference, 0 to 100")
    comet = Interval(None, None, None, 0, "", 0.95, "its model wmt22-comet-da is not on this machine")
    counts = TermCounts(1640, 1312, 1002, 961, 890, 1071, 328, 40, 21, 2)
    return Report(
        title="Translation: TranslateGemma 4B with its adapter",
        subject=Subject(
            model=TRANSLATOR,
            adapter="b37e5520d1aa",
            test_set="held-out verses",
            revision="b37e5520d1aa04c9",
            data_hash="sha256:41c07d9e88a2b6f3",
            prompt="translategemma: en to es, without hints",
            decoding=(("beams", "1"), ("max_new_tokens", "256")),
            more=(("Verses", "1,204, none of them trained on"),),
        ),
        measures=(
            chrf,
            text_scores("BLEU", 21.2, 8.8, 1.4, n, "words in a row that are as in the reference, 0 to 100"),
            Measure("COMET", "", comet, comet, lower_is_better=False, explanation="a model's judgement of the meaning"),
        ),
        general=GeneralSet("NTREX-128", outside, non_inferior(outside.comparison, 1.0)),
        slices=(
            Slice("genre", "epistles", text_scores("chrF++", 46.2, 5.9, 2.1, 231)),
            Slice("genre", "poetry", text_scores("chrF++", 44.8, 7.2, 1.9, 288)),
            Slice("genre", "minor prophets", text_scores("chrF++", 48.3, 1.1, 3.9, 74)),
        ),
        best=(
            Example(
                "1 John 2:2",
                "Y él es la propiciación por nuestros pecados: y no solamente por los nuestros, sino también por los de "
                "todo el mundo.",
                "Y él es la propiciación por nuestros pecados: y no solamente por los nuestros, sino también por los de "
                "todo el mundo.",
                "Él es la expiación de nuestros pecados, y no sólo de los nuestros, sino de los de todo el mundo.",
                source="And he is the propitiation for our sins: and not for ours only, but also for the sins of the "
                "whole world.",
                note="chrF++ 58.1 → 100",
            ),
        ),
        worst=(
            Example(
                "Psalms 119:105",
                "Lámpara es a mis pies tu palabra, y lumbrera a mi camino.",
                "Nun. " * 40,
                "Tu palabra es una lámpara para mis pies y una luz para mi camino.",
                source="NUN. Thy word is a lamp unto my feet, and a light unto my path.",
                note="chrF++ 49.0 → 2.3",
            ),
        ),
        terms=Terms(
            TermPair(counts, replace(counts, hits=1180, lemma_hits=1015, forbidden=6)),
            (
                ("no_hints", TermPair(replace(counts, found=610, total=548, hits=391), None)),
                ("hinted", TermPair(replace(counts, found=610, total=548, hits=499), None)),
                ("random_hints", TermPair(replace(counts, found=610, total=548, hits=387), None)),
            ),
            score_six(
                [
                    "La expiación de Cristo cubre todos los pecados.",
                    "El pacto entre Dios y Abraham.",
                    "Somos salvos por gracia mediante la fe.",
                    "La rectitud de Dios se revela.",
                    "Santiago escribió acerca de la fe y las obras.",
                    "Santiago y Juan eran pescadores.",
                ]
            ),
        ),
        trust=Trust(
            (
                ("Base model", archaism_rate(["Él vino a casa", "Y aconteció así", "Vino el Señor"])),
                ("Adapter", archaism_rate(["Y aconteció que fué á Jerusalem", "Y díjole: Heme aquí", "Él vino"])),
                ("Reference", archaism_rate(["Y díjole: Heme aquí", "Y fué á Jerusalem", "Él vino"])),
            ),
            ProbeResult(
                *(200, 200, 41.0, 19.5, 4.1, 1.2, 6, 37, 0.138, 0.246, "in parts"),
                "37 of 200 continuations (13.8 to 24.6 %) are longer than chance allows: it seems to know parts of it.",
                (),
            ),
        ),
        not_scored=(NotScored("COMET", "its model wmt22-comet-da is not on this machine: see docs/licences.md"),),
        signatures=(("chrF++", "nrefs:1|case:mixed|eff:yes|nc:6|nw:2|space:no|version:2.6.0"),),
        language="es",
    )


def alone() -> Report:
    """A base model by itself."""
    base, _ = simulated(7, 14, 0.142, 0.22)
    measure = Measure("WER", "%", corpus_rate(base.values()), explanation=WER_IN_WORDS)
    return Report("Speech: cycle 0", Subject(RECOGNISER, "church test"), (measure,))


def nothing() -> Report:
    """No text could be scored."""
    lost = Interval(None, None, None, 0, "", 0.95, "no reference holds a word")
    subject = Subject(TRANSLATOR, "held-out verses")
    return Report("Translation: the base model", subject, (Measure("chrF++", "", lost, lower_is_better=False),))


def hostile() -> Report:
    """A report in which everything that others may have written is an attack."""
    example = Example(HOSTILE, HOSTILE, f"{HOSTILE} more", HOSTILE, HOSTILE, HOSTILE)
    subject = Subject(HOSTILE, HOSTILE, HOSTILE, HOSTILE, HOSTILE, HOSTILE, ((HOSTILE, HOSTILE),))
    return Report(HOSTILE, subject, test_set_touched=True, test_set_problem=HOSTILE, best=(example,), language=HOSTILE)


REPORTS: Mapping[str, tuple[str, Report]] = {
    "speech-cycle-0": ("speech", alone()),
    "speech-cycle-1": ("speech", undecided()),
    "speech-cycle-2": ("speech", worse()),
    "speech-cycle-3": ("speech", better()),
    "speech-cycle-4": ("speech", invalid()),
    "translation-base": ("translation", nothing()),
    "translation-4b": ("translation", mixed()),
    "translation-hostile": ("translation", hostile()),
}
"""What each report is about, and the report, in the order in which they were made."""


def build_home(home: Path, *, hostile: bool = True) -> Path:
    """All reports with their cards and rows, an assessment that may lie in two bands, and the choices it led to."""
    store = MetadataStore(home)
    for number, (name, (subject, report)) in enumerate(REPORTS.items()):
        if hostile or "hostile" not in name:
            publish(home, name, subject, report, made_s=1_795_600_000 + 86_400 * number)
            store.write("evaluations", name, list(_numbers(name, subject, report)))
            store.write("comparisons", name, list(_comparisons(name, subject, report)))
    if hostile:
        store.write("evaluations", "hostile", [_hostile_row()])
    write_assessment(home, {ALL: 0.171, "view: enhanced": 0.171})
    _write_views(home)
    store.write("assessment_sample", "sample", [_sampled(k) for k in range(100)])
    store.write("references", "written", [_written(k) for k in range(64)])
    record_label_policy(home, "weak_then_clean", "the word error rate may lie in 10-20 % or 20-30 %")
    return home


def publish(home: Path, name: str, subject: str, report: Report, *, made_s: float) -> None:
    """Put a report and its card where the stages publish them."""
    folder = home / "reports"
    folder.mkdir(parents=True, exist_ok=True)
    found = verdict(report)
    system = "+".join(filter(None, (report.subject.model, report.subject.adapter)))
    card = ReportCard(name, report.title, subject, system, found.level, found.words, f"evaluation of {name}")
    write_report(folder, render_report(report), card)
    for suffix in ("html", "json"):
        made = (folder / f"report.{suffix}").rename(folder / f"{name}.{suffix}")
        os.utime(made, (made_s, made_s))


def write_assessment(home: Path, rates_of: Mapping[str, float]) -> None:
    """What the assessment measured, by part: about the rates that are given."""
    of = Measured("baseline", RECOGNISER, "assessment")
    rows = []
    for slice_, rate in rates_of.items():
        found = corpus_rate(simulated(17, 8, rate, 0.1, words=180)[0].values())
        rows += number_rows(of, slice_, {"wer": found}, {"wer": "jiwer 4.0.0, church English 2"})
    MetadataStore(home).write("evaluations", "baseline_wer", rows)


def _write_views(home: Path) -> None:
    of = Measured("views", RECOGNISER, "assessment")
    original, enhanced = simulated(17, 8, 0.184, 0.07, words=180)
    values = {"original": corpus_rate(original.values()), "enhanced": corpus_rate(enhanced.values())}
    rows = [number_rows(of, part("view", view), {"wer": found}, {"wer": "made up"}) for view, found in values.items()]
    found = paired_rates(original, enhanced)
    compared = comparison_row(of, part("view", "enhanced"), "wer", found, compared_with=f"{RECOGNISER}, original")
    store = MetadataStore(home)
    store.write("evaluations", "view_comparison", [row for of_view in rows for row in of_view])
    store.write("comparisons", "view_comparison", [compared])
    record_training_view(home, ViewChoice("enhanced", WHY_ENHANCED))


_METRICS = {
    "WER": "wer",
    "CER": "cer",
    "chrF++": "chrf_today",
    "BLEU": "bleu_today",
    "COMET": "comet",
    "Invented words": "hallucinated_words_per_min",
    "Names and references": "made_up_rate",
}


def _measured(report: Report) -> Iterator[tuple[str, Measure]]:
    yield from ((ALL, measure) for measure in report.measures)
    yield from ((part(item.kind, item.name), item.measure) for item in report.slices)


def _of(name: str, subject: str, report: Report, *, adapter: bool) -> Measured:
    set_ = "church_test" if subject == "speech" else "scripture_test"
    model, trained = report.subject.model, report.subject.adapter
    if adapter:
        return Measured(f"evaluation of {name}", f"{model}+{trained}", set_, trained)
    return Measured(f"evaluation of {name}", model, set_)


def _numbers(name: str, subject: str, report: Report) -> Iterator[dict[str, Any]]:
    for slice_, measure in _measured(report):
        metric = _METRICS[measure.name]
        for adapter, found in ((False, measure.base), (True, measure.adapter)):
            if found is not None:
                of = _of(name, subject, report, adapter=adapter)
                yield from number_rows(of, slice_, {metric: found}, {metric: "made up"})


def _comparisons(name: str, subject: str, report: Report) -> Iterator[dict[str, Any]]:
    of = _of(name, subject, report, adapter=True)
    for slice_, measure in _measured(report):
        if measure.comparison is not None:
            base = report.subject.model
            yield comparison_row(of, slice_, _METRICS[measure.name], measure.comparison, compared_with=base)


def _hostile_row() -> dict[str, Any]:
    names = ("evaluation_id", "system", "adapter_id", "slice", "metric", "signature", "reason")
    return {**dict.fromkeys(names, HOSTILE), "set": "general_text", "value": float("inf"), "n": 0}


def _sampled(k: int) -> dict[str, Any]:
    return {
        "sermon": f"sermon-{k % 8}",
        "chunk_id": f"chunk-{k:03}",
        "duration_s": 11.0,
        "noise": ("noisy", "middle", "clean")[k % 3],
        "path": f"sermons/sermon-{k % 8}/chunk-{k:03}.wav",
    }


def _written(k: int) -> dict[str, Any]:
    return {
        "sermon": f"sermon-{k % 8}",
        "chunk_id": f"chunk-{k:03}",
        "text": "Amen.",
        "source": "assessment_sample.csv",
        "status": "accepted",
    }
