"""English made from Spanish verses: the asset `back_translations`."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import dagster as dg

from stt_platform.defs.shown import table
from stt_platform.models.registry import model
from stt_platform.models.translators import translator_folder
from stt_platform.orchestration.platform import Platform
from stt_platform.orchestration.stage import stage
from stt_platform.orchestration.work import StageContext, Work
from stt_platform.store.scripture import read_pairs
from stt_platform.store.stages import StageOutput, StageResult
from stt_platform.translation.back_translation import back_translate, choose_examples, choose_segments
from stt_platform.translation.translator import load_translator

_CHECKS = (
    (
        "the_translator_is_here",
        "The base translator could be loaded. Without it everything goes on without back-translations.",
        False,
    ),
)
_SAMPLES = """
select status, chrf, en as "English that was made", es as spanish, reason from back_translations
order by md5(segment_id) limit 15
"""


@dataclass(frozen=True)
class BackTranslationData:
    """How many verses were translated back, and what became of them."""

    verses: int
    accepted: int
    quarantined: int


def _parameters(context: StageContext) -> Mapping[str, Any]:
    chosen = context.settings.back_translation.model_dump(exclude={"device", "batch_size"})
    return {**chosen, "model": model(chosen["model"]).identity, "seed": context.settings.scripture.seed}


def _metadata(platform: Platform, output: StageOutput) -> Mapping[str, Any]:
    return {**output.shown, "some of them": table(platform.store.query(_SAMPLES).to_pylist())}


def _check(platform: Platform, output: StageOutput | None) -> Iterator[dg.AssetCheckResult]:
    yield dg.AssetCheckResult(
        check_name="the_translator_is_here", passed=output is not None, severity=dg.AssetCheckSeverity.WARN
    )


@stage(
    version="1",
    group="scripture",
    kinds={"text"},
    upstream=("verse_pairs", "scripture_split"),
    tables=("back_translations",),
    parameters=_parameters,
    metadata=_metadata,
    check_specs=_CHECKS,
    checks=_check,
    on_device=lambda settings: settings.back_translation.device == "cuda",
    may_be_missing=True,
)
def back_translations(work: Work) -> StageResult:
    """Translate Spanish training verses into English with the base translator, and keep what agrees with the Bibles.

    Machine-made English is tagged, so that a model can tell it from written English, and is accepted only where it
    agrees with the English Bibles (chrF). The embedded profile makes a sample with a small model, the workstation all verses.
    """
    chosen = work.settings.back_translation
    entry = model(chosen.model)
    folder = translator_folder(chosen.model, work.home, work.say)
    pairs = read_pairs(work.inputs["verse_pairs"].folder, work.inputs["scripture_split"].folder)
    seed = work.settings.scripture.seed
    shown = choose_examples(pairs, seed=seed) if entry.prompt == "examples" else []
    rows = choose_segments(pairs, sample=chosen.verses or None, seed=seed, exclude={row.segment_id for row in shown})
    with work.device(chosen.device):
        translator = load_translator(
            folder,
            device=chosen.device,
            dtype="bfloat16" if chosen.device == "cuda" else "float32",
            prompt=entry.prompt,
            examples=[(row.en, row.es) for row in shown],
        )

        def translate(texts: Sequence[str]) -> list[str]:
            made = translator.translate(
                texts,
                source="es",
                target="en",
                batch_size=chosen.batch_size,
                max_new_tokens=chosen.max_new_tokens,
                progress=lambda done, total: work.progress(done, total, "verses"),
            )
            return [each.text for each in made]

        found = back_translate(rows, translate, system=entry.identity, min_chrf=chosen.min_chrf)
    counts = Counter(row.status for row in found)
    return StageResult(
        data=BackTranslationData(len(found), counts["accepted"], counts["quarantined"]),
        tables={"back_translations": [asdict(row) | {"reason": row.reason or None} for row in found]},
    )
