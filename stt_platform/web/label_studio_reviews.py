"""Tasks to the Label Studio server of the settings, and its answers back to `STT_HOME/corrections`."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

from stt_platform.errors import PlatformError
from stt_platform.feedback.answers import TEXT_FIELD
from stt_platform.feedback.tools.base import ReviewTask
from stt_platform.feedback.tools.label_studio import (
    LabelStudio,
    label_studio_tasks,
    labelling_configuration,
    playable_tasks,
)
from stt_platform.machine.files import one_at_a_time
from stt_platform.settings import LabelStudioSettings
from stt_platform.store.label_studio_folder import (
    TOKEN_VARIABLE,
    access_token,
    audio_folder,
    keep_answers,
    kept_answers,
    offer_audio,
)
from stt_platform.store.names import slug
from stt_platform.store.review_lists import corrections_folder
from stt_platform.web.label_studio_client import LabelStudioClient, ReviewProject

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


@dataclass(frozen=True)
class LabelStudioReviews(LabelStudio):
    """Label Studio as a review tool, connected to the server of the settings."""

    home: Path
    settings: LabelStudioSettings
    client: LabelStudioClient

    def project(self) -> ReviewProject | None:
        """Return the project of the settings, or None before the first tasks were pushed."""
        return self.client.find_project(self.settings.project)

    def push(self, tasks: Sequence[ReviewTask]) -> Pushed:
        """Add the tasks that the project does not have yet.

        A task is known by its chunk and its proposal: the same chunk is asked about again when its transcript changed.

        Args:
            tasks: `audio` is the path of the sound, relative to the home.
        """
        audio = audio_folder(self.home)
        with one_at_a_time(audio.parent / ".push.lock"):
            project = self._project_to_fill()
            known = {(data.get("chunk_id"), data.get("proposal")) for data in self.client.task_data(project)}
            new = [task for task in tasks if (task.chunk_id, task.proposal) not in known]
            offered = offer_audio(self.home, new)
            fresh = [task for task in new if task.chunk_id in offered]
            if not self.settings.url:
                self.client.play_from(project, audio)
            # Sound takes its time on the way: what is cut off has only the rest to send when it goes on.
            for part in (fresh[first : first + _SENT_AT_ONCE] for first in range(0, len(fresh), _SENT_AT_ONCE)):
                if self.settings.url:
                    part = [replace(task, audio=self.client.upload(project, offered[task.chunk_id])) for task in part]
                else:
                    part = playable_tasks(part)
                self.client.add_tasks(project, label_studio_tasks(part))
        return Pushed(replace(project, tasks=project.tasks + len(fresh)), len(fresh), len(new) - len(fresh))

    def pull(self, project: ReviewProject, since: str) -> Pulled:
        """Bring what was answered since then into `STT_HOME/corrections`; everything, where the file of it was lost."""
        file = corrections_folder(self.home) / answers_name(self.settings, project)
        kept = kept_answers(file)
        lost = kept is None and project.answered > 0
        changed = self.client.changed_tasks(project, "" if lost else since)
        newest = max([since, *(task["updated_at"] for task in changed)])
        return Pulled(file, keep_answers(file, kept or {}, changed), newest)

    def _project_to_fill(self) -> ReviewProject:
        project = self.project()
        if project is None:
            return self.client.make_project(self.settings.project, labelling_configuration())
        if f'name="{TEXT_FIELD}"' not in project.configuration:
            raise PlatformError(
                f"the project {self.settings.project!r} at {self.client.address} has a form without the field "
                f"{TEXT_FIELD!r}: choose another title (setting label_studio.project), and a project with the right form is made"
            )
        return project


@contextmanager
def label_studio_reviews(home: Path, settings: LabelStudioSettings) -> Iterator[LabelStudioReviews]:
    """Connect to the server of the settings. Raises `NoServer` where none was ever set up."""
    token = access_token(home, settings)
    if token is None and settings.url:
        raise NoServer(f"no token for {settings.url}: set {TOKEN_VARIABLE} to one of your account there")
    if token is None:
        raise NoServer("there is no Label Studio server yet: `make label-studio` starts one on this machine")
    with LabelStudioClient(server_address(settings), token) as client:
        yield LabelStudioReviews(home, settings, client)


def server_address(settings: LabelStudioSettings) -> str:
    """Return where the server of the settings answers."""
    return settings.url or f"http://127.0.0.1:{settings.port}"


def answers_name(settings: LabelStudioSettings, project: ReviewProject) -> str:
    """Name the file that the answers of a project come into; two servers may give a project the same number."""
    where = f"{slug(urlsplit(settings.url).netloc, 'server')}-" if settings.url else ""
    return f"label-studio-{where}{project.id}.json"
