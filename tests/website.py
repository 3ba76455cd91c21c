"""A website on this machine that says what a test tells it to."""

import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self


@dataclass(frozen=True)
class Page:
    body: bytes | Iterable[bytes] = b""
    """Pieces are sent one by one, without telling how much there is; it may go on for ever."""
    type: str = "application/octet-stream"
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    stuck: bool = False
    """Nothing follows the headers until the website is closed."""


def redirect(to: str, status: int = 302, **headers: str) -> Page:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Page(status=status, headers={"Location": to, **named})


class Website:
    """Use it as a context manager. `pages` by path; `asked`: paths and headers of the requests so far."""

    def __init__(self, host: str = "127.0.0.1") -> None:
        self.pages: dict[str, Page] = {}
        self.asked: list[tuple[str, dict[str, str]]] = []
        self.closed = threading.Event()
        self._server = ThreadingHTTPServer((host, 0), _handler(self))
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)

    @property
    def port(self) -> int:
        return int(self._server.server_address[1])

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.closed.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(10)


def _handler(site: Website) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            site.asked.append((self.path, dict(self.headers)))
            page = site.pages.get(self.path.partition("?")[0], Page(status=404))
            try:
                self._say(page)
            except (BrokenPipeError, ConnectionResetError):
                self.close_connection = True

        def _say(self, page: Page) -> None:
            self.send_response(page.status)
            self.send_header("Content-Type", page.type)
            for name, value in page.headers.items():
                self.send_header(name, value)
            pieces = [page.body] if isinstance(page.body, bytes) else page.body
            if not isinstance(page.body, bytes):
                self.send_header("Connection", "close")
            elif "Content-Length" not in page.headers:
                self.send_header("Content-Length", str(len(page.body)))
            self.end_headers()
            if page.stuck:
                site.closed.wait()
            for piece in pieces:
                self.wfile.write(piece)

        def log_message(self, *_: Any) -> None:
            pass

    return Handler
