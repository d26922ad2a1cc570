"""Which translators are measured, and how each is asked: base models, what was trained on them, and peers."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

from stt_platform.evaluation.apertium import apertium_version, translate_apertium
from stt_platform.evaluation.evaluation_report import NotScored
from stt_platform.evaluation.hypotheses import Decoding, Prompting
from stt_platform.glossary.augment import HintForm
from stt_platform.models.presence import fetched_weights, present_weights
from stt_platform.models.registry import ModelMissing, model
from stt_platform.models.translators import translator_folder
from stt_platform.scripture.pairs import PairRow
from stt_platform.settings import Settings
from stt_platform.store.adapters import Adapter, made_by
from stt_platform.training.adapter_files import AdapterRefused, Base, check_adapter, weights_sha256
from stt_platform.translation.back_translation import choose_examples
from stt_platform.translation.causal_model import load_adapted_translator, load_causal_model
from stt_platform.translation.translator import Translator, load_translator

COPY = "copy of the source"
"""The floor: whoever scores no more than this has translated nothing."""

_PLACES = (("translategemma_adapter", "A"), ("translategemma_adapter", "B"), ("marian_model", None))
_PLAIN = Prompting("plain")


class SystemUnusable(RuntimeError):
    """A system that is here and cannot translate: says why."""


@dataclass(frozen=True)
class System:
    """A translator that is measured.

    Attributes:
        name: what the tables call it: model, revision, adapter.
        label: what people are shown in its place.
        weights: what its translations are kept under.
        place: of an adapter: "translategemma-a", as in the name of its page.
        base: name of the system that it is compared with; empty for one that is compared with none.
        hint_form: how it is given hints; None where its prompt takes none.
        load: for a model of ours; `write` for all others.
    """

    name: str
    label: str
    kind: Literal["base", "adapter", "peer", "floor"]
    weights: str
    prompting: Prompting
    decoding: Decoding
    device: str = "cpu"
    place: str = ""
    base: str = ""
    adapter: Adapter | None = None
    hint_form: HintForm | None = None
    load: Callable[[], Translator] | None = None
    write: Callable[[Sequence[str]], Sequence[str]] | None = None

    @property
    def adapter_id(self) -> str | None:
        return self.adapter.adapter_id if self.adapter else None


@dataclass(frozen=True)
class Systems:
    """The systems that are here, each base before what was trained on it, and what is missing, with its remedy."""

    found: tuple[System, ...]
    missing: tuple[NotScored, ...]


def adapters_made(home: Path) -> dict[str, Adapter]:
    """Find what was trained last, by its place: "translategemma-a", "translategemma-b", "marian"."""
    made = {_place(asset, part): made_by(home, asset, part) for asset, part in _PLACES}
    return {place: adapter for place, adapter in made.items() if adapter}


def adapted_label(adapter: Adapter, place: str) -> str:
    """Name an adapter for people: "gemma-3-270m with adapter A", "opus-mt-en-es fine-tuned"."""
    how = "fine-tuned" if adapter.kind == "marian" else f"with adapter {place.rpartition('-')[2].upper()}"
    return f"{adapter.base_model} {how}"


def fetch_translators(home: Path, settings: Settings, log: Callable[[str], None]) -> None:
    """Fetch what is wanted and not here yet; what is not to be had is said, and holds nothing up."""
    for name in sorted(_wanted(home, settings)):
        try:
            translator_folder(name, home, log)
        except ModelMissing as missing:
            log(str(missing))


def systems_on_this_machine(home: Path, settings: Settings) -> Mapping[str, Any]:
    """List what decides which systems are measured, for the key of a stage: weights, adapters and peers that are here."""
    names = {*_wanted(home, settings), settings.marian_training.model}
    return {
        "weights": {name: present_weights(name, home) for name in sorted(names)},
        "adapters": {place: adapter.adapter_id for place, adapter in adapters_made(home).items()},
        "peers": {name: apertium_version() for name in settings.evaluation.peers},
        "arithmetic": _decoding(settings, "causal").dtype,
    }


def find_systems(home: Path, settings: Settings, pairs: Sequence[PairRow], say: Callable[[str], None]) -> Systems:
    """Find every system that is to be measured and can be found.

    A base model is asked in its own best way; and once more as its adapter is, where that is another, so that the two
    differ in the adapter alone.

    Args:
        pairs: verse pairs, of which some of the training side are shown to a model that nobody taught to translate.
    """
    finder = _Finder(home, settings, pairs, say)
    finder.add("the base translator", lambda: finder.base(settings.evaluation.model))
    made = adapters_made(home)
    for place, adapter in made.items():
        finder.add(f"adapter {place} ({adapter.adapter_id[:12]})", lambda a=adapter, p=place: finder.adapted(a, p))
    marian = settings.marian_training.model
    if present_weights(marian, home):
        finder.add(marian, lambda: finder.base(marian))
    elif "marian" not in made:
        remedy = f"the model is not here: put its files into STT_HOME/models/{marian}, or train marian_model"
        finder.missing.append(NotScored(f"MarianMT ({marian})", remedy))
    for peer in settings.evaluation.peers:
        finder.add(peer, finder.apertium)
    finder.found[COPY] = System(COPY, COPY, "floor", COPY, _PLAIN, Decoding(dtype="none"), write=list)
    return Systems(tuple(finder.found.values()), tuple(finder.missing))


class _Finder:
    def __init__(self, home: Path, settings: Settings, pairs: Sequence[PairRow], say: Callable[[str], None]) -> None:
        self.home, self.settings, self.pairs, self.say = home, settings, pairs, say
        self.found: dict[str, System] = {}
        self.missing: list[NotScored] = []

    def add(self, what: str, find: Callable[[], Iterable[System]]) -> None:
        try:
            for system in find():
                self.found.setdefault(system.name, system)
        except (ModelMissing, SystemUnusable, AdapterRefused) as error:
            self.missing.append(NotScored(what, str(error)))

    def base(self, name: str, prompt: str = "") -> Iterable[System]:
        """Find a base model, in its own prompt or in another."""
        entry = model(name)
        own = "plain" if entry.kind == "marian" else entry.prompt
        weights = fetched_weights(name, self.home)
        folder = translator_folder(name, self.home, self.say)
        kind = prompt or own
        system = System(
            name=weights if kind == own else f"{weights} (prompt of {kind})",
            label=name if kind == own else f"{name}, asked as its adapter",
            kind="base",
            weights=weights,
            prompting=Prompting(kind, examples=self._examples() if kind == "examples" else ()),
            decoding=_decoding(self.settings, "marian" if kind == "plain" else "causal"),
            device=self.settings.evaluation.device,
            hint_form=self.settings.glossary.hint_form if kind == "translategemma" else None,
        )
        yield replace(system, load=partial(_load, system, folder, self.settings))

    def adapted(self, adapter: Adapter, place: str) -> Iterable[System]:
        """Find a base model as its adapter is asked, and the adapter."""
        marian = adapter.kind == "marian"
        (base,) = self.base(adapter.base_model, "" if marian else "translategemma")
        folder = translator_folder(adapter.base_model, self.home, self.say)
        yield base
        of = Base(adapter.base_model, model(adapter.base_model).pinned_revision, weights_sha256(folder))
        check_adapter(adapter.folder, base=of)
        system = replace(
            base,
            name=adapter.identity,
            label=adapted_label(adapter, place),
            kind="adapter",
            weights=f"{base.weights}+{adapter.adapter_id}",
            place=place,
            base=base.name,
            adapter=adapter,
            # MarianMT learns the tags of Dinu et al. 2019 and nothing else; its base knows no hints.
            hint_form="inline" if marian else base.hint_form,
            load=None,
        )
        yield replace(system, load=partial(_load, system, adapter.folder if marian else folder, self.settings))

    def apertium(self) -> Iterable[System]:
        version = apertium_version()
        if version is None:
            raise SystemUnusable("not installed: `apt-get install apertium-eng-spa`")
        yield System(version, "Apertium", "peer", version, _PLAIN, Decoding(dtype="none"), write=translate_apertium)

    def _examples(self) -> tuple[tuple[str, str], ...]:
        try:
            shown = choose_examples(self.pairs, seed=self.settings.scripture.seed)
        except ValueError as error:
            raise SystemUnusable(f"its prompt shows verses of the training side: {error}") from error
        return tuple((row.en, row.es) for row in shown)


def _wanted(home: Path, settings: Settings) -> set[str]:
    return {settings.evaluation.model, *(adapter.base_model for adapter in adapters_made(home).values())}


def _place(asset: str, part: str | None) -> str:
    return f"translategemma-{part.lower()}" if part else "marian"


def _decoding(settings: Settings, kind: Literal["causal", "marian"]) -> Decoding:
    chosen = settings.evaluation
    dtype = "bfloat16" if chosen.device == "cuda" else "float32"
    if kind == "causal" and chosen.quantisation != "none":
        dtype = f"{chosen.quantisation}, {dtype}"
    return Decoding(max_new_tokens=chosen.max_new_tokens, dtype=dtype)


def _load(system: System, folder: Path, settings: Settings) -> Translator:
    chosen = settings.evaluation
    where = {"device": chosen.device, "dtype": system.decoding.dtype.rpartition(", ")[2]}
    prompting = system.prompting
    if prompting.kind == "plain":
        return load_translator(folder, **where)
    if system.adapter is not None:
        return load_adapted_translator(folder, system.adapter.folder, **where, quantisation=chosen.quantisation)
    network, tokenizer = load_causal_model(folder, **where, quantisation=chosen.quantisation)
    return Translator(network, tokenizer, prompt=prompting.kind, examples=prompting.examples)
