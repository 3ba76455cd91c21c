"""What files are called in a container."""

import re
import secrets

from antiphon.sandbox.base import DATA, SKILLS

_LONGEST = 200
"""Bytes of a name, of 255 that a disk knows."""
_LONGEST_PATH = 1024
_LONGEST_ENDING = 20


def of_file(file_id: str, filename: str) -> str:
    """The path of a file of the Files API."""
    return f"{DATA}/{_fitting(f'{file_id}-', filename)}"


def of_upload(filename: str) -> str:
    """The path of a file that was put into the container itself."""
    return f"{DATA}/{_fitting(f'{secrets.token_hex(16)}-', filename)}"


def of_given(filename: str) -> str:
    """The path of a file that a request has attached: code that is written for its name finds it."""
    return f"{DATA}/{_fitting('', filename)}"


def of_picture(file_id: str, media_type: str) -> str:
    """The path of a picture that was displayed."""
    ending = {"image/jpeg": "jpg", "image/svg+xml": "svg"}.get(media_type, media_type.partition("/")[2])
    return f"{DATA}/{file_id}.{ending if ending.isalnum() else 'bin'}"


def shows_picture(file_id: str, path: str) -> bool:
    """Whether it is that of a picture."""
    return path.startswith(f"{DATA}/{file_id}.")


def of_skill(name: str) -> str:
    """The name of a skill's folder."""
    return f"{name}-{secrets.token_hex(16)}"


def skill_folder(folder: str) -> str:
    """Its path."""
    return f"{SKILLS}/{folder}"


def can_be_kept(path: str) -> bool:
    """Whether a file of the container may be shown by this path."""
    return path.startswith(f"{DATA}/") and path.isprintable() and len(path) <= _LONGEST_PATH


def _fitting(prefix: str, filename: str) -> str:
    """A name that a disk takes, with its ending whole."""
    name = "".join(letter for letter in re.split(r"[/\\]", filename)[-1] if letter.isprintable()).strip()
    stem, dot, ending = (name or "file").rpartition(".")
    if not stem or len(ending.encode()) > _LONGEST_ENDING:
        stem, dot, ending = name or "file", "", ""
    room = _LONGEST - len((prefix + dot + ending).encode())
    return prefix + stem.encode()[:room].decode(errors="ignore") + dot + ending
