"""What was measured of the translators, as rows of `evaluations`, `comparisons` and `evaluation_rows`."""

from collections.abc import Iterator, Mapping
from typing import Any

from stt_platform.defs.evaluation.translation_results import VERSES, Evaluated, SetResult
from stt_platform.evaluation.general_sets import USABLE
from stt_platform.evaluation.held_out import HeldOutText, TextSet
from stt_platform.evaluation.intervals import Interval
from stt_platform.evaluation.translation_measures import ALL, Part
from stt_platform.evaluation.translation_scores import NOT_SCORED
from stt_platform.store import evaluations
from stt_platform.store.evaluations import Measured, comparison_row, number_rows, part


def evaluation_table(evaluated: Evaluated) -> list[dict[str, Any]]:
    """Make the rows of `evaluations`: each metric on each part, how fast it was, and whether a base knows the verses."""
    rows = []
    for result in evaluated.results.values():
        of = _measured(evaluated, result)
        signatures = {metric: statistics.signature for metric, statistics in result.scores.statistics.items()}
        for (place, metric), interval in result.intervals.items():
            rows += number_rows(of, _slice(result.texts, place), {metric: interval}, signatures)
        whole = _slice(result.texts, ALL)
        if evaluated.no_comet is not None:
            rows += number_rows(of, whole, {"comet": evaluated.no_comet}, {"comet": ""})
        rows += _speed(of, whole, result)
        rows += _recited(of, whole, evaluated, result)
    return rows


def comparison_table(evaluated: Evaluated) -> list[dict[str, Any]]:
    """Make the rows of `comparisons`: each adapter beside its base."""
    return [
        comparison_row(
            _measured(evaluated, result),
            _slice(result.texts, place),
            metric,
            found,
            compared_with=result.system.base,
        )
        for result in evaluated.results.values()
        for (place, metric), found in result.comparisons.items()
    ]


def row_table(evaluated: Evaluated) -> list[dict[str, Any]]:
    """Make the rows of `evaluation_rows`: every text of every set and system, those that could not be scored too."""
    rows = []
    for result in evaluated.results.values():
        place = {**_measured(evaluated, result).columns(), "slice": _slice(result.texts, ALL)}
        scored = zip(result.texts.usable, result.generated.hypotheses, result.scores.chrf, strict=True)
        for k, (text, hypothesis, segment) in enumerate(scored):
            comet = result.scores.comet[k].score if result.scores.comet else None
            found = {"hypothesis": hypothesis.text, "chrf": segment.chrf, "comet": comet, "status": segment.status}
            rows.append({**place, **_text(text), **found, "reason": segment.reason or hypothesis.reason or None})
        left_out = [text for text in result.texts.texts if text.status != USABLE]
        rows += [{**place, **_text(text), "status": NOT_SCORED, "reason": text.reason} for text in left_out]
    return rows


def _measured(evaluated: Evaluated, result: SetResult) -> Measured:
    system = result.system
    return Measured(evaluated.evaluation_id, system.name, result.texts.kind, system.adapter_id)


def _slice(texts: TextSet, place: Part) -> str:
    if place != ALL:
        return part(place.kind, place.name)
    return evaluations.ALL if texts.key == VERSES else part("set", texts.name)


def _text(text: HeldOutText) -> Mapping[str, Any]:
    return {"row_id": text.key, "group_id": text.segment_id, "source": text.source, "reference": text.reference}


def _speed(of: Measured, slice_: str, result: SetResult) -> Iterator[dict[str, Any]]:
    speed = result.generated.speed
    if result.system.kind == "floor":
        return
    signature = f"device:{speed.device}|arithmetic:{result.system.decoding.dtype}"
    for metric, value in (("texts_per_s", speed.texts_per_s), ("tokens_per_s", speed.tokens_per_s)):
        if value is not None:
            once = Interval(value, None, None, speed.texts, "", 0.95, "measured once")
            yield from number_rows(of, slice_, {metric: once}, {metric: signature})


def _recited(of: Measured, slice_: str, evaluated: Evaluated, result: SetResult) -> Iterator[dict[str, Any]]:
    probe = evaluated.probes.get(result.system.weights)
    if probe is not None and result.system.kind == "base" and result.texts.key == VERSES:
        share = probe.recited / probe.answered if probe.run is not None else None
        found = Interval(share, probe.low, probe.high, probe.answered, "", 0.95, probe.reason)
        signature = f"continuation|words in a row:{probe.run_limit or 0}"
        yield from number_rows(of, slice_, {"recited_verses": found}, {"recited_verses": signature})
