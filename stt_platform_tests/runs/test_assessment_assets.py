"""From chunks to the list that people fill, and from what they wrote to the error rate and the label policy."""

import csv
import io
import json
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import dagster as dg
import jiwer
import pytest
import soundfile as sf

from stt_platform.definitions import defs
from stt_platform.defs.evaluation import views
from stt_platform.defs.evaluation.references import ReferenceData
from stt_platform.defs.evaluation.transcribing import Stretch, Transcribed
from stt_platform.defs.recognisers import SpeechSystem
from stt_platform.evaluation.church_english import normalise_church_english
from stt_platform.orchestration.platform import Platform
from stt_platform.orchestration.running import run_stage
from stt_platform.orchestration.stage import stages
from stt_platform.orchestration.work import Work
from stt_platform.settings import load_settings
from stt_platform.store.choices import label_policy, training_view
from stt_platform.store.intake import Registration
from stt_platform.store.metadata import MetadataStore
from stt_platform_tests.helpers.staging import due, make
from stt_platform_tests.runs.conftest import run_stages

RATE_HZ = 16_000
OVER_ALL = ("sermon_split", "references", "assessment_sample", "baseline_wer")
SYSTEM = "faster-whisper:whisper-tiny.en@0.1.0"
WORDS = "grace and peace to you from God our Father and the Lord Jesus Christ who gave himself for our sins"
SPEAKERS = ("Ann Lee", "Ben Cole")


def key(number: int) -> str:
    return f"2024-01-{number + 1:02}--sermon-{number}"


def chunk_name(sermon: int, chunk: int) -> str:
    return f"{sermon:04x}{chunk:012x}"


def said(sermon: int, chunk: int) -> str:
    return f"{WORDS} in sermon {sermon} part {chunk}"


def heard(sermon: int, chunk: int) -> str:
    """The same with as many wrong words as the number of the sermon, at most five, and no capitals."""
    wrong = said(sermon, chunk).lower().split()
    for place in range(min(sermon, 5)):
        wrong[3 * place] = "mumble"
    return " ".join(wrong)


def add_sermons(store: MetadataStore, numbers: Sequence[int], chunks: int = 6, *, rejected: str | None = None) -> None:
    """Sermons whose first chunk a gate has refused; `chunks` of the others may be drawn. Their rows are one fragment."""
    rows: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for number in numbers:
        sermon = key(number)
        entry = Registration(
            sermon, f"Sermon {number}", SPEAKERS[number % 2], sermon[:10], "a.wav", "0" * 64, 1, "a.wav", "a", True
        )
        folder = store.home / "sermons" / sermon
        folder.mkdir(parents=True)
        (folder / "sermon.json").write_text(json.dumps(asdict(entry)))
        named = ("sermon", "title", "speaker", "date", "source", "sha256", "version")
        rows["registrations"].append({name: getattr(entry, name) for name in named})
        verdict = {"sermon": sermon, "stage": "transcript", "key": "0", "digest": "0"}
        verdict |= {"status": "rejected", "reason": rejected} if rejected else {"status": "accepted"}
        rows["stage_results"].append(verdict)
        for chunk in range(chunks + 1):
            of = {"sermon": sermon, "chunk_id": chunk_name(number, chunk)}
            span = {"start_sample": 10 * chunk * RATE_HZ, "end_sample": (10 * chunk + 8) * RATE_HZ}
            plain = {"silence_ratio": 0.1, "forced_cut": False, "status": "accepted"}
            rows["speech_chunks"].append({**of, **span, **plain})
            rows["training_chunks"] += [_training_chunk(of, chunk, view) for view in ("original", "enhanced")]
            sure = {"avg_logprob": -0.2, "no_speech_prob": 0.0, "compression_ratio": 1.2, "words": [], "decoding": "{}"}
            text = {"system": SYSTEM, "view": "enhanced", "text": heard(number, chunk)}
            rows["transcripts"].append({**of, **text, **sure})
    for table, written in rows.items():
        store.write(table, f"church-{numbers[0]}", written)


def _training_chunk(of: Mapping[str, str], number: int, view: str) -> dict[str, Any]:
    refused = number == 0
    return {
        **of,
        "view": view,
        "snr_db": 10.0 + 3 * number,
        "speaker": "S2" if number == 5 else "S1",
        "status": "rejected" if refused else "accepted",
        "reason": "too noisy" if refused else None,
        "path": None if refused else f"sermons/{of['sermon']}/training_chunks/{of['chunk_id']}.{view}.flac",
    }


@pytest.fixture
def church(store: MetadataStore) -> MetadataStore:
    """Eight sermons of six chunks by two speakers, one of them kept for the end, and a rejected one."""
    add_sermons(store, range(8))
    add_sermons(store, [20], rejected="this recording is noise")
    pins = [f"{key(number)},{'final' if number == 7 else 'train'}" for number in range(8)]
    (store.home / "splits").mkdir()
    (store.home / "splits" / "pinned.csv").write_text("\n".join(["sermon,split", *pins]))
    (store.home / "settings.toml").write_text("[assessment]\nsegments = 30\n")
    return store


def look_at_all(instance: dg.DagsterInstance) -> dg.ExecuteInProcessResult:
    """What follows the sermons, but for the funnel."""
    return defs.resolve_job_def("after_sermons").execute_in_process(
        instance=instance, asset_selection=[dg.AssetKey(name) for name in OVER_ALL]
    )


def shown(result: dg.ExecuteInProcessResult, asset: str) -> Mapping[str, Any]:
    (event,) = result.asset_materializations_for_node(asset)
    return {name: value.value for name, value in event.metadata.items()}


def listed(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(path.read_text(encoding="utf-8-sig"))))


def fill(path: Path, texts: Mapping[str, str], *, to: Path | None = None, delimiter: str = ",") -> Path:
    """Write texts into a list, as a spreadsheet program does."""
    rows = listed(path)
    target = to or path
    target.parent.mkdir(parents=True, exist_ok=True)
    with target.open("w", encoding="utf-8-sig", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]), delimiter=delimiter)
        writer.writeheader()
        writer.writerows({**row, "manual_text": texts.get(row["chunk_id"], "")} for row in rows)
    return target


def _written(sermon: int, chunk: int) -> dict[str, Any]:
    """A row of `references`."""
    row = {"sermon": key(sermon), "chunk_id": chunk_name(sermon, chunk), "text": said(sermon, chunk)}
    return {**row, "source": "ann.csv", "status": "accepted"}


def truth(rows: Sequence[Mapping[str, str]]) -> dict[str, str]:
    """What was said in the chunks of a list."""
    names = (row["chunk_id"] for row in rows)
    return {name: said(int(name[:4], 16), int(name[4:], 16)) for name in names}


def number(store: MetadataStore, metric: str, slice_: str = "all") -> Mapping[str, Any]:
    sql = "select * from evaluations where metric = ? and slice = ? and evaluation_id like 'baseline%'"
    (row,) = store.query(sql, [metric, slice_]).to_pylist()
    return row


def test_a_list_is_drawn_and_handed_out(church: MetadataStore, instance: dg.DagsterInstance) -> None:
    result = look_at_all(instance)
    rows = church.query("select * from assessment_sample").to_pylist()
    assert len(rows) == 30
    assert {row["sermon"] for row in rows} == {key(number) for number in range(7)}
    assert {row["noise"] for row in rows} == {"noisy", "middle", "clean"}
    assert {row["speaker"] for row in rows} == {*SPEAKERS, "another speaker"}
    assert not any(row["chunk_id"].endswith("0" * 12) for row in rows), "a refused chunk was drawn"
    csv_rows = listed(church.home / "assessment" / "assessment_sample.csv")
    lines = (church.home / "assessment" / "assessment_sample.jsonl").read_text().splitlines()
    assert [row["chunk_id"] for row in csv_rows] == sorted(row["chunk_id"] for row in rows)
    assert [json.loads(line)["chunk_id"] for line in lines] == [row["chunk_id"] for row in csv_rows]
    assert csv_rows[0]["audio"].startswith(str(church.home / "sermons" / key(0) / "training_chunks"))
    for row in csv_rows:
        assert row["manual_text"] == "" and "mumble" not in str(row)
    seen = shown(result, "assessment_sample")
    assert seen["picture"].startswith("![what was drawn, beside all that there is](data:image/png;base64,")
    assert "30 of 30 chunks are still to be transcribed" in seen["what to do next"]
    assert str(church.home / "assessment" / "assessment_sample.csv") in seen["what to do next"]
    strata = [record.data for record in seen["by sermon, noise and speaker"].records]
    assert sum(row["may be drawn"] for row in strata) == 7 * 6
    assert sum(row["drawn"] for row in strata) == 30
    (check,) = [c for c in result.get_asset_check_evaluations() if c.check_name == "nothing_final_is_drawn"]
    assert check.passed


def test_without_transcripts_there_is_no_number_but_what_to_do(
    church: MetadataStore, instance: dg.DagsterInstance
) -> None:
    seen = shown(look_at_all(instance), "baseline_wer")
    assert "assessment_sample" in seen["what to do next"]
    assert seen["texts scored"] == 0
    assert not any("WER" in name for name in seen)
    assert church.query("select * from evaluations").num_rows == 0
    assert label_policy(church.home, "measured").policy == "drop_worst"
    assert "default" in seen["why this policy"]


def test_nothing_changed_is_nothing_to_do(church: MetadataStore, instance: dg.DagsterInstance) -> None:
    look_at_all(instance)
    settings = load_settings()
    assert due(church.home, settings, OVER_ALL) == []
    again = look_at_all(instance)
    assert shown(again, "assessment_sample")["was already up to date"]
    assert shown(again, "baseline_wer")["was already up to date"]
    assert due(church.home, settings, OVER_ALL) == []
    assert due(church.home, settings, ["baseline_wer"]) == []
    assert due(church.home, load_settings(), ["baseline_wer"]) == []
    (church.home / "assessment" / "assessment_sample.csv").unlink()
    look_at_all(instance)
    assert len(listed(church.home / "assessment" / "assessment_sample.csv")) == 30


@pytest.mark.parametrize("where", ["in place", "references"])
def test_what_comes_back_is_scored(church: MetadataStore, instance: dg.DagsterInstance, where: str) -> None:
    look_at_all(instance)
    path = church.home / "assessment" / "assessment_sample.csv"
    sample = [row["chunk_id"] for row in listed(path)]
    texts = truth(listed(path))
    silent, unsaid = sample[3], sample[-1]
    texts |= {silent: "[No speech]", unsaid: ""}
    assert due(church.home, load_settings(), OVER_ALL) == []
    filled = fill(
        path, texts, to=None if where == "in place" else church.home / "references" / "ann.csv", delimiter=";"
    )
    bytes_before = filled.read_bytes()
    assert due(church.home, load_settings(), OVER_ALL) == ["references", "assessment_sample", "baseline_wer"]
    result = look_at_all(instance)

    pairs = {name: (text, heard(int(name[:4], 16), int(name[4:], 16))) for name, text in texts.items()}
    spoken = [pair for name, pair in pairs.items() if name not in (silent, unsaid)]
    normalised = [[normalise_church_english(text) for text in side] for side in zip(*spoken, strict=True)]
    assert number(church, "wer")["value"] == pytest.approx(jiwer.wer(*normalised), abs=1e-12)
    assert number(church, "raw_wer")["value"] == pytest.approx(
        jiwer.wer(*map(list, zip(*spoken, strict=True))), abs=1e-12
    )
    assert number(church, "cer")["value"] == pytest.approx(jiwer.cer(*normalised), abs=1e-12)
    assert number(church, "wer")["n"] == 7
    assert number(church, "raw_wer")["value"] > number(church, "wer")["value"] > 0
    assert number(church, "substitution_rate")["value"] == pytest.approx(number(church, "wer")["value"])
    assert number(church, "deletion_rate")["value"] == number(church, "insertion_rate")["value"] == 0
    assert 0 < number(church, "name_f1")["value"] < 1
    assert number(church, "reference_f1")["value"] is None
    assert "no reference is in the texts" in number(church, "reference_f1")["reason"]
    words = len(normalise_church_english(pairs[silent][1]).split())
    assert number(church, "hallucinated_words_per_min")["value"] == pytest.approx(words / 8 * 60)
    assert number(church, "wer", "noise: noisy")["value"] > 0
    assert number(church, "wer", "speaker: another speaker")["n"] > 0

    statuses = church.query("select status, count(*) as n from evaluation_rows group by 1 order by 1").to_pylist()
    assert statuses == [{"status": "no speech", "n": 1}, {"status": "scored", "n": 28}]
    assert {row["sermon"] for row in church.query("select sermon from assessment_sample").to_pylist()} == set(
        map(key, range(7))
    )
    assert sorted(church.query("select chunk_id from assessment_sample")["chunk_id"].to_pylist()) == sorted(sample)
    assert filled.read_bytes() == bytes_before, "what people wrote was overwritten"
    if where == "references":
        assert [row["chunk_id"] for row in listed(path)] == [unsaid], "the list is not what is still to be done"
    seen = shown(result, "baseline_wer")
    assert seen["picture"].startswith("![the error rate over the bands](data:image/png;base64,")
    assert "lie in" in seen["verdict"] or "lies in" in seen["verdict"]
    assert json.loads((church.home / "choices" / "label_policy.json").read_text())["why"] == seen["verdict"]
    assert shown(result, "references")["of chunks without speech"] == 1
    assert shown(result, "assessment_sample")["transcribed"] == 29


def test_a_sermon_that_comes_later_takes_nothing_from_what_was_begun(
    church: MetadataStore, instance: dg.DagsterInstance
) -> None:
    look_at_all(instance)
    folder = church.home / "assessment"
    first = listed(folder / "assessment_sample.csv")
    done = truth(first[:20])
    written = fill(folder / "assessment_sample.csv", done).read_bytes()
    add_sermons(church, [10], chunks=40)
    result = look_at_all(instance)
    sample = set(church.query("select chunk_id from assessment_sample")["chunk_id"].to_pylist())
    assert len(sample) == 30
    assert set(done) <= sample
    assert (folder / "assessment_sample.csv").read_bytes() == written
    more = {row["chunk_id"] for row in listed(folder / "assessment_sample-2.csv")}
    assert more == sample - {row["chunk_id"] for row in first}
    assert all(name.startswith("000a") for name in more) and more
    assert shown(result, "assessment_sample")["still to be transcribed"] == 10
    # A sermon of the list is kept for the end from now on: what people wrote of it waits there.
    (church.home / "splits" / "pinned.csv").write_text(f"sermon,split\n{key(7)},final\n{key(0)},final\n")
    look_at_all(instance)
    opened = church.query(
        "select row_id from evaluation_rows where group_id in (?, ?) union all "
        "select chunk_id from assessment_sample where sermon in (?, ?)",
        [key(7), key(0)] * 2,
    )
    assert opened.num_rows == 0
    assert church.query("select * from evaluation_rows").num_rows == len([n for n in done if not n.startswith("0000")])


def test_each_row_that_comes_back_is_accepted_or_says_why_not(church: MetadataStore) -> None:
    sermon, other = key(1), key(2)
    names = [chunk_name(1, chunk) for chunk in range(7)]
    (church.home / "references").mkdir()
    (church.home / "references" / "ann.csv").write_text(
        "chunk_id,sermon,manual_text\n"
        f"{names[1]},,one\n"
        f"{names[2]},,two\n"
        f"{names[1]},,one again\n"
        "0123456789abcdef,,nobody\n"
        f"fedcba9876543210,{sermon},cut anew\n"
        f"{names[3]},{other},wrong sermon\n"
        f"{names[4]},,\n"
        f"'{names[5]},,[no speech]\n"
    )
    (church.home / "references" / "zoe.jsonl").write_text(json.dumps({"chunk_id": names[2], "text": "two too"}))
    (church.home / "references" / "list.xlsx").write_bytes(b"PK")
    (church.home / "assessment").mkdir()
    (church.home / "assessment" / "assessment_sample.jsonl").write_text(
        json.dumps({"chunk_id": names[2], "manual_text": "two three"}) + "\n"
        f"{json.dumps({'chunk_id': names[6], 'manual_text': 'six'})}\n"
    )
    (church.home / "sermons" / other / "references").mkdir()
    (church.home / "sermons" / other / "references" / "reference.txt").write_text("All that was said.")
    (church.home / "references" / f"{other}.txt").write_text("All, but later.")
    found = make(church.home, "references").data_as(ReferenceData)
    rows = church.query('select * from "references" order by source, chunk_id, text').to_pylist()
    accepted = {(row["source"], row["chunk_id"], row["text"]) for row in rows if row["status"] == "accepted"}
    assert accepted == {
        ("ann.csv", names[1], "one"),
        ("ann.csv", names[2], "two"),
        ("ann.csv", names[5], ""),
        ("assessment/assessment_sample.jsonl", names[6], "six"),
        ("reference.txt", None, "All that was said."),
    }
    reasons = {(row["source"], row["chunk_id"]): row["reason"] for row in rows if row["status"] == "rejected"}
    assert reasons == {
        ("ann.csv", names[1]): (
            f"line 4: chunk {names[1]} was transcribed in line 2 of ann.csv already; that text is used, remove one of the two"
        ),
        ("ann.csv", "0123456789abcdef"): (
            "line 5: no sermon has a chunk 0123456789abcdef; copy its chunk_id from the list, or it was cut anew since"
        ),
        ("ann.csv", "fedcba9876543210"): (
            f"line 6: {sermon} has no chunk fedcba9876543210; it may have been cut anew since"
        ),
        ("ann.csv", names[3]): f"line 7: {other} has no chunk {names[3]}; it may have been cut anew since",
        ("zoe.jsonl", names[2]): (
            f"line 1: chunk {names[2]} was transcribed in line 3 of ann.csv already; that text is used, remove one of the two"
        ),
        ("assessment/assessment_sample.jsonl", names[2]): (
            f"line 1: chunk {names[2]} was transcribed in line 3 of ann.csv already; that text is used, remove one of the two"
        ),
        ("list.xlsx", None): "list.xlsx: '.xlsx' is no list of texts; save it as “CSV UTF-8” or as .jsonl",
        (f"{other}.txt", None): (
            f"line 1: the whole of {other} was transcribed in line 1 of reference.txt already; that text is used, remove "
            "one of the two"
        ),
    }
    assert found == ReferenceData(files=6, accepted=5, of_chunks=4, of_chunks_without_speech=1, rejected=8, sermons=2)


def test_what_cannot_be_scored_says_why_and_counts_nowhere(church: MetadataStore, instance: dg.DagsterInstance) -> None:
    church.write(
        "transcripts",
        "church-0",
        [
            {**row, "text": "lalala " * 10_000 if row["chunk_id"] == chunk_name(4, 1) else row["text"]}
            for row in church.read("transcripts", "church-0").to_pylist()
            if row["chunk_id"] != chunk_name(3, 2)
        ],
    )
    (church.home / "references").mkdir()
    written = {
        **{chunk_name(number, 1): said(number, 1) for number in range(4)},
        chunk_name(4, 1): said(4, 1),
        chunk_name(3, 2): said(3, 2),
        chunk_name(2, 2): "... !",
        chunk_name(1, 0): said(1, 0),
        chunk_name(20, 1): said(20, 1),
        chunk_name(7, 1): said(7, 1),
    }
    lines = [json.dumps({"chunk_id": name, "text": text}) for name, text in written.items()]
    (church.home / "references" / "ann.jsonl").write_text("\n".join(lines))
    # One whole sermon, and one of which a chunk was written too.
    for sermon in (key(5), key(3)):
        words = " ".join(said(int(sermon[-1]), chunk) for chunk in range(7))
        (church.home / "references" / f"{sermon}.txt").write_text(words)
    result = look_at_all(instance)
    rows = {row["row_id"]: row for row in church.query("select * from evaluation_rows").to_pylist()}
    reasons = {name: row["reason"] for name, row in rows.items() if row["status"] == "not scored"}
    assert reasons == {
        chunk_name(3, 2): "there is no transcript of it in the view that is transcribed",
        chunk_name(2, 2): "the reference '... !' holds no word once normalised",
        chunk_name(1, 0): "its chunk is set aside: too noisy",
        chunk_name(20, 1): "its sermon is rejected: this recording is noise",
    }
    assert all(rows[name]["errors"] is None for name in reasons)
    assert rows[chunk_name(4, 1)]["errors"] > 9_900
    whole = rows[key(5)]
    assert whole["slice"] == "text of: whole sermon"
    # The chunk that a gate refused was spoken, and is missing from the labels.
    expected = [
        normalise_church_english(text) for text in (whole["reference"], " ".join(heard(5, k) for k in range(1, 7)))
    ]
    assert whole["errors"] / whole["words"] == pytest.approx(jiwer.wer(*expected))
    assert key(3) not in rows and chunk_name(7, 1) not in rows
    assert number(church, "wer")["n"] == 6
    seen = shown(result, "baseline_wer")
    assert "counts as missing" in seen["whole sermons"]
    assert {record.data["text"]: record.data["reason"] for record in seen["not scored"].records} == reasons
    (check,) = [c for c in result.get_asset_check_evaluations() if c.check_name == "every_transcript_is_scored"]
    assert not check.passed


@pytest.mark.parametrize(
    ("per_chunk", "policy"),
    [
        ((1, 1, 1, 1, 1, 1), "confidence_filter"),
        ((1, 9, 1, 1, 1, 1), "transcribe_again"),
    ],
)
def test_the_band_of_the_whole_interval_chooses_the_policy(
    church: MetadataStore, per_chunk: tuple[int, ...], policy: str
) -> None:
    """Of some 20 words as many are wrong; in the last case one sermon is so bad that the interval reaches far."""
    rows = church.read("transcripts", "church-0").to_pylist()
    for row in rows:
        sermon, chunk = int(row["chunk_id"][:4], 16), int(row["chunk_id"][4:], 16)
        words = said(sermon, chunk).split()
        wrong = per_chunk[sermon] if sermon < 6 else 0
        row["text"] = " ".join(["mumble"] * wrong + words[wrong:])
    church.write("transcripts", "church-0", rows)
    church.write("splits", "all", [{"sermon": key(k), "split": "train", "pinned": False} for k in range(6)])
    texts = [(number, chunk) for number in range(6) for chunk in range(1, 6)]
    church.write("references", "ann", [_written(*text) for text in texts])
    platform = Platform()
    for name in ("assessment_sample", "baseline_wer"):
        output, _ = run_stage(stages()[name], platform, print)
    assert label_policy(church.home, "measured").policy == policy
    assert label_policy(church.home, "measured").why == output.shown["verdict"]
    assert label_policy(church.home, "drop_worst").why.startswith("set by hand")
    church.remove("ann", "references")
    for name in ("assessment_sample", "baseline_wer"):
        run_stage(stages()[name], platform, print)
    assert label_policy(church.home, "measured").why.startswith("the default")


def hears(rate_of: Mapping[str, int], calls: list[str]) -> Callable[..., dict[str, Transcribed]]:
    """A stand-in for the recogniser: of each chunk so many words are wrong, by its view. The words differ in every view."""

    def transcribe(work: Work, system: SpeechSystem, stretches: Sequence[Stretch]) -> dict[str, Transcribed]:
        (view,) = {each.path.parts[-2] for each in stretches} or {""}
        found = {}
        for each in stretches:
            calls.append(each.row_id)
            sermon, chunk = int(each.row_id[:4], 16), int(each.row_id[4:], 16)
            assert (each.start_sample, each.end_sample) == (10 * chunk * RATE_HZ, (10 * chunk + 8) * RATE_HZ)
            words = said(sermon, chunk).split()
            wrong = rate_of[view] + sermon % 2
            found[each.row_id] = Transcribed(" ".join(["mumble"] * wrong + words[wrong:]), "", 8.0, 0.1)
        lost = next(iter(found), None)
        if lost and view == "enhanced_audio":
            found[lost] = Transcribed(None, "the sound is gone", None, 0.0)
        return found

    return transcribe


@pytest.mark.parametrize(
    ("sermons", "rate_of", "view"),
    [
        (7, {"standard_audio": 2, "enhanced_audio": 4}, "original"),
        (7, {"standard_audio": 4, "enhanced_audio": 2}, "enhanced"),
        (7, {"standard_audio": 3, "enhanced_audio": 3}, None),
        (4, {"standard_audio": 1, "enhanced_audio": 9}, None),
    ],
)
def test_the_view_that_is_heard_better_is_recorded_where_that_is_sure(
    church: MetadataStore, monkeypatch: pytest.MonkeyPatch, sermons: int, rate_of: Mapping[str, int], view: str | None
) -> None:
    calls: list[str] = []
    monkeypatch.setattr(views, "transcribe", hears(rate_of, calls))
    texts = [(number, chunk) for number in range(sermons) for chunk in (1, 2, 3)]
    church.write("references", "ann", [_written(*text) for text in texts])
    church.write("splits", "all", [{"sermon": key(k), "split": "train", "pinned": False} for k in range(7)])
    # One chunk has music in its original sound, so it is used in the enhanced view only.
    music = chunk_name(0, 2)
    training = church.read("training_chunks", "church-0").to_pylist()
    for row in training:
        if (row["chunk_id"], row["view"]) == (music, "original"):
            row |= {"status": "rejected", "reason": "music under the speech", "path": None}
    church.write("training_chunks", "church-0", training)
    platform = Platform()
    run_stage(stages()["assessment_sample"], platform, print)
    output, _ = run_stage(stages()["view_comparison"], platform, print)

    row = church.query("select * from comparisons where metric = 'wer'").to_pylist()[0]
    assert (row["slice"], row["n"]) == ("view: enhanced", sermons)
    assert row["compared_with"] == f"{row['system']}, original"
    assert row["decision"] == {"original": "worse", "enhanced": "better", None: "undecided"}[view]
    rates = {r["slice"]: r["value"] for r in church.query("select * from evaluations where metric = 'wer'").to_pylist()}
    assert rates["view: enhanced"] - rates["view: original"] == pytest.approx(row["difference"])
    assert len(calls) == 2 * (len(texts) - 1) and music not in calls
    lost = church.query("select distinct row_id, reason from evaluation_rows where status = 'not scored'").to_pylist()
    assert {each["row_id"]: each["reason"] for each in lost} == {
        music: "there is nothing of it to hear in both views: music under the speech",
        calls[0]: "the sound is gone",
    }
    chosen = training_view(church.home, "measured")
    assert chosen.view == (view or "enhanced")
    (check,) = views._check_view(platform, output)
    assert check.passed
    if view is None:
        assert not (church.home / "choices" / "training_view.json").exists()
        assert "it stays at enhanced" in output.shown["verdict"]
        return
    assert "points of WER" in chosen.why
    # The enhanced one is used as long as there is no comparison.
    assert ("transcribes anew" in output.shown["verdict"]) == (view == "original")
    monkeypatch.setenv("STT_TRAINING_VIEW", "original" if view == "enhanced" else "enhanced")
    (check,) = views._check_view(platform, output)
    assert not check.passed
    # What is transcribed anew since the choice does not ask for another comparison.
    monkeypatch.delenv("STT_TRAINING_VIEW")
    heard_anew = [{**row, "view": view, "text": "other"} for row in church.read("transcripts", "church-0").to_pylist()]
    church.write("transcripts", "church-0", heard_anew)
    assert due(church.home, load_settings(), ["view_comparison"]) == []


def test_without_transcripts_no_view_is_compared(church: MetadataStore) -> None:
    platform = Platform()
    run_stage(stages()["assessment_sample"], platform, print)
    output, _ = run_stage(stages()["view_comparison"], platform, print)
    assert output.shown["verdict"].startswith("undecided, nothing could be compared; it stays at enhanced")
    assert church.query("select * from comparisons").num_rows == church.query("select * from evaluations").num_rows == 0


def test_a_recording_is_assessed_by_real_recognition(
    store: MetadataStore, ingested: str, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A talk of 30 s: heard, handed out, given back with the text of the recogniser itself, heard again in both views."""
    (store.home / "splits").mkdir()
    (store.home / "splits" / "pinned.csv").write_text(f"sermon,split\n{ingested},train\n")
    run_stages(instance, ingested)
    look_at_all(instance)
    path = store.home / "assessment" / "assessment_sample.csv"
    rows = listed(path)
    assert rows
    for row in rows:
        assert sf.info(row["audio"]).duration == pytest.approx(float(row["duration_s"]))
    automatic = {
        row["chunk_id"]: row["text"] for row in store.query("select chunk_id, text from transcripts").to_pylist()
    }
    fill(path, {row["chunk_id"]: automatic[row["chunk_id"]] for row in rows})
    look_at_all(instance)
    assert number(store, "wer")["value"] == number(store, "raw_wer")["value"] == 0
    assert "an interval needs 3" in number(store, "wer")["reason"]
    assert label_policy(store.home, "measured").policy == "drop_worst"

    output, _ = run_stage(stages()["view_comparison"], Platform(), print)
    used = training_view(store.home, "measured").view
    rates = {
        r["slice"]: r["value"]
        for r in store.query("select * from evaluations where metric = 'wer' and slice like 'view%'").to_pylist()
    }
    assert set(rates) == {"view: original", "view: enhanced"}
    assert rates[f"view: {used}"] == 0, "what is heard now is not what was transcribed"
    (row,) = store.query("select * from comparisons where metric = 'wer'").to_pylist()
    assert (row["decision"], row["n"]) == ("undecided", 1)
    assert "6 sermons are needed" in output.shown["verdict"]
    with dg.DagsterInstance.ephemeral() as other:
        result = defs.resolve_implicit_global_asset_job_def().execute_in_process(
            instance=other, asset_selection=[dg.AssetKey("view_comparison")]
        )
    seen = shown(result, "view_comparison")
    assert seen["was already up to date"]
    assert seen["view in use"] == used
