"""Measures of a recogniser on texts with known errors."""

import pytest

from stt_platform.evaluation.church_english import normalise_church_english
from stt_platform.evaluation.intervals import Counts, corpus_rate
from stt_platform.evaluation.metrics import SpeechSample, error_rates, measure_speech, signature
from stt_platform.evaluation.metrics.entities import EntityMistake, entity_mistakes
from stt_platform.evaluation.speech_scores import RowScore, SpeechRow, score_rows

NAMES = ("Paul", "Timothy")
TEXTS = [
    # sermon, what was said, what was heard
    ("s1", "Paul wrote to Timothy in Rome.", "Paul wrote to Tim in Rome"),
    ("s1", "Turn to John 3:16 today.", "turn to John three sixteen today"),
    ("s2", "Paul wrote to Timothy again now.", "Paul wrote Timothy again"),
    ("s3", "Read Romans 8 with me.", "read Romans 9 with me now"),
    ("s3", "", "thank you Paul for watching"),
    ("s4", "...", "hello"),
]


def scores(texts: list[tuple[str, str, str]] = TEXTS) -> list[RowScore]:
    rows = [SpeechRow(str(k), sermon, said, heard, 30.0) for k, (sermon, said, heard) in enumerate(texts)]
    return score_rows(rows, normalise_church_english)


def test_every_measure_has_its_value_or_its_reason() -> None:
    values = measure_speech(SpeechSample(scores(), NAMES))
    rates = {name: found.value for name, found in values.items()}
    words = 6 + 6 + 6 + 5
    assert rates["substitution_rate"] == pytest.approx(2 / words)
    assert rates["deletion_rate"] == pytest.approx(2 / words)
    assert rates["insertion_rate"] == pytest.approx(1 / words)
    assert rates["wer"] == pytest.approx(5 / words)
    assert rates["raw_wer"] > rates["wer"]
    # Names: Paul twice and Timothy once were heard, Timothy once was not. References: John 3:16 was, Romans 8 was not.
    assert rates["name_f1"] == pytest.approx(2 * 3 / (2 * 3 + 1))
    assert rates["reference_f1"] == pytest.approx(2 * 1 / (2 * 1 + 2))
    assert rates["entity_f1"] == pytest.approx(2 * 4 / (2 * 4 + 3))
    assert rates["hallucinated_words_per_min"] == 10
    assert {name: found.n for name, found in values.items() if name.endswith("wer")} == {"wer": 3, "raw_wer": 3}


def test_an_f1_and_its_interval_are_what_the_rate_of_wrong_entities_lacks_to_one() -> None:
    found = measure_speech(SpeechSample(scores(), NAMES))["entity_f1"]
    lacking = corpus_rate([Counts(1, 2 * 2 + 1), Counts(0, 4), Counts(2, 2)])
    assert found.value == pytest.approx(1 - lacking.value)
    assert (found.low, found.high) == (pytest.approx(max(0, 1 - lacking.high)), pytest.approx(1 - lacking.low))
    assert 0 <= found.low < found.value < found.high <= 1


def test_what_was_missed_and_invented_is_listed_most_frequent_first() -> None:
    texts = [("s1", "Paul and Timothy came.", "He came."), ("s2", "Paul came.", "He came to Timothy.")]
    assert entity_mistakes(SpeechSample(scores(texts), NAMES)) == (
        EntityMistake("name", "Paul", "missed", 2),
        EntityMistake("name", "Timothy", "invented", 1),
        EntityMistake("name", "Timothy", "missed", 1),
    )


def test_without_anything_to_measure_there_is_no_number() -> None:
    values = measure_speech(SpeechSample([], NAMES))
    assert all(found.value is None and found.reason for found in values.values())
    plain = measure_speech(SpeechSample(scores([("s1", "Good morning.", "Good morning.")])))
    assert plain["wer"].value == 0
    assert plain["reference_f1"].reason == "no reference is in the texts"
    assert plain["entity_f1"].reason == "no reference or name is in the texts"
    assert plain["hallucinated_words_per_min"].reason == "nothing that was transcribed is without speech"
    assert error_rates(SpeechSample([]))["cer"].value is None


def test_a_signature_names_the_library_and_the_rules() -> None:
    assert signature("wer").startswith("jiwer ") and "church English" in signature("wer")
    assert "as written" in signature("raw_wer")
    assert signature("name_f1").startswith("entities ")
