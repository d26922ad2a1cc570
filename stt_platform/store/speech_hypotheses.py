"""What a recogniser heard, kept between runs: files below `STT_HOME/cache/speech`, a folder for each system."""

import hashlib
import json
from collections.abc import Collection, Mapping
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from stt_platform.store.keyed_files import KeyedFiles

_COLUMNS = {
    "text": pa.string(),
    "work_s": pa.float64(),
    "avg_logprob": pa.float64(),
    "no_speech_prob": pa.float64(),
    "compression_ratio": pa.float64(),
}


@dataclass(frozen=True)
class KeptHearing:
    """What was heard in one stretch of sound.

    Attributes:
        text: empty where nothing was heard.
        work_s: seconds that the recogniser took when it heard it.
        avg_logprob, no_speech_prob, compression_ratio: as in `ChunkTranscript`.
    """

    text: str
    work_s: float
    avg_logprob: float
    no_speech_prob: float
    compression_ratio: float


def sound_key(samples: np.ndarray) -> str:
    """The key of a stretch: SHA-256 of its float32 samples at 16 kHz, wherever they were read from."""
    return hashlib.sha256(np.ascontiguousarray(samples, dtype="<f4").tobytes()).hexdigest()


class SpeechHypothesisStore:
    """What one system has heard with one decoding, by `sound_key`; see `KeyedFiles` for how it is kept."""

    def __init__(self, home: Path, system: str, decoding: Mapping[str, Any]) -> None:
        """Look at the folder of one system.

        Args:
            home: STT_HOME.
            system: what identifies the weights, adapter included: revisions or hashes.
            decoding: all else that decides what is heard, as JSON can hold it.
        """
        subject = json.dumps({"system": system, "decoding": dict(decoding)}, sort_keys=True, allow_nan=False)
        self._files = KeyedFiles(home / "cache" / "speech", subject, _COLUMNS, made_again="its sound is heard again")

    @property
    def folder(self) -> Path:
        """Where its files lie."""
        return self._files.folder

    @property
    def damaged(self) -> tuple[str, ...]:
        """A sentence for each file that could not be used the last time; its sound counts as not heard yet."""
        return self._files.damaged

    def find(self, keys: Collection[str]) -> dict[str, KeptHearing]:
        """Those of the keys that are kept. Where one is kept twice, the one that sorts first."""
        return {key: KeptHearing(*values) for key, values in self._files.find(keys).items()}

    def keep(self, made: Mapping[str, KeptHearing]) -> None:
        """Write to the disk what was heard; it is there when this returns."""
        self._files.keep({key: astuple(heard) for key, heard in made.items()})

    def compact(self) -> int:
        """Put all files into one, which is quicker to search; returns how many there were."""
        return self._files.compact()
