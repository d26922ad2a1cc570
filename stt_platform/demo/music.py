"""Organ interludes for the made-up church."""

import numpy as np

# A small organ: 8', 4', 2 2/3' and 2' flues with falling levels, as multiples of the key's frequency.
_STOPS = ((1.0, 1.0), (2.0, 0.5), (3.0, 0.22), (4.0, 0.16), (6.0, 0.05))
_PROGRESSIONS = (
    ((0, 4, 7), (5, 9, 12), (7, 11, 14), (0, 4, 7)),
    ((0, 4, 7), (9, 12, 16), (5, 9, 12), (7, 11, 14), (0, 4, 7)),
    ((0, 4, 7), (7, 11, 14), (9, 12, 16), (5, 9, 12), (0, 4, 7)),
)


def organ_interlude(duration_s: float, rate_hz: int, rng: np.random.Generator) -> np.ndarray:
    """Synthesise a chord progression with a melody of chord notes above it; float64 (samples,), RMS 1."""
    samples = round(duration_s * rate_hz)
    key_hz = 130.81 * 2 ** (rng.integers(-3, 5) / 12)
    chords = _PROGRESSIONS[rng.integers(len(_PROGRESSIONS))]
    sound = np.zeros(samples)
    edges = np.linspace(0, samples, len(chords) + 1).astype(int)
    for chord, start, end in zip(chords, edges[:-1], edges[1:], strict=True):
        for semitones in (chord[0] - 12, *chord):
            sound[start:end] += _pipe(key_hz * 2 ** (semitones / 12), end - start, rate_hz, rng)
        middle = (start + end) // 2
        for note_start, note_end in ((start, middle), (middle, end)):
            semitones = 12 + rng.choice(chord)
            sound[note_start:note_end] += 1.5 * _pipe(
                key_hz * 2 ** (semitones / 12), note_end - note_start, rate_hz, rng
            )
    return sound / np.sqrt(np.mean(sound**2))


def _pipe(frequency_hz: float, samples: int, rate_hz: int, rng: np.random.Generator) -> np.ndarray:
    time_s = np.arange(samples) / rate_hz
    sound = np.zeros(samples)
    for multiple, level in _STOPS:
        sound += level * np.sin(2 * np.pi * (frequency_hz * multiple * time_s + rng.uniform()))
    fade = min(round(0.04 * rate_hz), samples // 2)
    sound[:fade] *= np.linspace(0, 1, fade)
    sound[samples - fade :] *= np.linspace(1, 0, fade)
    return sound
