"""Checkpoints are whole or absent; a damaged one is not used; nothing is lost when the disk is full."""

import json
from pathlib import Path

import pytest

from stt_platform.training.checkpoints import MANIFEST, CheckpointNotSaved, Checkpoints


def writer(text: str):
    def write(folder: Path) -> None:
        (folder / "weights").mkdir()
        (folder / "weights" / "w.bin").write_text(text)
        (folder / "state.json").write_text("{}")

    return write


def steps(checkpoints: Checkpoints) -> list[int]:
    return sorted(int(path.name.split("-")[1]) for path in checkpoints.folder.glob("step-*"))


@pytest.fixture
def checkpoints(tmp_path: Path) -> Checkpoints:
    found = Checkpoints(tmp_path, "abc")
    for step in (3, 6, 9):
        found.save(step, writer(f"weights of {step}"))
    return found


def test_latest_is_the_newest_and_holds_what_was_written(checkpoints: Checkpoints) -> None:
    latest = checkpoints.latest()
    assert latest.step == 9
    assert (latest.folder / "weights" / "w.bin").read_text() == "weights of 9"
    manifest = json.loads((latest.folder / MANIFEST).read_text())
    assert sorted(manifest["files"]) == ["state.json", "weights/w.bin"]
    assert not checkpoints.notes


def test_there_is_none_before_the_first(tmp_path: Path) -> None:
    assert Checkpoints(tmp_path, "abc").latest() is None


def test_another_key_sees_none_of_them(checkpoints: Checkpoints, tmp_path: Path) -> None:
    assert Checkpoints(tmp_path, "abd").latest() is None


@pytest.mark.parametrize("key", ["", "../x", ".hidden", "a/b"])
def test_a_key_is_a_name(tmp_path: Path, key: str) -> None:
    with pytest.raises(ValueError, match="give a hash"):
        Checkpoints(tmp_path, key)


def cut(folder: Path) -> None:
    path = folder / "weights" / "w.bin"
    path.write_bytes(path.read_bytes()[:-1])


def flip(folder: Path) -> None:
    path = folder / "weights" / "w.bin"
    path.write_bytes(bytes([path.read_bytes()[0] ^ 1]) + path.read_bytes()[1:])


def lose_a_file(folder: Path) -> None:
    (folder / "state.json").unlink()


def lose_the_manifest(folder: Path) -> None:
    (folder / MANIFEST).unlink()


def spoil_the_manifest(folder: Path) -> None:
    (folder / MANIFEST).write_text('{"files": [')


def list_in_the_manifest(folder: Path) -> None:
    (folder / MANIFEST).write_text('{"files": []}')


@pytest.mark.parametrize(
    "damage", [cut, flip, lose_a_file, lose_the_manifest, spoil_the_manifest, list_in_the_manifest]
)
def test_a_damaged_one_is_named_and_the_one_before_is_used(checkpoints: Checkpoints, damage) -> None:
    damage(checkpoints.latest().folder)
    assert checkpoints.latest().step == 6
    checkpoints.latest()
    (note,) = checkpoints.notes
    assert "step-00000009 is damaged" in note


def test_a_damaged_one_is_made_again(checkpoints: Checkpoints) -> None:
    cut(checkpoints.latest().folder)
    checkpoints.save(9, writer("new"))
    assert (checkpoints.latest().folder / "weights" / "w.bin").read_text() == "new"


def test_a_whole_one_is_not_written_again(checkpoints: Checkpoints) -> None:
    checkpoints.save(9, writer("new"))
    assert (checkpoints.latest().folder / "weights" / "w.bin").read_text() == "weights of 9"


def test_what_a_killed_run_left_half_written_is_no_checkpoint_and_goes_away(checkpoints: Checkpoints) -> None:
    half = checkpoints.folder / ".step-00000012.tmp"
    half.mkdir()
    (half / "w.bin").write_text("half")
    assert checkpoints.latest().step == 9
    checkpoints.save(15, writer("x"))
    assert not half.exists()
    assert checkpoints.latest().step == 15


def test_prune_keeps_the_newest_and_the_named(checkpoints: Checkpoints) -> None:
    checkpoints.save(12, writer("x"))
    checkpoints.prune(2, also=[3, 99])
    assert steps(checkpoints) == [3, 9, 12]
    checkpoints.prune(0)
    assert steps(checkpoints) == [12]


def test_clear_removes_them_all(checkpoints: Checkpoints) -> None:
    checkpoints.clear()
    assert checkpoints.latest() is None
    assert not checkpoints.folder.exists()


def to_a_full_disk(folder: Path) -> None:
    (folder / "w.bin").write_text("x" * 1000)
    with Path("/dev/full").open("w") as full:
        full.write("x")


def tensors_to_a_full_disk(folder: Path) -> None:
    from safetensors import SafetensorError

    raise SafetensorError("I/O error: No space left on device (os error 28)")


@pytest.mark.parametrize("write", [to_a_full_disk, tensors_to_a_full_disk])
def test_a_full_disk_is_said_and_the_earlier_ones_stay(checkpoints: Checkpoints, write) -> None:
    with pytest.raises(CheckpointNotSaved, match=r"step 12 does not fit: .* MB free, .* MB needed") as raised:
        checkpoints.save(12, write)
    assert "checkpoint of step 9 is kept" in str(raised.value)
    assert str(checkpoints.folder) in str(raised.value)
    assert checkpoints.latest().step == 9
    assert sorted(path.name for path in checkpoints.folder.iterdir()) == [f"step-{n:08d}" for n in (3, 6, 9)]


def test_another_error_is_raised_as_it_is(checkpoints: Checkpoints) -> None:
    def write(folder: Path) -> None:
        raise PermissionError("no")

    with pytest.raises(PermissionError, match="no"):
        checkpoints.save(12, write)
    assert steps(checkpoints) == [3, 6, 9]
