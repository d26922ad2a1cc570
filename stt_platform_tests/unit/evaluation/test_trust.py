"""Old style is told from today's, a recited text from a guessed one, and one hypothesis from another."""

import random
from dataclasses import dataclass
from pathlib import Path

import pytest

from stt_platform.evaluation.trust import (
    BY_HEART,
    NO_SIGN,
    PARTLY,
    UNKNOWN,
    archaism_rate,
    archaisms,
    continuation_probe,
    hypothesis_key,
    judge_continuations,
    what_scripture_scores_do_not_say,
)
from stt_platform_tests.helpers.scripture_texts import shared_texts


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Y fué á Belén", [("spelling of 1909", "fué"), ("spelling of 1909", "á")]),
        ("Se rió y guió a Beth-há", []),
        ("Vosotros sois la sal", [("vosotros", "Vosotros"), ("vosotros", "sois")]),
        ("os digo que veréis y creísteis", [("vosotros", "os"), ("vosotros", "veréis"), ("vosotros", "creísteis")]),
        ("dieciséis y veintiséis de los dos", []),
        ("JEHOVÁ es mi pastor", [("Jehová", "JEHOVÁ")]),
        ("He aquí el hombre", [("he aquí", "He aquí")]),
        ("he venido aquí; más no sé", []),
        ("Mas Jesús calló; empero habló", [("old words", "Mas"), ("old words", "empero")]),
        ("Levantóse y díjole", [("pronoun behind the verb", "Levantóse"), ("pronoun behind the verb", "díjole")]),
        ("fuése; haréle; dijéronle", [("pronoun behind the verb", w) for w in ("fuése", "haréle", "dijéronle")]),
        ("sólo cómo los judíos, míos los cafés; grábalo y déjame; oírlos", []),
        ("si alguno hiciere o fuere", [("future subjunctive", "hiciere"), ("future subjunctive", "fuere")]),
        ("quiere, prefiere, sugiere y adquieren las mujeres; prepare", []),
        ("Hoy Dios le habla a usted y a ustedes.", []),
        ("", []),
    ],
)
def test_markers(text: str, expected: list):
    found = archaisms(text)
    assert [(item.marker, item.surface) for item in found] == expected
    assert all(text[item.start : item.end] == item.surface for item in found)


def test_the_rate_counts_words_once_and_texts():
    rate = archaism_rate(["He aquí que fué á Belén.", "Fue a Belén.", "¡...!", "he aquí"])
    assert (rate.texts, rate.archaic_texts, rate.words, rate.archaic_words) == (3, 2, 11, 6)
    assert (rate.word_rate, rate.text_rate) == (pytest.approx(6 / 11), pytest.approx(2 / 3))
    counts = {item.marker: (item.count, item.texts, item.commonest) for item in rate.markers}
    assert counts["he aquí"] == (2, 2, (("he aquí", 2),))
    assert counts["spelling of 1909"] == (2, 1, (("fué", 1), ("á", 1)))
    assert counts["vosotros"] == (0, 0, ())
    assert (archaism_rate([]).word_rate, archaism_rate(["..."]).text_rate) == (None, None)


def test_an_old_bible_is_told_from_news(test_data: Path):
    verses = [verse.text for verse in shared_texts(test_data)["rvr1909"].rows("verse")][::20]
    news = (test_data / "mt/ntrex/newstest2019-ref.spa.txt").read_text(encoding="utf-8").splitlines()
    old, new = archaism_rate(verses), archaism_rate(news)
    assert old.word_rate > 0.06
    assert old.text_rate > 0.6
    assert new.word_rate < 0.001
    assert new.text_rate < 0.01


@dataclass(frozen=True)
class Row:
    segment_id: str
    es: str
    status: str = "accepted"


def verses(count: int, seed: int = 1) -> list[Row]:
    rng = random.Random(seed)
    words = ["".join(rng.choice(["ba", "ce", "di", "fo", "gu", "la"]) for _ in range(3)) for _ in range(150)]
    return [Row(f"s{k:04d}", " ".join(rng.choices(words, k=rng.randint(16, 30)))) for k in range(count)]


def test_probes_are_halves_of_long_verses():
    long = "uno dos tres cuatro cinco seis siete ocho nueve"
    rows = [
        Row("b", f"Á {long}"),
        Row("b", "Á uno dos tres"),
        Row("a", "Dios es amor"),
        Row("c", f"diez {long}", status="quarantined"),
    ]
    (probe,) = continuation_probe(rows, min_words=10)
    assert (probe.segment_id, probe.given, probe.expected) == (
        *("b", "Á uno dos tres cuatro"),
        "cinco seis siete ocho nueve",
    )
    assert continuation_probe(rows, min_words=11) == []


@pytest.mark.parametrize(
    ("first", "second"),
    [
        # The same beginning, but for the spelling.
        ("y fué á la casa un día de verano", "Y fue a la casa otra noche del invierno"),
        # A second half that is a formula.
        ("dijo a sus hijos que hizo lo malo ante Dios", "y Manasés su rey entonces hizo lo malo ante Dios"),
    ],
)
def test_what_could_be_guessed_is_no_probe(first: str, second: str):
    assert continuation_probe([Row("a", first), Row("b", second)], min_words=8) == []
    assert len(continuation_probe([Row("a", first)], min_words=8)) == 1


def test_probes_are_drawn_by_content():
    rows = verses(100)
    drawn = continuation_probe(rows, most=20, seed=3)
    assert len(drawn) == 20
    assert drawn == continuation_probe(reversed(rows), most=20, seed=3) == sorted(drawn, key=lambda p: p.segment_id)
    assert drawn != continuation_probe(rows, most=20, seed=4)


@pytest.mark.parametrize(
    ("known", "verdict"), [(1.0, BY_HEART), (0.6, BY_HEART), (0.2, PARTLY), (0.01, NO_SIGN), (0.0, NO_SIGN)]
)
def test_verdicts(known: float, verdict: str):
    probes = continuation_probe(verses(300))
    others = verses(len(probes), seed=2)
    texts = [
        probe.expected if k < known * len(probes) else other.es
        for k, (probe, other) in enumerate(zip(probes, others, strict=True))
    ]
    result = judge_continuations(probes, texts)
    assert result.verdict == verdict
    assert result.recited == pytest.approx(known * len(probes), abs=1)
    assert result.low <= result.recited / result.answered <= result.high
    assert str(result.recited) in result.reason
    if known == 1.0:
        assert (result.chrf, [item.recited for item in result.continued]) == (pytest.approx(100), [True] * len(probes))
        assert result.chance_chrf < 50
    if known == 0.0:
        assert abs(result.chrf - result.chance_chrf) < 2
        assert result.run == pytest.approx(result.chance_run, abs=0.2)


def test_repeated_beginnings_and_long_ends_do_not_count():
    probes = continuation_probe(verses(60))
    plain = judge_continuations(probes, [probe.expected for probe in probes])
    wordy = [f"{probe.given.upper()}, {probe.expected}. " + "más y más " * 40 for probe in probes]
    assert judge_continuations(probes, wordy) == plain
    parrot = judge_continuations(probes, [probe.given for probe in probes])
    assert (parrot.answered, parrot.verdict) == (0, UNKNOWN)


@pytest.mark.parametrize("answered", [0, 29])
def test_too_few_answers_allow_no_verdict(answered: int):
    probes = continuation_probe(verses(60))
    texts = [probe.expected if k < answered else " … " for k, probe in enumerate(probes)]
    result = judge_continuations(probes, texts)
    assert (result.verdict, result.chrf, result.low) == (UNKNOWN, None, None)
    assert result.reason == f"{answered} of {len(probes)} beginnings were continued; 30 are needed"


def test_each_probe_needs_a_continuation():
    with pytest.raises(ValueError, match="0 continuations of 1 probes: one of each was expected"):
        judge_continuations(continuation_probe(verses(1)), [])


def test_the_key_of_a_hypothesis():
    key = hypothesis_key("sha", "translate: grace", {"beams": 4, "sample": False})
    assert len(key) == 64
    assert key == hypothesis_key("sha", "translate: grace", {"sample": False, "beams": 4})
    others = [
        hypothesis_key("sha+adapter", "translate: grace", {"beams": 4, "sample": False}),
        hypothesis_key("sha", "translate: Grace", {"beams": 4, "sample": False}),
        hypothesis_key("sha", "translate: grace", {"beams": 5, "sample": False}),
        hypothesis_key("sha", "translate: grace", {"beams": 4}),
        hypothesis_key("shatranslate", ": grace", {"beams": 4, "sample": False}),
    ]
    assert len({key, *others}) == 6
    with pytest.raises(ValueError):
        hypothesis_key("sha", "text", {"temperature": float("nan")})


def test_plain_words():
    text = " ".join(what_scripture_scores_do_not_say())
    assert 3 <= text.count(". ") + 1 <= 5
    assert "sermons" in text
