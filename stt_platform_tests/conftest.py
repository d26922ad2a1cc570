"""What all tests share: a fresh STT_HOME, and the shared recordings where they are."""

import os
from pathlib import Path

import pytest

# Tests run side by side, three to two cores: threads that wait for one another by spinning would take the cores from the
# others. To be set before the libraries load; processes that tests start inherit it.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tests see the platform's defaults, whatever the caller's environment says."""
    for name in list(os.environ):
        if name.startswith("STT_") and name != "STT_TEST_DATA":
            monkeypatch.delenv(name)


@pytest.fixture
def stt_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty STT_HOME with device locks of its own."""
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("STT_HOME", str(home))
    monkeypatch.setenv("STT_LOCK_DIR", str(tmp_path / "locks"))
    return home


@pytest.fixture
def test_data() -> Path:
    """The shared recordings; skips where `STT_TEST_DATA` does not name them."""
    folder = os.environ.get("STT_TEST_DATA")
    if not folder:
        pytest.skip("STT_TEST_DATA is not set: the shared recordings are not on this machine")
    return Path(folder)
