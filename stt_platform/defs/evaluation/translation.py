"""How well translators translate, and whether what was trained here is better: the asset `translation_evaluation`."""

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import dagster as dg

from stt_platform.defs.corpus import corpus_stage
from stt_platform.defs.evaluation.folders import general_folder
from stt_platform.defs.evaluation.term_findings import left_out, read_findings
from stt_platform.defs.evaluation.translation_report import MAIN, Page, pages, speed_words
from stt_platform.defs.evaluation.translation_results import VERSES, Evaluated, evaluate, test_sets
from stt_platform.defs.evaluation.translation_tables import comparison_table, evaluation_table, row_table
from stt_platform.defs.evaluation.translators import (
    adapters_made,
    fetch_translators,
    find_systems,
    systems_on_this_machine,
)
from stt_platform.defs.evaluation.untouched import TRAINING_SET, problems_of_the_test_set, training_set
from stt_platform.defs.platform import Platform
from stt_platform.defs.shown import page, picture, table
from stt_platform.defs.work import Work
from stt_platform.environments import environment
from stt_platform.evaluation.general_sets import read_general_sets
from stt_platform.evaluation.score_pictures import Bar, Panel, score_picture
from stt_platform.evaluation.translation_measures import ALL, WORDS
from stt_platform.models.comet import comet_model
from stt_platform.models.presence import present_weights
from stt_platform.models.registry import ModelMissing
from stt_platform.settings import PlatformError, Settings
from stt_platform.store.choices import frozen_segments
from stt_platform.store.reports import published_report, write_report
from stt_platform.store.scripture import read_pairs
from stt_platform.store.stages import CORPUS, StageOutput, StageResult, current_stage

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


def _parameters(home: Path, settings: Settings) -> Mapping[str, Any]:
    chosen, comet = settings.evaluation, environment("comet")
    learned = training_set(home)
    frozen = json.dumps(frozen_segments(home), sort_keys=True)
    return {
        **chosen.model_dump(include=set(_DECIDING)),
        "seed": settings.scripture.seed,
        "model": chosen.model,
        "systems": systems_on_this_machine(home, settings),
        "general": _digest_of_general_sets(general_folder(home, settings)),
        "comet": [
            present_weights(chosen.comet_model, home),
            comet.identity if comet.is_built else None,
            chosen.comet_device,
        ],
        "training set": learned.digest if learned else None,
        "frozen": hashlib.sha256(frozen.encode()).hexdigest(),
    }


def _digest_of_general_sets(folder: Path) -> str:
    found = read_general_sets(folder)
    sets = [(one.name, [(pair.key, pair.en, pair.es) for pair in one.pairs]) for one in found.translation]
    return hashlib.sha256(json.dumps([sets, found.problems], ensure_ascii=False).encode()).hexdigest()


def _metadata(platform: Platform, output: StageOutput) -> Mapping[str, Any]:
    summary = json.loads((output.folder / _SUMMARY).read_text(encoding="utf-8"))
    rows = platform.store.query(_SCORES, [summary["evaluation_id"]]).to_pylist()
    verdicts = "\n\n".join(f"**{one['title']}**: {one['words']}" for one in summary["pages"])
    return {
        "verdict": dg.MetadataValue.md(verdicts),
        "picture": picture(output.folder / _PICTURE, "chrF++ of each system, with intervals"),
        **{f"report {one['name']}": page(platform, f"evaluation/{one['name']}") for one in summary["pages"]},
        **{
            name: value for name, value in output.facts.items() if name not in {one["name"] for one in summary["pages"]}
        },
        "speed": table([{"system": system, "held-out verses": words} for system, words in summary["speed"]]),
        "scores": table(rows),
        "not scored": left_out(summary["not scored"]),
    }


def _check(platform: Platform, output: StageOutput) -> Iterator[dg.AssetCheckResult]:
    summary = json.loads((output.folder / _SUMMARY).read_text(encoding="utf-8"))
    adapters = [one for one in summary["pages"] if one["adapter_id"]]
    measured = {one["adapter_id"] for one in adapters}
    waiting = [made.adapter_id for made in adapters_made(platform.home).values() if made.adapter_id not in measured]
    for name, key, wanted in (
        ("better_than_its_base", "better", True),
        ("general_set_not_worse", "general", "not worse"),
    ):
        failing = {one["name"]: one["words"] for one in adapters if one[key] != wanted}
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
    found = problems_of_the_test_set(platform.store, verses.texts)
    return dg.AssetCheckResult(
        check_name="test_set_untouched",
        passed=not found,
        metadata={"verses": len(verses.texts), "problems": len(found), "first": "; ".join(found[:_SHOWN]) or "–"},
    )


def _published(output: StageOutput) -> Mapping[str, str]:
    """Each page lies in a folder that has its name."""
    names = sorted({Path(name).parent.name for name in output.files if name.startswith(f"{_PAGES}/")})
    files = {name: published_report(name) for name in names}
    return {f"{_PAGES}/{name}/{file}": known_as for name in names for file, known_as in files[name].items()}


@corpus_stage(
    version="1",
    group="evaluation",
    kinds={"table"},
    upstream=("verse_pairs", "scripture_split"),
    optional=("terminology_evaluation",),
    after=(TRAINING_SET,),
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
    """How well the base translator and what was trained on it translate held-out verses and general text.

    SacreBLEU, chrF++ and COMET with intervals, by genre and testament; each adapter beside its base, asked with the same
    prompt; a rule-based translator and a copy of the source beside them. Whether the base model knows the verses by heart
    is asked too. Each has a page with its verdict, examples and what was not scored. What was translated once is kept.
    """
    home = work.store.home
    pairs = read_pairs(work.inputs["verse_pairs"].folder, work.inputs["scripture_split"].folder)
    sets = test_sets(home, work.settings, pairs)
    systems = find_systems(home, work.settings, pairs, work.say)
    problems = problems_of_the_test_set(work.store, sets.verses.texts)
    evaluated = evaluate(work, pairs, sets, systems, problems)
    terms = work.inputs.get("terminology_evaluation")
    told = pages(evaluated, work.settings, read_findings(terms.folder) if terms else None)
    for one in told:
        folder = work.folder / _PAGES / one.card.name
        folder.mkdir(parents=True)
        write_report(folder, one.html, one.card)
    (work.folder / _PICTURE).write_bytes(_draw(evaluated))
    summary = json.dumps(_summary(evaluated, told), ensure_ascii=False, sort_keys=True, indent=1)
    (work.folder / _SUMMARY).write_text(summary, encoding="utf-8")
    for missing in evaluated.not_scored:
        work.log(f"not scored: {missing.what}: {missing.reason}")
    return StageResult(
        facts=_facts(evaluated, told),
        tables={
            "evaluations": evaluation_table(evaluated),
            "comparisons": comparison_table(evaluated),
            "evaluation_rows": row_table(evaluated),
        },
    )


def _facts(evaluated: Evaluated, told: list[Page]) -> Mapping[str, Any]:
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
        "evaluation_id": evaluated.evaluation_id,
        "pages": [
            {
                "name": one.card.name,
                "title": one.card.title,
                "level": one.verdict.level,
                "words": one.verdict.words,
                "adapter_id": one.adapter_id,
                "better": one.comparison is not None and one.comparison.better == "b",
                "general": one.general[0].judged.verdict if one.general else "not measured",
            }
            for one in told
        ],
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
    return score_picture(panels, f"{WORDS[MAIN].label}: higher is better")
