"""/v1/embeddings by the embedder of this server."""

import httpx2
import pytest
from openai import OpenAI
from tests.api.asking import Json
from tests.scripted import Upstream

MODEL = "all-MiniLM-L6-v2"


def test_the_embedder_answers_under_its_name(client: OpenAI, http: httpx2.Client, upstream: Upstream) -> None:
    body = {"model": MODEL, "input": ["An oak is a tree.", "Ships in a harbour."]}

    answer = http.post("/v1/embeddings", json=body).json()

    assert [(row["object"], row["index"], len(row["embedding"])) for row in answer["data"]] == [
        ("embedding", 0, 384),
        ("embedding", 1, 384),
    ]
    assert answer | {"data": []} == {
        "object": "list",
        "data": [],
        "model": MODEL,
        "usage": {"prompt_tokens": 11, "total_tokens": 11},
    }
    assert upstream.requests == []
    # The official client asks for base64, and unpacks it.
    unpacked = client.embeddings.create(model=MODEL, input="An oak is a tree.").data[0].embedding
    assert unpacked == pytest.approx(answer["data"][0]["embedding"], abs=1e-6)
    assert sum(number * number for number in unpacked) == pytest.approx(1, abs=1e-3)


def test_texts_that_mean_the_same_are_near(client: OpenAI) -> None:
    texts = ["How do I remove the program?", "Uninstalling the software", "Birds migrate in autumn"]
    question, near, far = (row.embedding for row in client.embeddings.create(model=MODEL, input=texts).data)

    def cosine(one: list[float], other: list[float]) -> float:
        return sum(left * right for left, right in zip(one, other, strict=True))

    assert cosine(question, near) > cosine(question, far) + 0.2


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"input": ""}, "input"),
        ({"input": []}, "input"),
        ({"input": [1, 2]}, "input[0]"),
        ({"input": "a", "dimensions": 5}, "dimensions"),
        ({"input": "a", "encoding_format": "int8"}, "encoding_format"),
        ({}, "input"),
    ],
)
def test_what_cannot_be_embedded_is_refused(http: httpx2.Client, body: Json, param: str) -> None:
    answer = http.post("/v1/embeddings", json={"model": MODEL} | body)
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, param)


def test_its_own_number_of_dimensions_may_be_asked_for(client: OpenAI) -> None:
    made = client.embeddings.create(model=MODEL, input="a", dimensions=384)
    assert len(made.data[0].embedding) == 384
