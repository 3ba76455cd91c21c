"""The store: all that is kept, one noun at a time.

A noun is a module: what its rows are, the rules, and the interface through which the rest of the server uses
it. All stand on one `Database`, so a home of the store is what carries out rules, and nothing else.

What a caller may assume:

- Rows belong to a project, and no method that is given a project sees another one's rows.
- A write is one transaction: all of it or nothing. When it returns it is durable, and every read that begins
  later, in any process, sees it.
- A write is asked for when its coroutine first runs. Whoever is cancelled while he waits for it does not stop
  it: it is carried out, or fails, unseen. So what was asked for may have happened, and may be asked for again
  only where the method says so.
- Writes of one process are carried out in the order in which they were asked for, except that responses which
  are saved at the same moment may come in any order among themselves.
- A write that fails changes nothing, and harms no other.
- A read sees one state of the store, and waits for no write.
- What is not there is None, or False. What is refused is a `StoreError`. Anything else that is raised is a
  fault of the database or the disk, of which nothing is known; it may pass.
"""

from collections.abc import Awaitable, Callable
from typing import TypeVar, TypeVarTuple

from antiphon.store.activity import Activity
from antiphon.store.allowances import Allowances
from antiphon.store.blobs import Blobs
from antiphon.store.bundles import Bundles
from antiphon.store.container_files import ContainerFiles
from antiphon.store.containers import Containers
from antiphon.store.conversations import Conversations
from antiphon.store.database import Database
from antiphon.store.files import Files
from antiphon.store.inline_data import InlineData
from antiphon.store.items import Items
from antiphon.store.key_places import KeyPlaces
from antiphon.store.keys import Keys
from antiphon.store.outline import Outline
from antiphon.store.prompts import Prompts
from antiphon.store.recordings import Recordings
from antiphon.store.responses import Responses
from antiphon.store.runs import Runs
from antiphon.store.skills import Skills
from antiphon.store.statements import Statement, Steps
from antiphon.store.successions import Successions
from antiphon.store.usage import Usage
from antiphon.store.vector_batches import VectorBatches
from antiphon.store.vector_chunks import VectorChunks
from antiphon.store.vector_files import VectorFiles
from antiphon.store.vector_index import VectorIndex
from antiphon.store.vector_stores import VectorStores
from antiphon.store.webhook_endpoints import WebhookEndpoints
from antiphon.store.webhooks import Deliveries
from antiphon.store.work import Work

T = TypeVar("T")
Ts = TypeVarTuple("Ts")


class Store:
    """Everything that is kept."""

    def __init__(self, database: Database, blobs: Blobs | None = None) -> None:
        """`blobs`: where pictures and other data of items are kept; None: they stay in the rows."""
        self._database = database
        self.inline_data = InlineData(database, blobs)
        self.items = Items(database, self.inline_data)
        self.responses = Responses(database, self.inline_data)
        self.successions = Successions(database, self.inline_data)
        self.conversations = Conversations(database, self.inline_data)
        self.runs = Runs(database, self.inline_data)
        self.outline = Outline(database, self.inline_data)
        self.files = Files(database)
        self.prompts = Prompts(database)
        self.webhooks = Deliveries(database)
        self.webhook_endpoints = WebhookEndpoints(database)
        self.activity = Activity(database)
        self.recordings = Recordings(database)
        self.work = Work(database)
        self.keys = Keys(database)
        self.allowances = Allowances(database)
        self.key_places = KeyPlaces(database)
        self.usage = Usage(database)
        self.vector_stores = VectorStores(database)
        self.vector_files = VectorFiles(database)
        self.vector_batches = VectorBatches(database)
        self.vector_index = VectorIndex(database)
        self.vector_chunks = VectorChunks(database)
        self.containers = Containers(database)
        self.container_files = ContainerFiles(database)
        self.bundles = Bundles(database)
        self.skills = Skills(database)

    def write(self, rule: Callable[[*Ts], Steps[T]], *arguments: *Ts) -> Awaitable[T]:
        """Carry out a rule that is made of others, in one transaction: a file and the job that indexes it.

        def add_and_index(project: str, row: FileRow) -> Steps[None]:
            yield from files.add(project, row)
            yield from work.enqueue([Job(kind="index", payload=row.id.encode(), project=project)])

        await store.write(add_and_index, project, row)
        """
        return self._database.write(rule, *arguments)

    async def read_long(self, rule: Callable[[*Ts], Steps[T]], *arguments: *Ts) -> T:
        """What a rule finds that changes nothing, however much there is to read."""
        return await self._database.read_long(rule, *arguments)

    async def reach(self) -> None:
        """Raises whatever keeps us from the database."""
        await self._database.read_long(_reach)

    async def close(self) -> None:
        """Finish what was asked for, then stop. A write that is asked for later raises RuntimeError."""
        await self._database.close()


def _reach() -> Steps[None]:
    yield Statement("SELECT 1")
