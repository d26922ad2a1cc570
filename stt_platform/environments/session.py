"""A worker process in an isolated environment, and the conversation with it."""

import contextlib
import json
import os
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

Progress = Callable[[Any], None]
"""Called with what a worker reports while it works (JSON, usually a dict), and with lines (str) while one is built."""

SUPERVISED = [sys.executable, "-I", "-S", str(Path(__file__).with_name("supervised.py"))]
"""Before a command: it is killed with all that it started when the pipe to its stdin is closed, or this process dies."""

_WORKER_PROCESS = Path(__file__).with_name("worker_process.py")
_TOLD_BYTES = 8000
_PIECE_BYTES = 1 << 16
# The rest of the caller's environment, where secrets are, is not the worker's business.
_PASSED = (
    "PATH",
    "LANG",
    "LC_ALL",
    "TZ",
    "TMPDIR",
    "LD_LIBRARY_PATH",
    "CUDA_VISIBLE_DEVICES",
    "CUDA_DEVICE_ORDER",
)


class IsolatedError(RuntimeError):
    """A call into an isolated environment that failed.

    `type`, `message` and `traceback` are those of the exception inside. A worker that ended without one has the type
    'WorkerEnded', one that was stopped for its time 'TimeoutError', both without traceback. `stderr` is the end of
    what the worker wrote there.
    """

    def __init__(self, environment: str, type: str, message: str, traceback: str = "", stderr: str = "") -> None:
        super().__init__(environment, type, message, traceback, stderr)
        self.environment = environment
        self.type = type
        self.message = message
        self.traceback = traceback
        self.stderr = stderr

    def __str__(self) -> str:
        text = f"environment {self.environment!r}: {self.type}: {self.message}"
        if self.traceback:
            text += f"\n\nInside the environment:\n{self.traceback.rstrip()}"
        if self.stderr:
            text += f"\n\nThe last that it wrote:\n{self.stderr.rstrip()}"
        return text


class Session:
    """A living worker. Made by `IsolatedEnvironment.session`; not for several threads at once."""

    def __init__(self, name: str, folder: Path, worker: Path) -> None:
        self._name = name
        self._told = bytearray()
        python = str(folder / "bin" / "python")
        self._process = subprocess.Popen(
            [*SUPERVISED, python, "-I", "-X", "utf8", str(_WORKER_PROCESS), str(worker)],
            env={variable: os.environ[variable] for variable in _PASSED if variable in os.environ}
            | {"HOME": str(folder / "home")},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,
            # Ctrl-C reaches the caller only, who then ends the session.
            start_new_session=True,
        )
        self._open = True
        assert self._process.stdin and self._process.stdout and self._process.stderr
        self._requests, self._replies, self._chatter = self._process.stdin, self._process.stdout, self._process.stderr
        for pipe in (self._requests, self._replies, self._chatter):
            os.set_blocking(pipe.fileno(), False)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Kill the worker and all that it started."""
        if self._open:
            self._open = False
            for pipe in (self._requests, self._replies, self._chatter):
                pipe.close()
            self._process.wait()

    def call(
        self,
        function: str,
        request: dict[str, Any],
        *,
        progress: Progress | None = None,
        timeout_s: float | None = None,
    ) -> dict[str, Any]:
        """Run `function` of the worker on `request`; both it and the result are JSON.

        An error inside leaves the worker ready for the next call; anything else (an interruption of the caller, the
        end of the worker, the end of its time) kills it.

        Raises `IsolatedError`.
        """
        if not self._open:
            raise IsolatedError(self._name, "WorkerEnded", "this session is over; begin another")
        message = json.dumps({"function": function, "request": request}, allow_nan=False).encode() + b"\n"
        try:
            reply = self._converse(message, progress or (lambda report: None), timeout_s)
        except BaseException:
            self.close()
            raise
        if "error" in reply:
            raise IsolatedError(self._name, **reply["error"], stderr=self._last_words())
        return reply["result"]

    def _converse(self, message: bytes, progress: Progress, timeout_s: float | None) -> dict[str, Any]:
        requests, replies, chatter = self._requests, self._replies, self._chatter
        deadline_s = None if timeout_s is None else time.monotonic() + timeout_s
        unsent, received = memoryview(message), bytearray()
        with selectors.DefaultSelector() as selector:
            selector.register(requests, selectors.EVENT_WRITE)
            selector.register(replies, selectors.EVENT_READ)
            selector.register(chatter, selectors.EVENT_READ)
            while True:
                left_s = None if deadline_s is None else deadline_s - time.monotonic()
                if left_s is not None and left_s <= 0:
                    raise IsolatedError(
                        self._name, "TimeoutError", f"no result within {timeout_s:g} s", stderr=self._last_words()
                    )
                ready = {key.fileobj for key, _ in selector.select(left_s)}
                if requests in ready:
                    try:
                        unsent = unsent[os.write(requests.fileno(), unsent[:_PIECE_BYTES]) :]
                    except BrokenPipeError:
                        unsent = unsent[:0]
                    if not unsent:
                        selector.unregister(requests)
                if chatter in ready and not self._listen():
                    selector.unregister(chatter)
                if replies in ready:
                    piece = os.read(replies.fileno(), _PIECE_BYTES)
                    received += piece
                    *lines, received = received.split(b"\n") if b"\n" in piece else [received]
                    for line in lines:
                        reply = json.loads(line)
                        if "progress" not in reply:
                            return reply
                        progress(reply["progress"])
                    if not piece:
                        raise IsolatedError(self._name, "WorkerEnded", self._how_it_ended(), stderr=self._last_words())

    def _how_it_ended(self) -> str:
        status = self._process.wait()
        signals = {128 + known: known.name for known in signal.Signals}
        if status not in signals:
            return f"the worker ended with status {status}"
        why = ", most often because the machine ran out of memory" if signals[status] == "SIGKILL" else ""
        return f"the worker was killed by {signals[status]}{why}"

    def _last_words(self) -> str:
        with contextlib.suppress(BlockingIOError):
            while self._listen():
                pass
        return self._told.decode(errors="replace")

    def _listen(self) -> bool:
        """Read what the worker wrote to stderr and keep the end of it; whether there may be more."""
        piece = os.read(self._chatter.fileno(), _PIECE_BYTES)
        self._told += piece
        del self._told[:-_TOLD_BYTES]
        return bool(piece)
