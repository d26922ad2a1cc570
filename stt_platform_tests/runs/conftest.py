"""Real runs on a real instance below a fresh STT_HOME."""

import os
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import dagster as dg
import pytest

from stt_platform.orchestration.scopes import SERMON
from stt_platform.store.intake import ingest
from stt_platform.store.metadata import MetadataStore


@pytest.fixture(scope="session")
def talk() -> Path:
    """30 seconds of two people talking, from the package pyannote.audio."""
    spec = find_spec("pyannote.audio")
    assert spec and spec.origin
    return Path(spec.origin).parent / "sample" / "sample.wav"


@pytest.fixture
def store(stt_home: Path) -> MetadataStore:
    return MetadataStore(stt_home)


@pytest.fixture
def instance() -> dg.DagsterInstance:
    with dg.DagsterInstance.ephemeral() as instance:
        yield instance


@pytest.fixture
def ingested(store: MetadataStore, talk: Path, tmp_path: Path) -> str:
    """The key of one sermon that was taken in."""
    recording = tmp_path / "2024-03-10 The Lamp - Ann Lee.wav"
    shutil.copy(talk, recording)
    (entry,) = ingest(store, [recording])
    assert entry.sermon
    return entry.sermon


def run_stages(instance: dg.DagsterInstance, sermon: str) -> dg.ExecuteInProcessResult:
    """All stages of a sermon, in this process."""
    from stt_platform.definitions import defs

    instance.add_dynamic_partitions(SERMON.name, [sermon])
    return defs.resolve_job_def("sermon_stages").execute_in_process(instance=instance, partition_key=sermon)


def stt(*arguments: str, home: Path, check: bool = True, **variables: str) -> subprocess.CompletedProcess:
    """The command `stt` as a user runs it."""
    return subprocess.run(
        [str(Path(sys.executable).parent / "stt"), *arguments],
        env={**os.environ, "STT_HOME": str(home), **variables},
        capture_output=True,
        text=True,
        timeout=600,
        check=check,
    )
