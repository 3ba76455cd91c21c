"""Containers, files and skills, for tests of the room."""

import io
import zipfile
from base64 import b64encode
from collections.abc import Mapping
from pathlib import Path

from tests.containers.plain_driver import PlainDriver

from antiphon.containers.room import Room
from antiphon.protocol.tools import InlineSkill, SkillSource
from antiphon.sandbox.base import Logs
from antiphon.store.file_storage import About, FileStorage
from antiphon.tools.containers import NewContainer, Ran

P = "project"
SKILL_MD = b"---\nname: greeting\ndescription: How to greet.\n---\n\n# Greeting\n\nSay hello.\n"


def driver_of(room: Room) -> PlainDriver:
    assert isinstance(room._driver, PlainDriver)
    return room._driver


async def made(room: Room, project: str = P, **members: object) -> str:
    """The id of a new container."""
    return await room.create(project, NewContainer(**members))  # type: ignore[arg-type]


async def filed(room: Room, tmp_path: Path, content: bytes, name: str = "a.csv") -> str:
    """The id of a file of the Files API."""
    files = FileStorage(room.storage.store.files, room.storage.blobs)
    async with files.incoming() as incoming:
        await incoming.write(content)
        return (await files.add(P, incoming, About(name, "user_data"))).id


def printed(ran: Ran) -> str:
    assert ran.execution.error is None, ran.execution.error
    return "".join(output.text for output in ran.execution.outputs if isinstance(output, Logs))


async def content(room: Room, container_id: str, file_id: str, project: str = P) -> bytes:
    row = await room.storage.store.container_files.get(project, container_id, file_id)
    assert row is not None
    return b"".join([piece async for piece in room.storage.pieces(row.blob)])


def zipped(files: Mapping[str, bytes]) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(zipfile.ZipInfo(name), data, zipfile.ZIP_DEFLATED)
    return packed.getvalue()


def inline(files: Mapping[str, bytes] | None = None, name: str = "greeting") -> InlineSkill:
    data = zipped(files or {"greeting/SKILL.md": SKILL_MD, "greeting/words/hello.txt": b"Hello!"})
    source = SkillSource(media_type="application/zip", data=b64encode(data).decode())
    return InlineSkill(name=name, description="How to greet.", source=source)
