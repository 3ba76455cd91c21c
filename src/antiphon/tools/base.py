"""What a tool is: everything about a tool type stands in its own file, behind this interface.

A tool shows itself to the model as functions, and says which item a call becomes. How its past items read
in a later turn is a function of the item alone (`recall_…`), since the tool may be gone by then. Each call
has one owner, decided by its tool.
"""

from collections.abc import Sequence
from typing import Literal, Protocol

from antiphon.backends.base import Function
from antiphon.stream.machine import ItemStatus, Machine

Owner = Literal["client", "server", "approval"]
"""Who acts on a call: the client (the response completes, and the client answers with an output item),
we ourselves (we run it and go on), or the client's consent comes first."""


class OpenCall(Protocol):
    """A call that is being told: an OpenItem of the tool's own type."""

    def arguments(self, delta: str) -> None:
        """A piece of the call's JSON arguments, as the model writes them."""
        ...

    def close(self, status: ItemStatus = "completed") -> None: ...


class Tool(Protocol):
    """One entry of `tools`, resolved."""

    owner: Owner

    def functions(self) -> Sequence[Function]:
        """The tool, as functions that any model can call."""
        ...

    def open(self, machine: Machine, name: str, call_id: str) -> OpenCall:
        """The item that a call of the function `name` becomes, added to the output."""
        ...
