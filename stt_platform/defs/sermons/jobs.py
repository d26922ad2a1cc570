"""Jobs that sensors start."""

import dagster as dg

from stt_platform.orchestration.assets import AFTER_SERMONS_TAG, SCOPE_TAG
from stt_platform.orchestration.scopes import SERMON

sermon_stages = dg.define_asset_job(
    "sermon_stages",
    selection=dg.AssetSelection.tag(SCOPE_TAG, SERMON.name),
    description="All stages of one sermon, from the recording to a transcript and how far it can be relied on.",
)

after_sermons = dg.define_asset_job(
    "after_sermons",
    selection=dg.AssetSelection.tag(AFTER_SERMONS_TAG, "true"),
    description="What looks at all sermons together: the split, the references, the funnel, and the baseline.",
)
