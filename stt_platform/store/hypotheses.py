"""Translations kept between runs: files below `STT_HOME/cache/hypotheses`, a folder for each model."""

from collections.abc import Collection, Mapping
from pathlib import Path

import pyarrow as pa

from stt_platform.store.keyed_files import KeyedFiles
from stt_platform.translation.translator import Translation

_COLUMNS = {"text": pa.string(), "tokens": pa.int64(), "status": pa.string(), "reason": pa.string()}


class HypothesisStore:
    """What one model has translated, by `hypothesis_key`; see `KeyedFiles` for how it is kept."""

    def __init__(self, home: Path, model: str) -> None:
        """`home` is STT_HOME; `model` is what `hypothesis_key` was given as the model."""
        self._files = KeyedFiles(
            home / "cache" / "hypotheses", model, _COLUMNS, made_again="its texts are translated again"
        )

    @property
    def folder(self) -> Path:
        """Where its files lie."""
        return self._files.folder

    @property
    def damaged(self) -> tuple[str, ...]:
        """A sentence for each file that could not be used the last time; its texts count as not translated yet."""
        return self._files.damaged

    def find(self, keys: Collection[str]) -> dict[str, Translation]:
        """Those of the keys that are kept. Where a key is kept with two texts, the one that sorts first."""
        return {key: Translation(*values) for key, values in self._files.find(keys).items()}

    def keep(self, made: Mapping[str, Translation]) -> None:
        """Write translations to the disk; they are there when this returns."""
        self._files.keep({key: (done.text, done.tokens, done.status, done.reason) for key, done in made.items()})

    def compact(self) -> int:
        """Put all files into one, which is quicker to search; returns how many there were."""
        return self._files.compact()
