"""`stt remove`: a sermon goes, with all that was made from it."""

import shutil
from contextlib import suppress
from pathlib import Path

import dagster as dg
from rich.console import Console

from stt_platform.cli.running import materialize
from stt_platform.orchestration.dagster_private import PARTITION_NAME_TAG
from stt_platform.orchestration.instance import open_instance
from stt_platform.orchestration.scopes import SERMON
from stt_platform.orchestration.stage import stages_after_sermons
from stt_platform.store.intake import registration, remove_sermon
from stt_platform.store.metadata import MetadataStore


def remove_sermons(home: Path, keys: tuple[str, ...], console: Console) -> None:
    """Remove files, rows, the partition, and the runs that worked on it.

    Raises KeyError for one that is not here or is being worked on, before anything is removed.
    """
    store = MetadataStore(home)
    with open_instance(home) as instance:
        partitions = set(instance.get_dynamic_partitions(SERMON.name))
        runs_of = {key: instance.get_runs(dg.RunsFilter(tags={PARTITION_NAME_TAG: key})) for key in keys}
        for key in keys:
            if key not in partitions and registration(home, key) is None:
                raise KeyError(f"there is no sermon {key!r}; `stt query 'select sermon from sermons'` lists them")
            if any(not run.is_finished for run in runs_of[key]):
                raise KeyError(f"{key} is being worked on; stop its run in the UI first, or wait")
        for key in keys:
            instance.delete_dynamic_partition(SERMON.name, key)
            for run in runs_of[key]:
                _forget_run(instance, run.run_id)
            with suppress(KeyError):
                remove_sermon(store, key)
            console.print(f"{key} is removed", markup=False)
        materialize(instance, stages_after_sermons())


def _forget_run(instance: dg.DagsterInstance, run_id: str) -> None:
    instance.delete_run(run_id)
    folder = Path(instance.root_directory)
    shutil.rmtree(folder / "storage" / run_id, ignore_errors=True)
    for path in (folder / "history" / "runs").glob(f"{run_id}.db*"):
        path.unlink(missing_ok=True)
