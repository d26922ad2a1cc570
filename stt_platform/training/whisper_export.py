"""A trained Whisper adapter as a model that faster-whisper runs: merged into its base and converted to CTranslate2.

The copy that is merged is in float32, so that nothing is rounded before the conversion; a base in 8 bits would be.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch
    from transformers import WhisperForConditionalGeneration

# What faster-whisper reads beside the weights.
_COPIED = ["tokenizer.json", "preprocessor_config.json"]
_PROBE_TOKENS = 8


@dataclass(frozen=True)
class Exported:
    """A converted model.

    Attributes:
        folder: what `FasterWhisper` loads.
        merge_difference: largest difference of a logit between the base with its adapter and the merged copy.
    """

    folder: Path
    merge_difference: float


def merge_whisper(base: Path, adapter: Path) -> tuple[WhisperForConditionalGeneration, float]:
    """Merge the adapter into the weights of its base, in float32 on the CPU.

    Args:
        base: the checkpoint that the adapter was trained on, as transformers reads it.
        adapter: with `adapter_model.safetensors` and `adapter_config.json`.

    Returns:
        The model, and the largest difference that merging made to a logit.

    Raises:
        ValueError: the adapter is of another model.
        OSError: a file is missing.
    """
    import torch
    from peft import PeftModel
    from transformers import WhisperForConditionalGeneration

    model = WhisperForConditionalGeneration.from_pretrained(
        str(base), local_files_only=True, use_safetensors=True, dtype=torch.float32
    ).eval()
    try:
        adapted = PeftModel.from_pretrained(model, str(adapter), local_files_only=True).eval()
    except (RuntimeError, ValueError) as error:
        raise ValueError(f"the adapter in {adapter} is not of the model in {base}: {error}") from error
    before = _probe(model)
    merged = adapted.merge_and_unload()
    return merged, float((_probe(merged) - before).abs().max())


def export_whisper(base: Path, adapter: Path, folder: Path, *, quantisation: str = "float16") -> Exported:
    """Write base and adapter as one model in CTranslate2's format.

    Args:
        base, adapter: see `merge_whisper`.
        folder: made here; it must not be there, or be empty.
        quantisation: of the weights on disk, one of CTranslate2's. The recogniser can go down from float16 when it loads
            them, never up.

    Raises:
        ValueError: the adapter is of another model.
        OSError: a file is missing, or the folder is not empty.
    """
    from ctranslate2.converters import TransformersConverter
    from transformers import WhisperFeatureExtractor, WhisperTokenizer

    if folder.exists() and any(folder.iterdir()):
        raise FileExistsError(f"{folder} is not empty: give another folder, or remove it")
    merged, difference = merge_whisper(base, adapter)
    with tempfile.TemporaryDirectory(prefix="merged-", dir=_made(folder.parent)) as name:
        merged.save_pretrained(name)
        for part in (WhisperTokenizer, WhisperFeatureExtractor):
            part.from_pretrained(str(base), local_files_only=True).save_pretrained(name)
        TransformersConverter(name, copy_files=_COPIED).convert(str(folder), quantization=quantisation, force=True)
    return Exported(folder, difference)


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _probe(model: Any) -> torch.Tensor:
    """Logits for the same noise and tokens each time."""
    import torch

    generator = torch.Generator().manual_seed(0)
    config = model.config
    features = torch.randn(1, config.num_mel_bins, 2 * config.max_source_positions, generator=generator)
    read = torch.randint(config.vocab_size, (1, _PROBE_TOKENS), generator=generator)
    with torch.no_grad():
        return model(input_features=features, decoder_input_ids=read, use_cache=False).logits
