"""What `stt doctor` says of a home: each thing that can be damaged or lost, on a home with nothing wrong but that."""

import shutil
from collections.abc import Callable
from datetime import date, datetime
from pathlib import Path

import pytest

from stt_platform.cli.home_findings import home_findings
from stt_platform.machine.gpu_facts import Finding
from stt_platform.settings import load_settings
from stt_platform.store.adapters import record_made
from stt_platform.store.backups import make_backup
from stt_platform.store.choices import Champion, record_speech_champion
from stt_platform.store.metadata import MetadataStore
from stt_platform_tests.helpers.feedback_home import make_feedback_home

TODAY = date(2026, 11, 20)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("whole")
    make_feedback_home(folder)
    return folder


@pytest.fixture
def home(tmp_path: Path, whole: Path) -> Path:
    shutil.copytree(whole, tmp_path, dirs_exist_ok=True)
    databases = ("dagster/history/runs.db", "dagster/history/runs/index.db", "dagster/schedules/schedules.db")
    for name in databases:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "dagster" / "created").touch()
    record_made(tmp_path, "whisper_adapter", "0", "0123456789abcdef")
    (tmp_path / "splits").mkdir(exist_ok=True)
    (tmp_path / "splits" / "frozen.json").write_text("{}")
    make_backup(tmp_path, keep_days=14, now=datetime(2026, 11, 19, 3))
    return tmp_path


def found(home: Path) -> list[Finding]:
    return list(home_findings(home, load_settings(home), today=TODAY))


def test_a_home_with_nothing_wrong(home: Path) -> None:
    assert [finding for finding in found(home) if finding.verdict != "fine"] == []
    said = "\n".join(finding.what for finding in found(home))
    assert "transcribed by whisper-tiny.en" in said
    assert "no adapter has been promoted yet" in said
    assert "the newest backup is of 2026-11-19" in said
    assert "all tables can be read" in said


def test_an_empty_home_has_nothing_to_say(tmp_path: Path) -> None:
    assert found(tmp_path) == []


def spoil_database(home: Path) -> None:
    (home / "dagster" / "history" / "runs.db").write_bytes(b"no database at all, whatever its name says" * 100)


def lose_database(home: Path) -> None:
    (home / "dagster" / "schedules" / "schedules.db").unlink()


def spoil_fragment(home: Path) -> None:
    path = next((home / "tables" / "transcripts").glob("*.parquet"))
    path.write_bytes(path.read_bytes()[:-100])


def lose_champion(home: Path) -> None:
    record_speech_champion(home, Champion("0123456789abcdef", "decided in cycle 0"))


def spoil_champion(home: Path) -> None:
    (home / "choices").mkdir(exist_ok=True)
    (home / "choices" / "speech_champion.json").write_text("{")


def lose_pins(home: Path) -> None:
    (home / "splits" / "frozen.json").unlink()


def spoil_pins(home: Path) -> None:
    (home / "splits" / "frozen.json").write_text('{"2024-02-01')


def lose_segments(home: Path) -> None:
    record_made(home, "translategemma_adapter", "a", "0123456789abcdef")


@pytest.mark.parametrize(
    ("spoil", "what", "remedy"),
    [
        (spoil_database, "dagster/history/runs.db is damaged", "`stt restore`"),
        (lose_database, "dagster/schedules/schedules.db is damaged: is missing", "`stt restore`"),
        (spoil_fragment, "1 pieces of tables cannot be read, such as tables/transcripts/", "`stt restore`"),
        (lose_champion, "promoted cannot be used", "choices/speech_champion.json, and the base model transcribes"),
        (spoil_champion, "does not name an adapter", "choices/speech_champion.json"),
        (lose_pins, "frozen.json is gone", "`stt restore` brings it back"),
        (spoil_pins, "frozen.json cannot be read", "delete it; then `stt restore`"),
        (lose_segments, "frozen_segments.json is gone", "`stt restore` brings it back"),
    ],
)
def test_what_is_wrong_has_a_remedy(home: Path, spoil: Callable[[Path], None], what: str, remedy: str) -> None:
    spoil(home)
    (finding,) = (finding for finding in found(home) if finding.verdict != "fine")
    assert finding.verdict == "wrong"
    assert what in finding.what
    assert remedy in finding.remedy


def test_an_old_backup_and_none_are_worth_a_look(home: Path) -> None:
    (old,) = (
        finding
        for finding in home_findings(home, load_settings(home), today=date(2026, 12, 1))
        if finding.verdict != "fine"
    )
    assert (old.verdict, old.what) == ("look at", "the newest backup is of 2026-11-19")
    for path in (home / "backups").glob("2*"):
        path.rename(home / path.name)
    (none,) = (finding for finding in found(home) if finding.verdict != "fine")
    assert none.what == "there is no backup yet"


def test_corrections_that_cannot_be_read_are_named(home: Path) -> None:
    reason = "list.docx: it is not UTF-8 at byte 1; save it as UTF-8"
    row = {
        "chunk_id": "",
        "cycle": 0,
        "sermon": "",
        "text": "",
        "verdict": "usable",
        "source": "list.docx",
        "tool": "table",
    }
    row |= {"corrected_at": "2026-11-19T03:00:00Z", "reviewer": "", "annotation_id": "", "speaker": ""}
    row |= {"status": "rejected", "gate": "unreadable", "reason": reason}
    MetadataStore(home).write("corrections", "cycle-0", [row])
    (finding,) = (finding for finding in found(home) if finding.verdict != "fine")
    assert (finding.verdict, finding.what) == ("look at", f"corrections: {reason}")
    assert str(home / "corrections") in finding.remedy
