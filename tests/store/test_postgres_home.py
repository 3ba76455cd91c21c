"""The PostgreSQL home, as a database that several servers share, and that goes away and comes back."""

import asyncio
import random
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Sequence

import pytest
from psycopg.conninfo import conninfo_to_dict
from tests.commands import Run, run
from tests.pooler import needs_pooler, pooler
from tests.postgres import FAST, Postgres, shared_postgres
from tests.store.contract.kit import P, begin, counts, item, items, said, spoken, talk, texts, turn

from antiphon.store import responses
from antiphon.store.conversations import ConversationRow
from antiphon.store.errors import AlreadyExists, QueueFull
from antiphon.store.faults import StorageFault, Unreachable, storage_fault
from antiphon.store.items import ItemRow
from antiphon.store.open import UnknownStore, check_urls, open_store, without_secrets
from antiphon.store.postgres.database import open_postgres
from antiphon.store.postgres.schema import migrate
from antiphon.store.run_log import Record, RunEnd
from antiphon.store.runs import AcceptedRun
from antiphon.store.statements import Rows, Statement, Steps, alone
from antiphon.store.store import Store
from antiphon.store.work import Job

__all__ = ["run"]

STORES = 3
TOGETHER = 8


@pytest.fixture
async def stores(url: str) -> AsyncIterator[list[Store]]:
    """Several servers on one database."""
    opened = [await open_postgres(url, connections=TOGETHER) for _ in range(STORES)]
    yield opened
    for store in opened:
        await store.close()


@pytest.fixture
async def store(stores: list[Store]) -> Store:
    return stores[0]


def cut(url: str) -> int:
    return shared_postgres().cut(str(conninfo_to_dict(url)["dbname"]))


# ---- who meets --------------------------------------------------------------------------------------


async def test_turns_that_continue_one_response_at_once_are_all_kept(stores: list[Store]) -> None:
    await talk(stores[0], "r")
    names = [f"r{n}" for n in range(TOGETHER)]

    await asyncio.gather(
        *(stores[n % STORES].responses.save(P, turn(name, "r")) for n, name in enumerate(names))
    )

    assert [await stores[0].responses.history(P, name) for name in names] == [
        said("r", name) for name in names
    ]
    assert (await counts(stores[0]))["threads"] == 1 + len(names) - 1, "one goes on, the others fork"


async def test_turns_that_come_in_one_conversation_at_once_come_one_behind_another(
    stores: list[Store],
) -> None:
    await begin(stores[0], "c", "a")
    names = [f"r{n}" for n in range(TOGETHER)]

    await asyncio.gather(
        *(stores[n % STORES].responses.save(P, turn(name, conversation="c")) for n, name in enumerate(names))
    )

    history = await spoken(stores[0], "c")
    assert history is not None
    assert history[0] == item("a").json
    pairs = [history[at : at + 2] for at in range(1, len(history), 2)]
    assert sorted(pairs) == sorted(said(name) for name in names)


async def test_a_response_that_is_given_twice_at_once_is_kept_once(stores: list[Store]) -> None:
    saves = (store.responses.save(P, turn("r", asks=items(f"{n}"))) for n, store in enumerate(stores))
    outcomes = await asyncio.gather(*saves, return_exceptions=True)
    assert [type(outcome) for outcome in outcomes if outcome] == [AlreadyExists] * (STORES - 1)
    assert await counts(stores[0]) == {
        "responses": 1,
        "conversations": 0,
        "links": 2,
        "items": 2,
        "threads": 1,
    }


async def test_the_same_items_at_once_are_kept_once(stores: list[Store]) -> None:
    same = items(*(f"i{n}" for n in range(10)))
    await asyncio.gather(
        *(
            stores[n % STORES].responses.save(P, turn(f"r{n}", asks=random.sample(same, len(same)), says=()))
            for n in range(20)
        )
    )
    assert (await counts(stores[0]))["items"] == len(same)


async def test_a_conversation_is_locked_for_all_servers(stores: list[Store]) -> None:
    await begin(stores[0], "c")
    for _ in range(5):
        taken = await asyncio.gather(
            *(stores[n % STORES].conversations.lock(P, "c", f"{n}", 60) for n in range(TOGETHER))
        )
        assert sum(taken) == 1
        holder = taken.index(True)
        assert await stores[(holder + 1) % STORES].conversations.lock(P, "c", f"{holder}", 60)
        await stores[(holder + 1) % STORES].conversations.unlock(P, "c", f"{holder}")


async def test_each_run_and_job_and_delivery_is_taken_by_one(stores: list[Store]) -> None:
    for n in range(10):
        run = AcceptedRun(turn(f"r{n}", says=()), b"", [b"0"], streamed=True)
        await stores[0].runs.accept(P, run, 100)
    await stores[0].work.enqueue([Job(kind="k", payload=b"%d" % n) for n in range(10)])

    runs = await asyncio.gather(
        *(stores[n % STORES].runs.claim(f"{n}", 60) for n in range(12)),
    )
    jobs = await asyncio.gather(*(stores[n % STORES].work.claim(["k"], f"{n}", 60, 1) for n in range(12)))

    assert sorted(run.id for run in runs if run is not None) == sorted(f"r{n}" for n in range(10))
    assert sorted(job.payload for some in jobs for job in some) == [b"%d" % n for n in range(10)]


async def test_no_more_runs_wait_than_may_however_many_servers_accept_them(stores: list[Store]) -> None:
    runs = [AcceptedRun(turn(f"r{n}", says=()), b"", [b"0"], streamed=True) for n in range(20)]
    outcomes = await asyncio.gather(
        *(stores[n % STORES].runs.accept(P, run, 6) for n, run in enumerate(runs)), return_exceptions=True
    )
    assert sum(outcome is None for outcome in outcomes) == 6
    assert sum(isinstance(outcome, QueueFull) for outcome in outcomes) == 14


async def test_a_rule_that_is_alone_meets_no_other_of_its_kind(stores: list[Store]) -> None:
    """Each reads how many there are, and adds one that says so."""

    def add(project: str) -> Steps[None]:
        yield from alone("things", project)
        ((there,),) = yield Statement("SELECT count(*) FROM files WHERE project_id = $1", (project,))
        sql = """
            INSERT INTO files (project_id, id, created_at, filename, purpose, size, sha256)
            VALUES ($1, $2, 1, '', '', 0, '')"""
        yield Statement(sql, (project, f"{project} {there}"))

    await asyncio.gather(*(stores[n % STORES].write(add, f"p{n % 2}") for n in range(30)))


class Crowd:
    """Servers that save, continue and delete what the others do, at the same time."""

    def __init__(self, stores: Sequence[Store], seed: int) -> None:
        self._stores = stores
        self._random = random.Random(seed)
        self.histories: dict[str, Sequence[bytes]] = {}
        """Of all that was saved, and is not deleted as far as is known."""
        self._conversations: set[str] = set()
        self._made = 0

    async def act(self, times: int) -> None:
        for _ in range(times):
            store = self._random.choice(self._stores)
            await self._random.choice((self._save, self._save, self._replay, self._delete, self._talk))(store)

    async def _save(self, store: Store) -> None:
        parent = self._random.choice([None, *self.histories])
        before = self.histories.get(parent or "", ())
        name = self._name()
        await store.responses.save(P, turn(name, parent))
        history = await store.responses.history(P, name)
        # When the parent was deleted meanwhile, it stands for itself.
        assert history in ([*before, *said(name)], said(name))
        self.histories[name] = history

    async def _replay(self, store: Store) -> None:
        """With items that others send too, some of them with other content."""
        name = self._name()
        asks = [
            ItemRow(f"same{n}", b'"%d"' % self._random.randrange(2))
            for n in self._random.sample(range(4), self._random.randrange(1, 4))
        ]
        await store.responses.save(P, turn(name, asks=asks))
        self.histories[name] = [*(row.json for row in asks), *texts(f"{name}.out")]

    async def _delete(self, store: Store) -> None:
        if self.histories:
            name = self._random.choice(list(self.histories))
            del self.histories[name]
            assert await store.responses.delete(P, name)

    async def _talk(self, store: Store) -> None:
        name = self._random.choice(["c1", "c2"])
        if self._random.random() < 0.3:
            if name in self._conversations:
                self._conversations.discard(name)
                await store.conversations.delete(P, name)
        elif name not in self._conversations:
            self._conversations.add(name)
            conversation = f"{name}.{self._name()}"
            await store.conversations.create(P, ConversationRow(conversation, 1, b"{}"), ())
            await asyncio.gather(
                *(store.responses.save(P, turn(self._name(), conversation=conversation)) for _ in range(3)),
                store.conversations.delete(P, conversation),
                store.conversations.add_items(P, conversation, items(self._name())),
            )
            self._conversations.discard(name)

    def _name(self) -> str:
        self._made += 1
        return f"n{self._made}"


@pytest.mark.parametrize("seed", range(4))
async def test_whoever_meets_whom_no_history_loses_anything(stores: list[Store], seed: int) -> None:
    crowd = Crowd(stores, seed)

    await asyncio.gather(*(crowd.act(25) for _ in range(TOGETHER)))

    for name, history in crowd.histories.items():
        assert await stores[0].responses.history(P, name) == history
    assert await stores[0].write(_torn) == []
    # Nothing is kept that nothing needs.
    while await stores[0].responses.expire(10, 10):
        pass
    await stores[0].conversations.expire_items(time.time() + 10, 1000)
    assert set((await counts(stores[0])).values()) == {0}


def _torn() -> Steps[Rows]:
    """Responses of which a part is missing."""
    sql = """
        SELECT r.id FROM responses AS r WHERE r.stop - r.start <> (
            SELECT count(*) FROM links AS l
            WHERE l.thread = r.thread AND l.position >= r.start AND l.position < r.stop)"""
    return list((yield Statement(sql)))


async def test_a_run_that_ends_while_what_it_continues_is_deleted_keeps_its_context(
    stores: list[Store],
) -> None:
    for n in range(10):
        await talk(stores[0], f"a{n}")
        run = AcceptedRun(turn(f"r{n}", f"a{n}", says=()), b"", [b"0"], streamed=True)
        claim = await stores[0].runs.accept(P, run, 100, "me", 60)
        assert claim is not None
        end = RunEnd(Record(1, [b"1"], b""), b"{}", items(f"r{n}.out"))
        await asyncio.gather(stores[1].responses.delete(P, f"a{n}"), stores[2].runs.finish(claim, end))
        assert await stores[0].responses.history(P, f"r{n}") == said(f"a{n}", f"r{n}")


# ---- the order of writes ----------------------------------------------------------------------------


async def test_what_was_left_is_done_before_what_is_asked_later(url: str) -> None:
    """A lock that was cancelled on its way is not taken behind the unlocking."""
    store = await open_postgres(url, connections=4)
    await begin(store, "c")
    for n in range(20):
        locking = asyncio.ensure_future(store.conversations.lock(P, "c", f"{n}", 60))
        for _ in range(n % 4):
            await asyncio.sleep(0)
        locking.cancel()
        await asyncio.wait([locking])
        await store.conversations.unlock(P, "c", f"{n}")
        assert await store.conversations.lock(P, "c", "next", 60)
        await store.conversations.unlock(P, "c", "next")
    await store.close()


# ---- connections that break -------------------------------------------------------------------------


async def test_connections_that_were_cut_while_idle_cost_nothing(url: str, store: Store) -> None:
    await talk(store, "a")
    await asyncio.to_thread(cut, url)
    assert await store.responses.history(P, "a") == said("a")
    await asyncio.to_thread(cut, url)
    await store.responses.save(P, turn("b", "a"))
    assert await store.responses.history(P, "b") == said("a", "b")


async def test_a_write_whose_connection_breaks_is_done_or_an_error_and_never_half(
    url: str, stores: list[Store]
) -> None:
    await begin(stores[0], "c")
    stop = asyncio.Event()

    async def cutting() -> None:
        while not stop.is_set():
            await asyncio.to_thread(cut, url)

    async def save(n: int) -> bool:
        store = stores[n % STORES]
        writes: list[Awaitable[object]] = [
            store.responses.save(P, turn(f"r{n}", f"r{n - TOGETHER}" if n >= TOGETHER else None)),
            store.conversations.add_items(P, "c", items(f"i{n}a", f"i{n}b")),
        ]
        outcomes = await asyncio.gather(*writes, return_exceptions=True)
        assert all(outcome is None or outcome is True or _went_away(outcome) for outcome in outcomes)
        return outcomes[0] is None

    cutter = asyncio.create_task(cutting())
    done = [n for n in range(100) if await save(n)]
    stop.set()
    await cutter

    for n in done:
        history = await stores[0].responses.history(P, f"r{n}")
        assert history is not None
        assert history[-2:] == said(f"r{n}")
    assert await stores[0].write(_torn) == []
    kept = await spoken(stores[0], "c")
    assert kept is not None
    assert kept == [json for n in range(100) for json in texts(f"i{n}a", f"i{n}b") if json in kept]
    assert len(kept) % 2 == 0


def _went_away(outcome: object) -> bool:
    return isinstance(outcome, Exception) and storage_fault(outcome) is StorageFault.UNAVAILABLE


async def test_a_database_that_goes_away_is_found_again_when_it_is_back() -> None:
    with Postgres(FAST) as server:
        store = await open_postgres(server.url("postgres"))
        await talk(store, "a")
        await asyncio.to_thread(server.stop, "immediate")
        for asked in (store.responses.save(P, turn("b", "a")), store.responses.get(P, "a")):
            with pytest.raises(Unreachable):
                await asked
        await asyncio.to_thread(server.start)
        assert await store.responses.history(P, "a") == said("a")
        await store.responses.save(P, turn("b", "a"))
        assert await store.responses.history(P, "b") == said("a", "b")
        await store.close()


async def test_a_rule_that_fails_leaves_nothing(store: Store) -> None:
    def halfway() -> Steps[None]:
        yield from responses.save(P, turn("r"))
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await store.write(halfway)
    assert set((await counts(store)).values()) == {0}


# ---- the schema -------------------------------------------------------------------------------------


async def test_many_servers_bring_one_database_up_to_date_once() -> None:
    with shared_postgres().database() as url:
        ran = await asyncio.gather(*(migrate(url) for _ in range(5)))
        assert sorted(map(len, ran))[:-1] == [0] * 4
        assert max(ran)[0] == 1


# ---- URLs -------------------------------------------------------------------------------------------


async def test_a_database_that_is_not_there_is_told_without_its_password() -> None:
    url = "postgresql://me:secret@127.0.0.1:1/antiphon?connect_timeout=2"
    with pytest.raises(Unreachable) as refused:
        await open_store(url)
    assert "secret" not in str(refused.value)
    assert without_secrets(url) == "postgresql://me@127.0.0.1:1/antiphon"


UNREADABLE = [
    "postgresql://me:sec%ret@127.0.0.1/antiphon",
    "postgresql://me:sec%zzret@127.0.0.1/antiphon",
    "postgresql://me:sec/ret@127.0.0.1/antiphon",
    "postgresql://me:sec?r/et@127.0.0.1/antiphon",
    "postgresql://me:sec@ret@127.0.0.1/antiphon",
    "postgresql://me:secret@127.0.0.1/antiphon?no_such_option=1",
    "postgresql+psycopg://me:secret@127.0.0.1/antiphon",
    "postgres//me:secret@127.0.0.1/antiphon",
    "mysql://me:secret@127.0.0.1/antiphon",
]


@pytest.mark.parametrize("url", UNREADABLE)
async def test_a_url_that_cannot_be_read_is_told_without_its_password(url: str) -> None:
    with pytest.raises(UnknownStore) as refused:
        await open_store(url)
    assert "sec" not in str(refused.value)
    assert "ret" not in str(refused.value)
    assert "me@127.0.0.1/antiphon" in str(refused.value)


async def test_a_listen_url_that_cannot_be_read_is_told_without_its_password(url: str) -> None:
    with pytest.raises(UnknownStore) as refused:
        await open_store(url, listen_url="postgresql://me:sec/ret@127.0.0.1/antiphon")
    assert "sec" not in str(refused.value)


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://me:a%40b%23c@127.0.0.1:5432/antiphon?sslmode=verify-full",
        "postgresql://me@a:1,b:2/antiphon",
        "postgres://@/antiphon?host=/tmp",
        "postgresql://[::1]/antiphon?user=me@corp",
        "postgresql://me:a?b#c:d@127.0.0.1/antiphon",
        "postgresql:///",
    ],
)
def test_a_url_that_is_right_is_no_complaint(url: str) -> None:
    check_urls(url)


@needs_pooler
async def test_with_a_way_around_a_pooler_nobody_is_told_of_one(url: str, run: Run) -> None:
    with pooler(url) as pooled:
        around = {"ANTIPHON_STORE_URL": pooled, "ANTIPHON_STORE_LISTEN_URL": url}
        for command in (["migrate"], ["webhooks"], ["files", "list"]):
            done = run(*command, **around)
            assert (done.returncode, done.stderr) == (0, "")
            assert "notices" not in done.stdout


async def test_a_server_takes_no_more_connections_than_it_is_allowed(url: str) -> None:
    store = await open_store(url, connections=2)
    try:
        await asyncio.gather(*(store.responses.save(P, turn(f"r{n}")) for n in range(40)))
        await asyncio.gather(*(store.responses.history(P, f"r{n}") for n in range(40)))
        assert cut(url) <= 3  # the third listens
    finally:
        await store.close()


async def test_a_text_with_a_nul_is_kept(store: Store) -> None:
    await store.responses.save(P, turn("a\0b"))
    assert await store.responses.history(P, "a\0b") == said("a\0b")


def test_a_server_on_sqlite_imports_no_driver() -> None:
    program = (
        "import sys, antiphon.api.app, antiphon.cli, antiphon.store.open;sys.exit('psycopg' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program]).returncode == 0


def test_without_the_driver_the_error_names_what_to_install() -> None:
    program = """
import asyncio, sys
sys.modules["psycopg"] = None
from antiphon.store.open import UnknownStore, open_store
try:
    asyncio.run(open_store("postgresql://host/db"))
except UnknownStore as error:
    sys.exit(0 if "antiphon[postgres]" in str(error) else 1)
"""
    assert subprocess.run([sys.executable, "-c", program]).returncode == 0
