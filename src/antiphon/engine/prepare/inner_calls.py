"""Programs and the calls that they made: what of a context belongs to which.

Calls that the client answers name the program as their caller, and their outputs have the call's id. Calls
of MCP servers and of the code interpreter have no place for either: they are those that stand between a
program and its output. Since a program stands behind all other calls of its turn, and the model says nothing
before it has ended, nothing else stands there.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import cast

from antiphon.protocol.content import ProgramCaller
from antiphon.protocol.hosted_items import (
    CodeInterpreterCall,
    McpApprovalRequest,
    McpApprovalResponse,
    McpCall,
    Program,
    ProgramOutput,
)
from antiphon.protocol.item import Item

_WITHOUT_CALLER = (CodeInterpreterCall, McpApprovalRequest, McpApprovalResponse, McpCall)


@dataclass
class Episode:
    """A program, and what became of it."""

    program: Program
    items: list[Item] = field(default_factory=list)
    """Its calls and their outputs."""
    output: ProgramOutput | None = None


def episodes(items: Sequence[Item]) -> Sequence[Episode]:
    """The programs among the items."""
    return [each for each in _sorted(items) if isinstance(each, Episode)]


def without_inner_calls(items: Sequence[Item]) -> Sequence[Item]:
    """The items as the model reads them: of a program its output, right behind it. One that has not ended is
    not read, and an output whose program was compacted neither."""
    if not any(isinstance(item, Program | ProgramOutput) for item in items):
        return items
    return [each for found in _sorted(items) for each in _read(found)]


def _read(found: Item | Episode) -> Sequence[Item]:
    if not isinstance(found, Episode):
        return (found,)
    return () if found.output is None else (found.program, found.output)


def _sorted(items: Sequence[Item]) -> Iterator[Item | Episode]:
    """The items, each program with what belongs to it as one."""
    sorting = _Sorting()
    return iter([each for item in items for each in sorting.sort(item)])


class _Sorting:
    def __init__(self) -> None:
        self._programs: dict[str, Episode] = {}
        self._calls: dict[str, Episode | None] = {}
        """The programs that made calls, by the calls' ids; None: it is not there any more."""
        self._requests: dict[str, Episode | None] = {}
        """The same for requests for consent."""
        self._open: list[Episode] = []

    def sort(self, item: Item) -> Sequence[Item | Episode]:
        """What the item is in the order of all; nothing, if it belongs to a program before it."""
        if isinstance(item, Program):
            begun = self._programs[item.call_id] = Episode(item)
            self._open.append(begun)
            return (begun,)
        if isinstance(item, ProgramOutput):
            self._end(item)
            return ()
        belongs, episode = self._owner(item)
        if not belongs:
            return (item,)
        if episode is not None:
            episode.items.append(item)
        return ()

    def _end(self, output: ProgramOutput) -> None:
        ended = self._programs.get(output.call_id)
        if ended is not None:
            ended.output = output
            self._open = [each for each in self._open if each is not ended]

    def _owner(self, item: Item) -> tuple[bool, Episode | None]:
        """Whether the item belongs to a program, and to which."""
        if isinstance(item, _WITHOUT_CALLER):
            return self._owner_between(item)
        call_id = getattr(item, "call_id", None)
        if call_id in self._calls:
            return True, self._calls[call_id]
        caller = getattr(item, "caller", None)
        if not isinstance(caller, ProgramCaller):
            return False, None
        owner = self._programs.get(caller.caller_id)
        self._calls[cast(str, call_id)] = owner
        return True, owner

    def _owner_between(self, item: Item) -> tuple[bool, Episode | None]:
        request = getattr(item, "approval_request_id", None)
        between = self._open[-1] if self._open else None
        owner = between if request is None else self._requests.get(request)
        if isinstance(item, McpApprovalRequest):
            self._requests[item.id or ""] = owner
        return owner is not None, owner
