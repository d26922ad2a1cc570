"""What was left of everything that came in: the asset `sound_funnel`, and the funnel of one sermon in the UI."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import dagster as dg

from stt_platform.audio import SAMPLE_RATE_HZ
from stt_platform.audio.funnel import FunnelStep
from stt_platform.audio.funnel_picture import funnel_picture
from stt_platform.defs.shown import embedded
from stt_platform.orchestration.platform import Platform
from stt_platform.orchestration.stage import stage
from stt_platform.orchestration.work import StageContext, Work
from stt_platform.store.funnel import read_funnel
from stt_platform.store.stages import StageOutput, StageResult


def shown_funnel(steps: Sequence[FunnelStep], title: str) -> dg.MarkdownMetadataValue:
    """The funnel as a picture for the web UI."""
    return embedded(funnel_picture(steps, title=title), "how much sound was left after every gate")


@dataclass(frozen=True)
class FunnelData:
    """Sound of all sermons, in samples at 16 kHz: what came in, what the gates left, and what has reliable text."""

    samples_in: int
    samples_left: int
    samples_with_reliable_text: int


def _read(context: StageContext) -> list[FunnelStep]:
    return read_funnel(context.store)


def _metadata(platform: Platform, output: StageOutput) -> Mapping[str, Any]:
    if not output.data_as(FunnelData).samples_in:
        return output.shown
    steps = read_funnel(platform.store)
    records = [
        dg.TableRecord(
            {
                "step": step.name,
                "minutes in": _minutes(step.samples_in),
                "minutes left": _minutes(step.samples_left),
                "lost to": "; ".join(f"{reason} {_minutes(samples)}" for reason, samples in step.losses) or "–",
            }
        )
        for step in steps
    ]
    return {"picture": shown_funnel(steps, "all sermons"), **output.shown, "funnel": dg.MetadataValue.table(records)}


@stage(
    version="1",
    group="sermons",
    kinds={"table"},
    reads=(
        *("recordings", "sound_measures", "segments", "speech_chunks", "training_chunks", "consensus"),
        "stage_results",
    ),
    read=_read,
    metadata=_metadata,
)
def sound_funnel(work: Work) -> StageResult:
    """How much sound came in, how much was left after every gate, and why: over all sermons.

    Ask for the figures of each sermon with `stt query "select * from funnel"`.
    """
    steps = work.read
    data = FunnelData(steps[0].samples_in, steps[2].samples_left, steps[3].samples_left)
    shown = {
        "minutes in": _minutes(data.samples_in),
        "minutes left": _minutes(data.samples_left),
        "minutes with reliable text": _minutes(data.samples_with_reliable_text),
    }
    return StageResult(data=data, shown=shown if data.samples_in else {"minutes in": 0.0})


def _minutes(samples: int) -> float:
    return round(samples / SAMPLE_RATE_HZ / 60, 2)
