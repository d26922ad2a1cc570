"""The real environment is built, and its worker labels recordings as the library itself would."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf

from stt_platform.audio.standardise import standardise
from stt_platform.demo.music import organ_interlude
from stt_platform.environments import IsolatedEnvironment, IsolatedError, Session, environment

# The first of them may have to fetch and build the environment.

RATE_HZ = 16_000

LIBRARY_ITSELF = """
import functools, os, sys
from pathlib import Path

@functools.cache
def segmenter():
    os.environ["KERAS_HOME"] = str(Path(sys.prefix) / "models")
    from inaSpeechSegmenter import Segmenter
    return Segmenter(vad_engine="smn", detect_gender=False, ffmpeg=None)

def segment(request, progress):
    return {"segments": segmenter()(request["path"])}
"""

Label = Callable[[str, np.ndarray], list]


@pytest.fixture(scope="module")
def session() -> Iterator[Session]:
    with environment("inaspeechsegmenter").session() as session:
        yield session


@pytest.fixture
def label(session: Session, tmp_path: Path) -> Label:
    """Writes a recording and labels it; every answer is checked to cover it."""

    def of(name: str, samples: np.ndarray) -> list:
        path = tmp_path / f"{name}.wav"
        sf.write(path, samples, RATE_HZ, subtype="PCM_16")
        told: list[dict] = []
        rows = session.call(
            "segment", {"path": str(path), "total_samples": len(samples)}, progress=told.append, timeout_s=200
        )["segments"]
        assert [row[1] for row in rows] == [0.0, *(row[2] for row in rows[:-1])][: len(rows)]
        assert all(start < end for _, start, end in rows)
        assert not rows or rows[-1][2] == len(samples) / RATE_HZ
        times = RATE_HZ * np.array([row[1:] for row in rows])
        assert np.allclose(times, np.rint(times), rtol=0, atol=1e-6)
        done = [report["done_s"] for report in told]
        assert (
            len(done) <= 100
            and done == sorted(done)
            and all(report["total_s"] == len(samples) / RATE_HZ for report in told)
        )
        return rows

    return of


def share(rows: list, labels: set[str], start_s: float, end_s: float) -> float:
    """How much of a stretch has one of the labels."""
    return sum(max(min(end, end_s) - max(start, start_s), 0) for name, start, end in rows if name in labels) / (
        end_s - start_s
    )


def test_speech_and_organ(label: Label, talk: Path) -> None:
    speech, _ = sf.read(talk)
    organ = 0.08 * organ_interlude(12, RATE_HZ, np.random.default_rng(1))
    silence = np.zeros(3 * RATE_HZ)
    rows = label("service", np.concatenate((speech, silence, organ, silence)))
    assert share(rows, {"speech"}, 7, 30) > 0.8
    assert share(rows, {"noEnergy"}, 30.5, 32.5) == 1
    assert share(rows, {"music"}, 33.5, 44.5) > 0.9
    assert share(rows, {"speech"}, 33.5, 44.5) == 0


@pytest.mark.parametrize("samples", [0, 1, 399, 400, 559, 560, 8000, 11_500, 16_000])
def test_very_short_recordings(label: Label, samples: int) -> None:
    rows = label("short", 0.1 * np.random.default_rng(1).standard_normal(samples))
    assert {row[0] for row in rows} <= {"speech", "music", "noise", "noEnergy"}


def test_digital_silence(label: Label) -> None:
    assert label("silence", np.zeros(5 * RATE_HZ)) == [["noEnergy", 0.0, 5.0]]


def test_the_same_recording_gives_the_same_rows(label: Label, talk: Path) -> None:
    speech, _ = sf.read(talk)
    assert label("once", speech) == label("again", speech)


@pytest.mark.parametrize(
    ("rate_hz", "channels", "request_", "says"),
    [
        (8000, 1, {}, "8000 Hz"),
        (RATE_HZ, 2, {}, "2 channels"),
        (RATE_HZ, 1, {"total_samples": 5}, "16000 samples, not 5"),
    ],
)
def test_what_it_cannot_label(
    session: Session, tmp_path: Path, rate_hz: int, channels: int, request_: dict, says: str
) -> None:
    path = tmp_path / "unfit.wav"
    sf.write(path, np.zeros((16_000, channels)), rate_hz)
    with pytest.raises(IsolatedError, match=says) as caught:
        session.call("segment", {"path": str(path), **request_})
    assert caught.value.type == "ValueError" and "unfit.wav" in caught.value.message


def test_real_recordings_are_labelled_as_by_the_library(
    test_data: Path, session: Session, label: Label, tmp_path: Path
) -> None:
    """Piece by piece and in bounded memory, and the same rows: two minutes, so that there are several pieces."""

    def read(name: str, seconds: float) -> np.ndarray:
        path = tmp_path / "standard.wav"
        standardise(test_data / "audio" / name, path)
        return sf.read(path)[0][: round(seconds * RATE_HZ)]

    columbia = read("public_speaking/columbia_bush_2003.wma", 60)
    dance = read("mix_music_noise/Hungarian_Dance_number_5_-_Allegro_in_F_sharp_minor_string_orchestra.ogg", 30)
    dishes = read("mix_music_noise/doing_the_dishes.wav", 30)
    whole = np.concatenate((columbia, dance, dishes))
    ours = label("whole", whole)
    assert share(ours, {"speech", "noEnergy"}, 0, 60) == 1
    assert share(ours, {"music", "noEnergy"}, 61, 89) > 0.9
    assert share(ours, {"noise", "noEnergy"}, 91, 119) > 0.9

    here = environment("inaspeechsegmenter")
    (tmp_path / "worker.py").write_text(LIBRARY_ITSELF)
    shutil.copy(here.folder / "environment.toml", tmp_path)
    library = IsolatedEnvironment(here.name, tmp_path, here.locks, here.built_in)
    theirs = library.call("segment", {"path": str(tmp_path / "whole.wav")})["segments"]
    assert [row[0] for row in ours] == [row[0] for row in theirs]
    # The library forgets the end of the last window.
    assert np.allclose([row[1] for row in ours], [row[1] for row in theirs], atol=1e-6)
