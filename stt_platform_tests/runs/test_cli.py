"""The command `stt`, as a user types it."""

import json
import os
import shutil
from pathlib import Path

import soundfile as sf

from stt_platform.orchestration.instance import open_instance
from stt_platform.store.metadata import MetadataStore
from stt_platform_tests.runs.conftest import stt


def test_ingest_run_query_remove(stt_home: Path, talk: Path, tmp_path: Path) -> None:
    folder = tmp_path / "recordings"
    folder.mkdir()
    shutil.copy(talk, folder / "2024-03-10 The Lamp - Ann Lee.wav")
    (folder / "2024-03-10 The Lamp - Ann Lee.txt").write_text("Hello, hello.")
    (folder / "2024-03-17 words.mp3").write_text("not a sound " * 200)
    taken = stt("ingest", str(folder), home=stt_home)
    assert "“The Lamp” by Ann Lee, 2024-03-10" in taken.stdout
    assert "reference text of 2024-03-10--the-lamp" in taken.stdout

    done = stt("run", home=stt_home)
    assert "2 of 2 sermons are up to date now" in done.stdout
    assert "2024-03-17--words is rejected: recording:" in done.stdout

    rows = json.loads(stt("query", "select * from sermons order by date", "--format", "json", home=stt_home).stdout)
    assert [(row["sermon"], row["status"]) for row in rows] == [
        ("2024-03-10--the-lamp", "accepted"),
        ("2024-03-17--words", "rejected"),
    ]
    assert rows[0]["split"] and not rows[1]["split"]
    lines = stt("query", 'select sermon, text from "references"', "--format", "csv", home=stt_home).stdout.splitlines()
    assert lines == ['"sermon","text"', '"2024-03-10--the-lamp","Hello, hello."']

    with open_instance(stt_home) as instance:
        runs = instance.get_runs_count()
    assert "Nothing to do" in stt("run", home=stt_home).stdout
    with open_instance(stt_home) as instance:
        assert instance.get_runs_count() == runs

    stt("remove", "2024-03-10--the-lamp", "--yes", home=stt_home)
    with open_instance(stt_home) as instance:
        assert instance.get_dynamic_partitions("sermon") == ["2024-03-17--words"]
        assert not [run for run in instance.get_runs() if run.tags.get("dagster/partition") == "2024-03-10--the-lamp"]
    left = [path for path in stt_home.rglob("*") if "the-lamp" in path.name]
    assert left == []


def test_what_users_get_wrong_is_one_line_that_helps(stt_home: Path) -> None:
    cases = [
        (["ingest", "nowhere.wav"], "there is no such file"),
        (["run", "--sermon", "2020-01-01--none"], "not here"),
        (["run", "--through", "nothing"], "choose one of recording, captions, standard_audio"),
        (["remove", "../../etc", "--yes"], "there is no sermon"),
        (["query", "drop table sermons"], "only read by sql"),
        (["query", "select * from sermon"], "sermons"),
    ]
    for arguments, words in cases:
        result = stt(*arguments, home=stt_home, check=False)
        said = " ".join((result.stdout + result.stderr).split())
        assert result.returncode == 1, arguments
        assert words in said.lower() or words in said, (arguments, said)
        assert "Traceback" not in said


def test_doctor_says_what_is_fine_and_what_mends_the_rest(stt_home: Path) -> None:
    fine = stt("doctor", home=stt_home)
    assert "recogniser whisper-tiny.en@0.1.0" in fine.stdout
    assert "STT_HOME lies on" in fine.stdout
    wrong = stt("doctor", home=stt_home, check=False, STT_PROFILE="workstation")
    if "no CUDA device" in wrong.stdout:
        assert wrong.returncode == 1
        assert "embedded profile" in wrong.stdout


def test_doctor_reads_the_gpu(stt_home: Path, tmp_path: Path) -> None:
    folder = tmp_path / "bin"
    folder.mkdir()
    says = folder / "nvidia-smi"
    says.write_text(
        """#!/bin/sh
case "$1" in
  *compute_cap*) echo 'Field "compute_cap" is not a valid field to query.'; exit 2;;
  --query-gpu=*) echo 'index, name, driver_version, memory.total [MiB], memory.used [MiB]'
                 echo '0, Tesla T4, 470.182.03, 15109, 3';;
  *) echo '| NVIDIA-SMI 470.182.03   Driver Version: 470.182.03   CUDA Version: 11.4     |';;
esac
"""
    )
    says.chmod(0o755)
    asked = stt("doctor", home=stt_home, check=False, PATH=f"{folder}:{os.environ['PATH']}")
    assert asked.returncode == 1
    assert "fine    GPU 0: Tesla T4, 15.8 GB, of which 15.8 GB are free" in asked.stdout
    assert "look at GPU 0: the driver does not say its compute capability" in asked.stdout
    assert "wrong   driver 470.182.03, which serves CUDA 11.4; torch wants" in asked.stdout
    assert "→ install the NVIDIA driver anew" in asked.stdout


def test_a_demo_of_one_sermon_with_scripture_and_again(stt_home: Path) -> None:
    first = stt("demo", "--sermons", "1", home=stt_home)
    assert "ended well" in first.stdout
    assert "What was set aside, and why" in first.stdout
    assert all(why in first.stdout for why in ("empty side", "duplicate", "too many verses"))
    pairs = MetadataStore(stt_home).query(
        "select en_source, count(*) filter (status = 'accepted') as accepted from verse_pairs group by 1 order by 1"
    )
    assert [row["en_source"] for row in pairs.to_pylist()] == ["asv", "kjv", "web"]
    assert all(row["accepted"] > 30_500 for row in pairs.to_pylist())
    assert [line.split(":")[0] for line in first.stdout.splitlines()].count("rejected") == 2
    assert "Word errors against the known script" in first.stdout
    before = {path: path.stat().st_mtime_ns for path in stt_home.glob("tables/*/*.parquet")}
    second = stt("demo", "--sermons", "1", home=stt_home)
    assert "Nothing to do" in second.stdout
    assert {path: path.stat().st_mtime_ns for path in stt_home.glob("tables/*/*.parquet")} == before


def test_a_recording_with_a_hostile_name_runs(stt_home: Path, talk: Path, tmp_path: Path) -> None:
    samples, rate_hz = sf.read(talk)
    path = tmp_path / '2024-03-10 it\'s; $(touch x) "a,b" 🎤.wav'
    sf.write(path, samples[: 6 * rate_hz], rate_hz)
    stt("ingest", str(path), home=stt_home)
    assert "1 of 1 sermons" in stt("run", "--through", "speech_chunks", home=stt_home).stdout
    assert not (Path.cwd() / "x").exists()
