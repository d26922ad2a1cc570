"""A home that commit e6edeb5 made: it opens, keeps what people did, and is made again the same in two places."""

import os
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

from stt_platform.cli import running
from stt_platform.errors import PlatformError
from stt_platform.orchestration.planning import plan, plan_sermon
from stt_platform.orchestration.scopes import CORPUS_SCOPE, CYCLE, SERMON, with_cycle
from stt_platform.orchestration.stage import stages, stages_after_sermons, stages_of
from stt_platform.settings import load_settings
from stt_platform.store.adapters import made_by
from stt_platform.store.choices import label_policy, speech_champion, training_view
from stt_platform.store.intake import registrations
from stt_platform.store.metadata import MetadataStore
from stt_platform.store.stages import FORMAT, current_output
from stt_platform_tests.helpers.staging import make
from stt_platform_tests.homes import unpack_home
from stt_platform_tests.runs.conftest import run_stages

# Two homes are made again, with a training each, on a machine that may be busy.

SERMONS = ("2024-05-05--the-lamp", "2024-05-12--the-vine", "2024-05-19--the-door", "2024-05-26--the-well")
SPLITS = dict(zip(SERMONS, ("train", "dev", "train", "test"), strict=True))
ADAPTER = "26d51a271e03b6ad716634fd069d9f2e924827f4d681d566a92549d28399abbd"
CHUNKS = [
    *("b941b4142efce5d1", "c9ca9b8ec7c17306", "e449b6abb2982185", "be965121ba2cfe0b"),
    *("0f61e251bf9ab2e2", "1e219c77f41a0339", "ec868801a3c3ebe3", "a2a2112e6de0ab2b"),
    *("6fca2360de87c530", "ee006d75c1e62583", "8e3afce7ddb2d408"),
    *("6ee940e45e0f1a24", "090f7c1fd2f1045c", "acd78e66af32c828"),
]
"""By sermon, in order."""

TRANSCRIBED = {"6ee940e45e0f1a24", "090f7c1fd2f1045c", "acd78e66af32c828"}
CORRECTED = ["8e3afce7ddb2d408", "b941b4142efce5d1", "be965121ba2cfe0b", "c9ca9b8ec7c17306", "ee006d75c1e62583"]


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[pytest.MonkeyPatch]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("STT_LOCK_DIR", str(tmp_path_factory.mktemp("locks")))
        yield patch


def unpacked(tmp_path_factory: pytest.TempPathFactory, environment: pytest.MonkeyPatch, name: str) -> Path:
    home = unpack_home(tmp_path_factory.mktemp(name) / "home")
    environment.setenv("STT_HOME", str(home))
    return home


def made_again(home: Path, instance: dg.DagsterInstance) -> None:
    """Everything that is out of date, and a cycle on top, in the order of the command line."""
    instance.add_dynamic_partitions(SERMON.name, list(registrations(home)))
    for sermon in SERMONS:
        assert run_stages(instance, sermon).success
    assert running.materialize(instance, stages_after_sermons()).success
    part = with_cycle(instance, 0)
    assert running.materialize(instance, stages_of(CYCLE), part).success


@pytest.fixture(scope="module")
def before(tmp_path_factory: pytest.TempPathFactory, environment: pytest.MonkeyPatch) -> Path:
    """As it was left."""
    return unpacked(tmp_path_factory, environment, "before")


@pytest.fixture(scope="module")
def homes(tmp_path_factory: pytest.TempPathFactory, environment: pytest.MonkeyPatch) -> tuple[Path, Path]:
    """Made again twice, in different places and of files with other times."""
    found = []
    for number, name in enumerate(("one", "another")):
        home = unpacked(tmp_path_factory, environment, name)
        for path in home.rglob("*"):
            os.utime(path, (1_700_000_000 + 1000 * number, 1_700_000_000 + 1000 * number))
        with dg.DagsterInstance.ephemeral() as instance:
            made_again(home, instance)
        found.append(home)
    return found[0], found[1]


def test_it_opens_and_says_what_is_to_be_made_again(before: Path) -> None:
    store, settings = MetadataStore(before), load_settings(before)
    assert [row["sermon"] for row in store.query("select sermon from sermons order by 1").to_pylist()] == list(SERMONS)
    assert store.query("select decision, adapter_id, cause from decisions").to_pylist() == [
        {"decision": "undecided", "adapter_id": ADAPTER, "cause": None}
    ]
    assert all(plan_sermon(before, settings, sermon) == stages_of(SERMON) for sermon in SERMONS)
    assert [each.stage for each in plan(before, settings, scopes=[CORPUS_SCOPE])] == stages_after_sermons()
    old = current_output(before, SERMONS[0], "transcript")
    assert (old.format, old.data) == (1, {}) and old.shown["words"]
    with pytest.raises(PlatformError, match=r"earlier version of the platform.*stt run --sermon"):
        make(before, "transcript", SERMONS[0])


def test_the_list_that_people_work_on_is_not_made_anew_by_itself(before: Path) -> None:
    assert stages()["review_tasks"].output(before, "0") is not None


def test_the_chunks_that_people_wrote_about_are_found_again(homes: tuple[Path, Path]) -> None:
    store = MetadataStore(homes[0])
    found = store.query("select chunk_id from speech_chunks order by sermon, start_sample")["chunk_id"].to_pylist()
    assert found == CHUNKS
    rows = store.query('select sermon, chunk_id, status from "references"').to_pylist()
    assert {row["status"] for row in rows} == {"accepted"}
    assert {row["chunk_id"] for row in rows if row["chunk_id"]} == TRANSCRIBED
    assert {row["sermon"] for row in rows if not row["chunk_id"]} == {SERMONS[1], SERMONS[2]}
    accepted = store.query("select chunk_id from corrections where status = 'accepted' order by 1")
    assert accepted["chunk_id"].to_pylist() == CORRECTED


def test_choices_splits_and_adapters_stay(homes: tuple[Path, Path], before: Path) -> None:
    home = homes[0]
    rows = MetadataStore(home).query("select sermon, split from splits").to_pylist()
    assert {row["sermon"]: row["split"] for row in rows} == SPLITS
    assert training_view(home, "measured").view == "original"
    assert label_policy(home, "measured").policy == "transcribe_again"
    assert speech_champion(home).adapter_id is None
    for name in ("frozen.json", "church_test.json", "pinned.csv"):
        assert (home / "splits" / name).read_bytes() == (before / "splits" / name).read_bytes()
    assert (home / "adapters" / ADAPTER / "adapter_model.safetensors").is_file()
    assert made_by(home, "whisper_adapter", "0") is not None


def test_all_that_is_made_again_is_of_this_version_and_up_to_date(homes: tuple[Path, Path]) -> None:
    home = homes[0]
    assert plan(home, load_settings(home)) == []
    assert plan(home, load_settings(home), stages_of(CYCLE), parts={"cycle": "0"}) == []
    outputs = [stages()[name].output(home, "0") for name in stages_of(CYCLE)]
    assert all(output is not None and output.format == FORMAT for output in outputs)


def test_two_homes_give_equal_digests_for_every_stage(homes: tuple[Path, Path]) -> None:
    digests = []
    for home in homes:
        made = [(name, sermon) for name in stages_of(SERMON) for sermon in SERMONS]
        made += [(name, None) for name in stages_after_sermons()] + [(name, "0") for name in stages_of(CYCLE)]
        digests.append({each: stages()[each[0]].output(home, each[1]).digest for each in made})
    differing = [each for each in digests[0] if digests[0][each] != digests[1][each]]
    assert differing == []
