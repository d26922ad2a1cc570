"""The real environment is built, and its worker scores as COMET's library itself would, with a tiny random network."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from stt_platform.environments import IsolatedEnvironment, IsolatedError, Session, environment
from stt_platform.evaluation.comet import CometModel, CometRow, CometScores, comet_scores

# The first of them may have to fetch and build the environment.
pytestmark = pytest.mark.prove

HELPER = '''
import os
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"
SENTENCES = ["In the beginning God created the heaven and the earth.", "Jehová es mi pastor; nada me faltará."]


def make(request, progress):
    """A checkpoint as of wmt22-comet-da, but three layers of 16 numbers."""
    import torch, yaml
    from comet.models import str2model
    from tokenizers import Tokenizer, models, pre_tokenizers, processors, trainers
    from transformers import XLMRobertaConfig, XLMRobertaTokenizerFast

    folder = Path(request["folder"])
    encoder = folder / "encoder"
    (folder / "checkpoints").mkdir(parents=True)
    control = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    alphabet = sorted(set("".join(SENTENCES)) | set(map(chr, range(33, 127))))
    tokenizer.train_from_iterator(
        SENTENCES, trainers.BpeTrainer(vocab_size=250, special_tokens=control, initial_alphabet=alphabet)
    )
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    XLMRobertaTokenizerFast(tokenizer_object=tokenizer).save_pretrained(encoder)
    XLMRobertaConfig(
        vocab_size=tokenizer.get_vocab_size(), hidden_size=16, num_hidden_layers=3, num_attention_heads=2,
        intermediate_size=32, max_position_embeddings=66, type_vocab_size=1, initializer_range=0.5,
        bos_token_id=0, pad_token_id=1, eos_token_id=2,
    ).save_pretrained(encoder)
    torch.manual_seed(request["seed"])
    network = str2model["regression_metric"](
        pretrained_model=str(encoder), hidden_sizes=[32, 16], layer_transformation="sparsemax", layer_norm=False,
        train_data=["train.csv"], validation_data=["validation.csv"],
        load_pretrained_weights=False, local_files_only=True,
    )
    hparams = dict(network.hparams)
    state = {name: value for name, value in network.state_dict().items() if name not in request["without"]}
    # As in checkpoints of older versions.
    state["encoder.model.embeddings.position_ids"] = torch.arange(66)[None]
    (folder / "hparams.yaml").write_text(yaml.safe_dump({"class_identifier": "regression_metric"}))
    held = {"state_dict": state, "hyper_parameters": hparams, "pytorch-lightning_version": "1.8.3"}
    if request["code"]:
        held["code"] = print
    torch.save(held, folder / "checkpoints" / "model.ckpt")
    return {"names": sorted(state)}


def library_itself(request, progress):
    from comet import load_from_checkpoint

    network = load_from_checkpoint(str(Path(request["folder"]) / "checkpoints" / "model.ckpt"), local_files_only=True)
    samples = [dict(zip(("src", "mt", "ref"), row)) for row in request["rows"]]
    found = network.predict(samples, batch_size=4, gpus=0, progress_bar=False)
    return {"scores": found.scores, "system": found.system_score}
'''

ENGLISH = ["In", "the", "beginning", "God", "created", "the", "heaven", "and", "the", "earth."]
SPANISH = ["En", "el", "principio", "crió", "Dios", "los", "cielos", "y", "la", "tierra."]
ROWS = [
    CometRow(
        f"GEN 1:{number}",
        " ".join(SPANISH[: 2 + number % 7]),
        " ".join(ENGLISH[number % 3 : 4 + number % 5]),
        " ".join(ENGLISH[: 3 + number % 6]),
    )
    for number in range(1, 22)
]
TEXTS = [[row.source, row.hypothesis, row.reference] for row in ROWS]


@pytest.fixture(scope="module")
def helper(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Session]:
    """The same environment with another worker, which makes checkpoints."""
    folder = tmp_path_factory.mktemp("helper")
    here = environment("comet")
    (folder / "worker.py").write_text(HELPER, encoding="utf-8")
    shutil.copy(here.folder / "environment.toml", folder)
    with IsolatedEnvironment(here.name, folder, here.locks, here.built_in).session() as session:
        yield session


def tiny_comet(
    helper: Session, folder: Path, *, seed: int = 1, without: tuple[str, ...] = (), code: bool = False
) -> CometModel:
    """A COMET checkpoint with random weights; `without` some of them, or with `code` in it that is no plain value."""
    helper.call("make", {"folder": str(folder), "seed": seed, "without": list(without), "code": code}, timeout_s=300)
    return CometModel("tiny", folder, folder / "encoder")


@pytest.fixture(scope="module")
def model(helper: Session, tmp_path_factory: pytest.TempPathFactory) -> CometModel:
    return tiny_comet(helper, tmp_path_factory.mktemp("comet") / "model")


def scored(model: CometModel, rows: list[CometRow] = ROWS, **options) -> CometScores:
    return comet_scores(rows, lambda: model, environment("comet"), timeout_s=300, **options)


def values(found: CometScores) -> list[float]:
    return [segment.score for segment in found.segments]


def test_scores_are_those_of_the_library(helper: Session, model: CometModel) -> None:
    told: list = []
    found = scored(model, batch_size=4, progress=told.append)
    theirs = helper.call("library_itself", {"folder": str(model.folder), "rows": TEXTS}, timeout_s=300)
    assert values(found) == pytest.approx(theirs["scores"], abs=1e-5)
    assert found.system == pytest.approx(theirs["system"], abs=1e-5)
    assert len({round(value, 4) for value in values(found)}) > 15, "the texts matter"
    assert {segment.status for segment in found.segments} == {"scored"}
    assert [report for report in told if isinstance(report, dict)][-1] == {"done": 21, "total": 21}


def test_the_same_rows_give_the_same_scores_whatever_their_order(model: CometModel) -> None:
    once, again = scored(model), scored(model)
    assert once == again
    backwards = scored(model, ROWS[::-1])
    assert values(backwards)[::-1] == pytest.approx(values(once), abs=1e-5)


def test_half_precision_is_in_the_signature_and_moves_the_scores_a_little(model: CometModel) -> None:
    full, half = scored(model), scored(model, precision="fp16")
    assert "|precision:fp32|" in full.signature and "|precision:fp16|" in half.signature
    assert "|unbabel-comet:2.2.7|" in half.signature
    assert values(half) != values(full)
    assert values(half) == pytest.approx(values(full), abs=0.02)


def test_another_checkpoint_has_another_signature(helper: Session, model: CometModel, tmp_path: Path) -> None:
    other = tiny_comet(helper, tmp_path / "other", seed=2)
    assert scored(other).signature != scored(model).signature


def test_batches_are_of_like_lengths_the_longest_first(model: CometModel) -> None:
    request = {"model": str(model.folder), "encoder": str(model.encoder), "rows": TEXTS}
    answer = environment("comet").call(
        "score", {**request, "device": "cpu", "precision": "fp32", "batch_size": 4}, timeout_s=300
    )
    lengths = [[answer["tokens"][index] for index in batch] for batch in answer["batches"]]
    flat = [length for batch in lengths for length in batch]
    assert flat == sorted(flat, reverse=True) and len(set(flat)) > 3
    assert [len(batch) for batch in lengths] == [4, 4, 4, 4, 4, 1]
    assert sorted(index for batch in answer["batches"] for index in batch) == list(range(21))


def test_rows_that_are_long_empty_or_lacking_something(model: CometModel) -> None:
    rows = [
        CometRow("long", " ".join(SPANISH * 20), "In the beginning", "In the beginning"),
        CometRow("empty", "En el principio", " ", "In the beginning"),
        CometRow("lacking", "En el principio", "In the beginning", None),
    ]
    found = scored(model, rows)
    assert [segment.status for segment in found.segments] == ["cut", "scored", "not scored"]
    assert "first 62" in found.segments[0].reason
    assert found.system == found.segments[0].score / 2
    nothing = scored(model, rows[2:])
    assert (nothing.status, nothing.system) == ("not scored", None)


@pytest.mark.parametrize(
    ("made", "options", "says"),
    [
        ({"without": ("estimator.ff.0.weight",)}, {}, "1 weights are missing .estimator"),
        ({"code": True}, {}, "(?i)weights.only"),
        ({}, {"device": "cuda"}, "no GPU"),
        ({}, {"precision": "int8"}, "int8"),
    ],
    ids=["weights-missing", "code-inside", "no-gpu", "unknown-precision"],
)
def test_what_would_give_a_false_number_is_refused(
    helper: Session, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, made: dict, options: dict, says: str
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    with pytest.raises(IsolatedError, match=says):
        scored(tiny_comet(helper, tmp_path / "model", **made), **options)
