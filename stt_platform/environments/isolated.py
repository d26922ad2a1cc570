"""An isolated environment by its name: what it is made of, and how its functions are called."""

import hashlib
import re
import tomllib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stt_platform.environments.build import Recipe, built
from stt_platform.environments.session import Progress, Session
from stt_platform.errors import PlatformError
from stt_platform.settings import repository

_NAME = re.compile(r"[a-z][a-z0-9_]{0,40}")


@dataclass(frozen=True)
class IsolatedEnvironment:
    """A locked Python environment with a worker in it.

    Args:
        name: what errors and progress call it.
        folder: holds `worker.py` and, where there is more to say, `environment.toml`.
        locks: the folder of `requirements-<name>.lock` and of the other locks that `environment.toml` names.
        built_in: the folder that environments are built in; this one gets a folder of its own there.
    """

    name: str
    folder: Path
    locks: Path
    built_in: Path

    @property
    def identity(self) -> str:
        """Changes when anything does that decides what comes out: its packages, or the worker."""
        worker = hashlib.sha256((self.folder / "worker.py").read_bytes()).hexdigest()
        return f"{self.name}@{self._recipe().key()}.{worker[:16]}"

    @property
    def is_built(self) -> bool:
        """Whether it is there for these lock files, so that a call needs no network."""
        recipe = self._recipe()
        return (self.built_in / self.name / recipe.key() / "bin" / "python").exists()

    def ensure(self, progress: Callable[[str], None] | None = None) -> Path:
        """Build the environment unless it is there for these lock files; returns its folder.

        `progress` is called with lines for people. Of two processes that ask at once one builds and the other
        waits. Raises `EnvironmentNotBuilt` with the remedy; nothing half-built is ever used.
        """
        with built(self._recipe(), self.built_in / self.name, progress) as folder:
            return folder

    def call(self, function: str, request: dict[str, Any], *, progress: Progress | None = None, **options: Any) -> Any:
        """Run one function of the worker in a process of its own, building the environment first where needed.

        Several calls go faster through one `session()`. Arguments, result and errors as `Session.call`; `progress`
        is also called with the lines (texts) of the building.
        """
        with self.session(progress) as session:
            return session.call(function, request, progress=progress, **options)

    @contextmanager
    def session(self, progress: Callable[[str], None] | None = None) -> Iterator[Session]:
        """A worker process that is kept for several calls, because loading its libraries may take long.

        However the body ends, and however this process ends, the worker and all that it started are killed.
        """
        with (
            built(self._recipe(), self.built_in / self.name, progress) as folder,
            Session(self.name, folder, self.folder / "worker.py") as session,
        ):
            yield session

    def _recipe(self) -> Recipe:
        described: dict[str, Any] = {}
        description = self.folder / "environment.toml"
        if description.exists():
            described = tomllib.loads(description.read_text(encoding="utf-8"))
        return Recipe(
            name=self.name,
            about=described.get("about", ""),
            lock=self.locks / f"requirements-{self.name}.lock",
            unpacked={folder: self.locks / lock for folder, lock in sorted(described.get("unpacked", {}).items())},
            sources=self.locks / described["sources"] if "sources" in described else None,
        )


def environment_names() -> list[str]:
    """Return the environments that the platform has."""
    return sorted(worker.parent.name for worker in Path(__file__).parent.glob("*/worker.py"))


def environment(name: str) -> IsolatedEnvironment:
    """Return the environment of that name, built in `.tools/environments` of the checkout."""
    if not _NAME.fullmatch(name) or name not in environment_names():
        raise PlatformError(
            f"there is no isolated environment {name!r}; choose one of {', '.join(environment_names())}"
        )
    return IsolatedEnvironment(
        name=name,
        folder=Path(__file__).parent / name,
        locks=repository(),
        built_in=repository() / ".tools" / "environments",
    )
