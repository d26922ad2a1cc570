"""Where bundles lie: whole or not at all, also on shares that lack what Linux takes for granted."""

import errno
import os
import shutil
from pathlib import Path

import pytest

from stt_platform.delivery.verify_bundle import damage
from stt_platform.errors import PlatformError
from stt_platform.store import bundles
from stt_platform.store.bundles import place_bundle
from stt_platform_tests.helpers.sealed_bundles import WEIGHTS, flip, latest_bundle, make_bundle


@pytest.fixture
def shelf(tmp_path: Path) -> Path:
    return tmp_path / "shelf"


def bundle_of(tmp_path: Path, day: int, size: int = 2000) -> Path:
    made_at = f"2026-01-{day:02}T00:00:00+00:00"
    return make_bundle(tmp_path / "made", f"2026-01-{day:02}--0a1b2c3d", made_at=made_at, size=size)


def names(shelf: Path) -> list[str]:
    return sorted(path.name for path in shelf.iterdir())


def refuse(monkeypatch: pytest.MonkeyPatch, where: object, name: str, number: int) -> None:
    def refused(*arguments: object, **named: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(where, name, refused)


def test_a_bundle_is_placed_whole_and_is_the_latest(tmp_path: Path, shelf: Path) -> None:
    placed = place_bundle(bundle_of(tmp_path, 1), shelf, keep=3)
    assert placed.folder == shelf / "2026-01-01--0a1b2c3d"
    assert not placed.was_there
    assert damage(placed.folder) == []
    assert (shelf / "latest").readlink() == Path("2026-01-01--0a1b2c3d")
    assert latest_bundle(shelf) == placed.folder
    # No other names of the same bytes: whoever spoils one spoils no other.
    assert not (placed.folder / WEIGHTS).samefile(tmp_path / "made" / placed.folder.name / WEIGHTS)


def test_placing_it_again_changes_nothing(tmp_path: Path, shelf: Path) -> None:
    made = bundle_of(tmp_path, 1)
    place_bundle(made, shelf, keep=3)
    before = (shelf / made.name / WEIGHTS).stat()
    placed = place_bundle(made, shelf, keep=3)
    assert placed.was_there
    assert (shelf / made.name / WEIGHTS).stat().st_ino == before.st_ino


def test_a_damaged_one_is_placed_anew(tmp_path: Path, shelf: Path) -> None:
    made = bundle_of(tmp_path, 1)
    place_bundle(made, shelf, keep=3)
    flip(shelf / made.name / WEIGHTS)
    assert not place_bundle(made, shelf, keep=3).was_there
    assert damage(shelf / made.name) == []
    assert names(shelf) == [made.name, "latest"]


def test_old_ones_go_and_what_is_no_bundle_stays(tmp_path: Path, shelf: Path) -> None:
    shelf.mkdir()
    (shelf / "holiday pictures").mkdir()
    (shelf / "2025-12-24--00000000").mkdir()
    for day in (3, 1, 2, 4):
        place_bundle(bundle_of(tmp_path, day), shelf, keep=2)
    assert names(shelf) == [
        "2025-12-24--00000000",
        "2026-01-03--0a1b2c3d",
        "2026-01-04--0a1b2c3d",
        "holiday pictures",
        "latest",
    ]


def test_the_one_that_is_the_latest_is_kept_however_old_it_is(tmp_path: Path, shelf: Path) -> None:
    for day in (2, 3, 1):
        place_bundle(bundle_of(tmp_path, day), shelf, keep=2)
    assert latest_bundle(shelf).name == "2026-01-01--0a1b2c3d"
    assert names(shelf) == ["2026-01-01--0a1b2c3d", "2026-01-03--0a1b2c3d", "latest"]


def test_a_share_without_links_has_a_file_with_the_name(
    tmp_path: Path, shelf: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place_bundle(bundle_of(tmp_path, 1), shelf, keep=3)
    for number in (errno.EPERM, errno.ENOTSUP):
        with monkeypatch.context() as without:
            refuse(without, Path, "symlink_to", number)
            placed = place_bundle(bundle_of(tmp_path, 2), shelf, keep=3)
        assert placed.latest == shelf / "latest.txt"
        assert (shelf / "latest.txt").read_text(encoding="utf-8") == "2026-01-02--0a1b2c3d\n"
        # The link from before would have said something else.
        assert "latest" not in names(shelf)
        assert latest_bundle(shelf) == placed.folder
    place_bundle(bundle_of(tmp_path, 3), shelf, keep=3)
    assert "latest.txt" not in names(shelf)


def test_a_share_that_cannot_sync_is_used_all_the_same(
    tmp_path: Path, shelf: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refuse(monkeypatch, os, "fsync", errno.EINVAL)
    assert damage(place_bundle(bundle_of(tmp_path, 1), shelf, keep=3).folder) == []


def test_a_folder_that_another_program_looks_at_is_waited_for(
    tmp_path: Path, shelf: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, refusals = Path.rename, iter([errno.EACCES, errno.EBUSY])

    def rename(self: Path, target: Path) -> Path:
        if (number := next(refusals, None)) is not None:
            raise OSError(number, os.strerror(number))
        return real(self, target)

    monkeypatch.setattr(Path, "rename", rename)
    monkeypatch.setattr(bundles.time, "sleep", lambda seconds: None)
    assert damage(place_bundle(bundle_of(tmp_path, 1), shelf, keep=3).folder) == []


def test_a_share_that_refuses_to_rename_onto_a_folder_takes_a_damaged_one_back(
    tmp_path: Path, shelf: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = bundle_of(tmp_path, 1)
    place_bundle(made, shelf, keep=3)
    (shelf / made.name / WEIGHTS).unlink()
    real = Path.rename

    def rename(self: Path, target: Path) -> Path:
        if target.exists():
            raise OSError(errno.EEXIST, os.strerror(errno.EEXIST))
        return real(self, target)

    monkeypatch.setattr(Path, "rename", rename)
    place_bundle(made, shelf, keep=3)
    assert damage(shelf / made.name) == []


def unchanged(tmp_path: Path, shelf: Path, match: str) -> None:
    """The second bundle fails, and the first one is what it was."""
    with pytest.raises(PlatformError, match=match):
        place_bundle(bundle_of(tmp_path, 2), shelf, keep=1)
    assert names(shelf) == ["2026-01-01--0a1b2c3d", "latest"]
    assert latest_bundle(shelf).name == "2026-01-01--0a1b2c3d"
    assert damage(latest_bundle(shelf)) == []


def test_a_disk_that_runs_full_leaves_no_half_bundle(
    tmp_path: Path, shelf: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place_bundle(bundle_of(tmp_path, 1), shelf, keep=1)
    real = bundles._copy

    def copy(source: Path, target: Path) -> None:
        real(source, target)
        if target.name == "adapter_model.safetensors":
            target.write_bytes(b"half")
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(bundles, "_copy", copy)
    unchanged(tmp_path, shelf, "No space left on device.*make room there")


def test_too_little_room_is_seen_before_anything_is_written(
    tmp_path: Path, shelf: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place_bundle(bundle_of(tmp_path, 1), shelf, keep=1)
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(bundles.shutil, "disk_usage", lambda folder: usage._replace(free=1000))
    refuse(monkeypatch, bundles, "_copy", errno.EIO)
    unchanged(tmp_path, shelf, "MB are needed, and 0 MB are free")


def test_what_reads_otherwise_than_it_was_written_is_not_handed_out(
    tmp_path: Path, shelf: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place_bundle(bundle_of(tmp_path, 1), shelf, keep=1)
    real = bundles._copy

    def copy(source: Path, target: Path) -> None:
        real(source, target)
        if target.name == "adapter_model.safetensors":
            flip(target)

    monkeypatch.setattr(bundles, "_copy", copy)
    unchanged(tmp_path, shelf, f"reads otherwise: {WEIGHTS}")


def test_a_share_that_is_not_mounted_is_not_made_on_this_disk(tmp_path: Path) -> None:
    with pytest.raises(PlatformError, match="see whether the share is mounted"):
        place_bundle(bundle_of(tmp_path, 1), tmp_path / "mnt" / "share", keep=1)
    assert not (tmp_path / "mnt").exists()


def test_a_folder_called_latest_is_somebody_elses(tmp_path: Path, shelf: Path) -> None:
    (shelf / "latest").mkdir(parents=True)
    with pytest.raises(PlatformError, match="give it another name"):
        place_bundle(bundle_of(tmp_path, 1), shelf, keep=1)


def test_what_a_killed_process_left_goes(tmp_path: Path, shelf: Path) -> None:
    (shelf / ".2026-01-01--0a1b2c3d.99-abcd.tmp" / "fine_tuned").mkdir(parents=True)
    (shelf / ".latest.99-abcd.tmp").symlink_to("nowhere")
    made = bundle_of(tmp_path, 1)
    place_bundle(made, shelf, keep=1)
    assert names(shelf) == [made.name, "latest"]


def test_without_a_bundle_there_is_no_latest(tmp_path: Path) -> None:
    assert latest_bundle(tmp_path) is None
