"""Keys are made, limited and revoked: by whom runs the server, or within a project by an administrator of its
own."""

import re
import time
from collections.abc import Sequence
from typing import Any

from msgspec import Struct, to_builtins

from antiphon.keys.secret import PREFIX, digest_of, new_secret
from antiphon.protocol.ids import new_key_id
from antiphon.protocol.tiers import TIERS
from antiphon.store.errors import AlreadyExists
from antiphon.store.keys import KeyLimits, KeyRow, Keys

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}")
_PATTERN = re.compile(r"[^\s,]{1,256}")
_MOST = 2**53
_MOST_MODELS = 100


class BadKey(ValueError):
    """A key cannot be as it is wanted; the message says why, and what is right."""


class NewKey(Struct, frozen=True):
    """A key that was just made. `secret` is shown now or never."""

    secret: str
    row: KeyRow


class Issuer:
    """Makes and changes the keys of one project; None: of all, as operators and the command line do."""

    def __init__(self, keys: Keys, project: str | None) -> None:
        self._keys = keys
        self._project = project

    async def create(
        self,
        project: str,
        name: str,
        limits: KeyLimits,
        expires_at: int | None = None,
        admin: bool = False,
    ) -> NewKey:
        """Raises BadKey."""
        if self._project is not None and (admin or project != self._project):
            raise BadKey("Only an administrator makes keys of other projects, and of administrators.")
        _check_name(project, "project")
        _check_name(name, "key")
        _check(limits, expires_at)
        secret = new_secret()
        row = KeyRow(
            id=new_key_id(),
            project=project,
            name=name,
            digest=digest_of(secret),
            hint=f"{PREFIX}…{secret[-4:]}",
            admin=admin,
            limits=limits,
            created_at=int(time.time()),
            expires_at=expires_at,
        )
        try:
            await self._keys.add(row)
        except AlreadyExists:
            raise BadKey(
                f"Project '{project}' has a key '{name}' already: revoke it, or take another name."
            ) from None
        return NewKey(secret, row)

    async def listed(self) -> Sequence[KeyRow]:
        """The newest first."""
        return await self._keys.newest(self._project)

    async def found(self, named: str) -> KeyRow:
        """The key with that id or name, not revoked. Raises BadKey."""
        by_id = await self._keys.get(self._project, named)
        found = [by_id] if by_id is not None else [each for each in await self.listed() if each.name == named]
        found = [each for each in found if each.revoked_at is None]
        if not found:
            raise BadKey(f"There is no key '{brief(named)}' that is not revoked.")
        if len(found) > 1:
            ids = ", ".join(f"{each.id} ({each.project})" for each in found)
            raise BadKey(f"Several projects have a key '{brief(named)}'. Name it by its id: {ids}.")
        return found[0]

    async def limit(self, named: str, limits: KeyLimits, expires_at: int | None) -> None:
        """What the key may from now on, instead of all before. Raises BadKey."""
        _check(limits, expires_at)
        row = await self.found(named)
        await self._keys.limit(self._project, row.id, limits, expires_at)

    async def revoke(self, named: str) -> KeyRow:
        """Raises BadKey."""
        row = await self.found(named)
        await self._keys.revoke(self._project, row.id, int(time.time()))
        return row


def shown(row: KeyRow) -> dict[str, Any]:
    """A key for people and programs: all of it but the digest, by which it is found."""
    members: dict[str, Any] = to_builtins(row)
    del members["digest"]
    return members


def brief(text: str) -> str:
    return text if len(text) <= 64 else f"{text[:64]}…"


def _check_name(name: str, what: str) -> None:
    if not _NAME.fullmatch(name):
        raise BadKey(
            f"The name of a {what} has up to 64 letters, digits, -, _ and dots, not '{brief(name)}'."
        )


def _check(limits: KeyLimits, expires_at: int | None) -> None:
    for member in ("requests_per_minute", "tokens_per_minute", "concurrency", "token_budget"):
        value = getattr(limits, member)
        if value is not None and not 1 <= value <= _MOST:
            raise BadKey(f"{member} is a number from 1, not {value}.")
    if len(limits.models) > _MOST_MODELS:
        raise BadKey(f"models has at most {_MOST_MODELS} names and patterns.")
    for model in limits.models:
        if not _PATTERN.fullmatch(model):
            raise BadKey(f"models has names and patterns such as gpt-*, not '{brief(model)}'.")
    for tier in limits.service_tiers:
        if tier not in TIERS:
            raise BadKey(f"service_tiers has {', '.join(TIERS)}, not '{brief(tier)}'.")
    if expires_at is not None and expires_at <= time.time():
        raise BadKey("expires_at is in the past.")
