"""The Dagster web UI as its users click in it: dialogs, runs, sensors, pools and checks, on a platform that is running."""

import re
import shutil
from collections.abc import Iterator

import pytest
from playwright.sync_api import Locator, Page, expect

from benchmarks.chaos_home import write_recordings
from stt_platform.store.intake import registrations
from stt_platform.store.stages import current_output
from stt_platform_tests.e2e.running import ARTEFACTS, PLANTED, Running, running_platform, wait_until

SECONDS = 1000
LOADED_MS = 120 * SECONDS
FINISHED_MS = 900 * SECONDS

# Ends when the sound has moved on.
PLAYS = (
    "audio => new Promise(heard => { audio.ontimeupdate = () => audio.currentTime > 0.2 && heard(); audio.play(); })"
)


def keep(page: Page, name: str) -> None:
    ARTEFACTS.mkdir(exist_ok=True)
    page.screenshot(path=ARTEFACTS / f"{name}.png")


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with running_platform(tmp_path_factory.mktemp("home")) as running:
        yield running


@pytest.fixture(scope="module")
def sermons(platform: Running) -> list[str]:
    """Six sermons that nobody works on: a sensor took them in, and the one that starts them was switched off."""
    for recording in write_recordings(platform.home.parent / "recordings", 6):
        shutil.copy(recording, platform.home / "inbox")
    wait_until("the sermons", lambda: len(registrations(platform.home)) == 6)
    return sorted(registrations(platform.home))


def sensor(page: Page, platform: Running, name: str) -> Page:
    page.goto(f"{platform.dagster}/locations/stt_platform/sensors/{name}")
    expect(page.get_by_role("row", name=re.compile("Running"))).to_be_visible(timeout=LOADED_MS)
    return page


def switch(page: Page) -> Locator:
    return page.get_by_role("row", name=re.compile("Running")).locator("label:has(input[type=checkbox])")


def job(page: Page, platform: Running, name: str) -> Page:
    page.goto(f"{platform.dagster}/locations/stt_platform/jobs/{name}")
    page.get_by_role("button", name="Materialize all").click(timeout=LOADED_MS)
    return page


def finished(page: Page, words: str) -> None:
    """The page of what was launched, once it has ended and says so in these words."""
    page.get_by_role("link", name="View", exact=True).or_(page.get_by_role("button", name="View", exact=True)).click()
    expect(page.get_by_text(words, exact=True).first).to_be_visible(timeout=FINISHED_MS)


def choose(page: Page, platform: Running, sermons: list[str]) -> None:
    """In the dialog of the job; the list is as long as it likes to be, so each is searched for."""
    job(page, platform, "sermon_stages")
    page.get_by_text("Select a partition").click()
    for sermon in sermons:
        page.get_by_placeholder("Filter partitions").fill(sermon)
        page.locator("label", has_text=sermon).click()
    page.keyboard.press("Escape")


def launch_one(page: Page, platform: Running, sermon: str) -> None:
    choose(page, platform, [sermon])
    page.get_by_role("button", name="Launch 1 run").click()


def test_all_sensors_are_on_and_one_can_be_switched_off(platform: Running, page: Page) -> None:
    page.goto(f"{platform.dagster}/automation")
    for name in ("inbox", "new_sermons", "new_corrections", "retrain"):
        expect(page.get_by_text(name, exact=True).first).to_be_visible(timeout=LOADED_MS)
    switches = page.locator("input[type=checkbox]:checked")
    expect(switches).to_have_count(9)
    keep(page, "sensors")
    sensor(page, platform, "new_sermons")
    switch(page).click()
    expect(page.get_by_role("row", name=re.compile("Running")).locator("input")).not_to_be_checked()


def test_a_tick_says_what_the_sensor_waits_for(platform: Running, page: Page) -> None:
    sensor(page, platform, "retrain")
    # The words stand above the list of ticks too, where they open nothing.
    expect(page.get_by_text("View logs").first).to_be_visible(timeout=FINISHED_MS)
    page.get_by_role("button", name="0 runs requested").first.click()
    reason = page.get_by_text("Skip reason:").locator("..")
    expect(reason).to_contain_text(re.compile(r"\d+ of \d+ corrected segments|no cycle|nothing", re.IGNORECASE))
    keep(page, "tick")


def test_one_sermon_is_materialised_from_the_dialog(platform: Running, sermons: list[str], page: Page) -> None:
    launch_one(page, platform, sermons[0])
    finished(page, "Success")
    keep(page, "run")
    page.goto(f"{platform.dagster}/assets/transcript?view=partitions&partition={sermons[0]}")
    expect(page.get_by_text("words", exact=True).first).to_be_visible(timeout=LOADED_MS)
    page.goto(f"{platform.dagster}/assets/standard_audio?view=partitions&partition={sermons[0]}")
    page.get_by_text("Show Markdown").first.click(timeout=LOADED_MS)
    picture = page.locator("img[src^='data:image/png;base64,']").first
    expect(picture).to_be_visible()
    assert picture.evaluate("image => image.naturalWidth") > 600


def test_four_new_sermons_are_backfilled_from_the_dialog(platform: Running, sermons: list[str], page: Page) -> None:
    choose(page, platform, sermons[1:5])
    page.get_by_role("button", name="Launch backfill").click()
    finished(page, "100% completed")
    keep(page, "backfill")
    assert [sermon for sermon in sermons if current_output(platform.home, sermon, "consensus")] == sermons[:5]


def test_the_listening_page_plays_what_was_made(platform: Running, sermons: list[str], page: Page) -> None:
    page.goto(f"{platform.listening}/sermon/{sermons[0]}")
    page.locator("audio").first.evaluate(PLAYS)
    keep(page, "listening")


def test_the_pool_of_the_gpu_is_seen_and_holds_one(platform: Running, page: Page) -> None:
    page.goto(f"{platform.dagster}/deployment/concurrency")
    page.get_by_role("link", name="gpu").click(timeout=LOADED_MS)
    expect(page.get_by_text("Limit", exact=True).first).to_be_visible(timeout=LOADED_MS)
    keep(page, "pool")
    page.goto(f"{platform.dagster}/deployment/concurrency")
    expect(page.get_by_text("Loading", exact=True)).to_have_count(0, timeout=LOADED_MS)
    keep(page, "pools")


def test_a_failed_check_names_the_sermon_and_what_to_do(platform: Running, sermons: list[str], page: Page) -> None:
    lost = registrations(platform.home)[sermons[5]].original_path(platform.home)
    lost.unlink()
    launch_one(page, platform, sermons[5])
    finished(page, "Failure")
    keep(page, "failed-run")
    job(page, platform, "upkeep")
    finished(page, "Success")
    page.goto(f"{platform.dagster}/assets/platform_state?view=checks&checkDetail=nothing_left_failed")
    expect(page.get_by_text("Failed", exact=True).first).to_be_visible(timeout=LOADED_MS)
    expect(page.get_by_text(sermons[5]).first).to_be_visible()
    expect(page.get_by_text("put it into the inbox again").first).to_be_visible()
    expect(page.get_by_text(f"stt run --sermon {sermons[5]}").first).to_be_visible()
    keep(page, "failed-check")


def test_no_file_holds_a_secret(platform: Running, sermons: list[str]) -> None:
    """After all that was done above: logs, events of Dagster, metadata, tables, outputs."""
    files = [path for path in platform.home.rglob("*") if path.is_file()]
    assert any(path.suffix == ".db" for path in files)
    assert any(path.suffix == ".log" for path in files)
    for path in files:
        held = path.read_bytes()
        assert not [name for name, secret in PLANTED.items() if secret.encode() in held], path
