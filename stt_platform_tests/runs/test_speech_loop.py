"""The loop by its sensors: from corrections to a recogniser that hears better; real training, real recognition."""

import csv
import json
import shutil
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import dagster as dg
import numpy as np
import pytest
import soundfile as sf
from dagster._core.definitions.partitions.context import partition_loading_context

from stt_platform.definitions import defs
from stt_platform.defs.adapters.speech_set import MANIFEST, METADATA
from stt_platform.defs.recognisers import transcriber
from stt_platform.demo.general_talk import make_talk
from stt_platform.demo.reviewer import REVIEWER
from stt_platform.errors import PlatformError
from stt_platform.orchestration.planning import plan_sermon
from stt_platform.orchestration.platform import Platform
from stt_platform.orchestration.scopes import with_cycle
from stt_platform.settings import load_settings
from stt_platform.store.adapters import made_by
from stt_platform.store.choices import Champion, record_speech_champion, speech_champion
from stt_platform.store.intake import ingest
from stt_platform.store.metadata import MetadataStore
from stt_platform.store.reports import report_page
from stt_platform.store.stages import current_output
from stt_platform.training.adapter_files import check_adapter
from stt_platform_tests.helpers.church_home import make_church_home
from stt_platform_tests.runs.conftest import run_stages

TEACHES = (
    "Letters to a Tired Church",
    "The Man in the Sycamore",
    "No Longer a Slave",
    "Bitter and Full Again",
    "Three Hundred and a Few Jars",
    "The Garden of the Press",
    "The Soldier Who Prayed",
    "Tents and Other Trades",
)
EXAMINES = (
    "A Visitor After Dark",
    "Lame in Both Feet",
    "Gleaning at Evening",
    "The Lamp and the Oil",
    "A Priest Without a Family Tree",
    "Seven Times in the Jordan",
    "Wind in a Closed Room",
    "Noble Readers",
)
LOOP = {
    # Most of the chunks are asked about in the first cycle, some are left for the second.
    "STT_FEEDBACK__SHARE": "0.85",
    "STT_FEEDBACK__QUOTA": "1",
    "STT_LOOP__CORRECTED_SEGMENTS": "6",
    "STT_LOOP__QUIET_MINUTES": "0",
    "STT_INBOX__SETTLE_S": "0",
    "STT_SPEECH_TRAINING__PACKED_SHARE": "1",
    "STT_SPEECH_TRAINING__REPLAY_RATIO": "0.3",
    "STT_SPEECH_TRAINING__EFFECTIVE_BATCH": "4",
}


@dataclass
class Loop:
    """The platform's sensors and what they start, in this process; `said` has the last words of each sensor."""

    home: Path
    instance: dg.DagsterInstance
    known: dict[str, str]
    said: dict[str, str] = field(default_factory=dict)
    cursors: dict[str, str | None] = field(default_factory=dict)
    started: set[str] = field(default_factory=set)

    def tick(self, name: str) -> list[dg.ExecuteInProcessResult]:
        """Let a sensor look once, and run what it asks for."""
        sensor = defs.resolve_sensor_def(name)
        context = dg.build_sensor_context(
            self.instance, cursor=self.cursors.get(name), definitions=defs, resources={"platform": Platform()}
        )
        with partition_loading_context(dynamic_partitions_store=self.instance):
            told = sensor.evaluate_tick(context)
        self.cursors[name], self.said[name] = told.cursor, told.skip_message or ""
        new = [request for request in told.run_requests if request.run_key not in self.started]
        self.started |= {request.run_key for request in new}
        return [self._run(request, sensor) for request in new]

    def _run(self, request: dg.RunRequest, sensor: dg.SensorDefinition) -> dg.ExecuteInProcessResult:
        some = request.asset_selection
        job = defs.resolve_implicit_global_asset_job_def() if some else defs.resolve_job_def(sensor.job_name)
        return job.execute_in_process(instance=self.instance, partition_key=request.partition_key, asset_selection=some)

    def answer(self, cycle: int, *, shuffled: bool = False, and_one_that_examines: str = "") -> None:
        """What the stand-in reviewer does with the list of a cycle: writes what is said in each chunk.

        Or, `shuffled`, what is said in others; and it spoils what was answered before too.
        """
        with (self.home / "review" / f"cycle-{cycle}" / "review.csv").open(encoding="utf-8-sig", newline="") as file:
            asked = [row["chunk_id"] for row in csv.DictReader(file)]
        asked += [and_one_that_examines] if and_one_that_examines else []
        if shuffled:
            asked += [name for name in self.corrected() if name not in asked]
        texts = [self.known[chunk_id] for chunk_id in asked]
        if shuffled:
            texts = texts[len(texts) // 2 :] + texts[: len(texts) // 2]
        folder = self.home / "corrections"
        folder.mkdir(exist_ok=True)
        with (folder / f"cycle-{cycle}.csv").open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["chunk_id", "corrected", "verdict", "reviewer"])
            writer.writerows([name, text, "usable", REVIEWER] for name, text in zip(asked, texts, strict=True))

    def corrected(self) -> list[str]:
        """Chunks that teach with what a person wrote."""
        found = MetadataStore(self.home).query(
            "select distinct chunk_id from corrections where status = 'accepted' order by 1"
        )
        return found["chunk_id"].to_pylist()


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Loop, dg.ExecuteInProcessResult]]:
    """The church after its first cycle, made by the sensors alone, and the run that trained and decided."""
    home = tmp_path_factory.mktemp("church")
    with pytest.MonkeyPatch.context() as patch, dg.DagsterInstance.ephemeral() as instance:
        for name, value in {**LOOP, "STT_HOME": str(home), "STT_LOCK_DIR": str(home / "locks")}.items():
            patch.setenv(name, value)
        for part, folder in (("teaches", "replay"), ("examines", "general")):
            make_talk(part, home / folder)
        sermons = make_church_home(MetadataStore(home), teaches=TEACHES, examines=EXAMINES)
        known = {name: text for each in sermons for name, text in zip(each.chunk_ids, each.texts, strict=True)}
        loop = Loop(home, instance, known)
        assert loop.tick("retrain") == []
        assert loop.said["retrain"] == "cycle 0: nothing has been corrected yet"
        (asked,) = loop.tick("next_cycle")
        assert asked.success
        loop.answer(0, and_one_that_examines=sermons[-1].chunk_ids[0])
        (read,) = loop.tick("new_corrections")
        assert read.success
        (learned,) = loop.tick("retrain")
        assert learned.success
        yield loop, learned


@pytest.fixture
def loop(
    made: tuple[Loop, dg.ExecuteInProcessResult], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Loop]:
    """A copy to go on with, or to spoil."""
    copy = tmp_path / "home"
    shutil.copytree(made[0].home, copy)
    for name, value in {**LOOP, "STT_HOME": str(copy), "STT_LOCK_DIR": str(tmp_path / "locks")}.items():
        monkeypatch.setenv(name, value)
    with dg.DagsterInstance.ephemeral() as instance:
        with_cycle(instance, 0)
        yield replace(made[0], home=copy, instance=instance, cursors=dict(made[0].cursors), started=set())


def metadata(result: dg.ExecuteInProcessResult, asset: str) -> Mapping[str, dg.MetadataValue]:
    (event,) = result.asset_materializations_for_node(asset)
    return event.metadata


def wers(home: Path, cycle: int) -> dict[bool, float]:
    """On the church test: of the base (False) and of the adapter (True)."""
    rows = MetadataStore(home).read("evaluations", f"cycle-{cycle}.speech_evaluation").to_pylist()
    whole = (row for row in rows if (row["set"], row["slice"], row["metric"]) == ("church_test", "all", "wer"))
    return {row["adapter_id"] is not None: row["value"] for row in whole}


def decisions(home: Path) -> list[str]:
    return [row["decision"] for row in MetadataStore(home).query("select * from decisions order by cycle").to_pylist()]


def test_from_corrections_it_hears_sermons_better_that_it_has_not_heard_and_is_promoted(
    made: tuple[Loop, dg.ExecuteInProcessResult],
) -> None:
    loop, result = made
    found = wers(loop.home, 0)
    assert found[True] <= 0.85 * found[False], found
    (compared,) = (
        row
        for row in MetadataStore(loop.home).read("comparisons", "cycle-0.speech_evaluation").to_pylist()
        if (row["set"], row["slice"], row["metric"]) == ("church_test", "all", "wer")
    )
    assert compared["decision"] == "better"
    assert compared["ci_high"] < 0
    checks = {check.check_name: check.passed for check in result.get_asset_check_evaluations()}
    assert checks["test_set_untouched"]
    assert decisions(loop.home) == ["promoted"]
    adapter = made_by(loop.home, "whisper_adapter", "0")
    assert speech_champion(loop.home).adapter_id == adapter.adapter_id
    page = report_page(loop.home, "cycle-0").read_text(encoding="utf-8")
    assert "promoted" in page.lower()


def test_what_was_corrected_teaches_and_what_examines_does_not(
    made: tuple[Loop, dg.ExecuteInProcessResult],
) -> None:
    loop, result = made
    store = MetadataStore(loop.home)
    rows = store.read("corrections", "cycle-0").to_pylist()
    (refused,) = (row for row in rows if row["status"] == "rejected")
    assert "test" in refused["reason"]
    examples = [row for row in store.read("training_examples", "cycle-0").to_pylist() if row["split"] == "train"]
    kinds = Counter(row["source_kind"] for row in examples)
    assert kinds["correction"] == len(rows) - 1 >= 20
    assert kinds["replay"] > 0
    assert refused["chunk_id"] not in {row["example_id"] for row in examples}
    folder = current_output(loop.home, "cycle-0", "speech_training_set").folder
    listed = [json.loads(line) for line in (folder / "train" / METADATA).read_text(encoding="utf-8").splitlines()]
    assert len(listed) == len(examples)
    assert {sf.info(folder / "train" / row["file_name"]).samplerate for row in listed} == {16_000}
    assert any(row["times_s"] for row in listed)
    manifest = json.loads((loop.home / "training" / "speech_training_set-0.json").read_text(encoding="utf-8"))
    corrected_s = sum(row["duration_s"] for row in listed if row["kind"] == "correction")
    assert manifest["hours"]["train"]["correction"] == pytest.approx(corrected_s / 3600, abs=1e-3)
    assert "where the texts come from" in metadata(result, "speech_training_set")


def test_the_adapter_says_where_it_comes_from_and_what_it_looked_like(
    made: tuple[Loop, dg.ExecuteInProcessResult],
) -> None:
    home, result = made[0].home, made[1]
    adapter = made_by(home, "whisper_adapter", "0")
    assert check_adapter(adapter.folder).adapter_id == adapter.adapter_id
    names = {path.relative_to(adapter.folder).as_posix() for path in adapter.folder.rglob("*") if path.is_file()}
    assert {"adapter_config.json", "adapter_model.safetensors", "README.md", "serving/model.bin"} <= names
    teaches = MetadataStore(home).query("select sermon from splits where split = 'train'").to_pylist()
    assert set(adapter.manifest["sermons"]) <= {row["sermon"] for row in teaches}
    assert len(adapter.manifest["sermons"]) == len(TEACHES)
    shown = metadata(result, "whisper_adapter")
    assert "data:image/png" in shown["curves"].value
    assert "decoder" in {row.data["what"] for row in shown["memory plan"].records}
    live = json.loads((home / "training" / "live" / "whisper_adapter-0.json").read_text(encoding="utf-8"))
    assert [step["step"] for step in live["steps"]] == list(range(1, shown["steps"].value + 1))
    assert live["status"] == "done"
    assert not list((home / "checkpoints").rglob("*.safetensors"))
    (row,) = MetadataStore(home).query("select kind, base_model, status from adapters").to_pylist()
    assert row == {"kind": "whisper", "base_model": "whisper-tiny.en", "status": "trained"}


def test_a_cycle_of_spoilt_corrections_is_rejected_and_the_champion_stays(
    loop: Loop, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Once through them is enough to be spoilt.
    monkeypatch.setenv("STT_SPEECH_TRAINING__EPOCHS", "1")
    champion = speech_champion(loop.home).adapter_id
    before = wers(loop.home, 0)[True]
    (asked,) = loop.tick("next_cycle")
    assert asked.success
    loop.answer(1, shuffled=True)
    (read,) = loop.tick("new_corrections")
    assert read.success
    (learned,) = loop.tick("retrain")
    assert learned.success
    spoilt = made_by(loop.home, "whisper_adapter", "1")
    assert spoilt.adapter_id != champion
    assert decisions(loop.home)[0] == "promoted"
    assert decisions(loop.home)[1] in ("kept", "undecided")
    assert speech_champion(loop.home).adapter_id == champion
    assert wers(loop.home, 0)[True] == before
    assert "this cycle" in report_page(loop.home, "cycle-1").read_text(encoding="utf-8").lower()
    assert loop.tick("retrain") == []
    assert "cycle 2" in loop.said["retrain"]


def test_the_champion_transcribes_new_sermons_and_old_ones_when_asked(loop: Loop, talk: Path, tmp_path: Path) -> None:
    home, champion = loop.home, speech_champion(loop.home)
    recording = tmp_path / "2024-03-10 The Talk - Ann Lee.wav"
    shutil.copy(talk, recording)
    (entry,) = ingest(MetadataStore(home), [recording])
    record_speech_champion(home, Champion(None, "none yet"))
    assert run_stages(loop.instance, entry.sermon).success
    by_base = current_output(home, entry.sermon, "transcript")
    record_speech_champion(home, champion)
    assert plan_sermon(home, load_settings(home), entry.sermon) == []
    assert run_stages(loop.instance, entry.sermon).success
    by_adapter = current_output(home, entry.sermon, "transcript")
    assert by_base.shown["system"] == "faster-whisper:whisper-tiny.en@0.1.0"
    assert by_adapter.shown["system"] == f"faster-whisper:whisper-tiny.en@0.1.0+{champion.adapter_id[:12]}"
    assert plan_sermon(home, load_settings(home), entry.sermon) == []
    weights = made_by(home, "whisper_adapter", "0").serving / "model.bin"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(bytes(content))
    with pytest.raises(PlatformError, match=r"serving/model\.bin was changed"):
        transcriber(home, load_settings(home)).system(load_settings(home))


def test_a_sermon_that_was_refused_is_not_done_again_for_a_new_champion(loop: Loop, tmp_path: Path) -> None:
    home, champion = loop.home, speech_champion(loop.home)
    silent = tmp_path / "2024-03-17 Nothing.wav"
    sf.write(silent, np.zeros(160_000), 16_000)
    (entry,) = ingest(MetadataStore(home), [silent])
    record_speech_champion(home, Champion(None, "none yet"))
    assert run_stages(loop.instance, entry.sermon).success
    assert current_output(home, entry.sermon, "transcript").status == "rejected"
    record_speech_champion(home, champion)
    assert plan_sermon(home, load_settings(home), entry.sermon) == []


def test_a_champion_of_another_base_does_not_transcribe(loop: Loop) -> None:
    settings = load_settings(loop.home)
    other = settings.model_copy(
        update={"transcription": settings.transcription.model_copy(update={"model": "distil-large-v3"})}
    )
    found = transcriber(loop.home, other)
    assert found.adapter is None
    assert "the champion was trained on whisper-tiny.en" in found.why


def test_a_clip_that_cannot_be_read_is_left_out_and_named(loop: Loop) -> None:
    def make_the_set() -> dg.ExecuteInProcessResult:
        return defs.resolve_implicit_global_asset_job_def().execute_in_process(
            instance=loop.instance, partition_key="0", asset_selection=[dg.AssetKey("speech_training_set")]
        )

    home = loop.home
    answered = MetadataStore(home).query("select chunk_id from corrections where status = 'accepted' order by 1")
    taught = [next((home / "made").glob(f"*/{row['chunk_id']}.wav")) for row in answered.to_pylist()]
    taught[0].unlink()
    taught[1].write_bytes(b"no sound")
    # The same texts as before: only the sound has changed.
    (current_output(home, "cycle-0", "speech_training_set").folder / MANIFEST).unlink()
    assert make_the_set().success
    folder = current_output(home, "cycle-0", "speech_training_set").folder
    manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    assert set(manifest["unreadable"]) == {path.stem for path in taught[:2]}
    shutil.rmtree(home / "replay")
    for path in (home / "made").glob("*/*.wav"):
        path.unlink()
    with pytest.raises(dg.Failure, match="could be read; the first"):
        make_the_set()
    assert current_output(home, "cycle-0", "speech_training_set").folder == folder


def test_sensors_are_harmless_on_an_empty_instance_and_say_what_is_missing(
    stt_home: Path, instance: dg.DagsterInstance
) -> None:
    empty = Loop(stt_home, instance, {})
    expected = {
        "next_cycle": "no sermon of the train split has been transcribed yet",
        "new_corrections": f"there is nothing in {stt_home / 'corrections'}",
        "retrain": "cycle 0: nothing has been corrected yet",
        "promoted": "no adapter has been promoted yet",
    }
    assert [result for name in expected for result in empty.tick(name)] == []
    assert empty.said == expected
    assert instance.get_dynamic_partitions("cycle") == []


@pytest.mark.prove
@pytest.mark.timeout(3600)
def test_three_cycles_by_sensors_alone_never_make_it_worse(
    made: tuple[Loop, dg.ExecuteInProcessResult], loop: Loop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two more cycles after the first, each of half of what was not corrected yet; the champion's errors never rise."""
    monkeypatch.setenv("STT_FEEDBACK__SHARE", "0.5")
    monkeypatch.setenv("STT_LOOP__CORRECTED_SEGMENTS", "1")
    for cycle in (1, 2):
        (asked,) = loop.tick("next_cycle")
        assert asked.success
        loop.answer(cycle)
        loop.tick("new_corrections")
        (learned,) = loop.tick("retrain")
        assert learned.success
        loop.tick("promoted")
    decided = MetadataStore(loop.home).query("select * from decisions order by cycle").to_pylist()
    assert [row["cycle"] for row in decided] == [0, 1, 2]
    assert "promoted" in [row["decision"] for row in decided]
    champions = [row["champion_after"] for row in decided]
    rows = MetadataStore(loop.home).query(
        "select adapter_id, value from evaluations where \"set\" = 'church_test' and slice = 'all' and metric = 'wer'"
    )
    scored = {row["adapter_id"]: row["value"] for row in rows.to_pylist()}
    served = [scored[None], *(scored[champion] for champion in champions)]
    assert served == sorted(served, reverse=True)
    assert (loop.home / "bundles" / "latest").exists()
