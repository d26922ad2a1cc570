"""A short run of the chaos that `benchmarks/chaos.py` makes at length: one fault of each kind, and nothing lost."""

import random
from functools import partial
from pathlib import Path

import pytest

from benchmarks import chaos
from benchmarks.chaos_home import Trial, a_disk, make_church, run_to_the_end, undisturbed, write_recordings

SEED = 8


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return write_recordings(tmp_path_factory.mktemp("recordings"), 1)


@pytest.fixture(scope="module")
def quiet(tmp_path_factory: pytest.TempPathFactory, recordings: list[Path]) -> dict[str, str]:
    found = undisturbed(tmp_path_factory.mktemp("quiet"), recordings)
    assert any(name.endswith("transcripts.parquet") for name in found)
    return found


def wrong(trials: list[Trial]) -> list[str]:
    return [f"{trial.fault}: {words}" for trial in trials for words in trial.wrong]


def test_a_process_is_killed_the_disk_fails_and_the_clock_lies(
    stt_home: Path, recordings: list[Path], quiet: dict[str, str]
) -> None:
    chance = random.Random(SEED)
    with a_disk(stt_home) as disk:
        church = make_church(stt_home / "church", recordings, quiet)
        faults = (
            chaos.kill_step,
            chaos.put_clock_back,
            partial(chaos.fill_disk, disk),
            partial(chaos.make_read_only, disk),
        )
        assert wrong([fault(church, chance) for fault in faults]) == []


def test_fragments_are_damaged(stt_home: Path, recordings: list[Path], quiet: dict[str, str]) -> None:
    church = make_church(stt_home, recordings, quiet)
    assert run_to_the_end(stt_home) == 0
    chance = random.Random(SEED)
    assert wrong([chaos.damage_fragment(church, chance) for _ in range(10)]) == []


def test_a_step_is_killed_in_a_run_and_the_instance_is_damaged_and_restored(
    stt_home: Path, recordings: list[Path], quiet: dict[str, str]
) -> None:
    church = make_church(stt_home, recordings, quiet)
    with chaos.a_site(church, random.Random(SEED)) as site:
        trials = chaos.backfill(site, [chaos.kill_step_of_run, chaos.damage_instance])
    assert wrong(trials) == []
    assert [trial.fault for trial in trials] == ["step killed, in a run", "instance damaged, restored from the backup"]
