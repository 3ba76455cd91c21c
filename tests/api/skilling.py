"""Skills as clients upload them, and how containers and skills look on the wire."""

import io
import zipfile
from collections.abc import Mapping
from typing import Any

from tests.api.asking import Json, Like, Now

CONTAINER_ID = Like("cntr_[0-9a-f]{48}")
FILE_ID = Like("cfile_[0-9a-f]{32}")
SKILL_ID = Like("skill_[0-9a-f]{48}")
VERSION_ID = Like("skillver_[0-9a-f]{48}")


def skill_md(name: str = "greeting", description: str = "How to greet.", more: str = "") -> bytes:
    return f"---\nname: {name}\ndescription: {description}\n{more}---\n\n# {name}\n".encode()


def folder(**members: Any) -> dict[str, bytes]:
    """The files of a skill, by their paths."""
    return {"greeting/SKILL.md": skill_md(**members), "greeting/words/hello.txt": b"Hello!"}


def zipped(files: Mapping[str, bytes]) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(zipfile.ZipInfo(name), data, zipfile.ZIP_DEFLATED)
    return packed.getvalue()


def unzipped(data: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def container(**members: Any) -> Json:
    """A Container object, as it goes over the wire."""
    return {
        "id": CONTAINER_ID,
        "object": "container",
        "name": "work",
        "created_at": Now(),
        "status": "running",
        "last_active_at": Now(),
        "expires_after": {"anchor": "last_active_at", "minutes": 20},
        "memory_limit": "1g",
        "network_policy": {"type": "disabled"},
    } | members


def container_file(container_id: str, **members: Any) -> Json:
    return {
        "id": FILE_ID,
        "object": "container.file",
        "container_id": container_id,
        "created_at": Now(),
        "bytes": 5,
        "source": "user",
    } | members


def skill(**members: Any) -> Json:
    """A Skill object, as it goes over the wire."""
    return {
        "id": SKILL_ID,
        "object": "skill",
        "name": "greeting",
        "description": "How to greet.",
        "created_at": Now(),
        "default_version": "1",
        "latest_version": "1",
    } | members


def skill_version(skill_id: str, number: int = 1, **members: Any) -> Json:
    return {
        "id": VERSION_ID,
        "object": "skill.version",
        "skill_id": skill_id,
        "version": str(number),
        "name": "greeting",
        "description": "How to greet.",
        "created_at": Now(),
    } | members
