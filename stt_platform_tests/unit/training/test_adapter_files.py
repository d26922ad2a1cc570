"""An adapter on disk: whole or absent, named by what it is, and refused where it does not belong."""

from __future__ import annotations

import errno
import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from stt_platform.store import adapters as store
from stt_platform.training.adapter_files import (
    AdapterFiles,
    AdapterRefused,
    Base,
    Provenance,
    check_adapter,
    package_versions,
    read_adapter,
    weights_sha256,
    write_adapter,
)

BASE = Base("translategemma-4b", "10042cb0", "a" * 64)
DATASET = "d" * 64
PROVENANCE = Provenance(
    kind="translategemma",
    base=BASE,
    dataset_sha256=DATASET,
    parameters={
        "rank": 16,
        "target_modules": r"(a|b)_proj",
        "loop": {"learning_rate": 2e-4, "stop_on": (("loss", "min"),)},
    },
    code_version="0.1.0",
    curves={
        "steps": [{"step": 1, "loss": 2.5}],
        "evaluations": [
            {"step": 0, "measures": {"loss": 2.75, "chrf": math.nan}},
            {"step": 60, "measures": {"loss": 1.5, "chrf": 31.25}},
        ],
    },
    summary="It learnt from 27,307 verses.",
)


def fill(folder: Path) -> None:
    (folder / "adapter_model.safetensors").write_bytes(b"weights")
    (folder / "adapter_config.json").write_text('{"r": 16}')
    (folder / "serving" / "deep").mkdir(parents=True)
    (folder / "serving" / "deep" / "model.bin").write_bytes(b"converted")


@pytest.fixture
def written(tmp_path: Path) -> AdapterFiles:
    return write_adapter(tmp_path / "adapters", PROVENANCE, fill)


def test_an_adapter_is_read_as_it_was_written(written: AdapterFiles, tmp_path: Path) -> None:
    assert written.folder == tmp_path / "adapters" / written.adapter_id
    assert check_adapter(written.folder, base=BASE, dataset_sha256=DATASET) == written == read_adapter(written.folder)
    assert sorted(written.files) == [
        "README.md",
        "adapter_config.json",
        "adapter_model.safetensors",
        "serving/deep/model.bin",
    ]
    assert written.provenance.base == BASE
    # As JSON has it.
    assert written.provenance.parameters["loop"]["stop_on"] == [["loss", "min"]]
    assert written.provenance.curves["evaluations"][0]["measures"] == {"loss": 2.75, "chrf": None}
    assert written.environment == package_versions()
    assert written.environment["torch"].startswith("2.")
    assert [path.name for path in (tmp_path / "adapters").iterdir()] == [written.adapter_id]


def test_the_store_finds_it(written: AdapterFiles, tmp_path: Path) -> None:
    found = store.read_adapter(tmp_path, written.adapter_id)
    assert (found.kind, found.base_model, found.base_revision) == ("translategemma", BASE.name, BASE.revision)
    assert found.dataset_sha256 == DATASET


def test_the_same_weights_of_the_same_origin_are_written_once(written: AdapterFiles, tmp_path: Path) -> None:
    # Another time, other words: it is the same adapter.
    again = write_adapter(tmp_path / "adapters", replace(PROVENANCE, summary="Others.", curves={}), fill)
    assert again == written


@pytest.mark.parametrize(
    "change",
    [
        {"kind": "marian"},
        {"base": replace(BASE, revision="other")},
        {"base": replace(BASE, sha256="b" * 64)},
        {"dataset_sha256": "e" * 64},
        {"parameters": {"rank": 8}},
    ],
)
def test_what_decides_it_decides_its_name(written: AdapterFiles, tmp_path: Path, change: dict) -> None:
    other = write_adapter(tmp_path / "adapters", replace(PROVENANCE, **change), fill)
    assert other.adapter_id != written.adapter_id
    check_adapter(written.folder)


def test_other_weights_have_another_name(written: AdapterFiles, tmp_path: Path) -> None:
    def other(folder: Path) -> None:
        fill(folder)
        (folder / "adapter_model.safetensors").write_bytes(b"wEights")

    assert write_adapter(tmp_path / "adapters", PROVENANCE, other).adapter_id != written.adapter_id


@pytest.mark.parametrize(
    "name",
    ["adapter.json", "README.md", "adapter_config.json", "adapter_model.safetensors", "serving/deep/model.bin"],
)
def test_one_flipped_bit_is_noticed_and_written_anew(written: AdapterFiles, tmp_path: Path, name: str) -> None:
    path = written.folder / name
    data = bytearray(path.read_bytes())
    for place in range(0, len(data), max(1, len(data) // 40)):
        flipped = data.copy()
        flipped[place] ^= 1
        path.write_bytes(flipped)
        with pytest.raises(AdapterRefused, match=rf"{Path(name).name} (was changed|cannot be read).*train again"):
            check_adapter(written.folder)
    check_adapter(write_adapter(tmp_path / "adapters", PROVENANCE, fill).folder)


def test_a_missing_file_is_noticed(written: AdapterFiles) -> None:
    (written.folder / "adapter_model.safetensors").unlink()
    with pytest.raises(AdapterRefused, match=r"adapter_model\.safetensors is missing"):
        check_adapter(written.folder)
    (written.folder / "adapter.json").unlink()
    with pytest.raises(AdapterRefused, match="cannot be read"):
        read_adapter(written.folder)


@pytest.mark.parametrize(
    ("base", "dataset", "words"),
    [
        (replace(BASE, sha256="b" * 64), None, "weights aaaaaaaaaaaa.*weights bbbbbbbbbbbb.*restore that base"),
        (replace(BASE, revision="other"), None, "at 10042cb0.* at other"),
        (replace(BASE, name="translategemma-12b"), None, "translategemma-4b.*translategemma-12b"),
        (BASE, "e" * 64, "dddddddddddd.*eeeeeeeeeeee.*train again"),
    ],
)
def test_another_base_or_training_set_is_refused(
    written: AdapterFiles, base: Base, dataset: str | None, words: str
) -> None:
    with pytest.raises(AdapterRefused, match=words):
        check_adapter(written.folder, base=base, dataset_sha256=dataset)


def _nothing(folder: Path) -> None:
    pass


def _full(folder: Path) -> None:
    fill(folder)
    raise OSError(errno.ENOSPC, "No space left on device")


def _full_in_other_words(folder: Path) -> None:
    fill(folder)
    raise RuntimeError("I/O error: No space left on device (os error 28)")


@pytest.mark.parametrize(("work", "error"), [(_nothing, ValueError), (_full, OSError), (_full_in_other_words, OSError)])
def test_a_failure_leaves_nothing_and_what_was_there(
    written: AdapterFiles, tmp_path: Path, work: Callable[[Path], None], error: type[Exception]
) -> None:
    with pytest.raises(error):
        write_adapter(tmp_path / "adapters", PROVENANCE, work)
    assert [path.name for path in (tmp_path / "adapters").iterdir()] == [written.adapter_id]
    check_adapter(written.folder)


def test_what_a_dead_process_left_is_removed_and_a_living_ones_stays(tmp_path: Path) -> None:
    adapters = tmp_path / "adapters"
    # No process has the number 2**22 + 1: the kernel's highest is 2**22.
    for number in (2**22 + 1, 1):
        (adapters / f".{number}.tmp").mkdir(parents=True)
    written = write_adapter(adapters, PROVENANCE, fill)
    assert {path.name for path in adapters.iterdir()} == {written.adapter_id, ".1.tmp"}


def test_the_card_says_what_it_is_in_plain_words(written: AdapterFiles) -> None:
    card = (written.folder / "README.md").read_text(encoding="utf-8")
    for words in (
        "base_model: translategemma-4b\n",
        "LoRA adapter",
        "It learnt from 27,307 verses.",
        "revision 10042cb0",
        "| rank | 16 |",
        "| loop.learning_rate | 0.0002 |",
        r"| target_modules | (a\|b)_proj |",
        "| 0 | – | 2.75 |",
        "| 60 | 31.25 | 1.5 |",
        "not how it does on sermons",
    ):
        assert words in card
    assert "/" + str(written.folder).split("/")[1] not in card


def test_a_base_is_known_by_its_weights(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no weights"):
        weights_sha256(tmp_path)
    (tmp_path / "model.bin").write_bytes(b"converted")
    converted = weights_sha256(tmp_path)
    (tmp_path / "model-1.safetensors").write_bytes(b"one")
    one = weights_sha256(tmp_path)
    (tmp_path / "config.json").write_text("{}")
    assert weights_sha256(tmp_path) == one != converted
    (tmp_path / "model-1.safetensors").write_bytes(b"two")
    assert weights_sha256(tmp_path) != one


def test_the_manifest_is_json_that_others_can_read(written: AdapterFiles) -> None:
    manifest = json.loads((written.folder / "adapter.json").read_text(encoding="utf-8"))
    assert manifest["adapter_id"] == written.adapter_id
    assert {"kind", "base_model", "base_revision", "base_sha256", "dataset_sha256", "created_at"} <= manifest.keys()
