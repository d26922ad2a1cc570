"""Tasks to the Label Studio server of the settings, and its answers back to `STT_HOME/corrections`."""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote, urlsplit

from stt_platform.defs.feedback.corrections import corrections_folder
from stt_platform.feedback.answers import TEXT_FIELD
from stt_platform.feedback.tasks import ReviewTask, label_studio_tasks, labelling_configuration
from stt_platform.files import one_at_a_time
from stt_platform.settings import LabelStudioSettings, PlatformError
from stt_platform.store.label_studio import (
    TOKEN_VARIABLE,
    access_token,
    audio_folder,
    audio_name,
    keep_answers,
    kept_answers,
    offer_audio,
)
from stt_platform.store.names import slug
from stt_platform.web.label_studio import LabelStudio, ReviewProject

_SENT_AT_ONCE = 25


class NoServer(PlatformError):
    """There is no Label Studio server that could be asked."""


class Pushed(NamedTuple):
    """`added` tasks are new in the project; of `silent` ones the sound is gone, and nobody is asked about them."""

    project: ReviewProject
    added: int
    silent: int


class Pulled(NamedTuple):
    """`file` holds the answers; `since` is when the newest change of a task was, as the server tells it."""

    file: Path
    changed: bool
    since: str


@contextmanager
def review_server(home: Path, settings: LabelStudioSettings) -> Iterator[LabelStudio]:
    """The server of the settings. Raises `NoServer` where none was ever set up."""
    token = access_token(home, settings)
    if token is None and settings.url:
        raise NoServer(f"no token for {settings.url}: set {TOKEN_VARIABLE} to one of your account there")
    if token is None:
        raise NoServer("there is no Label Studio server yet: `make label-studio` starts one on this machine")
    with LabelStudio(server_address(settings), token) as server:
        yield server


def server_address(settings: LabelStudioSettings) -> str:
    """Where the server of the settings answers."""
    return settings.url or f"http://127.0.0.1:{settings.port}"


def playable_tasks(tasks: Sequence[ReviewTask]) -> list[ReviewTask]:
    """Tasks whose sound the own server plays; theirs is named by its path in `STT_HOME`."""
    return [replace(task, audio=_local_address(audio_name(task.chunk_id, task.audio))) for task in tasks]


def push_tasks(home: Path, settings: LabelStudioSettings, server: LabelStudio, tasks: Sequence[ReviewTask]) -> Pushed:
    """Add the tasks that the project does not have yet.

    A task is known by its chunk and its proposal: the same chunk is asked about again when something else was heard in it.

    Args:
        tasks: `audio` is the path of the sound, relative to `home`.
    """
    with one_at_a_time(audio_folder(home).parent / ".push.lock"):
        project = _project(server, settings)
        known = {(data.get("chunk_id"), data.get("proposal")) for data in server.task_data(project)}
        new = [task for task in tasks if (task.chunk_id, task.proposal) not in known]
        offered = offer_sound(home, new)
        fresh = [task for task in new if task.chunk_id in offered]
        if not settings.url:
            server.play_from(project, audio_folder(home))
        # Sound takes its time on the way: what is cut off has only the rest to send when it goes on.
        for part in (fresh[first : first + _SENT_AT_ONCE] for first in range(0, len(fresh), _SENT_AT_ONCE)):
            if settings.url:
                part = [replace(task, audio=server.upload(project, offered[task.chunk_id])) for task in part]
            else:
                part = playable_tasks(part)
            server.add_tasks(project, label_studio_tasks(part))
    return Pushed(replace(project, tasks=project.tasks + len(fresh)), len(fresh), len(new) - len(fresh))


def offer_sound(home: Path, tasks: Sequence[ReviewTask]) -> dict[str, Path]:
    """Put the sound of tasks where the own server plays it from; by chunk. A sermon may have been removed meanwhile."""
    there = [task for task in tasks if (home / task.audio).is_file()]
    return {task.chunk_id: offer_audio(home, task.chunk_id, task.audio) for task in there}


def pull_answers(
    home: Path, settings: LabelStudioSettings, server: LabelStudio, project: ReviewProject, since: str
) -> Pulled:
    """Bring what was answered since then into `STT_HOME/corrections`; everything, where the file of it was lost."""
    file = corrections_folder(home) / answers_name(settings, project)
    kept = kept_answers(file)
    lost = kept is None and project.answered > 0
    changed = server.changed_tasks(project, "" if lost else since)
    newest = max([since, *(task["updated_at"] for task in changed)])
    return Pulled(file, keep_answers(file, kept or {}, changed), newest)


def answers_name(settings: LabelStudioSettings, project: ReviewProject) -> str:
    """The name of the file that the answers of a project come into; two servers may give a project the same number."""
    where = f"{slug(urlsplit(settings.url).netloc, 'server')}-" if settings.url else ""
    return f"label-studio-{where}{project.id}.json"


def read_tasks(path: Path) -> list[ReviewTask]:
    """The tasks that a stage wrote down."""
    return [ReviewTask(**task) for task in json.loads(path.read_text(encoding="utf-8"))]


def _project(server: LabelStudio, settings: LabelStudioSettings) -> ReviewProject:
    project = server.find_project(settings.project)
    if project is None:
        return server.make_project(settings.project, labelling_configuration())
    if f'name="{TEXT_FIELD}"' not in project.configuration:
        raise PlatformError(
            f"the project {settings.project!r} at {server.address} has a form without the field {TEXT_FIELD!r}: choose another "
            "title (setting label_studio.project), and a project with the right form is made"
        )
    return project


def _local_address(name: str) -> str:
    return f"/data/local-files/?d=audio/{quote(name)}"
