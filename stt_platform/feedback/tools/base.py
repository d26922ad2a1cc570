"""What a tool for reviewers is: tasks for people go out in its form, and their answers are read from it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from stt_platform.feedback.answers import Answer, Origin


@dataclass(frozen=True)
class ReviewTask:
    """A chunk that a person is asked about.

    Attributes:
        audio: where the reviewer's tool plays it from: an address, or a path. For files that Label Studio serves:
            `/data/local-files/?d=` and the path below its document root.
        proposal: the transcript of the recogniser.
        system: which recogniser that was.
        confidence: the chance that the proposal is right, 0 to 1; None where nothing is known yet.
        why: why this chunk was chosen, in words.
        speaker: who was found to speak; empty where not known.
        cycle: of the loop.
    """

    chunk_id: str
    sermon: str
    audio: str
    duration_s: float
    proposal: str
    system: str
    confidence: float | None = None
    why: str = ""
    speaker: str = ""
    cycle: int = 0


class ReviewTool(ABC):
    """A place where people correct transcripts.

    Attributes:
        name: `Answer.tool` of its answers.
        served: whether a server takes the tasks, so that they are not handed out with the lists of a cycle.
    """

    name: ClassVar[str]
    served: ClassVar[bool] = False

    @abstractmethod
    def write(self, tasks: Sequence[ReviewTask], folder: Path) -> Mapping[str, bytes | None]:
        """Return the files of a list of tasks by their name, in the given order of tasks; None for one to be removed.

        Args:
            tasks: `audio` is relative to `folder`.
            folder: where the files will lie; what people have written in those that are there must stay.
        """

    @abstractmethod
    def parse(
        self, content: Mapping[str, Any] | str, origin: Origin, *, text_field: str | None = None
    ) -> Iterable[Answer] | None:
        """Return the answers in a part of an export, or None where it is not in a form of this tool. Never raises.

        Args:
            content: one object of a JSON or JSONL file, or the whole text of a file that is neither.
            text_field: name of the field that holds the text, where it is not the usual one of the tool.
        """

    def push(self, tasks: Sequence[ReviewTask]) -> Any:
        """Add tasks to the server that the tool is connected to."""
        raise NotImplementedError(f"{self.name} has no server")

    def pull(self, project: Any, since: str) -> Any:
        """Bring the answers that changed since then (UTC, as the server tells it) into `STT_HOME/corrections`."""
        raise NotImplementedError(f"{self.name} has no server")
