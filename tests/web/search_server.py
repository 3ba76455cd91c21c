"""A web of its own on this machine: pages, and search engines that answer about them in the forms in which
real ones do."""

import json
import re
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

Json = dict[str, Any]


@dataclass(frozen=True)
class Entry:
    """What an index knows of a page."""

    url: str
    title: str
    text: str
    image: str = ""


class _Server(ThreadingHTTPServer):
    request_queue_size = 128


class SearchServer:
    """Use it as a context manager. It is SearXNG, Brave, Tavily, Exa and Serper at once, each under the path
    and in the form that its documentation has. `asked`: the requests so far."""

    def __init__(self, entries: Sequence[Entry] = ()) -> None:
        self.entries = list(entries)
        self.asked: list[Json] = []
        self.broken: int | bytes | None = None
        """A status that all requests are refused with, or a body that is no answer."""
        self._server = _Server(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(10)

    def find(self, text: str) -> list[Entry]:
        """Those with a word of the question, most words first; `site:` and `-site:` are obeyed."""
        unwanted = re.findall(r"-site:(\S+)", text)
        wanted = re.findall(r"(?<!-)site:([^\s)]+)", text)
        words = set(re.findall(r"\w{3,}", re.sub(r"-?site:\S+", "", text.lower())))
        scored = [
            (len(words & set(re.findall(r"\w{3,}", f"{e.title} {e.text}".lower()))), e) for e in self.entries
        ]
        kept = [(score, e) for score, e in scored if score and _fits(e.url, wanted, unwanted)]
        return [e for _, e in sorted(kept, key=lambda pair: -pair[0])]


def _fits(url: str, wanted: Sequence[str], unwanted: Sequence[str]) -> bool:
    host = urlsplit(url).hostname or ""
    below = [name for name in (*wanted, *unwanted) if host == name or host.endswith(f".{name}")]
    return (not wanted or any(name in wanted for name in below)) and not any(n in unwanted for n in below)


def _searxng(server: SearchServer, query: Json, _: Json) -> Json:
    if query.get("format") != ["json"]:
        return {"status": 403}
    found = server.find(query["q"][0])
    if query.get("categories") == ["images"]:
        results = [
            {"url": e.url, "title": e.title, "img_src": e.image, "thumbnail_src": f"{e.image}?small"}
            for e in found
            if e.image
        ]
    else:
        results = [{"url": e.url, "title": e.title, "content": e.text, "engine": "local"} for e in found]
    return {"query": query["q"][0], "results": results, "answers": [], "suggestions": []}


def _brave(server: SearchServer, query: Json, _: Json) -> Json:
    found = server.find(query["q"][0])[: int(query["count"][0])]
    results = [{"url": e.url, "title": e.title, "description": e.text} for e in found]
    return {"type": "search", "web": {"type": "search", "results": results}}


def _brave_images(server: SearchServer, query: Json, _: Json) -> Json:
    found = [e for e in server.find(query["q"][0]) if e.image][: int(query["count"][0])]
    results = [
        {
            "url": e.url,
            "title": e.title,
            "properties": {"url": e.image},
            "thumbnail": {"src": f"{e.image}?small"},
        }
        for e in found
    ]
    return {"type": "images", "results": results}


def _by_body(server: SearchServer, _: Json, body: Json) -> Json:
    """Tavily, Exa and Serper all have POST /search."""
    if "numResults" in body:
        found = _filtered(server, body, "includeDomains", "excludeDomains")[: body["numResults"]]
        most = body["contents"]["text"]["maxCharacters"]
        return {
            "results": [
                {"url": e.url, "title": e.title, "text": e.text[:most], "image": e.image} for e in found
            ]
        }
    if "max_results" in body:
        found = _filtered(server, body, "include_domains", "exclude_domains")[: body["max_results"]]
        images = [e.image for e in found if e.image] if body.get("include_images") else []
        results = [{"url": e.url, "title": e.title, "content": e.text, "score": 0.5} for e in found]
        return {"query": body["query"], "images": images, "results": results}
    found = server.find(body["q"])[: body["num"]]
    return {"organic": [{"link": e.url, "title": e.title, "snippet": e.text} for e in found]}


def _serper_images(server: SearchServer, _: Json, body: Json) -> Json:
    found = [e for e in server.find(body["q"]) if e.image][: body["num"]]
    images = [
        {"title": e.title, "imageUrl": e.image, "thumbnailUrl": f"{e.image}?small", "link": e.url}
        for e in found
    ]
    return {"images": images}


def _filtered(server: SearchServer, body: Json, include: str, exclude: str) -> list[Entry]:
    found = server.find(body["query"])
    return [e for e in found if _fits(e.url, body.get(include) or (), body.get(exclude) or ())]


_ROUTES: dict[tuple[str, str], Callable[[SearchServer, Json, Json], Json]] = {
    ("GET", "/search"): _searxng,
    ("GET", "/web/search"): _brave,
    ("GET", "/images/search"): _brave_images,
    ("POST", "/search"): _by_body,
    ("POST", "/images"): _serper_images,
}


def _handler(server: SearchServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self._answer("GET", {})

        def do_POST(self) -> None:
            length = int(self.headers["Content-Length"])
            self._answer("POST", json.loads(self.rfile.read(length)))

        def _answer(self, method: str, body: Json) -> None:
            parts = urlsplit(self.path)
            query = parse_qs(parts.query)
            headers = {name.lower(): value for name, value in self.headers.items()}
            server.asked.append({"path": parts.path, "query": query, "body": body, "headers": headers})
            if isinstance(server.broken, int):
                self._say(server.broken, json.dumps({"error": f"no: {headers}"}).encode())
            elif server.broken is not None:
                self._say(200, server.broken)
            else:
                found = _ROUTES[method, parts.path](server, query, body)
                self._say(found.pop("status", 200), json.dumps(found).encode())

        def _say(self, status: int, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    return Handler


def about(subjects: Sequence[str], base: str) -> Iterator[Entry]:
    """A page for each subject."""
    for subject in subjects:
        name = subject.replace(" ", "-")
        yield Entry(f"{base}/{name}", f"All about {subject}", f"What there is to know of {subject}.")
