"""A damaged fragment is made again from the output of its stage, with the same bytes."""

from pathlib import Path

import pytest

from stt_platform.store.intake import ingest
from stt_platform.store.mending import Mended, damaged_fragments, mend_tables
from stt_platform.store.metadata import DamagedFragmentError, MetadataStore
from stt_platform.store.stages import StageResult, build_stage, current_output

SERMON = "2024-03-10--grace"
SEGMENT = {"sermon": SERMON, "start_sample": 0, "end_sample": 16_000, "label": "speech", "view": "original"}


@pytest.fixture
def store(tmp_path: Path) -> MetadataStore:
    store = MetadataStore(tmp_path / "home")
    (tmp_path / "2024-03-10 Grace.wav").write_bytes(b"sound")
    assert [entry.sermon for entry in ingest(store, [tmp_path / "2024-03-10 Grace.wav"])] == [SERMON]
    build(store, "sound_classes", segments=[SEGMENT])
    build(store, "speech_chunks")
    return store


def build(store: MetadataStore, stage: str, **tables: list) -> None:
    build_stage(store, SERMON, stage, "0" * 64, lambda folder: StageResult(tables=tables))


def fragments(store: MetadataStore) -> dict[str, bytes]:
    return {str(path.relative_to(store.home)): path.read_bytes() for path in store.home.glob("tables/*/*.parquet")}


def garble(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-20] + bytes(20))


@pytest.mark.parametrize("table", ["segments", "stage_results", "registrations"])
@pytest.mark.parametrize("damage", [garble, Path.unlink, lambda path: path.write_bytes(b"")])
def test_a_fragment_is_made_again(store: MetadataStore, table: str, damage) -> None:
    before = fragments(store)
    damage(store.home / "tables" / table / f"{SERMON}.parquet")
    assert mend_tables(store) == [Mended(f"tables/{table}/{SERMON}.parquet", "made again")]
    assert fragments(store) == before
    assert mend_tables(store) == []


def test_the_question_that_meets_it_says_the_remedy(store: MetadataStore) -> None:
    garble(store.home / "tables" / "segments" / f"{SERMON}.parquet")
    assert damaged_fragments(store) == [f"tables/segments/{SERMON}.parquet"]
    with pytest.raises(DamagedFragmentError, match=r"segments/.*grace\.parquet cannot be read .*`stt restore`"):
        store.query("select * from segments")


def test_readable_rows_that_no_stage_wrote_are_put_right(store: MetadataStore) -> None:
    store.write("segments", SERMON, [{**SEGMENT, "label": "music"}])
    assert damaged_fragments(store) == []
    assert mend_tables(store) == [Mended(f"tables/segments/{SERMON}.parquet", "made again")]
    assert store.query("select label from segments").to_pylist() == [{"label": "speech"}]


def test_where_the_output_is_damaged_too_its_stage_is_to_run(store: MetadataStore) -> None:
    output = current_output(store.home, SERMON, "sound_classes")
    garble(output.folder / "segments.parquet")
    (mended,) = [each for each in mend_tables(store) if each.outcome == "to be run"]
    assert mended.what.endswith("segments.parquet")
    assert current_output(store.home, SERMON, "sound_classes") is None
    assert current_output(store.home, SERMON, "speech_chunks") is not None


def test_what_no_stage_wrote_is_removed_when_it_cannot_be_read(store: MetadataStore) -> None:
    store.write("splits", "all", [{"sermon": SERMON, "split": "train", "pinned": False}])
    garble(store.home / "tables" / "splits" / "all.parquet")
    assert mend_tables(store) == [Mended("tables/splits/all.parquet", "removed")]
    assert store.query("select * from splits").num_rows == 0


def test_the_verdicts_have_the_same_bytes_whatever_was_made_first(store: MetadataStore, tmp_path: Path) -> None:
    other = MetadataStore(tmp_path / "other")
    build(other, "speech_chunks")
    build(other, "sound_classes", segments=[SEGMENT])
    name = f"tables/stage_results/{SERMON}.parquet"
    assert fragments(other)[name] == fragments(store)[name]


def test_a_torn_pointer_is_no_output(store: MetadataStore) -> None:
    (store.home / "sermons" / SERMON / "sound_classes" / "current.json").write_text('{"folder": ')
    assert current_output(store.home, SERMON, "sound_classes") is None
