"""LoRA for Gemma 3 and TranslateGemma (Hu et al. 2022), on a quantised base where memory is short (QLoRA).

Only the linear layers of the language model are adapted. The embedding, which is the output layer too, stays as it is:
to train both would take 16 GB of optimizer states, gradients and copies for the 4B model, untie the two matrices, and
change what the makers of TranslateGemma froze in their own training.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pydantic import Field, NonNegativeInt, PositiveInt

from stt_platform.training.held_out import chrf_of, held_out_examples
from stt_platform.training.lora import LoraTask
from stt_platform.training.options import LoraOptions
from stt_platform.training.packing import (
    IGNORED,
    Packing,
    TokenisedExample,
    fill_rows,
    fitting,
    packed_row,
    packing_of,
)
from stt_platform.training.sampling import EpochSampler, shuffled
from stt_platform.training.translation_set import TrainingExample
from stt_platform.translation.prompts import render_prompt
from stt_platform.translation.translator import Translation, Translator

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

TARGET_MODULES = r"(.*language_model.*|^model\.layers.*)\.(q|k|v|o|gate|up|down)_proj"
"""Of a model of text and images, and of one of text alone. What sees has modules of the same names and is left out."""

_EPOCH = 1_000_000_000

_VOCABULARY_TILE = 8192
"""Tokens of the vocabulary whose logits are there at a time: all 262,144 for 2,048 tokens would be 5.4 GB."""


class CausalLoraOptions(LoraOptions):
    """What is trained, and on what.

    Attributes:
        row_tokens: longest row that examples are packed into.
        rows_per_batch: rows of one micro-batch.
        held_out: most validation examples whose loss is measured.
        translated: most of these that are translated for chrF++.
        max_new_tokens: most tokens of a translation.
    """

    row_tokens: int = Field(default=512, ge=2)
    rows_per_batch: PositiveInt = 1
    held_out: NonNegativeInt = 500
    translated: NonNegativeInt = 100
    max_new_tokens: int = 256


def tokenise(tokenizer: Any, examples: Sequence[TrainingExample]) -> list[TokenisedExample]:
    """Tokenise examples that are written in TranslateGemma's prompt.

    Prompt and completion are tokenised apart, as they are when a text is translated: the model is given the prompt's
    tokens and writes on. A prompt has its own `<bos>`, and a completion its own end sign.
    """
    from array import array

    if not examples:
        return []
    sides = [
        tokenizer([getattr(example, side) for example in examples], add_special_tokens=False).input_ids
        for side in ("prompt", "completion")
    ]
    # As Python numbers, the corpus would take a gigabyte.
    return [
        TokenisedExample(example.example_id, array("i", prompt), array("i", completion))
        for example, prompt, completion in zip(examples, *sides, strict=True)
    ]


class CausalLoraTask(LoraTask):
    """Training LoRA on packed rows; the task of `stt_platform.training.loop`.

    A micro-batch is one of packed rows. Every epoch has rows of its own, so an index names both: epoch 2, row 15 is
    2,000,000,015.

    Attributes:
        held_out: the validation set, in a random order; the first of it are translated.
        dropped: examples that no row can hold, and why.
        translator: the model as it is at the moment.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        tokenizer: Any,
        examples: Sequence[TrainingExample],
        options: CausalLoraOptions,
        *,
        base_name: str,
        base_revision: str | None = None,
    ) -> None:
        """
        Args:
            model, tokenizer: see `load_causal_model`. The adapter is put into the model.
            examples: of the translation set; those of the split "dev" are held out.
            base_name, base_revision: what the adapter says it belongs to.

        Raises:
            ValueError: where the model has no layer to adapt.
        """
        names = {"base_name": base_name, "base_revision": base_revision}
        super().__init__(model, options, TARGET_MODULES, task_type="CAUSAL_LM", **names)
        self.options = options
        self._tokenizer = tokenizer
        train = [example for example in examples if example.split == "train"]
        self._train, dropped = fitting(tokenise(tokenizer, train), options.row_tokens)
        self.held_out = held_out_examples(examples, options.held_out, options.seed)
        self._dev, dropped_dev = fitting(tokenise(tokenizer, self.held_out), options.row_tokens)
        self.dropped = dropped + dropped_dev
        kept = {example.example_id for example in self._train}
        self._sampler = EpochSampler([e for e in train if e.example_id in kept], options.seed)
        self._packed: tuple[int, list[list[int]]] | None = None
        self.translator = Translator(model, tokenizer, prompt="translategemma", examples=())

    def epoch(self, number: int) -> list[list[int]]:
        """List the micro-batches of an epoch, each the indices of its rows."""
        rows, size = [number * _EPOCH + k for k in range(len(self._rows(number)))], self.options.rows_per_batch
        return [rows[k : k + size] for k in range(0, len(rows), size)]

    def loss(self, indices: Sequence[int], draw: int = 0) -> tuple[torch.Tensor, int]:
        """Compute the sum of the losses of all target tokens in these rows, in nats, and their number.

        Args:
            indices: of rows, as `epoch` names them.
            draw: not used: nothing is drawn but dropout, by torch.
        """
        places = [divmod(index, _EPOCH) for index in indices]
        return self._loss([[self._train[i] for i in self._rows(number)[row]] for number, row in places])

    def evaluate(self) -> dict[str, float]:
        """Measure validation "loss" in nats a token, and "chrf": chrF++ of greedy translations, 0 to 100.

        Likelihood and translation are not the same: translations can get better while the loss
        gets worse.
        """
        import torch

        measures: dict[str, float] = {}
        with torch.no_grad():
            if self._dev:
                rows = fill_rows([len(example) for example in self._dev], self.options.row_tokens)
                found = [self._loss([[self._dev[i] for i in row]]) for row in rows]
                measures["loss"] = sum(float(loss) for loss, _ in found) / sum(tokens for _, tokens in found)
            if texts := self.held_out[: self.options.translated]:
                measures["chrf"] = chrf_of(texts, self.translate(texts))
        return measures

    def translate(self, examples: Sequence[TrainingExample]) -> list[Translation]:
        """Translate the sources with the model as it is, and with the hints that they have."""
        hints = [() if e.prompt == render_prompt(e.source) else e.hints for e in examples]
        sources = [example.source for example in examples]
        return self.translator.translate(sources, hints=hints, max_new_tokens=self.options.max_new_tokens)

    def packing(self, epoch: int = 0) -> Packing:
        """Count how well the rows of an epoch are filled."""
        rows = [[self._train[i] for i in row] for row in self._rows(epoch)]
        return packing_of(rows, self.options.row_tokens)

    def parameters(self) -> dict[str, Any]:
        """List what decides the training, for the manifest of the adapter."""
        return {**self.options.model_dump(), "target_modules": TARGET_MODULES}

    def _rows(self, number: int) -> list[list[int]]:
        """Rows of numbers of examples, shuffled: those that are filled alike stand together. The last epoch is kept."""
        if self._packed is None or self._packed[0] != number:
            chosen = self._sampler.epoch(number)
            rows = fill_rows([len(self._train[i]) for i in chosen], self.options.row_tokens)
            dealt = [[chosen[k] for k in row] for row in rows]
            self._packed = number, shuffled(dealt, self.options.seed, f"rows of epoch {number}")
        return self._packed[1]

    def _loss(self, rows: Sequence[Sequence[TokenisedExample]]) -> tuple[torch.Tensor, int]:
        return target_loss(self.network.get_base_model(), rows, self._tokenizer.pad_token_id)


def target_loss(
    model: PreTrainedModel, rows: Sequence[Sequence[TokenisedExample]], pad: int
) -> tuple[torch.Tensor, int]:
    """Compute the sum of the cross entropies of all target tokens in some rows, in nats, and their number.

    Logits are made for target tokens only, in tiles of the vocabulary, and made again for the gradient: a third of the
    tokens count, and those of a row would be gigabytes.
    """
    from trl.kernels import ChunkedLogProbFunction

    tokens, positions, labels = _tensors(rows, pad, model.device)
    # Without a cache and a mask of padding, transformers keeps apart what begins anew at position 0, padding too.
    hidden = model.base_model(input_ids=tokens, position_ids=positions, use_cache=False).last_hidden_state
    targets = labels[:, 1:]
    counted = targets != IGNORED
    head = model.get_output_embeddings()
    softcap = getattr(model.config.get_text_config(), "final_logit_softcapping", None)
    logprobs, *_ = ChunkedLogProbFunction.apply(
        hidden[:, :-1][counted], head.weight, head.bias, targets[counted], 1.0, _VOCABULARY_TILE, softcap, 1.0, ()
    )
    return -logprobs.sum(), int(counted.sum())


def _tensors(
    rows: Sequence[Sequence[TokenisedExample]], pad: int, device: torch.device
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Tokens, positions and labels, [rows, longest row]. Padding is an example of its own, at the end of its row."""
    import torch

    packed = [packed_row(row) for row in rows]
    longest = max(len(row.tokens) for row in packed)
    sides: Mapping[str, list[list[int]]] = {"tokens": [], "positions": [], "labels": []}
    for row in packed:
        missing = longest - len(row.tokens)
        sides["tokens"].append(row.tokens + [pad] * missing)
        sides["positions"].append(row.positions + list(range(missing)))
        sides["labels"].append(row.labels + [IGNORED] * missing)
    tokens, positions, labels = (torch.tensor(side, device=device) for side in sides.values())
    return tokens, positions, labels
