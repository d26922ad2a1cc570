"""A causal translator with a small adapter: the base, quantised where memory is short, and what was learnt beside it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from stt_platform.translation.translator import Translator

if TYPE_CHECKING:
    from transformers import PreTrainedModel

Quantisation = Literal["none", "nf4"]


def load_causal_model(
    folder: str | Path, *, device: str = "cpu", dtype: str = "float32", quantisation: Quantisation = "none"
) -> tuple[PreTrainedModel, Any]:
    """Load a causal language model of the Gemma family and its tokenizer, from a folder; nothing is downloaded.

    Args:
        folder: safetensors, configuration and tokenizer.
        device: 'cpu', 'cuda' or 'cuda:N'.
        dtype: of the weights that are not quantised, and of the arithmetic: 'float32' or 'bfloat16'.
        quantisation: 'nf4': linear layers in four bits, the scales of their blocks quantised again (QLoRA, Dettmers et
            al. 2023): 0.516 bytes a weight. The embedding, which is the output layer too, stays as it is.

    Raises:
        ValueError: for another quantisation, or a model that does not know Gemma's control tokens.
        OSError: where the folder holds no such model.
    """
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, BitsAndBytesConfig

    if quantisation not in ("none", "nf4"):
        raise ValueError(f"quantisation {quantisation!r}: use 'none' or 'nf4'")
    arithmetic = getattr(torch, dtype)
    quantised: dict[str, Any] = {}
    if quantisation == "nf4":
        quantised["device_map"] = {"": device}
        quantised["quantization_config"] = BitsAndBytesConfig(
            load_in_4bit=True,
            bnb_4bit_quant_type="nf4",
            bnb_4bit_use_double_quant=True,
            bnb_4bit_compute_dtype=arithmetic,
        )
    tokenizer = AutoTokenizer.from_pretrained(str(folder), local_files_only=True)
    if "<bos>" not in tokenizer.get_vocab():
        raise ValueError(f"{folder} has no token <bos>: the prompts are written for models of the Gemma family")
    model: Any = AutoModelForCausalLM.from_pretrained(
        str(folder),
        local_files_only=True,
        use_safetensors=True,
        dtype=arithmetic,
        attn_implementation="sdpa",
        **quantised,
    )
    if quantised and device == "cpu":
        _keep_weights_as_they_are(model)
    return (model if quantised else model.to(device)), tokenizer


def load_adapted_translator(
    folder: str | Path,
    adapter: str | Path,
    *,
    device: str = "cpu",
    dtype: str = "float32",
    quantisation: Quantisation = "none",
) -> Translator:
    """Load a base model with the adapter that was trained on it, asked with TranslateGemma's prompt.

    An adapter that was trained on quantised weights has learnt to make up for their rounding, so it is best read with
    the same `quantisation`. Nothing is merged, so nothing is rounded once more.

    Args:
        folder: of the base, see `load_causal_model`.
        adapter: a folder with PEFT's `adapter_config.json` and `adapter_model.safetensors`.
    """
    from peft import PeftModel

    model, tokenizer = load_causal_model(folder, device=device, dtype=dtype, quantisation=quantisation)
    adapted = PeftModel.from_pretrained(model, str(adapter), local_files_only=True).eval()
    return Translator(adapted.get_base_model(), tokenizer, prompt="translategemma", examples=())


def _keep_weights_as_they_are(model: PreTrainedModel) -> None:
    """On some CPUs bitsandbytes packs quantised weights anew, in place and with rounder scales, when a layer first
    answers without a gradient: what is evaluated once would be another model from then on."""
    from bitsandbytes.nn.modules import Linear4bit

    for module in model.modules():
        if isinstance(module, Linear4bit):
            module.support_avx512bf16_for_cpu = False
