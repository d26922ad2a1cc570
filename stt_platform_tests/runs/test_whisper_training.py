"""Whisper tiny.en learns, is killed and goes on, and is served."""

import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from stt_platform.evaluation.church_english import normalise_church_english
from stt_platform.evaluation.wer import word_errors
from stt_platform.models.whisper_weights import whisper_folder
from stt_platform.speech.recognisers.base import ChunkSpan
from stt_platform.speech.recognisers.faster_whisper import FasterWhisper
from stt_platform.speech.voices import Preacher, speak
from stt_platform.training.checkpoints import Checkpoints
from stt_platform.training.loop import LoopOptions, train
from stt_platform.training.whisper_data import WhisperExample, WhisperSet, WhisperSetOptions, prepare
from stt_platform.training.whisper_export import export_whisper
from stt_platform.training.whisper_lora import WhisperCheckpoint, WhisperLoraOptions, WhisperLoraTask, load_whisper
from stt_platform_tests.helpers.tiny_whisper import make_tiny_whisper

# Names that the model does not know, in sentences to learn from and in others.
TAUGHT = [
    "Zerubbabel laid the foundation of the house.",
    "Mephibosheth ate at the table of the king.",
    "Habakkuk stood upon his watch and waited.",
    "The Tirshatha read the book to the people.",
    "The hands of Zerubbabel shall also finish it.",
    "And David said to Mephibosheth, fear not.",
    "A prayer of Habakkuk the prophet.",
    "And Nehemiah, which is the Tirshatha, said unto them.",
]
HELD_OUT = [
    "Before Zerubbabel the mountain shall become a plain.",
    "But Mephibosheth was lame on both his feet.",
    "The burden which Habakkuk did see.",
    "And the Tirshatha gave gold to the treasure.",
]
NAMES = ("Zerubbabel", "Mephibosheth", "Habakkuk", "Tirshatha")


def spoken(texts: list[str], pitch: float) -> list[WhisperExample]:
    preacher = Preacher("Ann", pitch=pitch, pace=1.0, liveliness=0.02, pause_s=0.4, tilt_db=0.0)
    sounds = speak(texts, preacher, seed=5, rate_hz=16_000)
    return [
        WhisperExample(f"{pitch}-{k}", sound.astype(np.float32), text, recording=f"{pitch}")
        for k, (sound, text) in enumerate(zip(sounds, texts, strict=True))
    ]


def names_heard(texts: list[str]) -> int:
    return sum(name in text for text in texts for name in NAMES)


def prepared(checkpoint: WhisperCheckpoint, examples: list[WhisperExample], packed: float = 0.0) -> WhisperSet:
    options = WhisperSetOptions(packed_share=packed)
    return prepare(examples, checkpoint.tokenizer, checkpoint.feature_extractor, checkpoint.tokens, options)


def test_it_learns_names_for_sentences_and_a_voice_that_it_did_not_hear(tmp_path: Path) -> None:
    base = whisper_folder("whisper-tiny.en", tmp_path / "home")
    checkpoint = load_whisper(base)
    held_out = spoken(HELD_OUT, 1.15)
    task = WhisperLoraTask(
        checkpoint,
        prepared(checkpoint, [*spoken(TAUGHT, 0.95), *spoken(TAUGHT, 1.05)], packed=1.0),
        prepared(checkpoint, held_out),
        WhisperLoraOptions(targets="all-linear", micro_batch=1, checkpointing=False),
        base_name="whisper-tiny.en",
    )
    before = task.transcribe(task._held_out)
    options = LoopOptions(epochs=5, learning_rate=1e-3, stop_on=(("wer", "min"),), evaluate_every_steps=None)
    trained = train(task, options, Checkpoints(tmp_path / "checkpoints", "names"))
    after = task.transcribe(task._held_out)
    wer = [
        word_errors(list(zip(HELD_OUT, texts, strict=True)), normalise=normalise_church_english).wer
        for texts in (before, after)
    ]
    assert trained.evaluations[0].measures["wer"] == pytest.approx(wer[0])
    assert trained.evaluations[-1].measures["loss"] < trained.evaluations[0].measures["loss"]
    assert wer[1] < 0.85 * wer[0], (before, after)
    assert names_heard(after) > names_heard(before), (before, after)

    adapter = tmp_path / "adapter"
    adapter.mkdir()
    task.save(adapter)
    exported = export_whisper(base, adapter, tmp_path / "served")
    assert served(exported.folder, held_out) == after


def served(folder: Path, examples: list[WhisperExample]) -> list[str]:
    whisper = FasterWhisper(str(folder), compute_type="float32", cpu_threads=1)
    texts = []
    for example in examples:
        span = ChunkSpan(example.example_id, 0, len(example.audio))
        (heard,) = whisper.transcribe_chunks(
            lambda start, end, audio=example.audio: audio[start:end],
            [span],
            beam_size=1,
            word_timestamps=False,
            temperatures=(0.0,),
        )
        texts.append(heard.text)
    return texts


def test_killed_in_the_middle_of_an_epoch_it_goes_on_to_the_same_adapter(tmp_path: Path) -> None:
    whisper = make_tiny_whisper(tmp_path / "tiny")
    program = [sys.executable, "-m", "stt_platform_tests.helpers.tiny_whisper", str(whisper)]
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    unbroken = subprocess.run([*program, str(whole)], capture_output=True, text=True, check=True, timeout=250)
    with subprocess.Popen([*program, str(killed), "7"], stdout=subprocess.PIPE, text=True) as process:
        # Four steps are an epoch; the checkpoint of step 6 is the last.
        first = [line for _, line in zip(range(7), process.stdout, strict=False)]
        process.send_signal(signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL
    again = subprocess.run([*program, str(killed)], capture_output=True, text=True, check=True, timeout=250)
    assert [*first[:6], *again.stdout.splitlines(keepends=True)] == unbroken.stdout.splitlines(keepends=True)
    one, other = (load_file(folder / "adapter" / "adapter_model.safetensors") for folder in (whole, killed))
    assert one.keys() == other.keys()
    assert all(torch.equal(one[name], other[name]) for name in one)
    assert any(value.any() for name, value in one.items() if "lora_B" in name)
