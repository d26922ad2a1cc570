"""What the processes of a pool have in common, whoever starts them."""

import multiprocessing
import os
import signal
import threading


def stay_with_parent() -> None:
    """Leave Ctrl-C to the parent, and end when it is gone, even killed: nobody would ever stop a worker then."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()

    def watch() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
