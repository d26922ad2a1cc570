"""What was measured of a recogniser as rows of the tables `evaluations`, `comparisons` and `evaluation_rows`."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stt_platform.evaluation.intervals import Interval
from stt_platform.evaluation.paired import Comparison
from stt_platform.evaluation.speech_scores import RowScore
from stt_platform.settings import Settings

ALL = "all"


def general_folder(home: Path, settings: Settings) -> Path:
    """Return the folder in which people put the general test sets, of speech and of text."""
    named = settings.evaluation.general_folder
    return Path(named).expanduser() if named else home / "general"


@dataclass(frozen=True)
class Measured:
    """What numbers are of: one system (with an adapter or without) on one set, in one evaluation."""

    evaluation_id: str
    system: str
    set: str
    adapter_id: str | None = None

    def columns(self) -> dict[str, Any]:
        """Return what they are of as the three tables have them."""
        return {
            "evaluation_id": self.evaluation_id,
            "system": self.system,
            "adapter_id": self.adapter_id,
            "set": self.set,
        }


def part(kind: str, value: str) -> str:
    """Return what the column `slice` calls a part of a set: "noise: noisy"."""
    return f"{kind}: {value}"


def number_rows(
    of: Measured, slice_: str, values: Mapping[str, Interval], signatures: Mapping[str, str]
) -> list[dict[str, Any]]:
    """Return rows of `evaluations`, by metric; one without a value says why."""
    return [
        {
            **of.columns(),
            "slice": slice_,
            "metric": metric,
            "value": found.value,
            "ci_low": found.low,
            "ci_high": found.high,
            "n": found.n,
            "signature": signatures[metric],
            "reason": found.reason or None,
        }
        for metric, found in values.items()
    ]


def comparison_row(of: Measured, slice_: str, metric: str, found: Comparison, *, compared_with: str) -> dict[str, Any]:
    """Return a row of `comparisons`: the system is b of the comparison, what it is compared with is a."""
    return {
        **of.columns(),
        "compared_with": compared_with,
        "slice": slice_,
        "metric": metric,
        "difference": found.difference,
        "ci_low": found.low,
        "ci_high": found.high,
        "p_value": found.p_value,
        "n": found.n,
        "decision": {"a": "worse", "b": "better"}.get(found.better, "undecided"),
        "method": found.method,
        "reason": found.reason,
    }


def text_row(of: Measured, slice_: str, score: RowScore) -> dict[str, Any]:
    """Return a row of `evaluation_rows` for a scored text, or for one that could not be scored."""
    scored = score.status == "scored"
    errors = score.normalised.substitutions + score.normalised.deletions + score.normalised.insertions
    return {
        **of.columns(),
        "slice": slice_,
        "row_id": score.row.row_id,
        "group_id": score.row.sermon,
        "reference": score.row.reference,
        "hypothesis": score.row.hypothesis,
        "errors": errors if scored else None,
        "words": score.normalised.reference_words if scored else None,
        "status": score.status,
        "reason": score.reason or None,
    }
