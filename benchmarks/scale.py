"""A thousand sermons on one machine: how long people wait for discovery, the pages, a backfill, and a question over all.

    python benchmarks/scale.py [--sermons 1000] [--folder FOLDER]

Recordings of two seconds are put into the inbox and taken in by the sensor. One talk goes through all stages; its rows
stand in the tables under the name of every sermon, and the instance is told of every output, so that queries and pages
have as much to read as if all had been made. Then a backfill of all is asked for, and cancelled once its runs are there.
"""

import argparse
import logging
import os
import re
import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dagster as dg
import numpy as np
import pyarrow as pa
import soundfile as sf
from dagster._core.execution.backfill import BulkActionStatus
from playwright.sync_api import Browser, sync_playwright

from benchmarks.chaos import free_port
from benchmarks.chaos_home import run_to_the_end, wait_for, write_recordings
from stt_platform.defs.sermons.sensors import inbox, new_sermons
from stt_platform.orchestration.backfill import request_backfill
from stt_platform.orchestration.instance import (
    dagster_command,
    open_instance,
    running_daemon,
    start_process,
    stop_process,
)
from stt_platform.orchestration.platform import Platform
from stt_platform.orchestration.scopes import SERMON
from stt_platform.orchestration.stage import stages, stages_of
from stt_platform.store.intake import ingest, registrations
from stt_platform.store.metadata import MetadataStore

_RATE_HZ, _RECORDING_S = 16_000, 2
_QUESTIONS = {
    "the funnel of all": "select * from funnel",
    "how every sermon stands": "select sermon, status, reason, split from sermons",
    "chunks with a text": "select count(*), avg(snr_db) from training_chunks join transcripts using (sermon, chunk_id)",
}


def timed(what: str, work: Callable[[], Any], *, times: int = 1) -> Any:
    """Do it, print the median of its seconds, and return what it returned last."""
    seconds = []
    for _ in range(times):
        began = time.perf_counter()
        result = work()
        seconds.append(time.perf_counter() - began)
    print(f"| {what} | {statistics.median(seconds):.1f} s |", flush=True)
    return result


def put_recordings(folder: Path, count: int) -> None:
    """Noises of two seconds, no two alike."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        noise = np.random.default_rng(number).normal(0, 0.05, _RATE_HZ * _RECORDING_S)
        sf.write(
            folder / f"{2000 + number // 300}-{number % 300 // 28 + 1:02}-{number % 28 + 1:02} Talk {number}.wav",
            noise,
            _RATE_HZ,
        )


def tick(sensor: dg.SensorDefinition, instance: dg.DagsterInstance, home: Path) -> Any:
    """What the daemon does at a tick: ask, and add the partitions that it was asked to add."""
    context = dg.build_sensor_context(instance=instance, resources={"platform": Platform(home_folder=str(home))})
    result = sensor(context)
    for request in getattr(result, "dynamic_partitions_requests", None) or []:
        instance.add_dynamic_partitions(request.partitions_def_name, list(request.partition_keys))
    return result


def as_if_made(store: MetadataStore, like: str, sermons: list[str]) -> int:
    """Write the rows of one sermon under the names of the others; returns how many fragments there are."""
    made = 0
    for table in sorted({table for name in stages_of(SERMON) for table in stages()[name].tables} | {"stage_results"}):
        for part in [part for part in store.parts(table) if part == like or part.startswith(f"{like}.")]:
            rows = store.read(table, part)
            for sermon in sermons:
                named = pa.array([sermon] * len(rows)).cast(rows.schema.field("sermon").type)
                at = rows.schema.get_field_index("sermon")
                store.write(table, part.replace(like, sermon, 1), rows.set_column(at, "sermon", named))
                made += 1
    return made


def ask(store: MetadataStore, how: str) -> None:
    """The questions that pages and people ask of all sermons."""
    for what, sql in _QUESTIONS.items():
        timed(what + how, lambda sql=sql: store.query(sql), times=3)


def tell(instance: dg.DagsterInstance, sermons: list[str]) -> None:
    """Say of every output that it was made."""
    for stage in stages_of(SERMON):
        for sermon in sermons:
            instance.report_runless_asset_event(dg.AssetMaterialization(stage, partition=sermon))


def see(browser: Browser, url: str, words: str | re.Pattern[str]) -> None:
    """Until the page shows the words."""
    page = browser.new_context(viewport={"width": 1400, "height": 1000}).new_page()
    page.goto(url)
    page.get_by_text(words, exact=isinstance(words, str)).locator("visible=true").first.wait_for(timeout=120_000)
    page.close()


def open_dialog(browser: Browser, url: str) -> None:
    """Until one could choose sermons to work on."""
    page = browser.new_context(viewport={"width": 1400, "height": 1000}).new_page()
    page.goto(url)
    page.get_by_role("button", name="Materialize all").click(timeout=120_000)
    page.get_by_text("Select a partition").click(timeout=120_000)
    page.get_by_text(re.compile("Select all")).wait_for(timeout=120_000)
    page.close()


def look_at_pages(home: Path) -> None:
    """Seconds until somebody who opens a page sees what it is opened for."""
    port = free_port()
    address = f"http://127.0.0.1:{port}"
    command = dagster_command("dagster-webserver", "-h", "127.0.0.1", "-p", str(port))
    server = start_process(command, home, "webserver")
    try:
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=_chromium())
            timed("web UI: its start and the first page", lambda: _first(browser, address))
            graph = f"{address}/locations/stt_platform/asset-groups/sermons/lineage"
            timed("web UI: the asset graph", lambda: see(browser, graph, "transcript"), times=3)
            asset = f"{address}/assets/transcript?view=partitions"
            timed(
                "web UI: the partitions of an asset",
                lambda: see(browser, asset, re.compile(r"^\d{4}-\d\d-\d\d--")),
                times=3,
            )
            job = f"{address}/locations/stt_platform/jobs/sermon_stages"
            timed("web UI: the dialog that lists all sermons", lambda: open_dialog(browser, job), times=3)
            browser.close()
    finally:
        stop_process(server)


def _first(browser: Browser, address: str) -> None:
    def answers() -> bool:
        return subprocess.run(["curl", "-sf", f"{address}/server_info"], capture_output=True).returncode == 0

    wait_for("the web UI", answers, 120)
    see(browser, f"{address}/automation", "new_sermons")


def _chromium() -> str:
    own = Path(__file__).resolve().parents[1] / ".tools" / "chromium" / "chromium"
    found = [path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))]
    return [*found, str(own)][0]


def ask_for_all(home: Path, instance: dg.DagsterInstance, sermons: list[str]) -> None:
    """A backfill of all stages of all sermons: when the first run is there, and how many are after a minute at work."""
    began = time.perf_counter()
    backfill_id = request_backfill(instance, {sermon: stages_of(SERMON) for sermon in sermons}, title="all")
    filters = dg.RunsFilter.for_backfill(backfill_id)
    with running_daemon(home, instance):
        wait_for("the first run", lambda: instance.get_runs_count(filters), 600)
        print(f"| a backfill of all: until the first run | {time.perf_counter() - began:.1f} s |", flush=True)
        time.sleep(60)
        print(
            f"| a backfill of all: runs a minute later, while they are at work | {instance.get_runs_count(filters)} |"
        )
        backfill = instance.get_backfill(backfill_id)
        instance.update_backfill(backfill.with_status(BulkActionStatus.CANCELING))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sermons", type=int, default=1000)
    parser.add_argument("--folder", type=Path, help="a new folder, which is kept; a temporary one if not given")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        measure(chosen.folder or Path(temporary) / "home", chosen.sermons)


def measure(home: Path, count: int) -> None:
    """Print the table of one run."""
    os.environ |= {"STT_LOCK_DIR": str(home / "locks"), "STT_INBOX__SETTLE_S": "0"}
    store = MetadataStore(home)
    logging.getLogger("dagster").setLevel(logging.WARNING)
    (talk,) = write_recordings(home / "talk", 1)
    (taken,) = ingest(store, [talk])
    run_to_the_end(home)
    put_recordings(home / "inbox", count)
    with open_instance(home) as instance:
        print(f"| {count:,} sermons | |\n|---|---|")
        timed("discovery: the first tick of the inbox", lambda: tick(inbox, instance, home))
        ticks = 1
        while len(registrations(home)) <= count:
            tick(inbox, instance, home)
            ticks += 1
        print(f"| discovery: ticks until all are in | {ticks} |")
        asked = timed("discovery: a tick that starts runs", lambda: tick(new_sermons, instance, home))
        print(f"| runs that it starts | {len(asked.run_requests)} |")
        sermons = sorted(set(registrations(home)) - {taken.sermon})
        fragments = as_if_made(store, taken.sermon, sermons)
        print(f"| fragments | {fragments:,} |")
        ask(store, "")
        timed("compacting the fragments, as every night", store.compact)
        ask(store, ", compacted")
        tell(instance, sermons)
        look_at_pages(home)
        ask_for_all(home, instance, sermons)


if __name__ == "__main__":
    main()
