"""Translating the test sets with every system, and scoring what came of it."""

from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import Any

from stt_platform.defs.evaluation.translating import Running, running
from stt_platform.defs.evaluation.translators import System, Systems, SystemUnusable
from stt_platform.environments import IsolatedError, environment
from stt_platform.errors import PlatformError
from stt_platform.evaluation.comet import UNAVAILABLE, CometModel, CometRow, CometScores, comet_scores
from stt_platform.evaluation.evaluation_report import NotScored
from stt_platform.evaluation.general_sets import read_general_sets
from stt_platform.evaluation.held_out import TextSet, general_texts, held_out_verses
from stt_platform.evaluation.hypotheses import Generated, Request, check_comparable
from stt_platform.evaluation.intervals import Interval
from stt_platform.evaluation.metrics.base import TranslationSample
from stt_platform.evaluation.paired import Comparison
from stt_platform.evaluation.translation_measures import (
    Part,
    SystemScores,
    compared,
    measured,
    parts_of,
    score_system,
)
from stt_platform.evaluation.trust import Probe, ProbeResult, continuation_probe, judge_continuations
from stt_platform.models.comet import comet_model
from stt_platform.models.presence import fetched_weights
from stt_platform.models.registry import ModelMissing
from stt_platform.orchestration.work import Work
from stt_platform.scripture.pairs import PairRow, main_target
from stt_platform.settings import Settings
from stt_platform.store.evaluations import general_folder

VERSES = "scripture_test/all"
"""Key of the held-out verses among the test sets."""

COMPARED_ON_GENERAL_TEXT = ("chrf", "comet")
"""General text is in the spelling of today, so that an á for a is a mistake there. The first one decides."""


@dataclass(frozen=True)
class TestSets:
    """What translators are examined on; the verses come first. `problems` are of sets that could not be read."""

    __test__ = False

    sets: tuple[TextSet, ...]
    problems: tuple[NotScored, ...]

    @property
    def verses(self) -> TextSet:
        return self.sets[0]

    @property
    def general(self) -> tuple[TextSet, ...]:
        return self.sets[1:]


@dataclass(frozen=True)
class SetResult:
    """One system on one test set.

    Attributes:
        intervals: each metric on each part, in order.
        comparisons: with the base of the system; empty without one.
    """

    system: System
    texts: TextSet
    generated: Generated
    scores: SystemScores
    intervals: Mapping[tuple[Part, str], Interval]
    comparisons: Mapping[tuple[Part, str], Comparison] = field(default_factory=dict)

    @property
    def hypotheses(self) -> list[str]:
        return [hypothesis.text for hypothesis in self.generated.hypotheses]


@dataclass(frozen=True)
class Evaluated:
    """All that was measured.

    Attributes:
        evaluation_id: of the rows in the tables.
        systems: that translated, each base before what was trained on it.
        results: by name of the system and key of the set.
        probes: by the weights of the base models that could be asked.
        no_comet: a value that is none, with the reason; None where COMET was asked.
        not_scored: systems and sets.
        problems: why the verses may not be trusted as a test.
    """

    evaluation_id: str
    sets: TestSets
    systems: tuple[System, ...]
    results: Mapping[tuple[str, str], SetResult]
    probes: Mapping[str, ProbeResult]
    no_comet: Interval | None
    not_scored: tuple[NotScored, ...]
    problems: tuple[str, ...]

    def of(self, system: str, key: str = VERSES) -> SetResult:
        """Return one system on one test set."""
        return self.results[system, key]


def test_sets(home: Path, settings: Settings, pairs: Sequence[PairRow]) -> TestSets:
    """Read the held-out verses and the general sets, as the settings want them.

    Raises `PlatformError` where no verse is held out.
    """
    chosen, seed = settings.evaluation, settings.scripture.seed
    verses = held_out_verses(pairs, most=chosen.verses, seed=seed)
    if not verses.texts:
        raise PlatformError(
            "no accepted verse is held out: make verse_pairs and scripture_split of texts with more verses"
        )
    folder = general_folder(home, settings)
    found = read_general_sets(folder)
    problems = [NotScored("general set", problem) for problem in found.problems]
    if not found.translation:
        where = f"there is none in {folder}: put one there (newstest, NTREX, FLORES; parallel text files, TSV or JSONL)"
        problems.append(NotScored("general set", where))
    general = [general_texts(one, most=chosen.general_sentences, seed=seed) for one in found.translation]
    return TestSets((verses, *(texts for texts in general if texts.usable)), tuple(problems))


def evaluate(
    work: Work, pairs: Sequence[PairRow], sets: TestSets, systems: Systems, problems: Sequence[str]
) -> Evaluated:
    """Translate every set with every system, probe the base models, and score."""
    made: dict[str, dict[str, Generated]] = {}
    probes: dict[str, ProbeResult] = {}
    lost: list[NotScored] = []
    asked = _probes(work, pairs)
    for system in systems.found:
        try:
            with running(work, system) as at_work:
                made[system.name] = {texts.key: _translated(at_work, texts) for texts in sets.sets}
                if asked and _can_continue(system) and system.weights not in probes:
                    probes[system.weights] = _probed(work, at_work, asked)
        except SystemUnusable as error:
            made.pop(system.name, None)
            lost.append(NotScored(system.name, str(error)))
    here = tuple(system for system in systems.found if system.name in made)
    work.say("scoring")
    comet = _comet(work, sets, made)
    results = _scored(work, sets, here, made, comet)
    no_comet = Interval(None, None, None, 0, "", work.settings.evaluation.confidence, comet.reason)
    return Evaluated(
        evaluation_id=f"{work.stage}-{work.key[:12]}",
        sets=sets,
        systems=here,
        results=results,
        probes=probes,
        no_comet=no_comet if comet.status == UNAVAILABLE else None,
        not_scored=(*systems.missing, *lost, *sets.problems),
        problems=tuple(problems),
    )


def requests_of(texts: TextSet) -> list[Request]:
    """Make what is asked of a system: each usable text, without hints."""
    return [Request(text.key, text.source, (), (text.reference,)) for text in texts.usable]


def _translated(at_work: Running, texts: TextSet) -> Generated:
    what = "held-out verses" if texts.kind == "scripture_test" else f"sentences of {texts.name}"
    return at_work.generate(requests_of(texts), what)


def _can_continue(system: System) -> bool:
    return system.kind == "base" and system.prompting.kind != "plain"


def _probes(work: Work, pairs: Sequence[PairRow]) -> list[Probe]:
    if not work.settings.evaluation.probes:
        return []
    main = main_target(pairs)
    text = [row for row in pairs if row.es_source == main]
    return continuation_probe(text, most=work.settings.evaluation.probes, seed=work.settings.scripture.seed)


def _probed(work: Work, at_work: Running, asked: Sequence[Probe]) -> ProbeResult:
    given = {probe.segment_id: probe.given for probe in asked}
    made = at_work.continuations(given, "beginnings of Spanish verses continued")
    return judge_continuations(asked, made, seed=work.settings.scripture.seed)


def _comet(work: Work, sets: TestSets, made: Mapping[str, Mapping[str, Generated]]) -> CometScores:
    """All systems and sets in one call: to load the network takes longer than to score a set."""
    chosen = work.settings.evaluation
    rows = [
        CometRow(text.key, text.source, hypothesis.text, text.reference)
        for of_system in made.values()
        for texts in sets.sets
        for text, hypothesis in zip(texts.usable, of_system[texts.key].hypotheses, strict=True)
    ]

    def find() -> CometModel:
        fetched_weights(chosen.comet_model, work.home)
        return comet_model(chosen.comet_model, work.home, work.say)

    def show(progress: Any) -> None:
        if isinstance(progress, Mapping):
            work.progress(progress["done"], progress["total"], "texts scored by COMET")
        else:
            work.say(str(progress))

    with ExitStack() as stack:
        with suppress(ModelMissing):
            find()
            stack.enter_context(work.device(chosen.comet_device))
        try:
            return comet_scores(rows, find, environment("comet"), device=chosen.comet_device, progress=show)
        except IsolatedError as error:
            raise PlatformError(
                f"COMET failed: {error}. What was translated is kept: put its model right, or take it out of "
                f"STT_HOME/models/{chosen.comet_model} to go without, and run again"
            ) from error


def _scored(
    work: Work,
    sets: TestSets,
    systems: Sequence[System],
    made: Mapping[str, Mapping[str, Generated]],
    comet: CometScores,
) -> dict[tuple[str, str], SetResult]:
    confidence = work.settings.evaluation.confidence
    # They come in the order in which they were asked for: system by system, set by set.
    by_comet = iter(comet.segments if comet.status != UNAVAILABLE else ())
    results: dict[tuple[str, str], SetResult] = {}
    for system in systems:
        for texts in sets.sets:
            generated = made[system.name][texts.key]
            segments = list(islice(by_comet, len(texts.usable)))
            hypotheses = [hypothesis.text for hypothesis in generated.hypotheses]
            scores = score_system(TranslationSample(texts.usable, hypotheses, segments, comet.signature))
            parts = parts_of(texts.usable)
            found = {(part, metric): value for part, metric, value in measured(scores, parts, confidence=confidence)}
            results[system.name, texts.key] = SetResult(system, texts, generated, scores, found)
    for (name, key), result in list(results.items()):
        if (base := results.get((result.system.base, key))) is not None:
            check_comparable(base.generated, result.generated)
            work.say(f"comparing {name} with its base on {result.texts.name}")
            parts = parts_of(result.texts.usable)
            metrics = () if key == VERSES else COMPARED_ON_GENERAL_TEXT
            against = compared(base.scores, result.scores, parts, metrics=metrics, confidence=confidence)
            results[name, key] = replace(result, comparisons=against)
    return results
