"""Section: one project reaches for what belongs to another, by every kind of id and on every way."""

from collections.abc import Iterator
from typing import Any

from tests.attack.world import Effort, World

Json = Any
Request = tuple[str, str, Json]
SECRET = "the-secret-of-alice"


async def across_projects(world: World, effort: Effort) -> None:
    """Everything that mallory can say to get at what alice has."""
    ids = await world.ids("alice", SECRET)
    for method, path, body in [*_paths(ids), *_bodies(ids)][: effort.most]:
        world.record.tried["tenancy"] += 1
        told = await world.ask(method, path, body)
        if SECRET.encode() in told.body:
            world.broken(f"{method} {path} {body} shows what belongs to another project")
        if told.status == 200 and not _harmless(told.json):
            world.broken(f"{method} {path} {body} reaches what belongs to another project")
    await _still_there(world, ids)


def _harmless(answer: Json) -> bool:
    """A listing may be there, and empty."""
    return isinstance(answer, dict) and answer.get("data") == []


def _paths(ids: dict[str, str]) -> Iterator[Request]:
    for ways in _WAYS.values():
        for way in ways:
            for method, body in (("GET", None), ("POST", {}), ("DELETE", None)):
                yield method, way.format(**ids), body
    yield "GET", f"/v1/responses/{ids['response']}?stream=true", None
    yield "POST", f"/v1/conversations/{ids['conversation']}", {"metadata": {"a": "b"}}
    item = {"type": "message", "role": "user", "content": "mine"}
    yield "POST", f"/v1/conversations/{ids['conversation']}/items", {"items": [item]}
    yield "POST", f"/v1/prompts/{ids['prompt']}", {"instructions": "mine"}
    yield "POST", f"/v1/uploads/{ids['upload']}/complete", {"part_ids": ["part_1"]}
    yield "POST", f"/v1/containers/{ids['container']}/files", {"file_id": ids["file"]}
    yield "POST", "/v1/containers", {"name": "mine", "file_ids": [ids["file"]]}
    reference = {"type": "skill_reference", "skill_id": ids["skill"]}
    yield "POST", "/v1/containers", {"name": "mine", "skills": [reference]}
    yield "POST", f"/v1/skills/{ids['skill']}", {"default_version": "1"}
    for listing in ("/v1/prompts", "/v1/files", "/v1/containers", "/v1/skills"):
        for kind in ("prompt", "file", "container", "skill"):
            yield "GET", f"{listing}?after={ids[kind]}", None


_WAYS = {
    "response": (
        "/v1/responses/{response}",
        "/v1/responses/{response}/input_items",
        "/v1/responses/{response}/cancel",
    ),
    "conversation": (
        "/v1/conversations/{conversation}",
        "/v1/conversations/{conversation}/items",
        "/v1/conversations/{conversation}/items/{item}",
    ),
    "prompt": ("/v1/prompts/{prompt}", "/v1/prompts/{prompt}/versions", "/v1/prompts/{prompt}?version=1"),
    "file": ("/v1/files/{file}", "/v1/files/{file}/content"),
    "container": (
        "/v1/containers/{container}",
        "/v1/containers/{container}/files",
        "/v1/containers/{container}/files/{held}",
        "/v1/containers/{container}/files/{held}/content",
    ),
    "skill": (
        "/v1/skills/{skill}",
        "/v1/skills/{skill}/content",
        "/v1/skills/{skill}/versions",
        "/v1/skills/{skill}/versions/1",
        "/v1/skills/{skill}/versions/1/content",
    ),
    "upload": ("/v1/uploads/{upload}", "/v1/uploads/{upload}/parts", "/v1/uploads/{upload}/cancel"),
}


def _bodies(ids: dict[str, str]) -> Iterator[Request]:
    """Ids that stand in a request, on every endpoint that takes one."""
    part = {"type": "input_image", "file_id": ids["file"]}
    document = {"type": "input_file", "file_id": ids["file"]}
    approval = {"type": "mcp_approval_response", "approval_request_id": ids["item"], "approve": True}
    references: list[Json] = [
        {"input": "Hi", "previous_response_id": ids["response"]},
        {"input": "Hi", "conversation": ids["conversation"]},
        {"input": "Hi", "conversation": {"id": ids["conversation"]}},
        {"input": [{"type": "item_reference", "id": ids["item"]}]},
        {"input": [{"id": ids["item"]}]},
        {"input": [{"role": "user", "content": [part]}]},
        {"input": [{"role": "user", "content": [document]}]},
        {"input": [approval]},
        {"input": "Hi", "prompt": {"id": ids["prompt"]}},
        {"input": "Hi", "prompt": {"id": ids["prompt"], "version": "1"}},
    ]
    for reference in references:
        for path in ("/v1/responses", "/v1/responses/input_tokens", "/v1/responses/compact"):
            yield "POST", path, {"model": "m", **reference}
        yield "POST", "/v1/responses", {"model": "m", "background": True, **reference}


async def _still_there(world: World, ids: dict[str, str]) -> None:
    """Nothing of what was tried has changed or removed anything."""
    for kind, path in _SHOWN.items():
        told = await world.ask("GET", path.format(**ids), project="alice")
        if told.status != 200 or SECRET.encode() not in told.body:
            world.broken(f"what alice has ({kind}) is not as it was: {told.status} {told.body[:200]!r}")


_SHOWN = {
    "response": "/v1/responses/{response}/input_items",
    "conversation": "/v1/conversations/{conversation}/items",
    "prompt": "/v1/prompts/{prompt}",
    "file": "/v1/files/{file}/content",
    "container": "/v1/containers/{container}",
    "file of a container": "/v1/containers/{container}/files/{held}/content",
    "skill": "/v1/skills/{skill}",
}
