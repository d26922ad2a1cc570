"""Imported, after the definitions, by the server process that steps are forked from: what every step begins with.

The kernel kills the server when the run worker dies, and a step when the server dies. Without it both live on: a step
holds the pipe by which the server would learn of the death.
"""

import ctypes
import gc
import os
import signal
import sys

# What nearly every stage imports, and what Dagster imports when a step opens the instance: paid once for each run
# instead of once for each step. Nothing here may start threads or touch CUDA: neither survives a fork.
import matplotlib.backends.backend_agg
import matplotlib.figure  # noqa: F401
import pandas  # noqa: F401
import PIL.Image  # noqa: F401
import scipy.signal  # noqa: F401
import upath.implementations.local  # noqa: F401

from stt_platform.orchestration.dagster_private import load_sqlite_storage

load_sqlite_storage()

_PR_SET_PDEATHSIG = 1

if sys.platform == "linux":
    _libc = ctypes.CDLL(None, use_errno=True)

    def _die_with_the_parent() -> None:
        _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)

    _die_with_the_parent()
    os.register_at_fork(after_in_child=_die_with_the_parent)

# None of it is ever garbage, and a step that looked through it would copy it all first: a quarter of a second.
gc.collect()
gc.freeze()
