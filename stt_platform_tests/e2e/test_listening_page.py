import re
import subprocess
import sys
from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, expect

from stt_platform_tests import listening_home as fixture

SERVE = "import sys, pathlib; from stt_platform.listening.app import serve; serve(pathlib.Path(sys.argv[1]), port=0)"


@pytest.fixture(scope="module")
def address(tmp_path_factory) -> Iterator[str]:
    """Where the real server answers, started as a process of its own on a free port."""
    home = fixture.build_home(tmp_path_factory.mktemp("home"))
    command = [sys.executable, "-u", "-c", SERVE, str(home)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        try:
            yield server.stdout.readline().split()[-1]
        finally:
            server.terminate()


@pytest.fixture
def sermon(page: Page, address: str) -> Page:
    page.goto(f"{address}/sermon/{fixture.SERMON}")
    expect(page.locator(".passage")).to_have_count(len(fixture.CHUNKS))
    page.locator("audio").evaluate(
        "audio => audio.readyState || new Promise(ready => audio.addEventListener('loadedmetadata', () => ready()))"
    )
    return page


def position_s(page: Page) -> float:
    return page.evaluate("document.querySelector('audio').currentTime")


def shown_word(page: Page):
    return page.locator(".passage .word.now")


def middle_s(chunk: int) -> float:
    start_s, end_s, *_ = fixture.CHUNKS[chunk]
    return (start_s + end_s) / 2


def click_at(page: Page, strip_id: str, share: float) -> None:
    """Click a strip at a share of its width."""
    box = page.locator(strip_id).bounding_box()
    page.mouse.click(box["x"] + share * box["width"], box["y"] + box["height"] / 2)


def test_the_list_leads_to_a_sermon(page, address):
    page.goto(address)
    expect(page.locator("#rows tr")).to_have_count(5)
    silent = page.locator("#rows tr.rejected", has_text="Silent Sunday")
    expect(silent).to_contain_text(fixture.SILENT_REASON)
    page.get_by_role("searchbox").fill("ann lamp")
    expect(page.locator("#rows tr")).to_have_count(1)
    page.get_by_role("link", name="The Lamp and the Oil").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("The Lamp and the Oil")


def test_a_click_on_a_word_jumps_to_it(sermon):
    chunk, word = 2, 4
    sermon.locator(".passage").nth(chunk).locator(".word").nth(word).click()
    start_s, end_s = fixture.word_times_s(chunk, word)
    assert start_s <= position_s(sermon) < end_s
    expect(shown_word(sermon)).to_have_text(fixture.CHUNKS[chunk][4][word])
    assert re.search(r"#t=9\.\d+$", sermon.url)


def test_the_words_follow_the_sound(sermon):
    first, *_, last = words = fixture.CHUNKS[2][4]
    sermon.locator(".passage").nth(2).locator(".word").first.click()
    expect(shown_word(sermon)).to_have_text(first)
    sermon.evaluate(
        """() => {
            window.seen = [];
            new MutationObserver(() => {
                const word = document.querySelector(".passage .word.now")?.textContent;
                if (word && word !== window.seen.at(-1)) window.seen.push(word);
            }).observe(document.getElementById("chunks"), { subtree: true, attributeFilter: ["class"] });
        }"""
    )
    sermon.get_by_role("button", name="Play", exact=True).click()
    expect(sermon.get_by_role("button", name="Pause", exact=True)).to_be_visible()
    expect(shown_word(sermon)).to_have_text(last)
    seen = sermon.evaluate("window.seen")
    # A busy machine may pass over a word, but never goes back.
    positions = [words.index(word) for word in seen]
    assert len(seen) >= 3
    assert positions == sorted(positions)


def test_a_rejected_chunk_is_grey_and_says_why(sermon):
    box = sermon.locator(".track .chunk.rejected")
    click_at(sermon, "#strip", middle_s(1) / fixture.DURATION_S)
    assert position_s(sermon) == pytest.approx(middle_s(1), abs=0.05)
    expect(box).to_contain_text(fixture.CHUNK_REASON)
    expect(box).to_be_in_viewport()
    expect(sermon.locator(".passage.rejected.current .why")).to_contain_text(fixture.CHUNK_REASON)
    expect(sermon.locator("#chunk-details")).to_contain_text(fixture.CHUNK_REASON)


def test_a_click_in_the_close_up_jumps_there(sermon):
    click_at(sermon, "#closeup", 0.75)
    # The window shows 10 s around the position, which was 0.
    assert position_s(sermon) == pytest.approx(2.5, abs=0.1)
    expect(sermon.locator("#chunk-details")).to_contain_text("accepted")


def test_the_pictures_are_drawn(sermon):
    for picture in ("#overview", ".track img"):
        image = sermon.locator(picture).first
        expect(image).to_have_js_property("complete", True)
        assert image.evaluate("image => image.naturalWidth") > 16


def test_the_keyboard(sermon):
    sermon.keyboard.press("]")
    assert fixture.CHUNKS[0][0] <= position_s(sermon) < fixture.CHUNKS[0][0] + 0.1
    sermon.keyboard.press("]")
    sermon.keyboard.press("]")
    assert fixture.CHUNKS[2][0] <= position_s(sermon) < fixture.CHUNKS[2][0] + 0.1
    sermon.keyboard.press("[")
    assert fixture.CHUNKS[1][0] <= position_s(sermon) < fixture.CHUNKS[1][0] + 0.1
    sermon.keyboard.press("ArrowRight")
    assert position_s(sermon) == pytest.approx(fixture.CHUNKS[1][0] + 5, abs=0.1)
    sermon.keyboard.press("ArrowLeft")
    assert position_s(sermon) == pytest.approx(fixture.CHUNKS[1][0], abs=0.1)
    sermon.keyboard.press(" ")
    expect(sermon.get_by_role("button", name="Pause", exact=True)).to_be_visible()
    sermon.keyboard.press(" ")
    expect(sermon.get_by_role("button", name="Play", exact=True)).to_be_visible()


def test_a_link_opens_at_its_time(page, address):
    page.goto(f"{address}/sermon/{fixture.SERMON}#t=7.6")
    expect(shown_word(page)).to_have_text("your")
    assert position_s(page) == pytest.approx(7.6, abs=0.01)


def test_a_word_of_low_probability_is_marked(sermon):
    expect(sermon.locator(".passage .word.doubtful")).to_have_text(["lamp"])


@pytest.mark.parametrize(
    ("key", "heading", "text"),
    [
        (fixture.SILENT, "This sermon is not used", fixture.SILENT_REASON),
        (fixture.UNREADABLE, "This sermon is not used", "its content is text"),
        (fixture.WAITING, "This sermon is still waiting", "The sound has to be converted"),
    ],
)
def test_a_sermon_without_a_transcript_says_why(page, address, key, heading, text):
    page.goto(f"{address}/sermon/{key}")
    expect(page.get_by_role("heading", name=heading)).to_be_visible()
    expect(page.locator("#verdict")).to_contain_text(text)


def test_a_hostile_title_stays_text(page, address):
    page.goto(address)
    expect(page.locator("#rows")).to_contain_text(fixture.HOSTILE_TITLE)
    page.goto(f"{address}/sermon/{fixture.HOSTILE}")
    expect(page.get_by_role("heading", level=1)).to_have_text(fixture.HOSTILE_TITLE)
    expect(page.locator("#verdict")).to_contain_text(fixture.HOSTILE_TITLE)
    assert page.evaluate("window.attacked") is None
