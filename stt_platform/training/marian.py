"""Training all weights of a MarianMT model: small enough to need no adapter, and the fallback of the live machine."""

from __future__ import annotations

import copy
from array import array
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from pydantic import Field, NonNegativeInt, PositiveInt, model_validator

from stt_platform.glossary.hints import TAG_DONE, TAG_SOURCE, TAG_TARGET
from stt_platform.training.held_out import chrf_of, held_out_examples
from stt_platform.training.options import Options
from stt_platform.training.packing import IGNORED, Dropped, TokenisedExample
from stt_platform.training.sampling import EpochSampler, shuffled
from stt_platform.training.translation_set import TrainingExample
from stt_platform.translation.translator import Translation, Translator

if TYPE_CHECKING:
    import torch
    from transformers import MarianMTModel


class MarianOptions(Options):
    """What is trained on.

    Attributes:
        batch_tokens: places of one micro-batch at most: its examples, each as long as the longest side of any.
        most_tokens: longest side of an example.
        label_smoothing: share of each target that is given to all words alike, 0 to 1.
        held_out: most held-out examples whose loss is measured.
        translated: most of these that are translated for chrF++.
        max_new_tokens: most tokens of a translation.
        seed: of every draw.

    Raises:
        ValueError: for a value that is out of its range.
    """

    batch_tokens: int = 2048
    most_tokens: PositiveInt = 256
    label_smoothing: float = Field(default=0.0, ge=0, lt=1)
    held_out: NonNegativeInt = 500
    translated: NonNegativeInt = 100
    max_new_tokens: int = 256
    seed: int = 42

    @model_validator(mode="after")
    def _one_fits(self) -> Self:
        if self.batch_tokens < self.most_tokens:
            raise ValueError(f"batch_tokens {self.batch_tokens!r}: at least {self.most_tokens} was expected")
        return self


def load_marian(folder: str | Path, *, device: str = "cpu") -> tuple[MarianMTModel, Any]:
    """Load a MarianMT model in float32 and its tokenizer from a folder; nothing is downloaded.

    Raises:
        OSError: where the folder holds no such model.
    """
    import torch
    from transformers import MarianMTModel, MarianTokenizer

    model = MarianMTModel.from_pretrained(str(folder), local_files_only=True, use_safetensors=True, dtype=torch.float32)
    return model.to(device), MarianTokenizer.from_pretrained(str(folder), local_files_only=True)


class MarianTask:
    """Training a MarianMT model; the task of `stt_platform.training.loop`.

    A micro-batch is one of examples of similar length, named by their numbers.

    Attributes:
        held_out: the validation set, in a random order; the first of it are translated.
        dropped: examples that are too long, and why. Nothing is cut.
        notes: what a user should know.
        translator: the model as it is at the moment.
    """

    def __init__(
        self, model: MarianMTModel, tokenizer: Any, examples: Sequence[TrainingExample], options: MarianOptions
    ) -> None:
        """
        Args:
            model, tokenizer: see `load_marian`.
            examples: of the translation set for the prompt "marian"; those of the split "dev" are held out.
        """
        self.options = options
        self._model, self._tokenizer = model, tokenizer
        train = [example for example in examples if example.split == "train"]
        most = min(options.most_tokens, model.config.max_position_embeddings)
        self._train, dropped = _fitting(_tokenise(tokenizer, train), most)
        self.held_out = held_out_examples(examples, options.held_out, options.seed)
        self._dev, dropped_dev = _fitting(_tokenise(tokenizer, self.held_out), most)
        self.dropped = dropped + dropped_dev
        self.notes = _unreadable_tags(tokenizer, examples)
        kept = {example.example_id for example in self._train}
        self._sampler = EpochSampler([e for e in train if e.example_id in kept], options.seed)
        # A translator changes how the model generates; the folder that is written says what it said before.
        self._generation = copy.deepcopy(model.generation_config)
        self.translator = Translator(model, tokenizer, prompt="translategemma", examples=())
        _freeze(model)

    def trainable(self) -> list[tuple[str, torch.nn.Parameter]]:
        """List all weights but those of the positions, sorted by name; one that stands in several places once."""
        return sorted((name, p) for name, p in self._model.named_parameters() if p.requires_grad)

    def epoch(self, number: int) -> list[list[int]]:
        """List the micro-batches of an epoch, each the numbers of its examples."""
        batches = _by_length(self._train, self._sampler.epoch(number), self.options.batch_tokens)
        return shuffled(batches, self.options.seed, f"batches of epoch {number}")

    def loss(self, indices: Sequence[int], draw: int = 0) -> tuple[torch.Tensor, int]:
        """Compute the sum of the losses of all target tokens of these examples, in nats, and their number.

        Args:
            draw: not used: nothing is drawn but dropout, by torch.
        """
        return self._loss([self._train[i] for i in indices], self.options.label_smoothing)

    def train_mode(self) -> None:
        """Dropout on."""
        self._model.train()

    def eval_mode(self) -> None:
        """Dropout off."""
        self._model.eval()

    def save(self, folder: Path) -> None:
        """Write the whole model with its tokenizer, as transformers reads it."""
        self._model.save_pretrained(folder)
        self._generation.save_pretrained(folder)
        self._tokenizer.save_pretrained(folder)

    def load(self, folder: Path) -> None:
        """Take the weights that `save` wrote."""
        from safetensors.torch import load_model

        # The positions are not in the file.
        missing, unexpected = load_model(self._model, folder / "model.safetensors", strict=False)
        trained = {name for name, _ in self.trainable()}
        if other := sorted([*unexpected, *trained.intersection(missing)]):
            raise ValueError(f"{folder / 'model.safetensors'} is of another model: see {other[0]}")

    def evaluate(self) -> dict[str, float]:
        """Measure validation "loss" in nats a token, without smoothing, and "chrf": chrF++ of greedy translations, 0 to 100."""
        import torch

        measures: dict[str, float] = {}
        with torch.no_grad():
            if self._dev:
                batches = _by_length(self._dev, range(len(self._dev)), self.options.batch_tokens)
                found = [self._loss([self._dev[i] for i in batch], 0.0) for batch in batches]
                measures["loss"] = sum(float(loss) for loss, _ in found) / sum(tokens for _, tokens in found)
            if texts := self.held_out[: self.options.translated]:
                measures["chrf"] = chrf_of(texts, self.translate(texts))
        return measures

    def translate(self, examples: Sequence[TrainingExample]) -> list[Translation]:
        """Translate the sources, which carry their hints, with the model as it is."""
        sources = [example.source for example in examples]
        return self.translator.translate(sources, max_new_tokens=self.options.max_new_tokens)

    def parameters(self) -> dict[str, Any]:
        """List what decides the training, for the manifest of the model."""
        return self.options.model_dump()

    def _loss(self, examples: Sequence[TokenisedExample], label_smoothing: float) -> tuple[torch.Tensor, int]:
        import torch

        pad, device = self._tokenizer.pad_token_id, self._model.device
        sources, targets = [e.prompt for e in examples], [e.completion for e in examples]
        read = torch.tensor(_padded(sources, pad), device=device)
        mask = torch.tensor(_padded([[1] * len(source) for source in sources], 0), device=device)
        labels = torch.tensor(_padded(targets, IGNORED), device=device)
        logits = self._model(input_ids=read, attention_mask=mask, labels=labels).logits
        # Not the model's own loss: that is a mean over the micro-batch.
        loss = torch.nn.functional.cross_entropy(
            logits.flatten(0, 1).float(),
            labels.flatten(),
            ignore_index=IGNORED,
            label_smoothing=label_smoothing,
            reduction="sum",
        )
        return loss, int((labels != IGNORED).sum())


def _tokenise(tokenizer: Any, examples: Sequence[TrainingExample]) -> list[TokenisedExample]:
    if not examples:
        return []
    sources = tokenizer([example.prompt for example in examples]).input_ids
    targets = tokenizer(text_target=[example.completion for example in examples]).input_ids
    return [
        TokenisedExample(example.example_id, array("i", source), array("i", target))
        for example, source, target in zip(examples, sources, targets, strict=True)
    ]


def _fitting(
    examples: Sequence[TokenisedExample], most: int
) -> tuple[tuple[TokenisedExample, ...], tuple[Dropped, ...]]:
    kept, dropped = [], []
    for example in examples:
        longest = _longest(example)
        if longest > most:
            side = "source" if longest == len(example.prompt) else "target"
            reason = f"its {side} has {longest} tokens; there is room for {most}"
            dropped.append(Dropped(example.example_id, longest, reason))
        else:
            kept.append(example)
    return tuple(kept), tuple(dropped)


def _longest(example: TokenisedExample) -> int:
    return max(len(example.prompt), len(example.completion))


def _by_length(examples: Sequence[TokenisedExample], chosen: Sequence[int], batch_tokens: int) -> list[list[int]]:
    """Batches of examples of similar length, so that little is padding; each has room for its longest everywhere."""
    batches: list[list[int]] = []
    longest = 0
    # Of equal length, those that were drawn together stay together.
    for i in sorted(chosen, key=lambda i: -_longest(examples[i])):
        if not batches or (len(batches[-1]) + 1) * longest > batch_tokens:
            batches.append([])
            longest = _longest(examples[i])
        batches[-1].append(i)
    return batches


def _padded(rows: Sequence[Sequence[int]], padding: int) -> list[list[int]]:
    longest = max(map(len, rows))
    return [[*row, *[padding] * (longest - len(row))] for row in rows]


def _unreadable_tags(tokenizer: Any, examples: Sequence[TrainingExample]) -> tuple[str, ...]:
    tags = [tag for tag in (TAG_SOURCE, TAG_TARGET, TAG_DONE) if any(tag in e.prompt for e in examples)]
    lost = [tag for tag in tags if tokenizer.unk_token_id in tokenizer(tag).input_ids]
    if not lost:
        return ()
    return (f"the tokenizer cannot spell {', '.join(lost)}: the model will hardly tell hints from text",)


def _freeze(model: MarianMTModel) -> None:
    """Leave alone what others take as given.

    Positions are sines: they are not in the file that is written, so what they learnt would be lost. A translation
    begins with the embedding of `<pad>`, which is zero, and CTranslate2 takes it for zero unread; where the embedding is
    the output layer too, every step would move it a little.
    """
    pad = model.config.pad_token_id

    def without_pad(gradient: torch.Tensor) -> torch.Tensor:
        gradient = gradient.clone()
        gradient[pad] = 0
        return gradient

    embeddings = {}
    for part in (model.model.encoder, model.model.decoder):
        part.embed_positions.weight.requires_grad_(False)
        embeddings[id(part.embed_tokens.weight)] = part.embed_tokens.weight
    for weight in embeddings.values():
        weight.register_hook(without_pad)
