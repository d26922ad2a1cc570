"""The job of every night, and the schedule that starts it once a day."""

from datetime import datetime, timedelta

import dagster as dg

from stt_platform.orchestration.platform import SENSORS_OFF, Platform
from stt_platform.store.intake import registrations

NIGHTLY = ("instance_backup", "mended_tables", "platform_state", "daily_summary")

upkeep = dg.define_asset_job(
    "upkeep",
    selection=dg.AssetSelection.assets(*NIGHTLY),
    description="Backup, damaged tables made again, what is left failed, and the daily summary.",
)


@dg.schedule(
    job=upkeep,
    cron_schedule="5 * * * *",
    description=(
        "Starts the upkeep once a day, from the hour `upkeep.hour` on. It looks every hour, so that a machine that slept or "
        "was off at night does it when it is back."
    ),
    default_status=dg.DefaultScheduleStatus.RUNNING,
)
def nightly(context: dg.ScheduleEvaluationContext, platform: Platform) -> dg.RunRequest | dg.SkipReason:
    """Looks whether there was a run today, by whomever: one that failed is not started again before tomorrow."""
    settings = platform.settings
    if not settings.sensors:
        return dg.SkipReason(SENSORS_OFF)
    if not registrations(platform.home):
        return dg.SkipReason("there are no sermons yet")
    now = datetime.now().astimezone()
    if now.hour < settings.upkeep.hour:
        return dg.SkipReason(f"it is due at {settings.upkeep.hour}:00 (setting `upkeep.hour`)")
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
    # Not whatever came after midnight: a clock that was put back would find runs of tomorrow.
    today = dg.RunsFilter(job_name=upkeep.name, created_after=midnight, created_before=midnight + timedelta(days=1))
    if context.instance.get_runs(today, limit=1):
        return dg.SkipReason("it was done today")
    return dg.RunRequest(run_key=now.isoformat(timespec="seconds"))
