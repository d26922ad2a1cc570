"""The web application of the platform's own pages: sermons with sound, verse pairs, glossary, evaluations, trainings.

It only reads, it answers this machine only, and nothing from an address becomes a path unchecked.
"""

import math
import re
import socket
from collections.abc import Callable
from functools import partial
from http import HTTPStatus
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, JSONResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from stt_platform.audio import SAMPLE_RATE_HZ
from stt_platform.evaluation.report_templates import fill
from stt_platform.pages.evaluation_data import evaluation_overview, served_report
from stt_platform.pages.scripture_data import (
    NoSuchPlace,
    Place,
    chapter_view,
    glossary_terms,
    place_of,
    scripture_counts,
    scripture_overview,
)
from stt_platform.pages.sermon_data import (
    ORIGINAL_VIEW,
    Sound,
    funnel_of,
    list_sermons,
    sermon_details,
    sermon_exists,
    sound_of,
)
from stt_platform.pages.sound_pictures import overview_picture, window_picture
from stt_platform.pages.training_data import training_overview
from stt_platform.store.names import is_sermon_key

_STATIC = Path(__file__).parent / "static"
_PAGES = Path(__file__).parent / "pages"
_LOOPBACK = ("127.0.0.1", "localhost")
_VIEW = re.compile(r"[a-z][a-z0-9_]{0,40}")
_MAX_WINDOW_S = 120.0
_WIDTHS_PX = (16, 4000)

_STATIC_PAGES = {
    "/": "sermons.html",
    "/glossary": "glossary.html",
    "/evaluation": "evaluation.html",
    "/training": "training.html",
}
_DATA: dict[str, Callable[[Path], Any]] = {
    "/api/sermons": lambda home: {"sermons": list_sermons(home)},
    "/api/funnel": lambda home: {"steps": funnel_of(home)},
    "/api/scripture/counts": scripture_counts,
    "/api/glossary": lambda home: {"terms": glossary_terms(home)},
    "/api/evaluation": evaluation_overview,
    "/api/training": training_overview,
}
_DATA_OF_SERMON: dict[str, Callable[[Path, str], Any]] = {
    "/api/sermon/{sermon}": sermon_details,
    "/api/funnel/{sermon}": lambda home, key: {"steps": funnel_of(home, key)},
}
_DATA_OF_PLACE: dict[str, tuple[str, Callable[[Path, Place], Any]]] = {
    "/api/scripture": ("overview", scripture_overview),
    "/api/scripture/chapter": ("chapter", chapter_view),
}

_SECURITY_HEADERS = (
    (
        b"content-security-policy",
        b"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; media-src 'self'; "
        b"connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    ),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
)

_KEPT_BY_BROWSER = {"cache-control": "private, max-age=86400, immutable"}
_ASKED_AGAIN = {"cache-control": "no-cache"}


class _SecurityHeaders:
    """Adds the security headers to every answer, errors included. A header that an answer has already is kept."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = list(message.get("headers", ()))
                own = {name for name, _ in headers}
                message["headers"] = headers + [header for header in _SECURITY_HEADERS if header[0] not in own]
            await send(message)

        await self._app(scope, receive, send_with_headers)


def create_app(home: Path) -> Starlette:
    """Return the application over the store and the sermons below `home` (`STT_HOME`)."""
    app = Starlette(
        routes=[
            *(Route(path, partial(_page_of, name=name)) for path, name in _STATIC_PAGES.items()),
            *(Route(path, partial(_data_of, read=read)) for path, read in _DATA.items()),
            *(Route(path, partial(_data_of_sermon, read=read)) for path, read in _DATA_OF_SERMON.items()),
            *(
                Route(path, partial(_data_of_place, name=name, read=read))
                for path, (name, read) in _DATA_OF_PLACE.items()
            ),
            Route("/sermon/{sermon}", _sermon_page),
            Route("/scripture", _scripture_page),
            Route("/evaluation/{name}", _report),
            Route("/audio/{sermon}", _audio),
            Route("/spectrogram/{sermon}.png", _window),
            Route("/overview/{sermon}.png", _overview),
            Mount("/static", StaticFiles(directory=_STATIC)),
        ],
        middleware=[
            Middleware(_SecurityHeaders),
            # A page elsewhere that points its own name at 127.0.0.1 must not be able to read this one.
            Middleware(TrustedHostMiddleware, allowed_hosts=list(_LOOPBACK), www_redirect=False),
        ],
        exception_handlers={HTTPException: _error, Exception: _crash},
    )
    app.state.home = home
    return app


def serve(home: Path, host: str = "127.0.0.1", port: int = 3001, announce: Callable[[str], None] = print) -> None:
    """Serve the listening page until interrupted. `port` 0 takes a free one; `announce` is told the address.

    Raises `ValueError` for a host that is not this machine, `OSError` when the port is taken.
    """
    import uvicorn

    if host not in _LOOPBACK:
        raise ValueError(
            f"host = {host!r}: the listening page has no passwords and is for this machine only; use 127.0.0.1"
        )
    try:
        listener = socket.create_server((host, port))
    except OSError as error:
        raise OSError(
            error.errno,
            f"port {port} of {host} cannot be used ({error.strerror}). If the listening page already runs, open "
            f"http://{host}:{port}; else choose another port (setting ui.listening_port)",
        ) from error
    with listener:
        announce(f"Listening page: http://{host}:{listener.getsockname()[1]}")
        server = uvicorn.Server(uvicorn.Config(create_app(home), log_level="warning", server_header=False))
        server.run(sockets=[listener])


def _page_of(_: Request, name: str) -> Response:
    return HTMLResponse((_PAGES / name).read_text(encoding="utf-8"), headers=_ASKED_AGAIN)


def _data_of(request: Request, read: Callable[[Path], Any]) -> Response:
    return JSONResponse(read(_home(request)), headers=_ASKED_AGAIN)


def _data_of_sermon(request: Request, read: Callable[[Path, str], Any]) -> Response:
    return JSONResponse(read(_home(request), _known_sermon(request)), headers=_ASKED_AGAIN)


def _data_of_place(request: Request, name: str, read: Callable[[Path, Place], Any]) -> Response:
    place = _place(request)
    return JSONResponse({name: place and read(_home(request), place)}, headers=_ASKED_AGAIN)


def _sermon_page(request: Request) -> Response:
    _known_sermon(request)
    return _page_of(request, "sermon.html")


def _scripture_page(request: Request) -> Response:
    _place(request)
    return _page_of(request, "scripture.html")


def _report(request: Request) -> Response:
    found = served_report(_home(request), request.path_params["name"], back="/evaluation")
    if found is None:
        raise HTTPException(
            HTTPStatus.NOT_FOUND,
            "There is no report of that name. It may have been removed; the page of the evaluations lists all.",
        )
    page, policy = found
    return HTMLResponse(page, headers={**_ASKED_AGAIN, "content-security-policy": policy})


def _audio(request: Request) -> Response:
    # FileResponse answers Range requests, which a browser needs to jump within a recording.
    return FileResponse(_sound(request).audio, media_type="audio/wav", headers=_ASKED_AGAIN)


def _window(request: Request) -> Response:
    sound = _sound(request)
    start_s, end_s = _number(request, "start_s"), _number(request, "end_s")
    if not 0 <= start_s < end_s <= start_s + _MAX_WINDOW_S:
        raise HTTPException(
            HTTPStatus.BAD_REQUEST,
            f"start_s={start_s:g}, end_s={end_s:g}: ask for a part that starts at 0 or later, "
            f"ends after it starts, and lasts {_MAX_WINDOW_S:g} seconds at most.",
        )
    start_sample, end_sample = round(start_s * SAMPLE_RATE_HZ), round(end_s * SAMPLE_RATE_HZ)
    picture = window_picture(sound.audio, sound.overview, start_sample, end_sample, _width(request))
    if picture is None:
        raise HTTPException(HTTPStatus.NOT_FOUND, f"The recording ends before {start_s:g} seconds.")
    return Response(picture, media_type="image/png", headers=_KEPT_BY_BROWSER)


def _overview(request: Request) -> Response:
    picture = overview_picture(_sound(request).overview, _width(request))
    return Response(picture, media_type="image/png", headers=_KEPT_BY_BROWSER)


def _home(request: Request) -> Path:
    return request.app.state.home


def _place(request: Request) -> Place | None:
    try:
        return place_of(_home(request), request.query_params)
    except NoSuchPlace as error:
        raise HTTPException(HTTPStatus.NOT_FOUND, str(error)) from None


def _known_sermon(request: Request) -> str:
    key = _sermon_of(request)
    if not sermon_exists(_home(request), key):
        raise HTTPException(
            HTTPStatus.NOT_FOUND,
            f"There is no sermon with the key {key}. It may have been removed, or not been ingested yet.",
        )
    return key


def _sermon_of(request: Request) -> str:
    key = request.path_params["sermon"]
    if not (key.isascii() and is_sermon_key(key)):
        raise HTTPException(
            HTTPStatus.NOT_FOUND,
            "That is not the key of a sermon. A key looks like 2024-03-17--the-good-shepherd.",
        )
    return key


def _view_of(request: Request) -> str:
    view = request.query_params.get("view", ORIGINAL_VIEW)
    if not _VIEW.fullmatch(view):
        raise HTTPException(HTTPStatus.BAD_REQUEST, "view: give the name of a view, for example original.")
    return view


def _sound(request: Request) -> Sound:
    key, view = _sermon_of(request), _view_of(request)
    sound = sound_of(_home(request), key, view)
    if sound is None:
        raise HTTPException(HTTPStatus.NOT_FOUND, f"The sermon {key} has no sound to play in the view {view} (yet).")
    return sound


def _number(request: Request, name: str) -> float:
    text = request.query_params.get(name, "")
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise HTTPException(HTTPStatus.BAD_REQUEST, f"{name} is missing or not a number of seconds.")
    return value


def _width(request: Request) -> int:
    text = request.query_params.get("width", "")
    lowest, highest = _WIDTHS_PX
    if not re.fullmatch(r"[0-9]{1,5}", text) or not lowest <= int(text) <= highest:
        raise HTTPException(HTTPStatus.BAD_REQUEST, f"width: give whole pixels from {lowest} to {highest}.")
    return int(text)


def _error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    detail = error.detail
    if detail == HTTPStatus(error.status_code).phrase:
        detail = "There is no page at this address." if error.status_code == 404 else detail
    if _wants_page(request):
        heading = "Not found" if error.status_code == 404 else "That did not work"
        return _message_page(heading, detail, error.status_code)
    return JSONResponse({"error": detail}, status_code=error.status_code, headers=error.headers)


def _crash(request: Request, error: Exception) -> Response:
    detail = "Something went wrong inside the listening page. The window in which it runs shows what."
    page = _wants_page(request)
    response = (
        _message_page("Something went wrong", detail, 500) if page else JSONResponse({"error": detail}, status_code=500)
    )
    # This answer is made outside of the middleware.
    response.raw_headers.extend(_SECURITY_HEADERS)
    return response


def _wants_page(request: Request) -> bool:
    return not request.url.path.startswith(("/api/", "/audio/", "/spectrogram/", "/overview/", "/static/"))


def _message_page(heading: str, message: str, status_code: int) -> HTMLResponse:
    return HTMLResponse(fill(_PAGES / "message.html", heading=heading, message=message), status_code=status_code)
