import socket
import struct
from pathlib import Path

import matplotlib.image
import numpy as np
import pytest
from pydantic import ValidationError
from starlette.testclient import TestClient

import stt_platform.definitions  # noqa: F401
from stt_platform.orchestration.scopes import SERMON
from stt_platform.orchestration.stage import stages, stages_of
from stt_platform.pages import app as listening_app
from stt_platform.settings import UiSettings, settings_file
from stt_platform.store.metadata import MetadataStore
from stt_platform.store.stages import current_stage
from stt_platform_tests.helpers import listening_home as fixture

HOST = "http://127.0.0.1:3001"
PNG = b"\x89PNG\r\n\x1a\n"


@pytest.fixture(scope="module")
def home(tmp_path_factory) -> Path:
    return fixture.build_home(tmp_path_factory.mktemp("home"))


@pytest.fixture(scope="module")
def client(home) -> TestClient:
    return TestClient(listening_app.create_app(home), base_url=HOST)


def wav_of(home: Path, stage: str = "standard_audio") -> bytes:
    return (current_stage(home, fixture.SERMON, stage) / "audio.wav").read_bytes()


def png_size(data: bytes) -> tuple[int, int]:
    assert data.startswith(PNG)
    return struct.unpack(">II", data[16:24])


def test_the_list_has_every_sermon_newest_first_with_its_verdict(client):
    sermons = client.get("/api/sermons").json()["sermons"]
    assert [(row["sermon"], row["status"]) for row in sermons] == [
        (fixture.HOSTILE, "rejected"),
        (fixture.WAITING, "waiting"),
        (fixture.UNREADABLE, "rejected"),
        (fixture.SERMON, "accepted"),
        (fixture.SILENT, "rejected"),
    ]
    assert sermons[3] == {
        "sermon": fixture.SERMON,
        "title": "The Lamp and the Oil",
        "speaker": "Ann Preacher",
        "date": "2024-03-10",
        "duration_s": 12.0,
        "split": "train",
        "status": "accepted",
        "reason": None,
    }
    assert sermons[4]["reason"] == fixture.SILENT_REASON


def test_a_sermon_has_its_chunks_in_order_with_words_in_seconds(client):
    sermon = client.get(f"/api/sermon/{fixture.SERMON}").json()
    assert sermon["systems"] == [{"system": fixture.RECOGNISER, "view": "enhanced"}]
    assert sermon["waits_for"] is None
    spans = [(chunk["start_s"], chunk["end_s"], chunk["status"], chunk["reason"]) for chunk in sermon["chunks"]]
    assert spans == [
        (start_s, end_s, "rejected" if reason else "accepted", reason)
        for start_s, end_s, _, reason, _ in fixture.CHUNKS
    ]
    (transcript,) = sermon["chunks"][2]["transcripts"]
    assert (transcript["text"], transcript["view"]) == (" ".join(fixture.CHUNKS[2][4]), "enhanced")
    times = [(word["start_s"], word["end_s"]) for word in transcript["words"]]
    assert times == [fixture.word_times_s(2, position) for position in range(len(fixture.CHUNKS[2][4]))]
    assert [chunk["forced_cut"] for chunk in sermon["chunks"]] == [False, False, True]


def test_a_measurement_that_is_infinite_is_null(client):
    chunks = client.get(f"/api/sermon/{fixture.SERMON}").json()["chunks"]
    assert [chunk["loudness_lufs"] for chunk in chunks] == [-20.5, None, -20.5]


def test_the_views_with_sound_are_named_with_their_version(client, home):
    views = client.get(f"/api/sermon/{fixture.SERMON}").json()["views"]
    folders = [current_stage(home, fixture.SERMON, stage).name for stage in ("standard_audio", "enhanced_audio")]
    assert views == [{"view": view, "version": name} for view, name in zip(fixture.VIEWS, folders, strict=True)]
    silent = client.get(f"/api/sermon/{fixture.SILENT}").json()["views"]
    assert [view["view"] for view in silent] == ["original"]


def test_what_is_heard_and_who_speaks_is_told_in_seconds(client):
    sermon = client.get(f"/api/sermon/{fixture.SERMON}").json()
    found = [(each["start_s"], each["end_s"], each["label"]) for each in sermon["segments"]]
    assert found == list(fixture.SEGMENTS)
    assert [(turn["start_s"], turn["end_s"], turn["speaker"]) for turn in sermon["turns"]] == list(fixture.TURNS)
    assert sermon["enhancement"]["loudness_shortfall_db"] == 4.5


def test_a_chunk_has_its_measures_and_what_others_heard(client):
    chunks = client.get(f"/api/sermon/{fixture.SERMON}").json()["chunks"]
    names = ("snr_db", "wada_snr_db", "vad_snr_db", "clipped_ratio", "bandwidth_hz", "speaker", "speaker_share")
    assert [chunks[1][name] for name in names] == [8.2, 8.2, 9.9, 0.0004, 7000.0, "S2", 0.9]
    judged = [(chunk["text_status"], chunk["mean_cer"], chunk["text_reason"]) for chunk in chunks]
    assert judged == [("reliable", 0.01, None), (None, None, None), ("unsure", 0.14, fixture.UNSURE_REASON)]
    heard = [{other["system"]: other["text"] for other in chunk["heard_by_others"]} for chunk in chunks]
    assert heard == [
        {fixture.SECOND: "the lamp was lit again", "captions": "lamp was lit again"},
        {fixture.HOSTILE_TITLE: fixture.HOSTILE_TITLE},
        {fixture.SECOND: "keep you oil an weight until morning comes", "captions": fixture.CAPTIONS[1][2]},
    ]


def test_captions_that_were_compared_are_shown_once(tmp_path):
    fixture.build_home(tmp_path)
    rows = [
        {"sermon": fixture.SERMON, "chunk_id": fixture.chunk_id(0), "system": system, "text": f"by {system}"}
        for system in ("wav2vec2", "captions")
    ]
    MetadataStore(tmp_path).write("second_opinions", fixture.SERMON, rows)
    client = TestClient(listening_app.create_app(tmp_path), base_url=HOST)
    chunk = client.get(f"/api/sermon/{fixture.SERMON}").json()["chunks"][0]
    assert [other["text"] for other in chunk["heard_by_others"]] == ["by captions", "by wav2vec2"]


@pytest.mark.parametrize(
    ("settings", "wanted_db"),
    [("", 15.0), ("[gates]\nmin_chunk_snr_db = 12.5\n", 12.5), ("this is no TOML", 15.0)],
)
def test_the_limits_are_those_of_the_settings(tmp_path, settings, wanted_db):
    store = MetadataStore(tmp_path)
    row = {"sermon": fixture.WAITING, "title": "W", "date": "2024-03-24", "source": "", "sha256": "", "version": 1}
    store.write("registrations", fixture.WAITING, [row])
    settings_file(tmp_path).write_text(settings, encoding="utf-8")
    client = TestClient(listening_app.create_app(tmp_path), base_url=HOST)
    assert client.get(f"/api/sermon/{fixture.WAITING}").json()["limits"]["min_snr_db"] == wanted_db


def test_the_funnel_of_a_sermon_and_of_all(client):
    one = client.get(f"/api/funnel/{fixture.SERMON}").json()["steps"]
    everything = client.get("/api/funnel").json()["steps"]
    assert [step["seconds_left"] for step in one] == [12.0, 8.5, 6.5, 2.5]
    assert one[0]["seconds_in"] == 12.0
    assert one[2]["losses"] == [{"reason": "too noisy", "seconds": 2.0, "held_back": False}]
    assert one[3]["losses"] == [{"reason": "text to be checked", "seconds": 4.0, "held_back": True}]
    # The silent one came in too, and was lost whole; the waiting one has not been through the gates.
    assert everything[0]["seconds_in"] == 17.0
    assert everything[0]["losses"] == [{"reason": "nobody speaks", "seconds": 5.0, "held_back": False}]
    assert everything[1:] == one[1:]


def test_a_sermon_at_work_has_no_funnel_yet(client):
    assert client.get(f"/api/funnel/{fixture.WAITING}").json() == {"steps": []}


# Nothing waits for captions, and nobody for the check of a text that is there.
WAITED_FOR = [stage for stage in stages_of(SERMON) if stage not in ("captions", "consensus")]


@pytest.mark.parametrize(("done", "next_stage"), [(WAITED_FOR[:n], stage) for n, stage in enumerate(WAITED_FOR)])
def test_a_sermon_not_yet_processed_says_what_it_waits_for(tmp_path, done, next_stage):
    store = MetadataStore(tmp_path)
    row = {"sermon": fixture.WAITING, "title": "W", "date": "2024-03-24", "source": "", "sha256": "", "version": 1}
    store.write("registrations", fixture.WAITING, [row])
    for stage in done:
        fixture.stage(store, fixture.WAITING, stage)
    answer = TestClient(listening_app.create_app(tmp_path), base_url=HOST).get(f"/api/sermon/{fixture.WAITING}").json()
    assert (answer["status"], answer["waits_for"]["stage"], answer["views"]) == ("waiting", next_stage, [])
    assert answer["waits_for"]["text"].endswith((".", "?"))


def test_every_stage_has_words_for_what_it_does():
    wordless = [name for name in stages_of(SERMON) if not stages()[name].waiting_for]
    assert wordless == ["captions"], "nobody waits for captions"


def test_an_empty_home_is_an_empty_list(tmp_path):
    client = TestClient(listening_app.create_app(tmp_path), base_url=HOST)
    assert client.get("/api/sermons").json() == {"sermons": []}
    assert client.get("/api/funnel").json() == {"steps": []}


@pytest.mark.parametrize(
    ("asked", "first", "last"),
    [
        ("bytes=0-99", 0, 99),
        ("bytes=1000-2999", 1000, 2999),
        ("bytes=384000-", 384_000, 384_043),
        ("bytes=-10", 384_034, 384_043),
    ],
)
def test_a_range_of_the_sound_is_exactly_those_bytes(client, home, asked, first, last):
    answer = client.get(f"/audio/{fixture.SERMON}", headers={"range": asked})
    whole = wav_of(home)
    assert answer.status_code == 206
    assert answer.headers["content-range"] == f"bytes {first}-{last}/{len(whole)}"
    assert answer.headers["content-type"] == "audio/wav"
    assert answer.content == whole[first : last + 1]


def test_the_whole_sound_says_that_it_can_be_asked_in_ranges(client, home):
    answer = client.get(f"/audio/{fixture.SERMON}")
    assert (answer.status_code, answer.headers["accept-ranges"]) == (200, "bytes")
    assert answer.content == wav_of(home)


def test_each_view_has_its_own_sound_and_picture(client, home):
    assert client.get(f"/audio/{fixture.SERMON}?view=enhanced").content == wav_of(home, "enhanced_audio")
    assert wav_of(home, "enhanced_audio") != wav_of(home)
    window = f"/spectrogram/{fixture.SERMON}.png?start_s=1&end_s=3&width=100"
    assert png_size(client.get(f"{window}&view=enhanced").content)[0] == 100
    for view in ("music", "training_chunks"):
        assert client.get(f"{window}&view={view}").status_code == 404


def test_a_range_after_the_end_is_refused(client):
    assert client.get(f"/audio/{fixture.SERMON}", headers={"range": "bytes=99999999-"}).status_code == 416


def test_the_spectrogram_of_a_window_is_as_wide_as_asked(client):
    answer = client.get(f"/spectrogram/{fixture.SERMON}.png?start_s=1&end_s=3.5&width=250")
    assert (answer.status_code, answer.headers["content-type"]) == (200, "image/png")
    assert png_size(answer.content)[0] == 250


def test_a_higher_tone_is_drawn_higher(client, tmp_path):
    brightest = []
    for number, (start_s, end_s, *_) in enumerate(fixture.CHUNKS):
        address = f"/spectrogram/{fixture.SERMON}.png?start_s={start_s}&end_s={end_s}&width=100"
        path = tmp_path / f"{number}.png"
        path.write_bytes(client.get(address).content)
        rows = matplotlib.image.imread(path)[..., :3].sum(axis=2).mean(axis=1)
        brightest.append(int(np.argmax(rows)))
    assert brightest[0] > brightest[1] > brightest[2]


def test_the_last_window_may_reach_past_the_end(client):
    answer = client.get(f"/spectrogram/{fixture.SERMON}.png?start_s=10&end_s=20&width=100")
    assert png_size(answer.content)[0] == 100


def test_the_overview_shows_the_whole_sermon(client):
    width = png_size(client.get(f"/overview/{fixture.SERMON}.png?width=100").content)[0]
    assert width == 100


@pytest.mark.parametrize(
    "query",
    [
        "",
        "start_s=0&end_s=1",
        "start_s=0&end_s=1&width=0",
        "start_s=0&end_s=1&width=100000",
        "start_s=0&end_s=1&width=1e3",
        "start_s=0&end_s=1&width=-100",
        "start_s=-1&end_s=1&width=100",
        "start_s=2&end_s=1&width=100",
        "start_s=1&end_s=1&width=100",
        "start_s=0&end_s=100000&width=100",
        "start_s=nan&end_s=1&width=100",
        "start_s=0&end_s=inf&width=100",
        "start_s=a&end_s=1&width=100",
        "start_s=0&end_s=1&width=100&view=../x",
    ],
)
def test_a_window_that_cannot_be_drawn_is_refused_in_words(client, query):
    answer = client.get(f"/spectrogram/{fixture.SERMON}.png?{query}")
    assert answer.status_code == 400
    assert len(answer.json()["error"]) > 20


def test_a_window_after_the_end_is_not_there(client):
    answer = client.get(f"/spectrogram/{fixture.SERMON}.png?start_s=500&end_s=510&width=100")
    assert answer.status_code == 404


HOSTILE_KEYS = [
    "../x",
    "%2e%2e",
    "..%2fx",
    "%2e%2e%2f%2e%2e%2f%2e%2e%2fetc%2fpasswd",
    "..%5cx",
    "2024-03-10--the-lamp-and-the-oil%2f..%2f2024-03-03--silent-sunday",
    "2024-03-10--THE-LAMP",
    "2024-03-10--the-lamp-and-the-oil%00",
    "2024-03-10--the-lamp-and-the-oil%0a",
    "%D9%A2%D9%A0%D9%A2%D9%A4-03-10--x",
    "2024-03-10--" + "a" * 500,
    "'%20or%201=1--x",
    "<script>alert(1)</script>",
]


@pytest.mark.parametrize("key", HOSTILE_KEYS)
@pytest.mark.parametrize(
    "address",
    [
        "/sermon/{}",
        "/api/sermon/{}",
        "/api/funnel/{}",
        "/audio/{}",
        "/spectrogram/{}.png?start_s=0&end_s=1&width=100",
        "/overview/{}.png?width=100",
    ],
)
def test_a_key_that_is_none_is_not_found(client, address, key):
    answer = client.get(address.format(key))
    assert answer.status_code == 404
    assert "root:" not in answer.text
    assert "<script>alert" not in answer.text


@pytest.mark.parametrize(
    "address", ["/sermon/{}", "/api/sermon/{}", "/api/funnel/{}", "/audio/{}", "/overview/{}.png?width=100"]
)
def test_a_sermon_that_the_store_does_not_know_is_not_found(client, address):
    assert client.get(address.format("2024-01-01--nobody-preached")).status_code == 404


def test_the_page_of_an_unknown_sermon_says_so_in_words(client):
    answer = client.get("/sermon/2024-01-01--nobody-preached")
    assert answer.headers["content-type"].startswith("text/html")
    assert "There is no sermon with the key 2024-01-01--nobody-preached." in answer.text
    assert 'href="/"' in answer.text


def test_an_unknown_address_says_so_in_words(client):
    answer = client.get("/nowhere")
    assert answer.status_code == 404
    assert "There is no page at this address." in answer.text


def test_a_hostile_title_is_data_and_never_part_of_a_page(client):
    assert client.get(f"/api/sermon/{fixture.HOSTILE}").json()["title"] == fixture.HOSTILE_TITLE
    for address in ("/", f"/sermon/{fixture.HOSTILE}"):
        assert "attacked" not in client.get(address).text


def test_messages_are_escaped():
    page = listening_app._message_page("<b>", "<script>&", 404).body.decode()
    assert "&lt;b&gt;" in page
    assert "&lt;script&gt;&amp;" in page


@pytest.mark.parametrize(
    "address",
    ["/", f"/sermon/{fixture.SERMON}", "/api/sermons", f"/audio/{fixture.SERMON}", "/static/sermon.js", "/nowhere"],
)
def test_every_answer_carries_the_security_headers(client, address):
    headers = client.get(address).headers
    assert headers["x-content-type-options"] == "nosniff"
    policy = headers["content-security-policy"]
    assert policy.startswith("default-src 'none'")
    assert "unsafe" not in policy
    assert "http" not in policy


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("127.0.0.1:3001", 200),
        ("localhost:3001", 200),
        ("evil.example", 400),
        ("127.0.0.1.evil.example:3001", 400),
        ("", 400),
    ],
)
def test_only_names_of_this_machine_are_answered(client, host, status):
    assert client.get("/api/sermons", headers={"host": host}).status_code == status


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
def test_nothing_can_be_changed(client, method):
    assert client.request(method, "/api/sermons").status_code == 405


def test_a_fault_is_told_in_words_and_without_its_inside(tmp_path):
    broken = tmp_path / "tables" / "registrations" / "2024-03-10--x.parquet"
    broken.parent.mkdir(parents=True)
    broken.write_bytes(b"not parquet")
    client = TestClient(listening_app.create_app(tmp_path), base_url=HOST, raise_server_exceptions=False)
    answer = client.get("/api/sermons")
    assert answer.status_code == 500
    assert answer.json()["error"].startswith("Something went wrong")
    assert "Traceback" not in answer.text
    assert answer.headers["x-content-type-options"] == "nosniff"


def test_the_pages_need_nothing_from_elsewhere():
    folder = Path(listening_app.__file__).parent
    for path in [*folder.glob("pages/*"), *folder.glob("static/*")]:
        text = path.read_text(encoding="utf-8").replace("http://www.w3.org/2000/svg", "")
        assert "//" not in text.replace("// ", ""), path
        assert "innerHTML" not in text, path


@pytest.mark.parametrize("host", ["0.0.0.0", "192.168.1.5", "example.org"])  # noqa: S104
def test_it_is_served_to_this_machine_only(tmp_path, host):
    with pytest.raises(ValueError, match="this machine only"):
        listening_app.serve(tmp_path, host=host, port=0)


def test_a_port_that_is_taken_is_said(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(OSError, match=f"port {port} of 127.0.0.1 cannot be used"):
            listening_app.serve(tmp_path, port=port)


@pytest.mark.parametrize(
    ("ui", "address"),
    [
        ({}, "http://127.0.0.1:3001/sermon/2024-03-10--x"),
        ({"listening_port": 3101}, "http://127.0.0.1:3101/sermon/2024-03-10--x"),
        ({"listening_url": "https://hear.example.org/"}, "https://hear.example.org/sermon/2024-03-10--x"),
    ],
)
def test_addresses_for_links_from_elsewhere(ui, address):
    assert UiSettings(**ui).page_address("sermon/2024-03-10--x") == address


@pytest.mark.parametrize("url", ["hear.example.org", "https://me:secret@hear.example.org", "javascript:alert(1)"])
def test_an_address_that_is_none_is_refused(url):
    with pytest.raises(ValidationError, match="listening_url"):
        UiSettings(listening_url=url)
