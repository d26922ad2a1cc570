"""Collecting references: files beside recordings, in `STT_HOME/references`, and lists of the assessment that came back."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from stt_platform.speech.references import Reference, UnreadableReferences, read_references
from stt_platform.store.assessment_lists import SPREADSHEETS, assessment_folder, returned_lists
from stt_platform.store.intake import REFERENCE_SUFFIXES, registrations
from stt_platform.store.metadata import MetadataStore
from stt_platform.store.names import is_sermon_key

_UNMATCHED = "unmatched"


@dataclass(frozen=True)
class Collected:
    """What a look at all files of references found.

    Attributes:
        accepted: of which `chunks` are for chunks, and `no_speech` say that nobody speaks; the others are for whole sermons.
    """

    files: int
    accepted: int
    rejected: int
    sermons: int
    chunks: int
    no_speech: int


def collect_references(store: MetadataStore) -> Collected:
    """Read every file of references and replace the `references` table; bad rows are kept with their reason.

    A file in `STT_HOME/references` says which sermon it is for in its column `sermon`, by its `chunk_id`, or by its
    name (`<sermon key>.txt`). Of several texts for one chunk, or for one whole sermon, the first counts: files beside
    the recording come first, then those in `references`, then the lists in `assessment`, each by name and line.
    """
    chunks = {row["chunk_id"]: row["sermon"] for row in store.query("select chunk_id, sermon from chunks").to_pylist()}
    sermons = frozenset(registrations(store.home))
    rows: dict[str, list[dict]] = {_UNMATCHED: []}
    first: dict[tuple[str, str | None], str] = {}
    files = 0
    for path, owner, source in _files(store.home):
        files += 1
        for row in _rows(path, owner, source, sermons, chunks, first):
            part = row["sermon"] if row["status"] == "accepted" or row["sermon"] in sermons else _UNMATCHED
            rows.setdefault(part, []).append(row)
    for part in set(store.parts("references")) - set(rows):
        store.remove(part, "references")
    for part in sorted(rows):
        store.write("references", part, rows[part])
    everything = [row for part in rows.values() for row in part]
    accepted = [row for row in everything if row["status"] == "accepted"]
    return Collected(
        files=files,
        accepted=len(accepted),
        rejected=len(everything) - len(accepted),
        sermons=len({row["sermon"] for row in accepted}),
        chunks=sum(row["chunk_id"] is not None for row in accepted),
        no_speech=sum(not row["text"] for row in accepted),
    )


def _files(home: Path) -> Iterator[tuple[Path, str | None, str]]:
    """Each file with the sermon that it is for, where its place says so, and what people call it."""
    for sermon in registrations(home):
        for path in sorted((home / "sermons" / sermon / "references").glob("*")):
            if not path.name.startswith("."):
                yield path, sermon, path.name
    for path in sorted((home / "references").glob("*")):
        known = path.suffix.lower() in REFERENCE_SUFFIXES | SPREADSHEETS
        if known and path.is_file() and not path.name.startswith((".", "~")):
            yield path, path.stem if is_sermon_key(path.stem) else None, path.name
    for path in returned_lists(home):
        yield path, None, f"{assessment_folder(home).name}/{path.name}"


def _rows(
    path: Path,
    owner: str | None,
    source: str,
    sermons: frozenset[str],
    chunks: Mapping[str, str],
    first: dict[tuple[str, str | None], str],
) -> Iterator[dict]:
    """The rows of a file; `first` says where the text of each chunk and each whole sermon came from, and is added to."""
    try:
        references = read_references(path)
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
