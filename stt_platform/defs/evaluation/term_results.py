"""Asking every system for the terms of the glossary: on held-out verses, with and without hints, in six sentences."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import get_args

from stt_platform.defs.evaluation.translating import Running
from stt_platform.defs.evaluation.translators import System
from stt_platform.defs.glossary.assets import GLOSSARY_FILE
from stt_platform.errors import PlatformError
from stt_platform.evaluation.bootstrap import segment_interval
from stt_platform.evaluation.held_out import HeldOutText, held_out_verses
from stt_platform.evaluation.hypotheses import Request
from stt_platform.evaluation.metrics.terms import TermAccuracy
from stt_platform.evaluation.paired import Comparison
from stt_platform.evaluation.term_findings import WHOLE, SystemTerms
from stt_platform.evaluation.terminology import (
    HintMode,
    Occurrence,
    TermRow,
    hinted_terms,
    occurrences,
    six_sentences,
    tally,
)
from stt_platform.evaluation.translation_measures import compare_statistics
from stt_platform.glossary.augment import Example, HintForm, control_examples
from stt_platform.glossary.terms import Glossary
from stt_platform.orchestration.work import Work
from stt_platform.scripture.pairs import ACCEPTED, PairRow, main_target
from stt_platform.store.glossary import glossary_at

ACCURACY = TermAccuracy()
NO_HINTS = "this prompt takes no hints"
SIX = "six sentences"


@dataclass(frozen=True)
class Asked:
    """What the systems are asked, and what is known of it.

    Attributes:
        verses: held-out verses.
        pairs: the pair of each verse and of each control example, by its id.
        control: verses with hints, three times over (`control_examples`), by the form that hints are given in.
    """

    verses: tuple[HeldOutText, ...]
    pairs: Mapping[str, PairRow]
    control: Mapping[HintForm, tuple[Example, ...]]
    glossary: Glossary


@dataclass(frozen=True)
class FoundTerms:
    """What a system made of it.

    Attributes:
        verses, six: its translations.
        control: likewise; None where its prompt takes no hints.
        of_verses, of_control: the terms in them.
    """

    system: System
    verses: tuple[str, ...]
    of_verses: tuple[Occurrence, ...]
    control: tuple[str, ...] | None
    of_control: tuple[Occurrence, ...]
    six: tuple[str, ...]

    @property
    def parts(self) -> tuple[str, ...]:
        """`WHOLE`, and the modes where there are any."""
        return (WHOLE, *(get_args(HintMode) if self.control is not None else ()))

    def part(self, name: str) -> Sequence[Occurrence]:
        """Return all terms of the verses for `WHOLE`, or the hinted ones in a mode."""
        return self.of_verses if name == WHOLE else hinted_terms(self.of_control, name)


def what_is_asked(work: Work, pairs: Sequence[PairRow], forms: Collection[HintForm]) -> Asked:
    """Draw the verses, and of the first ones that have hints the control examples in each form.

    Raises `PlatformError` where no verse is held out.
    """
    settings, seed = work.settings, work.settings.scripture.seed
    glossary = glossary_at(work.inputs["glossary"].folder / GLOSSARY_FILE)
    verses = held_out_verses(pairs, seed=seed).texts
    if not verses:
        raise PlatformError(
            "no accepted verse is held out: make verse_pairs and scripture_split of texts with more verses"
        )
    by_id = {row.pair_id: row for row in pairs}
    accepted = [row for row in pairs if row.status == ACCEPTED]
    main = main_target(accepted)
    corpus = [row for row in accepted if row.es_source == main]

    def control(form: HintForm) -> tuple[Example, ...]:
        rows = (by_id[text.key] for text in verses)
        made = control_examples(rows, glossary, corpus, form=form, most=settings.glossary.max_hints, seed=seed)
        return tuple(islice(made, len(get_args(HintMode)) * settings.evaluation.term_segments))

    return Asked(
        verses[: settings.evaluation.verses or None], by_id, {form: control(form) for form in sorted(forms)}, glossary
    )


def terms_of(at_work: Running, system: System, asked: Asked) -> FoundTerms:
    """Translate all that is asked, and find the terms."""
    verses = _written(at_work, [Request(text.key, text.source) for text in asked.verses], "held-out verses")
    rows = [
        TermRow(text.segment_id, text.source, made, text.reference, text.ref, text.genre)
        for text, made in zip(asked.verses, verses, strict=True)
    ]
    control, of_control = None, ()
    if system.hint_form is not None:
        examples = asked.control[system.hint_form]
        # In the other forms the source carries the hints.
        in_prompt = system.hint_form == "prompt"
        requests = [Request(e.example_id, e.source, e.hints if in_prompt else ()) for e in examples]
        control = _written(at_work, requests, "verses with and without hints")
        of_control = tuple(occurrences(_control_rows(examples, control, asked.pairs), asked.glossary))
    six = [Request(f"{SIX}: {k}", sentence.en) for k, sentence in enumerate(six_sentences())]
    return FoundTerms(
        system=system,
        verses=verses,
        of_verses=tuple(occurrences(rows, asked.glossary)),
        control=control,
        of_control=of_control,
        six=_written(at_work, six, SIX),
    )


def findings_of(found: FoundTerms, everyone: Sequence[FoundTerms], confidence: float) -> SystemTerms:
    """Count the terms of a system by part, and compare each beside its base where that was asked the same."""
    base = next((one for one in everyone if one.system.name == found.system.base), None)
    # MarianMT's base is given no hints, so there is nothing to hold the hinted answers against.
    comparisons = {
        part: compare_terms(base.part(part), found.part(part), confidence)
        for part in found.parts
        if base is not None and part in base.parts
    }
    return SystemTerms(
        system=found.system.name,
        counts={part: tally(found.part(part))[()] for part in found.parts},
        intervals={
            part: segment_interval(ACCURACY.shares(found.part(part)), confidence=confidence) for part in found.parts
        },
        comparisons=comparisons,
        six=found.six,
        no_hints="" if found.control is not None else NO_HINTS,
    )


def compare_terms(a: Sequence[Occurrence], b: Sequence[Occurrence], confidence: float) -> Comparison:
    """Compare the accuracy in b with that in a: the same terms of the same segments."""
    return compare_statistics(ACCURACY.shares(a), ACCURACY.shares(b), confidence=confidence)


def _written(at_work: Running, requests: Sequence[Request], what: str) -> tuple[str, ...]:
    return tuple(hypothesis.text for hypothesis in at_work.generate(requests, what).hypotheses)


def _control_rows(examples: Sequence[Example], made: Sequence[str], pairs: Mapping[str, PairRow]) -> Iterator[TermRow]:
    for example, hypothesis in zip(examples, made, strict=True):
        pair = pairs[example.example_id.removeprefix(f"{example.kind}:")]
        yield TermRow(
            segment_id=pair.segment_id,
            source=pair.en,
            hypothesis=hypothesis,
            reference=pair.es,
            ref=pair.en_refs[0] if pair.en_refs else None,
            genre=pair.genre,
            mode=example.kind,
            hints=example.hints,
        )
