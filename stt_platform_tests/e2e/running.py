"""The platform as its users have it: `stt ui`, started as a process of its own on free ports."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

ARTEFACTS = Path(__file__).resolve().parents[2] / "test-artifacts"
PATIENCE_S = 600
# Any file that holds one of them has a secret that it must not have.
PLANTED = {"HF_TOKEN": "hf_planted9D2c71", "STT_LABEL_STUDIO_TOKEN": "planted5eA2b64f"}


@dataclass(frozen=True)
class Running:
    """Where the pages of a platform answer."""

    home: Path
    dagster: str
    listening: str


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return answer.status == 200
    except OSError:
        return False


def wait_until(what: str, look: Callable[[], bool], patience_s: float = PATIENCE_S) -> None:
    deadline = time.monotonic() + patience_s
    while not look():
        assert time.monotonic() < deadline, f"{what}: not within {patience_s} s"
        time.sleep(0.5)


@contextlib.contextmanager
def running_platform(home: Path) -> Iterator[Running]:
    """Until the body ends; then it has to stop, as it does at Ctrl-C, and leave nothing that answers."""
    ports = free_port(), free_port()
    running = Running(home, *(f"http://127.0.0.1:{port}" for port in ports))
    environment = {
        **os.environ,
        **PLANTED,
        "STT_HOME": str(home),
        "STT_LOCK_DIR": str(home / "locks"),
        "STT_UI__DAGSTER_PORT": str(ports[0]),
        "STT_UI__LISTENING_PORT": str(ports[1]),
        "STT_INBOX__SETTLE_S": "1",
    }
    with (home / "stt-ui.log").open("wb") as log:
        process = subprocess.Popen(
            [str(Path(sys.executable).parent / "stt"), "ui"], env=environment, stdout=log, stderr=log
        )
    try:
        wait_until("the web UI", lambda: answers(f"{running.dagster}/server_info"))
        wait_until("the listening page", lambda: answers(running.listening))
        yield running
    finally:
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=90) == 0
        assert not answers(running.listening)
