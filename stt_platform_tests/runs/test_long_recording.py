"""Two hours in bounded memory: every stage of the sound in a process of its own, and the peak of each."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf

import stt_platform.definitions  # noqa: F401
from stt_platform.orchestration.scopes import SERMON
from stt_platform.orchestration.stage import stages_of
from stt_platform.store.intake import ingest
from stt_platform.store.metadata import MetadataStore
from stt_platform_tests.helpers import services

RATE_HZ = 44_100
HOURS = 2
MOST_BYTES = 2e9
RUN = """
import json, re, sys, time
from pathlib import Path
import stt_platform.definitions
from stt_platform.orchestration.platform import Platform
from stt_platform.orchestration.running import run_stage
from stt_platform.orchestration.stage import stages
began = time.monotonic()
run_stage(stages()[sys.argv[3]], Platform(home_folder=sys.argv[1]), lambda line: None, sys.argv[2])
# Not getrusage: it counts what the process that this one was forked from held.
peak_kb = int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1])
print(json.dumps([peak_kb * 1024, time.monotonic() - began]))
"""
STAGES = [stage for stage in stages_of(SERMON) if stage not in ("captions", "transcript", "consensus")]


@pytest.mark.prove
@pytest.mark.timeout(3600)
def test_two_hours_stay_below_two_gigabytes(tmp_path: Path, talk: Path) -> None:
    service = services.packaged_service()
    piece = np.interp(
        np.arange(0, service.samples.size, 16_000 / RATE_HZ), np.arange(service.samples.size), service.samples
    )
    recording = tmp_path / "2024-03-10 long conversation.flac"
    with sf.SoundFile(recording, "w", RATE_HZ, 2, subtype="PCM_16") as file:
        for _ in range(round(HOURS * 3600 * RATE_HZ / piece.size)):
            file.write(np.stack([piece, 0.9 * piece], axis=1))
    home = tmp_path / "home"
    (entry,) = ingest(MetadataStore(home), [recording])
    peaks = {}
    for stage in STAGES:
        command = [sys.executable, "-c", RUN, str(home), entry.sermon, stage]
        answer = subprocess.run(command, capture_output=True, text=True, check=True)
        peaks[stage], seconds = json.loads(answer.stdout.splitlines()[-1])
        print(f"{stage:16} {peaks[stage] / 1e6:7.0f} MB {seconds:7.1f} s")
    assert max(peaks.values()) < MOST_BYTES, peaks
