"""Backups hold what cannot be remade, are whole or absent, and put back what is damaged or missing, and nothing else."""

import json
import os
import shutil
import sqlite3
from contextlib import closing
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from stt_platform.errors import PlatformError
from stt_platform.store.backups import backups_folder, damaged_databases, list_backups, make_backup, restore

NOW = datetime(2026, 3, 10, 3, 5)
MAIN = ("dagster/history/runs.db", "dagster/history/runs/index.db", "dagster/schedules/schedules.db")
RUN = "dagster/history/runs/0a1b.db"
KEPT = {
    "settings.toml": 'profile = "embedded"\n',
    "splits/frozen.json": "{}",
    "choices/label_policy.json": "{}",
    "corrections/ann.csv": "chunk_id,text\n",
    "corrections/2026/ben.jsonl": "{}\n",
    "references/2024-03-10--grace.txt": "In the beginning",
    "assessment/assessment_sample.csv": "chunk_id,manual_text\n",
    "review/cycle-0/review.csv": "chunk_id,corrected\n",
    "adapters/0123456789/adapter.json": "{}",
    "adapters/made/whisper_adapter-0.json": "{}",
    "cycles/0/speech_decision/current.json": "{}",
    "cycles/0/speech_decision/abc/decisions.parquet": "rows",
    "sermons/2024-03-10--grace/sermon.json": "{}",
    "sermons/2024-03-10--grace/captions/en.vtt": "WEBVTT",
}
LEFT = {
    "sermons/2024-03-10--grace/original/grace.mp3": "sound",
    "corrections/said.wav": "sound",
    "adapters/0123456789/adapter_model.safetensors": "weights",
    "label-studio/password": "planted-secret",
    "tables/chunks/2024-03-10--grace.parquet": "rows",
    "sermons/2024-03-10--grace/transcript/current.json": "{}",
    "choices/.label_policy.json.12-ab.tmp": "half of i",
}


@pytest.fixture
def home(tmp_path: Path) -> Path:
    for name in (*MAIN, RUN):
        database(tmp_path / name, name)
    for name, text in (KEPT | LEFT).items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    (tmp_path / "dagster" / "created").touch()
    return tmp_path


def database(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("pragma journal_mode = wal")
        connection.execute("create table if not exists t (text)")
        connection.execute("insert into t values (?)", (text,))
        connection.execute("create table if not exists filler (noise)")
        connection.executemany("insert into filler values (?)", [(os.urandom(500),) for _ in range(40)])


def rows(path: Path) -> list[str]:
    with closing(sqlite3.connect(path)) as connection:
        return [text for (text,) in connection.execute("select text from t")]


def journal_mode(path: Path) -> str:
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute("pragma journal_mode").fetchone()[0]


def garble(path: Path) -> None:
    with path.open("r+b") as file:
        file.write(os.urandom(2048))


def backup(home: Path, now: datetime = NOW, keep_days: int = 14):
    return make_backup(home, keep_days=keep_days, now=now)


def test_what_is_in_it(home: Path) -> None:
    made = backup(home)
    assert made.name == "2026-03-10"
    assert set(made.files) == {*KEPT, *MAIN, RUN}
    assert {name: (made.folder / name).read_text() for name in KEPT} == KEPT
    for name in (*MAIN, RUN):
        assert rows(made.folder / name) == [name]
    assert backups_folder(home).stat().st_mode & 0o077 == 0
    everything = b"".join(path.read_bytes() for path in made.folder.rglob("*") if path.is_file())
    assert b"planted-secret" not in everything


def test_it_holds_what_is_committed_while_others_write(home: Path) -> None:
    with closing(sqlite3.connect(home / MAIN[0])) as writer:
        writer.execute("insert into t values ('committed')")
        writer.commit()
        writer.execute("insert into t values ('not yet')")
        made = backup(home)
        assert rows(made.folder / MAIN[0]) == [MAIN[0], "committed"]
        writer.rollback()


def test_a_second_one_of_a_day_does_not_replace_the_first_and_shares_what_has_not_changed(home: Path) -> None:
    first = backup(home)
    database(home / MAIN[1], "later")
    second = backup(home, NOW + timedelta(hours=9))
    assert (
        [each.name for each in list_backups(home)] == [first.name, second.name] == ["2026-03-10", "2026-03-10T120500"]
    )
    assert (first.folder / RUN).samefile(second.folder / RUN)
    assert rows(first.folder / MAIN[1]) == [MAIN[1]]
    assert rows(second.folder / MAIN[1]) == [MAIN[1], "later"]


def test_old_ones_go_and_the_newest_stays(home: Path) -> None:
    for days in range(6):
        backup(home, NOW + timedelta(days=days), keep_days=3)
    assert [each.name for each in list_backups(home)] == [f"2026-03-{day}" for day in (12, 13, 14, 15)]
    # A clock that was put back takes nothing away.
    backup(home, NOW - timedelta(days=300), keep_days=3)
    assert len(list_backups(home)) == 5


def test_one_that_fails_leaves_nothing_of_itself(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    backup(home)

    def no_room(*_: object) -> str:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("stt_platform.store.backups.copy_atomically", no_room)
    with pytest.raises(PlatformError, match=r"No space left on device\. Make room"):
        backup(home, NOW + timedelta(days=1))
    monkeypatch.undo()
    assert [path.name for path in sorted(backups_folder(home).iterdir())] == [".lock", "2026-03-10"]


def test_a_damaged_database_is_named_and_the_backups_stay(home: Path) -> None:
    backup(home)
    garble(home / MAIN[1])
    assert list(damaged_databases(home)) == [MAIN[1]]
    with pytest.raises(PlatformError, match=r"index\.db is damaged .*`stt restore`"):
        backup(home, NOW + timedelta(days=1))
    assert [each.name for each in list_backups(home)] == ["2026-03-10"]


def test_a_damaged_log_of_a_run_is_left_out_and_said(home: Path) -> None:
    garble(home / RUN)
    made = backup(home)
    assert list(made.damaged) == [RUN]
    assert RUN not in made.files
    assert list_backups(home)[0].damaged == made.damaged


@pytest.mark.parametrize("victim", MAIN)
@pytest.mark.parametrize("damage", [garble, Path.unlink, lambda path: os.truncate(path, path.stat().st_size // 2)])
def test_the_three_main_databases_come_from_one_backup(home: Path, victim: str, damage) -> None:
    made = backup(home)
    for name in MAIN:
        database(home / name, "after the backup")
    damage(home / victim)
    assert victim in damaged_databases(home)
    done = restore(home, made)
    assert set(done.databases) == set(MAIN)
    assert damaged_databases(home) == {}
    assert [rows(home / name) for name in MAIN] == [[name] for name in MAIN]
    # Dagster asks for it only when it makes a database.
    assert {journal_mode(home / name) for name in MAIN} == {"wal"}
    others = [name for name in MAIN if name != victim]
    assert all("after the backup" in rows(done.set_aside / name) for name in others)
    assert rows(home / RUN) == [RUN]


def test_only_the_damaged_log_of_a_run_is_put_back(home: Path) -> None:
    made = backup(home)
    database(home / MAIN[0], "after the backup")
    garble(home / RUN)
    assert restore(home, made).databases == (RUN,)
    assert rows(home / RUN) == [RUN]
    assert rows(home / MAIN[0]) == [MAIN[0], "after the backup"]


def test_without_a_backup_the_instance_is_made_anew_by_whoever_opens_it(home: Path) -> None:
    garble(home / MAIN[2])
    done = restore(home, None)
    assert done.databases == ()
    assert not any((home / name).exists() for name in (*MAIN, "dagster/created"))
    assert (done.set_aside / MAIN[2]).exists()


def test_what_people_wrote_comes_back_where_it_is_missing_or_torn_and_is_never_overwritten(home: Path) -> None:
    made = backup(home)
    (home / "corrections/ann.csv").write_text("chunk_id,text\n1,newer\n")
    (home / "splits/frozen.json").unlink()
    (home / "sermons/2024-03-10--grace/sermon.json").write_text('{"torn": ')
    done = restore(home, made)
    assert done.files == ("sermons/2024-03-10--grace/sermon.json", "splits/frozen.json")
    assert done.set_aside is None
    assert json.loads((home / "sermons/2024-03-10--grace/sermon.json").read_text()) == {}
    assert (home / "corrections/ann.csv").read_text().endswith("newer\n")


def test_what_was_removed_on_purpose_stays_away(home: Path) -> None:
    made = backup(home)
    shutil.rmtree(home / "sermons" / "2024-03-10--grace")
    (home / RUN).unlink()
    done = restore(home, made)
    assert (done.files, done.databases, done.set_aside) == ((), (), None)
    assert not (home / "sermons" / "2024-03-10--grace").exists()
    assert not (home / RUN).exists()


def test_half_a_backup_is_none(home: Path) -> None:
    (backups_folder(home) / "2026-03-09").mkdir(parents=True)
    (backups_folder(home) / ".2026-03-08.1-ab.tmp").mkdir()
    assert list_backups(home) == []
    backup(home)
    assert not list(backups_folder(home).glob(".*.tmp"))
