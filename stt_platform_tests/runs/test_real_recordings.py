"""Recordings that other people made, and on a GPU where there is one."""

import json
from pathlib import Path

import ctranslate2
import dagster as dg
import numpy as np
import pytest
import soundfile as sf

from stt_platform.evaluation.wer import normalise_english, word_errors
from stt_platform.machine.gpu import device_name
from stt_platform.models.registry import model
from stt_platform.speech.recognisers.base import ChunkSpan
from stt_platform.speech.recognisers.faster_whisper import FasterWhisper
from stt_platform.store.intake import ingest
from stt_platform.store.metadata import MetadataStore
from stt_platform_tests.runs.conftest import run_stages

TRANSCRIPT = """
select string_agg(t.text, ' ' order by c.start_sample) as text
from transcripts t join chunks c on c.chunk_id = t.chunk_id
"""


def joined_readings(test_data: Path, folder: Path, count: int) -> tuple[Path, str]:
    """Consecutive sentences of one reader as one recording, and their text."""
    manifest = [json.loads(line) for line in (test_data / "audio" / "manifest.jsonl").read_text().splitlines()]
    readings = sorted((entry for entry in manifest if "LJ001" in entry["file"]), key=lambda entry: entry["file"])[
        :count
    ]
    sounds = [sf.read(test_data / entry["file"]) for entry in readings]
    path = folder / "2024-03-10 reading.wav"
    sf.write(path, np.concatenate([samples for samples, _ in sounds]), sounds[0][1])
    return path, " ".join(entry["ref_text"] for entry in readings)


def test_chunks_are_heard_as_well_as_the_whole_file(
    test_data: Path, store: MetadataStore, instance: dg.DagsterInstance, tmp_path: Path
) -> None:
    from faster_whisper import WhisperModel

    path, reference = joined_readings(test_data, tmp_path, 6)
    (entry,) = ingest(store, [path])
    assert run_stages(instance, entry.sermon).success
    (row,) = store.query(TRANSCRIPT).to_pylist()
    alone = WhisperModel(
        str(model("whisper-tiny.en").folder_on_disk()), device="cpu", compute_type="int8", cpu_threads=2
    )
    whole = " ".join(segment.text for segment in alone.transcribe(str(path), language="en", beam_size=5)[0])
    ours = word_errors([(reference, row["text"])], normalise=normalise_english).wer
    theirs = word_errors([(reference, whole)], normalise=normalise_english).wer
    assert ours <= theirs + 0.01


@pytest.mark.gpu
@pytest.mark.skipif(ctranslate2.get_cuda_device_count() == 0, reason="no CUDA device on this machine")
def test_the_recogniser_on_cuda_hears_what_the_cpu_hears(talk: Path) -> None:
    assert device_name().startswith("cuda-")
    samples, _ = sf.read(talk, dtype="float32")
    folder = str(model("whisper-tiny.en").folder_on_disk())
    texts = []
    for device, compute_type in (("cuda", "float16"), ("cpu", "int8")):
        recogniser = FasterWhisper(folder, device=device, compute_type=compute_type)
        (heard,) = recogniser.transcribe_chunks(
            lambda start, end: samples[start:end], [ChunkSpan("0" * 16, 6 * 16_000, 30 * 16_000)]
        )
        texts.append(heard.text)
    assert word_errors([(texts[1], texts[0])], normalise=normalise_english).wer < 0.2
