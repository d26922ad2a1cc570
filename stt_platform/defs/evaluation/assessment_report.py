"""What people see of the assessment in the UI: what they are to do, what was drawn, and what came of it."""

import json
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import dagster as dg
import pyarrow.parquet as pq

from stt_platform.defs.shown import page, picture, table
from stt_platform.evaluation import metrics
from stt_platform.evaluation.assessment import ChunkToAssess
from stt_platform.evaluation.assessment_pictures import Share, bands_picture, sample_picture
from stt_platform.evaluation.intervals import Interval
from stt_platform.evaluation.metrics.entities import EntityMistake
from stt_platform.orchestration.platform import Platform
from stt_platform.speech.references import NO_SPEECH
from stt_platform.store.assessment import WHOLE_SERMON
from stt_platform.store.assessment_lists import assessment_folder
from stt_platform.store.choices import label_policy
from stt_platform.store.evaluations import ALL, part
from stt_platform.store.stages import StageOutput

NOBODY_HAS_TRANSCRIBED = "nobody has transcribed anything yet, so there is no error rate"

_PICTURE = "assessment.png"
_STRATA, _MISTAKES = "strata.json", "mistakes.json"
_MOST_ROWS, _MOST_TEXTS = 300, 12


def draw_sample(
    folder: Path,
    pool: Sequence[ChunkToAssess],
    sample: Sequence[ChunkToAssess],
    done: Collection[str],
    levels: Mapping[str, str],
) -> None:
    """Count and draw once what every look at the asset shows."""
    drawn = {chunk.chunk_id for chunk in sample}
    found: Counter[tuple[str, ...]] = Counter()
    for chunk in pool:
        stratum = (chunk.sermon, levels[chunk.chunk_id], chunk.speaker or "not known")
        found[*stratum, "may be drawn"] += 1
        found[*stratum, "drawn"] += chunk.chunk_id in drawn
        found[*stratum, "transcribed"] += chunk.chunk_id in done
    strata = [
        {
            **dict(zip(("sermon", "noise", "speaker"), stratum, strict=True)),
            **{name: found[*stratum, name] for name in ("may be drawn", "drawn", "transcribed")},
        }
        for stratum in sorted({key[:-1] for key in found})
    ]
    (folder / _STRATA).write_text(json.dumps(strata, ensure_ascii=False), encoding="utf-8")
    kinds = {"level of noise": "noise", "speaker": "speaker", "sermon": "sermon"}
    shares = {kind: _shares(strata, column) for kind, column in kinds.items()}
    (folder / _PICTURE).write_bytes(sample_picture(shares))


def _shares(strata: Sequence[Mapping[str, Any]], column: str) -> list[Share]:
    sums: dict[str, Counter[str]] = {}
    for row in strata:
        counts = sums.setdefault(row[column], Counter())
        counts.update({name: row[name] for name in ("may be drawn", "drawn", "transcribed")})
    return [Share(name, c["may be drawn"], c["drawn"], c["transcribed"]) for name, c in sorted(sums.items())]


def sample_metadata(platform: Platform, output: StageOutput) -> Mapping[str, Any]:
    """Show what to do next, the lists, and how the sample compares with all there is."""
    strata = json.loads((output.shown_folder / _STRATA).read_text(encoding="utf-8"))
    folder = assessment_folder(platform.home)
    return {
        "what to do next": dg.MetadataValue.md(_what_to_do(platform, output.shown)),
        "picture": picture(output.shown_folder / _PICTURE, "what was drawn, beside all that there is"),
        **output.shown,
        "lists to fill": dg.MetadataValue.path(str(folder)),
        "look at it": page(platform, "evaluation"),
        "by sermon, noise and speaker": table(strata[:_MOST_ROWS]),
    }


def _what_to_do(platform: Platform, shown: Mapping[str, Any]) -> str:
    folder = assessment_folder(platform.home)
    if not shown["drawn"]:
        return "There is nothing to draw from yet: take sermons in, let them run, and make `sermon_split`."
    if not shown["still to be transcribed"]:
        return "All that was drawn is transcribed. Look at `baseline_wer`, and materialise `view_comparison`."
    return "\n".join(
        [
            f"{shown['still to be transcribed']} of {shown['drawn']} chunks are still to be transcribed.",
            "",
            f"1. Open `{folder / 'assessment_sample.csv'}` in a spreadsheet program.",
            "2. Listen to the file in the column `audio`, and write **all that is said** into `manual_text`, from scratch: do "
            f"not look at an automatic text. Where nobody speaks, write `{NO_SPEECH}`; what you have not done yet stays "
            "empty.",
            "3. Save it as “CSV UTF-8”, where it is, or in "
            f"`{platform.home / 'references'}` if you worked on a copy. A part of it is worth saving too.",
            "4. Materialise `references` and `baseline_wer`; with `make ui` running they follow by themselves.",
            "",
            "Some chunks of every sermon say more than all chunks of one.",
        ]
    )


def numbers(values: Mapping[str, Interval]) -> dict[str, float]:
    """Show each metric, rounded, and the interval of those that systems are compared by; what has no value is left out."""
    shown = {}
    for metric in metrics.SPEECH:
        found, factor = values.get(metric.name), 100 if metric.unit == "%" else 1
        ends = (("", found.value), (" from", found.low), (" to", found.high)) if found else ()
        for which, value in ends if metric.compared else ends[:1]:
            if value is not None:
                shown[f"{metric.label}{which} ({metric.unit})"] = round(factor * value, 2)
    return shown


def draw_rates(path: Path, rows: Sequence[Mapping[str, Any]], confidence: float) -> None:
    """Draw the WER of each part over the bands, where there is any; `rows` are those of `evaluations`."""
    rates = [
        (row["slice"], Interval(row["value"], row["ci_low"], row["ci_high"], row["n"], "", confidence))
        for row in rows
        if row["metric"] == "wer"
    ]
    if any(rate.value is not None for _, rate in rates):
        path.write_bytes(bands_picture(rates))


def draw_baseline(
    folder: Path, rows: Sequence[Mapping[str, Any]], mistakes: Sequence[EntityMistake], confidence: float
) -> None:
    """Draw once what every look at the asset shows; `rows` are those of `evaluations`."""
    draw_rates(folder / _PICTURE, rows, confidence)
    listed = json.dumps([asdict(mistake) for mistake in mistakes[:_MOST_ROWS]], ensure_ascii=False)
    (folder / _MISTAKES).write_text(listed, encoding="utf-8")


def baseline_metadata(platform: Platform, output: StageOutput) -> Mapping[str, Any]:
    """Show the verdict in words, the rate over the bands, its parts, and the texts that went wrong most."""
    policy = label_policy(platform.home, platform.settings.assessment.label_policy)
    shown = {"label policy": policy.policy, "why this policy": policy.why}
    if not (output.shown_folder / _MISTAKES).exists():
        to_do = "Fill in a list of `assessment_sample` (its page says how), or put a text beside a recording."
        return {"what to do next": dg.MetadataValue.md(to_do), **shown, **output.shown}
    rows = pq.read_table(output.folder / "evaluations.parquet").to_pylist()
    texts = pq.read_table(output.folder / "evaluation_rows.parquet").to_pylist()
    if any(text["slice"] == part("text of", WHOLE_SERMON) for text in texts):
        shown["whole sermons"] = (
            "some texts are of a whole sermon; what was said where no chunk was accepted counts as missing there, so the "
            "labels themselves are better than these say"
        )
    drawn = output.shown_folder / _PICTURE
    return {
        "verdict": output.shown["verdict"],
        **({"picture": picture(drawn, "the error rate over the bands")} if drawn.exists() else {}),
        **shown,
        **{name: value for name, value in output.shown.items() if name != "verdict"},
        "look at it": page(platform, "evaluation"),
        "all numbers": table([shown_number(row) for row in rows if row["slice"] == ALL]),
        "by part": table([shown_number(row) for row in rows if row["slice"] != ALL]),
        "references and names that went wrong": table(
            json.loads((output.shown_folder / _MISTAKES).read_text(encoding="utf-8"))
        ),
        "texts with most errors": table(_worst(texts)),
        "not scored": not_scored(texts),
    }


def not_scored(texts: Sequence[Mapping[str, Any]]) -> dg.TableMetadataValue | str:
    """Show the rows of `evaluation_rows` that could not be scored, with their reasons."""
    return table([_named(text, "reason") for text in texts if text["status"] == "not scored"])


def shown_number(row: Mapping[str, Any]) -> dict[str, Any]:
    """Show a row of `evaluations` to people."""
    names = {"slice": "part", "metric": "metric", "value": "value", "ci_low": "from", "ci_high": "to", "n": "sermons"}
    return {shown: row[name] for name, shown in names.items()} | {"reason": row["reason"]}


def _worst(texts: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    wrong = [text for text in texts if text["errors"]]
    ordered = sorted(wrong, key=lambda text: (-text["errors"] / text["words"], text["row_id"]))
    return [_named(text, "errors", "words", "reference", "hypothesis") for text in ordered[:_MOST_TEXTS]]


def _named(text: Mapping[str, Any], *columns: str) -> dict[str, Any]:
    return {"sermon": text["group_id"], "text": text["row_id"], **{name: text[name] for name in columns}}
