"""Speaker turns by a pretrained pipeline of pyannote.audio, as the seed asks: gated weights from the model hub."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from stt_platform.audio import SAMPLE_RATE_HZ
from stt_platform.audio.turns import Turn, name_by_speech_time

Progress = Callable[[float], None]

_HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
# Segmentation is a small network, embedding a large one that hears each window once per local speaker.
_SEGMENTATION_SHARE = 0.2


class PipelineUnavailable(Exception):
    """The pipeline could not be loaded: no token, conditions not accepted, no network, or no such pipeline."""


def diarize_pyannote(
    wav_path: Path,
    *,
    pipeline: str,
    revision: str | None,
    token: str | None,
    device: str = "cuda",
    min_speakers: int = 1,
    max_speakers: int = 20,
    progress: Progress | None = None,
) -> list[Turn]:
    """Speaker turns by a `pyannote.audio` diarization pipeline.

    The library's usage reports, which it sends to its makers with the length of each recording, are switched off.

    Args:
        wav_path: a 16 kHz mono audio file. It is held in memory, 4 bytes a sample: given a path, pyannote.audio
            decodes each window anew, which takes many times longer.
        pipeline: a name on the model hub, or a local folder with its `config.yaml`.
        revision: the commit of the pipeline on the hub; None for a local folder.
        token: access token of the hub, whose owner has accepted the conditions of the pipeline.
        device: 'cuda' or 'cpu'.
        min_speakers, max_speakers: how many speakers to find.
        progress: called with the seconds done so far, estimated from the steps of the pipeline.

    Returns:
        Turns in order of their start, speakers named by speech time.

    Raises:
        PipelineUnavailable: the pipeline could not be loaded; the message says what to do.
        ValueError: the file is not 16 kHz mono, or `pipeline` is neither a folder nor a name.
    """
    import soundfile
    import torch

    loaded = _load(pipeline, revision, token)
    samples, rate_hz = soundfile.read(wav_path, dtype="float32", always_2d=True)
    total_samples, channels = samples.shape
    if rate_hz != SAMPLE_RATE_HZ or channels != 1:
        raise ValueError(
            f"{wav_path} has {rate_hz} Hz and {channels} channels; diarization needs "
            f"{SAMPLE_RATE_HZ} Hz mono. Give the file of the standard_audio stage."
        )
    if total_samples == 0:
        return []
    loaded.to(torch.device(device))

    def hook(step: str, _artifact=None, *, completed: int = 0, total: int = 0, **_: object) -> None:
        if progress and total:
            part = min(1.0, completed / total)
            if step == "segmentation":
                progress(part * _SEGMENTATION_SHARE * total_samples / SAMPLE_RATE_HZ)
            elif step == "embeddings":
                done = _SEGMENTATION_SHARE + (1 - _SEGMENTATION_SHARE) * part
                progress(done * total_samples / SAMPLE_RATE_HZ)

    output = loaded(
        {"waveform": torch.from_numpy(samples.T), "sample_rate": rate_hz, "uri": "recording"},
        min_speakers=min_speakers,
        max_speakers=max_speakers,
        hook=hook,
    )
    if progress:
        progress(total_samples / SAMPLE_RATE_HZ)
    annotation: Any = getattr(output, "speaker_diarization", output)
    turns = [
        Turn(max(0, round(segment.start * rate_hz)), min(total_samples, round(segment.end * rate_hz)), str(speaker))
        for segment, _, speaker in annotation.itertracks(yield_label=True)
    ]
    return name_by_speech_time([turn for turn in turns if turn.start_sample < turn.end_sample])


def _load(pipeline: str, revision: str | None, token: str | None):
    if not (pipeline and Path(pipeline).is_dir()) and not _HUB_NAME.fullmatch(pipeline):
        raise ValueError(f"{pipeline!r} is neither a folder nor a name on the model hub, such as 'owner/name'.")

    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError
    from pyannote.audio import Pipeline
    from pyannote.audio.telemetry import set_telemetry_metrics

    set_telemetry_metrics(False)
    try:
        loaded = Pipeline.from_pretrained(pipeline, revision=revision, token=token)
    except (HfHubHTTPError, LocalEntryNotFoundError, ConnectionError) as error:
        raise PipelineUnavailable(_advice(pipeline, revision, token, type(error).__name__)) from error
    if loaded is None:
        raise PipelineUnavailable(_advice(pipeline, revision, token, "no such pipeline"))
    return loaded


def _advice(pipeline: str, revision: str | None, token: str | None, cause: str) -> str:
    at = f" at revision {revision}" if revision else ""
    if not token:
        had = "The environment variable HF_TOKEN is not set"
    elif token.startswith("hf_"):
        had = "The token in the environment variable HF_TOKEN was not enough"
    else:
        had = "The token in the environment variable HF_TOKEN does not begin with 'hf_', so pyannote.audio ignores it"
    return (
        f"The diarization pipeline {pipeline!r}{at} could not be loaded ({cause}). {had}. Accept the conditions on "
        f"https://huggingface.co/{pipeline} and of the models it names (with pyannote.audio 4 also those of "
        "pyannote/speaker-diarization-community-1), set HF_TOKEN to a read token of that account, and be online for "
        "the first run; or use the packaged engine, which needs none of this."
    )
