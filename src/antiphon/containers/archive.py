"""Zips of skills, as strangers send them: what is in them, and whether it may come in.

`look` and `pack` are called in a child process with limits (`guard.pool`): whatever a zip or its front matter
does to who reads it, it does there. What has passed may be unpacked anywhere: `members` and `unpacked`.

The rules are those of the skills API and of https://agentskills.io/specification; the bound of all files
together is ours.
"""

import io
import re
import stat
import unicodedata
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from typing import Any

MOST_BYTES = 50 * 2**20
"""Of a zip."""
MOST_FILES = 500
MOST_FILE_BYTES = 25 * 2**20
MOST_UNPACKED = 256 * 2**20
"""Bytes of all files together."""
_MOST_ENTRIES = 2 * MOST_FILES
"""Files and folders."""
_LONGEST_PATH = 512
_LONGEST_PART = 200
"""Bytes of a name."""
_DEEPEST = 32
"""Names of a path: a sandbox takes twice as many."""
_MOST_FRONT = 64 * 1024
"""Bytes of the front matter."""
_PIECE = 2**20
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_KINDS = (0, stat.S_IFREG, stat.S_IFDIR)
_LITTER = ("__MACOSX", ".DS_Store")
"""What a Mac puts into zips."""
_NAME = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*").fullmatch
_DRIVE = re.compile(r"[A-Za-z]:").match
_FRONT = re.compile(r"---[ \t]*\r?\n(.*?)^---[ \t]*\r?$", re.DOTALL | re.MULTILINE).match
_BROKEN = (zipfile.BadZipFile, zlib.error, EOFError, OSError, NotImplementedError, RuntimeError, KeyError)

Path = tuple[str, ...]
"""Of a file in the skill's folder, without the folder."""


class BadArchive(ValueError):
    """It may not come in; the message says why."""


def look(data: bytes) -> tuple[str, str]:
    """The name and the description of the skill in a zip. Raises BadArchive."""
    if len(data) > MOST_BYTES:
        raise BadArchive(f"the zip is larger than {MOST_BYTES} bytes")
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            return _look(archive)
    except _BROKEN as error:
        raise BadArchive(f"it is no zip file that can be read ({error})") from error


def pack(names: Sequence[str], sizes: Sequence[int], data: bytes) -> tuple[bytes, str, str]:
    """A zip of files, whose contents follow each other in `data`, and what `look` says of it. Raises
    BadArchive."""
    packed, at = io.BytesIO(), 0
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, size in zip(names, sizes, strict=True):
            _parts(name)
            archive.writestr(zipfile.ZipInfo(name), data[at : at + size], zipfile.ZIP_DEFLATED)
            at += size
    zipped = packed.getvalue()
    return zipped, *look(zipped)


def members(archive: zipfile.ZipFile) -> list[tuple[zipfile.ZipInfo, Path]]:
    """The files of a skill's folder. Raises BadArchive."""
    entries = archive.infolist()
    if len(entries) > _MOST_ENTRIES:
        raise BadArchive(f"it has more than {MOST_FILES} files")
    found = [(entry, parts) for entry in entries if (parts := _checked(entry))]
    files = [(entry, parts) for entry, parts in found if not entry.is_dir()]
    if len(files) > MOST_FILES:
        raise BadArchive(f"it has more than {MOST_FILES} files")
    if sum(entry.file_size for entry, _ in files) > MOST_UNPACKED:
        raise BadArchive(f"its files have more than {MOST_UNPACKED} bytes together")
    _check_names([parts for _, parts in files])
    tops = {parts[0] for _, parts in found}
    if len(tops) != 1 or any(len(parts) < 2 for _, parts in files):
        raise BadArchive("all files must be in one folder at the top, which has the skill's name")
    return [(entry, parts[1:]) for entry, parts in files]


def unpacked(archive: zipfile.ZipFile) -> Iterator[tuple[Path, bytes]]:
    """The files of a skill, one after another."""
    for entry, path in members(archive):
        yield path, archive.read(entry)


# ---- names ------------------------------------------------------------------------------------------


def _checked(entry: zipfile.ZipInfo) -> Path:
    """The parts of its path; none: it is litter. Raises BadArchive."""
    name = entry.orig_filename
    parts = _parts(name.removesuffix("/"))
    if parts[0] in _LITTER or parts[-1] in _LITTER:
        return ()
    if entry.create_system == 3 and stat.S_IFMT(entry.external_attr >> 16) not in _KINDS:
        raise BadArchive(f"{name!r} is a link, or no regular file")
    if entry.flag_bits & 1:
        raise BadArchive(f"{name!r} is encrypted")
    if entry.compress_type not in _METHODS:
        raise BadArchive(f"{name!r} is compressed in a way that is not taken: use deflate")
    if entry.file_size > MOST_FILE_BYTES:
        raise BadArchive(f"{name!r} is larger than {MOST_FILE_BYTES} bytes")
    return parts


def _parts(name: str) -> Path:
    """Raises BadArchive for a path that leads elsewhere, or is none."""
    parts = tuple(name.split("/"))
    shown = ascii(name[:_LONGEST_PATH])
    if "\\" in name or _DRIVE(name) or any(part in ("", ".", "..") for part in parts):
        raise BadArchive(f"{shown} is no path inside the skill's folder")
    if not name.isprintable() or len(name) > _LONGEST_PATH:
        raise BadArchive(f"{shown} is too long, or has letters that no name should have")
    if len(parts) > _DEEPEST:
        raise BadArchive(f"{shown} lies in more than {_DEEPEST - 1} folders within each other")
    if any(len(part.encode()) > _LONGEST_PART for part in parts):
        raise BadArchive(f"{shown} has a part that is too long")
    return parts


def _check_names(paths: Sequence[Path]) -> None:
    """Raises BadArchive where two names are one on some disk."""
    files = {_folded(path) for path in paths}
    folders = {_folded(path[:depth]) for path in paths for depth in range(1, len(path))}
    if len(files) < len(paths) or files & folders:
        raise BadArchive("two of its files have the same name, or differ in case alone")


def _folded(path: Path) -> str:
    return unicodedata.normalize("NFKC", "/".join(path)).casefold()


# ---- what it says of itself -------------------------------------------------------------------------


def _look(archive: zipfile.ZipFile) -> tuple[str, str]:
    files = members(archive)
    named = [(entry, path) for entry, path in files if path[-1].casefold() == "skill.md"]
    if len(named) != 1 or len(named[0][1]) != 1:
        raise BadArchive("it must have exactly one SKILL.md, directly in the skill's folder")
    front = _front_matter(archive.read(named[0][0]))
    for entry, _ in files:
        _read_through(archive, entry)
    folder = named[0][0].filename.split("/")[0]
    return _name(front, folder), _description(front)


def _read_through(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> None:
    """It is as long as it says, and has its checksum."""
    with archive.open(entry) as file:
        while file.read(_PIECE):
            pass


def _front_matter(content: bytes) -> dict[str, Any]:
    import yaml  # only children need it

    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise BadArchive("SKILL.md is not in UTF-8") from None
    found = _FRONT(text[:_MOST_FRONT])
    if found is None:
        raise BadArchive("SKILL.md must begin with front matter: YAML between two lines of '---'")
    try:
        front = yaml.safe_load(found[1])
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise BadArchive(f"the front matter of SKILL.md is no YAML ({error})") from error
    if not isinstance(front, dict):
        raise BadArchive("the front matter of SKILL.md must be a mapping with 'name' and 'description'")
    _check_optional(front)
    return front


def _name(front: dict[str, Any], folder: str) -> str:
    name = front.get("name")
    if not isinstance(name, str) or not is_name(name):
        raise BadArchive(
            "'name' in SKILL.md must have 1 to 64 letters a-z, digits and hyphens, with no hyphen at either "
            "end and no two in a row"
        )
    if name != folder:
        raise BadArchive(f"'name' in SKILL.md is {name!r}, but its folder is called {folder!a}")
    return name


def is_name(name: str) -> bool:
    """Whether a skill may be called so."""
    return len(name) <= 64 and _NAME(name) is not None


def _description(front: dict[str, Any]) -> str:
    description = front.get("description")
    if not isinstance(description, str) or not 1 <= len(description.strip()) <= 1024:
        raise BadArchive("'description' in SKILL.md must be a text of 1 to 1,024 characters")
    return description.strip()


def _check_optional(front: dict[str, Any]) -> None:
    """Raises BadArchive for members that may be left out, and are not what they should be."""
    if not isinstance(front.get("license", ""), str):
        raise BadArchive("'license' in SKILL.md must be a text")
    compatibility = front.get("compatibility", "")
    if not isinstance(compatibility, str) or len(compatibility) > 500:
        raise BadArchive("'compatibility' in SKILL.md must be a text of up to 500 characters")
    if not isinstance(front.get("metadata") or {}, dict):
        raise BadArchive("'metadata' in SKILL.md must be a mapping")
    if not isinstance(front.get("allowed-tools") or "", str | list):
        raise BadArchive("'allowed-tools' in SKILL.md must be a text or a list")
