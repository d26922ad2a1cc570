"""What is drawn to examine translators: held-out verses once each, and sentences that can be used."""

from __future__ import annotations

from pathlib import Path

from stt_platform.evaluation.general_sets import SentencePair, TranslationSet
from stt_platform.evaluation.held_out import general_texts, held_out_verses
from stt_platform.scripture.pairs import PairRow


def row(verse: int, source: str = "web", **changed: object) -> PairRow:
    ref = 1001000 + verse
    fields = {
        "pair_id": f"{source}-rvr1909-{ref:08d}",
        "segment_id": f"rvr1909-{ref:08d}",
        "en_source": source,
        "es_source": "rvr1909",
        "en_refs": (ref,),
        "es_refs": (ref,),
        "en": f"Verse {verse} of {source}",
        "es": f"Versículo {verse}",
        "genre": "pentateuch",
        "testament": "OT",
        "split": "test",
    }
    return PairRow(**{**fields, **changed})


def test_accepted_verses_of_the_test_side_each_in_one_version() -> None:
    rows = [
        *(row(verse, source) for verse in range(1, 41) for source in ("asv", "kjv", "web")),
        row(50, split="train"),
        row(51, split="excluded"),
        row(52, status="quarantined", reason="too long"),
        row(53, es_source="spablm", segment_id="spablm-1"),
        row(54, en_refs=(), en="A title"),
    ]
    found = held_out_verses(rows, seed=1)
    assert sorted(text.segment_id for text in found.texts) == [
        f"rvr1909-{1001000 + k:08d}" for k in (*range(1, 41), 54)
    ]
    assert {text.en_source for text in found.texts} == {"asv", "kjv", "web"}
    by_key = {one.pair_id: one for one in rows}
    assert all((text.source, text.reference) == (by_key[text.key].en, by_key[text.key].es) for text in found.texts)
    assert {text.ref for text in found.texts} >= {None, 1001001}


def test_a_draw_depends_on_names_and_seed_alone_and_a_larger_one_holds_a_smaller() -> None:
    rows = [row(verse, source) for verse in range(1, 60) for source in ("kjv", "web")]
    few, more = held_out_verses(rows, most=10, seed=1), held_out_verses(rows, most=30, seed=1)
    assert few.texts == more.texts[:10]
    assert held_out_verses(rows[::-1], most=10, seed=1).sha256 == few.sha256
    assert held_out_verses(rows, most=10, seed=2).sha256 != few.sha256
    assert len(held_out_verses(rows, most=0).texts) == 59


def test_sentences_that_cannot_be_used_stay_marked() -> None:
    pairs = [SentencePair(f"news:{k}", f"Sentence {k}", f"Frase {k}", k) for k in range(1, 21)]
    pairs[4] = SentencePair("news:5", "Sentence 5", "…", 5, "rejected", "the Spanish side holds no letter or digit")
    found = general_texts(TranslationSet("news", "", (Path("news.tsv"),), tuple(pairs)), most=6, seed=1)
    assert found.key == "general_text/news"
    assert len(found.usable) == 6 and len(found.texts) == 7
    assert found.texts[-1].reason == "the Spanish side holds no letter or digit"
