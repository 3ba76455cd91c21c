"""Section: documents that take long to read, and those of others meanwhile."""

import asyncio
import base64
import time
from typing import Any

from tests.attack.world import Effort, Told, World
from tests.papers import docx, laborious_pdf
from tests.scripted import Answer

Json = Any
MOST_WAIT = 10.0
"""Seconds that a small document of another project may take meanwhile."""


async def slow_documents(world: World, effort: Effort) -> None:
    """One project has several documents read that take for ever; another one has a small one."""
    world.upstream.default = Answer("ok")
    slow = laborious_pdf(pages=3, strokes=600_000)
    async with world.watched("a small document beside four slow ones") as held:
        asked = [asyncio.create_task(_read(world, slow + b"%d" % n, "a.pdf", "mallory")) for n in range(4)]
        await asyncio.sleep(1)
        begun = time.monotonic()
        told = await _read(world, docx("Hello"), "a.docx", "alice")
        waited = time.monotonic() - begun
        held.status = str(told.status)
        if told.status != 200 or waited > MOST_WAIT:
            world.broken(
                f"a small document waits for those of another project: {told.status}, {waited:.1f} s"
            )
        if not effort.quick:
            await asyncio.gather(*asked)
        for task in asked:
            task.cancel()
        await asyncio.gather(*asked, return_exceptions=True)


async def _read(world: World, document: bytes, name: str, project: str) -> Told:
    world.record.tried["documents"] += 1
    data = f"data:application/octet-stream;base64,{base64.b64encode(document).decode()}"
    part = {"type": "input_file", "filename": name, "file_data": data}
    body: Json = {"model": "m", "input": [{"role": "user", "content": [part]}]}
    return await world.ask("POST", "/v1/responses", body, project)
