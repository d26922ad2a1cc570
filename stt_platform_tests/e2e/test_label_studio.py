"""The real Label Studio, started as volunteers start it: tasks in its pages, answers in the store."""

import contextlib
import http.client
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import dagster as dg
import pytest
import requests
from playwright.sync_api import Browser, Page, expect

from stt_platform.definitions import defs
from stt_platform.defs.feedback.flagged import read_tasks
from stt_platform.defs.feedback.loop import new_corrections
from stt_platform.defs.feedback.sensors import label_studio_answers
from stt_platform.environments import environment
from stt_platform.orchestration.platform import Platform
from stt_platform.orchestration.scopes import with_cycle
from stt_platform.orchestration.stage import stages
from stt_platform.settings import LabelStudioSettings
from stt_platform.store.label_studio_folder import TOKEN_VARIABLE, USER, own_server
from stt_platform.store.metadata import MetadataStore
from stt_platform.web.label_studio_reviews import label_studio_reviews
from stt_platform_tests.e2e.running import free_port, wait_until
from stt_platform_tests.helpers.review_home import DURATION_S, HEARD, chunk_id, make_review_home, sound_path

# Its database is made on the first start: 36 s on a busy machine with 2 cores.
PATIENCE_S = 600


@dataclass
class Review:
    """A server with its home, and the sensor as the daemon calls it."""

    home: Path
    address: str
    instance: dg.DagsterInstance
    cursor: str | None = None

    @property
    def token(self) -> str:
        return (self.home / "label-studio" / "token").read_text()

    def get(self, path: str, token: str | None = None) -> requests.Response:
        headers = {"Authorization": f"Token {token or self.token}"} if token != "" else {}
        return requests.get(f"{self.address}{path}", headers=headers, timeout=20, allow_redirects=False)

    def platform(self) -> Platform:
        return Platform(home_folder=str(self.home))

    def materialise(self, stage: str) -> dict[str, dg.MetadataValue]:
        with_cycle(self.instance, 0)
        asset, resources = defs.get_assets_def(stage), {"platform": self.platform()}
        done = dg.materialize([asset], instance=self.instance, partition_key="0", resources=resources)
        (made,) = done.asset_materializations_for_node(stage)
        return made.metadata

    def context(self, cursor: str | None = None) -> dg.SensorEvaluationContext:
        return dg.build_sensor_context(instance=self.instance, cursor=cursor, resources={"platform": self.platform()})

    def tick(self) -> str:
        context = self.context(self.cursor)
        said = label_studio_answers(context).skip_message
        self.cursor = context.cursor
        return said


@pytest.fixture(scope="module")
def review(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Review]:
    home, port = tmp_path_factory.mktemp("home"), free_port()
    make_review_home(home)
    address = f"http://127.0.0.1:{port}"
    changed = {"STT_HOME": str(home), "STT_LOCK_DIR": str(home / "locks"), "STT_LABEL_STUDIO__PORT": str(port)}
    log = home / "label-studio.log"
    with pytest.MonkeyPatch.context() as variables, log.open("wb") as said:
        for name, value in changed.items():
            variables.setenv(name, value)
        environment("label_studio").ensure(print)
        command = [str(Path(sys.executable).parent / "stt"), "label-studio"]
        server = subprocess.Popen(command, stdout=said, stderr=said)
        try:
            wait_until("Label Studio", lambda: "Sign in as" in log.read_text() or server.poll() is not None, PATIENCE_S)
            assert server.poll() is None, log.read_text()
            with dg.DagsterInstance.ephemeral() as instance:
                yield Review(home, address, instance)
        finally:
            server.send_signal(signal.SIGINT)
            server.wait(timeout=60)
            assert not answers(port)


@pytest.fixture(autouse=True)
def _of_this_home(review: Review, monkeypatch: pytest.MonkeyPatch) -> None:
    """Other fixtures take the settings out of the environment before each test."""
    monkeypatch.setenv("STT_HOME", str(review.home))
    monkeypatch.setenv("STT_LOCK_DIR", str(review.home / "locks"))
    monkeypatch.setenv("STT_INBOX__SETTLE_S", "0")
    monkeypatch.setenv("STT_LABEL_STUDIO__PORT", review.address.rpartition(":")[2])


@pytest.fixture
def signed_in(review: Review, browser: Browser) -> Iterator[Page]:
    """A reviewer's page. Requests to other machines, and script errors, fail the test that caused them."""
    context = browser.new_context(viewport={"width": 1400, "height": 1000})
    context.set_default_timeout(60_000)
    page = context.new_page()
    faults: list[str] = []
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on("request", lambda request: is_elsewhere(request.url, review.address) and faults.append(request.url))
    page.goto(review.address)
    page.locator("input[name=email]").fill(USER)
    page.locator("input[name=password]").fill((review.home / "label-studio" / "password").read_text())
    page.get_by_role("button", name="Log in").click()
    page.wait_for_url(lambda url: "login" not in url)
    yield page
    context.close()
    assert not faults


def is_elsewhere(url: str, address: str) -> bool:
    return not url.startswith((address, "data:", "blob:"))


def answers(port: int) -> bool:
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", port, timeout=5)) as asked:
        try:
            asked.request("GET", "/health")
            return asked.getresponse().status == 200
        except OSError:
            return False


def box(page: Page):
    return page.locator("textarea").first


def open_tasks(page: Page, review: Review) -> None:
    page.goto(f"{review.address}/projects/1/data")
    page.get_by_role("button", name="Label All Tasks").click()


def test_an_edited_task_comes_back_into_the_store_with_one_tick(review: Review, signed_in: Page) -> None:
    page = signed_in
    shown = review.materialise("review_tasks")["Label Studio"].value
    assert f"{review.address}/projects/1/data): 0 of 3 answered" in shown

    page.goto(f"{review.address}/projects/1/data")
    for heard in HEARD:
        expect(page.get_by_text(heard).first).to_be_visible()

    page.get_by_role("button", name="Label All Tasks").click()
    expect(box(page)).to_have_value(HEARD[0])
    expect(page.get_by_text("many words are in doubt")).to_be_visible()
    sound = page.locator("audio").first
    wait_until("the sound", lambda: sound.evaluate("audio => audio.readyState") == 4, 30)
    assert sound.evaluate("audio => audio.duration") == pytest.approx(DURATION_S, abs=0.1)
    page.get_by_role("button", name="Play", exact=True).click()
    wait_until("playing", lambda: sound.evaluate("audio => audio.currentTime") > 0.5, 30)

    box(page).fill("the lamp was lit again")
    page.locator("input[name=speaker]").fill("Ann Lee")
    page.get_by_role("button", name="Submit current annotation").click()
    expect(box(page)).to_have_value(HEARD[1])
    page.locator("input[type=radio][name='not English']").check()
    page.get_by_role("button", name="Submit current annotation").click()
    expect(box(page)).to_have_value(HEARD[2])

    file = review.home / "corrections" / "label-studio-1.json"
    assert f"new answers are in {file}; 2 of 3 are answered" in review.tick()
    (request,) = new_corrections(review.context()).run_requests
    assert (request.partition_key, request.asset_selection) == ("0", [dg.AssetKey("corrections")])
    review.materialise("corrections")
    told = MetadataStore(review.home).query("select * from corrections order by chunk_id").to_pylist()
    names = ("chunk_id", "text", "proposal", "verdict", "speaker", "reviewer", "status")
    assert [tuple(row[name] for name in names) for row in told] == [
        (chunk_id(0), "the lamp was lit again", HEARD[0], "usable", "Ann Lee", USER, "accepted"),
        (chunk_id(1), HEARD[1], HEARD[1], "not_english", "", USER, "rejected"),
    ]
    assert all(row["spent_s"] > 0 for row in told)
    held = file.read_bytes()
    assert review.tick().startswith("no new answers; 2 of 3")
    assert file.read_bytes() == held


def test_a_second_push_makes_no_duplicate(review: Review) -> None:
    for _ in range(2):
        review.materialise("review_tasks")
    review.cursor = None
    review.tick()
    assert review.get("/api/projects/1/").json()["task_number"] == len(HEARD)


def test_only_the_sound_of_chunks_is_served_and_only_to_who_signed_in(review: Review) -> None:
    served = f"/data/local-files/?d=audio/{chunk_id(0)}.flac"
    assert review.get(served).content == (review.home / sound_path(0)).read_bytes()
    assert review.get(served, token="").status_code in (302, 401, 403)
    (review.home / "review" / "label-studio" / "beside.txt").write_text("not for them")
    for other in ("beside.txt", "audio/../beside.txt", "../../label-studio/token", "/etc/passwd"):
        assert review.get(f"/data/local-files/?d={other}").status_code >= 400, other


def test_it_is_closed_to_others_and_keeps_its_secrets(review: Review) -> None:
    secrets = own_server(review.home, LabelStudioSettings())
    log = (review.home / "label-studio.log").read_text()
    assert secrets.token not in log
    assert secrets.password not in log
    listed = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout
    assert secrets.token not in listed
    assert review.get("/api/projects/", token="0" * 40).status_code == 401
    port = int(review.address.rpartition(":")[2])
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", port, timeout=20)) as asked:
        asked.request("GET", "/health", headers={"Host": "evil.example"})
        assert asked.getresponse().status == 400
    assert (
        "access-control-allow-origin"
        not in requests.get(
            f"{review.address}/api/version", headers={"Origin": "http://evil.example"}, timeout=20
        ).headers
    )
    with requests.Session() as stranger:
        stranger.get(f"{review.address}/user/signup/", timeout=20)
        form = {
            "email": "eve@example.org",
            "password": "long-enough",
            "csrfmiddlewaretoken": stranger.cookies["csrftoken"],
        }
        assert stranger.post(f"{review.address}/user/signup/", data=form, timeout=20).status_code == 403
    assert [user["email"] for user in review.get("/api/users/").json()] == [USER]


def test_another_server_is_sent_the_sound_and_takes_a_personal_token(
    review: Review, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = requests.post(
        f"{review.address}/api/token/", headers={"Authorization": f"Token {review.token}"}, timeout=20
    ).json()
    monkeypatch.setenv(TOKEN_VARIABLE, made["token"])
    settings = LabelStudioSettings(url=review.address, project="Elsewhere")
    tasks = read_tasks(stages()["review_tasks"].output(review.home, "0"))
    with label_studio_reviews(review.home, settings) as reviews:
        added = [reviews.push(tasks[:n]).added for n in (1, 2, 2)]
        project = reviews.project()
        (first, _) = reviews.client.changed_tasks(project, "")
    assert added == [1, 1, 0]
    assert re.fullmatch(rf"/data/upload/{project.id}/.*{chunk_id(0)}\.flac", first["data"]["audio"])
    assert review.get(first["data"]["audio"]).content == (review.home / sound_path(0)).read_bytes()


def test_a_second_server_on_the_port_says_what_to_do(review: Review) -> None:
    command = [str(Path(sys.executable).parent / "stt"), "label-studio"]
    second = subprocess.run(command, capture_output=True, text=True, timeout=60, env=dict(os.environ))
    assert second.returncode == 1
    assert "is Label Studio running already?" in second.stderr
