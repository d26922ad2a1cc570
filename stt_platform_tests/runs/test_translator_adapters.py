"""Translators learn verses as assets: with real code on tiny models, stopped in the UI, resumed, and refused where they must be."""

import errno
import json
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import dagster as dg
import pytest
from click.testing import CliRunner
from dagster._core.definitions.assets.graph.asset_graph_subset import AssetGraphSubset
from dagster._core.execution.backfill import PartitionBackfill
from dagster._core.utils import make_new_backfill_id

from stt_platform.cli.main import main
from stt_platform.definitions import defs
from stt_platform.defs.evaluation.translators import find_systems
from stt_platform.orchestration.instance import open_instance, start_daemon, stop_process
from stt_platform.orchestration.scopes import TRANSLATOR
from stt_platform.settings import load_settings
from stt_platform.store.adapters import made_by
from stt_platform.store.scripture import read_pairs
from stt_platform.store.stages import CORPUS, current_output
from stt_platform.training import adapter_files
from stt_platform.training.adapter_files import check_adapter
from stt_platform.translation.ct2_translator import load_ct2_translator
from stt_platform_tests.helpers.translation_home import BASE, MARIAN, add_models, build_home

STAGE = "translategemma_adapter"
SETTINGS = {
    "STT_SCRIPTURE__FETCH": "false",
    "STT_TRANSLATOR_TRAINING__ROW_TOKENS": "1024",
    "STT_TRANSLATOR_TRAINING__MAX_STEPS": "8",
    "STT_TRANSLATOR_TRAINING__SAVE_STEPS": "2",
    "STT_TRANSLATOR_TRAINING__EVAL_STEPS": "4",
    "STT_TRANSLATOR_TRAINING__DEV_EXAMPLES": "2",
    "STT_MARIAN_TRAINING__MAX_STEPS": "4",
    "STT_MARIAN_TRAINING__DEV_EXAMPLES": "2",
    "STT_MARIAN_TRAINING__EVAL_STEPS": "4",
}


def materialise(*names: str, part: str | None = None) -> dg.ExecuteInProcessResult:
    with dg.DagsterInstance.ephemeral() as instance:
        return defs.resolve_implicit_global_asset_job_def().execute_in_process(
            instance=instance, partition_key=part, asset_selection=[dg.AssetKey(name) for name in names]
        )


def metadata(result: dg.ExecuteInProcessResult, name: str) -> Mapping[str, dg.MetadataValue]:
    (event,) = result.asset_materializations_for_node(name)
    return event.metadata


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A home with a training set and tiny models, before anything was trained."""
    home = tmp_path_factory.mktemp("translators")
    with pytest.MonkeyPatch.context() as patch:
        settings_of(home, patch)
        build_home(home)
        add_models(home)
        assert materialise("glossary_pairs", "translation_training_set").success
        yield home


def settings_of(home: Path, patch: pytest.MonkeyPatch) -> None:
    for name, value in {**SETTINGS, "STT_HOME": str(home), "STT_LOCK_DIR": str(home / "locks")}.items():
        patch.setenv(name, value)


@pytest.fixture
def home(prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy to train in."""
    copy = tmp_path / "home"
    shutil.copytree(prepared, copy)
    settings_of(copy, monkeypatch)
    return copy


@pytest.fixture(scope="module")
def unbroken(
    prepared: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Path, dg.ExecuteInProcessResult]]:
    """The adapter of A, trained without a break."""
    home = tmp_path_factory.mktemp("unbroken") / "home"
    shutil.copytree(prepared, home)
    with pytest.MonkeyPatch.context() as patch:
        settings_of(home, patch)
        result = materialise(STAGE, part="A")
    yield home, result


def test_the_adapter_is_whole_and_shows_how_it_learned(unbroken: tuple[Path, dg.ExecuteInProcessResult]) -> None:
    home, result = unbroken
    adapter = made_by(home, STAGE, "A")
    files = check_adapter(adapter.folder)
    assert {"adapter_model.safetensors", "adapter_config.json", "README.md"} <= set(files.files)
    assert (adapter.kind, adapter.base_model) == ("translategemma", BASE)
    shown = metadata(result, STAGE)
    assert "data:image/png" in shown["curves"].value
    assert shown["rows are full to (%)"].value > 90
    assert "optimizer states" in {row.data["what"] for row in shown["memory plan"].records}
    assert shown["steps"].value == 8
    before_and_after = json.loads(
        (current_output(home, "translator-a", STAGE).shown_folder / "examples.json").read_text(encoding="utf-8")
    )
    assert all(row.keys() == {"English", "reference", "before", "after"} for row in before_and_after)
    assert made_by(home, STAGE, "B") is None


def test_it_is_found_by_the_evaluation_and_was_up_to_date(
    unbroken: tuple[Path, dg.ExecuteInProcessResult], monkeypatch: pytest.MonkeyPatch
) -> None:
    home, _ = unbroken
    settings_of(home, monkeypatch)
    folders = [current_output(home, CORPUS, name).folder for name in ("verse_pairs", "scripture_split")]
    systems = find_systems(home, load_settings(home), read_pairs(*folders), print)
    assert made_by(home, STAGE, "A").adapter_id in {system.adapter_id for system in systems.found}
    assert metadata(materialise(STAGE, part="A"), STAGE)["was already up to date"].value is True


def test_cancelled_in_the_ui_it_ends_as_cancelled_and_goes_on_to_the_same_adapter(
    home: Path, unbroken: tuple[Path, dg.ExecuteInProcessResult]
) -> None:
    live = home / "training" / "live" / f"{STAGE}-a.json"
    with open_instance(home) as instance:
        subset = AssetGraphSubset(
            partitions_subsets_by_asset_key={
                dg.AssetKey(STAGE): TRANSLATOR.partitions.subset_with_partition_keys(["A"])
            }
        )
        instance.add_backfill(
            PartitionBackfill.from_asset_graph_subset(
                backfill_id=make_new_backfill_id(),
                backfill_timestamp=time.time(),
                tags={},
                dynamic_partitions_store=instance,
                asset_graph_subset=subset,
                title="test",
                description=None,
                run_config=None,
            )
        )
        daemon = start_daemon(home, instance)
        try:
            wait_for("the training", lambda: live.exists() and json.loads(live.read_text())["steps"])
            (run,) = instance.get_runs()
            assert instance.run_coordinator.cancel_run(run.run_id)
            wait_for("the end", lambda: instance.get_run_by_id(run.run_id).is_finished)
            assert instance.get_run_by_id(run.run_id).status == dg.DagsterRunStatus.CANCELED
        finally:
            stop_process(daemon)
    done = len(json.loads(live.read_text())["steps"])
    assert made_by(home, STAGE, "A") is None
    assert list((home / "checkpoints" / STAGE).rglob("*.safetensors"))
    assert materialise(STAGE, part="A").success
    steps = json.loads(live.read_text())["steps"]
    assert done < len(steps) == 8
    assert made_by(home, STAGE, "A").adapter_id == made_by(unbroken[0], STAGE, "A").adapter_id
    assert not list((home / "checkpoints").rglob("*.safetensors"))


def wait_for(what: str, look: Callable[[], object], patience_s: float = 600) -> None:
    deadline = time.monotonic() + patience_s
    while not look():
        assert time.monotonic() < deadline, f"{what}: not within {patience_s} s"
        time.sleep(0.05)


def test_a_full_disk_keeps_the_training_and_says_so(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(adapter_files, "_seal", full)
        with pytest.raises(dg.Failure, match="make room and run it again; the training is saved"):
            materialise(STAGE, part="A")
    assert not list((home / "adapters").glob("[0-9a-f.]*"))
    kept = {path: path.stat().st_mtime_ns for path in (home / "checkpoints").rglob("*.safetensors")}
    assert kept
    assert materialise(STAGE, part="A").success
    assert made_by(home, STAGE, "A") is not None


def test_a_changed_base_is_trained_anew_and_its_old_adapter_is_refused(
    unbroken: tuple[Path, dg.ExecuteInProcessResult], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "home"
    shutil.copytree(unbroken[0], home)
    settings_of(home, monkeypatch)
    weights = next((home / "models" / BASE).glob("*.safetensors"))
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(bytes(content))
    folders = [current_output(home, CORPUS, name).folder for name in ("verse_pairs", "scripture_split")]
    systems = find_systems(home, load_settings(home), read_pairs(*folders), print)
    assert any("was trained on" in missing.reason for missing in systems.missing)


def test_marian_follows_as_a_whole_model_and_serves(home: Path) -> None:
    result = materialise("marian_model")
    made = made_by(home, "marian_model")
    assert (made.kind, made.base_model) == ("marian", MARIAN)
    assert check_adapter(made.folder).adapter_id == made.adapter_id
    (answer,) = load_ct2_translator(made.serving).translate(["Grace and peace."], max_new_tokens=8)
    assert answer.tokens > 0
    assert metadata(result, "marian_model")["steps"].value == 4


def test_the_command_trains_the_translator_that_is_named(home: Path) -> None:
    done = CliRunner().invoke(main, ["run", "--through", STAGE, "--translator", "B"], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    assert made_by(home, STAGE, "B") is not None
    assert made_by(home, STAGE, "A") is None
    refused = CliRunner().invoke(main, ["run", "--through", STAGE, "--cycle", "1"])
    assert refused.exit_code == 1
    assert "is not made for each cycle" in refused.output
