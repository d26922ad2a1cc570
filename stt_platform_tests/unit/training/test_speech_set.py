"""Which text teaches, and what is left out, on chunks whose texts are known."""

import random
from dataclasses import replace

import pytest

from stt_platform.training.speech_set import (
    LabelledChunk,
    NothingToLearn,
    OtherSound,
    SpeechSetOptions,
    speech_set,
)
from stt_platform_tests.helpers.options import changed


def chunk(number: int, **values) -> LabelledChunk:
    made = LabelledChunk(
        chunk_id=f"c{number:03}",
        sermon=f"s{number % 4}",
        split="train",
        duration_s=8.0,
        audio=f"sound/{number}.wav",
        automatic=f"heard {number}",
        avg_logprob=-number / 100,
        speech_s=(0.2, 7.5),
    )
    return replace(made, **values)


BARE = SpeechSetOptions(policy="drop_worst", drop_worst=0, replay_ratio=0, no_speech_share=0, timestamp_share=0)


@pytest.mark.parametrize(
    ("texts", "kind", "text"),
    [
        ({}, "automatic", "heard 1"),
        ({"reliable": True}, "agreement", "heard 1"),
        ({"reliable": True, "script": "as written"}, "script", "as written"),
        ({"script": "as written", "reference": "as said"}, "reference", "as said"),
        ({"reference": "as said", "correction": " as corrected "}, "correction", "as corrected"),
        ({"correction": ""}, "no_speech", ""),
    ],
)
def test_the_best_text_there_is_wins(texts: dict, kind: str, text: str) -> None:
    found = speech_set([chunk(1, **texts), chunk(2)], options=BARE)
    (row,) = [row for row in found.examples if row.example_id == "c001"]
    assert (row.kind, row.text) == (kind, text)


@pytest.mark.parametrize(
    ("policy", "kept", "weak"),
    [
        (SpeechSetOptions(policy="confidence_filter", min_avg_logprob=-0.045), 5, 0),
        (SpeechSetOptions(policy="drop_worst", drop_worst=0.2), 7, 0),
        (SpeechSetOptions(policy="weak_then_clean"), 9, 9),
        (SpeechSetOptions(policy="transcribe_again"), 0, 0),
    ],
)
def test_the_policy_decides_about_automatic_texts_only(policy: SpeechSetOptions, kept: int, weak: int) -> None:
    options = changed(policy, replay_ratio=0, no_speech_share=0)
    found = speech_set([*(chunk(k) for k in range(9)), chunk(90, correction="by hand")], options=options)
    assert sum(row.kind == "automatic" for row in found.examples) == kept
    assert sum(row.weak for row in found.examples) == weak
    assert [row.example_id for row in found.examples if row.kind == "correction"] == ["c090"]
    assert len(found.left_out) == 9 - kept
    assert all(row.reason for row in found.left_out)


def test_dev_sermons_are_watched_with_peoples_texts_and_never_teach() -> None:
    chunks = [
        chunk(1),
        chunk(2, split="dev"),
        chunk(3, split="dev", reliable=True),
        chunk(4, split="dev", script="yes"),
    ]
    found = speech_set(chunks, options=BARE)
    assert [(row.example_id, row.split) for row in found.examples] == [("c004", "dev"), ("c001", "train")]
    assert {row.chunk_id for row in found.left_out} == {"c002", "c003"}
    few = speech_set(
        [chunk(k, split="dev", reference="x") for k in range(9)] + [chunk(10)], options=changed(BARE, most_dev=4)
    )
    assert sum(row.split == "dev" for row in few.examples) == 4


def test_shares_are_of_the_whole_as_far_as_there_is_some() -> None:
    replay = [OtherSound(f"g{k}", 5.0, f"g{k}.wav", "general") for k in range(100)]
    silences = [OtherSound(f"m{k}", 5.0, f"m{k}.wav", "") for k in range(100)]
    options = SpeechSetOptions(drop_worst=0, replay_ratio=0.7, no_speech_share=0.1)
    found = speech_set([chunk(k) for k in range(18)], replay=replay, silences=silences, options=options)
    kinds = [row.kind for row in found.examples]
    assert (kinds.count("automatic"), kinds.count("no_speech"), kinds.count("replay")) == (18, 2, 47)
    little = speech_set([chunk(k) for k in range(18)], replay=replay[:5], options=options)
    assert sum(row.kind == "replay" for row in little.examples) == 5


def test_a_share_of_the_examples_carries_times() -> None:
    found = speech_set([chunk(k) for k in range(500)], options=changed(BARE, timestamp_share=0.2))
    timed = [row for row in found.examples if row.times_s]
    assert 0.15 < len(timed) / 500 < 0.25
    assert all(row.times_s == (0.2, 7.5) for row in timed)
    none = speech_set([chunk(1, speech_s=None)], options=changed(BARE, timestamp_share=0.49))
    assert none.examples[0].times_s is None


def test_any_order_gives_the_same_set_and_a_changed_text_another_hash() -> None:
    chunks = [chunk(k, reliable=k % 3 == 0) for k in range(40)]
    options = SpeechSetOptions(drop_worst=0.2)
    shas = {row.chunk_id: "0" for row in chunks}
    one = speech_set(chunks, options=options)
    random.Random(1).shuffle(chunks)
    two = speech_set(chunks, options=options)
    assert one == two
    manifest = one.manifest(shas)
    assert manifest == two.manifest(shas)
    assert manifest["sermons"]["train"] == ["s0", "s1", "s2", "s3"]
    assert manifest["left_out"] == {"among the 20% of which the recogniser is least sure": 6}
    other = speech_set([*chunks[1:], replace(chunks[0], correction="new")], options=options)
    assert other.manifest(shas)["sha256"] != manifest["sha256"]
    assert one.manifest({**shas, one.examples[0].example_id: "1"})["sha256"] != manifest["sha256"]


def test_nothing_to_learn_from_says_what_became_of_the_chunks() -> None:
    with pytest.raises(
        NothingToLearn, match=r"none of 2 chunks.*1 the automatic texts have too many errors.*label_policy"
    ):
        speech_set([chunk(1), chunk(2, refused="two people speak")], options=changed(BARE, policy="transcribe_again"))
    with pytest.raises(NothingToLearn, match="there are no chunks"):
        speech_set([])
    assert speech_set([chunk(1), chunk(2, refused="hymn")], options=BARE).left_out[0].reason.endswith("unusable: hymn")
