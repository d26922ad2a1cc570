from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from stt_platform_tests.e2e.serving import serving
from stt_platform_tests.helpers import evaluation_home as fixture

# Texts with less contrast than WCAG 2.2 asks for (1.4.3), and what is wrong with headings, tables and fields.
FAULTS = """() => {
    const faults = [];
    const parse = (color) => color.match(/[0-9.]+/g).map(Number);
    const luminance = (color) => {
        const [r, g, b] = parse(color).map((v) => v / 255).map((v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4));
        return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    const ground = (node) => {
        for (; node; node = node.parentElement) {
            const color = getComputedStyle(node).backgroundColor;
            if (parse(color).length < 4 || parse(color)[3] > 0) return color;
        }
        return "rgb(255, 255, 255)";
    };
    const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    while (walker.nextNode()) {
        const node = walker.currentNode.parentElement;
        if (!walker.currentNode.data.trim() || node.closest("noscript, script, style") || !node.checkVisibility()) continue;
        const style = getComputedStyle(node);
        const both = [luminance(node.closest("svg") ? style.fill : style.color), luminance(ground(node))].sort((a, b) => a - b);
        const contrast = (both[1] + 0.05) / (both[0] + 0.05);
        if (contrast < 4.5) faults.push(`contrast ${contrast.toFixed(2)}: ${walker.currentNode.data.trim().slice(0, 40)}`);
    }
    const levels = [...document.querySelectorAll("h1, h2, h3, h4")].filter((node) => node.checkVisibility()).map((node) => +node.tagName[1]);
    if (levels.filter((level) => level === 1).length !== 1) faults.push("not one h1");
    levels.forEach((level, at) => at && level > levels[at - 1] + 1 && faults.push(`h${levels[at - 1]} and then h${level}`));
    if (!document.documentElement.lang) faults.push("no language");
    for (const node of document.querySelectorAll("th")) if (!node.scope) faults.push(`th without scope: ${node.textContent}`);
    for (const node of document.querySelectorAll("select, input")) if (!node.labels.length) faults.push(`no label: ${node.id}`);
    for (const node of document.querySelectorAll("svg, [role=img]")) {
        if (!node.getAttribute("aria-label") && !node.closest("[aria-hidden]")) faults.push("a picture without words");
    }
    return faults;
}"""


@pytest.fixture(scope="module")
def home(tmp_path_factory) -> Path:
    return fixture.build_home(tmp_path_factory.mktemp("home"))


@pytest.fixture(scope="module")
def address(home) -> Iterator[str]:
    with serving(home) as address:
        yield address


def opened(page: Page, address: str) -> Page:
    page.goto(address)
    expect(page.locator("#assessment:visible, .verdict").first).to_be_visible()
    return page


def test_the_verdict_leads_to_its_report_and_back(page, address):
    opened(page, f"{address}/evaluation")
    better = page.locator(".report", has_text="the adapter of cycle 3")
    expect(better.locator(".verdict-name")).to_have_text("Better")
    expect(better.locator(".sign")).to_have_text("✓")
    better.get_by_role("link").click()
    expect(page).to_have_url(f"{address}/evaluation/speech-cycle-3")
    expect(page.get_by_role("region", name="Verdict")).to_contain_text("It does better than its base")
    # The policy lets the page's own style through, and its two verdicts differ by more than their colour.
    assert page.locator(".verdict .sign").evaluate("node => getComputedStyle(node).borderRadius") == "50%"
    page.get_by_role("link", name="All evaluations").click()
    expect(page).to_have_url(f"{address}/evaluation")


def test_the_assessment_is_drawn_where_it_is(page, address):
    opened(page, f"{address}/evaluation")
    scale = page.get_by_role("img", name="may lie in 10-20 % or 20-30 %")
    width = scale.bounding_box()["width"]
    start = scale.bounding_box()["x"]
    span, dot = (scale.locator(name).bounding_box() for name in (".span", ".dot"))
    # The scale ends at 50 %.
    assert (dot["x"] + dot["width"] / 2 - start) / width == pytest.approx(0.161 / 0.5, abs=0.005)
    assert (span["x"] - start) / width == pytest.approx(0.1156 / 0.5, abs=0.005)
    assert (span["x"] + span["width"] - start) / width == pytest.approx(0.2242 / 0.5, abs=0.005)
    expect(scale.locator(".touched")).to_have_text(["10-20 %", "20-30 %"])
    expect(page.locator("#policy")).to_have_text(
        "Pass over everything weakly supervised, then train on the clean subset."
    )
    expect(page.locator("#written")).to_contain_text("64 of the 100 chunks")
    expect(page.locator("#view")).to_contain_text("The view “enhanced” is transcribed and trained on.")


def test_the_numbers_are_filtered_and_opened(page, address):
    opened(page, f"{address}/evaluation")
    rows = page.locator("#rows > tr")
    page.get_by_label("Measured on").select_option("church_test")
    page.locator("#metric").select_option("wer")
    page.get_by_label("System").select_option(f"{fixture.RECOGNISER}+9c41f07ab2d3")
    expect(rows).to_have_count(1)
    expect(rows).to_contain_text("11.1 %9.2 to 13.3n = 14")
    expect(rows).to_contain_text("−3.0 points better−3.8 to −2.2")
    page.get_by_label("Parts").select_option("every")
    expect(rows).to_have_count(5)
    expect(page.locator("#count")).to_contain_text("5 of")
    page.get_by_role("button", name="Word error rate").first.press("Enter")
    more = page.locator("tr.more")
    expect(more).to_contain_text(
        "word errors per 100 words of the reference, capitals and punctuation ignored; lower is better"
    )
    expect(more).to_contain_text("sign-flip permutation over 14 sermons")
    more.get_by_role("link", name="Report: Speech: the adapter of cycle 3").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Speech: the adapter of cycle 3")


def test_what_is_hostile_stays_text(page, address):
    opened(page, f"{address}/evaluation")
    for place in ("#report-groups", "#rows"):
        expect(page.locator(place)).to_contain_text(fixture.HOSTILE, use_inner_text=False)
    page.locator(".report", has_text="onerror").get_by_role("link").click()
    expect(page.locator("h1")).to_contain_text("onerror")
    assert page.evaluate("window.attacked") is None


def test_without_anything_the_page_says_what_to_do_first(address_of_nothing, page):
    opened(page, f"{address_of_nothing}/evaluation")
    expect(page.locator("main h2:visible").first).to_have_text("How good are the automatic texts?")
    expect(page.locator(".steps li")).to_have_count(3)
    expect(page.get_by_role("heading", name="No report yet")).to_be_visible()
    expect(page.locator("#numbers")).to_be_hidden()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_everybody_can_read_the_pages(browser: Browser, address, scheme):
    context = browser.new_context(color_scheme=scheme, viewport={"width": 1200, "height": 900})
    page = context.new_page()
    for path in ("", "/speech-cycle-3", "/speech-cycle-2", "/speech-cycle-1", "/translation-4b"):
        opened(page, f"{address}/evaluation{path}")
        assert page.evaluate(FAULTS) == [], path
    context.close()


def test_nothing_is_wider_than_a_phone(page, address):
    page.set_viewport_size({"width": 390, "height": 844})
    for path in ("", *(f"/{name}" for name in fixture.REPORTS)):
        opened(page, f"{address}/evaluation{path}")
        assert page.evaluate("document.documentElement.scrollWidth") == 390, path
        # Tables stand one cell below the other there, and none has to be moved aside.
        wide = page.locator(".wide").evaluate_all(
            "all => all.filter((each) => each.scrollWidth > each.clientWidth).length"
        )
        assert wide == 0, path


def test_a_report_opens_from_its_folder_as_well(page, home):
    opened(page, (home / "reports" / "speech-cycle-3.html").as_uri())
    assert page.locator(".verdict .sign").evaluate("node => getComputedStyle(node).borderRadius") == "50%"
    expect(page.get_by_role("link")).to_have_count(0)
