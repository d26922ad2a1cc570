"""`stt label-studio`: the server of Label Studio on this machine, until Ctrl-C."""

import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rich.console import Console

from stt_platform.environments import environment
from stt_platform.errors import PlatformError
from stt_platform.settings import LabelStudioSettings
from stt_platform.store.label_studio_folder import USER, own_server
from stt_platform.web.label_studio_reviews import server_address


def serve_label_studio(home: Path, settings: LabelStudioSettings, console: Console) -> None:
    """Build the environment where needed, and serve; what is said names the files with secrets, and no secret."""
    if settings.url:
        raise PlatformError(
            f"the setting label_studio.url names another server ({settings.url}): corrections come from there. Remove it to "
            "use one on this machine"
        )
    _check_free(settings.port)
    own = own_server(home, settings)
    request = {
        "port": settings.port,
        "data": str(own.data),
        "served": str(own.served),
        "user": USER,
        "password": own.password,
        "token": own.token,
    }
    console.print("Starting Label Studio; the first time takes a minute.")
    say = _teller(settings, own.password_file, console)
    with environment("label_studio").session(say) as session:
        session.call("serve", request, progress=say)


def _teller(settings: LabelStudioSettings, password_file: Path, console: Console) -> Callable[[Any], None]:
    def tell(report: Any) -> None:
        if isinstance(report, str):
            console.print(report, markup=False)
            return
        console.print(f"Label Studio:  {server_address(settings)}")
        console.print(f"Sign in as {USER}; the password is in {password_file}", markup=False)
        console.print("Tasks and answers are exchanged while `make ui` runs too. Ctrl-C stops the server.")

    return tell


def _check_free(port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            raise PlatformError(
                f"port {port} is in use: is Label Studio running already? Else choose another, "
                f"e.g. STT_LABEL_STUDIO__PORT={port + 100}"
            ) from error
