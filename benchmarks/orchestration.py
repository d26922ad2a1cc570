"""What Dagster adds to a sermon: the time from the launch of its run to its end, less the time its stages took.

    python benchmarks/orchestration.py [--sermons 5] [--minutes 60]

Takes in copies of a packaged recording (30 s of talk, or as many times as fill the minutes; made different by a few samples),
runs them one after another on an instance in a temporary folder, and prints seconds for each.
"""

import argparse
import statistics
import tempfile
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import soundfile as sf

import stt_platform.definitions  # noqa: F401
from stt_platform.orchestration.backfill import run_batch
from stt_platform.orchestration.instance import open_instance, running_daemon
from stt_platform.orchestration.planning import plan_sermon
from stt_platform.settings import load_settings
from stt_platform.store.intake import ingest
from stt_platform.store.metadata import MetadataStore


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--sermons", type=int, default=5)
    arguments.add_argument("--minutes", type=float, default=0.5)
    options = arguments.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        taken = _take_in(home, options.sermons, options.minutes)
        settings = load_settings(home)
        print(f"{'sermon':28} {'launch':>8} {'stages':>8} {'between':>8} {'added':>8}   (s)   share")
        with open_instance(home) as instance, running_daemon(home, instance):
            added = []
            for sermon in taken:
                run_batch(home, settings, instance, {sermon: plan_sermon(home, settings, sermon)}, lambda _: None)
                (record,) = instance.get_run_records(limit=1)
                stats = instance.get_run_stats(record.dagster_run.run_id)
                steps = instance.get_run_step_stats(record.dagster_run.run_id)
                at_work = sum(step.end_time - step.start_time for step in steps)
                launch = stats.start_time - stats.launch_time
                between = stats.end_time - stats.start_time - at_work
                added.append(launch + between)
                share = added[-1] / (added[-1] + at_work)
                print(f"{sermon:28} {launch:8.2f} {at_work:8.2f} {between:8.2f} {added[-1]:8.2f}   {share:11.1%}")
        print(f"median added by orchestration: {statistics.median(added):.2f} s per sermon")


def _take_in(home: Path, sermons: int, minutes: float) -> list[str]:
    spec = find_spec("pyannote.audio")
    once, rate_hz = sf.read(Path(spec.origin).parent / "sample" / "sample.wav")
    samples = np.tile(once, max(1, round(minutes * 60 * rate_hz / once.size)))
    (home / "recordings").mkdir()
    for number in range(sermons):
        sf.write(home / "recordings" / f"2024-01-{number + 1:02} copy {number}.wav", samples[number:], rate_hz)
    return [entry.sermon for entry in ingest(MetadataStore(home), [home / "recordings"])]


if __name__ == "__main__":
    main()
