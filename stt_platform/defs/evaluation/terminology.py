"""Whether translators render the terms of faith as the church says them: the asset `terminology_evaluation`."""

import csv
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, get_args

import dagster as dg

from stt_platform.defs.evaluation.term_results import NO_HINTS, Asked, FoundTerms, findings_of, terms_of, what_is_asked
from stt_platform.defs.evaluation.term_tables import by_sense, comparison_table, number_table, row_table, terms_picture
from stt_platform.defs.evaluation.translating import running
from stt_platform.defs.evaluation.translators import (
    SystemUnusable,
    fetch_translators,
    find_systems,
    systems_on_this_machine,
)
from stt_platform.defs.shown import left_out, picture, table
from stt_platform.evaluation.evaluation_report import NotScored
from stt_platform.evaluation.term_findings import (
    WHOLE,
    WORDS,
    SystemTerms,
    TermFindings,
    read_findings,
    write_findings,
)
from stt_platform.evaluation.terminology import HintMode, score_six
from stt_platform.orchestration.platform import Platform
from stt_platform.orchestration.stage import stage
from stt_platform.orchestration.work import StageContext, Work
from stt_platform.store.scripture import read_pairs
from stt_platform.store.stages import SHOWN, StageOutput, StageResult

_PICTURE, _SENSES, _LEFT_OUT = "terms.png", "terms_by_sense.csv", "not_scored.json"
_PUBLISHED = "reports/terms-by-sense.csv"
_DECIDING = ("confidence", "verses", "max_new_tokens", "term_segments")
_SHOWN = 15


def _parameters(context: StageContext) -> Mapping[str, Any]:
    settings = context.settings
    return {
        **settings.evaluation.model_dump(include=set(_DECIDING)),
        "seed": settings.scripture.seed,
        "model": settings.evaluation.model,
        "systems": systems_on_this_machine(context.home, settings),
        "hint_form": settings.glossary.hint_form,
        "max_hints": settings.glossary.max_hints,
    }


@dataclass(frozen=True)
class TermAccuracy:
    """How many of the terms one system renders rightly; the share is None where no term was judged."""

    judged: int
    share: float | None


@dataclass(frozen=True)
class TerminologyData:
    """What was measured: verses, those with hints, and the accuracy of each system by its name."""

    verses: int
    verses_with_hints: int
    systems: dict[str, TermAccuracy]


def _metadata(platform: Platform, output: StageOutput) -> Mapping[str, Any]:
    findings = read_findings(output.folder)
    senses = list(csv.DictReader(io.StringIO((output.shown_folder / _SENSES).read_text(encoding="utf-8"))))
    missed = sorted(senses, key=lambda row: (int(row["hits"]) - int(row["judged"]), row["term"], row["system"]))
    return {
        "picture": picture(output.shown_folder / _PICTURE, "share of the terms that each system renders rightly"),
        **output.shown,
        "terms": table([row for found in findings.systems.values() for row in _shown(found)]),
        "six sentences": table([row for found in findings.systems.values() for row in _shown_six(found)]),
        "missed most often": table(missed[:_SHOWN]),
        "all terms": dg.MetadataValue.path(str(platform.home / _PUBLISHED)),
        "not scored": left_out(json.loads((output.shown_folder / _LEFT_OUT).read_text(encoding="utf-8"))),
    }


def _shown(found: SystemTerms) -> Iterator[Mapping[str, Any]]:
    for part, counts in found.counts.items():
        interval = found.intervals[part]
        yield {
            "system": found.system,
            "terms": WORDS[part],
            "right": counts.accuracy,
            "low": interval.low,
            "high": interval.high,
            "judged": counts.total,
            "in this sense": counts.sense_accuracy,
            "by the glossary's word": counts.lemma_accuracy,
            "so the reference": counts.lemma_ceiling,
            "forbidden": counts.forbidden,
            "of all found": counts.found,
        }


def _shown_six(found: SystemTerms) -> Iterator[Mapping[str, Any]]:
    for six in score_six(found.six):
        yield {
            "system": found.system,
            "English": six.sentence.en,
            "expected": six.sentence.expected,
            "translation": six.hypothesis,
            "found": six.found,
        }


@stage(
    version="1",
    group="evaluation",
    kinds={"table"},
    upstream=("verse_pairs", "scripture_split", "glossary"),
    after=("translategemma_adapter", "marian_model"),
    tables=("evaluations", "comparisons", "evaluation_rows"),
    parameters=_parameters,
    prepare=fetch_translators,
    published={f"{SHOWN}/{_SENSES}": _PUBLISHED},
    metadata=_metadata,
    on_device=lambda settings: settings.evaluation.device == "cuda",
    on_request=True,
)
def terminology_evaluation(work: Work) -> StageResult:
    """Measure how often each translator renders the terms of the glossary rightly.

    On held-out verses, by sense, in any inflection, beside what the reference itself reaches; on some of them without
    hints, with hints, and with as many random ones, where the prompt takes hints; renderings that are never right; and six
    sentences that show what goes wrong. `reports/terms-by-sense.csv` has every term.
    """
    confidence = work.settings.evaluation.confidence
    pairs = read_pairs(work.inputs["verse_pairs"].folder, work.inputs["scripture_split"].folder)
    systems = find_systems(work.home, work.settings, pairs, work.say)
    asked = what_is_asked(work, pairs, {system.hint_form for system in systems.found if system.hint_form})
    lost, everyone = list(systems.missing), []
    for system in systems.found:
        try:
            with running(work, system) as at_work:
                everyone.append(terms_of(at_work, system, asked))
        except SystemUnusable as error:
            lost.append(NotScored(system.name, str(error)))
    work.say("counting terms")
    findings = TermFindings({found.system.name: findings_of(found, everyone, confidence) for found in everyone})
    lost += [NotScored(f"hints to {found.system.name}", NO_HINTS) for found in everyone if found.control is None]
    write_findings(findings, work.folder)
    (work.shown_folder / _PICTURE).write_bytes(terms_picture(everyone, findings))
    (work.shown_folder / _SENSES).write_text(by_sense(everyone, asked.glossary), encoding="utf-8")
    missing = json.dumps([(one.what, one.reason) for one in lost], ensure_ascii=False)
    (work.shown_folder / _LEFT_OUT).write_text(missing, encoding="utf-8")
    name = f"{work.stage}-{work.key[:12]}"
    data = _data(everyone, findings, asked)
    return StageResult(
        data=data,
        shown=_in_words(everyone, findings, data, lost),
        tables={
            "evaluations": [row for found in everyone for row in number_table(found, name, confidence)],
            "comparisons": [row for found in everyone for row in comparison_table(found, findings, name, confidence)],
            "evaluation_rows": [row for found in everyone for row in row_table(found, asked, name)],
        },
    )


def _data(everyone: Sequence[FoundTerms], findings: TermFindings, asked: Asked) -> TerminologyData:
    counts = {found.system.name: findings.systems[found.system.name].counts[WHOLE] for found in everyone}
    return TerminologyData(
        verses=len(asked.verses),
        verses_with_hints=max(map(len, asked.control.values()), default=0) // len(get_args(HintMode)),
        systems={name: TermAccuracy(each.total, each.accuracy) for name, each in counts.items()},
    )


def _in_words(
    everyone: Sequence[FoundTerms], findings: TermFindings, data: TerminologyData, lost: Sequence[NotScored]
) -> Mapping[str, Any]:
    models = [found for found in everyone if found.system.kind != "floor"]
    if not models:
        return {"no translator could be measured": "; ".join(f"{one.what}: {one.reason}" for one in lost)}
    return {
        **{found.system.name: _right(findings.systems[found.system.name]) for found in models},
        "verses": data.verses,
        "verses with hints": data.verses_with_hints,
    }


def _right(found: SystemTerms) -> str:
    counts, interval = found.counts[WHOLE], found.intervals[WHOLE]
    if counts.accuracy is None:
        return "no term was judged"
    ends = f" ({interval.low:.1%} to {interval.high:.1%})" if interval.low is not None else f", {interval.reason}"
    return f"{counts.accuracy:.1%} of {counts.total} terms right{ends}"
