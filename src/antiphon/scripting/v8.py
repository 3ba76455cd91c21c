"""A program in V8, from its start: `play` is called in a child process with limits (`guard.pool`).

V8 gives it the language alone: no timers, no network, no files. It is compiled nowhere but in memory that
cannot be executed (`--jitless`), and the process opens nothing any more once V8 is there.
"""

import asyncio
import os
import re
import resource
import time
from functools import cache
from importlib import resources

import msgspec
from msgspec import Struct
from msgspec.structs import replace
from py_mini_racer import JSEvalException, JSFunction, JSOOMException, init_mini_racer, mini_racer

from antiphon.scripting.program import (
    LONGEST,
    LONGEST_FAULT,
    MOST_CALLS,
    MOST_PARTS,
    Called,
    Played,
    Recorded,
    Script,
    Written,
    check,
)

# Before V8 asks for them: what a program formats is the same everywhere.
_SURROUNDINGS = {"TZ": "UTC", "LC_ALL": "en_US.UTF-8", "LANG": "en_US.UTF-8"}
_HEAP = 128
"""MiB that V8 itself may take for objects."""
_FLAGS = ("--single-threaded", "--jitless", f"--max-heap-size={_HEAP}", "--stack-size=500")
_LIMITS = {"calls": MOST_CALLS, "parts": MOST_PARTS, "characters": LONGEST, "fault": LONGEST_FAULT}
_HALF = re.compile(r"(?<!\\)((?:\\\\)*)\\ud[89a-f][0-9a-f]{2}", re.IGNORECASE)
_STUCK = "Error: the program waits for something that never happens"


class _State(Struct):
    calls: list[tuple[str, str]]
    ended: bool
    fault: str | None
    parts: list[tuple[str, str, str]]


def play(script: bytes) -> Played:
    """How far a `Script`, as JSON, comes with the answers that were recorded. Raises ValueError for what
    is none."""
    loop = _prepared()
    begun = time.process_time()
    played = loop.run_until_complete(_play(msgspec.json.decode(script, type=Script)))
    return replace(played, seconds=time.process_time() - begun)


async def _play(script: Script) -> Played:
    """In the loop of V8's answers, which need not change threads then."""
    try:
        with mini_racer() as context:
            context.set_hard_memory_limit(_HEAP * 2**20)
            drive = context.eval(_runtime())
            assert isinstance(drive, JSFunction)
            return _driven(drive, script)
    except JSOOMException:
        return Played([], [], "Error: the program took too much memory")
    except JSEvalException as fault:
        raise ValueError("the program broke what it runs in") from fault


def _driven(drive: JSFunction, script: Script) -> Played:
    begin = {"code": script.code, "tools": list(script.tools.items()), "seed": script.seed, "now": script.now}
    drive(_json(begin | {"limits": _LIMITS}))
    answers, answered, told = _Answers(script.recorded), 0, 0
    while True:
        played = _played(msgspec.json.decode(_whole(_text(drive(""))), type=_State), answered)
        told += sum(len(call.arguments) for call in played.calls)
        if told > LONGEST:
            raise ValueError("the arguments of the program's calls are too large")
        check(played, script)
        found = [answers.of(call) for call in played.calls]
        if not found or None in found:
            waits = [call for call, answer in zip(played.calls, found, strict=True) if answer is None]
            return replace(played, calls=waits)
        answered += len(found)
        drive(_json([(answer.value, answer.fault) for answer in found if answer is not None]))


def _played(state: _State, answered: int) -> Played:
    """How far it is, after so many of its calls were answered."""
    calls = [Called(at, name, _whole(json)) for at, (name, json) in enumerate(state.calls, answered)]
    if calls:
        return Played(calls, [])
    return Played([], [Written(*part) for part in state.parts], state.fault if state.ended else _STUCK)


def _whole(json: str) -> str:
    """JSON of V8's without halves of characters (lone surrogates), which JavaScript has in texts and in names
    of members, and UTF-8 has not."""
    return _HALF.sub(r"\1\\ufffd", json)


class _Answers:
    """What was recorded, by the calls that it answers. Each is taken once."""

    def __init__(self, recorded: list[Recorded]) -> None:
        self._by_index = {each.index: each for each in recorded if each.index is not None}
        self._others = [each for each in recorded if each.index is None]

    def of(self, call: Called) -> Recorded | None:
        known = self._by_index.get(call.index)
        if known is not None:
            return known
        arguments = msgspec.json.decode(call.arguments) if self._others else None
        for place, each in enumerate(self._others):
            if each.name == call.name and each.arguments == arguments:
                return self._others.pop(place)
        return None


@cache
def _prepared() -> asyncio.AbstractEventLoop:
    """A loop, of a process that opens nothing any more."""
    os.environ.update(_SURROUNDINGS)
    init_mini_racer(flags=_FLAGS)
    loop = asyncio.new_event_loop()
    _runtime()
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, 0))
    return loop


@cache
def _runtime() -> str:
    return resources.files("antiphon.scripting").joinpath("runtime.js").read_text()


def _json(value: object) -> str:
    return msgspec.json.encode(value).decode()


def _text(value: object) -> str:
    assert isinstance(value, str)
    return value
