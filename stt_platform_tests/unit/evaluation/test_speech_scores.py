"""Scores of speech rows with known errors."""

import subprocess
import sys
from collections import Counter
from pathlib import Path

import jiwer
import pytest

from stt_platform.evaluation.church_english import normalise_church_english
from stt_platform.evaluation.intervals import Counts, Interval
from stt_platform.evaluation.metrics import SpeechSample, measure_speech
from stt_platform.evaluation.metrics.error_rates import CER, WER, RawWER
from stt_platform.evaluation.paired import paired_rates
from stt_platform.evaluation.speech_scores import (
    SpeechRow,
    baseline_band,
    score_rows,
    scored_by_both,
    sermon_counts,
    slices,
)
from stt_platform.evaluation.wer import WordErrors


def lower(text: str) -> str:
    return "".join(letter for letter in text.lower() if letter.isalnum() or letter == " ")


def row(row_id: str, reference: str | None, hypothesis: str | None, sermon: str = "s1", **more) -> SpeechRow:
    return SpeechRow(row_id, sermon, reference, hypothesis, **more)


def interval(value: float | None, low: float | None, high: float | None, reason: str = "") -> Interval:
    return Interval(value, low, high, 5, "t", 0.95, reason)


ROWS = [
    row("1", "Grace and peace to you.", "grace and peas to you", duration_s=10.0, kinds={"text": "verse"}),
    row("2", "Good morning, church!", "Good morning", duration_s=20.0, kinds={"text": "free"}),
    row("3", "Let us pray", "let us now pray", "s2", duration_s=15.0, kinds={"text": "free"}),
    row("4", "amen amen amen", "amen amen amen", "s3", duration_s=15.0),
    row("5", "", "thank you for watching", "s3", duration_s=60.0),
    row("6", " ", "", "s3", duration_s=60.0),
]


@pytest.mark.parametrize(
    ("reference", "hypothesis", "status", "normalised", "raw"),
    [
        ("a b c", "a x c", "scored", WordErrors(1 / 3, 1, 0, 0, 2, 3), WordErrors(1 / 3, 1, 0, 0, 2, 3)),
        ("A, b.", "a b", "scored", WordErrors(0.0, 0, 0, 0, 2, 2), WordErrors(1.0, 2, 0, 0, 0, 2)),
        ("a b", "", "scored", WordErrors(1.0, 0, 2, 0, 0, 2), WordErrors(1.0, 0, 2, 0, 0, 2)),
        ("a", "a " * 10_000, "scored", WordErrors(9999.0, 0, 0, 9999, 1, 1), WordErrors(9999.0, 0, 0, 9999, 1, 1)),
        ("", "", "no speech", WordErrors(None, 0, 0, 0, 0, 0), WordErrors(None, 0, 0, 0, 0, 0)),
        ("...", "a", "not scored", WordErrors(None, 0, 0, 0, 0, 0), WordErrors(None, 0, 0, 0, 0, 0)),
        (None, "a", "not scored", WordErrors(None, 0, 0, 0, 0, 0), WordErrors(None, 0, 0, 0, 0, 0)),
        ("a", None, "not scored", WordErrors(None, 0, 0, 0, 0, 0), WordErrors(None, 0, 0, 0, 0, 0)),
    ],
)
def test_each_row_is_scored_or_says_why_not(reference, hypothesis, status, normalised, raw) -> None:
    (found,) = score_rows([row("1", reference, hypothesis)], lower)
    assert (found.status, found.normalised, found.raw) == (status, normalised, raw)
    assert bool(found.reason) == (status == "not scored")


def test_the_sums_are_those_of_jiwer() -> None:
    scores = score_rows(ROWS, lower)
    found = measure_speech(SpeechSample(scores, work_s=36.0))
    said = [item for item in ROWS if (item.reference or "").strip()]
    references, hypotheses = [item.reference for item in said], [item.hypothesis for item in said]
    assert found["raw_wer"].value == jiwer.wer(references, hypotheses)
    assert found["wer"].value == jiwer.wer(list(map(lower, references)), list(map(lower, hypotheses))) == 3 / 14
    assert found["cer"].value == jiwer.cer(list(map(lower, references)), list(map(lower, hypotheses)))
    parts = ("substitution_rate", "deletion_rate", "insertion_rate")
    assert [found[name].value for name in parts] == [1 / 14, 1 / 14, 1 / 14]
    assert sum(score.normalised.hits for score in scores) == 12
    assert Counter(score.status for score in scores) == {"scored": 4, "no speech": 2}
    assert found["wer"].n == 3
    # 4 words in 2 minutes; 36 s for 180 s.
    assert (found["hallucinated_words_per_min"].value, found["rtf"].value) == (2.0, 0.2)


def of_the_command_line(references: list[str], hypotheses: list[str], folder: Path, *options: str) -> str:
    """What jiwer's own program prints for two files of texts."""
    files = folder / "reference.txt", folder / "hypothesis.txt"
    for path, texts in zip(files, (references, hypotheses), strict=True):
        path.write_text("".join(f"{text}\n" for text in texts), encoding="utf-8")
    program = Path(sys.executable).with_name("jiwer")
    command = [str(program), "-r", str(files[0]), "-h", str(files[1]), *options]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def test_the_rates_are_those_of_jiwers_command_line_to_the_last_digit(tmp_path: Path) -> None:
    pairs = [
        ("Turn with me to First Corinthians thirteen, verse four.", "turn with me to 1 Corinthians 13:4"),
        ("O Lord, how manifold are thy works!", "oh lord how many fold are the works"),
        ("Blessed are the poor in spirit", "Blessed are the poor in the spirit, amen."),
        # Its program leaves out lines without a text: this one is nearly missed.
        ("Let us pray together now.", "now"),
        ("He restoreth my soul", "he restores my soul " + "soul " * 60),
    ]
    rows = [row(str(k), *pair, f"s{k}") for k, pair in enumerate(pairs)]
    found = measure_speech(SpeechSample(score_rows(rows, normalise_church_english)))
    raw = [list(side) for side in zip(*pairs, strict=True)]
    normalised = [[normalise_church_english(text) for text in side] for side in raw]
    assert repr(found["raw_wer"].value) == of_the_command_line(*raw, tmp_path)
    assert repr(found["wer"].value) == of_the_command_line(*normalised, tmp_path)
    assert repr(found["cer"].value) == of_the_command_line(*normalised, tmp_path, "--cer")
    assert found["wer"].value < found["raw_wer"].value


def test_what_is_not_known_is_none() -> None:
    scores = score_rows([row("1", "", "hello"), row("2", None, "hello")], lower)
    found = measure_speech(SpeechSample(scores, work_s=3.0))
    names = ("wer", "cer", "hallucinated_words_per_min", "rtf")
    assert [found[name].value for name in names] == [None] * 4
    assert [score.status for score in scores] == ["no speech", "not scored"]
    assert "rtf" not in measure_speech(SpeechSample(score_rows(ROWS, lower)))


def test_counts_are_by_sermon() -> None:
    scores = score_rows(ROWS, lower)
    assert sermon_counts(scores, WER().counts) == {"s1": Counts(2, 8), "s2": Counts(1, 3), "s3": Counts(0, 3)}
    assert sermon_counts(scores, RawWER().counts)["s1"] == Counts(5, 8)
    assert sermon_counts(scores, CER().counts)["s3"] == Counts(0, 14)


def test_two_systems_are_compared_on_what_both_answered() -> None:
    a = score_rows(ROWS, lower)
    b = score_rows(
        [row("1", "Grace and peace to you.", "grace and peace to you"), row("2", "Good morning", None)], lower
    )
    of_a, of_b = scored_by_both(a, b, WER().counts)
    assert (of_a, of_b) == ({"s1": Counts(1, 5)}, {"s1": Counts(0, 5)})
    assert paired_rates(of_a, of_b).difference == pytest.approx(-0.2)


def test_slices() -> None:
    scores = score_rows(ROWS, lower)
    found = slices(scores, "text")
    assert {value: [score.row.row_id for score in part] for value, part in found.items()} == {
        "free": ["2", "3"],
        "unknown": ["4", "5", "6"],
        "verse": ["1"],
    }


@pytest.mark.parametrize(
    ("value", "low", "high", "name", "candidates", "policy"),
    [
        (0.05, 0.03, 0.08, "below 10 %", ("below 10 %",), "confidence_filter"),
        (0.15, 0.11, 0.19, "10-20 %", ("10-20 %",), "drop_worst"),
        (0.25, 0.21, 0.29, "20-30 %", ("20-30 %",), "weak_then_clean"),
        (0.50, 0.31, 1.40, "30 % and more", ("30 % and more",), "transcribe_again"),
        (0.10, 0.10, 0.1999, "10-20 %", ("10-20 %",), "drop_worst"),
        (0.09, 0.06, 0.13, "below 10 %", ("below 10 %", "10-20 %"), "drop_worst"),
        (0.12, 0.05, 0.31, "10-20 %", ("below 10 %", "10-20 %", "20-30 %", "30 % and more"), "transcribe_again"),
    ],
)
def test_the_band_is_that_of_the_interval(value, low, high, name, candidates, policy) -> None:
    found = baseline_band(interval(value, low, high))
    assert (found.name, found.candidates, found.label_policy) == (name, candidates, policy)
    assert found.certain == (len(candidates) == 1)


@pytest.mark.parametrize("value", [None, 0.04])
def test_without_an_interval_no_policy_is_chosen(value) -> None:
    found = baseline_band(interval(value, None, None, "1 sermon with words: an interval needs 3"))
    assert (found.certain, found.label_policy, len(found.candidates)) == (False, None, 4)
    assert found.name == (None if value is None else "below 10 %")
    assert "1 sermon with words" in found.words


def test_the_words_name_value_interval_and_choice() -> None:
    assert baseline_band(interval(0.109, 0.08, 0.14)).words == (
        "10.9 % (95 %: 8.0 to 14.0 %) may lie in below 10 % or 10-20 %; the careful choice: drop the worst segments by "
        "their average log probability"
    )
    assert baseline_band(interval(0.05, 0.03, 0.08)).words == (
        "5.0 % (95 %: 3.0 to 8.0 %) lies in below 10 %: use the labels directly, with a confidence filter"
    )
