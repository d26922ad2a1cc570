"""What was found of the terms, as the report of a translator reads it from the files of `terminology_evaluation`."""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, get_args

from stt_platform.evaluation.evaluation_report import Measure, NotScored, Slice, TermPair, Terms
from stt_platform.evaluation.intervals import Interval
from stt_platform.evaluation.metrics.terms import TermAccuracy
from stt_platform.evaluation.paired import Comparison
from stt_platform.evaluation.terminology import HintMode, TermCounts, score_six

TERMS_FILE = "terms.json"

WHOLE = "all"
"""All terms on held-out verses, without hints; the other parts are named after the modes."""

WORDS: Mapping[str, str] = {
    WHOLE: "all terms, without hints",
    "no_hints": "hinted terms, without hints",
    "hinted": "hinted terms, with hints",
    "random_hints": "hinted terms, with hints to other words",
}


@dataclass(frozen=True)
class SystemTerms:
    """How one system renders the terms.

    Attributes:
        counts, intervals: by `WHOLE` and by mode; modes are left out where `no_hints` says why. Intervals are of the
            accuracy.
        comparisons: with its base, likewise; empty without one.
        six: translations of the six sentences.
    """

    system: str
    counts: Mapping[str, TermCounts]
    intervals: Mapping[str, Interval]
    comparisons: Mapping[str, Comparison]
    six: tuple[str, ...]
    no_hints: str = ""


@dataclass(frozen=True)
class TermFindings:
    """What was found of every system, by its name."""

    systems: Mapping[str, SystemTerms] = field(default_factory=dict)

    def for_report(self, base: str, adapter: str) -> Terms | None:
        """Make the tables of terms on the page of an adapter beside its base, or with an empty `adapter` of a base alone."""
        one, two = self.systems.get(base), self.systems.get(adapter)
        shown = two or one
        if shown is None or (adapter and two is None):
            return None

        def pair(part: str) -> TermPair:
            return TermPair(one.counts.get(part) if one else None, two.counts.get(part) if two else None)

        modes = tuple((mode, pair(mode)) for mode in get_args(HintMode) if mode in shown.counts)
        return Terms(pair(WHOLE), modes, score_six(shown.six))

    def slices(self, base: str, adapter: str) -> Iterator[Slice]:
        """Show the accuracy with its interval, by how the system was hinted."""
        one, two = self.systems.get(base), self.systems.get(adapter)
        shown = two or one
        if shown is None or (adapter and two is None):
            return
        for part, words in WORDS.items():
            if part in shown.intervals:
                yield Slice(
                    "hint mode",
                    words,
                    Measure(
                        name=TermAccuracy.label,
                        unit=TermAccuracy.unit,
                        base=one.intervals.get(part) if one else None,
                        adapter=two.intervals.get(part) if two else None,
                        comparison=two.comparisons.get(part) if two else None,
                        clusters="segments",
                        lower_is_better=TermAccuracy.lower_is_better,
                    ),
                )

    def not_scored_of(self, systems: Iterable[str]) -> Iterator[NotScored]:
        """Say what is missing of these systems, and why."""
        for name in systems:
            found = self.systems.get(name)
            if found is None:
                yield NotScored(f"terms by {name}", "terminology_evaluation was made without it: make it again")
            elif found.no_hints:
                yield NotScored(f"hints to {name}", found.no_hints)


def write_findings(findings: TermFindings, folder: Path) -> None:
    """Write them into the folder of the stage that found them."""
    rows = [asdict(found) for found in findings.systems.values()]
    (folder / TERMS_FILE).write_text(json.dumps(rows, ensure_ascii=False, sort_keys=True, indent=1), encoding="utf-8")


def read_findings(folder: Path) -> TermFindings:
    """Read what `write_findings` wrote."""
    rows = json.loads((folder / TERMS_FILE).read_text(encoding="utf-8"))
    return TermFindings({row["system"]: _system(row) for row in rows})


def _system(row: Mapping[str, Any]) -> SystemTerms:
    return SystemTerms(
        system=row["system"],
        counts={part: TermCounts(**values) for part, values in row["counts"].items()},
        intervals={part: Interval(**values) for part, values in row["intervals"].items()},
        comparisons={part: Comparison(**values) for part, values in row["comparisons"].items()},
        six=tuple(row["six"]),
        no_hints=row["no_hints"],
    )
