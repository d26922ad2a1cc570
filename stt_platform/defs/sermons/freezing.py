"""The split of the sermons is frozen before the first training: what has taught never examines, and the other way round."""

import json

from stt_platform.defs.sermons.split import frozen_splits
from stt_platform.files import write_atomically
from stt_platform.settings import PlatformError
from stt_platform.store.metadata import MetadataStore

_EXAMINES = ("test", "final")


def freeze_sermons(store: MetadataStore) -> None:
    """Record the split of every sermon that has one.

    Raises `PlatformError` naming the sermon that was moved by hand between those that teach and those that examine.
    """
    today = {row["sermon"]: row["split"] for row in store.query("select sermon, split from splits").to_pylist()}
    frozen = frozen_splits(store.home)
    for sermon, before in sorted(frozen.items()):
        now = today.get(sermon, before)
        if (before in _EXAMINES) != (now in _EXAMINES):
            raise PlatformError(
                f"{sermon} was in {before} when a model was trained or measured, and is in {now} now: take its pin out of "
                f"{store.home / 'splits' / 'pinned.csv'} and make sermon_split anew"
            )
    merged = {**frozen, **today}
    if merged != frozen:
        path = store.home / "splits" / "frozen.json"
        write_atomically(path, json.dumps(merged, indent=0, sort_keys=True).encode())
