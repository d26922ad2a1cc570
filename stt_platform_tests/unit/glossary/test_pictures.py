"""The attestation of the glossary as a picture."""

import io
from pathlib import Path

import pytest
from PIL import Image

from stt_platform.glossary.attestation import attest
from stt_platform.glossary.term_pictures import attestation_picture, worst_terms
from stt_platform.glossary.terms import Glossary, Sense, Term, read_glossary

GLOSSARY = Path(__file__).parents[3] / "data" / "reference" / "glossary.csv"
PAIRS = [
    (1_001_001, "grace and peace", "gracia y paz"),
    (1_001_002, "grace came", "vino la merced"),
    (1_001_003, "peace be with you", "paz á vosotros"),
    (1_001_004, "a covenant of peace", "alianza de quietud"),
    (1_001_005, "he went", "fué en paz"),
]


def glossary() -> Glossary:
    rows = (
        ("grace", "gracia", "soteriology"),
        ("peace", "paz", "virtues"),
        ("covenant", "pacto", "theology"),
        ("rapture", "rapto", "eschatology"),
    )
    return Glossary(tuple(Term(en, en, (Sense(en, "", en, es, "noun", domain),)) for en, es, domain in rows))


def size_of(png: bytes) -> tuple[int, int]:
    with Image.open(io.BytesIO(png)) as picture:
        assert picture.format == "PNG"
        assert "Software" not in picture.info
        return picture.size


@pytest.mark.parametrize(("most", "expected"), [(15, ["covenant", "grace", "peace"]), (1, ["covenant"]), (0, [])])
def test_worst_terms_come_first_and_those_without_a_verse_not_at_all(most: int, expected: list[str]) -> None:
    assert [row.term_id for row in worst_terms(attest(glossary(), PAIRS), most)] == expected


def test_attestation_picture() -> None:
    table = attest(glossary(), PAIRS)
    assert {row.status for row in table} == {"attested", "unattested", "not in text"}
    png = attestation_picture(table, glossary())
    assert size_of(png)[0] == 900
    assert attestation_picture(table, glossary()) == png
    assert attestation_picture(attest(glossary(), PAIRS[:1]), glossary()) != png


def test_picture_of_nothing() -> None:
    assert size_of(attestation_picture([], glossary()))[0] == 900
    nowhere = attest(glossary(), [])
    assert worst_terms(nowhere) == []
    assert size_of(attestation_picture(nowhere, glossary()))[0] == 900


def test_picture_of_the_whole_glossary() -> None:
    whole = read_glossary(GLOSSARY)
    width, height = size_of(attestation_picture(attest(whole, PAIRS), whole))
    assert width == 900
    assert height < 1000
