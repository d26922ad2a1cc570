"""Collecting references: files beside recordings, in `STT_HOME/references`, and lists of the assessment that came back."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stt_platform.speech.references import Reference, UnreadableReferences, read_references
from stt_platform.store.assessment_lists import SPREADSHEETS, assessment_folder, returned_lists
from stt_platform.store.intake import REFERENCE_SUFFIXES, registrations
from stt_platform.store.names import is_sermon_key


@dataclass(frozen=True)
class ReferenceFile:
    """A file of references: the sermon that it is for, where its place says so, and what people call it."""

    path: Path
    owner: str | None
    source: str


def reference_files(home: Path) -> list[ReferenceFile]:
    """The files of references, in the order in which their texts count: of several for one chunk the first one does.

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
    return {
        "sermon": sermon,
        "chunk_id": reference.chunk_id,
        "text": reference.text,
        "transcriber": reference.transcriber,
        "source": source,
        "status": "rejected" if refusal else "accepted",
        "reason": refusal,
    }
