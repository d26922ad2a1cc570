"""Which weights are on this machine, told without the network."""

from pathlib import Path

import pytest

from stt_platform.models.presence import fetched_weights, present_weights
from stt_platform.models.registry import ModelMissing, model, models


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    return tmp_path / "hub"


def cached(hub: Path, name: str, *files: str) -> None:
    entry = model(name)
    place = hub / f"models--{entry.repo.replace('/', '--')}" / "snapshots" / entry.revision
    for file in files:
        (place / file).parent.mkdir(parents=True, exist_ok=True)
        (place / file).write_text("{}")


def test_a_users_own_folder_goes_first_and_is_known_by_what_lies_in_it(tmp_path: Path, hub: Path) -> None:
    own = tmp_path / "models" / "translategemma-4b"
    own.mkdir(parents=True)
    (own / "model.safetensors").write_bytes(b"one")
    first = present_weights("translategemma-4b", tmp_path)
    assert first.startswith("translategemma-4b@own-")
    assert present_weights("translategemma-4b", tmp_path) == first
    (own / "model.safetensors").write_bytes(b"another")
    assert present_weights("translategemma-4b", tmp_path) not in (None, first)


@pytest.mark.parametrize(
    ("name", "files"),
    [
        ("opus-mt-en-es", ("config.json", "model.safetensors")),
        ("wmt22-comet-da", ("hparams.yaml", "checkpoints/model.ckpt")),
    ],
)
def test_what_the_hubs_cache_holds_whole_is_here(tmp_path: Path, hub: Path, name: str, files: tuple[str, str]) -> None:
    assert present_weights(name, tmp_path) is None
    cached(hub, name, files[0])
    assert present_weights(name, tmp_path) is None
    cached(hub, name, files[1])
    assert present_weights(name, tmp_path) == fetched_weights(name, tmp_path) == models()[name].identity


def test_packaged_weights_are_known_by_their_version(tmp_path: Path, hub: Path) -> None:
    assert present_weights("gemma-3-270m", tmp_path) == models()["gemma-3-270m"].identity


def test_what_is_missing_says_what_to_do(tmp_path: Path, hub: Path) -> None:
    with pytest.raises(ModelMissing, match=r"gated: accept its conditions.*STT_HOME/models/translategemma-4b"):
        fetched_weights("translategemma-4b", tmp_path)
    with pytest.raises(ModelMissing, match=r"Connect to the network.*STT_HOME/models/opus-mt-en-es"):
        fetched_weights("opus-mt-en-es", tmp_path)
    with pytest.raises(ModelMissing, match="there is no model 'nothing'"):
        present_weights("nothing", tmp_path)
