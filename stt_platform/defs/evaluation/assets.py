"""What the platform measures itself against: the asset `references`."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stt_platform.defs.evaluation.references import read_reference_files, reference_files
from stt_platform.defs.shown import table
from stt_platform.orchestration.platform import Platform
from stt_platform.orchestration.stage import stage
from stt_platform.orchestration.work import StageContext, Work
from stt_platform.store.intake import registrations
from stt_platform.store.stages import StageOutput, StageResult

_CHUNKS = "select chunk_id, sermon from speech_chunks"
_REFUSED = """
select source as file, reason, sermon, chunk_id as chunk, text from "references" where status = 'rejected'
order by source, reason limit 200
"""


@dataclass(frozen=True)
class ReferenceData:
    """How many files of references there are, and what became of their rows."""

    files: int
    accepted: int
    of_chunks: int
    of_chunks_without_speech: int
    rejected: int
    sermons: int


def _files(context: StageContext) -> Mapping[str, Path]:
    return {each.path.relative_to(context.home).as_posix(): each.path for each in reference_files(context.home)}


def _metadata(platform: Platform, output: StageOutput) -> Mapping[str, Any]:
    return {**output.shown, "rejected": table(platform.store.query(_REFUSED).to_pylist())}


@stage(
    version="1",
    group="evaluation",
    kinds={"text"},
    tables=("references",),
    reads=("speech_chunks",),
    parameters=lambda context: {"sermons": list(registrations(context.home))},
    files=_files,
    metadata=_metadata,
)
def references(work: Work) -> StageResult:
    """What was really said, written by people from scratch or taken from a known script: the yardstick for every WER.

    Put `<name of the recording>.txt` beside a recording before you ingest it, or `.jsonl`, `.csv`, `.txt` files into
    `STT_HOME/references`; the lists of `assessment_sample` may also be filled where they lie. `[no speech]` says that
    nobody speaks. Of several texts for one chunk the first counts. Rows that fit no sermon or chunk are kept with their
    reason.
    """
    files = reference_files(work.home)
    chunks = {row["chunk_id"]: row["sermon"] for row in work.store.query(_CHUNKS).to_pylist()}
    rows = read_reference_files(files, chunks, frozenset(registrations(work.home)))
    accepted = [row for row in rows if row["status"] == "accepted"]
    data = ReferenceData(
        files=len(files),
        accepted=len(accepted),
        of_chunks=sum(row["chunk_id"] is not None for row in accepted),
        of_chunks_without_speech=sum(not row["text"] for row in accepted),
        rejected=len(rows) - len(accepted),
        sermons=len({row["sermon"] for row in accepted}),
    )
    shown = {
        "files": data.files,
        "accepted references": data.accepted,
        "of chunks": data.of_chunks,
        "of chunks without speech": data.of_chunks_without_speech,
        "rejected references": data.rejected,
        "sermons with a reference": data.sermons,
    }
    return StageResult(data=data, tables={"references": rows}, shown=shown)
