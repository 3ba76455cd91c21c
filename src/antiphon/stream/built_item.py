"""An item as the events of a log have built it so far, for who reads the log.

It is JSON, since a reader knows nothing else. What grows by deltas is gathered and joined when somebody
looks at it, so that a log takes time in proportion to its length, however long one text is.
"""

from typing import Any

import msgspec

from antiphon.stream.table import OPEN, State

Json = dict[str, Any]
Path = tuple[str, ...]
"""Where a member stands in an item: its name, or the object that has it and its name."""


class BrokenLog(Exception):
    """A log that does not fold: an event out of order, or a snapshot that its deltas do not give."""


class BuiltItem:
    """An item, since the event that added it."""

    def __init__(self, added: Json) -> None:
        self.id: str = added["id"]
        self._json: Json = dict(added)
        self._growing: _Growing | None = None
        self.state: State = OPEN
        self.built: set[Path] = set()
        """Members that events have built; the finished item must agree with them."""
        self.printed: dict[str, str] = {}
        """What the command that runs has printed so far, by stream."""

    @property
    def json(self) -> Json:
        """The item. What it holds is joined as far as it goes."""
        self._join()
        return self._json

    def at(self, path: Path) -> Any:
        return member_at(self.json, path)

    def listed(self, *path: str) -> list[Any]:
        """The list that events build at a place."""
        held: list[Any] = self._holder(path, [])[path[-1]]
        return held

    def grow(self, path: Path, delta: str) -> None:
        """More of the text that events build at a place."""
        self.grow_in(self._holder(path, ""), path[-1], delta)

    def grow_in(self, holder: Any, name: str | int, delta: str) -> None:
        """More of the text that an object or a list holds."""
        growing = self._growing
        if growing is None or growing.holder is not holder or growing.name != name:
            self._join()
            growing = self._growing = _Growing(holder, name)
        growing.pieces.append(delta)

    def text_in(self, holder: Any, name: str | int) -> str:
        """The text that an object or a list holds, as far as it goes."""
        self._join()
        text: str = holder[name]
        return text

    def _join(self) -> None:
        growing, self._growing = self._growing, None
        if growing is not None:
            growing.holder[growing.name] += "".join(growing.pieces)

    def _holder(self, path: Path, empty: Any) -> Json:
        """The object that has the member. The first event that builds the member finds it empty."""
        holder = self._json
        for name in path[:-1]:
            if path not in self.built:
                holder[name] = dict(holder[name])  # what it came in is not ours to change
            holder = holder[name]
        if path not in self.built:
            holder[path[-1]] = empty
            self.built.add(path)
        return holder


class _Growing:
    """A text that deltas are added to: in which object or list, and by which name."""

    def __init__(self, holder: Any, name: str | int) -> None:
        self.holder = holder
        self.name = name
        self.pieces: list[str] = []


def member_at(value: Any, path: Path) -> Any:
    """What an object has at a place; None when it has nothing there."""
    for name in path:
        value = value.get(name) if isinstance(value, dict) else None
    return value


def expect(found: Any, expected: Any, what: str) -> None:
    """Raises BrokenLog when a log says one thing and its events another, byte for byte."""
    if found != expected or msgspec.json.encode(found) != msgspec.json.encode(expected):
        raise BrokenLog(f"{what}: the log gives {expected!r}, but it says {found!r}")
