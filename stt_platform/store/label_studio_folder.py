"""Label Studio's places in `STT_HOME`: its database, the sound that it may play, its secrets, what was answered there.

`label-studio/` is the own server's folder, for its owner only. `review/label-studio/audio/` holds the sound of every chunk
that was ever asked about, and is all that the server can play.
"""

import json
import os
import re
import secrets
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stt_platform.errors import PlatformError
from stt_platform.feedback.tools.base import ReviewTask
from stt_platform.feedback.tools.label_studio import audio_file_name
from stt_platform.machine.files import atomic_path, link_atomically, write_atomically
from stt_platform.settings import LabelStudioSettings

TOKEN_VARIABLE = "STT_LABEL_STUDIO_TOKEN"  # noqa: S105
USER = "reviewer@localhost"
"""Who signs in to the server of `make label-studio`."""

_OWN_TOKEN = re.compile(r"[A-Za-z0-9]{20,40}")


@dataclass(frozen=True)
class OwnServer:
    """What the server of `make label-studio` is started with; the password is for people, and in `password_file`."""

    data: Path
    served: Path
    password: str
    password_file: Path
    token: str


def own_server(home: Path, settings: LabelStudioSettings) -> OwnServer:
    """Return the places and secrets of the own server; what is missing is made, and readable for its owner only."""
    data = _own_folder(home)
    data.mkdir(parents=True, exist_ok=True)
    data.chmod(0o700)
    audio_folder(home).mkdir(parents=True, exist_ok=True)
    password_file = data / "password"
    return OwnServer(
        data=data,
        served=audio_folder(home).parent,
        password=_secret(password_file, lambda: secrets.token_urlsafe(12)),
        password_file=password_file,
        token=access_token(home, settings) or _secret(_token_file(home), lambda: secrets.token_hex(20)),
    )


def access_token(home: Path, settings: LabelStudioSettings) -> str | None:
    """Return the token for the server of the settings: from the environment, or that of the own one; None where there is none."""
    given = os.environ.get(TOKEN_VARIABLE, "").strip()
    if settings.url:
        return given or None
    if given and not _OWN_TOKEN.fullmatch(given):
        raise PlatformError(
            f"{TOKEN_VARIABLE} is no token for the server of `make label-studio`: unset it, and one is made, or use 20 to 40 "
            "letters and digits. For another server, its address belongs into the setting label_studio.url"
        )
    file = _token_file(home)
    return given or (file.read_text(encoding="ascii").strip() if file.exists() else None)


def audio_folder(home: Path) -> Path:
    """Return the sound that the own server may play."""
    return home / "review" / "label-studio" / "audio"


def offer_audio(home: Path, tasks: Iterable[ReviewTask]) -> dict[str, Path]:
    """Put the sound of tasks (`audio` relative to `home`) where it is played from; returns the places by chunk.

    What is gone is left out: a sermon may have been removed meanwhile.
    """
    offered = {}
    for task in tasks:
        if (home / task.audio).is_file():
            offered[task.chunk_id] = audio_folder(home) / audio_file_name(task)
            link_atomically(home / task.audio, offered[task.chunk_id])
    return offered


def kept_answers(path: Path) -> dict[int, dict[str, Any]] | None:
    """Return the tasks in a file of answers by their number; None where there is no such file, or it cannot be read."""
    try:
        return {task["id"]: task for task in json.loads(path.read_bytes())}
    except (OSError, ValueError, KeyError, TypeError):
        return None


def keep_answers(path: Path, kept: Mapping[int, dict[str, Any]], changed: Iterable[dict[str, Any]]) -> bool:
    """Put changed tasks in the place of those in the file, which holds the latest state of each; whether it changed.

    A task whose annotations were all removed leaves the file.
    """
    merged = {**kept, **{task["id"]: task for task in changed}}
    answered = [task for _, task in sorted(merged.items()) if task["annotations"]]
    content = json.dumps(answered, ensure_ascii=False, indent=1).encode()
    if (not answered and not path.exists()) or (path.exists() and path.read_bytes() == content):
        return False
    write_atomically(path, content)
    return True


def _own_folder(home: Path) -> Path:
    return home / "label-studio"


def _token_file(home: Path) -> Path:
    return _own_folder(home) / "token"


def _secret(path: Path, make: Callable[[], str]) -> str:
    if not path.exists():
        with atomic_path(path) as temporary:
            temporary.touch(mode=0o600, exist_ok=False)
            temporary.write_text(make(), encoding="ascii")
    return path.read_text(encoding="ascii").strip()
