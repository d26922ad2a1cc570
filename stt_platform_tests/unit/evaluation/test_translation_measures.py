"""All measures of a system: that they are the libraries' own, and that what cannot be scored is said and is no zero."""

from __future__ import annotations

from dataclasses import replace

import pytest
import sacrebleu

from stt_platform.evaluation.comet import CometSegment
from stt_platform.evaluation.held_out import HeldOutText
from stt_platform.evaluation.metrics import TRANSLATION
from stt_platform.evaluation.metrics.base import TranslationSample
from stt_platform.evaluation.score_pictures import Bar, Panel, score_picture
from stt_platform.evaluation.translation_measures import (
    ALL,
    Part,
    SystemScores,
    compared,
    measured,
    parts_of,
    score_system,
)

SPANISH = [
    "En",
    "el",
    "principio",
    "crió",
    "Dios",
    "los",
    "cielos",
    "y",
    "la",
    "tierra",
    "y",
    "vió",
    "que",
    "era",
    "buena",
    "número",
]


def text(k: int, **changed: object) -> HeldOutText:
    words = [SPANISH[(k * 7 + i * (k % 5 + 1)) % len(SPANISH)] for i in range(6 + k % 5)]
    genre, testament = ("poetry", "OT") if k % 4 else ("gospels", "NT")
    fields = {"genre": genre, "testament": testament, "en_source": "kjv", "ref": 1001001 + k}
    return HeldOutText(f"row {k}", f"segment {k}", f"source {k}", " ".join([*words, str(k)]), **(fields | changed))


TEXTS = [text(k) for k in range(80)]
GOOD = [one.reference.replace("crió", "creó") for one in TEXTS]
POOR = [" ".join(one.reference.split()[: 1 + k % 4]) for k, one in enumerate(TEXTS)]


def scored(*sample: object) -> SystemScores:
    return score_system(TranslationSample(*sample))


def intervals(scores: SystemScores, texts: list[HeldOutText] = TEXTS) -> dict:
    return {(part, metric): found for part, metric, found in measured(scores, parts_of(texts))}


def test_values_are_those_of_the_library_in_all_parts() -> None:
    found = intervals(scored(TEXTS, POOR))
    for part, chosen in (
        (ALL, range(80)),
        (Part("genre", "gospels"), range(0, 80, 4)),
        (Part("testament", "OT"), [k for k in range(80) if k % 4]),
    ):
        hypotheses, references = [POOR[k] for k in chosen], [[TEXTS[k].reference for k in chosen]]
        assert found[part, "bleu"].value == sacrebleu.corpus_bleu(hypotheses, references).score
        assert found[part, "chrf"].value == sacrebleu.corpus_chrf(hypotheses, references, word_order=2).score
    assert found[ALL, "chrf"].low < found[ALL, "chrf"].value < found[ALL, "chrf"].high
    assert found[Part("genre", "gospels"), "chrf"].reason == "20 segments: an interval needs 50"
    assert list(parts_of(TEXTS)) == [
        ALL,
        *(Part("genre", g) for g in ("gospels", "poetry")),
        *(Part("testament", t) for t in ("NT", "OT")),
    ]


def test_the_spelling_of_1909_is_no_mistake_where_both_sides_are_put_into_that_of_today() -> None:
    texts = [replace(one, reference=f"Y fué á Belén {k}") for k, one in enumerate(TEXTS)]
    found = intervals(scored(texts, [f"Y fue a Belén {k}" for k in range(80)]))
    assert found[ALL, "chrf_today"].value == pytest.approx(100)
    assert found[ALL, "chrf"].value < 90


def test_archaisms_are_a_share_of_words() -> None:
    found = intervals(scored(TEXTS, ["Y fué á casa"] * 40 + ["Y fue a casa"] * 40))
    assert found[ALL, "archaisms"].value == pytest.approx(0.25)
    assert found[ALL, "archaisms"].low < 0.25 < found[ALL, "archaisms"].high


def test_comet_is_the_mean_of_what_it_scored() -> None:
    comet = [CometSegment(one.key, None if k == 0 else k / 100, "scored", "") for k, one in enumerate(TEXTS)]
    scores = scored(TEXTS, GOOD, comet, "model:tiny")
    found = intervals(scores)[ALL, "comet"]
    assert found.value == pytest.approx(sum(range(1, 80)) / 79 / 100)
    assert (found.n, scores.statistics["comet"].signature) == (79, "model:tiny")
    assert (ALL, "comet") not in intervals(scored(TEXTS, GOOD))


@pytest.mark.parametrize("reference", ["", "  ", "¡…!"])
def test_without_a_reference_there_is_no_score_and_no_zero(reference: str) -> None:
    alone = [replace(text(99), reference=reference)]
    scores = scored(alone, ["Dios es amor."])
    found = intervals(scores, alone)
    for metric in ("chrf_today", "chrf", "bleu_today", "bleu"):
        assert found[ALL, metric].value is None
        assert found[ALL, metric].reason == "nothing in it could be scored"
    assert scores.chrf[0].status == "not scored"
    beside = intervals(scored([*alone, *TEXTS], ["Dios es amor.", *GOOD]), [*alone, *TEXTS])
    assert beside[ALL, "chrf"].value == intervals(scored(TEXTS, GOOD))[ALL, "chrf"].value


def test_a_translation_of_10000_words_gets_a_number() -> None:
    endless = [*GOOD[:-1], "lloró " * 10_000]
    found = intervals(scored(TEXTS, endless))
    assert 0 < found[ALL, "chrf"].value < 40
    assert 0 < found[ALL, "bleu"].value < 40
    assert found[ALL, "chrf"].low < found[ALL, "chrf"].high


def test_a_system_beside_another() -> None:
    poor, good = scored(TEXTS, POOR), scored(TEXTS, GOOD)
    metrics = ("chrf_today", "bleu")
    found = compared(poor, good, parts_of(TEXTS), metrics=metrics)
    assert set(found) == {(ALL, metric) for metric in metrics} | {
        (Part("genre", "poetry"), "chrf_today"),
        (Part("testament", "OT"), "chrf_today"),
    }
    assert {one.better for one in found.values()} == {"b"}
    assert found[ALL, "bleu"].difference == pytest.approx(
        intervals(good)[ALL, "bleu"].value - intervals(poor)[ALL, "bleu"].value
    )
    same = compared(good, good, {ALL: parts_of(TEXTS)[ALL]}, metrics=("chrf",))
    assert same[ALL, "chrf"].better == "undecided"
    with pytest.raises(ValueError, match="not scored on the same texts"):
        compared(scored(TEXTS[1:], POOR[1:]), good, parts_of(TEXTS))
    with pytest.raises(ValueError, match="zip"):
        scored(TEXTS, GOOD[1:])


def test_every_metric_has_its_words_in_the_order_of_the_reports() -> None:
    assert TRANSLATION[0].name == "chrf_today"
    assert TRANSLATION[0].compared
    assert [metric.name for metric in TRANSLATION if metric.lower_is_better] == ["archaisms"]


def test_the_picture_shows_intervals_and_what_is_not_scored() -> None:
    found = intervals(scored(TEXTS, POOR))
    bars = (
        Bar("a base <model>", "base", found[ALL, "chrf"]),
        Bar("an adapter", "adapter", found[Part("genre", "gospels"), "chrf"]),
        Bar("a peer", "peer", replace(found[ALL, "chrf"], value=None, low=None, high=None, reason="not here")),
    )
    png = score_picture([Panel("verses", bars), Panel("terms", bars[:1], percent=True)], "chrF++")
    assert png.startswith(b"\x89PNG")
    assert png == score_picture([Panel("verses", bars), Panel("terms", bars[:1], percent=True)], "chrF++")
    assert png != score_picture([Panel("verses", bars[:2])], "chrF++")
