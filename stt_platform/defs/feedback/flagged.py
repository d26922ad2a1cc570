"""Choose the segments that people are asked about in a cycle: the asset `flagged_segments`."""

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import dagster as dg

from stt_platform.defs.feedback.candidates import (
    Pool,
    live_files,
    live_folder,
    live_hearings,
    read_pool,
    speaker_of,
    with_live,
)
from stt_platform.defs.shown import picture, table
from stt_platform.errors import PlatformError
from stt_platform.feedback.confidence import ConfidenceModel, Expectation, fit_confidence
from stt_platform.feedback.live_places import LiveHearing, Unplaced
from stt_platform.feedback.pictures import confidence_picture
from stt_platform.feedback.review_time import ReviewTime
from stt_platform.feedback.selection import (
    EXCLUDED,
    FLAGGED,
    LEFT,
    NOT_ASKED_IN_WORDS,
    RANDOM,
    Flagged,
    SelectionOptions,
    choose_segments,
    pool_error_rate,
    review_order,
)
from stt_platform.feedback.tools.base import ReviewTask
from stt_platform.glossary.terms import Glossary
from stt_platform.orchestration.platform import Platform
from stt_platform.orchestration.scopes import CYCLE
from stt_platform.orchestration.stage import stage
from stt_platform.orchestration.work import StageContext, Work
from stt_platform.settings import FeedbackSettings, Settings
from stt_platform.store.choices import training_view
from stt_platform.store.glossary import glossary_at, glossary_file, glossary_files
from stt_platform.store.reading import Read
from stt_platform.store.review_lists import hand_out_review, review_folder
from stt_platform.store.stages import StageOutput, StageResult, shown_of

TASKS, PICTURE = "tasks.json", "confidence.png"
ONLY_TRAIN = "only_train_sermons"

_MOST_QUOTED = 60
_FIRST = """
select rank, why, sermon, round(duration_s, 1) as seconds, text, reason, round(confidence, 2) as confidence,
    round(expected_errors, 1) as "expected errors" from flagged_segments
where cycle = $cycle and status = 'flagged' order by rank limit 20
"""
_OTHERS = """
select distinct flagged.sermon from flagged_segments as flagged left join splits on splits.sermon = flagged.sermon
where flagged.cycle = $cycle and flagged.status = 'flagged' and coalesce(splits.split, '') <> 'train' order by 1
"""
_NOT_ASKED = f"""
select status, case gate {" ".join(f"when '{gate}' then '{words}'" for gate, words in NOT_ASKED_IN_WORDS.items())}
    else min_by(reason, coalesce(chunk_id, place)) end as "why not",
    count(*) as segments, min(coalesce(chunk_id, place)) as "for example"
from flagged_segments where cycle = $cycle and status <> 'flagged' group by status, gate order by 3 desc, 2 limit 20
"""


@dataclass(frozen=True)
class _Read:
    """What a cycle chooses from, and the live transcripts of it.

    Attributes:
        live_segments: number of segments in the live transcripts.
        live: the live transcript of each chunk.
        unplaced: segments that belong to no chunk.
    """

    pool: Pool
    live_segments: int
    live: Mapping[str, LiveHearing]
    unplaced: list[Unplaced]


def _read(context: StageContext) -> _Read:
    view = training_view(context.home, context.settings.training_view).view
    return _Read(read_pool(context.store, view, context.cycle), *live_hearings(context.store))


def _parameters(context: StageContext) -> Mapping[str, Any]:
    settings = context.settings
    return {
        "cycle": context.part,
        "chosen": settings.feedback.model_dump(exclude={"least_gain", "vain_cycles"}),
        "view": training_view(context.home, settings.training_view).view,
        "confidence": settings.evaluation.confidence,
    }


def _files(context: StageContext) -> Mapping[str, Path]:
    live = {path.relative_to(context.home).as_posix(): path for path in live_files(context.home)}
    return {**live, **glossary_files(context.settings)}


@dataclass(frozen=True)
class FlaggedData:
    """What people are asked about in a cycle.

    Attributes:
        expected_word_errors: in what is asked about; None until enough was answered to tell.
        confidence_is_fitted: whether the order rests on answers, or on a first guess.
        auroc, calibration_error: of the confidence; None where they cannot be told.
    """

    cycle: int
    asked_about: int
    drawn_at_random: int
    review_s: float
    expected_word_errors: float | None
    left_for_later: int
    excluded: int
    live_segments: int
    unplaced_live_segments: int
    confidence_is_fitted: bool
    auroc: float | None
    calibration_error: float | None


_LABELS = {"auroc": "AUROC", "review s": "reviewing (s)"}


def read_tasks(output: StageOutput) -> list[ReviewTask]:
    """Read the tasks that this stage, or `review_tasks`, wrote down."""
    return [ReviewTask(**task) for task in json.loads((output.folder / TASKS).read_text(encoding="utf-8"))]


def _hand_out(home: Path, output: StageOutput) -> None:
    hand_out_review(home, output.data_as(FlaggedData).cycle, read_tasks(output))


def check_list(platform: Platform, output: StageOutput | None) -> Iterator[dg.AssetCheckResult]:
    """Check that all that is asked about is of train sermons, as the split is now."""
    if output is None:
        return
    others = platform.store.query(_OTHERS, {"cycle": output.data_as(FlaggedData).cycle})["sermon"].to_pylist()
    yield dg.AssetCheckResult(
        check_name=ONLY_TRAIN,
        passed=not others,
        metadata={"sermons that are not of the train split": len(others), "first": ", ".join(others[:5]) or "–"},
    )


def _metadata(platform: Platform, output: StageOutput) -> Mapping[str, Any]:
    cycle = {"cycle": output.data_as(FlaggedData).cycle}
    return {
        **{name: value for name, value in output.shown.items() if name != "cycle" and value is not None},
        "the first of the list": table(platform.store.query(_FIRST, cycle).to_pylist()),
        "what is not asked about": table(platform.store.query(_NOT_ASKED, cycle).to_pylist()),
        "picture": picture(output.shown_folder / PICTURE, "how sure the texts are, and how far that may be believed"),
        "lists and sound for reviewers": dg.MetadataValue.path(str(review_folder(platform.home, cycle["cycle"]))),
        "put live transcripts into": dg.MetadataValue.path(str(live_folder(platform.home))),
    }


@stage(
    version="1",
    group="feedback",
    kinds={"table"},
    reads=(
        *("registrations", "splits", "references"),
        *("speech_chunks", "training_chunks", "transcripts", "consensus"),
        Read("corrections", cycles="before"),
        Read("flagged_segments", cycles="before"),
    ),
    read=_read,
    tables=("flagged_segments",),
    parameters=_parameters,
    files=_files,
    scope=CYCLE,
    metadata=_metadata,
    check_specs=(
        (ONLY_TRAIN, "Every segment of the list is of a train sermon: no test sermon is shown to anybody.", True),
    ),
    checks=check_list,
    hand_out=_hand_out,
)
def flagged_segments(work: Work) -> StageResult:
    """Choose the segments that people are asked about in this cycle: those where an hour of listening corrects most.

    Ranked by the word errors that are expected for each second of reviewing; no sermon and no speaker fills the list, names
    and terms nobody has corrected yet come first, and a share is drawn at random, which shows how good all texts are and
    how far the confidence may be believed. Left out, with the reason: what is no speech, what is not trained on, test
    sermons, what is answered already. JSONL of the live machine in `STT_HOME/live` counts too, where we have its recording.
    The list lies in `STT_HOME/review/cycle-<n>`; put the answers into `STT_HOME/corrections`.
    """
    pool, live = work.read.pool, work.read.live
    chosen = work.settings.feedback
    glossary = _glossary(work)
    model = fit_confidence(pool.answered_transcripts(), min_answers=chosen.fewest_answers, seed=chosen.seed)
    found = _expected(pool, model, live)
    options = _options(pool, chosen, model, work.cycle)
    rows = choose_segments(
        pool.candidates(work.home, {name: each.errors for name, each in found.items()}, pool.terms(glossary)),
        options,
        corrected_terms=pool.corrected_terms(glossary),
    )
    table_rows = _Rows(work.cycle, pool, found, live).of(rows, work.read.unplaced)
    tasks = [asdict(_task(row)) for row in table_rows if row["status"] == FLAGGED]
    (work.folder / TASKS).write_text(json.dumps(tasks, ensure_ascii=False), encoding="utf-8")
    _draw(work.shown_folder, rows, found, model)
    count = Counter(row.status for row in rows)
    errors = sum(row.expected_errors for row in rows if row.status == FLAGGED)
    fitted = model.kind == "fitted"
    data = FlaggedData(
        cycle=work.cycle,
        asked_about=count[FLAGGED],
        drawn_at_random=sum(row.kind == RANDOM for row in rows),
        review_s=sum(row.review_s for row in rows if row.status == FLAGGED),
        expected_word_errors=_rounded(errors) if fitted else None,
        left_for_later=count[LEFT],
        excluded=count[EXCLUDED],
        live_segments=work.read.live_segments,
        unplaced_live_segments=len(work.read.unplaced),
        confidence_is_fitted=fitted,
        auroc=_rounded(model.auroc),
        calibration_error=_rounded(model.calibration_error),
    )
    return StageResult(
        data=data,
        shown={
            **{_LABELS.get(name, name): value for name, value in shown_of(data).items()},
            "minutes of reviewing": round(data.review_s / 60, 1),
            "confidence": model.reason,
            "WER of all texts, by those drawn at random": _pool_wer(pool, work.settings),
        },
        tables={"flagged_segments": table_rows},
    )


def _glossary(work: Work) -> Glossary | None:
    try:
        return glossary_at(glossary_file(work.settings))
    except PlatformError as error:
        # A glossary that cannot be read keeps nobody from reviewing.
        work.log(f"terms are not preferred: {error}")
        return None


def _options(pool: Pool, chosen: FeedbackSettings, model: ConfidenceModel, cycle: int) -> SelectionOptions:
    return SelectionOptions(
        share=chosen.share,
        max_review_s=60 * chosen.review_minutes or None,
        random_share=chosen.random_share,
        quota=chosen.quota,
        term_bonus=chosen.term_bonus,
        review_time=pool.review_time(ReviewTime(chosen.review_factor, chosen.review_fixed_s)),
        seed=chosen.seed + cycle,
        counted=model.kind == "fitted",
    )


def _expected(pool: Pool, model: ConfidenceModel, live: Mapping[str, LiveHearing]) -> dict[str, Expectation]:
    """Predict the errors of each transcript from the features of whichever recogniser was less sure."""
    names = list(pool.features)
    features = [with_live(pool.features[name], live.get(name)) for name in names]
    return dict(zip(names, model.expect(features), strict=True))


class _Rows:
    """The rows of the table."""

    def __init__(
        self, cycle: int, pool: Pool, expected: Mapping[str, Expectation], live: Mapping[str, LiveHearing]
    ) -> None:
        self._cycle, self._pool, self._expected, self._live = cycle, pool, expected, live
        self._chunks = {row["chunk_id"]: row for row in pool.chunks}

    def of(self, chosen: Sequence[Flagged], unplaced: Sequence[Unplaced]) -> list[dict[str, Any]]:
        """Return the flagged in the order of asking, then all others, then what was live and belongs to no chunk."""
        flagged = [self._asked(rank, row) for rank, row in enumerate(review_order(chosen), start=1)]
        others = [self._row(row) for row in chosen if row.status != FLAGGED]
        return [*flagged, *others, *map(self._unplaced, unplaced)]

    def _row(self, row: Flagged) -> dict[str, Any]:
        common = {
            "cycle": self._cycle,
            "chunk_id": row.chunk_id,
            "sermon": row.sermon,
            "speaker": speaker_of(self._chunks[row.chunk_id]),
            "status": row.status,
            "reason": row.reason,
            "gate": row.gate or None,
        }
        if row.status == EXCLUDED:
            return common
        # Before anything was fitted the expectation only ranks, and is no number to show.
        wrong = self._expected[row.chunk_id].wrong_probability
        return common | {
            "duration_s": self._pool.duration_s(row.chunk_id),
            "confidence": None if wrong is None else 1 - wrong,
            "expected_errors": None if wrong is None else row.expected_errors,
            "review_s": row.review_s,
        }

    def _asked(self, rank: int, row: Flagged) -> dict[str, Any]:
        chunk = self._chunks[row.chunk_id]
        own, live = self._pool.features[row.chunk_id], self._live.get(row.chunk_id)
        features = with_live(own, live)
        doubted = features != own and row.kind != RANDOM
        why = "random" if row.kind == RANDOM else "live" if doubted else "rare term" if row.new_terms else "ranked"
        return self._row(row) | {
            "rank": rank,
            "why": why,
            "reason": f"{row.reason}; {_doubt(live)}" if live is not None and doubted else row.reason,
            "text": chunk["text"],
            "system": chunk["system"],
            "path": chunk["path"],
            "features": asdict(features),
        }

    def _unplaced(self, found: Unplaced) -> dict[str, Any]:
        where = ", ".join(filter(None, (found.segment.source, found.segment.place)))
        told = {"cycle": self._cycle, "place": where, "sermon": found.sermon, "speaker": ""}
        return told | {"status": EXCLUDED, "reason": found.reason, "gate": found.gate.value}


def _doubt(live: LiveHearing) -> str:
    quoted = live.text if len(live.text) <= _MOST_QUOTED else f"{live.text[:_MOST_QUOTED]}…"
    return f"the live machine was sure to {100 * (live.confidence or 0.0):.0f} % of “{quoted}”"


def _task(row: Mapping[str, Any]) -> ReviewTask:
    same = {
        name: row[name] for name in ("chunk_id", "sermon", "duration_s", "system", "confidence", "speaker", "cycle")
    }
    return ReviewTask(audio=row["path"], proposal=row["text"], why=row["reason"], **same)


def _draw(folder: Path, rows: Sequence[Flagged], found: Mapping[str, Expectation], model: ConfidenceModel) -> None:
    fitted = model.kind == "fitted"

    def value(row: Flagged) -> float:
        each = found[row.chunk_id]
        return each.error_rate if each.wrong_probability is None else 1 - each.wrong_probability

    drawn = confidence_picture(
        [value(row) for row in rows if row.status == FLAGGED],
        [value(row) for row in rows if row.status == LEFT],
        model.reliability,
        title="chance that every word is right" if fitted else "guessed share of wrong words, for ranking only",
        reason=model.reason,
    )
    (folder / PICTURE).write_bytes(drawn)


def _pool_wer(pool: Pool, settings: Settings) -> str | None:
    found = pool_error_rate(pool.random_answers(), confidence=settings.evaluation.confidence)
    if found.value is None:
        return None
    if found.low is None or found.high is None:
        return f"{100 * found.value:.1f} %, {found.reason}"
    return f"{100 * found.value:.1f} % ({100 * found.low:.1f} to {100 * found.high:.1f} %), {found.n} sermons"


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 3)
