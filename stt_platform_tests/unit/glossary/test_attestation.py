"""How often the Spanish of a term stands where the English term does."""

import csv
import gzip
from pathlib import Path

import pytest

import stt_platform
from stt_platform.glossary.attestation import attest, unattested
from stt_platform.glossary.terms import Glossary, Scope, Sense, Term, read_glossary

GLOSSARY = Glossary(
    (
        Term("salvation", "salvation", (Sense("salvation", "", "salvation", "salvación", "noun", "soteriology"),)),
        Term(
            "communion",
            "communion",
            (
                Sense("communion", "fellowship", "communion", "comunión", "noun", "worship"),
                Sense("communion", "sharing", "communion", "participación", "noun", "worship", Scope.parse("2CO")),
            ),
        ),
        Term("church", "church", (Sense("church", "", "church", "iglesia", "noun", "worship", forbidden=("templo",)),)),
        Term("hope", "hope", (Sense("hope", "", "hope", "esperanza", "noun", "virtues", es_forms=("~esperar",)),)),
        Term("rapture", "rapture", (Sense("rapture", "", "rapture", "arrebatamiento", "noun", "eschatology"),)),
    )
)
PAIRS = [
    (23_012_002, "God is my salvation", "Dios es salud mía"),
    (19_062_001, "from him cometh my salvation", "de él viene mi salud"),
    (46_010_016, "the communion of the blood", "la comunión de la sangre"),
    (47_013_014, "the communion of the Holy Ghost", "la participación del Espíritu Santo"),
    (47_006_014, "what communion hath light", "qué comunión la luz"),
    (44_011_022, "the church which was in Jerusalem", "la iglesia que estaba en Jerusalem"),
    (44_019_037, "robbers of churches", "sacrílegos del templo"),
    (45_008_024, "we are saved by hope; hope that is seen", "en esperanza somos salvos"),
    (45_008_025, "if we hope for that", "si esperamos lo que no vemos"),
    (40_001_001, "the book", "el libro de la iglesia"),
]


def rows():
    return {(row.term_id, row.sense): row for row in attest(GLOSSARY, iter(PAIRS))}


@pytest.mark.parametrize(
    ("key", "n", "hits", "lemma_hits", "any_hits", "status"),
    [
        (("salvation", ""), 2, 0, 0, 0, "unattested"),
        (("communion", "fellowship"), 3, 2, 2, 3, "attested"),
        (("communion", "sharing"), 2, 1, 1, 2, "attested"),
        (("church", ""), 2, 1, 1, 1, "attested"),
        (("hope", ""), 2, 2, 1, 2, "attested"),
        (("rapture", ""), 0, 0, 0, 0, "not in text"),
    ],
)
def test_counts(key, n: int, hits: int, lemma_hits: int, any_hits: int, status: str) -> None:
    row = rows()[key]
    assert (row.n, row.hits, row.lemma_hits, row.any_hits, row.status) == (n, hits, lemma_hits, any_hits, status)
    assert row.rate == (hits / n if n else None)


def test_examples_forbidden_and_chance() -> None:
    church = rows()["church", ""]
    assert church.attested == (44_011_022,)
    assert church.missed == (44_019_037,)
    assert church.forbidden == 1
    assert church.chance == pytest.approx(1 / 8)


def test_what_a_person_should_look_at_says_why() -> None:
    table = attest(GLOSSARY, PAIRS, min_rate=0.6)
    assert [(row.term_id, row.status) for row in unattested(table)] == [
        ("salvation", "unattested"),
        ("church", "weak"),
    ]
    assert all(row.reason for row in table if row.status != "attested")
    assert "'salvación' in none" in unattested(table)[0].reason


def test_no_pairs() -> None:
    assert {row.status for row in attest(GLOSSARY, [])} == {"not in text"}


def test_the_shipped_glossary_is_attested_in_rvr1909(test_data: Path) -> None:
    def verses(table: str) -> dict[int, str]:
        with gzip.open(test_data / "bible" / "legacy_2024" / f"{table}.csv.gz", "rt", encoding="utf-8") as file:
            return {int(row[0]): row[4] for row in csv.reader(file) if row[0].isdigit()}

    english, spanish = verses("t_kjv"), verses("t_rvr")
    shipped = read_glossary(Path(stt_platform.__file__).parents[1] / "data" / "reference" / "glossary.csv")
    pairs = [(ref, english[ref], spanish[ref]) for ref in english if spanish.get(ref)]
    table = attest(shipped, pairs)
    assert [row.en for row in unattested(table)] == []
    standing = [row for row in table if row.n]
    assert len(standing) > 400
    assert sum(row.any_rate >= 0.8 for row in standing) > 0.9 * len(standing)
    absent = [row for row in table if not row.n]
    assert {row.status for row in absent} == {"not in text"}
