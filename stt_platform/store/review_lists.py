"""Where people are handed tasks and give answers back: `STT_HOME/review/cycle-<n>`, and `STT_HOME/corrections`.

The folder of a cycle can be handed to a person: it holds the list in the form of every tool without a server, and the sound
of every segment in `audio`.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from stt_platform.feedback.tools import TOOLS
from stt_platform.feedback.tools.base import ReviewTask
from stt_platform.feedback.tools.label_studio import audio_file_name
from stt_platform.machine.files import link_atomically, write_atomically


def review_folder(home: Path, cycle: int) -> Path:
    """Return where the list of a cycle lies."""
    return home / "review" / f"cycle-{cycle}"


def corrections_folder(home: Path) -> Path:
    """Return where reviewers' exports are put."""
    return home / "corrections"


def exports(home: Path) -> list[Path]:
    """Return the files in it, sorted by name."""
    folder = corrections_folder(home)
    return sorted(path for path in folder.rglob("*") if path.is_file() and not path.name.startswith("."))


def hand_out_review(home: Path, cycle: int, tasks: Sequence[ReviewTask]) -> None:
    """Write the lists, and put the sound beside them; `audio` of the tasks is relative to `home`."""
    folder = review_folder(home, cycle)
    (folder / "audio").mkdir(parents=True, exist_ok=True)
    beside = [replace(task, audio=f"audio/{audio_file_name(task)}") for task in tasks]
    for task, copy in zip(tasks, beside, strict=True):
        link_atomically(home / task.audio, folder / copy.audio)
    kept = {folder / copy.audio for copy in beside}
    for path in (folder / "audio").iterdir():
        if path not in kept:
            path.unlink()
    for tool in TOOLS:
        if not tool.served:
            for name, content in tool.write(beside, folder).items():
                if content is None:
                    (folder / name).unlink(missing_ok=True)
                else:
                    write_atomically(folder / name, content)
