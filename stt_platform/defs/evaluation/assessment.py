"""How good the automatic labels are: chunks that people write down from scratch, and the error rate against them."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import dagster as dg

from stt_platform.defs.evaluation import assessment_report as report
from stt_platform.evaluation.assessment import ChunkToAssess, choose_sample, noise_levels
from stt_platform.evaluation.metrics import SpeechSample, error_rates, measure_speech, signature
from stt_platform.evaluation.metrics.entities import entity_mistakes
from stt_platform.evaluation.speech_scores import RowScore, baseline_band, slices
from stt_platform.orchestration.platform import Platform
from stt_platform.orchestration.stage import stage
from stt_platform.orchestration.work import Work
from stt_platform.store.assessment import Assessed, assessed_texts, drawable_chunks
from stt_platform.store.assessment_lists import hand_out
from stt_platform.store.choices import record_label_policy
from stt_platform.store.evaluations import ALL, Measured, number_rows, part, text_row
from stt_platform.store.glossary import glossary_files, names_to_hear
from stt_platform.store.stages import StageOutput, StageResult

ASSESSMENT = "assessment"
"""The set in the tables of the evaluations."""

KINDS = ("noise", "speaker", "view", "text of")
"""What the assessed texts are told apart by."""

_TO_DO = "to_do.json"


SERMONS_AND_CHUNKS = (
    *("registrations", "recordings", "stage_results", "splits", "references"),
    *("speech_chunks", "training_chunks", "consensus"),
)
"""What the views `sermons` and `chunks` are made of, and the references."""


@dataclass(frozen=True)
class SampleData:
    """How many chunks may be drawn, how many were, and how many of these people have transcribed."""

    chunks_that_may_be_drawn: int
    drawn: int
    of_sermons: int
    transcribed: int
    still_to_be_transcribed: int


def _hand_out(home: Path, output: StageOutput) -> None:
    """The list names the sound by its place on this machine, which is no part of the output."""
    rows = json.loads((output.folder / _TO_DO).read_text(encoding="utf-8"))
    for row in rows:
        snr_db = row["snr_db"]
        row |= {"audio": str(home / row["audio"]), "snr_db": snr_db if snr_db is None else round(snr_db, 1)}
    hand_out(home, [ChunkToAssess(**row) for row in rows])


def _check_sample(platform: Platform, output: StageOutput | None) -> Iterator[dg.AssetCheckResult]:
    sql = "select chunk_id from assessment_sample join splits using (sermon) where splits.split = 'final' order by 1"
    opened = platform.store.query(sql)["chunk_id"].to_pylist()
    yield dg.AssetCheckResult(
        check_name="nothing_final_is_drawn",
        passed=not opened,
        metadata={"chunks of final sermons": len(opened), "first": ", ".join(opened[:5]) or "–"},
    )


@stage(
    version="1",
    group="evaluation",
    kinds={"table"},
    reads=SERMONS_AND_CHUNKS,
    tables=("assessment_sample",),
    parameters=lambda context: context.settings.assessment.model_dump(include={"segments", "seed"}),
    metadata=report.sample_metadata,
    check_specs=(
        (
            "nothing_final_is_drawn",
            "No chunk is of a sermon of the split `final`, which is opened once, at the end.",
            True,
        ),
    ),
    checks=_check_sample,
    hand_out=_hand_out,
)
def assessment_sample(work: Work) -> StageResult:
    """Draw chunks for people to transcribe from scratch, so that the automatic labels can be judged.

    Drawn by sermon, level of noise and speaker, the same each time. The lists to fill are `assessment_sample.csv` (for
    spreadsheets) and `assessment_sample.jsonl` in `STT_HOME/assessment`; they hold no automatic text, since who corrects a
    text keeps its errors. What is transcribed already stays in the sample when it is drawn again.
    """
    chosen = work.settings.assessment
    drawable = drawable_chunks(work.store)
    pool = [each.chunk for each in drawable]
    done = {each.chunk.chunk_id for each in drawable if each.transcribed}
    sample = choose_sample(pool, size=chosen.segments, seed=chosen.seed, keep=done)
    levels = noise_levels(pool)
    to_do = [asdict(chunk) for chunk in sample if chunk.chunk_id not in done]
    (work.folder / _TO_DO).write_text(json.dumps(to_do, ensure_ascii=False), encoding="utf-8")
    report.draw_sample(work.shown_folder, pool, sample, done, levels)
    return StageResult(
        data=SampleData(
            chunks_that_may_be_drawn=len(pool),
            drawn=len(sample),
            of_sermons=len({chunk.sermon for chunk in sample}),
            transcribed=len(sample) - len(to_do),
            still_to_be_transcribed=len(to_do),
        ),
        tables={"assessment_sample": [_sampled(chunk) | {"noise": levels[chunk.chunk_id]} for chunk in sample]},
    )


def _sampled(chunk: ChunkToAssess) -> dict[str, Any]:
    row = asdict(chunk)
    return {"path": row.pop("audio"), **row}


@dataclass(frozen=True)
class BaselineData:
    """How wrong the automatic labels are, and what follows from it.

    Attributes:
        wer, wer_low, wer_high: rates; None where they cannot be told.
        label_policy: one of `LABEL_POLICIES`; None where nobody has transcribed anything, or the rate cannot be told.
    """

    texts_scored: int
    of_sermons: int
    without_speech: int
    not_scored: int
    wer: float | None
    wer_low: float | None
    wer_high: float | None
    label_policy: str | None


def _record_policy(home: Path, output: StageOutput) -> None:
    record_label_policy(home, output.data_as(BaselineData).label_policy, output.shown["verdict"])


def _check_baseline(platform: Platform, output: StageOutput | None) -> Iterator[dg.AssetCheckResult]:
    lost = output.data_as(BaselineData).not_scored if output else 0
    yield dg.AssetCheckResult(
        check_name="every_transcript_is_scored",
        passed=not lost,
        severity=dg.AssetCheckSeverity.WARN,
        metadata={"texts of people that are not scored": lost, "why": "see the table “not scored”" if lost else "–"},
    )


@stage(
    version="1",
    group="evaluation",
    kinds={"table"},
    upstream=("assessment_sample",),
    reads=(*SERMONS_AND_CHUNKS, "transcripts", "assessment_sample"),
    read=lambda context: assessed_texts(context.store),
    tables=("evaluations", "evaluation_rows"),
    parameters=lambda context: {"confidence": context.settings.evaluation.confidence, "rules": signature("wer")},
    files=lambda context: glossary_files(context.settings),
    hand_out=_record_policy,
    metadata=report.baseline_metadata,
    check_specs=(
        ("every_transcript_is_scored", "Each text that people wrote could be held against an automatic one.", False),
    ),
    checks=_check_baseline,
)
def baseline_wer(work: Work) -> StageResult:
    """Measure the WER of the automatic labels, and so decide how they may be used for training.

    What people wrote of the sample is held against the transcripts, both in one spelling (`wer`) and as they are
    (`raw_wer`). The rate lies in one of four bands, by its whole interval; where it may lie in two, the more careful one
    counts. The band gives the label policy, which the setting `assessment.label_policy` overrides. A sermon of which
    people wrote everything, and no chunk by itself, counts as one text, held against all its accepted chunks: what was
    said where no chunk is counts as missing there. Sermons of the split `final` are left out.
    """
    texts = work.read
    if not texts:
        nothing = BaselineData(0, 0, 0, 0, None, None, None, None)
        shown = {"texts scored": 0, "not scored": 0, "verdict": report.NOBODY_HAS_TRANSCRIBED}
        return StageResult(data=nothing, tables={"evaluations": [], "evaluation_rows": []}, shown=shown)
    missing = "there is no transcript of it in the view that is transcribed"
    scores = [text.scored(text.hypothesis, missing if text.hypothesis is None else None) for text in texts]
    names, no_names = names_to_hear(work.settings)
    confidence = work.settings.evaluation.confidence
    sample = SpeechSample(scores, names, confidence=confidence)
    values = measure_speech(sample)
    band = baseline_band(values["wer"])
    of = Measured(f"{work.stage}-{work.key[:12]}", _systems(texts), ASSESSMENT)
    signatures = {metric: signature(metric) for metric in values}
    rows = number_rows(of, ALL, values, signatures)
    for kind, value, scored in _parts(scores):
        rows += number_rows(of, part(kind, value), error_rates(replace(sample, scores=scored)), signatures)
    report.draw_baseline(work.shown_folder, rows, entity_mistakes(sample), confidence)
    counted, wer = [score.status for score in scores], values["wer"]
    data = BaselineData(
        texts_scored=counted.count("scored"),
        of_sermons=wer.n,
        without_speech=counted.count("no speech"),
        not_scored=counted.count("not scored"),
        wer=wer.value,
        wer_low=wer.low,
        wer_high=wer.high,
        label_policy=band.label_policy,
    )
    return StageResult(
        data=data,
        shown={
            **report.numbers(values),
            "texts scored": data.texts_scored,
            "of sermons": data.of_sermons,
            "without speech": data.without_speech,
            "not scored": data.not_scored,
            "verdict": band.words,
            **({"names are not scored": no_names} if no_names else {}),
        },
        tables={
            "evaluations": rows,
            "evaluation_rows": [
                text_row(of, part("text of", text.kind), score) for text, score in zip(texts, scores, strict=True)
            ],
        },
    )


def _systems(texts: Sequence[Assessed]) -> str:
    return ", ".join(sorted({text.system for text in texts if text.system})) or "no transcript"


def _parts(scores: Sequence[RowScore]) -> Iterator[tuple[str, str, list[RowScore]]]:
    for kind in KINDS:
        found = slices([score for score in scores if score.status == "scored"], kind)
        # Of one part only, the number is that of all.
        if len(found) > 1:
            yield from ((kind, value, scored) for value, scored in found.items())
