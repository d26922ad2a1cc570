"""Send the list of a cycle to Label Studio: the asset `review_tasks`."""

import contextlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import dagster as dg

from stt_platform.defs.feedback.flagged import TASKS, read_tasks
from stt_platform.feedback.tools.label_studio import FORM_FILE, TASKS_FILE, LabelStudio
from stt_platform.orchestration.platform import Platform
from stt_platform.orchestration.scopes import CYCLE
from stt_platform.orchestration.stage import stage
from stt_platform.orchestration.work import Work
from stt_platform.settings import LabelStudioSettings, load_settings
from stt_platform.store.label_studio_folder import offer_audio
from stt_platform.store.review_lists import review_folder
from stt_platform.store.stages import StageOutput, StageResult
from stt_platform.web.label_studio_client import LabelStudioError, LabelStudioUnreachable
from stt_platform.web.label_studio_reviews import NoServer, label_studio_reviews

_SENT_LATER = "the tasks are sent by themselves once it runs"


@dataclass(frozen=True)
class ReviewTasksData:
    """How many tasks there are in a cycle."""

    cycle: int
    tasks: int


def _hand_out(home: Path, output: StageOutput) -> None:
    settings = load_settings(home).label_studio
    tasks = read_tasks(output)
    offer_audio(home, tasks)
    # What the server is and has is shown afterwards; one that does not run is no fault of the list.
    with contextlib.suppress(NoServer, LabelStudioUnreachable), label_studio_reviews(home, settings) as reviews:
        reviews.push(tasks)


def _metadata(platform: Platform, output: StageOutput) -> Mapping[str, Any]:
    data = output.data_as(ReviewTasksData)
    folder = review_folder(platform.home, data.cycle)
    tasks = read_tasks(output)
    return {
        "tasks": data.tasks,
        "tasks whose sound is gone": len(tasks) - len(offer_audio(platform.home, tasks)),
        "Label Studio": _server_state(platform.home, platform.settings.label_studio),
        "for Label Studio, to import by hand": dg.MetadataValue.path(str(folder / TASKS_FILE)),
        "lists for Prodigy and spreadsheets": dg.MetadataValue.path(str(folder)),
    }


def _server_state(home: Path, settings: LabelStudioSettings) -> str | dg.MetadataValue:
    try:
        with label_studio_reviews(home, settings) as reviews:
            project, address = reviews.project(), reviews.client.address
    except (NoServer, LabelStudioUnreachable) as problem:
        return f"{problem}; {_SENT_LATER}"
    except LabelStudioError as problem:
        return str(problem)
    if project is None:
        return f"no project {settings.project!r} at {address}"
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
    published={name: f"review/cycle-{{part}}/{name}" for name in (TASKS_FILE, FORM_FILE)},
    hand_out=_hand_out,
)
def review_tasks(work: Work) -> StageResult:
    """Make tasks for Label Studio of the flagged segments, with the proposal in the box, and send them to its server.

    Each task is sent once: one with the same chunk and proposal is not added again. Where no server runs, the tasks are sent
    when one does, by the sensor `label_studio_answers`, which also brings the answers back. `STT_HOME/review/cycle-<n>`
    holds them to be imported by hand (`label-studio.json`, and the form `label-studio.xml`), beside the lists for Prodigy and
    spreadsheets.
    """
    tasks = read_tasks(work.inputs["flagged_segments"])
    written = [asdict(task) for task in tasks]
    (work.folder / TASKS).write_text(json.dumps(written, ensure_ascii=False), encoding="utf-8")
    for name, content in LabelStudio().write(tasks, work.folder).items():
        if content is not None:
            (work.folder / name).write_bytes(content)
    return StageResult(data=ReviewTasksData(work.cycle, len(tasks)))
