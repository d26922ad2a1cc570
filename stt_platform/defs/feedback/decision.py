"""Decide between champion and challenger: the asset `speech_decision`."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from stt_platform.defs.evaluation.speech import ADAPTER, SpeechEvaluationData
from stt_platform.defs.feedback.cycle_facts import read_cycle
from stt_platform.defs.shown import table
from stt_platform.evaluation.paired import Comparison
from stt_platform.feedback.decision import NOTHING_TRAINED, SAME_AS_CHAMPION, Cause, Outcome, decide
from stt_platform.orchestration.platform import Platform
from stt_platform.orchestration.scopes import CYCLE
from stt_platform.orchestration.stage import stage
from stt_platform.orchestration.work import StageContext, Work
from stt_platform.store.adapters import made_by
from stt_platform.store.choices import Champion, record_speech_champion, speech_champion
from stt_platform.store.metadata import MetadataStore
from stt_platform.store.reading import Read
from stt_platform.store.stages import StageOutput, StageResult

_DECISIONS = "select cycle, decision, reason, decided_at from decisions order by cycle desc"
_GENERAL = """
select reason from comparisons where evaluation_id = $evaluation and "set" = 'general_speech' and slice = 'all'
and metric = 'wer'
"""
_LATER = "select cycle from decisions where cycle > $cycle limit 1"


@dataclass(frozen=True)
class _Read:
    """The challenger, the champion, and how they compare.

    Attributes:
        adapter_id: what this cycle trained; None where it trained nothing.
        champion: the adapter that served when the cycle began; None for the base model.
        beside_champion: the adapter (b) beside the champion (a) on the frozen church test; None where not measured.
        general_reason: the numbers of general speech, in words.
    """

    adapter_id: str | None
    champion: str | None
    beside_champion: Comparison | None
    general_reason: str


def _read(context: StageContext) -> _Read:
    adapter = made_by(context.home, ADAPTER, context.part)
    facts = read_cycle(context.store, context.settings, context.cycle, answers=False)
    champion = facts.champion_at(context.cycle)
    rows = context.store.query(_GENERAL, {"evaluation": facts.evaluation_id}).to_pylist()
    return _Read(
        adapter_id=adapter.adapter_id if adapter else None,
        champion=champion,
        beside_champion=facts.compared(adapter.adapter_id, champion, context.cycle) if adapter else None,
        general_reason=rows[0]["reason"] if rows else "",
    )


@dataclass(frozen=True)
class SpeechDecisionData:
    """What became of the adapter of a cycle, and what serves after it (None: the base model)."""

    cycle: int
    adapter_id: str | None
    outcome: Outcome
    cause: Cause
    champion_after: str | None


def _metadata(platform: Platform, output: StageOutput) -> Mapping[str, Any]:
    return {
        **output.shown,
        "serves from now on": speech_champion(platform.home).adapter_id or "the base model",
        "decisions": table(platform.store.query(_DECISIONS).to_pylist()),
    }


def _hand_out(home: Path, output: StageOutput) -> None:
    """Let the champion serve; a cycle that is looked at again does not undo what later ones decided."""
    data = output.data_as(SpeechDecisionData)
    if MetadataStore(home).query(_LATER, {"cycle": data.cycle}).num_rows:
        return
    if speech_champion(home).adapter_id != data.champion_after:
        why = f"decided in cycle {data.cycle}: {output.shown['why']}"
        record_speech_champion(home, Champion(data.champion_after, why))


@stage(
    version="1",
    group="feedback",
    kinds={"table"},
    upstream=("speech_evaluation",),
    after=(ADAPTER,),
    reads=(
        *(Read(name, by=("speech_evaluation",)) for name in ("evaluations", "evaluation_rows", "comparisons")),
        Read("decisions", cycles="before"),
    ),
    read=_read,
    tables=("decisions",),
    parameters=lambda context: {"cycle": context.part, "confidence": context.settings.evaluation.confidence},
    scope=CYCLE,
    metadata=_metadata,
    hand_out=_hand_out,
    on_request=True,
)
def speech_decision(work: Work) -> StageResult:
    """Promote the adapter of this cycle, or keep the champion, and say why.

    A challenger is promoted only if its WER on the frozen church test is significantly lower than the champion's (paired
    test over sermons), and it is non-inferior on general speech (margin `evaluation.general_wer_margin`). Existing
    transcripts are not marked stale: they stay until `transcript` is materialised for them again.
    """
    read, evaluated = work.read, work.inputs["speech_evaluation"]
    measured = evaluated.data_as(SpeechEvaluationData)
    if read.adapter_id is None:
        found = NOTHING_TRAINED
    elif read.adapter_id == read.champion:
        found = SAME_AS_CHAMPION
    else:
        found = decide(
            test=measured.test,
            beside_champion=read.beside_champion,
            general=measured.general,
            problems=[evaluated.shown["test set"]],
            general_reason=read.general_reason,
        )
    data = SpeechDecisionData(
        cycle=work.cycle,
        adapter_id=read.adapter_id,
        outcome=found.outcome,
        cause=found.cause,
        champion_after=read.adapter_id if found.outcome == "promoted" else read.champion,
    )
    work.log(f"{found.outcome}: {found.reason}")
    decided_at = datetime.now(UTC).isoformat(timespec="seconds")
    row = asdict(data) | {"reason": found.reason, "decided_at": decided_at}
    row["decision"] = row.pop("outcome")
    return StageResult(data=data, tables={"decisions": [row]}, shown={"decision": found.outcome, "why": found.reason})
