"""The upkeep of every night: backup, mending, what is left failed, and the summary; and when it starts."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
import pytest

from stt_platform.definitions import defs
from stt_platform.defs.sermons.jobs import sermon_stages
from stt_platform.defs.upkeep import jobs, summary
from stt_platform.defs.upkeep.failed import LeftFailed, left_failed
from stt_platform.defs.upkeep.reconciling import tell_instance
from stt_platform.defs.upkeep.state import PlatformState, SermonState, read_state
from stt_platform.errors import PlatformError
from stt_platform.orchestration import scopes
from stt_platform.orchestration.platform import Platform
from stt_platform.settings import UpkeepSettings
from stt_platform.store.intake import ingest
from stt_platform.store.metadata import MetadataStore
from stt_platform.store.stages import StageResult, build_stage

SERMON = "2024-03-10--grace"
QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


@pytest.fixture
def sermon(store: MetadataStore, tmp_path: Path, instance: dg.DagsterInstance) -> str:
    (tmp_path / "2024-03-10 Grace.wav").write_bytes(b"sound")
    assert [entry.sermon for entry in ingest(store, [tmp_path / "2024-03-10 Grace.wav"])] == [SERMON]
    instance.add_dynamic_partitions(scopes.SERMON.name, [SERMON])
    return SERMON


def fail(monkeypatch: pytest.MonkeyPatch, name: str, error: Exception) -> None:
    def raising(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(name, raising)


def run_failing_sermon(instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        fail(patch, "stt_platform.orchestration.assets.run_stage", OSError("no sound\nof it"))
        job = defs.resolve_job_def(sermon_stages.name)
        done = job.execute_in_process(instance=instance, partition_key=SERMON, raise_on_error=False, run_config=QUIET)
        assert not done.success


def run_upkeep(instance: dg.DagsterInstance) -> dict[str, dg.AssetCheckEvaluation]:
    job = defs.resolve_job_def(jobs.upkeep.name)
    done = job.execute_in_process(instance=instance, run_config=QUIET)
    assert done.success
    return {check.check_name: check for check in done.get_asset_check_evaluations()}


def test_on_an_empty_home_everything_is_said_to_be_well(stt_home: Path, instance: dg.DagsterInstance) -> None:
    checks = run_upkeep(instance)
    assert {name: check.passed for name, check in checks.items()} == dict.fromkeys(checks, True)
    assert set(checks) == {"backup_is_whole", "nothing_left_failed", "is_fresh"}
    words = (stt_home / "reports" / "daily-summary.md").read_text()
    assert "0 sermons came in the last 24 hours" in words
    assert (stt_home / "backups").is_dir()


def test_a_failed_sermon_is_listed_once_with_what_to_do(
    stt_home: Path, sermon: str, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_failing_sermon(instance, monkeypatch)
    (failed,) = left_failed(instance)
    assert (failed.asset, failed.kind, failed.partition) == ("recording", "sermon", SERMON)
    assert "no sound of it" in failed.reason
    assert failed.remedy == f"stt run --sermon {SERMON}"
    checks = run_upkeep(instance)
    assert not checks["nothing_left_failed"].passed
    for name in ("daily-summary.md", "daily-summary.html"):
        words = (stt_home / "reports" / name).read_text()
        assert "stt run --sermon" in words
        assert "no sound of it" in words


def test_it_leaves_the_list_when_it_is_made(
    store: MetadataStore, sermon: str, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_failing_sermon(instance, monkeypatch)
    made = build_stage(store, SERMON, "recording", "0" * 64, lambda folder: StageResult())
    with monkeypatch.context() as patch:
        patch.setattr("stt_platform.orchestration.assets.run_stage", lambda *_, **__: (made, {}))
        job = defs.resolve_job_def(sermon_stages.name)
        job.execute_in_process(
            instance=instance, partition_key=SERMON, asset_selection=[dg.AssetKey("recording")], run_config=QUIET
        )
    # What was to follow it in the failed run is what is left.
    assert [each.asset for each in left_failed(instance)] == ["captions"]


def test_a_failed_cycle_and_a_failed_asset_are_listed(
    stt_home: Path, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    instance.add_dynamic_partitions(scopes.CYCLE.name, ["3"])
    fail(monkeypatch, "stt_platform.orchestration.assets.run_stage", PlatformError("no room: make some"))
    platform = {"platform": Platform(home_folder=str(stt_home))}
    corrections, glossary = (defs.get_assets_def(name) for name in ("corrections", "glossary"))
    dg.materialize([corrections], partition_key="3", instance=instance, resources=platform, raise_on_error=False)
    dg.materialize([glossary], instance=instance, resources=platform, raise_on_error=False)
    found = {each.asset: each for each in left_failed(instance)}
    assert found["corrections"].remedy == "stt run --through corrections --cycle 3"
    assert found["glossary"].remedy == "stt run --through glossary"
    assert {each.reason for each in found.values()} == {"no room: make some"}


def test_a_database_that_is_damaged_fails_the_check_and_the_summary_is_made(
    stt_home: Path, instance: dg.DagsterInstance
) -> None:
    database = stt_home / "dagster" / "history" / "runs.db"
    database.parent.mkdir(parents=True)
    database.write_bytes(b"this is no database" * 100)
    checks = run_upkeep(instance)
    assert not checks["backup_is_whole"].passed
    assert "stt restore" in checks["backup_is_whole"].metadata["what to do"].value
    assert (stt_home / "reports" / "daily-summary.md").exists()


def test_the_instance_is_told_what_lies_on_the_disk(
    store: MetadataStore, sermon: str, instance: dg.DagsterInstance
) -> None:
    instance.delete_dynamic_partition(scopes.SERMON.name, SERMON)
    build_stage(store, SERMON, "recording", "0" * 64, lambda folder: StageResult())
    build_stage(store, "corpus", "glossary", "0" * 64, lambda folder: StageResult())
    build_stage(store, "cycle-2", "corrections", "0" * 64, lambda folder: StageResult())
    assert tell_instance(store.home, instance) == 3
    assert instance.get_dynamic_partitions(scopes.SERMON.name) == [SERMON]
    assert instance.get_dynamic_partitions(scopes.CYCLE.name) == ["2"]
    assert instance.get_materialized_partitions(dg.AssetKey("recording")) == {SERMON}
    assert instance.get_materialized_partitions(dg.AssetKey("corrections")) == {"2"}
    assert tell_instance(store.home, instance) == 0


# When it starts


@pytest.fixture
def kept(tmp_path: Path) -> dg.DagsterInstance:
    """An instance on the disk: the context of a schedule opens it anew."""
    (tmp_path / "instance").mkdir()
    with dg.DagsterInstance.local_temp(str(tmp_path / "instance")) as instance:
        yield instance


def ask(kept: dg.DagsterInstance, home: Path) -> dg.RunRequest | dg.SkipReason:
    context = dg.build_schedule_context(instance=kept)
    return jobs.nightly(context, platform=Platform(home_folder=str(home)))


def test_it_starts_once_a_day(
    stt_home: Path, sermon: str, kept: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STT_UPKEEP__HOUR", "0")
    assert isinstance(ask(kept, stt_home), dg.RunRequest)
    run_upkeep(kept)
    assert "done today" in ask(kept, stt_home).skip_message


def test_a_clock_that_was_put_back_does_not_stop_it(
    stt_home: Path, sermon: str, kept: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_upkeep(kept)

    class LastYear(datetime):
        @classmethod
        def now(cls, tz=None):
            return datetime.now(tz) - timedelta(days=365)

    monkeypatch.setenv("STT_UPKEEP__HOUR", "0")
    monkeypatch.setattr(jobs, "datetime", LastYear)
    assert isinstance(ask(kept, stt_home), dg.RunRequest)


@pytest.mark.parametrize(
    ("variables", "words"),
    [({"STT_SENSORS": "false"}, "sensors are off"), ({"STT_UPKEEP__HOUR": "23"}, "due at 23:00")],
)
def test_it_waits(
    stt_home: Path,
    sermon: str,
    kept: dg.DagsterInstance,
    monkeypatch: pytest.MonkeyPatch,
    variables: dict[str, str],
    words: str,
) -> None:
    class InTheMorning(datetime):
        @classmethod
        def now(cls, tz=None):
            return datetime(2026, 3, 10, 9, 5)

    monkeypatch.setattr(jobs, "datetime", InTheMorning)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert words in ask(kept, stt_home).skip_message


def test_an_empty_instance_is_left_alone(stt_home: Path, kept: dg.DagsterInstance) -> None:
    assert "no sermons yet" in ask(kept, stt_home).skip_message


# What the summary says


NOW = datetime(2026, 3, 10, 12, tzinfo=UTC).timestamp()
DAY = 86_400


def state(**changed) -> PlatformState:
    whole = {
        "at_s": NOW,
        "sermons": (),
        "in_progress": frozenset(),
        "failed": (),
        "to_transcribe": 0,
        "cycle": None,
        "to_review": 0,
        "review_s": 0.0,
        "newest_backup": "2026-03-10",
        "free_bytes": 60 * 10**9,
        "total_bytes": 100 * 10**9,
    }
    return PlatformState(**(whole | changed))


def a_sermon(key: str, status: str, came_days_ago: float, reason: str | None = None) -> SermonState:
    made = NOW - came_days_ago * DAY + 60 if status == "accepted" else None
    return SermonState(key, key, status, reason, NOW - came_days_ago * DAY, made)


FAILURE = LeftFailed(
    "transcript", "sermon", "b", "r1", "2026-03-09T03:00:00+00:00", "out of <memory>", "stt run --sermon b"
)

SAID = [
    (state(), ["0 sermons came", "nothing"], "nothing needs a person"),
    (state(sermons=(a_sermon("a", "accepted", 0.5),)), ["1 sermon came in the last 24 hours: a", "1 sermon was transcribed: a"],
     "nothing needs a person"),
    (state(sermons=(a_sermon("a", "rejected", 0.5, "nobody speaks"),)), ["a is rejected: nobody speaks"], "nothing needs a person"),
    (state(sermons=(a_sermon("a", "waiting", 2),)), ["1 sermon waits for more than a day: a. To start: stt run"],
     "look at: how fresh it is"),
    (state(sermons=(a_sermon("b", "waiting", 2),), failed=(FAILURE,)),
     ["transcript of sermon b failed at 2026-03-09", "To try it again: stt run --sermon b"], "look at: what failed, and what to do"),
    (state(cycle=2, to_review=40, review_s=1200), ["40 segments of cycle 2 to correct, about 20 minutes"],
     "look at: what waits for a person"),
    (state(to_transcribe=7), ["7 chunks to write down from scratch"], "look at: what waits for a person"),
    (state(sermons=(a_sermon("a", "accepted", 9),), newest_backup=""), ["there is no backup. To make one: stt backup"],
     "look at: how fresh it is"),
    (state(sermons=(a_sermon("a", "accepted", 9),), newest_backup="2026-03-01"), ["the newest backup is 9 days old"],
     "look at: how fresh it is"),
    (state(free_bytes=10**9), ["1.0 of 100 GB are free", "less than 10 GB"], "look at: disk"),
]  # fmt: skip


@pytest.mark.parametrize(("seen", "lines", "sentence"), SAID)
def test_the_summary(seen: PlatformState, lines: list[str], sentence: str) -> None:
    sections = summary.summarise(seen, UpkeepSettings())
    said = [line for section in sections for line in section.lines]
    for line in lines:
        assert any(line in words for words in said), said
    assert summary.in_a_sentence(sections) == sentence


def test_what_errors_say_is_text_and_no_markup() -> None:
    sections = summary.summarise(state(failed=(FAILURE,)), UpkeepSettings())
    assert "<memory>" not in summary.html(state(), sections)
    assert "&lt;memory&gt;" in summary.html(state(), sections)
    assert "\\<memory\\>" in summary.markdown(state(), sections)


def test_reading_the_state_of_a_home(stt_home: Path, sermon: str, instance: dg.DagsterInstance) -> None:
    seen = read_state(Platform(home_folder=str(stt_home)), instance, datetime.now(UTC) + timedelta(days=2))
    assert [(each.sermon, each.status) for each in seen.sermons] == [(SERMON, "waiting")]
    assert [each.sermon for each in seen.not_started(DAY)] == [SERMON]
    assert seen.newest_backup == ""
    assert seen.total_bytes > seen.free_bytes > 0
