"""The device in real runs: three at once, one holder killed; nobody overlaps, nobody waits for the dead."""

import itertools
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from stt_platform.orchestration.instance import environment, open_instance
from stt_platform_tests.runs.gpu_steps import STEPS

RUNS = 3


@pytest.mark.parametrize("trials", [1, pytest.param(6, marks=pytest.mark.prove)])
def test_three_runs_of_six_steps_and_one_killed_holder(
    trials: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for trial in range(trials):
        home = tmp_path / f"home-{trial}"
        home.mkdir()
        monkeypatch.setenv("STT_LOCK_DIR", str(home / "locks"))
        _three_runs(home)


def _three_runs(stt_home: Path) -> None:
    held = stt_home / "held"
    held.mkdir()
    with open_instance(stt_home):
        pass
    command = [
        sys.executable,
        "-m",
        "dagster",
        "job",
        "execute",
        "-m",
        "stt_platform_tests.runs.gpu_steps",
        "-j",
        "six_steps",
    ]
    logs = [(stt_home / f"run-{number}.log").open("wb") for number in range(RUNS)]
    runs = [
        subprocess.Popen(command, env=environment(stt_home), stdout=log, stderr=log, start_new_session=True)
        for log in logs
    ]
    killed = _kill_one_holder(held)
    codes = [run.wait(timeout=240) for run in runs]
    intervals = sorted(tuple(json.loads(path.read_text())) for path in held.glob("*.json"))
    assert len(intervals) == RUNS * STEPS - 1
    for (_, end), (start, _) in itertools.pairwise(intervals):
        assert end <= start
    assert not (held / killed).with_suffix(".json").exists()
    with open_instance(stt_home) as instance:
        statuses = sorted(run.status.value for run in instance.get_runs())
    assert statuses == ["FAILURE", "SUCCESS", "SUCCESS"]
    assert sorted(codes) == [0, 0, 1]


def _kill_one_holder(held: Path) -> str:
    """Kill the process of a step while it holds the device; returns the name of its log."""
    deadline = time.monotonic() + 600
    while time.monotonic() < deadline:
        for begun in held.glob("*.begun"):
            if not begun.with_suffix(".json").exists():
                os.kill(int(begun.read_text()), signal.SIGKILL)
                return begun.name
        time.sleep(0.01)
    raise AssertionError("no step ever held the device")
