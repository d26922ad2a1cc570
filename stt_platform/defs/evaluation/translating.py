"""A translator at work on the test sets: what it has translated before is found, and the rest takes the device."""

import gc
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

from stt_platform.defs.evaluation.translators import System, SystemUnusable
from stt_platform.errors import PlatformError
from stt_platform.evaluation.apertium import ApertiumUnavailable
from stt_platform.evaluation.hypotheses import (
    Generated,
    Hypothesis,
    Prompting,
    Request,
    Speed,
    Translate,
    generate,
)
from stt_platform.orchestration.work import Work
from stt_platform.store.hypotheses import HypothesisStore
from stt_platform.translation.translator import FAILED, TRANSLATED, Hints, Translation, Translator

# So that the last texts of a batch, which go on for longest, go on among others.
_BATCHES_AT_ONCE = 8


class Running:
    """A system at work. Its model is loaded, and the device taken, when a text is not found among the kept ones."""

    def __init__(self, work: Work, system: System, stack: ExitStack) -> None:
        self._work, self._system, self._stack = work, system, stack
        self._loaded: Translator | None = None
        self._what, self._done, self._total = "texts", 0, 0

    def generate(self, requests: Sequence[Request], what: str) -> Generated:
        """Translate these requests; `what` they are, for those who watch.

        Raises:
            SystemUnusable: where the system is here and does not work.
        """
        if self._system.write is not None:
            return self._written(requests, self._system.write)
        return self._generate(requests, self._system.prompting, self._translate, what)

    def continuations(self, texts: Mapping[str, str], what: str) -> list[str]:
        """Let the model continue texts, by name, in their order; see `Translator.continue_texts`.

        Raises:
            SystemUnusable: as `generate`.
        """
        requests = [Request(name, text) for name, text in texts.items()]
        made = self._generate(requests, Prompting("continuation", "es", "es"), self._continue, what)
        return [hypothesis.text for hypothesis in made.hypotheses]

    def _generate(
        self, requests: Sequence[Request], prompting: Prompting, translate: Translate, what: str
    ) -> Generated:
        system, kept = self._system, HypothesisStore(self._work.home, self._system.weights)
        self._what = what
        made = generate(
            requests,
            translate,
            model=system.weights,
            prompting=prompting,
            decoding=system.decoding,
            keeper=kept,
            device=system.device,
            batch=_BATCHES_AT_ONCE * self._work.settings.evaluation.batch_size,
            progress=self._tell,
        )
        kept.compact()
        return made

    def _tell(self, done: int, total: int) -> None:
        self._done, self._total = done, total
        self._work.progress(done, total, f"{self._what} by {self._system.name}")

    def _tell_more(self, done: int, of_these: int) -> None:
        self._work.progress(self._done + done, self._total, f"{self._what} by {self._system.name}")

    def _written(self, requests: Sequence[Request], write: Callable[[Sequence[str]], Sequence[str]]) -> Generated:
        began = time.perf_counter()
        try:
            texts = write([request.source for request in requests])
        except ApertiumUnavailable as error:
            raise SystemUnusable(str(error)) from error
        speed = Speed(self._system.device, len(texts), 0, time.perf_counter() - began)
        made = tuple(
            Hypothesis(request.key, text, 0, TRANSLATED if text else FAILED, "" if text else "nothing came back", False)
            for request, text in zip(requests, texts, strict=True)
        )
        system = self._system
        return Generated(system.weights, tuple(requests), system.prompting, system.decoding, made, speed)

    def _translate(self, texts: Sequence[str], hints: Sequence[Hints]) -> Sequence[Translation]:
        given = {"hints": hints} if any(hints) else {}
        return self._on_device(lambda model, options: model.translate(texts, **given, **options))

    def _continue(self, texts: Sequence[str], hints: Sequence[Hints]) -> Sequence[Translation]:
        return self._on_device(lambda model, options: model.continue_texts(texts, **options))

    def _on_device(self, ask: Callable[[Translator, dict[str, Any]], list[Translation]]) -> list[Translation]:
        import torch

        chosen = self._work.settings.evaluation
        options = {
            "batch_size": chosen.batch_size,
            "max_new_tokens": chosen.max_new_tokens,
            "progress": self._tell_more,
        }
        try:
            return ask(self._model(), options)
        except torch.OutOfMemoryError as error:
            raise PlatformError(
                f"the device has not enough memory for {self._system.name} with {chosen.batch_size} texts at once: lower "
                "the setting `evaluation.batch_size` and run again; what was translated is kept"
            ) from error

    def _model(self) -> Translator:
        import torch
        from safetensors import SafetensorError

        if self._loaded is None:
            self._stack.enter_context(self._work.device(self._system.device))
            self._stack.callback(self._release)
            self._work.say(f"loading {self._system.name}")
            try:
                self._loaded = self._system.load()
            except torch.OutOfMemoryError:
                raise
            except (OSError, ValueError, RuntimeError, SafetensorError) as error:
                raise SystemUnusable(f"it is here, but cannot be loaded: {error}") from error
            self._work.say(f"the first texts by {self._system.name}")
        return self._loaded

    def _release(self) -> None:
        import torch

        self._loaded = None
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()


@contextmanager
def running(work: Work, system: System) -> Iterator[Running]:
    """Run a system; in the end its memory and the device are free again."""
    with ExitStack() as stack:
        yield Running(work, system, stack)
