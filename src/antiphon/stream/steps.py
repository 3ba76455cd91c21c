"""A step is one event in the life of an item: from which state it leads to which, what it builds, and how it
is made for an item that its writer left behind.

`kinds.py` puts the steps of each item type together. The machine that writes a log, the fold that reads one
and the resumption that closes what was left open all go by them, so none can drift from the others.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import msgspec

from antiphon.protocol import events
from antiphon.protocol.content import Logprob
from antiphon.protocol.events import Event, event_type
from antiphon.stream.built_item import BuiltItem, Json, Path, expect, member_at
from antiphon.stream.table import OPEN, State

Build = Callable[[BuiltItem, Json], None]
"""What an event adds to the item. Raises BrokenLog when the event does not fit what was built before."""
Make = Callable[[Json, Json], Event]
"""The event that ends what an item has begun, from the item and from where it stands."""


def nothing(item: BuiltItem, event: Json) -> None:
    """The event says how far the item is, and nothing of what it becomes."""


def by_itself(event: type[Event]) -> Make:
    """An event that says nothing but that it happened."""
    return lambda item, place: event(**place)


class Step(NamedTuple):
    """`part`: the type of the part that begins, since that decides what may follow."""

    before: State
    event: type[Event]
    after: State
    build: Build = nothing
    make: Make | None = None
    """None: no item that is left behind needs the event in order to be closed."""
    part: str = ""

    @property
    def row(self) -> str:
        """How the event is named in the transition table."""
        return f"{event_type(self.event)}:{self.part}" if self.part else event_type(self.event)


def stages(*kinds: type[Event], before: State = OPEN) -> tuple[Step, ...]:
    """Events that come one after another. Each gives its name to the state that it leads to."""
    steps: list[Step] = []
    for kind in kinds:
        steps.append(Step(before, kind, event_type(kind), make=by_itself(kind)))
        before = steps[-1].after
    return tuple(steps)


class TextMember(NamedTuple):
    """A member that grows by deltas, until an event has the whole."""

    path: Path
    delta: type[Event]
    done: type[Event]

    def steps(self, before: State, after: State) -> tuple[Step, ...]:
        """Once a delta was there the whole must come."""
        writing = event_type(self.delta)
        grows, whole = _member_grows(self.path), _member_whole(self.path)
        make = _make_member(self.done, self.path)
        return (
            Step(before, self.delta, writing, grows),
            Step(writing, self.delta, writing, grows),
            Step(before, self.done, after, whole, make),
            Step(writing, self.done, after, whole, make),
        )


class PartSteps(NamedTuple):
    """The events of the parts of an item: where they are listed, and what counts them."""

    members: str
    counter: str
    added: type[Event]
    done: type[Event]


CONTENT = PartSteps("content", "content_index", events.PartAdded, events.PartDone)
SUMMARY = PartSteps("summary", "summary_index", events.SummaryPartAdded, events.SummaryPartDone)


def part(of: PartSteps, kind: str, member: str, delta: type[Event], done: type[Event]) -> tuple[Step, ...]:
    """A part with a text. `kind`: its type, for content; a summary has but one."""
    name = kind or of.members
    whole = f"{name} whole"
    return (
        Step(OPEN, of.added, name, _part_added(of), part=kind),
        Step(name, delta, name, _part_grows(of, member)),
        Step(name, done, whole, _part_whole(of, member), _make_part_text(done, of, member)),
        Step(whole, of.done, OPEN, _part_done(of), _make_part(of)),
    )


def annotations(kind: str) -> Step:
    return Step(kind, events.AnnotationAdded, kind, _annotated)


def commands() -> tuple[Step, ...]:
    """Commands of a shell, one after another."""
    return (
        Step(OPEN, events.CommandAdded, "command", _command_added),
        Step("command", events.CommandDelta, "command", _command_grows),
        Step("command", events.CommandDone, OPEN, _command_whole, _make_command),
    )


def printed() -> tuple[Step, ...]:
    """What each command printed, and how it ended."""
    return (
        Step(OPEN, events.ShellOutputDelta, "printing", _prints),
        Step("printing", events.ShellOutputDelta, "printing", _prints),
        Step("printing", events.ShellOutputDone, OPEN, _printed),
        Step(OPEN, events.ShellOutputDone, OPEN, _printed),
    )


# ---- what each event builds -------------------------------------------------------------------------


def _part_added(of: PartSteps) -> Build:
    def build(item: BuiltItem, event: Json) -> None:
        parts = item.listed(of.members)
        expect(event[of.counter], len(parts), f"part added: {of.counter}")
        part = dict(event["part"])
        parts.append(part | {name: list(held) for name, held in part.items() if isinstance(held, list)})

    return build


def _part_done(of: PartSteps) -> Build:
    def build(item: BuiltItem, event: Json) -> None:
        expect(event["part"], _as_done(item.listed(of.members)[event[of.counter]]), "part done")

    return build


def _as_done(part: Json) -> Json:
    """A part as the event shows it that ends it: logprobs stand elsewhere (behaviours.md section 1.11)."""
    return part | {"logprobs": []} if part.get("logprobs") else part


def _part_grows(of: PartSteps, member: str) -> Build:
    """A delta to the text of a part, with its logprobs if it has any."""

    def build(item: BuiltItem, event: Json) -> None:
        part = item.listed(of.members)[event[of.counter]]
        item.grow_in(part, member, event["delta"])
        if event.get("logprobs"):
            part["logprobs"] += event["logprobs"]

    return build


def _part_whole(of: PartSteps, member: str) -> Build:
    def build(item: BuiltItem, event: Json) -> None:
        part = item.listed(of.members)[event[of.counter]]
        expect(event[member], item.text_in(part, member), f"{event['type']}: {member}")
        if "logprobs" in event:
            expect(event["logprobs"], part["logprobs"], f"{event['type']}: logprobs")

    return build


def _annotated(item: BuiltItem, event: Json) -> None:
    part = item.listed("content")[event["content_index"]]
    expect(event["annotation_index"], len(part["annotations"]), "annotation_index")
    part["annotations"].append(event["annotation"])


def _member_grows(path: Path) -> Build:
    return lambda item, event: item.grow(path, event["delta"])


def _member_whole(path: Path) -> Build:
    def build(item: BuiltItem, event: Json) -> None:
        item.grow(path, "")
        expect(event[path[-1]], item.at(path), f"{event['type']}: {path[-1]}")

    return build


def _command_added(item: BuiltItem, event: Json) -> None:
    commands = item.listed("action", "commands")
    expect(event["command_index"], len(commands), "command added: command_index")
    commands.append(event["command"])


def _command_grows(item: BuiltItem, event: Json) -> None:
    commands = item.listed("action", "commands")
    expect(event["command_index"], len(commands) - 1, "command: command_index")
    item.grow_in(commands, event["command_index"], event["delta"])


def _command_whole(item: BuiltItem, event: Json) -> None:
    commands = item.listed("action", "commands")
    expect(event["command_index"], len(commands) - 1, "command done: command_index")
    expect(event["command"], item.text_in(commands, event["command_index"]), "command done")


def _prints(item: BuiltItem, event: Json) -> None:
    expect(event["command_index"], len(item.listed("output")), "shell output: command_index")
    for stream, text in event["delta"].items():
        item.printed.setdefault(stream, "")
        item.grow_in(item.printed, stream, text)


def _printed(item: BuiltItem, event: Json) -> None:
    """Entries come whole. What was printed before must be what they say."""
    output = item.listed("output")
    expect(event["command_index"], len(output), "shell output done: command_index")
    for stream in item.printed:
        expect(event["output"][0][stream], item.text_in(item.printed, stream), f"shell output done: {stream}")
    item.printed = {}
    output.extend(event["output"])


# ---- what ends what was begun, for an item that was left behind -------------------------------------


def _make_part_text(done: type[Event], of: PartSteps, member: str) -> Make:
    """The whole text of the newest part."""

    def make(item: Json, place: Json) -> Event:
        part = item[of.members][-1]
        members: Json = {of.counter: len(item[of.members]) - 1, member: part[member]}
        if "logprobs" in done.__struct_fields__:
            members["logprobs"] = msgspec.convert(part["logprobs"], list[Logprob])
        return done(**place, **members)

    return make


def _make_part(of: PartSteps) -> Make:
    """The newest part, as a whole."""

    def make(item: Json, place: Json) -> Event:
        parts: list[Json] = item[of.members]
        members: Json = {of.counter: len(parts) - 1, "part": _as_done(parts[-1])}
        return of.done(**place, **members)

    return make


def _make_member(done: type[Event], path: Path) -> Make:
    return lambda item, place: done(**place, **{path[-1]: member_at(item, path)})


def _make_command(item: Json, place: Json) -> Event:
    commands: list[Any] = item["action"]["commands"]
    return events.CommandDone(
        output_index=place["output_index"], command_index=len(commands) - 1, command=commands[-1]
    )
