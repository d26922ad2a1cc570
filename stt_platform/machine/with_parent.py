"""`python -m stt_platform.machine.with_parent PROGRAM …`: runs a program that is asked to end when the caller dies.

A terminal that is closed, or a kill, gives the caller no chance to stop what it started.
"""

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1

if sys.platform == "linux":
    # Kept across exec, unlike most of a process.
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
os.execv(sys.argv[1], sys.argv[1:])  # noqa: S606 - a program of ours, named by the caller
