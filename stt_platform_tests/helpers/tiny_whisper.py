"""A Whisper with a few thousand trainable numbers and the real vocabulary, and sounds for it to learn from.

`python -m stt_platform_tests.helpers.tiny_whisper MODEL FOLDER [STEP]` trains an adapter with checkpoints in FOLDER and writes it
to FOLDER/adapter; with STEP it waits for ever once that step is made.
"""

import shutil
import sys
import time
from pathlib import Path

import numpy as np

from stt_platform.models.registry import model
from stt_platform.training.whisper_data import WhisperExample

ENGLISH = {"end": 50256, "start": 50257, "no_speech": 50361, "no_timestamps": 50362, "first_timestamp": 50363}
SEVERAL = {name: number + 1 for name, number in ENGLISH.items()}
SAMPLE_RATE_HZ = 16_000


def generation_config(*, multilingual: bool = False):
    """The numbers of OpenAI's models for English, or of those for several languages."""
    from transformers import GenerationConfig

    ids = SEVERAL if multilingual else ENGLISH
    several = {
        "lang_to_id": {"<|en|>": 50259, "<|es|>": 50262},
        "task_to_id": {"translate": 50358, "transcribe": 50359},
    }
    return GenerationConfig(
        is_multilingual=multilingual,
        decoder_start_token_id=ids["start"],
        eos_token_id=ids["end"],
        pad_token_id=ids["end"],
        max_length=448,
        no_timestamps_token_id=ids["no_timestamps"],
        begin_suppress_tokens=[220, ids["end"]],
        suppress_tokens=[1, 2, 7],
        alignment_heads=[[0, 0]],
        return_timestamps=False,
        **(several if multilingual else {}),
    )


def make_tiny_whisper(folder: Path, *, multilingual: bool = False, mels: int = 80, layers: int = 2) -> Path:
    """Write the checkpoint into a new folder; the same numbers every time."""
    import torch
    from transformers import WhisperConfig, WhisperFeatureExtractor, WhisperForConditionalGeneration, WhisperTokenizer

    ids = SEVERAL if multilingual else ENGLISH
    folder.mkdir(parents=True)
    config = WhisperConfig(
        vocab_size=51865 if multilingual else 51864,
        num_mel_bins=mels,
        d_model=32,
        encoder_layers=layers,
        decoder_layers=layers,
        encoder_attention_heads=2,
        decoder_attention_heads=2,
        encoder_ffn_dim=64,
        decoder_ffn_dim=64,
        decoder_start_token_id=ids["start"],
        bos_token_id=ids["start"],
        eos_token_id=ids["end"],
        pad_token_id=ids["end"],
        suppress_tokens=None,
        begin_suppress_tokens=None,
    )
    with torch.random.fork_rng():
        torch.manual_seed(5)
        whisper = WhisperForConditionalGeneration(config)
    whisper.generation_config = generation_config(multilingual=multilingual)
    whisper.save_pretrained(folder)
    shutil.copyfile(model("whisper-tiny.en").folder_on_disk() / "tokenizer.json", folder / "tokenizer.json")
    end = "<|endoftext|>"
    WhisperTokenizer.from_pretrained(
        str(folder), unk_token=end, bos_token=end, eos_token=end, pad_token=end
    ).save_pretrained(folder)
    WhisperFeatureExtractor(feature_size=mels).save_pretrained(folder)
    return folder


def sounds(texts: list[str], *, seconds: float = 1.0) -> list[WhisperExample]:
    """An example for each text, each with a tone of its own."""
    time_s = np.arange(round(seconds * SAMPLE_RATE_HZ)) / SAMPLE_RATE_HZ
    return [
        WhisperExample(f"e{k}", (0.3 * np.sin(2 * np.pi * (200 + 90 * k) * time_s)).astype(np.float32), text)
        for k, text in enumerate(texts)
    ]


def main(whisper: Path, folder: Path, stop_at: int | None) -> None:
    import torch

    from stt_platform.training.checkpoints import Checkpoints
    from stt_platform.training.loop import LoopOptions, Step, train
    from stt_platform.training.whisper_data import prepare
    from stt_platform.training.whisper_lora import WhisperLoraOptions, WhisperLoraTask, load_whisper

    def progress(step: Step) -> None:
        print(step.step, step.loss, flush=True)
        if step.step == stop_at:
            time.sleep(600)

    torch.set_num_threads(1)
    checkpoint = load_whisper(whisper)
    texts = [f"Psalm {k}" for k in range(8)]
    found = prepare(sounds(texts), checkpoint.tokenizer, checkpoint.feature_extractor, checkpoint.tokens)
    task = WhisperLoraTask(checkpoint, found, None, WhisperLoraOptions(micro_batch=1), base_name="tiny")
    options = LoopOptions(epochs=2, accumulation=2, learning_rate=1e-2, checkpoint_every_steps=2)
    train(task, options, Checkpoints(folder, "tiny"), progress=progress)
    (folder / "adapter").mkdir()
    task.save(folder / "adapter")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]) if len(sys.argv) > 3 else None)
