"""What the demonstration makes side by side: a process for each core, since one voice keeps one core busy."""

import multiprocessing
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from typing import TypeVar

from stt_platform.machine.pool_worker import stay_with_parent

Item = TypeVar("Item")
Made = TypeVar("Made")

# A worker takes up to 1 GB.
_MAX_WORKERS = 4


def made_side_by_side(
    make: Callable[[Item], Made], items: Sequence[Item], workers: int | None = None
) -> Iterator[tuple[Item, Made]]:
    """Yield `(item, make(item))` as each is ready, in whatever order; one alone is not worth the start of a process.

    Args:
        make: a function of a module, or a partial of one; it runs in another process.
        items: what it is called with.
        workers: processes; without it one for each core, at most 4.
    """
    workers = min(workers or min(_cores(), _MAX_WORKERS), len(items))
    if workers <= 1:
        for item in items:
            yield item, make(item)
        return
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=context, initializer=stay_with_parent) as pool:
        waiting = {pool.submit(make, item): item for item in items}
        try:
            for future in as_completed(waiting):
                yield waiting[future], future.result()
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
