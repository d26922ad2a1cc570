"""Running and planning single stages on a home, without Dagster's instance."""

from collections.abc import Sequence
from pathlib import Path

import stt_platform.definitions  # noqa: F401
from stt_platform.orchestration.planning import plan
from stt_platform.orchestration.platform import Platform
from stt_platform.orchestration.running import run_stage
from stt_platform.orchestration.scopes import CORPUS_SCOPE, CYCLE, TRANSLATOR
from stt_platform.orchestration.stage import follows_sermons, stages
from stt_platform.settings import Settings
from stt_platform.store.stages import StageOutput


def make(home: Path, stage: str, part: str | None = None) -> StageOutput:
    """Bring one stage of a home up to date."""
    output, _ = run_stage(stages()[stage], Platform(home_folder=str(home)), lambda line: None, part)
    return output


def due(home: Path, settings: Settings, targets: Sequence[str] = (), part: str | None = None) -> list[str]:
    """List the stages that are out of date, but for those of sermons; without targets those of scripture."""
    parts = {scope.name: part for scope in (CYCLE, TRANSLATOR)} if part else {}
    found = plan(home, settings, targets, parts=parts, scopes=[CORPUS_SCOPE, CYCLE, TRANSLATOR])
    return [each.stage for each in found if targets or not follows_sermons(each.stage)]
