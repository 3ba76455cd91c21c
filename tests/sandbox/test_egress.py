"""The way out of a sandbox, with a real TLS server behind it and a real client before it."""

import asyncio
import datetime
import socket
import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from tests.sandbox.boxes import put, shell

from antiphon.guard.addresses import anywhere, is_public
from antiphon.sandbox.base import Wanted
from antiphon.sandbox.bubblewrap import Bubblewrap
from antiphon.sandbox.egress import CONNECTIONS, PORT, Egress, resolve

HOST = "allowed.example"
WORDS = b"hello from afar"


def certificate(folder: Path) -> Path:
    """A certificate of HOST with its key, signed by itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, HOST)])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(HOST)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    file = folder / "certificate.pem"
    form = serialization.PrivateFormat.PKCS8
    pem = key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption())
    file.write_bytes(pem + made.public_bytes(serialization.Encoding.PEM))
    return file


class World:
    """A server on loopback, to which every name leads, and the proxy before it."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "egress"
        self.certificate = certificate(folder)
        self.asked: list[str] = []
        self.port = 0

    @asynccontextmanager
    async def running(self, egress: Egress, context: ssl.SSLContext | None = None) -> AsyncIterator[None]:
        async with await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=context) as server:
            self.port = server.sockets[0].getsockname()[1]
            await egress.listen(self.path)
            try:
                yield
            finally:
                await egress.close()

    @staticmethod
    async def _serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(WORDS + await reader.readline())
        writer.close()

    async def resolve(self, host: str, port: int) -> Sequence[tuple[str, int]]:
        self.asked.append(f"{host}:{port}")
        if host == "nowhere.example":
            raise socket.gaierror(socket.EAI_NONAME, "no such name")
        return [("127.0.0.1", self.port)]

    async def request(self, head: bytes) -> tuple[bytes, asyncio.StreamReader, asyncio.StreamWriter]:
        """Sends a head to the proxy; what it answers, and the connection."""
        reader, writer = await asyncio.open_unix_connection(self.path)
        writer.write(head)
        return await reader.readuntil(b"\r\n\r\n"), reader, writer

    async def refused(self, head: bytes) -> tuple[int, str]:
        """Status and words of what the proxy refuses."""
        answer, reader, writer = await self.request(head)
        words = await reader.read()
        writer.close()
        return int(answer.split()[1]), words.decode()


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def connect(host: str, port: int = 443) -> bytes:
    return f"CONNECT {host}:{port} HTTP/1.1\r\nHost: {host}:{port}\r\n\r\n".encode()


async def test_an_allowed_host_is_reached_over_tls(world: World) -> None:
    trusting = ssl.create_default_context(cafile=world.certificate)
    serving = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    serving.load_cert_chain(world.certificate)
    async with world.running(Egress([HOST], anywhere, world.resolve), serving):
        answer, reader, writer = await world.request(connect(HOST))
        await writer.start_tls(trusting, server_hostname=HOST)
        writer.write(b" and back\n")
        said = await reader.read()
        writer.close()

    assert answer.startswith(b"HTTP/1.1 200 ")
    assert said == WORDS + b" and back\n"
    assert world.asked == [f"{HOST}:443"]


@pytest.mark.parametrize(
    "head",
    [
        connect("other.example"),
        connect(f"sub.{HOST}"),
        connect(f"{HOST}.evil.example"),
        connect(HOST, 80),
        connect(HOST, 8443),
        connect("127.0.0.1"),
        connect("169.254.169.254"),
        connect("[::1]"),
        connect("2130706433"),
        f"GET http://{HOST}/ HTTP/1.1\r\nHost: {HOST}\r\n\r\n".encode(),
        f"CONNECT {HOST}:443\r\n\r\n".encode(),
        f"CONNECT {HOST}\x00.evil.example:443 HTTP/1.1\r\n\r\n".encode(),
        b"\r\n\r\n",
    ],
)
async def test_all_else_is_refused_before_a_name_is_looked_up(world: World, head: bytes) -> None:
    async with world.running(Egress([HOST], anywhere, world.resolve)):
        status, words = await world.refused(head)

    assert status == 403
    assert "HTTPS" in words
    assert world.asked == []


async def test_a_name_that_leads_into_the_own_network_is_refused(world: World) -> None:
    async with world.running(Egress([HOST], is_public, world.resolve)):
        refused = await world.refused(connect(HOST))

    assert refused == (403, f"{HOST} leads to an address that is not public.\n")


async def test_a_name_that_is_none_is_said_to_be_not_reached(world: World) -> None:
    async with world.running(Egress(["nowhere.example"], anywhere, world.resolve)):
        status, words = await world.refused(connect("nowhere.example"))

    assert status == 502
    assert "nowhere.example" in words


async def test_a_name_that_no_host_can_have_is_said_to_be_none(world: World) -> None:
    host = f"{'a' * 70}.example"
    async with world.running(Egress(["*.example"], anywhere, resolve)):
        status, words = await world.refused(connect(host))

    assert (status, words) == (502, f"{host} is no name that can be looked up.\n")


async def test_a_head_without_an_end_is_refused(world: World) -> None:
    async with world.running(Egress([HOST], anywhere, world.resolve)):
        status, _ = await world.refused(b"CONNECT " + b"x" * 40_000)

    assert status == 431


async def test_connections_are_counted(world: World) -> None:
    async with world.running(Egress([HOST], anywhere, world.resolve)):
        held = [await world.request(connect(HOST)) for _ in range(CONNECTIONS)]
        status, _ = await world.refused(connect(HOST))
        for _, reader, writer in held:
            writer.write(b"\n")
            assert await reader.read() == WORDS + b"\n"
            writer.close()
            await writer.wait_closed()

    assert status == 503


@pytest.mark.parametrize(
    ("domain", "host", "allowed"),
    [
        ("example.com", "example.com", True),
        ("Example.com.", "EXAMPLE.COM", True),
        ("example.com", "example.com.", True),
        ("example.com", "a.example.com", False),
        ("*.example.com", "a.example.com", True),
        ("*.example.com", "a.b.example.com", True),
        ("*.example.com", "example.com", False),
        ("*.example.com", "badexample.com", False),
    ],
)
def test_a_domain_is_one_host_unless_it_begins_with_a_star(domain: str, host: str, allowed: bool) -> None:
    assert Egress([domain]).allows(host) is allowed


async def test_code_inside_reaches_the_host_that_is_allowed_and_no_other(
    world: World, driver: Bubblewrap
) -> None:
    serving = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    serving.load_cert_chain(world.certificate)
    box = await driver.start(Wanted(name="box"))
    await put(
        box, "/mnt/data/ca.pem", world.certificate.read_bytes().split(b"-----END PRIVATE KEY-----\n")[1]
    )
    proxy = f"export HTTPS_PROXY=http://127.0.0.1:{PORT} http_proxy=http://127.0.0.1:{PORT};"
    curl = f"{proxy} curl -sS -m 10 --http0.9 --cacert ca.pem"

    async with world.running(Egress([HOST], anywhere, world.resolve), serving):
        egress = await Egress.start(box, [HOST], anywhere, world.resolve)
        reached = await shell(box, f"{curl} https://{HOST}/")
        other = await shell(box, f"{curl} https://other.example/")
        plain = await shell(box, f"{curl} http://{HOST}/")
        around = await shell(box, f"curl -sS -m 10 --noproxy '*' https://127.0.0.1:{world.port}/")
        await egress.close()
        closed = await shell(box, f"{curl} https://{HOST}/")

    assert WORDS.decode() in reached.stdout, reached
    assert "403" in other.stderr
    assert plain.stdout == "Only HTTPS leaves this sandbox, to hosts by their names.\n"
    assert around.exit_code == 7, "the loopback of a sandbox is its own"
    assert closed.exit_code != 0
    assert world.asked == [f"{HOST}:443"]
