"""Tasks to a Label Studio server and answers back, against one on loopback."""

import importlib.util
import json
import re
import stat
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import dagster as dg
import pytest

from stt_platform.definitions import defs
from stt_platform.defs.feedback.flagged import read_tasks
from stt_platform.defs.feedback.sensors import label_studio_answers
from stt_platform.errors import PlatformError, SettingsError
from stt_platform.feedback.reading import read_answers
from stt_platform.feedback.tools.base import ReviewTask
from stt_platform.feedback.tools.label_studio import labelling_configuration
from stt_platform.orchestration.platform import Platform
from stt_platform.orchestration.running import run_stage
from stt_platform.orchestration.scopes import with_cycle
from stt_platform.orchestration.stage import stages
from stt_platform.settings import LabelStudioSettings, load_settings, repository
from stt_platform.store.label_studio_folder import (
    TOKEN_VARIABLE,
    access_token,
    audio_folder,
    keep_answers,
    kept_answers,
    own_server,
)
from stt_platform.web.label_studio_client import (
    LabelStudioClient,
    LabelStudioError,
    LabelStudioUnreachable,
    ReviewProject,
)
from stt_platform.web.label_studio_reviews import answers_name, label_studio_reviews
from stt_platform_tests.helpers import label_studio_site as fake
from stt_platform_tests.helpers.review_home import HEARD, chunk_id, flag, make_review_home, sound_path

TITLE = "Sermon corrections"
WORKER = Path("stt_platform", "environments", "label_studio", "worker.py")
NOWHERE = "http://127.0.0.1:9"


@pytest.fixture
def site() -> Iterator[fake.Site]:
    with fake.serving() as site:
        yield site


@pytest.fixture
def server(site: fake.Site) -> Iterator[LabelStudioClient]:
    with LabelStudioClient(site.address, fake.TOKEN) as server:
        yield server


@pytest.fixture
def own(site: fake.Site, stt_home: Path, monkeypatch: pytest.MonkeyPatch) -> fake.Site:
    """It is taken for the server of `make label-studio`."""
    monkeypatch.setenv("STT_LABEL_STUDIO__PORT", site.address.rpartition(":")[2])
    monkeypatch.setenv(TOKEN_VARIABLE, fake.TOKEN)
    make_review_home(stt_home)
    return site


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as instance:
        yield instance


def listed(home: Path) -> list[ReviewTask]:
    return read_tasks(stages()["flagged_segments"].output(home, "0"))


def make_tasks(home: Path, cycle: int = 0) -> None:
    run_stage(stages()["review_tasks"], Platform(home_folder=str(home)), print, str(cycle))


def tick(instance: dg.DagsterInstance, cursor: str | None = None) -> tuple[str, str | None]:
    """What the tick says, and the cursor after it."""
    context = dg.build_sensor_context(instance=instance, cursor=cursor, resources={"platform": Platform()})
    return label_studio_answers(context).skip_message, context.cursor


def answers_file(home: Path, project: int = 1) -> Path:
    return home / "corrections" / f"label-studio-{project}.json"


# The client


def test_a_project_is_made_once_and_found_by_its_title(site: fake.Site, server: LabelStudioClient) -> None:
    assert server.find_project(TITLE) is None
    made = server.make_project(TITLE, labelling_configuration())
    server.make_project(f"{TITLE} of another church", labelling_configuration())
    server.make_project(TITLE, "<View/>")
    found = server.find_project(TITLE)
    assert found == made == ReviewProject(1, f"{site.address}/projects/1/data", 0, 0, labelling_configuration())


def test_a_folder_is_made_known_once(site: fake.Site, server: LabelStudioClient) -> None:
    project = server.make_project(TITLE, "<View/>")
    for _ in range(2):
        server.play_from(project, Path("/srv/audio"))
    assert [storage["path"] for storage in site.storages] == ["/srv/audio"]


def test_every_page_of_tasks_is_read(site: fake.Site, server: LabelStudioClient) -> None:
    project = server.make_project(TITLE, "<View/>")
    server.add_tasks(project, [{"data": {"chunk_id": f"c{n}"}, "predictions": []} for n in range(451)])
    assert [data["chunk_id"] for data in server.task_data(project)] == [f"c{n}" for n in range(451)]
    assert len(server.changed_tasks(project, "")) == 451


def test_changes_are_asked_for_from_a_time_on(site: fake.Site, server: LabelStudioClient) -> None:
    project = server.make_project(TITLE, "<View/>")
    server.add_tasks(project, [{"data": {"chunk_id": f"c{n}"}, "predictions": []} for n in range(3)])
    site.seconds = 600
    site.answer(2, "amen")
    (changed,) = server.changed_tasks(project, "2024-03-10T10:09:00.000000Z")
    assert (changed["id"], changed["annotations"][0]["completed_by"]["email"]) == (2, "ann@example.org")
    assert "created_ago" not in json.dumps(changed)


def test_a_personal_token_buys_another_that_is_used(site: fake.Site) -> None:
    with LabelStudioClient(site.address, fake.PERSONAL_TOKEN) as server:
        assert server.find_project(TITLE) is None
        server.make_project(TITLE, "<View/>")
    assert [path for _, path, _ in site.requests].count("/api/token/refresh/") == 1
    assert {said for _, path, said in site.requests if path == "/api/projects/"} == {"Bearer bought"}


@pytest.mark.parametrize("token", ["b" * 40, "not.the.right"])
def test_a_wrong_token_is_an_error_that_does_not_tell_it(site: fake.Site, token: str) -> None:
    with LabelStudioClient(site.address, token) as server, pytest.raises(LabelStudioError) as refused:
        server.find_project(TITLE)
    assert "does not accept the token" in str(refused.value)
    assert TOKEN_VARIABLE in str(refused.value)
    assert token not in str(refused.value)


@pytest.mark.parametrize(
    ("status", "said", "told"),
    [
        (500, "<h1>Server error</h1>", r"GET /api/projects/ .* status 500.*Server error"),
        (302, "", "status 302.*nothing was said"),
        (200, "<html>a hotel's sign-in page</html>", "not as Label Studio.*a hotel's sign-in page"),
        (200, '{"name": "another program"}', "no Label Studio 1.23: /api/projects/ has no 'results'"),
        (200, "[]", "no Label Studio 1.23"),
    ],
)
def test_what_is_no_answer_of_label_studio_is_quoted(
    site: fake.Site, server: LabelStudioClient, status: int, said: str, told: str
) -> None:
    site.refusals["/api/projects/"] = (status, said)
    with pytest.raises(LabelStudioError, match=told):
        server.find_project(TITLE)
    assert not [path for _, path, _ in site.requests if path == "/elsewhere"]


def test_where_nobody_answers_the_error_says_what_starts_it() -> None:
    with (
        LabelStudioClient(NOWHERE, fake.TOKEN) as server,
        pytest.raises(LabelStudioUnreachable, match="make label-studio"),
    ):
        server.find_project(TITLE)


# Secrets and settings


def test_secrets_are_made_once_and_for_their_owner_only(stt_home: Path) -> None:
    settings = LabelStudioSettings()
    assert access_token(stt_home, settings) is None
    first, second = own_server(stt_home, settings), own_server(stt_home, settings)
    assert first == second
    assert access_token(stt_home, settings) == first.token
    assert first.served == audio_folder(stt_home).parent
    assert first.password_file.read_text() == first.password
    assert stat.S_IMODE(first.data.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in first.data.iterdir()} == {0o600}


def test_the_token_of_the_environment_counts_and_is_written_nowhere(
    stt_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(TOKEN_VARIABLE, fake.TOKEN)
    assert own_server(stt_home, LabelStudioSettings()).token == fake.TOKEN
    assert not [path for path in stt_home.rglob("*") if path.is_file() and fake.TOKEN in path.read_text()]
    monkeypatch.setenv(TOKEN_VARIABLE, fake.PERSONAL_TOKEN)
    assert access_token(stt_home, LabelStudioSettings(url="https://ls.example.org")) == fake.PERSONAL_TOKEN
    with pytest.raises(PlatformError, match="unset it") as refused:
        access_token(stt_home, LabelStudioSettings())
    assert fake.PERSONAL_TOKEN not in str(refused.value)


def test_the_own_token_is_not_shown_to_another_server(stt_home: Path) -> None:
    own_server(stt_home, LabelStudioSettings())
    assert access_token(stt_home, LabelStudioSettings(url="https://ls.example.org")) is None


@pytest.mark.parametrize(
    "url", ["ls.example.org", "ftp://ls.example.org", "https://ann:secret@ls.example.org", "https://ls.example.org?a=b"]
)
def test_addresses_that_are_none_are_refused(stt_home: Path, monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.setenv("STT_LABEL_STUDIO__URL", url)
    with pytest.raises(SettingsError, match=r"label_studio\.url"):
        load_settings(stt_home)


def test_the_server_connects_to_this_machine_only() -> None:
    spec = importlib.util.spec_from_file_location("worker", repository() / WORKER)
    worker = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(worker)
    inside = [("127.0.0.1", 80), ("::1", 80, 0, 0), "/run/a.socket"]
    for address in inside:
        worker._keep_inside("socket.connect", (None, address))
    worker._keep_inside("socket.getaddrinfo", ("localhost", 80, 0, 0, 0))
    for address in (("93.184.216.34", 443), ("2606:2800::1", 443, 0, 0), ("example.org", 443)):
        with pytest.raises(PermissionError, match="serves this machine only"):
            worker._keep_inside("socket.connect", (None, address))
    for name in ("example.org", b"example.org"):
        with pytest.raises(PermissionError, match=r"may not connect to example\.org"):
            worker._keep_inside("socket.getaddrinfo", (name, 443, 0, 0, 0))


# Tasks out


def test_tasks_are_pushed_once_and_again_where_something_else_was_heard(own: fake.Site, stt_home: Path) -> None:
    settings = load_settings(stt_home).label_studio
    tasks = listed(stt_home)
    with label_studio_reviews(stt_home, settings) as reviews:
        added = [reviews.push(tasks[:n]).added for n in (2, 3, 3)]
        heard_anew = [replace(tasks[0], proposal="the lamp was lit again")]
        added.append(reviews.push(heard_anew).added)
    assert added == [2, 1, 0, 1]
    assert [task["data"]["proposal"] for task in own.tasks.values()] == [*HEARD, "the lamp was lit again"]
    first = own.tasks[1]
    assert first["data"]["audio"] == f"/data/local-files/?d=audio/{chunk_id(0)}.flac"
    assert first["predictions"][0]["result"][0]["value"] == {"text": [HEARD[0]]}
    assert [storage["path"] for storage in own.storages] == [str(audio_folder(stt_home))]
    assert (audio_folder(stt_home) / f"{chunk_id(0)}.flac").samefile(stt_home / sound_path(0))


def test_what_has_lost_its_sound_is_left_out_and_counted(own: fake.Site, stt_home: Path) -> None:
    settings = load_settings(stt_home).label_studio
    (stt_home / sound_path(1)).unlink()
    with label_studio_reviews(stt_home, settings) as reviews:
        pushed = reviews.push(listed(stt_home))
    assert (pushed.added, pushed.silent) == (2, 1)
    assert {task["data"]["chunk_id"] for task in own.tasks.values()} == {chunk_id(0), chunk_id(2)}


def test_another_server_is_sent_the_sound(site: fake.Site, stt_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_review_home(stt_home)
    monkeypatch.setenv(TOKEN_VARIABLE, fake.TOKEN)
    settings = LabelStudioSettings(url=site.address)
    with label_studio_reviews(stt_home, settings) as reviews:
        for _ in range(2):
            pushed = reviews.push(listed(stt_home))
    assert not site.storages
    assert len(site.uploads) == 3
    assert (stt_home / sound_path(0)).read_bytes() in site.uploads[0]
    assert site.tasks[1]["data"]["audio"] == "/data/upload/1/00000000-1.flac"
    assert re.fullmatch(r"label-studio-127-0-0-1-\d+-1\.json", answers_name(settings, pushed.project))


def test_a_push_that_was_cut_off_goes_on_with_the_rest(
    site: fake.Site, stt_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_review_home(stt_home)
    monkeypatch.setenv(TOKEN_VARIABLE, fake.TOKEN)
    settings, tasks = LabelStudioSettings(url=site.address), listed(stt_home)
    many = [replace(tasks[0], proposal=f"amen {number}") for number in range(30)]
    with label_studio_reviews(stt_home, settings) as reviews:
        site.refusals["/api/import/file-upload/28"] = (500, "no room")
        with pytest.raises(LabelStudioError, match="no room"):
            reviews.push(many)
        assert len(site.tasks) == 25
        site.refusals.clear()
        assert reviews.push(many).added == 5
    assert [task["data"]["proposal"] for task in site.tasks.values()] == [task.proposal for task in many]


def test_a_project_of_that_title_with_another_form_is_not_filled(own: fake.Site, stt_home: Path) -> None:
    settings = load_settings(stt_home).label_studio
    with label_studio_reviews(stt_home, settings) as reviews:
        reviews.client.make_project(TITLE, "<View><Text name='a' value='$a'/></View>")
        with pytest.raises(PlatformError, match=r"another title \(setting label_studio\.project\)"):
            reviews.push(listed(stt_home))
    assert not own.tasks


# Answers in


def test_the_latest_state_of_each_task_is_kept(own: fake.Site, stt_home: Path) -> None:
    settings = load_settings(stt_home).label_studio
    with label_studio_reviews(stt_home, settings) as reviews:
        project = reviews.push(listed(stt_home)).project
        nothing = reviews.pull(project, "")
        assert (nothing.changed, nothing.file.exists()) == (False, False)
        own.seconds = 300
        own.answer(1, "the lamp was lit again")
        own.answer(3, "", cancelled=True)
        first = reviews.pull(project, nothing.since)
        again = reviews.pull(project, first.since)
        assert (first.changed, again.changed, again.since) == (True, False, first.since)
        own.seconds = 900
        own.answer(1, "The lamp was lit again.")
        own.withdraw(3)
        last = reviews.pull(project, again.since)
    assert first.file == answers_file(stt_home)
    (answer,) = read_answers(last.file).answers
    told = (answer.chunk_id, answer.text, answer.proposal, answer.reviewer, answer.spent_s)
    assert told == (chunk_id(0), "The lamp was lit again.", HEARD[0], "ann@example.org", 4.0)


@pytest.mark.parametrize("spoil", [Path.unlink, lambda path: path.write_text("[{"), lambda path: path.write_text("3")])
def test_a_file_that_was_lost_or_spoilt_is_fetched_whole(own: fake.Site, stt_home: Path, spoil) -> None:
    settings = load_settings(stt_home).label_studio
    with label_studio_reviews(stt_home, settings) as reviews:
        project = reviews.push(listed(stt_home)).project
        own.answer(1, "amen")
        pulled = reviews.pull(project, "")
        held = pulled.file.read_bytes()
        spoil(pulled.file)
        project = reviews.project()
        assert reviews.pull(project, "2030-01-01T00:00:00Z").changed
    assert pulled.file.read_bytes() == held


def test_a_file_is_not_touched_where_nothing_changed(tmp_path: Path) -> None:
    path = tmp_path / "answers.json"
    task = {"id": 2, "annotations": [{"id": 1}], "data": {}}
    assert keep_answers(path, {}, [task, {"id": 1, "annotations": [], "data": {}}])
    written = path.stat().st_mtime_ns
    assert not keep_answers(path, kept_answers(path), [dict(task)])
    assert path.stat().st_mtime_ns == written
    assert kept_answers(path) == {2: task}
    assert keep_answers(path, kept_answers(path), [{**task, "annotations": []}])
    assert kept_answers(path) == {}


# The sensor and the asset


def test_without_a_server_nothing_happens_and_the_tick_says_what_starts_one(
    stt_home: Path, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "`make label-studio` starts one" in tick(instance)[0]
    assert not list(stt_home.iterdir())
    assert not instance.get_dynamic_partitions("cycle")
    monkeypatch.setenv("STT_LABEL_STUDIO__URL", NOWHERE)
    assert f"set {TOKEN_VARIABLE}" in tick(instance)[0]
    monkeypatch.setenv(TOKEN_VARIABLE, fake.TOKEN)
    assert "does not answer" in tick(instance)[0]
    monkeypatch.setenv("STT_SENSORS", "false")
    assert "sensors are off" in tick(instance)[0]


def test_tasks_wait_for_the_server_and_each_change_is_read_once(
    own: fake.Site, stt_home: Path, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as server_is_down:
        server_is_down.setenv("STT_LABEL_STUDIO__PORT", "9")
        make_tasks(stt_home)
    assert not own.tasks
    with_cycle(instance, 0)
    there = f"answered at {own.address}/projects/1/data"
    said, cursor = tick(instance)
    assert said == f"3 tasks were added; no new answers; 0 of 3 are {there}"
    own.answer(2, "keep your oil and wait until morning")
    asked = len(own.requests)
    said, cursor = tick(instance, cursor)
    assert said == f"new answers are in {answers_file(stt_home)}; 1 of 3 are {there}"
    assert len(own.requests) - asked == 3
    assert tick(instance, cursor)[0] == f"no new answers; 1 of 3 are {there}"
    own.answer(2, "Keep your oil and wait until morning.")
    assert tick(instance, cursor)[0].startswith("new answers")
    (answer,) = read_answers(answers_file(stt_home)).answers
    assert answer.text == "Keep your oil and wait until morning."
    assert len(own.tasks) == 3


def test_a_new_cycle_and_a_new_project_are_sent_their_tasks(
    own: fake.Site, stt_home: Path, instance: dg.DagsterInstance
) -> None:
    make_tasks(stt_home)
    assert len(own.tasks) == 3
    with_cycle(instance, 0)
    _, cursor = tick(instance)
    flag(stt_home, 1, [replace(listed(stt_home)[0], proposal="the lamp was lit again", cycle=1)])
    make_tasks(stt_home, 1)
    with_cycle(instance, 1)
    _, cursor = tick(instance, cursor)
    assert [task["data"]["cycle"] for task in own.tasks.values()] == [0, 0, 0, 1]
    own.projects.clear()
    own.tasks.clear()
    own.projects[8] = {"id": 8, "title": "of somebody else", "label_config": ""}
    tick(instance, cursor)
    assert [task["data"]["cycle"] for task in own.tasks.values()] == [1]


@pytest.mark.parametrize("cursor", ["", "nonsense", "[]", '{"project": 3}'])
def test_a_cursor_that_cannot_be_read_begins_anew(
    own: fake.Site, stt_home: Path, instance: dg.DagsterInstance, cursor: str
) -> None:
    make_tasks(stt_home)
    with_cycle(instance, 0)
    own.answer(1, "amen")
    assert "; new answers are in" in tick(instance, cursor)[0]


def test_the_asset_writes_the_tasks_and_says_where_the_server_is(
    own: fake.Site, stt_home: Path, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    def materialise() -> dict[str, dg.MetadataValue]:
        with_cycle(instance, 0)
        asset, resources = defs.get_assets_def("review_tasks"), {"platform": Platform()}
        done = dg.materialize([asset], instance=instance, partition_key="0", resources=resources)
        return done.asset_materializations_for_node("review_tasks")[0].metadata

    with monkeypatch.context() as server_is_down:
        server_is_down.setenv("STT_LABEL_STUDIO__PORT", "9")
        (stt_home / sound_path(2)).rename(stt_home / "elsewhere.flac")
        made = materialise()
        assert "the tasks are sent by themselves once it runs" in made["Label Studio"].value
        assert (made["tasks"].value, made["tasks whose sound is gone"].value) == (3, 1)
    (stt_home / "elsewhere.flac").rename(stt_home / sound_path(2))
    assert materialise()["Label Studio"].value.endswith("/projects/1/data): 0 of 3 answered")
    written = json.loads((stt_home / "review" / "cycle-0" / "label-studio.json").read_text())
    assert [task["data"]["chunk_id"] for task in written] == [chunk_id(n) for n in range(3)]
    assert (stt_home / "review" / "cycle-0" / "label-studio.xml").read_text() == labelling_configuration()
    monkeypatch.setenv(TOKEN_VARIABLE, "c" * 40)
    with pytest.raises(dg.Failure, match="does not accept the token"):
        materialise()
