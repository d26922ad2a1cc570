"""`stt ui`: webserver, daemon and listening page as three supervised processes on this machine."""

import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import click
from rich.console import Console

from stt_platform.defs.scripture.folders import own_folder
from stt_platform.orchestration.instance import (
    dagster_command,
    logs_folder,
    open_instance,
    start_daemon,
    start_process,
    stop_process,
)
from stt_platform.settings import Settings
from stt_platform.store.metadata import MetadataStore

_HOST = "127.0.0.1"
_CHECK_EVERY_S = 1.0


def serve_all(home: Path, settings: Settings, console: Console) -> int:
    """Serve until Ctrl-C or SIGTERM; a process that dies is started again."""
    for port, name in ((settings.ui.dagster_port, "dagster_port"), (settings.ui.listening_port, "listening_port")):
        _check_free(port, name)
    (home / "inbox").mkdir(parents=True, exist_ok=True)
    MetadataStore(home).refresh_catalog()
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: stop.set())
    with open_instance(home) as instance:
        webserver = dagster_command("dagster-webserver", "-h", _HOST, "-p", str(settings.ui.dagster_port))
        listening = [sys.executable, "-m", "stt_platform.pages", str(home), str(settings.ui.listening_port)]
        programs: dict[str, Callable[[], subprocess.Popen]] = {
            "webserver": lambda: start_process(webserver, home, "webserver"),
            "listening": lambda: start_process(listening, home, "listening"),
            "daemon": lambda: start_daemon(home, instance),
        }
        processes: dict[str, subprocess.Popen] = {}
        try:
            for name, start in programs.items():
                processes[name] = start()
            _say_where(home, settings, console)
            while not stop.wait(_CHECK_EVERY_S):
                for name, process in processes.items():
                    if process.poll() is not None:
                        console.print(f"{name} ended with code {process.returncode}; starting it again", style="yellow")
                        processes[name] = programs[name]()
        except BlockingIOError as error:
            raise click.ClickException(
                "a daemon of this STT_HOME is running already: wait for `stt run` to end"
            ) from error
        finally:
            for process in processes.values():
                stop_process(process)
    return 0


def _say_where(home: Path, settings: Settings, console: Console) -> None:
    console.print(f"Dagster web UI:  http://{_HOST}:{settings.ui.dagster_port}")
    console.print(f"Listening page:  {settings.ui.listening_address}")
    console.print(f"Put recordings into {home / 'inbox'}: they become transcripts by themselves.", markup=False)
    console.print(f"Put Bible texts into {own_folder(home)}: they become verse pairs.", markup=False)
    console.print(f"Logs: {logs_folder(home)}. Ctrl-C stops everything.", markup=False)


def _check_free(port: int, name: str) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((_HOST, port))
        except OSError as error:
            raise click.ClickException(
                f"port {port} is in use: is the platform running already? Else choose another, "
                f"e.g. STT_UI__{name.upper()}={port + 100}"
            ) from error
