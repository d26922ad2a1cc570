"""What was measured of recognisers as rows of the tables."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from stt_platform.defs.evaluation.speech_measuring import CHURCH, GENERAL, SetMeasured, SpeechMeasured
from stt_platform.defs.evaluation.transcribing import decoding_of
from stt_platform.evaluation.church_test import ChurchTest
from stt_platform.evaluation.intervals import Interval
from stt_platform.evaluation.metrics import signature
from stt_platform.evaluation.speech_comparison import Compared
from stt_platform.settings import Settings
from stt_platform.store.evaluations import ALL, Measured, comparison_row, number_rows, part, text_row

WHY_NOTHING = {
    CHURCH: "no sermon that examines has a reference",
    GENERAL: "there is no general set of speech",
}
"""Why a set was not measured."""


def marks_of(test: ChurchTest | None, measured: SpeechMeasured) -> dict[str, str]:
    """Return the mark of each set in the signatures, by the rows and their texts."""
    rows = [[row.row_id, row.reference] for row in measured.general.rows] if measured.general else []
    general = hashlib.sha256(json.dumps(rows).encode()).hexdigest()
    return {CHURCH: f"test:{test.sha256[:12] if test else 'none'}", GENERAL: f"test:{general[:12]}"}


class SpeechTables:
    """The rows of all tables of an evaluation.

    Attributes:
        numbers, comparisons, texts: of `evaluations`, `comparisons` and `evaluation_rows`.
        marks: what the signatures have in them of each set, see `marks_of`.
    """

    def __init__(
        self, evaluation_id: str, settings: Settings, measured: SpeechMeasured, marks: Mapping[str, str]
    ) -> None:
        self.evaluation_id = evaluation_id
        self.marks = marks
        self.numbers: list[dict[str, Any]] = []
        self.comparisons: list[dict[str, Any]] = []
        self.texts: list[dict[str, Any]] = []
        self._measured = measured
        decoding = json.dumps(decoding_of(settings, measured.base.kind), sort_keys=True)
        self._how = f"decoding:{hashlib.sha256(decoding.encode()).hexdigest()[:8]}"
        for set_, found in ((CHURCH, measured.church), (GENERAL, measured.general)):
            if found is None:
                self._add_nothing(set_, settings.evaluation.confidence)
                continue
            self._add(set_, ALL, found.whole)
            self._add_texts(set_, ALL, found)
            for kind, value, of_part in found.parts:
                self._add(set_, part(kind, value), of_part)
        for found in (measured.church, measured.other_view):
            if found is not None:
                self._add(CHURCH, _view(found), found.whole)
        if measured.other_view is not None:
            self._add_texts(CHURCH, _view(measured.other_view), measured.other_view)

    def _of(self, set_: str, *, adapter: bool) -> Measured:
        system = self._measured.adapter if adapter else self._measured.base
        assert system is not None
        return Measured(self.evaluation_id, system.identity, set_, system.adapter_id)

    def _add(self, set_: str, slice_: str, found: Compared) -> None:
        signatures = {metric: f"{signature(metric)}|{self.marks[set_]}|{self._how}" for metric in found.base}
        self.numbers += number_rows(self._of(set_, adapter=False), slice_, found.base, signatures)
        if found.adapter is not None:
            self.numbers += number_rows(self._of(set_, adapter=True), slice_, found.adapter, signatures)
        self.comparisons += [
            comparison_row(
                self._of(set_, adapter=True), slice_, metric, compared, compared_with=self._measured.base.identity
            )
            for metric, compared in found.comparisons.items()
        ]

    def _add_nothing(self, set_: str, confidence: float) -> None:
        nothing = {"wer": Interval(None, None, None, 0, "", confidence, WHY_NOTHING[set_])}
        self.numbers += number_rows(self._of(set_, adapter=False), ALL, nothing, {"wer": signature("wer")})

    def _add_texts(self, set_: str, slice_: str, found: SetMeasured) -> None:
        for adapter, scores in ((False, found.base), (True, found.adapter or ())):
            self.texts += [text_row(self._of(set_, adapter=adapter), slice_, score) for score in scores]


def _view(found: SetMeasured) -> str:
    return part("view", found.rows[0].kinds["view"])
