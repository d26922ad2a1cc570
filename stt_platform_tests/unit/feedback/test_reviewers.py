"""Whether a reviewer listens: only who accepts far more than can be right is named."""

from dataclasses import replace

import numpy as np

from stt_platform.feedback.answers import Answer
from stt_platform.feedback.corrections import KnownChunk, merge_answers
from stt_platform.feedback.reviewers import Concern, Reviewer, reviewers


def reviewed(right: list[bool], probability: float | None, spent_s: float | None = 20.0) -> Reviewer:
    chunks = {f"c{n}": KnownChunk(f"c{n}", "s", "train", 10.0, "the lamp", probability) for n in range(len(right))}
    answers = [
        Answer(f"c{n}", "The lamp." if unchanged else "the lamb", reviewer="ann", spent_s=spent_s)
        for n, unchanged in enumerate(right)
    ]
    (found,) = reviewers(merge_answers(answers, chunks), chunks)
    return found


def test_a_rubber_stamp_is_named_with_its_numbers() -> None:
    found = reviewed([True] * 38 + [False] * 2, 0.3)
    assert (found.answers, found.unchanged, found.judged, found.expected_unchanged) == (40, 38, 40, 12.0)
    assert found.chance < 1e-12
    assert found.concern == Concern.ACCEPTS_TOO_MUCH
    assert found.warning == (
        "38 of 40 proposals accepted without a word changed, where about 12 are right: listen to some of them again"
    )


def test_who_listens_is_hardly_ever_named() -> None:
    draw = np.random.default_rng(1)
    named = sum(bool(reviewed(list(draw.random(60) < 0.4), 0.4).concern) for _ in range(60))
    assert named <= 1


def test_too_few_answers_and_no_prediction_say_nothing() -> None:
    few = reviewed([True] * 19, 0.1)
    assert (few.concern, few.warning) == (Concern.NONE, "")
    unknown = reviewed([True] * 100, None)
    assert (unknown.concern, unknown.expected_unchanged, unknown.chance, unknown.unchanged) == ("", None, None, 100)


def test_a_good_recogniser_is_no_rubber_stamp() -> None:
    assert reviewed([True] * 100, 0.9).concern == Concern.NONE


def test_who_answers_before_the_sound_is_over_is_named() -> None:
    found = reviewed([False] * 30, 0.3, spent_s=4.0)
    assert (found.hurried, found.timed, found.concern) == (30, 30, Concern.HURRIED)
    assert found.warning == "30 of 30 answers took less time than the sound lasts: listen to some of them again"
    assert reviewed([False] * 30, 0.3, spent_s=None).concern == Concern.NONE


def test_who_neither_listens_nor_reads_is_named_for_both() -> None:
    found = reviewed([True] * 40, 0.3, spent_s=4.0)
    assert found.concern == Concern.BOTH
    assert found.warning == (
        "40 of 40 proposals accepted without a word changed, where about 12 are right; "
        "40 of 40 answers took less time than the sound lasts: listen to some of them again"
    )


def test_what_is_no_answer_counts_for_nobody() -> None:
    chunks = {"c1": KnownChunk("c1", "s", "train", 10.0, "the lamp", 0.5)}
    text = Answer("c1", "the lamp", reviewer="ann", annotation_id="1", tool="label_studio")
    versions = [replace(text, answered_at=f"2024-03-0{day}T00:00:00.000000Z") for day in (1, 2)]
    skipped = replace(text, annotation_id="2", gate="cancelled", reason="skipped by the reviewer")
    (found,) = reviewers(merge_answers([*versions, skipped], chunks), chunks)
    assert found.answers == 1
