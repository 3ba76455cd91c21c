"""Calls that are not made: what was not offered does not run, nor a second call where one is allowed."""

from collections.abc import Collection

from antiphon.tools.base import ToolCall
from antiphon.tools.printed import first_of

_NAMED = 20
"""How many names the model is reminded of."""


class RefusedCall(ToolCall):
    """A call of a function that the turn did not offer. `offered`: those that it did."""

    held = True

    def __init__(self, name: str, call_id: str, offered: Collection[str]) -> None:
        super().__init__(name, call_id)
        self._offered = offered

    def validate(self) -> str:
        words = f"This call was not made: there is no function '{self.name}' to call now."
        names = sorted(self._offered)
        if not names:
            return f"{words} Answer without calling functions."
        return f"{words} You can call: {first_of(names, _NAMED)}."


class SecondCall(ToolCall):
    """A call of a turn that may have but one (`parallel_tool_calls: false`)."""

    held = True
    words = (
        "This call was not made: only one function may be called at a time. If it is still needed, call it "
        "again now that the other call is settled."
    )
