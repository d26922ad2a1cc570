"""Who speaks when, by weights that come inside an installed package: no network, no graphics card.

Windows of ten seconds are segmented into local speakers, whose speech is embedded in pieces of 1.5 s. Pieces of
one local speaker that sound alike are joined first, windows after that, by average linkage on the cosine distance.
The two steps mend what the segmentation misses: two voices that it takes for one.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import numpy as np

from stt_platform.audio import SAMPLE_RATE_HZ
from stt_platform.audio.speaker_models import (
    FIRST_FRAME_SAMPLE,
    FRAME_STEP_SAMPLES,
    LOCAL_SPEAKERS,
    MIN_VOICE_SAMPLES,
    WINDOW_FRAMES,
    WINDOW_SAMPLES,
    SpeakerModels,
    load_speaker_models,
)
from stt_platform.audio.turns import Turn, name_by_speech_time
from stt_platform.audio.vad import FRAME_SAMPLES

Progress = Callable[[float], None]

# A quarter of a window, in whole frames, so that all windows share one grid. Every second is heard four times,
# and its pieces of 1.5 s, side by side within a window, begin elsewhere each time.
_HOP_FRAMES = 148
_HOP_SAMPLES = _HOP_FRAMES * FRAME_STEP_SAMPLES
_PIECE_FRAMES = 88
_MIN_PIECE_FRAMES = -(-MIN_VOICE_SAMPLES // FRAME_STEP_SAMPLES)

# Mean cosine distances. One speaker, dry and in a church, quiet and in noise, five years older, stays below 0.36;
# two of the same sex are mostly 0.48 and more apart. Taking a preacher for two costs more than the reverse. Pieces
# of 1.5 s scatter more than the turns they make up.
_SAME_VOICE_IN_WINDOW = 0.53
_SAME_VOICE = 0.41
# Speakers that the segmentation holds apart in the same windows, for this share of their time, are two people
# unless their voices are as near as this.
_SAME_VOICE_THOUGH_APART = 0.30
_APART_SHARE = 0.3
# Bounds the time in hours of crowd and noise, where no two windows sound alike.
_MAX_CLUSTERS = 300
_MIN_TURN_TO_CLUSTER_FRAMES = 59
_MIN_SPEAKER_S = 2.0

_SPEECH_THRESHOLD = 0.5
_VAD_MARGIN_FRAMES = 16
_MAX_WORKERS = 4


@dataclass(frozen=True)
class _Piece:
    """At most 1.5 s of one local speaker alone, in frames of its window."""

    local: int
    start: int
    end: int
    voice: np.ndarray


@dataclass(frozen=True)
class _Window:
    """Ten seconds: who speaks in which frame, and what the pieces sound like."""

    active: np.ndarray
    pieces: tuple[_Piece, ...]


@dataclass(frozen=True)
class _Group:
    """Pieces of one local speaker of one window that are one voice."""

    window: int
    local: int
    pieces: tuple[int, ...]
    frames: int
    voice: np.ndarray


def diarize_packaged(
    wav_path: Path,
    *,
    probabilities: np.ndarray | None = None,
    min_speakers: int = 1,
    max_speakers: int = 20,
    progress: Progress | None = None,
) -> list[Turn]:
    """Speaker turns by the packaged weights, on the CPU and in bounded memory.

    The same file gives the same turns whatever the number of cores: each window is computed by itself, on one
    thread.

    Args:
        wav_path: a 16 kHz mono audio file of any length.
        probabilities: speech probability of each VAD frame of 512 samples, shape `(frames,)`; what is further than
            0.5 s from speech in them (set them to zero in songs) belongs to no turn, and is not looked at.
        min_speakers, max_speakers: how many speakers to find. Fewer are found where there are not so many voices
            with 1 s of speech in one piece.
        progress: called with the seconds done so far.

    Returns:
        Turns in order of their start. A voice with less than 2 s of speech counts as its most similar speaker.

    Raises:
        ValueError: the file is not 16 kHz mono, the probabilities are not of this file, or the limits contradict.
    """
    import soundfile

    if not 1 <= min_speakers <= max_speakers:
        raise ValueError(
            f"min_speakers={min_speakers}, max_speakers={max_speakers}: 1 <= min_speakers <= max_speakers must hold."
        )
    info = soundfile.info(wav_path)
    if info.samplerate != SAMPLE_RATE_HZ or info.channels != 1:
        raise ValueError(
            f"{wav_path} has {info.samplerate} Hz and {info.channels} channels; diarization needs "
            f"{SAMPLE_RATE_HZ} Hz mono. Give the file of the standard_audio stage."
        )
    total = info.frames
    if probabilities is not None and probabilities.shape != (-(-total // FRAME_SAMPLES),):
        raise ValueError(
            f"{wav_path} has {-(-total // FRAME_SAMPLES)} frames of {FRAME_SAMPLES} samples, but there are "
            f"{len(probabilities)} probabilities; compute them from this recording."
        )
    if total == 0:
        return []
    count = max(1, -(-(total - WINDOW_SAMPLES) // _HOP_SAMPLES) + 1)
    audible = _audible_frames(probabilities, (count - 1) * _HOP_FRAMES + WINDOW_FRAMES)
    windows = _windows(wav_path, count, audible, total, progress)
    groups = [group for number, window in enumerate(windows) for group in _groups(number, window)]
    if not groups:
        return []
    voices = _speaker_voices(groups, min_speakers, max_speakers)
    frames = _speakers_by_frame(windows, groups, voices)
    turns = [
        Turn(_sample_of(start), min(_sample_of(end), total), str(speaker))
        for speaker in range(len(voices))
        for start, end in _runs(frames[:, speaker])
    ]
    return name_by_speech_time([turn for turn in turns if turn.start_sample < turn.end_sample])


def _windows(wav_path: Path, count: int, audible: np.ndarray, total: int, progress: Progress | None) -> list[_Window]:
    import torch

    models = load_speaker_models()

    def heard(number: int) -> _Window:
        first = number * _HOP_FRAMES
        return _hear(models, wav_path, number, audible[first : first + WINDOW_FRAMES])

    # On one thread each, sums are added in one order: the result does not depend on the machine. The count of
    # threads is taken over by threads that torch meets later, hence put back.
    threads = torch.get_num_threads()
    workers = min(_MAX_WORKERS, os.cpu_count() or 1)
    pool = ThreadPoolExecutor(workers, initializer=torch.set_num_threads, initargs=(1,))
    windows = []
    try:
        for window in pool.map(heard, range(count)):
            windows.append(window)
            if progress:
                done = (len(windows) - 1) * _HOP_SAMPLES + WINDOW_SAMPLES
                progress(min(done, total) / SAMPLE_RATE_HZ)
    finally:
        pool.shutdown(cancel_futures=True)
        torch.set_num_threads(threads)
    return windows


def _hear(models: SpeakerModels, wav_path: Path, number: int, audible: np.ndarray) -> _Window:
    import soundfile

    if not audible.any():
        return _Window(np.zeros((WINDOW_FRAMES, LOCAL_SPEAKERS), dtype=bool), ())
    with soundfile.SoundFile(wav_path) as audio:
        audio.seek(number * _HOP_SAMPLES)
        samples = audio.read(WINDOW_SAMPLES, dtype="float32", fill_value=0.0)
    active = models.speakers_in(samples) & audible[:, None]
    alone = active & (active.sum(axis=1, keepdims=True) == 1)
    pieces = []
    for local in range(LOCAL_SPEAKERS):
        for start, end in _pieces(alone[:, local]):
            sound = samples[FIRST_FRAME_SAMPLE + start * FRAME_STEP_SAMPLES :][: (end - start) * FRAME_STEP_SAMPLES]
            pieces.append(_Piece(local, start, end, models.voice(sound)))
    return _Window(active, tuple(pieces))


def _pieces(alone: np.ndarray) -> list[tuple[int, int]]:
    """Pieces of at most 1.5 s that cover each run, evenly spread; none shorter than 0.4 s."""
    pieces = []
    for start, end in _runs(alone):
        if end - start < _MIN_PIECE_FRAMES:
            continue
        last = max(start, end - _PIECE_FRAMES)
        count = -(-(last - start) // _PIECE_FRAMES) + 1
        pieces += [(int(at), min(end, int(at) + _PIECE_FRAMES)) for at in np.linspace(start, last, count).astype(int)]
    return pieces


def _groups(number: int, window: _Window) -> list[_Group]:
    groups = []
    for local in range(LOCAL_SPEAKERS):
        own = [i for i, piece in enumerate(window.pieces) if piece.local == local]
        if not own:
            continue
        voices = np.array([window.pieces[i].voice for i in own])
        lengths = np.array([window.pieces[i].end - window.pieces[i].start for i in own])
        labels = _linked(voices, _SAME_VOICE_IN_WINDOW)
        for label in range(labels.max() + 1):
            chosen = labels == label
            covered = np.zeros(WINDOW_FRAMES, dtype=bool)
            members = tuple(i for i, is_in in zip(own, chosen, strict=True) if is_in)
            for i in members:
                covered[window.pieces[i].start : window.pieces[i].end] = True
            voice = _unit((voices[chosen] * lengths[chosen, None]).sum(axis=0))
            groups.append(_Group(number, local, members, int(covered.sum()), voice))
    return groups


def _linked(voices: np.ndarray, distance: float) -> np.ndarray:
    """Labels from 0 of average-linkage clusters that are no further than a cosine distance apart."""
    from scipy.cluster.hierarchy import fcluster, linkage

    if len(voices) == 1:
        return np.zeros(1, dtype=np.int64)
    tree = linkage(voices, method="average", metric="cosine")
    labels = fcluster(tree, distance, criterion="distance")
    if labels.max() > _MAX_CLUSTERS:
        labels = fcluster(tree, _MAX_CLUSTERS, criterion="maxclust")
    return labels.astype(np.int64) - 1


def _speaker_voices(groups: list[_Group], min_speakers: int, max_speakers: int) -> np.ndarray:
    """Return the mean voice of each speaker, shape `(speakers, 192)`."""
    long_enough = [group for group in groups if group.frames >= _MIN_TURN_TO_CLUSTER_FRAMES] or groups
    voices = np.array([group.voice for group in long_enough])
    frames = np.array([group.frames for group in long_enough], dtype=np.float64)
    labels = _linked(voices, _SAME_VOICE_THOUGH_APART)
    sums = np.array([voices[labels == label].sum(axis=0) for label in range(labels.max() + 1)])
    sizes = np.bincount(labels).astype(np.float64)
    times = np.bincount(labels, weights=frames)
    apart = _frames_apart(long_enough, labels, frames)
    shortest = _MIN_SPEAKER_S * SAMPLE_RATE_HZ / FRAME_STEP_SAMPLES * WINDOW_FRAMES / _HOP_FRAMES

    while len(sizes) > min_speakers:
        # The mean distance of all pairs, from the sums of unit vectors.
        distances = 1.0 - (sums @ sums.T) / np.outer(sizes, sizes)
        np.fill_diagonal(distances, np.inf)
        held_apart = apart >= _APART_SHARE * np.minimum.outer(times, times)
        near = distances <= np.where(held_apart, _SAME_VOICE_THOUGH_APART, _SAME_VOICE)
        if near.any():
            distances = np.where(near, distances, np.inf)
        elif np.count_nonzero(times >= shortest) <= max_speakers:
            break
        a, b = sorted(np.unravel_index(np.argmin(distances), distances.shape))
        for totals in (sums, sizes, times, apart, apart.T):
            totals[a] += totals[b]
        apart = np.delete(np.delete(apart, b, axis=0), b, axis=1)
        sums, sizes, times = (np.delete(totals, b, axis=0) for totals in (sums, sizes, times))
    by_time = np.argsort(-times, kind="stable")
    kept = [c for rank, c in enumerate(by_time) if rank < min_speakers or times[c] >= shortest]
    return _unit(sums[kept])


def _frames_apart(groups: list[_Group], labels: np.ndarray, frames: np.ndarray) -> np.ndarray:
    """For each pair of clusters, the frames in which the segmentation holds them to be two speakers."""
    apart = np.zeros((labels.max() + 1, labels.max() + 1))
    in_window: dict[int, list[int]] = defaultdict(list)
    for i, group in enumerate(groups):
        in_window[group.window].append(i)
    for members in in_window.values():
        for i, j in combinations(members, 2):
            if groups[i].local != groups[j].local and labels[i] != labels[j]:
                both = min(frames[i], frames[j])
                apart[labels[i], labels[j]] += both
                apart[labels[j], labels[i]] += both
    return apart


def _speakers_by_frame(windows: list[_Window], groups: list[_Group], voices: np.ndarray) -> np.ndarray:
    """bool of shape `(frames, speakers)`: as many speakers as the windows count on average, the most voted first."""
    total = (len(windows) - 1) * _HOP_FRAMES + WINDOW_FRAMES
    votes = np.zeros((total, len(voices)), dtype=np.int8)
    speaking, heard = np.zeros(total, dtype=np.int16), np.zeros(total, dtype=np.int16)
    of_window: dict[int, list[_Group]] = defaultdict(list)
    for group in groups:
        of_window[group.window].append(group)
    for number, window in enumerate(windows):
        span = slice(number * _HOP_FRAMES, number * _HOP_FRAMES + WINDOW_FRAMES)
        speaking[span] += window.active.sum(axis=1, dtype=np.int16)
        heard[span] += 1
        spoken = np.zeros((WINDOW_FRAMES, len(voices)), dtype=bool)
        for local in range(LOCAL_SPEAKERS):
            centres, speakers = [], []
            for group in of_window[number]:
                if group.local == local:
                    speaker = int(np.argmax(voices @ group.voice))
                    for i in group.pieces:
                        centres.append((window.pieces[i].start + window.pieces[i].end) / 2)
                        speakers.append(speaker)
            if centres:
                on = np.flatnonzero(window.active[:, local])
                # Overlaps and short words have no piece of their own: the nearest of the same local speaker.
                nearest = np.abs(on[:, None] - np.array(centres)).argmin(axis=1)
                spoken[on, np.array(speakers)[nearest]] = True
        votes[span] += spoken
    wanted = np.rint(speaking / heard)
    order = np.argsort(-votes, axis=1, kind="stable")
    result = np.zeros(votes.shape, dtype=bool)
    for rank in range(min(LOCAL_SPEAKERS, len(voices))):
        rows = np.flatnonzero(wanted > rank)
        columns = order[rows, rank]
        result[rows, columns] = votes[rows, columns] > 0
    return result


def _audible_frames(probabilities: np.ndarray | None, frames: int) -> np.ndarray:
    """Return which frames lie within 0.5 s of a VAD frame with speech."""
    from scipy.ndimage import binary_dilation

    if probabilities is None:
        return np.ones(frames, dtype=bool)
    speech = binary_dilation(probabilities >= _SPEECH_THRESHOLD, iterations=_VAD_MARGIN_FRAMES)
    centres = FIRST_FRAME_SAMPLE + (np.arange(frames) * 2 + 1) * FRAME_STEP_SAMPLES // 2
    inside = centres // FRAME_SAMPLES
    return (inside < len(speech)) & speech[np.minimum(inside, len(speech) - 1)]


def _runs(flags: np.ndarray) -> list[tuple[int, int]]:
    edges = np.flatnonzero(np.diff(flags, prepend=False, append=False))
    return list(zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True))


def _sample_of(frame: int) -> int:
    return FIRST_FRAME_SAMPLE + frame * FRAME_STEP_SAMPLES if frame else 0


def _unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)
