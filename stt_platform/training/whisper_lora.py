"""LoRA for Whisper (Hu et al. 2022), on the encoder and on the decoder.

The encoder learns the room and the loudspeakers, the decoder the words; an adapter of the decoder alone hears the hall
no better (LoRA-Whisper, Interspeech 2024).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

from stt_platform.evaluation.church_english import normalise_church_english
from stt_platform.evaluation.wer import word_errors
from stt_platform.training.lora_files import load_lora, save_lora
from stt_platform.training.whisper_data import IGNORED, SpecAugment, Tokens, WhisperSet

if TYPE_CHECKING:
    import torch
    from transformers import WhisperForConditionalGeneration

Targets = Literal["q_proj,v_proj", "attention", "all-linear"]
Base = Literal["float32", "bfloat16", "int8"]

# Of encoder and decoder: the names are the same in both, and in the attention of the decoder to the encoder.
_MODULES: dict[str, list[str]] = {
    "q_proj,v_proj": ["q_proj", "v_proj"],
    "attention": ["q_proj", "k_proj", "v_proj", "out_proj"],
    "all-linear": ["q_proj", "k_proj", "v_proj", "out_proj", "fc1", "fc2"],
}


@dataclass(frozen=True)
class WhisperLoraOptions:
    """What is trained, and how it is fed.

    Attributes:
        rank: of the two matrices of each layer.
        alpha: what is learnt counts alpha / rank times.
        dropout: before the first matrix, 0 to 1.
        targets: layers that are adapted: queries and values, all of the attention, or all linear layers.
        micro_batch: examples at once.
        checkpointing: keep the activations of one layer at a time and compute the others again.
        spec_augment: what is blanked out of the examples; None for nothing.
        eval_batch: examples at once when measuring.
        max_new_tokens: most tokens of a transcript.
        easy_first: whether the first epoch goes from easy to hard, by the base model's own confidence.
        seed: of the first weights, and of the order of the examples.

    Raises:
        ValueError: for a value that is out of its range.
    """

    rank: int = 32
    alpha: int = 64
    dropout: float = 0.05
    targets: Targets = "q_proj,v_proj"
    micro_batch: int = 4
    checkpointing: bool = True
    spec_augment: SpecAugment | None = field(default_factory=SpecAugment)
    eval_batch: int = 16
    max_new_tokens: int = 225
    easy_first: bool = False
    seed: int = 42

    def __post_init__(self) -> None:
        for name in ("rank", "alpha", "micro_batch", "eval_batch", "max_new_tokens"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} {getattr(self, name)!r}: at least 1 was expected")
        if not 0 <= self.dropout < 1:
            raise ValueError(f"dropout {self.dropout!r}: a number from 0 to below 1 was expected")
        if self.targets not in _MODULES:
            raise ValueError(f"targets {self.targets!r}: use one of {', '.join(get_args(Targets))}")


def target_modules(targets: Targets) -> list[str]:
    """Names of the layers that are adapted."""
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
    """FlashAttention-2 where package, card (Ampere or newer) and arithmetic allow it, else that of torch."""
    import torch
    from transformers.utils import is_flash_attn_2_available

    allowed = device.startswith("cuda") and dtype in (torch.float16, torch.bfloat16) and is_flash_attn_2_available()
    return "flash_attention_2" if allowed and torch.cuda.get_device_capability(device)[0] >= 8 else "sdpa"


class WhisperLoraTask:
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
            train: what is learned from, made with the checkpoint's own tokenizer and feature extractor.
            held_out: what is measured on; None for no measures.
            base_name, base_revision: what the adapter says it belongs to.
        """
        self.options = options or WhisperLoraOptions()
        self._checkpoint, self._train, self._held_out = checkpoint, train, held_out
        self._base = checkpoint.model
        # The start, language and task, and that there are no timestamps.
        self._told = len(checkpoint.tokens.language_and_task) + 2
        self._model = _adapted(checkpoint.model, self.options, base_name, base_revision)

    def trainable(self) -> list[tuple[str, torch.nn.Parameter]]:
        """The matrices of the adapter, sorted by name."""
        return sorted((name, p) for name, p in self._model.named_parameters() if p.requires_grad)

    def epoch(self, number: int) -> list[list[int]]:
        """The micro-batches of an epoch, each the indices of its examples."""
        chosen = self.options
        return self._train.epoch(number, chosen.micro_batch, chosen.seed, easy_first=chosen.easy_first)

    def loss(self, indices: Sequence[int], draw: int = 0) -> tuple[torch.Tensor, int]:
        """The sum of the losses of all target tokens of these examples, and their number.

        Args:
            draw: what SpecAugment depends on.
        """
        augment = self.options.spec_augment if self._model.training else None
        return self._loss(self._train, indices, augment, draw)

    def train_mode(self) -> None:
        """Dropout and SpecAugment on."""
        self._model.train()

    def eval_mode(self) -> None:
        """Dropout and SpecAugment off."""
        self._model.eval()

    def save(self, folder: Path) -> None:
        """Write the adapter as PEFT reads it."""
        save_lora(self._model, folder)

    def load(self, folder: Path) -> None:
        """Take the weights that `save` wrote."""
        load_lora(self._model, folder)

    def evaluate(self) -> dict[str, float]:
        """Held-out "loss" in nats a token, and "wer" of greedy transcripts, all errors over all words, 0 on.

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
        """What the model as it is hears in each example, by greedy search and without timestamps."""
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

    @contextmanager
    def base(self) -> Iterator[None]:
        """Within it, the model is what it was before."""
        with self._model.disable_adapter():
            yield

    def parameters(self) -> dict[str, Any]:
        """For the manifest of the adapter."""
        return {**asdict(self.options), "target_modules": target_modules(self.options.targets)}

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


def _adapted(
    model: WhisperForConditionalGeneration, options: WhisperLoraOptions, base_name: str, base_revision: str | None
) -> Any:
    import torch
    from peft import LoraConfig, get_peft_model

    config = LoraConfig(
        r=options.rank,
        lora_alpha=options.alpha,
        lora_dropout=options.dropout,
        target_modules=target_modules(options.targets),
        bias="none",
        # With a task, PEFT calls the model with `input_ids`, which Whisper's encoder does not have.
        task_type=None,
        revision=base_revision,
    )
    with torch.random.fork_rng():
        torch.manual_seed(options.seed)
        # What is trained is kept in float32, whatever the base is in: bfloat16 would swallow small steps.
        adapted = get_peft_model(model, config, autocast_adapter_dtype=True)
    # PEFT puts the folder of this machine there.
    adapted.peft_config["default"].base_model_name_or_path = base_name
    if options.checkpointing:
        # Torch's old way computes no gradient in the encoder, whose input needs none.
        model.activation_checkpointing_enable(activation_checkpointing_kwargs={"use_reentrant": False})
    return adapted
