"""`python -I worker_process.py WORKER`: runs inside an isolated environment, on its standard library alone.

Reads requests as JSON lines from stdin and answers on stdout with lines {"progress": …}, {"result": …} or
{"error": …}. What libraries print goes to stderr and cannot disturb that.
"""

import faulthandler
import importlib.machinery
import json
import os
import sys
import threading
import traceback
import types


def main() -> None:
    requests, replies = os.dup(0), os.dup(1)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.dup2(2, 1)
    faulthandler.enable()
    serve(sys.argv[1], requests, replies)


def serve(worker: str, requests: int, replies: int) -> None:
    lock = threading.Lock()
    out = os.fdopen(replies, "wb")

    def say(kind: str, content: object) -> None:
        line = json.dumps({kind: content}, allow_nan=False).encode() + b"\n"
        with lock:
            out.write(line)
            out.flush()

    module = None
    with os.fdopen(requests, "rb") as lines:
        for line in lines:
            try:
                message = json.loads(line)
                module = module or load(worker)
                function = None if message["function"].startswith("_") else getattr(module, message["function"], None)
                if not callable(function):
                    raise LookupError(f"{worker} has no function {message['function']!r}")
                say("result", function(message["request"], lambda report: say("progress", report)))
            except BaseException as error:
                told = "".join(traceback.format_exception(error))
                say("error", {"type": type(error).__name__, "message": str(error), "traceback": told})


def load(worker: str) -> object:
    module = types.ModuleType("worker")
    sys.modules["worker"] = module
    importlib.machinery.SourceFileLoader("worker", worker).exec_module(module)
    return module


if __name__ == "__main__":
    main()
