"""Which chunks people are asked about: for the time most, from all sermons, never from those that examine."""

import random
from collections import Counter
from dataclasses import replace
from math import ceil

import numpy as np
import pytest

from stt_platform.audio.gates import Refusal
from stt_platform.feedback.review_time import ReviewTime, measured_review_time
from stt_platform.feedback.selection import (
    EXCLUDED,
    FLAGGED,
    LEFT,
    NOT_ASKED_IN_WORDS,
    RANDOM,
    SCORED,
    Candidate,
    Flagged,
    NotAsked,
    RandomAnswer,
    SelectionOptions,
    choose_segments,
    junk_reason,
    pool_error_rate,
    review_order,
)


def church(sermons: int = 10, chunks: int = 40, seed: int = 1) -> list[Candidate]:
    draw = random.Random(seed)
    return [
        Candidate(
            chunk_id=f"s{s:02}-{c:03}",
            sermon=f"s{s:02}",
            speaker=f"speaker {s % 4}",
            split="train",
            duration_s=draw.uniform(3, 25),
            expected_errors=draw.expovariate(0.5),
        )
        for s in range(sermons)
        for c in range(chunks)
    ]


def flagged(rows: list[Flagged], kind: str | None = None) -> list[Flagged]:
    return [row for row in rows if row.status == FLAGGED and kind in (None, row.kind)]


def test_a_tenth_is_flagged_and_every_candidate_has_a_row_with_a_reason() -> None:
    candidates = church()
    rows = choose_segments(candidates)
    assert len(flagged(rows)) == 40
    assert len(flagged(rows, RANDOM)) == 6
    assert sorted(row.chunk_id for row in rows) == sorted(item.chunk_id for item in candidates)
    assert all(row.reason for row in rows)
    assert Counter((row.status, row.gate) for row in rows) == {(FLAGGED, ""): 40, (LEFT, "worth_less"): 360}
    assert set(NotAsked) == set(NOT_ASKED_IN_WORDS)
    scored = flagged(rows, SCORED)
    assert [row.rank for row in scored] == list(range(1, 35))
    assert scored[0].reason == (
        f"about {scored[0].expected_errors:.1f} words wrong, {scored[0].errors_per_minute:.1f} a minute of reviewing"
    )
    assert flagged(rows, RANDOM)[0].reason == "drawn at random from 400: it shows how good all of them are"


def test_the_choice_does_not_depend_on_order_and_does_on_the_seed() -> None:
    candidates = church()
    rows = choose_segments(candidates)
    assert choose_segments(random.Random(9).sample(candidates, len(candidates))) == rows
    other = choose_segments(candidates, SelectionOptions(seed=7))
    assert {r.chunk_id for r in flagged(other, RANDOM)} != {r.chunk_id for r in flagged(rows, RANDOM)}


def test_what_gives_most_for_the_time_comes_first() -> None:
    options = SelectionOptions(share=1.0, random_share=0, quota=1.0, review_time=ReviewTime(2.0, 10.0))
    base = Candidate("x", "s", "", "train", 10.0, 0.0)
    long = replace(base, chunk_id="long", duration_s=25.0, expected_errors=4.0)  # 4 / 60 s
    short = replace(base, chunk_id="short", duration_s=5.0, expected_errors=2.0)  # 2 / 20 s
    sure = replace(base, chunk_id="sure", duration_s=5.0, expected_errors=0.1)
    rows = choose_segments([long, short, sure], options)
    assert [row.chunk_id for row in rows] == ["short", "long", "sure"]
    assert [row.review_s for row in rows] == [20.0, 60.0, 20.0]
    assert [row.errors_per_minute for row in rows] == pytest.approx([6.0, 4.0, 0.3])


def test_what_examines_what_is_junk_and_what_is_answered_is_left_out_with_its_reason() -> None:
    pool = church(3, 10)
    bad = [
        *(
            replace(pool[0], chunk_id=f"x-{split}", split=split, expected_errors=99)
            for split in ("test", "dev", "final", "")
        ),
        replace(pool[0], chunk_id="x-junk", junk=Refusal("class", "it is a song"), expected_errors=99),
        replace(pool[0], chunk_id="x-done", answered=True, expected_errors=99),
        replace(pool[0], chunk_id="x-none", duration_s=0.0, expected_errors=99),
    ]
    rows = choose_segments([*bad, *pool], SelectionOptions(share=1.0))
    assert {row.chunk_id: (row.gate, row.reason) for row in rows if row.status == EXCLUDED} == {
        "x-test": ("test_sermon", "s00 is a test sermon: only train sermons teach"),
        "x-dev": ("dev_sermon", "s00 is a dev sermon: only train sermons teach"),
        "x-final": ("final_sermon", "s00 is a final sermon: only train sermons teach"),
        "x-": ("no_split", "s00 is in no split yet: only train sermons teach"),
        "x-junk": ("class", "it is a song"),
        "x-done": ("answered", "answered already"),
        "x-none": ("no_length", "it is 0 s long"),
    }
    assert not any(row.gate for row in flagged(rows))
    assert len(flagged(rows)) == 30


def test_no_sermon_and_no_speaker_fills_the_list() -> None:
    candidates = [
        replace(item, expected_errors=item.expected_errors + (50 if item.sermon == "s00" else 0))
        for item in church(20, 40)
    ]
    scored = flagged(choose_segments(candidates), SCORED)
    assert len(scored) == 68
    by_sermon = Counter(row.sermon for row in scored)
    assert by_sermon["s00"] == ceil(0.1 * 68)
    assert max(by_sermon.values()) == by_sermon["s00"]
    # Four speakers have a quarter of the pool each, and may have twice that.
    assert max(Counter(row.speaker for row in scored).values()) <= 34


def test_a_quota_is_of_what_the_time_is_enough_for() -> None:
    candidates = [
        replace(item, duration_s=10.0, expected_errors=item.expected_errors + (50 if item.sermon == "s00" else 0))
        for item in church(20, 40)
    ]
    each_s = SelectionOptions().review_time.of(10.0)
    options = SelectionOptions(random_share=0.0, max_review_s=20.5 * each_s)
    scored = flagged(choose_segments(candidates, options), SCORED)
    assert len(scored) == 20
    assert Counter(row.sermon for row in scored)["s00"] == 2


def test_a_quota_gives_way_where_nobody_else_is_left() -> None:
    one = [replace(item, sermon="s00", speaker="ann") for item in church(1, 30)]
    rest = [replace(item, chunk_id=f"r{n}", sermon=f"r{n}", speaker="") for n, item in enumerate(church(1, 3))]
    rows = choose_segments([*one, *rest], SelectionOptions(share=0.9, quota=0.1, random_share=0.0))
    assert len(flagged(rows)) == 30
    lifted = SelectionOptions(share=1.0, quota=0.1, random_share=0.0, most=30)
    few = [
        replace(item, sermon=f"s{n % 15}", speaker="ann" if n % 15 else "bea") for n, item in enumerate(church(1, 30))
    ]
    assert len(flagged(choose_segments(few, lifted))) == 30


def test_time_is_a_limit_for_random_and_scored_ones_together() -> None:
    options = SelectionOptions(share=1.0, max_review_s=1200.0)
    rows = flagged(choose_segments(church(), options))
    spent = sum(row.review_s for row in rows)
    assert 1100 < spent <= 1200
    at_random = sum(row.review_s for row in rows if row.kind == RANDOM)
    assert 100 < at_random <= 0.15 * 1200


def test_rare_terms_are_preferred_and_each_counts_less_once_it_is_chosen() -> None:
    base = Candidate("x", "s", "", "train", 10.0, 1.0)
    plain = replace(base, chunk_id="plain", expected_errors=1.2)
    habakkuk = [replace(base, chunk_id=f"habakkuk-{n}", terms=("Habakkuk",)) for n in range(2)]
    grace = replace(base, chunk_id="grace", terms=("grace",))
    options = SelectionOptions(share=1.0, random_share=0, quota=1.0)
    rows = choose_segments([plain, grace, *habakkuk], options, corrected_terms={"grace": 40})
    # 1.5 for the first Habakkuk, 1.25 for the second, 1.2 plain, 1.01 for grace.
    assert [row.chunk_id for row in rows] == ["habakkuk-0", "habakkuk-1", "plain", "grace"]
    assert rows[0].reason.endswith("; it has “Habakkuk”, which nobody has corrected yet")
    assert "Habakkuk" not in rows[1].reason
    assert "grace" not in rows[3].reason


def test_a_chunk_drawn_at_random_speaks_for_the_pool() -> None:
    """Over many draws every chunk is as likely as any other, whatever is expected of it."""
    candidates = church(4, 10)
    times: Counter[str] = Counter()
    for seed in range(400):
        rows = choose_segments(candidates, SelectionOptions(share=0.25, random_share=0.5, seed=seed))
        times.update(row.chunk_id for row in flagged(rows, RANDOM))
    assert len(times) == 40
    # 5 of 40 seats, 400 draws: 50 each, with a standard deviation of 6.6.
    assert all(23 <= count <= 77 for count in times.values())


def test_the_random_share_gives_the_error_rate_of_the_pool() -> None:
    draw = np.random.default_rng(3)
    pool, wrong, spoken = [], 0, 0
    for n in range(600):
        words = list(draw.choice(["grace", "peace", "lamp", "mercy", "river"], size=int(draw.integers(5, 40))))
        heard = ["stone" if draw.random() < 0.05 + 0.01 * (n % 20) else word for word in words]
        wrong, spoken = wrong + heard.count("stone"), spoken + len(words)
        pool.append(RandomAnswer(f"s{n % 20:02}", " ".join(words), " ".join(heard)))
    found = [pool_error_rate([pool[k] for k in draw.choice(600, 60, replace=False)]) for _ in range(12)]
    assert sum(interval.low <= wrong / spoken <= interval.high for interval in found) >= 10
    assert np.mean([interval.value for interval in found]) == pytest.approx(wrong / spoken, rel=0.1)


def test_a_rate_needs_answers_from_several_sermons() -> None:
    assert pool_error_rate([]).value is None
    one = pool_error_rate([RandomAnswer("s", "Grace, and peace.", "grace and peas")])
    assert one.value == pytest.approx(1 / 3)
    assert (one.low, one.reason) == (None, "1 sermon with words: an interval needs 3")


def test_the_time_that_reviewers_took_is_measured() -> None:
    draw = random.Random(2)
    spent = [(d := draw.uniform(2, 30), 3.0 * d + 12 + draw.gauss(0, 2)) for _ in range(60)]
    lunch = [(10.0, 3600.0)] * 6
    found = measured_review_time([*spent, *lunch])
    assert (found.factor, found.fixed_s) == (pytest.approx(3.0, abs=0.4), pytest.approx(12.0, abs=4.0))
    assert measured_review_time(spent[:29]) is None
    assert measured_review_time([(10.0, 5.0)] * 60) is None


@pytest.mark.parametrize(
    ("text", "figures", "reason"),
    [
        ("grace and peace to you from God", {}, ""),
        # Improbable is what people are asked about.
        ("grace and peace to you from God", {"avg_logprob": -1.8}, ""),
        ("", {}, ""),
        (
            "thank you for watching",
            {"avg_logprob": -0.9},
            "is what recognisers write where they hear nothing they know",
        ),
        ("grace and peace to you from God", {"no_speech_prob": 0.9}, "nobody speaks with probability 0.90"),
        ("grace and peace to you from God", {"compression_ratio": 3.0}, "the text repeats itself"),
        ("grace and peace to you from God", {"duration_s": 0.5, "speech_s": 0.5}, "letters a second"),
    ],
)
def test_junk_is_told_by_its_text(text: str, figures: dict[str, float], reason: str) -> None:
    usual = {"duration_s": 3.0, "speech_s": 2.5, "compression_ratio": 1.1, "avg_logprob": -0.3, "no_speech_prob": 0.05}
    found = junk_reason(text, **{**usual, **figures})
    assert reason in (found.reason if found else "")
    assert (found.gate if found else "") == ("text" if reason else "")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"share": 1.5}, "share is 1.5"),
        ({"random_share": -0.1}, "random_share is -0.1"),
        ({"quota": 2}, "quota is 2"),
        ({"term_bonus": -1}, "term_bonus is -1"),
        ({"review_time": ReviewTime(0.0, 1.0)}, "reviewing takes time"),
    ],
)
def test_options_out_of_range_are_named(values: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SelectionOptions(**values)


def test_a_chunk_that_comes_twice_is_named() -> None:
    with pytest.raises(ValueError, match="'s00-000' comes twice"):
        choose_segments([*church(1, 2), church(1, 1)[0]])
    assert choose_segments([]) == []


def test_who_stops_half_way_has_answered_half_of_either_kind() -> None:
    ordered = review_order(choose_segments(church()))
    assert len(ordered) == 40
    for kind, count in ((SCORED, 34), (RANDOM, 6)):
        assert [row.rank for row in ordered if row.kind == kind] == list(range(1, count + 1))
        assert sum(row.kind == kind for row in ordered[:20]) == count / 2
    assert ordered[0].kind == SCORED


def test_the_new_terms_of_a_segment_are_those_nobody_had_corrected_when_it_was_chosen() -> None:
    first = Candidate("a", "s", "", "train", 10.0, 3.0, terms=("Boaz", "grace"))
    second = replace(first, chunk_id="b", expected_errors=2.0)
    options = SelectionOptions(share=1.0, random_share=0, quota=1.0)
    rows = choose_segments([first, second], options, corrected_terms={"grace": 2})
    assert [(row.chunk_id, row.new_terms) for row in rows] == [("a", ("Boaz",)), ("b", ())]


def test_what_only_ranks_is_told_as_no_number() -> None:
    (row,) = choose_segments([church()[0]], SelectionOptions(share=1.0, random_share=0, counted=False))
    assert row.reason == "among the most doubtful for the time it takes"
