"""Being told to stop, without being torn away: what trains saves first, and then ends as cancelled."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import dagster as dg

from stt_platform.orchestration.dagster_private import capture_interrupts, check_captured_interrupt


@contextmanager
def interrupts_noticed() -> Iterator[Callable[[], bool]]:
    """Yield a function that says whether the run was cancelled (in the UI, or by Ctrl-C); nothing is raised meanwhile.

    What was cancelled has to end with `cancelled()`. Only in the main thread of a step, where signals arrive.
    """
    with capture_interrupts():
        yield check_captured_interrupt


def cancelled() -> BaseException:
    """What ends a step as cancelled, and not as failed: raise it."""
    return dg.DagsterExecutionInterruptedError()
