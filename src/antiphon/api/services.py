"""What the routes work with: made when the server starts, closed when it stops."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, partial

from starlette.requests import Request

from antiphon.api.callers import Callers, caller
from antiphon.api.readiness import Readiness
from antiphon.backends.image_server import RemoteImageServer
from antiphon.config import Config
from antiphon.containers.room import Room
from antiphon.context.attachments import Attachments
from antiphon.engine.background.background import Background
from antiphon.engine.engine import Engine
from antiphon.engine.jobs import Jobs
from antiphon.engine.moderating.moderator import Moderator
from antiphon.engine.rewriting import QueryRewriter
from antiphon.protocol.parse import Parsed, parse_create
from antiphon.retrieval.embedder import Embedder
from antiphon.retrieval.finder import Finder
from antiphon.store.file_storage import FileStorage
from antiphon.store.store import Store
from antiphon.telemetry.tracing import Tracer
from antiphon.webhooks.webhooks import Webhooks


@dataclass(frozen=True)
class Services:
    config: Config
    engine: Engine
    background: Background
    webhooks: Webhooks
    store: Store
    callers: Callers
    files: FileStorage
    jobs: Jobs
    embedder: Embedder
    finder: Finder
    rewriter: QueryRewriter
    containers: Room
    image_server: RemoteImageServer | None
    attachments: Attachments
    readiness: Readiness
    moderator: Moderator | None
    """None: nothing is set up that judges."""
    tracer: Tracer | None
    """None: no spans are told."""

    @cached_property
    def parse(self) -> Callable[[bytes], Parsed]:
        """What makes a request of the body of POST /responses."""
        most = self.config.limits.request_items
        return partial(parse_create, lenient=self.config.server.lenient, most_items=most)


def services(request: Request) -> Services:
    found: Services = request.scope["state"]["services"]
    return found


def project(request: Request) -> str:
    """The project whose key the request has."""
    return caller(request).project
