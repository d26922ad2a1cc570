"""What decides the split of the sermons beside its settings: pins of people, and what is frozen.

No sermon moves between the training side and the test side after the first training.
"""

import csv
import json
from collections.abc import Mapping
from pathlib import Path

from stt_platform.errors import PlatformError
from stt_platform.machine.files import write_atomically

_TEST_SIDE = ("test", "final")


def frozen_splits(home: Path) -> dict[str, str]:
    """Return the splits that may not change any more; the first training writes the file."""
    path = _frozen(home)
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}


def freeze_sermons(home: Path, today: Mapping[str, str]) -> None:
    """Record the split of every sermon that has one.

    Args:
        today: the split of each sermon, as the table `splits` has it.

    Raises:
        PlatformError: a sermon was moved by hand between the training side and the test side; names it.
    """
    frozen = frozen_splits(home)
    for sermon, before in sorted(frozen.items()):
        now = today.get(sermon, before)
        if (before in _TEST_SIDE) != (now in _TEST_SIDE):
            raise PlatformError(
                f"{sermon} was in {before} when a model was trained or measured, and is in {now} now: take its pin out of "
                f"{home / 'splits' / 'pinned.csv'} and make sermon_split anew"
            )
    merged = {**frozen, **today}
    if merged != frozen:
        write_atomically(_frozen(home), json.dumps(merged, indent=0, sort_keys=True).encode())


def _frozen(home: Path) -> Path:
    return home / "splits" / "frozen.json"


def pinned_splits(home: Path) -> dict[str, str]:
    """Return the splits set by hand in `STT_HOME/splits/pinned.csv` (columns sermon, split)."""
    path = home / "splits" / "pinned.csv"
    if not path.exists():
        return {}
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = list(csv.DictReader(file, strict=True))
    except (UnicodeDecodeError, csv.Error) as error:
        raise PlatformError(f"{path} cannot be read: {error}; save it as CSV in UTF-8") from error
    if rows and not {"sermon", "split"} <= set(rows[0]):
        raise PlatformError(f"{path}: the columns are {', '.join(map(str, rows[0]))}; want sermon,split")
    return {(row["sermon"] or "").strip(): (row["split"] or "").strip() for row in rows}
