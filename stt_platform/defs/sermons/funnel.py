"""What was left of everything that came in: the asset `sound_funnel`, and the funnel of one sermon in the UI."""

from collections.abc import Sequence

import dagster as dg

from stt_platform.audio import SAMPLE_RATE_HZ
from stt_platform.audio.funnel import FunnelStep
from stt_platform.audio.funnel_picture import funnel_picture
from stt_platform.defs.platform import OWNERS, Platform
from stt_platform.defs.shown import embedded
from stt_platform.store.funnel import read_funnel


def shown_funnel(steps: Sequence[FunnelStep], title: str) -> dg.MarkdownMetadataValue:
    """The funnel as a picture for the web UI."""
    return embedded(funnel_picture(steps, title=title), "how much sound was left after every gate")


@dg.asset(group_name="sermons", kinds={"table"}, owners=OWNERS, deps=["consensus"])
def sound_funnel(platform: Platform) -> dg.MaterializeResult:
    """How much sound came in, how much was left after every gate, and why: over all sermons.

    Ask for the figures of each sermon with `stt query "select * from funnel"`.
    """
    store = platform.store
    steps = read_funnel(store)
    if not steps[0].samples_in:
        return dg.MaterializeResult(metadata={"minutes in": 0.0})
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
    return dg.MaterializeResult(
        metadata={
            "picture": shown_funnel(steps, "all sermons"),
            "minutes in": _minutes(steps[0].samples_in),
            "minutes left": _minutes(steps[2].samples_left),
            "minutes with reliable text": _minutes(steps[3].samples_left),
            "funnel": dg.MetadataValue.table(records),
        }
    )


def _minutes(samples: int) -> float:
    return round(samples / SAMPLE_RATE_HZ / 60, 2)
