"""Several agents in one response (beta), with the official client."""

from collections.abc import Sequence
from typing import Any

from openai import OpenAI
from tests.api.asking import whole
from tests.scripted import Answer, Called, Upstream

Json = dict[str, Any]
BETA: Any = ["responses_multi_agent=v1"]


def says(*wanted: str, last: str | None = None) -> Any:
    """Whether a model is asked whose messages have these texts, the newest one `last`."""

    def asked(body: Any) -> bool:
        told = [str(message.get("content")) for message in body["messages"]]
        return all(any(text in each for each in told) for text in wanted) and (
            last is None or last in told[-1]
        )

    return asked


def spawn(name: str, task: str) -> Called:
    return Called("spawn_agent", f'{{"task_name": "{name}", "message": "{task}"}}')


def ask(client: OpenAI, given: Any = "Compare a and b.", **members: Any) -> Json:
    response = client.beta.responses.create(
        model="m", input=given, multi_agent={"enabled": True}, betas=BETA, **members
    )
    told: Json = whole(response)
    return told


def of(response: Json, agent: str) -> Sequence[Json]:
    return [item for item in response["output"] if item["agent"]["agent_name"] == agent]


def test_agents_work_side_by_side_and_the_root_sums_up(client: OpenAI, upstream: Upstream) -> None:
    upstream.on(says("to you, /root/a", "Look at a."), Answer("a is red."))
    upstream.on(says("to you, /root/b", "Look at b."), Answer("b is blue."))
    both = Answer(calls=[spawn("a", "Look at a."), spawn("b", "Look at b."), Called("wait_agent")])
    upstream.on(says("a is red.", "b is blue."), Answer("Red and blue."))
    upstream.on(says("a is red."), Answer(calls=[Called("wait_agent")]))
    upstream.on(says("b is blue."), Answer(calls=[Called("wait_agent")]))
    upstream.on(says("Compare a and b."), both)

    response = ask(client)

    assert response["status"] == "completed", response
    kinds = [(item["agent"]["agent_name"], item["type"]) for item in response["output"]]
    print(kinds)
    assert response["output"][-1]["content"][0]["text"] == "Red and blue."
