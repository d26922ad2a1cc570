"""Translating texts with a model of transformers: TranslateGemma, another model of the Gemma family, or MarianMT."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from stt_platform.translation.prompts import END_OF_TURN, LANGUAGES, render_prompt

Prompt = Literal["translategemma", "examples"]
Hints = Sequence[tuple[str, str]]

# Of the rows of a batch, how many may still go on when the next texts come in.
_FEW = 0.25

TRANSLATED, CUT, FAILED = "translated", "cut", "failed"

TOKENS_PER_SOURCE_TOKEN = 2.0
TOKENS_OF_GRACE = 16
"""No answer is longer than twice its source and 16 tokens: what goes on after that repeats itself."""


@dataclass(frozen=True)
class Translation:
    """What became of one text.

    Attributes:
        text: empty where nothing came of it.
        tokens: tokens that the model wrote, its end sign included.
        status: "translated"; "cut": stopped at the limit before the model was done; "failed".
        reason: why it is not "translated".
    """

    text: str
    tokens: int
    status: str = TRANSLATED
    reason: str = ""


class Translator:
    """A model and its tokenizer, loaded once for many texts. Made by `load_translator`."""

    def __init__(self, model: Any, tokenizer: Any, *, prompt: Prompt, examples: Sequence[tuple[str, str]]) -> None:
        self._model = model
        self._tokenizer = tokenizer
        self._prompt = prompt
        self._examples = tuple(examples)
        self._two_parts = bool(model.config.is_encoder_decoder)
        self._window = model.config.get_text_config().max_position_embeddings
        tokenizer.padding_side = "right" if self._two_parts else "left"
        self._stops = self._stop_tokens()
        # What a folder suggests (sampling, beams, a length, an end sign at that length) is not what is wanted here.
        settings = model.generation_config
        settings.update(do_sample=False, num_beams=1, temperature=None, top_k=None, top_p=None, max_length=None)
        settings.update(eos_token_id=sorted(self._stops), pad_token_id=tokenizer.pad_token_id, forced_eos_token_id=None)

    def translate(
        self,
        texts: Sequence[str],
        *,
        source: str = "en",
        target: str = "es",
        hints: Sequence[Hints] | None = None,
        batch_size: int = 16,
        max_new_tokens: int = 256,
        progress: Callable[[int, int], None] | None = None,
    ) -> list[Translation]:
        """Translate texts by greedy search, those of similar length together; the results come in the given order.

        A result depends on its own text alone, but for the last digits of the arithmetic: where two tokens are almost
        equally likely, another batch may choose the other, most easily in bfloat16. A text that cannot be translated
        (empty, too long, a control token in it) is marked, and the others go on.

        Args:
            source, target: "en" or "es".
            hints: for each text its (term, translation) pairs, for the prompt "translategemma".
            max_new_tokens: most tokens of one answer; a short text gets fewer: twice its own, and 16.
            progress: called after each batch with the number of texts done and their total.

        Raises:
            ValueError: for a direction that the model does not translate, or hints that it cannot take.
        """
        self._check(texts, source, target, hints)

        def prompt(i: int) -> str:
            return self._render(texts[i], source, target, hints[i] if hints else ())

        return self._answers(texts, prompt, batch_size, max_new_tokens, progress)

    def continue_texts(
        self,
        texts: Sequence[str],
        *,
        batch_size: int = 16,
        max_new_tokens: int = 256,
        progress: Callable[[int, int], None] | None = None,
    ) -> list[Translation]:
        """Let the model go on with texts by itself: before each stands `<bos>`, and it is asked for nothing.

        What comes back is the continuation alone, by greedy search, under the limits and marks of `translate`.

        Raises:
            ValueError: for an encoder and decoder, which has no text of its own.
        """
        if self._two_parts:
            raise ValueError(
                "this model reads one text and writes another: only a causal language model can go on with one"
            )

        def prompt(i: int) -> str:
            render_prompt(texts[i])  # Refuses what none of the models may be given.
            return f"<bos>{texts[i].strip()}"

        return self._answers(texts, prompt, batch_size, max_new_tokens, progress)

    def _answers(
        self,
        texts: Sequence[str],
        prompt: Callable[[int], str],
        batch_size: int,
        max_new_tokens: int,
        progress: Callable[[int, int], None] | None,
    ) -> list[Translation]:
        done: dict[int, Translation] = {}
        asked: dict[int, list[int]] = {}
        limits: dict[int, int] = {}
        for i, text in enumerate(texts):
            try:
                asked[i] = self._encode(prompt(i))
            except ValueError as error:
                done[i] = Translation("", 0, FAILED, str(error))
                continue
            length = len(self._tokenizer(text, add_special_tokens=False).input_ids)
            usual = int(TOKENS_PER_SOURCE_TOKEN * length) + TOKENS_OF_GRACE
            limits[i] = min(max_new_tokens, usual, self._window - 1)
            room = self._window - (0 if self._two_parts else limits[i])
            if len(asked[i]) > room:
                reason = f"{len(asked[i])} tokens to read; the model has room for {room}"
                done[i] = Translation("", 0, FAILED, reason)
                del asked[i]
        # The longest first: what does not fit into memory fails at once, and not at the end.
        left = deque(sorted(asked, key=lambda i: (-len(asked[i]), i)))
        written: dict[int, list[int]] = {i: [] for i in asked}
        going: list[int] = []
        while left or going:
            batch = going + [left.popleft() for _ in range(min(batch_size - len(going), len(left)))]
            few = int(_FEW * len(batch)) if left else 0
            answers = self._write(
                [asked[i] + written[i] for i in batch], [limits[i] - len(written[i]) for i in batch], few
            )
            for i, answer in zip(batch, answers, strict=True):
                written[i] += answer
            going = [i for i in batch if not self._is_done(written[i], limits[i])]
            done.update((i, self._read(written[i], limits[i])) for i in batch if i not in going)
            if progress is not None:
                progress(len(done), len(texts))
        return [done[i] for i in range(len(texts))]

    def _check(self, texts: Sequence[str], source: str, target: str, hints: Sequence[Hints] | None) -> None:
        if source == target or not {source, target} <= set(LANGUAGES):
            raise ValueError(f"from {source!r} to {target!r}: give two of {', '.join(LANGUAGES)}")
        if hints is not None and len(hints) != len(texts):
            raise ValueError(f"{len(texts)} texts, but hints for {len(hints)}: give an empty list where there are none")
        if hints and any(hints) and (self._two_parts or self._prompt != "translategemma"):
            raise ValueError("only the prompt 'translategemma' takes hints: give none to this model")
        if self._two_parts:
            knows = tuple(self._tokenizer.init_kwargs.get(side) for side in ("source_lang", "target_lang"))
            if knows != (source, target):
                raise ValueError(
                    f"this model translates from {knows[0]!r} to {knows[1]!r}, not from {source!r} to {target!r}: "
                    f"load the one for that direction, such as opus-mt-{source}-{target}"
                )

    def _render(self, text: str, source: str, target: str, hints: Hints) -> str:
        # The prompt's own checks refuse what none of the models may be given.
        rendered = render_prompt(text, source, target, hints)
        if self._two_parts:
            return text.strip()
        if self._prompt == "examples":
            return _render_examples(text, source, target, self._examples)
        return rendered

    def _encode(self, rendered: str) -> list[int]:
        # A prompt begins with its own <bos>; an encoder wants the end sign that the tokenizer adds.
        return self._tokenizer(rendered, add_special_tokens=self._two_parts).input_ids

    def _write(self, prompts: Sequence[list[int]], limits: Sequence[int], few: int) -> list[list[int]]:
        """What is written after the prompts, each up to its limit; once no more than `few` go on, they are left so."""
        if self._two_parts:
            return self._generate(prompts, max(limits))
        return self._go_on(prompts, limits, few)

    def _is_done(self, written: Sequence[int], limit: int) -> bool:
        return self._two_parts or len(written) >= limit or written[-1] in self._stops

    def _generate(self, prompts: Sequence[list[int]], max_new_tokens: int) -> list[list[int]]:
        """Return what the decoder writes, with what follows an end sign."""
        import torch

        inputs = self._tokenizer.pad({"input_ids": list(prompts)}, padding=True, return_tensors="pt")
        with torch.inference_mode():
            written = self._model.generate(
                input_ids=inputs.input_ids.to(self._model.device),
                attention_mask=inputs.attention_mask.to(self._model.device),
                max_new_tokens=max_new_tokens,
            )
        return written[:, 1:].tolist()

    def _go_on(self, prompts: Sequence[list[int]], limits: Sequence[int], few: int) -> list[list[int]]:
        """Return the likeliest next token of each row again and again, as `generate` finds it.

        A row that is done leaves the batch, where `generate` computes it until the last one is done. A step with a few
        rows takes as long as one with many, and of a model that was not tuned to stop some rows go on for three times as
        long as the others; so the last ones are better gone on with among other texts.

        Raises:
            ValueError: for a model that is being trained, and keeps nothing of what it read to save memory.
        """
        import torch
        from transformers import DynamicCache

        device = self._model.device
        inputs = self._tokenizer.pad({"input_ids": list(prompts)}, padding=True, return_tensors="pt")
        ids, mask = inputs.input_ids.to(device), inputs.attention_mask.to(device)
        positions = (mask.cumsum(-1) - 1).clamp(min=0)
        written: list[list[int]] = [[] for _ in prompts]
        rows = list(range(len(prompts)))
        cache = DynamicCache(config=self._model.config)
        with torch.inference_mode():
            while True:
                found = self._model(
                    input_ids=ids,
                    attention_mask=mask,
                    position_ids=positions,
                    past_key_values=cache,
                    use_cache=True,
                    logits_to_keep=1,
                )
                if cache.get_seq_length() != mask.shape[1]:
                    raise ValueError(
                        "the model has not kept what it read, as while it is trained: call its eval() first"
                    )
                chosen = found.logits[:, -1].argmax(-1)
                for row, token in zip(rows, chosen.tolist(), strict=True):
                    written[row].append(token)
                kept = [k for k, row in enumerate(rows) if not self._is_done(written[row], limits[row])]
                if len(kept) <= few:
                    return written
                if len(kept) < len(rows):
                    places = torch.tensor(kept, device=device)
                    cache.batch_select_indices(places)
                    mask, chosen, rows = mask[places], chosen[places], [rows[k] for k in kept]
                mask = torch.cat([mask, mask.new_ones(len(rows), 1)], dim=1)
                ids, positions = chosen[:, None], mask.sum(-1, keepdim=True) - 1

    def _read(self, answer: list[int], limit: int) -> Translation:
        # The batch went on to the limit of its longest text.
        answer = answer[:limit]
        end = next((k for k, token in enumerate(answer) if token in self._stops), None)
        text = self._tokenizer.decode(answer[:end], skip_special_tokens=True).strip()
        tokens = len(answer) if end is None else end + 1
        if not text:
            return Translation("", tokens, FAILED, "the model answered nothing")
        if end is None:
            return Translation(text, tokens, CUT, f"stopped at the limit of {limit} tokens")
        return Translation(text, tokens)

    def _stop_tokens(self) -> set[int]:
        tokenizer, vocabulary = self._tokenizer, self._tokenizer.get_vocab()
        stops = {tokenizer.eos_token_id}
        if not self._two_parts:
            stops |= {vocabulary[END_OF_TURN]} if END_OF_TURN in vocabulary else set()
            if self._prompt == "examples":
                # A model that was not taught to stop goes on with examples of its own.
                stops |= {number for piece, number in vocabulary.items() if "\n" in piece or piece == "<0x0A>"}
        return stops


def load_translator(
    folder: str | Path,
    *,
    device: str = "cpu",
    dtype: str = "float32",
    prompt: Prompt = "translategemma",
    examples: Sequence[tuple[str, str]] = (),
) -> Translator:
    """Load a model from a folder; nothing is downloaded.

    Args:
        folder: model (safetensors), configuration and tokenizer, as `save_pretrained` writes them: a causal language
            model with Gemma's control tokens, of text alone or of text and images (of which only text is used), or an
            encoder and decoder for one direction, as MarianMT.
        device: 'cpu', 'cuda' or 'cuda:N'.
        dtype: 'float32', or 'bfloat16' to save memory and time on a GPU.
        prompt: what a causal model is asked with: 'translategemma' for one that was tuned to that prompt; 'examples'
            for one that was not (Brown et al. 2020, "Language Models are Few-Shot Learners"): some pairs, then the
            text, and the answer ends with its line.
        examples: (English, Spanish), for the prompt 'examples'; turned round for the other direction.

    Raises:
        ValueError: for the prompt 'examples' without examples, or another prompt with them; for a causal model that
            does not know the control tokens.
        OSError: where the folder holds no such model.
    """
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForSeq2SeqLM, AutoTokenizer

    if bool(examples) != (prompt == "examples"):
        raise ValueError(
            f"prompt {prompt!r} with {len(examples)} examples: give examples to the prompt 'examples' only"
        )
    config = AutoConfig.from_pretrained(str(folder), local_files_only=True)
    kind = AutoModelForSeq2SeqLM if config.is_encoder_decoder else AutoModelForCausalLM
    wanted = {"local_files_only": True, "use_safetensors": True, "dtype": getattr(torch, dtype)}
    model: Any = kind.from_pretrained(str(folder), **wanted)
    tokenizer = AutoTokenizer.from_pretrained(str(folder), local_files_only=True)
    if not config.is_encoder_decoder and "<bos>" not in tokenizer.get_vocab():
        raise ValueError(f"{folder} has no token <bos>: the prompts are written for models of the Gemma family")
    return Translator(model.to(device).eval(), tokenizer, prompt=prompt, examples=examples)


def _render_examples(text: str, source: str, target: str, examples: Sequence[tuple[str, str]]) -> str:
    def line(code: str, content: str) -> str:
        return f"{LANGUAGES[code]}: {' '.join(content.split())}".rstrip()

    blocks = []
    for english, spanish in examples:
        sides = {"en": english, "es": spanish}
        blocks.append(f"{line(source, sides[source])}\n{line(target, sides[target])}\n\n")
    return f"<bos>{''.join(blocks)}{line(source, text)}\n{line(target, '')}"
