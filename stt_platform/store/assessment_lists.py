"""The lists of chunks to transcribe in `STT_HOME/assessment`: handed out, filled there or elsewhere, and given back.

A list that a person has written in is never overwritten: what is to be transcribed beside it gets a list of its own.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache
from itertools import count
from pathlib import Path

from stt_platform.evaluation.assessment import ChunkToAssess, sample_csv, sample_jsonl
from stt_platform.machine.files import write_atomically
from stt_platform.speech.references import LIST_SUFFIXES, UnreadableReferences, read_references

SPREADSHEETS = frozenset([".xlsx", ".xls", ".ods"])
"""What people may save a list as; it cannot be read, and they are to be told."""

_NAME = "assessment_sample"
_WRITERS: Mapping[str, tuple[Callable[[Sequence[ChunkToAssess]], str], str]] = {
    ".csv": (sample_csv, "utf-8-sig"),
    ".jsonl": (sample_jsonl, "utf-8"),
}


def assessment_folder(home: Path) -> Path:
    """Return where the lists lie."""
    return home / "assessment"


def returned_lists(home: Path) -> list[Path]:
    """Return the lists that people have written in, and what they saved there and cannot be read."""
    return [path for path in _lists(home) if _was_written_in(path, _state(path))]


def hand_out(home: Path, chunks: Sequence[ChunkToAssess]) -> None:
    """Write the lists of what is to be transcribed, as `assessment_sample.csv` (for spreadsheets) and `.jsonl`.

    Where people have written in a list of that name, it stays, and `assessment_sample-2` takes what is not in it.

    Args:
        chunks: all that have no transcript yet.
    """
    returned = returned_lists(home)
    taken = [path.read_bytes().decode("utf-8", "replace") for path in returned]
    fresh = [chunk for chunk in chunks if not any(chunk.chunk_id in text for text in taken)]
    for suffix, (write, encoding) in _WRITERS.items():
        free = next(path for path in _names(home, suffix) if path not in returned)
        for path in _lists(home):
            if path.suffix == suffix and path.stem.startswith(_NAME) and path not in returned and path != free:
                path.unlink()
        if fresh or free.stem == _NAME:
            write_atomically(free, write(fresh).encode(encoding))
        else:
            free.unlink(missing_ok=True)


def _names(home: Path, suffix: str) -> Iterator[Path]:
    yield assessment_folder(home) / f"{_NAME}{suffix}"
    yield from (assessment_folder(home) / f"{_NAME}-{number}{suffix}" for number in count(2))


def _lists(home: Path) -> list[Path]:
    kinds = LIST_SUFFIXES | SPREADSHEETS
    found = (path for path in assessment_folder(home).glob("*") if path.suffix.lower() in kinds and path.is_file())
    # Programs that have a list open put such files beside it.
    return sorted(path for path in found if not path.name.startswith((".", "~")))


def _state(path: Path) -> tuple[int, int]:
    found = path.stat()
    return found.st_size, found.st_mtime_ns


@lru_cache(maxsize=256)
def _was_written_in(path: Path, state: tuple[int, int]) -> bool:
    """`state` tells the cache that the file has changed: a sensor asks every few seconds."""
    try:
        return bool(read_references(path))
    except UnreadableReferences:
        return True
