"""The platform as its users have it: `stt ui` is running, a file is dropped into the inbox, nobody clicks anything."""

import shutil
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from stt_platform.store.metadata import MetadataStore
from stt_platform_tests.e2e.running import ARTEFACTS, Running, running_platform, wait_until

SERMON = "2024-03-10--the-lamp-and-the-oil"


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with running_platform(tmp_path_factory.mktemp("home")) as running:
        yield running


@pytest.fixture(scope="module")
def transcribed(platform: Running) -> Running:
    """A recording was put into the inbox, and its transcript is there."""
    spec = find_spec("pyannote.audio")
    talk = Path(spec.origin).parent / "sample" / "sample.wav"
    inbox = platform.home / "inbox"
    shutil.copy(talk, inbox / "2024-03-10 The Lamp and the Oil - Ann Lee.wav")
    (inbox / "2024-03-11 Broken.mp3").write_text("not a sound " * 100)
    store = MetadataStore(platform.home)

    def all_done() -> bool:
        rows = store.query("select sermon, status, split from sermons").to_pylist()
        return sorted(row["status"] for row in rows) == ["accepted", "rejected"] and any(row["split"] for row in rows)

    wait_until("the transcript", all_done)
    return platform


def test_a_file_in_the_inbox_ends_as_a_transcript(transcribed: Running) -> None:
    store = MetadataStore(transcribed.home)
    texts = store.query("select text from transcripts where sermon = ?", [SERMON]).to_pylist()
    assert "hello" in " ".join(row["text"] for row in texts).lower()
    (broken,) = store.query("select reason from sermons where status = 'rejected'").to_pylist()
    assert "Broken" in broken["reason"] or "mp3" in broken["reason"]
    assert not list((transcribed.home / "inbox").glob("*.*"))


def test_the_asset_page_shows_the_picture(transcribed: Running, page: Page) -> None:
    page.goto(f"{transcribed.dagster}/assets/speech_chunks?view=partitions&partition={SERMON}")
    expect(page.get_by_text("speech percent").first).to_be_visible()
    page.get_by_text("Show Markdown").first.click()
    picture = page.locator("img[src^='data:image/png;base64,']").first
    expect(picture).to_be_visible()
    assert picture.evaluate("image => image.naturalWidth") > 600
    ARTEFACTS.mkdir(exist_ok=True)
    page.screenshot(path=ARTEFACTS / "asset.png")


def test_the_asset_graph_names_every_stage(transcribed: Running, page: Page) -> None:
    page.goto(f"{transcribed.dagster}/locations/stt_platform/asset-groups/sermons/lineage")
    for asset in ("recording", "standard_audio", "speech_chunks", "training_chunks", "transcript", "sermon_split"):
        expect(page.get_by_text(asset, exact=True).first).to_be_visible()
    ARTEFACTS.mkdir(exist_ok=True)
    page.screenshot(path=ARTEFACTS / "graph.png")


def test_the_asset_links_to_the_listening_page(transcribed: Running, page: Page) -> None:
    page.goto(f"{transcribed.listening}/sermon/{SERMON}")
    expect(page.get_by_text("The Lamp and the Oil").first).to_be_visible()
    expect(page.get_by_text("hello", exact=False).first).to_be_visible()


def test_nothing_listens_beyond_this_machine(transcribed: Running) -> None:
    ports = {int(url.rsplit(":", 1)[1]) for url in (transcribed.dagster, transcribed.listening)}
    listening = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    addresses = {
        fields[1].split(":")[0]
        for fields in listening
        if int(fields[1].split(":")[1], 16) in ports and fields[3] == "0A"
    }
    assert addresses == {"0100007F"}
