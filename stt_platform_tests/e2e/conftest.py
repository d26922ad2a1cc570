"""A real browser for the tests of the pages."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from stt_platform_tests.e2e.serving import serving

# Playwright's own five seconds are over on a machine that works on other tests meanwhile.
expect.set_options(timeout=60_000)

_REPOSITORY = Path(__file__).resolve().parents[2]
_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
_MAC = (
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
    "/Applications/Chromium.app/Contents/MacOS/Chromium",
)


def _starts(path: str | os.PathLike[str]) -> bool:
    # Some distributions put a script in place of the browser that only asks for a snap.
    try:
        return subprocess.run([path, "--version"], capture_output=True, timeout=60).returncode == 0
    except OSError:
        return False


@pytest.fixture(scope="session")
def chromium() -> Path:
    """A Chromium of this machine or of `.tools/`. Its absence is a failure: the page must not go untested."""
    on_path = [found for name in _NAMES if (found := shutil.which(name))]
    for candidate in [*on_path, _REPOSITORY / ".tools" / "chromium" / "chromium", *_MAC]:
        if _starts(candidate):
            return Path(candidate)
    pytest.fail("The browser tests need Chromium. Run tools/chromium.sh, which installs it, and try again.")


@pytest.fixture(scope="session")
def browser(chromium: Path) -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=chromium, args=["--autoplay-policy=no-user-gesture-required", "--mute-audio"]
        )
        yield browser
        browser.close()


@pytest.fixture
def address_of_nothing(tmp_path: Path) -> Iterator[str]:
    """Where the server of an empty home answers."""
    with serving(tmp_path) as address:
        yield address


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A fresh page; a script error or a refused resource on it fails the test that caused it.

    Tests name the fixture of the server before this one: the page has to close first, or what it asks for last is refused.
    """
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    context.set_default_timeout(60_000)
    page = context.new_page()
    faults: list[str] = []
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on("console", lambda message: message.type == "error" and faults.append(message.text))
    page.on("dialog", lambda dialog: (faults.append(f"dialog: {dialog.message}"), dialog.dismiss()))
    yield page
    context.close()
    assert not faults
