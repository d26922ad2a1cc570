"""The real server of the pages, for the tests in a browser."""

import contextlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

_SERVE = "import sys, pathlib; from stt_platform.pages.app import serve; serve(pathlib.Path(sys.argv[1]), port=0)"


@contextlib.contextmanager
def serving(home: Path) -> Iterator[str]:
    """Where the real server answers, started as a process of its own on a free port."""
    command = [sys.executable, "-u", "-c", _SERVE, str(home)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        try:
            yield server.stdout.readline().split()[-1]
        finally:
            server.terminate()
