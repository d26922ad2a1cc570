"""The frozen church test: which stretches of which sermons examine a recogniser, and what has touched them since.

It is drawn once and then kept, so that the scores of all cycles are of the same words. Chunks are kept by their place in
the recording: cutting the sermons anew changes nothing.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from stt_platform.evaluation.assessment import ChunkToAssess, choose_sample, noise_levels
from stt_platform.evaluation.church_english import normalise_church_english

Kind = Literal["chunk", "sermon", "no speech"]

_EXAMINES = "test"
_MOST_NAMED = 3


@dataclass(frozen=True)
class TranscribedText:
    """What a person wrote down, and where it is said.

    Attributes:
        row_id: of the chunk; the sermon's key where the text is of a whole sermon.
        spans: (start, end) in samples of the recording at 16 kHz, in order; of a whole sermon its chunks.
        text: empty where nobody speaks.
        snr_db: None where it was not measured.
    """

    row_id: str
    sermon: str
    kind: Kind
    spans: tuple[tuple[int, int], ...]
    text: str
    speaker: str | None
    snr_db: float | None


@dataclass(frozen=True)
class QuietStretch:
    """A stretch in which nobody speaks, as the classes of sound have it; `label` is music, noise or silence."""

    sermon: str
    start_sample: int
    end_sample: int
    label: str

    @property
    def row_id(self) -> str:
        return f"{self.sermon}.{self.start_sample:09d}-{self.end_sample:09d}"


@dataclass(frozen=True)
class ChurchRow:
    """A row of the test; as in `TranscribedText`.

    Attributes:
        speaker: "unknown" where nobody said.
        noise: 'noisy', 'middle' or 'clean' by the tertiles of the test, 'unknown' where it was not measured; of a
            stretch without speech its label.
    """

    row_id: str
    sermon: str
    kind: Kind
    spans: tuple[tuple[int, int], ...]
    reference: str
    speaker: str
    noise: str


@dataclass(frozen=True)
class LeftOut:
    """A text that is in no row, and why."""

    row_id: str
    sermon: str
    reason: str


@dataclass(frozen=True)
class ChurchTest:
    """The whole test.

    Attributes:
        rows: sorted by sermon and name.
        recordings: SHA-256 of the recording of every sermon in it.
        left_out: texts of the same sermons that could not be used.
    """

    rows: tuple[ChurchRow, ...]
    recordings: Mapping[str, str]
    left_out: tuple[LeftOut, ...] = ()

    @property
    def sermons(self) -> tuple[str, ...]:
        return tuple(sorted(self.recordings))

    @property
    def sha256(self) -> str:
        """Names the test: its rows with their texts, and the recordings."""
        content = [[asdict(row) for row in self.rows], dict(self.recordings)]
        return hashlib.sha256(json.dumps(content, ensure_ascii=False, sort_keys=True).encode()).hexdigest()

    def to_json(self) -> str:
        """Write the file that is frozen. It ends with its own hash, so that a change by hand is noticed."""
        return json.dumps({**asdict(self), "sha256": self.sha256}, ensure_ascii=False, indent=1)

    @classmethod
    def from_json(cls, text: str) -> ChurchTest:
        """Read the test of a file.

        Raises:
            ValueError: it is no such file, or was changed since it was frozen.
        """
        try:
            content = json.loads(text)
            rows = tuple(ChurchRow(**row | {"spans": _spans(row)}) for row in content["rows"])
            left_out = tuple(LeftOut(**row) for row in content["left_out"])
            found, frozen_as = cls(rows, dict(content["recordings"]), left_out), content["sha256"]
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"it is no frozen church test ({error!r})") from error
        if found.sha256 != frozen_as:
            raise ValueError("its rows do not give its sha256: it was changed by hand")
        return found


@dataclass(frozen=True)
class Today:
    """What is known today of the sermons of a test.

    Attributes:
        splits: where each sermon is now.
        pins: where people have put sermons by hand.
        frozen: where sermons were when something was trained or measured first.
        recordings: SHA-256 of each sermon's recording.
        references: the texts that people wrote, by `row_id`.
        learned: what has learned from sermons ("the training set of cycle 2"), with those sermons.
    """

    splits: Mapping[str, str]
    recordings: Mapping[str, str]
    references: Mapping[str, str]
    pins: Mapping[str, str] = field(default_factory=dict)
    frozen: Mapping[str, str] = field(default_factory=dict)
    learned: Mapping[str, Collection[str]] = field(default_factory=dict)


def draw_church_test(
    texts: Iterable[TranscribedText],
    quiet: Iterable[QuietStretch],
    recordings: Mapping[str, str],
    *,
    chunks: int,
    stretches: int,
    seed: int,
) -> ChurchTest | None:
    """Draw the test; the same for the same material in any order. None where no text can be scored.

    Chunks are drawn by sermon, noise and speaker as `choose_sample` does; texts of whole sermons always count. Stretches
    without speech, drawn alike, come from the same sermons.

    Args:
        recordings: SHA-256 by sermon, of all sermons that have texts.
        chunks: the most chunks that are drawn.
        stretches: the most stretches without speech that are drawn; 0 for none.
    """
    offered = sorted(texts, key=lambda text: (text.sermon, text.row_id))
    refused = {text.row_id: reason for text in offered if (reason := _cannot_be_scored(text))}
    usable = [text for text in offered if text.row_id not in refused]
    by_name = {text.row_id: text for text in usable}
    drawn = choose_sample([_to_draw(text) for text in usable if text.kind == "chunk"], size=chunks, seed=seed)
    chosen = [by_name[chunk.chunk_id] for chunk in drawn] + [text for text in usable if text.kind == "sermon"]
    if not any(text.text for text in chosen):
        return None
    noise = noise_levels([_to_draw(text) for text in chosen])
    rows = [
        ChurchRow(
            row_id=text.row_id,
            sermon=text.sermon,
            kind=text.kind,
            spans=text.spans,
            reference=text.text,
            speaker=text.speaker or "unknown",
            noise=noise[text.row_id],
        )
        for text in chosen
    ]
    speakers = {text.sermon: text.speaker for text in chosen}
    rows += _quiet_rows([each for each in quiet if each.sermon in speakers], speakers, stretches, seed)
    left_out = [LeftOut(text.row_id, text.sermon, refused[text.row_id]) for text in offered if text.row_id in refused]
    return ChurchTest(
        tuple(sorted(rows, key=lambda row: (row.sermon, row.row_id))),
        {sermon: recordings[sermon] for sermon in sorted(speakers)},
        tuple(left_out),
    )


def disturbances(test: ChurchTest, today: Today) -> list[str]:
    """List what makes the test invalid or another one, a sentence each; empty where nobody has touched it."""
    found: list[str] = []
    for who, sermons in sorted(today.learned.items()):
        if common := sorted(set(sermons) & set(test.sermons)):
            found.append(f"{who} has learned from {_some(common)}")
    for sermon in test.sermons:
        moved = {
            f"is in {today.splits.get(sermon)} now": today.splits.get(sermon, _EXAMINES),
            f"is pinned to {today.pins.get(sermon)}": today.pins.get(sermon, _EXAMINES),
            f"was in {today.frozen.get(sermon)} when the first model was trained": today.frozen.get(sermon, _EXAMINES),
        }
        found += [f"{sermon} {words}" for words, split in moved.items() if split != _EXAMINES][:1]
        if sermon not in today.recordings:
            found.append(f"{sermon} has been removed")
        elif today.recordings[sermon] != test.recordings[sermon]:
            found.append(f"{sermon} has another recording now")
    changed = [
        row.row_id for row in test.rows if row.kind != "no speech" and today.references.get(row.row_id) != row.reference
    ]
    if changed:
        found.append(f"the reference of {_some(changed)} was changed or taken away")
    return found


def _quiet_rows(
    quiet: list[QuietStretch], speakers: Mapping[str, str | None], stretches: int, seed: int
) -> list[ChurchRow]:
    if not quiet or not stretches:
        return []
    by_name = {each.row_id: each for each in quiet}
    to_draw = [ChunkToAssess(each.row_id, each.sermon, each.label, None, 0.0) for each in quiet]
    chosen = [by_name[chunk.chunk_id] for chunk in choose_sample(to_draw, size=stretches, seed=seed)]
    return [
        ChurchRow(
            row_id=each.row_id,
            sermon=each.sermon,
            kind="no speech",
            spans=((each.start_sample, each.end_sample),),
            reference="",
            speaker=speakers[each.sermon] or "unknown",
            noise=each.label,
        )
        for each in chosen
    ]


def _cannot_be_scored(text: TranscribedText) -> str:
    if not text.spans:
        return "none of its chunks can be used"
    if text.text and not normalise_church_english(text.text):
        return f"the reference {text.text[:40]!r} holds no word"
    return ""


def _to_draw(text: TranscribedText) -> ChunkToAssess:
    return ChunkToAssess(text.row_id, text.sermon, text.speaker, text.snr_db, 0.0)


def _spans(row: Mapping[str, Any]) -> tuple[tuple[int, int], ...]:
    return tuple((start, end) for start, end in row["spans"])


def _some(names: list[str]) -> str:
    more = len(names) - _MOST_NAMED
    return ", ".join(names[:_MOST_NAMED]) + (f" and {more} more" if more > 0 else "")
