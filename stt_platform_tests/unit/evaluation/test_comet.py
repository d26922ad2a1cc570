"""COMET's scores as the caller gets them: what is scored, what is not, and no number where COMET is not there."""

from __future__ import annotations

from pathlib import Path

import pytest

from stt_platform.environments import EnvironmentNotBuilt, IsolatedEnvironment, IsolatedError
from stt_platform.evaluation.comet import CometModel, CometRow, comet_scores
from stt_platform.models.comet import comet_model
from stt_platform.models.registry import ModelMissing

ROWS = [
    CometRow("GEN 1:1", "En el principio", "In the beginning", "In the beginning"),
    CometRow("GEN 1:2", "Y la tierra", "", "And the earth"),
    CometRow("GEN 1:3", None, "And God said", "And God said"),
    CometRow("GEN 1:4", "Y vió Dios", "And God saw", " "),
    CometRow("GEN 1:5", "Y llamó Dios", "And God called", "And God called"),
]


class Scripted:
    """An environment that answers with lengths of texts and remembers what it was asked."""

    identity = "comet@packages.worker"

    def __init__(self, fails: Exception | None = None) -> None:
        self.fails = fails
        self.asked: list[dict] = []

    def ensure(self, progress=None) -> Path:
        if isinstance(self.fails, EnvironmentNotBuilt):
            raise self.fails
        return Path()

    def call(self, function: str, request: dict, *, progress=None, timeout_s=None) -> dict:
        if self.fails:
            raise self.fails
        assert function == "score"
        self.asked.append(request)
        return {
            "scores": [len(translation) / 100 for _, translation, _ in request["rows"]],
            "tokens": [40 * len(source.split()) for source, _, _ in request["rows"]],
            "max_tokens": 110,
            "checkpoint": "0123456789abcdef" * 4,
            "versions": {"unbabel-comet": "2.2.7", "torch": "2.11.0"},
        }


@pytest.fixture
def model(tmp_path: Path) -> CometModel:
    found = CometModel("tiny", tmp_path, tmp_path / "encoder")
    for path in ("hparams.yaml", "checkpoints/model.ckpt", "encoder/config.json", "encoder/tokenizer.json"):
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).touch()
    return found


def test_each_row_gets_its_score_or_a_reason(model: CometModel) -> None:
    found = comet_scores(ROWS, lambda: model, Scripted())
    assert [(segment.score, segment.status) for segment in found.segments] == [
        (0.16, "cut"),
        (0.0, "scored"),
        (None, "not scored"),
        (None, "not scored"),
        (0.14, "cut"),
    ]
    reasons = [segment.reason for segment in found.segments]
    assert "120 tokens" in reasons[0] and "first 110" in reasons[0]
    assert "empty" in reasons[1]
    assert reasons[2:4] == ["there is no source", "there is no reference"]
    assert (found.status, found.system) == ("scored", pytest.approx(0.1))


def test_an_empty_translation_is_not_shown_to_the_network(model: CometModel) -> None:
    environment = Scripted()
    comet_scores(ROWS, lambda: model, environment)
    assert [row[1] for row in environment.asked[0]["rows"]] == ["In the beginning", "And God called"]


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({}, "device:cpu|precision:fp32|batch:16"),
        ({"device": "cuda"}, "device:cuda|precision:fp16|batch:16"),
        ({"device": "cuda", "precision": "fp32", "batch_size": 4}, "device:cuda|precision:fp32|batch:4"),
    ],
)
def test_the_signature_says_how_it_was_scored(model: CometModel, options: dict, says: str) -> None:
    signature = comet_scores(ROWS, lambda: model, Scripted(), **options).signature
    assert signature == (
        "model:tiny|checkpoint:0123456789abcdef|torch:2.11.0|unbabel-comet:2.2.7|environment:comet@packages.worker|"
        + says
    )


def test_without_rows_there_is_no_number(model: CometModel) -> None:
    found = comet_scores(ROWS[2:4], lambda: model, Scripted())
    assert (found.status, found.system) == ("not scored", None)
    assert "2 rows" in found.reason


@pytest.mark.parametrize("lacking", ["hparams.yaml", "checkpoints/model.ckpt", "encoder/tokenizer.json"])
def test_a_model_that_is_not_whole(model: CometModel, lacking: str) -> None:
    (model.folder / lacking).unlink()
    environment = Scripted()
    found = comet_scores(ROWS, lambda: model, environment)
    assert found.status == "unavailable" and str(model.folder / lacking) in found.reason
    assert not environment.asked


def test_a_model_that_cannot_be_fetched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    found = comet_scores(ROWS, lambda: comet_model("wmt22-comet-da", tmp_path), Scripted())
    assert (found.status, found.system, found.signature) == ("unavailable", None, "")
    assert "STT_HOME/models/wmt22-comet-da" in found.reason and "Connect to the network" in found.reason
    assert all(segment.score is None and segment.status == "unavailable" for segment in found.segments)
    assert len(found.segments) == len(ROWS)


def test_an_environment_that_cannot_be_built(model: CometModel, tmp_path: Path) -> None:
    nowhere = IsolatedEnvironment("comet", tmp_path, tmp_path / "no-locks", tmp_path / "built")
    found = comet_scores(ROWS, lambda: model, nowhere)
    assert (found.status, found.system) == ("unavailable", None)
    assert "lock file" in found.reason and "make lock" in found.reason


def test_what_goes_wrong_in_the_scoring_is_raised(model: CometModel) -> None:
    with pytest.raises(IsolatedError, match="memory"):
        comet_scores(ROWS, lambda: model, Scripted(IsolatedError("comet", "WorkerEnded", "out of memory")))


def test_the_users_own_folder_goes_first(tmp_path: Path) -> None:
    own = tmp_path / "models" / "wmt22-comet-da"
    own.mkdir(parents=True)
    assert comet_model("wmt22-comet-da", tmp_path) == CometModel("wmt22-comet-da", own, own / "encoder")


def test_only_models_of_comet(tmp_path: Path) -> None:
    with pytest.raises(ModelMissing, match=r"no COMET model.*marian"):
        comet_model("opus-mt-en-es", tmp_path)


def test_a_batch_has_a_row(model: CometModel) -> None:
    with pytest.raises(ValueError, match="batch_size is 0"):
        comet_scores(ROWS, lambda: model, Scripted(), batch_size=0)


def test_the_lock_holds_no_address_and_every_requirement_has_a_hash() -> None:
    lock = (Path(__file__).resolve().parents[3] / "requirements-comet.lock").read_text(encoding="utf-8")
    assert "://" not in lock
    requirements = [line for line in lock.splitlines() if line and not line.startswith((" ", "#"))]
    assert len(requirements) > 50 and all(line.endswith("\\") for line in requirements)
