"""Signed webhooks, as the official client checks them."""

import time

import pytest
from openai import InvalidWebhookSignatureError, OpenAI

from antiphon.webhooks.endpoints import BadSecret, Endpoint, deliveries_for, key_of, secret_of
from antiphon.webhooks.signing import headers

KEY = bytes(range(32))
HOOK = Endpoint("hook", "http://hook", KEY)


@pytest.fixture
def client() -> OpenAI:
    return OpenAI(api_key="none", base_url="http://127.0.0.1:9", webhook_secret=secret_of(KEY))


@pytest.mark.parametrize("status", ["completed", "failed", "cancelled", "incomplete"])
def test_the_official_client_takes_every_event(client: OpenAI, status: str) -> None:
    (delivery,) = deliveries_for([HOOK], "p", "resp_1", status, 1_700_000_000.9)

    event = client.webhooks.unwrap(delivery.body, headers([KEY], delivery.id, time.time(), delivery.body))

    assert type(event).__name__ == f"Response{status.capitalize()}WebhookEvent"
    assert event.to_dict() == {
        "id": delivery.event_id,
        "object": "event",
        "created_at": 1_700_000_000,
        "type": f"response.{status}",
        "data": {"id": "resp_1"},
    }


def test_a_secret_that_is_another_or_a_body_that_was_changed_is_refused(client: OpenAI) -> None:
    signed = headers([KEY], "wh_1", time.time(), b"{}")

    client.webhooks.verify_signature(b"{}", signed)
    for payload, secret in ((b"{ }", secret_of(KEY)), (b"{}", secret_of(KEY[::-1]))):
        with pytest.raises(InvalidWebhookSignatureError):
            client.webhooks.verify_signature(payload, signed, secret=secret)


def test_a_signature_is_that_of_the_specifications_example() -> None:
    """From the specification's reference libraries, which share it among their tests."""
    signed = headers(
        [key_of("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")],
        "msg_p5jXN8AQM9LWM0D4loKWxJek",
        1614265330.7,
        b'{"test": 2432232314}',
    )

    assert signed == {
        "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "webhook-timestamp": "1614265330",
        "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }


def test_one_event_goes_to_every_endpoint_that_wants_it() -> None:
    endpoints = [
        Endpoint("all", "http://a", KEY),
        Endpoint("failures", "http://b", KEY, events=frozenset({"response.failed"})),
        Endpoint("ours", "http://c", KEY, project="ours"),
        Endpoint("theirs", "http://d", KEY, project="theirs"),
    ]

    def sent(project: str, status: str) -> list[str]:
        return [each.endpoint for each in deliveries_for(endpoints, project, "resp_1", status, 1.0)]

    assert sent("ours", "completed") == ["all", "ours"]
    assert sent("theirs", "failed") == ["all", "failures", "theirs"]
    assert sent("ours", "in_progress") == []
    first, second = deliveries_for(endpoints[:2], "p", "resp_1", "failed", 1.0)
    assert first.event_id == second.event_id
    assert first.body == second.body
    assert first.id != second.id


@pytest.mark.parametrize(
    ("secret", "why"),
    [
        ("", "does not begin with whsec_"),
        ("sk-1234", "does not begin with whsec_"),
        ("whsec_a*b=", "not base64"),
        ("whsec_abc", "not base64"),
        ("whsec_", "holds 0 bytes, and not 24 to 64"),
        (secret_of(b"x" * 65), "holds 65 bytes, and not 24 to 64"),
    ],
)
def test_what_is_no_secret_is_refused_without_repeating_it(secret: str, why: str) -> None:
    with pytest.raises(BadSecret, match=why) as refused:
        key_of(secret)

    assert len(secret) < 7 or secret not in str(refused.value)


def test_an_endpoint_does_not_show_its_secrets() -> None:
    shown = repr(Endpoint("hook", "https://user:password@hook.example", b"secret"))

    assert "secret" not in shown
    assert "password" not in shown
