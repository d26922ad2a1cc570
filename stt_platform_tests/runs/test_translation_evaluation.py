"""Translators are measured, each adapter beside its base, on a small home with tiny models that the real code loads."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Mapping
from io import StringIO
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from rich.console import Console

from stt_platform.cli.running import run_due
from stt_platform.definitions import defs
from stt_platform.defs.evaluation import translation, translation_results, translators
from stt_platform.settings import load_settings
from stt_platform.store.adapters import Adapter, made_by
from stt_platform.store.choices import freeze_segments
from stt_platform.store.metadata import MetadataStore
from stt_platform.store.reports import report_cards, report_page
from stt_platform.store.stages import StageResult
from stt_platform_tests.helpers.staging import due
from stt_platform_tests.helpers.translation_home import (
    BASE,
    MARIAN,
    add_adapter,
    add_fine_tuned,
    add_general_set,
    add_models,
    add_output,
    build_home,
    verses,
)
from stt_platform_tests.helpers.translator_models import tiny_gemma

BOTH = ("terminology_evaluation", "translation_evaluation")
SETTINGS = {
    "STT_SCRIPTURE__FETCH": "false",
    "STT_EVALUATION__VERSES": "52",
    "STT_EVALUATION__GENERAL_SENTENCES": "52",
    "STT_EVALUATION__TERM_SEGMENTS": "12",
    "STT_EVALUATION__PROBES": "32",
    "STT_EVALUATION__MAX_NEW_TOKENS": "12",
    "STT_EVALUATION__BATCH_SIZE": "64",
}
NEWS = [(f"Grace and light number {k} of the earth.", f"Gracia y luz número {k} de la tierra.") for k in range(60)]
UNUSABLE = [("No Spanish.", ""), ("Only signs.", "¡…!")]


def materialise(*names: str) -> dg.ExecuteInProcessResult:
    with dg.DagsterInstance.ephemeral() as instance:
        return defs.resolve_implicit_global_asset_job_def().execute_in_process(
            instance=instance, asset_selection=[dg.AssetKey(name) for name in names]
        )


def metadata(result: dg.ExecuteInProcessResult, name: str) -> Mapping[str, Any]:
    (made,) = result.asset_materializations_for_node(name)
    return {key: getattr(value, "value", value) for key, value in made.metadata.items()}


def checks(result: dg.ExecuteInProcessResult) -> dict[str, dg.AssetCheckEvaluation]:
    return {check.check_name: check for check in result.get_asset_check_evaluations()}


@pytest.fixture(autouse=True)
def _offline(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "no hub"))


def use(home: Path, patch: pytest.MonkeyPatch, **settings: str) -> None:
    patch.setattr(translators, "apertium_version", lambda: None)
    for name, value in (SETTINGS | {"STT_HOME": str(home), "STT_LOCK_DIR": str(home / "locks")} | settings).items():
        patch.setenv(name, value)


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, dg.ExecuteInProcessResult]]:
    """A base, its adapter, MarianMT and what was fine-tuned from it, all measured once."""
    home = tmp_path_factory.mktemp("measured")
    with pytest.MonkeyPatch.context() as patch:
        from huggingface_hub import constants

        patch.setattr(constants, "HF_HUB_OFFLINE", True)
        use(home, patch)
        build_home(home)
        add_models(home)
        add_adapter(home)
        add_fine_tuned(home)
        add_general_set(home, "news", NEWS + UNUSABLE)
        yield home, materialise(*BOTH)


@pytest.fixture
def adapter(home: Path) -> Adapter:
    return made_by(home, "translategemma_adapter", "A")


@pytest.fixture
def home(measured: tuple[Path, dg.ExecuteInProcessResult], monkeypatch: pytest.MonkeyPatch) -> Path:
    use(measured[0], monkeypatch)
    return measured[0]


@pytest.fixture
def store(home: Path) -> MetadataStore:
    return MetadataStore(home)


@pytest.fixture
def result(measured: tuple[Path, dg.ExecuteInProcessResult]) -> dg.ExecuteInProcessResult:
    return measured[1]


def systems(store: MetadataStore) -> dict[str, str | None]:
    rows = store.query("select distinct system, adapter_id from evaluations where set = 'scripture_test'").to_pylist()
    return {row["system"]: row["adapter_id"] for row in rows}


def test_each_system_is_measured_and_each_adapter_beside_its_base(
    store: MetadataStore, home: Path, adapter: Adapter
) -> None:
    found = systems(store)
    fine_tuned = made_by(home, "marian_model")
    assert {*filter(None, found.values())} == {adapter.adapter_id, fine_tuned.adapter_id}
    own = [name for name in found if name.startswith(f"{BASE}@own-")]
    asked_alike = next(name for name in own if name.endswith("(prompt of translategemma)"))
    assert len(own) == 2 and "copy of the source" in found
    rows = store.query(
        "select distinct system, compared_with from comparisons where set <> 'terminology' and adapter_id is not null"
    ).to_pylist()
    pairs = {row["system"]: row["compared_with"] for row in rows}
    assert pairs[adapter.identity] == asked_alike
    assert set(found) >= set(pairs.values()) and len(pairs) == 2


def test_scores_are_those_of_sacrebleus_command_line(store: MetadataStore, tmp_path: Path) -> None:
    """With the same signature, to the last printed digit, on the texts of the table."""
    system = "copy of the source"
    rows = store.query(
        "select hypothesis, reference from evaluation_rows where system = ? and set = 'scripture_test' order by row_id",
        [system],
    ).to_pylist()
    for name in ("hypothesis", "reference"):
        (tmp_path / name).write_text("".join(f"{row[name].strip()}\n" for row in rows), encoding="utf-8")
    options = ["-m", "bleu", "chrf", "--chrf-word-order", "2", "-w", "10", "-f", "text"]
    command = [sys.executable, "-m", "sacrebleu", tmp_path / "reference", "-i", tmp_path / "hypothesis", *options]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    numbers = store.query(
        "select metric, value, signature from evaluations where system = ? and set = 'scripture_test' and slice = 'all' "
        "and metric in ('bleu', 'chrf')",
        [system],
    ).to_pylist()
    for row in numbers:
        name = {"bleu": "BLEU", "chrf": "chrF2++"}[row["metric"]]
        assert f"{name}|{row['signature']} = {row['value']:.10f}" in printed
    assert len(numbers) == 2 and len(rows) == 52


def test_parts_have_numbers_and_intervals_where_they_are_large_enough(store: MetadataStore, adapter: Adapter) -> None:
    rows = store.query(
        "select slice, value, ci_low, ci_high, n, reason from evaluations where set = 'scripture_test' "
        "and metric = 'chrf_today' and system = ?",
        [adapter.identity],
    ).to_pylist()
    found = {row["slice"]: row for row in rows}
    assert set(found) == {
        "all",
        *(f"genre: {g}" for g in ("gospels", "pentateuch", "poetry")),
        "testament: NT",
        "testament: OT",
    }
    whole = found.pop("all")
    assert whole["n"] == 52 and whole["ci_low"] < whole["value"] < whole["ci_high"]
    assert all(row["ci_low"] is None and "an interval needs 50" in row["reason"] for row in found.values())
    assert sum(row["n"] for name, row in found.items() if name.startswith("genre")) == 52


def test_what_is_not_scored_has_its_reason_and_no_zero(store: MetadataStore, result: dg.ExecuteInProcessResult) -> None:
    rows = store.query(
        "select reason, chrf, hypothesis from evaluation_rows where status = 'not scored' and set = 'general_text'"
    ).to_pylist()
    assert {row["reason"] for row in rows} == {"the Spanish side holds no letter or digit"}
    assert len(rows) == 2 * len(systems(store))
    assert all(row["chrf"] is None and row["hypothesis"] is None for row in rows)
    comet = store.query("select distinct value, reason from evaluations where metric = 'comet'").to_pylist()
    assert len(comet) == 1 and comet[0]["value"] is None
    assert "STT_HOME/models/wmt22-comet-da" in comet[0]["reason"]
    listed = metadata(result, "translation_evaluation")["not scored"]
    assert "apt-get install apertium-eng-spa" in listed and "wmt22-comet-da" in listed


def test_each_adapter_has_a_page_with_its_verdict(
    home: Path, result: dg.ExecuteInProcessResult, adapter: Adapter
) -> None:
    cards = {card.name: card for card in report_cards(home)}
    assert set(cards) == {"translation-base", "translation-translategemma-a", "translation-marian"}
    assert {card.subject for card in cards.values()} == {"translation"}
    assert cards["translation-base"].level == "alone"
    card = cards["translation-translategemma-a"]
    assert card.system == adapter.identity and card.level in (
        "better",
        "worse",
        "undecided",
        "mixed",
    )
    html = report_page(home, card.name).read_text(encoding="utf-8")
    for words in (
        card.words.split(":")[0],
        "the general set (news)",
        "Terms of faith",
        "Known by heart?",
        "raises the score and is a fault in a service today",
        "in the style of old Bibles",
        "Stopped at the limit",
        "spelling:today",
        "apt-get install apertium-eng-spa",
    ):
        assert words in html
    shown = metadata(result, "translation_evaluation")
    assert shown["report translation-marian"].endswith("/evaluation/translation-marian")
    assert card.words in shown["verdict"]
    assert "data:image/png;base64," in shown["picture"]
    assert "texts" in str(shown["speed"])


def test_the_checks_say_what_the_comparisons_say(store: MetadataStore, result: dg.ExecuteInProcessResult) -> None:
    found = checks(result)
    decided = store.query(
        "select decision from comparisons where set = 'scripture_test' and slice = 'all' and metric = 'chrf_today'"
    ).to_pylist()
    assert found["better_than_its_base"].passed == all(row["decision"] == "better" for row in decided)
    assert found["better_than_its_base"].severity == dg.AssetCheckSeverity.WARN
    assert found["test_set_untouched"].passed
    assert found["test_set_untouched"].severity == dg.AssetCheckSeverity.ERROR


def test_terms_are_counted_in_every_mode_for_those_that_take_hints(
    store: MetadataStore, home: Path, adapter: Adapter
) -> None:
    rows = store.query(
        "select system, slice, value, n, reason from evaluations where set = 'terminology' and metric = 'term_accuracy'"
    ).to_pylist()
    found = {(row["system"], row["slice"]): row for row in rows}
    name = adapter.identity
    for mode in ("no_hints", "hinted", "random_hints"):
        assert found[name, f"hints: {mode}"]["n"] == 12
        assert "12 segments: an interval needs 50" in found[name, f"hints: {mode}"]["reason"]
    copied = found["copy of the source", "hints: hinted"]
    assert copied["value"] is None and copied["reason"] == "this prompt takes no hints"
    assert found["copy of the source", "all"]["value"] == 0.0
    assert found[name, "six sentences"]["n"] == 6
    compared = store.query(
        "select compared_with from comparisons where set = 'terminology' and system = ? and slice = 'hints: hinted'",
        [name],
    ).to_pylist()
    assert {row["compared_with"].split(", ", 1)[-1] for row in compared} >= {
        "hinted terms, without hints",
        "hinted terms, with hints to other words",
    }
    asked = store.query(
        "select source from evaluation_rows where set = 'terminology' and slice = 'hints: hinted' and system = ?",
        [name],
    ).to_pylist()
    assert len(asked) == 12 and all("[GLOSSARY: " in row["source"] for row in asked)
    lines = (home / "reports" / "terms-by-sense.csv").read_text(encoding="utf-8").splitlines()
    assert any(line.startswith(f"{name},grace,,grace,gracia,") for line in lines)


def test_running_again_does_nothing_and_a_new_question_translates_nothing_again(
    home: Path, store: MetadataStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert due(home, load_settings(home), ["translation_evaluation"]) == []
    assert metadata(materialise("translation_evaluation"), "translation_evaluation")["was already up to date"] is True
    monkeypatch.setenv("STT_EVALUATION__CONFIDENCE", "0.9")
    monkeypatch.setenv("STT_EVALUATION__PROBES", "0")
    monkeypatch.setenv("STT_EVALUATION__GENERAL_FOLDER", str(home / "none"))
    assert due(home, load_settings(home), ["translation_evaluation"]) == list(BOTH)

    # A model that answered nothing is asked again.
    empty = store.query(
        "select distinct system from evaluation_rows where hypothesis = '' and set = 'scripture_test'"
    ).to_pylist()
    loaded: list[str] = []
    load = translators._load
    monkeypatch.setattr(translators, "_load", lambda system, *rest: loaded.append(system.name) or load(system, *rest))
    shown = metadata(materialise("translation_evaluation"), "translation_evaluation")
    assert {*loaded} == {row["system"] for row in empty}
    assert "all translations had been kept from before" in str(shown["speed"])
    assert "there is none in" in str(shown["not scored"])
    assert shown["general sets"] == "none"


def learned(segment: str, target: str) -> StageResult:
    row = {"set": "translation", "example_id": "x", "source_kind": "verse", "segment_id": segment, "split": "train"}
    return StageResult(
        tables={"training_examples": [{**row, "source": "x", "target": target, "hints": [], "weight": 1.0}]}
    )


@pytest.fixture
def small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home of its own with a base model, where few verses are asked."""
    place = tmp_path / "home"
    place.mkdir()
    use(place, monkeypatch, STT_EVALUATION__VERSES="3", STT_EVALUATION__PROBES="0", STT_EVALUATION__TERM_SEGMENTS="2")
    build_home(place)
    return place


def test_a_test_verse_that_moves_into_training_makes_the_check_fail(small: Path) -> None:
    add_models(small)
    tested = MetadataStore(small).query("select segment_id, es from verse_pairs where split = 'test'").to_pylist()
    asked = {row.segment_id: row.es for row in verses()}
    assert checks(materialise("translation_evaluation"))["test_set_untouched"].passed
    shown = MetadataStore(small).query("select group_id, reference from evaluation_rows limit 1").to_pylist()[0]
    assert shown["group_id"] in {row["segment_id"] for row in tested} and shown["reference"] == asked[shown["group_id"]]

    add_output(small, "translation_training_set", learned(shown["group_id"], "x"), key="0" * 64)
    check = checks(materialise("translation_evaluation"))["test_set_untouched"]
    assert (
        not check.passed
        and f"the segment {shown['group_id']} of it is in the training set" in check.metadata["first"].value
    )
    (card,) = (card for card in report_cards(small) if card.name == "translation-base")
    assert card.level == "invalid" and shown["group_id"] in card.words

    add_output(small, "translation_training_set", learned("another", shown["reference"].upper()), key="1" * 64)
    check = checks(materialise("translation_evaluation"))["test_set_untouched"]
    assert f"the Spanish of its segment {shown['group_id']} is in the training set" in check.metadata["first"].value

    add_output(small, "translation_training_set", learned("another", "x"), key="2" * 64)
    freeze_segments(small, {shown["group_id"]: "train"})
    check = checks(materialise("translation_evaluation"))["test_set_untouched"]
    assert "was frozen on the side 'train'" in check.metadata["first"].value


def test_models_that_are_missing_are_lines_and_no_failure(small: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("STT_EVALUATION__MODEL", "translategemma-4b")
        console = Console(record=True, width=400, file=StringIO())
        code = run_due(small, load_settings(small), console, through=["translation_evaluation"])
        told = console.export_text()
    assert code == 0
    assert "no translator could be measured" in told
    assert "It is gated: accept its conditions" in told and "STT_HOME/models/translategemma-4b" in told
    (card,) = report_cards(small)
    assert (card.name, card.level) == ("translation-base", "nothing")
    rows = MetadataStore(small).query("select distinct system from evaluations").to_pylist()
    assert rows == [{"system": "copy of the source"}]


@pytest.mark.parametrize("changed", ["adapter", "base"])
def test_an_adapter_that_does_not_match_is_a_line(small: Path, changed: str) -> None:
    add_models(small)
    adapter = add_adapter(small)
    if changed == "adapter":
        (adapter.folder / "adapter_model.safetensors").write_bytes(b"broken")
    else:
        tiny_gemma(small / "models" / BASE, seed=3)
    result = materialise("translation_evaluation")
    reason = {"adapter": "adapter_model.safetensors was changed", "base": f"was trained on {BASE} at"}[changed]
    listed = metadata(result, "translation_evaluation")["not scored"]
    assert reason in listed and "train again" in listed
    assert "could not be measured" in checks(result)["better_than_its_base"].metadata[adapter.adapter_id[:12]].value
    assert {card.name for card in report_cards(small)} == {"translation-base"}


def test_a_base_model_that_cannot_be_loaded_is_a_line(small: Path) -> None:
    add_models(small)
    (small / "models" / BASE / "model.safetensors").write_bytes(b"broken")
    result = materialise("translation_evaluation")
    assert "it is here, but cannot be loaded" in metadata(result, "translation_evaluation")["not scored"]
    systems = MetadataStore(small).query("select distinct system from evaluations").to_pylist()
    assert len(systems) == 2 and all(BASE not in row["system"] for row in systems)
    (card,) = report_cards(small)
    assert (card.name, card.level) == ("translation-base", "nothing")
    assert MARIAN in report_page(small, card.name).read_text(encoding="utf-8")


class LengthComet:
    """In place of COMET's environment: a text is as good as it is long."""

    identity, is_built = "comet@made-up", True

    def ensure(self, progress: object = None) -> None:
        pass

    def call(self, function: str, request: Mapping[str, Any], **options: object) -> dict[str, Any]:
        assert function == "score" and Path(request["encoder"]).name == "encoder"
        scores = [len(hypothesis) / 1000 for _, hypothesis, _ in request["rows"]]
        rest = {"tokens": [9] * len(scores), "max_tokens": 512, "checkpoint": "c" * 64, "versions": {}}
        return {"scores": scores, **rest}


def test_comet_scores_every_system_and_set_where_it_is_here(small: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    add_models(small)
    add_general_set(small, "news", NEWS[:4] + UNUSABLE)
    for name in ("hparams.yaml", "checkpoints/model.ckpt", "encoder/config.json", "encoder/tokenizer.json"):
        (small / "models" / "wmt22-comet-da" / name).parent.mkdir(parents=True, exist_ok=True)
        (small / "models" / "wmt22-comet-da" / name).write_text("{}")
    for module in (translation, translation_results):
        monkeypatch.setattr(module, "environment", lambda name: LengthComet())
    result = materialise("translation_evaluation")
    assert "COMET" not in metadata(result, "translation_evaluation")["not scored"]
    rows = (
        MetadataStore(small)
        .query("select system, set, hypothesis, comet from evaluation_rows where status = 'scored'")
        .to_pylist()
    )
    assert {row["set"] for row in rows} == {"scripture_test", "general_text"}
    assert all(row["comet"] == len(row["hypothesis"]) / 1000 for row in rows)
    numbers = (
        MetadataStore(small)
        .query(
            "select system, set, value, signature from evaluations where metric = 'comet' and slice in ('all', 'set: news')"
        )
        .to_pylist()
    )
    assert len(numbers) == 2 * len({row["system"] for row in rows})
    for number in numbers:
        mine = [row["comet"] for row in rows if (row["system"], row["set"]) == (number["system"], number["set"])]
        assert number["value"] == pytest.approx(sum(mine) / len(mine))
        assert "environment:comet@made-up" in number["signature"]
