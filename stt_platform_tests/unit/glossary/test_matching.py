"""Terms are found as whole words, the longest first, in the sense that the place asks for."""

from pathlib import Path

import pytest

import stt_platform
from stt_platform.glossary.matching import find_terms, standing
from stt_platform.glossary.terms import Glossary, Scope, Sense, Term, read_glossary


def sense(term_id: str, en: str, es: str, pos: str = "noun", name: str = "", scope: str = "", **more) -> Sense:
    return Sense(term_id, name, en, es, pos, "scripture", Scope.parse(scope), **more)


def glossary(*senses: Sense) -> Glossary:
    terms: dict[str, list[Sense]] = {}
    for one in senses:
        terms.setdefault(one.term_id, []).append(one)
    return Glossary(tuple(Term(term_id, group[0].en, tuple(group)) for term_id, group in terms.items()))


SMALL = glossary(
    sense("sin", "sin", "pecado"),
    sense("sin-offering", "sin offering", "expiación"),
    sense("ark", "ark", "arca"),
    sense("grace", "grace", "gracia"),
    sense("hell", "hell", "infierno"),
    sense("mass", "mass", "masa"),
    sense("law", "law", "ley"),
    sense("works-of-the-law", "work of the law", "obras de la ley"),
    sense("law-of-moses", "law of Moses", "ley de Moisés"),
    sense("supper", "Lord's Supper", "Cena del Señor", en_forms=("Lord's supper",)),
    sense("lord", "Lord", "Señor"),
    sense("lord", "LORD", "Jehová", "name", name="name"),
    sense("baptize", "baptize", "bautizar", "verb", es_forms=("bautiz*",)),
    sense("prayer", "prayer", "oración"),
    sense("mark", "Mark", "Marcos", "name", scope="NT"),
    sense("james", "James", "Jacobo", "name", name="apostle"),
    sense("james", "James", "Santiago", "book", name="epistle", scope="register=sermon", en_forms=("James #",)),
    sense("communion", "communion", "comunión", name="fellowship"),
    sense("communion", "communion", "participación", name="sharing", scope="2CO 13:14"),
    sense("righteousness", "righteousness", "justicia"),
    sense("justice", "justice", "justicia"),
)


@pytest.mark.parametrize(
    ("text", "surfaces"),
    [
        ("We have sinned since we were using a basin", []),
        ("sin, Sin; SINS! (sin) _sin_ “sin”", ["sin", "Sin", "SINS", "sin", "sin", "sin"]),
        ("mark the ark of the dark park", ["ark"]),
        ("a disgrace and graceful, by grace", ["grace"]),
        ("hello, the shell of hell", ["hell"]),
        ("massive mass, amass", ["mass"]),
        ("sin2 2sin", []),
        ("not by the works of the law, but the law", ["works of the law", "law"]),
        ("the works of the law of Moses", ["works of the law"]),
        ("the law. Of Moses", ["law"]),
        ("a sin-offering and a sin offering and a sin\noffering", ["sin-offering", "sin offering", "sin\noffering"]),
        ("a self-grace, grace-gift, sin-bearer, law-giver", []),
        ("law--grace—sin", ["law", "grace", "sin"]),
        ("the law's end, the sins' end, the law’s end", ["law", "sins", "law"]),
        ("the Lord's supper, the Lord’s Supper, the Lord's hand", ["Lord's supper", "Lord’s Supper", "Lord"]),
        ("he baptizeth, baptized, baptizing, baptizes", ["baptizeth", "baptized", "baptizing", "baptizes"]),
        ("Mark went; mark him", ["Mark"]),
        ("", []),
    ],
)
def test_whole_words_longest_first(text: str, surfaces: list[str]) -> None:
    found = find_terms(text, SMALL)
    assert [match.surface for match in found] == surfaces
    assert all(text[match.start : match.end] == match.surface for match in found)


@pytest.mark.parametrize(
    ("text", "ref", "senses"),
    [
        ("James the brother of John", None, [("james", "apostle")]),
        ("in James 1:5 and James, chapter two", None, [("james", "epistle"), ("james", "epistle")]),
        ("James 1", 59_001_001, [("james", "apostle")]),
        ("the LORD said unto my Lord", 19_110_001, [("lord", "name"), ("lord", "")]),
        ("communion", None, [("communion", "fellowship")]),
        ("communion", 46_010_016, [("communion", "fellowship")]),
        ("communion", 47_013_014, [("communion", "sharing")]),
        ("Mark the perfect man", 19_037_037, []),
        ("Mark", 44_012_025, [("mark", "")]),
    ],
)
def test_the_sense_of_the_place(text: str, ref: int | None, senses: list[tuple[str, str]]) -> None:
    assert [(match.term_id, match.sense) for match in find_terms(text, SMALL, "en", ref)] == senses


def test_a_match_names_all_senses_that_can_be_meant() -> None:
    (match,) = find_terms("communion", SMALL, "en", 47_013_014)
    assert match.allowed == ("sharing", "fellowship")


def test_texts_without_capitals_on_request() -> None:
    assert [match.term_id for match in find_terms("mark", SMALL, cased=False)] == ["mark"]


def test_spanish_by_forms_inflections_and_accents() -> None:
    text = "Bautizándolos, oraban: las oraciones, no la oracion; pecados e impecado, arcas"
    assert [m.surface for m in find_terms(text, SMALL, "es")] == ["Bautizándolos", "oraciones", "pecados", "arcas"]


def test_composed_and_decomposed_accents_are_the_same() -> None:
    text = "la oracio\u0301n"
    (match,) = find_terms(text, SMALL, "es")
    assert text[match.start : match.end] == "oracio\u0301n"


def test_terms_that_share_a_spanish_word_are_all_found() -> None:
    found = find_terms("la justicia", SMALL, "es")
    assert [match.term_id for match in found] == ["righteousness", "justice"]
    assert len({(match.start, match.end) for match in found}) == 1


def test_standing_looks_inside_longer_terms() -> None:
    assert {("law", ""), ("works-of-the-law", "")} <= standing("por las obras de la ley", SMALL)


def test_another_language_is_refused() -> None:
    with pytest.raises(ValueError, match="'fr'"):
        find_terms("grâce", SMALL, "fr")


def test_the_shipped_glossary_on_what_the_issue_names() -> None:
    shipped = read_glossary(Path(stt_platform.__file__).parents[1] / "data" / "reference" / "glossary.csv")
    assert find_terms("since then I mark the disgrace", shipped) == []
    text = "A man is not justified by the works of the law but by faith"
    assert [match.surface for match in find_terms(text, shipped)] == ["justified", "works of the law", "faith"]
    spoken = "As we read in James chapter one, James and John kept the Lord's Supper."
    assert [shipped.sense(m.term_id, m.sense).es for m in find_terms(spoken, shipped)] == [
        *("Santiago", "Jacobo", "Juan", "Cena del Señor"),
    ]
