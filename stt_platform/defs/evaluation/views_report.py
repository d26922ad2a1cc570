"""What people see of the comparison of the views in the UI."""

from collections.abc import Mapping
from typing import Any

import pyarrow.parquet as pq

from stt_platform.defs.evaluation.assessment_report import not_scored, shown_number
from stt_platform.defs.shown import page, picture, table
from stt_platform.evaluation.paired import Comparison
from stt_platform.orchestration.platform import Platform
from stt_platform.store.choices import training_view
from stt_platform.store.stages import StageOutput

PICTURE = "views.png"


def in_words(found: Comparison) -> str:
    """Describe the difference of the WERs and how sure it is; or what is missing for a decision."""
    if found.difference is None:
        return "nothing could be compared"
    words = f"enhanced {100 * found.difference:+.1f} points of WER against original"
    if found.low is not None and found.high is not None:
        words += f" ({100 * found.low:+.1f} to {100 * found.high:+.1f})"
    words += f", over {found.n} {'sermon' if found.n == 1 else 'sermons'}"
    if not found.decidable:
        return f"{words}: {found.missing}"
    return f"{words}, p = {found.p_value:.2g}"


def numbers(found: Comparison) -> dict[str, float]:
    """Show the rates and their difference in percent, those that there are."""
    values = {
        "WER original (%)": found.value_a,
        "WER enhanced (%)": found.value_b,
        "difference (points)": found.difference,
    }
    shown = {name: round(100 * value, 2) for name, value in values.items() if value is not None}
    return shown if found.p_value is None else {**shown, "p": round(found.p_value, 5)}


def views_metadata(platform: Platform, output: StageOutput) -> Mapping[str, Any]:
    """Show the verdict in words, both rates over the bands, and all numbers."""
    used = training_view(platform.home, platform.settings.training_view)
    rows = pq.read_table(output.folder / "evaluations.parquet").to_pylist()
    texts = pq.read_table(output.folder / "evaluation_rows.parquet").to_pylist()
    drawn = output.shown_folder / PICTURE
    return {
        "verdict": output.shown["verdict"],
        **({"picture": picture(drawn, "the error rate of each view")} if drawn.exists() else {}),
        "view in use": used.view,
        "why this view": used.why,
        **{name: value for name, value in output.shown.items() if name != "verdict"},
        "look at it": page(platform, "evaluation"),
        "numbers": table([shown_number(row) for row in rows]),
        "not compared": not_scored(texts[: len(texts) // 2]),
    }
