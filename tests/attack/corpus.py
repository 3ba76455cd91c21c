"""Good requests of every endpoint, from the types themselves (`tests/strategies.py`)."""

from typing import Any

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from tests.strategies import INPUTS, ITEM_LISTS, REQUESTS, SCHEMAS, TEXT, objects, values

from antiphon.protocol.containers import AddContainerFile, CreateContainer, UpdateSkill
from antiphon.protocol.counting import CountTokens
from antiphon.protocol.files import CompleteUpload, NewUpload
from antiphon.protocol.tools import CustomTool, FunctionTool, NamespaceTool
from antiphon.protocol.wire import Metadata

Json = Any
Bodies = dict[str, list[Json]]
"""Good bodies by the path that they are posted to."""

_FORMS = st.fixed_dictionaries(
    {"type": st.just("json_schema"), "name": st.just("f"), "schema": SCHEMAS, "strict": st.booleans()}
)
_TOOLS = st.lists(
    st.one_of(*(objects(kind) for kind in (FunctionTool, CustomTool, NamespaceTool))), max_size=3
)
_CREATE = st.one_of(
    REQUESTS,
    st.fixed_dictionaries({"model": st.just("m"), "input": INPUTS, "tools": _TOOLS}),
    st.fixed_dictionaries(
        {"model": st.just("told"), "input": INPUTS, "text": st.fixed_dictionaries({"format": _FORMS})}
    ),
)
_ITEMS = st.fixed_dictionaries({"items": ITEM_LISTS, "metadata": values(Metadata)})
_PROMPTS = st.fixed_dictionaries({"instructions": TEXT, "input": ITEM_LISTS})
_SHAPES: dict[str, st.SearchStrategy[Json]] = {
    "/v1/responses": _CREATE,
    "/v1/responses/compact": REQUESTS,
    "/v1/responses/input_tokens": objects(CountTokens, model=st.just("m"), input=INPUTS),
    "/v1/conversations": _ITEMS,
    "/v1/conversations/{conversation}": st.fixed_dictionaries({"metadata": values(Metadata)}),
    "/v1/conversations/{conversation}/items": st.fixed_dictionaries({"items": ITEM_LISTS}),
    "/v1/prompts": _PROMPTS,
    "/v1/prompts/{prompt}": _PROMPTS,
    "/v1/uploads": objects(NewUpload),
    "/v1/containers": objects(CreateContainer),
    "/v1/containers/{container}/files": objects(AddContainerFile),
    "/v1/skills/{skill}": objects(UpdateSkill),
    "/v1/uploads/{upload}/complete": objects(CompleteUpload),
}


def bodies(count: int, number: int) -> Bodies:
    """So many good bodies of each shape; `number` is the seed."""
    return {path: _drawn(shape, count, number) for path, shape in _SHAPES.items()}


def _drawn(shape: st.SearchStrategy[Json], count: int, number: int) -> list[Json]:
    found: list[Json] = []

    @seed(number)
    @settings(
        max_examples=count,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(shape)
    def draw(body: Json) -> None:
        found.append(body)

    draw()
    return found
