"""Where a request stands: what came before, and what it brings."""

import asyncio
from collections.abc import Mapping, Sequence, Set
from typing import cast

from msgspec import Struct
from msgspec.structs import replace

from antiphon.context.words import are_messages, are_words
from antiphon.engine.histories import Histories, History
from antiphon.engine.memory import Memory
from antiphon.engine.prepare.approvals import check_approvals
from antiphon.engine.prepare.call_outputs import check_pairs
from antiphon.engine.prepare.prompts import prompt_messages
from antiphon.engine.prepare.replays import replayed
from antiphon.guard.offload import in_bytes, offload
from antiphon.protocol.error_messages import duplicate_id, item_not_kept
from antiphon.protocol.errors import InvalidRequest, NotFound
from antiphon.protocol.item import InputItem, Item, NewId
from antiphon.protocol.items import (
    AdditionalTools,
    Compaction,
    CompactionTrigger,
    ItemReference,
    LocalShellCallOutput,
    decode_stored,
)
from antiphon.protocol.parse import Parsed
from antiphon.store.inline_data import Torn
from antiphon.store.store import Store
from antiphon.tools.local_shell import with_call_ids

_LOOKUPS = 200
"""References that are looked up before others have a turn."""

References = Mapping[str, Item]
"""Stored items by their ids."""
_NOTHING = History()


class RequestContext(Struct, frozen=True, kw_only=True):
    """The items that a response is made from."""

    past: History
    """What came before."""
    input: Sequence[Item]
    """The request's own, in the form in which they are stored."""
    prompt: Sequence[Item] | None
    """The messages of its prompt template."""
    trigger: int | None
    """How many of the items stand before a `compaction_trigger`."""
    only_compacts: bool = False
    """Whether the compaction is all that is asked for: nothing stands behind its trigger."""
    history_unsaved: bool = False
    """Whether the history is stored nowhere: then it is kept as part of the input."""
    output_so_far: Sequence[Item] = ()
    """The response's own output, when it goes on after a crash."""
    inline_tools: Sequence[AdditionalTools] = ()
    """Those of the input that bring tools, with the secrets that are stored nowhere in clear."""
    size: int = 0
    """How much there is to look at: items. Long ones count more."""
    call_ids: Set[str] = frozenset()
    """Those of all the items: a call that the model makes needs one of its own."""
    words: bool = False
    """Whether the items are words alone (`context.words`)."""

    @property
    def history(self) -> Sequence[Item]:
        """The items that came before."""
        return self.past.items

    @property
    def items(self) -> Sequence[Item]:
        """History and input."""
        return (*self.history, *self.input)

    @property
    def unread(self) -> int:
        """How much of it there is to look at for the turn: not what was said before, which was read then."""
        return len(self.input) if self.words and self.past.said is not None else self.size

    @property
    def compacted(self) -> int:
        """How much of the output so far ends with the compaction that was asked for; 0: it was not made."""
        for end, item in enumerate(self.output_so_far, 1):
            if isinstance(item, Compaction) and item.encrypted_content:
                return end
        return 0

    @property
    def to_compact(self) -> int | None:
        """How many of the items are still to be compacted."""
        return None if self.trigger is None or self.compacted else self.trigger

    @property
    def whole(self) -> Sequence[Item]:
        """All that the model reads, in its order: a compaction stands where it was asked for."""
        if self.trigger is None:
            return (*self.items, *self.output_so_far)
        before, after = self.items[: self.trigger], self.items[self.trigger :]
        return (*before, *self.output_so_far[: self.compacted], *after, *self.output_so_far[self.compacted :])


async def load_context(
    store: Store,
    project: str,
    parsed: Parsed,
    new_id: NewId,
    memory: Memory | None,
    histories: Histories,
) -> RequestContext:
    """The context of a request. The lookups come in the API's order of checks. Raises InvalidRequest or
    NotFound."""
    request, items, past = parsed.request, parsed.items, _NOTHING
    previous, conversation = request.previous_response_id, request.conversation_id
    remembered = memory.find(previous) if memory is not None and previous is not None else None
    if remembered:
        past = _NOTHING.followed_by(remembered, 0)
    elif conversation is not None:
        past = await _conversation(store, project, conversation, histories)
    prompt = request.prompt and await prompt_messages(store, project, request.prompt, request.instructions)
    if previous is not None and remembered is None:
        past = await _previous(store, project, previous, histories)
    size = len(past.items) + len(items) + in_bytes(past.length + parsed.length)
    context = None
    if past.words and are_messages(items):
        context = await offload(len(items), _in_words, past, items, new_id)
    if context is None:
        references = await _references(store, project, items)
        context = await offload(size, _checked, past, items, references, new_id)
    return replace(context, prompt=prompt, history_unsaved=remembered is not None, size=size)


def _in_words(past: History, items: Sequence[Item], new_id: NewId) -> RequestContext | None:
    """The context of these messages, if all are words: such fit together. Raises InvalidRequest."""
    own = [item.stored(new_id) for item in items]
    if not are_words(own):
        return None
    _refuse_repeated(past.items, items)
    return RequestContext(past=past, input=own, prompt=None, trigger=None, words=True)


def _checked(
    past: History, items: Sequence[InputItem], references: References, new_id: NewId
) -> RequestContext:
    """The context of these items, which fit together. Raises InvalidRequest."""
    history = with_call_ids((), past.items, new_id)
    plain = [item for item in items if not isinstance(item, CompactionTrigger)]
    compacts = len(plain) < len(items)  # all of it: a trigger stands last
    own = with_call_ids(history, [_kept(item, references, new_id) for item in plain], new_id)
    again = replayed(history, own)
    if again:
        plain = [item for index, item in enumerate(plain) if index not in again]
        own = [item for index, item in enumerate(own) if index not in again]
    _refuse_repeated(history, plain)
    check_pairs(history, own)
    check_approvals(history, own)
    return RequestContext(
        past=replace(past, items=tuple(history)),
        input=own,
        prompt=None,
        trigger=len(history) + len(own) if compacts else None,
        only_compacts=compacts,
        inline_tools=[item for item in plain if isinstance(item, AdditionalTools)],
        call_ids=call_ids((*history, *own)),
    )


def call_ids(items: Sequence[Item]) -> Set[str]:
    """The call ids that the items have."""
    return {call_id for item in items if (call_id := getattr(item, "call_id", None)) is not None}


async def _conversation(store: Store, project: str, conversation_id: str, histories: Histories) -> History:
    """The items of a conversation. Raises NotFound."""
    known = histories.find(project, conversation_id) or _NOTHING
    asked = (known.stop, len(known.items), known.last)
    found = await store.conversations.history(project, conversation_id, *asked)
    if found is None:
        raise NotFound(f"Conversation with id '{conversation_id}' not found.")
    before = known if found.start == known.stop else _NOTHING
    whole = await _followed(before, found.rows) if found.rows else before
    histories.keep(project, conversation_id, replace(whole, stop=found.stop))
    return whole


async def _previous(store: Store, project: str, previous: str, histories: Histories) -> History:
    """The items of the response that is continued, and of those before it. Raises InvalidRequest."""
    known = histories.find(project, previous)
    if known is not None and await store.responses.settled(project, previous) == len(known.items):
        return known
    rows = await store.responses.history(project, previous)
    if rows is None:
        missing = "is not finished yet" if await store.runs.running(project, previous) else "not found"
        raise InvalidRequest(
            f"Previous response with id '{previous}' {missing}.",
            param="previous_response_id",
            code="previous_response_not_found",
        )
    return await _decoded(project, rows, histories)


async def _decoded(project: str, rows: Sequence[bytes], histories: Histories) -> History:
    known = histories.beginning(project, rows)
    whole = await _followed(known, rows[len(known.rows) :])
    histories.keep_read(project, replace(whole, rows=rows))
    return whole


async def _followed(known: History, rows: Sequence[bytes]) -> History:
    """It and what was read behind it."""
    length = sum(map(len, rows))
    again = len(known.items) if known.said is None else 0
    whole = await offload(
        again + len(rows) + in_bytes(length),
        lambda: known.followed_by([decode_stored(row) for row in rows], length),
    )
    return replace(whole, torn=True) if any(isinstance(row, Torn) for row in rows) else whole


async def _references(store: Store, project: str, items: Sequence[InputItem]) -> References:
    """The items that references stand for. Raises NotFound."""
    found: dict[str, Item] = {}
    for item in items:
        if isinstance(item, ItemReference):
            if len(found) % _LOOKUPS == _LOOKUPS - 1:
                await asyncio.sleep(0)  # the store may answer at once
            found[item.id] = await _referenced(store, project, item.id)
    return found


async def _referenced(store: Store, project: str, item_id: str) -> Item:
    row = await store.items.get(project, item_id)
    if row is None:
        raise item_not_kept(item_id, "input")
    return decode_stored(row)


def _kept(item: InputItem, references: References, new_id: NewId) -> Item:
    """An input item as it is kept; a reference becomes the item that it stands for."""
    if isinstance(item, ItemReference):
        return references[item.id]
    return cast(Item, item).stored(new_id)


def _refuse_repeated(history: Sequence[Item], sent: Sequence[InputItem]) -> None:
    """The model must not read an item twice: what came before is not sent again."""
    if not history or all(getattr(item, "id", None) is None for item in sent):
        return
    known = {item.id for item in history}
    for item in sent:
        item_id: str | None = getattr(item, "id", None)
        if item_id is not None and item_id in known and type(item) is not LocalShellCallOutput:
            raise duplicate_id(item_id, "input")
