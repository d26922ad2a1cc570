"""`stt remove`: a sermon goes, with all that was made from it."""

from pathlib import Path

import dagster as dg
from rich.console import Console

from stt_platform.cli.running import materialize_over_all
from stt_platform.defs.sermons.partitions import sermon_partitions
from stt_platform.instance import open_instance
from stt_platform.store.intake import remove_sermon
from stt_platform.store.metadata import MetadataStore


def remove_sermons(home: Path, keys: tuple[str, ...], console: Console) -> None:
    """Remove files, rows, the partition, and the runs that worked on it. Raises KeyError for one that is not here."""
    store = MetadataStore(home)
    with open_instance(home) as instance:
        for key in keys:
            runs = instance.get_runs(dg.RunsFilter(tags={"dagster/partition": key}))
            if any(not run.is_finished for run in runs):
                raise KeyError(f"{key} is being worked on; stop its run in the UI first, or wait")
            remove_sermon(store, key)
            instance.delete_dynamic_partition(sermon_partitions.name, key)
            for run in runs:
                instance.delete_run(run.run_id)
            console.print(f"{key} is removed", markup=False)
        materialize_over_all(home, instance)
