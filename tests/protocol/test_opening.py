"""A response as it begins."""

from antiphon.protocol.request import CreateResponse
from antiphon.protocol.response import opening
from antiphon.protocol.tools import FunctionTool


def test_what_is_added_to_a_response_is_added_to_no_other() -> None:
    first = opening(CreateResponse(model="m", input="Hi"), "resp_1", 1)
    first.output.append("said")
    first.tools.append(FunctionTool(name="f"))
    first.metadata["asked"] = "here"

    second = opening(CreateResponse(model="m", input="Hi"), "resp_2", 1)
    assert (second.output, second.tools, second.metadata) == ([], [], {})


def test_what_is_said_to_be_nothing_is_echoed() -> None:
    request = CreateResponse(model="m", input="Hi", temperature=0.0, top_p=0.0, user="", top_logprobs=0)
    opened = opening(request, "resp_1", 1)
    assert (opened.temperature, opened.top_p, opened.user, opened.top_logprobs) == (0.0, 0.0, "", 0)
