"""Terms are judged by sense where the reference has them, and counted so that modes can be compared."""

from pathlib import Path

import pytest

import stt_platform
from stt_platform.evaluation.metrics import all_metrics
from stt_platform.evaluation.metrics.terms import ForbiddenRate
from stt_platform.evaluation.terminology import (
    TermRow,
    hinted_terms,
    occurrences,
    score_six,
    six_sentences,
    tally,
)
from stt_platform.glossary.terms import Glossary, Scope, Sense, Term, read_glossary
from stt_platform_tests.helpers.scripture_texts import shared_texts

GLOSSARY = Glossary(
    (
        Term(
            "salvation",
            "salvation",
            (Sense("salvation", "", "salvation", "salvación", "noun", "soteriology", es_forms=("salud",)),),
        ),
        Term(
            "communion",
            "communion",
            (
                Sense("communion", "fellowship", "communion", "comunión", "noun", "worship"),
                Sense("communion", "sharing", "communion", "participación", "noun", "worship", Scope.parse("2CO")),
            ),
        ),
        Term("church", "church", (Sense("church", "", "church", "iglesia", "noun", "worship", forbidden=("templo",)),)),
        Term("law", "law", (Sense("law", "", "law", "ley", "noun", "theology"),)),
        Term("works-of-law", "works of the law", (Sense("works-of-law", "", "works of the law", "obras", "noun", ""),)),
    )
)


def judged(source: str, hypothesis: str, reference: str, ref: int | None = None):
    (found,) = occurrences([TermRow("s", source, hypothesis, reference, ref)], GLOSSARY)
    return found


@pytest.mark.parametrize(
    ("hypothesis", "reference", "judged_here", "hit", "lemma_hit", "reference_lemma"),
    [
        ("La salvación es suya", "De Jehová es la salud", True, True, True, False),
        ("La salud es suya", "De Jehová es la salvación", True, True, False, True),
        ("Las salvaciones", "la salvación", True, True, True, True),
        ("La liberación es suya", "De Jehová es la salud", True, False, False, False),
        ("La ensalvación", "la salud", True, False, False, False),
        ("", "la salud", True, False, False, False),
        # The reference says it freely: the hypothesis may too, and is counted apart.
        ("Él nos librará", "Él es el que salva", False, False, False, False),
        ("La salvación es suya", "Él es el que salva", False, True, True, False),
    ],
)
def test_a_term_is_judged_where_the_reference_has_it(
    hypothesis, reference, judged_here, hit, lemma_hit, reference_lemma
):
    found = judged("Salvation is of the LORD; yea, salvation.", hypothesis, reference)
    assert (found.judged, found.hit, found.lemma_hit, found.reference_lemma) == (
        *(judged_here, hit, lemma_hit),
        reference_lemma,
    )


@pytest.mark.parametrize(
    ("ref", "hypothesis", "reference", "sense", "hit", "sense_hit"),
    [
        (47_013_014, "la participación", "la participación del Espíritu", "sharing", True, True),
        # Another sense that can be meant here is right, though it is not the reference's.
        (47_013_014, "la comunión", "la participación del Espíritu", "sharing", True, False),
        (47_013_014, "la comunión", "la comunión del Espíritu", "fellowship", True, True),
        # Outside its scope a sense is wrong.
        (46_010_016, "la participación", "la comunión de la sangre", "fellowship", False, False),
        (None, "la participación", "la comunión de la sangre", "fellowship", True, False),
    ],
)
def test_senses(ref, hypothesis, reference, sense, hit, sense_hit):
    found = judged("the communion", hypothesis, reference, ref)
    assert (found.sense, found.hit, found.sense_hit) == (sense, hit, sense_hit)


@pytest.mark.parametrize(
    ("hypothesis", "reference", "forbidden", "reference_forbidden"),
    [
        ("el templo de Dios", "la iglesia de Dios", True, False),
        ("la iglesia de Dios", "la iglesia de Dios", False, False),
        ("la iglesia, no el templo", "la iglesia, no el templo", False, True),
    ],
)
def test_forbidden_renderings(hypothesis, reference, forbidden, reference_forbidden):
    found = judged("the church of God", hypothesis, reference)
    assert (found.forbidden, found.reference_forbidden) == (forbidden, reference_forbidden)


def test_the_longest_term_counts():
    assert judged("by the works of the law", "por la ley", "por las obras de la ley").term_id == "works-of-law"


ROWS = [
    TermRow("a", "the law of the church", "la ley de la iglesia", "la ley de la iglesia", genre="epistles"),
    TermRow("b", "salvation and law", "salud y derecho", "salud y ley", genre="poetry"),
    TermRow("c", "law and church", "la iglesia", "el mandamiento de la iglesia", genre="poetry"),
]


def test_counts():
    found = occurrences(ROWS, GLOSSARY)
    everything = tally(found)[()]
    assert (everything.found, everything.total, everything.hits, everything.free, everything.free_hits) == (
        6,
        5,
        4,
        1,
        0,
    )
    assert everything.accuracy == 0.8
    assert everything.ceiling == pytest.approx(5 / 6)
    assert (everything.lemma_accuracy, everything.lemma_ceiling) == (0.6, 0.8)
    by_genre = tally(found, "genre")
    assert {key: (part.hits, part.total) for key, part in by_genre.items()} == {
        ("epistles",): (2, 2),
        ("poetry",): (2, 3),
    }
    by_term = tally(found, "term_id", "sense")
    assert (by_term["law", ""].hits, by_term["law", ""].total, by_term["law", ""].found) == (1, 2, 3)
    by_segment = tally(found, "segment_id")
    assert [(part.hits, part.total) for part in by_segment.values()] == [(2, 2), (1, 2), (1, 1)]


def test_nothing_judged_is_no_rate():
    nothing = tally(occurrences([TermRow("s", "a house", "una casa", "una casa")], GLOSSARY))[()]
    assert (nothing.found, nothing.accuracy, nothing.ceiling, nothing.lemma_ceiling) == (0, None, None, None)
    assert tally([], "genre") == {}
    with pytest.raises(ValueError, match="tally by \\['book'\\]: use segment_id, mode"):
        tally([], "book")


def test_modes_are_compared_on_the_terms_that_were_hinted():
    source, reference = "the law of the church", "la ley de la iglesia"
    rows = [
        TermRow("a", source, "el derecho del templo", reference, mode="no_hints"),
        TermRow("a", source, "la ley del templo", reference, mode="hinted", hints=(("law", "ley"),)),
        TermRow("a", source, "el derecho de la iglesia", reference, mode="random_hints", hints=(("of", "del"),)),
    ]
    found = occurrences(rows, GLOSSARY)
    compared = {mode: tally(hinted_terms(found, mode))[()] for mode in ("no_hints", "hinted", "random_hints")}
    assert {mode: (part.hits, part.total) for mode, part in compared.items()} == {
        "no_hints": (0, 1),
        "hinted": (1, 1),
        "random_hints": (0, 1),
    }


def test_six_sentences():
    assert [(item.term, item.expected) for item in six_sentences()] == [
        ("atonement", "expiación"),
        ("covenant", "pacto"),
        ("grace", "gracia"),
        ("righteousness", "justicia"),
        ("James", "Santiago"),
        ("James", "Jacobo"),
    ]


@pytest.mark.parametrize(
    ("hypotheses", "expected"),
    [
        (
            (
                "La expiación de Cristo cubre todos los pecados.",
                "El Pacto entre Dios y Abraham.",
                "Somos salvos por gracia, por medio de la fe.",
                "La justicia de Dios se revela.",
                "Santiago escribió sobre la fe y las obras.",
                "Jacobo y Juan eran pescadores.",
            ),
            (True,) * 6,
        ),
        # "desgracia" and "injusticia" are other words, a plural is the same; the wrong James is wrong.
        (
            ("Las expiaciones", "La alianza", "por desgracia", "La injusticia", "Jacobo escribió", "Santiago y Juan"),
            (True, False, False, False, False, False),
        ),
        (("",) * 6, (False,) * 6),
    ],
)
def test_score_six(hypotheses, expected):
    assert tuple(item.found for item in score_six(hypotheses)) == expected


def test_six_translations_are_needed():
    with pytest.raises(ValueError, match="5 translations: one of each of the 6 sentences was expected"):
        score_six([""] * 5)


PLATFORM_GLOSSARY = Path(stt_platform.__file__).parent.parent / "data" / "reference" / "glossary.csv"


def test_the_glossary_of_the_platform_allows_the_six_expected_words():
    rows = [TermRow(item.en, item.en, item.expected, item.expected) for item in six_sentences()]
    found = [item for item in occurrences(rows, read_glossary(PLATFORM_GLOSSARY)) if item.judged]
    assert len({item.segment_id for item in found if item.hit}) == 6


def test_the_reference_is_the_ceiling_and_other_verses_are_far_below(test_data: Path):
    texts = shared_texts(test_data)
    # Matthew is counted alike in both.
    english, spanish = (
        {ref: text for ref, text in texts[name].by_ref.items() if ref // 1_000_000 == 40} for name in ("kjv", "rvr1909")
    )
    refs = sorted(english.keys() & spanish.keys())
    glossary = read_glossary(PLATFORM_GLOSSARY)
    own = [TermRow(str(ref), english[ref], spanish[ref], spanish[ref], ref) for ref in refs]
    others = [
        TermRow(str(ref), english[ref], spanish[other], spanish[ref], ref)
        for ref, other in zip(refs, refs[200:] + refs[:200], strict=True)
    ]
    itself, chance = (tally(occurrences(rows, glossary))[()] for rows in (own, others))
    assert itself.total > 1000
    assert itself.ceiling > 0.95
    assert (itself.accuracy, itself.sense_accuracy, itself.forbidden) == (1.0, 1.0, 0)
    assert itself.lemma_accuracy == itself.lemma_ceiling > 0.8
    assert chance.accuracy < 0.15


@pytest.mark.parametrize(
    ("metric", "name"),
    [
        ("term_accuracy", "accuracy"),
        ("sense_accuracy", "sense_accuracy"),
        ("lemma_accuracy", "lemma_accuracy"),
        ("lemma_ceiling", "lemma_ceiling"),
        ("ceiling", "ceiling"),
    ],
)
def test_the_shares_of_the_segments_add_up_to_the_rates(metric: str, name: str) -> None:
    rows = [
        TermRow("s1", "Salvation and the church", "La salvación y el templo", "La salud y la iglesia"),
        TermRow("s2", "The law of salvation", "La ley", "La ley de salvación"),
        TermRow("s3", "The church", "La iglesia", "La congregación"),
        TermRow("s4", "No term at all", "Nada", "Nada"),
    ]
    found = occurrences(rows, GLOSSARY)
    shares = all_metrics()[metric].shares(found)
    assert shares.of(shares.counts.sum(axis=0)) == pytest.approx(getattr(tally(found)[()], name))
    assert list(shares.units) == sorted({item.segment_id for item in found if item.judged or metric == "ceiling"})


def test_forbidden_renderings_are_a_share_of_all_that_was_found() -> None:
    rows = [
        TermRow("s1", "The church", "El templo", "La iglesia"),
        TermRow("s2", "The church", "La iglesia", "La casa"),
    ]
    shares = ForbiddenRate().shares(occurrences(rows, GLOSSARY))
    assert (shares.units, shares.of(shares.counts.sum(axis=0))) == (("s1", "s2"), 0.5)


def test_hinted_terms_are_the_same_in_every_mode() -> None:
    hints = (("law", "ley"),)
    rows = [
        TermRow(
            "s", "The law of salvation", made, "La ley de salvación", mode=mode, hints=hints if mode == "hinted" else ()
        )
        for mode, made in (("no_hints", "Nada"), ("hinted", "La ley"), ("random_hints", "Nada"))
    ]
    found = occurrences(rows, GLOSSARY)
    chosen = {mode: hinted_terms(found, mode) for mode in ("no_hints", "hinted", "random_hints")}
    assert {mode: [item.term_id for item in items] for mode, items in chosen.items()} == {
        mode: ["law"] for mode in chosen
    }
    assert [tally(items)[()].hits for items in chosen.values()] == [0, 1, 0]
