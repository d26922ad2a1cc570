"""Jobs that sensors start."""

import dagster as dg

from stt_platform.defs.sermons.stage import SERMON_STAGES

OVER_ALL = ("sermon_split", "references", "sound_funnel", "assessment_sample", "baseline_wer")
"""Assets that look at all sermons together."""

sermon_stages = dg.define_asset_job(
    "sermon_stages",
    selection=dg.AssetSelection.assets(*SERMON_STAGES),
    description="All stages of one sermon, from the recording to a transcript and how far it can be relied on.",
)

after_sermons = dg.define_asset_job(
    "after_sermons",
    selection=dg.AssetSelection.assets(*OVER_ALL),
    description="What looks at all sermons together: the split, the references, the funnel, and the baseline.",
)
