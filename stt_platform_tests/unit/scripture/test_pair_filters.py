"""Pairs: every verse, title and subscription is in one, and each is accepted or says why not."""

from collections import Counter
from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from stt_platform.scripture.alignment import Segment, align
from stt_platform.scripture.filters import Limits, filter_pairs
from stt_platform.scripture.pairs import GATES_IN_WORDS, Gate, PairRow, join, unite_segments
from stt_platform.scripture.texts import Removed, ScriptureText, Verse
from stt_platform.store.metadata import MetadataStore
from stt_platform.store.scripture import GATE_IN_WORDS, pair_table, read_pairs
from stt_platform_tests.helpers.scripture_texts import shared_texts


def text(text_id: str, language: str, *rows: tuple[int, str] | tuple[int, str, str]) -> ScriptureText:
    verses = tuple(Verse(row[0], row[2] if len(row) > 2 else "verse", row[1]) for row in rows)
    return ScriptureText(text_id, language, text_id.upper(), "PD", "", "test", verses)


def pair(
    en: str, es: str, en_refs=(1001001,), es_refs=(1001001,), pair_id: str = "p1", en_source: str = "kjv"
) -> PairRow:
    return PairRow(pair_id, "s", en_source, "rvr1909", en_refs, es_refs, en, es, "pentateuch", "OT")


KJV = text(
    "kjv",
    "en",
    (19003000, "A Psalm of David.", "title"),
    (19003001, "LORD, how are they increased"),
    (19003002, "Many there be"),
    (19004001, "Hear me when I call"),
    (45016027, "To God only wise"),
    (45016027, "Written to the Romans", "subscription"),
)
RVR = text(
    "rvr1909",
    "es",
    (19003000, "Salmo de David.", "title"),
    (19003001, "Oh Jehová, cuánto se han multiplicado"),
    (19003002, "Muchos dicen"),
    (19004000, "Al Músico principal", "title"),
    (19004001, "Respóndeme cuando clamo"),
    (45016027, "Al solo Dios sabio"),
    (45016027, "Fué escrita de Corinto", "subscription"),
)
PLAIN = [Segment((ref,), (ref,)) for ref in (19003001, 19003002, 19004001, 45016027)]


def test_titles_go_with_titles_and_subscriptions_with_subscriptions() -> None:
    rows = join(PLAIN, KJV, RVR)
    assert [(row.en, row.es) for row in rows] == [
        ("A Psalm of David.", "Salmo de David."),
        ("LORD, how are they increased", "Oh Jehová, cuánto se han multiplicado"),
        ("Many there be", "Muchos dicen"),
        ("", "Al Músico principal"),
        ("Hear me when I call", "Respóndeme cuando clamo"),
        ("To God only wise", "Al solo Dios sabio"),
        ("Written to the Romans", "Fué escrita de Corinto"),
    ]
    assert len({row.pair_id for row in rows}) == len(rows)
    assert (rows[1].genre, rows[1].testament, rows[5].genre, rows[5].testament) == ("poetry", "OT", "epistles", "NT")
    assert join(PLAIN, KJV, RVR) == rows


def test_a_title_that_spanish_counts_as_a_verse_goes_with_the_english_title() -> None:
    hebrew = text("otra", "es", (19003001, "Salmo de David."), (19003002, "Oh Jehová"), (19003003, "Muchos dicen"))
    segments = [Segment((), (19003001,)), Segment((19003001,), (19003002,)), Segment((19003002,), (19003003,))]
    rows = join(segments, replace(KJV, verses=KJV.verses[:3]), hebrew)
    assert [(row.en_refs, row.es_refs) for row in rows] == [
        ((19003000,), (19003001,)),
        ((19003001,), (19003002,)),
        ((19003002,), (19003003,)),
    ]


def test_titles_follow_psalms_that_are_counted_otherwise() -> None:
    greek = text("otra", "es", (19002000, "Salmo de David.", "title"), (19002001, "Oh Jehová"))
    english = replace(KJV, verses=KJV.verses[:2])
    rows = join([Segment((19003001,), (19002001,))], english, greek)
    assert [(row.en_refs, row.es_refs) for row in rows] == [((19003000,), (19002000,)), ((19003001,), (19002001,))]


def test_a_segment_is_shared_by_all_english_versions() -> None:
    asv = replace(KJV, text_id="asv")
    rows = join(PLAIN, KJV, RVR) + join(PLAIN, asv, RVR)
    by_source = [{row.es_refs: row.segment_id for row in rows if row.en_source == s and row.es} for s in ("kjv", "asv")]
    assert by_source[0] == by_source[1]
    assert len({row.pair_id for row in rows}) == len(rows)


def test_versions_that_are_cut_differently_are_united_to_one_segment() -> None:
    joined = [Segment((19003001, 19003002), (19003001, 19003002)), *PLAIN[2:]]
    rows = unite_segments(join(PLAIN, KJV, RVR) + join(joined, replace(KJV, text_id="bbe"), RVR))
    named = {(row.en_source, row.es_refs): row.segment_id for row in rows}
    ids = {
        named["kjv", (19003001,)],
        named["kjv", (19003002,)],
        named["bbe", (19003001, 19003002)],
    }
    assert len(ids) == 1
    assert named["kjv", (19004001,)] not in ids
    assert named["kjv", (19004001,)] == named["bbe", (19004001,)]


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (pair("", "En el principio"), "empty side: no English text answers GEN 1:1; at least 1 character"),
        (pair("In the beginning", " "), "empty side: no Spanish text answers GEN 1:1; at least 1 character"),
        (
            pair("In the beginning", "En el principio", (*range(18039027, 18039031), 18040001)),
            "too many verses: 5 English and 1 Spanish verses in one segment; at most 4",
        ),
        (pair("In the {Hebrew} beginning", "En el principio"), "markup: the English side holds '{'; none of"),
        (pair("In the beginning", "En el principio &amp;"), "markup: the Spanish side holds '&'; none of"),
        (
            pair("In the beginning God created heaven", "In the beginning God created heaven."),
            "untranslated: 100% of the words are the same on both sides; below 80%",
        ),
        (
            pair("And the earth was without form and void", "And darkness was upon the face of the deep"),
            "language: the Spanish side has 5 short English words and 0 Spanish ones; at most 2 more",
        ),
        (
            pair("Y la tierra estaba desordenada y los cielos", "Y la tierra estaba desordenada y vacía, de los"),
            "language: the English side has 3 short Spanish words and 0 English ones; at most 2 more",
        ),
        (
            pair("LORD, how are they increased", "Salmo de David. ¡Oh Jehová!", (19003001,), (19003001,)),
            "one-sided title: 1 of 2 sides, the Spanish one, begins with a psalm's title",
        ),
        (
            pair("And God said, Let there be light: and there was light." * 3, "Y dijo Dios: Sea la luz."),
            "length: 162 English and 24 Spanish characters are",
        ),
    ],
)
def test_a_bad_pair_is_quarantined_with_value_and_limit(row: PairRow, reason: str) -> None:
    (marked,) = filter_pairs([row])
    assert marked.status == "quarantined"
    assert marked.reason.startswith(reason), marked.reason
    assert GATES_IN_WORDS[marked.gate] == reason.partition(":")[0]
    assert replace(marked, status="accepted", reason="", gate="") == row


@pytest.mark.parametrize(
    ("en", "es"),
    [
        ("Adam, Sheth, Enosh,", "Adam, Seth, Enós,"),
        ("Jesus wept.", "Y lloró Jesús."),
        ("And the LORD spake unto Moses, saying,", "Y Jehová habló á Moisés, diciendo:"),
        ("A Psalm of David.", "Salmo de David."),
        ("The song of songs, which is Solomon's.", "CANCIÓN de canciones, la cual es de Salomón."),
    ],
)
def test_good_pairs_are_accepted(en: str, es: str) -> None:
    assert [(row.status, row.reason, row.gate) for row in filter_pairs([pair(en, es)])] == [("accepted", "", "")]


def test_the_second_of_two_equal_pairs_of_the_same_texts_is_a_duplicate() -> None:
    rows = [
        pair("The LORD spake.", "Habló Jehová.", (3001001,), (3001001,), "p1"),
        pair("the LORD spake", "Habló Jehová:", (3004001,), (3004001,), "p2"),
        pair("The LORD spake.", "Y dijo Jehová.", (3005001,), (3005001,), "p3"),
        pair("The LORD spake.", "Habló Jehová.", (3001001,), (3001001,), "p4", en_source="asv"),
    ]
    marked = filter_pairs(rows)
    assert [row.status for row in marked] == ["accepted", "quarantined", "accepted", "accepted"]
    assert [row.gate for row in marked] == ["", Gate.DUPLICATE, "", ""]
    assert marked[1].reason == "duplicate: both sides say the same as p1; 1 copy is allowed"


def test_a_pair_out_of_the_order_of_its_neighbours_is_quarantined() -> None:
    rows = [
        pair(f"Verse number {k}.", f"Versículo {k}.", (45016000 + k,), (45016000 + (9 if k == 2 else k),), f"p{k}")
        for k in range(1, 6)
    ]
    marked = filter_pairs(rows)
    assert [row.pair_id for row in marked if row.status != "accepted"] == ["p2"]
    assert marked[1].gate == Gate.ORDER
    assert marked[1].reason.startswith("order: ROM 16:9 answers ROM 16:2 but stands out of the order")


def test_what_is_quarantined_already_stays_so_and_limits_can_be_set() -> None:
    row = replace(pair("Jesus wept.", "Lloró Jesús."), status="quarantined", reason="by hand")
    assert filter_pairs([row]) == [row]
    wide = pair("a b", "c d", (1001001, 1001002), (1001001,))
    assert filter_pairs([wide], Limits(verses=1))[0].reason.startswith("too many verses: 2 English")
    assert filter_pairs([]) == []


def test_a_text_that_marks_a_gap_sets_its_pair_aside() -> None:
    verse = replace(KJV.verses[1], removed=("note: a gap: of words", Removed.GAP.entry("...")))
    (row,) = join(PLAIN[:1], replace(KJV, verses=(verse,)), replace(RVR, verses=RVR.verses[1:2]))
    assert (row.status, row.gate) == ("quarantined", Gate.GAP)
    assert row.reason == "gap: the English side leaves words out and marks the place; 0 such places are allowed"
    (noted,) = join(PLAIN[:1], replace(KJV, verses=(replace(verse, removed=verse.removed[:1]),)), RVR)[:1]
    assert noted.status == "accepted"


def test_gates_are_kept_in_the_table_and_files_without_them_are_read(tmp_path: Path) -> None:
    rows = [
        replace(pair("Jesus wept.", "Lloró Jesús."), split=""),
        *(
            replace(pair("a", "b"), pair_id=gate, status="quarantined", gate=gate.value, reason="words")
            for gate in Gate
        ),
    ]
    path = tmp_path / "aligned_pairs.parquet"
    pq.write_table(pair_table(rows), path)
    assert read_pairs(tmp_path) == rows
    pq.write_table(pair_table(rows).drop_columns("gate"), path)
    assert read_pairs(tmp_path) == [replace(row, gate="") for row in rows]


def test_every_gate_has_words_in_queries_too(tmp_path: Path) -> None:
    store = MetadataStore(tmp_path)
    aside = [replace(pair("a", "b"), pair_id=gate, status="quarantined", gate=gate.value, reason="x") for gate in Gate]
    store.write("aligned_pairs", "corpus", pair_table([*aside, replace(aside[0], pair_id="before", gate="")]))
    found = store.query(f"select pair_id, {GATE_IN_WORDS} as words from verse_pairs").to_pylist()
    assert {row["pair_id"]: row["words"] for row in found} == {**GATES_IN_WORDS, "before": "other"}


def test_the_shared_texts_are_all_accounted_for(test_data: Path) -> None:
    texts = shared_texts(test_data)
    en, es = texts["kjv"], texts["rvr1909"]
    rows = join(align(en.by_ref, es.by_ref), en, es)
    marked = filter_pairs(rows)
    assert [row.pair_id for row in marked] == [row.pair_id for row in rows]
    assert sorted(ref for row in rows for ref in row.en_refs) == sorted(verse.ref for verse in en.verses)
    assert sorted(ref for row in rows for ref in row.es_refs) == sorted(verse.ref for verse in es.verses)
    counts = Counter((row.status, row.gate) for row in marked)
    assert counts["accepted", ""] > 30_500
    assert counts["quarantined", "too_many_verses"] == 1
    assert counts["quarantined", "length"] + counts["quarantined", "language"] + counts["quarantined", "order"] < 20
    assert all(row.reason and row.gate for row in marked if row.status == "quarantined")
