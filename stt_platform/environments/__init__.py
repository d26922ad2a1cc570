"""Packages that cannot share the platform's environment: each in a locked environment of its own, called as a process.

An environment is a folder here with `worker.py` (its public functions are what can be called; they run inside the
isolated Python, with the standard library and that environment's packages only) and `environment.toml`, and the lock
files that it names by their place at the root of the repository. It is built on first use.
"""

from stt_platform.environments.build import EnvironmentNotBuilt
from stt_platform.environments.isolated import IsolatedEnvironment, environment, environment_names
from stt_platform.environments.session import IsolatedError, Session

__all__ = [
    "EnvironmentNotBuilt",
    "IsolatedEnvironment",
    "IsolatedError",
    "Session",
    "environment",
    "environment_names",
]
