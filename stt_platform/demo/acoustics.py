"""The room, the noise and the mixing desk of the made-up church."""

from collections.abc import Iterable

import numpy as np

_HIGH_BAND_HZ = 2000.0
_PINK_FROM_HZ = 40.0


def hall_impulse_response(
    rate_hz: int, *, rt60_s: float, direct_to_reverberant_db: float, rng: np.random.Generator
) -> np.ndarray:
    """Synthesise the impulse response of a hall: direct sound, a few early reflections, a decaying diffuse tail.

    The tail is Gaussian noise with an exponential envelope (Polack's model): below 2 kHz it falls 60 dB in
    `rt60_s`, above in 0.6 of it, because air and cloth swallow the treble. Reflections arrive between 8 and
    60 ms. Returns float64 (samples,), the direct sound being a 1 at sample 0; everything after it has the energy
    that `direct_to_reverberant_db` says.
    """
    from scipy.signal import butter, sosfilt

    samples = round(1.2 * rt60_s * rate_hz)
    time_s = np.arange(samples) / rate_hz
    noise = rng.standard_normal(samples)
    low = sosfilt(butter(4, _HIGH_BAND_HZ, fs=rate_hz, output="sos"), noise)
    # -6.91 is ln(10**-3): the amplitude falls 60 dB at rt60.
    tail = low * np.exp(-6.91 * time_s / rt60_s) + (noise - low) * np.exp(-6.91 * time_s / (0.6 * rt60_s))
    tail *= 1 - np.exp(-time_s / 0.02)
    tail /= np.sqrt(np.sum(tail**2))

    early = np.zeros(samples)
    arrivals = np.sort(rng.uniform(0.008, 0.060, size=7))
    early[np.round(arrivals * rate_hz).astype(int)] = rng.choice([-1, 1], size=7) * np.exp(-arrivals / 0.05)
    early /= np.sqrt(np.sum(early**2))

    reflected = np.sqrt(0.4) * early + np.sqrt(0.6) * tail
    reflected *= 10 ** (-direct_to_reverberant_db / 20) / np.sqrt(np.sum(reflected**2))
    reflected[0] = 1.0
    return reflected


def reverberate(dry: np.ndarray, impulse_response: np.ndarray) -> np.ndarray:
    """Convolve (samples,) with the hall; the length stays, what rings on beyond the end is cut."""
    from scipy.signal import oaconvolve

    return oaconvolve(dry, impulse_response)[: dry.size]


def pink_noise(samples: int, rate_hz: int, rng: np.random.Generator) -> np.ndarray:
    """Noise whose power falls 3 dB an octave above 40 Hz; float64 (samples,), RMS 1."""
    from scipy.fft import irfft, next_fast_len, rfft

    fast = next_fast_len(samples, real=True)
    spectrum = rfft(rng.standard_normal(fast))
    spectrum /= np.sqrt(np.maximum(np.fft.rfftfreq(fast, 1 / rate_hz), _PINK_FROM_HZ))
    spectrum[0] = 0
    return _unit_rms(irfft(spectrum, fast)[:samples])


def mains_hum(samples: int, rate_hz: int, rng: np.random.Generator, *, mains_hz: int = 60) -> np.ndarray:
    """Synthesise a ground loop: the mains frequency and nine harmonics; float64 (samples,), RMS 1."""
    time_s = np.arange(rate_hz) / rate_hz
    second = np.zeros(rate_hz)
    for harmonic in range(1, 11):
        level = 1.0 if harmonic == 1 else rng.uniform(0.3, 1) / harmonic
        second += level * np.sin(2 * np.pi * (mains_hz * harmonic * time_s + rng.uniform()))
    # Whole periods fit into a second, so seconds join without a click.
    return _unit_rms(np.resize(second, samples))


def power(sound: np.ndarray, spans: Iterable[tuple[int, int]]) -> float:
    """Mean square of `sound` (samples,) over the `(start, end)` sample spans."""
    return float(np.mean(np.concatenate([sound[start:end] for start, end in spans]) ** 2))


def noise_at_snr(
    speech: np.ndarray, noise: np.ndarray, *, snr_db: float, spans: Iterable[tuple[int, int]]
) -> np.ndarray:
    """Scale `noise` so that within `spans`, where somebody speaks, speech is `snr_db` above it.

    Both are (samples,); the ratio is of mean squares. Raises ValueError where one of the two is silent.
    """
    spans = list(spans)
    speech_power, noise_power = power(speech, spans), power(noise, spans)
    if speech_power <= 0 or noise_power <= 0:
        raise ValueError("speech and noise must both sound within the spans to have a ratio")
    return noise * np.sqrt(speech_power / noise_power * 10 ** (-snr_db / 10))


def _unit_rms(sound: np.ndarray) -> np.ndarray:
    return sound / np.sqrt(np.mean(sound**2))
