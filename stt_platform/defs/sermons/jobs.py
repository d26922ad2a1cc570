"""Jobs that sensors start."""

import dagster as dg

from stt_platform.defs.sermons.stage import SERMON_STAGES

sermon_stages = dg.define_asset_job(
    "sermon_stages",
    selection=dg.AssetSelection.assets(*SERMON_STAGES),
    description="All stages of one sermon, from the recording to a transcript and how far it can be relied on.",
)

after_sermons = dg.define_asset_job(
    "after_sermons",
    selection=dg.AssetSelection.assets("sermon_split", "references", "sound_funnel"),
    description="What looks at all sermons together: the split, the references, and the funnel.",
)
