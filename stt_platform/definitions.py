"""The one place that assembles everything the platform defines."""

import dagster as dg

from stt_platform.defs.adapters import speech_set, translation, translators, whisper
from stt_platform.defs.delivery import bundle
from stt_platform.defs.evaluation import assessment, speech, views
from stt_platform.defs.evaluation import assets as evaluation_assets
from stt_platform.defs.evaluation import terminology as terminology_evaluation
from stt_platform.defs.evaluation import translation as translation_evaluation
from stt_platform.defs.feedback import corrections, cycle_report, decision, flagged, loop, review_tasks
from stt_platform.defs.feedback import jobs as feedback_jobs
from stt_platform.defs.feedback import sensors as feedback_sensors
from stt_platform.defs.glossary import assets as glossary_assets
from stt_platform.defs.platform import Platform
from stt_platform.defs.scripture import assets as scripture_assets
from stt_platform.defs.scripture import back_translations
from stt_platform.defs.scripture import jobs as scripture_jobs
from stt_platform.defs.sermons import assets as sermon_assets
from stt_platform.defs.sermons import funnel, jobs, sensors, split
from stt_platform.defs.upkeep import assets as upkeep_assets
from stt_platform.defs.upkeep import jobs as upkeep_jobs
from stt_platform.executor import gpu_serialized_executor

defs = dg.Definitions(
    assets=dg.load_assets_from_modules(
        [
            *(sermon_assets, split, funnel, evaluation_assets, assessment, speech, views),
            *(scripture_assets, back_translations, glossary_assets, translation),
            *(terminology_evaluation, translation_evaluation, bundle),
            upkeep_assets,
            *(flagged, review_tasks, corrections, speech_set, whisper, translators, decision, cycle_report),
        ]
    ),
    jobs=[
        *(jobs.sermon_stages, jobs.after_sermons, scripture_jobs.corpus),
        *(feedback_jobs.ask, feedback_jobs.learn, feedback_jobs.deliver, upkeep_jobs.upkeep),
    ],
    schedules=[upkeep_jobs.nightly],
    sensors=[
        *(sensors.inbox, sensors.new_sermons, scripture_jobs.new_texts),
        *(loop.next_cycle, feedback_sensors.label_studio_answers, loop.new_corrections, loop.retrain, loop.promoted),
    ],
    resources={"platform": Platform()},
    executor=gpu_serialized_executor,
)
