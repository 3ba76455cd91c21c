"""Containers and skills, as they go over the wire (endpoints.md sections 5 and 6)."""

import re
from collections.abc import Sequence
from typing import Annotated, Literal

from msgspec import Meta

from antiphon.protocol import error_messages
from antiphon.protocol.errors import InvalidRequest
from antiphon.protocol.tools import (
    DomainSecret,
    FileIds,
    InlineSkill,
    MemoryLimit,
    NetworkDisabled,
    NetworkPolicy,
    SkillReference,
)
from antiphon.protocol.wire import Wire, shown

LONGEST_ID = 64
MOST_DOMAINS = 100
_LONGEST_DOMAIN = 253
_DOMAIN = re.compile(
    r"(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
).fullmatch


class ContainerExpiry(Wire):
    """After how long without a use a container expires."""

    anchor: Literal["last_active_at"]
    minutes: Annotated[int, Meta(ge=1)]


class ShownPolicy(Wire):
    """Which network a container has, without secrets."""

    type: Literal["disabled", "allowlist"]
    allowed_domains: list[str] | None = None


class Container(Wire, kw_only=True):
    """The Container object."""

    id: str
    object: Literal["container"] = shown("container")
    name: str
    created_at: int
    """Seconds since the epoch, like all times here."""
    status: Literal["running", "expired"]
    last_active_at: int
    expires_after: ContainerExpiry
    memory_limit: str
    network_policy: ShownPolicy


class ContainerFile(Wire, kw_only=True):
    """A file of a container."""

    id: str
    object: Literal["container.file"] = shown("container.file")
    container_id: str
    created_at: int
    bytes: int
    path: str
    source: Literal["user", "assistant"]


class Skill(Wire, kw_only=True):
    """The Skill object."""

    id: str
    object: Literal["skill"] = shown("skill")
    name: str
    description: str
    created_at: int
    default_version: str
    latest_version: str


class SkillVersion(Wire, kw_only=True):
    """A version of a skill."""

    id: str
    object: Literal["skill.version"] = shown("skill.version")
    skill_id: str
    version: str
    name: str
    description: str
    created_at: int


# ---- what is asked ----------------------------------------------------------------------------------


class CreateContainer(Wire):
    """The body of POST /containers."""

    name: Annotated[str, Meta(max_length=256)]
    file_ids: FileIds | None = None
    expires_after: ContainerExpiry | None = None
    memory_limit: MemoryLimit | None = None
    network_policy: NetworkPolicy | None = None
    skills: Annotated[list[SkillReference | InlineSkill], Meta(max_length=200)] | None = None


class AddContainerFile(Wire):
    """The body of POST /containers/{id}/files, where it is no form."""

    file_id: str


class UpdateSkill(Wire):
    """The body of POST /skills/{id}."""

    default_version: str


# ---- networks ---------------------------------------------------------------------------------------


def allowed_domains(policy: NetworkPolicy | None, path: str) -> Sequence[str]:
    """The hosts that a container may reach. `path`: where the request says so. Raises InvalidRequest."""
    if policy is None or isinstance(policy, NetworkDisabled):
        return ()
    where = f"{path}.allowed_domains"
    if not policy.allowed_domains:
        raise error_messages.too_short(where, [], 1, "array")
    if len(policy.allowed_domains) > MOST_DOMAINS:
        raise error_messages.too_long(where, policy.allowed_domains, MOST_DOMAINS, "array")
    domains = [_domain(name, f"{where}[{index}]") for index, name in enumerate(policy.allowed_domains)]
    if policy.domain_secrets is not None:
        raise _refused_secrets(policy.domain_secrets, f"{path}.domain_secrets")
    return list(dict.fromkeys(domains))


def shown_policy(domains: Sequence[str]) -> ShownPolicy:
    return ShownPolicy("allowlist", list(domains)) if domains else ShownPolicy("disabled")


def _domain(name: str, path: str) -> str:
    domain = name.lower()
    if len(domain) > _LONGEST_DOMAIN or not _DOMAIN(domain) or domain.rpartition(".")[2].isdigit():
        raise InvalidRequest(
            f"Invalid '{path}': '{error_messages.brief(name)}'. Expected the name of a host such as "
            "'pypi.org', without a scheme, a port, a path or a wildcard, and no IP address.",
            param=path,
            code="invalid_value",
        )
    return domain


def _refused_secrets(secrets: Sequence[DomainSecret], path: str) -> InvalidRequest:
    """An empty member is found out first: whoever mends it learns the rest."""
    if not secrets:
        return error_messages.too_short(path, [], 1, "array")
    for index, secret in enumerate(secrets):
        for member in ("domain", "name", "value"):
            if not getattr(secret, member):
                return error_messages.too_short(f"{path}[{index}].{member}", "", 1, "string")
    return error_messages.unsupported(
        path,
        "to put secrets into requests of code in a container, its encrypted connections would have to be "
        "opened on the way, which this server does not do",
    )
