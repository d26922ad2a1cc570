"""Collecting references: files beside recordings, and files in `STT_HOME/references`."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from stt_platform.speech.references import Reference, UnreadableReferences, read_references
from stt_platform.store.intake import REFERENCE_SUFFIXES, registrations
from stt_platform.store.metadata import MetadataStore
from stt_platform.store.names import is_sermon_key

_UNMATCHED = "unmatched"


@dataclass(frozen=True)
class Collected:
    """What a look at all files of references found."""

    files: int
    accepted: int
    rejected: int
    sermons: int


def collect_references(store: MetadataStore) -> Collected:
    """Read every file of references and replace the `references` table; bad rows are kept with their reason.

    A file in `STT_HOME/references` says which sermon it is for in its column `sermon`, by its `chunk_id`, or by its
    name (`<sermon key>.txt`).
    """
    chunks = {row["chunk_id"]: row["sermon"] for row in store.query("select chunk_id, sermon from chunks").to_pylist()}
    sermons = frozenset(registrations(store.home))
    rows: dict[str, list[dict]] = {_UNMATCHED: []}
    files = 0
    for path, owner in _files(store.home):
        files += 1
        for row in _rows(path, owner, sermons, chunks):
            part = row["sermon"] if row["status"] == "accepted" or row["sermon"] in sermons else _UNMATCHED
            rows.setdefault(part, []).append(row)
    for part in set(store.parts("references")) - set(rows):
        store.remove(part, "references")
    for part in sorted(rows):
        store.write("references", part, rows[part])
    everything = [row for part in rows.values() for row in part]
    accepted = [row for row in everything if row["status"] == "accepted"]
    return Collected(files, len(accepted), len(everything) - len(accepted), len({row["sermon"] for row in accepted}))


def _files(home: Path) -> Iterator[tuple[Path, str | None]]:
    for sermon in registrations(home):
        for path in sorted((home / "sermons" / sermon / "references").glob("*")):
            if not path.name.startswith("."):
                yield path, sermon
    for path in sorted((home / "references").glob("*")):
        if path.suffix.lower() in REFERENCE_SUFFIXES and path.is_file():
            yield path, path.stem if is_sermon_key(path.stem) else None


def _rows(path: Path, owner: str | None, sermons: frozenset[str], chunks: dict[str, str]) -> Iterator[dict]:
    source = path.name
    try:
        references = read_references(path)
    except (UnreadableReferences, OSError) as error:
        yield _row(Reference("", owner, None, None, 0), owner or "", source, str(error))
        return
    for reference in references:
        sermon = owner or reference.sermon or chunks.get(reference.chunk_id or "") or ""
        yield _row(reference, sermon, source, _refusal(reference, sermon, sermons, chunks))


def _refusal(reference: Reference, sermon: str, sermons: frozenset[str], chunks: dict[str, str]) -> str | None:
    if sermon not in sermons:
        return f"line {reference.line}: there is no sermon {sermon or reference.sermon!r}; give its key in the column sermon"
    if reference.chunk_id and chunks.get(reference.chunk_id) != sermon:
        return f"line {reference.line}: {sermon} has no chunk {reference.chunk_id}; it may have been cut anew since"
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
