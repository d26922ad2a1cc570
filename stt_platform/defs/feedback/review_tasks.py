"""The list of a cycle for Label Studio: written down, and sent to the server where there is one. The asset `review_tasks`."""

import contextlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import dagster as dg

from stt_platform.defs.feedback.flagged import TASKS
from stt_platform.defs.feedback.label_studio import (
    NoServer,
    offer_sound,
    playable_tasks,
    push_tasks,
    read_tasks,
    review_server,
)
from stt_platform.feedback.tasks import label_studio_tasks, labelling_configuration
from stt_platform.orchestration.platform import Platform
from stt_platform.orchestration.scopes import CYCLE
from stt_platform.orchestration.stage import stage
from stt_platform.orchestration.work import Work
from stt_platform.settings import LabelStudioSettings, load_settings
from stt_platform.store.review_lists import review_folder
from stt_platform.store.stages import StageOutput, StageResult
from stt_platform.web.label_studio import LabelStudioError, LabelStudioUnreachable

_IMPORT, _FORM = "label-studio.json", "label-studio.xml"
_SENT_LATER = "the tasks are sent by themselves once it runs"


@dataclass(frozen=True)
class ReviewTasksData:
    """How many tasks there are in a cycle."""

    cycle: int
    tasks: int


def _hand_out(home: Path, output: StageOutput) -> None:
    settings = load_settings(home).label_studio
    tasks = read_tasks(output.folder / TASKS)
    offer_sound(home, tasks)
    # What the server is and has is shown afterwards; one that does not run is no fault of the list.
    with contextlib.suppress(NoServer, LabelStudioUnreachable), review_server(home, settings) as server:
        push_tasks(home, settings, server, tasks)


def _metadata(platform: Platform, output: StageOutput) -> Mapping[str, Any]:
    data = output.data_as(ReviewTasksData)
    folder = review_folder(platform.home, data.cycle)
    tasks = read_tasks(output.folder / TASKS)
    return {
        "tasks": data.tasks,
        "tasks whose sound is gone": len(tasks) - len(offer_sound(platform.home, tasks)),
        "Label Studio": _server_state(platform.home, platform.settings.label_studio),
        "for Label Studio, to import by hand": dg.MetadataValue.path(str(folder / _IMPORT)),
        "lists for Prodigy and spreadsheets": dg.MetadataValue.path(str(folder)),
    }


def _server_state(home: Path, settings: LabelStudioSettings) -> str | dg.MetadataValue:
    try:
        with review_server(home, settings) as server:
            project = server.find_project(settings.project)
    except (NoServer, LabelStudioUnreachable) as problem:
        return f"{problem}; {_SENT_LATER}"
    except LabelStudioError as problem:
        return str(problem)
    if project is None:
        return f"no project {settings.project!r} at {server.address}"
    return dg.MetadataValue.md(
        f"[{settings.project}]({project.address}): {project.answered} of {project.tasks} answered"
    )


@stage(
    version="1",
    group="feedback",
    kinds={"json"},
    upstream=("flagged_segments",),
    scope=CYCLE,
    metadata=_metadata,
    published={
        _IMPORT: f"review/cycle-{{part}}/{_IMPORT}",
        _FORM: f"review/cycle-{{part}}/{_FORM}",
    },
    hand_out=_hand_out,
)
def review_tasks(work: Work) -> StageResult:
    """The flagged segments as tasks for Label Studio, with the proposal in the box, sent to its server.

    Each task is sent once: one with the same chunk and proposal is not added again. Where no server runs, the tasks are sent
    when one does, by the sensor `label_studio_answers`, which also brings the answers back. `STT_HOME/review/cycle-<n>`
    holds them to be imported by hand (`label-studio.json`, and the form `label-studio.xml`), beside the lists for Prodigy and
    spreadsheets.
    """
    tasks = read_tasks(work.inputs["flagged_segments"].folder / TASKS)
    written = [asdict(task) for task in tasks]
    (work.folder / TASKS).write_text(json.dumps(written, ensure_ascii=False), encoding="utf-8")
    imported = label_studio_tasks(playable_tasks(tasks))
    (work.folder / _IMPORT).write_text(json.dumps(imported, ensure_ascii=False, indent=1), encoding="utf-8")
    (work.folder / _FORM).write_text(labelling_configuration(), encoding="utf-8")
    return StageResult(data=ReviewTasksData(work.cycle, len(tasks)))
