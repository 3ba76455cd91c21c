"""What a server does not take back of what it gave: the conversation goes on without it."""

import json
from typing import Any

import pytest
from tests import messages_script, responses_script
from tests.scripted import Answer, Upstream, refusal

from antiphon.backends.anthropic.backend import Anthropic
from antiphon.backends.chat_completions import ChatCompletions
from antiphon.backends.dialects import DIALECTS
from antiphon.backends.responses.backend import Responses
from antiphon.model import Backend, Message, Opaque, TextDelta, TextPart, Turn
from antiphon.protocol.errors import InvalidRequest

THINKING = {"type": "thinking", "thinking": "Hm", "signature": "SEALED"}
REASONING = {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "SEALED"}
SIGNED = {"google": {"thought_signature": "SEALED"}}

CASES: dict[str, tuple[str, dict[str, Any], Answer]] = {
    "anthropic": (
        "messages.1.content.0: Invalid `signature` in `thinking` block",
        {"thinking_blocks": [THINKING]},
        messages_script.answer(messages_script.text("Yes.")),
    ),
    "responses": (
        "The encrypted content gAAA...Rg== could not be verified.",
        {"reasoning_items": [REASONING]},
        responses_script.answer(responses_script.text("Yes.")),
    ),
    "gemini": ("Thought signature is not valid", {"extra_content": SIGNED}, Answer("Yes.")),
}


def made(kind: str, base_url: str) -> Backend:
    if kind == "gemini":
        return ChatCompletions(base_url, dialect=DIALECTS["gemini"])
    return Anthropic(base_url) if kind == "anthropic" else Responses(base_url)


def asked(opaque: Opaque | None) -> Turn:
    said = Message("assistant", (TextPart("No."),), opaque=opaque)
    return Turn("m", (Message("user", (TextPart("Hi"),)), said, Message("user", (TextPart("Sure?"),))))


@pytest.mark.parametrize("kind", CASES)
async def test_a_conversation_goes_on_without_seals_that_its_server_does_not_know(
    kind: str, upstream: Upstream
) -> None:
    words, opaque, answer = CASES[kind]
    upstream.lenient = True
    upstream.script(refusal(400, words), answer)
    backend = made(kind, upstream.base_url)
    deltas = [delta async for batch in backend.stream(asked(Opaque(opaque))) for delta in batch]
    assert "Yes." in "".join(delta.text for delta in deltas if isinstance(delta, TextDelta))
    assert ["SEALED" in json.dumps(request.body) for request in upstream.requests] == [True, False]
    await backend.close()


@pytest.mark.parametrize("kind", CASES)
async def test_who_has_sent_no_seals_is_told(kind: str, upstream: Upstream) -> None:
    upstream.lenient = True
    upstream.default = refusal(400, CASES[kind][0])
    backend = made(kind, upstream.base_url)
    with pytest.raises(InvalidRequest):
        _said = [batch async for batch in backend.stream(asked(None))]
    assert len(upstream.requests) == 1
    await backend.close()
