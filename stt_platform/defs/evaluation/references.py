"""The asset `references`: files beside recordings, in `STT_HOME/references`, and lists of the assessment that came back."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stt_platform.defs.shown import table
from stt_platform.orchestration.platform import Platform
from stt_platform.orchestration.stage import stage
from stt_platform.orchestration.work import StageContext, Work
from stt_platform.speech.references import Reference, UnreadableReferences, read_references
from stt_platform.store.assessment_lists import SPREADSHEETS, assessment_folder, returned_lists
from stt_platform.store.intake import REFERENCE_SUFFIXES, registrations
from stt_platform.store.names import is_sermon_key
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
    return {**output.shown, "rejected rows": table(platform.store.query(_REFUSED).to_pylist())}


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
    """Collect what people transcribed from scratch, or took from a known script: the reference for every WER.

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
    return StageResult(data=data, tables={"references": rows})


@dataclass(frozen=True)
class ReferenceFile:
    """A file of references: the sermon that it is for, where its place says so, and what people call it."""

    path: Path
    owner: str | None
    source: str


def reference_files(home: Path) -> list[ReferenceFile]:
    """List the files of references, in the order in which their texts count: of several for one chunk the first one does.

    Those beside the recording come first, then those in `references`, then the lists in `assessment`, each by name. A file
    in `STT_HOME/references` says which sermon it is for in its column `sermon`, by its `chunk_id`, or by its name
    (`<sermon key>.txt`).
    """
    found = [
        ReferenceFile(path, sermon, path.name)
        for sermon in registrations(home)
        for path in sorted((home / "sermons" / sermon / "references").glob("*"))
        if not path.name.startswith(".")
    ]
    for path in sorted((home / "references").glob("*")):
        known = path.suffix.lower() in REFERENCE_SUFFIXES | SPREADSHEETS
        if known and path.is_file() and not path.name.startswith((".", "~")):
            found.append(ReferenceFile(path, path.stem if is_sermon_key(path.stem) else None, path.name))
    lists = returned_lists(home)
    return found + [ReferenceFile(path, None, f"{assessment_folder(home).name}/{path.name}") for path in lists]


def read_reference_files(
    files: Iterable[ReferenceFile], chunks: Mapping[str, str], sermons: frozenset[str]
) -> list[dict[str, Any]]:
    """Read the rows of `references`; those that fit no sermon or chunk are rejected with their reason.

    Args:
        chunks: the sermon of each chunk.
    """
    first: dict[tuple[str, str | None], str] = {}
    return [row for file in files for row in _rows(file, sermons, chunks, first)]


def _rows(
    file: ReferenceFile,
    sermons: frozenset[str],
    chunks: Mapping[str, str],
    first: dict[tuple[str, str | None], str],
) -> Iterator[dict]:
    """The rows of a file; `first` says where the text of each chunk and each whole sermon came from, and is added to."""
    owner, source = file.owner, file.source
    try:
        references = read_references(file.path)
    except (UnreadableReferences, OSError) as error:
        yield _row(Reference("", owner, None, None, 0), owner or "", source, str(error))
        return
    for reference in references:
        sermon = owner or reference.sermon or chunks.get(reference.chunk_id or "") or ""
        refusal = _refusal(reference, sermon, sermons, chunks)
        here = f"line {reference.line} of {source}"
        if refusal is None and (before := first.setdefault((sermon, reference.chunk_id), here)) != here:
            what = f"chunk {reference.chunk_id}" if reference.chunk_id else f"the whole of {sermon}"
            refusal = f"{what} was transcribed in {before} already; that text is used, remove one of the two"
        yield _row(reference, sermon, source, f"line {reference.line}: {refusal}" if refusal else None)


def _refusal(reference: Reference, sermon: str, sermons: frozenset[str], chunks: Mapping[str, str]) -> str | None:
    if not sermon and reference.chunk_id:
        return f"no sermon has a chunk {reference.chunk_id[:60]}; copy its chunk_id from the list, or it was cut anew since"
    if sermon not in sermons:
        return f"there is no sermon {sermon!r}; give its key in the column sermon"
    if reference.chunk_id and chunks.get(reference.chunk_id) != sermon:
        return f"{sermon} has no chunk {reference.chunk_id[:60]}; it may have been cut anew since"
    return None


def _row(reference: Reference, sermon: str, source: str, refusal: str | None) -> dict:
    row = {name: getattr(reference, name) for name in ("chunk_id", "text", "transcriber")}
    status = "rejected" if refusal else "accepted"
    return {**row, "sermon": sermon, "source": source, "status": status, "reason": refusal}
