"""A stage reads what it declares and nothing else; what it reads decides its key, whoever wrote it."""

from dataclasses import dataclass, replace
from pathlib import Path

import pytest

import stt_platform.definitions  # noqa: F401
from stt_platform.evaluation.church_test import ChurchRow, ChurchTest
from stt_platform.orchestration.platform import Platform
from stt_platform.orchestration.running import run_stage
from stt_platform.orchestration.scopes import CORPUS_SCOPE, CYCLE
from stt_platform.orchestration.stage import Stage, stages
from stt_platform.orchestration.work import StageContext, Work
from stt_platform.settings import load_settings
from stt_platform.store.digests import digest_of
from stt_platform.store.metadata import MetadataStore
from stt_platform.store.reading import DeclaredStore, Read, UndeclaredRead
from stt_platform.store.schemas import VIEWS
from stt_platform.store.stages import StageResult

SPLIT = {"sermon": "2024-03-10--grace", "split": "train", "pinned": False}


@pytest.fixture
def store(stt_home: Path) -> MetadataStore:
    """A home with a frozen church test: what is read of it is read only where there is one."""
    row = ChurchRow("c0", SPLIT["sermon"], "chunk", ((0, 16_000),), "grace", "Ann", "clean")
    path = stt_home / "splits" / "church_test.json"
    path.parent.mkdir(parents=True)
    path.write_text(ChurchTest((row,), {SPLIT["sermon"]: "0" * 64}).to_json(), encoding="utf-8")
    return MetadataStore(stt_home)


def read_all(stage: Stage, home: Path, folder: Path) -> None:
    """Read what decides the output, and where the recipe reads by itself, start the recipe."""
    context = stage.context(home, load_settings(home), None if stage.scope is CORPUS_SCOPE else "1")
    keyed = stage.recipe_of(context, {})
    assert keyed.key
    if stage.read is None:
        (folder / "shown").mkdir(parents=True)
        work = Work(context=context, store=context.store, key="0" * 64, inputs={}, folder=folder, log=print)
        stage.recipe(work)


@pytest.mark.parametrize("name", [name for name, stage in stages().items() if stage.reads])
def test_leaving_out_a_declared_read_of_a_real_stage_raises(store: MetadataStore, tmp_path: Path, name: str) -> None:
    stage = stages()[name]
    read_all(stage, store.home, tmp_path / "whole")
    for read in stage.reads:
        less = replace(stage, reads=tuple(each for each in stage.reads if each != read))
        with pytest.raises(UndeclaredRead, match=rf"{name} reads .*\b{read.table}\b.*which it does not declare"):
            read_all(less, store.home, tmp_path / read.table)


@dataclass(frozen=True)
class Counted:
    rows: int


def count_splits(work: Work) -> StageResult:
    return StageResult(data=Counted(work.store.query("select * from splits").num_rows))


def counting(**declared) -> Stage:
    given = {"group": "test", "kinds": frozenset(), "version": "1", "metadata": lambda platform, output: {}}
    return Stage(name="counting", recipe=count_splits, **given, **declared)


def test_a_recipe_that_reads_an_undeclared_table_is_told_which(store: MetadataStore) -> None:
    platform = Platform(home_folder=str(store.home))
    with pytest.raises(UndeclaredRead, match="counting reads splits, which it does not declare"):
        run_stage(counting(), platform, print)
    with pytest.raises(UndeclaredRead, match="counting reads splits"):
        run_stage(counting(reads=(Read("references"),)), platform, print)
    output, _ = run_stage(counting(reads=(Read("splits"),)), platform, print)
    assert output.data == {"rows": 0}


def test_a_recipe_sees_nothing_beside_what_was_read_for_its_key(store: MetadataStore) -> None:
    stage = counting(reads=(Read("splits"),), read=lambda context: context.store.query("select * from splits"))
    with pytest.raises(UndeclaredRead, match="counting reads splits"):
        run_stage(stage, Platform(home_folder=str(store.home)), print)


def test_rows_that_are_read_decide_the_key_and_others_do_not(store: MetadataStore) -> None:
    stage, platform = counting(reads=(Read("splits"),)), Platform(home_folder=str(store.home))
    store.write("splits", "all", [SPLIT])
    first, _ = run_stage(stage, platform, print)
    store.write("references", "x", [{"sermon": "s", "text": "", "source": "f", "status": "accepted"}])
    same, _ = run_stage(stage, platform, print)
    store.write("splits", "all", [SPLIT, {**SPLIT, "sermon": "2024-03-17--hope"}])
    other, _ = run_stage(stage, platform, print)
    assert (same.reused, same.key) == (True, first.key)
    assert (other.reused, other.data) == (False, {"rows": 2})


def test_outputs_of_other_stages_are_declared_too(store: MetadataStore) -> None:
    context = counting(outputs=("standard_audio",)).context(store.home, load_settings(store.home))
    assert context.output(SPLIT["sermon"], "standard_audio") is None
    with pytest.raises(UndeclaredRead, match="counting reads enhanced_audio"):
        context.output(SPLIT["sermon"], "enhanced_audio")


@pytest.mark.parametrize("view", sorted(VIEWS))
def test_a_view_is_declared_by_its_tables(store: MetadataStore, view: str) -> None:
    declared = DeclaredStore(store.home, "counting", "corpus", (Read("splits"),))
    with pytest.raises(UndeclaredRead, match=r"counting reads .*which it does not declare"):
        declared.query(f'select * from "{view}"')


def test_a_cycle_sees_those_up_to_its_own_or_only_those_before(store: MetadataStore) -> None:
    for cycle in (0, 1, 2):
        row = {"cycle": cycle, "decision": "kept", "reason": "r", "decided_at": "t"}
        store.write("decisions", f"cycle-{cycle}", [row])
    until, before = (
        DeclaredStore(store.home, "asking", "cycle-1", (Read("decisions", cycles=cycles),))
        for cycles in ("until", "before")
    )
    sql = "select cycle from decisions order by 1"
    assert until.query(sql)["cycle"].to_pylist() == [0, 1]
    assert before.query(sql)["cycle"].to_pylist() == [0]
    assert set(before.digests()) == {"decisions/cycle-0"}


def test_a_stage_does_not_see_what_it_made_itself(store: MetadataStore) -> None:
    row = {"cycle": 1, "decision": "kept", "reason": "r", "decided_at": "t"}
    store.write("decisions", "cycle-1", [row])
    own = DeclaredStore(store.home, "deciding", "cycle-1", (Read("decisions"),), ("decisions",))
    assert own.query("select * from decisions").num_rows == 0


def test_of_a_shared_table_the_rows_of_named_stages_are_read(store: MetadataStore) -> None:
    number = {"evaluation_id": "e", "system": "s", "set": "church_test", "slice": "all", "metric": "wer", "n": 1}
    for writer in ("speech_evaluation", "baseline_wer"):
        store.write("evaluations", f"cycle-0.{writer}", [{**number, "signature": writer}])
    some = DeclaredStore(store.home, "asking", "cycle-1", (Read("evaluations", by=("speech_evaluation",)),))
    assert some.query("select signature from evaluations")["signature"].to_pylist() == ["speech_evaluation"]


def test_every_read_is_of_a_table() -> None:
    with pytest.raises(ValueError, match="there is no table 'chunks' to read; views are declared by their tables"):
        Read("chunks")


def test_every_stage_comes_after_what_it_declares() -> None:
    seen: set[str] = set()
    for name, stage in stages().items():
        assert {*stage.upstream, *stage.optional, *stage.outputs, *stage.after} <= seen
        seen.add(name)


def test_nothing_of_a_machine_can_be_digested(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="cannot be part of what decides an output"):
        digest_of({"folder": tmp_path})
    assert digest_of({"b": {3, 1}, "a": Counted(1)}) == digest_of({"a": {"rows": 1}, "b": [1, 3]})


def test_sermons_and_cycles_are_told_apart(stt_home: Path) -> None:
    context: StageContext = stages()["cycle_report"].context(stt_home, load_settings(stt_home), "3")
    assert (context.cycle, context.owner) == (3, CYCLE.owner("3"))
    with pytest.raises(ValueError, match="is not made for each sermon"):
        _ = context.sermon
