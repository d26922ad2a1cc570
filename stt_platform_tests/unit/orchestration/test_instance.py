"""What the processes of the platform are started with."""

import threading
from pathlib import Path

import pytest
from dagster._core import telemetry_upload

from stt_platform.errors import PlatformError
from stt_platform.orchestration.instance import dagster_home, environment, logs_folder, open_instance


def test_nothing_that_the_platform_says_is_sent_to_the_makers_of_dagster(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[str] = []
    monkeypatch.setattr(telemetry_upload, "_upload_logs", lambda folder, *_, **__: sent.append(folder))
    monkeypatch.setenv("DAGSTER_HOME", str(dagster_home(tmp_path)))
    # What tests of Dagster's own machines set too.
    for name in ("BUILDKITE", "TF_BUILD", "DAGSTER_DISABLE_TELEMETRY"):
        monkeypatch.delenv(name, raising=False)
    folder = dagster_home(tmp_path) / "logs"
    folder.mkdir()
    (folder / "daemon.log").write_text("who preached when")

    def look() -> None:
        """One look of the uploader, as the daemon starts it."""
        waiting = threading.Event()
        monkeypatch.setattr(waiting, "wait", lambda _: waiting.set())
        telemetry_upload.upload_logs(waiting, raise_errors=True)

    look()
    assert sent == [str(folder)], "Dagster no longer takes them: the variable may go"
    sent.clear()
    monkeypatch.setenv("DAGSTER_DISABLE_TELEMETRY", environment(tmp_path)["DAGSTER_DISABLE_TELEMETRY"])
    look()
    assert sent == []
    assert dagster_home(tmp_path) not in (logs_folder(tmp_path), *logs_folder(tmp_path).parents)


def test_a_damaged_instance_is_one_line_that_helps(tmp_path: Path) -> None:
    folder = dagster_home(tmp_path)
    runs = folder / "history" / "runs.db"
    runs.parent.mkdir()
    runs.write_bytes(b"no database at all, whatever its name says" * 100)
    (folder / "created").touch()
    with (
        pytest.raises(PlatformError, match=r"history/runs.db is damaged: .*`stt restore`"),
        open_instance(tmp_path) as it,
    ):
        it.get_runs(limit=1)
