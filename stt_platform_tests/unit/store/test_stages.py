"""Content-addressed outputs: made once, whole or not at all, republished when a table lost them."""

import json
import os
import signal
import subprocess
import sys
import textwrap
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from stt_platform.errors import PlatformError
from stt_platform.store.metadata import MetadataStore
from stt_platform.store.stages import (
    CORPUS,
    StageOutput,
    StageResult,
    build_stage,
    current_output,
    part_owner,
    stage_key,
)

SERMON = "2024-03-10--grace"
ROW = {"sermon": SERMON, "size_bytes": 3}


@dataclass(frozen=True)
class SizeData:
    """How large something is."""

    size_bytes: int


def build(store: MetadataStore, key: str, calls: list[str], content: str = "abc") -> StageOutput:
    def make(folder: Path) -> StageResult:
        calls.append(key)
        (folder / "out.txt").write_text(content)
        return StageResult(data=SizeData(3), tables={"recordings": [ROW]})

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


def build_shown(store: MetadataStore, size_bytes: int, words: str) -> StageOutput:
    def make(folder: Path) -> StageResult:
        (folder / "shown" / "picture.txt").write_text(words)
        return StageResult(reason=words, data=SizeData(size_bytes), shown={"size": words})

    return build_stage(store, SERMON, "recording", stage_key("s", "1", {"p": [size_bytes, words]}, {}), make)


def test_what_is_shown_does_not_change_the_digest_and_data_does(stt_home: Path) -> None:
    store = MetadataStore(stt_home)
    first, other_words, other_data = (build_shown(store, *each) for each in ((3, "three"), (3, "III"), (4, "III")))
    assert (other_words.reason, other_words.shown) == ("III", {"size": "III"})
    assert "shown/picture.txt" in other_words.files
    assert first.files != other_words.files
    assert first.digest == other_words.digest != other_data.digest
    assert (first.data_as(SizeData), other_data.data_as(SizeData)) == (SizeData(3), SizeData(4))


def test_shown_is_made_of_the_data_where_a_stage_says_nothing(stt_home: Path) -> None:
    assert build(MetadataStore(stt_home), "a" * 64, []).shown == {"size bytes": 3}


def build_rows(store: MetadataStore, owner: str, stage: str, table: str, rows: list[dict[str, Any]]) -> StageOutput:
    key = stage_key(stage, "1", {"rows": rows}, {})
    return build_stage(store, owner, stage, key, lambda folder: StageResult(tables={table: rows}))


def test_a_column_that_a_clock_makes_does_not_change_the_digest(stt_home: Path) -> None:
    store, owner = MetadataStore(stt_home), part_owner("cycle", "0")
    row = {"cycle": 0, "decision": "kept", "reason": "no better", "decided_at": "2024-03-10T09:00:00"}
    rows = [row, row | {"decided_at": "2024-03-11T10:00:00"}, row | {"decision": "undecided"}]
    first, later, other = (build_rows(store, owner, "speech_decision", "decisions", [each]) for each in rows)
    assert first.key != later.key
    assert first.digest == later.digest != other.digest
    assert store.read("decisions", owner)["decided_at"].to_pylist() == ["2024-03-10T09:00:00"], "people see it"


def measured(metric: str, value: float) -> dict[str, Any]:
    row = {"evaluation_id": "e", "system": "s", "set": "assessment", "slice": "all", "n": 1, "signature": ""}
    return row | {"metric": metric, "value": value}


def test_a_metric_that_a_clock_makes_does_not_change_the_digest(stt_home: Path) -> None:
    store = MetadataStore(stt_home)
    first, faster, better = (
        build_rows(store, CORPUS, "baseline_wer", "evaluations", [measured("wer", wer), measured("rtf", rtf)])
        for wer, rtf in ((0.2, 1.0), (0.2, 0.5), (0.1, 0.5))
    )
    assert first.key != faster.key
    assert first.digest == faster.digest != better.digest
    assert 0.5 in store.read("evaluations", f"{CORPUS}.baseline_wer")["value"].to_pylist(), "people see it"


def test_a_table_of_the_corpus_has_one_part(stt_home: Path) -> None:
    store, row = MetadataStore(stt_home), {"sermon": SERMON, "split": "train", "pinned": False}
    store.write("splits", "all", [row | {"split": "test"}])
    build_rows(store, CORPUS, "sermon_split", "splits", [row])
    assert store.parts("splits") == [CORPUS]
    store.write("splits", "all", [row | {"split": "test"}])
    assert build_rows(store, CORPUS, "sermon_split", "splits", [row]).reused
    assert store.parts("splits") == [CORPUS]
    assert store.query("select split from splits").to_pylist() == [{"split": "train"}]


def test_a_shared_table_keeps_the_parts_of_other_stages(stt_home: Path) -> None:
    store = MetadataStore(stt_home)
    for stage in ("baseline_wer", "view_comparison"):
        build_rows(store, CORPUS, stage, "evaluations", [measured("wer", 0.2)])
    assert store.parts("evaluations") == [f"{CORPUS}.baseline_wer", f"{CORPUS}.view_comparison"]


def test_an_output_of_an_earlier_version_says_how_it_is_made_again(stt_home: Path) -> None:
    output = build(MetadataStore(stt_home), "a" * 64, [])
    manifest = json.loads((output.folder / "stage.json").read_text())
    for name in ("format", "data", "shown", "inherited"):
        del manifest[name]
    (output.folder / "stage.json").write_text(json.dumps(manifest | {"facts": {"size": "3 bytes"}}))
    old = current_output(stt_home, SERMON, "recording")
    assert (old.format, old.shown) == (1, {"size": "3 bytes"})
    with pytest.raises(PlatformError, match=r"recording.*stt run --through recording"):
        old.data_as(SizeData)
