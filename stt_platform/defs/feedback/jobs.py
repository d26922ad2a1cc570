"""The jobs of a cycle: `ask` chooses what people are asked, `learn` trains on their answers, `deliver` bundles."""

import dagster as dg

from stt_platform.orchestration.assets import SCOPE_TAG
from stt_platform.orchestration.scopes import CYCLE
from stt_platform.orchestration.stage import needed_for, stages_of

_LIST = "review_tasks"
"""The last stage of the half that asks."""

_OF_A_CYCLE = dg.AssetSelection.tag(SCOPE_TAG, CYCLE.name)
_ASKED = _OF_A_CYCLE & dg.AssetSelection.assets(_LIST).upstream()


def learned_stages() -> list[str]:
    """Return the stages that follow people's answers, in order."""
    asked = needed_for([_LIST])
    return [name for name in stages_of(CYCLE) if name not in asked]


ask = dg.define_asset_job(
    "ask",
    selection=_ASKED,
    description="Chooses the segments of a cycle that people are asked about, and sends them to their tools.",
)

learn = dg.define_asset_job(
    "learn",
    selection=_OF_A_CYCLE - _ASKED,
    description="Trains a recogniser on the corrections of a cycle, evaluates it, decides about it, and reports.",
)

deliver = dg.define_asset_job(
    "deliver",
    selection=dg.AssetSelection.assets("adapter_bundle"),
    description="Puts what serves now into a bundle for the machine that runs live.",
)
