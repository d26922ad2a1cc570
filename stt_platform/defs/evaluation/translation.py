"""How well translators translate, and whether what was trained here is better: the asset `translation_evaluation`."""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dagster as dg

from stt_platform.defs.evaluation.translation_report import MAIN, Page, pages, speed_words
from stt_platform.defs.evaluation.translation_results import VERSES, Evaluated, evaluate, test_sets
from stt_platform.defs.evaluation.translation_tables import comparison_table, evaluation_table, row_table
from stt_platform.defs.evaluation.translators import (
    adapters_made,
    fetch_translators,
    find_systems,
    systems_on_this_machine,
)
from stt_platform.defs.evaluation.untouched import TRAINING_SET, Learned, problems_of_the_test_set, read_learned
from stt_platform.defs.shown import left_out, page, picture, table
from stt_platform.environments import environment
from stt_platform.errors import PlatformError
from stt_platform.evaluation import metrics
from stt_platform.evaluation.general_sets import read_general_sets
from stt_platform.evaluation.score_pictures import Bar, Panel, score_picture
from stt_platform.evaluation.term_findings import read_findings
from stt_platform.evaluation.translation_measures import ALL
from stt_platform.models.comet import comet_model
from stt_platform.models.presence import present_weights
from stt_platform.models.registry import ModelMissing
from stt_platform.orchestration.platform import Platform
from stt_platform.orchestration.stage import stage
from stt_platform.orchestration.work import StageContext, Work
from stt_platform.settings import Settings
from stt_platform.store.evaluations import general_folder
from stt_platform.store.reading import Read
from stt_platform.store.reports import published_report, write_report
from stt_platform.store.scripture import read_pairs
from stt_platform.store.stages import CORPUS, SHOWN, StageOutput, StageResult, current_stage

_SUMMARY, _PICTURE, _PAGES = "summary.json", "scores.png", "pages"
_DECIDING = ("confidence", "general_chrf_margin", "verses", "general_sentences", "max_new_tokens", "probes")
_CHECKS = (
    (
        "better_than_its_base",
        "Every adapter translates held-out verses better than its base, asked alike (chrF++, paired by verse).",
        False,
    ),
    (
        "general_set_not_worse",
        "No adapter is worse on general text than its base by more than `evaluation.general_chrf_margin`. Undecided "
        "counts as a warning: translate more sentences.",
        False,
    ),
    ("test_set_untouched", "No verse that examines has been learned from, by its segment or by its words.", False),
)
_SCORES = """
select system, "set", slice, metric, value, ci_low, ci_high, n, reason from evaluations
where evaluation_id = ? and slice not like 'genre:%' and slice not like 'testament:%'
order by "set" desc, slice, metric, value desc
"""
_SHOWN = 5


def prepare_evaluation(home: Path, settings: Settings, log: Callable[[str], None]) -> None:
    """Fetch translators, COMET's model and its environment; what is not to be had is said, and left out."""
    fetch_translators(home, settings, log)
    try:
        comet_model(settings.evaluation.comet_model, home, log)
        environment("comet").ensure(log)
    except (ModelMissing, PlatformError) as missing:
        log(str(missing))


@dataclass(frozen=True)
class _Read:
    """The general test sets, by name and with their pairs, and what was learned from."""

    general: list[tuple[str, list[tuple[str, str, str]]]]
    problems: list[str]
    learned: Learned


def _read(context: StageContext) -> _Read:
    folder = general_folder(context.home, context.settings)
    found = read_general_sets(folder)
    return _Read(
        general=[(one.name, [(pair.key, pair.en, pair.es) for pair in one.pairs]) for one in found.translation],
        problems=[problem.replace(str(folder), folder.name) for problem in found.problems],
        learned=read_learned(context.store),
    )


def _parameters(context: StageContext) -> Mapping[str, Any]:
    settings, home = context.settings, context.home
    chosen, comet = settings.evaluation, environment("comet")
    return {
        **chosen.model_dump(include=set(_DECIDING)),
        "seed": settings.scripture.seed,
        "model": chosen.model,
        "systems": systems_on_this_machine(home, settings),
        "comet": [
            present_weights(chosen.comet_model, home),
            comet.identity if comet.is_built else None,
            chosen.comet_device,
        ],
    }


@dataclass(frozen=True)
class PageData:
    """The verdict about one translator.

    Attributes:
        adapter_id: None for a base model, or a peer.
        better: whether an adapter translates held-out verses better than its base, by the paired test.
        general: on general text, beside its base: "not worse", "worse", "undecided" or "not measured".
    """

    name: str
    level: str
    adapter_id: str | None
    better: bool
    general: str


@dataclass(frozen=True)
class TranslationEvaluationData:
    """What was measured: systems, held-out verses, sentences of each general set, and the verdict of each page."""

    evaluation_id: str
    systems: int
    verses: int
    general_sets: dict[str, int]
    pages: tuple[PageData, ...]


def _metadata(platform: Platform, output: StageOutput) -> Mapping[str, Any]:
    summary = json.loads((output.shown_folder / _SUMMARY).read_text(encoding="utf-8"))
    rows = platform.store.query(_SCORES, [output.data_as(TranslationEvaluationData).evaluation_id]).to_pylist()
    verdicts = "\n\n".join(f"**{one['title']}**: {one['words']}" for one in summary["pages"])
    return {
        "verdict": dg.MetadataValue.md(verdicts),
        "picture": picture(output.shown_folder / _PICTURE, "chrF++ of each system, with intervals"),
        **{f"report {one['name']}": page(platform, f"evaluation/{one['name']}") for one in summary["pages"]},
        **{
            name: value for name, value in output.shown.items() if name not in {one["name"] for one in summary["pages"]}
        },
        "speed": table([{"system": system, "held-out verses": words} for system, words in summary["speed"]]),
        "scores": table(rows),
        "not scored": left_out(summary["not scored"]),
    }


def _check(platform: Platform, output: StageOutput) -> Iterator[dg.AssetCheckResult]:
    adapters = [one for one in output.data_as(TranslationEvaluationData).pages if one.adapter_id]
    titles = output.shown
    measured = {one.adapter_id for one in adapters}
    waiting = [made.adapter_id for made in adapters_made(platform.home).values() if made.adapter_id not in measured]
    for name, key, wanted in (
        ("better_than_its_base", "better", True),
        ("general_set_not_worse", "general", "not worse"),
    ):
        failing = {one.name: titles.get(one.name, "") for one in adapters if getattr(one, key) != wanted}
        failing |= {adapter_id[:12]: "it could not be measured: see what was not scored" for adapter_id in waiting}
        yield dg.AssetCheckResult(
            check_name=name,
            passed=not failing,
            severity=dg.AssetCheckSeverity.WARN,
            metadata=failing or {"adapters": len(adapters)},
        )
    yield _untouched(platform)


def _untouched(platform: Platform) -> dg.AssetCheckResult:
    """Look at what is learned from as it is now, not as it was when the verses were translated."""
    pairs, split = (current_stage(platform.home, CORPUS, name) for name in ("verse_pairs", "scripture_split"))
    verses = test_sets(platform.home, platform.settings, read_pairs(pairs, split)).verses
    found = problems_of_the_test_set(read_learned(platform.store), verses.texts)
    return dg.AssetCheckResult(
        check_name="test_set_untouched",
        passed=not found,
        metadata={"verses": len(verses.texts), "problems": len(found), "first": "; ".join(found[:_SHOWN]) or "–"},
    )


def _published(output: StageOutput) -> Mapping[str, str]:
    """Each page lies in a folder that has its name."""
    folder = f"{SHOWN}/{_PAGES}/"
    names = sorted({Path(name).parent.name for name in output.files if name.startswith(folder)})
    files = {name: published_report(name) for name in names}
    return {f"{folder}{name}/{Path(file).name}": known_as for name in names for file, known_as in files[name].items()}


@stage(
    version="1",
    group="evaluation",
    kinds={"table"},
    upstream=("verse_pairs", "scripture_split"),
    optional=("terminology_evaluation",),
    reads=(Read("training_examples", by=(TRAINING_SET,)),),
    read=_read,
    after=("translategemma_adapter", "marian_model"),
    tables=("evaluations", "comparisons", "evaluation_rows"),
    parameters=_parameters,
    prepare=prepare_evaluation,
    published=_published,
    metadata=_metadata,
    check_specs=_CHECKS,
    checks=_check,
    on_device=lambda settings: "cuda" in (settings.evaluation.device, settings.evaluation.comet_device),
    on_request=True,
)
def translation_evaluation(work: Work) -> StageResult:
    """Evaluate the base translator, and what was trained on it, on held-out verses and general text.

    SacreBLEU, chrF++ and COMET with intervals, by genre and testament; each adapter beside its base, asked with the same
    prompt; a rule-based translator and a copy of the source beside them. Whether the base model knows the verses by heart
    is asked too. Each has a page with its verdict, examples and what was not scored. What was translated once is kept.
    """
    home = work.home
    pairs = read_pairs(work.inputs["verse_pairs"].folder, work.inputs["scripture_split"].folder)
    sets = test_sets(home, work.settings, pairs)
    systems = find_systems(home, work.settings, pairs, work.say)
    problems = problems_of_the_test_set(work.read.learned, sets.verses.texts)
    evaluated = evaluate(work, pairs, sets, systems, problems)
    terms = work.inputs.get("terminology_evaluation")
    told = pages(evaluated, work.settings, read_findings(terms.folder) if terms else None)
    for one in told:
        folder = work.shown_folder / _PAGES / one.card.name
        folder.mkdir(parents=True)
        write_report(folder, one.html, one.card)
    (work.shown_folder / _PICTURE).write_bytes(_draw(evaluated))
    summary = json.dumps(_summary(evaluated, told), ensure_ascii=False, sort_keys=True, indent=1)
    (work.shown_folder / _SUMMARY).write_text(summary, encoding="utf-8")
    for missing in evaluated.not_scored:
        work.log(f"not scored: {missing.what}: {missing.reason}")
    return StageResult(
        data=_data(evaluated, told),
        shown=_shown(evaluated, told),
        tables={
            "evaluations": evaluation_table(evaluated),
            "comparisons": comparison_table(evaluated),
            "evaluation_rows": row_table(evaluated),
        },
    )


def _data(evaluated: Evaluated, told: list[Page]) -> TranslationEvaluationData:
    return TranslationEvaluationData(
        evaluation_id=evaluated.evaluation_id,
        systems=len(evaluated.systems),
        verses=len(evaluated.sets.verses.usable),
        general_sets={texts.name: len(texts.usable) for texts in evaluated.sets.general},
        pages=tuple(
            PageData(
                name=one.card.name,
                level=one.verdict.level,
                adapter_id=one.adapter_id,
                better=one.comparison is not None and one.comparison.better == "b",
                general=one.general[0].judged.verdict if one.general else "not measured",
            )
            for one in told
        ),
    )


def _shown(evaluated: Evaluated, told: list[Page]) -> Mapping[str, Any]:
    if all(system.kind == "floor" for system in evaluated.systems):
        reasons = "; ".join(f"{missing.what}: {missing.reason}" for missing in evaluated.not_scored)
        return {"no translator could be measured": reasons}
    return {
        **{one.card.name: one.verdict.words for one in told},
        "systems": len(evaluated.systems),
        "verses": len(evaluated.sets.verses.usable),
        "general sets": ", ".join(f"{texts.name} ({len(texts.usable)})" for texts in evaluated.sets.general) or "none",
    }


def _summary(evaluated: Evaluated, told: list[Page]) -> Mapping[str, Any]:
    absent = [("COMET", evaluated.no_comet.reason)] if evaluated.no_comet else []
    return {
        "pages": [{"name": one.card.name, "title": one.card.title, "words": one.verdict.words} for one in told],
        "not scored": [*((missing.what, missing.reason) for missing in evaluated.not_scored), *absent],
        "speed": [
            (system.name, speed_words(evaluated.of(system.name, VERSES).generated))
            for system in evaluated.systems
            if system.kind != "floor"
        ],
    }


def _draw(evaluated: Evaluated) -> bytes:
    panels = []
    for texts in evaluated.sets.sets:
        where = (
            f"{len(texts.usable):,} held-out verses"
            if texts.key == VERSES
            else f"{texts.name}, {len(texts.usable):,} sentences"
        )
        bars = (
            Bar(system.label, system.kind, evaluated.of(system.name, texts.key).intervals[ALL, MAIN])
            for system in evaluated.systems
        )
        panels.append(Panel(where, tuple(bars)))
    return score_picture(panels, f"{metrics.TRANSLATION[0].label}: higher is better")
