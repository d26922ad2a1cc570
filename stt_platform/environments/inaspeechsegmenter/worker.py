"""Runs inside the isolated environment: inaSpeechSegmenter (Doukhan et al., ICASSP 2018) on recordings of any length.

Speech over music or noise is 'speech'; singing is 'music'; what is below the energy threshold is 'noEnergy'.
"""

import functools
import os
import sys
from pathlib import Path

RATE_HZ = 16_000
FRAME_SAMPLES = 160
WINDOW_SAMPLES = 400
# One decision for every two frames, on the 68 frames around it.
STEP_SAMPLES = 2 * FRAME_SAMPLES
PATCH_FRAMES = 68
ENERGY_RATIO = 0.03
FRAMES_AT_ONCE = 6000
PATCHES_AT_ONCE = 256
# Fixed: the order of sums depends on it.
THREADS = 2


def segment(request, progress):
    """Label a recording.

    Args:
        request: `path` of a 16 kHz mono file that libsndfile reads; `total_samples`, where given, must be its length.
        progress: called with `{"done_s", "total_s"}`, a hundred times at most.

    Returns:
        `segments`: rows of `[label, start_s, end_s]` in order, covering the recording without gaps; every time is that of a
        sample.
    """
    import numpy as np
    import soundfile

    with soundfile.SoundFile(request["path"]) as audio:
        if audio.samplerate != RATE_HZ or audio.channels != 1:
            raise ValueError(
                f"{request['path']} has {audio.samplerate} Hz and {audio.channels} channels; wanted are {RATE_HZ} Hz mono"
            )
        total_samples = audio.frames
        if request.get("total_samples") not in (None, total_samples):
            raise ValueError(f"{request['path']} has {total_samples} samples, not {request['total_samples']}")
        if total_samples < WINDOW_SAMPLES + FRAME_SAMPLES:
            return {"segments": [["noEnergy", 0.0, total_samples / RATE_HZ]] if total_samples else []}
        # Digital silence has no logarithm; the library marks it and goes on, and so do we.
        with np.errstate(divide="ignore", invalid="ignore"):
            mel, log_energy = _features(audio)
            segments = _classified(mel, _by_energy(log_energy), _percents(progress, total_samples))
    ends = [step * STEP_SAMPLES for _, _, step in segments[:-1]] + [total_samples]
    starts = [0, *ends[:-1]]
    return {
        "segments": [
            [label, start / RATE_HZ, end / RATE_HZ]
            for (label, _, _), start, end in zip(segments, starts, ends, strict=True)
        ]
    }


def _percents(progress, total_samples):
    told = 0

    def tell(steps):
        nonlocal told
        done = min(steps * STEP_SAMPLES, total_samples)
        if done - told >= total_samples / 100:
            told = done
            progress({"done_s": done / RATE_HZ, "total_s": total_samples / RATE_HZ})

    return tell


def _features(audio):
    """Mel spectrum `(frames, 24)` and log energy `(frames,)`, piece by piece: the library frames a whole file at once."""
    import numpy as np
    from inaSpeechSegmenter.sidekit_mfcc import mfcc

    frames = (audio.frames - WINDOW_SAMPLES) // FRAME_SAMPLES + 1
    # The library cannot frame a single window, so the last piece is at least two.
    starts = range(0, max(frames - 1, 1), FRAMES_AT_ONCE)
    mels, energies = [], []
    for start, end in zip(starts, [*starts[1:], frames], strict=True):
        audio.seek(start * FRAME_SAMPLES)
        samples = audio.read((end - start - 1) * FRAME_SAMPLES + WINDOW_SAMPLES, dtype="float32")
        _, energy, _, mel = mfcc(samples, get_mspec=True)
        mels.append(mel.astype(np.float32))
        energies.append(energy)
    mel, energy = np.concatenate(mels), np.concatenate(energies)
    if frames < PATCH_FRAMES:
        mel = np.concatenate((mel, np.full((PATCH_FRAMES - frames, mel.shape[1]), mel.min(), np.float32)))
    return mel, energy


def _by_energy(log_energy):
    """`(label, start, end)` in steps: where the recording is loud enough to be looked at."""
    from inaSpeechSegmenter.segmenter import _binidx2seglist, _energy_activity

    found = _binidx2seglist(_energy_activity(log_energy, ENERGY_RATIO)[::2])
    return [("energy" if loud else "noEnergy", start, end) for loud, start, end in found]


def _classified(mel, segments, tell):
    import numpy as np
    from inaSpeechSegmenter.pyannote_viterbi import viterbi_decoding
    from inaSpeechSegmenter.segmenter import SpeechMusicNoise, _binidx2seglist
    from inaSpeechSegmenter.viterbi_utils import diag_trans_exp

    labels = SpeechMusicNoise.outlabels
    transitions = diag_trans_exp(SpeechMusicNoise.viterbi_arg, len(labels))
    mel = mel[:, : SpeechMusicNoise.nmel]
    found = []
    for label, start, end in segments:
        if label != "energy":
            found.append((label, start, end))
        else:
            chances = _chances(mel, start, end, tell)
            path = viterbi_decoding(np.log(chances), transitions)
            found += [(labels[int(i)], start + first, start + last) for i, first, last in _binidx2seglist(path)]
        tell(end)
    return found


def _chances(mel, start, end, tell):
    """The network's probabilities `(end - start, 3)` for the steps from `start` to `end`."""
    import numpy as np

    network = _network()
    patches = np.lib.stride_tricks.sliding_window_view(mel, PATCH_FRAMES, axis=0)[::2]
    found = np.empty((end - start, 3), np.float32)
    for first in range(start, end, PATCHES_AT_ONCE):
        last = min(first + PATCHES_AT_ONCE, end)
        # The first and the last patch stand for the steps that have no whole patch around them.
        around = np.clip(np.arange(first, last) - PATCH_FRAMES // 4, 0, len(patches) - 1)
        wanted = patches[around].transpose(0, 2, 1).astype(np.float64)
        wanted -= wanted.mean(axis=(1, 2), keepdims=True)
        wanted /= wanted.std(axis=(1, 2), keepdims=True)
        chances = network(wanted.astype(np.float32)[..., None])
        # Digital silence within a patch: nothing is known.
        chances[~np.isfinite(wanted).all(axis=(1, 2))] = 0.5
        found[first - start : last - start] = chances
        tell(last)
    return found


@functools.cache
def _network():
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    import tensorflow as tf
    from inaSpeechSegmenter.segmenter import SpeechMusicNoise

    # The device lease is not held here.
    tf.config.set_visible_devices([], "GPU")
    tf.config.threading.set_intra_op_parallelism_threads(THREADS)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    # From the pinned package. The library would look into the user's home and then ask the network.
    weights = Path(sys.prefix) / "models" / "inaSpeechSegmenter" / SpeechMusicNoise.model_fname
    model = tf.keras.models.load_model(weights, compile=False)
    return lambda patches: model.predict_on_batch(patches)
