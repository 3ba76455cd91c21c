"""/v1/prompts, and POST /v1/responses with a prompt: our management of what the reference only names."""

from collections.abc import Callable
from typing import Any

import httpx2
import pytest
from openai import OpenAI
from tests.api.asking import Json, Like, Now, fault, message, refused, response, whole
from tests.ledger import covers
from tests.papers import picture_url
from tests.scripted import Answer, Upstream

PROMPT_ID = Like("pmpt_[0-9a-f]{50}")
IMAGE = picture_url()

Make = Callable[..., Json]


@pytest.fixture
def make(http: httpx2.Client) -> Make:
    """Makes a prompt."""

    def create(**members: Any) -> Json:
        answer = http.post("/v1/prompts", json=members)
        assert answer.status_code == 200, answer.text
        return answer.json()

    return create


def text(words: str) -> Json:
    return {"type": "input_text", "text": words}


def said(role: str, *parts: Json) -> Json:
    """A message of a template, as the Response shows it."""
    return {"type": "message", "role": role, "content": list(parts)}


def asked(upstream: Upstream) -> Any:
    """The messages that the upstream got last."""
    return upstream.last.body["messages"]


# ---- their management -------------------------------------------------------------------------------


def test_a_prompt_is_made_in_its_first_version(make: Make) -> None:
    told = make(
        name="Greeter", instructions="Greet {{who}}.", input=[{"role": "user", "content": "{{ who }}!"}]
    )

    assert told == {
        "id": PROMPT_ID,
        "object": "prompt",
        "created_at": Now(),
        "name": "Greeter",
        "version": "1",
        "default_version": "1",
        "instructions": "Greet {{who}}.",
        "input": [{"type": "message", "role": "user", "content": "{{ who }}!"}],
        "variables": ["who"],
    }


def test_a_prompt_is_read_as_it_was_made(http: httpx2.Client, make: Make) -> None:
    made = make(instructions="Be brief.")

    assert http.get(f"/v1/prompts/{made['id']}").json() == made


def test_an_update_is_a_new_version_and_the_default(http: httpx2.Client, make: Make) -> None:
    made = make(name="Greeter", instructions="One")
    path = f"/v1/prompts/{made['id']}"

    changed = http.post(path, json={"instructions": "Two"}).json()

    assert changed == made | {"version": "2", "default_version": "2", "instructions": "Two"}
    assert http.get(path).json() == changed
    assert http.get(path, params={"version": "1"}).json() == made | {"default_version": "2"}


def test_a_new_version_need_not_be_the_default(http: httpx2.Client, make: Make) -> None:
    made = make(instructions="One")
    path = f"/v1/prompts/{made['id']}"

    draft = http.post(path, json={"instructions": "Two", "default_version": "1"}).json()

    assert (draft["version"], draft["default_version"]) == ("2", "1")
    assert http.get(path).json() == made


def test_the_default_can_go_back(http: httpx2.Client, make: Make) -> None:
    made = make(instructions="One")
    path = f"/v1/prompts/{made['id']}"
    http.post(path, json={"instructions": "Two"})

    told = http.post(path, json={"default_version": "1", "name": "Back"})

    assert told.json() == made | {"name": "Back"}


def test_versions_are_listed(http: httpx2.Client, make: Make) -> None:
    made = make(instructions="1")
    path = f"/v1/prompts/{made['id']}"
    for words in ("2", "3"):
        http.post(path, json={"instructions": words})

    first = http.get(f"{path}/versions", params={"limit": 2}).json()
    rest = http.get(f"{path}/versions", params={"limit": 2, "after": first["last_id"]}).json()
    upwards = http.get(f"{path}/versions", params={"order": "asc"}).json()

    assert [entry["instructions"] for entry in first["data"]] == ["3", "2"]
    assert (first["has_more"], first["last_id"]) == (True, "2")
    assert ([entry["version"] for entry in rest["data"]], rest["has_more"]) == (["1"], False)
    assert [entry["version"] for entry in upwards["data"]] == ["1", "2", "3"]


def test_prompts_are_listed_in_pages(http: httpx2.Client, make: Make) -> None:
    made = [make(instructions=str(number)) for number in range(3)]

    first = http.get("/v1/prompts", params={"limit": 2}).json()
    second = http.get("/v1/prompts", params={"limit": 1, "after": first["last_id"]}).json()

    assert [*first["data"], *second["data"]] == made[::-1]
    assert (first["object"], first["first_id"], first["has_more"]) == ("list", made[2]["id"], True)


def test_a_deleted_prompt_is_gone(http: httpx2.Client, make: Make) -> None:
    path = f"/v1/prompts/{make(instructions='Be brief.')['id']}"

    told = http.delete(path)

    assert told.json() == {"id": path.rpartition("/")[2], "object": "prompt.deleted", "deleted": True}
    for gone in (
        http.get(path),
        http.delete(path),
        http.get(f"{path}/versions"),
        http.post(path, json={"name": "x"}),
    ):
        assert fault(gone) == (404, "invalid_request_error", None, None)


@pytest.mark.parametrize(
    ("body", "code", "param"),
    [
        ({}, "missing_required_parameter", "instructions"),
        ({"name": "x", "input": []}, "missing_required_parameter", "instructions"),
        ({"instructions": 7}, "invalid_type", "instructions"),
        ({"instructions": "x", "model": "m"}, "unknown_parameter", "model"),
        ({"input": [{"type": "bogus"}]}, "invalid_value", "input[0]"),
        ({"input": [{"role": "user"}]}, "missing_required_parameter", "input[0].content"),
        ({"input": [{"type": "item_reference", "id": "msg_1"}]}, "invalid_value", "input[0]"),
        ({"instructions": "x", "name": ""}, "empty_string", "name"),
    ],
    ids=str,
)
def test_a_wrong_prompt_is_refused_with_its_place(
    http: httpx2.Client, body: Json, code: str, param: str
) -> None:
    assert fault(http.post("/v1/prompts", json=body)) == (400, "invalid_request_error", code, param)


@pytest.mark.parametrize("version", ["0", "3", "x", "", "99999999999999999999"])
def test_a_default_that_is_no_version_is_refused(http: httpx2.Client, make: Make, version: str) -> None:
    path = f"/v1/prompts/{make(instructions='One')['id']}"

    told = http.post(path, json={"instructions": "Two", "default_version": version})

    assert fault(told) == (400, "invalid_request_error", "invalid_value", "default_version")
    assert http.get(path).json()["version"] == "1"


@pytest.mark.parametrize("after", ["pmpt_unknown", "x"])
def test_a_cursor_of_nothing_is_refused(http: httpx2.Client, make: Make, after: str) -> None:
    path = f"/v1/prompts/{make(instructions='One')['id']}/versions"

    for listing in ("/v1/prompts", path):
        told = http.get(listing, params={"after": after})
        assert fault(told) == (404, "invalid_request_error", None, "after")


# ---- their use --------------------------------------------------------------------------------------


@covers("param.prompt", "param.prompt.id", "field.instructions")
def test_a_prompt_leads_the_context(client: OpenAI, upstream: Upstream, make: Make) -> None:
    made = make(
        instructions="Be brief.",
        input=[{"role": "user", "content": "Ping?"}, {"role": "assistant", "content": "Pong."}],
    )
    upstream.script(Answer("Hello"))

    told = client.responses.create(model="m", input="Hi", prompt={"id": made["id"]})

    assert asked(upstream) == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Ping?"},
        {"role": "assistant", "content": "Pong."},
        {"role": "user", "content": "Hi"},
    ]
    assert whole(told) == response(
        message("Hello"),
        prompt={"id": made["id"], "version": None, "variables": None},
        instructions=[
            said("developer", text("Be brief.")),
            said("user", text("Ping?")),
            {"type": "message", "role": "assistant", "content": "Pong."},
        ],
    )


@covers("param.prompt.version")
def test_a_request_may_name_the_version(
    client: OpenAI, http: httpx2.Client, upstream: Upstream, make: Make
) -> None:
    made = make(instructions="One")
    http.post(f"/v1/prompts/{made['id']}", json={"instructions": "Two"})
    upstream.default = Answer("ok")

    for version, words in (("1", "One"), ("2", "Two"), (None, "Two")):
        client.responses.create(
            model="m", input="Hi", prompt={"id": made["id"], **({"version": version} if version else {})}
        )
        assert asked(upstream)[0] == {"role": "system", "content": words}


@covers("param.prompt.variables")
def test_variables_are_texts_and_parts(client: OpenAI, upstream: Upstream, make: Make) -> None:
    made = make(
        instructions="Speak {{language}}.",
        input=[
            {"role": "user", "content": [text("Look: {{picture}} What is {{thing}}?"), text("{{picture}}")]}
        ],
    )
    picture: Any = {"type": "input_image", "image_url": IMAGE, "detail": "low"}
    upstream.script(Answer("ok"))

    told = client.responses.create(
        model="m",
        prompt={
            "id": made["id"],
            "variables": {"language": "German", "thing": text("{{language}}"), "picture": picture},
        },
    )

    seen = {"type": "image_url", "image_url": {"url": IMAGE, "detail": "low"}}
    assert asked(upstream) == [
        {"role": "system", "content": "Speak German."},
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "Look: "},
                seen,
                {"type": "text", "text": " What is {{language}}?"},
                seen,
            ],
        },
    ]
    assert whole(told)["instructions"][1] == said(
        "user", text("Look: "), picture, text(" What is {{language}}?"), picture
    )


def test_input_may_be_left_out_beside_a_prompt(http: httpx2.Client, upstream: Upstream, make: Make) -> None:
    made = make(input=[{"role": "user", "content": "Tell a joke."}])
    upstream.script(Answer("Ha."))

    told = http.post("/v1/responses", json={"model": "m", "prompt": {"id": made["id"]}})

    assert (told.status_code, asked(upstream)) == (200, [{"role": "user", "content": "Tell a joke."}])


def test_instructions_of_a_request_take_the_place_of_the_prompts(
    client: OpenAI, upstream: Upstream, make: Make
) -> None:
    made = make(instructions="Be brief.", input=[{"role": "user", "content": "Ping?"}])
    upstream.script(Answer("ok"))

    told = client.responses.create(model="m", prompt={"id": made["id"]}, instructions="Be long.")

    assert asked(upstream)[0] == {"role": "system", "content": "Be long."}
    assert whole(told)["instructions"] == [said("developer", text("Be long.")), said("user", text("Ping?"))]


def test_a_prompt_is_not_inherited(client: OpenAI, upstream: Upstream, make: Make) -> None:
    made = make(instructions="Be brief.")
    upstream.script(Answer("Hello"), Answer("Bye"))
    first = client.responses.create(model="m", input="Hi", prompt={"id": made["id"]})

    client.responses.create(model="m", input="And now?", previous_response_id=first.id)

    assert [entry["content"] for entry in asked(upstream)] == ["Hi", "Hello", "And now?"]


@covers("error.prompt_not_found")
def test_a_prompt_that_is_not_there_is_refused(client: OpenAI, make: Make) -> None:
    with refused(404) as unknown:
        client.responses.create(model="m", input="Hi", prompt={"id": "pmpt_x"})
    with refused(404):
        client.responses.create(
            model="m", input="Hi", prompt={"id": make(instructions="x")["id"], "version": "2"}
        )

    assert unknown.message == "Prompt with id 'pmpt_x' not found."


@pytest.mark.parametrize(
    ("variables", "code", "name"),
    [
        ({}, "missing_required_parameter", "who"),
        ({"who": "Ann", "when": "now"}, "unknown_parameter", "when"),
        ({"who": {"type": "input_image", "image_url": IMAGE}}, "invalid_value", "who"),
    ],
    ids=lambda value: None if isinstance(value, str) else "+".join(value) or "none",
)
def test_variables_that_do_not_fit_are_refused(
    client: OpenAI, upstream: Upstream, make: Make, variables: Any, code: str, name: str
) -> None:
    made = make(input=[{"role": "assistant", "content": "I am {{who}}."}])

    with refused(400, code, f"prompt.variables.{name}"):
        client.responses.create(model="m", input="Hi", prompt={"id": made["id"], "variables": variables})

    assert upstream.requests == []


def test_a_missing_prompt_is_reported_after_a_missing_conversation(client: OpenAI) -> None:
    with refused(404) as refusal:
        client.responses.create(model="m", input="Hi", prompt={"id": "pmpt_x"}, conversation="conv_x")

    assert refusal.message == "Conversation with id 'conv_x' not found."


def test_a_missing_prompt_is_reported_before_a_missing_response(client: OpenAI) -> None:
    with refused(404) as refusal:
        client.responses.create(model="m", input="Hi", prompt={"id": "pmpt_x"}, previous_response_id="resp_x")

    assert refusal.message == "Prompt with id 'pmpt_x' not found."


@covers("param.prompt.variables")
def test_a_file_stands_where_its_variable_does(client: OpenAI, upstream: Upstream, make: Make) -> None:
    made = make(input=[{"role": "user", "content": "Sum up {{paper}}."}])
    upstream.script(Answer("ok"))
    paper: Any = {"type": "input_file", "filename": "p.txt", "file_data": "data:text/plain;base64,SGVsbG8="}

    client.responses.create(model="m", prompt={"id": made["id"], "variables": {"paper": paper}})

    assert "Hello" in str(asked(upstream))
