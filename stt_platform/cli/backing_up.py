"""`stt backup` and `stt restore`."""

from datetime import datetime
from pathlib import Path

import click
from rich.console import Console

from stt_platform.defs.upkeep.reconciling import tell_instance
from stt_platform.machine.files import one_at_a_time
from stt_platform.orchestration.instance import nobody_at_work, open_instance
from stt_platform.settings import load_settings
from stt_platform.store.backups import Backup, backups_folder, list_backups, make_backup, restore
from stt_platform.store.mending import mend_tables
from stt_platform.store.metadata import MetadataStore


def back_up(home: Path, console: Console) -> None:
    """Make a backup now, whether the platform runs or not."""
    made = make_backup(home, keep_days=load_settings(home).upkeep.keep_backups_days, now=datetime.now())
    console.print(f"{made.folder}: {len(made.files)} files", markup=False)
    for name, fault in sorted(made.damaged.items()):
        console.print(
            f"{name} is damaged ({fault}): stop the platform, then run `stt restore`", style="red", markup=False
        )


def restore_home(home: Path, console: Console, *, backup: str | None) -> None:
    """Put back what is damaged or missing, and tell the instance what lies on the disk.

    What is whole is left as it is. Raises `PlatformError` while a daemon or a run is at work.
    """
    chosen = _chosen(home, backup)
    with nobody_at_work(home), one_at_a_time(backups_folder(home) / ".lock"):
        done = restore(home, chosen)
        mended = mend_tables(MetadataStore(home))
    with open_instance(home) as instance:
        reported = tell_instance(home, instance)
    MetadataStore(home).refresh_catalog()
    if done.set_aside:
        source = f"as in the backup of {done.backup}" if done.databases else "new: the history of the runs is lost"
        console.print(f"The Dagster instance was damaged and is {source}.", style="yellow", markup=False)
        console.print(f"What was damaged lies in {done.set_aside}.", markup=False)
    for name in done.files:
        console.print(f"{name} is back, as in the backup of {done.backup}", style="yellow", markup=False)
    for each in mended:
        console.print(f"{each.what} was damaged or missing: {each.outcome}", style="yellow", markup=False)
    if reported:
        console.print(f"The instance was told of {reported} results that lie on the disk.", markup=False)
    if not (done.set_aside or done.files or mended):
        console.print("Nothing is damaged or missing.")
    else:
        console.print("Next: `stt run`, for what has to be made again.")


def _chosen(home: Path, name: str | None) -> Backup | None:
    known = list_backups(home)
    if name is None:
        return known[-1] if known else None
    for each in known:
        if each.name == name:
            return each
    there = ", ".join(each.name for each in known) or "none"
    raise click.ClickException(
        f"--from {name!r}: there is no such backup in {backups_folder(home)}; there are: {there}"
    )
