"""The two halves of a cycle: what is asked of people, and what is made of their answers."""

import dagster as dg

ASKED = ("flagged_segments", "review_tasks")
LEARNED = (
    "corrections",
    "speech_training_set",
    "whisper_adapter",
    "speech_evaluation",
    "speech_decision",
    "cycle_report",
)

ask = dg.define_asset_job(
    "ask",
    selection=dg.AssetSelection.assets(*ASKED),
    description="Chooses the segments of a cycle that people are asked about, and sends them to their tools.",
)

learn = dg.define_asset_job(
    "learn",
    selection=dg.AssetSelection.assets(*LEARNED),
    description="From the corrections of a cycle to a recogniser, its measurement, the decision about it, and the report.",
)

deliver = dg.define_asset_job(
    "deliver",
    selection=dg.AssetSelection.assets("adapter_bundle"),
    description="Puts what serves now into a bundle for the machine that runs live.",
)
