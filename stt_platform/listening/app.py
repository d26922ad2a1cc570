"""The web application of the platform's own pages: sermons with sound, verse pairs, glossary, evaluations, trainings.

It only reads, it answers this machine only, and nothing from an address becomes a path unchecked.
"""

import html
import math
import re
import socket
from collections.abc import Callable
from http import HTTPStatus
from pathlib import Path
from string import Template

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
from stt_platform.listening.evaluation_data import evaluation_overview, served_report
from stt_platform.listening.pictures import overview_picture, window_picture
from stt_platform.listening.scripture_data import (
    NoSuchPlace,
    Place,
    chapter_view,
    glossary_terms,
    place_of,
    scripture_counts,
    scripture_overview,
)
from stt_platform.listening.sermon_data import (
    ORIGINAL_VIEW,
    Sound,
    funnel_of,
    list_sermons,
    sermon_details,
    sermon_exists,
    sound_of,
)
from stt_platform.listening.training_data import training_overview
from stt_platform.store.names import is_sermon_key

_STATIC = Path(__file__).parent / "static"
_PAGES = Path(__file__).parent / "pages"
_LOOPBACK = ("127.0.0.1", "localhost")
_VIEW = re.compile(r"[a-z][a-z0-9_]{0,40}")
_LONGEST_WINDOW_S = 120.0
_WIDTHS_PX = (16, 4000)

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
    """The listening page over the store and the sermons below `home` (`STT_HOME`)."""

    def sermon_list(request: Request) -> Response:
        return JSONResponse({"sermons": list_sermons(home)}, headers=_ASKED_AGAIN)

    def sermon(request: Request) -> Response:
        key = _sermon_of(request)
        details = sermon_details(home, key)
        if details is None:
            raise _unknown(key)
        return JSONResponse(details, headers=_ASKED_AGAIN)

    def funnel_of_all(request: Request) -> Response:
        return JSONResponse({"steps": funnel_of(home)}, headers=_ASKED_AGAIN)

    def funnel(request: Request) -> Response:
        key = _sermon_of(request)
        if not sermon_exists(home, key):
            raise _unknown(key)
        return JSONResponse({"steps": funnel_of(home, key)}, headers=_ASKED_AGAIN)

    def sermon_page(request: Request) -> Response:
        key = _sermon_of(request)
        if not sermon_exists(home, key):
            raise _unknown(key)
        return _page("sermon.html")

    def audio(request: Request) -> Response:
        # FileResponse answers Range requests, which a browser needs to jump within a recording.
        return FileResponse(_sound(home, request).audio, media_type="audio/wav", headers=_ASKED_AGAIN)

    def window(request: Request) -> Response:
        sound = _sound(home, request)
        start_s, end_s = _number(request, "start_s"), _number(request, "end_s")
        if not 0 <= start_s < end_s <= start_s + _LONGEST_WINDOW_S:
            raise HTTPException(
                HTTPStatus.BAD_REQUEST,
                f"start_s={start_s:g}, end_s={end_s:g}: ask for a part that starts at 0 or later, "
                f"ends after it starts, and lasts {_LONGEST_WINDOW_S:g} seconds at most.",
            )
        start_sample, end_sample = round(start_s * SAMPLE_RATE_HZ), round(end_s * SAMPLE_RATE_HZ)
        picture = window_picture(sound.audio, sound.overview, start_sample, end_sample, _width(request))
        if picture is None:
            raise HTTPException(HTTPStatus.NOT_FOUND, f"The recording ends before {start_s:g} seconds.")
        return Response(picture, media_type="image/png", headers=_KEPT_BY_BROWSER)

    def overview(request: Request) -> Response:
        picture = overview_picture(_sound(home, request).overview, _width(request))
        return Response(picture, media_type="image/png", headers=_KEPT_BY_BROWSER)

    def list_page(request: Request) -> Response:
        return _page("sermons.html")

    def scripture_page(request: Request) -> Response:
        _place(home, request)
        return _page("scripture.html")

    def scripture(request: Request) -> Response:
        place = _place(home, request)
        return JSONResponse({"overview": place and scripture_overview(home, place)}, headers=_ASKED_AGAIN)

    def chapter(request: Request) -> Response:
        place = _place(home, request)
        return JSONResponse({"chapter": place and chapter_view(home, place)}, headers=_ASKED_AGAIN)

    def counts(request: Request) -> Response:
        return JSONResponse(scripture_counts(home), headers=_ASKED_AGAIN)

    def glossary_page(request: Request) -> Response:
        return _page("glossary.html")

    def glossary(request: Request) -> Response:
        return JSONResponse({"terms": glossary_terms(home)}, headers=_ASKED_AGAIN)

    def evaluation_page(request: Request) -> Response:
        return _page("evaluation.html")

    def report(request: Request) -> Response:
        found = served_report(home, request.path_params["name"], back="/evaluation")
        if found is None:
            raise HTTPException(
                HTTPStatus.NOT_FOUND,
                "There is no report of that name. It may have been removed; the page of the evaluations lists all.",
            )
        page, policy = found
        return HTMLResponse(page, headers={**_ASKED_AGAIN, "content-security-policy": policy})

    def evaluation(request: Request) -> Response:
        return JSONResponse(evaluation_overview(home), headers=_ASKED_AGAIN)

    def training_page(request: Request) -> Response:
        return _page("training.html")

    def training(request: Request) -> Response:
        return JSONResponse(training_overview(home), headers=_ASKED_AGAIN)

    return Starlette(
        routes=[
            Route("/", list_page),
            Route("/sermon/{sermon}", sermon_page),
            Route("/api/sermons", sermon_list),
            Route("/api/sermon/{sermon}", sermon),
            Route("/api/funnel", funnel_of_all),
            Route("/api/funnel/{sermon}", funnel),
            Route("/scripture", scripture_page),
            Route("/glossary", glossary_page),
            Route("/api/scripture", scripture),
            Route("/api/scripture/chapter", chapter),
            Route("/api/scripture/counts", counts),
            Route("/api/glossary", glossary),
            Route("/evaluation", evaluation_page),
            Route("/evaluation/{name}", report),
            Route("/api/evaluation", evaluation),
            Route("/training", training_page),
            Route("/api/training", training),
            Route("/audio/{sermon}", audio),
            Route("/spectrogram/{sermon}.png", window),
            Route("/overview/{sermon}.png", overview),
            Mount("/static", StaticFiles(directory=_STATIC)),
        ],
        middleware=[
            Middleware(_SecurityHeaders),
            # A page elsewhere that points its own name at 127.0.0.1 must not be able to read this one.
            Middleware(TrustedHostMiddleware, allowed_hosts=list(_LOOPBACK), www_redirect=False),
        ],
        exception_handlers={HTTPException: _error, Exception: _crash},
    )


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


def _page(name: str) -> HTMLResponse:
    return HTMLResponse((_PAGES / name).read_text(encoding="utf-8"), headers=_ASKED_AGAIN)


def _place(home: Path, request: Request) -> Place | None:
    try:
        return place_of(home, request.query_params)
    except NoSuchPlace as error:
        raise HTTPException(HTTPStatus.NOT_FOUND, str(error)) from None


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


def _sound(home: Path, request: Request) -> Sound:
    key, view = _sermon_of(request), _view_of(request)
    sound = sound_of(home, key, view)
    if sound is None:
        raise HTTPException(HTTPStatus.NOT_FOUND, f"The sermon {key} has no sound to play in the view {view} (yet).")
    return sound


def _unknown(key: str) -> HTTPException:
    return HTTPException(
        HTTPStatus.NOT_FOUND,
        f"There is no sermon with the key {key}. It may have been removed, or not been ingested yet.",
    )


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
    template = Template((_PAGES / "message.html").read_text(encoding="utf-8"))
    filled = template.substitute(heading=html.escape(heading), message=html.escape(message))
    return HTMLResponse(filled, status_code=status_code)
