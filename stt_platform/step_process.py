"""Imported only by the server process that steps are forked from: what every step's process begins with.

A step is killed by the kernel when the server dies, and the server ends when the run worker does.
"""

import ctypes
import os
import signal
import sys

# Heavy imports of nearly every stage, paid once for each run instead of once for each step. Nothing here may start
# threads or touch CUDA: neither survives a fork.
import matplotlib.backends.backend_agg
import matplotlib.figure
import scipy.signal  # noqa: F401

_PR_SET_PDEATHSIG = 1

if sys.platform == "linux":
    _libc = ctypes.CDLL(None, use_errno=True)

    def _die_with_the_server() -> None:
        _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)

    os.register_at_fork(after_in_child=_die_with_the_server)
