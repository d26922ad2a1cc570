"""Adapters merged into their base: whole models, for what reads no adapters."""

from __future__ import annotations

from pathlib import Path

from stt_platform.training.whisper_export import merge_whisper


def merge_recogniser(base: Path, adapter: Path, folder: Path) -> None:
    """Write a Whisper with its adapter as one model in float16, which Whisper's weights come in.

    Raises:
        ValueError: the adapter is of another model.
    """
    from transformers import WhisperFeatureExtractor, WhisperTokenizer

    merged, _ = merge_whisper(base, adapter)
    merged.half().save_pretrained(folder)
    for part in (WhisperTokenizer, WhisperFeatureExtractor):
        part.from_pretrained(str(base), local_files_only=True).save_pretrained(folder)


def merge_translator(base: Path, adapter: Path, folder: Path, *, dtype: str) -> None:
    """Write a causal translator with its adapter as one model in bfloat16.

    An adapter that learned beside a quantised base is merged into the base as it was before.

    Args:
        dtype: in which it is merged: "float32", or "bfloat16" where that would not fit into memory.
    """
    import torch
    from peft import PeftModel

    from stt_platform.translation.causal_model import load_causal_model

    model, tokenizer = load_causal_model(base, dtype=dtype)
    merged = PeftModel.from_pretrained(model, str(adapter), local_files_only=True).merge_and_unload()
    merged.to(torch.bfloat16).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
