"""What people see of the evaluation of a recogniser: the page, and its summary in the UI."""

import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import dagster as dg

from stt_platform.defs.evaluation.frozen_test_set import church_test_file
from stt_platform.defs.evaluation.speech_measuring import CHURCH, GENERAL, SetMeasured, SpeechMeasured
from stt_platform.defs.shown import page, picture, table
from stt_platform.evaluation import metrics
from stt_platform.evaluation.church_test import ChurchTest
from stt_platform.evaluation.evaluation_report import (
    Curve,
    Example,
    GeneralSet,
    Measure,
    NotScored,
    Report,
    Slice,
    Subject,
)
from stt_platform.evaluation.intervals import Interval
from stt_platform.evaluation.metrics.base import SpeechMetric
from stt_platform.evaluation.metrics.entities import EntityF1
from stt_platform.evaluation.metrics.error_rates import WER, RawWER
from stt_platform.evaluation.report_pictures import Point
from stt_platform.evaluation.score_pictures import Bar, Panel, score_picture
from stt_platform.evaluation.speech_comparison import Compared
from stt_platform.evaluation.speech_scores import RowScore
from stt_platform.orchestration.platform import Platform
from stt_platform.store.evaluations import ALL
from stt_platform.store.metadata import MetadataStore
from stt_platform.store.stages import StageOutput

PICTURE = "scores.png"

_EXAMPLES = 5
_CYCLE = re.compile(r"cycle-([0-9]+)\.speech_evaluation")


def report_name(cycle: str) -> str:
    """Return the name of a cycle's page."""
    return f"speech-cycle-{cycle}"


def speech_report(
    measured: SpeechMeasured,
    *,
    cycle: str,
    test: ChurchTest | None,
    touched: bool,
    problem: str,
    decoding: Mapping[str, Any],
    confidence: float,
    curves: Sequence[Curve],
    missing: Sequence[NotScored],
) -> Report:
    """Write the page of an evaluation.

    Args:
        test: None where no sermon that examines has a reference.
        touched: whether the test may not be trusted.
        problem: why, else empty.
        decoding: parameters by name.
        missing: what was not scored beside what `measured` knows; the first says why where there is no test.
    """
    church = measured.church
    if church is not None:
        known = [metric for metric in metrics.SPEECH if metric.name in church.whole.base]
        measures = tuple(_measure(church.whole, church.clusters, metric) for metric in known)
    else:
        reason = missing[0].reason if missing else "there is no church test"
        measures = (Measure(WER.label, WER.unit, Interval(None, None, None, 0, "", confidence, reason)),)
    adapter = measured.adapter
    return Report(
        title=f"Speech: {'the adapter of ' if adapter else ''}cycle {cycle}",
        subject=Subject(
            model=measured.base.identity,
            adapter=(adapter.adapter_id or "")[:12] if adapter else "",
            revision=(adapter.adapter_id or "") if adapter else "",
            test_set="church test",
            data_hash=f"sha256:{test.sha256[:16]}" if test else "",
            decoding=tuple((name, _plain(value)) for name, value in decoding.items()),
            more=_rests_on(church, measured.view),
        ),
        measures=measures,
        test_set_touched=touched,
        test_set_problem=problem,
        general=_general(measured),
        slices=tuple(_slices(measured)),
        best=tuple(_examples(church, best=True)),
        worst=tuple(_examples(church, best=False)),
        curves=tuple(curves),
        not_scored=(*_not_scored(measured), *missing),
        signatures=(
            *((by.label, by.signature()) for by in (WER(), RawWER(), EntityF1())),
            ("decoding", json.dumps(dict(decoding), sort_keys=True)),
            ("jiwer", version("jiwer")),
        ),
    )


def curves_of(
    earlier: Mapping[str, list[dict[str, Any]]],
    cycle: int,
    now: Iterable[Mapping[str, Any]],
    marks: Mapping[str, str],
) -> list[Curve]:
    """Draw the WER over the cycles up to this one, of the adapter of each, or of its base where it had none.

    Args:
        earlier: of `earlier_numbers`, by the number of the cycle.
        now: the rows of `evaluations` of this cycle.
        marks: of each set, what the signatures of the same test have in them: cycles with another are left out, for
            their scores are of other words.
    """
    names = {CHURCH: "WER on the church test", GENERAL: "WER on the general set"}
    points: dict[str, list[Point]] = {CHURCH: [], GENERAL: []}
    for number, rows in [*((int(number), rows) for number, rows in earlier.items()), (cycle, list(now))]:
        for set_, of_set in points.items():
            found = [
                row
                for row in rows
                if (row["set"], row["slice"], row["metric"]) == (set_, ALL, "wer")
                and marks.get(set_, "") in row["signature"]
            ]
            # An adapter's row before that of its base.
            found.sort(key=lambda row: row["adapter_id"] is None)
            of_set += [Point(number, row["value"], row["ci_low"], row["ci_high"]) for row in found[:1]]
    return [Curve(names[set_], "%", tuple(found)) for set_, found in points.items() if found]


def earlier_numbers(store: MetadataStore, cycle: int) -> dict[int, list[dict[str, Any]]]:
    """Read the WER of the cycles before this one, by cycle: rows of `evaluations`, of whole sets."""
    parts = {int(found[1]): part for part in store.parts("evaluations") if (found := _CYCLE.fullmatch(part))}
    return {
        number: [
            row for row in store.read("evaluations", part).to_pylist() if (row["slice"], row["metric"]) == (ALL, "wer")
        ]
        for number, part in sorted(parts.items())
        if number < cycle
    }


def draw_scores(folder: Path, measured: SpeechMeasured) -> None:
    """Draw the WER of both systems on both sets, into the folder of the stage."""
    panels = [
        Panel(title, _bars(measured, found.whole), percent=True)
        for title, found in (("Church test", measured.church), ("General set", measured.general))
        if found is not None
    ]
    if panels:
        title = "Word error rate, and the interval that holds its true value; lower is better"
        (folder / PICTURE).write_bytes(score_picture(panels, title))


def speech_metadata(platform: Platform, output: StageOutput) -> Mapping[str, Any]:
    """Show the verdict, the numbers, the picture, and the way to the page."""
    part = f"{output.owner}.{output.stage}"
    rows = platform.store.read("evaluations", part).to_pylist()
    shown = ("set", "system", "metric", "value", "ci_low", "ci_high", "n", "reason")
    whole = [{name: row[name] for name in shown} for row in rows if row["slice"] == ALL]
    texts = platform.store.read("evaluation_rows", part).to_pylist()
    lost = Counter((row["set"], row["reason"]) for row in texts if row["status"] == "not scored")
    compared = platform.store.read("comparisons", part).to_pylist()
    left_out = ("evaluation_id", "adapter_id", "method")
    drawn = output.shown_folder / PICTURE
    return {
        **{name: value for name, value in output.shown.items() if value is not None},
        "report": page(platform, f"evaluation/{report_name(output.owner.partition('-')[2])}"),
        **({"picture": picture(drawn, "word error rates with their intervals")} if drawn.exists() else {}),
        "scores": table(whole),
        "adapter beside its base": table([{k: v for k, v in row.items() if k not in left_out} for row in compared])
        if compared
        else "there is no adapter in this cycle",
        "texts that were scored": sum(row["status"] != "not scored" for row in texts),
        "texts that were not scored": sum(lost.values()),
        "why not": table([{"set": set_, "reason": reason, "texts": n} for (set_, reason), n in sorted(lost.items())]),
        "frozen test": dg.MetadataValue.path(str(church_test_file(platform.home))),
    }


def _measure(found: Compared, clusters: str, metric: type[SpeechMetric] | SpeechMetric = WER) -> Measure:
    return Measure(
        name=metric.label,
        unit=metric.unit,
        base=found.base[metric.name],
        adapter=found.adapter[metric.name] if found.adapter is not None else None,
        comparison=found.comparisons.get(metric.name),
        clusters=clusters,
        explanation=metric.explanation,
        lower_is_better=metric.lower_is_better,
    )


def _general(measured: SpeechMeasured) -> GeneralSet | None:
    found = measured.general
    if found is None:
        return None
    names = ", ".join(sorted({row.kinds["set"] for row in found.rows}))
    return GeneralSet(names, _measure(found.whole, found.clusters), measured.not_worse)


def _slices(measured: SpeechMeasured) -> Iterator[Slice]:
    for found in (measured.church, measured.general):
        if found is not None:
            kinds = {"set": "general set"}
            yield from (
                Slice(kinds.get(kind, kind), value, _measure(part, found.clusters)) for kind, value, part in found.parts
            )
    for found in (measured.church, measured.other_view):
        if found is not None:
            yield Slice("view", found.rows[0].kinds["view"], _measure(found.whole, found.clusters))


def _examples(church: SetMeasured | None, *, best: bool) -> list[Example]:
    """Where the adapter gained and lost most; of a base model by itself, the rows with the fewest and the most errors."""
    if church is None:
        return []
    both = list(zip(church.rows, church.base, church.adapter or church.base, strict=True))
    both = [found for found in both if found[1].status == found[2].status == "scored"]

    def gain(found: tuple) -> tuple[float, float]:
        _, base, adapter = found
        words = base.normalised.reference_words
        return (_errors(base) - _errors(adapter)) / words, -_errors(adapter) / words

    ordered = sorted(both, key=lambda found: (gain(found), found[0].row_id), reverse=best)
    # No row is an example of both.
    chosen = ordered[: min(_EXAMPLES, len(both) // 2 if best else len(both) - len(both) // 2)]
    return [
        Example(
            name=row.place,
            reference=row.reference,
            hypothesis=adapter.row.hypothesis or "",
            base=base.row.hypothesis if church.adapter is not None else None,
            note=_note(base, adapter if church.adapter is not None else None),
        )
        for row, base, adapter in chosen
    ]


def _note(base: RowScore, adapter: RowScore | None) -> str:
    change = f"{_errors(base)}" if adapter is None else f"{_errors(base)} → {_errors(adapter)}"
    return f"errors: {change} of {base.normalised.reference_words} words"


def _errors(score: RowScore) -> int:
    found = score.normalised
    return found.substitutions + found.deletions + found.insertions


def _not_scored(measured: SpeechMeasured) -> Iterator[NotScored]:
    for what, found in (("church row", measured.church), ("general utterance", measured.general)):
        if found is not None:
            reasons = Counter(
                base.reason or adapter.reason
                for base, adapter in zip(found.base, found.adapter or found.base, strict=True)
                if "not scored" in (base.status, adapter.status)
            )
            yield from (NotScored(what, reason, n) for reason, n in sorted(reasons.items()))
    yield from measured.missing


def _rests_on(church: SetMeasured | None, view: str) -> tuple[tuple[str, str], ...]:
    if church is None:
        return ()
    seconds = sum(score.row.duration_s or 0.0 for score in church.base)
    status = Counter(score.status for score in church.base)
    counted = f"{status['scored']} with words, {status['no speech']} without speech, {status['not scored']} not scored"
    facts = (
        ("Sermons", str(len({row.group for row in church.rows}))),
        ("Rows", f"{counted}; where nobody speaks was told by people, or by the classes of sound"),
        ("Sound", f"{seconds / 60:.1f} minutes, in the view {view}"),
    )
    if not any(row.kinds["kind"] == "sermon" for row in church.rows):
        return facts
    how = (
        "where nobody transcribed chunks of a sermon, what was heard in all its usable chunks is held against its whole "
        "text: words in parts that cannot be used count as missing, for both systems alike"
    )
    return (*facts, ("Whole sermons", how))


def _bars(measured: SpeechMeasured, found: Compared) -> tuple[Bar, ...]:
    bars = [Bar(measured.base.identity, "base", found.base["wer"])]
    if measured.adapter is not None and found.adapter is not None:
        bars.append(Bar(f"with adapter {(measured.adapter.adapter_id or '')[:12]}", "adapter", found.adapter["wer"]))
    return tuple(bars)


def _plain(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
