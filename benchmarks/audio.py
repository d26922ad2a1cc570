"""The audio chain against the calls of the specification that the platform grew from, on the same recordings.

    python benchmarks/audio.py FILE… [--repeat 1] [--workers 2]

Both sides make the same things of every recording: 16 kHz mono, gates, classes of sound, a denoised view at one
loudness, chunks. The specification's side calls the same libraries as it does, one file after the other, with a new
model for every file where it makes one (inaSpeechSegmenter in its isolated environment, in one process for all files);
ffmpeg has to be installed for it. Our side runs the platform's own stages, without Dagster, and writes every output.
Separation, diarization and recognition are left out on both sides.
"""

import argparse
import json
import subprocess
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import soundfile as sf

from stt_platform.environments import environment
from stt_platform.store.intake import ingest
from stt_platform.store.metadata import MetadataStore

SHOWN = {
    "convert": ("recording", "standard_audio"),
    "gates and classes": ("sound_classes",),
    "denoise and loudness": ("separated_audio", "enhanced_audio"),
    "chunks": ("speaker_turns", "speech_chunks", "training_chunks"),
}

_SEGMENTER = """
import os, sys, time, json
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
out = os.fdopen(os.dup(1), "w", buffering=1)
os.dup2(2, 1)
from pathlib import Path
weights = Path(sys.prefix) / "models" / "inaSpeechSegmenter"
from inaSpeechSegmenter import Segmenter
import inaSpeechSegmenter.segmenter as segmenter
segmenter.get_remote = lambda name: str(weights / name)
for path in sys.stdin:
    began = time.monotonic()
    rows = Segmenter(detect_gender=False)(path.strip())
    print(json.dumps([time.monotonic() - began, rows]), file=out)
"""


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("files", nargs="+", type=Path)
    arguments.add_argument(
        "--repeat", type=int, default=1, help="how many copies of every file, each a little different"
    )
    arguments.add_argument("--workers", type=int, default=2, help="how many sermons the platform works on at once")
    chosen = arguments.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        recordings = _copies(chosen.files, chosen.repeat, Path(folder) / "recordings")
        seconds = sum(sf.info(path).duration for path in recordings)
        print(f"{len(recordings)} recordings, {seconds / 60:.1f} minutes")
        theirs, theirs_s = _specification(recordings, Path(folder) / "theirs")
        ours, ours_s = _platform(recordings, Path(folder) / "home", chosen.workers)
    print(f"{'':24} {'seed (s)':>10} {'ours (s)':>10} {'ratio':>7}")
    for name in SHOWN:
        print(f"{name:24} {theirs[name]:10.1f} {ours[name]:10.1f} {theirs[name] / ours[name]:7.2f}")
    print(f"{'sum of the stages':24} {sum(theirs.values()):10.1f} {sum(ours.values()):10.1f}")
    print(f"{'by the clock':24} {theirs_s:10.1f} {ours_s:10.1f} {theirs_s / ours_s:7.2f}")


def _copies(files: Sequence[Path], repeat: int, folder: Path) -> list[Path]:
    """Every file as WAV, `repeat` times, each copy a few samples shorter: the platform knows a recording again."""
    folder.mkdir()
    paths = []
    for number, path in enumerate(files):
        samples, rate_hz = sf.read(path, dtype="int16")
        for copy in range(repeat):
            paths.append(folder / f"2024-{number % 12 + 1:02}-{copy % 28 + 1:02} copy {number} {copy}.wav")
            sf.write(paths[-1], samples[copy:], rate_hz)
    return paths


def _specification(recordings: Sequence[Path], folder: Path) -> tuple[dict[str, float], float]:
    folder.mkdir()
    took: dict[str, float] = defaultdict(float)
    isolated = environment("inaspeechsegmenter").ensure(print)
    began = time.monotonic()
    command = [str(isolated / "bin" / "python"), "-c", _SEGMENTER]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as segmenter:
        for path in recordings:
            _as_specified(path, folder, segmenter, took)
        segmenter.stdin.close()
    return took, time.monotonic() - began


def _as_specified(path: Path, folder: Path, segmenter: subprocess.Popen, took: dict[str, float]) -> None:
    wav, clean, cut = (folder / f"{name}.wav" for name in ("standard", "clean", "cut"))
    _timed(took, "convert", lambda: _ffmpeg(path, wav, "-ar", "16000", "-ac", "1"))
    _timed(took, "gates and classes", lambda: _gate(wav))
    _timed(took, "gates and classes", lambda: _ask(segmenter, wav))
    _timed(took, "denoise and loudness", lambda: _denoise(wav, clean))
    _timed(took, "denoise and loudness", lambda: _ffmpeg(clean, cut, "-af", "highpass=f=80,lowpass=f=8000"))
    samples = _timed(took, "denoise and loudness", lambda: _normalise(cut))
    _timed(took, "chunks", lambda: _chunks(cut, samples, folder))


def _timed(took: dict[str, float], name: str, call: Callable[[], Any]) -> Any:
    began = time.monotonic()
    result = call()
    took[name] += time.monotonic() - began
    return result


def _ffmpeg(source: Path, target: Path, *options: str) -> None:
    subprocess.run(["ffmpeg", "-v", "error", "-y", "-i", str(source), *options, str(target)], check=True)


def _ask(segmenter: subprocess.Popen, wav: Path) -> list:
    segmenter.stdin.write(f"{wav}\n")
    segmenter.stdin.flush()
    return json.loads(segmenter.stdout.readline())[1]


def _snr_db(samples: np.ndarray, frame: int, loud: int) -> float:
    frames = samples[: samples.size // frame * frame].reshape(-1, frame)
    energy = np.mean(frames**2, axis=1)
    energy = energy[energy > 0]
    return 10 * np.log10(np.percentile(energy, loud) / max(np.percentile(energy, 10), 1e-10))


def _gate(wav: Path) -> None:
    samples, _ = sf.read(wav)
    np.mean(np.abs(samples) > 0.99)
    _snr_db(samples, 1600, 90)


def _denoise(wav: Path, out: Path) -> None:
    import noisereduce

    samples, rate_hz = sf.read(wav)
    sf.write(
        out, noisereduce.reduce_noise(y=samples, sr=rate_hz, prop_decrease=0.7, n_fft=512, stationary=False), rate_hz
    )


def _normalise(path: Path) -> np.ndarray:
    import pyloudnorm

    samples, rate_hz = sf.read(path)
    loudness = pyloudnorm.Meter(rate_hz).integrated_loudness(samples)
    normalised = pyloudnorm.normalize.loudness(samples, loudness, -16.0)
    peak = np.max(np.abs(normalised))
    normalised = normalised * (0.891 / peak) if peak > 0.891 else normalised
    sf.write(path, normalised, rate_hz)
    return normalised


def _chunks(wav: Path, samples: np.ndarray, folder: Path) -> None:
    import torch
    from silero_vad import get_speech_timestamps, load_silero_vad

    # The specification loads the same packaged weights from the network, for every recording.
    found = get_speech_timestamps(
        torch.from_numpy(samples).float(),
        load_silero_vad(),
        sampling_rate=16000,
        min_speech_duration_ms=500,
        min_silence_duration_ms=300,
    )
    for number, span in enumerate(found):
        chunk = samples[max(0, span["start"] - 1600) : span["end"] + 1600]
        if 16000 <= chunk.size <= 30 * 16000:
            np.mean(chunk**2 < 1e-6)
            _snr_db(chunk, 800, 80)
            sf.write(folder / f"{number}.wav", chunk, 16000)


def _platform(recordings: Sequence[Path], home: Path, workers: int) -> tuple[dict[str, float], float]:
    sermons = [entry.sermon for entry in ingest(MetadataStore(home), recordings)]
    began = time.monotonic()
    took: dict[str, float] = defaultdict(float)
    with ProcessPoolExecutor(min(workers, len(sermons))) as pool:
        for stages in pool.map(_run_sermon, [home] * len(sermons), sermons):
            for name, seconds in stages.items():
                took[name] += seconds
    return took, time.monotonic() - began


def _run_sermon(home: Path, sermon: str) -> dict[str, float]:
    import stt_platform.definitions  # noqa: F401
    from stt_platform.orchestration.platform import Platform
    from stt_platform.orchestration.running import run_stage
    from stt_platform.orchestration.stage import stages

    took = {}
    for name, shown in SHOWN.items():
        began = time.monotonic()
        for stage in shown:
            run_stage(stages()[stage], Platform(home_folder=str(home)), lambda _: None, sermon)
        took[name] = time.monotonic() - began
    return took


if __name__ == "__main__":
    main()
