"""What the official SDK knows of the API, as sets of names in the ledger's words."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openai
from openai.types import (
    container_create_params,
    container_list_params,
    file_create_params,
    file_list_params,
    skill_create_params,
    skill_list_params,
    skill_update_params,
    upload_complete_params,
    upload_create_params,
)
from openai.types import responses as sdk
from openai.types.beta import BetaResponseInputItem, BetaResponseItem, BetaResponseOutputItem
from openai.types.containers import file_create_params as container_file_create_params
from openai.types.containers import file_list_params as container_file_list_params
from openai.types.conversations import (
    ConversationItem,
    conversation_create_params,
    conversation_update_params,
    item_create_params,
    item_list_params,
    item_retrieve_params,
)
from openai.types.responses import (
    input_item_list_params,
    response_create_params,
    response_retrieve_params,
    responses_client_event,
    responses_server_event,
)
from openai.types.responses.response_input_item import ResponseInputItem
from openai.types.skills import version_create_params, version_list_params
from openai.types.uploads import part_create_params
from tests.shapes import members, shape, tagged, values

CREATE = (
    response_create_params.ResponseCreateParamsNonStreaming,
    response_create_params.ResponseCreateParamsStreaming,
)
_RESOURCES = (
    "responses",
    "conversations",
    "models.py",
    "files.py",
    "uploads",
    "vector_stores",
    "containers",
    "skills",
    "moderations.py",
    "webhooks",
)
# Parameters whose insides have tables of their own, and how deep the others are listed.
_OWN_TABLES = ("input.", "tools.", "tool_choice.", "include.", "stream.")
_DEPTH = 2


def items() -> dict[str, list[Any]]:
    """The types of all items by their tags, wherever they may stand, those of the beta included."""
    found: dict[str, list[Any]] = {}
    for union in (
        ResponseInputItem,
        sdk.ResponseOutputItem,
        sdk.ResponseItem,
        ConversationItem,
        BetaResponseInputItem,
        BetaResponseOutputItem,
        BetaResponseItem,
    ):
        for tag, kinds in tagged(union).items():
            found.setdefault(tag, []).extend(kinds)
    return found


def known() -> dict[str, set[str]]:
    """For each kind of rows, the keys that the SDK has."""
    text = {
        path for tag, kinds in items().items() for path in shape(*kinds) if tag in ("message", "reasoning")
    }
    return {
        "endpoint": set(endpoints()),
        "param": params(),
        "item.input": set(tagged(ResponseInputItem)),
        "item.output": set(tagged(sdk.ResponseOutputItem)),
        "item.conversation": set(tagged(ConversationItem)) | set(tagged(ResponseInputItem)),
        "part": _names(text, r"^(?:content|summary)\[\]\[(\w+)\]$"),
        "annotation": _names(text, r"\.annotations\[\]\[(\w+)\]$"),
        "tool": set(tagged(sdk.Tool)) | set(tool_members()),
        "tool_choice": values(_choice()) | set(tagged(_choice())),
        "include": values(sdk.ResponseIncludable),
        "event": set(tagged(sdk.ResponseStreamEvent)),
        "ws.client": set(tagged(responses_client_event.ResponsesClientEvent)),
        "ws.server": set(tagged(responses_server_event.ResponsesServerEvent))
        - set(tagged(sdk.ResponseStreamEvent)),
        "field": set(members(sdk.Response)),
        "status": values(members(sdk.Response)["status"]),
        "incomplete": _names(shape(sdk.Response), r"^incomplete_details\.reason=(\w+)$"),
        "failure": _names(shape(sdk.Response), r"^error\.code=(\w+)$"),
        **{f"query.{name}": set(members(kind)) - _PATH for name, kind in _QUERIES.items()},
        **{f"body.{name}": set(members(kind)) for name, kind in _BODIES.items()},
        "query.conversations.items.create": _CREATED_ITEMS & {"include"},
        "body.conversations.items.create": _CREATED_ITEMS - {"include"},
    }


_PATH = {"response_id", "conversation_id"}
_QUERIES: dict[str, Any] = {
    "responses.retrieve": response_retrieve_params.ResponseRetrieveParamsStreaming,
    "responses.input_items": input_item_list_params.InputItemListParams,
    "conversations.items.list": item_list_params.ItemListParams,
    "conversations.items.retrieve": item_retrieve_params.ItemRetrieveParams,
    "files.list": file_list_params.FileListParams,
    "containers.list": container_list_params.ContainerListParams,
    "containers.files.list": container_file_list_params.FileListParams,
    "skills.list": skill_list_params.SkillListParams,
    "skills.versions.list": version_list_params.VersionListParams,
}
_BODIES: dict[str, Any] = {
    "conversations.create": conversation_create_params.ConversationCreateParams,
    "conversations.update": conversation_update_params.ConversationUpdateParams,
    "files.create": file_create_params.FileCreateParams,
    "uploads.create": upload_create_params.UploadCreateParams,
    "uploads.parts.create": part_create_params.PartCreateParams,
    "uploads.complete": upload_complete_params.UploadCompleteParams,
    "containers.create": container_create_params.ContainerCreateParams,
    "containers.files.create": container_file_create_params.FileCreateParams,
    "skills.create": skill_create_params.SkillCreateParams,
    "skills.update": skill_update_params.SkillUpdateParams,
    "skills.versions.create": version_create_params.VersionCreateParams,
}
# One type for the query and the body.
_CREATED_ITEMS = set(members(item_create_params.ItemCreateParams)) - _PATH


def params() -> set[str]:
    """The parameters of POST /responses, with their members and values down to a depth."""
    top = set(members(CREATE[0]))
    return top | {
        path for path in all_params() if path.count(".") < _DEPTH and not path.startswith(_OWN_TABLES)
    }


def all_params() -> set[str]:
    """The same to any depth: `text.format.json_schema`. Values of what takes any text are no names."""
    paths = shape(*CREATE)
    free = {path.rpartition("=")[0] for path in paths if path.endswith(("=*", "=?"))}
    closed = {path for path in paths if path.rpartition("=")[0] not in free or "=" not in path}
    return {re.sub(r"\[\]|\]", "", path).replace("[", ".").replace("=", ".") for path in closed}


# What is told elsewhere: the tools of a namespace have rows of their own, filters may stand in filters.
_TOLD = re.compile(r"^(namespace\.tools\.|file_search\.filters\.(and|or)\.)")
_NAMED_VALUES = ("mcp.connector_id.",)
"""Values of a tool's members that are names of something."""


def tool_members() -> Iterator[str]:
    """The members of each tool, to any depth: `file_search.ranking_options.ranker`. Of two names for the same
    type the shorter one has them."""
    names: dict[tuple[Any, ...], str] = {}
    for tag, kinds in tagged(sdk.Tool).items():
        names[tuple(kinds)] = min(tag, names.get(tuple(kinds), tag), key=len)
    for kinds, tag in names.items():
        for path in shape(*kinds):
            name = re.sub(r"\[\]|\]", "", f"{tag}.{path}").replace("[", ".")
            is_value = "=" in name
            name = name.replace("=", ".")
            told = _TOLD.match(name) or (is_value and not name.startswith(_NAMED_VALUES))
            if not told and not name.endswith((".*", ".?")):
                yield name


def _choice() -> Any:
    return response_create_params.ToolChoice


def _names(paths: set[str], pattern: str) -> set[str]:
    return {match[1] for path in paths if (match := re.search(pattern, path))}


# ---- endpoints --------------------------------------------------------------------------------------


def endpoints() -> Iterator[str]:
    """`POST /responses` and so on: what the SDK's resources ask for, read from their sources."""
    yield "GET /responses (WebSocket)"
    root = Path(openai.__file__).parent / "resources"
    for name in _RESOURCES:
        path = root / name
        for file in [path] if path.suffix else path.rglob("*.py"):
            for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
                    yield from _endpoint(node, node.func.attr)


def _endpoint(call: ast.Call, method: str) -> Iterator[str]:
    if method not in ("_get", "_post", "_put", "_patch", "_delete", "_get_api_list"):
        return
    place = call.args[0].args[0] if isinstance(call.args[0], ast.Call) else call.args[0]
    given = [word.value for word in call.keywords if word.arg == "method"]
    verb = ast.literal_eval(given[0]) if given else method.split("_")[1]
    yield f"{verb.upper()} {ast.literal_eval(place)}"
