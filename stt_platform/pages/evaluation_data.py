"""What the page of the evaluations shows of the store, as values that JSON can carry."""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Any

from stt_platform.errors import PlatformError, SettingsError
from stt_platform.evaluation.evaluation_report import LEVELS
from stt_platform.evaluation.intervals import Interval
from stt_platform.evaluation.metrics import Metric, all_metrics
from stt_platform.evaluation.report_templates import style_source, with_link_back
from stt_platform.evaluation.speech_scores import baseline_band, label_bands
from stt_platform.settings import Settings, load_settings
from stt_platform.store.choices import VIEWS, label_policy, training_view
from stt_platform.store.evaluations import ALL, part
from stt_platform.store.metadata import MetadataStore
from stt_platform.store.reports import ReportCard, report_cards, report_page
from stt_platform.store.schemas import EVALUATION_SETS

_NUMBERS = re.compile(r"([0-9]+)")
_SETS = {
    "assessment": "assessed chunks",
    "church_test": "church test",
    "general_speech": "general speech",
    "scripture_test": "held-out verses",
    "general_text": "general text",
    "terminology": "terms of faith",
}


def _finite(*columns: str) -> str:
    """Columns of which NaN and infinity are NULL, for JSON has no word for them."""
    return ", ".join(f"CASE WHEN isfinite({name}) THEN {name} END AS {name}" for name in columns)


_EVALUATIONS = f"""
    SELECT evaluation_id, system, adapter_id, set, slice, metric, {_finite("value", "ci_low", "ci_high")}, n, signature,
           reason
    FROM evaluations
"""
_COMPARISONS = f"""
    SELECT evaluation_id, system, set, slice, metric, compared_with, {_finite("difference", "ci_low", "ci_high")},
           {_finite("p_value")}, n, decision, method, reason
    FROM comparisons ORDER BY compared_with
"""
_SHOWN_OF_COMPARISON = (
    "compared_with",
    "difference",
    "ci_low",
    "ci_high",
    "p_value",
    "n",
    "decision",
    "method",
    "reason",
)
_SAMPLE = """
    SELECT count(*) AS chunks, count(*) FILTER (chunk_id IN (
        SELECT chunk_id FROM "references" WHERE status = 'accepted' AND chunk_id IS NOT NULL
    )) AS written
    FROM assessment_sample
"""


def evaluation_overview(home: Path) -> dict[str, Any]:
    """Read the reports, what the assessment says of the automatic texts, which view is used, and every number.

    Numbers are ordered by set, evaluation, system, part (the whole first) and metric, each with the comparisons that
    its system was in. `whole` are those that are not of a part of a set.
    """
    settings = _settings(home)
    numbers = list(_numbers(MetadataStore(home)))
    assessed = [row for row in numbers if (row["set"], row["metric"]) == ("assessment", "wer")]
    return {
        "reports": [_card(home, card) for card in sorted(report_cards(home), key=lambda card: _newest(home, card))],
        "assessment": _assessment(home, settings, [row for row in assessed if row["slice"] == ALL]),
        "view": {
            **_chosen(lambda: asdict(training_view(home, settings.training_view))),
            "measured": _views(assessed),
        },
        "sets": {name: _SETS.get(name, name) for name in EVALUATION_SETS},
        "metrics": {name: _words(metric) for name, metric in all_metrics().items()},
        "numbers": numbers,
    }


def served_report(home: Path, name: str, *, back: str) -> tuple[str, str] | None:
    """Read a report's page with a link to the address `back`, and the policy it is served with; None where there is none.

    The policy allows the page's own style, which may be one of an earlier version, and nothing else.
    """
    path = report_page(home, name)
    if path is None:
        return None
    page = path.read_text(encoding="utf-8", errors="replace")
    policy = f"default-src 'none'; style-src {style_source(page)}; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    return with_link_back(page, back, "All evaluations"), policy


def _settings(home: Path) -> Settings:
    """Settings that cannot be read are told elsewhere, and no reason to show nothing."""
    try:
        return load_settings(home)
    except SettingsError:
        return Settings()


def _words(metric: Metric) -> dict[str, Any]:
    return {
        "label": metric.long_label or metric.label,
        "explanation": metric.explanation,
        "unit": metric.unit,
        "lower_is_better": metric.lower_is_better,
    }


def _made_s(home: Path, card: ReportCard) -> float:
    return report_page(home, card.name).stat().st_mtime


def _newest(home: Path, card: ReportCard) -> tuple[Any, ...]:
    """Newest first; of the same second, the later number: cycle 10 before cycle 9."""
    number = [-int(piece) if piece.isdigit() else 0 for piece in _NUMBERS.split(card.name)]
    return -int(_made_s(home, card)), number, card.name


def _card(home: Path, card: ReportCard) -> dict[str, Any]:
    level = LEVELS.get(card.level, LEVELS["undecided"])
    made = datetime.fromtimestamp(_made_s(home, card)).date().isoformat()
    return {**asdict(card), "made": made, "sign": level.sign, "verdict": level.name, "meaning": level.meaning}


def _assessment(home: Path, settings: Settings, rows: list[dict[str, Any]]) -> dict[str, Any]:
    confidence = settings.evaluation.confidence
    systems = []
    for row in rows:
        interval = Interval(row["value"], row["ci_low"], row["ci_high"], row["n"], "", confidence, row["reason"] or "")
        band = baseline_band(interval)
        shown = {"band": band.name, "certain": band.certain, "candidates": band.candidates, "words": band.words}
        systems.append({**row, **shown})
    bands = [asdict(band) for band in label_bands()]
    chosen = _chosen(lambda: asdict(label_policy(home, settings.assessment.label_policy)))
    in_words = {band["label_policy"]: band["words"] for band in bands}
    return {
        **MetadataStore(home).query(_SAMPLE).to_pylist()[0],
        "wanted": settings.assessment.segments,
        "systems": systems,
        "bands": bands,
        "policy": {**chosen, "words": in_words.get(chosen.get("policy", ""), "")},
    }


def _chosen(read: Callable[[], dict[str, str]]) -> dict[str, str]:
    """A choice, or what is wrong with the file that it is recorded in."""
    try:
        return read()
    except PlatformError as error:
        return {"problem": str(error)}


def _views(assessed: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The rates by view, of evaluations that have heard more than one."""
    slices = {part("view", view): view for view in VIEWS}
    of_views = [{**row, "view": slices[row["slice"]]} for row in assessed if row["slice"] in slices]
    heard: dict[str, set[str]] = {}
    for row in of_views:
        heard.setdefault(row["evaluation_id"], set()).add(row["view"])
    return [row for row in of_views if len(heard[row["evaluation_id"]]) > 1]


def _numbers(store: MetadataStore) -> Iterator[dict[str, Any]]:
    compared: dict[tuple[str, ...], list[dict[str, Any]]] = {}
    for row in store.query(_COMPARISONS).to_pylist():
        compared.setdefault(_place(row), []).append({name: row[name] for name in _SHOWN_OF_COMPARISON})
    for row in sorted(store.query(_EVALUATIONS).to_pylist(), key=_order):
        yield {**row, "whole": _is_whole(row["slice"]), "compared": compared.get(_place(row), [])}


def _is_whole(slice_: str) -> bool:
    """Whether it is no part of a set: each general set is one."""
    return ": " not in slice_ or slice_.startswith(part("set", ""))


def _place(row: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(row[name] for name in ("evaluation_id", "system", "set", "slice", "metric"))


def _order(row: Mapping[str, Any]) -> tuple[Any, ...]:
    metrics = list(all_metrics())
    metric = metrics.index(row["metric"]) if row["metric"] in metrics else len(metrics)
    of_set = EVALUATION_SETS.index(row["set"]) if row["set"] in EVALUATION_SETS else len(EVALUATION_SETS)
    return of_set, row["evaluation_id"], row["system"], row["slice"] != ALL, row["slice"], metric, row["metric"]
