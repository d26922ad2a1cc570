import os
import pickle
import subprocess
import sys

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from stt_platform.store.metadata import DamagedFragmentError, MetadataStore
from stt_platform.store.schemas import TABLES, VIEWS

SERMON = "2026-01-04--hope"
WORD = {"word": "hope", "start_sample": 0, "end_sample": 800, "probability": 0.5}


def registration(sermon=SERMON, **changes):
    return {
        "sermon": sermon,
        "title": "Hope",
        "speaker": None,
        "date": "2026-01-04",
        "source": "hope.wav",
        "sha256": "ab",
        "version": 1,
    } | changes


def chunk(sermon=SERMON, **changes):
    return {
        "sermon": sermon,
        "chunk_id": "00",
        "start_sample": 0,
        "end_sample": 16000,
        "silence_ratio": 0.1,
        "forced_cut": False,
        "status": "accepted",
        "reason": None,
    } | changes


def training_chunk(sermon=SERMON, **changes):
    return {
        "sermon": sermon,
        "chunk_id": "00",
        "view": "original",
        "snr_db": 20.0,
        "loudness_lufs": float("-inf"),
        "status": "accepted",
        "path": "sermons/a.flac",
    } | changes


def transcript(**changes):
    return {
        "sermon": SERMON,
        "chunk_id": "00",
        "system": "tiny.en",
        "view": "original",
        "text": "hope",
        "avg_logprob": -0.1,
        "no_speech_prob": 0.0,
        "compression_ratio": 1.0,
        "words": [WORD],
        "decoding": "{}",
    } | changes


def stage_result(stage, status="accepted", reason=None, sermon=SERMON, *, inherited=False):
    return {
        "sermon": sermon,
        "stage": stage,
        "status": status,
        "reason": reason,
        "key": "k",
        "digest": "d",
        "inherited": inherited,
    }


@pytest.fixture
def store(tmp_path):
    return MetadataStore(tmp_path)


def rows(store, sql, parameters=None):
    return store.query(sql, parameters).to_pylist()


def test_rows_come_back_with_the_pinned_columns(store):
    store.write("transcripts", SERMON, [transcript()])
    assert store.read("transcripts", SERMON).schema == TABLES["transcripts"].schema
    assert rows(store, "select * from transcripts") == [transcript()]
    assert store.parts("transcripts") == [SERMON]


def test_every_table_and_view_can_be_read_while_there_is_nothing(store):
    for name in [*TABLES, *VIEWS]:
        assert rows(store, f'select * from "{name}"') == []


def test_a_fragment_is_replaced_whole(store):
    store.write("speech_chunks", SERMON, [chunk(chunk_id="00"), chunk(chunk_id="01")])
    store.write("speech_chunks", SERMON, [chunk(chunk_id="02")])
    assert rows(store, "select chunk_id from speech_chunks") == [{"chunk_id": "02"}]


def test_no_rows_are_a_fragment_too(store):
    assert store.write("speech_chunks", SERMON, [])
    assert store.parts("speech_chunks") == [SERMON]
    assert store.read("speech_chunks", SERMON).num_rows == 0


def test_same_rows_give_the_same_bytes_and_leave_the_file_alone(store, tmp_path):
    given = [chunk(chunk_id=f"{n:02}", silence_ratio=n / 7) for n in range(50)]
    assert store.write("speech_chunks", SERMON, given)
    path = tmp_path / "tables/speech_chunks" / f"{SERMON}.parquet"
    before, inode = path.read_bytes(), path.stat().st_ino
    assert not store.write("speech_chunks", SERMON, store.read("speech_chunks", SERMON))
    assert path.stat().st_ino == inode
    assert MetadataStore(tmp_path / "other").write("speech_chunks", SERMON, [dict(row) for row in given])
    assert (tmp_path / "other/tables/speech_chunks" / f"{SERMON}.parquet").read_bytes() == before


def test_numbers_of_numpy_are_numbers(store):
    row = chunk(start_sample=np.int32(3), silence_ratio=np.float32(0.5), forced_cut=np.bool_(True))
    store.write("speech_chunks", SERMON, [row])
    assert rows(store, "select start_sample, silence_ratio, forced_cut from speech_chunks") == [
        {"start_sample": 3, "silence_ratio": 0.5, "forced_cut": True}
    ]


@pytest.mark.parametrize(
    ("table", "row", "said"),
    [
        ("speech_chunks", chunk(pitch=3), "there is no column 'pitch'"),
        ("speech_chunks", chunk(start_sample=None), "column 'start_sample': a value is required"),
        ("speech_chunks", {"sermon": SERMON}, "column 'chunk_id': a value is required"),
        ("speech_chunks", chunk(start_sample="7"), "column 'start_sample': '7' is str, expected int64"),
        ("speech_chunks", chunk(start_sample=1.5), "column 'start_sample': 1.5 is float, expected int64"),
        ("speech_chunks", chunk(start_sample=True), "column 'start_sample': True is bool, expected int64"),
        ("speech_chunks", chunk(start_sample=2**63), "column 'start_sample': 9223372036854775808 is out of"),
        ("speech_chunks", chunk(forced_cut=0), "column 'forced_cut': 0 is int, expected bool"),
        ("speech_chunks", chunk(chunk_id=b"00"), "column 'chunk_id': b'00' is bytes, expected string"),
        ("speech_chunks", chunk(reason="\ud800"), "column 'reason': .* cannot be written as UTF-8"),
        ("speech_chunks", chunk(silence_ratio=float("nan")), "column 'silence_ratio': nan is not a measurem"),
        ("registrations", registration(version=2**31), "column 'version': 2147483648 is out of range"),
        ("splits", {"sermon": SERMON, "split": "tset", "pinned": True}, "'tset' is none of train, dev, test"),
        ("stage_results", stage_result("recording", "maybe"), "column 'status': 'maybe' is none of accepted"),
        ("transcripts", transcript(words=[{**WORD, "word": None}]), r"column 'words\[0\].word': a value is"),
        ("transcripts", transcript(words=[WORD, {**WORD, "probability": "x"}]), r"words\[1\].probability"),
        ("transcripts", transcript(words=[{**WORD, "colour": 1}]), r"words\[0\]': there is no field 'colour'"),
        ("transcripts", transcript(words="hope"), "column 'words': 'hope' is str, expected list"),
    ],
)
def test_row_that_does_not_fit_is_refused_by_name(store, table, row, said):
    good = {
        "speech_chunks": chunk(),
        "registrations": registration(),
        "splits": {"sermon": SERMON, "split": "test", "pinned": False},
        "stage_results": stage_result("recording"),
        "transcripts": transcript(),
    }[table]
    with pytest.raises(ValueError, match=f"table '{table}', row 1.*{said}"):
        store.write(table, SERMON, [good, row])
    assert store.parts(table) == []


def test_table_of_arrow_is_checked_like_rows(store):
    given = pa.table({"sermon": ["a"], "split": ["dev"], "pinned": [False]})
    assert store.write("splits", "a", given)
    with pytest.raises(ValueError, match="no column 'colour'"):
        store.write("splits", "a", given.append_column("colour", pa.array(["red"])))
    with pytest.raises(ValueError, match="column 'pinned': a value is required"):
        store.write("splits", "a", given.drop_columns("pinned"))
    assert rows(store, "select * from splits") == given.to_pylist()


@pytest.mark.parametrize("part", ["", ".a", "_empty", "../a", "a/b", "A", "a b", "a\n", "x" * 201, "é"])
def test_part_that_is_no_part_is_refused(store, part):
    for call in (
        lambda: store.write("splits", part, []),
        lambda: store.read("splits", part),
        lambda: store.remove(part),
        lambda: store.remove_sermon(part),
    ):
        with pytest.raises(ValueError, match="part"):
            call()


def test_table_that_does_not_exist_is_refused_with_those_that_do(store):
    with pytest.raises(ValueError, match="no table 'sermon'; the tables are registrations, recordings"):
        store.write("sermon", "a", [])


def test_missing_part_is_file_not_found(store):
    with pytest.raises(FileNotFoundError, match=r"splits/nobody\.parquet"):
        store.read("splits", "nobody")


def test_removing_a_sermon_leaves_nothing_of_it_and_all_of_the_others(store, tmp_path):
    longer = SERMON + "-again"
    for key in (SERMON, longer):
        store.write("registrations", key, [registration(key)])
        store.write("stage_results", f"{key}.recording", [stage_result("recording", sermon=key)])
        store.write("stage_results", f"{key}.transcript", [stage_result("transcript", sermon=key)])
    old = tmp_path / "tables/of_an_older_version"
    old.mkdir()
    (old / f"{SERMON}.parquet").touch()
    assert store.remove_sermon(SERMON) == 4
    assert store.remove_sermon(SERMON) == 0
    assert list(tmp_path.rglob(f"*{SERMON}.*")) == []
    assert rows(store, "select sermon, status from sermons") == [{"sermon": longer, "status": "accepted"}]
    assert store.parts("stage_results") == [f"{longer}.recording", f"{longer}.transcript"]


def test_removing_a_part_from_one_table_or_from_all(store):
    store.write("registrations", SERMON, [registration()])
    store.write("speech_chunks", SERMON, [chunk()])
    assert store.remove(SERMON, table="speech_chunks") == 1
    assert store.parts("registrations") == [SERMON]
    assert store.remove(SERMON) == 1
    assert store.parts("registrations") == []


def test_files_made_elsewhere_are_published_as_they_are(store, tmp_path):
    made = tmp_path / "speech_chunks.parquet"
    store.write_file("speech_chunks", [chunk()], made)
    assert store.publish_file("speech_chunks", SERMON, made)
    assert not store.publish_file("speech_chunks", SERMON, made)
    assert rows(store, "select * from speech_chunks") == [{**chunk(), "gate": None}]
    with pytest.raises(ValueError, match=r"speech_chunks\.parquet has columns that table 'splits' does not"):
        store.publish_file("splits", SERMON, made)


def test_fragment_of_an_older_schema_reads_as_null(store, tmp_path):
    store.write("training_chunks", "new", [training_chunk("new")])
    store.write("training_chunks", "old", [training_chunk("old")])
    path = tmp_path / "tables/training_chunks/old.parquet"
    pq.write_table(pq.read_table(path).drop_columns(["loudness_lufs", "view"]), path)
    assert rows(store, "select sermon, view from training_chunks where loudness_lufs is null") == [
        {"sermon": "old", "view": None}
    ]
    assert rows(store, "select sermon from training_chunks where view = 'original'") == [{"sermon": "new"}]
    assert store.read("training_chunks", "old").schema.names == TABLES["training_chunks"].schema.names


@pytest.mark.parametrize(
    ("results", "status", "reason"),
    [
        ([], "waiting", None),
        ([("recording", "accepted", None)], "waiting", None),
        ([("recording", "accepted", None), ("transcript", "accepted", None)], "accepted", None),
        ([("standard_audio", "rejected", "silent")], "rejected", "silent"),
        (
            [
                ("consensus", "inherited", "late"),
                ("speech_chunks", "rejected", "early"),
                ("transcript", "inherited", "x"),
            ],
            "rejected",
            "early",
        ),
        ([("transcript", "accepted", None), ("recording", "rejected", "broken")], "rejected", "broken"),
    ],
)
def test_sermon_is_as_its_stages_say(store, results, status, reason):
    store.write("registrations", SERMON, [registration(speaker="Ann")])
    store.write("registrations", "other", [registration("other")])
    store.write("recordings", SERMON, [{"sermon": SERMON, "duration_s": 60.0, "size_bytes": 9}])
    store.write("splits", SERMON, [{"sermon": SERMON, "split": "dev", "pinned": False}])
    for stage, verdict, why in results:
        inherited = verdict == "inherited"
        row = stage_result(stage, "rejected" if inherited else verdict, why, inherited=inherited)
        store.write("stage_results", f"{SERMON}.{stage}", [row])
    assert rows(store, "select * from sermons order by sermon")[0] == {
        "sermon": SERMON,
        "title": "Hope",
        "speaker": "Ann",
        "date": "2026-01-04",
        "source": "hope.wav",
        "duration_s": 60.0,
        "sha256": "ab",
        "split": "dev",
        "status": status,
        "reason": reason,
    }
    assert rows(store, "select status, duration_s, split from sermons where sermon = 'other'") == [
        {"status": "waiting", "duration_s": None, "split": None}
    ]


@pytest.mark.parametrize(
    ("speech", "training", "status", "reason", "path"),
    [
        ({}, None, "accepted", None, None),
        ({}, {}, "accepted", None, "sermons/a.flac"),
        ({}, {"status": "rejected", "reason": "noisy"}, "rejected", "noisy", "sermons/a.flac"),
        ({"status": "rejected", "reason": "song"}, {}, "rejected", "song", "sermons/a.flac"),
        ({"reason": "kept"}, {"view": "enhanced"}, "accepted", "kept", "sermons/a.flac"),
    ],
)
def test_chunk_is_as_bad_as_its_worst_verdict(store, speech, training, status, reason, path):
    store.write("speech_chunks", SERMON, [chunk(**speech)])
    if training is not None:
        store.write("training_chunks", SERMON, [training_chunk(**training)])
    assert rows(store, "select status, reason, path from chunks") == [
        {"status": status, "reason": reason, "path": path}
    ]


def test_chunks_have_the_columns_that_are_promised(store):
    assert store.query("from chunks").schema.names == [
        "sermon", "chunk_id", "start_sample", "end_sample", "snr_db", "silence_ratio", "loudness_lufs",
        "true_peak_dbtp", "speaker", "forced_cut", "status", "reason", "path", "gate",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("sql", "parameters", "expected"),
    [
        ("select count(*) n from speech_chunks", None, [{"n": 2}]),
        ("SELECT count(*) n FROM SPEECH_CHUNKS;", None, [{"n": 2}]),
        ("select count(*) n from speech_chunks where chunk_id = ?", ["01"], [{"n": 1}]),
        ("select count(*) n from speech_chunks where chunk_id = $id", {"id": "00"}, [{"n": 1}]),
        ("select chunk_id from speech_chunks where start_sample > 5", None, [{"chunk_id": "01"}]),
        ("select chunk_id from speech_chunks where reason is null", None, [{"chunk_id": "00"}]),
        ("select chunk_id from speech_chunks where reason in ('song')", None, [{"chunk_id": "01"}]),
        ("select chunk_id from speech_chunks where forced_cut", None, [{"chunk_id": "01"}]),
        ("select chunk_id from speech_chunks where chunk_id like '%1'", None, [{"chunk_id": "01"}]),
        ("with c as (from chunks) select count(*) n from c a join c b using (sermon)", None, [{"n": 4}]),
        ("select w.word from (select unnest(words) w from transcripts)", None, [{"word": "hope"}]),
        ('select count(*) n from "references"', None, [{"n": 0}]),
        ("select count(*) n from query_table('speech_' || 'chunks')", None, [{"n": 2}]),
        ("pivot speech_chunks on chunk_id using sum(start_sample) group by sermon", None,
         [{"sermon": SERMON, "00": 0, "01": 10}]),
        ("select 1 as a, 2 as a", None, None),
        ("describe splits", None, None),
    ],
)  # fmt: skip
def test_questions_are_answered(store, sql, parameters, expected):
    second = chunk(chunk_id="01", start_sample=10, reason="song", forced_cut=True)
    store.write("speech_chunks", SERMON, [chunk(), second])
    store.write("transcripts", SERMON, [transcript()])
    answer = store.query(sql, parameters)
    assert answer.num_rows > 0
    if expected:
        assert answer.to_pylist() == expected


def test_tables_and_views_are_listed(store):
    assert {row["name"] for row in rows(store, "show tables")} == {*TABLES, *VIEWS}


@pytest.mark.parametrize(
    "sql",
    [
        "drop view chunks",
        "create table t as select 1",
        "insert into splits values ('a', 'dev', true)",
        "delete from splits",
        "copy splits to '{file}'",
        "attach '{file}'",
        "export database '{file}'",
        "install httpfs",
        "load httpfs",
        "set threads = 1",
        "pragma database_list",
        "explain analyze copy splits to '{file}'",
        "select 1; drop view chunks",
        "call enable_logging()",
        "",
        "-- nothing",
    ],
)
def test_anything_but_one_select_is_refused(store, tmp_path, sql):
    sql = sql.format(file=tmp_path / "file")
    with pytest.raises(ValueError, match="SELECT"):
        store.query(sql)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "sql",
    [
        "with d as (copy (select 1) to '{file}') select 1",
        "select * from query('copy (select 1) to ''{file}''')",
        "with d as (delete from splits returning *) select * from d",
        "select * from read_text('{secret}')",
        "select * from read_csv('{secret}')",
        "select * from glob('{secret}')",
        "select * from '{secret}'",
        "select * from secret_of_this_test",
    ],
)
def test_a_select_reaches_no_file_and_no_variable(store, tmp_path, sql):
    secret_of_this_test = pa.table({"a": [1]})
    secret = tmp_path / "secret.csv"
    secret.write_text("a,b\n1,2\n")
    with pytest.raises(duckdb.Error):
        store.query(sql.format(file=tmp_path / "file", secret=secret))
    with store.connect() as connection, pytest.raises(duckdb.Error):
        connection.execute(sql.format(file=tmp_path / "file", secret=secret))
    assert [path.name for path in tmp_path.iterdir()] == ["secret.csv"]
    assert secret_of_this_test.num_rows == 1


def test_reserved_name_of_a_table_is_explained(store):
    with pytest.raises(ValueError, match=r'"references" is written in double quotes'):
        store.query("select * from references")


def test_unknown_name_is_said_by_duckdb(store):
    with pytest.raises(duckdb.CatalogException, match=r'speech_chunk does not exist!\sDid you mean "speech_chunks"'):
        store.query("select * from speech_chunk")


def test_connection_sees_the_state_at_its_beginning(store):
    store.write("speech_chunks", "a", [chunk("a")])
    store.write("speech_chunks", "b", [chunk("b")])
    with store.connect() as connection:
        store.write("speech_chunks", "a", [chunk("a", chunk_id=f"{n:02}") for n in range(1000)])
        store.write("speech_chunks", "c", [chunk("c")])
        store.remove("b")
        counts = "select sermon, count(*) from chunks group by sermon order by sermon"
        assert connection.execute(counts).fetchall() == [("a", 1), ("b", 1)]
        with pytest.raises(duckdb.Error, match="locked"):
            connection.execute("set enable_external_access = true")
    assert [row["sermon"] for row in rows(store, "select distinct sermon from chunks order by 1")] == ["a", "c"]


def damage_middle(data):
    return data[:40] + bytes([data[40] ^ 0xFF]) + data[41:]


@pytest.mark.parametrize("damage", [lambda data: b"", lambda data: data[:-20], damage_middle])
def test_damaged_fragment_is_named(store, tmp_path, damage):
    for key in ("a", "b", "c"):
        store.write("speech_chunks", key, [chunk(key)])
    path = tmp_path / "tables/speech_chunks/b.parquet"
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(DamagedFragmentError, match=r"speech_chunks/b\.parquet cannot be read"):
        store.query("select * from chunks")
    with pytest.raises(DamagedFragmentError, match=r"speech_chunks/b\.parquet cannot be read"):
        store.read("speech_chunks", "b")


def test_unfinished_files_are_not_seen(store, tmp_path):
    store.write("splits", "a", [{"sermon": "a", "split": "dev", "pinned": False}])
    (tmp_path / "tables/splits/.b.parquet.1-aa.tmp").write_bytes(b"PAR1")
    store.refresh_catalog()
    assert store.parts("splits") == ["a"]
    assert store.query("from splits").num_rows == 1
    with duckdb.connect(str(tmp_path / "metadata.duckdb"), read_only=True) as connection:
        assert connection.execute("select count(*) from splits").fetchone() == (1,)


def test_store_travels_to_other_processes(store):
    store.write("splits", "a", [{"sermon": "a", "split": "dev", "pinned": False}])
    assert pickle.loads(pickle.dumps(store)) == store  # noqa: S301
    assert pickle.loads(pickle.dumps(store)).parts("splits") == ["a"]  # noqa: S301


ASK_CATALOG = """
import sys, duckdb
with duckdb.connect(sys.argv[1], read_only=True) as connection:
    print(connection.execute("select count(*) from chunks").fetchone()[0], flush=True)
    sys.stdin.read()
"""


def test_catalog_serves_other_programs_and_holds_no_data(store, tmp_path):
    assert store.refresh_catalog()
    store.write("speech_chunks", SERMON, [chunk()])
    catalog = str(tmp_path / "metadata.duckdb")
    command = [sys.executable, "-c", ASK_CATALOG, catalog]
    readers = [subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    try:
        assert [reader.stdout.readline() for reader in readers] == ["1\n"] * 3
    finally:
        for reader in readers:
            reader.communicate("")
    with duckdb.connect(catalog, read_only=True) as connection:
        listed = connection.execute("select table_name, table_type from information_schema.tables").fetchall()
        assert set(listed) == {(name, "VIEW") for name in [*TABLES, *VIEWS]}
        assert connection.execute('select count(*) from "references"').fetchone() == (0,)


def test_catalog_and_store_agree(store, tmp_path):
    store.refresh_catalog()
    store.write("registrations", SERMON, [registration()])
    store.write("speech_chunks", SERMON, [chunk()])
    store.write("training_chunks", SERMON, [training_chunk()])
    store.write("transcripts", SERMON, [transcript()])
    store.write("stage_results", f"{SERMON}.transcript", [stage_result("transcript")])
    with duckdb.connect(str(tmp_path / "metadata.duckdb"), read_only=True) as connection:
        for name in [*TABLES, *VIEWS]:
            seen = connection.sql(f'from "{name}"').to_arrow_table()
            assert seen.to_pylist() == rows(store, f'from "{name}"')


def test_catalog_is_rebuilt_only_when_it_must(store, tmp_path):
    catalog = tmp_path / "metadata.duckdb"
    assert store.refresh_catalog()
    inode = catalog.stat().st_ino
    store.write("speech_chunks", SERMON, [chunk()])
    assert not store.refresh_catalog()
    assert catalog.stat().st_ino == inode
    moved = tmp_path.rename(tmp_path.with_name("it's [a] new*home"))
    assert MetadataStore(moved).refresh_catalog()
    with duckdb.connect(str(moved / "metadata.duckdb"), read_only=True) as connection:
        assert connection.execute("select count(*) from chunks").fetchone() == (1,)
    (moved / "metadata.duckdb").write_bytes(b"no database")
    (moved / "tables/speech_chunks/b.parquet").write_bytes(b"nor a fragment")
    assert MetadataStore(moved).refresh_catalog()
    assert sorted(path.name for path in moved.iterdir()) == ["metadata.duckdb", "tables"]


def test_what_killed_writers_left_goes_and_what_living_ones_write_stays(store, tmp_path):
    store.refresh_catalog()
    abandoned = tmp_path / "tables/splits/.a.parquet.1-aa.tmp"
    current = tmp_path / "tables/splits/.b.parquet.2-bb.tmp"
    abandoned.touch()
    current.touch()
    os.utime(abandoned, (0, 0))
    store.refresh_catalog()
    assert (abandoned.exists(), current.exists()) == (False, True)
