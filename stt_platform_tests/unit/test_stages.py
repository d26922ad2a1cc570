"""Content-addressed outputs: made once, whole or not at all, republished when a table lost them."""

import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from stt_platform.store.metadata import MetadataStore
from stt_platform.store.stages import StageResult, build_stage, current_output, stage_key

SERMON = "2024-03-10--grace"
ROW = {"sermon": SERMON, "size_bytes": 3}


def build(store: MetadataStore, key: str, calls: list[str], content: str = "abc") -> object:
    def make(folder: Path) -> StageResult:
        calls.append(key)
        (folder / "out.txt").write_text(content)
        return StageResult(facts={"size": 3}, tables={"recordings": [ROW]})

    return build_stage(store, SERMON, "recording", key, make)


def test_the_same_key_is_made_once(stt_home: Path) -> None:
    store, calls = MetadataStore(stt_home), []
    first = build(store, "a" * 64, calls)
    second = build(store, "a" * 64, calls)
    assert calls == ["a" * 64]
    assert (first.reused, second.reused) == (False, True)
    assert first.digest == second.digest
    assert (second.folder / "out.txt").read_text() == "abc"


def test_another_key_replaces_and_the_digest_follows_the_content(stt_home: Path) -> None:
    store, calls = MetadataStore(stt_home), []
    first = build(store, "a" * 64, calls)
    second = build(store, "b" * 64, calls, content="other")
    assert first.digest != second.digest
    assert not first.folder.exists()
    assert current_output(stt_home, SERMON, "recording").key == "b" * 64


def test_a_lost_file_is_made_again_and_a_lost_fragment_published_again(stt_home: Path) -> None:
    store, calls = MetadataStore(stt_home), []
    output = build(store, "a" * 64, calls)
    store.remove(SERMON, "recordings")
    build(store, "a" * 64, calls)
    assert len(calls) == 1
    assert store.read("recordings", SERMON).num_rows == 1
    (output.folder / "out.txt").unlink()
    assert not current_output(stt_home, SERMON, "recording").serves("a" * 64)
    assert build(store, "a" * 64, calls).digest == output.digest
    assert len(calls) == 2


def test_an_error_leaves_the_old_output(stt_home: Path) -> None:
    store = MetadataStore(stt_home)
    first = build(store, "a" * 64, [])

    def fail(folder: Path) -> StageResult:
        (folder / "half.txt").write_text("half")
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        build_stage(store, SERMON, "recording", "b" * 64, fail)
    assert current_output(stt_home, SERMON, "recording").digest == first.digest
    assert not list((stt_home / "sermons").rglob("half.txt"))


def test_a_killed_maker_leaves_nothing_visible(stt_home: Path) -> None:
    script = textwrap.dedent(
        f"""
        import os, signal
        from pathlib import Path
        from stt_platform.store.metadata import MetadataStore
        from stt_platform.store.stages import build_stage

        def make(folder):
            (folder / "out.txt").write_text("half")
            os.kill(os.getpid(), signal.SIGKILL)

        build_stage(MetadataStore(Path({str(stt_home)!r})), {SERMON!r}, "recording", "a" * 64, make)
        """
    )
    process = subprocess.run([sys.executable, "-c", script], env=dict(os.environ), check=False)
    assert process.returncode == -signal.SIGKILL
    assert current_output(stt_home, SERMON, "recording") is None
    store, calls = MetadataStore(stt_home), []
    build(store, "a" * 64, calls)
    assert calls
    visible = [path.name for path in (stt_home / "sermons" / SERMON / "recording").iterdir() if path.name != ".lock"]
    assert sorted(visible) == ["a" * 32, "current.json"]


def test_the_key_covers_version_parameters_and_inputs() -> None:
    base = stage_key("s", "1", {"p": 1}, {"in": "x"})
    others = [
        stage_key("s", "2", {"p": 1}, {"in": "x"}),
        stage_key("s", "1", {"p": 2}, {"in": "x"}),
        stage_key("s", "1", {"p": 1}, {"in": "y"}),
        stage_key("t", "1", {"p": 1}, {"in": "x"}),
    ]
    assert len({base, *others}) == 5
    assert stage_key("s", "1", {"b": 1, "a": 2}, {}) == stage_key("s", "1", {"a": 2, "b": 1}, {})
