"""The chain killed at every stage: what was finished is not done again, and the outputs are those of a quiet run."""

import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import stt_platform.definitions  # noqa: F401
from stt_platform.orchestration.scopes import SERMON
from stt_platform.orchestration.stage import stages_of
from stt_platform.store.intake import ingest
from stt_platform.store.metadata import MetadataStore
from stt_platform.store.stages import current_output, stage_folder

RUN = """
import sys
from pathlib import Path
import stt_platform.definitions
from stt_platform.orchestration.platform import Platform
from stt_platform.orchestration.running import run_stage
from stt_platform.orchestration.scopes import SERMON
from stt_platform.orchestration.stage import stages, stages_of
for stage in [stages()[name] for name in stages_of(SERMON)]:
    run_stage(stage, Platform(home_folder=sys.argv[1]), print, sys.argv[2])
"""
SLOW = ("recording", "standard_audio", "sound_classes", "enhanced_audio", "training_chunks", "transcript", "consensus")


def start(home: Path, sermon: str) -> subprocess.Popen:
    return subprocess.Popen([sys.executable, "-c", RUN, str(home), sermon], stdout=subprocess.DEVNULL)


def is_at_work(home: Path, sermon: str, stage: str) -> bool:
    return any(stage_folder(home, sermon, stage).glob(".*.tmp"))


def files(home: Path, sermon: str) -> dict[str, bytes]:
    """Every file of every finished output, by its place."""
    found = {}
    for stage in stages_of(SERMON):
        folder = current_output(home, sermon, stage).folder
        paths = sorted(path for path in folder.rglob("*") if path.is_file())
        found |= {f"{stage}/{path.relative_to(folder)}": path.read_bytes() for path in paths}
    return found


def test_killed_at_every_stage(tmp_path: Path, talk: Path) -> None:
    recording = tmp_path / "2024-03-10 talk.wav"
    shutil.copy(talk, recording)
    homes = [tmp_path / "quiet", tmp_path / "killed"]
    quiet, killed = homes
    (sermon,) = {entry.sermon for home in homes for entry in ingest(MetadataStore(home), [recording])}
    assert start(quiet, sermon).wait() == 0

    done: dict[str, int] = {}
    for victim in SLOW:
        process = start(killed, sermon)
        while process.poll() is None and not is_at_work(killed, sermon, victim):
            time.sleep(0.002)
        process.send_signal(signal.SIGKILL)
        process.wait()
        for stage, made_at in done.items():
            assert current_output(killed, sermon, stage).folder.stat().st_mtime_ns == made_at, f"{stage} was redone"
        finished = {stage: current_output(killed, sermon, stage) for stage in stages_of(SERMON)}
        done = {stage: output.folder.stat().st_mtime_ns for stage, output in finished.items() if output}
        assert victim not in done, f"{victim} was to be killed before its end"
    assert start(killed, sermon).wait() == 0
    assert files(killed, sermon) == files(quiet, sermon)
    assert not list(killed.rglob("*.tmp"))
