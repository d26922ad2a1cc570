"""A Label Studio server, as far as reviewing needs it: a project, its sound, tasks in, answers out.

Spoken over plain HTTP: its own SDK brings pandas, nltk and code generators for the ten requests that are made here. The
addresses and fields are those of Label Studio 1.23.
"""

from __future__ import annotations

import datetime
import json
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from stt_platform.errors import PlatformError

if TYPE_CHECKING:
    import requests

_TIMEOUT_S = (3.05, 60.0)
_PAGE = 200
_MAX_QUOTED = 300
# Access tokens live for five minutes.
_ACCESS_S = 120.0
# What two people save at once may become visible in another order than that of the times.
_OVERLAP = datetime.timedelta(minutes=1)

_KEPT_OF_ANNOTATION = (
    *("id", "result", "was_cancelled", "created_at", "updated_at", "lead_time", "prediction", "parent_prediction"),
    "project",
)
_KEPT_OF_PREDICTION = ("id", "result", "model_version", "created_at", "updated_at")


class LabelStudioError(PlatformError):
    """A Label Studio server refused, or cannot be used; the message says the remedy."""


class LabelStudioUnreachable(LabelStudioError):
    """Nobody answers there."""


@dataclass(frozen=True)
class ReviewProject:
    """A project of the server, and how far its reviewers are.

    Attributes:
        address: of its page.
        answered: tasks with at least one annotation that was not skipped.
        configuration: the labelling configuration, XML.
    """

    id: int
    address: str
    tasks: int
    answered: int
    configuration: str


class LabelStudioClient:
    """One server. Not for several threads at once; ends with `close` or a `with`."""

    def __init__(self, address: str, token: str) -> None:
        """`token` is a personal access token, or one of the older kind; it is sent to `address` only."""
        import requests

        self.address = address.rstrip("/")
        self._session = requests.Session()
        # No proxy stands between this machine and itself.
        self._session.trust_env = urlsplit(self.address).hostname not in ("127.0.0.1", "localhost", "::1")
        self._session.auth = _Token(self.address, token, self._session)

    def __enter__(self) -> LabelStudioClient:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Give back the connections."""
        self._session.close()

    def find_project(self, title: str) -> ReviewProject | None:
        """Return the oldest project of exactly that title, or None."""
        found = [each for each in self._pages("/api/projects/", "results") if each.get("title") == title]
        return min((self._project(each) for each in found), key=lambda project: project.id, default=None)

    def make_project(self, title: str, labelling_configuration: str) -> ReviewProject:
        """Make a project; several reviewers share its tasks, in the order in which they were added."""
        wanted = {"title": title, "label_config": labelling_configuration, "sampling": "Sequential sampling"}
        return self._project(self._ask("POST", "/api/projects/", json=wanted))

    def play_from(self, project: ReviewProject, folder: Path) -> None:
        """Let the project play sound from a folder of the server's own machine, below its document root."""
        known = self._ask("GET", "/api/storages/localfiles/", params={"project": project.id})
        if not any(storage["path"] == str(folder) for storage in known):
            storage = {"project": project.id, "path": str(folder), "title": "sound", "use_blob_urls": False}
            self._ask("POST", "/api/storages/localfiles/", json=storage)

    def upload(self, project: ReviewProject, path: Path) -> str:
        """Send a sound file; returns where the server's pages play it from."""
        with path.open("rb") as file:
            made = self._ask(
                "POST",
                f"/api/projects/{project.id}/import",
                params={"commit_to_project": "false"},
                files={"file": (path.name, file)},
            )
        (number,) = made["file_upload_ids"]
        return f"/data/{self._ask('GET', f'/api/import/file-upload/{number}')['file']}"

    def task_data(self, project: ReviewProject) -> Iterator[Mapping[str, Any]]:
        """Yield the `data` of every task."""
        for task in self._tasks(project, "task_only", {"ordering": ["tasks:id"]}):
            yield task["data"]

    def add_tasks(self, project: ReviewProject, tasks: Sequence[Mapping[str, Any]]) -> None:
        """Import tasks with their predictions."""
        self._ask("POST", f"/api/projects/{project.id}/import", json=list(tasks))

    def changed_tasks(self, project: ReviewProject, since: str) -> list[dict[str, Any]]:
        """Return tasks that changed after `since` (the server's `updated_at`; empty: all), and some before, with their annotations.

        An annotation that is made, changed or removed changes its task. A reviewer is named by the e-mail address.
        Fields that count time until now are left out, so that what did not change reads the same.
        """
        query: dict[str, Any] = {"ordering": ["-tasks:updated_at"]}
        if since:
            after = f"{datetime.datetime.fromisoformat(since) - _OVERLAP:%Y-%m-%dT%H:%M:%S.%fZ}"
            changed = {"filter": "filter:tasks:updated_at", "operator": "greater", "type": "Datetime", "value": after}
            query["filters"] = {"conjunction": "and", "items": [changed]}
        # The newest first: what changes while pages are read moves to the front, and nothing falls between two pages.
        found = {task["id"]: task for task in self._tasks(project, "all", query)}
        people = {user["id"]: user["email"] for user in self._ask("GET", "/api/users/")} if found else {}
        return [_kept(task, people) for _, task in sorted(found.items())]

    def _tasks(self, project: ReviewProject, fields: str, query: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
        params = {"project": project.id, "fields": fields, "query": json.dumps(query)}
        return self._pages("/api/tasks/", "tasks", params, total="total")

    def _pages(
        self, path: str, rows: str, params: Mapping[str, Any] | None = None, *, total: str = "count"
    ) -> Iterator[dict[str, Any]]:
        number, seen = 1, 0
        while True:
            page = self._ask("GET", path, params={**(params or {}), "page": number, "page_size": _PAGE})
            if not isinstance(page, dict) or not {rows, total} <= page.keys():
                raise LabelStudioError(
                    f"what answers at {self.address} is no Label Studio 1.23: {path} has no {rows!r}"
                )
            yield from page[rows]
            number, seen = number + 1, seen + len(page[rows])
            if not page[rows] or seen >= page[total]:
                return

    def _project(self, found: Mapping[str, Any]) -> ReviewProject:
        return ReviewProject(
            id=found["id"],
            address=f"{self.address}/projects/{found['id']}/data",
            tasks=found.get("task_number") or 0,
            answered=found.get("num_tasks_with_annotations") or 0,
            configuration=found.get("label_config") or "",
        )

    def _ask(self, method: str, path: str, **content: Any) -> Any:
        import requests

        try:
            reply = self._session.request(
                method, f"{self.address}{path}", timeout=_TIMEOUT_S, allow_redirects=False, **content
            )
        except requests.RequestException as error:
            raise LabelStudioUnreachable(
                f"Label Studio does not answer at {self.address} ({type(error).__name__}): start it, on this machine with "
                "`make label-studio`"
            ) from error
        if reply.status_code in (401, 403):
            raise LabelStudioError(
                f"Label Studio at {self.address} does not accept the token (status {reply.status_code}): set "
                "STT_LABEL_STUDIO_TOKEN to a personal access token of your account there, or, where it is the server of "
                "`make label-studio`, start that anew"
            )
        try:
            reply.raise_for_status()
            return reply.json()
        except requests.RequestException as error:
            said = " ".join(reply.text.split())[:_MAX_QUOTED]
            raise LabelStudioError(
                f"{method} {path} at {self.address} ended with status {reply.status_code}, and not as Label Studio "
                f"1.23 answers: {said or 'nothing was said'}"
            ) from error


class _Token:
    """Tokens of the older kind are sent as they are; a personal access token (a JWT) buys one for a few minutes."""

    def __init__(self, address: str, token: str, session: requests.Session) -> None:
        self._address, self._token, self._session = address, token, session
        self._access, self._until_s = "", 0.0

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        if self._token.count(".") != 2:
            request.headers["Authorization"] = f"Token {self._token}"
            return request
        if time.monotonic() > self._until_s:
            reply = self._session.post(
                f"{self._address}/api/token/refresh/",
                json={"refresh": self._token},
                auth=_nobody,
                timeout=_TIMEOUT_S,
                allow_redirects=False,
            )
            # Where it is refused, so is the request that follows, and that one is reported.
            self._access = reply.json().get("access", "") if reply.ok else ""
            self._until_s = time.monotonic() + _ACCESS_S
        request.headers["Authorization"] = f"Bearer {self._access}"
        return request


def _nobody(request: requests.PreparedRequest) -> requests.PreparedRequest:
    return request


def _kept(task: Mapping[str, Any], people: Mapping[int, str]) -> dict[str, Any]:
    annotations: Iterable[Mapping[str, Any]] = task.get("annotations") or []
    return {
        "id": task["id"],
        "project": task.get("project"),
        "updated_at": task["updated_at"],
        "data": task["data"],
        "annotations": [
            {name: each[name] for name in _KEPT_OF_ANNOTATION if name in each}
            | {"completed_by": _person(each.get("completed_by"), people)}
            for each in sorted(annotations, key=lambda each: each["id"])
        ],
        "predictions": [
            {name: each[name] for name in _KEPT_OF_PREDICTION if name in each}
            for each in task.get("predictions") or []
            if isinstance(each, Mapping)
        ],
    }


def _person(number: Any, people: Mapping[int, str]) -> Any:
    return {"id": number, "email": people[number]} if number in people else number
