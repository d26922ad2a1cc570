"""A base model and an adapter on the same rows, with errors that are known."""

from __future__ import annotations

import pytest

from stt_platform.evaluation.metrics import SpeechSample
from stt_platform.evaluation.speech_comparison import compare_parts, compare_systems
from stt_platform.evaluation.speech_scores import SpeechRow, score_rows

SAID = "in the beginning was the word of god alone"


def rows(wrong: int, sermons: int = 8, *, invented: str = "you") -> list[SpeechRow]:
    """In every sermon a row with so many of nine words wrong, and one in which nobody speaks."""
    heard = " ".join(["x"] * wrong + SAID.split()[wrong:])
    found = []
    for k in range(sermons):
        kinds = {"noise": "noisy" if k % 2 else "clean"}
        found.append(SpeechRow(f"{k}", f"s{k}", SAID, heard, 6.0, kinds))
        found.append(SpeechRow(f"{k}.quiet", f"s{k}", "", invented, 4.0, {"noise": "music"}))
    return found


def heard(wrong: int, work_s: float = 8.0, clusters: str = "sermons", **more: object) -> SpeechSample:
    return SpeechSample(score_rows(rows(wrong, **more), str.lower), work_s=work_s, clusters=clusters)


def test_all_is_measured_of_both_and_the_error_rates_are_compared() -> None:
    found = compare_systems(heard(3), heard(1, 4.0, invented=""))
    assert found.base["wer"].value == pytest.approx(3 / 9)
    assert found.adapter["wer"].value == pytest.approx(1 / 9)
    assert (found.base["rtf"].value, found.adapter["rtf"].value) == (pytest.approx(0.1), pytest.approx(0.05))
    assert found.base["hallucinated_words_per_min"].value == 15.0
    assert found.adapter["hallucinated_words_per_min"].value == 0.0
    assert set(found.comparisons) == {"wer", "raw_wer", "cer"}
    assert (found.comparisons["wer"].better, found.comparisons["wer"].n) == ("b", 8)
    assert found.comparisons["wer"].difference == pytest.approx(-2 / 9)


def test_without_an_adapter_nothing_is_compared() -> None:
    found = compare_systems(heard(3), None)
    assert found.adapter is None
    assert found.comparisons == {}


def test_too_few_speakers_are_called_by_their_name() -> None:
    found = compare_systems(heard(3, sermons=2, clusters="speakers"), heard(1, sermons=2, clusters="speakers"))
    assert found.comparisons["wer"].better == "undecided"
    assert found.comparisons["wer"].missing.startswith("6 speakers are needed")
    assert found.base["wer"].reason == "2 speakers with words: an interval needs 3"


def test_parts_are_of_rows_with_words_only() -> None:
    parts = compare_parts(heard(3), heard(1), "noise")
    assert list(parts) == ["clean", "noisy"]
    assert all(part.base["wer"].n == 4 for part in parts.values())
    assert all(part.comparisons["wer"].difference == pytest.approx(-2 / 9) for part in parts.values())
    assert compare_parts(heard(3), None, "noise")["noisy"].adapter is None


@pytest.mark.parametrize("kind", ["speaker", "view"])
def test_what_tells_nothing_apart_makes_no_parts(kind: str) -> None:
    assert compare_parts(heard(3), None, kind) == {}


def test_rows_that_only_one_was_scored_on_are_compared_by_neither() -> None:
    base = heard(3)
    lost = [row if row.row_id != "0" else SpeechRow("0", "s0", SAID, None, 6.0, row.kinds) for row in rows(1)]
    found = compare_systems(base, SpeechSample(score_rows(lost, str.lower), work_s=1.0))
    assert found.comparisons["wer"].n == 7
    assert found.base["wer"].n == 8


def test_what_was_not_heard_has_no_speed() -> None:
    unread = [SpeechRow("0", "s0", SAID, None)]
    assert compare_systems(SpeechSample(score_rows(unread, str.lower), work_s=0.0), None).base["rtf"].value is None
