"""A metric is one class and one line: tables, comparisons, reports and pages take it from there."""

from dataclasses import replace
from itertools import zip_longest
from pathlib import Path

import pytest

from stt_platform.defs.evaluation.assessment_report import numbers
from stt_platform.defs.evaluation.speech_material import SpokenText
from stt_platform.defs.evaluation.speech_measuring import CHURCH, SetMeasured, SpeechMeasured
from stt_platform.defs.evaluation.speech_report import speech_report
from stt_platform.defs.evaluation.speech_tables import SpeechTables
from stt_platform.defs.recognisers import SpeechSystem
from stt_platform.evaluation import metrics
from stt_platform.evaluation.evaluation_report import render_report
from stt_platform.evaluation.intervals import Counts
from stt_platform.evaluation.metrics import SpeechSample
from stt_platform.evaluation.metrics.base import ErrorRate
from stt_platform.evaluation.speech_comparison import compare_systems
from stt_platform.evaluation.speech_scores import RowScore, SpeechRow, score_rows
from stt_platform.pages.evaluation_data import evaluation_overview
from stt_platform.settings import Settings
from stt_platform.store.metadata import MetadataStore
from stt_platform.store.schemas import TABLES


class HammingRate(ErrorRate):
    """Words that are not at their place."""

    name = "hamming_rate"
    label = "Hamming rate"
    explanation = "words per 100 that are not at their place"
    compared = True

    def counts(self, score: RowScore) -> Counts:
        said, heard = (str(text).lower().split() for text in (score.row.reference, score.row.hypothesis))
        return Counts(sum(a != b for a, b in zip_longest(said, heard)), len(said))

    def method(self) -> str:
        return "toy 1.0"


@pytest.fixture
def toy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics, "SPEECH", (*metrics.SPEECH, HammingRate()))


def sample(wrong: int) -> SpeechSample:
    heard = " ".join(["x"] * wrong + ["grace"] * (9 - wrong))
    rows = [SpeechRow(f"{k}", f"s{k}", " ".join(["grace"] * 9), heard, 6.0, {"view": "original"}) for k in range(8)]
    return SpeechSample(score_rows(rows, str.lower))


def measured() -> SpeechMeasured:
    one, two = sample(3), sample(1)
    kinds = {"view": "original", "kind": "chunk"}
    rows = [SpokenText(score.row.row_id, score.row.sermon, "grace", (), kinds) for score in one.scores]
    found = SetMeasured(CHURCH, "sermons", rows, one.scores, two.scores, compare_systems(one, two), ())
    system = SpeechSystem("base", Path("base"), None, "base")
    return SpeechMeasured(system, replace(system, adapter_id="a" * 64), "original", found, None, None, None, ())


def test_a_toy_metric_is_in_the_numbers_and_the_comparisons(toy) -> None:
    tables = SpeechTables("e", Settings(), measured(), {CHURCH: "test:1", "general_speech": "test:none"})
    rows = [row for row in tables.numbers if row["metric"] == "hamming_rate" and row["slice"] == "all"]
    assert [row["value"] for row in rows] == [pytest.approx(3 / 9), pytest.approx(1 / 9)]
    assert rows[0]["signature"].startswith("toy 1.0|interval:jackknife of the log rate by sermon|test:1|decoding:")
    (compared,) = [row for row in tables.comparisons if row["metric"] == "hamming_rate" and row["slice"] == "all"]
    assert (compared["decision"], compared["difference"]) == ("better", pytest.approx(-2 / 9))


def test_a_toy_metric_is_in_the_report_and_in_what_people_see(toy, tmp_path) -> None:
    given = {"test": None, "touched": False, "problem": "", "decoding": {}, "curves": (), "missing": ()}
    html = render_report(speech_report(measured(), cycle="1", confidence=0.95, **given))
    assert HammingRate.label in html
    assert HammingRate.explanation in html
    assert numbers(metrics.measure_speech(sample(3)))["Hamming rate (%)"] == 33.33
    MetadataStore(tmp_path)
    assert evaluation_overview(tmp_path)["metrics"]["hamming_rate"] == {
        "label": HammingRate.label,
        "explanation": HammingRate.explanation,
        "unit": "%",
        "lower_is_better": True,
    }


def test_no_name_stands_twice_and_all_have_words() -> None:
    listed = [*metrics.SPEECH, *metrics.TERMS, *metrics.OTHERS, *metrics.TRANSLATION]
    assert len(metrics.all_metrics()) == len(listed)
    assert all(metric.label and metric.explanation for metric in listed)


def test_what_a_clock_measures_is_in_no_digest() -> None:
    of_clock = {name for name, metric in metrics.all_metrics().items() if metric.of_clock}
    assert of_clock == set(TABLES["evaluations"].clock_metrics)
