"""Scripture references and names in texts, and how well they were heard."""

from pathlib import Path

import pytest

import stt_platform
from stt_platform.evaluation.entities import (
    EntityCounts,
    EntityError,
    entity_scores,
    find_entities,
    glossary_names,
    is_cased,
)
from stt_platform.glossary.terms import read_glossary

SHIPPED = Path(stt_platform.__file__).parents[1] / "data" / "reference" / "glossary.csv"
NAMES = ["Mark", "Job", "Acts", "Ruth", "Will", "Lot", "John", "Mary", "Mary Magdalene", "Judea", "Rebekah", "Jesus"]
NAMES += ["Moses", "Peter", "Numbers", "Israel"]

REFERENCES = [
    ("turn to John 3:16 with me", ["JHN 3:16"]),
    ("turn to John chapter three, verse sixteen.", ["JHN 3:16"]),
    ("turn to john three sixteen", ["JHN 3:16"]),
    ("John 3:16b", ["JHN 3:16"]),
    ("the third chapter of John, verse 16", ["JHN 3:16"]),
    ("verse 16 of John 3", ["JHN 3:16"]),
    ("verse 16 of the third chapter of the Gospel of John", ["JHN 3:16"]),
    ("chapter 3 verse 16 of the gospel according to Saint John", ["JHN 3:16"]),
    ("in John's gospel, chapter 3", ["JHN 3"]),
    ("the third chapter of John's gospel", ["JHN 3"]),
    ("First Corinthians 13", ["1CO 13"]),
    ("I Corinthians thirteen", ["1CO 13"]),
    ("Paul's first letter to the Corinthians, chapter 13", ["1CO 13"]),
    ("second Timothy chapter 3 verses 14 and 15", ["2TI 3:14-15"]),
    ("2 Tim. 3:14–15", ["2TI 3:14-15"]),
    ("Psalm twenty three", ["PSA 23"]),
    ("the twenty-third Psalm", ["PSA 23"]),
    ("the 23rd Psalm, verse 4", ["PSA 23:4"]),
    ("the one hundred and third psalm", ["PSA 103"]),
    ("Psalm one nineteen eleven", ["PSA 119:11"]),
    ("Psalms 22 and 23", ["PSA 22-23"]),
    ("Genesis 1:1-2:3", ["GEN 1:1-2:3"]),
    ("Genesis chapters one to three", ["GEN 1-3"]),
    ("John 3:16, 18", ["JHN 3:16,18"]),
    ("Romans 8:28 and First John 4:8 and 2 Peter 1:3", ["ROM 8:28", "1JN 4:8", "2PE 1:3"]),
    ("Jude 24", ["JUD 1:24"]),
    ("Song of Songs 2:4 and Song of Solomon 2:4", ["SNG 2:4", "SNG 2:4"]),
    ("Is 5:3 or Am 5:24", ["ISA 5:3", "AMO 5:24"]),
    ("Acts 2 and Mark 10", ["ACT 2", "MRK 10"]),
    ("acts 2:38", ["ACT 2:38"]),
    ("ACTS CHAPTER TWO", ["ACT 2"]),
    ("John 3:16, 40 more", ["JHN 3:16"]),
    ("Romans 8 that we read", ["ROM 8"]),
    # A slip in digits is a reference still: it was heard so.
    ("John 3:60", ["JHN 3:60"]),
    # No references.
    ("Is 5 enough? I am 5 years old.", []),
    ("he acts 2 ways and marks 3 points", []),
    ("he acts one way", []),
    ("Daniel three times a day", []),
    ("John one day went", []),
    ("Zetham, and Joel, three.", []),
    ("First John ran to the tomb", []),
    ("no one John knew", []),
    ("In 1984 there were 3:16 left", []),
    ("Romans said so. 8 of them came.", ["name"]),
    ("verses 14 and 15", []),
    ("", []),
]
NAMED = [
    ("And Jesus' mother saw John.", ["Jesus", "John"]),
    ("he met Mary Magdalene and Mary", ["Mary Magdalene", "Mary"]),
    ("He met MOSES, peter", ["Moses", "Peter"]),
    ("We read in Mark, in Job and in Acts", ["Mark", "Job", "Acts"]),
    ("Mark my words. Will he act? Numbers matter. A job.", []),
    ('He said, "Mark this." It will cost a lot. He acts well.', []),
    ("jesus met mark and ruth", ["Jesus"]),
    ("JESUS MET MARK", ["Jesus"]),
    ("Johnny and Marked and Israelites", []),
    ("John 3:16 says", []),
    ("in Judaea Rebecca came", ["Judea", "Rebekah"]),
    ("Moses’s law", ["Moses"]),
]


@pytest.mark.parametrize(("text", "expected"), REFERENCES)
def test_references(text, expected):
    found = [e for e in find_entities(text, ["Romans"] if expected == ["name"] else []) if e.kind == "reference"]
    assert [entity.value for entity in found] == [value for value in expected if value != "name"]
    assert all(text[e.start : e.end].strip() == text[e.start : e.end] != "" for e in found)


@pytest.mark.parametrize(("text", "expected"), NAMED)
def test_names(text, expected):
    assert [entity.value for entity in find_entities(text, NAMES) if entity.kind == "name"] == expected


def test_places_are_those_of_the_text():
    text = "So Peter read John 3:16 to Mary."
    assert [(e.kind, text[e.start : e.end]) for e in find_entities(text, NAMES)] == [
        ("name", "Peter"),
        ("reference", "John 3:16"),
        ("name", "Mary"),
    ]


def test_scores_are_counted_pair_by_pair():
    pairs = [
        ("He read John 3:16 to Peter and Peter wept.", "He read John three sixteen to Peter and Pete wept."),
        ("We read Psalm 23.", "We read Psalm 22."),
        ("And Moses went.", "And Moses and Mary went."),
        ("Nothing here.", "Nothing here."),
        ("Then Mary said", ""),
    ]
    scores = entity_scores(pairs, NAMES)
    assert dict(scores.by_kind) == {"reference": EntityCounts(1, 1, 1), "name": EntityCounts(2, 2, 1)}
    assert (scores.total.hits, scores.total.misses, scores.total.false_alarms) == (3, 3, 2)
    assert (scores.total.precision, scores.total.recall, scores.total.f1) == (3 / 5, 3 / 6, 6 / 11)
    assert scores.examples[0] == EntityError("name", "Mary", "invented", 1, 2)
    assert {(e.value, e.error) for e in scores.examples} == {
        ("Mary", "invented"),
        ("Mary", "missed"),
        ("Peter", "missed"),
        ("PSA 22", "invented"),
        ("PSA 23", "missed"),
    }
    assert len(entity_scores(pairs, NAMES, examples=2).examples) == 2


@pytest.mark.parametrize("pairs", [[], [("", "")], [("Hello there", "hello")]])
def test_nothing_to_hear_has_no_score(pairs):
    scores = entity_scores(pairs, NAMES)
    assert scores.total.precision is scores.total.recall is scores.total.f1 is None
    assert scores.examples == ()


def test_capitals_count_only_where_both_texts_have_them():
    assert entity_scores([("We read Mark and Peter", "we read mark and peter")], NAMES).total.hits == 1
    assert entity_scores([("We read Mark and Peter", "We read Mark and Peter")], NAMES).total.hits == 2
    assert entity_scores([("We read Mark and Peter", "we read mark and peter")], NAMES).total.misses == 0


@pytest.mark.parametrize(("text", "cased"), [("Amen", True), ("amen", False), ("AMEN", False), ("", False)])
def test_capitals_that_say_something(text, cased):
    assert is_cased(text) is cased


def test_the_names_of_the_glossary():
    names = glossary_names(read_glossary(SHIPPED))
    assert {"Jesus", "Moses", "Jerusalem", "Jews", "Mary Magdalene", "Mark", "Habakkuk"} <= set(names)
    assert not {"grace", "synagogue", "atonement"} & set(names)
    assert list(names) == sorted(set(names))
    found = find_entities("Moses led the Israelites out of Egypt", names)
    assert [entity.value for entity in found] == ["Moses", "Israelites", "Egypt"]
