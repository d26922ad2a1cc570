import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, expect

from stt_platform_tests.e2e.serving import serving
from stt_platform_tests.helpers import listening_home as fixture


@pytest.fixture(scope="module")
def address(tmp_path_factory) -> Iterator[str]:
    with serving(fixture.build_home(tmp_path_factory.mktemp("home"))) as address:
        yield address


@pytest.fixture
def sermon(page: Page, address: str) -> Page:
    page.goto(f"{address}/sermon/{fixture.SERMON}")
    expect(page.locator(".passage")).to_have_count(len(fixture.CHUNKS))
    for sound in page.locator("audio").all():
        sound.evaluate(
            "audio => audio.readyState || new Promise(ready => audio.addEventListener('loadedmetadata', () => ready()))"
        )
    return page


@pytest.fixture
def phone(page: Page) -> Page:
    page.set_viewport_size({"width": 390, "height": 844})
    return page


def position_s(page: Page) -> float:
    return page.evaluate("document.querySelector('audio[data-heard]').currentTime")


def wait_until(page: Page, condition: str) -> None:
    """Wait for a JavaScript expression. Playwright's own way needs `eval`, which the page's policy forbids."""
    page.evaluate(
        f"() => new Promise(done => {{ const look = () => {condition} ? done() : setTimeout(look, 20); look(); }})"
    )


def sounding(page: Page) -> list[str]:
    """The views that play at this moment."""
    return page.locator("audio").evaluate_all("all => all.filter(each => !each.paused).map(each => each.dataset.view)")


def view_button(page: Page, view: str):
    return page.locator(f".view-name[data-view={view}]")


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


def test_both_views_are_side_by_side_and_one_is_heard(sermon):
    names = sermon.locator(".view-name")
    expect(names).to_have_text([re.compile(view) for view in fixture.VIEWS])
    expect(view_button(sermon, "original")).to_have_attribute("aria-pressed", "true")
    expect(view_button(sermon, "enhanced")).to_have_attribute("aria-pressed", "false")
    tops = [names.nth(number).bounding_box()["y"] for number in range(2)]
    for view, top in zip(fixture.VIEWS, tops, strict=True):
        image = sermon.locator(f".track img[src*='view={view}']").first
        expect(image).to_have_js_property("complete", True)
        assert image.evaluate("image => image.naturalWidth") > 16
        assert image.bounding_box()["y"] == pytest.approx(top, abs=2)


def test_the_other_view_goes_on_where_the_first_was(sermon):
    click_at(sermon, "#strip", 0.25)
    sermon.keyboard.press("v")
    expect(view_button(sermon, "enhanced")).to_have_attribute("aria-pressed", "true")
    assert position_s(sermon) == pytest.approx(3.0, abs=0.05)
    assert "view=enhanced" in sermon.locator("#overview").get_attribute("src")

    sermon.get_by_role("button", name="Play", exact=True).click()
    wait_until(sermon, "document.querySelector('audio[data-heard]').currentTime > 3.2")
    before = position_s(sermon)
    view_button(sermon, "original").click()
    wait_until(sermon, "[...document.querySelectorAll('audio')].filter(each => !each.paused).length === 1")
    assert sounding(sermon) == ["original"]
    expect(sermon.get_by_role("button", name="Pause", exact=True)).to_be_visible()
    after = position_s(sermon)
    assert before <= after < before + 5
    wait_until(sermon, f"document.querySelector('audio[data-heard]').currentTime > {after}")

    # To and fro, faster than a sound can begin.
    for _ in range(5):
        sermon.keyboard.press("v")
    wait_until(sermon, "[...document.querySelectorAll('audio')].filter(each => !each.paused).length === 1")
    assert sounding(sermon) == ["enhanced"]
    expect(sermon.locator("#problem")).to_be_hidden()


def test_the_speed_is_the_same_in_both_views(sermon):
    sermon.get_by_label("Speed").select_option("1.5")
    sermon.keyboard.press("v")
    assert sermon.locator("audio[data-heard]").evaluate("audio => audio.playbackRate") == 1.5


def test_the_recogniser_is_named_with_the_view_that_it_heard(sermon):
    expect(sermon.locator("#system option")).to_have_text([f"{fixture.RECOGNISER} on enhanced"])


def test_lanes_say_what_is_heard_and_who_speaks(sermon):
    expect(sermon.locator("#strip-names .lane-name")).to_have_text(["Whole", "Sound", "S1", "S2"])
    expect(sermon.locator("#strip-lanes .lane").nth(0).locator("i")).to_have_count(len(fixture.SEGMENTS))
    music = sermon.locator("#strip-lanes .music")
    assert music.get_attribute("title") == "music, 0:03.7 – 0:04.5"
    strip, box = sermon.locator("#strip").bounding_box(), music.bounding_box()
    share = (box["x"] - strip["x"]) / strip["width"], box["width"] / strip["width"]
    assert share == pytest.approx((3.75 / 12, 0.75 / 12), abs=0.005)

    click_at(sermon, "#strip", 5.0 / fixture.DURATION_S)
    expect(sermon.locator("#heard-now")).to_have_text("speech over music · S2")
    expect(sermon.locator(".track .speech_over_music")).to_have_text("speech over music")
    expect(sermon.locator(".track .turn", has_text="S2")).to_be_in_viewport()
    expect(sermon.locator("#legend-sounds")).to_contain_text("speech over music")
    expect(sermon.locator("#legend-speakers")).to_contain_text("S1 is the speaker who speaks longest")
    expect(sermon.locator("#legend-views")).to_contain_text("4.5 dB below the level aimed at")


def test_a_chunk_shows_its_measures_and_what_others_heard(sermon):
    sermon.locator(".passage").nth(2).locator(".word").first.click()
    details = sermon.locator("#chunk-details")
    expect(details).to_contain_text("voice over background noise; at least 15 dB wanted")
    for shown in ("21.5 dB", "0.04 %", "7.0 kHz", "14.0 %", "text to be checked", fixture.UNSURE_REASON):
        expect(details).to_contain_text(shown)
    texts = details.locator(".heard-text")
    expect(texts).to_have_count(3)
    for number, system in enumerate((fixture.RECOGNISER, fixture.SECOND, "captions")):
        expect(texts.nth(number)).to_contain_text(system)
    expect(texts.nth(2)).to_contain_text("until warning comes")
    badges = sermon.locator(".passage .badge")
    expect(badges).to_have_text(["reliable text", "text to be checked"])
    sermon.locator(".passage").nth(1).locator(".word").first.click()
    expect(texts.nth(1)).to_contain_text(fixture.HOSTILE_TITLE)
    assert sermon.evaluate("window.attacked") is None


def funnel_shares(page: Page) -> list[float]:
    """How long the bars are, as shares of the first."""
    return page.locator("#funnel .bar").evaluate_all(
        "bars => bars.map(bar => bar.querySelector('.left').offsetWidth / bar.offsetWidth)"
    )


def test_the_funnel_of_all_sermons(page, address):
    page.goto(address)
    rows = page.locator("#funnel li")
    expect(rows).to_have_count(5)
    expect(page.locator("#funnel summary")).to_contain_text("17 s came in")
    expect(rows.nth(1)).to_contain_text("nobody speaks 5 s")
    expect(rows.nth(3)).to_contain_text("too noisy 2 s")
    expect(rows.nth(4)).to_contain_text("text to be checked 4 s")
    assert funnel_shares(page) == pytest.approx([1, 12 / 17, 8.5 / 17, 6.5 / 17, 2.5 / 17], abs=0.01)


def test_the_funnel_of_a_sermon_opens_on_its_page(sermon):
    sermon.locator("#funnel summary").click()
    expect(sermon.locator("#funnel li").nth(2)).to_contain_text("speech, cut into chunks")
    assert funnel_shares(sermon) == pytest.approx([1, 1, 8.5 / 12, 6.5 / 12, 2.5 / 12], abs=0.01)


def test_where_nothing_came_in_there_is_no_funnel(address_of_nothing, page):
    page.goto(address_of_nothing)
    expect(page.get_by_role("heading", name="No sermons yet")).to_be_visible()
    expect(page.locator("#funnel")).to_be_hidden()


@pytest.mark.parametrize("path", ["/", f"/sermon/{fixture.SERMON}#t=5"])
def test_nothing_is_wider_than_a_phone(phone, address, path):
    phone.goto(f"{address}{path}")
    expect(phone.locator("#funnel summary")).to_be_visible()
    assert phone.evaluate("document.documentElement.scrollWidth") == 390


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
    # The first sermon that waits makes the server load all stages, which are many seconds on a busy machine.
    expect(page.get_by_role("heading", name=heading)).to_be_visible()
    expect(page.locator("#verdict")).to_contain_text(text)


def test_a_hostile_title_stays_text(page, address):
    page.goto(address)
    expect(page.locator("#rows")).to_contain_text(fixture.HOSTILE_TITLE)
    page.goto(f"{address}/sermon/{fixture.HOSTILE}")
    expect(page.get_by_role("heading", level=1)).to_have_text(fixture.HOSTILE_TITLE)
    expect(page.locator("#verdict")).to_contain_text(fixture.HOSTILE_TITLE)
    assert page.evaluate("window.attacked") is None
