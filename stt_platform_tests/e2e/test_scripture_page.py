from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, expect

from stt_platform_tests.e2e.serving import serving
from stt_platform_tests.helpers import scripture_home as fixture

JOB_39 = "/scripture?en=kjv&es=rvr1909&book=JOB&chapter=39"


@pytest.fixture(scope="module")
def address(tmp_path_factory) -> Iterator[str]:
    with serving(fixture.build_home(tmp_path_factory.mktemp("home"))) as address:
        yield address


def heights(page: Page, en: str, es: str) -> tuple[float, float]:
    """How high the band between two verses begins on the left and on the right, in pixels from the top of the page."""
    path = page.locator(f"#bands path[data-en='{en}'][data-es='{es}']")
    left, right = path.evaluate(
        """path => {
            const box = path.ownerSVGElement.getBoundingClientRect();
            // M0 <left top> C ... <width> <right top> L ...
            const numbers = path.getAttribute("d").match(/-?[0-9.]+/g).map(Number);
            return [box.top + numbers[1], box.top + numbers[7]];
        }"""
    )
    return left, right


def test_job_39_shows_the_shift_as_slanted_bands(page, address):
    page.goto(f"{address}{JOB_39}")
    expect(page.locator("#finding")).to_contain_text("KJV 39:27 says the same as RVR1909 39:30")
    left, right = heights(page, "18039027", "18039030")
    assert left == pytest.approx(page.locator("[id='en-18039027']").bounding_box()["y"], abs=4)
    assert right == pytest.approx(page.locator("[id='es-18039030']").bounding_box()["y"], abs=4)
    row = page.locator("[id='en-18039027']").bounding_box()["height"]
    assert right - left > 2.5 * row
    # Verses of one number stand at one height, whatever they say.
    same = [page.locator(f"[id='{side}-18039020']").bounding_box()["y"] for side in ("en", "es")]
    assert same[0] == same[1]
    expect(page.locator("[id='en-18039027'] .answer")).to_have_text("= 39:30")
    expect(page.locator("[id='es-18039030'] .split")).to_have_text("test")


def test_equal_numbers_are_joined_straight_and_merged_verses_to_one(page, address):
    page.goto(f"{address}/scripture?book=GEN&chapter=1")
    left, right = heights(page, "1001002", "1001002")
    assert left == right
    expect(page.locator("#bands path.joined")).to_have_attribute("data-en", "1001004 1001005")
    set_aside = page.locator("[id='en-1001006']")
    expect(set_aside).to_contain_text(f"Set aside: {fixture.EMPTY_SIDE}")
    expect(set_aside).to_have_class("verse en alone  set-aside")
    page.get_by_label("Show the words").uncheck()
    expect(set_aside.locator(".words")).to_be_hidden()
    assert heights(page, "1001002", "1001002")[0] < left


def test_lists_and_links_lead_from_chapter_to_chapter(page, address):
    page.goto(f"{address}/scripture")
    expect(page.locator("#place")).to_contain_text("Genesis 1")
    page.get_by_role("link", name="Job 38:39 – 39:27").click()
    expect(page.locator("#place")).to_contain_text("Job 39")
    assert page.url == f"{address}{JOB_39}"
    page.locator("#previous").click()
    expect(page.locator("#place")).to_contain_text("Job 38")
    page.go_back()
    expect(page.locator("#place")).to_contain_text("Job 39")
    page.get_by_label("English").select_option("asv")
    expect(page.locator("#pairs")).to_contain_text("ASV · Job 39")
    page.get_by_label("Book").select_option("PSA")
    expect(page.locator("#place")).to_contain_text("Psalms 3 · Salmos 3")


def test_what_was_set_aside_leads_to_its_chapter(page, address):
    page.goto(f"{address}{JOB_39}")
    page.get_by_role("tab", name="Read a chapter").press("ArrowRight")
    expect(page.get_by_role("tab", name="What was set aside, and why")).to_be_focused()
    expect(page.locator("#by-text")).to_contain_text("KJV with RVR1909")
    page.locator("#reasons summary", has_text="empty side").click()
    page.get_by_role("link", name="Genesis 1:6").first.click()
    expect(page.locator("[id='en-1001006']")).to_be_visible()
    page.get_by_role("tab", name="The texts").click()
    expect(page.locator("#texts-missing")).to_contain_text("put it into a folder of texts")


def test_the_glossary_is_searched_and_filtered(page, address):
    page.goto(f"{address}/glossary")
    terms = page.locator("button.term")
    expect(terms).to_have_count(5)
    page.get_by_role("searchbox").fill("expiacion")
    expect(terms).to_have_text(["atonement"])
    page.get_by_role("searchbox").fill("")
    page.get_by_label("Subject").select_option("people")
    expect(terms).to_have_count(2)
    page.get_by_label("Status").select_option("attested")
    expect(terms).to_have_count(1)
    terms.press("Enter")
    page.get_by_role("link", name="Job 39:27").click()
    expect(page.locator("#place")).to_contain_text("Job 39")


def test_what_is_hostile_stays_text(page, address):
    for path in ("/scripture?book=2TI&chapter=4#texts", "/glossary"):
        page.goto(f"{address}{path}")
        for place in ("#pairs", "#reasons", "#texts-used") if "scripture" in path else ("#rows",):
            expect(page.locator(place)).to_contain_text(fixture.HOSTILE, use_inner_text=False)
        assert page.evaluate("window.attacked") is None


def test_without_pairs_the_pages_say_what_to_do(address_of_nothing, page):
    page.goto(f"{address_of_nothing}/scripture")
    expect(page.get_by_role("heading", name="No verse pairs yet")).to_be_visible()
    expect(page.locator("#tabs")).to_be_hidden()
    page.goto(f"{address_of_nothing}/glossary")
    expect(page.get_by_role("heading", name="not been checked yet")).to_be_visible()


def test_nothing_is_wider_than_a_phone(page, address):
    page.set_viewport_size({"width": 390, "height": 844})
    for path in (JOB_39, "/glossary"):
        page.goto(f"{address}{path}")
        expect(page.locator(".verse, .term").first).to_be_visible()
        assert page.evaluate("document.documentElement.scrollWidth") == 390
