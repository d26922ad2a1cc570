"""Whether this cycle's adapter transcribes from now on: the asset `speech_decision`."""

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from stt_platform.defs.corpus import corpus_stage
from stt_platform.defs.cycles import CYCLES
from stt_platform.defs.evaluation.speech import ADAPTER, VALID_TEST
from stt_platform.defs.feedback.cycle_facts import read_cycle
from stt_platform.defs.platform import Platform
from stt_platform.defs.shown import table
from stt_platform.defs.work import Work
from stt_platform.feedback.decision import Decision, decide
from stt_platform.settings import Settings
from stt_platform.store.adapters import made_by
from stt_platform.store.choices import Champion, record_speech_champion, speech_champion
from stt_platform.store.metadata import MetadataStore
from stt_platform.store.stages import StageOutput, StageResult

_DECISIONS = "select cycle, decision, reason, decided_at from decisions order by cycle desc"
_GENERAL = """
select reason from comparisons where evaluation_id = $evaluation and "set" = 'general_speech' and slice = 'all'
and metric = 'wer'
"""
_LATER = "select cycle from decisions where cycle > $cycle limit 1"


def _parameters(home: Path, settings: Settings, cycle: str) -> Mapping[str, Any]:
    adapter = made_by(home, ADAPTER, cycle)
    facts = read_cycle(MetadataStore(home), settings, int(cycle))
    return {
        "cycle": cycle,
        "adapter": adapter.adapter_id if adapter else None,
        "champion before": facts.champion_at(int(cycle)),
        "confidence": settings.evaluation.confidence,
    }


def _metadata(platform: Platform, output: StageOutput) -> Mapping[str, Any]:
    facts = output.facts
    return {
        "decision": facts["decision"],
        "why": facts["reason"],
        "serves from now on": speech_champion(platform.home).adapter_id or "the base model",
        "decisions": table(platform.store.query(_DECISIONS).to_pylist()),
    }


def _hand_out(home: Path, output: StageOutput) -> None:
    """Let the champion serve; a cycle that is looked at again does not undo what later ones decided."""
    cycle = output.facts["cycle"]
    if MetadataStore(home).query(_LATER, {"cycle": cycle}).num_rows:
        return
    after = output.facts["champion after"]
    if speech_champion(home).adapter_id != after:
        record_speech_champion(home, Champion(after, f"decided in cycle {cycle}: {output.facts['reason']}"))


@corpus_stage(
    version="1",
    group="feedback",
    kinds={"table"},
    upstream=("speech_evaluation",),
    after=(ADAPTER,),
    tables=("decisions",),
    parameters=_parameters,
    parts=CYCLES,
    metadata=_metadata,
    hand_out=_hand_out,
    on_request=True,
)
def speech_decision(work: Work) -> StageResult:
    """Whether the adapter of this cycle transcribes from now on, or what served before keeps its place, and why.

    It is promoted only if it makes fewer errors than the champion on the frozen church test, by a paired test over
    sermons, and is not worse on general speech by more than `evaluation.general_wer_margin`. Sermons that were transcribed
    before keep their text until somebody materialises `transcript` for them again.
    """
    cycle = int(work.part)
    facts = read_cycle(work.store, work.settings, cycle)
    adapter = made_by(work.store.home, ADAPTER, work.part)
    champion = facts.champion_at(cycle)
    found = Decision("kept", "nothing was trained in this cycle")
    if adapter is not None:
        measured = work.inputs["speech_evaluation"].facts
        found = decide(
            spoilt="" if measured["test set"] in VALID_TEST else measured["test set"],
            beside_champion=facts.compared(adapter.adapter_id, champion, cycle),
            general=measured["general set"],
            general_reason=_general_reason(work.store, facts.evaluation_id),
        )
        if adapter.adapter_id == champion:
            found = Decision("kept", "it is what serves already: nothing new was learned")
    after = adapter.adapter_id if adapter is not None and found.outcome == "promoted" else champion
    work.log(f"{found.outcome}: {found.reason}")
    row = {
        "cycle": cycle,
        "adapter_id": adapter.adapter_id if adapter else None,
        "decision": found.outcome,
        "reason": found.reason,
        "decided_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "champion_after": after,
    }
    return StageResult(
        facts={"cycle": cycle, "decision": found.outcome, "reason": found.reason, "champion after": after},
        tables={"decisions": [row]},
    )


def _general_reason(store: MetadataStore, evaluation_id: str) -> str:
    rows = store.query(_GENERAL, {"evaluation": evaluation_id}).to_pylist()
    return rows[0]["reason"] if rows else ""
