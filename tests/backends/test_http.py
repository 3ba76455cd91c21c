"""The HTTP client for upstreams, against servers that write bytes as a test says."""

import asyncio
import contextlib
import datetime
import gzip
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any

import pytest
import uvloop
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from yarl import URL

from antiphon.backends.http import Client, ConnectFault, ConnectTimeout, HttpAnswer, Patience

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
PATIENCE = Patience(connect=90.0, read=90.0)
HELLO = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Type: text/plain; charset=x\r\n\r\nhello"


@asynccontextmanager
async def serving(handler: Handler, **how: Any) -> AsyncIterator[str]:
    """A server whose connections are handled so; its URL."""
    handled: set[asyncio.Task[None]] = set()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        handled.add(task)
        try:
            await handler(reader, writer)
        finally:
            writer.close()

    server = await asyncio.start_server(handle, "127.0.0.1", 0, **how)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        for task in handled:
            task.cancel()
        await asyncio.gather(*handled, return_exceptions=True)
        await asyncio.sleep(0)


@asynccontextmanager
async def asking(url: str, **how: Any) -> AsyncIterator[Client]:
    client = Client(URL(url), {"User-Agent": "test"}, **how)
    try:
        yield client
    finally:
        await client.close()


async def request(reader: asyncio.StreamReader) -> bytes:
    """A request, whole."""
    head = await reader.readuntil(b"\r\n\r\n")
    length = [line for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")]
    return head + (await reader.readexactly(int(length[0].split(b":")[1])) if length else b"")


async def whole(answer: HttpAnswer) -> bytes:
    pieces = []
    while data := await answer.read():
        pieces.append(data)
    return b"".join(pieces)


async def poured(answer: HttpAnswer) -> bytes:
    """The same, most of it poured."""
    pieces: list[bytes] = []

    def take(data: bytes) -> bool:
        pieces.append(data)
        return len(pieces) % 5 > 0

    data = b"?"
    while data:
        await answer.pour(take)
        data = await answer.read()
        pieces.append(data)
    return b"".join(pieces)


async def get(client: Client, url: str, patience: Patience = PATIENCE) -> tuple[int, bytes]:
    with await client.request("GET", URL(url) / "a", None, patience) as answer:
        return answer.status, await whole(answer)


def saying(*pieces: bytes, count: list[int] | None = None) -> Handler:
    """Answers each request of a connection with these bytes."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if count is not None:
            count.append(0)
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                await request(reader)
                if count is not None:
                    count[-1] += 1
                for piece in pieces:
                    writer.write(piece)
                    await writer.drain()
                    await asyncio.sleep(0)  # so that each piece is read by itself
                if not b"".join(pieces).startswith(b"HTTP/1.1") or b"Connection: close" in b"".join(pieces):
                    break
        writer.close()

    return handle


CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n"


@pytest.mark.parametrize(
    ("said", "body"),
    [
        (HELLO, b"hello"),
        (CHUNKED, b"hello world"),
        (b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nuntil the end", b"until the end"),
        (b"HTTP/1.0 200 OK\r\n\r\nold", b"old"),
        (b"HTTP/1.1 204 No Content\r\n\r\n", b""),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", b""),
        (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early\r\nLink: x\r\n\r\n" + HELLO, b"hello"),
    ],
    ids=["length", "chunks", "close", "1.0", "204", "empty", "1xx"],
)
async def test_an_answer_is_read_however_it_says_where_it_ends_and_however_it_is_cut(
    said: bytes, body: bytes
) -> None:
    for pieces in ([said], [bytes([byte]) for byte in said], [said[:30], said[30:]]):
        async with serving(saying(*pieces)) as url, asking(url) as client:
            status, found = await get(client, url)
            assert (status, found) == (204 if b"204" in said else 200, body)
            with await client.request("GET", URL(url), None, PATIENCE) as answer:
                assert await poured(answer) == body


async def test_the_head_is_there_before_the_body_and_names_are_found_in_any_case() -> None:
    async with serving(saying(HELLO)) as url, asking(url) as client:
        with await client.request("POST", URL(url) / "v1/x", b"{}", PATIENCE) as answer:
            assert answer.status == 200
            assert answer.headers["content-TYPE"] == "text/plain; charset=x"
            assert answer.content_type == "text/plain"
            assert not answer.at_end
            assert await answer.read() == b"hello"
            assert answer.at_end
            assert await answer.read() == b""


async def test_what_is_sent_is_a_request_that_servers_know() -> None:
    seen: list[bytes] = []

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append(await request(reader))
        writer.write(HELLO)
        writer.close()

    async with serving(handle) as url:
        base = url.replace("127.0.0.1", "me:pass@127.0.0.1")
        async with asking(base) as client:
            with await client.request("POST", URL(base) / "v1/x" % {"a": "b c"}, b'{"a": 1}', PATIENCE):
                pass

    head, _, body = seen[0].partition(b"\r\n\r\n")
    lines = head.split(b"\r\n")
    assert lines[0] == b"POST /v1/x?a=b+c HTTP/1.1"
    assert b"Host: " + url.removeprefix("http://").encode() in lines
    assert b"Authorization: Basic bWU6cGFzcw==" in lines
    assert b"Content-Type: application/json" in lines
    assert body == b'{"a": 1}'


@pytest.mark.parametrize("said", [HELLO, CHUNKED], ids=["length", "chunks"])
async def test_a_connection_is_kept_when_the_answer_was_read_to_its_end(said: bytes) -> None:
    count: list[int] = []
    async with serving(saying(said, count=count)) as url, asking(url) as client:
        for _ in range(3):
            await get(client, url)
        with await client.request("GET", URL(url), None, PATIENCE):
            pass  # not read: what is on its way would be taken for the next answer
        await get(client, url)

    assert count[0] >= 3
    assert sum(count) == 5


async def test_a_connection_that_is_closed_when_it_is_taken_up_again_costs_nothing() -> None:
    count = 0

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal count
        count += 1
        await request(reader)
        writer.write(HELLO)
        await request(reader)
        writer.transport.abort()

    async with serving(handle) as url, asking(url) as client:
        assert await get(client, url) == (200, b"hello")
        assert await get(client, url) == (200, b"hello")

    assert count == 2


async def test_an_idle_connection_is_let_go_after_its_time() -> None:
    count: list[int] = []
    async with serving(saying(HELLO, count=count)) as url, asking(url, keep=0.0) as client:
        await get(client, url)
        await get(client, url)

    assert count == [1, 1]


@pytest.mark.parametrize(
    "said",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\nConnection: close\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n5\r\nhello\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n5\r\nhello\r\nzz\r\n",
    ],
    ids=["length", "chunks", "no chunk"],
)
async def test_what_came_before_a_cut_is_read_and_then_the_cut_is_known(said: bytes) -> None:
    async with serving(saying(said)) as url, asking(url) as client:
        with await client.request("GET", URL(url), None, PATIENCE) as answer:
            assert await answer.read() == b"hello"
            with pytest.raises(ConnectionError):
                await answer.read()


@pytest.mark.parametrize(
    "said",
    [b"", b"SSH-2.0-OpenSSH\r\n", b"HTTP/1.1 banana\r\n\r\n", b"\x00\xff" * 100],
    ids=["nothing", "ssh", "status", "bytes"],
)
async def test_what_is_no_http_is_a_broken_connection(said: bytes) -> None:
    async with serving(saying(said)) as url, asking(url) as client:
        with pytest.raises(ConnectionError):
            await get(client, url)


async def test_a_head_without_end_is_given_up() -> None:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\n")
        with contextlib.suppress(ConnectionError):
            for number in range(100_000):
                writer.write(b"X-%d: %s\r\n" % (number, b"x" * 1000))
                await writer.drain()
        writer.close()

    async with serving(handle) as url, asking(url) as client:
        with pytest.raises(ConnectionError):
            await get(client, url)


async def test_silence_is_known_before_the_head_and_between_two_reads() -> None:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked = await request(reader)
        if b"/half" in asked:
            writer.write(HELLO[:-2])
        await reader.read()
        writer.close()

    short = Patience(connect=5.0, read=0.05)
    async with serving(handle) as url, asking(url) as client:
        with pytest.raises(TimeoutError):
            await get(client, url, short)
        with await client.request("GET", URL(url) / "half", None, short) as answer:
            assert await answer.read() == b"hel"
            with pytest.raises(TimeoutError):
                await answer.read()


async def test_a_patience_that_is_shorter_than_the_last_one_counts() -> None:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await request(reader)
        writer.write(HELLO)
        await reader.read()
        writer.close()

    async with serving(handle) as url, asking(url) as client:
        await get(client, url, Patience(connect=5.0, read=3600.0))
        with pytest.raises(TimeoutError):
            await get(client, url, Patience(connect=5.0, read=0.05))


async def test_who_reads_slowly_makes_the_server_wait() -> None:
    sent = 0
    piece = b"10000\r\n" + b"x" * 2**16 + b"\r\n"

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        await request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        for _ in range(1000):
            writer.write(piece)
            await writer.drain()
            sent += 1
        writer.write(b"0\r\n\r\n")
        await reader.read()
        writer.close()

    async with serving(handle) as url, asking(url) as client:
        with await client.request("GET", URL(url), None, PATIENCE) as answer:
            first = await answer.read()
            for _ in range(5000):  # until the server cannot go on
                await asyncio.sleep(0)
            assert sent < 500
            assert len(first) + len(await whole(answer)) == 1000 * 2**16


async def test_what_is_poured_is_taken_in_the_context_of_who_waits_and_its_faults_are_raised_there() -> None:
    whose, said = ContextVar("whose", default=""), asyncio.Event()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await request(reader)
        writer.write(CHUNKED[:-16])
        await said.wait()
        writer.write(CHUNKED[-16:-5])
        await reader.read()

    def take(data: bytes) -> bool:
        raise KeyError(data, whose.get())

    async with serving(handle) as url, asking(url) as client:
        with await client.request("GET", URL(url), None, PATIENCE) as answer:
            assert await answer.read() == b"hello"
            whose.set("mine")
            asyncio.get_running_loop().call_soon(said.set)
            with pytest.raises(KeyError) as raised:
                await answer.pour(take)
        assert raised.value.args == (b" world", "mine")


@pytest.mark.parametrize(("end", "fault"), [(b"", TimeoutError), (b"zz\r\n", ConnectionError)])
async def test_what_ends_an_answer_ends_the_pouring(end: bytes, fault: type[OSError]) -> None:
    async with serving(saying(CHUNKED[:-16] + end)) as url, asking(url) as client:
        with await client.request("GET", URL(url), None, Patience(5.0, 0.05)) as answer:
            assert (await answer.read()).startswith(b"hello")
            with pytest.raises(fault):
                await answer.pour(lambda data: True)


async def test_a_large_body_arrives_whole_and_a_refusal_meanwhile_is_heard() -> None:
    body = bytes(range(256)) * 2**15
    got = 0

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal got
        head = await reader.readuntil(b"\r\n\r\n")
        if b"/refused" in head:
            writer.write(b"HTTP/1.1 413 No\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno")
            await writer.drain()
        elif await reader.readexactly(len(body)) == body:
            got += 1
            writer.write(HELLO.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
        await reader.read()
        writer.close()

    async with serving(handle) as url, asking(url) as client:
        with await client.request("POST", URL(url), body, PATIENCE) as answer:
            assert await whole(answer) == b"hello"
        with await client.request("POST", URL(url) / "refused", body, PATIENCE) as answer:
            assert (answer.status, await answer.read()) == (413, b"no")

    assert got == 1


async def test_whoever_stops_reading_or_is_cancelled_hangs_up() -> None:
    asked_for, gone = asyncio.Semaphore(0), asyncio.Semaphore(0)

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked = await request(reader)
        asked_for.release()
        if b"/half" in asked:
            writer.write(HELLO[:-2])
        with contextlib.suppress(ConnectionError):
            await reader.read()
        gone.release()
        writer.close()

    async with serving(handle) as url, asking(url) as client:
        with await client.request("GET", URL(url) / "half", None, PATIENCE) as answer:
            await answer.read()
        await asyncio.wait_for(gone.acquire(), 60)
        await asked_for.acquire()
        task = asyncio.create_task(get(client, url))
        await asyncio.wait_for(asked_for.acquire(), 60)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await asyncio.wait_for(gone.acquire(), 60)


TURNS = 12
"""Of the loop: in so many a connection is made, and its request is on its way."""
on_each_loop = pytest.mark.parametrize("run", [asyncio.run, uvloop.run], ids=["asyncio", "uvloop"])


async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answers nothing."""
    with contextlib.suppress(ConnectionError):
        await reader.read()


async def begun(client: Client, url: str, turns: int) -> asyncio.Task[tuple[int, bytes]]:
    """A request that has got as far as it does in so many turns."""
    task = asyncio.create_task(get(client, url))
    for _ in range(turns):
        await asyncio.sleep(0)
    return task


@on_each_loop
def test_a_client_is_closed_though_requests_were_cancelled_while_they_connected(
    run: Callable[[Awaitable[None]], None],
) -> None:
    async def cancelled() -> None:
        async with asyncio.timeout(60), serving(silent) as url, asking(url) as client:
            for turns in [*range(TURNS)] * 3:
                task = await begun(client, url, turns)
                task.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await task

    run(cancelled())


@on_each_loop
def test_a_client_that_was_closed_hangs_up_what_it_has_only_then_connected(
    run: Callable[[Awaitable[None]], None],
) -> None:
    async def closed() -> None:
        async with asyncio.timeout(60), serving(silent) as url:
            for turns in range(TURNS):
                async with asking(url) as client:
                    tasks = [await begun(client, url, turns) for turns in (TURNS, turns)]
                for task in tasks:
                    with pytest.raises(ConnectionError):
                        await task

    run(closed())


async def test_what_comes_packed_all_the_same_is_unpacked() -> None:
    packed = gzip.compress(b"hello" * 1000)
    head = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(packed)
    broken = head + b"x" * len(packed)
    pieces = [packed[n : n + 5] for n in range(0, len(packed), 5)]
    async with serving(saying(head, *pieces)) as url, asking(url) as client:
        assert await get(client, url) == (200, b"hello" * 1000)
    async with serving(saying(broken)) as url, asking(url) as client:
        with pytest.raises(ConnectionError):
            await get(client, url)


async def test_where_nobody_listens_the_fault_says_so() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
    async with asking(url) as client:
        with pytest.raises(ConnectFault, match=r"refused|Connect call failed"):
            await get(client, url)


async def test_a_host_that_does_not_take_up_the_connection_is_not_waited_for() -> None:
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        port = full.getsockname()[1]
        waiting = [socket.socket() for _ in range(4)]
        for each in waiting:
            each.setblocking(False)
            each.connect_ex(("127.0.0.1", port))
        async with asking(f"http://127.0.0.1:{port}") as client:
            with pytest.raises(ConnectTimeout):
                await get(client, f"http://127.0.0.1:{port}", Patience(connect=0.2, read=5.0))
        for each in waiting:
            each.close()


async def test_a_unix_socket_is_reached(tmp_path: Path) -> None:
    path = str(tmp_path / "s")
    server = await asyncio.start_unix_server(saying(HELLO), path)
    async with asking("http://localhost", unix_socket=path) as client:
        assert await get(client, "http://localhost") == (200, b"hello")
    server.close()


def certified(folder: Path) -> tuple[Path, Path]:
    """A certificate of `localhost`, signed by itself, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    paths = folder / "cert.pem", folder / "key.pem"
    paths[0].write_bytes(made.public_bytes(Encoding.PEM))
    paths[1].write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return paths


async def test_a_certificate_is_asked_for_and_checked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    certificate, key = certified(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    async with serving(saying(HELLO), ssl=context) as url:
        secure = url.replace("http://127.0.0.1", "https://localhost")
        async with asking(secure) as client:
            with pytest.raises(ConnectFault, match="certificate verify failed"):
                await get(client, secure)
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        async with asking(secure) as client:
            assert await get(client, secure) == (200, b"hello")


@pytest.mark.parametrize("url", ["ftp://a", "http://", "/v1", "a"])
def test_a_base_that_is_no_http_url_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="is no HTTP URL"):
        Client(URL(url), {})


@pytest.mark.parametrize(
    ("name", "value"), [("X\r\nY", "a"), ("X", "a\r\nY: b"), ("X", "a\0"), ("", "a"), ("é", "a")]
)
def test_a_header_cannot_carry_another_one(name: str, value: str) -> None:
    with pytest.raises(ValueError, match="header"):
        Client(URL("http://a"), {name: value})


# ---- servers that are up to something ----------------------------------------------------------------


def saying_once(said: bytes) -> Handler:
    """Answers the first request of a connection so, and takes in whatever comes then."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await request(reader)
        writer.write(said)
        with contextlib.suppress(ConnectionError):
            await reader.read()

    return handle


def without_end(piece: bytes, *, first: bytes = b"") -> Handler:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await request(reader)
        writer.write(first)
        with contextlib.suppress(ConnectionError):
            for _ in range(100_000):
                writer.write(piece)
                await writer.drain()

    return handle


@pytest.mark.parametrize(
    "behind",
    [HELLO.replace(b"200 OK", b"500 No").replace(b"hello", b"other"), b"SSH-2.0\r\n\r\n"],
    ids=["another answer", "no answer"],
)
async def test_what_stands_behind_an_answer_is_no_part_of_it_nor_of_the_next_one(behind: bytes) -> None:
    async with serving(saying_once(HELLO + behind)) as url, asking(url) as client:
        for _ in range(2):
            assert await get(client, url) == (200, b"hello")


async def test_an_answer_that_comes_before_the_body_was_sent_costs_the_connection() -> None:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        writer.write(HELLO)
        if not head.startswith(b"POST"):
            return
        await reader.read()  # what would be taken for the next request

    body = b"x" * 2**24
    async with serving(handle) as url, asking(url) as client:
        with await client.request("POST", URL(url), body, PATIENCE) as answer:
            assert await whole(answer) == b"hello"
        assert await get(client, url) == (200, b"hello")


async def test_a_refusal_is_heard_at_once_by_who_still_sends_to_a_server_that_stopped_reading() -> None:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        for _ in range(50):
            await asyncio.sleep(0)  # until there is no room to write any more
        writer.write(HELLO.replace(b"200 OK", b"413 No"))
        await asyncio.Event().wait()

    patient = Patience(connect=5.0, read=3600.0)
    async with serving(handle) as url, asking(url) as client, asyncio.timeout(60):
        with await client.request("POST", URL(url), b"x" * 2**26, patient) as answer:
            assert (answer.status, await whole(answer)) == (413, b"hello")


@pytest.mark.parametrize(
    ("piece", "first"),
    [
        (b"x" * 4096, b"HTTP/1.1 200 "),
        (b"HTTP/1.1 100 Continue\r\n\r\n" * 100, b""),
        (b"x" * 4096, b"HTTP/1.1 200 OK\r\nX: "),
        (b"x" * 4096, b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5;"),
        (b"X: y\r\n" * 500, b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n"),
        (b"x" * 4096, b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX: "),
    ],
    ids=["status line", "1xx", "header", "chunk", "trailers", "trailer"],
)
async def test_what_is_no_body_does_not_go_on_for_ever(piece: bytes, first: bytes) -> None:
    async with serving(without_end(piece, first=first)) as url, asking(url) as client:
        with pytest.raises(ConnectionError):
            await get(client, url)


@pytest.mark.parametrize("status", [b"000 Zero", b"099 Low", b"101 Switching Protocols"])
async def test_a_status_that_answers_nothing_is_a_broken_connection(
    status: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    said = b"HTTP/1.1 %s\r\nConnection: Upgrade\r\nUpgrade: x\r\nContent-Length: 0\r\n\r\nyyyy" % status
    async with serving(saying_once(said)) as url, asking(url) as client:
        with pytest.raises(ConnectionError):
            await get(client, url)

    assert "data_received" not in caplog.text


async def test_trailers_do_not_become_headers() -> None:
    said = CHUNKED.replace(b"0\r\n\r\n", b"0\r\nContent-Type: text/html\r\n\r\n")
    async with serving(saying_once(said)) as url, asking(url) as client:
        with await client.request("GET", URL(url), None, PATIENCE) as answer:
            assert await whole(answer) == b"hello world"
            assert answer.content_type == ""


async def test_a_header_that_is_folded_is_refused_or_read_but_never_a_header_of_its_own() -> None:
    said = HELLO.replace(b"\r\n\r\n", b"\r\nX: a\r\n Content-Encoding: gzip\r\n\r\n")
    async with serving(saying_once(said)) as url, asking(url) as client:
        with (
            contextlib.suppress(ConnectionError),
            await client.request("GET", URL(url), None, PATIENCE) as answer,
        ):
            assert "Content-Encoding" not in answer.headers
            assert await whole(answer) == b"hello"


async def test_a_few_bytes_that_stand_for_very_many_are_unpacked_in_pieces() -> None:
    packed = gzip.compress(bytes(2**26))
    head = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(packed)
    async with serving(saying_once(head + packed)) as url, asking(url) as client:
        with await client.request("GET", URL(url), None, PATIENCE) as answer:
            size = 0
            while data := await answer.read():
                assert len(data) <= 2**20
                size += len(data)

    assert size == 2**26


async def test_a_server_that_says_how_long_it_keeps_connections_is_believed() -> None:
    count: list[int] = []
    said = HELLO.replace(b"\r\n\r\n", b"\r\nKeep-Alive: timeout=1, max=100\r\n\r\n")
    async with serving(saying(said, count=count)) as url, asking(url) as client:
        await get(client, url)
        await get(client, url)

    assert count == [1, 1]


async def test_what_a_burst_has_left_is_let_go_though_no_request_comes_any_more() -> None:
    gone = asyncio.Semaphore(0)

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await request(reader)
        writer.write(HELLO)
        await reader.read()
        gone.release()

    async with serving(handle) as url, asking(url, keep=0.05) as client:
        await asyncio.gather(*(get(client, url) for _ in range(5)))
        async with asyncio.timeout(60):
            for _ in range(5):
                await gone.acquire()


async def test_what_a_server_takes_up_and_drops_is_sent_no_more_than_twice() -> None:
    dropped, answering = 0, asyncio.Event()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal dropped
        while b"/drop" not in await request(reader):
            await answering.wait()
            writer.write(HELLO)
        dropped += 1
        writer.transport.abort()

    async with serving(handle) as url, asking(url) as client:
        tasks = [asyncio.create_task(get(client, url)) for _ in range(4)]
        await asyncio.sleep(0)
        answering.set()
        await asyncio.gather(*tasks)
        with pytest.raises(ConnectionError):
            await client.request("POST", URL(url) / "drop", b"{}", PATIENCE)

    assert dropped == 2


async def test_a_host_that_no_name_can_have_is_a_connection_that_does_not_come_about() -> None:
    url = f"http://{'a' * 70}.example"
    async with asking(url) as client:
        with pytest.raises(ConnectFault):
            await get(client, url)
