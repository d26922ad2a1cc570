"""The packaged voices as an embedding model of pyannote.audio, so that a real pipeline can be loaded from disk."""

import numpy as np
import torch
from pyannote.audio import Model
from pyannote.audio.core.task import Problem, Resolution, Specifications

from stt_platform.audio.speaker_models import load_speaker_models

SHORTEST_SAMPLES = 6_400
SIZE = 192


class VoiceModel(Model):
    """Without weights of its own: the checkpoint holds none, and the networks come from the package."""

    def __init__(self) -> None:
        super().__init__(sample_rate=16_000, num_channels=1)
        self.voices = load_speaker_models()
        self.specifications = Specifications(
            problem=Problem.REPRESENTATION, resolution=Resolution.CHUNK, duration=10.0, classes=[]
        )

    @property
    def dimension(self) -> int:
        return SIZE

    def forward(self, waveforms: torch.Tensor, weights: torch.Tensor | None = None) -> torch.Tensor:
        found = np.full((len(waveforms), SIZE), np.nan, dtype=np.float32)
        for row, waveform in enumerate(waveforms[:, 0].numpy()):
            if weights is not None:
                mask = weights[row].numpy() > 0.5
                waveform = waveform[mask[np.arange(len(waveform)) * len(mask) // len(waveform)]]
            if len(waveform) >= SHORTEST_SAMPLES:
                found[row] = self.voices.voice(waveform)
        return torch.from_numpy(found)
