"""The settings of a request, each alone: most requests have none, so they are looked at together."""

from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from antiphon.backends.router import Route
from antiphon.engine.prepare import turn_builder
from antiphon.engine.prepare.turn_builder import empty_turn
from antiphon.model import Capabilities, Sampling, Turn
from antiphon.protocol.request import CreateResponse
from antiphon.tools.toolbox import Toolbox

BLANK = Turn(model="m", messages=())
NOBODY: Any = None

MEMBERS: dict[str, tuple[Any, Turn]] = {
    "temperature": (0.0, replace(BLANK, sampling=Sampling(temperature=0.0))),
    "top_p": (0.0, replace(BLANK, sampling=Sampling(top_p=0.0))),
    "presence_penalty": (0.5, replace(BLANK, sampling=Sampling(presence_penalty=0.5))),
    "frequency_penalty": (0.5, replace(BLANK, sampling=Sampling(frequency_penalty=0.5))),
    "include": (["message.output_text.logprobs"], replace(BLANK, sampling=Sampling(top_logprobs=0))),
    "user": ("somebody", replace(BLANK, user="somebody")),
    "safety_identifier": ("s", replace(BLANK, safety_identifier="s")),
    "prompt_cache_key": ("k", replace(BLANK, cache_key="k")),
    "prompt_cache_retention": ("in-memory", replace(BLANK, cache_retention="in_memory")),
    "prompt_cache_options": ({"ttl": "30m"}, replace(BLANK, cache_options={"ttl": "30m"})),
    "service_tier": ("flex", replace(BLANK, service_tier="flex")),
    "access_programs": ({"cyber": "standard"}, replace(BLANK, access_programs={"cyber": "standard"})),
    "max_output_tokens": (16, replace(BLANK, max_tokens=16)),
    "parallel_tool_calls": (False, replace(BLANK, parallel=False)),
    "reasoning": ({"effort": "low", "summary": "auto"}, replace(BLANK, effort="low", summary="auto")),
    "text": ({"verbosity": "low"}, replace(BLANK, verbosity="low")),
    "tool_choice": ("none", replace(BLANK, choice="none")),
}


def turn_of(**members: Any) -> Turn:
    request = msgspec.convert({"model": "m", "input": "Hi", **members}, CreateResponse)
    route = Route(NOBODY, "m", Capabilities(verbosity=True))
    return empty_turn(request, route, Toolbox(), NOBODY_READS, None, whole=False)


class _Nothing:
    """A transcript of no items."""

    def read(self, items: Any) -> tuple[()]:
        assert not items
        return ()


NOBODY_READS: Any = _Nothing()


def test_a_request_that_says_nothing_of_them_has_the_settings_that_a_model_has() -> None:
    assert turn_of() == BLANK
    assert turn_of(top_logprobs=5) == BLANK  # nobody would see them


@pytest.mark.parametrize("name", MEMBERS)
def test_each_alone_is_in_the_turn(name: str) -> None:
    value, turn = MEMBERS[name]
    assert turn_of(**{name: value}) == turn != BLANK


def test_none_that_is_looked_at_with_others_is_left_out_here() -> None:
    assert {*turn_builder._SAMPLING, *turn_builder._SERVICE} <= MEMBERS.keys()
    assert turn_of(include=["message.output_text.logprobs"], top_logprobs=5).sampling.top_logprobs == 5
