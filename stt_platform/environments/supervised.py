"""`python -I supervised.py COMMAND …`: runs a command, and kills it with all that it started when its caller is gone.

The caller holds the other end of stdin, which the command has too, and closes it to end everything; the kernel closes
it for a caller that dies. The status is the command's, or 128 and the number of the signal that ended it.

A process of its own: a thread of the command could be kept from acting by the interpreter lock, and the kernel's own
signal for the death of a parent (PR_SET_PDEATHSIG) reaches one process only, and comes when a thread ends.
"""

import contextlib
import os
import select
import signal
import subprocess
import sys

_LOOK_MS = 50


def main() -> None:
    caller = os.getppid()
    command = subprocess.Popen(sys.argv[1:], process_group=0)
    # Whoever reads what the command writes is to see that it has ended.
    nothing = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, 1)
    os.dup2(nothing, 2)
    gone = select.poll()
    # No events: only that the other end was closed. A process that the caller forked may hold it open after the
    # caller's death, so the caller is watched too.
    gone.register(0, 0)
    while command.poll() is None and not gone.poll(_LOOK_MS) and os.getppid() == caller:
        pass
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(command.pid, signal.SIGKILL)
    status = command.wait()
    os._exit(status if status >= 0 else 128 - status)


if __name__ == "__main__":
    main()
