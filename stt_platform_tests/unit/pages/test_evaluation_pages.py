"""What the pages of the evaluations are given, and what they refuse."""

import json
import re
import shutil
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from stt_platform.evaluation.evaluation_report import LEVELS
from stt_platform.evaluation.metrics import all_metrics
from stt_platform.evaluation.report_templates import style_source
from stt_platform.pages import app as listening_app
from stt_platform.store.metadata import MetadataStore
from stt_platform.store.schemas import EVALUATION_SETS
from stt_platform_tests.helpers import evaluation_home as fixture
from stt_platform_tests.helpers import listening_home

HOST = "http://127.0.0.1:3001"


def client_of(home: Path) -> TestClient:
    return TestClient(listening_app.create_app(home), base_url=HOST)


@pytest.fixture(scope="module")
def home(tmp_path_factory) -> Path:
    return fixture.build_home(tmp_path_factory.mktemp("home"))


@pytest.fixture(scope="module")
def client(home) -> TestClient:
    return client_of(home)


@pytest.fixture(scope="module")
def overview(client) -> dict:
    return client.get("/api/evaluation").json()


@pytest.fixture(scope="module")
def empty(tmp_path_factory) -> TestClient:
    return client_of(tmp_path_factory.mktemp("empty"))


@pytest.fixture
def copy(home, tmp_path) -> Path:
    """A home that a test may damage."""
    return shutil.copytree(home, tmp_path / "home")


def test_the_newest_report_comes_first_with_its_verdict(overview):
    reports = overview["reports"]
    assert [(row["name"], row["level"], row["sign"]) for row in reports] == [
        ("translation-hostile", "invalid", "!"),
        ("translation-4b", "mixed", "±"),
        ("translation-base", "nothing", "–"),
        ("speech-cycle-4", "invalid", "!"),
        ("speech-cycle-3", "better", "✓"),
        ("speech-cycle-2", "worse", "✗"),
        ("speech-cycle-1", "undecided", "?"),
        ("speech-cycle-0", "alone", "○"),
    ]
    assert {row["level"] for row in reports} == set(LEVELS)
    better = reports[4]
    assert (better["subject"], better["verdict"]) == ("speech", "Better")
    assert better["system"] == f"{fixture.RECOGNISER}+9c41f07ab2d3"
    assert better["words"].startswith("Better than its base on the church test: −3.0 points WER")
    assert re.fullmatch(r"2026-\d\d-\d\d", better["made"])


def names_listed(home: Path) -> list[str]:
    return [row["name"] for row in client_of(home).get("/api/evaluation").json()["reports"]]


def test_what_is_no_card_is_not_listed(copy):
    before = names_listed(copy)
    broken = ["", "{", "[]", "{}", '{"name": "speech-cycle-3"}', b"\xff\xfe", "no card at all", "9" * 5000]
    for number, content in enumerate(broken):
        data = content if isinstance(content, bytes) else content.encode()
        (copy / "reports" / f"broken-{number}.json").write_bytes(data)
    assert names_listed(copy) == before


def test_a_card_of_no_page_is_not_listed(copy):
    before = names_listed(copy)
    card = json.loads((copy / "reports" / "speech-cycle-3.json").read_text())
    for number, name in enumerate([5, None, ["x"], "../settings", "x/y", "", "nowhere"]):
        (copy / "reports" / f"stray-{number}.json").write_text(json.dumps({**card, "name": name}))
    assert names_listed(copy) == before


def test_a_level_of_a_later_version_is_shown_as_undecided(copy):
    path = copy / "reports" / "speech-cycle-3.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "level": "splendid"}))
    reports = {row["name"]: row for row in client_of(copy).get("/api/evaluation").json()["reports"]}
    assert reports["speech-cycle-3"]["sign"] == "?"


def test_of_one_day_the_later_cycle_comes_first(tmp_path):
    for number in (9, 10, 2):
        fixture.publish(tmp_path, f"speech-cycle-{number}", "speech", fixture.nothing(), made_s=1_795_600_000)
    assert names_listed(tmp_path) == ["speech-cycle-10", "speech-cycle-9", "speech-cycle-2"]


def test_the_assessment_names_every_band_that_the_rate_may_lie_in(overview):
    assessment = overview["assessment"]
    (system,) = assessment["systems"]
    assert (system["system"], system["n"]) == (fixture.RECOGNISER, 8)
    assert system["ci_low"] < 0.2 < system["ci_high"] < 0.3
    assert (system["band"], system["candidates"], system["certain"]) == ("10-20 %", ["10-20 %", "20-30 %"], False)
    assert "the careful choice: pass over everything weakly supervised" in system["words"]
    assert [band["below"] for band in assessment["bands"]] == [0.1, 0.2, 0.3, None]
    assert (assessment["chunks"], assessment["written"], assessment["wanted"]) == (100, 64, 100)
    assert assessment["policy"]["policy"] == "weak_then_clean"
    assert assessment["policy"]["words"] == "pass over everything weakly supervised, then train on the clean subset"


def test_the_view_has_its_reason_and_the_rates_of_both(overview):
    view = overview["view"]
    assert view["view"] == "enhanced"
    assert view["why"] == fixture.WHY_ENHANCED
    assert [row["view"] for row in view["measured"]] == ["enhanced", "original"]
    assert [each["decision"] for each in view["measured"][0]["compared"]] == ["better"]


def test_the_rate_of_a_single_view_is_no_comparison(copy):
    MetadataStore(copy).remove("view_comparison", "evaluations")
    rows = client_of(copy).get("/api/evaluation").json()
    assert "view: enhanced" in {row["slice"] for row in rows["numbers"]}
    assert rows["view"]["measured"] == []


@pytest.mark.parametrize("content", ["{", '{"view": "louder"}', "[1]"])
def test_a_choice_that_cannot_be_read_names_its_file(copy, content):
    for name in ("training_view", "label_policy"):
        (copy / "choices" / f"{name}.json").write_text(content)
    overview = client_of(copy).get("/api/evaluation").json()
    assert "training_view.json" in overview["view"]["problem"]
    assert "label_policy.json" in overview["assessment"]["policy"]["problem"]


def test_every_number_is_there_with_what_it_was_compared_with(overview):
    numbers = overview["numbers"]
    assert [row["set"] for row in numbers] == sorted((row["set"] for row in numbers), key=EVALUATION_SETS.index)
    of_adapter = {
        (row["slice"], row["metric"]): row
        for row in numbers
        if row["evaluation_id"] == "evaluation of speech-cycle-3" and row["adapter_id"]
    }
    wer = of_adapter["all", "wer"]
    assert 0.09 < wer["ci_low"] < wer["value"] < wer["ci_high"] < 0.14
    (comparison,) = wer["compared"]
    assert (comparison["compared_with"], comparison["decision"]) == (fixture.RECOGNISER, "better")
    assert comparison["difference"] < 0
    assert of_adapter["speaker: John Okafor", "wer"]["compared"][0]["decision"] == "undecided"
    assert [of_adapter[key]["whole"] for key in (("all", "wer"), ("noise: noisy", "wer"))] == [True, False]
    unscored = [row for row in numbers if row["metric"] == "comet"]
    assert {(row["value"], row["reason"][:9]) for row in unscored} == {(None, "its model")}


def test_a_general_set_is_whole_though_it_has_a_name(copy):
    fixture.write_assessment(copy, {"set: NTREX-128": 0.1, "text of: whole sermon": 0.2})
    rows = [
        row for row in client_of(copy).get("/api/evaluation").json()["numbers"] if row["evaluation_id"] == "baseline"
    ]
    assert {row["slice"]: row["whole"] for row in rows} == {"set: NTREX-128": True, "text of: whole sermon": False}


def test_what_is_infinite_is_null_and_what_is_hostile_stays_text(overview):
    (row,) = [row for row in overview["numbers"] if row["set"] == "general_text"]
    assert row["value"] is None
    assert row["metric"] == row["system"] == row["reason"] == fixture.HOSTILE


def test_sets_and_measures_have_words(overview):
    assert set(overview["sets"]) == set(EVALUATION_SETS)
    assert not set(overview["sets"].values()) & set(EVALUATION_SETS)
    measures = overview["metrics"]
    assert set(measures) == set(all_metrics())
    assert {"wer", "rtf", "term_accuracy", "recited_verses", "texts_per_s", "chrf_today"} <= set(measures)
    for words in measures.values():
        assert words["label"] and words["explanation"]
        assert isinstance(words["lower_is_better"], bool)


@pytest.mark.parametrize("name", fixture.REPORTS)
def test_a_report_is_served_under_a_policy_that_allows_its_style_only(client, home, name):
    answer = client.get(f"/evaluation/{name}")
    assert (answer.status_code, answer.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert answer.headers.get_list("content-security-policy") == [
        f"default-src 'none'; style-src {style_source()}; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ]
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "<script" not in answer.text
    kept = (home / "reports" / f"{name}.html").read_text(encoding="utf-8")
    link = '<nav class="back"><a href="/evaluation">← All evaluations</a></nav>\n'
    assert "<a " not in kept
    assert answer.text.replace(link, "") == kept != answer.text


def test_a_report_with_an_earlier_style_keeps_it(copy):
    path = copy / "reports" / "speech-cycle-1.html"
    path.write_text(path.read_text(encoding="utf-8").replace("</style>", "p { margin: 0; }</style>"), encoding="utf-8")
    policy = client_of(copy).get("/evaluation/speech-cycle-1").headers["content-security-policy"]
    assert "style-src 'sha256-" in policy
    assert style_source() not in policy


def test_a_page_that_is_no_report_gets_no_style(copy):
    (copy / "reports" / "speech-cycle-1.html").write_bytes(b"<script>window.attacked=1</script>\xff")
    answer = client_of(copy).get("/evaluation/speech-cycle-1")
    assert answer.headers["content-security-policy"].startswith("default-src 'none'; style-src 'none';")


@pytest.mark.parametrize(
    "name",
    [
        "speech-cycle-99",
        "speech-cycle-3.html",
        "speech-cycle-3.json",
        "../secret",
        "..%2fsecret",
        "%2e%2e%2fsecret",
        "%2e%2e%2f%2e%2e%2f%2e%2e%2fetc%2fpasswd",
        "..%5csecret",
        "%2e%2e",
        "%2e",
        "folder",
        "Speech-Cycle-3",
        "speech-cycle-3%00",
        "speech-cycle-3%0a",
        "speech-cycle-3%2f..%2fspeech-cycle-2",
        "a" * 500,
        "%D9%A2",
        "<script>alert(1)</script>",
        "'%20or%201=1--x",
    ],
)
def test_a_name_of_no_report_is_not_found(client, home, name):
    (home / "secret.html").write_text("root: secret")
    (home / "reports" / "folder.html").mkdir(exist_ok=True)
    answer = client.get(f"/evaluation/{name}")
    assert answer.status_code == 404
    assert answer.headers["content-type"].startswith("text/html")
    assert "root:" not in answer.text
    assert "<script>alert" not in answer.text
    assert answer.headers["content-security-policy"].startswith("default-src 'none'; script-src 'self'")


def test_a_home_without_anything_says_what_to_do_first(empty):
    page = empty.get("/evaluation")
    assert page.status_code == 200
    for step in (
        "stt run --through assessment_sample",
        "assessment/assessment_sample.csv",
        "stt run --through baseline_wer",
    ):
        assert step in page.text
    overview = empty.get("/api/evaluation").json()
    assert (overview["reports"], overview["numbers"], overview["view"]["measured"]) == ([], [], [])
    assert (overview["assessment"]["systems"], overview["assessment"]["chunks"]) == ([], 0)
    assert overview["assessment"]["policy"]["policy"] == "drop_worst"
    assert overview["view"]["view"] == "enhanced"
    assert empty.get("/evaluation/speech-cycle-1").status_code == 404


@pytest.mark.parametrize("path", ["/evaluation", "/api/evaluation", "/static/evaluation.css", "/static/evaluation.js"])
def test_every_answer_carries_the_security_headers(client, path):
    answer = client.get(path)
    assert answer.status_code == 200
    assert answer.headers["content-security-policy"].startswith("default-src 'none'; script-src 'self'")
    assert "attacked" not in answer.text or path == "/api/evaluation"


def test_every_page_leads_to_the_others(tmp_path):
    client = client_of(listening_home.build_home(tmp_path))
    pages = ("/", "/scripture", "/glossary", "/evaluation")
    for path in (*pages, f"/sermon/{listening_home.SERMON}", "/nowhere"):
        linked = set(re.findall(r'href="(/[a-z]*)"', client.get(path).text))
        assert set(pages) - {path} <= linked, path
