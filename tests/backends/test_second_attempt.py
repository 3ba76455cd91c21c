"""A server that cannot just now is asked once more, before it said anything."""

import pytest
from openai import APIStatusError, OpenAI
from tests.scripted import Answer, Upstream, refusal

from antiphon.backends.retry import pause_before_retry
from antiphon.model import Overrated
from antiphon.protocol.errors import ApiError, InvalidRequest, RateLimited, UpstreamError, UpstreamTimeout

PASSING = {
    "a server that restarts": refusal(503, "Loading model"),
    "a server that is full": refusal(429, "Too many requests"),
    "a server that says how long": refusal(429, "Slow down", Retry_After="0.1"),
    "a server that stumbles": refusal(500, "CUDA error"),
}


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("case", PASSING)
def test_what_passes_costs_a_second_attempt_and_no_error(
    case: str, stream: bool, client: OpenAI, upstream: Upstream
) -> None:
    upstream.script(PASSING[case], Answer("Hello"))
    if stream:
        with client.responses.stream(model="m", input="Hi") as events:
            response = events.get_final_response()
    else:
        response = client.responses.create(model="m", input="Hi")  # type: ignore[assignment]
    assert response.output_text == "Hello"
    assert len(upstream.requests) == 2


@pytest.mark.parametrize(
    ("answer", "status", "requests"),
    [
        (refusal(503, "Loading model"), 502, 2),
        (refusal(429, "Slow down", Retry_After="30"), 429, 1),
        (refusal(429, "No credit", "insufficient_quota"), 429, 1),
        (refusal(400, "Bad temperature"), 400, 1),
        (refusal(401, "Wrong key"), 502, 1),
        (refusal(403, "Not for this key"), 502, 1),
        (refusal(404, "404 page not found"), 502, 1),
        (refusal(404, "No such model: m"), 404, 1),
    ],
)
def test_what_lasts_is_the_clients_to_know(
    answer: Answer, status: int, requests: int, client: OpenAI, upstream: Upstream
) -> None:
    upstream.default = answer
    with pytest.raises(APIStatusError) as caught:
        client.responses.create(model="m", input="Hi")
    assert (caught.value.status_code, len(upstream.requests)) == (status, requests)


def test_an_answer_that_began_is_never_asked_for_again(client: OpenAI, upstream: Upstream) -> None:
    upstream.script(Answer("Half of", size=2, cut_after=2), Answer("Another"))
    with pytest.raises(APIStatusError):
        client.responses.create(model="m", input="Hi")
    assert len(upstream.requests) == 1


@pytest.mark.parametrize(
    ("fault", "pause"),
    [
        (UpstreamError("gone"), 0.2),
        (UpstreamError("busy", retry_after=1.5), 1.5),
        (UpstreamError("busy", retry_after=3), None),
        (UpstreamTimeout("silent"), None),
        (RateLimited("full", code="rate_limit_exceeded"), 0.2),
        (RateLimited("poor", code="insufficient_quota"), None),
        (InvalidRequest("no"), None),
        (Overrated("cannot"), None),
    ],
)
def test_the_pause_is_short_or_there_is_none(fault: ApiError, pause: float | None) -> None:
    assert pause_before_retry(fault) == pause
