"""What the processes of a pool have in common, whoever starts them."""

import multiprocessing
import os
import signal
import threading
from multiprocessing.process import BaseProcess


def stay_with_parent() -> None:
    """Leave Ctrl-C to the parent, and end when it is gone, even killed: nobody would ever stop a worker then."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if parent := multiprocessing.parent_process():
        threading.Thread(target=_end_with, args=(parent,), daemon=True).start()


def _end_with(parent: BaseProcess) -> None:
    parent.join()
    os._exit(1)
