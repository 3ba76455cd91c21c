"""What was begun and never finished: because a limit cut it short, or because the server died.

It stays in the output, as `incomplete`. The model does not read what it began anew, nor a call that was not
made; of a call that may have been made it reads so.
"""

from collections.abc import Sequence

from antiphon.protocol.item import Item
from antiphon.stream.kinds import kind_of, was_cut


def without_interrupted(items: Sequence[Item]) -> Sequence[Item]:
    """The items as the model reads them."""
    if not any(map(was_cut, items)):
        return items
    answered = {getattr(item, "call_id", None) for item in items if kind_of(item).nature == "output"}
    following = (*items[1:], None)
    return [
        item
        for item, after in zip(items, following, strict=True)
        if not was_cut(item) or _counts(item, after, answered)
    ]


def finished(said: Sequence[Item]) -> Sequence[Item]:
    """What a response that goes on has said for good: what it had begun last is said anew, and so is what
    the model had thought before it."""
    said = list(said)
    while said and _is_said_anew(said[-1]):
        said.pop()
    return said


def _counts(item: Item, after: Item | None, answered: set[str | None]) -> bool:
    """Whether an item that was cut short is read all the same."""
    kind = kind_of(item)
    if kind.nature == "speech":
        return after is None or not kind_of(after).by_model
    call_id = getattr(item, "call_id", None)
    return kind.may_have_run(item) if call_id is None else call_id in answered


def _is_said_anew(item: Item) -> bool:
    kind = kind_of(item)
    return kind.nature == "speech" and (kind.was_cut(item) or not kind.has_status)
