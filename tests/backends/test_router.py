"""Who answers to a name."""

from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from tests.scripted import Upstream

from antiphon.backends.chat_completions import ChatCompletions
from antiphon.backends.emulated import EmulatedTools
from antiphon.backends.named_models import NamedModel
from antiphon.backends.router import BackendConfig, Offer, Route, Router, build
from antiphon.model import Backend, Capabilities, Model
from antiphon.protocol.errors import InvalidRequest

DOWN = "http://127.0.0.1:9/v1"


@pytest.fixture
def second() -> Iterator[Upstream]:
    with Upstream() as server:
        yield server


@pytest.fixture
async def backends(upstream: Upstream, second: Upstream) -> AsyncIterator[list[Backend]]:
    """Two that answer and one that is down."""
    made: list[Backend] = [ChatCompletions(url) for url in (upstream.base_url, second.base_url, DOWN)]
    yield made
    for backend in made:
        await backend.close()


ROUTES = {
    "llama": (0, "llama-3"),
    "gpt-4o": (1, "gpt-4o"),
    "gpt-5": (0, "big"),
    "gpt-5-mini": (0, "small"),
    "qwen:7b": (1, "qwen:7b"),
    "anything": (1, "anything"),
}


@pytest.mark.parametrize("name", ROUTES)
def test_a_name_is_found_exactly_then_by_pattern_then_by_default(name: str, backends: list[Backend]) -> None:
    router = Router(
        [
            Offer(backends[0], {"llama": "llama-3", "gpt-5*": "small", "gpt-5": "big"}),
            Offer(backends[1], {"gpt-*": "", "llama": "never", "qwen:7b": ""}, default=True),
        ]
    )
    at, model = ROUTES[name]
    assert router.resolve(name) == Route(backends[at], model, backends[at].capabilities(model))


class Learning(ChatCompletions):
    """Can what it was taught last."""

    can = Capabilities()

    def capabilities(self, model: str) -> Capabilities:
        return self.can


@pytest.mark.parametrize("name", ["m", "m" * 1_000])
def test_what_a_backend_has_learnt_is_known_at_once(name: str) -> None:
    backend = Learning(DOWN)
    router = Router([Offer(EmulatedTools(backend), {}, default=True)])
    assert router.resolve(name).capabilities.images
    backend.can = Capabilities(images=False)
    assert not router.resolve(name).capabilities.images
    backend.can = Capabilities(tools=False, forced_tools=False)
    assert router.resolve(name).capabilities == Capabilities()  # with help it can


def test_a_default_may_have_one_name_for_all(backends: list[Backend]) -> None:
    router = Router([Offer(backends[0], {}, default="smol"), Offer(backends[1], {"gpt-4o": ""})])
    assert router.resolve("whatever").model == "smol"
    assert router.resolve("gpt-4o").backend is backends[1]


def test_a_backend_that_names_no_models_is_there_for_all(backends: list[Backend]) -> None:
    router = Router([Offer(backends[0], {"a": ""}), Offer(backends[1], {})])
    assert router.resolve("b").backend is backends[1]


@pytest.mark.parametrize("name", ["b", ""])
def test_a_name_that_nobody_answers_to_is_refused(name: str, backends: list[Backend]) -> None:
    with pytest.raises(InvalidRequest) as caught:
        Router([Offer(backends[0], {"a": ""})]).resolve(name)
    assert caught.value.body() == {
        "message": f"The requested model '{name}' does not exist.",
        "type": "invalid_request_error",
        "param": "model",
        "code": "model_not_found",
    }


async def test_models_are_those_that_can_be_asked_for(
    upstream: Upstream, second: Upstream, backends: list[Backend]
) -> None:
    upstream.models = ("llama-3", "gpt-oss", "hidden")
    second.models = ("gpt-oss", "qwen")
    router = Router(
        [
            Offer(backends[0], {"llama": "llama-3", "gpt-*": ""}),
            Offer(backends[1], {}, default=True),
            Offer(backends[2], {"far": ""}),
        ]
    )
    assert await router.models() == [
        Model("llama", 1700000000, "tests"),
        Model("far"),
        Model("gpt-oss", 1700000000, "tests"),
        Model("qwen", 1700000000, "tests"),
    ]


async def test_a_configuration_becomes_a_router(upstream: Upstream) -> None:
    router = build(
        [
            BackendConfig(name="a", base_url=upstream.base_url, models=["m", "x-*"], dialect="vllm"),
            BackendConfig(name="b", unix_socket="/tmp/none", models={"n": "up"}, default="up"),
        ]
    )
    known = Capabilities(grammar=True, regex=True, audio=True, caches_prompts=True)
    assert router.resolve("m").capabilities == known
    assert router.resolve("n").model == router.resolve("else").model == "up"
    assert [model.id for model in await router.models()] == ["m", "n"]
    await router.close()


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (BackendConfig(name="a", type="magic"), "backends.a.type: 'magic' is none of"),
        (BackendConfig(name="a"), "backends.a needs a base_url"),
        (BackendConfig(name="a", base_url=DOWN, dialect="latin"), "backends.a.dialect: 'latin' is none of"),
    ],
)
def test_a_configuration_that_makes_no_sense_is_refused(config: BackendConfig, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build([config])


# ---- what the configuration says of models ------------------------------------------------------------


def config(name: str, **members: Any) -> BackendConfig:
    return BackendConfig(name=name, base_url=DOWN, dialect="generic", **members)


def test_a_backend_in_the_place_of_another_is_asked_for_the_model_that_an_alias_means() -> None:
    router = build(
        [
            config("local", models=["qwen"], fallbacks=["hosted"]),
            config("hosted", models={"qwen": "hosted/qwen-32b"}),
        ],
        named=[NamedModel(name="qwen", aliases=["gpt-4o", "gpt-5*"])],
    )
    for name in ("qwen", "gpt-4o", "gpt-5-mini"):
        routes = router.candidates(router.resolve(name), name)
        assert [(route.name, route.model) for route in routes] == [
            ("local", "qwen"),
            ("hosted", "hosted/qwen-32b"),
        ]


async def test_a_pattern_of_aliases_hides_no_model_that_is_named(upstream: Upstream) -> None:
    upstream.models = ("gpt-listed",)
    router = build(
        [
            config("local", models=["qwen"], default=True),
            BackendConfig(name="other", base_url=upstream.base_url, models=["gpt-oss", "gpt-listed*"]),
        ],
        named=[NamedModel(name="qwen", aliases=["gpt-*"]), NamedModel(name="gpt-said")],
    )
    found = {name: router.resolve(name).model for name in ("gpt-oss", "gpt-said", "gpt-4o", "gpt-listed")}
    assert found == {"gpt-oss": "gpt-oss", "gpt-said": "gpt-said", "gpt-4o": "qwen", "gpt-listed": "qwen"}
    assert {model.id for model in await router.models()} == {"qwen", "gpt-oss"}
    await router.close()


def test_a_model_to_which_nobody_answers_is_told_at_once() -> None:
    with pytest.raises(ValueError, match=r"models\.qwem: no backend answers"):
        build([config("local", models=["qwen"])], named=[NamedModel(name="qwem", aliases=["gpt-4o"])])


def test_what_is_said_of_a_model_is_said_of_no_other() -> None:
    """Also where a backend answers to all names under one of its own."""
    router = build(
        [config("local", default="llama"), config("other", models=["blind"])],
        named=[NamedModel(name="blind", capabilities={"images": False})],
    )
    assert not router.resolve("blind").capabilities.images
    assert router.resolve("llama").capabilities.images
    alone = build(
        [config("local", default=True)], named=[NamedModel(name="blind", capabilities={"images": False})]
    )
    assert not alone.resolve("blind").capabilities.images
    assert alone.resolve("llama").capabilities.images
