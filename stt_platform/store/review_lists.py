"""The list of a cycle for reviewers without a server: `STT_HOME/review/cycle-<n>`, a folder to hand to a person.

It holds `review.csv` for spreadsheets, `prodigy.jsonl`, and the sound of every segment in `audio`. What a person has
written in a list is never overwritten: what is asked besides gets a list of its own.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import count
from pathlib import Path

from stt_platform.feedback.prodigy import prodigy_tasks
from stt_platform.feedback.reading import read_answers
from stt_platform.feedback.tasks import ReviewTask, review_csv
from stt_platform.files import link_atomically, write_atomically


def review_folder(home: Path, cycle: int) -> Path:
    """Return where the list of a cycle lies."""
    return home / "review" / f"cycle-{cycle}"


def hand_out_review(home: Path, cycle: int, tasks: Sequence[ReviewTask]) -> None:
    """Write the lists, and put the sound beside them; `audio` of the tasks is relative to `home`.

    In the spreadsheet the sound is named relative to the folder, which can be moved; Prodigy is given its place on this
    machine. Where people have written in `review.csv`, it stays, and `review-2.csv` takes what is not in it.
    """
    folder = review_folder(home, cycle)
    (folder / "audio").mkdir(parents=True, exist_ok=True)
    names = {task.chunk_id: f"{task.chunk_id}{Path(task.audio).suffix}" for task in tasks}
    for task in tasks:
        link_atomically(home / task.audio, folder / "audio" / names[task.chunk_id])
    for path in (folder / "audio").iterdir():
        if path.name not in names.values():
            path.unlink()
    beside = [replace(task, audio=f"audio/{names[task.chunk_id]}") for task in tasks]
    _write_table(folder, beside)
    here = [replace(task, audio=str(folder / task.audio)) for task in beside]
    write_atomically(folder / "prodigy.jsonl", prodigy_tasks(here).encode())


def _write_table(folder: Path, tasks: Sequence[ReviewTask]) -> None:
    lists = sorted(folder.glob("review*.csv"))
    # Also one that cannot be read as it was saved: it may hold a person's work.
    written_in = [path for path in lists if read_answers(path).answers]
    taken = [path.read_bytes().decode("utf-8", "replace") for path in written_in]
    free = next(path for path in _names(folder) if path not in written_in)
    for path in lists:
        if path not in written_in and path != free:
            path.unlink()
    fresh = [task for task in tasks if not any(task.chunk_id in text for text in taken)]
    if fresh or not written_in:
        write_atomically(free, review_csv(fresh).encode("utf-8-sig"))
    else:
        free.unlink(missing_ok=True)


def _names(folder: Path) -> Iterator[Path]:
    yield folder / "review.csv"
    yield from (folder / f"review-{number}.csv" for number in count(2))
