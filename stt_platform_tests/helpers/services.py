"""Church services put together from pieces, so that what sounds is known to the sample.

A service is a row of pieces, each of one label, joined by short cross-fades over the room's own tone, dry or in a
church. The middle of a cross-fade is the border: at no sample is the truth more than half a fade away. What rings on
in a church after a piece has ended counts as the next piece. Short pauses within a piece belong to it.

Levels are those of a real service: the organ and the congregation are louder than the preacher, what moves in the pews
is softer, and where nothing happens the room's tone stays.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from itertools import pairwise
from pathlib import Path

import numpy as np

from stt_platform.audio import SAMPLE_RATE_HZ
from stt_platform.audio.classify import SoundSegment
from stt_platform.audio.standardise import standardise
from stt_platform.demo.acoustics import hall_impulse_response, pink_noise
from stt_platform.demo.music import organ_interlude
from stt_platform.speech.voices import Preacher, speak

LEVEL_DBFS = {"speech": -26.0, "speech_over_music": -26.0, "music": -22.0, "singing": -21.0, "noise": -36.0}
"""Root mean square of a piece while it sounds."""

SHARED = {
    "columbia": "audio/public_speaking/columbia_bush_2003.wma",
    "radio": "audio/public_speaking/gb0_bush_radio_2008.wav",
    "jfk": "audio/public_speaking/jfk.flac",
    "two_cities": "audio/audiobook/two_cities_16k.wav",
    "sonnet": "audio/audiobook/sonnet_001.mp3",
    "ami_0": "audio/conversation/ami_dev00.wav",
    "ami_1": "audio/conversation/ami_dev01.wav",
    "vibe_ace": "audio/mix_music_noise/Kevin_MacLeod_-_Vibe_Ace.ogg",
    "hungarian_dance": "audio/mix_music_noise/Hungarian_Dance_number_5_-_Allegro_in_F_sharp_minor_string_orchestra.ogg",
    "solo_singing": "audio/mix_music_noise/singing_8000.wav",
    "dishes": "audio/mix_music_noise/doing_the_dishes.wav",
    "noise_1": "audio/mix_music_noise/sb_noise1.wav",
    "noise_2": "audio/mix_music_noise/sb_noise2.wav",
    "noise_3": "audio/mix_music_noise/sb_noise3.wav",
    "church": "audio/rir/openair_st_andrews_church.wav",
}
"""The shared recordings by short names."""

_CROSS_FADE_S = 0.05
_LONGEST_PAUSE_S = 1.0
_LEVEL_FRAME = 320


@dataclass(frozen=True)
class Piece:
    """A stretch of one label: float32 samples at 16 kHz of any level; `gain_db` is added to the level of its label."""

    label: str
    samples: np.ndarray
    gain_db: float = 0.0


@dataclass(frozen=True)
class Service:
    """A recording, float32 `(samples,)` at 16 kHz, and what sounds in it, to the sample."""

    samples: np.ndarray
    truth: list[SoundSegment]

    def write(self, path: Path) -> Path:
        """Write it as the 16-bit file that the stages read."""
        import soundfile

        soundfile.write(path, self.samples, SAMPLE_RATE_HZ, subtype="PCM_16")
        return path


# Pieces


def speech(*recordings: np.ndarray, gap_s: float = 0.5, gain_db: float = 0.0) -> Piece:
    """One or more recordings of someone speaking, with `gap_s` between them and no pause over 1 s within."""
    return Piece("speech", _with_gaps([shortened_pauses(samples) for samples in recordings], gap_s), gain_db)


def speech_over_music(spoken: np.ndarray, music: np.ndarray, *, speech_to_music_db: float) -> Piece:
    """Someone speaking while music plays on; the ratio is of the levels while each sounds."""
    spoken = shortened_pauses(spoken)
    bed = looped(music, spoken.size / SAMPLE_RATE_HZ)
    return Piece("speech_over_music", _at_level(spoken, 0.0) + _at_level(bed, -speech_to_music_db))


def music(samples: np.ndarray, *, gain_db: float = 0.0) -> Piece:
    return Piece("music", samples, gain_db)


def singing(samples: np.ndarray, *, gain_db: float = 0.0) -> Piece:
    return Piece("singing", samples, gain_db)


def noise(samples: np.ndarray, *, gain_db: float = 0.0) -> Piece:
    return Piece("noise", samples, gain_db)


def silence(duration_s: float) -> Piece:
    return Piece("silence", np.zeros(round(duration_s * SAMPLE_RATE_HZ), np.float32))


# Services


def compose(
    pieces: Sequence[Piece],
    *,
    seed: int = 0,
    impulse_response: np.ndarray | None = None,
    room_tone_dbfs: float = -75.0,
    cross_fade_s: float = _CROSS_FADE_S,
) -> Service:
    """Join pieces to a service.

    Args:
        pieces: in order; each longer than two cross-fades.
        seed: of the room's tone.
        impulse_response: of the room, the direct sound first; None for a dry recording.
        room_tone_dbfs: level of the pink noise that lies under everything.
        cross_fade_s: neighbours overlap by this much.
    """
    fade = round(cross_fade_s * SAMPLE_RATE_HZ)
    starts = np.cumsum([0] + [piece.samples.size - fade for piece in pieces])
    total = int(starts[-1]) + fade
    mix = np.zeros(total)
    truth: list[SoundSegment] = []
    ramp = np.linspace(0.0, 1.0, fade)
    for number, (piece, start) in enumerate(zip(pieces, starts, strict=False)):
        if piece.samples.size <= 2 * fade:
            raise ValueError(f"piece {number} ({piece.label}) is not longer than two cross-fades of {cross_fade_s} s")
        sound = _at_level(piece.samples, LEVEL_DBFS.get(piece.label, 0.0) + piece.gain_db).astype(np.float64)
        if number > 0:
            sound[:fade] *= ramp
        if number < len(pieces) - 1:
            sound[-fade:] *= ramp[::-1]
        mix[start : start + sound.size] += sound
        start_sample = truth[-1].end_sample if truth else 0
        end_sample = int(starts[number + 1]) + fade // 2 if number < len(pieces) - 1 else total
        if truth and truth[-1].label == piece.label:
            truth[-1] = SoundSegment(truth[-1].start_sample, end_sample, piece.label)
        else:
            truth.append(SoundSegment(start_sample, end_sample, piece.label))
    if impulse_response is not None:
        from scipy.signal import oaconvolve

        mix = oaconvolve(mix, impulse_response)[:total]
    tone = pink_noise(total, SAMPLE_RATE_HZ, np.random.default_rng(seed))
    mix += tone * 10 ** (room_tone_dbfs / 20)
    return Service(np.clip(mix, -1.0, 1.0).astype(np.float32), truth)


def frame_accuracy(
    segments: Iterable[SoundSegment],
    truth: Iterable[SoundSegment],
    positive_labels: Iterable[str],
    *,
    left_out_labels: Iterable[str] = (),
    frame: int = 160,
) -> float:
    """The share of frames on which two labellings agree whether one of `positive_labels` sounds.

    Args:
        left_out_labels: frames that are truly one of these do not count.
        frame: samples in a frame; the label at the middle of a frame is the frame's.
    """
    found, true = list(segments), list(truth)
    positive, left_out = set(positive_labels), set(left_out_labels)
    middles = np.arange(frame // 2, true[-1].end_sample, frame)
    found_labels, true_labels = labels_at(found, middles), labels_at(true, middles)
    counted = ~np.isin(true_labels, list(left_out))
    agree = np.isin(found_labels, list(positive)) == np.isin(true_labels, list(positive))
    return float(agree[counted].mean())


def labels_at(segments: Sequence[SoundSegment], positions: np.ndarray) -> np.ndarray:
    """The label at each sample position."""
    starts = np.array([segment.start_sample for segment in segments])
    labels = np.array([segment.label for segment in segments])
    return labels[np.searchsorted(starts, positions, side="right") - 1]


# Material


@cache
def load(path: Path) -> np.ndarray:
    """Any sound file as the platform hears it: float32 `(samples,)`, 16 kHz mono; not writeable."""
    import soundfile

    with tempfile.TemporaryDirectory() as folder:
        standardise(path, Path(folder) / "audio.wav")
        samples, _ = soundfile.read(Path(folder) / "audio.wav", dtype="float32")
    samples.setflags(write=False)
    return samples


def shared(test_data: Path, name: str) -> np.ndarray:
    """A shared recording by its name in `SHARED`, or by its path below the folder of shared recordings."""
    return load(test_data / SHARED.get(name, name))


def readings(test_data: Path, first: int, last: int) -> np.ndarray:
    """Sentences `first` to `last` of the LJ Speech reader, joined."""
    return _with_gaps([shared(test_data, f"audio/ljspeech/LJ001-{n:04d}.flac") for n in range(first, last + 1)], 0.4)


def librispeech(test_data: Path, speaker: str) -> np.ndarray:
    """The ten sentences of a speaker of test-other ('1688', '1998', '2033', '2414', '2609', '3005'), joined."""
    paths = sorted((test_data / "audio" / "librispeech" / "test-other").glob(f"{speaker}-*.flac"))
    return _with_gaps([load(path) for path in paths], 0.4)


def church_impulse_response(test_data: Path) -> np.ndarray:
    """St Andrew's Church from its direct sound on, energy 1."""
    return _from_direct_sound(shared(test_data, "church"))


def hall(seed: int = 0, *, rt60_s: float = 1.6) -> np.ndarray:
    """A made-up hall, energy 1."""
    rng = np.random.default_rng(seed)
    return _from_direct_sound(
        hall_impulse_response(SAMPLE_RATE_HZ, rt60_s=rt60_s, direct_to_reverberant_db=3.0, rng=rng)
    )


def two_speakers() -> np.ndarray:
    """Half a minute of conversation, real, packaged with pyannote.audio."""
    return load(Path(str(files("pyannote.audio") / "sample" / "sample.wav")))


@cache
def preacher(text: str, *, pitch: float = 1.0, seed: int = 0) -> np.ndarray:
    """A text in the packaged voice."""
    voice = Preacher(name="A preacher", pitch=pitch, pace=1.0, liveliness=0.03, pause_s=0.5, tilt_db=0.0)
    (spoken,) = speak([text], voice, seed=seed, rate_hz=SAMPLE_RATE_HZ)
    return spoken.astype(np.float32)


def organ(duration_s: float, *, seed: int = 0) -> np.ndarray:
    """The demo's organ."""
    return organ_interlude(duration_s, SAMPLE_RATE_HZ, np.random.default_rng(seed)).astype(np.float32)


def congregation(solo: np.ndarray, *, voices: int = 8, seed: int = 0) -> np.ndarray:
    """Many voices from one: each a little late, a little out of tune, some an octave lower."""
    import soxr

    rng = np.random.default_rng(seed)
    sound = np.zeros(solo.size)
    for number in range(voices):
        cents = rng.uniform(-25, 25)
        voice = soxr.resample(solo, SAMPLE_RATE_HZ * 2 ** (cents / 1200), SAMPLE_RATE_HZ)
        delay = 0 if number == 0 else int(rng.uniform(0.0, 0.08) * SAMPLE_RATE_HZ)
        length = min(voice.size, solo.size - delay)
        sound[delay : delay + length] += rng.uniform(0.5, 1.0) * voice[:length]
    return sound.astype(np.float32)


def accompanied(sung: np.ndarray, accompaniment: np.ndarray, *, voices_to_music_db: float = 3.0) -> np.ndarray:
    """Singing with instruments."""
    bed = looped(accompaniment, sung.size / SAMPLE_RATE_HZ)
    return _at_level(sung, 0.0) + _at_level(bed, -voices_to_music_db)


def looped(samples: np.ndarray, duration_s: float, *, offset_s: float = 0.0) -> np.ndarray:
    """Repeated or cut to a length, starting `offset_s` into it; the joins are faded over 20 ms."""
    faded = samples.astype(np.float32)
    fade = min(SAMPLE_RATE_HZ // 50, samples.size // 2)
    ramp = np.linspace(0.0, 1.0, fade, dtype=np.float32)
    faded[:fade] *= ramp
    faded[faded.size - fade :] *= ramp[::-1]
    wanted = round(duration_s * SAMPLE_RATE_HZ)
    start = round(offset_s * SAMPLE_RATE_HZ) % samples.size
    return np.resize(np.roll(faded, -start), wanted)


def cut(samples: np.ndarray, start_s: float, end_s: float) -> np.ndarray:
    return samples[round(start_s * SAMPLE_RATE_HZ) : round(end_s * SAMPLE_RATE_HZ)]


def shortened_pauses(samples: np.ndarray, *, longest_s: float = _LONGEST_PAUSE_S, below_db: float = 30.0) -> np.ndarray:
    """Without what is over `longest_s` of each pause: stretches `below_db` under the level while it sounds.

    Pauses at the two ends go altogether.
    """
    levels = _frame_levels_db(samples)
    sounding = levels > _sounding_level_db(levels) - below_db
    loud = np.flatnonzero(sounding)
    keep = np.zeros(levels.size, bool)
    keep[loud[0] : loud[-1] + 1] = True
    half = round(longest_s * SAMPLE_RATE_HZ / _LEVEL_FRAME / 2)
    for before, after in pairwise(loud):
        if after - before - 1 > 2 * half:
            keep[before + 1 + half : after - half] = False
    return samples[: keep.size * _LEVEL_FRAME].reshape(-1, _LEVEL_FRAME)[keep].reshape(-1)


# Services that many tests use


def shared_service(test_data: Path, name: str, *, in_church: bool = False) -> Service:
    """One of the services in `SHARED_SERVICES`, from the shared recordings, 2 to 4 minutes."""
    room = church_impulse_response(test_data) if in_church else None
    return compose(SHARED_SERVICES[name](test_data), seed=len(name), impulse_response=room)


def packaged_service(*, in_hall: bool = False) -> Service:
    """A minute and a half from what comes with installed packages and the demo; needs no shared recordings."""
    conversation = two_speakers()
    welcome = preacher(
        "Good morning, friends, and welcome. Let us open our Bibles at the Gospel of John. "
        "There was a ruler who came by night, because he was afraid of his own friends. "
        "The wind blows where it will, and nobody can tell where it comes from.",
        seed=3,
    )
    over = preacher(
        "As the organ plays, let us think of those who cannot be with us this morning. "
        "We remember the sick, and we remember those who travel.",
        seed=4,
    )
    rng = np.random.default_rng(5)
    pieces = [
        silence(4.0),
        music(organ(12.0, seed=1)),
        silence(2.5),
        speech(welcome),
        music(organ(9.0, seed=2)),
        speech(cut(conversation, 6.0, 30.0)),
        noise(pink_noise(6 * SAMPLE_RATE_HZ, SAMPLE_RATE_HZ, rng).astype(np.float32)),
        speech_over_music(over, organ(20.0, seed=3), speech_to_music_db=6.0),
        music(organ(8.0, seed=4)),
        silence(4.0),
    ]
    return compose(pieces, seed=5, impulse_response=hall(6) if in_hall else None)


def _morning(test_data: Path) -> list[Piece]:
    solo = shared(test_data, "solo_singing")
    hymn = accompanied(congregation(looped(solo, 24.0), seed=1), organ(24.0, seed=1))
    address = shared(test_data, "radio")
    return [
        silence(5.0),
        music(cut(shared(test_data, "hungarian_dance"), 0.0, 25.0)),
        speech(readings(test_data, 1, 4)),
        singing(hymn),
        silence(3.0),
        speech(cut(address, 0.0, 60.0)),
        noise(cut(shared(test_data, "dishes"), 5.0, 13.0)),
        speech_over_music(cut(address, 60.0, 85.0), organ(30.0, seed=2), speech_to_music_db=8.0),
        music(organ(15.0, seed=3)),
        silence(4.0),
    ]


def _evening(test_data: Path) -> list[Piece]:
    solo = shared(test_data, "solo_singing")
    address = shared(test_data, "columbia")
    return [
        noise(cut(shared(test_data, "dishes"), 30.0, 40.0)),
        speech(librispeech(test_data, "1688")[: 40 * SAMPLE_RATE_HZ]),
        singing(looped(solo, 18.0)),
        speech(cut(address, 0.0, 70.0)),
        music(cut(shared(test_data, "vibe_ace"), 0.0, 30.0)),
        silence(6.0),
        speech(cut(shared(test_data, "two_cities"), 0.0, 30.0)),
        speech_over_music(
            cut(address, 70.0, 110.0), cut(shared(test_data, "vibe_ace"), 30.0, 60.0), speech_to_music_db=5.0
        ),
        singing(accompanied(looped(solo, 15.0), cut(shared(test_data, "hungarian_dance"), 5.0, 25.0))),
    ]


def _chapel(test_data: Path) -> list[Piece]:
    solo = shared(test_data, "solo_singing")
    return [
        music(organ(20.0, seed=7)),
        speech(librispeech(test_data, "2609")[: 45 * SAMPLE_RATE_HZ]),
        silence(2.5),
        singing(congregation(looped(solo, 20.0), voices=5, seed=8)),
        speech(readings(test_data, 10, 15), shared(test_data, "jfk")),
        noise(shared(test_data, "noise_3")),
        speech(librispeech(test_data, "3005")[: 30 * SAMPLE_RATE_HZ]),
        music(cut(shared(test_data, "hungarian_dance"), 12.0, 37.0)),
        speech_over_music(
            librispeech(test_data, "2414")[: 20 * SAMPLE_RATE_HZ],
            cut(shared(test_data, "hungarian_dance"), 0.0, 20.0),
            speech_to_music_db=10.0,
        ),
        silence(5.0),
    ]


SHARED_SERVICES = {"morning": _morning, "evening": _evening, "chapel": _chapel}


def _with_gaps(recordings: Sequence[np.ndarray], gap_s: float) -> np.ndarray:
    gap = np.zeros(round(gap_s * SAMPLE_RATE_HZ), np.float32)
    parts = [part for samples in recordings for part in (samples, gap)]
    return np.concatenate(parts[:-1])


def _from_direct_sound(response: np.ndarray) -> np.ndarray:
    direct = response[np.argmax(np.abs(response)) :]
    return direct / np.sqrt(np.sum(direct.astype(np.float64) ** 2))


def _frame_levels_db(samples: np.ndarray) -> np.ndarray:
    frames = samples[: samples.size // _LEVEL_FRAME * _LEVEL_FRAME].reshape(-1, _LEVEL_FRAME)
    return 10 * np.log10(np.mean(frames.astype(np.float64) ** 2, axis=1) + 1e-12)


def _sounding_level_db(levels: np.ndarray) -> float:
    """Mean power of the frames that are less than 30 dB below the loudest, so that pauses do not count."""
    return float(10 * np.log10(np.mean(10 ** (levels[levels > levels.max() - 30.0] / 10))))


def _at_level(samples: np.ndarray, level_dbfs: float) -> np.ndarray:
    """Scaled so that its level while it sounds is `level_dbfs`; silence stays silence."""
    levels = _frame_levels_db(samples)
    if levels.max() < -100.0:
        return samples.astype(np.float32)
    return (samples * 10 ** ((level_dbfs - _sounding_level_db(levels)) / 20)).astype(np.float32)
