"""The split of the sermons is frozen before the first training: what has taught never examines, and the other way round."""

import json
from collections.abc import Mapping
from pathlib import Path

from stt_platform.defs.sermons.split import frozen_splits
from stt_platform.files import write_atomically
from stt_platform.settings import PlatformError

_EXAMINES = ("test", "final")


def freeze_sermons(home: Path, today: Mapping[str, str]) -> None:
    """Record the split of every sermon that has one.

    Raises `PlatformError` naming the sermon that was moved by hand between those that teach and those that examine.

    Args:
        today: the split of each sermon, as the table `splits` has it.
    """
    frozen = frozen_splits(home)
    for sermon, before in sorted(frozen.items()):
        now = today.get(sermon, before)
        if (before in _EXAMINES) != (now in _EXAMINES):
            raise PlatformError(
                f"{sermon} was in {before} when a model was trained or measured, and is in {now} now: take its pin out of "
                f"{home / 'splits' / 'pinned.csv'} and make sermon_split anew"
            )
    merged = {**frozen, **today}
    if merged != frozen:
        path = home / "splits" / "frozen.json"
        write_atomically(path, json.dumps(merged, indent=0, sort_keys=True).encode())
