"""LoRA for Whisper (Hu et al. 2022), on the encoder and on the decoder.

The encoder learns the room and the loudspeakers, the decoder the words; an adapter of the decoder alone hears the hall
no better (LoRA-Whisper, Interspeech 2024).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

from pydantic import Field, PositiveInt

from stt_platform.evaluation.church_english import normalise_church_english
from stt_platform.evaluation.wer import word_errors
from stt_platform.training.lora import LoraTask
from stt_platform.training.options import Targets, WhisperTrainingOptions
from stt_platform.training.whisper_data import IGNORED, SpecAugment, Tokens, WhisperSet

if TYPE_CHECKING:
    import torch
    from transformers import WhisperForConditionalGeneration

Base = Literal["float32", "bfloat16", "int8"]

# Of encoder and decoder: the names are the same in both, and in the attention of the decoder to the encoder.
_MODULES: dict[str, list[str]] = {
    "q_proj,v_proj": ["q_proj", "v_proj"],
    "attention": ["q_proj", "k_proj", "v_proj", "out_proj"],
    "all-linear": ["q_proj", "k_proj", "v_proj", "out_proj", "fc1", "fc2"],
}


class WhisperLoraOptions(WhisperTrainingOptions):
    """What is trained, and how it is fed.

    Attributes:
        spec_augment: what is blanked out of the examples; None for nothing.
        eval_batch: examples at once when measuring.
        max_new_tokens: most tokens of a transcript.
    """

    spec_augment: SpecAugment | None = Field(default_factory=SpecAugment)
    eval_batch: PositiveInt = 16
    max_new_tokens: PositiveInt = 225


def target_modules(targets: Targets) -> list[str]:
    """Name the layers that are adapted."""
    return list(_MODULES[targets])


@dataclass(frozen=True)
class WhisperCheckpoint:
    """A Whisper model that learns, and what turns sound and text into its numbers."""

    model: WhisperForConditionalGeneration
    tokenizer: Any
    feature_extractor: Any
    tokens: Tokens


def load_whisper(
    folder: str | Path, *, device: str = "cpu", base: Base = "float32", language: str = "en"
) -> WhisperCheckpoint:
    """Load a checkpoint from a folder, in evaluation mode; nothing is downloaded.

    Args:
        folder: safetensors, configuration, tokenizer and feature extractor of one Whisper.
        device: "cpu", "cuda" or "cuda:N".
        base: arithmetic of its weights. "int8" (LLM.int8, Dettmers et al. 2022) saves half of the memory of bfloat16
            and is slower. What is not float32 is trained with the loop's `autocast`.
        language: that is transcribed, in a model of several.

    Raises:
        ValueError: for another base.
        OSError: where the folder holds no such model.
    """
    import torch
    from transformers import (
        BitsAndBytesConfig,
        WhisperFeatureExtractor,
        WhisperForConditionalGeneration,
        WhisperTokenizer,
    )

    if base not in get_args(Base):
        raise ValueError(f"base {base!r}: use one of {', '.join(get_args(Base))}")
    quantised = base == "int8"
    dtype = torch.bfloat16 if quantised else getattr(torch, base)
    special = {"quantization_config": BitsAndBytesConfig(load_in_8bit=True), "device_map": {"": device}}
    model = WhisperForConditionalGeneration.from_pretrained(
        str(folder),
        local_files_only=True,
        use_safetensors=True,
        dtype=dtype,
        attn_implementation=attention(device, dtype),
        **(special if quantised else {}),
    )
    if model.generation_config.is_multilingual:
        # One for English knows no language and no task, and refuses to be told.
        model.generation_config.update(language=language, task="transcribe")
    # What older copies of Whisper bring, and newer code no longer takes.
    model.generation_config.forced_decoder_ids = None
    return WhisperCheckpoint(
        (model if quantised else model.to(device)).eval(),
        WhisperTokenizer.from_pretrained(str(folder), local_files_only=True),
        WhisperFeatureExtractor.from_pretrained(str(folder), local_files_only=True),
        Tokens.of(model.generation_config, language),
    )


def attention(device: str, dtype: torch.dtype) -> str:
    """Choose FlashAttention-2 where package, card (Ampere or newer) and arithmetic allow it, else that of torch."""
    import torch
    from transformers.utils import is_flash_attn_2_available

    allowed = device.startswith("cuda") and dtype in (torch.float16, torch.bfloat16) and is_flash_attn_2_available()
    return "flash_attention_2" if allowed and torch.cuda.get_device_capability(device)[0] >= 8 else "sdpa"


class WhisperLoraTask(LoraTask):
    """Training LoRA of a Whisper model; the task of `stt_platform.training.loop`."""

    def __init__(
        self,
        checkpoint: WhisperCheckpoint,
        train: WhisperSet,
        held_out: WhisperSet | None = None,
        options: WhisperLoraOptions | None = None,
        *,
        base_name: str,
        base_revision: str | None = None,
    ) -> None:
        """
        Args:
            checkpoint: see `load_whisper`. The adapter is put into its model.
            train: the training set, made with the checkpoint's own tokenizer and feature extractor.
            held_out: the validation set; None for no measures.
            base_name, base_revision: what the adapter says it belongs to.
        """
        self.options = options or WhisperLoraOptions()
        self._checkpoint, self._train, self._held_out = checkpoint, train, held_out
        self._base = checkpoint.model
        # The start, language and task, and that there are no timestamps.
        self._told = len(checkpoint.tokens.language_and_task) + 2
        names = {"base_name": base_name, "base_revision": base_revision}
        # With a task, PEFT calls the model with `input_ids`, which Whisper's encoder does not have.
        super().__init__(checkpoint.model, self.options, target_modules(self.options.targets), task_type=None, **names)

    def epoch(self, number: int) -> list[list[int]]:
        """List the micro-batches of an epoch, each the indices of its examples."""
        chosen = self.options
        return self._train.epoch(number, chosen.micro_batch, chosen.seed, easy_first=chosen.easy_first)

    def loss(self, indices: Sequence[int], draw: int = 0) -> tuple[torch.Tensor, int]:
        """Compute the sum of the losses of all target tokens of these examples, in nats, and their number.

        Args:
            draw: what SpecAugment depends on.
        """
        augment = self.options.spec_augment if self.network.training else None
        return self._loss(self._train, indices, augment, draw)

    def evaluate(self) -> dict[str, float]:
        """Measure validation "loss" in nats a token, and "wer" of greedy transcripts, all errors over all words, 0 on.

        Both with texts as `normalise_church_english` compares them. Without words to compare with there is no "wer".
        """
        import torch

        held_out = self._held_out
        if held_out is None:
            return {}
        with torch.no_grad():
            found = [self._loss(held_out, batch) for batch in _batches(held_out, self.options.eval_batch)]
        measures = {"loss": sum(float(loss) for loss, _ in found) / sum(tokens for _, tokens in found)}
        spoken = [example.text for example in held_out.examples]
        pairs = list(zip(spoken, self.transcribe(held_out), strict=True))
        wer = word_errors(pairs, normalise=normalise_church_english).wer
        return measures if wer is None else measures | {"wer": wer}

    def transcribe(self, sounds: WhisperSet) -> list[str]:
        """Transcribe each example with the model as it is, by greedy search and without timestamps."""
        import torch

        done: dict[int, str] = {}
        with torch.inference_mode():
            for batch in _batches(sounds, self.options.eval_batch):
                features = self._taken(sounds.batch(batch).features)
                written = self._base.generate(
                    input_features=features,
                    # Whisper hears the padding too.
                    attention_mask=torch.ones_like(features[:, 0], dtype=torch.long),
                    do_sample=False,
                    num_beams=1,
                    return_timestamps=False,
                    max_length=min(self._told + self.options.max_new_tokens, self._checkpoint.tokens.most),
                )
                texts = self._checkpoint.tokenizer.batch_decode(written, skip_special_tokens=True)
                done |= {index: text.strip() for index, text in zip(batch, texts, strict=True)}
        return [done[index] for index in range(len(sounds))]

    def parameters(self) -> dict[str, Any]:
        """List what decides the training, for the manifest of the adapter."""
        return {**self.options.model_dump(), "target_modules": target_modules(self.options.targets)}

    def _loss(
        self, sounds: WhisperSet, indices: Sequence[int], augment: SpecAugment | None = None, draw: int = 0
    ) -> tuple[torch.Tensor, int]:
        from torch.nn.functional import cross_entropy

        batch = sounds.batch(indices, augment, draw)
        write = batch.write.to(self._base.device)
        read = batch.read.to(self._base.device)
        # Not by the model's own loss, which is a mean over this micro-batch, whatever the others of the step have.
        states = self._base.model(
            input_features=self._taken(batch.features), decoder_input_ids=read, use_cache=False
        ).last_hidden_state
        learned = write != IGNORED
        logits = self._base.proj_out(states[learned])
        return cross_entropy(logits.float(), write[learned], reduction="sum"), batch.tokens

    def _taken(self, features: torch.Tensor) -> torch.Tensor:
        return features.to(self._base.device, self._base.dtype)


def _batches(sounds: WhisperSet, size: int) -> list[list[int]]:
    """All examples, those with texts of similar length together."""
    order = sorted(range(len(sounds)), key=lambda index: (-len(sounds.targets[index].read), index))
    return [order[start : start + size] for start in range(0, len(order), size)]
