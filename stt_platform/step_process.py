"""Imported only by the server process that steps are forked from: what every step's process begins with.

The kernel kills the server when the run worker dies, and a step when the server dies. Without it both live on: a step
holds the pipe by which the server would learn of the death.
"""

import ctypes
import os
import signal
import sys

# What nearly every stage imports, and what Dagster imports when a step opens the instance: paid once for each run
# instead of once for each step. Nothing here may start threads or touch CUDA: neither survives a fork.
import dagster._core.execution.plan.execute_plan
import dagster._core.run_coordinator.queued_run_coordinator
import dagster._core.storage.event_log.sqlite.sqlite_event_log
import dagster._core.storage.local_compute_log_manager
import dagster._core.storage.root
import dagster._core.storage.runs.sqlite.sqlite_run_storage
import dagster._core.storage.schedules.sqlite.sqlite_schedule_storage
import dagster._core.storage.sqlite_storage
import matplotlib.backends.backend_agg
import matplotlib.figure
import pyarrow.dataset
import scipy.signal
import sqlalchemy.dialects.sqlite
import upath.implementations.local  # noqa: F401

_PR_SET_PDEATHSIG = 1

if sys.platform == "linux":
    _libc = ctypes.CDLL(None, use_errno=True)

    def _die_with_the_parent() -> None:
        _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)

    _die_with_the_parent()
    os.register_at_fork(after_in_child=_die_with_the_parent)
