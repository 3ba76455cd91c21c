"""What a request says of the container that a tool is to have."""

import json
from typing import Any

import pytest
from openai import OpenAI
from tests.api.asking import Json, refused
from tests.ledger import covers, ids_of
from tests.scripted import Answer, Upstream
from tests.tools.coding.serving import Coding
from tests.tools.using import ask, calls, offered

OUTPUTS = "code_interpreter_call.outputs"
SECRET = {"domain": "example.com", "name": "KEY", "value": "secret-of-domain"}


def code_interpreter(**members: Any) -> Json:
    return {"type": "code_interpreter", "container": {"type": "auto", **members}}


def shell(**members: Any) -> Json:
    return {"type": "shell", "environment": {"type": "container_auto", **members}}


TOOLS = pytest.mark.parametrize(
    ("tool", "place"),
    [(code_interpreter, "tools[0].container"), (shell, "tools[0].environment")],
    ids=["code_interpreter", "shell"],
)
LOOK = {
    "python": calls("python", json.dumps({"code": "import os\nsorted(os.listdir('/mnt/data'))"})),
    "shell": calls("shell", '{"commands": ["ls"]}'),
}


@covers(
    "tool.code_interpreter.container.auto.file_ids",
    "tool.shell.environment.container_auto.file_ids",
)
@TOOLS
def test_files_that_it_is_to_have_are_there(
    client: OpenAI, upstream: Upstream, coding: Coding, tool: Any, place: str
) -> None:
    file = client.files.create(file=("ducks.csv", b"a,b"), purpose="user_data")
    name = "python" if tool is code_interpreter else "shell"
    upstream.script(LOOK[name], Answer("ok"), Answer("ok"))

    first = ask(client, tool(file_ids=[file.id]))
    ask(client, tool(file_ids=[file.id]), previous_response_id=first["id"])

    path = f"/mnt/data/{file.id}-ducks.csv"
    for which in (0, -1):
        assert f"Files that are there: {path}" in offered(upstream, which)[name]["description"]
    assert path.rpartition("/")[2] in json.dumps(upstream.requests[1].body["messages"])
    assert coding.content(coding.made[-1], path) == b"a,b"


@covers(
    "tool.code_interpreter.container.auto.network_policy",
    "tool.code_interpreter.container.auto.network_policy.disabled",
    "tool.code_interpreter.container.auto.network_policy.allowlist",
    "tool.code_interpreter.container.auto.network_policy.allowlist.allowed_domains",
    "tool.shell.environment.container_auto.network_policy",
    "tool.shell.environment.container_auto.network_policy.disabled",
    "tool.shell.environment.container_auto.network_policy.allowlist",
    "tool.shell.environment.container_auto.network_policy.allowlist.allowed_domains",
)
@TOOLS
def test_it_reaches_the_hosts_that_the_request_allows(
    client: OpenAI, upstream: Upstream, coding: Coding, tool: Any, place: str
) -> None:
    name = "python" if tool is code_interpreter else "shell"
    upstream.script(LOOK[name], Answer("ok"), LOOK[name], Answer("ok"))
    allowed = {"type": "allowlist", "allowed_domains": ["PyPI.org", "pypi.org"]}

    ask(client, tool(network_policy=allowed))
    open_to = coding.driver.wanted[-1]
    ask(client, tool(network_policy={"type": "disabled"}))

    assert open_to.domains == ["pypi.org"]
    assert coding.driver.wanted[-1].domains == []
    assert coding.container(coding.made[-2]).network_policy.type == "allowlist"  # type: ignore[union-attr]
    if tool is code_interpreter:
        assert "reaches pypi.org alone" in offered(upstream, 0)[name]["description"]


@covers("tool.shell.environment.container_auto.memory_limit")
def test_it_has_the_memory_that_the_request_gives_it(
    client: OpenAI, upstream: Upstream, coding: Coding
) -> None:
    upstream.script(Answer("ok"))

    ask(client, shell(memory_limit="4g"))

    assert coding.container(coding.made[-1]).memory_limit == "4g"


@covers(
    *ids_of("tool.code_interpreter", does="refuses"),
    *ids_of("tool.shell", does="refuses"),
)
@pytest.mark.parametrize(
    ("members", "code", "at"),
    [
        ({"file_ids": [f"file-{n}" for n in range(51)]}, "array_above_max_length", "file_ids"),
        ({"memory_limit": "2g"}, "invalid_value", "memory_limit"),
        ({"memory_limit": "64g"}, "memory_limit_exceeded", "memory_limit"),
        ({"files": []}, "unknown_parameter", "files"),
        (
            {"network_policy": {"type": "allowlist", "allowed_domains": []}},
            "empty_array",
            "network_policy.allowed_domains",
        ),
        (
            {"network_policy": {"type": "allowlist", "allowed_domains": ["https://a.example/b"]}},
            "invalid_value",
            "network_policy.allowed_domains[0]",
        ),
        (
            {
                "network_policy": {
                    "type": "allowlist",
                    "allowed_domains": ["example.com"],
                    "domain_secrets": [SECRET],
                }
            },
            "unsupported_parameter",
            "network_policy.domain_secrets",
        ),
        *(
            (
                {
                    "network_policy": {
                        "type": "allowlist",
                        "allowed_domains": ["example.com"],
                        "domain_secrets": [SECRET | {member: ""}],
                    }
                },
                "empty_string",
                f"network_policy.domain_secrets[0].{member}",
            )
            for member in SECRET
        ),
    ],
)
@TOOLS
def test_what_it_cannot_have_is_refused_before_anything_is_asked(
    client: OpenAI, upstream: Upstream, tool: Any, place: str, members: Json, code: str, at: str
) -> None:
    with refused(400, code, f"{place}.{at}") as refusal:
        ask(client, tool(**members))

    assert "secret-of-domain" not in refusal.message
    assert upstream.requests == []


@TOOLS
def test_a_file_that_is_not_there_refuses_the_request(
    client: OpenAI, upstream: Upstream, tool: Any, place: str
) -> None:
    with refused(404, None, f"{place}.file_ids") as refusal:
        ask(client, tool(file_ids=["file-none"]))

    assert refusal.message == "No such File object: file-none"
    assert upstream.requests == []


def test_a_container_must_be_named_or_asked_for(client: OpenAI) -> None:
    with refused(400, "missing_required_parameter", "tools[0].container") as refusal:
        ask(client, {"type": "code_interpreter"})

    assert refusal.message == "Missing required parameter: 'tools[0].container'."


@TOOLS
def test_counting_tokens_makes_no_container(
    client: OpenAI, upstream: Upstream, coding: Coding, tool: Any, place: str
) -> None:
    before = coding.made

    counted = client.responses.input_tokens.count(model="m", input="Hi", tools=[tool(memory_limit="1g")])

    assert counted.input_tokens > 10
    assert coding.made == before
