"""Fetching what strangers name: what comes back, and where we do not go."""

import itertools
from collections.abc import AsyncIterator, Iterator

import pytest
from tests.website import Page, Website, redirect

from antiphon.guard.addresses import Reachable, anywhere, is_public
from antiphon.web.fetch import (
    BadUrl,
    Fetched,
    Fetcher,
    TooBig,
    Unfetchable,
)


@pytest.fixture
def site() -> Iterator[Website]:
    with Website() as site:
        yield site


async def fetcher(
    reachable: Reachable, max_bytes: int = 100_000, seconds: float = 10
) -> AsyncIterator[Fetcher]:
    made = Fetcher(reachable, max_bytes, seconds)
    yield made
    await made.close()


@pytest.fixture
async def free() -> AsyncIterator[Fetcher]:
    async for made in fetcher(anywhere):
        yield made


@pytest.fixture
async def guarded() -> AsyncIterator[Fetcher]:
    async for made in fetcher(is_public):
        yield made


# ---- what comes back --------------------------------------------------------------------------------


async def test_a_page_comes_back_with_its_type_and_the_name_in_its_path(site: Website, free: Fetcher) -> None:
    site.pages["/a/report.pdf"] = Page(b"%PDF-", "application/pdf")

    assert await free.fetch(f"{site.url}/a/report.pdf?x=1#top") == Fetched(
        b"%PDF-", "application/pdf", "report.pdf", f"{site.url}/a/report.pdf?x=1#top"
    )


async def test_the_name_that_the_server_gives_comes_before_that_in_the_path(
    site: Website, free: Fetcher
) -> None:
    site.pages["/x"] = Page(b"1", headers={"Content-Disposition": 'attachment; filename="../../etc/a.txt"'})

    assert (await free.fetch(f"{site.url}/x")).filename == "a.txt"


async def test_a_body_without_a_length_comes_back_whole(site: Website, free: Fetcher) -> None:
    site.pages["/x"] = Page([b"one ", b"two"])

    assert (await free.fetch(f"{site.url}/x")).data == b"one two"


async def test_nothing_is_unpacked(site: Website, free: Fetcher) -> None:
    site.pages["/x"] = Page(b"\x1f\x8bpacked", headers={"Content-Encoding": "gzip"})

    assert (await free.fetch(f"{site.url}/x")).data == b"\x1f\x8bpacked"
    assert site.asked[0][1]["Accept-Encoding"] == "identity"


async def test_what_was_fetched_lately_is_not_fetched_again(site: Website, free: Fetcher) -> None:
    site.pages["/x"] = Page(b"1")

    first, second = await free.fetch(f"{site.url}/x"), await free.fetch(f"{site.url}/x")

    assert first == second
    assert len(site.asked) == 1


# ---- redirects --------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_redirects_are_followed_relative_ones_too(site: Website, free: Fetcher, status: int) -> None:
    site.pages |= {"/a/one": redirect("two", status), "/a/two": Page(b"here")}

    assert (await free.fetch(f"{site.url}/a/one")).data == b"here"


async def test_five_redirects_are_followed_and_no_sixth(site: Website, free: Fetcher) -> None:
    site.pages |= {f"/{n}": redirect(f"/{n + 1}") for n in range(6)} | {"/6": Page(b"here")}

    assert (await free.fetch(f"{site.url}/1")).data == b"here"
    with pytest.raises(Unfetchable, match="more than 5 times"):
        await free.fetch(f"{site.url}/0")


@pytest.mark.parametrize("target", ["file:///etc/passwd", "ftp://127.0.0.1/x", "gopher://x/", ""])
async def test_a_redirect_to_what_is_no_web_page_is_refused(
    site: Website, free: Fetcher, target: str
) -> None:
    site.pages["/x"] = redirect(target)

    with pytest.raises(BadUrl):
        await free.fetch(f"{site.url}/x")


async def test_a_redirect_to_an_address_that_is_not_allowed_is_refused(site: Website) -> None:
    """The first address is allowed, as if it were public; where it leads is not."""
    site.pages["/x"] = redirect(f"http://127.0.0.2:{site.port}/secret")
    with Website("127.0.0.2") as other:
        site.pages["/y"] = redirect(f"http://127.0.0.2:{other.port}/secret")
        other.pages["/secret"] = Page(b"secret")
        async for only in fetcher(lambda address: address == "127.0.0.1"):
            with pytest.raises(BadUrl, match="not public"):
                await only.fetch(f"{site.url}/y")

        assert other.asked == []


async def test_a_redirect_carries_no_cookies(site: Website, free: Fetcher) -> None:
    site.pages |= {"/1": redirect("/2", Set_Cookie="a=b"), "/2": Page(b"here")}

    await free.fetch(f"{site.url}/1")

    assert "Cookie" not in site.asked[1][1]


# ---- where we do not go -----------------------------------------------------------------------------

LOOPBACK = [
    "127.0.0.1",
    "127.1",
    "127.0.1",
    "2130706433",
    "0x7f000001",
    "0x7f.1",
    "0177.0.0.1",
    "017700000001",
    "0.0.0.0",
    "0",
    "localhost",
    "LOCALHOST.",
    "[::1]",
    "[::]",
    "[::ffff:127.0.0.1]",
    "[::ffff:7f00:1]",
    "[0:0:0:0:0:0:0:1]",
    "[::127.0.0.1]",
    "[64:ff9b::7f00:1]",
    "[2002:7f00:1::]",
    "１２７.0.0.1",
    "127。0。0。1",
]


@pytest.mark.parametrize("host", LOOPBACK)
async def test_this_machine_is_not_fetched_from_however_it_is_called(
    site: Website, guarded: Fetcher, host: str
) -> None:
    with pytest.raises(Unfetchable):
        await guarded.fetch(f"http://{host}:{site.port}/x")

    assert site.asked == []


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "localhost", "[::1]", "[::ffff:127.0.0.1]", "127.1", "2130706433", "0177.0.0.1", "0"],
)
async def test_the_refusal_says_that_the_address_is_not_public(
    site: Website, guarded: Fetcher, host: str
) -> None:
    with pytest.raises(BadUrl, match=r"not public.*\[outbound\] allow_private = true"):
        await guarded.fetch(f"http://{host}:{site.port}/x")


@pytest.mark.parametrize(
    "address",
    [
        "10.0.0.1",
        "172.16.0.1",
        "192.168.1.1",
        "100.64.0.1",
        "169.254.169.254",
        "192.0.2.1",
        "198.18.0.1",
        "192.88.99.1",
        "203.0.113.1",
        "224.0.0.1",
        "240.0.0.1",
        "255.255.255.255",
        "fe80::1",
        "fe80::1%eth0",
        "fc00::1",
        "fd00:ec2::254",
        "ff02::1",
        "2001:db8::1",
        "2001::1",
        "2002:a00:1::",
        "64:ff9b::a00:1",
        "64:ff9b:1::a00:1",
        "::ffff:10.0.0.1",
        "::ffff:169.254.169.254",
        "::a00:1",
        "127.1",
        "localhost",
        "",
    ],
)
def test_an_address_that_the_internet_cannot_reach_is_not_public(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize(
    "address", ["8.8.8.8", "93.184.215.14", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808"]
)
def test_an_address_that_the_internet_can_reach_is_public(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "x",
        "//127.0.0.1/x",
        "file:///etc/passwd",
        "data:text/plain,x",
        "javascript:alert(1)",
        "http://",
        "http:///x",
        "http://:80/",
        "http://[::1",
        "http://[nonsense]/",
        "http://127.0.0.1:99999/",
        "http://127.0.0.1:port/",
        "http://user:secret@127.0.0.1/",
        "http://user@127.0.0.1/",
        "http://" + "a" * 64 + ".example/",
        "http://a..b/",
        "http://\x00/",
        "http://127.0.0.1/" + "x" * 10_000,
    ],
    ids=lambda url: repr(url[:40]),
)
async def test_what_is_no_url_of_the_web_is_refused(free: Fetcher, url: str) -> None:
    with pytest.raises(Unfetchable):
        await free.fetch(url)


# ---- what goes wrong --------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [204, 206, 304, 401, 404, 500])
async def test_an_answer_that_is_no_success_is_reported_with_its_status(
    site: Website, free: Fetcher, status: int
) -> None:
    site.pages["/x"] = Page(status=status)

    with pytest.raises(Unfetchable, match=f"HTTP {status}"):
        await free.fetch(f"{site.url}/x")


async def test_a_body_that_says_it_is_too_large_is_not_read(site: Website, free: Fetcher) -> None:
    site.pages["/x"] = Page(b"", headers={"Content-Length": "100001"}, stuck=True)

    with pytest.raises(TooBig):
        await free.fetch(f"{site.url}/x")


async def test_a_body_that_does_not_end_is_left_at_the_limit(site: Website, free: Fetcher) -> None:
    site.pages["/x"] = Page(itertools.repeat(b"x" * 1000))

    with pytest.raises(TooBig, match="100000 bytes"):
        await free.fetch(f"{site.url}/x")


async def test_a_body_of_just_the_limit_is_taken(site: Website, free: Fetcher) -> None:
    site.pages["/x"] = Page(b"x" * 100_000)

    assert len((await free.fetch(f"{site.url}/x")).data) == 100_000


async def test_a_server_that_stalls_is_left(site: Website) -> None:
    site.pages["/x"] = Page([b"x"], stuck=True)
    async for hasty in fetcher(anywhere, seconds=0.1):
        with pytest.raises(Unfetchable, match=r"longer than 0\.1 seconds"):
            await hasty.fetch(f"{site.url}/x")


async def test_a_server_that_is_not_there_is_reported(free: Fetcher) -> None:
    with Website() as gone:
        url = gone.url

    with pytest.raises(Unfetchable, match="connection failed"):
        await free.fetch(f"{url}/x")
