"""The page of the trainings in a real browser: the curve is drawn, and grows while the training goes on."""

import json
import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from stt_platform.machine.files import write_atomically
from stt_platform_tests.e2e.serving import serving
from stt_platform_tests.e2e.test_evaluation_page import FAULTS

HOSTILE = "<img src=x onerror=window.attacked=1>"


def write(home: Path, name: str, count: int, *, total: int = 40, ago_s: float = 0.0, **changed) -> None:
    """A file as a training writes it after `count` steps, the loss on its way from 2 down to 0.5."""
    path = home / "training" / "live" / f"{name}.json"
    steps = [
        {
            "step": step,
            "steps_total": total,
            "loss": 0.5 + 1.5 / step + 0.1 * (step % 2),
            "tokens_per_s": 1234.0,
            "memory_bytes": 4_769_099_776,
            "evaluation": {"loss": 0.6 + 1 / step, "wer": 0.1 + 0.1 / step} if step % 10 == 0 else {},
        }
        for step in range(1, count + 1)
    ]
    state = {"asset": "whisper_adapter", "part": "1", "status": "training", "steps": steps} | changed
    write_atomically(path, json.dumps(state).encode())
    os.utime(path, (time.time() - ago_s,) * 2)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    write(tmp_path, "whisper_adapter-1", 20)
    write(tmp_path, "marian_model", 40, asset="marian_model", part=None, status="done", ago_s=60)
    write(tmp_path, "whisper_adapter-0", 30, part="0", status="interrupted", ago_s=4000)
    write(tmp_path, "translategemma_adapter-a", 12, asset="translategemma_adapter", part="A", ago_s=9000)
    write(tmp_path, "unknown-x", 3, asset=HOSTILE, part=HOSTILE, status="stopped early", ago_s=99_000)
    (tmp_path / "training" / "live" / "broken.json").write_text("{", encoding="utf-8")
    return tmp_path


@pytest.fixture
def address(home: Path) -> Iterator[str]:
    with serving(home) as address:
        yield address


def opened(page: Page, address: str) -> Page:
    page.goto(f"{address}/training")
    expect(page.locator(".training").first).to_be_visible()
    return page


def points(chart) -> list[tuple[float, float]]:
    """The corners of the line of the steps, in pixels of the chart."""
    pairs = chart.locator("path.each").get_attribute("d").removeprefix("M").split("L")
    return [tuple(map(float, pair.split())) for pair in pairs]


def test_the_curve_is_drawn_and_grows_with_the_file(home: Path, address: str, page: Page) -> None:
    opened(page, address)
    card = page.get_by_role("region", name="Recogniser: cycle 1")
    chart = card.locator("svg.chart").first
    expect(card.locator(".reached")).to_have_text("step 20 of 40")
    expect(chart).to_have_attribute(
        "aria-label",
        "Loss: from 2.1 at step 1 to 0.575 at step 20; on held-out examples: from 0.7 at step 10 to 0.65 at step 20",
    )
    before = points(chart)
    assert len(before) == 20
    # The loss falls: further down on the screen is a larger y.
    assert before[-1][1] > before[0][1] + 100
    left, right = before[0][0], before[-1][0]
    ahead = chart.locator(".ahead").bounding_box()["width"]
    assert ahead / (right - left) == pytest.approx(20 / 19, rel=0.02)
    expect(chart.locator("circle.held-out")).to_have_count(2)

    write(home, "whisper_adapter-1", 30)
    expect(card.locator(".reached")).to_have_text("step 30 of 40")
    after = points(chart)
    assert len(after) == 30
    assert after[-1][0] > before[-1][0] + 50
    expect(chart.locator("circle.held-out")).to_have_count(3)

    write(home, "whisper_adapter-1", 40, status="done")
    expect(card.locator(".state")).to_contain_text("Done")
    expect(chart.locator(".ahead")).to_have_count(0)
    expect(page.locator("#summary")).to_contain_text("Nothing is being trained now")


def test_each_card_says_how_it_stands(address: str, page: Page) -> None:
    opened(page, address)
    expect(page.locator("#summary")).to_contain_text("1 at work")
    expect(page.locator(".training h2")).to_have_text(
        [
            "Recogniser: cycle 1",
            "broken",
            "Small translator",
            "Recogniser: cycle 0",
            "Translator: TranslateGemma A",
            f"{HOSTILE}: {HOSTILE}",
        ]
    )
    expect(page.locator(".training .state")).to_contain_text(
        ["Training", "Cannot be shown", "Done", "Interrupted", "No news", "Stopped early"]
    )
    working = page.get_by_role("region", name="Recogniser: cycle 1")
    expect(working.locator("dl")).to_contain_text("tokens per second1,234")
    expect(working.locator("dl")).to_contain_text("memory4.8 GB")
    expect(
        working.get_by_role("img", name="Word error rate (WER): from 11 % at step 10 to 10.5 % at step 20")
    ).to_be_visible()
    assert page.evaluate("window.attacked") is None


def test_a_broken_file_says_so_on_its_card(address: str, page: Page) -> None:
    opened(page, address)
    broken = page.get_by_role("region", name="broken")
    expect(broken).to_contain_text("broken.json cannot be read")
    expect(broken.locator("svg")).to_have_count(0)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_everybody_can_read_it(browser: Browser, address: str, scheme: str) -> None:
    context = browser.new_context(color_scheme=scheme, viewport={"width": 1200, "height": 900})
    assert opened(context.new_page(), address).evaluate(FAULTS) == []
    context.close()


def test_nothing_is_wider_than_a_phone(address: str, page: Page) -> None:
    page.set_viewport_size({"width": 390, "height": 844})
    opened(page, address)
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    # Letters are as large as on a wide screen: the picture is drawn for the width that there is.
    box = page.locator("svg.chart").first.bounding_box()
    assert page.locator("svg.chart").first.get_attribute("viewBox") == f"0 0 {box['width']:.0f} {box['height']:.0f}"


def test_the_other_pages_lead_to_it_and_it_leads_back(address: str, page: Page) -> None:
    page.goto(f"{address}/glossary")
    page.get_by_role("link", name="Training").click()
    expect(page).to_have_url(f"{address}/training")
    page.get_by_role("link", name="Evaluation").click()
    expect(page).to_have_url(f"{address}/evaluation")


def test_without_anything_it_says_how_to_begin(address_of_nothing: str, page: Page) -> None:
    page.goto(f"{address_of_nothing}/training")
    expect(page.get_by_role("heading", name="Nothing has been trained yet")).to_be_visible()
    expect(page.locator("#legend")).to_be_hidden()
