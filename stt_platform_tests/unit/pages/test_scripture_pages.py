from pathlib import Path

import pytest
from starlette.testclient import TestClient

from stt_platform.pages import app as listening_app
from stt_platform.pages import scripture_data
from stt_platform_tests.helpers import scripture_home as fixture

HOST = "http://127.0.0.1:3001"
JOB_39 = "en=kjv&es=rvr1909&book=JOB&chapter=39"


@pytest.fixture(scope="module")
def home(tmp_path_factory) -> Path:
    return fixture.build_home(tmp_path_factory.mktemp("home"))


@pytest.fixture(scope="module")
def client(home) -> TestClient:
    return TestClient(listening_app.create_app(home), base_url=HOST)


@pytest.fixture(scope="module")
def empty(tmp_path_factory) -> TestClient:
    return TestClient(listening_app.create_app(tmp_path_factory.mktemp("empty")), base_url=HOST)


def chapter_of(client: TestClient, query: str) -> dict:
    return client.get(f"/api/scripture/chapter?{query}").json()["chapter"]


def slots(chapter: dict, side: str) -> dict[str, int]:
    return {row["key"]: row["slot"] for row in chapter["columns"][side] if row["kind"] != "heading"}


def test_each_verse_stands_at_the_height_of_its_own_number(client):
    chapter = chapter_of(client, JOB_39)
    en, es = slots(chapter, "en"), slots(chapter, "es")
    assert (en["18039027"], es["18039030"]) == (27, 30)
    # The Spanish chapter begins with what English counts as 38:39 to 41; it stands above, under a heading.
    assert [en[f"180380{verse}"] for verse in (39, 40, 41)] == [-4, -3, -2]
    assert min(es.values()) == 1
    headings = [(row["slot"], row["chapter"]) for row in chapter["columns"]["en"] if row["kind"] == "heading"]
    assert headings == [(-5, 38), (-1, 39)]


def test_verses_of_the_next_chapter_follow_below(client):
    es = chapter_of(client, "book=JOB&chapter=38")["columns"]["es"]
    assert [(row["kind"], row["slot"], row["chapter"]) for row in es[-4:]] == [
        ("heading", 39, 39),
        ("verse", 40, 39),
        ("verse", 41, 39),
        ("verse", 42, 39),
    ]


def test_a_pair_names_its_verses_and_its_verdict(client):
    pairs = {tuple(pair["en"]): pair for pair in chapter_of(client, JOB_39)["pairs"]}
    assert pairs["18039027",] == {
        "en": ["18039027"],
        "es": ["18039030"],
        "kind": "renumbered",
        "status": "accepted",
        "reason": None,
        "split": "test",
        "note": "",
    }
    assert pairs["18038039",]["note"] == "The Spanish chapter begins earlier."
    pairs = {tuple(pair["en"]): pair for pair in chapter_of(client, "book=GEN&chapter=1")["pairs"]}
    assert (pairs["1001004", "1001005"]["es"], pairs["1001004", "1001005"]["kind"]) == (["1001004"], "merged")
    assert (pairs["1001006",]["status"], pairs["1001006",]["reason"]) == ("quarantined", fixture.EMPTY_SIDE)
    assert {pair["kind"] for pair in pairs.values()} == {"same", "merged", "only English"}


def test_titles_and_subscriptions_are_verses_of_their_own_kind(client):
    psalm = chapter_of(client, "book=PSA&chapter=3")
    shown = [(row["kind"], row["slot"]) for row in psalm["columns"]["es"]]
    assert shown == [("heading", -1), ("title", 0), ("verse", 1)]
    letter = chapter_of(client, "book=2TI&chapter=4")
    assert slots(letter, "en") == {"55004022": 22, "55004022s": 23}
    assert [pair["es"] for pair in letter["pairs"]] == [["55004022"], ["55004022s"]]


def test_every_verse_has_its_own_words(client):
    for side in ("en", "es"):
        for row in chapter_of(client, JOB_39)["columns"][side]:
            if row["kind"] != "heading":
                assert row["text"] == fixture.text_of(side, int(row["key"]))


def test_the_overview_has_choices_regions_and_chapters_set_aside(client):
    overview = client.get("/api/scripture").json()["overview"]
    assert overview["combinations"] == [{"en": "kjv", "es": "rvr1909"}, {"en": "asv", "es": "rvr1909"}]
    books = {row["code"]: row["chapters"] for row in overview["books"]}
    assert books == {"GEN": [1], "JOB": [38, 39], "PSA": [3], "2TI": [4]}
    regions = [(row["english"], row["spanish"], row["kinds"], row["chapter"]) for row in overview["regions"]]
    assert regions == [
        ("Genesis 1:4–6", "Genesis 1:4", {"merged": 1, "only English": 1}, 1),
        ("Job 38:39 – 39:27", "Job 39:1–30", {"renumbered": 30}, 39),
    ]
    assert [(row["book"], row["chapter"], row["pairs"]) for row in overview["set_aside"]] == [
        ("GEN", 1, 1),
        ("2TI", 4, 1),
    ]


@pytest.mark.parametrize(
    ("query", "before", "after"),
    [
        ("", None, ("JOB", 38)),
        ("book=JOB&chapter=38", ("GEN", 1), ("JOB", 39)),
        ("book=Salmos", ("JOB", 39), ("2TI", 4)),
        ("book=2TI&chapter=4", ("PSA", 3), None),
    ],
)
def test_the_chapters_follow_one_another_across_books(client, query, before, after):
    chapter = chapter_of(client, query)
    found = [chapter[name] and (chapter[name]["book"], chapter[name]["chapter"]) for name in ("previous", "next")]
    assert found == [before, after]


def test_what_was_set_aside_is_counted_by_reason_with_samples(client):
    counts = client.get("/api/scripture/counts").json()
    reasons = {row["kind"]: row for row in counts["reasons"]}
    assert reasons["empty side"]["pairs"] == 2
    sample = reasons["empty side"]["samples"][0]
    assert (sample["book"], sample["chapter"], sample["en_label"], sample["es_label"]) == ("GEN", 1, "Genesis 1:6", "")
    kjv, asv = counts["by_text"]
    assert (kjv["en"], kjv["pairs"], kjv["accepted"], kjv["set_aside"], kjv["test"]) == ("kjv", 77, 75, 2, 1)
    assert (asv["en"], asv["pairs"], asv["set_aside"]) == ("asv", 75, 1)
    assert [row["genre"] for row in counts["by_genre"]] == ["pentateuch", "poetry"]
    assert [(row["text_id"], row["status"]) for row in counts["texts"]][-1] == ("web", "missing")


def test_no_more_samples_than_can_be_looked_at(home, monkeypatch):
    monkeypatch.setattr(scripture_data, "SAMPLES", 1)
    reasons = scripture_data.scripture_counts(home)["reasons"]
    assert [(row["pairs"], len(row["samples"])) for row in reasons] == [(2, 1), (1, 1)]


def test_the_glossary_says_where_a_sense_holds_and_where_it_was_found(client):
    terms = {(row["term_id"], row["sense"]): row for row in client.get("/api/glossary").json()["terms"]}
    assert len(terms) == 5
    assert terms["grace", ""]["scope"] == "everywhere"
    assert terms["james", "epistle"]["scope"] == "in a sermon, James"
    assert terms["james", "apostle"]["scope"] == "New Testament"
    assert terms["grace", ""]["attested"] == [{"label": "Job 39:27", "book": "JOB", "name": "Job", "chapter": 39}]


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("book=Tobit", "&#34;Tobit&#34; is no book of kjv with rvr1909. There are Genesis (GEN), Job (JOB)"),
        ("book=EXO", "There are Genesis (GEN)"),
        ("book=JOB&chapter=1", "It has the chapters 38 to 39."),
        ("book=PSA&chapter=99999999", "It has chapter 3 only."),
        ("book=JOB&chapter=-38", "Job has no chapter"),
        ("book=JOB&chapter=%D9%A3%D9%A8", "Job has no chapter"),
        ("book=JOB&chapter=38.0", "Job has no chapter"),
        ("en=niv", "There are pairs of kjv with rvr1909, asv with rvr1909."),
        ("en=rvr1909&es=kjv", "There are no verse pairs of"),
        ("en=kjv'%20or%201=1--", "There are no verse pairs of"),
        ("book=<script>alert(1)</script>", "&lt;script&gt;alert(1)"),
    ],
)
def test_a_place_that_is_not_there_is_told_with_what_is(client, query, said):
    page = client.get(f"/scripture?{query}")
    assert page.status_code == 404
    assert page.headers["content-type"].startswith("text/html")
    assert said in page.text
    assert "<script>alert" not in page.text
    for address in ("/api/scripture", "/api/scripture/chapter"):
        answer = client.get(f"{address}?{query}")
        assert (answer.status_code, set(answer.json())) == (404, {"error"})


def test_a_home_without_pairs_says_what_to_do(empty):
    page = empty.get("/scripture?book=JOB&chapter=39")
    assert page.status_code == 200
    assert "stt run --through scripture_split" in page.text
    assert empty.get("/api/scripture").json() == {"overview": None}
    assert empty.get("/api/scripture/chapter").json() == {"chapter": None}
    nothing = {"texts": [], "by_text": [], "by_genre": [], "reasons": []}
    assert empty.get("/api/scripture/counts").json() == nothing
    assert empty.get("/api/glossary").json() == {"terms": []}


@pytest.mark.parametrize("path", ["/scripture", "/glossary", "/api/scripture", "/static/scripture.css"])
def test_every_answer_carries_the_security_headers(client, path):
    answer = client.get(path)
    assert answer.status_code == 200
    assert answer.headers["content-security-policy"].startswith("default-src 'none'")
    assert "attacked" not in answer.text
