"""Read what reviewers answered, from the files that they put there: the asset `corrections`."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import dagster as dg

from stt_platform.audio import SAMPLE_RATE_HZ
from stt_platform.defs.shown import table
from stt_platform.feedback.answers import Answer, utc_time
from stt_platform.feedback.corrections import Correction, KnownChunk, merge_answers
from stt_platform.feedback.reading import read_answers
from stt_platform.feedback.reviewers import Reviewer, reviewers
from stt_platform.models.registry import model
from stt_platform.orchestration.platform import Platform
from stt_platform.orchestration.scopes import CYCLE
from stt_platform.orchestration.stage import stage
from stt_platform.orchestration.work import StageContext, Work
from stt_platform.settings import Settings
from stt_platform.store.review_lists import corrections_folder, exports
from stt_platform.store.stages import StageOutput, StageResult

# What reviewers were shown is what they were asked about last, whatever the transcript is today.
_CHUNKS = """
select chunks.chunk_id, chunks.sermon, chunks.end_sample - chunks.start_sample as samples, splits.split,
    coalesce(any_value(asked.text), any_value(transcripts.text)) as proposal,
    any_value(asked.confidence) as unchanged_probability
from chunks join splits on splits.sermon = chunks.sermon
left join transcripts on transcripts.chunk_id = chunks.chunk_id
left join (
    select chunk_id, text, confidence from flagged_segments where status = 'flagged' and cycle <= $cycle
    qualify row_number() over (partition by chunk_id order by cycle desc) = 1
) as asked on asked.chunk_id = chunks.chunk_id
group by all order by chunks.chunk_id
"""
_STATES = """
select status, coalesce(gate, '') as kind, count(*) as answers, any_value(reason) as "for example" from corrections
where cycle = $cycle group by all order by 3 desc
"""
_ANSWERS = """
select chunk_id as chunk, proposal as "was shown", text as "was answered", reviewer, corrected_at as "when" from corrections
where cycle = $cycle and status = 'accepted' order by edits desc nulls last, chunk_id limit 12
"""


def _read(context: StageContext) -> dict[str, KnownChunk]:
    rows = context.store.query(_CHUNKS, {"cycle": context.cycle}).to_pylist()
    return {row["chunk_id"]: KnownChunk(duration_s=row.pop("samples") / SAMPLE_RATE_HZ, **row) for row in rows}


def _parameters(context: StageContext) -> Mapping[str, Any]:
    return {"cycle": context.part, "model": model(context.settings.speech_training.model).identity}


def _files(context: StageContext) -> Mapping[str, Path]:
    return {path.relative_to(context.home).as_posix(): path for path in exports(context.home)}


@dataclass(frozen=True)
class CorrectionsData:
    """What became of the answers so far, and what each reviewer did."""

    cycle: int
    files: int
    accepted: int
    rejected: int
    superseded: int
    reviewers: tuple[Reviewer, ...]


def _metadata(platform: Platform, output: StageOutput) -> Mapping[str, Any]:
    data = output.data_as(CorrectionsData)
    cycle = {"cycle": data.cycle}
    return {
        **output.shown,
        "what became of the answers": table(platform.store.query(_STATES, cycle).to_pylist()),
        "what was changed most": table(platform.store.query(_ANSWERS, cycle).to_pylist()),
        "reviewers": table([_reviewer_row(each) for each in data.reviewers]),
        "put exports into": dg.MetadataValue.path(str(corrections_folder(platform.home))),
    }


@stage(
    version="1",
    group="feedback",
    kinds={"text"},
    reads=("speech_chunks", "training_chunks", "consensus", "splits", "transcripts", "flagged_segments"),
    read=_read,
    tables=("corrections",),
    parameters=_parameters,
    files=_files,
    scope=CYCLE,
    metadata=_metadata,
)
def corrections(work: Work) -> StageResult:
    """Collect what people corrected so far, from the exports in `STT_HOME/corrections`: Label Studio, Prodigy, spreadsheets.

    The same export may lie there any number of times. The latest answer to a chunk counts, and the earlier ones are kept.
    What may not be trained on is marked with its reason: chunks of test sermons, skipped or empty answers, unknown chunks.
    """
    paths, chunks = exports(work.home), work.read
    answers = [answer for path in paths for answer in _answers(work, path)]
    found = merge_answers(answers, chunks, count_tokens=_token_counter(work.settings))
    counts = Counter(row.status for row in found)
    numbers = {name: counts[name] for name in ("accepted", "rejected", "superseded")}
    return StageResult(
        data=CorrectionsData(work.cycle, len(paths), **numbers, reviewers=tuple(reviewers(found, chunks))),
        tables={"corrections": [_row(work.cycle, row) for row in found]},
        shown={"files": len(paths), **numbers},
    )


def _answers(work: Work, path: Path) -> Iterator[Answer]:
    export = read_answers(path, received_at=utc_time(path.stat().st_mtime))
    if export.unreadable:
        work.log(f"{path.name}: {len(export.unreadable)} of its items cannot be read")
    yield from export.answers


def _token_counter(settings: Settings) -> Callable[[str], int]:
    """Return the counter of a text's tokens in the tokenizer of the trained recogniser, with its special ones."""
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(model(settings.speech_training.model).folder_on_disk() / "tokenizer.json"))
    special = 5
    return lambda text: len(tokenizer.encode(text, add_special_tokens=False).ids) + special


def _reviewer_row(reviewer: Reviewer) -> dict[str, Any]:
    numbers = {name: value for name, value in asdict(reviewer).items() if name != "concern"}
    return {**numbers, "warning": reviewer.warning}


def _row(cycle: int, row: Correction) -> dict[str, Any]:
    found = asdict(row) | {"cycle": cycle, "gate": row.gate or None, "reason": row.reason or None}
    return found | {"corrected_at": found.pop("answered_at"), "edits": found.pop("character_edits")}
