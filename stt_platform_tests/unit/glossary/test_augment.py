"""Examples made from terms and pairs: grammatical, on the right share, never against their target."""

from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import pytest

import stt_platform
from stt_platform.glossary.augment import control_examples, hinted, term_examples
from stt_platform.glossary.hints import appended, hints_for, inline
from stt_platform.glossary.terms import Glossary, read_glossary
from stt_platform.translation.round_trip import agreement, judge_round_trip, tag_back_translation


@dataclass(frozen=True)
class Verse:
    pair_id: str
    segment_id: str
    en_refs: tuple[int, ...]
    en: str
    es: str
    split: str = "train"


@pytest.fixture(scope="module")
def shipped() -> Glossary:
    return read_glossary(Path(stt_platform.__file__).parents[1] / "data" / "reference" / "glossary.csv")


@pytest.mark.parametrize(
    ("example_id", "source", "target"),
    [
        ("term:atonement", "atonement", "expiación"),
        (
            "sentence:atonement:0",
            "The pastor spoke about the atonement in today's sermon.",
            "El pastor habló sobre la expiación en el sermón de hoy.",
        ),
        (
            "sentence:covenant:1",
            "We read what the scriptures say about the covenant.",
            "Leímos lo que las Escrituras dicen acerca del pacto.",
        ),
        (
            "sentence:ark:1",
            "We read what the scriptures say about the ark.",
            "Leímos lo que las Escrituras dicen acerca del arca.",
        ),
        (
            "sentence:moses:0",
            "The pastor spoke about Moses in today's sermon.",
            "El pastor habló sobre Moisés en el sermón de hoy.",
        ),
        (
            "sentence:james:epistle:0",
            "Let us open our Bibles at James, chapter one.",
            "Abramos nuestras Biblias en Santiago, capítulo uno.",
        ),
        (
            "sentence:repent:0",
            "The preacher explained what it means to repent.",
            "El predicador explicó qué significa arrepentirse.",
        ),
        ("term:lord:divine name", "LORD", "Jehová"),
    ],
)
def test_term_examples(shipped: Glossary, example_id: str, source: str, target: str) -> None:
    (found,) = [example for example in term_examples(shipped) if example.example_id == example_id]
    assert (found.source, found.target, found.split) == (source, target, "train")
    assert found.term_id == example_id.split(":")[1]


def test_no_lemma_is_taught_with_two_translations(shipped: Glossary) -> None:
    taught = [example for example in term_examples(shipped) if example.kind == "term"]
    assert len({example.source for example in taught}) == len(taught)
    assert len({example.example_id for example in term_examples(shipped)}) == len(term_examples(shipped))


def test_spanish_contracts_its_articles(shipped: Glossary) -> None:
    assert not [example.target for example in term_examples(shipped) if " de el " in example.target]


@pytest.mark.parametrize(
    ("en", "es", "ref", "hints"),
    [
        ("My covenant of peace", "Mi pacto de paz", 23_054_010, [("covenant", "pacto"), ("peace", "paz")]),
        ("the covenants", "los pactos", None, [("covenant", "pacto")]),
        ("God is my salvation", "Dios es mi salud", 23_012_002, [("God", "Dios")]),
        ("saith the Lord GOD", "dice el Señor Jehová", 26_022_028, [("Lord GOD", "Señor Jehová")]),
        ("the LORD said unto my Lord", "Jehová dijo á mi Señor", 19_110_001, [("LORD", "Jehová")]),
        ("the communion of", "la participación del", 47_013_014, [("communion", "participación")]),
        ("Abraham begat", "Abraham engendró", 40_001_002, []),
        ("nothing of it", "nada de ello", None, []),
    ],
)
def test_a_hint_is_given_only_where_the_target_bears_it_out(
    shipped: Glossary, en: str, es: str, ref: int | None, hints: list[tuple[str, str]]
) -> None:
    assert [(hint.en, hint.es) for hint in hints_for(en, shipped, ref=ref, target=es)] == hints


def test_without_a_target_the_likeliest_sense_is_hinted(shipped: Glossary) -> None:
    assert [(h.en, h.es) for h in hints_for("In James 2 the law is read", shipped)] == [
        ("James", "Santiago"),
        ("law", "ley"),
    ]


def test_both_published_forms(shipped: Glossary) -> None:
    text = "Grace and the king of Babylon's covenant"
    hints = hints_for(text, shipped)
    assert inline(text, hints) == (
        "__source__ Grace __target__ gracia __done__ and the king of __source__ Babylon's __target__ Babilonia "
        "__done__ __source__ covenant __target__ pacto __done__"
    )
    assert appended(text, hints) == f"{text} [GLOSSARY: grace=gracia, Babylon=Babilonia, covenant=pacto]"
    assert appended("plain", []) == inline("plain", []) == "plain"


def verses(count: int) -> list[Verse]:
    """Half of them hold terms; every verse a word ("vessel7") that keeps company with one Spanish word."""
    made = []
    for i in range(count):
        kept = chr(ord("a") + i % 7)
        en, es = f"a vessel{kept} of clay", f"un vaso{kept} de barro"
        if i % 2:
            en, es = f"{en} and the covenant of grace", f"{es} y el pacto de gracia"
        made.append(Verse(f"kjv-{i:04}", f"s{i:04}", (1_001_001 + i % 30,), en, es, "test" if i % 10 == 0 else "train"))
    return made


@pytest.mark.parametrize("share", [0.0, 0.25, 0.4])
@pytest.mark.parametrize("form", ["inline", "appended", "prompt"])
def test_the_share_is_that_of_all_examples(shipped: Glossary, share: float, form: str) -> None:
    pairs = verses(200)
    made = list(hinted(pairs, shipped, form=form, share=share))
    assert len(made) == 200
    assert sum(example.kind == "hinted" for example in made) == round(share * 200)
    for pair, example in zip(pairs, made, strict=True):
        assert (example.target, example.segment_id, example.split) == (pair.es, pair.segment_id, pair.split)
        assert (example.source == pair.en) == (example.kind == "verse" or form == "prompt")
        assert all(es in pair.es for _, es in example.hints)


def test_where_few_have_hints_all_of_them_get_one(shipped: Glossary) -> None:
    made = list(hinted(verses(100), shipped, share=1.0, most=1))
    assert [len(example.hints) for example in made] == [i % 2 for i in range(100)]


def test_the_same_pairs_in_another_order_get_the_same_hints(shipped: Glossary) -> None:
    pairs = verses(100)
    assert set(hinted(pairs, shipped)) == set(hinted(pairs[::-1], shipped))
    assert set(hinted(pairs, shipped)) != set(hinted(pairs, shipped, seed=1))


@pytest.fixture(scope="module")
def corpus() -> list[Verse]:
    # Control words are rare: one that stands in a seventh of all verses would be none.
    return verses(200) + [Verse(f"f{i}", f"f{i}", (2_001_001,), "and it was", "y fué") for i in range(4000)]


@pytest.mark.parametrize("form", ["inline", "appended", "prompt"])
def test_the_control_set_has_three_modes_of_the_same_pairs(shipped: Glossary, corpus: list[Verse], form: str) -> None:
    made = list(control_examples(corpus, shipped, corpus, form=form, most=2))
    with_terms = [pair for pair in verses(200) if "covenant" in pair.en]
    modes = {kind: [e for e in made if e.kind == kind] for kind in ("no_hints", "hinted", "random_hints")}
    for examples in modes.values():
        assert [(e.segment_id, e.target, e.split) for e in examples] == [
            (pair.segment_id, pair.es, pair.split) for pair in with_terms
        ]
    assert [example.source for example in modes["no_hints"]] == [pair.en for pair in with_terms]
    assert {len(example.hints) for example in modes["no_hints"]} == {0}
    # There are two terms in each, but one word only that is known and no term.
    assert {len(e.hints) for kind in ("hinted", "random_hints") for e in modes[kind]} == {1}
    assert {hint for e in modes["hinted"] for hint in e.hints} == {("covenant", "pacto"), ("grace", "gracia")}
    assert {hint for e in modes["random_hints"] for hint in e.hints} == {(f"vessel{k}", f"vaso{k}") for k in "abcdefg"}


def test_the_control_set_reads_no_further_than_asked(shipped: Glossary, corpus: list[Verse]) -> None:
    read = []
    pairs = (read.append(pair.pair_id) or pair for pair in corpus)
    assert len(list(islice(control_examples(pairs, shipped, corpus), 3))) == 3
    assert read == ["kjv-0000", "kjv-0001"]


def test_a_random_hint_is_spelled_otherwise_than_its_word(shipped: Glossary) -> None:
    pairs = [Verse(f"k{i}", f"s{i}", (1_001_001,), "Ashdod: grace", "Ashdod: gracia") for i in range(3)]
    assert list(control_examples(pairs, shipped, pairs)) == []


@pytest.mark.parametrize(("change", "told"), [({"form": "tags"}, "'tags'"), ({"share": 1.5}, "1.5")])
def test_bad_parameters_are_refused(shipped: Glossary, change: dict, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        list(hinted(verses(2), shipped, **change))


def test_a_back_translation_is_tagged_once() -> None:
    once = tag_back_translation("And God said")
    assert once == "__bt__ And God said"
    assert tag_back_translation(once) == once


@pytest.mark.parametrize(
    ("made", "status", "reason"),
    [
        ("And God said: let there be light, and there was light.", "accepted", ""),
        ("Y dijo Dios: Sea la luz: y fué la luz.", "quarantined", "copied"),
        ("The king went up to the city of his fathers.", "quarantined", "below 35"),
        (" ", "quarantined", "answered nothing"),
    ],
)
def test_round_trips_are_judged(made: str, status: str, reason: str) -> None:
    original = "And God said, Let there be light: and there was light."
    judged = judge_round_trip(made, original, "Y dijo Dios: Sea la luz: y fué la luz.")
    assert judged.status == status
    assert reason in judged.reason


def test_agreement_is_chrf_without_case() -> None:
    assert agreement("GRACE", "grace") == pytest.approx(100)
    assert agreement("abc", "xyz") == 0
