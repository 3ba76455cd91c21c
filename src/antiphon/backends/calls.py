"""The calls of an answer, one after another however the upstream mixes their pieces.

The forms are those of docs/internals/upstreams.md section 1. A call is passed on while it is written. What
would be wrong to pass on waits: arguments before the name, an empty object that may be a placeholder, a piece
that may repeat all that came before it, JSON in a string. Then what is valid JSON as a whole decides.
"""

from antiphon.backends.chat_chunk import CallPiece, FunctionPiece
from antiphon.backends.offer import meant
from antiphon.backends.splice import Run
from antiphon.model import CallArguments, CallRun, CallStarted, Delta, OpaqueDelta
from antiphon.model.json_text import is_json, is_object, is_same, read_json
from antiphon.model.opaque import joined
from antiphon.protocol.wire import JsonObject

_SHORT = 8
"""Characters of an empty object with white space around it, at most."""
_NONE = ("", "null", "None")
"""How servers write that there are no arguments."""


class _Open:
    """A call under way."""

    __slots__ = (
        "_checked",
        "_complete",
        "_pieces",
        "_size",
        "id",
        "key",
        "name",
        "opaque",
        "repeated",
        "sent",
        "started",
    )

    def __init__(self, key: int | None) -> None:
        self.key = key
        self.id = ""
        self.name = ""
        self.opaque: JsonObject = {}
        self.started = False
        self.sent = 0
        """How many pieces of the arguments were passed on."""
        self.repeated = ""
        """The last piece, while each since some point may be all so far."""
        self._pieces: list[str] = []
        self._size = 0
        self._checked = 0
        self._complete = False

    @property
    def arguments(self) -> str:
        """All that there is of them: what is valid as a whole is what was meant."""
        appended = "".join(self._pieces)
        if self.repeated and not is_json(appended) and is_json(self.repeated):
            return self.repeated
        return _unquoted(appended) if self._is_quoted() else appended

    @property
    def complete(self) -> bool:
        """Whether the arguments are whole. Looked at only when they end as an object does."""
        if self._checked != self._size:
            self._checked = self._size
            last = self._pieces[-1].rstrip()[-1:]
            ends = last == "}" or (last == '"' and self._ends_quoted())
            self._complete = ends and is_json(self.arguments)
        return self._complete

    def is_other(self, name: str, text: str) -> bool:
        """Whether a piece without an id of its own is of another call than this one, which is whole."""
        if not self.complete or (not name and self._is_placeholder()):
            return False
        return bool(name and self.name and name != self.name) or (
            not self._is_placeholder() and is_object(text) and not is_same(text, self.arguments)
        )

    def goes_on(self, name: str, text: str) -> bool:
        """Whether a piece that has nothing but a name and a text is of this call: some servers tell the name
        with each."""
        return name == self.name and self._size > 0 and not self.complete and text.lstrip()[:1] != "{"

    def named(self, name: str) -> None:
        """A name may come whole, again and again, growing, or in pieces."""
        if self.started or name == self.name:
            return
        self.name = name if name.startswith(self.name) else self.name + name

    def more(self, text: str) -> None:
        """A piece of the arguments: the next one, all of them so far, or those behind a placeholder."""
        if self._is_placeholder():
            if text.strip():
                self._pieces, self._size = [text], len(text)
            return
        if self._repeats(text):
            self.repeated = text
        elif self._pieces and self.complete and (not text.strip() or text.lstrip()[0] in "{["):
            return  # all of it once more, or the white space behind it
        else:
            self.repeated = ""
        self._pieces.append(text)
        self._size += len(text)

    @property
    def flows(self) -> bool:
        """Whether the next piece is only appended, unless it repeats what came before."""
        if self.repeated or not 0 < self.sent == len(self._pieces) or self.complete:
            return False
        return self._beginning().strip() not in ("", "{", "{}")

    def more_of(self, run: Run) -> bool:
        """As `more` and `take` with each piece of a run, of which only the last may end as an object does;
        False: they have to be looked at one by one."""
        if run.has_beginning(self._beginning()):
            return False
        self._pieces.append(run.text)
        self._size += len(run.text)
        self.sent += 1
        return True

    def take(self) -> str:
        """What is certain of the arguments, and was not passed on yet."""
        if self.repeated or self._is_placeholder() or (not self.sent and self._is_quoted()):
            return ""
        pieces, self.sent = self._pieces[self.sent :], len(self._pieces)
        return "".join(pieces)

    def rest(self) -> str:
        """No more will come: what was not passed on yet."""
        return self.arguments[len("".join(self._pieces[: self.sent])) :]

    def _repeats(self, text: str) -> bool:
        so_far = self.repeated or ("".join(self._pieces) if 0 < self._size <= len(text) else "")
        return bool(so_far) and text.startswith(so_far)

    def _beginning(self) -> str:
        beginning = ""
        for piece in self._pieces:
            beginning += piece[:_SHORT]
            if len(beginning) >= _SHORT:
                break
        return beginning[:_SHORT]

    def _is_placeholder(self) -> bool:
        small = not self.sent and 1 < self._size <= _SHORT
        return small and "".join(self._pieces).strip() in ("{}", *_NONE)

    def _ends_quoted(self) -> bool:
        return self._is_quoted() and "".join(self._pieces[-2:]).rstrip().endswith('}"')

    def _is_quoted(self) -> bool:
        return self._beginning().lstrip().startswith('"')


class Calls:
    """One call is passed on at a time: the pieces of later ones wait until it is complete. `names` are those
    of the functions on offer."""

    __slots__ = ("_calls", "_current", "_ids", "_names", "opaque")

    def __init__(self, names: frozenset[str] = frozenset()) -> None:
        self._calls: list[_Open] = []
        self._current = 0
        self._ids: dict[str, _Open] = {}
        """The first call of each id: others of the same are given one of their own."""
        self._names = names
        self.opaque = False
        """Whether something came with one that goes back as it came."""

    def __bool__(self) -> bool:
        """Whether there is a call. What never got a name is none."""
        return any(call.name for call in self._calls)

    @property
    def writing(self) -> bool:
        """Whether the arguments of a call have begun and are not complete."""
        call = self._calls[-1] if self._calls else None
        return call is not None and call.sent > 0 and not call.complete

    def feed(self, piece: CallPiece, out: list[Delta]) -> None:
        function = piece.function or FunctionPiece()
        text = function.text
        opaque = piece.opaque
        if not (function.name or text or piece.id or opaque):
            return
        call = self._find(piece, function.name or "", text)
        if opaque:
            self.opaque = True
            call.opaque = joined((call.opaque, opaque))
        if piece.id and not call.id:
            call.id = piece.id
            self._ids.setdefault(call.id, call)
        if function.name:
            call.named(function.name)
        if text:
            call.more(text)
        self._pass_on(out)

    @property
    def flowing(self) -> int | None:
        """The upstream's index of a call whose pieces are passed on as they come; None: of none is that
        certain."""
        call = self._calls[-1] if self._calls and self._current == len(self._calls) - 1 else None
        return call.key if call is not None and call.flows else None

    def feed_run(self, run: Run, out: list[Delta]) -> bool:
        """As `feed` with each piece of the arguments of the call that flows. False: nothing was done, since
        one of them may repeat what came before it."""
        call = self._calls[self._current]
        if not call.more_of(run):
            return False
        out.append(CallRun(self._current, run.text, run.pieces))
        return True

    def finish(self, out: list[Delta], *, cut: bool = False) -> None:
        """The answer ends: what waited is passed on. `cut`: it may be only the beginning of it."""
        while self._current < len(self._calls):
            self._end_current(out, "" if cut else "{}")

    def _find(self, piece: CallPiece, name: str, text: str) -> _Open:
        """The call that a piece belongs to, a new one if it belongs to none."""
        index = piece.index
        newest = next((call for call in reversed(self._calls) if index is None or call.key == index), None)
        if newest is not None and not self._is_other(newest, piece, name, text):
            return newest
        older = self._ids.get(piece.id) if piece.id else None  # that one goes on, an id alone says
        if older is not None and index in (None, older.key) and not older.is_other(name, text):
            return older
        last = self._calls[-1] if self._calls else None
        if last is not None and not (piece.id or name) and not last.complete:
            return last  # the tail of a call, under another index than its head
        if last is not None and not last.name and name and not piece.id:
            return last  # the name of a call whose arguments came before it
        if last is not None and not piece.id and piece.index is None and last.goes_on(name, text):
            return last
        opened = _Open(piece.index)
        if last is not None and not (name or piece.id) and piece.index == last.key:
            opened.name = last.name  # of the same function, as its arguments alone say
        self._calls.append(opened)
        return opened

    def _is_other(self, call: _Open, piece: CallPiece, name: str, text: str) -> bool:
        """Whether a piece is of another call than the newest of its index. Some servers give every call the
        index 0, or all of them one id. Others give every piece a new id, so that an id alone does not say:
        only a name next to it, when the call so far lacks nothing. Without ids, another name or other
        arguments say it."""
        if piece.index is None and (piece.id or name):
            return not piece.id or piece.id != call.id or call.is_other(name, text)
        if name and piece.id and call.id and piece.id != call.id:
            return not call.arguments or call.complete
        return (not piece.id or not call.id) and call.is_other(name, text)

    def _pass_on(self, out: list[Delta]) -> None:
        self._pass_on_current(out)
        while self._current < len(self._calls) - 1 and self._calls[self._current].complete:
            self._end_current(out)
            self._pass_on_current(out)

    def _pass_on_current(self, out: list[Delta]) -> None:
        """What is certain of the call whose turn it is. Its name is whole when arguments follow."""
        call = self._calls[self._current]
        if call.name and (text := call.take()):
            self._start(call, out)
            out.append(CallArguments(self._current, text))

    def _end_current(self, out: list[Delta], nothing: str = "{}") -> None:
        """A call without a name is none. `nothing`: what a call has for arguments of which none came."""
        call = self._calls[self._current]
        if call.name:
            self._start(call, out)
            rest = call.rest()
            if text := rest if call.sent or rest.strip() not in _NONE else nothing:
                out.append(CallArguments(self._current, text))
            self._pass_on_opaque(call, out)
        self._current += 1

    def _pass_on_opaque(self, call: _Open, out: list[Delta]) -> None:
        """What came of it before the call begins, and the rest when it ends."""
        if call.opaque:
            out.append(OpaqueDelta(call.opaque, self._current))
            call.opaque = {}

    def _start(self, call: _Open, out: list[Delta]) -> None:
        if not call.started:
            call.started = True
            self._pass_on_opaque(call, out)
            call_id = call.id if self._ids.get(call.id) is call else ""
            out.append(CallStarted(self._current, meant(call.name, self._names) or call.name, call_id))


def _unquoted(text: str) -> str:
    """An object that came as a string of JSON."""
    found = read_json(text)
    return found if isinstance(found, str) and is_object(found) else text
