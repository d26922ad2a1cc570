"""A video site on loopback for the real yt-dlp: channels, pages, sound with byte ranges, captions, broken connections."""

import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

PLUGINS = Path(__file__).parent / "yt_dlp_plugins_for_tests"


@dataclass
class Site:
    """What the site serves. Pages are JSON by path, files are bytes by path.

    `cuts` says after how many bytes of a file the connection breaks, and how often. `requests` are paths with
    their `Range`.
    """

    address: str = ""
    pages: dict[str, Any] = field(default_factory=dict)
    files: dict[str, bytes] = field(default_factory=dict)
    cuts: dict[str, list[int]] = field(default_factory=dict)
    refusals: dict[str, int] = field(default_factory=dict)
    requests: list[tuple[str, str | None]] = field(default_factory=list)

    def ranges(self, path: str) -> list[str | None]:
        """The `Range` of each request for a file."""
        return [asked for found, asked in self.requests if found == path]


def load_plugins() -> None:
    """Make yt-dlp know the site, by its own plugin mechanism."""
    from yt_dlp import globals, plugins

    globals.plugin_dirs.value = [str(PLUGINS.parent)]
    plugins.load_all_plugins()


@contextmanager
def serving(site: Site) -> Iterator[Site]:
    """Serve the site at `site.address` while the body runs."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked = self.headers.get("Range")
            site.requests.append((self.path, asked))
            if site.refusals.get(self.path):
                self.send_error(site.refusals[self.path])
            elif self.path in site.pages:
                self._send(json.dumps(site.pages[self.path]).encode(), "application/json")
            elif self.path in site.files:
                self._send_file(site.files[self.path], asked)
            else:
                self.send_error(404)

        def do_HEAD(self) -> None:
            self.do_GET()

        def _send(self, data: bytes, kind: str) -> None:
            self.send_response(200)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def _send_file(self, data: bytes, asked: str | None) -> None:
            match = re.fullmatch(r"bytes=(\d+)-(\d*)", asked or "")
            start = int(match[1]) if match else 0
            self.send_response(206 if match else 200)
            if match:
                self.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
            self.send_header("Content-Type", "application/octet-stream")
            self.send_header("Content-Length", str(len(data) - start))
            self.end_headers()
            cuts = site.cuts.get(self.path)
            if cuts:
                self.wfile.write(data[start : cuts.pop(0)])
                self.close_connection = True
            else:
                self.wfile.write(data[start:])

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    site.address = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield site
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
