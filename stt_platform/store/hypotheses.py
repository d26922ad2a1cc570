"""What models made, kept between runs: files below `STT_HOME/cache`, a folder for each model, by a key of what it was given."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from stt_platform.store.keyed_files import KeyedFiles
from stt_platform.translation.translator import Translation


class HypothesisStore(KeyedFiles[Translation]):
    """What one translator has translated, by `hypothesis_key`."""

    kind, made_again = Translation, "its texts are translated again"

    def __init__(self, home: Path, model: str) -> None:
        """`home` is STT_HOME; `model` is what `hypothesis_key` was given as the model."""
        super().__init__(home / "cache" / "hypotheses", model)


@dataclass(frozen=True)
class KeptHearing:
    """The text of one stretch of sound.

    Attributes:
        text: empty where no words were recognised.
        work_s: seconds that the recogniser took.
        avg_logprob, no_speech_prob, compression_ratio: as in `ChunkTranscript`; None where it has no scores.
    """

    text: str
    work_s: float
    avg_logprob: float | None
    no_speech_prob: float | None
    compression_ratio: float | None


def sound_key(samples: np.ndarray) -> str:
    """Hash the float32 samples of a stretch at 16 kHz, wherever they were read from."""
    return hashlib.sha256(np.ascontiguousarray(samples, dtype="<f4").tobytes()).hexdigest()


class SpeechHypothesisStore(KeyedFiles[KeptHearing]):
    """What one recogniser has heard with one decoding, by `sound_key`."""

    kind, made_again = KeptHearing, "its sound is heard again"

    def __init__(self, home: Path, system: str, decoding: Mapping[str, Any]) -> None:
        """Look at the folder of one system.

        Args:
            home: STT_HOME.
            system: what identifies the weights, adapter included: revisions or hashes.
            decoding: all else that decides what is heard, as JSON can hold it.
        """
        subject = json.dumps({"system": system, "decoding": dict(decoding)}, sort_keys=True, allow_nan=False)
        super().__init__(home / "cache" / "speech", subject)
