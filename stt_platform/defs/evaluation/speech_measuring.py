"""Transcribe the church test and the general sets with a base model and with an adapter beside it, and measure both."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from stt_platform.defs.evaluation.foreign import foreign_rows
from stt_platform.defs.evaluation.speech_material import (
    GeneralSpeech,
    Sounds,
    SpokenText,
    church_rows,
    scored,
    stretches_of,
    work_s,
)
from stt_platform.defs.evaluation.transcribing import transcribe
from stt_platform.defs.recognisers import SpeechSystem
from stt_platform.evaluation.church_test import ChurchTest
from stt_platform.evaluation.evaluation_report import NotScored
from stt_platform.evaluation.metrics import SpeechSample
from stt_platform.evaluation.paired import NonInferiority, non_inferior
from stt_platform.evaluation.speech_comparison import Compared, compare_parts, compare_systems
from stt_platform.evaluation.speech_scores import RowScore
from stt_platform.orchestration.work import Work
from stt_platform.store.choices import VIEWS
from stt_platform.store.glossary import names_to_hear

CHURCH, GENERAL = "church_test", "general_speech"
"""The sets in the tables of the evaluations."""


@dataclass(frozen=True)
class SetMeasured:
    """What was measured on a set.

    Attributes:
        clusters: what its rows are grouped by, in the plural.
        base, adapter: the scores of each row, in the order of `rows`; `adapter` is None where there is none.
        parts: (kind, value, error rates) of what the rows are told apart by.
    """

    set: str
    clusters: str
    rows: Sequence[SpokenText]
    base: Sequence[RowScore]
    adapter: Sequence[RowScore] | None
    whole: Compared
    parts: tuple[tuple[str, str, Compared], ...]


@dataclass(frozen=True)
class SpeechMeasured:
    """All that was measured.

    Attributes:
        base, adapter: the systems.
        view: of the recordings of the church test, that all but the part "view" is of.
        church, general: None where there is no such set.
        other_view: the church test in the other view, where the settings want it.
        not_worse: whether the adapter is not worse on the general sets; None without an adapter or a set.
        missing: what is in no row, and why.
    """

    base: SpeechSystem
    adapter: SpeechSystem | None
    view: str
    church: SetMeasured | None
    other_view: SetMeasured | None
    general: SetMeasured | None
    not_worse: NonInferiority | None
    missing: tuple[NotScored, ...]


@dataclass(frozen=True)
class SpeechSets:
    """What recognisers are measured on: the church test with the sound of its sermons, and general speech."""

    test: ChurchTest | None
    sounds: Sounds
    general: GeneralSpeech


def measure(
    work: Work, base: SpeechSystem, adapter: SpeechSystem | None, sets: SpeechSets, view: str
) -> SpeechMeasured:
    """Transcribe and measure everything, each system with the same decoding on the same rows."""
    names, lost = names_to_hear(work.settings)
    missing = [NotScored("names", lost)] if lost else []
    general = sets.general
    missing += general.missing
    systems = (base, adapter)
    church, other_view = None, None
    if sets.test is not None:
        church, other_view = _church(work, systems, sets.sounds, sets.test, view, names)
    elsewhere = _measured(work, systems, GENERAL, general.rows, names, ("set",)) if general.rows else None
    not_worse = None
    if elsewhere is not None and adapter is not None:
        not_worse = non_inferior(elsewhere.whole.comparisons["wer"], work.settings.evaluation.general_wer_margin)
    return SpeechMeasured(base, adapter, view, church, other_view, elsewhere, not_worse, tuple(missing))


def _church(
    work: Work,
    systems: tuple[SpeechSystem, SpeechSystem | None],
    sounds: Sounds,
    test: ChurchTest,
    view: str,
    names: Sequence[str],
) -> tuple[SetMeasured, SetMeasured | None]:
    here = _measured(work, systems, CHURCH, church_rows(sounds, test, view), names, ("noise", "speaker"))
    if not work.settings.evaluation.both_views:
        return here, None
    (other,) = (name for name in VIEWS if name != view)
    foreign = {score.row.row_id: score.reason for score in here.base if score.reason}
    there = _measured(work, systems, CHURCH, church_rows(sounds, test, other), names, (), foreign)
    return here, there


def _measured(
    work: Work,
    systems: tuple[SpeechSystem, SpeechSystem | None],
    set_: str,
    rows: Sequence[SpokenText],
    names: Sequence[str],
    kinds: Sequence[str],
    foreign: Mapping[str, str] | None = None,
) -> SetMeasured:
    """Measure a set. `foreign` says why rows are not English; None: the base model is asked."""
    base, adapter = systems
    clusters = "sermons" if set_ == CHURCH else "speakers"
    confidence = work.settings.evaluation.confidence
    heard = transcribe(work, base, stretches_of(rows))
    if foreign is None:
        foreign = foreign_rows(work, base, rows, heard, scored(rows, heard, {}))
    of_base = SpeechSample(scored(rows, heard, foreign), names, work_s(rows, heard), confidence, clusters)
    of_adapter = None
    if adapter is not None:
        heard = transcribe(work, adapter, stretches_of(rows))
        of_adapter = replace(of_base, scores=scored(rows, heard, foreign), work_s=work_s(rows, heard))
    return SetMeasured(
        set=set_,
        clusters=clusters,
        rows=rows,
        base=of_base.scores,
        adapter=of_adapter and of_adapter.scores,
        whole=compare_systems(of_base, of_adapter),
        parts=tuple(
            (kind, value, found) for kind in kinds for value, found in compare_parts(of_base, of_adapter, kind).items()
        ),
    )
