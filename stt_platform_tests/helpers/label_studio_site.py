"""A Label Studio on loopback, as much of it as the platform speaks with; the real one is in the browser test."""

import copy
import datetime
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

TOKEN = "a" * 40
PERSONAL_TOKEN = "head.body.signature"


@dataclass
class Site:
    """What the server holds. `refusals` are statuses by path, `requests` what was asked, with its credentials."""

    address: str = ""
    projects: dict[int, dict[str, Any]] = field(default_factory=dict)
    tasks: dict[int, dict[str, Any]] = field(default_factory=dict)
    storages: list[dict[str, Any]] = field(default_factory=list)
    uploads: list[bytes] = field(default_factory=list)
    refusals: dict[str, tuple[int, str]] = field(default_factory=dict)
    requests: list[tuple[str, str, str]] = field(default_factory=list)
    seconds: int = 0

    def now(self) -> str:
        """A time that grows by a second with each call."""
        self.seconds += 1
        return f"2024-03-10T10:{self.seconds // 60:02}:{self.seconds % 60:02}.000000Z"

    def answer(self, task: int, text: str, *, cancelled: bool = False) -> None:
        """A reviewer submits a text; the latest one of a task is changed where there is one."""
        held, at = self.tasks[task], self.now()
        value = {"from_name": "transcription", "to_name": "audio", "type": "textarea", "value": {"text": [text]}}
        new = {"id": 100 + task, "completed_by": 7, "created_at": at, "created_ago": "0 minutes", "lead_time": 4.0}
        annotation = held["annotations"][0] if held["annotations"] else new
        annotation |= {"result": [value], "was_cancelled": cancelled, "updated_at": at}
        held |= {"annotations": [annotation], "updated_at": at}

    def withdraw(self, task: int) -> None:
        """The annotations of a task are removed."""
        self.tasks[task] |= {"annotations": [], "updated_at": self.now()}

    def asked(self, method: str) -> list[str]:
        """The paths that were asked with a method."""
        return [path for found, path, _ in self.requests if found == method]


@contextmanager
def serving(site: Site | None = None) -> Iterator[Site]:
    """Serve it at `site.address` while the body runs."""
    site = site or Site()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._answer("GET", None)

        def do_POST(self) -> None:
            self._answer("POST", self.rfile.read(int(self.headers.get("Content-Length") or 0)))

        def _answer(self, method: str, content: bytes | None) -> None:
            parts = urlsplit(self.path)
            asked = {name: values[-1] for name, values in parse_qs(parts.query).items()}
            site.requests.append((method, parts.path, self.headers.get("Authorization", "")))
            status, reply = self._refused(parts.path) or _reply(site, method, parts.path, asked, content)
            data = reply.encode() if isinstance(reply, str) else json.dumps(reply).encode()
            self.send_response(status)
            if status == 302:
                self.send_header("Location", "/elsewhere")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def _refused(self, path: str) -> tuple[int, Any] | None:
            if path in site.refusals:
                return site.refusals[path]
            known = {f"Token {TOKEN}", "Bearer bought"}
            open_to_all = path == "/api/token/refresh/"
            return None if open_to_all or self.headers.get("Authorization") in known else (401, {"detail": "who?"})

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    site.address = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield site
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _reply(site: Site, method: str, path: str, asked: dict[str, str], content: bytes | None) -> tuple[int, Any]:
    match method, path:
        case "POST", "/api/token/refresh/":
            bought = json.loads(content)["refresh"] == PERSONAL_TOKEN
            return (200, {"access": "bought"}) if bought else (401, {"detail": "no"})
        case "GET", "/api/projects/":
            return 200, _page(
                [_counted(site, project) for project in site.projects.values()], "results", "count", asked
            )
        case "POST", "/api/projects/":
            made = {"id": len(site.projects) + 1, **json.loads(content)}
            site.projects[made["id"]] = made
            return 201, _counted(site, made)
        case "GET", "/api/storages/localfiles/":
            return 200, [each for each in site.storages if each["project"] == int(asked["project"])]
        case "POST", "/api/storages/localfiles/":
            site.storages.append(json.loads(content))
            return 201, site.storages[-1]
        case "GET", "/api/users/":
            return 200, [{"id": 7, "email": "ann@example.org"}]
        case "GET", "/api/tasks/":
            return 200, _page(_tasks(site, asked), "tasks", "total", asked)
    if method == "POST" and (found := re.fullmatch(r"/api/projects/(\d+)/import", path)):
        return _import(site, int(found[1]), asked, content)
    if method == "GET" and (found := re.fullmatch(r"/api/import/file-upload/(\d+)", path)):
        return 200, {"file": f"upload/1/00000000-{found[1]}.flac"}
    return 404, "<!doctype html> not here"


def _import(site: Site, project: int, asked: dict[str, str], content: bytes) -> tuple[int, Any]:
    if asked.get("commit_to_project") == "false":
        site.uploads.append(content)
        return 201, {"file_upload_ids": [len(site.uploads)]}
    for task in json.loads(content):
        number, at = len(site.tasks) + 1, site.now()
        predictions = [
            {"id": number, "created_at": at, "created_ago": "0 minutes", **each} for each in task["predictions"]
        ]
        made = {"id": number, "project": project, "data": task["data"], "updated_at": at}
        site.tasks[number] = {**made, "annotations": [], "predictions": predictions}
    return 201, {"task_count": len(site.tasks)}


def _tasks(site: Site, asked: dict[str, str]) -> list[dict[str, Any]]:
    query = json.loads(asked["query"])
    found = [task for task in site.tasks.values() if task["project"] == int(asked["project"])]
    for item in query.get("filters", {}).get("items", []):
        assert (item["filter"], item["operator"]) == ("filter:tasks:updated_at", "greater")
        # The real one takes no other way of writing a time.
        datetime.datetime.strptime(item["value"], "%Y-%m-%dT%H:%M:%S.%fZ")
        found = [task for task in found if task["updated_at"] > item["value"]]
    (order,) = query["ordering"]
    name = order.removeprefix("-").removeprefix("tasks:")
    return copy.deepcopy(sorted(found, key=lambda task: task[name], reverse=order.startswith("-")))


def _page(rows: list[Any], name: str, total: str, asked: dict[str, str]) -> dict[str, Any]:
    size, number = int(asked["page_size"]), int(asked["page"])
    return {name: rows[size * (number - 1) : size * number], total: len(rows)}


def _counted(site: Site, project: dict[str, Any]) -> dict[str, Any]:
    tasks = [task for task in site.tasks.values() if task["project"] == project["id"]]
    answered = sum(any(not each["was_cancelled"] for each in task["annotations"]) for task in tasks)
    return {**project, "task_number": len(tasks), "num_tasks_with_annotations": answered}
