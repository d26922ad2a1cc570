"""Jobs that sensors start."""

import dagster as dg

from stt_platform.defs.sermons.stage import SERMON_STAGES

sermon_to_transcript = dg.define_asset_job(
    "sermon_to_transcript",
    selection=dg.AssetSelection.assets(*SERMON_STAGES),
    description="All stages of one sermon, from the recording to the transcript.",
)

after_sermons = dg.define_asset_job(
    "after_sermons",
    selection=dg.AssetSelection.assets("sermon_split", "references"),
    description="What looks at all sermons together: the split, and the references.",
)
