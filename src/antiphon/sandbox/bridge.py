"""The inside end of the way out of a sandbox: a port of its loopback leads to a socket in its folder.

Runs inside, on the standard library alone (`sandbox/programs.py` starts it). Arguments: the port, the socket,
and a file that says that it listens.
"""

import asyncio
import contextlib
import sys


async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while piece := await reader.read(65536):
            writer.write(piece)
            await writer.drain()
        writer.write_eof()


async def main(port: int, path: str, ready: str) -> None:
    async def join(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            outer_reader, outer_writer = await asyncio.open_unix_connection(path)
            await asyncio.gather(pump(reader, outer_writer), pump(outer_reader, writer))
            outer_writer.close()
        writer.close()

    server = await asyncio.start_server(join, "127.0.0.1", port)
    open(ready, "w").close()  # noqa: ASYNC230
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), sys.argv[2], sys.argv[3]))
