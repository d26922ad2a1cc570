"""The training set of translators, each example in the prompt of its model, and the control set they are tested on."""

import hashlib
import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import asdict, dataclass, field, replace
from functools import lru_cache
from itertools import islice
from math import fsum, isfinite
from typing import Any, Literal, Protocol, get_args

from stt_platform.glossary.augment import Example, HintForm, control_examples, hinted, term_examples
from stt_platform.glossary.terms import Glossary
from stt_platform.machine.seeded import seeded_uniform
from stt_platform.scripture.pairs import ACCEPTED, PairRow, main_target
from stt_platform.scripture.spelling import modernise
from stt_platform.scripture.splitting import TEST, TRAIN, assert_apart, comparable
from stt_platform.translation.prompts import prompt_example
from stt_platform.translation.round_trip import tag_back_translation

PromptName = Literal["translategemma", "marian"]

TRANSLATION, CONTROL = "translation", "translation_control"
"""The two sets."""

KINDS = ("verse", "multi_reference", "term", "term_sentence", "back_translation")
"""The kinds that have a weight. A hinted verse counts as a verse."""

_FORMS: dict[str, HintForm] = {"translategemma": "appended", "marian": "inline"}


class BackTranslated(Protocol):
    """English that a model made from Spanish, as `back_translations` holds it."""

    @property
    def segment_id(self) -> str: ...
    @property
    def es(self) -> str: ...
    @property
    def en(self) -> str: ...
    @property
    def status(self) -> str: ...


@dataclass(frozen=True)
class TranslationSetOptions:
    """How the set is made.

    Attributes:
        prompt: the model it is for: "translategemma" (its chat template) or "marian" (the bare texts).
        hint_form: "appended" after the source, "inline" in it, or "prompt", which Marian has none of. None is
            "appended" for TranslateGemma and "inline" for Marian.
        hint_share: share of the verses that carry hints, 0 to 1.
        most_hints: hints of one example.
        dev_share: share of the segments of the training split that are held out for early stopping, 0 to 1.
        most_dev: segments held out at most.
        modernise_spelling: whether the Spanish to learn is put into today's spelling.
        weights: by kind (`KINDS`); a kind that is not named counts 1.
        control_size: segments of the control set at most; it has three examples of each.
        seed: of every draw.

    Raises:
        ValueError: for a value that is out of its range.
    """

    prompt: PromptName = "translategemma"
    hint_form: HintForm | None = None
    hint_share: float = 0.4
    most_hints: int = 4
    dev_share: float = 0.02
    most_dev: int = 1000
    modernise_spelling: bool = True
    weights: Mapping[str, float] = field(default_factory=dict)
    control_size: int = 500
    seed: int = 42

    def __post_init__(self) -> None:
        if self.prompt not in _FORMS:
            raise ValueError(f"prompt {self.prompt!r}: use one of {', '.join(_FORMS)}")
        forms = [form for form in get_args(HintForm) if (self.prompt, form) != ("marian", "prompt")]
        if self.form not in forms:
            raise ValueError(f"hint_form {self.hint_form!r} for {self.prompt}: use one of {', '.join(forms)}")
        for name in ("hint_share", "dev_share"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} {getattr(self, name)!r}: a number from 0 to 1 was expected")
        for name, least in (("most_hints", 1), ("most_dev", 0), ("control_size", 0)):
            if getattr(self, name) < least:
                raise ValueError(f"{name} {getattr(self, name)!r}: at least {least} was expected")
        for kind, weight in self.weights.items():
            if kind not in KINDS:
                raise ValueError(f"weights name the kind {kind!r}: use {', '.join(KINDS)}")
            if not (isfinite(weight) and weight >= 0):
                raise ValueError(f"the weight of {kind!r} is {weight!r}: a number from 0 on was expected")

    @property
    def form(self) -> HintForm:
        """The form of the hints, the usual one of the model where none was chosen."""
        return self.hint_form or _FORMS[self.prompt]


@dataclass(frozen=True, slots=True)
class TrainingExample:
    """A row of `training_examples`.

    Attributes:
        set: `TRANSLATION` or `CONTROL`.
        example_id: unique within its set.
        source_kind: one of `KINDS`, or "hinted"; in the control set "no_hints", "hinted" or "random_hints".
        segment_id: empty for terms and their sentences.
        split: "train" or "dev"; "test" in the control set.
        source, target: in the forms "appended" and "inline" the source carries the hints.
        hints: (English, Spanish).
        weight: for drawing examples. See `translation_set`.
        prompt, completion: what the model reads, and what it is to write.
    """

    set: str
    example_id: str
    source_kind: str
    segment_id: str
    split: str
    source: str
    target: str
    hints: tuple[tuple[str, str], ...]
    weight: float
    prompt: str
    completion: str


@dataclass(frozen=True)
class TranslationSet:
    """The examples of both sets, in an order that does not depend on that of the rows, and how they were made."""

    examples: list[TrainingExample]
    options: TranslationSetOptions

    def manifest(self) -> dict[str, Any]:
        """Describe both sets for JSON.

        "counts" has examples by set, split and kind. "weights" has for each split and kind of the translation set the
        number of examples, of distinct normalised targets, and the sum of the weights; what the kinds of "train" weigh
        together is one epoch. "hints" says how often each hint is given in it, as "covenant=pacto". "sha256" is of all
        examples in order.
        """
        counts: dict[str, dict[str, Counter[str]]] = defaultdict(lambda: defaultdict(Counter))
        hints: Counter[str] = Counter()
        weighed: dict[str, dict[str, list[TrainingExample]]] = defaultdict(lambda: defaultdict(list))
        digest = hashlib.sha256()
        for example in self.examples:
            counts[example.set][example.split][example.source_kind] += 1
            if example.set == TRANSLATION:
                hints.update(f"{en}={es}" for en, es in example.hints)
                weighed[example.split][_weighed_as(example.source_kind)].append(example)
            values = [getattr(example, name) for name in example.__slots__]
            digest.update(json.dumps(values, ensure_ascii=False).encode() + b"\n")
        longest = max(self.examples, key=lambda example: len(example.prompt), default=None)
        return {
            "prompt": self.options.prompt,
            "options": {**asdict(self.options), "hint_form": self.options.form},
            "sha256": digest.hexdigest(),
            "counts": {
                name: {split: dict(sorted(kinds.items())) for split, kinds in splits.items()}
                for name, splits in counts.items()
            },
            "weights": {
                split: {kind: _weight_of(kinds[kind]) for kind in KINDS if kind in kinds}
                for split, kinds in weighed.items()
            },
            "hints": dict(sorted(hints.items())),
            "longest_prompt": {"example_id": longest.example_id, "characters": len(longest.prompt)} if longest else {},
        }


def translation_set(
    pairs: Iterable[PairRow],
    glossary: Glossary,
    back_translations: Iterable[BackTranslated] = (),
    options: TranslationSetOptions | None = None,
) -> TranslationSet:
    """Assemble the training set, and the control set.

    Trained on are the accepted pairs of the training split, terms and sentences with them, and accepted
    back-translations. Pairs with `main_target` are verses, a share of which gets hints; the same English with another
    Spanish text is a second reference. Some segments are "dev", with all their versions and back-translations;
    whatever has the same normalised target, or an English verse in common, goes with them. What says no more than a
    term ("Salmo.") is trained on with it and never held out here.

    The control set is made of test segments that have hints, in one English version, the first by name: see
    `control_examples`. Its targets keep the spelling of 1909 where training has today's, since references are scored
    with both sides normalised alike.

    The weight of an example is that of its kind by the number of examples of this kind with the same normalised target.
    Five English versions share each Spanish verse; an epoch drawn by weight sees it once.

    Args:
        pairs: rows of `verse_pairs`, with status and split.
        back_translations: of segments of the training split.

    Raises:
        SplitLeaks: where something is in train and in test; see `assert_apart`.
        ValueError: for a pair without a split, one that no prompt can hold, a back-translation of a segment that is
            not to be learnt from, or a target that is both learnt and held out.
    """
    options = options or TranslationSetOptions()
    accepted = sorted((row for row in pairs if row.status == ACCEPTED), key=lambda row: row.pair_id)
    assert_apart(accepted)
    train = [row for row in accepted if row.split == TRAIN]
    main = main_target(accepted)
    terms = term_examples(glossary)
    term_texts = frozenset(_same(example.target) for example in terms)
    dev = _dev_segments(train, term_texts, options)
    examples = [
        replace(example, split="dev") if example.segment_id in dev else example
        for example in (
            *_of_pairs(train, main, glossary, options),
            *terms,
            *_of_back_translations(back_translations, {row.segment_id: row.split for row in accepted}, options),
        )
    ]
    groups = [(_weighed_as(example.kind), _same(example.target)) for example in examples]
    sizes = Counter(groups)
    rows = [
        _row(TRANSLATION, example, options.weights.get(group[0], 1.0) / sizes[group], options)
        for example, group in zip(examples, groups, strict=True)
    ]
    corpus = [row for row in accepted if row.es_source == main]
    rows += [_row(CONTROL, example, 1.0, options) for example in _control(corpus, glossary, term_texts, options)]
    _check_apart(rows)
    return TranslationSet(rows, options)


def _of_pairs(
    rows: Sequence[PairRow], main: str, glossary: Glossary, options: TranslationSetOptions
) -> Iterator[Example]:
    if options.modernise_spelling:
        # Five English versions stand beside the same Spanish verse.
        today = lru_cache(maxsize=None)(modernise)
        rows = [replace(row, es=today(row.es)) for row in rows]
    yield from hinted(
        [row for row in rows if row.es_source == main],
        glossary,
        form=options.form,
        share=options.hint_share,
        most=options.most_hints,
        seed=options.seed,
    )
    for row in rows:
        if row.es_source != main:
            yield Example(row.pair_id, "multi_reference", row.en, row.es, row.segment_id, row.split)


def _of_back_translations(
    made: Iterable[BackTranslated], splits: Mapping[str, str], options: TranslationSetOptions
) -> Iterator[Example]:
    accepted = sorted((row for row in made if row.status == ACCEPTED), key=lambda r: (r.segment_id, r.es, r.en))
    numbers: Counter[str] = Counter()
    for row in accepted:
        split = splits.get(row.segment_id)
        if split != TRAIN:
            where = f"is in the split {split!r}" if split else "has no accepted pair"
            raise ValueError(f"segment {row.segment_id} {where}: make the back-translations of the training split anew")
        example_id = f"back_translation:{row.segment_id}:{numbers[row.segment_id]}"
        numbers[row.segment_id] += 1
        target = modernise(row.es) if options.modernise_spelling else row.es
        yield Example(example_id, "back_translation", tag_back_translation(row.en), target, row.segment_id, split)


def _control(
    corpus: Sequence[PairRow], glossary: Glossary, term_texts: Set[str], options: TranslationSetOptions
) -> Iterator[Example]:
    # Rows are in the order of their ids, which begin with the English text; a text that repeats counts once.
    segments: dict[str, PairRow] = {}
    for row in corpus:
        if row.split == TEST:
            segments.setdefault(row.segment_id, row)
    texts: dict[str, PairRow] = {}
    for row in sorted(segments.values(), key=lambda row: seeded_uniform(options.seed, "control", row.segment_id)):
        texts.setdefault(_same(row.es), row)
    held_out = [row for text, row in texts.items() if text not in term_texts]
    made = control_examples(held_out, glossary, corpus, form=options.form, most=options.most_hints, seed=options.seed)
    return islice(made, 3 * options.control_size)


def _dev_segments(rows: Sequence[PairRow], term_texts: Set[str], options: TranslationSetOptions) -> frozenset[str]:
    """Segments that are drawn by their name, each with all that it is tied to: a text that comes later moves none."""
    main = main_target(rows)
    own = {row.segment_id for row in rows if row.es_source == main}
    parent: dict[str, str] = {}

    def root(name: str) -> str:
        while parent[name] != name:
            parent[name] = parent[parent[name]]
            name = parent[name]
        return name

    owner: dict[object, str] = {}
    for row in rows:
        mine = root(parent.setdefault(row.segment_id, row.segment_id))
        for tie in (_same(row.es), *((row.en_source, ref) for ref in row.en_refs)):
            other = root(owner.setdefault(tie, mine))
            mine, gone = min(mine, other), max(mine, other)
            parent[gone] = mine
    tied: dict[str, list[str]] = defaultdict(list)
    for name in parent:
        tied[root(name)].append(name)
    for text in term_texts & owner.keys():
        tied.pop(root(owner[text]), None)
    dev: set[str] = set()
    for draw, names in sorted((_draw(names, own, options.seed), names) for names in tied.values()):
        if len(dev) + len(names) <= options.most_dev and draw < options.dev_share:
            dev.update(names)
    return frozenset(dev)


def _draw(names: Sequence[str], own: Set[str], seed: int) -> float:
    return seeded_uniform(seed, "dev", min(own.intersection(names) or names))


def _row(name: str, example: Example, weight: float, options: TranslationSetOptions) -> TrainingExample:
    source, target = example.source.strip(), example.target.strip()
    if options.prompt == "translategemma":
        try:
            shown = prompt_example(source, target, hints=example.hints if options.form == "prompt" else ())
        except ValueError as error:
            raise ValueError(f"{example.kind} {example.example_id}: {error}") from None
        prompt, completion = shown.prompt, shown.completion
    else:
        if not source or not target:
            raise ValueError(f"{example.kind} {example.example_id}: source {source!r} or target {target!r} is empty")
        prompt, completion = source, target
    return TrainingExample(
        set=name,
        example_id=example.example_id,
        source_kind=example.kind,
        segment_id=example.segment_id,
        split=example.split,
        source=source,
        target=target,
        hints=example.hints,
        weight=weight,
        prompt=prompt,
        completion=completion,
    )


def _check_apart(rows: Iterable[TrainingExample]) -> None:
    first: dict[str, TrainingExample] = {}
    for row in rows:
        other = first.setdefault(_same(row.target), row)
        if other.split != row.split:
            raise ValueError(
                f"{row.example_id} ({row.split}) and {other.example_id} ({other.split}) have the same target "
                f"{row.target!r}: put both on one side"
            )


def _weight_of(examples: Sequence[TrainingExample]) -> dict[str, float]:
    return {
        "examples": len(examples),
        "distinct_targets": len({_same(example.target) for example in examples}),
        "weight": round(fsum(example.weight for example in examples), 6),
    }


def _weighed_as(kind: str) -> str:
    return "verse" if kind == "hinted" else kind


# Every English version meets the same Spanish text.
_same = lru_cache(maxsize=1 << 17)(comparable)
