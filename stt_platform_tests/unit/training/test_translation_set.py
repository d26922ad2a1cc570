"""What the translator learns from: nothing held out, every kind on its share, every target once in an epoch."""

import json
import random
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

import stt_platform
from stt_platform.glossary.augment import term_examples
from stt_platform.glossary.terms import Glossary, read_glossary
from stt_platform.scripture.pairs import PairRow
from stt_platform.scripture.splitting import SplitLeaks, comparable
from stt_platform.training.corpus_lines import glossary_line, verse_pair_line
from stt_platform.training.translation_set import (
    CONTROL,
    KINDS,
    TRANSLATION,
    TrainingExample,
    TranslationSet,
    TranslationSetOptions,
    translation_set,
)

GOLDEN = Path(__file__).parents[1] / "golden"
ENGLISH = ("asv", "kjv", "web")
VERSES = 150
TESTED = 30


@dataclass(frozen=True)
class Made:
    segment_id: str
    es: str
    en: str
    status: str = "accepted"


@pytest.fixture(scope="module")
def glossary() -> Glossary:
    shipped = read_glossary(Path(stt_platform.__file__).parents[1] / "data" / "reference" / "glossary.csv")
    return Glossary(tuple(term for term in shipped.terms if term.term_id in ("covenant", "grace", "psalm")))


def word(number: int) -> str:
    return chr(ord("a") + number // 26) + chr(ord("a") + number % 26)


def verse(number: int, source: str = "kjv", target: str = "rvr1909", **changes: object) -> PairRow:
    """Three verses share a word ("vesselaa") that keeps company with one Spanish word; two in three have a term."""
    ref = 1_001_001 + number // 50 * 1000 + number % 50
    en, es = (
        f"{source}: a vessel{word(number // 3)} {word(number)}",
        f"{target}: á un vaso{word(number // 3)} {word(number)}",
    )
    if number % 3:
        en, es = f"{en} of the covenant", f"{es} del pacto"
    made = PairRow(
        pair_id=f"{source}-{target}-{ref:08d}",
        segment_id=f"{target}-{ref:08d}",
        en_source=source,
        es_source=target,
        en_refs=(ref,),
        es_refs=(ref,),
        en=en,
        es=es,
        genre="pentateuch",
        testament="OT",
        split="test" if number < TESTED else "train",
    )
    return replace(made, **changes)


@pytest.fixture(scope="module")
def rows() -> list[PairRow]:
    return [verse(number, source) for source in ENGLISH for number in range(VERSES)]


def options(**changes: object) -> TranslationSetOptions:
    return TranslationSetOptions(**{"dev_share": 0.1, "control_size": 5, **changes})


@pytest.fixture(scope="module")
def made(rows: list[PairRow], glossary: Glossary) -> TranslationSet:
    second = [verse(number, source, "sencillo") for source in ENGLISH for number in range(VERSES)]
    back = [Made(verse(n).segment_id, verse(n).es, f"__bt__ a vessel {n}") for n in range(TESTED, VERSES)]
    return translation_set(rows + second, glossary, back, options())


def of(made: TranslationSet, name: str = TRANSLATION, **wanted: str) -> list[TrainingExample]:
    return [e for e in made.examples if e.set == name and all(getattr(e, key) == wanted[key] for key in wanted)]


def test_every_pair_of_the_training_split_is_learnt_once(made: TranslationSet, glossary: Glossary) -> None:
    counts = Counter(example.source_kind for example in of(made))
    pairs = (VERSES - TESTED) * len(ENGLISH)
    assert counts["hinted"] == round(0.4 * pairs)
    assert counts["verse"] == pairs - counts["hinted"]
    assert counts["multi_reference"] == pairs
    assert counts["back_translation"] == VERSES - TESTED
    assert counts["term"] + counts["term_sentence"] == len(term_examples(glossary))
    for name in (TRANSLATION, CONTROL):
        assert len({example.example_id for example in of(made, name)}) == len(of(made, name))


def test_hints_are_borne_out_and_stand_in_the_source(made: TranslationSet) -> None:
    for example in of(made, source_kind="hinted"):
        assert example.hints == (("covenant", "pacto"),)
        assert example.source.endswith(" of the covenant [GLOSSARY: covenant=pacto]")
        assert "pacto" in example.target


def test_dev_shares_neither_segment_nor_target_nor_verse_with_train(made: TranslationSet) -> None:
    train, dev = of(made, split="train"), of(made, split="dev")
    # A verse is a segment of each of the two Spanish texts.
    assert 0.05 < len({example.segment_id for example in dev}) / (2 * (VERSES - TESTED)) < 0.15
    assert not {example.segment_id for example in dev} & {example.segment_id for example in train}
    assert not {comparable(example.target) for example in dev} & {comparable(example.target) for example in train}
    assert not {e.segment_id[-8:] for e in dev} & {e.segment_id[-8:] for e in train}
    assert {"verse", "hinted", "multi_reference", "back_translation"} == {example.source_kind for example in dev}


def test_equal_targets_lie_on_one_side(glossary: Glossary) -> None:
    rows = [verse(number, es=f"Á un vaso{word(number // 10)}") for number in range(TESTED, VERSES)]
    dev = of(translation_set(rows, glossary, options=options(dev_share=0.2)), split="dev")
    assert dev
    assert len(dev) % 10 == 0
    assert set(Counter(example.target for example in dev).values()) == {10}


def test_what_says_no_more_than_a_term_is_not_held_out(glossary: Glossary) -> None:
    rows = [verse(40, en="A Psalm.", es="Salmo."), verse(41)]
    made = translation_set(rows, glossary, options=options(dev_share=1.0))
    assert [example.segment_id for example in of(made, split="dev")] == [verse(41).segment_id]


def test_no_more_than_the_most_is_held_out(rows: list[PairRow], glossary: Glossary) -> None:
    dev = of(translation_set(rows, glossary, options=options(most_dev=7)), split="dev")
    assert len({example.segment_id for example in dev}) == 7


def test_the_weights_of_a_kind_are_its_distinct_targets(made: TranslationSet) -> None:
    weights = made.manifest()["weights"]
    assert {split: list(kinds) for split, kinds in weights.items()} == {
        "train": list(KINDS),
        "dev": ["verse", "multi_reference", "back_translation"],
    }
    for kind in (kind for kinds in weights.values() for kind in kinds.values()):
        assert kind["weight"] == pytest.approx(kind["distinct_targets"])
    assert sum(weights[split]["verse"]["distinct_targets"] for split in weights) == VERSES - TESTED
    assert {example.weight for example in of(made, source_kind="hinted")} == {1 / len(ENGLISH)}


def test_a_kind_can_weigh_more(rows: list[PairRow], glossary: Glossary) -> None:
    weights = translation_set(rows, glossary, options=options(weights={"term": 2.5})).manifest()["weights"]["train"]
    assert weights["term"]["weight"] == 2.5 * weights["term"]["distinct_targets"]
    assert weights["verse"]["weight"] == pytest.approx(weights["verse"]["distinct_targets"])


@pytest.mark.parametrize("change", [{"status": "quarantined"}, {"split": "excluded"}, {"split": "test"}])
def test_what_is_not_to_be_learnt_is_not_there(rows: list[PairRow], glossary: Glossary, change: dict) -> None:
    number = VERSES - 1
    changed = [replace(row, **change) if row.segment_id == verse(number).segment_id else row for row in rows]
    made = translation_set(changed, glossary, options=options(control_size=0))
    assert {example.segment_id for example in made.examples if example.segment_id} == {
        verse(n).segment_id for n in range(TESTED, number)
    }


def test_back_translations_go_with_their_segment(made: TranslationSet) -> None:
    dev = {e.segment_id for e in of(made, split="dev") if e.source_kind in ("verse", "hinted")}
    for example in of(made, source_kind="back_translation"):
        assert (example.split == "dev") == (example.segment_id in dev)
        assert example.source.startswith("__bt__ ")


def test_back_translations_are_tagged_and_accepted(rows: list[PairRow], glossary: Glossary) -> None:
    segment, es = verse(99).segment_id, verse(99).es
    back = [Made(segment, es, "a pot"), Made(segment, es, "copied", "quarantined")]
    made = translation_set(rows, glossary, back, options(modernise_spelling=False))
    assert [(e.source, e.target) for e in of(made, source_kind="back_translation")] == [("__bt__ a pot", es)]


@pytest.mark.parametrize(
    ("segment_id", "told"), [(verse(0).segment_id, "'test'"), ("rvr1909-66022021", "no accepted pair")]
)
def test_a_back_translation_of_what_is_not_learnt_is_refused(
    rows: list[PairRow], glossary: Glossary, segment_id: str, told: str
) -> None:
    with pytest.raises(ValueError, match=f"{segment_id}.*{told}"):
        translation_set(rows, glossary, [Made(segment_id, "una olla", "a pot")], options())


def test_a_back_translation_with_a_held_out_target_is_refused(rows: list[PairRow], glossary: Glossary) -> None:
    stray = [Made(verse(n).segment_id, verse(n + 1).es, "a pot") for n in range(TESTED, VERSES - 1)]
    with pytest.raises(ValueError, match="same target"):
        translation_set(rows, glossary, stray, options())


def test_a_segment_moved_by_hand_is_found(rows: list[PairRow], glossary: Glossary) -> None:
    with pytest.raises(SplitLeaks, match=rows[0].segment_id):
        translation_set([replace(rows[0], split="train"), *rows[1:]], glossary, options=options())


def test_the_control_set_asks_the_same_in_three_modes(made: TranslationSet) -> None:
    modes = {kind: of(made, CONTROL, source_kind=kind) for kind in ("no_hints", "hinted", "random_hints")}
    assert [len(examples) for examples in modes.values()] == [5, 5, 5]
    for plain, with_terms, control in zip(*modes.values(), strict=True):
        assert plain.segment_id == with_terms.segment_id == control.segment_id
        assert plain.target == with_terms.target == control.target
        assert (plain.hints, with_terms.hints) == ((), (("covenant", "pacto"),))
        ((surface, written),) = control.hints
        assert surface.startswith("vessel")
        assert written == surface.replace("vessel", "vaso")
        assert plain.source.startswith("asv: ")
        assert plain.source in control.source


def test_the_control_set_is_held_out_and_in_the_spelling_of_its_reference(made: TranslationSet) -> None:
    control = of(made, CONTROL)
    assert {example.split for example in control} == {"test"}
    assert not {e.segment_id for e in control} & {e.segment_id for e in of(made)}
    assert {e.target for e in control} <= {verse(number).es for number in range(TESTED)}
    assert not [e.target for e in of(made) if " á " in e.target]


@pytest.mark.parametrize(
    ("prompt", "form", "source", "shown"),
    [
        ("translategemma", None, "{en} [GLOSSARY: covenant=pacto]", False),
        ("translategemma", "inline", "{tagged}", False),
        ("translategemma", "prompt", "{en}", True),
        ("marian", None, "{tagged}", False),
        ("marian", "appended", "{en} [GLOSSARY: covenant=pacto]", False),
    ],
)
def test_where_hints_stand(glossary: Glossary, prompt: str, form: str | None, source: str, shown: bool) -> None:
    row = verse(100)
    tagged = row.en.replace("covenant", "__source__ covenant __target__ pacto __done__")
    chosen = options(prompt=prompt, hint_form=form, hint_share=1.0)
    (example,) = of(translation_set([row], glossary, options=chosen), source_kind="hinted")
    assert example.source == source.format(en=row.en, tagged=tagged)
    assert (" Use these translations: covenant → pacto." in example.prompt) == shown
    if prompt == "marian":
        assert (example.prompt, example.completion) == (example.source, example.target)
    else:
        assert f"\n\n\n{example.source}<end_of_turn>\n" in example.prompt
        assert example.completion == f"{example.target}<end_of_turn>\n"


def test_the_prompt_is_that_of_the_model(glossary: Glossary) -> None:
    row = verse(
        100,
        en=" And he believed in the LORD; and he counted it to him for righteousness. ",
        es="Y creyó á Jehová, y contóselo por justicia.",
    )
    (example,) = of(translation_set([row], glossary, options=options(modernise_spelling=False)), source_kind="verse")
    assert example.prompt + example.completion == (GOLDEN / "translategemma_en_es.txt").read_text(encoding="utf-8")


@pytest.mark.parametrize("prompt", ["translategemma", "marian"])
def test_a_pair_that_no_prompt_can_hold_is_named(glossary: Glossary, prompt: str) -> None:
    bad = verse(100, en=" ") if prompt == "marian" else verse(100, en="Grace<end_of_turn>")
    with pytest.raises(ValueError, match=bad.pair_id):
        translation_set([bad], glossary, options=options(prompt=prompt))


def test_the_order_of_the_rows_changes_nothing(rows: list[PairRow], glossary: Glossary) -> None:
    back = [Made(verse(n).segment_id, verse(n).es, f"a pot {n % 2}") for n in range(TESTED, VERSES)] * 2
    one = translation_set(rows, glossary, back, options())
    shuffled = random.Random(7).sample(rows, len(rows)), glossary, random.Random(8).sample(back, len(back))
    assert translation_set(*shuffled, options()) == one
    other = translation_set(*shuffled, options(seed=1))
    assert other.manifest()["sha256"] != one.manifest()["sha256"]


def test_the_manifest_accounts_for_every_example(made: TranslationSet) -> None:
    manifest = json.loads(json.dumps(made.manifest()))
    counted = sum(n for sets in manifest["counts"].values() for kinds in sets.values() for n in kinds.values())
    assert counted == len(made.examples)
    assert manifest["counts"][CONTROL] == {"test": {"hinted": 5, "no_hints": 5, "random_hints": 5}}
    assert manifest["hints"] == {"covenant=pacto": len(of(made, source_kind="hinted"))}
    assert manifest["options"]["hint_form"] == "appended"
    assert manifest["longest_prompt"]["characters"] == max(len(example.prompt) for example in made.examples)


def test_without_rvr1909_another_text_is_learnt(glossary: Glossary) -> None:
    rows = [verse(number, target="sencillo") for number in range(TESTED, VERSES)]
    made = translation_set(rows, glossary, options=options())
    assert len(of(made, source_kind="verse") + of(made, source_kind="hinted")) == VERSES - TESTED
    assert of(made, source_kind="multi_reference") == []


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"prompt": "t5"}, "'t5'"),
        ({"hint_form": "tags"}, "'tags'"),
        ({"prompt": "marian", "hint_form": "prompt"}, "'prompt' for marian"),
        ({"hint_share": 1.5}, "hint_share 1.5"),
        ({"dev_share": -0.1}, "dev_share -0.1"),
        ({"most_hints": 0}, "most_hints 0"),
        ({"most_dev": -1}, "most_dev -1"),
        ({"control_size": -1}, "control_size -1"),
        ({"weights": {"hinted": 1.0}}, "'hinted'"),
        ({"weights": {"term": -1.0}}, "-1.0"),
        ({"weights": {"term": float("nan")}}, "nan"),
    ],
)
def test_bad_options_are_refused(change: dict, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        TranslationSetOptions(**change)


def test_lines_of_the_corpus() -> None:
    row = verse(100, en_refs=(1_003_001, 1_003_002))
    line = json.loads(json.dumps(verse_pair_line(row)))
    assert (line["en"], line["es"], line["verse_id"], line["en_source"], line["es_source"]) == (
        *(row.en, row.es),
        *(1_003_001, "kjv", "rvr1909"),
    )
    assert (line["pair_id"], line["segment_id"], line["en_refs"]) == (row.pair_id, row.segment_id, list(row.en_refs))
    assert verse_pair_line(verse(100, en_refs=()))["verse_id"] is None


def test_lines_of_the_glossary(glossary: Glossary) -> None:
    lines = [glossary_line(example) for example in term_examples(glossary)]
    assert {"en": "covenant", "es": "pacto", "term_id": "covenant", "kind": "term"} in lines
    assert {line["term_id"] for line in lines} == {"covenant", "grace", "psalm"}
