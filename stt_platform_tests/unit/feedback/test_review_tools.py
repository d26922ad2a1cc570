"""Another tool for reviewers is one class and a line: its tasks are handed out, and its answers become corrections."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from stt_platform.feedback.answers import Answer, Origin, unreadable
from stt_platform.feedback.corrections import KnownChunk, merge_answers
from stt_platform.feedback.reading import read_answers
from stt_platform.feedback.tools import TOOLS
from stt_platform.feedback.tools.base import ReviewTask, ReviewTool
from stt_platform.store.review_lists import exports, hand_out_review, review_folder
from stt_platform_tests.helpers.review_home import (
    DURATION_S,
    HEARD,
    SERMON,
    SYSTEM,
    chunk_id,
    make_review_home,
    sound_path,
)


class Letter(ReviewTool):
    """Chunks in paragraphs, for people who would rather write a letter."""

    name = "letter"

    def write(self, tasks: Sequence[ReviewTask], folder: Path) -> Mapping[str, bytes | None]:
        paragraphs = [f"Chunk {task.chunk_id} ({task.audio}): {task.proposal}\n" for task in tasks]
        return {"letter.txt": "".join(["Dear reviewer,\n", *paragraphs]).encode(), "letter.old.txt": None}

    def parse(
        self, content: Mapping[str, Any] | str, origin: Origin, *, text_field: str | None = None
    ) -> Iterable[Answer] | None:
        if not isinstance(content, str) or not content.startswith("Dear "):
            return None
        return map(self._answer, content.splitlines()[1:], [origin] * content.count("\n"))

    def _answer(self, line: str, origin: Origin) -> Answer:
        name, _, text = line.removeprefix("Chunk ").partition(": ")
        if not text:
            return unreadable(origin, self.name, "a paragraph without a text", line)
        return Answer(name.split()[0], text, source=origin.source, tool=self.name, received_at=origin.received_at)


@pytest.fixture(autouse=True)
def letter() -> Iterator[Letter]:
    tool = Letter()
    TOOLS.insert(0, tool)
    yield tool
    TOOLS.remove(tool)


def tasks() -> list[ReviewTask]:
    return [
        ReviewTask(chunk_id(n), SERMON, sound_path(n), DURATION_S, proposal, SYSTEM) for n, proposal in enumerate(HEARD)
    ]


def test_the_tasks_of_every_tool_without_a_server_are_handed_out_together(stt_home: Path) -> None:
    make_review_home(stt_home)
    folder = review_folder(stt_home, 0)
    folder.mkdir(parents=True)
    (folder / "letter.old.txt").write_text("of an earlier list")
    hand_out_review(stt_home, 0, tasks())
    assert sorted(path.name for path in folder.iterdir()) == ["audio", "letter.txt", "prodigy.jsonl", "review.csv"]
    sound = f"audio/{chunk_id(0)}.flac"
    assert f"Chunk {chunk_id(0)} ({sound}): {HEARD[0]}\n" in (folder / "letter.txt").read_text()
    assert (folder / sound).samefile(stt_home / sound_path(0))


def test_its_answers_become_corrections_beside_those_of_the_others(stt_home: Path) -> None:
    make_review_home(stt_home)
    hand_out_review(stt_home, 0, tasks())
    sent = (review_folder(stt_home, 0) / "letter.txt").read_text()
    corrections = stt_home / "corrections" / "from Ann"
    corrections.mkdir(parents=True)
    (corrections / "letter").write_text(f"{sent.replace('lamb', 'lamp')}Chunk 3\n")
    (corrections / "table.csv").write_text(f"chunk_id,corrected\n{chunk_id(2)},he came by night\n")
    chunks = {chunk_id(n): KnownChunk(chunk_id(n), SERMON, "train", DURATION_S, HEARD[n]) for n in range(len(HEARD))}
    given = enumerate(exports(stt_home))
    answers = [answer for n, path in given for answer in read_answers(path, received_at=f"2024-03-0{n + 1}T").answers]
    rows = {(row.chunk_id, row.tool): row for row in merge_answers(answers, chunks)}
    first = rows[chunk_id(0), "letter"]
    assert (first.text, first.status, first.word_edits) == ("the lamp was lit again", "accepted", 1)
    assert (rows[chunk_id(2), "letter"].status, rows[chunk_id(2), "table"].status) == ("superseded", "accepted")
    assert rows["", "letter"].gate == "unreadable"


@pytest.mark.parametrize("tool", [tool for tool in TOOLS if not tool.served], ids=lambda tool: tool.name)
def test_a_tool_without_a_server_says_so(tool: ReviewTool) -> None:
    with pytest.raises(NotImplementedError, match="has no server"):
        tool.push([])
    with pytest.raises(NotImplementedError, match="has no server"):
        tool.pull(None, "")


def test_tasks_that_nobody_answered_are_no_answers_in_any_tool(tmp_path: Path) -> None:
    for tool in TOOLS[1:]:
        for name, content in tool.write(tasks(), tmp_path).items():
            (tmp_path / name).write_bytes(content or b"")
            if not name.endswith(".xml"):
                found = read_answers(tmp_path / name)
                assert (found.answers, found.unanswered) == ((), len(HEARD)), name
