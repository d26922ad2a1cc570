"""Exchange tasks and answers with Label Studio while people correct there."""

import json
from collections.abc import Mapping
from typing import Any

import dagster as dg

from stt_platform.defs.feedback.flagged import read_tasks
from stt_platform.defs.feedback.review_tasks import review_tasks
from stt_platform.errors import PlatformError
from stt_platform.orchestration.platform import Platform
from stt_platform.orchestration.scopes import known_cycles
from stt_platform.orchestration.sensors import platform_sensor
from stt_platform.store.stages import StageOutput
from stt_platform.web.label_studio_reviews import LabelStudioReviews, label_studio_reviews


@platform_sensor()
def label_studio_answers(context: dg.SensorEvaluationContext, platform: Platform) -> dg.SkipReason:
    """Send the tasks of the newest cycle to Label Studio as soon as its server runs, and bring new answers into
    `STT_HOME/corrections`, where `new_corrections` finds them. Without a server it does nothing.
    """
    # It starts no run: the tick says what was done. The cursor tells of which project it is, what was sent to it, and until
    # when its answers are known.
    try:
        with label_studio_reviews(platform.home, platform.settings.label_studio) as reviews:
            return dg.SkipReason(_exchange(context, platform, reviews))
    except PlatformError as problem:
        # Nobody is at fault where no server runs; the tick says what there is to do.
        return dg.SkipReason(str(problem))


def _exchange(context: dg.SensorEvaluationContext, platform: Platform, reviews: LabelStudioReviews) -> str:
    tasks = _newest_tasks(context.instance, platform)
    project = reviews.project()
    known = _cursor(context.cursor)
    if project is None or known.get("project") != project.address:
        known = {}
    added = ""
    if tasks and known.get("sent") != tasks.key:
        pushed = reviews.push(read_tasks(tasks))
        project, added = pushed.project, f"{pushed.added} tasks were added; "
    if project is None:
        return f"nothing has been sent to {reviews.client.address} yet: review_tasks makes the tasks"
    pulled = reviews.pull(project, known.get("since", ""))
    sent = tasks.key if tasks else ""
    context.update_cursor(json.dumps({"project": project.address, "sent": sent, "since": pulled.since}))
    came = f"new answers are in {pulled.file}" if pulled.changed else "no new answers"
    return f"{added}{came}; {project.answered} of {project.tasks} are answered at {project.address}"


def _newest_tasks(instance: dg.DagsterInstance, platform: Platform) -> StageOutput | None:
    outputs = (review_tasks.output(platform.home, str(cycle)) for cycle in known_cycles(instance))
    return next((output for output in outputs if output), None)


def _cursor(text: str | None) -> Mapping[str, Any]:
    try:
        found = json.loads(text or "{}")
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
