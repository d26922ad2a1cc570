"""What recognisers are measured on: the rows of the church test and of general sets, and where their sound lies."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from stt_platform.defs.evaluation.transcribing import Stretch, Transcribed
from stt_platform.evaluation.assessment import ChunkToAssess, choose_sample
from stt_platform.evaluation.church_english import normalise_church_english
from stt_platform.evaluation.church_test import ChurchTest
from stt_platform.evaluation.evaluation_report import NotScored
from stt_platform.evaluation.general_sets import USABLE, SpeechSet, Utterance, read_general_sets
from stt_platform.evaluation.speech_scores import RowScore, SpeechRow, score_rows
from stt_platform.orchestration.work import StageContext
from stt_platform.settings import Settings
from stt_platform.store.choices import VIEWS
from stt_platform.store.digests import digest_of, file_digest
from stt_platform.store.evaluations import general_folder
from stt_platform.store.stages import StageOutput

_WHAT_TO_PUT = (
    "put recordings with their texts there, such as LibriSpeech's test-clean as it is unpacked "
    "(speaker/chapter/*.flac and *.trans.txt), or a .jsonl with audio, text and speaker"
)


@dataclass(frozen=True)
class SpokenText:
    """A text that is scored, and the sound in which it is said.

    Attributes:
        group: what rows are resampled by: the sermon, or the speaker.
        reference: empty where nobody speaks.
        stretches: heard one after another; each has a name of its own.
        kinds: what the row is told apart by, such as the noise.
        problem: why it cannot be heard, else empty.
        place: where people find it.
    """

    row_id: str
    group: str
    reference: str
    stretches: tuple[Stretch, ...]
    kinds: Mapping[str, str] = field(default_factory=dict)
    problem: str = ""
    place: str = ""


@dataclass(frozen=True)
class GeneralSpeech:
    """The rows of all general sets.

    Attributes:
        missing: what is not among them, and why.
        digest: of the texts, of the content of the sound files, and of what is missing.
    """

    rows: tuple[SpokenText, ...]
    missing: tuple[NotScored, ...]
    digest: str

    @property
    def sets(self) -> tuple[str, ...]:
        return tuple(sorted({row.kinds["set"] for row in self.rows}))


Sounds = Mapping[str, StageOutput | None]
"""The output with the sound of a sermon in a view, by "view sermon"; None where there is none."""


def church_sounds(context: StageContext, test: ChurchTest) -> Sounds:
    """Find the sound of every sermon of the test, in all views."""
    return {
        f"{view} {sermon}": context.output(sermon, made_by)
        for sermon in test.sermons
        for view, made_by in VIEWS.items()
    }


def church_rows(sounds: Sounds, test: ChurchTest, view: str) -> list[SpokenText]:
    """List the rows of the church test in a view of their recordings."""
    rows = []
    for row in test.rows:
        output = sounds[f"{view} {row.sermon}"]
        path = output.folder / "audio.wav" if output else None
        problem = "" if path else f"{row.sermon} has no sound in the view {view}: run its stages"
        stretches = [
            Stretch(f"{row.row_id}#{number}", path, start, end)
            for number, (start, end) in enumerate(row.spans)
            if path is not None
        ]
        rows.append(
            SpokenText(
                row_id=row.row_id,
                group=row.sermon,
                reference=row.reference,
                stretches=tuple(stretches),
                kinds={"noise": row.noise, "speaker": row.speaker, "view": view, "kind": row.kind},
                problem=problem,
                place=row.sermon if row.kind == "sermon" else f"{row.sermon}, {_clock(row.spans[0][0])}",
            )
        )
    return rows


def general_speech(home: Path, settings: Settings) -> GeneralSpeech:
    """Read the utterances of every general set of speech, as many of each as are wanted, drawn by speaker."""
    folder = general_folder(home, settings)
    found = read_general_sets(folder)
    rows: list[SpokenText] = []
    # Named as people know it, and so that another place for the same home is the same test.
    missing = [NotScored("general set", problem.replace(str(home), "STT_HOME")) for problem in found.problems]
    for each in found.speech:
        chosen = _chosen(each, settings)
        rows += [_general_row(each, utterance) for utterance in chosen]
        reasons = Counter(row.reason for row in each.utterances if row.status != USABLE)
        missing += [NotScored(f"utterance of {each.name}", reason, n) for reason, n in sorted(reasons.items())]
    if not rows:
        where = str(folder).replace(str(home), "STT_HOME")
        missing.append(NotScored("general set of speech", f"there is none in {where}: {_WHAT_TO_PUT}"))
    return GeneralSpeech(tuple(rows), tuple(missing), _digest(rows, missing))


def scored(rows: Sequence[SpokenText], heard: Mapping[str, Transcribed], foreign: Mapping[str, str]) -> list[RowScore]:
    """Score what a system heard; rows that cannot be scored keep their reason.

    Args:
        heard: by the name of the stretch.
        foreign: why rows are taken not to be English.
    """
    texts = [_speech_row(row, heard) for row in rows]
    scores = score_rows(texts, normalise_church_english)
    reasons = [_unheard(row, heard) or foreign.get(row.row_id, "") for row in rows]
    return [
        replace(score, status="not scored", reason=reason) if reason else score
        for score, reason in zip(scores, reasons, strict=True)
    ]


def work_s(rows: Iterable[SpokenText], heard: Mapping[str, Transcribed]) -> float:
    """Sum up how long a system worked on rows, in seconds."""
    return sum(heard[stretch.row_id].work_s for row in rows for stretch in row.stretches)


def stretches_of(rows: Iterable[SpokenText]) -> list[Stretch]:
    """List all stretches of rows, in order."""
    return [stretch for row in rows for stretch in row.stretches]


def _chosen(each: SpeechSet, settings: Settings) -> list[Utterance]:
    usable = {utterance.key: utterance for utterance in each.utterances if utterance.status == USABLE}
    wanted = settings.evaluation.general_utterances or max(len(usable), 1)
    to_draw = [ChunkToAssess(key, _speaker(utterance), None, None, 0.0) for key, utterance in usable.items()]
    return [usable[chunk.chunk_id] for chunk in choose_sample(to_draw, size=wanted, seed=settings.split.seed)]


def _general_row(each: SpeechSet, utterance: Utterance) -> SpokenText:
    name = f"{each.name}/{utterance.key}"
    return SpokenText(
        row_id=name,
        group=f"{each.name}/{_speaker(utterance)}",
        reference=utterance.text,
        stretches=(Stretch(name, utterance.audio),) if utterance.audio else (),
        kinds={"set": each.name},
        place=name,
    )


def _speaker(utterance: Utterance) -> str:
    # Unknown voices may all be one: together they count once, which is too careful and never too bold.
    return utterance.speaker or "unknown"


def _digest(rows: Iterable[SpokenText], missing: Iterable[NotScored]) -> str:
    texts = [[row.row_id, row.group, row.reference, file_digest(row.stretches[0].path)] for row in rows]
    return digest_of([texts, list(missing)])


def _speech_row(row: SpokenText, heard: Mapping[str, Transcribed]) -> SpeechRow:
    parts = [heard[stretch.row_id] for stretch in row.stretches]
    texts = [part.text for part in parts]
    durations = [part.duration_s for part in parts]
    complete = bool(parts) and None not in texts
    return SpeechRow(
        row_id=row.row_id,
        sermon=row.group,
        reference=row.reference,
        hypothesis=" ".join(filter(None, texts)) if complete else None,
        duration_s=sum(filter(None, durations)) if complete else None,
        kinds=row.kinds,
    )


def _unheard(row: SpokenText, heard: Mapping[str, Transcribed]) -> str:
    return row.problem or next((part.reason for s in row.stretches if (part := heard[s.row_id]).text is None), "")


def _clock(sample: int) -> str:
    minutes, seconds = divmod(sample // 16_000, 60)
    return f"{minutes}:{seconds:02}"
