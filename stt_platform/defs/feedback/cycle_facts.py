"""Read the cycles of the loop from the tables: answers, scores, decisions, and whether it still pays."""

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from stt_platform.defs.evaluation.speech import ADAPTER
from stt_platform.defs.evaluation.speech_measuring import CHURCH, GENERAL
from stt_platform.defs.feedback.candidates import OPINIONS
from stt_platform.evaluation.intervals import Counts, Interval
from stt_platform.evaluation.paired import Comparison, paired_rates
from stt_platform.feedback.convergence import Convergence, CycleGain, convergence
from stt_platform.feedback.cycle_page import Heard, Reviewed, Waiting
from stt_platform.feedback.pictures import CyclePoint
from stt_platform.feedback.selection import RandomAnswer, pool_error_rate
from stt_platform.settings import Settings
from stt_platform.store.adapters import Adapter, made_by
from stt_platform.store.digests import digest_of
from stt_platform.store.metadata import MetadataStore

_NUMBERS = """
select regexp_extract(evaluation_id, '^speech-cycle-([0-9]+)-', 1)::int as cycle, evaluation_id, system, adapter_id, "set",
    value, ci_low, ci_high, n, signature, reason
from evaluations where regexp_matches(evaluation_id, '^speech-cycle-[0-9]+-') and slice = 'all' and metric = 'wer'
order by cycle, "set", adapter_id nulls first
"""
_TEXTS = """
select regexp_extract(evaluation_id, '^speech-cycle-([0-9]+)-', 1)::int as cycle, adapter_id, row_id, group_id, reference,
    errors, words
from evaluation_rows where regexp_matches(evaluation_id, '^speech-cycle-[0-9]+-') and slice = 'all' and "set" = 'church_test'
    and errors is not null and words > 0
order by cycle, row_id, adapter_id nulls first
"""
_DECISIONS = "select cycle, adapter_id, decision, reason, champion_after from decisions order by cycle"
_ASKED = """
select chunk_id, why, status, coalesce(review_s, 0) as review_s from flagged_segments
where cycle = $cycle and status in ('flagged', 'left') order by rank, chunk_id
"""
# Each part holds all answers so far; what is in the part before came in an earlier cycle.
_ANSWERS = """
select * exclude (corrected_at) from corrections
where cycle = $cycle or cycle = (select max(cycle) from corrections where cycle < $cycle) order by all
"""
_MARK = re.compile(r"\|(test:[^|]+)")
# Kinds of answers: those that count for their chunk, and those that a later one took the place of.
_COUNTING, _ANSWERED_AGAIN = ("changed", "unchanged", "unusable"), "answered again"


@dataclass(frozen=True)
class CycleFacts:
    """What is known at a cycle. Raises `PlatformError` where an adapter's folder cannot be read.

    Attributes:
        numbers: WER of whole sets, of every evaluation of a cycle up to this one.
        decisions: by cycle.
    """

    store: MetadataStore
    settings: Settings
    cycle: int
    numbers: list[dict[str, Any]]
    texts: list[dict[str, Any]]
    decisions: dict[int, dict[str, Any]]
    asked: list[dict[str, Any]]
    answers: list[dict[str, Any]]

    @property
    def digest(self) -> str:
        """Return the digest of all that was read."""
        adapters = {str(cycle): found.adapter_id for cycle, found in self.adapters.items()}
        read = (self.numbers, self.texts, list(self.decisions.values()), self.asked, self.answers, adapters)
        return digest_of(read)

    @property
    def evaluation_id(self) -> str:
        """Return the evaluation of this cycle; empty where there is none."""
        return next((row["evaluation_id"] for row in self.numbers if row["cycle"] == self.cycle), "")

    @cached_property
    def adapters(self) -> dict[int, Adapter]:
        """Return what each cycle trained, up to this one."""
        found = {cycle: made_by(self.store.home, ADAPTER, str(cycle)) for cycle in range(self.cycle + 1)}
        return {cycle: adapter for cycle, adapter in found.items() if adapter is not None}

    @cached_property
    def history(self) -> tuple[CyclePoint, ...]:
        """Return every cycle that trained or measured something on the test of today."""
        cycles = sorted({row["cycle"] for row in self.numbers if self._same_test(row)} | set(self.adapters))
        return tuple(
            CyclePoint(
                cycle=cycle,
                base=self._wer(CHURCH, None, cycle),
                adapter=self._wer(CHURCH, self._adapter_id(cycle), cycle) if cycle in self.adapters else None,
                champion=self._wer(CHURCH, self.champion_at(cycle + 1), cycle),
                promoted=self.decisions.get(cycle, {}).get("decision") == "promoted",
            )
            for cycle in cycles
            if cycle not in self.on_another_test
        )

    @cached_property
    def on_another_test(self) -> tuple[int, ...]:
        """Return the cycles that were scored on another test."""
        church = [row for row in self.numbers if row["set"] == CHURCH and row["value"] is not None]
        return tuple(sorted({row["cycle"] for row in church if not self._same_test(row)}))

    @cached_property
    def convergence(self) -> Convergence:
        """Judge whether the loop still pays after this cycle."""
        chosen = self.settings.feedback
        return convergence(map(self._gain, self.adapters), least_gain=chosen.least_gain, cycles=chosen.vain_cycles)

    def champion_at(self, cycle: int) -> str | None:
        """Return the champion when a cycle began; None for the base model."""
        earlier = [number for number in self.decisions if number < cycle]
        return self.decisions[max(earlier)]["champion_after"] if earlier else None

    def heard(self) -> tuple[Heard, ...]:
        """Return the base model, the champion before, and this cycle's adapter, as far as they were measured."""
        before, mine = self.champion_at(self.cycle), self._adapter_id(self.cycle)
        systems = [("base model", None)]
        systems += [("what served before", before)] if before is not None and before != mine else []
        systems += [("this cycle's adapter", mine)] if mine is not None else []
        found = []
        for name, adapter_id in systems:
            row = self._row(CHURCH, adapter_id, self.cycle) or self._row(GENERAL, adapter_id, self.cycle)
            if row is None:
                continue
            beside = self.compared(mine, adapter_id, self.cycle) if mine is not None and adapter_id != mine else None
            church, general = (self._wer(set_, adapter_id, self.cycle) for set_ in (CHURCH, GENERAL))
            found.append(Heard(name, row["system"], church, general, beside))
        return tuple(found)

    def compared(self, adapter_id: str, other: str | None, cycle: int) -> Comparison | None:
        """Compare an adapter as measured in a cycle (b) with another recogniser (a), on the texts that both were scored on."""
        b, a = self._scores.get((cycle, adapter_id)), self._scores_of(other, cycle)
        if b is None or a is None:
            return None
        same = [name for name in sorted(b) if name in a and a[name][0] == b[name][0]]
        counts = [_by_sermon(scores[name] for name in same) for scores in (a, b)]
        return paired_rates(*counts, confidence=self.settings.evaluation.confidence)

    def reviewed(self, warnings: Sequence[str] = ()) -> Reviewed:
        """Summarise what people did in this cycle; `warnings` are about reviewers, in words with their names."""
        on_list = {row["chunk_id"]: row for row in self.asked if row["status"] == "flagged"}
        answered = sorted(self._answered & on_list.keys())
        new = self._new_answers()
        count = Counter(map(_kind_of, new))
        given = [row for row in new if _kind_of(row) in (*_COUNTING, _ANSWERED_AGAIN)]
        accepted = [row for row in given if row["status"] == "accepted"]
        spent = [row["spent_s"] for row in given if row["spent_s"] is not None]
        at_random = [
            RandomAnswer(row["sermon"], row["text"], row["proposal"])
            for row in accepted
            if on_list.get(row["chunk_id"], {}).get("why") == "random" and row["proposal"] is not None
        ]
        return Reviewed(
            asked=len(on_list),
            answered=len(answered),
            answers=len(given),
            **{kind: count[kind] for kind in (*_COUNTING, "not_counted")},
            word_edits=sum(row["word_edits"] or 0 for row in accepted),
            proposal_words=sum(row["proposal_words"] or 0 for row in accepted),
            spent_s=sum(spent),
            timed=len(spent),
            expected_s=sum(on_list[name]["review_s"] for name in answered),
            training_s=self._training_s(),
            warnings=tuple(warnings),
            pool=pool_error_rate(at_random, confidence=self.settings.evaluation.confidence),
        )

    def waiting(self) -> Waiting | None:
        """Count what can still be asked about; None where no list was made."""
        if not self.asked:
            return None
        open_rows = [row for row in self.asked if row["chunk_id"] not in self._answered]
        count = Counter(row["status"] for row in open_rows)
        return Waiting(count["flagged"], count["left"], sum(row["review_s"] for row in open_rows))

    @cached_property
    def _answered(self) -> set[str]:
        """Return the chunks with an answer that counts, in this cycle."""
        mine = (row for row in self.answers if row["cycle"] == self.cycle)
        return {row["chunk_id"] for row in mine if _kind_of(row) in _COUNTING}

    def _new_answers(self) -> list[dict[str, Any]]:
        earlier = {_answer_key(row) for row in self.answers if row["cycle"] < self.cycle}
        return [row for row in self.answers if row["cycle"] == self.cycle and _answer_key(row) not in earlier]

    def _training_s(self) -> float | None:
        adapter = self.adapters.get(self.cycle)
        return (adapter.manifest.get("curves") or {}).get("seconds") if adapter is not None else None

    def _gain(self, cycle: int) -> CycleGain:
        before = self.champion_at(cycle)
        found = self.compared(self.adapters[cycle].adapter_id, before, cycle)
        if found is None or cycle in self.on_another_test:
            return CycleGain(cycle, None, None)
        return CycleGain(cycle, found.value_a, found.low if found.decidable else None)

    def _adapter_id(self, cycle: int) -> str | None:
        return self.adapters[cycle].adapter_id if cycle in self.adapters else None

    @cached_property
    def _mark(self) -> str:
        """Return the label of the church test in the signatures, as it was measured last."""
        marks = [_mark_of(row) for row in self.numbers if row["set"] == CHURCH and row["value"] is not None]
        return marks[-1] if marks else ""

    def _same_test(self, row: Mapping[str, Any]) -> bool:
        return row["set"] == CHURCH and _mark_of(row) == self._mark

    def _row(self, set_: str, adapter_id: str | None, cycle: int) -> dict[str, Any] | None:
        """Return the last score of a recogniser up to a cycle, on the church test of today."""
        found = [
            row
            for row in self.numbers
            if (row["set"], row["adapter_id"]) == (set_, adapter_id) and row["cycle"] <= cycle
            if set_ != CHURCH or self._same_test(row)
        ]
        return found[-1] if found else None

    def _wer(self, set_: str, adapter_id: str | None, cycle: int) -> Interval | None:
        row = self._row(set_, adapter_id, cycle)
        if row is None:
            return None
        confidence = self.settings.evaluation.confidence
        return Interval(row["value"], row["ci_low"], row["ci_high"], row["n"], "", confidence, row["reason"] or "")

    @cached_property
    def _scores(self) -> dict[tuple[int, str | None], dict[str, tuple[str, str, Counts]]]:
        """Return (reference, sermon, counts) of every scored text, by evaluation and recogniser."""
        found: dict[tuple[int, str | None], dict[str, tuple[str, str, Counts]]] = defaultdict(dict)
        for row in self.texts:
            scored = (row["reference"], row["group_id"], Counts(row["errors"], row["words"]))
            found[row["cycle"], row["adapter_id"]][row["row_id"]] = scored
        return dict(found)

    def _scores_of(self, adapter_id: str | None, cycle: int) -> dict[str, tuple[str, str, Counts]] | None:
        """Return the scores of that cycle, else of the last one before."""
        there = [number for number, name in self._scores if name == adapter_id and number <= cycle]
        return self._scores[max(there), adapter_id] if there else None


def read_cycle(store: MetadataStore, settings: Settings, cycle: int, *, answers: bool = True) -> CycleFacts:
    """Read all that the tables say up to this cycle; without `answers` what was measured and decided, and nothing of people."""
    number = {"cycle": cycle}
    return CycleFacts(
        store=store,
        settings=settings,
        cycle=cycle,
        numbers=[row for row in store.query(_NUMBERS).to_pylist() if row["cycle"] <= cycle],
        texts=[row for row in store.query(_TEXTS).to_pylist() if row["cycle"] <= cycle],
        decisions={row["cycle"]: row for row in store.query(_DECISIONS).to_pylist() if row["cycle"] <= cycle},
        asked=store.query(_ASKED, number).to_pylist() if answers else [],
        answers=store.query(_ANSWERS, number).to_pylist() if answers else [],
    )


def loop_convergence(store: MetadataStore, settings: Settings, cycle: int) -> Convergence:
    """Judge whether the loop still pays after this cycle: for who proposes the next one."""
    return read_cycle(store, settings, cycle, answers=False).convergence


def _mark_of(row: Mapping[str, Any]) -> str:
    found = _MARK.search(row["signature"])
    return found[1] if found else ""


def _kind_of(row: Mapping[str, Any]) -> str:
    """Classify an answer as the page counts it; "superseded" is counted nowhere."""
    if row["status"] == "accepted":
        return "changed" if row["word_edits"] else "unchanged"
    if row["status"] == "rejected":
        return "unusable" if row["gate"] in OPINIONS else "not_counted"
    return _ANSWERED_AGAIN if row["gate"] == _ANSWERED_AGAIN else "superseded"


def _answer_key(row: Mapping[str, Any]) -> tuple[Any, ...]:
    """Return by what an answer is known again. Not by its time: where a tool tells none, it is that of the file."""
    return tuple(row[name] for name in ("chunk_id", "tool", "annotation_id", "reviewer", "text", "verdict"))


def _by_sermon(scored: Iterable[tuple[str, str, Counts]]) -> dict[str, Counts]:
    errors: Counter[str] = Counter()
    words: Counter[str] = Counter()
    for _, sermon, counts in scored:
        errors[sermon] += counts.errors
        words[sermon] += counts.words
    return {sermon: Counts(errors[sermon], words[sermon]) for sermon in words}
