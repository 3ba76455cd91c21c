"""The floor: a proxy that parses nothing. What it costs is what Python costs.

aiohttp in, aiohttp out, on uvloop; bytes leave as they arrive.
"""

import argparse
import multiprocessing
from collections.abc import AsyncIterator

import aiohttp
import uvloop
from aiohttp import web

_UPSTREAM = web.AppKey("upstream", str)
_SESSION = web.AppKey("session", aiohttp.ClientSession)


async def forward(request: web.Request) -> web.StreamResponse:
    body = await request.read()
    url = request.app[_UPSTREAM] + request.path
    headers = {"Content-Type": "application/json"}
    async with request.app[_SESSION].post(url, data=body, headers=headers) as upstream:
        answer = web.StreamResponse(status=upstream.status)
        answer.content_type = upstream.content_type
        await answer.prepare(request)
        async for data in upstream.content.iter_any():
            await answer.write(data)
        await answer.write_eof()
        return answer


async def _session(app: web.Application) -> AsyncIterator[None]:
    async with aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0),
        cookie_jar=aiohttp.DummyCookieJar(),
        timeout=aiohttp.ClientTimeout(total=None),
    ) as session:
        app[_SESSION] = session
        yield


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.floor", description=__doc__)
    parser.add_argument("--upstream", default="http://127.0.0.1:9100")
    parser.add_argument("--port", type=int, default=9101)
    parser.add_argument("--workers", type=int, default=1, help="processes, to which the kernel deals")
    arguments = parser.parse_args()
    for _ in range(arguments.workers - 1):  # daemons end with this process
        multiprocessing.Process(target=_serve, args=(arguments,), daemon=True).start()
    _serve(arguments)


def _serve(arguments: argparse.Namespace) -> None:
    app = web.Application()
    app[_UPSTREAM] = arguments.upstream
    app.cleanup_ctx.append(_session)
    app.router.add_post("/v1/chat/completions", forward)
    uvloop.install()
    web.run_app(
        app,
        host="127.0.0.1",
        port=arguments.port,
        print=None,
        access_log=None,
        backlog=2048,
        reuse_port=arguments.workers > 1,
    )


if __name__ == "__main__":
    main()
