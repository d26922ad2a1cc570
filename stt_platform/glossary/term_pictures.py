"""The attestation of the glossary as a picture for the web UI."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from stt_platform.glossary.attestation import Attestation
from stt_platform.glossary.terms import DOMAINS, Glossary
from stt_platform.scripture.canvas import WIDTH_PX, Canvas

_MARGIN = 12
_GREY = "#666666"
# A pattern for each, so that it is not told by its colour only.
_STATUSES = {
    "attested": ({"facecolor": "#1b7837"}, "attested: usually"),
    "weak": ({"facecolor": "#f2b134", "edgecolor": "#7a4c05", "hatch": "////"}, "weak: seldom"),
    "unattested": ({"facecolor": "#f6dfdb", "edgecolor": "#b2182b", "hatch": "\\\\\\\\"}, "unattested: never"),
    "not in text": (
        {"facecolor": "#e4e4e4", "edgecolor": "#8a8a8a", "hatch": "...."},
        "not in text: no verse has the English",
    ),
}
_CHANCE = "#333333"
_MAX_TERMS = 15
_ROW_PX = 21


def attestation_picture(table: Sequence[Attestation], glossary: Glossary) -> bytes:
    """Draw how many terms of each domain are attested in scripture, and the 15 that are attested least.

    A term's bar is the share of the verses with the English term in which a right Spanish one stands (`any_rate`);
    a black line shows how often the Spanish stands in verses without the English one. Terms that stand in no verse
    have no share and are counted above only.

    Args:
        table: of `attest`.
        glossary: the same one; it has the domains.

    Returns:
        A PNG, 900 pixels wide.
    """
    by_domain: dict[str, Counter[str]] = {}
    for row in table:
        domain = glossary.sense(row.term_id, row.sense).domain
        by_domain.setdefault(domain, Counter())[row.status] += 1
    worst = worst_terms(table)
    first = 88
    second = first + _ROW_PX * (len(by_domain) + 1) + 68
    canvas = Canvas(second + (_ROW_PX * len(worst) if worst else 0) + 10)
    canvas.text(_MARGIN, 16, "The glossary against scripture", size=12, weight="bold")
    words = "Where the English term stands in a verse, does the Spanish of the glossary stand in the same verse?"
    canvas.text(_MARGIN, 38, words if table else "There are no terms yet.", size=9)
    canvas.legend(_MARGIN, 62, [(style, words) for style, words in _STATUSES.values()])
    _draw_domains(canvas, first, by_domain)
    if worst:
        _draw_worst(canvas, second, worst)
    return canvas.png()


def worst_terms(table: Sequence[Attestation], most: int = _MAX_TERMS) -> list[Attestation]:
    """Return the senses with the lowest `any_rate`, worst first; of equal ones those in more verses come first."""
    rows = [row for row in table if row.any_rate is not None]
    return sorted(rows, key=lambda row: (row.any_rate, -row.n, row.term_id, row.sense))[:most]


def _draw_domains(canvas: Canvas, top: float, by_domain: dict[str, Counter[str]]) -> None:
    rows = [(domain, by_domain[domain]) for domain in DOMAINS if domain in by_domain]
    if not rows:
        return
    total = sum(by_domain.values(), Counter())
    most = max(sum(counts.values()) for _, counts in rows)
    left, width = 124, 420
    for k, (domain, counts) in enumerate([*rows, ("all", total)]):
        y = top + _ROW_PX * (k + 0.5)
        weight = "bold" if domain == "all" else "normal"
        canvas.text(left - 8, y, domain, size=9, ha="right", weight=weight)
        x = float(left)
        for status, (style, _) in _STATUSES.items():
            # All terms together have no room on the scale of the domains.
            length = width * counts[status] / (sum(counts.values()) if domain == "all" else most)
            canvas.box(x, y - 7, length, 14, **style)
            x += length
        words = " · ".join(f"{counts[status]} {status}" for status in _STATUSES if counts[status])
        canvas.text(x + 7, y, words, size=8, weight=weight, width_px=WIDTH_PX - x - _MARGIN)


def _draw_worst(canvas: Canvas, top: float, worst: Sequence[Attestation]) -> None:
    canvas.text(_MARGIN, top - 48, "The terms that it bears out least", size=10.5, weight="bold")
    words = (
        "The bar: in how many of the verses with the English term the Spanish stands. The black line: in how many of"
    )
    canvas.text(_MARGIN, top - 30, f"{words} the others.", size=8.5)
    canvas.text(_MARGIN, top - 13, "A bar that is hardly longer than its line says nothing.", size=8.5, color=_GREY)
    left, width = 300, 360
    for k, row in enumerate(worst):
        y = top + _ROW_PX * (k + 0.5)
        name = f"{row.en} ({row.sense})" if row.sense else row.en
        canvas.text(left - 8, y, f"{name} → {row.es}", size=8.5, ha="right", width_px=left - 8 - _MARGIN)
        canvas.box(left, y - 7, width, 14, facecolor="#f7f7f7", edgecolor="#dddddd", linewidth=0.6)
        rate = row.any_hits / row.n
        canvas.box(left, y - 7, width * rate, 14, **_STATUSES[row.status][0])
        if row.chance is not None:
            canvas.box(left + width * row.chance - 1, y - 9, 2, 18, facecolor=_CHANCE)
        hits = f"{100 * rate:.0f} % of {row.n:,}"
        others = "" if row.chance is None else f", elsewhere {_share(row.chance)}"
        canvas.text(left + width + 8, y, hits + others, size=8)


def _share(rate: float) -> str:
    return "under 0.1 %" if 0 < rate < 0.0005 else f"{100 * rate:.1f} %"
