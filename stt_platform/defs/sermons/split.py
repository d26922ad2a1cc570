"""Which sermons teach and which examine: the asset `sermon_split`."""

import csv
import json
from pathlib import Path

import dagster as dg

from stt_platform.defs.platform import OWNERS, Platform
from stt_platform.evaluation.splits import SPLITS, SermonToSplit, split_sermons
from stt_platform.store.intake import registrations

_PART = "all"


def frozen_splits(home: Path) -> dict[str, str]:
    """Splits that may not change any more; the first training writes the file."""
    path = home / "splits" / "frozen.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}


def pinned_splits(home: Path) -> dict[str, str]:
    """Splits set by hand in `STT_HOME/splits/pinned.csv` (columns sermon, split)."""
    path = home / "splits" / "pinned.csv"
    if not path.exists():
        return {}
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = list(csv.DictReader(file, strict=True))
    except (UnicodeDecodeError, csv.Error) as error:
        raise dg.Failure(f"{path} cannot be read: {error}; save it as CSV in UTF-8", allow_retries=False) from error
    if rows and not {"sermon", "split"} <= set(rows[0]):
        raise dg.Failure(
            f"{path}: the columns are {', '.join(map(str, rows[0]))}; want sermon,split", allow_retries=False
        )
    return {(row["sermon"] or "").strip(): (row["split"] or "").strip() for row in rows}


@dg.asset(group_name="sermons", kinds={"table"}, owners=OWNERS, deps=["transcript"])
def sermon_split(platform: Platform) -> dg.MaterializeResult:
    """Which sermons teach (train, dev) and which examine (test, final), by speaker.

    A model is judged on sermons it has never heard, so a sermon is never on two sides. The choice repeats exactly,
    can be pinned by hand in `STT_HOME/splits/pinned.csv`, and is frozen before the first training. Rejected sermons
    are in no split.
    """
    store, settings = platform.store, platform.settings
    usable = store.query("select sermon, speaker from sermons where status <> 'rejected'").to_pylist()
    pinned = pinned_splits(platform.home)
    try:
        splits = split_sermons(
            [SermonToSplit(row["sermon"], row["speaker"]) for row in usable],
            settings.split.model_dump(include=set(SPLITS)),
            seed=settings.split.seed,
            pinned=pinned,
            frozen=frozen_splits(platform.home),
        )
    except ValueError as error:
        raise dg.Failure(f"{platform.home / 'splits' / 'pinned.csv'}: {error}", allow_retries=False) from error
    rows = [{"sermon": sermon, "split": split, "pinned": sermon in pinned} for sermon, split in splits.items()]
    store.write("splits", _PART, rows)
    counts = {split: sum(row["split"] == split for row in rows) for split in SPLITS}
    return dg.MaterializeResult(
        metadata={
            **{f"sermons in {split}": count for split, count in counts.items()},
            "pinned by hand": sum(row["pinned"] for row in rows),
            "pins for sermons that are not here": ", ".join(sorted(set(pinned) - set(registrations(platform.home))))
            or "–",
            "splits": dg.MetadataValue.md(
                "| sermon | split |\n|---|---|\n" + "\n".join(f"| {row['sermon']} | {row['split']} |" for row in rows)
            ),
        }
    )
