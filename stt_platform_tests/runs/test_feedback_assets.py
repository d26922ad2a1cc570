"""A cycle of the loop on a small home: what is asked about, what is never asked about, and what the page of it says."""

import csv
import json
import shutil
from collections import Counter
from collections.abc import Iterator
from math import ceil
from pathlib import Path

import dagster as dg
import pytest

from stt_platform.definitions import defs
from stt_platform.defs.evaluation.frozen_test_set import church_test_file
from stt_platform.defs.feedback.corrections import corrections
from stt_platform.defs.feedback.cycle_facts import loop_convergence, read_cycle
from stt_platform.defs.feedback.cycle_report import cycle_report
from stt_platform.defs.feedback.flagged import check_list, flagged_segments
from stt_platform.evaluation.church_test import ChurchTest
from stt_platform.orchestration.platform import Platform
from stt_platform.orchestration.scopes import with_cycle
from stt_platform.orchestration.stage import Stage
from stt_platform.settings import load_settings
from stt_platform.store.metadata import MetadataStore
from stt_platform.store.reports import report_cards, report_page
from stt_platform.store.stages import current_output
from stt_platform_tests.helpers.feedback_home import (
    CHUNK_S,
    GAP_S,
    adapter_of,
    decide,
    make_feedback_home,
    measure_cycle,
    sermon_keys,
)
from stt_platform_tests.helpers.staging import due

FIRST, *_ = sermon_keys()
TEACHING = [sermon for sermon, split in sermon_keys().items() if split == "train"]
EXAMINING = [sermon for sermon, split in sermon_keys().items() if split != "train"]
DOUBTED = f"{TEACHING[3]}-00"
UNUSABLE = 1


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Two cycles: a list is made, answered by somebody who knows what was said, measured, and decided; then the next list."""
    home = tmp_path_factory.mktemp("loop")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("STT_HOME", str(home))
        patch.setenv("STT_LOCK_DIR", str(home / "locks"))
        store, said = make_feedback_home(home)
        write_live(home)
        assert make(flagged_segments, 0).success
        answer(home, 0, said)
        assert make(corrections, 0).success
        adapter_id = adapter_of(home, 0)
        measure_cycle(store, 0, {None: 20, adapter_id: 12})
        decide(store, 0, adapter_id, "promoted", adapter_id)
        assert make(cycle_report, 0).success
        assert make(flagged_segments, 1).success
        yield home


@pytest.fixture
def home(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy to change."""
    copy = tmp_path / "home"
    shutil.copytree(made, copy)
    monkeypatch.setenv("STT_HOME", str(copy))
    monkeypatch.setenv("STT_LOCK_DIR", str(tmp_path / "locks"))
    return copy


def make(stage: Stage, cycle: int) -> dg.ExecuteInProcessResult:
    with dg.DagsterInstance.ephemeral() as instance:
        return defs.resolve_implicit_global_asset_job_def().execute_in_process(
            instance=instance, partition_key=with_cycle(instance, cycle), asset_selection=[dg.AssetKey(stage.name)]
        )


def seen(stage: Stage, cycle: int) -> dict:
    (event,) = make(stage, cycle).asset_materializations_for_node(stage.name)
    return {name: value.value for name, value in event.metadata.items()}


def write_live(home: Path) -> None:
    """What was live: a chunk in doubt, one of a sermon that examines, a recording nobody has, music, and rubbish."""
    folder = home / "live" / "2024-03"
    folder.mkdir(parents=True)
    sure = {"text": "we then came down", "confidence": 0.95}
    rows = [
        {"audio": f"/Users/live/{TEACHING[3]}.wav", "start": 0.2, "end": 4.0, "text": "wheat den", "confidence": 0.05},
        {"audio": f"/Users/live/{TEACHING[3]}.wav", "start": 4.0, "end": 7.8, "text": "game town", "confidence": 0.05},
        {"audio": "2024-02-05 The Boat - John Ford.wav", "start": CHUNK_S + GAP_S, "end": CHUNK_S + GAP_S + 5, **sure},
        {"audio": f"{EXAMINING[1]}.wav", "start": 0.0, "end": 8.0, "text": "wheat den", "confidence": 0.01},
        {"audio": "2024-03-03 Morning.wav", "start": 0.0, "end": 8.0, **sure},
        {"audio": f"{FIRST}.wav", "start": CHUNK_S + 0.1, "end": CHUNK_S + GAP_S - 0.1, **sure},
    ]
    lines = [json.dumps(row) for row in rows] + ["{half a li"]
    (folder / "sunday.jsonl").write_text("\n".join(lines), encoding="utf-8")
    (home / "live" / "notes.jsonl").write_bytes(b"PK\x03\x04 saved as a spreadsheet")


def answer(home: Path, cycle: int, said: dict[str, str]) -> None:
    """Fill in the list of a cycle: the truth, twelve seconds for each; the last one cannot be used."""
    with (home / "review" / f"cycle-{cycle}" / "review.csv").open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        row |= {"corrected": said[row["chunk_id"]], "verdict": "ok", "reviewer": "Ann", "spent_s": "12"}
    rows[-1]["verdict"] = "unusable"
    (home / "corrections").mkdir(exist_ok=True)
    with (home / "corrections" / f"from-ann-{cycle}.csv").open("w", encoding="utf-8-sig", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def rows_of(home: Path, cycle: int, status: str | None = None) -> list[dict]:
    rows = MetadataStore(home).read("flagged_segments", f"cycle-{cycle}").to_pylist()
    return [row for row in rows if status in (None, row["status"])]


def excluded(home: Path, cycle: int) -> dict[str, str]:
    return {row["chunk_id"] or row["place"]: row["reason"] for row in rows_of(home, cycle, "excluded")}


def settings(home: Path, **values: float) -> None:
    lines = "".join(f"{name} = {value}\n" for name, value in values.items())
    (home / "settings.toml").write_text(f"[feedback]\n{lines}", encoding="utf-8")


def test_a_tenth_is_asked_about_in_one_order_with_what_a_reviewer_needs(made: Path) -> None:
    pool = len(TEACHING) * 20 - 3
    flagged = rows_of(made, 0, "flagged")
    assert len(flagged) == ceil(0.10 * pool)
    assert [row["rank"] for row in flagged] == list(range(1, len(flagged) + 1))
    assert {row["sermon"] for row in flagged} <= set(TEACHING)
    assert Counter(row["why"] for row in flagged)["random"] == ceil(0.15 * len(flagged))
    assert all(row["text"] and row["reason"] and row["system"] and (made / row["path"]).is_file() for row in flagged)
    assert all(row["features"]["words"] == 20 for row in flagged)
    assert all(row["confidence"] is None and row["expected_errors"] is None for row in flagged)
    # Half of the list is half of the random ones, one more or less.
    half = flagged[: len(flagged) // 2]
    assert abs(sum(row["why"] == "random" for row in half) - 0.5 * ceil(0.15 * len(flagged))) <= 1


def test_the_ranked_are_the_doubtful_of_all_sermons_and_no_sermon_has_more_than_its_quota(made: Path) -> None:
    ranked = [row for row in rows_of(made, 0, "flagged") if row["why"] == "ranked"]
    assert all(int(row["chunk_id"][-2:]) >= 10 for row in ranked)
    per_sermon = Counter(row["sermon"] for row in rows_of(made, 0, "flagged") if row["why"] != "random")
    assert max(per_sermon.values()) <= ceil(2 / len(TEACHING) * sum(per_sermon.values()))


def test_what_must_not_be_asked_about_is_marked_with_its_reason(made: Path) -> None:
    reasons = excluded(made, 0)
    assert reasons[f"{FIRST}-01"].startswith("“thank you very much” 8 times on end")
    assert reasons[f"{FIRST}-02"] == "noisy: 9.0 dB"
    assert reasons[f"{FIRST}-03"] == "not English"
    for sermon in EXAMINING:
        split = sermon_keys()[sermon]
        assert reasons[f"{sermon}-00"] == f"{sermon} is a {split} sermon: only train sermons teach"
    assert len(rows_of(made, 0)) == len(sermon_keys()) * 20 + 4
    gates = {row["chunk_id"] or row["place"]: row["gate"] for row in rows_of(made, 0)}
    assert [gates[f"{FIRST}-{number:02}"] for number in (1, 2, 3)] == ["text", "noise", "language"]
    assert {gates[f"{sermon}-00"] for sermon in EXAMINING} == {"dev_sermon", "test_sermon", "final_sermon"}
    assert {row["gate"] for row in rows_of(made, 0, "left")} == {"worth_less"}
    assert {row["gate"] for row in rows_of(made, 0, "flagged")} == {None}
    assert gates["sunday.jsonl, line 5"] == "no_recording"


def test_a_chunk_whose_sound_is_not_there_is_left_out(home: Path) -> None:
    store = MetadataStore(home)
    rows = store.read("training_chunks", TEACHING[1]).to_pylist()
    unseen, gone = f"{TEACHING[1]}-04", f"{TEACHING[1]}-05"
    rows = [row for row in rows if (row["chunk_id"], row["view"]) != (unseen, "enhanced")]
    next(row for row in rows if (row["chunk_id"], row["view"]) == (gone, "enhanced"))["path"] = "nowhere.wav"
    store.write("training_chunks", TEACHING[1], rows)
    make(flagged_segments, 1)
    found = {row["chunk_id"]: (row["gate"], row["reason"]) for row in rows_of(home, 1, "excluded")}
    assert found[unseen] == ("no_view", "it has no sound in the view enhanced")
    assert found[gone] == ("gone", "its sound is gone: run the stage training_chunks of its sermon again")


def test_what_the_live_machine_doubted_is_asked_about_and_what_cannot_be_reviewed_is_marked(made: Path) -> None:
    (row,) = (row for row in rows_of(made, 0) if row["chunk_id"] == DOUBTED)
    assert (row["status"], row["why"]) == ("flagged", "live")
    assert row["reason"].endswith("the live machine was sure to 5 % of “wheat den game town”")
    reasons = excluded(made, 0)
    assert reasons["sunday.jsonl, line 5"].startswith("there is no recording “2024-03-03 Morning” here; put it into")
    assert reasons["sunday.jsonl, line 6"] == f"there is no chunk with speech at 8.1 to 8.9 s of {FIRST}"
    assert "broken JSON" in reasons["sunday.jsonl, line 7"]
    assert "spreadsheet" in reasons["notes.jsonl"]


def test_what_was_answered_is_not_asked_again(made: Path) -> None:
    before = {row["chunk_id"] for row in rows_of(made, 0, "flagged")}
    after = {row["chunk_id"] for row in rows_of(made, 1, "flagged")}
    assert after
    assert not before & after
    assert {excluded(made, 1)[name] for name in before} == {"answered already"}


def test_the_list_of_a_cycle_stays_while_it_is_answered(home: Path) -> None:
    assert seen(flagged_segments, 0)["was already up to date"] is True
    rows = MetadataStore(home).read("transcripts", FIRST).to_pylist()
    rows[5]["text"] = "something else"
    MetadataStore(home).write("transcripts", FIRST, rows)
    assert due(home, load_settings(home), ["flagged_segments"], part="0") == ["flagged_segments"]


def test_the_lists_for_reviewers_hold_the_proposals_and_the_sound(made: Path) -> None:
    folder = made / "review" / "cycle-0"
    with (folder / "review.csv").open(encoding="utf-8-sig", newline="") as file:
        listed = list(csv.DictReader(file))
    flagged = rows_of(made, 0, "flagged")
    assert [(row["chunk_id"], row["proposal"]) for row in listed] == [(row["chunk_id"], row["text"]) for row in flagged]
    assert all((folder / row["audio"]).is_file() for row in listed)
    prodigy = [json.loads(line) for line in (folder / "prodigy.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [row["chunk_id"] for row in prodigy] == [row["chunk_id"] for row in flagged]
    assert all(Path(row["audio"]).is_file() for row in prodigy)


def test_a_list_that_somebody_wrote_in_is_kept(home: Path) -> None:
    path = home / "review" / "cycle-1" / "review.csv"
    written = path.read_text(encoding="utf-8-sig").splitlines()
    written[1] = written[1].removesuffix(",,") + ",ok,Ann"
    path.write_text("\n".join(written[:6]), encoding="utf-8-sig")
    settings(home, share=0.12)
    make(flagged_segments, 1)
    assert path.read_text(encoding="utf-8-sig") == "\n".join(written[:6])
    with path.with_name("review-2.csv").open(encoding="utf-8-sig", newline="") as file:
        more = {row["chunk_id"] for row in csv.DictReader(file)}
    first = {line.partition(",")[0] for line in written[1:6]}
    assert more == {row["chunk_id"] for row in rows_of(home, 1, "flagged")} - first
    assert more


def test_the_time_of_a_person_is_kept_to(home: Path) -> None:
    settings(home, share=0.5, review_minutes=5)
    make(flagged_segments, 1)
    flagged = rows_of(home, 1, "flagged")
    assert 4 * 60 < sum(row["review_s"] for row in flagged) <= 5 * 60
    assert len(flagged) < 0.5 * len(TEACHING) * 20 - 20


def test_a_sermon_of_the_frozen_test_is_never_asked_about_whatever_the_split_says(home: Path) -> None:
    frozen = ChurchTest((), {TEACHING[0]: "0" * 64})
    church_test_file(home).parent.mkdir(exist_ok=True)
    church_test_file(home).write_text(frozen.to_json(), encoding="utf-8")
    make(flagged_segments, 1)
    assert TEACHING[0] not in {row["sermon"] for row in rows_of(home, 1, "flagged")}
    assert excluded(home, 1)[f"{TEACHING[0]}-19"].startswith(f"{TEACHING[0]} is a test sermon")


def test_a_rare_name_is_preferred(home: Path) -> None:
    store = MetadataStore(home)
    chosen = f"{TEACHING[5]}-12"
    assert chosen not in {row["chunk_id"] for row in rows_of(home, 1, "flagged")}
    rows = store.read("transcripts", TEACHING[5]).to_pylist()
    next(row for row in rows if row["chunk_id"] == chosen)["text"] += " Melchizedek"
    store.write("transcripts", TEACHING[5], rows)
    settings(home, term_bonus=5)
    make(flagged_segments, 1)
    (row,) = (row for row in rows_of(home, 1) if row["chunk_id"] == chosen)
    assert (row["status"], row["why"]) == ("flagged", "rare term")
    assert "“Melchizedek”, which nobody has corrected yet" in row["reason"]


def test_the_confidence_is_learned_from_the_answers_so_far(home: Path) -> None:
    store = MetadataStore(home)
    said = {row["chunk_id"]: row for row in store.read("corrections", "cycle-0").to_pylist()}
    pattern = next(row for row in said.values() if row["status"] == "accepted")
    heard = store.query("select * from transcripts where sermon < $last order by chunk_id", {"last": TEACHING[6]})
    answered = [
        pattern
        | {
            "chunk_id": row["chunk_id"],
            "sermon": row["sermon"],
            "proposal": row["text"],
            "text": row["text"].replace("mumble", "rumble"),
        }
        for row in heard.to_pylist()
        if "mumble" in row["text"] or int(row["chunk_id"][-2:]) < 10
    ]
    assert len(answered) > 80
    store.write("corrections", "cycle-0", answered)
    settings(home, fewest_answers=80)
    shown = seen(flagged_segments, 1)
    assert shown["AUROC"] > 0.8
    assert 0 <= shown["calibration error"] < 0.2
    assert shown["confidence"].startswith(f"fitted on {len(answered)} answers")
    assert shown["picture"].startswith("![how sure the texts are")
    flagged = rows_of(home, 1, "flagged")
    assert all(0 <= row["confidence"] <= 1 and row["expected_errors"] >= 0 for row in flagged)
    left = [row["confidence"] for row in rows_of(home, 1, "left")]
    ranked = [row["confidence"] for row in flagged if row["why"] != "random"]
    assert sum(ranked) / len(ranked) < sum(left) / len(left) - 0.2


def test_the_check_holds_and_fails_once_a_sermon_of_the_list_examines(home: Path) -> None:
    (check,) = make(flagged_segments, 1).get_asset_check_evaluations()
    assert check.passed
    asked = rows_of(home, 1, "flagged")[0]["sermon"]
    rows = [{"sermon": s, "split": "test" if s == asked else "train", "pinned": False} for s in TEACHING]
    MetadataStore(home).write("splits", "all", rows)
    (check,) = check_list(Platform(), current_output(home, "cycle-1", "flagged_segments"))
    assert not check.passed
    assert check.metadata["first"].value == asked
    # Made anew, nothing of that sermon is on the list.
    (check,) = make(flagged_segments, 1).get_asset_check_evaluations()
    assert check.passed
    assert asked not in {row["sermon"] for row in rows_of(home, 1, "flagged")}


def test_what_people_see_of_the_list(home: Path) -> None:
    shown = seen(flagged_segments, 1)
    assert shown["asked about"] == len(rows_of(home, 1, "flagged"))
    assert shown["live segments"] == 8
    assert shown["unplaced live segments"] == 4
    assert shown["confidence"].startswith("15 of 200 answers")
    assert shown["lists and sound for reviewers"].endswith("/review/cycle-1")
    assert "%" in shown["WER of all texts, by those drawn at random"]
    assert len(shown["the first of the list"].records) == len(rows_of(home, 1, "flagged"))


def test_the_report_says_what_was_reviewed_and_what_it_bought(made: Path) -> None:
    found = read_cycle(MetadataStore(made), load_settings(made), 0)
    reviewed = found.reviewed()
    asked = len(rows_of(made, 0, "flagged"))
    assert (reviewed.asked, reviewed.answered, reviewed.answers) == (asked, asked, asked)
    assert reviewed.unusable == UNUSABLE
    assert reviewed.changed + reviewed.unchanged == asked - UNUSABLE
    assert reviewed.spent_s == 12 * asked
    assert reviewed.word_edits > 0
    base, adapter = found.heard()
    assert (base.name, base.church.value) == ("base model", pytest.approx(0.20, abs=0.005))
    assert (adapter.name, adapter.church.value) == ("this cycle's adapter", pytest.approx(0.12, abs=0.005))
    (told,) = MetadataStore(made).read("comparisons", "cycle-0.speech_evaluation").to_pylist()
    assert base.beside.difference == pytest.approx(told["difference"])
    assert (base.beside.low, base.beside.high) == (pytest.approx(told["ci_low"]), pytest.approx(told["ci_high"]))
    assert base.beside.better == "b"
    page = report_page(made, "cycle-0").read_text(encoding="utf-8")
    assert "Promoted" in page
    assert "cycle 0 was promoted for a reason" in page
    assert f"{asked} segments, {asked} of them answered" in page
    assert "−8.0 points" in page
    assert "90 s" in page
    (card,) = (card for card in report_cards(made) if card.name == "cycle-0")
    assert (card.level, card.subject) == ("better", "speech")
    assert card.words.startswith("Promoted: cycle 0 was promoted for a reason. ")


def test_the_champion_of_before_is_what_an_adapter_is_held_against_and_the_loop_ends_when_nothing_is_gained(
    home: Path,
) -> None:
    store = MetadataStore(home)
    champion = read_cycle(store, load_settings(home), 0).champion_at(1)
    for cycle in (1, 2):
        adapter_id = adapter_of(home, cycle)
        measure_cycle(store, cycle, {None: 20, adapter_id: 13})
        decide(store, cycle, adapter_id, "kept", champion)
        assert not read_cycle(store, load_settings(home), cycle - 1).convergence.converged
    shown = seen(cycle_report, 2)
    assert shown["converged"] is True
    assert "there is nothing more to gain" in shown["does it still pay"]
    assert loop_convergence(store, load_settings(home), 2).in_vain == 2
    rows = [dict(record.data) for record in shown["recognisers"].records]
    assert [(row["recogniser"], row["church WER (%)"]) for row in rows] == [
        ("base model", 20.0),
        ("what served before", 12.0),
        ("this cycle's adapter", 13.0),
    ]
    assert "a is better" in rows[1]["this cycle's adapter beside it"]
    (card,) = (card for card in report_cards(home) if card.name == "cycle-2")
    assert card.level == "worse"
    page = report_page(home, "cycle-2").read_text(encoding="utf-8")
    assert page.count("<polyline") == 2
    assert "The loop has converged" in page


def test_a_cycle_that_is_not_finished_says_so(home: Path) -> None:
    shown = seen(cycle_report, 1)
    assert shown["decision"] == "not decided yet"
    assert shown["reason"] == "nothing was trained in this cycle yet"
    assert shown["converged"] is False
    assert f"{len(rows_of(home, 1, 'flagged'))} segments of the list wait" in report_page(home, "cycle-1").read_text()
    # What was answered so far is read first, where nobody has yet.
    assert due(home, load_settings(home), ["cycle_report"], part="1") == ["corrections", "cycle_report"]
    make(corrections, 1)
    assert seen(cycle_report, 1)["reason"] == "nothing was trained in this cycle yet"
    assert due(home, load_settings(home), ["cycle_report"], part="1") == []
    adapter_of(home, 1)
    assert due(home, load_settings(home), ["cycle_report"], part="1") == ["cycle_report"]
    assert seen(cycle_report, 1)["reason"].endswith("run speech_decision")


def test_scores_on_another_test_are_not_compared(home: Path) -> None:
    store = MetadataStore(home)
    adapter_id = adapter_of(home, 1)
    measure_cycle(store, 1, {None: 20, adapter_id: 11}, test="another")
    found = read_cycle(store, load_settings(home), 1)
    assert found.on_another_test == (0,)
    assert [point.cycle for point in found.history] == [1]
    assert "could not be measured" not in found.convergence.reason
    make(cycle_report, 1)
    assert "Measured on another test, and so not shown: cycle 0" in report_page(home, "cycle-1").read_text()
