"""From a model's name to a folder of weights on this machine."""

import os
import tomllib
from dataclasses import dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

_MODELS = Path(__file__).parent / "models.toml"


class ModelMissing(RuntimeError):
    """A model that is not on this machine and could not be fetched: says what to do."""


@dataclass(frozen=True)
class Model:
    """One entry of the registry: where its weights come from, and exactly which.

    `prompt` is for translators that are causal language models: what they are asked with, see `load_translator`.
    """

    name: str
    kind: str
    licence: str
    package: str = ""
    distribution: str = ""
    folder: str = "."
    repo: str = ""
    revision: str | None = None
    prompt: Literal["translategemma", "examples"] = "translategemma"

    @property
    def identity(self) -> str:
        """Name and revision: what `transcripts.system` and a stage's key carry."""
        return f"{self.name}@{self.pinned_revision}"

    @property
    def pinned_revision(self) -> str:
        """The commit on the hub, or the version of the package that carries the weights."""
        if self.revision:
            return self.revision
        try:
            return version(self.distribution)
        except PackageNotFoundError:
            raise ModelMissing(self._package_remedy()) from None

    def _package_remedy(self) -> str:
        return (
            f"model {self.name!r} comes inside the package {self.distribution}, which is not installed: "
            "run `make setup`"
        )

    def folder_on_disk(self) -> Path:
        """Return the folder of its weights; fetches pinned hub weights on first use (with progress bars).

        Raises `ModelMissing` naming the model and the remedy.
        """
        if self.package:
            spec = find_spec(self.package)
            if spec is None or spec.origin is None:
                raise ModelMissing(self._package_remedy())
            return Path(spec.origin).parent / self.folder
        return self._fetch()

    def local_folder(self, home: Path) -> Path | None:
        """`STT_HOME/models/<kind>`, where a user can put weights that the platform cannot fetch; None if not there."""
        folder = home / "models" / self.kind
        return folder if folder.is_dir() else None

    def _fetch(self) -> Path:
        from huggingface_hub import snapshot_download

        try:
            return Path(snapshot_download(self.repo, revision=self.revision))
        except Exception as error:
            raise ModelMissing(
                f"model {self.name!r} ({self.repo} at {self.revision}) is not on this machine and could not be "
                f"fetched: {type(error).__name__}. Connect to the network and run again (it is kept afterwards), or copy "
                "the model hub's cache folder from a machine that has it, or use the embedded profile "
                "(STT_PROFILE=embedded), which needs no download"
            ) from error


def hub_token() -> str | None:
    """Return the user's token for gated models of the model hub, from the environment; never logged."""
    return os.environ.get("HF_TOKEN") or None


@cache
def models() -> dict[str, Model]:
    """Return all models of the registry by name."""
    entries = tomllib.loads(_MODELS.read_text(encoding="utf-8"))
    return {name: Model(name=name, **entry) for name, entry in sorted(entries.items())}


def model(name: str) -> Model:
    """Return the model of that name. Raises `ModelMissing` with the names there are."""
    if name not in models():
        raise ModelMissing(f"there is no model {name!r}; the registry has {', '.join(models())}")
    return models()[name]
