"""Merge all answers that were ever given: which text counts for a chunk, and what became of the others.

The state follows from the answers alone: it is the same whichever way and however often they came.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

from stt_platform.feedback.answers import FOREIGN, UNREADABLE, VERDICT_LABELS, Answer, Verdict, shown

Status = Literal["accepted", "rejected", "superseded"]
ACCEPTED: Final = "accepted"
REJECTED: Final = "rejected"
SUPERSEDED: Final = "superseded"

UNKNOWN_CHUNK, NOT_TRAIN, EMPTY, TOO_LONG = "unknown chunk", "not train", "empty", "too long"
"""Why a correction is rejected; also the gates of `Answer`, and the verdicts that speak against a chunk."""

MAX_TOKENS = 448
"""Length of Whisper's decoder (Radford et al. 2022); a model that is trained on a text cut to fit stops early."""


@dataclass(frozen=True)
class KnownChunk:
    """A chunk that may be answered.

    Attributes:
        split: of its sermon: "train", "dev", "test" or "final".
        proposal: the text that reviewers were shown, for exports that do not tell it; None where not known.
        unchanged_probability: how likely it is that no word of the proposal is wrong, 0 to 1; None where not known.
    """

    chunk_id: str
    sermon: str
    split: str
    duration_s: float
    proposal: str | None = None
    unchanged_probability: float | None = None


@dataclass(frozen=True)
class Correction:
    """One answer and what became of it.

    Attributes:
        text: as trained on; empty where nobody speaks.
        source: the file or server that it first came with.
        status: "accepted" (trained on), "rejected", or "superseded" by another answer.
        gate: the kind of the refusal, for counting; empty where accepted.
        reason: the same in words; empty where accepted.
        character_edits: characters inserted, deleted or replaced to make `text` from `proposal` (Levenshtein 1966).
        word_edits: the same for words, without case and punctuation. Both None without a proposal, or for a chunk that
            is not usable.
        proposal_words: words of the proposal; None without one.
        unedited: whether the proposal was accepted as it stood.
    """

    chunk_id: str
    sermon: str
    text: str
    verdict: Verdict
    speaker: str
    reviewer: str
    tool: str
    source: str
    answered_at: str
    spent_s: float | None
    proposal: str | None
    annotation_id: str
    status: Status
    gate: str
    reason: str
    character_edits: int | None
    word_edits: int | None
    proposal_words: int | None
    unedited: bool | None


def merge_answers(
    answers: Iterable[Answer],
    chunks: Mapping[str, KnownChunk],
    *,
    count_tokens: Callable[[str], int] | None = None,
    max_tokens: int = MAX_TOKENS,
    projects: Collection[str] = (),
) -> list[Correction]:
    """Return one row for every distinct answer, sorted by chunk and time; at most one of a chunk is accepted.

    The latest answer to a chunk wins, whatever it says: who calls a chunk unusable takes back the text before. What is
    no answer (skipped, empty, foreign) supersedes nothing, except an earlier version of the same annotation.

    Args:
        answers: all that were ever given, in any order and any number of times. Those that tell no time count from
            their arrival.
        chunks: every chunk that there is, by its id.
        count_tokens: tokens of a text as it is trained on, with the special ones; None leaves the check out.
        projects: ids of our own projects in Label Studio; where given, answers from others are foreign.
    """
    distinct = _distinct(answers)
    verdicts: dict[Answer, tuple[Status, str, str]] = {}
    opinions: dict[str, list[Answer]] = defaultdict(list)
    ours: list[Answer] = []
    for answer in distinct:
        if refusal := _not_ours(answer, chunks, projects):
            verdicts[answer] = (REJECTED, *refusal)
        else:
            ours.append(answer)
    for answer in _latest_versions(ours, verdicts):
        if refusal := _no_opinion(answer):
            verdicts[answer] = (REJECTED, *refusal)
        else:
            opinions[answer.chunk_id].append(answer)
    for rivals in opinions.values():
        *earlier, latest = sorted(rivals, key=_order)
        verdicts[latest] = _judged(latest, count_tokens, max_tokens)
        for answer in earlier:
            reason = f"answered again{_when_and_who(latest)}"
            verdicts[answer] = (SUPERSEDED, "answered again", reason)
    return [_correction(answer, chunks.get(answer.chunk_id), *verdicts[answer]) for answer in distinct]


def edit_distance(text: str, proposal: str) -> tuple[int, int]:
    """Count the (characters, words) to insert, delete or replace; words are compared without case and punctuation."""
    import jiwer

    characters = jiwer.process_characters(text, proposal)
    words = jiwer.process_words(" ".join(plain_words(text)), " ".join(plain_words(proposal)))
    return _edits(characters), _edits(words)


def plain_words(text: str) -> list[str]:
    """Return the words of a text in lower case without punctuation."""
    return re.findall(r"[^\W_]+(?:['’][^\W_]+)*", text.casefold().replace("’", "'"))


def _edits(found: Any) -> int:
    return found.substitutions + found.deletions + found.insertions


def _distinct(answers: Iterable[Answer]) -> list[Answer]:
    """Keep each answer once, however many copies of its export there are, as its first arrival told it."""
    found: dict[tuple[object, ...], Answer] = {}
    for answer in answers:
        key = _identity(answer)
        known = found.get(key)
        if known is None or _arrival(answer) < _arrival(known):
            found[key] = answer
    return sorted(found.values(), key=lambda answer: (answer.chunk_id, _order(answer)))


def _identity(answer: Answer) -> tuple[object, ...]:
    if answer.gate == UNREADABLE:
        return answer.gate, answer.chunk_id, answer.digest, answer.reason
    said = (answer.text, answer.verdict, answer.speaker, answer.reviewer, answer.answered_at, answer.spent_s)
    own = (answer.tool, answer.task_id, answer.annotation_id, answer.project, answer.proposal, answer.gate)
    return answer.chunk_id, *said, *own


def _arrival(answer: Answer) -> tuple[str, str, str]:
    return answer.received_at, answer.source, answer.place


def _order(answer: Answer) -> tuple[object, ...]:
    """Order by time, then by the tool's own number; the rest only makes equals come in one order."""
    number = answer.annotation_id.zfill(24) if answer.annotation_id.isdecimal() else answer.annotation_id
    # Of two exports of one annotation, the one that tells more comes last.
    told = (answer.proposal is not None, bool(answer.project))
    rest = (answer.tool, answer.reviewer, answer.text, answer.verdict, answer.speaker, answer.gate, answer.digest)
    last = (answer.proposal or "", answer.task_id, answer.project, answer.spent_s or 0.0, answer.reason)
    return (answer.answered_at or answer.received_at, number, *told, *rest, *last)


def _latest_versions(answers: list[Answer], verdicts: dict[Answer, tuple[Status, str, str]]) -> Iterator[Answer]:
    """Yield the answers without earlier versions of the same annotation, which are marked."""
    versions: dict[tuple[str, ...], list[Answer]] = defaultdict(list)
    for answer in answers:
        if answer.annotation_id:
            versions[answer.chunk_id, answer.tool, answer.annotation_id].append(answer)
        else:
            yield answer
    for same in versions.values():
        *earlier, latest = sorted(same, key=_order)
        for answer in earlier:
            again = answer.answered_at == latest.answered_at
            reason = "the same annotation, as another export tells it" if again else "changed later by the reviewer"
            verdicts[answer] = (SUPERSEDED, "same annotation", reason)
        yield latest


def _not_ours(answer: Answer, chunks: Mapping[str, KnownChunk], projects: Collection[str]) -> tuple[str, str] | None:
    """Say why an answer is of no chunk of the train split: the gate, and the reason in words."""
    if answer.gate == UNREADABLE:
        return answer.gate, answer.reason
    if projects and answer.project and answer.project not in projects:
        return FOREIGN, f"from project {shown(answer.project)}, which is none of ours ({', '.join(sorted(projects))})"
    chunk = chunks.get(answer.chunk_id)
    if chunk is None and answer.named_by == "audio":
        return (
            FOREIGN,
            f"from another project: it names no chunk, and its sound {shown(answer.chunk_id)} is none of ours",
        )
    if chunk is None and not answer.chunk_id:
        return FOREIGN, "from another project: it names no chunk and no sound"
    if chunk is None:
        return (
            UNKNOWN_CHUNK,
            f"there is no chunk {shown(answer.chunk_id)}: it was cut anew, or is of another installation",
        )
    if chunk.split != "train":
        return NOT_TRAIN, f"{chunk.sermon} is a {chunk.split} sermon: what examines may never teach"
    return None


def _no_opinion(answer: Answer) -> tuple[str, str] | None:
    """Say why an answer says nothing about its chunk."""
    if answer.gate:
        return answer.gate, answer.reason
    if not answer.text and answer.verdict == "usable":
        return EMPTY, "no text and no verdict; say “no speech” where nobody speaks"
    return None


def _judged(answer: Answer, count_tokens: Callable[[str], int] | None, max_tokens: int) -> tuple[Status, str, str]:
    """Judge whether the answer that counts for a chunk is trained on."""
    if answer.verdict not in ("usable", "no_speech"):
        label = VERDICT_LABELS[answer.verdict]
        return REJECTED, label, f"marked “{label}” by {answer.reviewer or 'the reviewer'}"
    if answer.verdict == "usable" and count_tokens is not None and (tokens := count_tokens(answer.text)) > max_tokens:
        return REJECTED, TOO_LONG, f"{tokens} tokens; Whisper writes at most {max_tokens} of one chunk"
    return ACCEPTED, "", ""


def _when_and_who(answer: Answer) -> str:
    when = f" on {answer.answered_at[:16].replace('T', ' ')}" if answer.answered_at else ""
    return when + (f" by {answer.reviewer}" if answer.reviewer else "")


def _correction(answer: Answer, chunk: KnownChunk | None, status: Status, gate: str, reason: str) -> Correction:
    proposal = answer.proposal if answer.proposal is not None or chunk is None else chunk.proposal
    text = "" if answer.verdict == "no_speech" else answer.text
    characters = words = unedited = None
    if proposal is not None and answer.verdict in ("usable", "no_speech") and not answer.gate:
        characters, words = edit_distance(text, proposal)
        unedited = characters == 0
    where = f"{answer.source}, {answer.place}" if answer.place else answer.source
    return Correction(
        chunk_id=answer.chunk_id,
        sermon=chunk.sermon if chunk else "",
        text=text,
        verdict=answer.verdict,
        speaker=answer.speaker,
        reviewer=answer.reviewer,
        tool=answer.tool,
        source=answer.source,
        answered_at=answer.answered_at or answer.received_at,
        spent_s=answer.spent_s,
        proposal=proposal,
        annotation_id=answer.annotation_id,
        status=status,
        gate=gate,
        reason=f"{where}: {reason}" if answer.gate == UNREADABLE else reason,
        character_edits=characters,
        word_edits=words,
        proposal_words=None if proposal is None else len(plain_words(proposal)),
        unedited=unedited,
    )
