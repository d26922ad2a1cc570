"""Speech over noise, in dB, relative to the power of speech while someone speaks.

Two independent measures, because each has its blind spot. The VAD ratio compares frames with speech to the pauses:
exact for steady noise, but it needs pauses, and noise that VAD takes for speech escapes it. WADA (Kim and Stern,
"Robust signal-to-noise ratio estimation based on waveform amplitude distribution analysis", Interspeech 2008)
needs no pauses: clean speech has far more very small amplitudes than noise of the same power.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from stt_platform.audio import SAMPLE_RATE_HZ
from stt_platform.audio.vad import FRAME_SAMPLES

LOWEST_DB = -20.0
HIGHEST_DB = 60.0
"""No value lies outside: beyond these, neither measure can tell more, and digital silence would read 100 dB."""

WADA_SHAPE = 0.55
"""Shape of the gamma distribution of speech amplitudes.

The paper's 0.4 is the average talker; single ones lie between 0.35 and 0.6. Because the smaller of the two measures
gates, this is the value of the smoothest voices: WADA then reads up to 3 dB high at 10 dB, and refuses noise that
VAD mistook for speech, but no clean voice.
"""

_SPEECH = 0.5
_NO_SPEECH = 0.35
# Silero's edges are a frame or two off. WADA takes the pauses up to 0.64 s around speech with it, as the
# utterances had that its model was made for.
_EDGE_FRAMES = 2
_LATE_ONSET_FRAMES = 6
_AROUND_FRAMES = 20
# Of steady noise 8 frames (0.26 s) give the power within 1 dB; 62 (2 s) are enough for noise that comes and goes.
_FEWEST_FRAMES = 8
_ENOUGH_FRAMES = 62
_OWN_FRAMES = 31
_REACH_FRAMES = 938
_STEPS = 32768
# Below one 16-bit step of power there is no recorded sound: a digital pause, with or without dither.
_DIGITAL_SILENCE = 1.0 / _STEPS**2
# The mean of ln|x| over one quantisation step around zero: what a sample of value 0 stands for.
_ZERO_STEPS = 0.5 / np.e
_OUTLIER_SPREADS = 2.5
_BLOCK_FRAMES = 4096


@dataclass(frozen=True)
class Snr:
    """Speech over noise in dB, from -20 to 60.

    Attributes:
        wada_db: by WADA; None without speech.
        vad_db: speech frames against pauses; None without speech, or where no pause with sound is known.
    """

    wada_db: float | None
    vad_db: float | None

    @property
    def db(self) -> float | None:
        """The smaller of those there are; None if there is no speech to measure."""
        return min((value for value in (self.wada_db, self.vad_db) if value is not None), default=None)


class NoiseFloor:
    """The noise in the pauses of one recording, quick to ask for any stretch of it.

    Args:
        powers: mean power of each VAD frame, shape `(frames,)`, full scale 1.0: `frame_powers(wav_path)`.
        probabilities: speech probability of the same frames.
        usable: bool for each frame; pauses elsewhere (music, applause) are no noise. All when not given.
    """

    def __init__(self, powers: np.ndarray, probabilities: np.ndarray, usable: np.ndarray | None = None) -> None:
        _check(len(powers), probabilities, usable)
        self._powers = np.asarray(powers, dtype=np.float64)
        self._pauses = np.flatnonzero(_pauses(self._powers, probabilities, usable))

    def noise_power(self) -> float | None:
        """Noise power of the whole recording; None if it has no pause with sound in it."""
        return _noise_power(self._powers[self._pauses])

    def noise_power_around(self, start_sample: int, end_sample: int) -> float | None:
        """Noise power in the pauses of a stretch and in those nearest to it: 2 s of pauses, from 30 s away at most.

        The stretch's own pauses all count. None if there are fewer than 8 frames of pause in reach.
        """
        first, last = start_sample // FRAME_SAMPLES, -(-end_sample // FRAME_SAMPLES)
        low, high = np.searchsorted(self._pauses, [first, last])
        wanted = _ENOUGH_FRAMES - (high - low)
        if wanted > 0:
            near = self._pauses[max(low - wanted, 0) : high + wanted]
            distances = np.maximum(np.maximum(first - near, near - last + 1), 0)
            order = np.argsort(distances, kind="stable")[:_ENOUGH_FRAMES]
            frames = np.sort(near[order[distances[order] <= _REACH_FRAMES]])
        else:
            frames = self._pauses[low:high]
        return _noise_power(self._powers[frames])


def frame_powers(wav_path: Path) -> np.ndarray:
    """Mean power of each VAD frame of a 16 kHz mono recording, without its constant offset.

    Returns:
        float64 of shape `(ceil(samples / 512),)`, full scale 1.0.

    Raises:
        ValueError: the file is not 16 kHz mono.
    """
    return _Recording(wav_path).powers


def frames_between(start_sample: int, end_sample: int) -> slice:
    """The VAD frames that lie best over the samples of a chunk: what `chunk_snr` wants the probabilities of."""
    first = (start_sample + FRAME_SAMPLES // 2) // FRAME_SAMPLES
    return slice(first, first - (start_sample - end_sample) // FRAME_SAMPLES)


def recording_snr(wav_path: Path, probabilities: np.ndarray, *, usable: np.ndarray | None = None) -> Snr:
    """Speech over noise of a whole recording, in bounded memory.

    Args:
        wav_path: the 16 kHz mono recording.
        probabilities: speech probability of each of its frames.
        usable: bool for each frame, those to measure (for example where the sound is speech and not music).

    Raises:
        ValueError: the file is not 16 kHz mono, or the arrays have not its length.
    """
    _check(len(probabilities), probabilities, usable)
    around = _around_speech(probabilities, usable)
    recording = _Recording(wav_path, around)
    _check(len(recording.powers), probabilities, usable)
    speech = _speech(probabilities, usable) & (recording.powers > _DIGITAL_SILENCE)
    noise_power = NoiseFloor(recording.powers, probabilities, usable).noise_power()
    share = speech.sum() / max((around & (recording.powers > _DIGITAL_SILENCE)).sum(), 1)
    return _snr(recording.powers[speech], noise_power, recording.histogram, share)


def chunk_snr(samples: np.ndarray, probabilities: np.ndarray, *, noise_power: float | None = None) -> Snr:
    """Speech over noise of a chunk of a few seconds.

    Args:
        samples: float32 at 16 kHz, full scale 1.0, of 16 bits.
        probabilities: of its frames, `recording_probabilities[frames_between(start_sample, end_sample)]`.
        noise_power: of the pauses around it (`NoiseFloor.noise_power_around`), for a chunk with less than a
            second of pauses of its own.
    """
    count = -(-len(samples) // FRAME_SAMPLES)
    probabilities = np.asarray(probabilities, dtype=np.float32)[:count]
    if not 0 <= count - len(probabilities) <= 1:
        raise ValueError(f"{len(samples)} samples are {count} frames, but there are {len(probabilities)} probabilities")
    probabilities = np.pad(
        probabilities, (0, count - len(probabilities)), mode="edge" if len(probabilities) else "constant"
    )
    steps = np.rint(samples * np.float32(_STEPS)).astype(np.int64)
    powers = _powers(steps, float(steps.mean()) if len(steps) else 0.0)
    around = _around_speech(probabilities, None) & (powers > _DIGITAL_SILENCE)
    speech = _speech(probabilities, None) & (powers > _DIGITAL_SILENCE)
    pauses = powers[_pauses(powers, probabilities, None)]
    if noise_power is None or len(pauses) >= _OWN_FRAMES:
        own = _noise_power(pauses)
        noise_power = noise_power if own is None else own
    histogram = _histogram(_framed(steps)[around].reshape(-1))
    return _snr(powers[speech], noise_power, histogram, speech.sum() / max(around.sum(), 1))


class _Recording:
    """Frame powers of a file, and a histogram of the 16-bit values in chosen frames, in one pass."""

    def __init__(self, wav_path: Path, chosen: np.ndarray | None = None) -> None:
        import soundfile

        self.histogram = np.zeros(2 * _STEPS, np.int64)
        powers, sums, samples, first = [np.zeros(0)], [np.zeros(0)], 0, 0
        with soundfile.SoundFile(wav_path) as audio:
            if audio.samplerate != SAMPLE_RATE_HZ or audio.channels != 1:
                raise ValueError(
                    f"{wav_path} has {audio.samplerate} Hz and {audio.channels} channels; speech over noise needs "
                    f"{SAMPLE_RATE_HZ} Hz mono. Give the file of the standard_audio stage."
                )
            for steps in audio.blocks(blocksize=_BLOCK_FRAMES * FRAME_SAMPLES, dtype="int16"):
                frames = _framed(steps.astype(np.int64))
                block_powers = _powers(steps.astype(np.int64), 0.0)
                powers.append(block_powers)
                sums.append(frames.sum(axis=1))
                samples += len(steps)
                if chosen is not None:
                    wanted = chosen[first : first + len(frames)]
                    wanted = np.pad(wanted, (0, len(frames) - len(wanted)))
                    self.histogram += _histogram(frames[wanted & (block_powers > _DIGITAL_SILENCE)].reshape(-1))
                first += len(frames)
        mean = float(np.concatenate(sums).sum()) / max(samples, 1)
        # sum((x - m)^2) = sum(x^2) - 2 m sum(x) + n m^2, which saves a second pass for the mean.
        counts = np.clip(samples - np.arange(first) * FRAME_SAMPLES, 0, FRAME_SAMPLES)
        offset = (2 * mean * np.concatenate(sums) - counts * mean**2) / FRAME_SAMPLES / _STEPS**2
        self.powers = np.maximum(np.concatenate(powers) - offset, 0.0)


def _check(frames: int, probabilities: np.ndarray, usable: np.ndarray | None) -> None:
    counts = {len(probabilities), frames} | ({len(usable)} if usable is not None else set())
    if len(counts) > 1:
        raise ValueError(
            f"the recording has {frames} frames of {FRAME_SAMPLES} samples, but there are {len(probabilities)} "
            f"probabilities{'' if usable is None else f' and {len(usable)} usable flags'}: make them from this recording"
        )


def _speech(probabilities: np.ndarray, usable: np.ndarray | None) -> np.ndarray:
    return (probabilities >= _SPEECH) & (True if usable is None else usable)


def _pauses(powers: np.ndarray, probabilities: np.ndarray, usable: np.ndarray | None) -> np.ndarray:
    quiet = (probabilities < _NO_SPEECH) & (powers > _DIGITAL_SILENCE) & (True if usable is None else usable)
    speech = probabilities >= _SPEECH
    inner = quiet & ~_widened(speech, _EDGE_FRAMES)
    pauses = inner if inner.sum() >= _FEWEST_FRAMES else quiet
    if not pauses.any() or not speech.any():
        return pauses
    # At a start Silero notices a voice late: what is louder than the speech right before it is no noise.
    loud = powers > powers[speech].mean()
    return pauses & ~(loud & _widened(speech, _LATE_ONSET_FRAMES))


def _around_speech(probabilities: np.ndarray, usable: np.ndarray | None) -> np.ndarray:
    return _widened(_speech(probabilities, usable), _AROUND_FRAMES) & (True if usable is None else usable)


def _widened(flags: np.ndarray, frames: int) -> np.ndarray:
    """True where a flag is set at most `frames` frames away."""
    if not len(flags):
        return flags
    counts = np.concatenate(([0], np.cumsum(flags)))
    places = np.arange(len(flags))
    return counts[np.minimum(places + frames + 1, len(flags))] > counts[np.maximum(places - frames, 0)]


def _noise_power(powers: np.ndarray) -> float | None:
    """Mean power of the frames of pauses, without the speech that VAD missed in them.

    Such speech makes the upper half of the levels wider than the lower one. The lower half says what the spread
    is; what lies too far above the median counts with the limit, but not below a log-normal distribution's mean.
    """
    if len(powers) < _FEWEST_FRAMES:
        return None
    low, median = np.percentile(10 * np.log10(powers), [16, 50])
    spread = median - low
    log_normal = 10 ** ((median + np.log(10) / 20 * spread**2) / 10)
    limit = 10 ** ((median + _OUTLIER_SPREADS * max(spread, 1.0)) / 10)
    limited = float(np.minimum(powers, limit).mean())
    return float(min(powers.mean(), max(limited, log_normal)))


def _snr(speech: np.ndarray, noise_power: float | None, histogram: np.ndarray, speech_share: float) -> Snr:
    if not len(speech):
        return Snr(None, None)
    wada_db = _limited(_wada_db(histogram) - 10 * np.log10(speech_share))
    if noise_power is None:
        return Snr(wada_db, None)
    noise_power = max(noise_power, _DIGITAL_SILENCE)
    ratio = float(speech.mean()) / noise_power - 1
    return Snr(wada_db, _limited(10 * np.log10(max(ratio, 10 ** (LOWEST_DB / 10)))))


def _limited(value_db: float) -> float:
    return float(np.clip(value_db, LOWEST_DB, HIGHEST_DB))


def _wada_db(histogram: np.ndarray) -> float:
    """SNR of samples given by the counts of their 16-bit values."""
    count = histogram.sum()
    if not count:
        return LOWEST_DB
    values = np.arange(-_STEPS, _STEPS)
    magnitudes = np.maximum(np.abs(values - (histogram @ values) / count), _ZERO_STEPS)
    statistic = np.log(histogram @ magnitudes / count) - histogram @ np.log(magnitudes) / count
    table_db, statistics = _wada_table(WADA_SHAPE)
    return float(np.interp(statistic, statistics, table_db))


@lru_cache
def _wada_table(shape: float) -> tuple[np.ndarray, np.ndarray]:
    """SNR in dB, and the value of ln E|x| - E ln|x| that it gives, for x = speech + noise.

    Speech is gamma distributed in amplitude and of random sign, noise is Gaussian. Given the speech sample, in
    units of the noise's deviation, E|x| is the mean of a folded normal distribution, and E ln|x| has the derivative
    sqrt(2) * Dawson(m / sqrt(2)); so only the mean over the speech samples is left to integrate.
    """
    from scipy.special import dawsn, gammaln, ndtr

    log_speech = np.linspace(-60.0, np.log(60.0), 20_001)
    speech = np.exp(log_speech)
    weights = np.exp(shape * log_speech - speech - gammaln(shape))
    weights /= weights.sum()

    grid = np.concatenate(([0.0], np.geomspace(1e-4, 1e9, 200_001)))
    slope = np.sqrt(2) * dawsn(grid / np.sqrt(2))
    rise = np.cumsum((slope[1:] + slope[:-1]) / 2 * np.diff(grid))
    mean_log = np.concatenate(([0.0], rise)) - (np.euler_gamma + np.log(2)) / 2

    table_db = np.arange(LOWEST_DB, 101.0)
    statistics = []
    for snr_db in table_db:
        deviation = np.sqrt(shape * (shape + 1) / 10 ** (snr_db / 10))
        means = speech / deviation
        folded = np.sqrt(2 / np.pi) * np.exp(-(means**2) / 2) + means * (1 - 2 * ndtr(-means))
        log_mean = np.log(deviation * (weights @ folded))
        statistics.append(log_mean - np.log(deviation) - weights @ np.interp(means, grid, mean_log))
    return table_db, np.array(statistics)


def _framed(steps: np.ndarray) -> np.ndarray:
    frames = np.zeros((-(-len(steps) // FRAME_SAMPLES), FRAME_SAMPLES), steps.dtype)
    frames.reshape(-1)[: len(steps)] = steps
    return frames


def _powers(steps: np.ndarray, mean: float) -> np.ndarray:
    return np.mean(np.square(_framed(steps - mean), dtype=np.float64), axis=1) / _STEPS**2


def _histogram(steps: np.ndarray) -> np.ndarray:
    return np.bincount(steps.clip(-_STEPS, _STEPS - 1) + _STEPS, minlength=2 * _STEPS)
