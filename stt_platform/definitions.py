"""The one place that assembles everything the platform defines."""

import dagster as dg

from stt_platform.defs.evaluation import assets as evaluation_assets
from stt_platform.defs.platform import Platform
from stt_platform.defs.sermons import assets as sermon_assets
from stt_platform.defs.sermons import funnel, jobs, sensors, split
from stt_platform.executor import gpu_serialized_executor

defs = dg.Definitions(
    assets=dg.load_assets_from_modules([sermon_assets, split, funnel, evaluation_assets]),
    jobs=[jobs.sermon_stages, jobs.after_sermons],
    sensors=[sensors.inbox, sensors.new_sermons],
    resources={"platform": Platform()},
    executor=gpu_serialized_executor,
)
