"""Translations to be scored: made under the same conditions for every system, and made only once."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Literal, Protocol

from stt_platform.evaluation.trust import hypothesis_key
from stt_platform.translation.prompts import render_prompt
from stt_platform.translation.translator import (
    FAILED,
    TOKENS_OF_GRACE,
    TOKENS_PER_SOURCE_TOKEN,
    Hints,
    Translation,
)

Translate = Callable[[Sequence[str], Sequence[Hints]], Sequence[Translation]]
"""Gives the translations of texts with their hints, in the given order, as `Translator.translate` does."""


@dataclass(frozen=True)
class Request:
    """A text to translate.

    Attributes:
        key: the name of the row, by which the hypothesis is found again.
        hints: (term, translation).
        references: what people made of it; carried along and never shown to the model.
    """

    key: str
    source: str
    hints: tuple[tuple[str, str], ...] = ()
    references: tuple[str | None, ...] = ()


@dataclass(frozen=True)
class Prompting:
    """What a model is asked with.

    Attributes:
        kind: "translategemma" or "examples", see `load_translator`; "plain": the text alone, as MarianMT reads it;
            "continuation": the text alone, to go on with it (`Translator.continue_texts`).
        source, target: "en" or "es".
        examples: (English, Spanish), for the kind "examples".
    """

    kind: Literal["translategemma", "examples", "plain", "continuation"] = "translategemma"
    source: str = "en"
    target: str = "es"
    examples: tuple[tuple[str, str], ...] = ()

    def of(self, request: Request) -> str:
        """Return all that decides what the model reads for this text, in one string."""
        # The words around a text are shown on a sample, since the prompt refuses some texts.
        around = render_prompt("text", self.source, self.target, [("term", "translation")])
        parts = [asdict(self), around if self.kind == "translategemma" else "", request.hints, request.source]
        return json.dumps(parts, ensure_ascii=False, sort_keys=True)


@dataclass(frozen=True)
class Decoding:
    """How the translator generates. Batch size and device are no part of it: they change the last digits only.

    Attributes:
        max_new_tokens: most tokens of one answer.
        dtype: of the weights, as torch names it.
        search: "greedy" is what the translator does.
        tokens_per_source_token, tokens_of_grace: the limit of a short text, see `Translator.translate`.
    """

    max_new_tokens: int = 256
    dtype: str = "float32"
    search: Literal["greedy"] = "greedy"
    tokens_per_source_token: float = TOKENS_PER_SOURCE_TOKEN
    tokens_of_grace: int = TOKENS_OF_GRACE


@dataclass(frozen=True)
class Hypothesis:
    """The translation of one request.

    Attributes:
        key: of the request.
        text: empty where the status is "failed".
        tokens: that the model wrote.
        status, reason: as in `Translation`: "translated", "cut" or "failed".
        kept: it was made before and found among the kept ones.
    """

    key: str
    text: str
    tokens: int
    status: str
    reason: str
    kept: bool


@dataclass(frozen=True)
class Speed:
    """What generation took, without what was found among the kept ones and without the first text on a cold model.

    Attributes:
        device: where the model ran.
        texts, tokens: made; `seconds` is the time that they took.
    """

    device: str
    texts: int
    tokens: int
    seconds: float

    @property
    def tokens_per_s(self) -> float | None:
        """Tokens written in a second; None where nothing was made."""
        return self.tokens / self.seconds if self.tokens and self.seconds > 0 else None

    @property
    def texts_per_s(self) -> float | None:
        """Texts translated in a second; None where nothing was made."""
        return self.texts / self.seconds if self.texts and self.seconds > 0 else None


@dataclass(frozen=True)
class Generated:
    """The hypotheses of one system, one for each request in order, and the conditions that they were made under."""

    model: str
    requests: tuple[Request, ...]
    prompting: Prompting
    decoding: Decoding
    hypotheses: tuple[Hypothesis, ...]
    speed: Speed


class Keeper(Protocol):
    """Where hypotheses are kept between runs, by `hypothesis_key`."""

    def find(self, keys: Collection[str]) -> Mapping[str, Translation]:
        """Return those of the keys that are kept."""
        ...

    def keep(self, made: Mapping[str, Translation]) -> None:
        """Keep what was made, before this returns."""


def generate(
    requests: Sequence[Request],
    translate: Translate,
    *,
    model: str,
    prompting: Prompting,
    decoding: Decoding,
    keeper: Keeper,
    device: str,
    batch: int = 128,
    progress: Callable[[int, int], None] | None = None,
    clock: Callable[[], float] = time.perf_counter,
) -> Generated:
    """Translate what is not kept yet, texts of similar length together, the longest first.

    What was made is kept after every batch, so that an interruption loses at most one. A text that stands there
    several times is translated once. Failed texts are marked and not kept: they are tried again the next time.

    Args:
        translate: has to follow `prompting` and `decoding`, which are what hypotheses are kept under.
        model: what identifies the weights, adapter included: hashes, not names that may be given again.
        device: recorded with the speed.
        batch: texts handed to `translate` at once and kept together; it may divide them further.
        progress: called with the number of requests that are done and their total.
        clock: seconds.

    Raises:
        ValueError: for two requests of one key, a batch below 1, or another number of translations than of texts.
    """
    if batch < 1:
        raise ValueError(f"batch {batch}: want at least 1 text")
    _refuse_doubles([request.key for request in requests])
    names = [hypothesis_key(model, prompting.of(request), asdict(decoding)) for request in requests]
    wanted = dict(zip(names, requests, strict=True))
    found = dict(keeper.find(wanted.keys()))
    before = frozenset(found)
    missing = sorted(wanted.keys() - before, key=lambda name: (-len(wanted[name].source), name))

    def tell() -> None:
        if progress is not None:
            progress(sum(name in found for name in names), len(names))

    tell()
    if missing:
        # The first call pays for memory and kernels: a short text pays it, outside the time that is reported.
        _ask(translate, [wanted[missing[-1]]])
    seconds, made_tokens = 0.0, 0
    for start in range(0, len(missing), batch):
        part = missing[start : start + batch]
        began = clock()
        made = dict(zip(part, _ask(translate, [wanted[name] for name in part]), strict=True))
        seconds += clock() - began
        made_tokens += sum(done.tokens for done in made.values())
        if fit := {name: done for name, done in made.items() if done.status != FAILED}:
            keeper.keep(fit)
        found |= made
        tell()
    hypotheses = tuple(
        Hypothesis(
            request.key, found[name].text, found[name].tokens, found[name].status, found[name].reason, name in before
        )
        for request, name in zip(requests, names, strict=True)
    )
    speed = Speed(device, len(missing), made_tokens, seconds)
    return Generated(model, tuple(requests), prompting, decoding, hypotheses, speed)


def check_comparable(base: Generated, other: Generated) -> None:
    """Refuse a comparison of systems that were not asked the same in the same way.

    Raises:
        ValueError: naming what differs: texts with their hints and references, prompt or decoding.
    """
    for what, one, two in (
        ("prompts", base.prompting, other.prompting),
        ("decodings", base.decoding, other.decoding),
    ):
        if one != two:
            raise ValueError(f"the {what} differ: {one} and {two}; generate both with the same, then compare")
    if base.requests != other.requests:
        differing = next(
            (one.key for one, two in zip(base.requests, other.requests, strict=False) if one != two),
            f"{len(base.requests)} and {len(other.requests)} texts",
        )
        raise ValueError(f"the texts, hints or references differ ({differing}); generate both from the same requests")


def _ask(translate: Translate, requests: Sequence[Request]) -> Sequence[Translation]:
    done = translate([request.source for request in requests], [request.hints for request in requests])
    if len(done) != len(requests):
        raise ValueError(f"{len(done)} translations of {len(requests)} texts: one of each was expected")
    return done


def _refuse_doubles(keys: Sequence[str]) -> None:
    seen: set[str] = set()
    for key in keys:
        if key in seen:
            raise ValueError(f"two requests have the key {key!r}: give each row a name of its own")
        seen.add(key)
